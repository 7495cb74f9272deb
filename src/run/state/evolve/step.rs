//! What a record does to one step: its gate, its intent, its outcome.
//!
//! Owns which of them follow which. Never looks at the runbook: what the log says is enough.

use super::super::{Bound, OpenGate, OpenIntent, State, Status, StepState};
use super::{SECOND_PERSON, TRIAL, UNDO, VERIFY};
use crate::run::gate::{TOKEN_VALID, elapsed, offer_digest};
use crate::run::record::{Event, GateAnswered, GateShown, HoldReason, Intent, Kept, Outcome, OutcomeResult, Settled};
use crate::runbook::Level;

impl State {
    pub(super) fn enter(&mut self, done: &[String]) -> Result<(), String> {
        if self.entered {
            return Err("the entry point was accepted already".into());
        }
        if let Some(unknown) = done.iter().find(|id| !self.steps.contains_key(*id)) {
            return Err(format!("the runbook has no step {unknown}"));
        }
        for id in done {
            if let Some(step) = self.steps.get_mut(id)
                && step.standing().open_to_attempt()
            {
                step.status = Status::Elsewhere;
                step.resting = Status::Elsewhere;
            }
        }
        self.entered = true;
        Ok(())
    }

    pub(super) fn close_step(&mut self, event: &Event, status: Status, reason: &str) -> Result<(), String> {
        let step = self.step_mut(event)?;
        let open = [Status::Waiting, Status::Enabled, Status::Failed, Status::NotUndone];
        if !open.contains(&step.standing()) {
            return Err(format!("the step is {}", step.status.word()));
        }
        step.undo_failed = None;
        step.rest(status, event);
        step.reason = Some(reason.to_owned());
        Ok(())
    }

    pub(super) fn show_gate(&mut self, event: &Event, shown: &GateShown) -> Result<(), String> {
        if self.gate.is_some() {
            return Err("another gate is open".into());
        }
        if self.open.is_some() {
            return Err("an intent is open".into());
        }
        if offer_digest(&shown.offer) != shown.offer_digest {
            return Err("the digest is not that of the offer".into());
        }
        if event.step.as_ref() != Some(&shown.offer.step) || shown.offer.run != self.run() {
            return Err("the offer is of another step or run".into());
        }
        let undoes = shown.offer.undoes.clone();
        let own_undo = undoes.as_deref() == event.step.as_deref();
        if let Some(other) = undoes.as_deref().filter(|_| !own_undo) {
            self.steps.get(other).ok_or_else(|| format!("the runbook has no step {other}"))?;
        }
        let step = self.step_mut(event)?;
        let standing = step.standing();
        let ready = if own_undo { standing.stands() } else { standing.open_to_attempt() };
        if !ready {
            return Err(format!("the step is {}", step.status.word()));
        }
        let att = step.att + 1;
        if event.att != Some(att) || shown.offer.att != att {
            return Err(format!("the next attempt is {att}"));
        }
        step.att = att;
        step.status = Status::Gate;
        step.shown = Some(shown.clone());
        step.since = Some(event.at.logged());
        let id = event.step.clone().unwrap_or_default();
        self.gate = Some(OpenGate {
            step: id,
            att,
            shown: shown.clone(),
            at: event.at.logged(),
            approved_by: None,
            broken: None,
        });
        Ok(())
    }

    pub(super) fn answer(&mut self, event: &Event, answer: &GateAnswered) -> Result<(), String> {
        let gate = self.gate_for(event)?;
        let offer = &gate.shown.offer;
        if gate.shown.offer_digest != answer.offer_digest {
            return Err("the answer is to another offer".into());
        }
        if answer.yes {
            if answer.typed.trim() != offer.token {
                return Err("what was typed is not its token".into());
            }
            if offer.level == Level::Irreversible && gate.approved_by.is_none() && gate.broken.is_none() {
                return Err("nobody approved it and no glass was broken".into());
            }
            if elapsed(&gate.at, &event.at) > TOKEN_VALID {
                return Err("the offer has expired".into());
            }
        }
        self.gate = None;
        let step = self.step_mut(event)?;
        step.since = Some(event.at.logged());
        step.status = if answer.yes { Status::Answered } else { step.resting };
        if !answer.yes {
            step.passed.clear();
        }
        Ok(())
    }

