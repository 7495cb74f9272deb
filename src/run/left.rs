//! What steps have left behind for a while, until it is taken away.
//!
//! Pure. Owns when something temporary counts as gone: its step was undone exactly, or the step that removes it stands.
//! What may be there counts as there.

use super::record::{OpenItem, Temporary};
use super::state::{State, Status};
use crate::runbook::{Leaves, Runbook, Step};

/// What is still temporary, with the step that left it.
pub fn temporary<'a>(runbook: &'a Runbook, state: &State) -> Vec<(&'a Step, &'a Leaves)> {
    let all = runbook.steps.values().flat_map(|step| step.leaves.iter().map(move |left| (step, left)));
    all.filter(|(step, left)| is_there(&step.id, left.remove.as_deref(), state)).collect()
}

/// The same from the log alone, for a run that is open, was left or was killed.
pub fn recorded(state: &State) -> Vec<&Temporary> {
    let all = state.started.iter().flat_map(|(started, _)| &started.leaves);
    all.filter(|left| is_there(&left.step, left.remove.as_deref(), state)).collect()
}

/// What a run's start has of it.
pub fn declared(runbook: &Runbook) -> Vec<Temporary> {
    let all = runbook.steps.values().flat_map(|step| step.leaves.iter().map(move |left| (step, left)));
    all.map(|(step, left)| Temporary {
        step: step.id.clone(),
        what: left.what.clone(),
        owner: left.owner.clone(),
        by: left.remove_by.clone(),
        remove: left.remove.clone(),
    })
    .collect()
}

fn is_there(step: &str, remove: Option<&str>, state: &State) -> bool {
    let status = state.status(step);
    let may_be = status.stands() || matches!(status, Status::Running | Status::Unknown | Status::NotExact);
    may_be && !remove.is_some_and(|remove| state.status(remove).stands())
}

/// As the end of the run has it: whose it is and until when, where the runbook says so.
pub fn open_item(left: &Leaves) -> OpenItem {
    OpenItem {
        what: left.what.clone(),
        owner: left.owner.clone().unwrap_or_default(),
        by: left.remove_by.clone().unwrap_or_default(),
    }
}
