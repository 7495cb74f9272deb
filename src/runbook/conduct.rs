//! How a step is carried out: in stages, row by row, member by member, and for how long it is watched.
//!
//! Owns the model of it alone. A step that says none of it is carried out at once and as a whole.

use std::time::Duration;

use super::CheckRef;

#[derive(Debug, Clone, Default)]
pub struct Conduct {
    pub stages: Option<Stages>,
    pub then_watch: Option<Watch>,
    /// Rows at a time, of `each` and of a `change`.
    pub batch: Option<u64>,
    /// A red one stops between two rows.
    pub stop_when: Vec<CheckRef>,
    /// The run may end while this is open: it has an owner and a date.
    pub may_stay_open: bool,
    /// A statement of the migration: `up#2`.
    pub reverses: Option<String>,
    pub lock: Option<LockTerms>,
    /// Of a fleet: these members first, each by itself.
    pub members_first: Option<Vec<String>>,
    /// The undo counts only while these are green.
    pub undo_valid_while: Vec<CheckRef>,
}

/// `{{ stage }}` takes each value in turn; between two the checks hold for a while.
#[derive(Debug, Clone)]
pub struct Stages {
    pub steps: Vec<serde_json::Value>,
    pub between: Vec<CheckRef>,
    pub hold: Option<Duration>,
}

/// What is looked at after the step is done; a red one proposes its undo.
#[derive(Debug, Clone)]
pub struct Watch {
    pub checks: Vec<CheckRef>,
    pub hold: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct LockTerms {
    pub timeout: Option<Duration>,
    pub retry: Option<u64>,
}

/// A moment at which something begins by itself.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// `04:30Z`, or a time with its date.
    pub at: String,
    pub what: String,
    /// It does not come while this is green.
    pub off_when: Option<CheckRef>,
}

/// The members of a fleet of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Schemas of the target's database, or databases of their own.
    Named(Vec<Member>),
    /// Every schema whose name the glob matches.
    EachSchema(String),
    /// A variable of the environment that lists addresses.
    FromEnv(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// `None`: the schema of this name.
    pub address: Option<String>,
}

impl std::fmt::Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(members) => {
                f.write_str(&members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Self::EachSchema(glob) => write!(f, "each schema {glob}"),
            Self::FromEnv(name) => write!(f, "from {name}"),
        }
    }
}

/// How the values of a fleet's members are one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    All,
    Sum,
    Max,
}
