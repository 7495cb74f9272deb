//! `sets`: named rows, from a query, a file of records, or a comparison of the two.

use indexmap::IndexMap;

use super::Cx;
use super::bound::Allow;
use super::parts::{per_dialect, sql_target};
use crate::runbook::parse::{Node, tree::Entry, tree::Value};
use crate::runbook::{ClassRule, Compare, Found, Otherwise, Set, SetSource, Side, Target, TargetKind};

/// A `records` target with a `key` is a set of its own name.
pub fn all(cx: &Cx, node: Option<&Node>, targets: &IndexMap<String, Target>) -> IndexMap<String, Set> {
    let mut sets = IndexMap::new();
    for target in targets.values() {
        if let (TargetKind::Records, Some(key)) = (target.kind, &target.key) {
            let source = SetSource::Records { target: target.name.clone() };
            sets.insert(target.name.clone(), Set { name: target.name.clone(), source, key: key.clone() });
        }
    }
    for e in node.map(|n| cx.r.entries(n)).unwrap_or_default() {
        cx.place(format!("set {}", e.key), &e.key_span);
        if let Some(set) = set(cx, e) {
            sets.insert(e.key.clone(), set);
        }
    }
    // A compared set has the key of ours.
    let keys: Vec<_> = sets
        .values()
        .filter_map(|set: &Set| match &set.source {
            SetSource::Compare(c) => Some((set.name.clone(), sets.get(&c.ours)?.key.clone())),
            _ => None,
        })
        .collect();
    for (name, key) in keys {
        if let Some(set) = sets.get_mut(&name) {
            set.key = key;
        }
    }
    sets
}

fn set(cx: &Cx, e: &Entry) -> Option<Set> {
    let r = &cx.r;
    let f = r.fields(&e.node)?;
    let later = f.not_yet(&[
        "topic",
        "http",
        "command",
        "in",
        "not_in",
        "both",
        "more_than",
        "latest_per_key",
        "since",
        "fields",
        "file",
    ]);
    let on = f.get("on");
    let key = f.get("key").map(|n| r.text(n));
    let query = f.get("query");
    let records = f.get("records");
    let compare_node = f.get("compare");
    let classes = f.get("classes");
    let head = f.head();
    f.finish();
    let count = [query, records, compare_node].iter().flatten().count();
    if count != 1 {
        if !later {
            r.error(&head, "a set comes from exactly one of `query`, `records` and `compare`");
        }
        return None;
    }
    if let (Some(classes), None) = (classes, compare_node) {
        r.error(&classes.span, "only a compared set has `classes`");
    }
    let need_key = || {
        if key.is_none() {
            r.error_help(&head, "`key` is missing", "name the column that names a row");
        }
        key.clone().flatten()
    };
    let (source, key) = if let Some(query) = query {
        let target = match on {
            Some(n) => sql_target(cx, n),
            None => {
                r.error(&head, "`on` is missing: a `query` asks a target");
                None
            }
        };
        let sql = per_dialect(cx, query, &|cx, n| cx.sql(n, Allow::default()));
        let key = need_key();
        (SetSource::Query { on: target?, sql: sql? }, key?)
    } else if let Some(records) = records {
        let target = cx.target(records, "a file of records", |k| k == TargetKind::Records);
        let key = need_key();
        (SetSource::Records { target: target? }, key?)
    } else {
        let compare = compare(cx, compare_node?, classes, &head)?;
        (SetSource::Compare(compare), String::new())
    };
    Some(Set { name: e.key.clone(), source, key })
}

fn compare(cx: &Cx, node: &Node, classes: Option<&Node>, head: &std::ops::Range<usize>) -> Option<Compare> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let plain = |n| cx.known(n, "set", cx.names.sets.keys());
    let ours = f.need("ours").and_then(plain);
    let theirs = f.need("theirs").and_then(plain);
    let by = f.need("by").and_then(|n| match &n.value {
        Value::Map(entries) => match entries.as_slice() {
            [pair] => r.text(&pair.node).map(|theirs| (pair.key.clone(), theirs)),
            _ => {
                r.error_help(&n.span, "two sets are compared by one pair of columns", "write `{ ours: theirs }`");
                None
            }
        },
        _ => r.text(n).map(|column| (column.clone(), column)),
    });
    f.finish();
    let mut otherwise = Otherwise::Ask;
    let mut rules = IndexMap::new();
    if classes.is_none() {
        r.error_help(head, "`classes` is missing", "say which rows go where: the first class that fits wins");
    }
    for e in classes.map(|n| r.entries(n)).unwrap_or_default() {
        if e.key == "else" {
            if let Some(text) = r.text(&e.node) {
                otherwise = if text == "ask" { Otherwise::Ask } else { Otherwise::Class(text) };
            }
            continue;
        }
        r.is_name(&e.key, &e.key_span);
        let class: Vec<ClassRule> = r.entries(&e.node).iter().filter_map(|rule| class_rule(cx, rule)).collect();
        if matches!(&e.node.value, Value::Map(m) if m.is_empty()) {
            r.error_help(&e.node.span, "a class without a rule takes every row", "say what fits, or use `else`");
        }
        rules.insert(e.key.clone(), class);
    }
    Some(Compare { ours: ours?, theirs: theirs?, by: by?, classes: rules, otherwise })
}

fn class_rule(cx: &Cx, e: &Entry) -> Option<ClassRule> {
    let r = &cx.r;
    if e.key == "found" {
        let words = [("none", Found::None), ("once", Found::Once), ("many", Found::Many)];
        return r.word(&e.node, &words).map(ClassRule::Found);
    }
    let (side, column) = match e.key.split_once('.') {
        Some(("ours", column)) => (Some(Side::Ours), column),
        Some(("theirs", column)) => (Some(Side::Theirs), column),
        Some(_) => {
            r.error_help(&e.key_span, format!("`{}` names no side", e.key), "write `ours.column` or `theirs.column`");
            return None;
        }
        None => (None, e.key.as_str()),
    };
    match (side, &e.node.value) {
        (Some(side), _) => r.literal(&e.node).map(|value| ClassRule::Is { side, column: column.to_owned(), value }),
        (None, Value::Text(text, _)) if text == "equal" => Some(ClassRule::Equal { column: column.to_owned() }),
        (None, _) => {
            let help = format!("`{column}: equal` compares both; `theirs.{column}: …` asks for a value of one side");
            r.error_help(&e.node.span, format!("`{column}` stands on both sides"), help);
            None
        }
    }
}
