//! What was read from the world: positions, checks, frozen values. Changed nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Now;
use crate::runbook::expect::Verdict;
use crate::runbook::{CheckRef, FreezeItem};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Done,
    NotDone,
    HalfDone,
    Unknown,
}

impl Position {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDone => "not done",
            Self::HalfDone => "half done",
            Self::Unknown => "unknown",
        }
    }
}

/// What survey found, whole: the entry is proposed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surveyed {
    pub steps: BTreeMap<String, Found>,
    pub checks: Vec<Checked>,
    pub environment: Environment,
    pub targets: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub position: Position,
    pub because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    Production,
    Rehearsal,
}

impl Environment {
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// A check's answer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub check: CheckRef,
    pub verdict: Verdict,
    pub value: Option<Value>,
    /// The server's own words, where it did not answer with a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    pub at: Now,
    pub took_ms: u64,
}

/// One item of a `freeze` or of a `reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub item: FreezeItem,
    pub content: FrozenContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenContent {
    Value(Value),
    /// The rows themselves lie in `file` of the run's directory.
    Rows {
        count: u64,
        digest: String,
        file: String,
        /// Of a compared set: rows per class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classes: Option<BTreeMap<String, u64>>,
    },
    /// Offsets, or a catalog: small enough to stand in the log.
    Snapshot(Value),
    Unknown {
        because: String,
    },
}
