//! How steps are carried out, and the sections about time and trust: `deadlines`, `fragments`, `trust`, `members`.

use indexmap::IndexMap;

use super::steps::check_refs;
use super::{Cx, answers, parts};
use crate::runbook::parse::fields::Fields;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::{Conduct, Deadline, LockTerms, Member, Members, Stages, Trust, Watch};

const ROWS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// What a step says of it.
pub fn of(cx: &Cx, f: &Fields) -> Conduct {
    let r = &cx.r;
    Conduct {
        stages: f.get("stages").and_then(|n| stages(cx, n)),
        then_watch: f.get("then_watch").and_then(|n| watch(cx, n)),
        batch: f.get("batch").and_then(|n| batch(cx, n)),
        stop_when: f.get("stop_when").map(|n| check_refs(cx, n)).unwrap_or_default(),
        may_stay_open: f.get("may_stay_open").and_then(|n| r.bool(n)).unwrap_or(false),
        reverses: f.get("reverses").and_then(|n| reverses(cx, n)),
        lock: f.get("lock").and_then(|n| lock(cx, n)),
        members_first: None,
        undo_valid_while: Vec::new(),
    }
}

pub fn batch(cx: &Cx, node: &Node) -> Option<u64> {
    cx.r.whole(node, ROWS)
}

fn stages(cx: &Cx, node: &Node) -> Option<Stages> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let list = f.need("steps");
    let mut steps = Vec::new();
    for item in list.map(|n| r.list(n)).unwrap_or_default() {
        let Some(value) = r.literal(item) else { continue };
        if steps.contains(&value) {
            r.error(&item.span, format!("the stage {value} stands here twice"));
        }
        steps.push(value);
    }
    if let Some(Node { value: Value::Seq(items), span }) = list
        && items.is_empty()
    {
        r.error(span, "there is no stage here");
    }
    let between = f.get("between").and_then(|n| watch(cx, n));
    f.finish();
    let (between, hold) = between.map(|w| (w.checks, w.hold)).unwrap_or_default();
    (!steps.is_empty()).then_some(Stages { steps, between, hold })
}

/// `[check]`, or `{ checks: [check], for: 30m }`.
fn watch(cx: &Cx, node: &Node) -> Option<Watch> {
    if matches!(node.value, Value::Seq(_)) {
        return Some(Watch { checks: check_refs(cx, node), hold: None });
    }
    let f = cx.r.fields(node)?;
    let checks = f.need("checks").map(|n| check_refs(cx, n)).unwrap_or_default();
    let hold = f.get("for").and_then(|n| cx.r.duration(n));
    f.finish();
    Some(Watch { checks, hold })
}

fn reverses(cx: &Cx, node: &Node) -> Option<String> {
    let text = cx.r.text(node)?;
    let number = text.strip_prefix("up#").or_else(|| text.strip_prefix("down#"));
    if number.and_then(|n| n.parse::<u32>().ok()).is_none_or(|n| n == 0) {
        let help = "write `up#2` for the second statement of `up`";
        cx.r.error_help(&node.span, format!("`{text}` is not a statement of the migration"), help);
        return None;
    }
    if !cx.names.migration {
        cx.r.error(&node.span, "this runbook has no `migration`, so there is no statement to reverse");
    }
    Some(text)
}

fn lock(cx: &Cx, node: &Node) -> Option<LockTerms> {
    let f = cx.r.fields(node)?;
    let timeout = f.get("timeout").and_then(|n| cx.r.duration(n));
    let retry = f.get("retry").and_then(|n| cx.r.whole(n, 0..=100));
    f.finish();
    Some(LockTerms { timeout, retry })
}

pub fn deadlines(cx: &Cx, node: &Node) -> Vec<Deadline> {
    let r = &cx.r;
    let mut all = Vec::new();
    for item in r.list(node) {
        let Some(f) = r.fields(item) else { continue };
        let at = f.need("at").and_then(|n| {
            let text = r.text(n)?;
            let hour = text.strip_suffix('Z').filter(|t| t.len() == 5);
            if hour.is_some_and(|t| t.parse::<jiff::civil::Time>().is_ok()) || text.parse::<jiff::Timestamp>().is_ok() {
                return Some(text);
            }
            let help = "write it as in \"04:30Z\" or \"2026-11-24T04:30:00Z\"";
            r.error_help(&n.span, format!("`{text}` is not a time with an offset"), help);
            None
        });
        let what = f.need("what").and_then(|n| r.text(n));
        let off_when = f.get("off_when").and_then(|n| cx.check_ref(n, false)).map(|c| c.0);
        f.finish();
        if let (Some(at), Some(what)) = (at, what) {
            all.push(Deadline { at, what, off_when });
        }
    }
    all
}

