//! Every name that the runbook gives, found before anything refers to one.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Cx, warn, written};
use crate::runbook::parse::fields::Reader;
use crate::runbook::parse::{Node, tree::Entry, tree::Value};
use crate::runbook::{CheckRef, SetRef, TargetKind, VarKind};

#[derive(Default)]
pub struct Names {
    /// With its kind, where that can be told.
    pub targets: IndexMap<String, Option<TargetKind>>,
    pub services: IndexMap<String, bool>,
    pub vars: IndexMap<String, Option<VarKind>>,
    pub readings: IndexMap<String, ()>,
    /// With its classes, where it is a compared set.
    pub sets: IndexMap<String, Option<Vec<String>>>,
    pub checks: IndexMap<String, ()>,
    pub steps: IndexMap<String, ()>,
    /// The fleets, with the names of their members where the file has them.
    pub members: IndexMap<String, Option<Vec<String>>>,
    pub migration: bool,
    /// What services say they read with, and from.
    pub groups: Vec<String>,
    pub topics: Vec<String>,
    /// What each check says, in the form of [`super::written`].
    pub bodies: HashMap<String, String>,
}

pub const TARGET_KINDS: [(&str, TargetKind); 7] = [
    ("postgres", TargetKind::Postgres),
    ("mysql", TargetKind::Mysql),
    ("sqlite", TargetKind::Sqlite),
    ("kafka", TargetKind::Kafka),
    ("registry", TargetKind::Registry),
    ("http", TargetKind::Http),
    ("records", TargetKind::Records),
];

pub const VAR_KINDS: [(&str, VarKind); 5] = [
    ("text", VarKind::Text),
    ("integer", VarKind::Integer),
    ("number", VarKind::Number),
    ("boolean", VarKind::Boolean),
    ("timestamp", VarKind::Timestamp),
];

fn entries(node: Option<&Node>) -> &[Entry] {
    match node.map(|n| &n.value) {
        Some(Value::Map(entries)) => entries,
        _ => &[],
    }
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(Some(node)).iter().find(|e| e.key == key).map(|e| &e.node)
}

fn word(node: Option<&Node>) -> Option<&str> {
    match node.map(|n| &n.value) {
        Some(Value::Text(text, _)) => Some(text),
        _ => None,
    }
}

impl Names {
    pub fn collect(root: &Node, r: &Reader) -> Self {
        let mut names = Self::default();
        let section = |key| entries(child(root, key));
        for e in section("targets") {
            let kind = TARGET_KINDS.iter().find(|(word, _)| child(&e.node, word).is_some()).map(|k| k.1);
            if kind == Some(TargetKind::Records) && child(&e.node, "key").is_some() {
                names.sets.insert(e.key.clone(), None);
            }
            if let Some(members) = child(&e.node, "members") {
                let named = match &members.value {
                    Value::Seq(items) => {
                        let name = |n| word(Some(n)).or_else(|| word(child(n, "name"))).map(str::to_owned);
                        Some(items.iter().filter_map(name).collect())
                    }
                    _ => None,
                };
                names.members.insert(e.key.clone(), named);
            }
            names.targets.insert(e.key.clone(), kind);
        }
        for e in section("services") {
            let gone = matches!(child(&e.node, "gone"), Some(Node { value: Value::Bool(true), .. }));
            names.services.insert(e.key.clone(), gone);
            names.groups.extend(word(child(&e.node, "group")).map(str::to_owned));
            names.topics.extend(entries(child(&e.node, "reads")).iter().map(|t| t.key.clone()));
        }
        for e in section("vars") {
            let kind = word(child(&e.node, "type"));
            names.vars.insert(e.key.clone(), VAR_KINDS.iter().find(|(w, _)| Some(*w) == kind).map(|k| k.1));
        }
        for e in section("sets") {
            let classes = child(&e.node, "classes").map(|classes| {
                let mut all: Vec<String> =
                    entries(Some(classes)).iter().map(|c| c.key.clone()).filter(|k| k != "else").collect();
                if let Some(rest) = word(child(classes, "else"))
                    && rest != "ask"
                    && !all.iter().any(|c| c == rest)
                {
                    all.push(rest.to_owned());
                }
                all
            });
            if names.sets.insert(e.key.clone(), classes).is_some() {
                r.error(&e.key_span, format!("a `records` target is named `{}`, too, and is a set by itself", e.key));
            }
        }
        names.readings = section("readings").iter().map(|e| (e.key.clone(), ())).collect();
        names.checks = section("checks").iter().map(|e| (e.key.clone(), ())).collect();
        names.bodies = section("checks").iter().map(|e| (e.key.clone(), written::of_check(&e.node))).collect();
        names.migration = child(root, "migration").is_some();
        names.steps(root, r);
        for key in ["targets", "services", "vars", "sets", "readings", "checks"] {
            one_case(section(key).iter().map(|e| (e.key.as_str(), &e.key_span)), r);
            for e in section(key) {
                r.is_name(&e.key, &e.key_span);
            }
        }
        names
    }

    fn steps(&mut self, root: &Node, r: &Reader) {
        let Some(Node { value: Value::Seq(steps), .. }) = child(root, "steps") else {
            return;
        };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let ids: Vec<_> =
            steps.iter().filter_map(|s| child(s, "id").map(|n| (word(Some(n)).unwrap_or(""), &n.span))).collect();
        for (id, span) in &ids {
            let line = r.place(span).line;
            match seen.get(id) {
                Some(first) if !id.is_empty() => {
                    r.error(span, format!("the step `{id}` stands in line {first} already"));
                }
                _ => {
                    seen.insert(id, line);
                }
            }
            self.steps.insert((*id).to_owned(), ());
        }
        one_case(ids.into_iter(), r);
    }
}

