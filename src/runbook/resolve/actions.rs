//! What a step does: exactly one action.

use std::ops::Range;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::bound::Allow;
use super::parts::per_dialect;
use super::steps::check_refs;
use super::{Cx, answers, checks, conduct, events, names};
use crate::runbook::expect::Expect;
use crate::runbook::later::is_later;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::parse::{fields::Fields, near::listed};
use crate::runbook::step::WORDS;
use crate::runbook::template::Template;
use crate::runbook::{
    Action, Change, CheckRef, Decide, FreezeItem, Manual, Partition, PerDialect, Publish, SetRef, SqlText, TargetKind,
    VarKind,
};

/// The one action and its place; `None`, and the reason was said.
pub fn one(cx: &Cx, f: &Fields, allow: Allow, title: Option<&str>) -> Option<(Action, &'static str, Range<usize>)> {
    let found: Vec<_> = WORDS.iter().filter_map(|w| f.entry(w).map(|e| (*w, e))).collect();
    match found.as_slice() {
        [(word, entry)] => {
            let action = action(cx, word, &entry.node, allow, title)?;
            Some((action, word, entry.key_span.clone()))
        }
        [] => {
            let now: Vec<_> = WORDS.iter().filter(|w| !is_later("step", w)).copied().collect();
            let help = format!("one of {}", listed(&now));
            cx.r.error_help(&f.head(), "a step does exactly one thing, and this does nothing", help);
            None
        }
        [.., (_, last)] => {
            let words: Vec<_> = found.iter().map(|f| f.0).collect();
            let message = format!("a step does exactly one thing, and this does {}", listed(&words));
            cx.r.error_help(&last.key_span, message, "make it two steps");
            None
        }
    }
}

/// `undo: { command: … }`: one action, and none that asks or decides; and while what it may be done.
pub fn undo(cx: &Cx, node: &Node, each: bool) -> Option<(Action, Vec<CheckRef>)> {
    let f = cx.r.fields(node)?;
    let words = ["ddl", "change", "command", "http", "manual"];
    let found: Vec<_> = words.iter().filter_map(|w| f.entry(w).map(|e| (*w, e))).collect();
    let valid = f.get("valid_while").map(|n| check_refs(cx, n)).unwrap_or_default();
    let head = f.head();
    f.finish_as("undo");
    match found.as_slice() {
        [(word, entry)] => {
            let allow = Allow { item: each, stage: true, ..Allow::default() };
            Some((action(cx, word, &entry.node, allow, None)?, valid))
        }
        _ => {
            cx.r.error_help(&head, "an undo does exactly one thing", format!("one of {}", listed(&words)));
            None
        }
    }
}

fn action(cx: &Cx, word: &str, node: &Node, allow: Allow, title: Option<&str>) -> Option<Action> {
    let r = &cx.r;
    Some(match word {
        "freeze" => Action::Freeze(r.list(node).iter().filter_map(|n| freeze(cx, n)).collect()),
        "ddl" => Action::Ddl(ddl(cx, node)?),
        "change" => Action::Change(change(cx, node)?),
        "reconcile" => {
            let set = match cx.set_ref(node)? {
                SetRef::Set(set) if matches!(cx.names.sets.get(&set), Some(Some(_))) => set,
                _ => {
                    r.error(&node.span, "only a compared set, whole, is reconciled");
                    return None;
                }
            };
            Action::Reconcile { set }
        }
        "restore" => Action::Restore(events::restore(cx, node)?),
        "offsets" => Action::Offsets(events::offsets(cx, node)?),
        "publish" => Action::Publish(publish(cx, node)?),
        "replay" => Action::Replay(events::replay(cx, node)?),
        "tombstones" => Action::Tombstones(events::tombstones(cx, node)?),
        "topic" => Action::Topic(events::topic(cx, node)?),
        "registry" => Action::Registry(events::registry(cx, node)?),
        "session" => {
            let f = r.fields(node)?;
            let end = f.need("end").and_then(|n| r.text(n));
            f.finish();
            Action::Session { end: end? }
        }
        "command" => Action::Command { argv: checks::argv(cx, node, allow)? },
        "http" => Action::Http(checks::http(cx, node, allow)?),
        "manual" => Action::Manual(manual(cx, node, allow, title)?),
        "decide" => Action::Decide(decide(cx, node)?),
        _ => Action::UndoOf { step: cx.known(node, "step", &cx.names.steps)? },
    })
}

