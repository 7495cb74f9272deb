//! What stands between steps: order, decisions, undo, guards.
//!
//! Owns the default of `after` (the step before in its phase), the refusal of cycles, and the rule that what a contain
//! step proves is guarded until its release.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::steps::Draft;
use super::{Cx, warn, written};
use crate::runbook::{
    Action, After, CheckRef, FreezeItem, Guard, Layer, Offsets, Phase, Position, SetRef, Step, TargetKind,
};

pub fn close(cx: &Cx, mut drafts: IndexMap<String, Draft>, guards: &mut Vec<Guard>) -> IndexMap<String, Step> {
    order(cx, &mut drafts);
    for draft in drafts.values() {
        undo_of(cx, draft, &drafts);
        frozen_offsets(cx, draft, &drafts);
        sets(cx, draft, &drafts);
        removed(cx, draft, &drafts);
    }
    whens(cx, &mut drafts);
    layers(cx, &mut drafts);
    contained(cx, &drafts, guards);
    written::digests(&mut drafts, &cx.names.bodies);
    drafts.into_iter().map(|(id, draft)| (id, draft.step)).collect()
}

fn order(cx: &Cx, drafts: &mut IndexMap<String, Draft>) {
    let phases: HashMap<String, Phase> = drafts.iter().map(|(id, d)| (id.clone(), d.step.phase)).collect();
    let mut last: HashMap<Phase, String> = HashMap::new();
    for (id, draft) in drafts.iter_mut() {
        let phase = draft.step.phase;
        draft.step.after = match &draft.after {
            None => last.get(&phase).map(|step| After { step: step.clone(), hard: false }).into_iter().collect(),
            Some(written) => {
                for (after, span) in written {
                    if phases.get(&after.step).is_some_and(|p| *p > phase) {
                        let message = format!("`{}` is in a later phase, so this step would wait for ever", after.step);
                        cx.r.error(span, message);
                    }
                }
                written.iter().map(|(after, _)| after.clone()).collect()
            }
        };
        last.insert(phase, id.clone());
    }
    let edges: HashMap<&str, Vec<&str>> =
        drafts.iter().map(|(id, d)| (id.as_str(), d.step.after.iter().map(|a| a.step.as_str()).collect())).collect();
    let mut done = HashSet::new();
    for (id, draft) in drafts.iter() {
        if let Some(cycle) = cycle(id, &edges, &mut done) {
            let way = cycle.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(" after ");
            let span =
                draft.after.iter().flatten().map(|a| a.1.clone()).next().unwrap_or_else(|| draft.id_span.clone());
            cx.r.error_help(&span, format!("the steps wait for each other: {way}"), "one of them must not wait");
        }
    }
}

/// The way round, with its first step at both ends. Each cycle is found once: what was walked is done.
fn cycle<'s>(
    from: &'s str,
    edges: &HashMap<&'s str, Vec<&'s str>>,
    done: &mut HashSet<&'s str>,
) -> Option<Vec<&'s str>> {
    let mut path: Vec<(&str, usize)> = vec![(from, 0)];
    while let Some((step, next)) = path.last_mut() {
        if done.contains(step) && *next == 0 {
            path.pop();
            continue;
        }
        let step = *step;
        let Some(before) = edges.get(step).and_then(|b| b.get(*next)).copied() else {
            done.insert(step);
            path.pop();
            continue;
        };
        *next += 1;
        if let Some(at) = path.iter().position(|(s, _)| *s == before) {
            let mut way: Vec<&str> = path[at..].iter().map(|(s, _)| *s).collect();
            way.push(before);
            done.extend(path.iter().map(|(s, _)| *s));
            return Some(way);
        }
        if edges.contains_key(before) && !done.contains(before) {
            path.push((before, 0));
        }
    }
    None
}

