//! Is the record whole? Walks every segment, names the first bad record and goes on.
//!
//! Owns the rules of the chain: numbers without a gap, each record holding the hash of the one before, segments that
//! declare how the one before them ended, and anchors. Whether a record is *legal* after those before it is the
//! caller's to say. Never writes.

mod chain;
mod display;
mod report;

pub use report::{Anchor, Anchored, Fault, Finding, Report, SegmentReport, Span, Tail, Verdict};

use super::line::Envelope;
use super::store::{Dir, Store, segment_number};
use crate::failure::{Failure, Kind, Result};
use chain::Chain;
use serde_json::{Value, json};
use std::path::Path;

/// What is known about the log from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub anchors: Vec<Anchor>,
    /// The run this log must be of.
    pub run: Option<String>,
    /// Records that no anchor protects make the log suspect.
    pub require_anchor: bool,
}

/// How a segment ended, as the next one declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub file: String,
    pub good_len: u64,
    pub torn_len: u64,
    pub torn_sha256: Option<String>,
}

impl Closed {
    pub fn to_json(&self) -> Value {
        json!({
            "prev_file": self.file,
            "prev_good_len": self.good_len,
            "torn_len": self.torn_len,
            "torn_sha256": self.torn_sha256,
        })
    }

    fn is_declared_by(&self, payload: &Value) -> bool {
        let mine = self.to_json();
        mine.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| payload.get(key) == Some(value)))
    }
}

/// A verified log with what a resume needs to go on.
pub struct Walk {
    pub report: Report,
    pub next_seq: u64,
    pub head: String,
    /// Number of the last segment.
    pub last_segment: u32,
    /// The last segment, after those before it that hold no record.
    pub closed: Vec<Closed>,
}

/// Verifies the log of the run in `dir`. `transitions` is given every record of the unbroken chain in order and
/// answers why one is illegal after those before it.
///
/// # Errors
/// `AuditBroken` when the directory cannot be read at all; everything found in it is in the report.
pub fn verify(
    dir: &Path,
    options: &Options,
    transitions: &mut dyn FnMut(&Envelope) -> Result<(), String>,
) -> Result<Report> {
    let store = Dir::open(dir).map_err(|e| unreadable(&dir.display(), &e))?;
    Ok(walk(&store, options, transitions)?.report)
}

/// As [`verify`], over any store.
///
/// # Errors
/// `AuditBroken` when the names in the store cannot be read.
pub fn walk<S: Store + ?Sized>(
    store: &S,
    options: &Options,
    transitions: &mut dyn FnMut(&Envelope) -> Result<(), String>,
) -> Result<Walk> {
    let names = store.names().map_err(|e| unreadable(&"the run directory", &e))?;
    let mut chain = Chain::new(options, transitions);
    for name in names {
        match segment_number(&name) {
            Some(number) => chain.segment(store, &name, number),
            None => {
                let what = "not a segment of an audit log".to_owned();
                chain.find(Finding { file: name, line: 0, offset: 0, seq: None, fault: Fault::Foreign, what });
            }
        }
    }
    Ok(chain.end())
}

fn unreadable(what: &dyn std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::new(Kind::AuditBroken, format!("the audit log in {what} cannot be read")).cause(error)
}
