//! Targets: connections, identity and facts.
//!
//! Owns every connection to a database or a broker: how it is opened, what the server says it is, and which environment
//! it declares. Never judges an answer and never decides whether something may be done.

pub mod http;
pub mod kafka;
pub mod records;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::failure::Result;
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::{Runbook, TargetKind};

/// How targets are reached in this run: the environment (process and `--env-file`), names for connections, folders.
#[derive(Clone)]
pub struct Access {
    /// What `${NAME}` under `targets` stands for. Values are secrets: never shown.
    pub env: BTreeMap<String, String>,
    pub run: String,
    pub runbook: String,
    pub incident: Option<String>,
    pub run_dir: PathBuf,
    /// `--insecure-tls`: a recorded flag; without it anything off loopback is verify-full.
    pub insecure_tls: bool,
    /// In a rehearsal: the only programs that `command` may start, by name.
    pub stand_ins: Option<PathBuf>,
}

/// What the server itself says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub seen: TargetSeen,
    pub kind: TargetKind,
    pub environment: Environment,
    /// Of the declaration row or record, in a rehearsal.
    pub nonce: Option<String>,
    /// A standby cannot be written to.
    pub standby: bool,
    pub encrypted: Option<bool>,
    /// Whether the role may see other sessions; without it, blockers are *cannot see*, never *none*.
    pub sees_sessions: bool,
    /// Whether claim and marker tables are there and writable.
    pub has_marker: bool,
}