    pub(super) fn pass_over(&mut self, event: &Event, what: &str, reason: &str) -> Result<(), String> {
        if what == SECOND_PERSON {
            self.gate_for(event)?.broken = Some(reason.to_owned());
        } else {
            let step = self.step_mut(event)?;
            match what {
                VERIFY if step.status == Status::Unverified => step.forward = true,
                VERIFY if step.status == Status::NotExact => {
                    step.undoes = None;
                    step.rest(Status::Undone, event);
                }
                UNDO if step.standing() == Status::UndoFailed => step.undo_failed = None,
                UNDO if step.standing() == Status::NotUndone => {
                    step.undo_failed = None;
                    step.reason = Some(reason.to_owned());
                    step.rest(Status::Skipped, event);
                }
                // It lets nothing past a gate.
                TRIAL => {}
                VERIFY | UNDO => return Err(format!("the step is {}", step.status.word())),
                _ => {
                    step.passed.insert(what.to_owned());
                }
            }
        }
        self.overrides.push((event.step.clone(), what.to_owned(), reason.to_owned()));
        Ok(())
    }

    pub(super) fn begin(&mut self, event: &Event, intent: &Intent) -> Result<(), String> {
        if let Some(open) = &self.open {
            return Err(format!("the intent of {} is open", open.step));
        }
        if self.gate.is_some() {
            return Err("a gate is open".into());
        }
        // The other holds stop some steps only: what a step is stands in the runbook, so `decide` judges those.
        let stops_all = |hold: &HoldReason| {
            matches!(hold, HoldReason::Operator | HoldReason::Terminal | HoldReason::Signal | HoldReason::Suspended)
        };
        if self.holds.iter().any(stops_all) {
            return Err("the run is held".into());
        }
        let step = self.step_mut(event)?;
        match &intent.offer_digest {
            Some(digest) => {
                let shown = step.shown.as_ref().filter(|shown| &shown.offer_digest == digest);
                if step.status != Status::Answered || event.att != Some(step.att) {
                    return Err("this offer has no recorded answer".into());
                }
                if shown.is_none_or(|shown| shown.offer.undoes != intent.undoes || shown.offer.action != intent.action)
                {
                    return Err("the offer is of another action".into());
                }
                if step.since.as_ref().is_none_or(|at| elapsed(at, &event.at) > TOKEN_VALID) {
                    return Err("its answer is too old".into());
                }
            }
            None => {
                if !step.standing().open_to_attempt() || intent.undoes.is_some() {
                    return Err(format!("the step is {}", step.status.word()));
                }
                if event.att != Some(step.att + 1) {
                    return Err(format!("the next attempt is {}", step.att + 1));
                }
                step.status = step.standing();
                step.att += 1;
            }
        }
        step.status = Status::Running;
        step.restored = None;
        step.since = Some(event.at.logged());
        step.passed.clear();
        self.release_guards(event.step.as_deref(), intent.undoes.as_deref());
        self.open = Some(OpenIntent {
            step: event.step.clone().unwrap_or_default(),
            att: event.att.unwrap_or_default(),
            intent: intent.clone(),
            at: event.at.logged(),
            reached: Vec::new(),
            unknown: false,
            settling: false,
        });
        Ok(())
    }

    /// Guards end with the intent of their `until`, or with that of an undo of the step that bound them.
    pub(super) fn release_guards(&mut self, step: Option<&str>, undone: Option<&str>) {
        for guard in self.guards.values_mut() {
            let ends = |bound: &Bound| {
                (step.is_some() && bound.until.as_deref() == step)
                    || (undone.is_some() && bound.step.as_deref() == undone)
            };
            guard.bound.retain(|bound| !ends(bound));
            guard.step = guard.bound.first().and_then(|bound| bound.step.clone());
        }
        let ended: Vec<_> =
            self.guards.extract_if(.., |_, guard| guard.bound.is_empty()).map(|(check, _)| check).collect();
        for check in ended {
            self.holds.remove(&HoldReason::Guard { check: check.clone() });
            self.released.insert(check);
        }
    }

