//! `readings`, `checks` and `guards`.

use std::time::Duration;

use indexmap::IndexMap;

use super::Cx;
use super::answers::{expect, facts};
use super::bound::Allow;
use super::events::registry_check;
use super::parts::{per_dialect, sql_target};
use crate::runbook::later::is_later;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::parse::{fields::Fields, near::listed};
use crate::runbook::template::SqlText;
use crate::runbook::{Across, Check, CheckKind, GroupCheck, Guard, HttpRequest, Layer, Phase, SetRef, TargetKind};

const KINDS: [&str; 12] = [
    "query", "count", "reading", "probe", "explain", "schema", "sessions", "group", "shapes", "registry", "http",
    "command",
];

pub const LAYERS: [(&str, Layer); 4] =
    [("schema", Layer::Schema), ("data", Layer::Data), ("events", Layer::Events), ("service", Layer::Service)];

pub const PHASES: [(&str, Phase); 4] =
    [("contain", Phase::Contain), ("repair", Phase::Repair), ("release", Phase::Release), ("close", Phase::Close)];

pub fn all(cx: &Cx, node: &Node, readings: bool) -> IndexMap<String, Check> {
    let what = if readings { "reading" } else { "check" };
    let mut all = IndexMap::new();
    for e in cx.r.entries(node) {
        cx.place(format!("{what} {}", e.key), &e.key_span);
        if let Some(check) = check(cx, &e.key, &e.node, readings) {
            all.insert(e.key.clone(), check);
        }
    }
    all
}

fn check(cx: &Cx, name: &str, node: &Node, reading: bool) -> Option<Check> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let layer = f.get("layer").and_then(|n| r.word(n, &LAYERS));
    let title = f.get("title").and_then(|n| r.text(n));
    let on_node = f.get("on");
    let found: Vec<_> = KINDS.iter().filter_map(|k| f.entry(k).map(|e| (*k, &e.node))).collect();
    let expect = f.get("expect").map(|n| (n, expect(cx, n)));
    let hold = f.get("for").and_then(|n| r.duration(n));
    let every = f.get("every").and_then(|n| r.duration(n));
    let fresh = f.get("fresh").and_then(|n| r.duration(n));
    let head = f.head();
    let role = f.get("as");
    let older = f.get("older_than");
    let across = f.get("across").and_then(|n| {
        let words = [("all", Across::All), ("sum", Across::Sum), ("max", Across::Max)];
        let fleet = on_node.and_then(|on| cx.names.members.get(plain(on)?));
        if fleet.is_none() {
            r.error(&n.span, "only a target with `members` is asked `across` them");
        }
        r.word(n, &words)
    });
    f.finish_as("check");
    let [(word, body)] = found.as_slice() else {
        let message = match found.len() {
            0 => "a check is of exactly one kind, and this has none".to_owned(),
            _ => format!(
                "a check is of exactly one kind, and this has {}",
                listed(&found.iter().map(|f| f.0).collect::<Vec<_>>())
            ),
        };
        let now: Vec<_> = KINDS.iter().filter(|k| !is_later("check", k)).copied().collect();
        r.error_help(&head, message, format!("one of {}", listed(&now)));
        return None;
    };
    if let Some(role) = role
        && *word != "probe"
    {
        r.error(&role.span, "only a `probe` runs `as` another role");
    }
    if let Some(older) = older
        && *word != "sessions"
    {
        r.error(&older.span, "only `sessions` are `older_than` a step");
    }
    let on = on(cx, word, on_node, &head);
    let kind = kind(cx, word, body, role, older)?;
    let needs_expect = matches!(*word, "query" | "count" | "reading" | "sessions" | "shapes")
        || matches!(&kind, CheckKind::Group(g) if g.state.is_none())
        || matches!(&kind, CheckKind::GroupOffsets { .. });
    match (&expect, reading) {
        (Some((n, _)), true) => {
            r.error_help(&n.span, "a reading expects nothing", "move it under `checks`, or remove `expect`");
        }
        (None, false) if needs_expect => {
            r.error_help(
                &head,
                format!("the check `{name}` expects nothing, so it can say nothing"),
                "add `expect`, or move it under `readings`",
            );
        }
        _ => {}
    }
    let every = every.unwrap_or(match *word {
        "shapes" => Duration::from_secs(30),
        "http" | "command" => Duration::from_secs(10),
        _ => Duration::from_secs(5),
    });
    Some(Check {
        name: name.to_owned(),
        layer: layer.unwrap_or(match *word {
            "probe" | "schema" | "explain" => Layer::Schema,
            "group" | "shapes" | "registry" => Layer::Events,
            "sessions" | "http" | "command" => Layer::Service,
            _ => Layer::Data,
        }),
        title: title.unwrap_or_else(|| name.replace(['-', '_'], " ")),
        on,
        kind,
        expect: expect.and_then(|e| e.1),
        hold,
        every,
        fresh: fresh.unwrap_or((every * 3).max(Duration::from_secs(15))),
        across,
    })
}

