//! `steps`: each by itself. What connects them is closed in `links`.

use std::ops::Range;

use indexmap::IndexMap;

use super::actions;
use super::bound::Allow;
use super::checks::{LAYERS, PHASES};
use super::{Cx, conduct, parts, written};
use crate::runbook::parse::fields::Fields;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::words;
use crate::runbook::{Action, After, Conduct, Each, Layer, Leaves, Level, Need, Phase, Reads, Step, TargetKind};

const LEVELS: [(&str, Level); 7] = [
    ("none", Level::None),
    ("choice", Level::Choice),
    ("seen", Level::Seen),
    ("number", Level::Number),
    ("object", Level::Object),
    ("step", Level::Step),
    ("irreversible", Level::Irreversible),
];

/// A step, and what of it is not closed yet.
pub struct Draft {
    pub step: Step,
    pub id_span: Range<usize>,
    pub layer: Option<Layer>,
    /// As written; `None` where it was left out.
    pub after: Option<Vec<(After, Range<usize>)>>,
    pub when: Vec<(String, String, Range<usize>)>,
    pub action_span: Range<usize>,
    /// What the author wrote of it, in the form of [`written`].
    pub written: String,
}

pub fn all(cx: &Cx, node: &Node) -> IndexMap<String, Draft> {
    let mut drafts = IndexMap::new();
    let items = cx.r.list(node);
    if items.is_empty() && matches!(node.value, Value::Seq(_)) {
        cx.r.error(&node.span, "a runbook has one step at least");
    }
    let mut phase = Phase::Contain;
    let mut first = true;
    for item in items {
        if let Some(draft) = step(cx, item, &mut phase, &mut first) {
            drafts.entry(draft.step.id.clone()).or_insert(draft);
        }
    }
    drafts
}

fn step(cx: &Cx, node: &Node, phase: &mut Phase, first: &mut bool) -> Option<Draft> {
    let r = &cx.r;
    let f = r.fields(node)?;
    let id = f.need("id").and_then(|n| Some((r.text(n).filter(|t| r.is_name(t, &n.span))?, n.span.clone())));
    let phase_node = f.get("phase");
    if let Some(found) = phase_node.and_then(|n| r.word(n, &PHASES)) {
        if found < *phase {
            let n = phase_node.map_or(f.head(), |n| n.span.clone());
            r.error_help(
                &n,
                "phases never go back",
                "contain, repair, release, close: put the step where its phase is",
            );
        }
        *phase = found;
    } else if *first {
        *phase = Phase::Repair;
    }
    *first = false;
    let layer = f.get("layer").and_then(|n| r.word(n, &LAYERS));
    let on = f.get("on");
    let (on, members_first) = match on {
        Some(n) if matches!(n.value, Value::Map(_)) => match conduct::each_member(cx, n) {
            Some((each, first)) => (Some(each), Some(first)),
            None => (None, None),
        },
        on => (on, None),
    };
    let title = f.get("title").and_then(|n| r.text(n));
    let why = f.get("why").and_then(|n| r.text(n));
    let each = f.get("each").map(|n| (n, cx.set_ref(n)));
    let pause = f.get("pause").and_then(|n| r.duration(n)).unwrap_or_default();
    let allow = Allow { item: each.is_some(), stage: f.has("stages"), ..Allow::default() };
    let found = actions::one(cx, &f, allow, title.as_deref());
    let undo = f.get("undo").and_then(|n| actions::undo(cx, n, each.is_some()));
    let mut conduct = Conduct { members_first, ..conduct::of(cx, &f) };
    let after = f.get("after").map(|n| after(cx, n));
    let when = f.get("when").map(|n| when(cx, n)).unwrap_or_default();
    let level = f.get("level").and_then(|n| r.word(n, &LEVELS));
    let within = within(cx, &f).and_then(|n| r.duration(n));
    let needs = f.get("needs").map(|n| needs(cx, n)).unwrap_or_default();
    let verify = f.get("verify").map(|n| check_refs(cx, n)).unwrap_or_default();
    let done_when = f.get("done_when").map(|n| check_refs(cx, n)).unwrap_or_default();
    let leaves = f.get("leaves").map(|n| leaves(cx, n)).unwrap_or_default();
    let redeclares = f.get("redeclares").map(|n| redeclares(cx, n)).unwrap_or_default();
    let head = f.head();
    let written = found.as_ref().map(|(_, word, _)| written::of_step(&f, word)).unwrap_or_default();
    f.finish_as("step");
    let (id, id_span) = id?;
    if level.is_some_and(|l| l == Level::None) && !matches!(found, Some((Action::Freeze(_), ..))) {
        r.error(&head, "a level can be raised, never lowered to `none`");
    }
    let (action, _, action_span) = found?;
    let (undo, valid_while) = undo.unzip();
    conduct.undo_valid_while = valid_while.unwrap_or_default();
    fits(cx, &action, &conduct, each.is_some(), &head);
    if let Some((n, _)) = &each
        && !matches!(action, Action::Command { .. } | Action::Http(_) | Action::Manual(_))
    {
        r.error_help(
            &n.span,
            format!("`each` has no meaning with `{}`", action.word()),
            "it stands with `command`, `http` and `manual`",
        );
    }
    let on = on.and_then(|n| match &action {
        action if asks_sql(action) => parts::sql_target(cx, n),
        action if asks_kafka(action) => cx.target(n, "a kafka target", |k| k == TargetKind::Kafka),
        Action::Registry(_) => cx.target(n, "a registry target", |k| k == TargetKind::Registry),
        _ => cx.known(n, "target", &cx.names.targets),
    });
    let needs_target = asks_sql(&action) || asks_kafka(&action) || matches!(action, Action::Registry(_));
    if needs_target && on.is_none() {
        let mut known = cx.names.targets.iter().filter(|(_, kind)| match action {
            Action::Registry(_) => **kind == Some(TargetKind::Registry),
            _ if asks_kafka(&action) => **kind == Some(TargetKind::Kafka),
            _ => kind.is_some_and(super::takes_sql),
        });
        let help = match (known.next(), known.next()) {
            (Some((name, _)), None) => format!("add `on: {name}`"),
            _ => "name the target".to_owned(),
        };
        if node_lacks_on(node) {
            r.error_help(&action_span, format!("`on` is missing: `{}` acts on a target", action.word()), help);
        }
    }
    cx.place(format!("step {id}"), &id_span);
    cx.place(format!("step {id} action"), &action_span);
    let title = title.unwrap_or_else(|| words::said(&action));
    let step = Step {
        id,
        phase: *phase,
        layer: layer.unwrap_or(Layer::Service),
        title,
        why,
        on,
        action,
        needs,
        verify,
        undo: undo.map(Box::new),
        after: Vec::new(),
        when: Vec::new(),
        level,
        within,
        each: each.and_then(|e| e.1).map(|set| Each { set, pause }),
        leaves,
        redeclares,
        done_when,
        conduct,
        digest: String::new(),
    };
    Some(Draft { step, id_span, layer, after, when, action_span, written })
}

