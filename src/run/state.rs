//! The state of a run, and `evolve`: the only thing that changes it.
//!
//! Owns the transition table: a record that is illegal in the present state is an error, never ignored. Never reads a
//! clock, a file or the runbook: the log alone gives the state.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::record::{
    Actor, Checked, End, Environment, Event, Frozen, GateShown, HoldReason, Intent, ItemDone, Now, OpenItem, Outcome,
    OutcomeResult, Point, Record, RunStarted, Surveyed,
};
use crate::runbook::CheckRef;
use crate::runbook::expect::Verdict;

/// A record that may not follow what the log holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{} is illegal here: {why}", step.as_ref().map(|s| format!(" of {s}")).unwrap_or_default())]
pub struct Illegal {
    pub kind: String,
    pub step: Option<String>,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not its turn.
    Waiting,
    /// Its turn.
    Enabled,
    /// A gate is open.
    Gate,
    /// The gate was answered yes; no intent yet.
    Answered,
    /// An intent is open.
    Running,
    /// An intent is open and nobody knows whether it took effect.
    Unknown,
    /// Not applied; may be tried again.
    Failed,
    /// Applied; what must hold after it has not been judged.
    Applied,
    /// Applied, and what must hold after it is red or unknown.
    Unverified,
    Done,
    /// Done by other hands.
    Elsewhere,
    NotNeeded,
    Skipped,
    Undone,
}

impl Status {
    /// Nothing more is to be done for the steps that wait for it.
    pub fn finished(self) -> bool {
        matches!(self, Self::Done | Self::Elsewhere | Self::NotNeeded | Self::Skipped | Self::Undone)
    }

    /// Its effect stands in the world.
    pub fn stands(self) -> bool {
        matches!(self, Self::Done | Self::Elsewhere | Self::Applied | Self::Unverified)
    }

