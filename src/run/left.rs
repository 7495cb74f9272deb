//! What steps have left behind for a while, until it is taken away.
//!
//! Pure. Owns when something temporary counts as gone: its step was undone, or the step that removes it stands.

use super::record::OpenItem;
use super::state::State;
use crate::runbook::{Leaves, Runbook, Step};

/// What is still temporary, with the step that left it.
pub fn temporary<'a>(runbook: &'a Runbook, state: &State) -> Vec<(&'a Step, &'a Leaves)> {
    let removed = |left: &Leaves| left.remove.as_ref().is_some_and(|step| state.status(step).stands());
    let standing = runbook.steps.values().filter(|step| state.status(&step.id).stands());
    standing
        .flat_map(|step| step.leaves.iter().map(move |left| (step, left)))
        .filter(|(_, left)| !removed(left))
        .collect()
}

/// As the end of the run has it: whose it is and until when, where the runbook says so.
pub fn open_item(left: &Leaves) -> OpenItem {
    OpenItem {
        what: left.what.clone(),
        owner: left.owner.clone().unwrap_or_default(),
        by: left.remove_by.clone().unwrap_or_default(),
    }
}
