//! `never`: what makes it worse, and what of it can be recognised.

use super::{Cx, steps};
use crate::runbook::later::is_later;
use crate::runbook::parse::{Node, near::listed};
use crate::runbook::{Never, NeverMatch};

pub fn all(cx: &Cx, node: &Node) -> Vec<Never> {
    let mut all = Vec::new();
    for (i, item) in cx.r.list(node).iter().enumerate() {
        let Some(fields) = cx.r.fields(item) else {
            continue;
        };
        let what = fields.need("what").and_then(|n| cx.r.text(n));
        let because = fields.need("because").and_then(|n| cx.r.text(n));
        let matches = fields.get("match").map(|n| (n, matched(cx, n)));
        let checks = |key| fields.get(key).map(|n| steps::check_refs(cx, n)).unwrap_or_default();
        let (until, during) = (checks("until"), checks("while"));
        fields.finish_as("never");
        if let (Some(what), Some(because)) = (what, because) {
            let place = matches.as_ref().map_or(&item.span, |m| &m.0.span);
            cx.place(format!("never {i}"), place);
            all.push(Never { what, because, matches: matches.and_then(|m| m.1), until, during });
        }
    }
    all
}

fn matched(cx: &Cx, node: &Node) -> Option<NeverMatch> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let text = |key| f.get(key).and_then(|n| r.text(n));
    let places = ["earliest", "latest", "frozen", "at", "over"].map(|w| (w, w));
    let to = f.get("to").map(|n| (n, r.word(n, &places).map(str::to_owned)));
    let object = f.get("object").map(|n| (n, r.text(n)));
    let subject = f.get("subject").map(|n| (n, r.text(n)));
    let acts = ["level", "mode", "delete"].map(|w| (w, w));
    let offsets = f.get("offsets").and_then(|n| cx.group(n));
    let ddl = text("ddl");
    let registry = f.get("registry").and_then(|n| r.word(n, &acts));
    for (field, word) in [(&to, "offsets"), (&object, "ddl"), (&subject, "registry")] {
        if let (Some((n, _)), false) = (field, f.has(word)) {
            r.error(&n.span, format!("this stands with `{word}` only"));
        }
    }
    let inner = |field: Option<(&Node, Option<String>)>| field.and_then(|f| f.1);
    let mut found = Vec::new();
    found.extend(offsets.map(|group| NeverMatch::Offsets { group, to: inner(to) }));
    found.extend(ddl.map(|statement| NeverMatch::Ddl { statement, object: inner(object) }));
    found.extend(text("change").map(|object| NeverMatch::Change { object }));
    found.extend(text("publish").map(|topic| NeverMatch::Publish { topic }));
    if let Some(n) = f.get("command") {
        found.push(NeverMatch::Command { argv: r.list(n).iter().filter_map(|n| r.text(n)).collect() });
    }
    found.extend(text("restore").map(|table| NeverMatch::Restore { table }));
    found.extend(text("replay").map(|topic| NeverMatch::Replay { topic }));
    found.extend(text("tombstones").map(|topic| NeverMatch::Tombstones { topic }));
    found.extend(text("topic").map(|name| NeverMatch::Topic { name }));
    found.extend(registry.map(|act| NeverMatch::Registry { act: act.to_owned(), subject: inner(subject) }));
    let words =
        ["offsets", "ddl", "change", "publish", "command", "restore", "replay", "tombstones", "topic", "registry"];
    let count = words.iter().filter(|w| f.has(w)).count();
    let head = f.head();
    f.finish_as("match");
    if count != 1 {
        let now: Vec<_> = words.into_iter().filter(|w| !is_later("match", w)).collect();
        r.error(&head, format!("exactly one of {} is matched", listed(&now)));
        return None;
    }
    found.pop()
}
