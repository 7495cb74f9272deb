//! Is the record whole? Walks every segment, names the first bad record and goes on.
//!
//! Owns the rules of the chain: numbers without a gap, each record holding the hash of the one before, segments that
//! declare how the one before them ended, and anchors. Whether a record is *legal* after those before it is the
//! caller's to say. Never writes.

mod display;
mod report;

pub use report::{Anchor, Anchored, Fault, Finding, Report, SegmentReport, Span, Tail, Verdict};

use super::line::{Envelope, GENESIS, LineError};
use super::log::SEGMENT_OPENED;
use super::reader::{Damage, Lines, Piece};
use super::store::{Dir, Store, segment_name, segment_number};
use crate::failure::{Failure, Kind, Result};
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
        mine.as_object().is_some_and(|fields| {
            fields
                .iter()
                .all(|(key, value)| payload.get(key) == Some(value))
        })
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
    let names = store
        .names()
        .map_err(|e| unreadable(&"the run directory", &e))?;
    let mut chain = Chain::new(options, transitions);
    for name in names {
        match segment_number(&name) {
            Some(number) => chain.segment(store, &name, number),
            None => {
                let what = "not a segment of an audit log".to_owned();
                chain.find(Finding {
                    file: name,
                    line: 0,
                    offset: 0,
                    seq: None,
                    fault: Fault::Foreign,
                    what,
                });
            }
        }
    }
    Ok(chain.end())
}

fn unreadable(what: &dyn std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::new(
        Kind::AuditBroken,
        format!("the audit log in {what} cannot be read"),
    )
    .cause(error)
}

struct Chain<'a> {
    options: &'a Options,
    transitions: &'a mut dyn FnMut(&Envelope) -> Result<(), String>,
    report: Report,
    next_seq: u64,
    head: String,
    last_segment: u32,
    closed: Vec<Closed>,
    /// No record was out of place so far.
    whole: bool,
}

/// Where a line stands.
struct At<'a> {
    file: &'a str,
    line: u64,
    offset: u64,
    first: bool,
    number: u32,
}

impl<'a> Chain<'a> {
    fn new(
        options: &'a Options,
        transitions: &'a mut dyn FnMut(&Envelope) -> Result<(), String>,
    ) -> Self {
        let report = Report::new(options);
        let (head, closed) = (GENESIS.to_owned(), Vec::new());
        Self {
            options,
            transitions,
            report,
            next_seq: 0,
            head,
            last_segment: 0,
            closed,
            whole: true,
        }
    }

    fn segment<S: Store + ?Sized>(&mut self, store: &S, name: &str, number: u32) {
        if number != self.last_segment + 1 {
            let missing = segment_name(self.last_segment + 1);
            self.find_at(
                name,
                Fault::Missing,
                format!("{missing} is missing before this segment"),
            );
        }
        self.last_segment = number;
        let segment = store
            .open(name)
            .and_then(|(bytes, _)| self.lines(Lines::new(bytes), name, number));
        if let Err(e) = segment {
            self.find_at(name, Fault::Unreadable, e.to_string());
        }
    }

    fn lines(
        &mut self,
        mut lines: Lines<impl std::io::Read>,
        name: &str,
        number: u32,
    ) -> std::io::Result<()> {
        let (mut line, mut good, faults) = (0, 0, self.report.faults);
        loop {
            line += 1;
            let damaged = lines.is_damaged();
            let read = match lines.next_piece()? {
                None => break,
                Some(Piece::Tail) => continue,
                Some(Piece::Long) => Err("longer than any record".to_owned()),
                Some(Piece::Line(bytes)) => Ok(bytes),
            };
            let parsed = read.map(Envelope::parse);
            let at = At {
                file: name,
                line,
                offset: lines.offset(),
                first: good == 0 && !damaged,
                number,
            };
            let fine = match parsed {
                Err(what) => self.bad(&at, None, Fault::Form, what),
                Ok(Ok(record)) => self.record(&at, record),
                // What a crash leaves has no right hash, and is told once, when the end of the segment is known.
                Ok(Err(e @ (LineError::Frame | LineError::Hash))) => self.suspect(&at, &e),
                Ok(Err(e @ LineError::Version(_))) => {
                    self.bad(&at, None, Fault::Version, e.to_string())
                }
                Ok(Err(e @ LineError::Form(_))) => self.bad(&at, None, Fault::Form, e.to_string()),
            };
            if fine && !damaged {
                good += 1;
            } else if !damaged {
                lines.damaged();
            }
        }
        let (len, damage) = lines.finish();
        self.finish_segment(name, number, line - 1, good, faults, (len, damage));
        Ok(())
    }

