//! What was begun, how far it came and how it ended.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub action: String,
    /// None for an action that no gate asks for.
    pub offer_digest: Option<String>,
    pub undoes: Option<String>,
    pub transactional: bool,
    pub on: Option<String>,
}

/// Where a worker waits for the engine before it goes past a point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the first effect without a transaction.
    Begun,
    /// The marker is written.
    TxOpen,
    /// Before COMMIT.
    Ready,
    /// Before the bytes of a request leave.
    Sent,
}

impl Point {
    /// As the log has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::TxOpen => "tx_open",
            Self::Ready => "ready",
            Self::Sent => "sent",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemDone {
    pub key: String,
    pub ok: bool,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub result: OutcomeResult,
    /// What it rests on: `marker read back`, the server's words, exit status.
    pub evidence: String,
    pub changed: Option<u64>,
    /// Rows of the frozen set that somebody changed since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_since: Vec<String>,
    /// Where the rows as they were before lie, for `changed by` and the undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_image: Option<String>,
    /// When it was committed, by the clock of its target's server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<String>,
}

impl Outcome {
    /// With no rows to tell of.
    pub fn new(result: OutcomeResult, evidence: impl Into<String>) -> Self {
        let (changed_since, before_image) = (Vec::new(), None);
        Self { result, evidence: evidence.into(), changed: None, changed_since, before_image, committed: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    Applied,
    NotApplied,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub result: OutcomeResult,
    /// `engine` by evidence, or the operator with a typed reason.
    pub reason: String,
    /// What the evidence tells beyond the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The step that this one, done by other hands, undid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// `pid` and `since` are of the worker's own session, as its last point named it: the engine fills them in.
    Cancel {
        target: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// `since` is when its server process began, as it was shown: no later one of the same number is meant.
    EndSession {
        target: String,
        pid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// Its statement only.
    CancelSession {
        target: String,
        pid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    Trial {
        target: String,
        step: String,
        /// On an empty copy of its tables.
        copy: bool,
        /// Why at full size, where the trial itself would hurt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