/// Two names that differ in case only are one name to a tired reader.
fn one_case<'s>(names: impl Iterator<Item = (&'s str, &'s std::ops::Range<usize>)>, r: &Reader) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (name, span) in names {
        match seen.get(&name.to_lowercase()) {
            Some(first) if *first != name => {
                r.error(span, format!("`{name}` differs from `{first}` in case only"));
            }
            _ => {
                seen.insert(name.to_lowercase(), name);
            }
        }
    }
}

impl Cx<'_> {
    /// A consumer group. Which there are only the cluster knows; a slip of the pen is seen here.
    pub fn group(&self, node: &Node) -> Option<String> {
        self.declared(node, "consumer group", &self.names.groups)
    }

    /// A topic, in the same way.
    pub fn topic(&self, node: &Node) -> Option<String> {
        self.declared(node, "topic", &self.names.topics)
    }

    fn declared(&self, node: &Node, what: &str, known: &[String]) -> Option<String> {
        let text = self.r.text(node)?;
        let letters = |t: &str| t.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        // `orders-v2` beside `orders-v1`, and `orders-dlq` beside `orders`, are meant.
        let slip = |k: &&String| {
            let longer = k.starts_with(&text) || text.starts_with(k.as_str());
            letters(k) != letters(&text) && strsim::damerau_levenshtein(k, &text) <= if longer { 1 } else { 2 }
        };
        if !known.contains(&text)
            && let Some(near) = known.iter().find(slip)
        {
            let help = format!("did you mean `{near}`?");
            warn(self, &node.span, format!("no service has the {what} `{text}`"), &help);
        }
        Some(text)
    }

    /// A name out of `names`, or the reason why not.
    pub fn known<V>(&self, node: &Node, what: &str, names: &IndexMap<String, V>) -> Option<String> {
        let text = self.r.text(node)?;
        if names.contains_key(&text) {
            self.used(what, &text);
            return Some(text);
        }
        self.r.undefined(&node.span, what, &text, names.keys().map(String::as_str));
        None
    }

    /// A target of one of some kinds.
    pub fn target(&self, node: &Node, wanted: &str, fits: fn(TargetKind) -> bool) -> Option<String> {
        let name = self.known(node, "target", &self.names.targets)?;
        match self.names.targets.get(&name) {
            Some(Some(kind)) if !fits(*kind) => {
                let word = TARGET_KINDS.iter().find(|k| k.1 == *kind).map_or("other", |k| k.0);
                self.r.error(&node.span, format!("`{name}` is a {word} target, and this needs {wanted}"));
                None
            }
            _ => Some(name),
        }
    }

    /// A set, `set[class]`, or `changed by STEP, STEP`.
    pub fn set_ref(&self, node: &Node) -> Option<SetRef> {
        let text = self.r.text(node)?;
        let steps = &self.names.steps;
        if let Some(list) = text.strip_prefix("changed by ") {
            let names: Vec<String> = list.split(',').map(|s| s.trim().to_owned()).collect();
            if let Some(name) = names.iter().find(|n| !steps.contains_key(*n)) {
                self.r.undefined(&node.span, "step", name, steps.keys().map(String::as_str));
                return None;
            }
            return Some(SetRef::ChangedBy { steps: names });
        }
        let (set, class) = match text.strip_suffix(']').and_then(|t| t.split_once('[')) {
            Some((set, class)) => (set.to_owned(), Some(class.to_owned())),
            None => (text, None),
        };
        let Some(classes) = self.names.sets.get(&set) else {
            self.r.undefined(&node.span, "set", &set, self.names.sets.keys().map(String::as_str));
            return None;
        };
        self.used("set", &set);
        match (class, classes) {
            (None, _) => Some(SetRef::Set(set)),
            (Some(class), Some(classes)) if classes.contains(&class) => Some(SetRef::Class { set, class }),
            (Some(class), Some(classes)) => {
                let what = format!("class of `{set}` called");
                self.r.undefined(&node.span, &what, &class, classes.iter().map(String::as_str));
                None
            }
            (Some(class), None) => {
                let help = "only a compared set has classes";
                self.r.error_help(&node.span, format!("the set `{set}` has no classes, so no `{class}`"), help);
                None
            }
        }
    }

    /// A check by name, or `{ check }`, or `{ service, gone: true }`; with `hard` where that may stand.
    pub fn check_ref(&self, node: &Node, hard: bool) -> Option<(CheckRef, bool)> {
        if !matches!(node.value, Value::Map(_)) {
            return Some((CheckRef::Check(self.known(node, "check", &self.names.checks)?), false));
        }
        let fields = self.r.fields(node)?;
        let check = fields.get("check").map(|n| self.known(n, "check", &self.names.checks));
        let service = fields.get("service").map(|n| self.known(n, "service", &self.names.services));
        let gone = fields.get("gone").map(|n| self.r.bool(n));
        let hard = if hard { fields.get("hard").and_then(|n| self.r.bool(n)).unwrap_or(false) } else { false };
        let head = fields.head();
        fields.finish();
        match (check, service) {
            (Some(check), None) => Some((CheckRef::Check(check?), hard)),
            (None, Some(service)) => {
                if gone != Some(Some(true)) {
                    let message = "a service can only be asked for being gone";
                    self.r.error_help(&head, message, "write `{ service: NAME, gone: true }`");
                    return None;
                }
                Some((CheckRef::ServiceGone(service?), hard))
            }
            _ => {
                self.r.error(&head, "exactly one of `check` and `service` stands here");
                None
            }
        }
    }
}
