//! The runbook: what the YAML file says, checked and resolved.
//!
//! Owns the model that the rest of the program works with, and the way from text to it (`parse` reads, `resolve` checks
//! names and shapes, `lint` judges). Never connects to anything and never reads the environment: `${NAME}` stays a name
//! until a target is opened.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::sql::{Dialect, Fact};

pub mod diagnostic;
pub mod expect;
pub mod level;
pub mod lint;
pub mod parse;
pub mod resolve;
pub mod schema;
pub mod step;
pub mod template;
pub mod vars;
pub mod words;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use expect::Expect;
pub use resolve::{Loaded, Moved, load, load_moved, load_str};
pub use step::{Action, Change, Decide, Each, FreezeItem, Leaves, Level, Manual, Publish, SetRef, Step};
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
    pub services: IndexMap<String, Service>,
    pub vars: IndexMap<String, Var>,
    /// Checks without an expectation: values to keep.
    pub readings: IndexMap<String, Check>,
    pub sets: IndexMap<String, Set>,
    pub checks: IndexMap<String, Check>,
    pub guards: Vec<Guard>,
    pub never: Vec<Never>,
    /// In the order of the file.
    pub steps: IndexMap<String, Step>,
}

/// The release's own statements, per dialect: survey tells which of them are in.
#[derive(Debug, Clone, Default)]
pub struct Migration {
    pub up: PerDialect<Vec<PathBuf>>,
    pub down: PerDialect<Vec<PathBuf>>,
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

/// A read-only question. With `expect` it is a check; without, a reading.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: String,
    pub layer: Layer,
    pub title: String,
    pub on: Option<String>,
    pub kind: CheckKind,
    pub expect: Option<Expect>,
    /// The answer must have held for this long, observed.
    pub hold: Option<Duration>,
    /// Between two polls.
    pub every: Duration,
    /// Older than this, a value is stale at a gate.
    pub fresh: Duration,
}

#[derive(Debug, Clone)]
pub enum CheckKind {
    Query(PerDialect<SqlText>),
    /// Of a set, asked again.
    Count {
        set: String,
    },
    /// Asked again.
    Reading {
        reading: String,
    },
    /// Statements in a transaction that is always rolled back; `expect` is on the last.
    Probe {
        statements: PerDialect<Vec<SqlText>>,
        role: Option<String>,
    },
    Schema(Vec<Fact>),
    /// Live sessions whose application name matches the glob.
    Sessions {
        matching: String,
    },
    Group(GroupCheck),
    Shapes {
        topic: String,
        since: Option<Template>,
    },
    Http(HttpRequest),
    Command {
        argv: Vec<Template>,
    },
    /// None of the service's sessions or members is left.
    ServiceGone {
        service: String,
    },
}

#[derive(Debug, Clone)]
pub struct GroupCheck {
    pub group: String,
    /// The topic whose lag is the value.
    pub lag: Option<String>,
    /// `empty`, `stable`, `dead` … ; the check passes when the group is in it.
    pub state: Option<String>,
}

#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: String,
    pub url: Template,
    pub headers: IndexMap<String, Template>,
    pub body: Option<Template>,
    /// Expected status; any 2xx when left out.
    pub status: Option<u16>,
}

#[derive(Debug, Clone)]
pub struct Set {
    pub name: String,
    pub source: SetSource,
    /// The column that names a row.
    pub key: String,
}

#[derive(Debug, Clone)]
pub enum SetSource {
    Query {
        on: String,
        sql: PerDialect<SqlText>,
    },
    /// The records of a `records` target.
    Records {
        target: String,
    },
    Compare(Compare),
}

/// Every row of `ours` in a class, by what `theirs` says of it.
#[derive(Debug, Clone)]
pub struct Compare {
    pub ours: String,
    pub theirs: String,
    /// Our column, and theirs that holds the same value.
    pub by: (String, String),
    /// In order: the first that fits wins.
    pub classes: IndexMap<String, Vec<ClassRule>>,
    /// Where a row goes that fits none: to the operator, or to a class.
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    Ask,
    Class(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum ClassRule {
    /// How many of their records match.
    Found(Found),
    /// A column on both sides is equal (numbers by value).
    Equal { column: String },
    /// A column of one side has this value.
    Is { side: Side, column: String, value: serde_json::Value },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    None,
    Once,
    Many,
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeverMatch {
    Offsets { group: String, to: Option<String> },
    Ddl { statement: String, object: Option<String> },
    Change { object: String },
    Publish { topic: String },
    Command { argv: Vec<String> },
}

/// A check by name, or a service that must be gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckRef {
    Check(String),
    ServiceGone(String),
}

impl std::fmt::Display for CheckRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Check(name) => f.write_str(name),
            Self::ServiceGone(service) => write!(f, "{service} gone"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub check: CheckRef,
    /// No skip, no override: only break-glass.
    pub hard: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub step: String,
    pub hard: bool,
}
