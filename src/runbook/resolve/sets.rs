//! `sets`: named rows, from one of the sources, and how two of them are compared.

use indexmap::IndexMap;

use super::Cx;
use super::bound::Allow;
use super::parts::{per_dialect, sql_target};
use super::sources::{self, Beside};
use crate::runbook::later::is_later;
use crate::runbook::parse::near::listed;
use crate::runbook::parse::{Node, tree::Entry, tree::Value};
use crate::runbook::{ClassRule, Compare, Found, Otherwise, Set, SetSource, Side, Target, TargetKind};

const SOURCES: [&str; 8] = ["query", "records", "compare", "topic", "http", "command", "in", "both"];

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
    sources::close(cx, &mut sets);
    sets
}

fn set(cx: &Cx, e: &Entry) -> Option<Set> {
    let r = &cx.r;
    let f = r.fields(&e.node)?;
    let key = f.get("key").map(|n| r.text(n));
    let found: Vec<_> = SOURCES.iter().filter_map(|w| f.get(w).map(|n| (*w, n))).collect();
    let classes = f.get("classes");
    let beside = Beside::read(&f);
    let head = f.head();
    f.finish_as("set");
    let [(word, node)] = found.as_slice() else {
        let now: Vec<_> = SOURCES.iter().filter(|s| !is_later("set", s)).copied().collect();
        r.error(&head, format!("a set comes from exactly one of {}", listed(&now)));
        return None;
    };
    let compared = *word == "compare";
    if let (Some(classes), false) = (classes, compared) {
        r.error(&classes.span, "only a compared set has `classes`");
    }
    beside.check(cx, word);
    let made = matches!(*word, "compare" | "in" | "both");
    if key.is_none() && !made {
        r.error_help(&head, "`key` is missing", "name the column that names a row");
    }
    let key = key.flatten();
    let source = match *word {
        "query" => {
            let target = match beside.on {
                Some(n) => sql_target(cx, n),
                None => {
                    r.error(&head, "`on` is missing: a `query` asks a target");
                    None
                }
            };
            let sql = per_dialect(cx, node, &|cx, n| cx.sql(n, Allow::default()));
            SetSource::Query { on: target?, sql: sql? }
        }
        "records" => SetSource::Records { target: cx.target(node, "a file of records", |k| k == TargetKind::Records)? },
        "topic" => sources::topic(cx, node, &beside, key.as_deref(), &head)?,
        "http" => sources::request(cx, node, &beside)?,
        "command" => sources::command(cx, node)?,
        "in" => SetSource::Combined(sources::within(cx, node, &beside, &head)?),
        "both" => SetSource::Combined(sources::both(cx, node)?),
        _ => SetSource::Compare(compare(cx, node, classes, &head)?),
    };
    let key = if made { String::new() } else { key? };
    Some(Set { name: e.key.clone(), source, key })
}

fn compare(cx: &Cx, node: &Node, classes: Option<&Node>, head: &std::ops::Range<usize>) -> Option<Compare> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let plain = |n| cx.known(n, "set", &cx.names.sets);
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
