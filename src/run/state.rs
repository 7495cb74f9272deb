//! The state of a run, and `evolve`: the only thing that changes it.
//!
//! Owns what a run can be in and the questions about it; the transition table stands in `state/evolve.rs`. Never reads
//! a clock, a file or the runbook: the log alone gives the state.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::record::{
    Act, Actor, Checked, End, Environment, Event, Frozen, GateShown, HoldReason, Intent, ItemDone, Kept, Now, OpenItem,
    Outcome, Point, Record, Restored, RunStarted, Surveyed, Tried,
};
use crate::runbook::CheckRef;
use crate::runbook::expect::Verdict;

mod evolve;

pub use evolve::{SECOND_PERSON, TRIAL, UNDO, VERIFY};

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
    /// Its undo was not applied: its effect stands, and somebody must decide. This and the next are told, never kept:
    /// the step is where it was.
    UndoFailed,
    /// An `undo_of` step that was not applied: what it undoes stands, and somebody must decide.
    NotUndone,
    /// Undone, and what it touched is not as it was before, or nobody can tell.
    NotExact,
}

impl Status {
    /// Nothing more is to be done for the steps that wait for it.
    pub fn finished(self) -> bool {
        matches!(self, Self::Done | Self::Elsewhere | Self::NotNeeded | Self::Skipped | Self::Undone)
    }

    /// Its effect stands in the world.
    pub fn stands(self) -> bool {
        matches!(self, Self::Done | Self::Elsewhere | Self::Applied | Self::Unverified | Self::UndoFailed)
    }

    /// A gate or an intent may begin from here. An answer whose intent never reached the disk is worth nothing.
    pub fn open_to_attempt(self) -> bool {
        use Status::{Answered, Enabled, Failed, NotUndone, Skipped, Undone, Waiting};
        matches!(self, Waiting | Enabled | Failed | NotUndone | Skipped | Undone | Answered)
    }

    /// An undo without effect: whatever it was to take back stands.
    pub fn undo_failed(self) -> bool {
        matches!(self, Self::UndoFailed | Self::NotUndone)
    }

    /// Took effect, and what must hold afterwards does not.
    pub fn is_red(self) -> bool {
        matches!(self, Self::Unverified | Self::NotExact)
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
            Self::UndoFailed | Self::NotUndone => "undo FAILED",
            Self::NotExact => "undone, NOT EXACTLY",
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
    /// Data of the last `begun` or `sent` point, of any attempt: what may have left the house. Of a batch, until that
    /// item's end is known.
    pub begun: Option<Value>,
    pub verified: Vec<Checked>,
    /// The step that the latest applied attempt undoes. Of an attempt under way: see its offer or its intent.
    pub undoes: Option<String>,
    pub decided: Option<(String, String)>,
    /// Asked rows of a `reconcile`: row, class.
    pub rows: BTreeMap<String, String>,
    pub reason: Option<String>,
    /// Needs that an override or break-glass passes over at the next gate and at no other: `need NAME`, `hard need NAME`.
    pub passed: BTreeSet<String>,
    /// Applied, not verified, and the operator went on all the same.
    pub forward: bool,
    /// The latest trial.
    pub tried: Option<Trial>,
    /// The catalog of what it touches as it was before the attempt that took effect, and when that was kept.
    pub before: Option<(Kept, Now)>,
    /// Why its undo, or what it is to undo, was not undone: the server's words. Gone with a decision.
    pub undo_failed: Option<String>,
    /// What its latest undo brought back.
    pub restored: Option<Restored>,
    /// Its latest effect: its own, that of its undo, or what other hands did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<Took>,
}

/// When a step took effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Took {
    /// When it was recorded.
    pub at: Now,
    /// The target, and when by the clock of its server.
    pub committed: Option<(String, String)>,
}

/// How the latest trial of a step ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    pub at: Now,
    /// None: it was refused, or something stopped it.
    pub tried: Option<Tried>,
    pub words: String,
}

impl Trial {
    /// In words for the gate of just these statements.
    pub fn of(&self, rendered: &[String]) -> Option<String> {
        let tried = self.tried.as_ref().filter(|tried| tried.rendered() == rendered)?;
        let mark = if tried.is_good() { "✓" } else { "✗" };
        Some(format!("{mark} {} {}", self.at.wall.strftime("%H:%M:%SZ"), tried.words()))
    }
}

