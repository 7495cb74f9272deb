//! The run as a whole: who, how it is held, how it ends.

use serde::{Deserialize, Serialize};

use crate::runbook::CheckRef;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    pub run: String,
    pub runbook: String,
    pub runbook_digest: String,
    pub incident: Option<String>,
    pub version: String,
    /// Steps of the runbook in order: the fold needs no other file.
    pub steps: Vec<String>,
    pub headless: bool,
    /// What its steps leave for a while: whoever has the log alone can tell what is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<Temporary>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temporary {
    pub step: String,
    pub what: String,
    pub owner: Option<String>,
    pub by: Option<String>,
    /// The step that takes it away.
    pub remove: Option<String>,
}

/// Fields named `claimed_*` come from the environment; the others were observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub id: String,
    pub user: String,
    pub uid: u32,
    pub host: String,
    pub tty: Option<String>,
    pub claimed_ssh: Option<String>,
    pub pid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    Operator,
    Terminal,
    Signal,
    Suspended,
    Target {
        name: String,
    },
    Guard {
        check: CheckRef,
    },
    Claim {
        target: String,
    },
    /// A step's outcome is unknown, or its verify is red.
    Step {
        step: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Recovered,
    Degraded,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenItem {
    pub what: String,
    pub owner: String,
    pub by: String,
}