fn freeze(cx: &Cx, node: &Node) -> Option<FreezeItem> {
    let text = cx.r.text(node)?;
    let of = |name: &str, wanted: &str, fits: fn(TargetKind) -> bool| match cx.names.targets.get(name) {
        Some(kind) if kind.is_none_or(fits) => Some(name.to_owned()),
        Some(_) => {
            cx.r.error(&node.span, format!("`{name}` is not {wanted}"));
            None
        }
        None => {
            cx.r.undefined(&node.span, "target", name, cx.names.targets.keys().map(String::as_str));
            None
        }
    };
    if let Some(name) = text.strip_prefix("offsets of ") {
        return of(name, "a kafka target", |k| k == TargetKind::Kafka).map(|target| FreezeItem::Offsets { target });
    }
    if let Some(name) = text.strip_prefix("catalog of ") {
        return of(name, "a database", super::takes_sql).map(|target| FreezeItem::Catalog { target });
    }
    if cx.names.readings.contains_key(&text) {
        cx.used("reading", &text);
        return Some(FreezeItem::Reading(text));
    }
    if cx.names.sets.contains_key(&text) {
        cx.used("set", &text);
        return Some(FreezeItem::Set(text));
    }
    let known: Vec<&str> = cx.names.readings.keys().chain(cx.names.sets.keys()).map(String::as_str).collect();
    cx.r.undefined(&node.span, "reading or set", &text, known);
    None
}

fn ddl(cx: &Cx, node: &Node) -> Option<PerDialect<Vec<SqlText>>> {
    let allow = Allow { ddl: true, ..Allow::default() };
    per_dialect(cx, node, &|cx, n| {
        let statements = cx.r.some(n);
        let read: Vec<_> = statements.iter().filter_map(|n| cx.sql(n, allow)).collect();
        if statements.is_empty() {
            cx.r.error(&n.span, "there is no statement here");
        }
        (!read.is_empty() && read.len() == statements.len()).then_some(read)
    })
}

fn change(cx: &Cx, node: &Node) -> Option<Change> {
    let r = &cx.r;
    let sql = |n: &Node, set: bool| {
        let allow = Allow { set, ..Allow::default() };
        per_dialect(cx, n, &|cx, n| cx.sql(n, allow))
    };
    let dialects = ["postgres", "mysql", "sqlite"];
    let bare = match &node.value {
        Value::Map(entries) => entries.iter().any(|e| dialects.contains(&e.key.as_str())),
        _ => true,
    };
    if bare {
        let sql = sql(node, false)?;
        return Some(Change { set: None, sql, rows: None, until: None, batch: None, unsaved_because: None });
    }
    let f = r.fields(node)?;
    let set = f.get("set").map(|n| cx.set_ref(n));
    let text = f.need("sql").and_then(|n| sql(n, set.is_some()));
    let (rows, until) = f.get("rows").map(|n| bound(cx, n)).unwrap_or_default();
    let batch = f.get("batch").and_then(|n| conduct::batch(cx, n));
    let unsaved_because = f.get("before_image").and_then(|n| {
        let f = r.fields(n)?;
        let because = f.need("off").and_then(|n| r.text(n));
        f.finish();
        because
    });
    let head = f.head();
    f.finish_as("change");
    let text = text?;
    if set.is_some() && text.forms().iter().any(|sql| !sql.uses_set()) {
        r.error_help(
            &head,
            "the statement does not use its set, so it would change other rows",
            "join with `{{ set }}`: it is the table of the frozen rows",
        );
    }
    Some(Change { set: set.flatten(), sql: text, rows, until, batch, unsaved_because })
}

/// How many rows at most; with `{ until: CHECK, at_most: … }` in batches until the check is green.
fn bound(cx: &Cx, node: &Node) -> (Option<Expect>, Option<CheckRef>) {
    let until = matches!(&node.value, Value::Map(entries) if entries.iter().any(|e| e.key == "until"));
    if !until {
        return (rows(cx, node), None);
    }
    let Some(f) = cx.r.fields(node) else { return (None, None) };
    let until = f.need("until").and_then(|n| cx.check_ref(n, false)).map(|c| c.0);
    let at_most = f.need("at_most").and_then(|n| rows(cx, n));
    f.finish_as("rows");
    (at_most, until)
}