/// Pieces of SQL: no statement, and quoted or in a block as every SQL is.
pub fn fragments(cx: &Cx, node: &Node) -> IndexMap<String, String> {
    let mut all = IndexMap::new();
    for e in cx.r.entries(node) {
        if cx.r.is_name(&e.key, &e.key_span)
            && let Some(sql) = cx.r.sql(&e.node)
        {
            all.insert(e.key.clone(), sql.text);
        }
    }
    all
}

pub fn trust(cx: &Cx, node: &Node) -> Vec<Trust> {
    let r = &cx.r;
    let mut all = Vec::new();
    for item in r.list(node) {
        let Some(f) = r.fields(item) else { continue };
        let function = f.need("function").and_then(|n| r.text(n));
        let digest = f.need("digest").and_then(|n| answers::digest(cx, n));
        f.finish();
        if let (Some(function), Some(digest)) = (function, digest) {
            all.push(Trust { function, digest });
        }
    }
    all
}

/// Names of schemas, `{ name, address }`, or where the members are found.
pub fn members(cx: &Cx, node: &Node) -> Option<Members> {
    let r = &cx.r;
    if !matches!(node.value, Value::Seq(_)) {
        let f = r.fields(node)?;
        let each = f.get("each_schema").map(|n| r.text(n));
        let env = f.get("from_env").map(|n| r.text(n));
        let head = f.head();
        f.finish();
        return match (each, env) {
            (Some(glob), None) => glob.map(Members::EachSchema),
            (None, Some(name)) => name.map(Members::FromEnv),
            _ => {
                r.error(&head, "members are a list, or exactly one of `each_schema` and `from_env`");
                None
            }
        };
    }
    let mut all: Vec<Member> = Vec::new();
    for item in r.list(node) {
        let member = match &item.value {
            Value::Map(_) => {
                let Some(f) = r.fields(item) else { continue };
                let name = f.need("name").and_then(|n| r.text(n));
                let address = f.need("address").and_then(|n| {
                    let text = r.text(n)?;
                    parts::check_address(cx, &n.span, &text);
                    Some(text)
                });
                f.finish();
                name.map(|name| Member { name, address })
            }
            _ => r.text(item).map(|name| Member { name, address: None }),
        };
        let Some(member) = member else { continue };
        if all.iter().any(|m| m.name == member.name) {
            r.error(&item.span, format!("the member `{}` stands here twice", member.name));
        }
        all.push(member);
    }
    if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
        r.error(&node.span, "a fleet has one member at least");
    }
    (!all.is_empty()).then_some(Members::Named(all))
}

/// `on: { each: TARGET, first: [member] }`
pub fn each_member<'n>(cx: &Cx, node: &'n Node) -> Option<(&'n Node, Vec<String>)> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let each = f.need("each");
    let firsts = f.get("first").map(|n| r.list(n)).unwrap_or_default();
    f.get("stop").and_then(|n| r.word(n, &[("first mismatch", ())]));
    f.finish_as("on");
    let each = each?;
    let members = match &each.value {
        Value::Text(text, _) => cx.names.members.get(text),
        _ => None,
    };
    let Some(members) = members else {
        if matches!(&each.value, Value::Text(text, _) if cx.names.targets.contains_key(text)) {
            r.error_help(&each.span, "this target has no `members`", "write `on: TARGET`");
        }
        return Some((each, Vec::new()));
    };
    let mut first = Vec::new();
    for item in firsts {
        let Some(name) = r.text(item) else { continue };
        match members {
            Some(known) if !known.contains(&name) => {
                r.undefined(&item.span, "member", &name, known.iter().map(String::as_str));
            }
            _ => first.push(name),
        }
    }
    Some((each, first))
}