fn asks_sql(action: &Action) -> bool {
    matches!(action, Action::Ddl(_) | Action::Change(_) | Action::Restore(_) | Action::Session { .. })
}

fn asks_kafka(action: &Action) -> bool {
    matches!(
        action,
        Action::Publish(_) | Action::Offsets(_) | Action::Replay(_) | Action::Tombstones(_) | Action::Topic(_)
    )
}

/// What is said of how a step is carried out has a meaning with its action.
fn fits(cx: &Cx, action: &Action, conduct: &Conduct, each: bool, head: &Range<usize>) {
    let program = matches!(action, Action::Command { .. } | Action::Http(_) | Action::Manual(_));
    let undo = matches!(action, Action::UndoOf { .. });
    let said = [
        (conduct.stages.is_some(), program || undo, "stages", "`command`, `http`, `manual` and `undo_of`"),
        (conduct.batch.is_some(), each, "batch", "`each`; of a `change` it stands in it"),
        (!conduct.stop_when.is_empty(), each, "stop_when", "`each`"),
        (conduct.may_stay_open, matches!(action, Action::Manual(_)), "may_stay_open", "`manual`"),
        (conduct.reverses.is_some(), matches!(action, Action::Ddl(_)), "reverses", "`ddl`"),
        (conduct.lock.is_some(), matches!(action, Action::Ddl(_)), "lock", "`ddl`"),
    ];
    for (there, fits, word, with) in said {
        if there && !fits {
            let message = format!("`{word}` has no meaning with `{}`", action.word());
            cx.r.error_help(head, message, format!("it stands with {with}"));
        }
    }
    let staged = match action {
        Action::Command { argv } => Some(argv.iter().any(|t| t.names().contains(&"stage"))),
        Action::Http(request) => {
            let texts = request.headers.values().chain(&request.body).chain([&request.url]);
            Some(texts.into_iter().any(|t| t.names().contains(&"stage")))
        }
        _ => None,
    };
    if conduct.stages.is_some() && staged == Some(false) {
        cx.r.error_help(
            head,
            "every stage of this step would do the same",
            "say where the stage stands: `{{ stage }}`",
        );
    }
}

