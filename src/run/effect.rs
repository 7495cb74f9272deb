//! Effects: what a record makes the engine do.
//!
//! Pure. Computed only from records that this process has appended, so nothing happens that is not on disk.

use super::record::{Act, OutcomeResult, Point, Record};
use super::state::State;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the worker of the prepared action.
    Work {
        step: String,
        att: u32,
    },
    /// Let the waiting worker go past its point.
    Release {
        step: String,
        att: u32,
        point: Point,
    },
    /// The item is on disk: the worker may take the next.
    ReleaseItem {
        step: String,
        att: u32,
    },
    /// Judge what must hold after the step.
    Verify {
        step: String,
        att: u32,
    },
    /// Nobody knows how the open intent ended: begin to settle it.
    Unsettled,
    /// Read the evidence of an intent that nobody knows the end of.
    Settle {
        step: String,
        att: u32,
    },
    Act(Act),
    /// A check's guard was bound or a hold lifted: poll at once.
    Poll,
    End,
}

/// What a resumed run does before anything else, in this order. Effects of records are computed only in the process that
/// appended them, so what the last one left undone is found in the state.
pub fn resume(state: &State) -> Vec<Effect> {
    if state.closed() {
        return Vec::new();
    }
    if state.open.is_some() {
        return vec![Effect::Unsettled];
    }
    let applied = state.steps.iter().filter(|(_, s)| s.status == super::state::Status::Applied);
    applied.map(|(id, s)| Effect::Verify { step: id.clone(), att: s.att }).chain([Effect::Poll]).collect()
}

/// The effects of one record, in the state after it.
pub fn effects(state: &State, step: Option<&str>, att: Option<u32>, record: &Record) -> Vec<Effect> {
    let named = || Some((step?.to_owned(), att.or_else(|| state.steps.get(step?).map(|s| s.att))?));
    let effect = match record {
        // A step done by a person's word closes its own intent in the same breath; it has no worker.
        Record::Intent(intent) if matches!(intent.action.as_str(), "decide" | "manual") => None,
        Record::Intent(_) => named().map(|(step, att)| Effect::Work { step, att }),
        Record::Reached { point, .. } => named().map(|(step, att)| Effect::Release { step, att, point: *point }),
        Record::ItemDone(_) => named().map(|(step, att)| Effect::ReleaseItem { step, att }),
        Record::Outcome(outcome) => match outcome.result {
            OutcomeResult::Applied => named().map(|(step, att)| Effect::Verify { step, att }),
            OutcomeResult::NotApplied => Some(Effect::Poll),
            OutcomeResult::Unknown => Some(Effect::Unsettled),
        },
        Record::SettleStarted { .. } => named().map(|(step, att)| Effect::Settle { step, att }),
        Record::Settled(settled) if settled.result == OutcomeResult::Applied => {
            let applied = step.is_some_and(|step| state.status(step) == super::state::Status::Applied);
            match applied {
                true => named().map(|(step, att)| Effect::Verify { step, att }),
                false => Some(Effect::Poll),
            }
        }
        Record::ActIntent { act } => Some(Effect::Act(act.clone())),
        Record::GuardBound { .. } | Record::HoldLifted { .. } | Record::StepDone { .. } => Some(Effect::Poll),
        Record::RunFinished { .. } | Record::RunAbandoned { .. } => Some(Effect::End),
        _ => None,
    };
    effect.into_iter().collect()
}