fn undo_of(cx: &Cx, draft: &Draft, drafts: &IndexMap<String, Draft>) {
    let Action::UndoOf { step } = &draft.step.action else {
        return;
    };
    let span = &draft.action_span;
    let (Some(here), Some(there)) = (drafts.get_index_of(&draft.step.id), drafts.get_full(step)) else {
        return;
    };
    if there.0 >= here {
        cx.r.error(span, format!("`{step}` stands later, so there is nothing to undo"));
        return;
    }
    let undone = &there.2.step;
    let able = match &undone.action {
        Action::Change(change) => change.unsaved_because.is_none() || undone.undo.is_some(),
        Action::Ddl(_) | Action::Restore(_) => true,
        // By what was there before.
        Action::Offsets(_) | Action::Topic(_) | Action::Registry(_) => true,
        _ => undone.undo.is_some(),
    };
    if !able {
        let message = format!("`{step}` cannot be undone: its `{}` has no `undo`", undone.action.word());
        cx.r.error_help(span, message, format!("give `{step}` an `undo`"));
    }
    if uses_stage(undone) && draft.step.conduct.stages.is_none() {
        let message = format!("the undo of `{step}` uses `{{{{ stage }}}}`, and this step has no `stages`");
        cx.r.error(span, message);
    }
}

/// A group goes back only to offsets that were kept.
fn frozen_offsets(cx: &Cx, draft: &Draft, drafts: &IndexMap<String, Draft>) {
    let (Action::Offsets(Offsets { to: Position::Frozen, .. }), Some(on)) = (&draft.step.action, &draft.step.on) else {
        return;
    };
    let mut before = drafts.values().take_while(|d| d.step.id != draft.step.id);
    let item = FreezeItem::Offsets { target: on.clone() };
    if !before.any(|d| matches!(&d.step.action, Action::Freeze(items) if items.contains(&item))) {
        let message = format!("the offsets of `{on}` are not frozen before this step");
        cx.r.error_help(&draft.action_span, message, format!("add `offsets of {on}` to a `freeze` before it"));
    }
}

fn uses_stage(step: &Step) -> bool {
    match step.undo.as_deref() {
        Some(Action::Command { argv }) => argv.iter().any(|t| t.names().contains(&"stage")),
        _ => false,
    }
}

/// A set that was changed by a step comes after it, and that step changes rows.
fn sets(cx: &Cx, draft: &Draft, drafts: &IndexMap<String, Draft>) {
    let step = &draft.step;
    let of_action: Vec<&SetRef> = match &step.action {
        Action::Change(change) => change.set.iter().collect(),
        Action::Restore(restore) => restore.sources.iter().chain(&restore.exclude).collect(),
        Action::Publish(publish) => vec![&publish.from],
        Action::Replay(replay) => replay.only.iter().chain(&replay.except).collect(),
        Action::Tombstones(marks) => vec![&marks.from],
        Action::Offsets(Offsets { to: Position::Over { set, .. }, .. }) => vec![set],
        _ => Vec::new(),
    };
    for set in step.each.as_ref().map(|e| &e.set).into_iter().chain(of_action) {
        match set {
            SetRef::ChangedBy { steps } => {
                for name in steps {
                    match drafts.get(name) {
                        Some(d) if !matches!(d.step.action, Action::Change(_)) => {
                            cx.r.error(
                                &draft.action_span,
                                format!("`{name}` changes no rows: it is a `{}`", d.step.action.word()),
                            );
                        }
                        Some(_) if drafts.get_index_of(name) >= drafts.get_index_of(&step.id) => {
                            cx.r.error(
                                &draft.action_span,
                                format!("`{name}` stands later, so it has changed nothing yet"),
                            );
                        }
                        _ => {}
                    }
                }
            }
            SetRef::Class { set, .. } => {
                let before = drafts.values().take_while(|d| d.step.id != step.id);
                let decided =
                    before.filter(|d| matches!(&d.step.action, Action::Reconcile { set: s } if s == set)).count();
                if decided == 0 {
                    let message = format!("the rows of `{set}` are not put into classes before this step");
                    cx.r.error_help(&draft.action_span, message, format!("a step with `reconcile: {set}` comes first"));
                }
            }
            SetRef::Set(set) => {
                let mut before = drafts.values().take_while(|d| d.step.id != step.id);
                let frozen = before.any(|d| match &d.step.action {
                    Action::Freeze(items) => items.contains(&FreezeItem::Set(set.clone())),
                    Action::Reconcile { set: s } => s == set,
                    _ => false,
                });
                if !frozen {
                    let message = format!("the rows of `{set}` are not frozen before this step");
                    warn(
                        cx,
                        &draft.action_span,
                        message,
                        &format!("add `{set}` to a `freeze` before it, or they are found when it begins"),
                    );
                }
            }
        }
    }
}

