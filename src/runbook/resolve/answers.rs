//! What an answer must be: facts of a catalog, and `expect`.

use super::parts::path;
use super::{Cx, names};
use crate::runbook::expect::Expect;
use crate::runbook::parse::near::listed;
use crate::runbook::parse::{Node, Style, tree::Value};
use crate::runbook::{CheckKind, Grant};
use crate::sql::Fact;

/// Facts of the catalog; or rights, the likeness to a fingerprint, or where the migration stands, each by themselves.
pub fn facts(cx: &Cx, body: &Node) -> Option<CheckKind> {
    let items = cx.r.some(body);
    let has = |node: &Node, key: &str| matches!(&node.value, Value::Map(m) if m.iter().any(|e| e.key == key));
    let alone = |n: &&Node| has(n, "like") || has(n, "migration");
    let special = items.iter().find(alone).or_else(|| items.iter().find(|n| has(n, "grant")));
    match special {
        None => {
            let facts: Vec<Fact> = items.iter().filter_map(|n| fact(cx, n)).collect();
            (!facts.is_empty()).then_some(CheckKind::Schema(facts))
        }
        Some(first) if alone(&first) => {
            let word = if has(first, "like") { "like" } else { "migration" };
            for other in items.iter().filter(|n| !std::ptr::eq(*n, first)) {
                cx.r.error_help(&other.span, format!("`{word}` stands by itself"), "make it two checks");
            }
            if word == "like" { like(cx, first) } else { migration(cx, first) }
        }
        Some(_) => {
            let grants: Vec<Grant> = items.iter().filter_map(|n| grant(cx, n)).collect();
            (!grants.is_empty()).then_some(CheckKind::Grants(grants))
        }
    }
}

fn like(cx: &Cx, node: &Node) -> Option<CheckKind> {
    let f = cx.r.fields(node)?;
    let fingerprint = f.need("like").and_then(|n| path(cx, n));
    let except = f.get("except").map(|n| cx.r.list(n)).unwrap_or_default();
    let except = except.iter().filter_map(|n| cx.r.text(n)).collect();
    f.finish_as("fact");
    Some(CheckKind::Like { fingerprint: fingerprint?, except })
}

/// `{ migration: in }`: by the catalog, and by its own row where the runbook says where that stands.
fn migration(cx: &Cx, node: &Node) -> Option<CheckKind> {
    let f = cx.r.fields(node)?;
    let applied = f.need("migration").and_then(|n| cx.r.word(n, &[("in", true), ("out", false)]));
    if !cx.names.migration {
        cx.r.error(&f.head(), "this runbook has no `migration`");
    }
    f.finish();
    Some(CheckKind::Migration { applied: applied? })
}

/// `{ grant: SELECT, object: orders, role: app }`
fn grant(cx: &Cx, node: &Node) -> Option<Grant> {
    let f = cx.r.fields(node)?;
    let text = |key| f.need(key).and_then(|n| cx.r.text(n));
    let (right, object, role) = (text("grant"), text("object"), text("role"));
    let present = !f.get("absent").and_then(|n| cx.r.bool(n)).unwrap_or(false);
    f.finish_as("fact");
    Some(Grant { right: right?, object: object?, role: role?, present })
}