    /// A gate or an intent may begin from here. An answer whose intent never reached the disk is worth nothing.
    pub fn open_to_attempt(self) -> bool {
        matches!(self, Self::Waiting | Self::Enabled | Self::Failed | Self::Undone | Self::Answered)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Enabled => "next",
            Self::Gate => "at the gate",
            Self::Answered => "answered",
            Self::Running => "running",
            Self::Unknown => "UNKNOWN",
            Self::Failed => "not applied",
            Self::Applied => "applied",
            Self::Unverified => "NOT VERIFIED",
            Self::Done => "done",
            Self::Elsewhere => "done by other hands",
            Self::NotNeeded => "not needed",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepState {
    pub status: Status,
    /// Where an attempt that ends without effect returns to.
    resting: Status,
    /// The latest attempt; 0 before the first.
    pub att: u32,
    pub since: Option<Now>,
    pub shown: Option<GateShown>,
    pub outcome: Option<Outcome>,
    pub items: BTreeMap<String, ItemDone>,
    pub verified: Vec<Checked>,
    /// The step that the present attempt undoes.
    pub undoes: Option<String>,
    pub decided: Option<(String, String)>,
    /// Asked rows of a `reconcile`: row, class.
    pub rows: BTreeMap<String, String>,
    pub reason: Option<String>,
}

impl StepState {
    fn new() -> Self {
        Self {
            status: Status::Waiting,
            resting: Status::Waiting,
            att: 0,
            since: None,
            shown: None,
            outcome: None,
            items: BTreeMap::new(),
            verified: Vec::new(),
            undoes: None,
            decided: None,
            rows: BTreeMap::new(),
            reason: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenGate {
    pub step: String,
    pub att: u32,
    pub shown: GateShown,
    pub at: Now,
    pub approved_by: Option<String>,
    /// Break-glass: the reason.
    pub broken: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenIntent {
    pub step: String,
    pub att: u32,
    pub intent: Intent,
    pub at: Now,
    pub reached: Vec<(Point, Value)>,
    pub unknown: bool,
    pub settling: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuardState {
    /// The contain step that bound it.
    pub step: Option<String>,
    /// The verdict that broke it.
    pub broken: Option<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct State {
    pub started: Option<(RunStarted, Now)>,
    pub ended: Option<(End, Vec<OpenItem>)>,
    pub abandoned: Option<String>,
    pub actors: IndexMap<String, Actor>,
    /// The actor that holds the keyboard.
    pub operator: Option<String>,
    pub vars: BTreeMap<String, Value>,
    pub survey: Option<Surveyed>,
    pub entered: bool,
    pub steps: IndexMap<String, StepState>,
    /// Latest by item name.
    pub frozen: IndexMap<String, Frozen>,
    pub guards: BTreeMap<CheckRef, GuardState>,
    pub holds: BTreeSet<HoldReason>,
    pub gate: Option<OpenGate>,
    pub open: Option<OpenIntent>,
    pub claims: BTreeMap<String, u64>,
    pub lost: BTreeMap<String, String>,
    pub act: Option<super::record::Act>,
    /// Overrides and break-glass: step, what, reason.
    pub overrides: Vec<(Option<String>, String, String)>,
}

type Step<'a> = Result<&'a mut StepState, String>;

impl State {
    /// The fold over a whole log.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Illegal> {
        let mut state = Self::default();
        for event in events {
            state.evolve(event)?;
        }
        Ok(state)
    }

    pub fn run(&self) -> &str {
        self.started.as_ref().map_or("", |(started, _)| started.run.as_str())
    }

    pub fn environment(&self) -> Environment {
        // What nobody has declared a rehearsal is production.
        self.survey.as_ref().map_or(Environment::Production, |survey| survey.environment)
    }

    pub fn closed(&self) -> bool {
        self.ended.is_some() || self.abandoned.is_some()
    }

    pub fn status(&self, step: &str) -> Status {
        self.steps.get(step).map_or(Status::Waiting, |s| s.status)
    }

    /// Takes one record in. On an error the state is as it was before.
    pub fn evolve(&mut self, event: &Event) -> Result<(), Illegal> {
        if event.record.is_log() {
            return Ok(());
        }
        let illegal = |why: String| Illegal { kind: event.record.kind().to_owned(), step: event.step.clone(), why };
        match (&event.record, &self.started) {
            (Record::RunStarted(_), None) => {}
            (Record::RunStarted(_), Some(_)) => return Err(illegal("the run has started".into())),
            (_, None) => return Err(illegal("the run has not started".into())),
            _ if self.closed() => return Err(illegal("the run has ended".into())),
            _ => {}
        }
        self.apply(event).map_err(illegal)
    }

    fn step_mut(&mut self, event: &Event) -> Step<'_> {
        let id = event.step.as_ref().ok_or("it names no step")?;
        self.steps.get_mut(id).ok_or_else(|| format!("the runbook has no step {id}"))
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
    fn apply(&mut self, event: &Event) -> Result<(), String> {
        match &event.record {
            Record::RunStarted(started) => {
                self.steps = started.steps.iter().map(|id| (id.clone(), StepState::new())).collect();
                self.started = Some((started.clone(), event.at.clone()));
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
                self.frozen.insert(frozen.item.to_string(), frozen.clone());
            }
            Record::Entered { done } => self.enter(done)?,
            Record::Decided { option, reason, row } => {
                let step = self.step_mut(event)?;
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
            }
            Record::GateAnswered(answer) => {
                let digest = self.gate_for(event)?.shown.offer_digest.clone();
                if digest != answer.offer_digest {
                    return Err("the answer is to another offer".into());
                }
                self.gate = None;
                let step = self.step_mut(event)?;
                step.status = if answer.yes { Status::Answered } else { step.resting };
            }
            Record::Approval { by, offer, .. } => {
                let gate = self.gate_for(event)?;
                if &gate.shown.offer_digest != offer {
                    return Err("the approval is of another offer".into());
                }
                gate.approved_by = Some(by.clone());
            }
            Record::Override { what, reason } => {
                if self.gate.is_some() {
                    self.gate_for(event)?.broken = Some(reason.clone());
                }
                self.overrides.push((event.step.clone(), what.clone(), reason.clone()));
            }
            Record::Intent(intent) => self.begin(event, intent)?,
            Record::Reached { point, data } => {
                let open = self.open_for(event)?;
                if open.unknown {
                    return Err("its outcome is unknown: settle it first".into());
                }
                open.reached.push((*point, data.clone()));
            }
            Record::AttemptFailed { .. } | Record::Progressed { .. } => {
                self.open_for(event)?;
            }
            Record::ItemDone(item) => {
                self.open_for(event)?;
                self.step_mut(event)?.items.insert(item.key.clone(), item.clone());
            }
            Record::Outcome(outcome) => {
                if self.open_for(event)?.unknown {
                    return Err("its outcome is unknown: settle it first".into());
                }
                self.finish(event, outcome.result)?;
                self.step_mut(event)?.outcome = Some(outcome.clone());
            }
            Record::Verified { checks, .. } => {
                let step = self.step_mut(event)?;
                if !matches!(step.status, Status::Applied | Status::Unverified) {
                    return Err(format!("the step is {}", step.status.word()));
                }
                step.verified.clone_from(checks);
            }
            Record::StepDone { verified } => self.done(event, *verified)?,
            Record::ActShown { .. } => {}
            Record::ActAnswered { .. } => {}
            Record::ActIntent { act } => {
                if self.act.is_some() {
                    return Err("another act is open".into());
                }
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
            Record::Settled(settled) => self.settle(event, settled.result, &settled.reason)?,
            Record::GuardBound { check } => {
                self.guards.insert(check.clone(), GuardState { step: event.step.clone(), broken: None });
            }
            Record::GuardBroken { check, verdict, .. } => {
                let guard = self.guards.get_mut(check).ok_or("it is not bound")?;
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
                if self.open.is_some() || self.gate.is_some() {
                    return Err("an intent or a gate is open".into());
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
                && step.status.open_to_attempt()
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
        if !matches!(step.status, Status::Waiting | Status::Enabled | Status::Failed) {
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
        let undoes = shown.offer.undoes.clone();
        let own_undo = undoes.as_deref() == event.step.as_deref();
        if let Some(other) = undoes.as_deref().filter(|_| !own_undo) {
            self.steps.get(other).ok_or_else(|| format!("the runbook has no step {other}"))?;
        }
        let step = self.step_mut(event)?;
        let ready = if own_undo { step.status.stands() } else { step.status.open_to_attempt() };
        if !ready {
            return Err(format!("the step is {}", step.status.word()));
        }
        let att = step.att + 1;
        if event.att != Some(att) || shown.offer.att != att {
            return Err(format!("the next attempt is {att}"));
        }
        step.att = att;
        step.status = Status::Gate;
        step.undoes = undoes;
        step.shown = Some(shown.clone());
        step.since = Some(event.at.clone());
        let id = event.step.clone().unwrap_or_default();
        self.gate = Some(OpenGate {
            step: id,
            att,
            shown: shown.clone(),
            at: event.at.clone(),
            approved_by: None,
            broken: None,
        });
        Ok(())
    }

    fn begin(&mut self, event: &Event, intent: &Intent) -> Result<(), String> {
        if let Some(open) = &self.open {
            return Err(format!("the intent of {} is open", open.step));
        }
        if self.gate.is_some() {
            return Err("a gate is open".into());
        }
        let step = self.step_mut(event)?;
        match &intent.offer_digest {
            Some(digest) => {
                let answered = step.shown.as_ref().map(|s| &s.offer_digest) == Some(digest);
                if step.status != Status::Answered || !answered || event.att != Some(step.att) {
                    return Err("this offer has no recorded answer".into());
                }
            }
            None => {
                if !step.status.open_to_attempt() || event.att != Some(step.att + 1) {
                    return Err(format!("the step is {}, its attempt {}", step.status.word(), step.att));
                }
                step.att += 1;
            }
        }
        step.status = Status::Running;
        step.since = Some(event.at.clone());
        step.undoes.clone_from(&intent.undoes);
        if let Some(undone) = &intent.undoes {
            self.guards.retain(|_, guard| guard.step.as_ref() != Some(undone));
            self.holds.retain(|hold| match hold {
                HoldReason::Guard { check } => self.guards.contains_key(check),
                _ => true,
            });
        }
        self.open = Some(OpenIntent {
            step: event.step.clone().unwrap_or_default(),
            att: event.att.unwrap_or_default(),
            intent: intent.clone(),
            at: event.at.clone(),
            reached: Vec::new(),
            unknown: false,
            settling: false,
        });
        Ok(())
    }

    /// Closes the open intent, or leaves it open where nobody knows.
    fn finish(&mut self, event: &Event, result: OutcomeResult) -> Result<(), String> {
        if result == OutcomeResult::Unknown {
            self.open_for(event)?.unknown = true;
        } else {
            self.open = None;
        }
        let step = self.step_mut(event)?;
        step.since = Some(event.at.clone());
        step.status = match result {
            OutcomeResult::Applied => Status::Applied,
            OutcomeResult::Unknown => Status::Unknown,
            // An undo without effect leaves standing what stood.
            OutcomeResult::NotApplied if step.resting.stands() => step.resting,
            OutcomeResult::NotApplied => Status::Failed,
        };
        Ok(())
    }

    fn settle(&mut self, event: &Event, result: OutcomeResult, reason: &str) -> Result<(), String> {
        if self.open.is_some() {
            if !self.open_for(event)?.settling {
                return Err("settling has not started".into());
            }
            return self.finish(event, result);
        }
        // By other hands, with evidence.
        let step = self.step_mut(event)?;
        if result != OutcomeResult::Applied || !step.status.open_to_attempt() {
            return Err(format!("no intent is open and the step is {}", step.status.word()));
        }
        step.rest(Status::Elsewhere, event);
        step.reason = Some(reason.to_owned());
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
        self.since = Some(event.at.clone());
    }
}