fn whens(cx: &Cx, drafts: &mut IndexMap<String, Draft>) {
    let options: HashMap<String, Vec<String>> = drafts
        .iter()
        .filter_map(|(id, d)| match &d.step.action {
            Action::Decide(decide) => Some((id.clone(), decide.options.clone())),
            _ => None,
        })
        .collect();
    let places: Vec<String> = drafts.keys().cloned().collect();
    for (here, draft) in drafts.values_mut().enumerate() {
        for (step, option, span) in &draft.when {
            match options.get(step) {
                None if places.contains(step) => cx.r.error(span, format!("`{step}` decides nothing")),
                None => {}
                Some(options) if !options.contains(option) => {
                    let what = format!("option of `{step}` called");
                    cx.r.undefined(span, &what, option, options.iter().map(String::as_str));
                }
                Some(_) if places.iter().position(|p| p == step) >= Some(here) => {
                    cx.r.error(span, format!("`{step}` stands later, so it is not decided when this step comes up"));
                }
                Some(_) => draft.step.when.push((step.clone(), option.clone())),
            }
        }
    }
}

/// What takes away what a step leaves comes after it.
fn removed(cx: &Cx, draft: &Draft, drafts: &IndexMap<String, Draft>) {
    let id = &draft.step.id;
    for remove in draft.step.leaves.iter().filter_map(|left| left.remove.as_ref()) {
        if drafts.get_index_of(remove) <= drafts.get_index_of(id) && drafts.contains_key(remove) {
            cx.r.error_help(
                &draft.id_span,
                format!("what `{id}` leaves is to be removed by `{remove}`, which does not come after it"),
                "name a later step under `remove`",
            );
        }
    }
}

fn layers(cx: &Cx, drafts: &mut IndexMap<String, Draft>) {
    let mut known: HashMap<String, Layer> = HashMap::new();
    for (id, draft) in drafts.iter_mut() {
        let kafka = |target: &Option<String>| {
            target.as_ref().and_then(|t| cx.names.targets.get(t)).is_some_and(|k| *k == Some(TargetKind::Kafka))
        };
        let layer = draft.layer.unwrap_or_else(|| match &draft.step.action {
            Action::Ddl(_) => Layer::Schema,
            Action::Change(_) | Action::Restore(_) | Action::Reconcile { .. } | Action::Freeze(_) => Layer::Data,
            Action::Registry(_) => Layer::Events,
            Action::UndoOf { step } => known.get(step).copied().unwrap_or(Layer::Service),
            _ if kafka(&draft.step.on) => Layer::Events,
            _ => Layer::Service,
        });
        draft.step.layer = layer;
        known.insert(id.clone(), layer);
    }
}

/// What a contain step proves stays proved until the step that releases it.
fn contained(cx: &Cx, drafts: &IndexMap<String, Draft>, guards: &mut Vec<Guard>) {
    let mut released: HashMap<&str, &str> = HashMap::new();
    for (id, draft) in drafts {
        if let Action::UndoOf { step } = &draft.step.action {
            released.entry(step).or_insert(id);
        }
    }
    for (id, draft) in drafts {
        if draft.step.phase != Phase::Contain || matches!(draft.step.action, Action::UndoOf { .. }) {
            continue;
        }
        let until = released.get(id.as_str());
        for check in &draft.step.verify {
            let guard = Guard { check: check.clone(), from: Some(id.clone()), until: until.map(|s| (*s).to_owned()) };
            if !guards.contains(&guard) {
                guards.push(guard);
            }
        }
        // What must be gone stays gone, and what is left behind with an owner is meant to be.
        let gone = draft.step.verify.iter().any(|c| matches!(c, CheckRef::ServiceGone(_)));
        let stays = gone || !draft.step.leaves.is_empty();
        if draft.step.undo.is_some() && until.is_none() && !stays {
            let message = format!("`{id}` is contained and never released");
            warn(
                cx,
                &draft.id_span,
                message,
                &format!("add a step with `undo_of: {id}` in the phase `release`, or say in `leaves` what stays"),
            );
        }
    }
}
