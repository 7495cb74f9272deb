//! The actions that move consumer groups, records, settings and schemas, the one that writes rows back, and what is
//! asked of a registry.

use super::bound::Allow;
use super::{Cx, actions};
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::{
    NeverOver, Offsets, Position, RegistryAct, RegistryChange, RegistryCheck, RegistryQuestion, Replay, Restore,
    Tombstones, TopicConfig,
};

const LEVELS: [&str; 7] =
    ["none", "backward", "backward_transitive", "forward", "forward_transitive", "full", "full_transitive"];

const MODES: [&str; 3] = ["readwrite", "readonly", "import"];

pub fn restore(cx: &Cx, node: &Node) -> Option<Restore> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let into = f.need("into").and_then(|n| {
        let f = r.fields(n)?;
        let table = f.need("table").and_then(|n| r.text(n));
        let key = f.need("key").and_then(|n| r.text(n));
        let columns: Vec<_> =
            f.get("columns").map(|n| r.list(n)).unwrap_or_default().iter().filter_map(|n| r.text(n)).collect();
        f.finish();
        Some((table?, key?, columns))
    });
    let list = f.need("sources");
    let mut sources = Vec::new();
    for item in list.map(|n| r.list(n)).unwrap_or_default() {
        let Some(set) = cx.set_ref(item) else { continue };
        if sources.contains(&set) {
            r.error(&item.span, format!("the source `{set}` stands here twice"));
        }
        sources.push(set);
    }
    if let Some(Node { value: Value::Seq(items), span }) = list
        && items.is_empty()
    {
        r.error(span, "there is no source here");
    }
    let exclude = f.get("exclude").and_then(|n| Some((cx.set_ref(n)?, n)));
    if let Some((set, n)) = &exclude
        && sources.contains(set)
    {
        r.error(&n.span, format!("`{set}` is a source and excluded"));
    }
    let insert = f.get("insert").and_then(|n| r.bool(n)).unwrap_or(false);
    let never_over = f.get("never_over").and_then(|n| r.word(n, &[("newer", NeverOver::Newer)]));
    f.finish();
    let (table, key, columns) = into?;
    let exclude = exclude.map(|e| e.0);
    (!sources.is_empty()).then_some(Restore { table, key, columns, sources, exclude, insert, never_over })
}

pub fn offsets(cx: &Cx, node: &Node) -> Option<Offsets> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let group = f.need("group").and_then(|n| cx.group(n));
    let topic = f.need("topic").and_then(|n| cx.topic(n));
    let to = f.get("to").map(|n| position(cx, n));
    let over = f.get("over").map(|n| cx.set_ref(n));
    let park = f.entry("park").map(|e| (e, r.text(&e.node)));
    let head = f.head();
    f.finish();
    if let (Some((e, _)), None) = (&park, &over) {
        r.error(&e.key_span, "`park` stands with `over` only");
    }
    let to = match (to, over) {
        (Some(to), None) => to,
        (None, Some(set)) => match park {
            Some((_, park)) => Some(Position::Over { set: set?, park: park? }),
            None => {
                let help = "name the topic that keeps the records: what is stepped over is read by nobody";
                r.error_help(&head, "`park` is missing", help);
                None
            }
        },
        _ => {
            r.error(&head, "a group is moved by exactly one of `to` and `over`");
            None
        }
    };
    Some(Offsets { group: group?, topic: topic?, to: to? })
}

fn position(cx: &Cx, node: &Node) -> Option<Position> {
    if matches!(node.value, Value::Map(_)) {
        let f = cx.r.fields(node)?;
        let at = f.need("at").and_then(|n| cx.template(n, Allow::default()));
        f.finish();
        return at.map(Position::At);
    }
    let words = [("earliest", Position::Earliest), ("latest", Position::Latest), ("frozen", Position::Frozen)];
    let index: Vec<(&str, usize)> = words.iter().enumerate().map(|(i, w)| (w.0, i)).collect();
    let found = cx.r.word(node, &index)?;
    words.into_iter().nth(found).map(|w| w.1)
}

