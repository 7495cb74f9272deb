//! The transition table: what each record changes, and where it is illegal.
//!
//! Owns every change of [`State`]. Reads nothing but the record and the state: no clock, no file, no runbook.

mod step;

use super::super::record::{Act, Event, HoldReason, OutcomeResult, Point, Record};
use super::{ActGate, Bound, GuardState, OpenGate, OpenIntent, State, Status, StepState, Trial};

/// `what` of an override: break-glass in place of a second person.
pub const SECOND_PERSON: &str = "second person";
/// `what` of an override: a trial at full size where the trial itself would hurt.
pub const TRIAL: &str = "trial at full size";
/// `what` of an override: going on although what must hold after the step does not.
pub const VERIFY: &str = "verify";
/// `what` of an override: going on although an undo failed, with the effect that it was to take back.
pub const UNDO: &str = "undo";

type Step<'a> = Result<&'a mut StepState, String>;

impl State {
    fn step_mut(&mut self, event: &Event) -> Step<'_> {
        let id = event.step.as_ref().ok_or("it names no step")?;
        self.steps.get_mut(id).ok_or_else(|| format!("the runbook has no step {id}"))
    }

    pub(in crate::run) fn is_open(&self, step: &str, att: u32) -> Result<(), String> {
        match &self.open {
            None => Err("no intent is open".into()),
            Some(open) if open.step != step || open.att != att => {
                Err(format!("the open intent is {} attempt {}", open.step, open.att))
            }
            Some(open) if open.unknown => Err("its outcome is unknown: settle it first".into()),
            Some(_) => Ok(()),
        }
    }

    fn open_for(&mut self, event: &Event) -> Result<&mut OpenIntent, String> {
        let open = self.open.as_mut().ok_or("no intent is open")?;
        if event.step.as_deref() != Some(open.step.as_str()) || event.att != Some(open.att) {
            return Err(format!("the open intent is {} attempt {}", open.step, open.att));
        }
        Ok(open)
    }

    fn gate_for(&mut self, event: &Event) -> Result<&mut OpenGate, String> {
        let gate = self.gate.as_mut().ok_or("no gate is open")?;
        if event.step.as_deref() != Some(gate.step.as_str()) || event.att != Some(gate.att) {
            return Err(format!("the open gate is {} attempt {}", gate.step, gate.att));
        }
        Ok(gate)
    }

    /// The transition table.
    // A guard of the match that changes state would hide the change.
    #[allow(clippy::collapsible_match)]
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), String> {
        match &event.record {
            Record::RunStarted(started) => {
                self.steps = started.steps.iter().map(|id| (id.clone(), StepState::new())).collect();
                self.started = Some((started.clone(), event.at.logged()));
            }
            Record::VarSet { name, value } => {
                self.vars.insert(name.clone(), value.clone());
            }
            Record::OperatorJoined(actor) => {
                self.actors.insert(actor.id.clone(), actor.clone());
                self.operator.get_or_insert_with(|| actor.id.clone());
            }
            Record::HandedOver { from, to } => {
                if self.operator.as_ref() != Some(from) {
                    return Err(format!("{from} does not hold the keyboard"));
                }
                if !self.actors.contains_key(to) {
                    return Err(format!("{to} has not joined"));
                }
                self.operator = Some(to.clone());
            }
            Record::Surveyed(survey) => self.survey = Some(survey.clone()),
            Record::Frozen(frozen) => {
                self.open_for(event)?;
                self.frozen.insert(frozen.item.to_string(), frozen.clone());
            }
            Record::Entered { done } => self.enter(event, done)?,
            Record::Decided { option, reason, row } => {
                if row.is_none() && self.open.is_some() {
                    return Err("an intent is open".into());
                }
                let step = self.step_mut(event)?;
                if step.standing().finished() && !step.standing().open_to_attempt() {
                    return Err(format!("the step is {}", step.status.word()));
                }
                match row {
                    Some(row) => {
                        step.rows.insert(row.clone(), option.clone());
                    }
                    None => step.decided = Some((option.clone(), reason.clone())),
                }
            }
            Record::Enabled {} => {
                let step = self.step_mut(event)?;
                if step.status != Status::Waiting {
                    return Err(format!("the step is {}", step.status.word()));
                }
                step.rest(Status::Enabled, event);
            }
            Record::NotNeeded { because } => self.close_step(event, Status::NotNeeded, because)?,
            Record::Skipped { reason, .. } => self.close_step(event, Status::Skipped, reason)?,
            Record::Jumped { to, .. } => {
                self.steps.get(to).ok_or_else(|| format!("the runbook has no step {to}"))?;
            }
            Record::Note { .. } | Record::Refused { .. } | Record::Amended { .. } | Record::Deviation { .. } => {}
            Record::GateShown(shown) => self.show_gate(event, shown)?,
            Record::GateClosed { .. } => {
                self.gate_for(event)?;
                self.gate = None;
                let step = self.step_mut(event)?;
                step.status = step.resting;
                step.passed.clear();
            }
            Record::GateAnswered(answer) => self.answer(event, answer)?,
            Record::Approval { by, offer, .. } => {
                if self.operator.as_ref() == Some(by) {
                    return Err("the operator cannot approve their own gate".into());
                }
                let gate = self.gate_for(event)?;
                if &gate.shown.offer_digest != offer {
                    return Err("the approval is of another offer".into());
                }
                gate.approved_by = Some(by.clone());
            }
            Record::Override { what, reason } => self.pass_over(event, what, reason)?,
            Record::Intent(intent) => self.begin(event, intent)?,
            Record::Reached { point, data } => {
                let open = self.open_for(event)?;
                if open.unknown {
                    return Err("its outcome is unknown: settle it first".into());
                }
                open.reached.push((*point, data.clone()));
                if matches!(point, Point::Begun | Point::Sent) {
                    self.step_mut(event)?.begun = Some(data.clone());
                }
            }
            Record::AttemptFailed { .. } | Record::Progressed { .. } => {
                self.open_for(event)?;
            }
            Record::ItemDone(item) => {
                self.open_for(event)?;
                let step = self.step_mut(event)?;
                step.items.insert(item.key.clone(), item.clone());
                if step.under_way() == Some(item.key.as_str()) {
                    step.begun = None;
                }
            }
            Record::Outcome(outcome) => {
                if self.open_for(event)?.unknown {
                    return Err("its outcome is unknown: settle it first".into());
                }
                self.finish(event, outcome)?;
                let step = self.step_mut(event)?;
                // Its worker lived to say that the item did not begin after all.
                if outcome.result != OutcomeResult::Unknown && step.under_way().is_some() {
                    step.begun = None;
                }
            }
            Record::Verified { checks, restored, .. } => {
                let step = self.step_mut(event)?;
                if step.status != Status::Applied && !step.status.is_red() {
                    return Err(format!("the step is {}", step.status.word()));
                }
                step.restored.clone_from(restored);
                // An undo says nothing about what the step itself proved.
                if step.undoes != event.step {
                    step.verified.clone_from(checks);
                }
            }
            Record::StepDone { verified } => self.done(event, *verified)?,
            Record::ActShown { act, token } => {
                if self.act.is_some() {
                    return Err("another act is open".into());
                }
                self.act_gate = Some(ActGate { act: act.clone(), token: token.clone(), answered: false });
            }
            Record::ActAnswered { act, yes, typed } => {
                let gate = self.act_gate.as_mut().filter(|gate| &gate.act == act && !gate.answered);
                let gate = gate.ok_or("no such act was shown")?;
                if !yes {
                    self.act_gate = None;
                } else if typed.trim() == gate.token && !gate.token.is_empty() {
                    gate.answered = true;
                } else {
                    return Err("what was typed is not its token".into());
                }
            }
            Record::ActIntent { act } => {
                if self.act.is_some() {
                    return Err("another act is open".into());
                }
                if !self.act_gate.as_ref().is_some_and(|gate| gate.answered && &gate.act == act) {
                    return Err("this act has no recorded answer".into());
                }
                self.act_gate = None;
                self.act = Some(act.clone());
                self.act_for = event.step.clone().map(|step| (step, event.att));
            }
            Record::ActOutcome { act, detail, tried, .. } => {
                if self.act.as_ref() != Some(act) {
                    return Err("no such act is open".into());
                }
                self.act = None;
                self.act_for = None;
                if let Act::Trial { step, .. } = act
                    && let Some(step) = self.steps.get_mut(step)
                {
                    let (at, tried, words) = (event.at.logged(), tried.clone(), detail.clone());
                    step.tried = Some(Trial { at, tried, words });
                }
            }
            Record::SettleStarted { open_intent } => {
                let open = self.open_for(event)?;
                if open.att != *open_intent {
                    return Err("it names another attempt".into());
                }
                open.unknown = true;
                open.settling = true;
                self.step_mut(event)?.status = Status::Unknown;
            }
            Record::SettleEvidence { .. } => {
                if !self.open_for(event)?.settling {
                    return Err("nothing is being settled".into());
                }
            }
            Record::Settled(settled) => self.settle(event, settled)?,
            Record::GuardBound { check, until } => {
                let (step, until) = (event.step.clone(), until.clone());
                let new = GuardState { step: step.clone(), bound: Vec::new(), broken: None };
                let guard = self.guards.entry(check.clone()).or_insert(new);
                if guard.bound.iter().any(|bound| bound.step == step && bound.until == until) {
                    return Err("it is bound already".into());
                }
                guard.bound.push(Bound { step, until });
            }
            Record::GuardBroken { check, verdict, .. } => {
                let guard = self.guards.get_mut(check).ok_or("it is not bound")?;
                if guard.broken.is_some() || verdict.is_pass() {
                    return Err("it is broken already, or green".into());
                }
                guard.broken = Some(verdict.clone());
            }
            Record::Held { reason, .. } => {
                if !self.holds.insert(reason.clone()) {
                    return Err("the run is held for this already".into());
                }
            }
            Record::HoldLifted { reason } => {
                if !self.holds.remove(reason) {
                    return Err("the run is not held for this".into());
                }
                if let HoldReason::Guard { check } = reason
                    && let Some(guard) = self.guards.get_mut(check)
                {
                    guard.broken = None;
                }
            }
            Record::Claimed { target, epoch } => {
                if self.claims.get(target).is_some_and(|held| held >= epoch) {
                    return Err("the epoch does not rise".into());
                }
                self.claims.insert(target.clone(), *epoch);
            }
            Record::ClaimLost { target, .. } => {
                self.claims.remove(target);
            }
            Record::TargetLost { target, why } => {
                self.lost.insert(target.clone(), why.clone());
            }
            Record::TargetFound { target, .. } => {
                self.lost.remove(target);
            }
            Record::RunFinished { end, open } => {
                if self.open.is_some() || self.gate.is_some() || self.act.is_some() {
                    return Err("an intent, a gate or an act is open".into());
                }
                self.ended = Some((*end, open.clone()));
            }
            Record::RunAbandoned { because } => self.abandoned = Some(because.clone()),
            _ => {}
        }
        Ok(())
    }
}