    /// A record that is consistent in itself: is it the next one?
    fn record(&mut self, at: &At<'_>, record: Envelope) -> bool {
        self.report.records += 1;
        let run = self
            .report
            .run
            .get_or_insert_with(|| record.run.clone())
            .clone();
        let misplaced = if record.run != run {
            Some((Fault::Foreign, format!("of run {}, not {run}", record.run)))
        } else if record.seq < self.next_seq {
            Some((
                Fault::Duplicate,
                format!(
                    "number {} again, {} was expected",
                    record.seq, self.next_seq
                ),
            ))
        } else if record.seq > self.next_seq {
            let gone = record.seq - self.next_seq;
            Some((
                Fault::Missing,
                format!(
                    "{gone} missing before it: number {}, not {}",
                    record.seq, self.next_seq
                ),
            ))
        } else if record.prev != self.head {
            Some((
                Fault::Link,
                "does not hold the hash of the record before it".to_owned(),
            ))
        } else {
            None
        };
        let linked = misplaced.is_none();
        if let Some((fault, what)) = misplaced {
            self.bad(at, Some(record.seq), fault, what);
        }
        // A record after bytes that are none: those were not the end of a crash.
        let after_damage = self.whole && !self.report.suspects.is_empty();
        self.whole &= !after_damage;
        self.report
            .extend_span(at.file, at.offset, &record, linked && !after_damage);
        (self.next_seq, self.head) = (record.seq.saturating_add(1), record.hash.clone());
        let declared = linked && self.declaration(at, &record);
        if self.whole && declared {
            self.report.take(&record);
            if let Err(why) = (self.transitions)(&record) {
                // Legal in the chain, so the segment is not damaged by it.
                let (seq, offset, line) = (Some(record.seq), at.offset, at.line);
                let file = at.file.to_owned();
                self.find(Finding {
                    file,
                    line,
                    offset,
                    seq,
                    fault: Fault::Transition,
                    what: why,
                });
            }
        }
        linked && declared
    }

    /// The first record of every segment but the first says how the one before it ended; no other does.
    fn declaration(&mut self, at: &At<'_>, record: &Envelope) -> bool {
        let opens = record.kind == SEGMENT_OPENED;
        if opens != (at.first && at.number > 1) {
            let what = if opens {
                "opens a segment in the middle of one"
            } else {
                "the segment does not say what it follows"
            };
            return self.bad(at, Some(record.seq), Fault::Declaration, what.to_owned());
        }
        if !opens {
            return true;
        }
        let closed = std::mem::take(&mut self.closed);
        let before = record
            .payload
            .get("before")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let declared = closed.split_last().is_some_and(|(last, earlier)| {
            last.is_declared_by(&record.payload)
                && earlier.len() == before.len()
                && earlier
                    .iter()
                    .zip(before)
                    .all(|(closed, said)| closed.is_declared_by(said))
        });
        if !declared {
            let what = "what it says of the segment before it is not what stands there".to_owned();
            return self.bad(at, Some(record.seq), Fault::Declaration, what);
        }
        self.report.settle_tails(&closed);
        true
    }

    /// A line that may be the end of a crash or may be damage: held back until the end of the segment is known.
    fn suspect(&mut self, at: &At<'_>, error: &LineError) -> bool {
        self.report.suspects.push(Finding {
            file: at.file.to_owned(),
            line: at.line,
            offset: at.offset,
            seq: (self.whole && self.report.suspects.is_empty()).then_some(self.next_seq),
            fault: Fault::Hash,
            what: error.to_string(),
        });
        self.report.suspects.truncate(report::MAX_LISTED);
        false
    }

    fn finish_segment(
        &mut self,
        name: &str,
        number: u32,
        lines: u64,
        good: u64,
        faults: u64,
        (len, damage): (u64, Option<Damage>),
    ) {
        let suspects = std::mem::take(&mut self.report.suspects);
        let torn = damage.as_ref().is_some_and(|d| d.torn) && self.report.faults == faults;
        if let Some(damage) = damage.as_ref().filter(|_| !torn) {
            let cut = suspects.is_empty() && self.report.faults == faults;
            suspects.into_iter().for_each(|finding| self.find(finding));
            if cut {
                let (file, offset) = (name.to_owned(), damage.offset);
                let (seq, what) = (
                    Some(self.next_seq),
                    "ends in bytes that no crash leaves behind".to_owned(),
                );
                self.find(Finding {
                    file,
                    line: lines,
                    offset,
                    seq,
                    fault: Fault::Form,
                    what,
                });
            }
        }
        let good_len = damage.as_ref().map_or(len, |d| d.offset);
        let (torn_len, torn_sha256) = damage
            .as_ref()
            .map_or((0, None), |d| (d.len, Some(d.sha256.clone())));
        // Records of a segment stand for those closed before it, once its first one has declared them.
        self.closed.push(Closed {
            file: name.to_owned(),
            good_len,
            torn_len,
            torn_sha256: torn_sha256.clone(),
        });
        let tail = match torn_sha256 {
            None => Tail::Whole,
            Some(_) if !torn => Tail::Broken,
            Some(sha256) => Tail::Torn {
                offset: good_len,
                len: torn_len,
                sha256,
                declared: false,
            },
        };
        self.report.segments.push(SegmentReport {
            file: name.to_owned(),
            number,
            bytes: len,
            records: good,
            tail,
        });
    }

    fn bad(&mut self, at: &At<'_>, seq: Option<u64>, fault: Fault, what: String) -> bool {
        let seq = seq.or_else(|| self.whole.then_some(self.next_seq));
        self.find(Finding {
            file: at.file.to_owned(),
            line: at.line,
            offset: at.offset,
            seq,
            fault,
            what,
        });
        false
    }

    fn find_at(&mut self, file: &str, fault: Fault, what: String) {
        self.find(Finding {
            file: file.to_owned(),
            line: 0,
            offset: 0,
            seq: None,
            fault,
            what,
        });
    }

    fn find(&mut self, finding: Finding) {
        // An illegal record breaks no chain: what follows it is still proved to follow it.
        self.whole &= finding.fault == Fault::Transition;
        self.report.find(finding);
    }

    fn end(mut self) -> Walk {
        self.report.conclude(self.options);
        let Self {
            report,
            next_seq,
            head,
            last_segment,
            closed,
            ..
        } = self;
        Walk {
            report,
            next_seq,
            head,
            last_segment,
            closed,
        }
    }
}