pub fn replay(cx: &Cx, node: &Node) -> Option<Replay> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let moment = |key| f.get(key).and_then(|n| cx.template(n, Allow::default()));
    let topic = f.need("topic").and_then(|n| cx.topic(n));
    let to = f.need("to").and_then(|n| r.text(n));
    let since = f.need("since").and_then(|n| cx.template(n, Allow::default()));
    let until = moment("until");
    let set = |key| f.get(key).and_then(|n| cx.set_ref(n));
    let (only, except) = (set("only"), set("except"));
    let value = f.get("value").and_then(|n| actions::json(cx, n, Allow { item: true, ..Allow::default() }));
    let head = f.head();
    f.finish();
    if only.is_some() && only == except {
        r.error(&head, "`only` and `except` name the same records, so nothing is left");
    }
    Some(Replay { topic: topic?, to: to?, since: since?, until, only, except, value })
}

pub fn tombstones(cx: &Cx, node: &Node) -> Option<Tombstones> {
    let f = cx.r.fields(node)?;
    let topic = f.need("topic").and_then(|n| cx.topic(n));
    let from = f.need("from").and_then(|n| cx.set_ref(n));
    let key = f.need("key").and_then(|n| cx.r.text(n));
    f.finish();
    Some(Tombstones { topic: topic?, from: from?, key: key? })
}

pub fn topic(cx: &Cx, node: &Node) -> Option<TopicConfig> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let name = f.need("name").and_then(|n| cx.topic(n));
    let list = f.need("config");
    let mut config = indexmap::IndexMap::new();
    for e in list.map(|n| r.entries(n)).unwrap_or_default() {
        if let Some(value) = r.literal(&e.node) {
            config.insert(e.key.clone(), crate::runbook::template::as_text(&value));
        }
    }
    if let Some(Node { value: Value::Map(entries), span }) = list
        && entries.is_empty()
    {
        r.error(span, "there is no setting here");
    }
    f.finish();
    (!config.is_empty()).then_some(TopicConfig { name: name?, config })
}

pub fn registry(cx: &Cx, node: &Node) -> Option<RegistryAct> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let subject = f.need("subject").and_then(|n| r.text(n));
    let level = f.get("level").map(|n| word(cx, n, &LEVELS).map(RegistryChange::Level));
    let mode = f.get("mode").map(|n| word(cx, n, &MODES).map(RegistryChange::Mode));
    let delete = f.get("delete").map(|n| version(cx, n).map(RegistryChange::Delete));
    let head = f.head();
    f.finish();
    let mut found: Vec<_> = [level, mode, delete].into_iter().flatten().collect();
    if found.len() != 1 {
        r.error(&head, "an act on the registry is exactly one of `level`, `mode` and `delete`");
        return None;
    }
    Some(RegistryAct { subject: subject?, change: found.pop()?? })
}

pub fn registry_check(cx: &Cx, node: &Node) -> Option<RegistryCheck> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let subject = f.need("subject").and_then(|n| r.text(n));
    let level = f.get("level").map(|n| word(cx, n, &LEVELS).map(RegistryQuestion::Level));
    let mode = f.get("mode").map(|n| word(cx, n, &MODES).map(RegistryQuestion::Mode));
    let side = |key| f.get(key).map(|n| version(cx, n));
    let (reader, writer) = (side("reader"), side("writer"));
    let head = f.head();
    f.finish();
    let readable = match (reader, writer) {
        (Some(reader), Some(writer)) => {
            Some(reader.zip(writer).map(|(reader, writer)| RegistryQuestion::Readable { reader, writer }))
        }
        (None, None) => None,
        _ => {
            r.error(&head, "`reader` and `writer` are asked together: whether the one reads what the other wrote");
            return None;
        }
    };
    let mut found: Vec<_> = [level, mode, readable].into_iter().flatten().collect();
    if found.len() != 1 {
        r.error(&head, "a registry is asked for exactly one of `level`, `mode`, and `reader` with `writer`");
        return None;
    }
    Some(RegistryCheck { subject: subject?, question: found.pop()?? })
}

fn word(cx: &Cx, node: &Node, words: &[&'static str]) -> Option<String> {
    let pairs: Vec<_> = words.iter().map(|w| (*w, *w)).collect();
    cx.r.word(node, &pairs).map(str::to_owned)
}

/// By number: what is the latest may be another one when it is acted on.
fn version(cx: &Cx, node: &Node) -> Option<u64> {
    if matches!(&node.value, Value::Text(text, _) if text == "latest") {
        let help = "write the number: while this is read another one may be registered";
        cx.r.error_help(&node.span, "`latest` is not a version", help);
        return None;
    }
    cx.r.whole(node, 1..=1_000_000)
}