    /// Closes the open intent, or leaves it open where nobody knows.
    pub(super) fn finish(&mut self, event: &Event, outcome: &Outcome) -> Result<(), String> {
        let open = self.open_for(event)?;
        let undoes = open.intent.undoes.clone();
        let own_undo = undoes == event.step;
        let kept = open.reached.iter().rev().find_map(|(_, data)| data.get("catalog"));
        let kept = kept.and_then(|kept| serde_json::from_value::<Kept>(kept.clone()).ok());
        let before = kept.map(|kept| (kept, open.at.clone()));
        if outcome.result == OutcomeResult::Unknown {
            open.unknown = true;
        } else {
            self.open = None;
        }
        let step = self.step_mut(event)?;
        step.since = Some(event.at.logged());
        match outcome.result {
            OutcomeResult::Applied => {
                step.status = Status::Applied;
                step.forward = false;
                step.undo_failed = None;
                if undoes.is_none() {
                    step.before = before;
                }
                step.undoes = undoes;
            }
            OutcomeResult::Unknown => step.status = Status::Unknown,
            OutcomeResult::NotApplied => {
                step.undo_failed = undoes.map(|_| outcome.evidence.clone());
                // An undo without effect leaves standing what stood.
                match step.resting {
                    stands if stands.stands() || stands == Status::Undone => step.status = stands,
                    _ => step.rest(Status::Failed, event),
                }
            }
        }
        // What a step changed, and where the rows as they were lie, outlives its undo.
        if !own_undo {
            step.outcome = Some(outcome.clone());
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, event: &Event, settled: &Settled) -> Result<(), String> {
        let outcome = settled.outcome.clone().unwrap_or_else(|| Outcome::new(settled.result, settled.reason.as_str()));
        if outcome.result != settled.result {
            return Err("its outcome says something else".into());
        }
        if self.open.is_some() {
            if !self.open_for(event)?.settling {
                return Err("settling has not started".into());
            }
            return self.finish(event, &outcome);
        }
        // By other hands, with evidence.
        let step = self.step_mut(event)?;
        if settled.result == OutcomeResult::Applied && settled.undoes.is_some() && step.standing().undo_failed() {
            step.undo_failed = None;
            step.undoes.clone_from(&settled.undoes);
            step.reason = Some(settled.reason.clone());
            // Whether everything is back is judged as after an undo of one's own.
            step.status = Status::Applied;
            step.since = Some(event.at.logged());
            self.release_guards(event.step.as_deref(), settled.undoes.as_deref());
            return Ok(());
        }
        if settled.result != OutcomeResult::Applied || !step.standing().open_to_attempt() {
            return Err(format!("no intent is open and the step is {}", step.status.word()));
        }
        step.rest(Status::Elsewhere, event);
        step.reason = Some(settled.reason.clone());
        if let Some(undone) = &settled.undoes {
            self.release_guards(event.step.as_deref(), Some(undone));
            self.steps.get_mut(undone).ok_or("the runbook has no such step")?.undone(event);
        }
        Ok(())
    }

    pub(super) fn done(&mut self, event: &Event, verified: bool) -> Result<(), String> {
        let step = self.step_mut(event)?;
        if step.status != Status::Applied && !step.status.is_red() {
            return Err(format!("the step is {}", step.status.word()));
        }
        let first = step.status == Status::Applied;
        let undoes = if verified { step.undoes.take() } else { step.undoes.clone() };
        let own_undo = undoes.is_some() && undoes == event.step;
        match (verified, own_undo) {
            (true, true) => step.undone(event),
            (true, false) => step.rest(Status::Done, event),
            (false, true) => step.rest(Status::NotExact, event),
            (false, false) => step.rest(Status::Unverified, event),
        }
        // Red is what must hold after the undo: undone it is, once.
        if let Some(other) = undoes.filter(|_| first && !own_undo).and_then(|undone| self.steps.get_mut(&undone)) {
            other.undone(event);
        }
        Ok(())
    }
}

impl StepState {
    pub(super) fn rest(&mut self, status: Status, event: &Event) {
        self.status = status;
        self.resting = status;
        self.since = Some(event.at.logged());
    }

    fn undone(&mut self, event: &Event) {
        self.undo_failed = None;
        self.rest(Status::Undone, event);
    }
}
