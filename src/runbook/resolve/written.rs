//! What the author wrote of a step, in one form whatever it was written like: the step digest.
//!
//! Owns that form. It is built from the nodes of the file, never from the model: the names of fields in this program
//! cannot change it, and neither can comments, indents, quotes around a text or the order of keys.

use std::collections::HashMap;
use std::fmt::Write as _;

use indexmap::IndexMap;

use super::steps::Draft;
use crate::runbook::parse::{Node, fields::Fields, tree::Value};
use crate::runbook::{Action, CheckRef};
use crate::text::sha256;

/// Keys of a step that say what it does and what is asked of it. Its target is none of them.
const KEYS: [&str; 10] =
    ["each", "pause", "batch", "stages", "undo", "needs", "verify", "done_when", "stop_when", "then_watch"];

/// What a node says.
pub fn form(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node);
    out
}

/// What a check says, without the target that it asks.
pub fn of_check(node: &Node) -> String {
    match &node.value {
        Value::Map(entries) => pairs(entries.iter().filter(|e| e.key != "on").map(|e| (e.key.as_str(), &e.node))),
        _ => form(node),
    }
}

/// What a step says: its action, under its word, and what stands around it.
pub fn of_step(f: &Fields, word: &'static str) -> String {
    pairs([word].into_iter().chain(KEYS).filter_map(|key| Some((key, f.look(key)?))))
}

/// The digest of every step: what it says, what each check says that it names, and of an `undo_of` what it undoes.
pub fn digests(drafts: &mut IndexMap<String, Draft>, checks: &HashMap<String, String>) {
    let written: HashMap<String, String> = drafts.iter().map(|(id, d)| (id.clone(), d.written.clone())).collect();
    for draft in drafts.values_mut() {
        let step = &draft.step;
        let mut text = draft.written.clone();
        if let Action::UndoOf { step: undone } = &step.action {
            let _ = write!(text, "\nundoes {}", written.get(undone).map_or("", String::as_str));
        }
        let named = step.needs.iter().map(|n| &n.check).chain(&step.verify).chain(&step.done_when);
        let mut names: Vec<&str> = named
            .filter_map(|check| match check {
                CheckRef::Check(name) => Some(name.as_str()),
                CheckRef::ServiceGone(_) => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let _ = write!(text, "\ncheck {name} {}", checks.get(name).map_or("", String::as_str));
        }
        draft.step.digest = sha256(text.as_bytes());
    }
}

fn write(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        // As every reader of a text takes it: a block ends with a line end, a quoted text does not.
        Value::Text(text, _) => out.push_str(&serde_json::Value::from(text.trim_end()).to_string()),
        Value::Seq(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => out.push_str(&pairs(entries.iter().map(|e| (e.key.as_str(), &e.node)))),
    }
}

fn pairs<'n>(pairs: impl Iterator<Item = (&'n str, &'n Node)>) -> String {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|p| p.0);
    let mut out = String::from("{");
    for (i, (key, node)) in pairs.into_iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let _ = write!(out, "{}:", serde_json::Value::from(key));
        write(&mut out, node);
    }
    out.push('}');
    out
}
