//! Reads typed fields out of the tree, and goes on after what is wrong.
//!
//! Owns the words for wrong types, unknown keys and names that do not exist. A reader that fails has said why and
//! gives `None`; nobody needs to say it again.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value as Json;

use super::near::{listed, locate, looks_typed, nearest};
use super::tree::{Entry, Node, Style, Value};
use crate::runbook::diagnostic::Diagnostic;
use crate::runbook::expect;
use crate::runbook::later;
use crate::runbook::template::{Place, SqlText, Template, TemplateError};

/// The file being read and what was found wrong in it.
pub struct Reader<'a> {
    pub source: &'a str,
    found: RefCell<Vec<Diagnostic>>,
    /// Where each line begins: counting them anew for each place is most of the time of a long runbook.
    lines: Vec<usize>,
}

/// The keys of one map. What was never asked for is unknown.
pub struct Fields<'n, 'r> {
    reader: &'r Reader<'r>,
    entries: &'n [Entry],
    pub span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Text(..) => "a text",
        Value::Seq(_) => "a list",
        Value::Map(_) => "a map",
    }
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a str) -> Self {
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, found: RefCell::new(Vec::new()), lines }
    }

    pub fn say(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub fn error(&self, span: &Range<usize>, message: impl Into<String>) {
        self.say(Diagnostic::error(span.clone(), message));
    }

    pub fn error_help(&self, span: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.say(Diagnostic::error(span.clone(), message).help(help));
    }

    pub fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }

    fn wrong(&self, node: &Node, wanted: &str) {
        let message = match &node.value {
            Value::Text(text, Style::Plain) if text.len() < 40 => {
                format!("expected {wanted}, found the text `{text}`")
            }
            other => format!("expected {wanted}, found {}", kind(other)),
        };
        let mut diagnostic = Diagnostic::error(node.span.clone(), message);
        if wanted.contains("text") && matches!(node.value, Value::Number(_) | Value::Bool(_)) {
            diagnostic = diagnostic.help("put it in quotes");
        }
        self.say(diagnostic);
    }

    /// `x` is not one of `names`.
    pub fn undefined<'s>(&self, span: &Range<usize>, what: &str, name: &str, names: impl IntoIterator<Item = &'s str>) {
        let names: Vec<&str> = names.into_iter().collect();
        let diagnostic = Diagnostic::error(span.clone(), format!("there is no {what} `{name}`"));
        let diagnostic = match nearest(name, &names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => diagnostic.help(format!("this runbook has no {what}")),
            None => diagnostic.help(format!("there is {}", listed(&names))),
        };
        self.say(diagnostic);
    }

    pub fn fields<'n, 'r>(&'r self, node: &'n Node) -> Option<Fields<'n, 'r>>
    where
        'a: 'r,
    {
        match &node.value {
            Value::Map(entries) => {
                Some(Fields { reader: self, entries, span: node.span.clone(), asked: RefCell::default() })
            }
            _ => {
                self.wrong(node, "a map");
                None
            }
        }
    }

    /// The entries of a map whose keys are names.
    pub fn entries<'n>(&self, node: &'n Node) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                self.wrong(node, "a map");
                &[]
            }
        }
    }

    pub fn list<'n>(&self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::Seq(items) => items,
            _ => {
                self.wrong(node, "a list");
                &[]
            }
        }
    }

    /// A list, or one item that stands for a list of one.
    pub fn some<'n>(&self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::Seq(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    pub fn text(&self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text, _) if !text.trim().is_empty() => Some(text.trim_end().to_owned()),
            Value::Text(..) => {
                self.error(&node.span, "expected a text, found an empty one");
                None
            }
            _ => {
                self.wrong(node, "a text");
                None
            }
        }
    }

    pub fn bool(&self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    pub fn whole(&self, node: &Node, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = match &node.value {
            Value::Number(text) => text.parse::<u64>().ok(),
            _ => None,
        };
        let found = number.filter(|n| range.contains(n));
        if found.is_none() {
            self.wrong(node, &format!("a whole number from {} to {}", range.start(), range.end()));
        }
        found
    }

    pub fn duration(&self, node: &Node) -> Option<Duration> {
        let Value::Text(text, _) = &node.value else {
            self.wrong(node, "a duration such as `30s`");
            return None;
        };
        expect::duration(text).map_err(|e| self.error(&node.span, e)).ok()
    }

    /// One word of a fixed few.
    pub fn word<T: Copy>(&self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|w| w.0).collect();
            let diagnostic = Diagnostic::error(node.span.clone(), format!("`{text}` is not known here"));
            self.say(match nearest(&text, &names) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!("one of {}", listed(&names))),
            });
        }
        found
    }

    /// A name that the runbook gives: letters, digits, `-` and `_`, at most 48 of them.
    pub fn is_name(&self, name: &str, span: &Range<usize>) -> bool {
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= 48
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !good && !name.is_empty() {
            let shown: String = name.chars().take(40).collect();
            self.error_help(
                span,
                format!("`{shown}` is not a name"),
                "a name begins with a letter, has letters, digits, `-` and `_` only, and is at most 48 long",
            );
        }
        good
    }

    /// A value as it stands: a quoted text, true, false or a decimal number.
    pub fn literal(&self, node: &Node) -> Option<Json> {
        match &node.value {
            Value::Bool(value) => Some(Json::Bool(*value)),
            Value::Number(text) => serde_json::from_str(text).ok(),
            Value::Text(text, Style::Plain) if looks_typed(text) => {
                self.error_help(
                    &node.span,
                    format!("`{text}` could be a text or a value of another type"),
                    "quote a text; write numbers as 10 or 1.5, and true or false",
                );
                None
            }
            Value::Text(text, _) => Some(Json::String(text.clone())),
            _ => {
                self.wrong(node, "a text, a number, true or false");
                None
            }
        }
    }

    /// Of the bytes of a value, which begin at a character.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let line = self.lines.partition_point(|start| *start <= span.start);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let column = self.source.get(start..span.start).map_or(0, |before| before.chars().count()) + 1;
        Place { start: span.start, end: span.end, line, column }
    }

    pub fn template(&self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        Template::parse(&text).map_err(|e| self.template_error(node, &e)).ok()
    }

    /// A literal block or a quoted text.
    pub fn sql(&self, node: &Node) -> Option<SqlText> {
        let Value::Text(text, style) = &node.value else {
            let help = "quote it, or write it as a literal block (`|`)";
            let message = format!("expected SQL as a text, found {}", kind(&node.value));
            self.error_help(&node.span, message, help);
            return None;
        };
        match style {
            Style::Plain => {
                self.error_help(
                    &node.span,
                    "SQL stands here without quotes: YAML would cut it at ` #` and at `: `",
                    "write it as a literal block (`|`) or in quotes",
                );
                return None;
            }
            Style::Folded => {
                self.error_help(
                    &node.span,
                    "SQL stands in a folded block (`>`): its lines would be joined, and a `--` comment would swallow the rest",
                    "write it as a literal block (`|`)",
                );
                return None;
            }
            Style::Quoted | Style::Literal => {}
        }
        if text.trim().is_empty() {
            self.error(&node.span, "there is no statement here");
            return None;
        }
        SqlText::parse(text, self.place(&node.span)).map_err(|e| self.template_error(node, &e)).ok()
    }

    fn template_error(&self, node: &Node, error: &TemplateError) {
        let at = locate(self.source, &node.span, &text_of(node)[..error.offset], error.len);
        self.error_help(&at, error.message.clone(), "`{{ name }}` takes one name");
    }
}

