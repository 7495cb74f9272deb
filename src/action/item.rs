//! One row of a set, as templates see it.

use serde_json::{Map, Value};

use super::Item;
use crate::runbook::VarKind;
use crate::runbook::template::Scope;

/// `item.x`, `item.theirs.x`, `item.before.x` and `item.key`, before what stands outside.
pub struct ItemScope<'a> {
    pub item: &'a Item,
    pub outer: &'a dyn Scope,
}

impl Scope for ItemScope<'_> {
    fn get(&self, path: &str) -> Option<Value> {
        let Some(path) = path.strip_prefix("item.") else {
            return self.outer.get(path);
        };
        let of = |row: &Option<Map<String, Value>>, path: &str| row.as_ref().and_then(|row| dotted(row, path));
        match path.split_once('.') {
            Some(("theirs", path)) => of(&self.item.theirs, path),
            Some(("before", path)) => of(&self.item.before, path),
            _ if path == "key" => Some(Value::String(self.item.key.clone())),
            _ => dotted(&self.item.ours, path),
        }
    }

    fn kind(&self, path: &str) -> Option<VarKind> {
        if path.starts_with("item.") { None } else { self.outer.kind(path) }
    }
}

/// A column of that whole name, or a field inside a column.
fn dotted(row: &Map<String, Value>, path: &str) -> Option<Value> {
    if let Some(value) = row.get(path) {
        return Some(value.clone());
    }
    let (head, rest) = path.split_once('.')?;
    match row.get(head)? {
        Value::Object(inner) => dotted(inner, rest),
        _ => None,
    }
}
