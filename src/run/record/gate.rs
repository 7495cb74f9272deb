//! What a gate showed, and what was answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Checked, Environment};
use crate::runbook::Level;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    Expired,
    Red,
    Stale,
    Changed,
    Left,
}

/// What a gate asks consent to. Its digest covers exactly these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub run: String,
    pub step: String,
    pub att: u32,
    pub action: String,
    /// Rendered: statements, argv, request, or the events to publish (a sample and the digest of all).
    pub rendered: Vec<String>,
    pub binds: Vec<Value>,
    pub target: Option<TargetSeen>,
    pub environment: Environment,
    pub level: Level,
    /// What must be typed.
    pub token: String,
    /// Rows, events, items: the number that will change.
    pub number: Option<u64>,
    pub undo: Undoing,
    pub undoes: Option<String>,
    pub epoch: Option<u64>,
    /// Digest of action, checks and undo as written: the same in every run.
    pub step_digest: String,
}

/// A target as the server itself names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSeen {
    pub name: String,
    /// `PostgreSQL 15.4`, `Apache Kafka`, `SQLite 3.51`.
    pub server: String,
    /// `orders_prod @ db-eu-1:5432 as oncall, primary`.
    pub words: String,
    /// System identifier, cluster id, file id: what makes it this one and no other.
    pub identity: String,
    /// PostgreSQL: of a primary. A standby that was promoted goes on in the next one, and may lack what was committed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
}

impl TargetSeen {
    /// Whether nothing says that the other one is another server, or the same after a failover or a restore.
    pub fn is(&self, other: &Self) -> bool {
        let apart = matches!((self.timeline, other.timeline), (Some(one), Some(other)) if one != other);
        self.identity == other.identity && !apart
    }

    /// What tells it from another one, in words.
    pub fn told(&self) -> String {
        match self.timeline {
            Some(timeline) => format!("{}, timeline {timeline}", self.identity),
            None => self.identity.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// Declared by the author or derived from the statement.
    By {
        rendered: Vec<String>,
        derived: bool,
        limits: Option<String>,
    },
    /// From the rows as they were before.
    BeforeImage,
    None {
        because: String,
    },
}

/// What the decision rests on: recorded beside the offer, judged again at the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub needs: Vec<Checked>,
    /// Lines shown on the gate: label and words (`locks`, `table`, `breaks`, `in way` …).
    pub facts: Vec<(String, String)>,
    /// First rows of what will change.
    pub sample: Vec<String>,
    /// Sessions in the way: each process id with when it began, so that no later one is taken for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateShown {
    pub offer: Offer,
    pub offer_digest: String,
    pub evidence: Evidence,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswered {
    pub yes: bool,
    pub offer_digest: String,
    pub typed: String,
    pub reason: Option<String>,
    pub looked_ms: u64,
    /// From an answers file: never on production.
    pub from_file: bool,
}
