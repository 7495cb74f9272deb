//! What a step is: its action, what stands around it, and how much its gate asks for.
//!
//! Owns the model of a step alone; what must hold before and after it is named, not kept here.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    After, CheckRef, Conduct, Expect, HttpRequest, Layer, Need, Offsets, PerDialect, Phase, Reads, RegistryAct, Replay,
    SqlText, Template, Tombstones, TopicConfig, VarKind,
};

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
    pub conduct: Conduct,
    /// SHA-256 of action, checks and undo as written, lower-case hex: the same in every run and on every target.
    pub digest: String,
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
    /// The step that removes it.
    pub remove: Option<String>,
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
    Restore(Restore),
    Offsets(Offsets),
    Publish(Publish),
    Replay(Replay),
    Tombstones(Tombstones),
    Topic(TopicConfig),
    Registry(RegistryAct),
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

/// The words of the actions, as the file has them.
pub const WORDS: [&str; 17] = [
    "freeze",
    "ddl",
    "change",
    "reconcile",
    "restore",
    "offsets",
    "publish",
    "replay",
    "tombstones",
    "topic",
    "registry",
    "session",
    "command",
    "http",
    "manual",
    "decide",
    "undo_of",
];

impl Action {
    /// The word that the file uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Freeze(_) => "freeze",
            Self::Ddl(_) => "ddl",
            Self::Change(_) => "change",
            Self::Reconcile { .. } => "reconcile",
            Self::Restore(_) => "restore",
            Self::Offsets(_) => "offsets",
            Self::Publish(_) => "publish",
            Self::Replay(_) => "replay",
            Self::Tombstones(_) => "tombstones",
            Self::Topic(_) => "topic",
            Self::Registry(_) => "registry",
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
    /// In batches until this is green; `rows` is then the most that may change.
    pub until: Option<CheckRef>,
    /// Rows at a time.
    pub batch: Option<u64>,
    /// Why the rows are not saved before.
    pub unsaved_because: Option<String>,
}

/// Writes rows back from where they were kept.
#[derive(Debug, Clone)]
pub struct Restore {
    pub table: String,
    pub key: String,
    /// Empty: every column of the source that the table has.
    pub columns: Vec<String>,
    /// In order: the first that has the key wins.
    pub sources: Vec<SetRef>,
    pub exclude: Option<SetRef>,
    /// Whether rows that are gone are written anew.
    pub insert: bool,
    pub never_over: Option<NeverOver>,
}

/// Rows that a restore leaves as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverOver {
    /// Changed since the source was kept.
    Newer,
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
    /// The schema of the registry that the value is encoded with.
    pub schema_id: Option<u64>,
    pub partition: Option<Partition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Where the last record of the key was found.
    AsFound,
    Number(u64),
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