fn node_lacks_on(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if !entries.iter().any(|e| e.key == "on"))
}

pub fn check_refs(cx: &Cx, node: &Node) -> Vec<crate::runbook::CheckRef> {
    cx.r.list(node).iter().filter_map(|n| cx.check_ref(n, false)).map(|(check, _)| check).collect()
}

fn needs(cx: &Cx, node: &Node) -> Vec<Need> {
    let all = cx.r.list(node).iter();
    all.filter_map(|n| cx.check_ref(n, true))
        .map(|(check, hard)| Need { check, hard, written: true, because: None })
        .collect()
}

fn after(cx: &Cx, node: &Node) -> Vec<(After, Range<usize>)> {
    let mut all = Vec::new();
    for item in cx.r.list(node) {
        let known = |n| cx.known(n, "step", &cx.names.steps);
        if !matches!(item.value, Value::Map(_)) {
            all.extend(known(item).map(|step| (After { step, hard: false }, item.span.clone())));
            continue;
        }
        let Some(f) = cx.r.fields(item) else { continue };
        let step = f.need("step").and_then(known);
        let hard = f.get("hard").and_then(|n| cx.r.bool(n)).unwrap_or(false);
        f.finish();
        all.extend(step.map(|step| (After { step, hard }, item.span.clone())));
    }
    all
}

/// `{ STEP: option }`; several must all hold.
fn when(cx: &Cx, node: &Node) -> Vec<(String, String, Range<usize>)> {
    let mut all = Vec::new();
    for e in cx.r.entries(node) {
        if !cx.names.steps.contains_key(&e.key) {
            cx.r.undefined(&e.key_span, "step", &e.key, cx.names.steps.keys().map(String::as_str));
            continue;
        }
        all.extend(cx.r.text(&e.node).map(|option| (e.key.clone(), option, e.node.span.clone())));
    }
    all
}

fn leaves(cx: &Cx, node: &Node) -> Vec<Leaves> {
    let mut all = Vec::new();
    for item in cx.r.list(node) {
        let Some(f) = cx.r.fields(item) else { continue };
        let text = |f: &Fields, key| f.get(key).and_then(|n| cx.r.text(n));
        let what = f.need("what").and_then(|n| cx.r.text(n));
        let owner = text(&f, "owner");
        let remove_by = f.get("remove_by").and_then(|n| {
            let text = cx.r.text(n)?;
            if text.parse::<jiff::civil::Date>().is_err() {
                cx.r.error_help(&n.span, format!("`{text}` is not a date"), "write it as in 2026-12-24");
                return None;
            }
            Some(text)
        });
        let remove = f.get("remove").and_then(|n| cx.known(n, "step", &cx.names.steps));
        f.finish_as("leaves");
        all.extend(what.map(|what| Leaves { what, owner, remove_by, remove }));
    }
    all
}

fn redeclares(cx: &Cx, node: &Node) -> IndexMap<String, IndexMap<String, Reads>> {
    let mut all = IndexMap::new();
    for e in cx.r.entries(node) {
        if !cx.names.services.contains_key(&e.key) {
            cx.r.undefined(&e.key_span, "service", &e.key, cx.names.services.keys().map(String::as_str));
            continue;
        }
        let Some(f) = cx.r.fields(&e.node) else {
            continue;
        };
        let reads = f.need("reads").map(|n| parts::reads(cx, n)).unwrap_or_default();
        f.finish();
        all.insert(e.key.clone(), reads);
    }
    all
}

/// Of what a person does it stands inside, of what a machine does beside the action.
fn within<'n>(cx: &Cx, f: &Fields<'n, '_>) -> Option<&'n Node> {
    let beside = f.get("within");
    let asked = ["manual", "decide"].iter().find_map(|word| f.get(word));
    let inside = asked.and_then(|node| match &node.value {
        Value::Map(entries) => entries.iter().find(|e| e.key == "within"),
        _ => None,
    });
    if let (Some(_), Some(inside)) = (beside, inside) {
        cx.r.error_help(&inside.key_span, "`within` stands here twice", "keep one of them");
    }
    beside.or(inside.map(|e| &e.node))
}
