//! The transition table: what each record changes, and where it is illegal.
//!
//! Owns every change of [`State`]. Reads nothing but the record and the state: no clock, no file, no runbook.

use super::super::gate::{TOKEN_VALID, elapsed, offer_digest};
use super::super::record::{
    Event, GateAnswered, GateShown, HoldReason, Intent, Outcome, OutcomeResult, Point, Record, Settled,
};
use super::{ActGate, Bound, GuardState, OpenGate, OpenIntent, State, Status, StepState};
use crate::runbook::Level;

/// `what` of an override: break-glass in place of a second person.
pub const SECOND_PERSON: &str = "second person";
/// `what` of an override: going on although what must hold after the step does not.
pub const VERIFY: &str = "verify";

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
            Record::Entered { done } => self.enter(done)?,
            Record::Decided { option, reason, row } => {
                if row.is_none() && self.open.is_some() {
                    return Err("an intent is open".into());
                }
                let step = self.step_mut(event)?;
                if step.standing().finished() && step.standing() != Status::Undone {
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
            Record::Verified { checks, .. } => {
                let step = self.step_mut(event)?;
                if !matches!(step.status, Status::Applied | Status::Unverified) {
                    return Err(format!("the step is {}", step.status.word()));
                }
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
            }
            Record::ActOutcome { act, .. } => {
                if self.act.as_ref() != Some(act) {
                    return Err("no such act is open".into());
                }
                self.act = None;
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

    fn enter(&mut self, done: &[String]) -> Result<(), String> {
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

    fn close_step(&mut self, event: &Event, status: Status, reason: &str) -> Result<(), String> {
        let step = self.step_mut(event)?;
        if !matches!(step.standing(), Status::Waiting | Status::Enabled | Status::Failed) {
            return Err(format!("the step is {}", step.status.word()));
        }
        step.rest(status, event);
        step.reason = Some(reason.to_owned());
        Ok(())
    }

    fn show_gate(&mut self, event: &Event, shown: &GateShown) -> Result<(), String> {
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

    fn answer(&mut self, event: &Event, answer: &GateAnswered) -> Result<(), String> {
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

    fn pass_over(&mut self, event: &Event, what: &str, reason: &str) -> Result<(), String> {
        if what == SECOND_PERSON {
            self.gate_for(event)?.broken = Some(reason.to_owned());
        } else {
            let step = self.step_mut(event)?;
            match what {
                VERIFY if step.status == Status::Unverified => step.forward = true,
                VERIFY => return Err(format!("the step is {}", step.status.word())),
                _ => {
                    step.passed.insert(what.to_owned());
                }
            }
        }
        self.overrides.push((event.step.clone(), what.to_owned(), reason.to_owned()));
        Ok(())
    }

    fn begin(&mut self, event: &Event, intent: &Intent) -> Result<(), String> {
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
    fn release_guards(&mut self, step: Option<&str>, undone: Option<&str>) {
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
    fn finish(&mut self, event: &Event, outcome: &Outcome) -> Result<(), String> {
        let open = self.open_for(event)?;
        let undoes = open.intent.undoes.clone();
        let own_undo = undoes == event.step;
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
                step.undoes = undoes;
            }
            OutcomeResult::Unknown => step.status = Status::Unknown,
            // An undo without effect leaves standing what stood.
            OutcomeResult::NotApplied if step.resting.stands() || step.resting == Status::Undone => {
                step.status = step.resting;
            }
            OutcomeResult::NotApplied => step.rest(Status::Failed, event),
        }
        // What a step changed, and where the rows as they were lie, outlives its undo.
        if !own_undo {
            step.outcome = Some(outcome.clone());
        }
        Ok(())
    }

    fn settle(&mut self, event: &Event, settled: &Settled) -> Result<(), String> {
        let outcome = settled.outcome.clone().unwrap_or_else(|| Outcome {
            result: settled.result,
            evidence: settled.reason.clone(),
            changed: None,
            changed_since: Vec::new(),
            before_image: None,
        });
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
        if settled.result != OutcomeResult::Applied || !step.standing().open_to_attempt() {
            return Err(format!("no intent is open and the step is {}", step.status.word()));
        }
        step.rest(Status::Elsewhere, event);
        step.reason = Some(settled.reason.clone());
        if let Some(undone) = &settled.undoes {
            self.release_guards(event.step.as_deref(), Some(undone));
            self.steps.get_mut(undone).ok_or("the runbook has no such step")?.rest(Status::Undone, event);
        }
        Ok(())
    }

    fn done(&mut self, event: &Event, verified: bool) -> Result<(), String> {
        let step = self.step_mut(event)?;
        if !matches!(step.status, Status::Applied | Status::Unverified) {
            return Err(format!("the step is {}", step.status.word()));
        }
        if !verified {
            step.rest(Status::Unverified, event);
            return Ok(());
        }
        let undoes = step.undoes.take();
        step.rest(Status::Done, event);
        if let Some(undone) = undoes
            && let Some(other) = self.steps.get_mut(&undone)
        {
            other.rest(Status::Undone, event);
        }
        Ok(())
    }
}

impl StepState {
    fn rest(&mut self, status: Status, event: &Event) {
        self.status = status;
        self.resting = status;
        self.since = Some(event.at.logged());
    }
}