/// The target of a check, where its kind needs one.
fn on(cx: &Cx, word: &str, on: Option<&Node>, head: &std::ops::Range<usize>) -> Option<String> {
    let needs = !matches!(word, "count" | "reading" | "http" | "command");
    match on {
        Some(n) => match word {
            "query" | "probe" | "explain" | "schema" | "sessions" => sql_target(cx, n),
            "group" | "shapes" => cx.target(n, "a kafka target", |k| k == TargetKind::Kafka),
            "registry" => cx.target(n, "a registry target", |k| k == TargetKind::Registry),
            "http" => cx.target(n, "an http target", |k| k == TargetKind::Http),
            _ => cx.known(n, "target", &cx.names.targets),
        },
        None if needs => {
            let known: Vec<&str> = cx.names.targets.keys().map(String::as_str).collect();
            cx.r.error_help(
                head,
                format!("`on` is missing: a `{word}` asks a target"),
                format!("there is {}", listed(&known)),
            );
            None
        }
        None => None,
    }
}

fn kind(cx: &Cx, word: &str, body: &Node, role: Option<&Node>, older: Option<&Node>) -> Option<CheckKind> {
    let r = &cx.r;
    Some(match word {
        "query" => CheckKind::Query(per_dialect(cx, body, &|cx, n| cx.sql(n, Allow::default()))?),
        "count" => match cx.set_ref(body)? {
            SetRef::Set(set) => CheckKind::Count { set },
            _ => {
                r.error(&body.span, "only a whole set is counted again");
                return None;
            }
        },
        "reading" => CheckKind::Reading { reading: cx.known(body, "reading", &cx.names.readings)? },
        "probe" => CheckKind::Probe {
            statements: per_dialect(cx, body, &|cx, n| statements(cx, n))?,
            role: role.and_then(|n| r.text(n)),
        },
        "explain" => {
            let f = r.fields(body)?;
            let query = f.need("query").and_then(|n| per_dialect(cx, n, &|cx, n| cx.sql(n, Allow::default())));
            let uses = f.need("uses").and_then(|n| r.text(n));
            f.finish();
            CheckKind::Explain { query: query?, uses: uses? }
        }
        "schema" => facts(cx, body)?,
        "registry" => CheckKind::Registry(registry_check(cx, body)?),
        "sessions" => {
            let older_than = older.map(|n| cx.known(n, "step", &cx.names.steps));
            let matching = r.text(body);
            CheckKind::Sessions {
                matching: matching?,
                older_than: older_than.map_or(Some(None), |step| step.map(Some))?,
            }
        }
        "group" => group(cx, body)?,
        "shapes" => {
            let f = r.fields(body)?;
            let topic = f.need("topic").and_then(|n| cx.topic(n));
            let since = f.get("since").and_then(|n| cx.template(n, Allow::default()));
            f.finish();
            CheckKind::Shapes { topic: topic?, since }
        }
        "http" => {
            let request = http(cx, body, Allow::default())?;
            CheckKind::Http(reads_only(cx, body, &request, "a check only asks").then_some(request)?)
        }
        _ => CheckKind::Command { argv: argv(cx, body, Allow::default())? },
    })
}

/// Whether a request only asks.
pub fn reads_only(cx: &Cx, node: &Node, request: &HttpRequest, what: &str) -> bool {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    if !reads {
        let message = format!("{what}, and {} changes", request.method);
        cx.r.error_help(&node.span, message, "use GET or HEAD, or make it a step");
    }
    reads
}

fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text, _) => Some(text),
        _ => None,
    }
}

fn statements(cx: &Cx, node: &Node) -> Option<Vec<SqlText>> {
    let allow = Allow { probe: true, ..Allow::default() };
    let all: Vec<_> = cx.r.some(node).iter().filter_map(|n| cx.sql(n, allow)).collect();
    (!all.is_empty()).then_some(all)
}

/// A list of words, never a shell string.
pub fn argv(cx: &Cx, node: &Node, allow: Allow) -> Option<Vec<crate::runbook::Template>> {
    if let Value::Text(..) = node.value {
        cx.r.error_help(
            &node.span,
            "a command is a list of words, never a line for a shell",
            "write `[program, argument, …]`",
        );
        return None;
    }
    let words = cx.r.list(node);
    let argv = cx.templates(node, allow);
    if words.is_empty() && matches!(node.value, Value::Seq(_)) {
        cx.r.error(&node.span, "the command is empty");
    }
    (!words.is_empty() && argv.len() == words.len()).then_some(argv)
}

pub fn http(cx: &Cx, node: &Node, allow: Allow) -> Option<HttpRequest> {
    let r = &cx.r;
    if let Value::Text(..) = node.value {
        let url = cx.template(node, allow)?;
        return Some(HttpRequest { method: "GET".to_owned(), url, headers: IndexMap::new(), body: None, status: None });
    }
    let f = r.fields(node)?;
    let methods =
        [("GET", "GET"), ("HEAD", "HEAD"), ("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")];
    let method = f.get("method").and_then(|n| r.word(n, &methods)).unwrap_or("GET");
    let url = f.need("url").and_then(|n| cx.template(n, allow));
    let headers = f.get("headers").map(|n| headers(cx, n, allow)).unwrap_or_default();
    let body = f.get("body").and_then(|n| cx.template(n, allow));
    let status = f.get("status").and_then(|n| r.whole(n, 100..=599)).and_then(|n| u16::try_from(n).ok());
    f.finish();
    Some(HttpRequest { method: method.to_owned(), url: url?, headers, body, status })
}

pub fn headers(cx: &Cx, node: &Node, allow: Allow) -> IndexMap<String, crate::runbook::Template> {
    let entries = cx.r.entries(node).iter();
    entries.filter_map(|e| Some((e.key.clone(), cx.template(&e.node, allow)?))).collect()
}

fn group(cx: &Cx, node: &Node) -> Option<CheckKind> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let name = f.need("name").and_then(|n| cx.group(n));
    let lag = f.get("lag").and_then(|n| cx.topic(n));
    let offsets = f.get("offsets").and_then(|n| cx.topic(n));
    let states = ["empty", "stable", "dead", "preparing_rebalance", "completing_rebalance"].map(|s| (s, s));
    let state = f.get("state").and_then(|n| r.word(n, &states)).map(str::to_owned);
    if ["lag", "state", "offsets"].iter().filter(|key| f.has(key)).count() != 1 {
        r.error(&f.head(), "a group is asked for exactly one of `lag` and `state`");
    }
    f.finish_as("group");
    Some(match offsets {
        Some(topic) => CheckKind::GroupOffsets { group: name?, topic },
        None => CheckKind::Group(GroupCheck { group: name?, lag, state }),
    })
}

pub fn guards(cx: &Cx, node: &Node) -> Vec<Guard> {
    let mut guards = Vec::new();
    for item in cx.r.list(node) {
        if !matches!(item.value, Value::Map(_)) {
            guards.extend(cx.check_ref(item, false).map(|(check, _)| Guard { check, from: None, until: None }));
            continue;
        }
        let Some(f) = cx.r.fields(item) else { continue };
        let check = f.need("check").and_then(|n| cx.check_ref(n, false));
        let step = |f: &Fields, key| f.get(key).and_then(|n| cx.known(n, "step", &cx.names.steps));
        let (from, until) = (step(&f, "from"), step(&f, "until"));
        f.finish();
        guards.extend(check.map(|(check, _)| Guard { check, from, until }));
    }
    guards
}
