//! What a step is: its action, what stands around it, and how much its gate asks for.
//!
//! Owns the model of a step alone; what must hold before and after it is named, not kept here.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{After, CheckRef, Expect, HttpRequest, Layer, Need, PerDialect, Phase, Reads, SqlText, Template, VarKind};

#[derive(Debug, Clone)]
pub struct Step {
    pub id: String,
    pub phase: Phase,
    pub layer: Layer,
    pub title: String,
    pub why: Option<String>,
    pub on: Option<String>,
    pub action: Action,
    pub needs: Vec<Need>,
    pub verify: Vec<CheckRef>,
    /// Declared; a derived one is found when the action is rendered.
    pub undo: Option<Box<Action>>,
    /// Resolved: the author's, or the step before it in its phase.
    pub after: Vec<After>,
    /// All of them: a decision and the option it must have taken.
    pub when: Vec<(String, String)>,
    /// An author may raise the level, never lower it.
    pub level: Option<Level>,
    pub within: Option<Duration>,
    /// Once per row of the set.
    pub each: Option<Each>,
    pub leaves: Vec<Leaves>,
    /// Replaces what a service reads, from this step's done until it is undone.
    pub redeclares: IndexMap<String, IndexMap<String, Reads>>,
    /// Overrides the derived done-check.
    pub done_when: Vec<CheckRef>,
}

#[derive(Debug, Clone)]
pub struct Each {
    pub set: SetRef,
    pub pause: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    pub what: String,
    pub owner: Option<String>,
    pub remove_by: Option<String>,
}

/// A set, a class of a compared set, or what a step changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetRef {
    Set(String),
    Class { set: String, class: String },
    ChangedBy { steps: Vec<String> },
}

impl std::fmt::Display for SetRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(set) => f.write_str(set),
            Self::Class { set, class } => write!(f, "{set}[{class}]"),
            Self::ChangedBy { steps } => write!(f, "changed by {}", steps.join(", ")),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    Freeze(Vec<FreezeItem>),
    /// One statement each, in order.
    Ddl(PerDialect<Vec<SqlText>>),
    Change(Change),
    /// Puts every row of a compared set in its class and freezes the result.
    Reconcile {
        set: String,
    },
    Publish(Publish),
    Session {
        end: String,
    },
    Command {
        argv: Vec<Template>,
    },
    Http(HttpRequest),
    Manual(Manual),
    Decide(Decide),
    /// Undoes another step at its own place in the order.
    UndoOf {
        step: String,
    },
}

impl Action {
    /// The word that the file uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Freeze(_) => "freeze",
            Self::Ddl(_) => "ddl",
            Self::Change(_) => "change",
            Self::Reconcile { .. } => "reconcile",
            Self::Publish(_) => "publish",
            Self::Session { .. } => "session",
            Self::Command { .. } => "command",
            Self::Http(_) => "http",
            Self::Manual(_) => "manual",
            Self::Decide(_) => "decide",
            Self::UndoOf { .. } => "undo_of",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeItem {
    Reading(String),
    Set(String),
    Offsets { target: String },
    Catalog { target: String },
}

impl std::fmt::Display for FreezeItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reading(name) | Self::Set(name) => f.write_str(name),
            Self::Offsets { target } => write!(f, "offsets of {target}"),
            Self::Catalog { target } => write!(f, "catalog of {target}"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Change {
    /// The frozen rows it is about; without one, the statement is.
    pub set: Option<SetRef>,
    pub sql: PerDialect<SqlText>,
    /// The author's bound; left out, the previewed number.
    pub rows: Option<Expect>,
}

#[derive(Debug, Clone)]
pub struct Publish {
    pub topic: String,
    pub from: SetRef,
    /// The column whose value is the record's key.
    pub key: String,
    /// Rendered per row into one JSON value.
    pub value: serde_json::Value,
    pub headers: IndexMap<String, Template>,
}

#[derive(Debug, Clone)]
pub struct Manual {
    pub what: Template,
    pub by: Option<String>,
    /// What to answer, by field.
    pub ask: IndexMap<String, VarKind>,
}

#[derive(Debug, Clone)]
pub struct Decide {
    pub ask: String,
    pub options: Vec<String>,
}

/// How much a gate asks for. Rising; an action's kind sets it and nothing lowers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Reads: nothing is asked.
    None,
    /// The word of the choice, and a reason.
    Choice,
    /// What was seen, ten characters or more.
    Seen,
    /// The number that will change, as previewed.
    Number,
    /// `object@target`.
    Object,
    /// `step@environment`.
    Step,
    /// The same, and a second person or break-glass with a reason.
    Irreversible,
}
