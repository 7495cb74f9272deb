//! What holds a run, and what lets it begin and end.
//!
//! Owns guards, holds, the entry and the end.

use serde_json::Value;

use super::gates::check_of;
use super::{Decided, Draft, Facts, but, no, of, run};
use crate::run::gate::{elapsed, freshness};
use crate::run::left;
use crate::run::next;
use crate::run::record::{End, HoldReason, OpenItem, OutcomeResult, Position, Record};
use crate::run::state::State;
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, CheckRef, Guard, Phase, Runbook, Step};

pub(super) fn enter(runbook: &Runbook, state: &State, done: &[String]) -> Decided {
    if state.entered {
        return Err(no("the entry point was accepted already"));
    }
    let Some(survey) = &state.survey else {
        return Err(but("the survey has not ended", "contain steps may begin meanwhile"));
    };
    for id in done {
        let found = survey.steps.get(id).map(|found| found.position);
        if found != Some(Position::Done) {
            return Err(no(format!("the survey did not find {id} done")));
        }
    }
    let mut drafts = vec![run(Record::Entered { done: done.to_vec() })];
    let green = |check: &CheckRef| survey.checks.iter().any(|c| &c.check == check && c.verdict == Verdict::Pass);
    for guard in runbook.guards.iter().filter(|guard| guard.from.is_none()) {
        let record = Record::GuardBound { check: guard.check.clone(), until: guard.until.clone() };
        drafts.push(run(record));
    }
    // What a contain step proved guards from now on, whoever did it.
    for step in done.iter().filter_map(|id| runbook.steps.get(id)) {
        drafts.extend(bind(runbook, state, step, green));
    }
    Ok(drafts)
}

/// The guards that `step` binds: what a contain step proved, and what the runbook names; of these the `green` ones.
pub(super) fn bind(runbook: &Runbook, state: &State, step: &Step, green: impl Fn(&CheckRef) -> bool) -> Vec<Draft> {
    let from_here = |guard: &&Guard| guard.from.as_deref() == Some(step.id.as_str());
    let mut bound: Vec<_> =
        runbook.guards.iter().filter(from_here).map(|guard| (guard.check.clone(), guard.until.clone())).collect();
    if step.phase == Phase::Contain && !matches!(step.action, Action::UndoOf { .. }) {
        let undo = |other: &&Step| matches!(&other.action, Action::UndoOf { step: undone } if undone == &step.id);
        let until = runbook.steps.values().find(undo).map(|other| other.id.clone());
        for check in &step.verify {
            if !bound.iter().any(|(named, _)| named == check) {
                bound.push((check.clone(), until.clone()));
            }
        }
    }
    // A guard whose end has come already guards nothing any more.
    bound.retain(|(check, until)| {
        green(check)
            && !until.as_ref().is_some_and(|id| state.behind(id))
            && !state
                .guards
                .get(check)
                .is_some_and(|guard| guard.bound.iter().any(|b| b.step.as_ref() == Some(&step.id) && &b.until == until))
    });
    bound.dedup();
    bound.into_iter().map(|(check, until)| of(&step.id, Record::GuardBound { check, until })).collect()
}

/// An undo that had no effect leaves the containment standing, and what guards it, and wants a decision.
pub(super) fn not_undone(runbook: &Runbook, state: &State, result: OutcomeResult, words: &str) -> Vec<Draft> {
    let Some(open) = state.open.as_ref().filter(|_| result == OutcomeResult::NotApplied) else { return Vec::new() };
    let Some(undone) = open.intent.undoes.as_ref().and_then(|id| runbook.steps.get(id)) else { return Vec::new() };
    let mut drafts = bind(runbook, state, undone, |_| true);
    let detail = format!(
        "undoing {} failed: {words}. What it did still stands. Try the undo again, do it by hand and say what shows it, \
         go forward and leave it standing with a reason, or leave the run held",
        undone.id
    );
    drafts.extend(super::hold(state, HoldReason::Step { step: open.step.clone() }, &detail));
    drafts
}