impl StepState {
    /// The item of an `each` that began and has no end in the log.
    pub fn under_way(&self) -> Option<&str> {
        self.begun.as_ref()?.get("item")?.as_str()
    }

    fn standing(&self) -> Status {
        self.told(if self.status == Status::Answered { self.resting } else { self.status })
    }

    /// Where it is, to be shown.
    pub fn now(&self) -> Status {
        self.told(self.status)
    }

    /// An undo that failed leaves the step where it stood, and is told instead.
    fn told(&self, status: Status) -> Status {
        match status {
            _ if self.undo_failed.is_none() => status,
            Status::Done | Status::Elsewhere | Status::Unverified => Status::UndoFailed,
            Status::Failed | Status::Undone => Status::NotUndone,
            other => other,
        }
    }

    fn new() -> Self {
        Self {
            status: Status::Waiting,
            resting: Status::Waiting,
            att: 0,
            since: None,
            shown: None,
            outcome: None,
            items: BTreeMap::new(),
            begun: None,
            verified: Vec::new(),
            undoes: None,
            decided: None,
            rows: BTreeMap::new(),
            reason: None,
            passed: BTreeSet::new(),
            forward: false,
            tried: None,
            before: None,
            undo_failed: None,
            restored: None,
            took: None,
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
    /// The step that bound it first; `None`: it holds from the start.
    pub step: Option<String>,
    /// Everything that wants it green. It ends with the last of them.
    pub bound: Vec<Bound>,
    /// The verdict that broke it.
    pub broken: Option<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    pub step: Option<String>,
    /// Ends with the intent of this step, or with that of an undo of `step`.
    pub until: Option<String>,
}

/// The gate of an act, beside the steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActGate {
    pub act: Act,
    pub token: String,
    pub answered: bool,
}

/// Keys of JSON objects are texts.
fn by_name<S: serde::Serializer>(guards: &BTreeMap<CheckRef, GuardState>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(guards.iter().map(|(check, guard)| (check.to_string(), guard)))
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
    #[serde(serialize_with = "by_name")]
    pub guards: BTreeMap<CheckRef, GuardState>,
    /// Checks whose guard has ended: they only had to hold while something was contained.
    pub released: BTreeSet<CheckRef>,
    pub holds: BTreeSet<HoldReason>,
    pub gate: Option<OpenGate>,
    pub open: Option<OpenIntent>,
    pub claims: BTreeMap<String, u64>,
    pub lost: BTreeMap<String, String>,
    pub act: Option<Act>,
    /// The step, with its attempt, that the act is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act_for: Option<(String, Option<u32>)>,
    pub act_gate: Option<ActGate>,
    /// Overrides and break-glass: step, what, reason.
    pub overrides: Vec<(Option<String>, String, String)>,
}

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

    /// An answer without an intent is worth nothing (the process ended between the two): it counts as where the step
    /// was before.
    pub fn status(&self, step: &str) -> Status {
        self.steps.get(step).map_or(Status::Waiting, StepState::standing)
    }

    /// The steps that wait for it may go on.
    pub fn behind(&self, step: &str) -> bool {
        self.steps
            .get(step)
            .is_some_and(|s| s.standing().finished() || (s.standing() == Status::Unverified && s.forward))
    }

    /// A step whose undo failed, or that failed to undo, and nobody has decided yet.
    pub fn undo_failed(&self) -> Option<&str> {
        self.steps.iter().find(|(_, step)| step.standing().undo_failed()).map(|(id, _)| id.as_str())
    }

    /// Takes one record in. On an error the state is as it was before.
    pub fn evolve(&mut self, event: &Event) -> Result<(), Illegal> {
        if event.record.is_log() {
            return Ok(());
        }
        let illegal = |why: String| Illegal { kind: event.record.kind(), step: event.step.clone(), why };
        match (&event.record, &self.started) {
            (Record::RunStarted(_), None) => {}
            (Record::RunStarted(_), Some(_)) => return Err(illegal("the run has started".into())),
            (_, None) => return Err(illegal("the run has not started".into())),
            // Whoever reads the log afterwards may still say something.
            (Record::Note { .. }, _) => return Ok(()),
            _ if self.closed() => return Err(illegal("the run has ended".into())),
            _ => {}
        }
        self.apply(event).map_err(illegal)
    }
}
