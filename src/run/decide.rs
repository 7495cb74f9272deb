//! Decisions: an input and the state give records, or a refusal.
//!
//! Pure: reads no clock and does no I/O. What a decision rests on stands in the records it gives.

use self::gates::Typed;
use super::gate::{self, reason_is_enough};
use super::next::Readings;
use super::record::{Checked, Event, HoldReason, ItemDone, Now, OutcomeResult, Record, Settled};
use super::state::State;
use crate::runbook::Runbook;
use crate::runbook::expect::Verdict;

mod gates;
mod holds;
mod input;
mod steps;

pub use input::Input;

/// What the engine sampled for this decision.
pub struct Facts<'a> {
    pub now: &'a Now,
    /// The actor that asked.
    pub by: &'a str,
    pub readings: &'a Readings,
}

/// A record before it is stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub step: Option<String>,
    pub att: Option<u32>,
    pub record: Record,
}

/// An input that was turned down: why, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub because: String,
    pub instead: Option<String>,
}

type Decided = Result<Vec<Draft>, Refusal>;

fn no(because: impl Into<String>) -> Refusal {
    Refusal { because: because.into(), instead: None }
}

fn but(because: impl Into<String>, instead: impl Into<String>) -> Refusal {
    Refusal { because: because.into(), instead: Some(instead.into()) }
}

fn run(record: Record) -> Draft {
    Draft { step: None, att: None, record }
}

fn of(step: &str, record: Record) -> Draft {
    Draft { step: Some(step.to_owned()), att: None, record }
}

fn at(step: &str, att: u32, record: Record) -> Draft {
    Draft { step: Some(step.to_owned()), att: Some(att), record }
}

/// Turns an input into records.
///
/// # Errors
/// A refusal where the state, the runbook or the facts do not allow it.
pub fn decide(runbook: &Runbook, state: &State, input: &Input, facts: &Facts<'_>) -> Decided {
    let mut drafts = propose(runbook, state, input, facts)?;
    for draft in &mut drafts {
        draft.record = std::mem::replace(&mut draft.record, Record::Heartbeat {}).logged();
    }
    // These come in thousands and stand or fall by the open intent alone.
    let step = match input {
        Input::Reached { step, att, .. }
        | Input::Item { step, att, .. }
        | Input::Progressed { step, att, .. }
        | Input::AttemptFailed { step, att, .. } => Some((step, *att)),
        _ => None,
    };
    if let Some((step, att)) = step {
        return state.is_open(step, att).map(|()| drafts).map_err(no);
    }
    // What is illegal must not reach the disk: the records are tried before they are given.
    let mut after = state.clone();
    for draft in &drafts {
        after.evolve(&event(draft, facts)).map_err(|illegal| no(illegal.why))?;
    }
    if drafts.iter().any(|draft| moves_on(&draft.record))
        && let Some(step) = super::next::turn(runbook, &after)
    {
        drafts.push(of(&step.id, Record::Enabled {}));
    }
    Ok(drafts)
}

fn event(draft: &Draft, facts: &Facts<'_>) -> Event {
    Event {
        at: facts.now.clone(),
        by: facts.by.to_owned(),
        step: draft.step.clone(),
        att: draft.att,
        record: draft.record.clone(),
    }
}

/// After such a record it may be another step's turn.
fn moves_on(record: &Record) -> bool {
    matches!(
        record,
        Record::Entered { .. }
            | Record::StepDone { .. }
            | Record::Skipped { .. }
            | Record::NotNeeded { .. }
            | Record::Settled(_)
            | Record::Override { .. }
    )
}