/// `{ column: orders.payment_ref }` and its likes; `absent: true` turns it round.
fn fact(cx: &Cx, node: &Node) -> Option<Fact> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let text = |key| f.get(key).and_then(|n| r.text(n));
    let dotted = |key: &'static str| {
        let n = f.get(key)?;
        let text = r.text(n)?;
        let split = text.rsplit_once('.').map(|(t, c)| (t.to_owned(), c.to_owned()));
        if split.is_none() {
            r.error_help(&n.span, format!("`{text}` does not say which table"), format!("write `{key}: table.name`"));
        }
        split
    };
    let present = !f.get("absent").and_then(|n| r.bool(n)).unwrap_or(false);
    let flag = |key| f.get(key).and_then(|n| r.bool(n));
    let (type_name, value, not_null) = (text("type"), text("value"), flag("not_null"));
    let (valid, enabled) = (flag("valid"), flag("enabled"));
    let digest = f.get("digest").and_then(|n| digest(cx, n));
    let values = f.get("values").map(|n| r.list(n).iter().filter_map(|label| r.text(label)).collect::<Vec<_>>());
    let asked = ["table", "column", "enum", "index", "constraint", "trigger", "view", "function"];
    let count = asked.iter().filter(|k| f.get(k).is_some()).count();
    let mut fact = None;
    if let Some((table, column)) = dotted("column") {
        fact = Some(match (type_name, not_null) {
            (Some(type_name), _) => Fact::ColumnType { table, column, type_name, is: present },
            (None, Some(not_null)) => Fact::NotNull { table, column, not_null: not_null == present },
            (None, None) => Fact::Column { table, column, present },
        });
    }
    if let Some((table, name)) = dotted("constraint") {
        fact = Some(match valid {
            Some(validated) => Fact::Validated { table, name, validated: validated == present },
            None => Fact::Constraint { table, name, present },
        });
    }
    if let Some((table, name)) = dotted("trigger") {
        fact = Some(match enabled {
            Some(enabled) => Fact::TriggerEnabled { table, name, enabled: enabled == present },
            None => Fact::Trigger { table, name, present },
        });
    }
    fact = fact
        .or_else(|| text("table").map(|name| Fact::Table { name, present }))
        .or_else(|| text("index").map(|name| Fact::Index { name, valid: present, present }))
        .or_else(|| text("view").map(|name| Fact::View { name, present }))
        .or_else(|| {
            text("function").map(|name| match digest {
                Some(digest) => Fact::FunctionBody { name, digest, is: present },
                None => Fact::Function { name, present },
            })
        });
    if let Some(type_name) = text("enum") {
        match (value, values) {
            (Some(value), None) => fact = Some(Fact::EnumValue { type_name, value, present }),
            (None, Some(values)) => fact = Some(Fact::EnumValues { type_name, values, are: present }),
            _ => r.error_help(
                &f.head(),
                "an enum is asked for exactly one of `value` and `values`",
                "write `{ enum: TYPE, value: LABEL }`, or `values` with all of them in their order",
            ),
        }
    }
    if count != 1 {
        r.error_help(&f.head(), "a fact is of exactly one kind", format!("one of {}", listed(&asked)));
    }
    f.finish();
    fact.filter(|_| count == 1)
}

/// The SHA-256 of a function's body.
pub fn digest(cx: &Cx, node: &Node) -> Option<String> {
    let text = cx.r.text(node)?;
    let good = text.len() == 64 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if !good {
        cx.r.error_help(&node.span, "this is not a digest", "64 digits and letters a to f: the SHA-256 of its body");
    }
    good.then_some(text)
}

/// A literal, a quoted comparison, `readable`, `{ same_as: NAME }` or `{ error: SQLSTATE }`.
pub fn expect(cx: &Cx, node: &Node) -> Option<Expect> {
    let r = &cx.r;
    match &node.value {
        Value::Map(_) => {
            let f = r.fields(node)?;
            let same = f.get("same_as").map(|n| same_as(cx, n));
            let error = f.get("error").map(|n| {
                let text = match &n.value {
                    Value::Number(text) => text.clone(),
                    _ => r.text(n)?,
                };
                let good = text.len() == 5 && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
                if !good {
                    r.error_help(
                        &n.span,
                        format!("`{text}` is not an SQLSTATE"),
                        "five digits or capitals, as in \"23505\"",
                    );
                }
                good.then_some(Expect::Error(text))
            });
            let head = f.head();
            f.finish();
            match (same, error) {
                (Some(name), None) => name.map(Expect::SameAs),
                (None, Some(error)) => error,
                _ => {
                    r.error(&head, "`expect` is a value, a comparison, `{ same_as: NAME }` or `{ error: SQLSTATE }`");
                    None
                }
            }
        }
        Value::Text(text, style) => {
            if *style == Style::Plain && text != "readable" {
                r.literal(node)?;
            }
            Expect::from_text(text).map_err(|e| r.error(&node.span, e)).ok()
        }
        _ => r.literal(node).map(Expect::Literal),
    }
}

fn same_as(cx: &Cx, node: &Node) -> Option<String> {
    let name = cx.r.text(node)?;
    let names::Names { readings, sets, .. } = &cx.names;
    if readings.contains_key(&name) {
        cx.used("reading", &name);
        return Some(name);
    }
    if sets.contains_key(&name) {
        cx.used("set", &name);
        return Some(name);
    }
    let known: Vec<&str> = readings.keys().chain(sets.keys()).map(String::as_str).collect();
    cx.r.undefined(&node.span, "reading or set", &name, known);
    None
}
