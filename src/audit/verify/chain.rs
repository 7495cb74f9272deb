//! The walk itself: a place in the chain, moved on by each line of each segment.

use super::report::{Fault, Finding, MAX_LISTED, Report, SegmentReport, Tail};
use super::{Closed, Options, Walk};
use crate::audit::line::{Envelope, GENESIS, LineError};
use crate::audit::log::SEGMENT_OPENED;
use crate::audit::reader::{Damage, Lines, Piece};
use crate::audit::store::{Store, segment_name};
use serde_json::Value;

pub(super) struct Chain<'a> {
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
    pub(super) fn new(options: &'a Options, transitions: &'a mut dyn FnMut(&Envelope) -> Result<(), String>) -> Self {
        let report = Report::new(options);
        let (head, closed) = (GENESIS.to_owned(), Vec::new());
        Self { options, transitions, report, next_seq: 0, head, last_segment: 0, closed, whole: true }
    }

    pub(super) fn segment<S: Store + ?Sized>(&mut self, store: &S, name: &str, number: u32) {
        if number != self.last_segment + 1 {
            let missing = segment_name(self.last_segment + 1);
            self.find_at(name, Fault::Missing, format!("{missing} is missing before this segment"));
        }
        self.last_segment = number;
        let segment = store.open(name).and_then(|(bytes, _)| self.lines(Lines::new(bytes), name, number));
        if let Err(e) = segment {
            self.find_at(name, Fault::Unreadable, e.to_string());
        }
    }

    fn lines(&mut self, mut lines: Lines<impl std::io::Read>, name: &str, number: u32) -> std::io::Result<()> {
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
            let at = At { file: name, line, offset: lines.offset(), first: good == 0 && !damaged, number };
            let fine = match parsed {
                Err(what) => self.bad(&at, None, Fault::Form, what),
                Ok(Ok(record)) => self.record(&at, record),
                // What a crash leaves has no right hash, and is told once, when the end of the segment is known.
                Ok(Err(e @ (LineError::Frame | LineError::Hash))) => self.suspect(&at, &e),
                Ok(Err(e @ LineError::Version(_))) => self.bad(&at, None, Fault::Version, e.to_string()),
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
        let run = self.report.run.get_or_insert_with(|| record.run.clone()).clone();
        let misplaced = if record.run != run {
            Some((Fault::Foreign, format!("of run {}, not {run}", record.run)))
        } else if record.seq < self.next_seq {
            Some((Fault::Duplicate, format!("number {} again, {} was expected", record.seq, self.next_seq)))
        } else if record.seq > self.next_seq {
            let gone = record.seq - self.next_seq;
            Some((Fault::Missing, format!("{gone} missing before it: number {}, not {}", record.seq, self.next_seq)))
        } else if record.prev != self.head {
            Some((Fault::Link, "does not hold the hash of the record before it".to_owned()))
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
        self.report.extend_span(at.file, at.offset, &record, linked && !after_damage);
        (self.next_seq, self.head) = (record.seq.saturating_add(1), record.hash.clone());
        let declared = linked && self.declaration(at, &record);
        if self.whole && declared {
            self.report.take(&record);
            if let Err(why) = (self.transitions)(&record) {
                // Legal in the chain, so the segment is not damaged by it.
                let (seq, offset, line) = (Some(record.seq), at.offset, at.line);
                let file = at.file.to_owned();
                self.find(Finding { file, line, offset, seq, fault: Fault::Transition, what: why });
            }
        }
        linked && declared
    }

    /// The first record of every segment but the first says how the one before it ended; no other does.
    fn declaration(&mut self, at: &At<'_>, record: &Envelope) -> bool {
        let opens = record.kind == SEGMENT_OPENED;
        if opens != (at.first && at.number > 1) {
            let what =
                if opens { "opens a segment in the middle of one" } else { "the segment does not say what it follows" };
            return self.bad(at, Some(record.seq), Fault::Declaration, what.to_owned());
        }
        if !opens {
            return true;
        }
        let closed = std::mem::take(&mut self.closed);
        let before = record.payload.get("before").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let declared = closed.split_last().is_some_and(|(last, earlier)| {
            last.is_declared_by(&record.payload)
                && earlier.len() == before.len()
                && earlier.iter().zip(before).all(|(closed, said)| closed.is_declared_by(said))
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
        self.report.suspects.truncate(MAX_LISTED);
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
                let (seq, what) = (Some(self.next_seq), "ends in bytes that no crash leaves behind".to_owned());
                self.find(Finding { file, line: lines, offset, seq, fault: Fault::Form, what });
            }
        }
        let good_len = damage.as_ref().map_or(len, |d| d.offset);
        let (torn_len, torn_sha256) = damage.as_ref().map_or((0, None), |d| (d.len, Some(d.sha256.clone())));
        // Records of a segment stand for those closed before it, once its first one has declared them.
        self.closed.push(Closed { file: name.to_owned(), good_len, torn_len, torn_sha256: torn_sha256.clone() });
        let tail = match torn_sha256 {
            None => Tail::Whole,
            Some(_) if !torn => Tail::Broken,
            Some(sha256) => Tail::Torn { offset: good_len, len: torn_len, sha256, declared: false },
        };
        self.report.segments.push(SegmentReport { file: name.to_owned(), number, bytes: len, records: good, tail });
    }

    fn bad(&mut self, at: &At<'_>, seq: Option<u64>, fault: Fault, what: String) -> bool {
        let seq = seq.or_else(|| self.whole.then_some(self.next_seq));
        self.find(Finding { file: at.file.to_owned(), line: at.line, offset: at.offset, seq, fault, what });
        false
    }

    fn find_at(&mut self, file: &str, fault: Fault, what: String) {
        self.find(Finding { file: file.to_owned(), line: 0, offset: 0, seq: None, fault, what });
    }

    pub(super) fn find(&mut self, finding: Finding) {
        // An illegal record breaks no chain: what follows it is still proved to follow it.
        self.whole &= finding.fault == Fault::Transition;
        self.report.find(finding);
    }

    pub(super) fn end(mut self) -> Walk {
        self.report.conclude(self.options);
        let Self { report, next_seq, head, last_segment, closed, .. } = self;
        Walk { report, next_seq, head, last_segment, closed }
    }
}
