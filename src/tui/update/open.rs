//! Enter where nothing is typed: what is next is opened, and what it waits for is said instead.

use super::{Effect, dialog, prompt};
use crate::engine::{Ask, Snapshot};
use crate::run::next::blocked;
use crate::run::state::Status;
use crate::runbook::{Action, Phase};
use crate::tui::model::{Model, Purpose, View};

/// Enter: the survey's entry, the decision, or the gate of what is next.
pub(super) fn open(model: &mut Model, snapshot: &Snapshot) -> Option<Effect> {
    let state = &snapshot.state;
    // A contain step can be gated before the survey has ended.
    if model.view == View::Survey
        && !state.entered
        && let Some(survey) = snapshot.survey.as_ref().filter(|_| !snapshot.surveying)
    {
        return Some(Effect::Ask(Ask::Enter { done: survey.done.clone() }));
    }
    if model.view == View::Survey && state.entered {
        model.view = View::Run;
        return None;
    }
    if snapshot.classified.is_some() && model.rows.hidden {
        model.rows.hidden = false;
        return None;
    }
    let Some(id) = model.step(snapshot).map(str::to_owned) else {
        model.dialogs.push(dialog::finish(snapshot));
        return None;
    };
    match state.status(&id) {
        Status::UndoFailed => return Some(Effect::Ask(Ask::Undo { step: id })),
        Status::Unverified | Status::NotExact => return Some(Effect::Ask(Ask::Verify { step: id })),
        Status::Applied => {
            model.says = Some(format!("What must hold after {id} is being judged: wait. v judges it again."));
            return None;
        }
        _ => {}
    }
    if let Some(open) = state.open.as_ref() {
        if open.unknown {
            model.says =
                Some(format!("Evidence about {} first. Where it cannot tell: + it happened, - it did not.", open.step));
            return None;
        }
        model.says = Some(format!("{} runs: nothing else can be opened until it has ended.", open.step));
        return None;
    }
    let step = snapshot.runbook.steps.get(&id)?;
    if let Action::Decide(_) = step.action
        && !state.status(&id).finished()
    {
        model.dialogs.push(dialog::decide(id));
        return None;
    }
    if matches!(step.action, Action::Manual(_) | Action::Reconcile { .. }) && state.status(&id).open_to_attempt() {
        // What is missing is said before anything is typed for nothing.
        if let Some(why) = blocked(&snapshot.runbook, state, step, false, &snapshot.readings()).first() {
            model.says = Some(format!("{id} waits: {why}."));
            return None;
        }
        if matches!(step.action, Action::Manual(_)) {
            model.dialogs.push(prompt(Purpose::Seen { step: id }));
            return None;
        }
    }
    if !state.entered && step.phase != Phase::Contain {
        model.says = Some(match snapshot.surveying {
            true => "The map is still being read: accept where to enter once it is whole.".into(),
            false => "Accept where to enter first: this is the map.".into(),
        });
        model.view = View::Survey;
        return None;
    }
    Some(Effect::Ask(Ask::Open { step: id }))
}
