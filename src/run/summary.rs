//! What a run came to: totals for the end screen and the report.
//!
//! Pure: runbook and records in, numbers and sentences out. The same log gives the same summary.

use std::collections::BTreeMap;

use serde::Serialize;

use super::left;
use super::record::{Act, End, Event, Now, OpenItem, Record};
use super::state::{Illegal, State};
use super::words::act_words;
use crate::runbook::Runbook;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    pub end: Option<End>,
    /// Steps by the word of their status.
    pub steps: BTreeMap<&'static str, usize>,
    pub gates_yes: usize,
    /// Turned down, left, or closed by the gate itself.
    pub gates_no: usize,
    pub overrides: usize,
    /// Inputs that were turned down.
    pub refusals: usize,
    /// From the first record to the last, seconds of the boot clock.
    pub seconds: u64,
    /// What steps that stand have left behind and no step has taken away.
    pub temporary: Vec<(String, OpenItem)>,
    pub open: Vec<OpenItem>,
    pub timeline: Vec<Moment>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    pub at: Now,
    /// Seconds since the first record.
    pub seconds: u64,
    pub by: String,
    pub step: Option<String>,
    pub what: String,
}

impl Summary {
    /// # Errors
    /// The first record that is illegal where it stands.
    pub fn of(runbook: &Runbook, events: &[Event]) -> Result<Self, Illegal> {
        let state = State::replay(events)?;
        let mut summary = Self::default();
        for step in state.steps.keys() {
            *summary.steps.entry(state.status(step).word()).or_default() += 1;
        }
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            summary.seconds = last.at.seconds_since(&first.at);
        }
        for event in events {
            match &event.record {
                Record::GateAnswered(answer) if answer.yes => summary.gates_yes += 1,
                Record::GateAnswered(_) | Record::GateClosed { .. } => summary.gates_no += 1,
                Record::Override { .. } => summary.overrides += 1,
                Record::Refused { .. } => summary.refusals += 1,
                _ => {}
            }
            if let (Some(what), Some(first)) = (words(&event.record), events.first()) {
                summary.timeline.push(Moment {
                    at: event.at.clone(),
                    seconds: event.at.seconds_since(&first.at),
                    by: event.by.clone(),
                    step: event.step.clone(),
                    what,
                });
            }
        }
        let temporary = left::temporary(runbook, &state).into_iter();
        summary.temporary = temporary.map(|(step, left)| (step.id.clone(), left::open_item(left))).collect();
        if let Some((end, open)) = &state.ended {
            summary.end = Some(*end);
            summary.open.clone_from(open);
        }
        Ok(summary)
    }
}

/// What a reader of the timeline wants to know of a record; nothing of most.
fn words(record: &Record) -> Option<String> {
    Some(match record {
        Record::RunStarted(started) => format!("{} started", started.runbook),
        Record::Entered { done } => format!("entered, {} steps done by other hands", done.len()),
        Record::Decided { option, reason, row: None } => format!("decided: {option} ({reason})"),
        Record::NotNeeded { because } => format!("not needed: {because}"),
        Record::Jumped { to, reason } => format!("jumped to {to}: {reason}"),
        Record::Skipped { reason, .. } => format!("skipped: {reason}"),
        Record::Note { text } => text.clone(),
        Record::Deviation { what, because } => format!("outside the plan: {what} ({because})"),
        Record::GateAnswered(answer) if answer.yes => "gate: yes".to_owned(),
        Record::GateAnswered(_) => "gate: no".to_owned(),
        Record::GateClosed { detail, .. } => format!("gate closed: {detail}"),
        Record::Approval { by, .. } => format!("approved by {by}"),
        Record::Override { what, reason } => format!("passed over {what}: {reason}"),
        Record::Outcome(outcome) => format!("{}: {}", super::next::settled_word(outcome.result), outcome.evidence),
        Record::Settled(settled) => {
            format!("settled, {}: {}", super::next::settled_word(settled.result), settled.reason)
        }
        Record::Verified { restored: Some(restored), .. } => restored.words(),
        Record::StepDone { verified: true } => "done".to_owned(),
        Record::StepDone { verified: false } => "applied, NOT VERIFIED".to_owned(),
        Record::GuardBroken { check, verdict, .. } => {
            format!("guard {check} is {}", verdict.word())
        }
        Record::Held { reason, .. } => format!("held: {}", super::next::hold_words(reason)),
        Record::HoldLifted { reason } => {
            format!("hold lifted: {}", super::next::hold_words(reason))
        }
        Record::ActOutcome { act: Act::Trial { step, .. }, detail, .. } => format!("tried {step}: {detail}"),
        Record::ActOutcome { act, applied, detail, .. } => {
            format!("{}, {}: {detail}", act_words(act), if *applied { "it took" } else { "it did NOT take" })
        }
        Record::RunFinished { end, .. } => format!("finished: {end:?}").to_lowercase(),
        Record::RunAbandoned { because } => format!("abandoned: {because}"),
        _ => return None,
    })
}