/// A number, a comparison, or `{ same_as }`.
fn rows(cx: &Cx, node: &Node) -> Option<Expect> {
    let expect = answers::expect(cx, node)?;
    let good = match &expect {
        Expect::Literal(Json::Number(n)) => n.as_u64().is_some(),
        Expect::Compare { .. } | Expect::SameAs(_) => true,
        _ => false,
    };
    if !good {
        cx.r.error_help(&node.span, "`rows` is a number of rows", "as in 340, \"<= 340\" or { same_as: NAME }");
    }
    good.then_some(expect)
}

fn publish(cx: &Cx, node: &Node) -> Option<Publish> {
    let r = &cx.r;
    let allow = Allow { item: true, ..Allow::default() };
    let f = r.fields(node)?;
    let topic = f.need("topic").and_then(|n| cx.topic(n));
    let from = f.need("from").and_then(|n| cx.set_ref(n));
    let key = f.need("key").and_then(|n| r.text(n));
    let value = f.need("value").and_then(|n| json(cx, n, allow));
    let headers = f.get("headers").map(|n| checks::headers(cx, n, allow)).unwrap_or_default();
    let schema_id = f.get("schema_id").and_then(|n| r.whole(n, 1..=u64::from(u32::MAX)));
    let partition = f.get("partition").and_then(|n| match &n.value {
        Value::Text(..) => r.word(n, &[("as_found", Partition::AsFound)]),
        _ => r.whole(n, 0..=100_000).map(Partition::Number),
    });
    f.finish_as("publish");
    Some(Publish { topic: topic?, from: from?, key: key?, value: value?, headers, schema_id, partition })
}

/// A value with templates in its texts.
pub fn json(cx: &Cx, node: &Node, allow: Allow) -> Option<Json> {
    match &node.value {
        Value::Null => Some(Json::Null),
        Value::Seq(items) => items.iter().map(|n| json(cx, n, allow)).collect::<Option<_>>().map(Json::Array),
        Value::Map(entries) => entries
            .iter()
            .map(|e| Some((e.key.clone(), json(cx, &e.node, allow)?)))
            .collect::<Option<_>>()
            .map(Json::Object),
        Value::Text(text, _) if text.contains("{{") => cx.template(node, allow).map(|t| Json::String(t.source)),
        _ => cx.r.literal(node),
    }
}

fn manual(cx: &Cx, node: &Node, allow: Allow, title: Option<&str>) -> Option<Manual> {
    let r = &cx.r;
    if matches!(node.value, Value::Text(..)) {
        return Some(Manual { what: cx.template(node, allow)?, by: None, ask: IndexMap::new() });
    }
    let f = r.fields(node)?;
    let what = f.get("what").map(|n| cx.template(n, allow));
    let by = f.get("by").and_then(|n| r.text(n));
    let mut ask: IndexMap<String, VarKind> = IndexMap::new();
    for e in f.get("ask").map(|n| r.entries(n)).unwrap_or_default() {
        if r.is_name(&e.key, &e.key_span)
            && let Some(kind) = r.word(&e.node, &names::VAR_KINDS)
        {
            ask.insert(e.key.clone(), kind);
        }
    }
    let head = f.head();
    // Read with the step's own.
    f.get("within");
    f.finish();
    let what = match (what, title) {
        (Some(what), _) => what,
        (None, Some(title)) => Template::parse(title).ok(),
        (None, None) => {
            r.error(&head, "`what` is missing: say what is to be done, here or in `title`");
            None
        }
    };
    Some(Manual { what: what?, by, ask })
}

fn decide(cx: &Cx, node: &Node) -> Option<Decide> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let ask = f.need("ask").and_then(|n| r.text(n));
    let list = f.need("options");
    let options: Vec<String> = list.map(|n| r.list(n)).unwrap_or_default().iter().filter_map(|n| r.text(n)).collect();
    // Read with the step's own.
    f.get("within");
    f.finish();
    if let Some(list) = list {
        for (i, option) in options.iter().enumerate() {
            if options[..i].contains(option) {
                r.error(&list.span, format!("the option `{option}` stands here twice"));
            }
        }
        if options.len() < 2 {
            r.error(&list.span, "a decision has two options at least");
            return None;
        }
    }
    Some(Decide { ask: ask?, options })
}
