//! Checks: read-only questions, and what their answers are worth.
//!
//! Owns how each kind of check and reading is asked. Never changes a target (a probe is rolled back, always), and never
//! turns a missing answer into a pass.

pub mod command;
pub mod http;
pub mod kafka;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::run::record::FrozenContent;
use crate::runbook::expect::Verdict;
use crate::runbook::{Reads, Runbook};
use crate::target::{Access, Targets};

/// What checks and actions may know of the run: a copy made by the engine for one task.
#[derive(Clone)]
pub struct Context {
    pub runbook: Arc<Runbook>,
    pub access: Arc<Access>,
    pub targets: Arc<Targets>,
    pub vars: BTreeMap<String, Value>,
    /// Latest frozen content by item name (`revenue`, `stuck`, `verdict`, `offsets of bus`).
    pub frozen: BTreeMap<String, FrozenContent>,
    /// Before-image files of finished change steps, by step: what `changed by STEP` reads.
    pub changed: BTreeMap<String, String>,
    /// What services read now, where a done step redeclared it: service, topic, needs.
    pub reads: BTreeMap<String, BTreeMap<String, Reads>>,
    /// Rows of compared sets that a person decided: set, key, class.
    pub decided: BTreeMap<String, BTreeMap<String, String>>,
}

/// How deep a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The server prepares it: missing columns and wrong labels show; nothing runs. For survey and polling.
    Parse,
    /// Executed and rolled back: burns sequence values and fires triggers. At `verify`, or on request.
    Try,
}

/// An answer, before the engine stamps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    pub value: Option<Value>,
    /// The server's own words, where there is no value.
    pub words: Option<String>,
    pub took_ms: u64,
}
