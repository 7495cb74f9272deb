//! What is asked, and who refers to it.
//!
//! Owns the model of checks and readings. Asking is for others; what the answer must be is [`Expect`].

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Across, Expect, Layer, PerDialect, RegistryCheck, SqlText, Template};
use crate::sql::Fact;

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
    /// On a fleet: how its members' values are judged. `None`: each by itself.
    pub across: Option<Across>,
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
    /// Who has which right.
    Grants(Vec<Grant>),
    /// The migration is in, or out: by the catalog, and by the row that its tool writes.
    Migration {
        applied: bool,
    },
    /// The whole schema is as it was when the file was made.
    Like {
        fingerprint: PathBuf,
        except: Vec<String>,
    },
    /// The plan of a query uses an index or another object.
    Explain {
        query: PerDialect<SqlText>,
        uses: String,
    },
    /// Live sessions whose application name matches the glob.
    Sessions {
        matching: String,
    },
    Group(GroupCheck),
    /// What the group has committed on the topic.
    GroupOffsets {
        group: String,
        topic: String,
    },
    Shapes {
        topic: String,
        since: Option<Template>,
    },
    Registry(RegistryCheck),
    Http(HttpRequest),
    Command {
        argv: Vec<Template>,
    },
    /// None of the service's sessions or members is left.
    ServiceGone {
        service: String,
    },
}

/// A right on an object that a role has, or must not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub right: String,
    pub object: String,
    pub role: String,
    pub present: bool,
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { right, object, role, present } = self;
        write!(f, "{role} {} {right} on {object}", if *present { "has" } else { "has not" })
    }
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
    /// The author wrote it; else it follows from what the step does.
    pub written: bool,
    /// Where it follows from what the step does, written or not: in words, with the way out.
    pub because: Option<String>,
}
