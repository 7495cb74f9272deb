//! The runbook: what the YAML file says, checked and resolved.
//!
//! Owns the model that the rest of the program works with, and the way from text to it (`parse` reads, `resolve` checks
//! names and shapes, `lint` judges). Never connects to anything and never reads the environment: `${NAME}` stays a name
//! until a target is opened.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::sql::Dialect;

pub mod check;
pub mod conduct;
pub mod diagnostic;
pub mod events;
pub mod expect;
pub mod later;
pub mod level;
pub mod lint;
pub mod parse;
pub mod resolve;
pub mod schema;
pub mod set;
pub mod step;
pub mod template;
pub mod undo;
pub mod vars;
pub mod words;

pub use check::{Check, CheckKind, CheckRef, Grant, GroupCheck, HttpRequest, Need};
pub use conduct::{Across, Conduct, Deadline, LockTerms, Member, Members, Stages, Watch};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use events::{
    Offsets, Position, RegistryAct, RegistryChange, RegistryCheck, RegistryQuestion, Replay, Tombstones, TopicConfig,
};
pub use expect::Expect;
pub use resolve::{Loaded, Moved, load, load_moved, load_str, load_to_show};
pub use set::{ClassRule, Combined, Compare, Found, Otherwise, Set, SetSource, Side, TopicSource};
pub use step::{
    Action, Change, Decide, Each, FreezeItem, Leaves, Level, Manual, NeverOver, Partition, Publish, Restore, SetRef,
    Step,
};
pub use template::{SqlText, Template};

/// The checked model. Every name in it refers to something that exists.
#[derive(Debug, Clone)]
pub struct Runbook {
    pub name: String,
    pub title: String,
    pub summary: String,
    /// SHA-256 of the file's bytes, lower-case hex.
    pub digest: String,
    /// The exact bytes: copied into the run's directory.
    pub source: String,
    /// The folder that relative paths are relative to.
    pub base: PathBuf,
    pub migration: Option<Migration>,
    pub targets: IndexMap<String, Target>,
    /// The targets that are fleets of one shape.
    pub fleets: IndexMap<String, Members>,
    pub services: IndexMap<String, Service>,
    pub vars: IndexMap<String, Var>,
    /// Checks without an expectation: values to keep.
    pub readings: IndexMap<String, Check>,
    pub sets: IndexMap<String, Set>,
    pub checks: IndexMap<String, Check>,
    pub guards: Vec<Guard>,
    pub never: Vec<Never>,
    pub deadlines: Vec<Deadline>,
    /// Pieces of SQL by name.
    pub fragments: IndexMap<String, String>,
    /// Functions that checks may call besides the harmless built-ins.
    pub trust: Vec<Trust>,
    /// In the order of the file.
    pub steps: IndexMap<String, Step>,
}

/// A function whose body somebody has read, and the SHA-256 of that body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pub function: String,
    pub digest: String,
}

/// The release's own statements, per dialect: survey tells which of them are in.
#[derive(Debug, Clone, Default)]
pub struct Migration {
    pub up: PerDialect<Vec<PathBuf>>,
    pub down: PerDialect<Vec<PathBuf>>,
    pub recorded: Option<Recorded>,
}

/// The row that the migration's own tool writes when it has applied it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub table: String,
    pub column: String,
    pub value: String,
}

/// One form for every dialect, or a form for each.
#[derive(Debug, Clone)]
pub enum PerDialect<T> {
    Any(T),
    Each { postgres: Option<T>, mysql: Option<T>, sqlite: Option<T> },
}

impl<T> PerDialect<T> {
    /// The form for `dialect`, if the runbook has one.
    pub fn get(&self, dialect: Dialect) -> Option<&T> {
        match self {
            Self::Any(form) => Some(form),
            Self::Each { postgres, mysql, sqlite } => match dialect {
                Dialect::Postgres => postgres.as_ref(),
                Dialect::Mysql => mysql.as_ref(),
                Dialect::Sqlite => sqlite.as_ref(),
            },
        }
    }

    /// Every form there is.
    pub fn forms(&self) -> Vec<&T> {
        match self {
            Self::Any(form) => vec![form],
            Self::Each { postgres, mysql, sqlite } => [postgres, mysql, sqlite].into_iter().flatten().collect(),
        }
    }
}

impl<T: Default> Default for PerDialect<T> {
    fn default() -> Self {
        Self::Any(T::default())
    }
}

#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub kind: TargetKind,
    /// May hold `${NAME}`, read from the environment when the target is opened. Never shown.
    pub address: String,
    /// Records only: the field that names a record.
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    Postgres,
    Mysql,
    Sqlite,
    Kafka,
    Registry,
    Http,
    /// A file of outside records: CSV or JSON Lines.
    Records,
}

impl TargetKind {
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Postgres => Some(Dialect::Postgres),
            Self::Mysql => Some(Dialect::Mysql),
            Self::Sqlite => Some(Dialect::Sqlite),
            Self::Kafka | Self::Registry | Self::Http | Self::Records => None,
        }
    }
}

/// Another program that runs beside the incident, and what it needs.
#[derive(Debug, Clone, Default)]
pub struct Service {
    pub name: String,
    pub runs: Option<String>,
    /// It must not run: proved by 0 sessions and no group member.
    pub gone: bool,
    /// Globs on the application name of database sessions.
    pub sessions: Vec<Scoped>,
    /// `table.column`s that it reads or writes.
    pub uses: Vec<Scoped>,
    pub group: Option<String>,
    pub owner: Option<String>,
    pub reads: IndexMap<String, Reads>,
    /// It stays on its version by design.
    pub stays: bool,
    pub version: Option<Version>,
}

/// How the version of a service is read, and what it must be.
#[derive(Debug, Clone)]
pub struct Version {
    pub command: Vec<Template>,
    pub expect: Option<Expect>,
}

/// A name for every SQL target, or for one (`target:name` in the file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoped {
    pub target: Option<String>,
    pub name: String,
}

/// What a service needs of a topic's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub requires: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Var {
    pub name: String,
    pub kind: VarKind,
    pub ask: Option<String>,
    pub default: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarKind {
    Text,
    Integer,
    Number,
    Boolean,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Schema,
    Data,
    Events,
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Contain,
    Repair,
    Release,
    Close,
}

/// A check that must stay green from one step to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub check: CheckRef,
    /// Bound when this step is done; `None`: from the start.
    pub from: Option<String>,
    /// Released by the intent of this step; `None`: never.
    pub until: Option<String>,
}

/// An action that makes it worse.
#[derive(Debug, Clone)]
pub struct Never {
    pub what: String,
    pub because: String,
    /// Without a match it is advice, and says so.
    pub matches: Option<NeverMatch>,
    /// It ends when all of them are green.
    pub until: Vec<CheckRef>,
    /// It holds only while all of them are green.
    pub during: Vec<CheckRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeverMatch {
    Offsets { group: String, to: Option<String> },
    Ddl { statement: String, object: Option<String> },
    Change { object: String },
    Publish { topic: String },
    Command { argv: Vec<String> },
    Restore { table: String },
    Replay { topic: String },
    Tombstones { topic: String },
    Topic { name: String },
    Registry { act: String, subject: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub step: String,
    pub hard: bool,
}
