//! The shapes of a topic's events: which fields of which types stand together, how often, since when, from whom.
//!
//! Owns the scan, its table, and the judgement which service can read what. Never joins a group, never commits, and
//! never calls a window whole that it has not seen to its end.

use std::collections::BTreeMap;

use crate::runbook::Reads;
use crate::runbook::expect::Verdict;
use crate::text::counted;

mod fields;
mod scan;
mod table;

pub use fields::{FieldKind, Fields};
pub use scan::{Limits, Progress, scan};
pub use table::{Seen, Shape, ShapeTable, Window};

/// What one service cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub service: String,
    /// Index into [`ShapeTable::shapes`].
    pub shape: usize,
    /// Required, and absent or null there.
    pub missing: Vec<String>,
    /// Records of this shape in the window.
    pub records: u64,
}

/// Whether every service can read every shape of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    pub verdict: Verdict,
    /// Records that some service cannot read.
    pub unreadable: u64,
    pub breaks: Vec<Break>,
}

/// Judges a window by what each service requires. A shape satisfies a service when every required field is there and
/// not null.
///
/// A break is a break however little was read; a window that was not read whole, or holds records that are no JSON,
/// proves nothing beyond that: it is unknown.
pub fn readable(table: &ShapeTable, services: &BTreeMap<String, Reads>) -> Readable {
    let mut breaks = Vec::new();
    let mut unreadable = 0;
    for (index, shape) in table.shapes.iter().enumerate() {
        let before = breaks.len();
        for (service, reads) in services {
            let missing: Vec<String> = reads.requires.iter().filter(|f| !shape.has(f)).cloned().collect();
            if !missing.is_empty() {
                breaks.push(Break { service: service.clone(), shape: index, missing, records: shape.count });
            }
        }
        if breaks.len() > before {
            unreadable += shape.count;
        }
    }
    let verdict = if !breaks.is_empty() {
        Verdict::Fail
    } else if services.is_empty() {
        Verdict::unknown(format!("no service of the runbook says what it reads of {}", table.topic))
    } else if let Some(why) = &table.partial {
        Verdict::unknown(format!("read in part only: {why}"))
    } else if table.undecodable > 0 {
        Verdict::unknown(format!("{} not JSON", counted(table.undecodable, "record")))
    } else {
        Verdict::Pass
    };
    Readable { verdict, unreadable, breaks }
}
