//! Sets from a topic, a service or a command, and sets made of other sets.

use std::ops::Range;

use indexmap::IndexMap;

use super::Cx;
use super::bound::Allow;
use super::checks::{argv, http, reads_only};
use crate::runbook::parse::{Node, fields::Fields};
use crate::runbook::{Combined, Set, SetSource, TargetKind, TopicSource};

/// What may stand beside a source.
pub struct Beside<'n> {
    pub on: Option<&'n Node>,
    since: Option<&'n Node>,
    fields: Option<&'n Node>,
    latest: Option<&'n Node>,
    not_in: Option<&'n Node>,
    more_than: Option<&'n Node>,
}

impl<'n> Beside<'n> {
    pub fn read(f: &Fields<'n, '_>) -> Self {
        Self {
            on: f.get("on"),
            since: f.get("since"),
            fields: f.get("fields"),
            latest: f.get("latest_per_key"),
            not_in: f.get("not_in"),
            more_than: f.get("more_than"),
        }
    }

    /// Says what stands with a source that it has no meaning for.
    pub fn check(&self, cx: &Cx, source: &str) {
        let with = |wanted: &[&str], node: Option<&Node>, word: &str| {
            if let (Some(node), false) = (node, wanted.contains(&source)) {
                let wanted = crate::runbook::parse::near::listed(wanted);
                cx.r.error(&node.span, format!("`{word}` stands with {wanted} only"));
            }
        };
        with(&["query", "topic", "http"], self.on, "on");
        with(&["topic"], self.since, "since");
        with(&["topic"], self.fields, "fields");
        with(&["topic"], self.latest, "latest_per_key");
        with(&["in"], self.not_in, "not_in");
        with(&["in"], self.more_than, "more_than");
    }
}

pub fn topic(cx: &Cx, node: &Node, beside: &Beside, key: Option<&str>, head: &Range<usize>) -> Option<SetSource> {
    let r = &cx.r;
    let topic = cx.topic(node);
    let on = match beside.on {
        Some(n) => cx.target(n, "a kafka target", |k| k == TargetKind::Kafka),
        None => {
            r.error(head, "`on` is missing: a `topic` is read from a target");
            None
        }
    };
    let since = beside.since.and_then(|n| cx.template(n, Allow::default()));
    let mut fields = IndexMap::new();
    for e in beside.fields.map(|n| r.entries(n)).unwrap_or_default() {
        let Some(place) = r.text(&e.node) else { continue };
        let plain = ["key", "offset", "partition", "timestamp"].contains(&place.as_str());
        let inner = ["value.", "header.", "key."].iter().any(|p| place.strip_prefix(p).is_some_and(|f| !f.is_empty()));
        if !plain && !inner {
            let help = "one of `key`, `offset`, `partition`, `timestamp`, `value.FIELD`, `key.FIELD` and `header.NAME`";
            r.error_help(&e.node.span, format!("`{place}` is not a place in a record"), help);
            continue;
        }
        fields.insert(e.key.clone(), place);
    }
    if let (Some(key), Some(n)) = (key, beside.fields)
        && !fields.contains_key(key)
    {
        r.undefined(&n.span, "field", key, fields.keys().map(String::as_str));
    }
    let latest_per_key = beside.latest.and_then(|n| r.bool(n)).unwrap_or(false);
    Some(SetSource::Topic(TopicSource { on: on?, topic: topic?, since, fields, latest_per_key }))
}

pub fn request(cx: &Cx, node: &Node, beside: &Beside) -> Option<SetSource> {
    let on = beside.on.map(|n| cx.target(n, "an http target", |k| k == TargetKind::Http));
    let request = http(cx, node, Allow::default())?;
    if !reads_only(cx, node, &request, "a set only asks") {
        return None;
    }
    match on {
        Some(None) => None,
        on => Some(SetSource::Http { on: on.flatten(), request }),
    }
}

pub fn command(cx: &Cx, node: &Node) -> Option<SetSource> {
    Some(SetSource::Command { argv: argv(cx, node, Allow::default())? })
}

pub fn within(cx: &Cx, node: &Node, beside: &Beside, head: &Range<usize>) -> Option<Combined> {
    let rows = plain(cx, node);
    let not_in = beside.not_in.map(|n| plain(cx, n));
    let times = beside.more_than.map(|n| cx.r.whole(n, 1..=1_000_000));
    match (not_in, times) {
        (Some(not_in), None) => Some(Combined::InNotIn { rows: rows?, not_in: not_in? }),
        (None, Some(times)) => Some(Combined::MoreThan { rows: rows?, times: times? }),
        _ => {
            cx.r.error(head, "`in` has exactly one of `not_in` and `more_than` beside it");
            None
        }
    }
}

pub fn both(cx: &Cx, node: &Node) -> Option<Combined> {
    let items = cx.r.list(node);
    let mut sets = items.iter().map(|n| plain(cx, n));
    match (sets.next(), sets.next(), sets.next()) {
        (Some(first), Some(second), None) => Some(Combined::Both(first?, second?)),
        _ => {
            cx.r.error(&node.span, "`both` names two sets");
            None
        }
    }
}

fn plain(cx: &Cx, node: &Node) -> Option<String> {
    cx.known(node, "set", &cx.names.sets)
}

/// The sets that a set is made of.
pub fn parts(set: &Set) -> Vec<&str> {
    match &set.source {
        SetSource::Compare(compare) => vec![&compare.ours, &compare.theirs],
        SetSource::Combined(combined) => combined.of(),
        _ => Vec::new(),
    }
}

/// Refuses sets that are made of themselves, and gives the others the key of what they are made of.
pub fn close(cx: &Cx, sets: &mut IndexMap<String, Set>) {
    let names: Vec<String> = sets.keys().cloned().collect();
    for name in &names {
        let mut way = vec![name.clone()];
        let mut open: Vec<String> = sets.get(name).map(parts).unwrap_or_default().into_iter().map(Into::into).collect();
        while let Some(next) = open.pop() {
            if next == *name {
                let span = cx.places.borrow().get(&format!("set {name}")).cloned();
                cx.r.error(&span.unwrap_or_default(), format!("the set `{name}` is made of itself"));
                return;
            }
            if !way.contains(&next) {
                open.extend(sets.get(&next).map(parts).unwrap_or_default().into_iter().map(str::to_owned));
                way.push(next);
            }
        }
    }
    // A set of sets comes after them at most as many times as there are sets.
    for _ in 0..sets.len() {
        let keys: Vec<_> = sets
            .values()
            .filter(|set| set.key.is_empty())
            .filter_map(|set| Some((set.name.clone(), sets.get(*parts(set).first()?)?.key.clone())))
            .filter(|(_, key)| !key.is_empty())
            .collect();
        if keys.is_empty() {
            break;
        }
        for (name, key) in keys {
            if let Some(set) = sets.get_mut(&name) {
                set.key = key;
            }
        }
    }
}
