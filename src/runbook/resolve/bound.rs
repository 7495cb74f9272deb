//! Which names may stand between `{{` and `}}` where, and that they exist.

use std::ops::Range;

use super::Cx;
use crate::runbook::parse::near::locate;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::template::{SqlPiece, SqlText, Template};

/// What besides variables has a value at this place.
#[derive(Clone, Copy, Default)]
pub struct Allow {
    /// `{{ item.FIELD }}`: under `each`, and in `publish`.
    pub item: bool,
    /// `{{ probe.key }}`
    pub probe: bool,
    /// `{{ stage }}`
    pub stage: bool,
    /// `{{ set }}`
    pub set: bool,
    /// DDL: `{{ ident x }}` and nothing else.
    pub ddl: bool,
}

impl Cx<'_> {
    pub fn template(&self, node: &Node, allow: Allow) -> Option<Template> {
        let template = self.r.template(node)?;
        for name in template.names() {
            self.name(node, name, allow);
        }
        self.no_environment(node, &template.source);
        Some(template)
    }

    pub fn templates(&self, node: &Node, allow: Allow) -> Vec<Template> {
        self.r.list(node).iter().filter_map(|n| self.template(n, allow)).collect()
    }

    pub fn sql(&self, node: &Node, allow: Allow) -> Option<SqlText> {
        let sql = self.r.sql(node)?;
        let mut wrong = false;
        for piece in sql.pieces() {
            match piece {
                SqlPiece::Text(_) => {}
                SqlPiece::SetTable if !allow.set => {
                    wrong = true;
                    let help = "it stands in the `sql` of a `change` that has a `set`";
                    self.r.error_help(&self.find(node, "{{"), "`{{ set }}` has no meaning here", help);
                }
                SqlPiece::SetTable => {}
                SqlPiece::Ident(name) if !allow.ddl => {
                    wrong = true;
                    let message = format!("`{{{{ ident {name} }}}}` stands in DDL only");
                    self.r.error(&self.find(node, name), message);
                }
                SqlPiece::Bind(name) if allow.ddl => {
                    wrong = true;
                    let message = format!("DDL takes no parameters, so no `{{{{ {name} }}}}`");
                    let help = format!("an identifier is `{{{{ ident {name} }}}}`; write a value out");
                    self.r.error_help(&self.find(node, name), message, help);
                }
                SqlPiece::Ident(name) | SqlPiece::Bind(name) => self.name(node, name, allow),
            }
        }
        (!wrong).then_some(sql)
    }

    fn name(&self, node: &Node, name: &str, allow: Allow) {
        let at = || self.find(node, name);
        let root = name.split('.').next().unwrap_or(name);
        match root {
            "item" => {
                if !allow.item {
                    let help = "it stands under `each`, and in `publish`";
                    self.r.error_help(&at(), format!("`{name}` has no meaning here"), help);
                } else if name == "item" {
                    self.r.error_help(&at(), "`item` alone is a whole row", "name a field of it: `item.id`");
                }
            }
            "probe" => {
                if name != "probe.key" {
                    self.r.error_help(
                        &at(),
                        format!("there is no `{name}`"),
                        "a probe has `probe.key` and nothing else",
                    );
                } else if !allow.probe {
                    self.r.error_help(&at(), "`probe.key` has no meaning here", "it stands in a `probe`");
                }
            }
            "stage" if name == "stage" => {
                if !allow.stage {
                    let help = "it stands in a step that has `stages`, and in the `undo` that such a step does";
                    self.r.error_help(&at(), "`stage` has no meaning here", help);
                }
            }
            _ => {
                let vars = &self.names.vars;
                if vars.contains_key(name) {
                    self.used("var", name);
                } else {
                    let mut known: Vec<&str> = vars.keys().map(String::as_str).collect();
                    if allow.probe {
                        known.push("probe.key");
                    }
                    self.r.undefined(&at(), "variable", name, known);
                }
            }
        }
    }

    fn find(&self, node: &Node, name: &str) -> Range<usize> {
        let text = match &node.value {
            Value::Text(text, _) => text,
            _ => return node.span.clone(),
        };
        let braces = super::super::template::braces(text);
        let found = braces.into_iter().find(|at| {
            let inside = text[at.clone()].trim_matches(['{', '}']).trim();
            inside == name || inside.split_whitespace().last() == Some(name) || (name == "{{" && inside == "set")
        });
        match found {
            Some(at) => locate(self.r.source, &node.span, &text[..at.start], at.len()),
            None => node.span.clone(),
        }
    }

    /// The environment is read for addresses only: what a step does must be readable in the file and in the log.
    fn no_environment(&self, node: &Node, text: &str) {
        if text.contains("${") {
            let help = "make it a variable and write `{{ name }}`; secrets belong to the program that is called";
            self.r.error_help(&node.span, "`${NAME}` stands under `targets` only", help);
        }
    }
}