/// A guard that is not green any more breaks once; the hold stays until it is lifted.
pub(super) fn guard(state: &State, check: &CheckRef, verdict: &Verdict, value: Option<&Value>) -> Vec<Draft> {
    let Some(guard) = state.guards.get(check) else {
        return Vec::new();
    };
    if verdict == &Verdict::Pass || guard.broken.is_some() {
        return Vec::new();
    }
    let reason = HoldReason::Guard { check: check.clone() };
    let mut drafts =
        vec![run(Record::GuardBroken { check: check.clone(), verdict: verdict.clone(), value: value.cloned() })];
    if !state.holds.contains(&reason) {
        drafts.push(run(Record::Held { reason, detail: format!("{check} is {}", verdict.word()) }));
    }
    drafts
}

pub(super) fn lift(runbook: &Runbook, state: &State, facts: &Facts<'_>) -> Decided {
    if state.holds.is_empty() {
        return Err(no("the run is not held"));
    }
    let mut drafts = Vec::new();
    let mut stays = Vec::new();
    for reason in &state.holds {
        let why = match reason {
            HoldReason::Guard { check } => not_green(runbook, check, facts),
            HoldReason::Target { name } => state.lost.get(name).map(|why| format!("{name} does not answer: {why}")),
            HoldReason::Claim { target } if !state.claims.contains_key(target) => {
                Some(format!("another run holds {target}"))
            }
            HoldReason::Step { step } if !state.behind(step) => {
                Some(format!("{step} is {}", state.status(step).word()))
            }
            _ => None,
        };
        match why {
            Some(why) => stays.push(why),
            None => drafts.push(run(Record::HoldLifted { reason: reason.clone() })),
        }
    }
    if drafts.is_empty() {
        return Err(no(stays.join("; ")));
    }
    Ok(drafts)
}

/// Why a guard is not green now; a pass that is too old says nothing.
fn not_green(runbook: &Runbook, check: &CheckRef, facts: &Facts<'_>) -> Option<String> {
    let Some(checked) = facts.readings.get(check) else {
        return Some(format!("guard {check} has not been asked"));
    };
    let fresh = freshness(check_of(runbook, check), checked);
    match &checked.verdict {
        Verdict::Pass if elapsed(&checked.at, facts.now) <= fresh => None,
        Verdict::Pass => Some(format!("the answer of guard {check} is older than {} s", fresh.as_secs())),
        verdict => Some(format!("guard {check} is {}", verdict.word())),
    }
}

pub(super) fn finish(runbook: &Runbook, state: &State, end: End, open: &[OpenItem], facts: &Facts<'_>) -> Decided {
    if let Some(intent) = &state.open {
        return Err(no(format!("{} is open", intent.step)));
    }
    if state.gate.is_some() {
        return Err(no("a gate is open"));
    }
    if end == End::Recovered {
        if let Some(hold) = state.holds.first() {
            return Err(but(
                format!("the run is held: {}", next::hold_words(hold)),
                "lift the hold, or close as degraded",
            ));
        }
        if let Some(step) = runbook.steps.values().find(|step| !state.status(&step.id).finished()) {
            return Err(but(
                format!("{} is {}", step.id, state.status(&step.id).word()),
                "close as degraded, with owners",
            ));
        }
        let red = runbook.checks.keys().map(|name| CheckRef::Check(name.clone())).find(|check| {
            facts.readings.get(check).map(|c| &c.verdict) != Some(&Verdict::Pass) && !next::contained(state, check)
        });
        if let Some(check) = red {
            return Err(but(format!("{check} is not green"), "wait for it, or close as degraded, with owners"));
        }
        let mut temporary = left::temporary(runbook, state).into_iter().map(|(_, left)| left);
        let unowned = temporary.find(|left| !open.iter().any(|item| item.what == left.what));
        if let Some(left) = unowned {
            let way = left.remove.as_ref().map(|step| format!("{step} removes it, or "));
            return Err(but(
                format!("{} is still temporary: it needs an owner and a date", left.what),
                format!("{}give it both", way.unwrap_or_default()),
            ));
        }
    }
    if end == End::Degraded && open.is_empty() {
        return Err(no("a degraded end names what is open, with an owner and a date"));
    }
    if let Some(item) = open.iter().find(|item| item.owner.trim().is_empty() || item.by.trim().is_empty()) {
        return Err(no(format!("{} needs an owner and a date", item.what)));
    }
    Ok(vec![run(Record::RunFinished { end, open: open.to_vec() })])
}