impl<'n> Fields<'n, '_> {
    pub fn entry(&self, key: &'static str) -> Option<&'n Entry> {
        self.asked.borrow_mut().push(key);
        self.entries.iter().find(|e| e.key == key)
    }

    /// Whether the key is there, without taking it as read.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|e| e.key == key)
    }

    /// What stands there, without taking it as read.
    pub fn look(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|e| e.key == key).map(|e| &e.node)
    }

    pub fn get(&self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|e| &e.node)
    }

    pub fn need(&self, key: &'static str) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            self.reader.error(&self.head(), format!("`{key}` is missing"));
        }
        node
    }

    /// The first key, or the brace: a whole map as a place says nothing.
    pub fn head(&self) -> Range<usize> {
        match self.entries.first() {
            Some(first) if first.key_span.start >= self.span.start => first.key_span.clone(),
            _ => self.span.start..(self.span.start + 1).min(self.span.end.max(self.span.start + 1)),
        }
    }

    /// Says every key that nobody asked for.
    pub fn finish(self) {
        self.finish_as("");
    }

    /// The same for a map that the table of [`later`] may name: what was read and does not run yet is said, too.
    pub fn finish_as(self, part: &str) {
        let asked = self.asked.borrow();
        for entry in self.entries {
            let key = entry.key.as_str();
            if key.is_empty() || key == "<<" {
                continue;
            }
            if asked.contains(&key) {
                if later::is_later(part, key) {
                    self.reader.say(Diagnostic::later(entry.key_span.clone(), key));
                }
                continue;
            }
            let diagnostic = Diagnostic::error(entry.key_span.clone(), format!("unknown key `{key}`"));
            self.reader.say(match nearest(key, &asked) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => {
                    let now: Vec<_> = asked.iter().filter(|k| !later::is_later(part, k)).copied().collect();
                    diagnostic.help(format!("known here: {}", listed(&now)))
                }
            });
        }
    }
}

fn text_of(node: &Node) -> &str {
    match &node.value {
        Value::Text(text, _) => text,
        _ => "",
    }
}