fn propose(runbook: &Runbook, state: &State, input: &Input, facts: &Facts<'_>) -> Decided {
    if state.closed() && !matches!(input, Input::Note { .. }) {
        return Err(no("the run has ended"));
    }
    let find = |id: &str| runbook.steps.get(id).ok_or_else(|| no(format!("the runbook has no step {id}")));
    match input {
        Input::Start { started, actor } => {
            Ok(vec![run(Record::RunStarted(started.clone())), run(Record::OperatorJoined(actor.clone()))])
        }
        Input::Join(actor) => Ok(vec![run(Record::OperatorJoined(actor.clone()))]),
        Input::SetVar { name, value } => match runbook.vars.contains_key(name) {
            true => Ok(vec![run(Record::VarSet { name: name.clone(), value: value.clone() })]),
            false => Err(no(format!("the runbook has no variable {name}"))),
        },
        Input::Survey(survey) => Ok(vec![run(Record::Surveyed(survey.clone()))]),
        Input::Enter { done } => holds::enter(runbook, state, done),
        Input::Show { step, offer, evidence } => gates::show(runbook, state, find(step)?, offer, evidence, facts),
        Input::Begin { step, on } => gates::begin(runbook, state, find(step)?, on.clone(), facts),
        Input::NotNeeded { step, because } => steps::not_needed(runbook, state, find(step)?, because, facts),
        Input::Answer { typed, reason, looked_ms, from_file, transactional } => {
            let answer = Typed { typed, reason: reason.as_deref(), looked_ms: *looked_ms, from_file: *from_file };
            gates::answer_gate(runbook, state, &answer, *transactional, facts)
        }
        Input::BreakGlass { reason } => gates::break_glass(runbook, state, reason, facts),
        Input::Close { reason, detail } => {
            let gate = state.gate.as_ref().ok_or_else(|| no("no gate is open"))?;
            let record = Record::GateClosed { reason: *reason, detail: detail.clone() };
            Ok(vec![at(&gate.step, gate.att, record)])
        }
        Input::Override { step, reason } => gates::pass_over(runbook, state, find(step)?, reason, facts),
        Input::Reached { step, att, point, data } => {
            Ok(vec![at(step, *att, Record::Reached { point: *point, data: data.clone() })])
        }
        Input::AttemptFailed { step, att, code, message, again_in_ms } => {
            let (code, message) = (code.clone(), message.clone());
            Ok(vec![at(step, *att, Record::AttemptFailed { code, message, again_in_ms: *again_in_ms })])
        }
        Input::Progressed { step, att, done, of } => {
            Ok(vec![at(step, *att, Record::Progressed { done: *done, of: *of })])
        }
        Input::Item { step, att, item } => Ok(vec![at(step, *att, Record::ItemDone(item.clone()))]),
        Input::Froze { step, att, items } => {
            Ok(items.iter().map(|item| at(step, *att, Record::Frozen(item.clone()))).collect())
        }
        Input::Finished { step, att, outcome } => {
            let mut drafts = vec![at(step, *att, Record::Outcome(outcome.clone()))];
            drafts.extend(holds::not_undone(runbook, state, outcome.result, &outcome.evidence));
            Ok(drafts)
        }
        Input::Verified { step, checks, restored } => {
            Ok(steps::verified(runbook, state, find(step)?, checks, restored.as_ref()))
        }
        Input::Decide { step, option, reason } => {
            steps::take_option(runbook, state, find(step)?, option, reason, facts)
        }
        Input::Seen { step, seen } => steps::by_hand(runbook, state, find(step)?, seen, facts),
        Input::Classify { step, row, class, reason } => {
            steps::classify(runbook, state, find(step)?, row, class, reason)
        }
        Input::Skip { step, reason } => steps::skip(runbook, state, find(step)?, reason),
        Input::Jump { to, reason } => steps::jump(runbook, state, find(to)?, reason),
        Input::Note { text, .. } if text.trim().is_empty() => Err(no("the note is empty")),
        Input::Note { step, text } => {
            Ok(vec![Draft { step: step.clone(), att: None, record: Record::Note { text: text.clone() } }])
        }
        Input::Elsewhere { step, evidence } => steps::elsewhere(runbook, state, find(step)?, evidence, facts),
        Input::SettleStart => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            Ok(vec![at(&open.step, open.att, Record::SettleStarted { open_intent: open.att })])
        }
        Input::SettleEvidence { what, finding } => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            let record = Record::SettleEvidence { what: what.clone(), finding: finding.clone() };
            Ok(vec![at(&open.step, open.att, record)])
        }
        Input::Settle { result, reason, outcome } => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            if !open.settling {
                return Err(but("settling has not started", "wait until the evidence has been read"));
            }
            if facts.by != "engine" && !reason_is_enough(reason) {
                return Err(no(format!("say in {} characters or more what you saw", gate::REASON_LEAST)));
            }
            let under_way = state.steps.get(&open.step).and_then(|s| s.under_way()).filter(|_| facts.by != "engine");
            let mut drafts = Vec::new();
            let mut settled =
                Settled { result: *result, reason: reason.clone(), outcome: outcome.clone(), undoes: None };
            // A person's word is on the one item that was under way: the rest of the batch stays open.
            if let Some(key) = under_way.filter(|_| *result != OutcomeResult::Unknown) {
                let ok = *result == OutcomeResult::Applied;
                let item = ItemDone { key: key.to_owned(), ok, detail: format!("settled: {reason}") };
                drafts.push(at(&open.step, open.att, Record::ItemDone(item)));
                settled.result = OutcomeResult::NotApplied;
            }
            let result = settled.result;
            drafts.push(at(&open.step, open.att, Record::Settled(settled)));
            drafts.extend(holds::not_undone(runbook, state, result, reason));
            Ok(drafts)
        }
        Input::GuardChecked { check, verdict, value } => Ok(holds::guard(state, check, verdict, value.as_ref())),
        Input::Hold { reason, detail } => Ok(hold(state, reason.clone(), detail).into_iter().collect()),
        Input::Lift => holds::lift(runbook, state, facts),
        Input::Claimed { target, epoch } => Ok(vec![run(Record::Claimed { target: target.clone(), epoch: *epoch })]),
        Input::ClaimLost { target, holder } => {
            let mut drafts = vec![run(Record::ClaimLost { target: target.clone(), holder: holder.clone() })];
            drafts.extend(hold(state, HoldReason::Claim { target: target.clone() }, holder));
            Ok(drafts)
        }
        Input::TargetLost { target, why } => match state.lost.contains_key(target) {
            true => Ok(Vec::new()),
            false => {
                let mut drafts = vec![run(Record::TargetLost { target: target.clone(), why: why.clone() })];
                drafts.extend(hold(state, HoldReason::Target { name: target.clone() }, why));
                Ok(drafts)
            }
        },
        Input::TargetFound { target, identity } => match state.lost.contains_key(target) {
            false => Ok(Vec::new()),
            true => Ok(vec![run(Record::TargetFound { target: target.clone(), identity: identity.clone() })]),
        },
        Input::Act { act, token, typed } => gates::act_input(runbook, state, act, token, typed),
        Input::ActDone { act, applied, detail, tried, found } => {
            let (act, detail, tried, found) = (act.clone(), detail.clone(), tried.clone(), found.clone());
            let record = Record::ActOutcome { act, applied: *applied, detail, tried, found };
            let (step, att) = state.act_for.clone().unzip();
            Ok(vec![Draft { step, att: att.flatten(), record }])
        }
        Input::Finish { end, open } => holds::finish(runbook, state, *end, open, facts),
    }
}

/// Fail over unknown over pass; nothing asked is a pass.
pub fn worst(checks: &[Checked]) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Unknown { .. } => 1,
        Verdict::Fail => 2,
    };
    checks.iter().map(|c| &c.verdict).max_by_key(|v| rank(v)).cloned().unwrap_or(Verdict::Pass)
}

/// A hold, unless the run is held for the same reason already.
fn hold(state: &State, reason: HoldReason, detail: &str) -> Option<Draft> {
    let detail = detail.to_owned();
    (!state.holds.contains(&reason)).then(|| run(Record::Held { reason, detail }))
}
