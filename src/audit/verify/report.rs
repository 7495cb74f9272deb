//! What a verification found, for people and as JSON.

use super::Options;
use crate::audit::line::{Envelope, GENESIS, is_hex64};
use crate::failure::Kind;
use crate::text::Shown;
use crate::text::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// Findings and spans beyond this are counted, not listed.
pub(super) const MAX_LISTED: usize = 200;

/// The head of the chain at one record, kept outside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    pub seq: u64,
    /// 64 hexadecimal characters.
    pub head: String,
    /// Who kept it: `marker of rename-back/1 in shop`; empty for one that a person gave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
}

impl std::str::FromStr for Anchor {
    type Err = String;

    /// `seq:head`, the head as 64 hexadecimal or 43 base64 characters, or a line of the incident channel.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{}` is not an anchor; it looks like 412:<64 hexadecimal characters>", Shown::new(text));
        let anchor = text.split_whitespace().next_back().ok_or_else(wrong)?;
        let (seq, head) = anchor.split_once(':').ok_or_else(wrong)?;
        let seq = seq.parse().map_err(|_| wrong())?;
        let head = if is_hex64(head.as_bytes()) {
            head.to_owned()
        } else {
            let bytes = STANDARD_NO_PAD.decode(head.trim_end_matches('=')).map_err(|_| wrong())?;
            if bytes.len() == 32 {
                hex(&bytes)
            } else {
                return Err(wrong());
            }
        };
        Ok(Self { seq, head, from: String::new() })
    }
}

impl Anchor {
    /// The place of a record, and the head of the chain after it.
    pub fn of(record: &Envelope) -> Self {
        Self { seq: record.seq, head: record.hash.clone(), from: String::new() }
    }

    /// One line for the incident channel, to be copied by a person.
    pub fn channel_line(&self, run: &str) -> String {
        format!("backout-anchor run={} {self}", Shown::new(run))
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.head)
    }
}

/// What an anchor says about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchored {
    Holds,
    /// The record has another hash: the log was rewritten.
    Contradicts,
    /// The unbroken chain ends before it: the log was cut off.
    Beyond,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Whole,
    /// The log ends as a crash leaves it; no acknowledged record is lost.
    Torn,
    Broken,
    /// It is consistent, and an anchor says it is not what was written.
    Contradicted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The hash does not match the bytes, or there is none.
    Hash,
    /// The hash matches, the bytes are not as backout writes them.
    Form,
    Version,
    /// Not of this run, or not of any.
    Foreign,
    Missing,
    Duplicate,
    /// `prev` is not the hash of the record before.
    Link,
    /// What a segment says about the one before it.
    Declaration,
    /// Legal in the chain, illegal in a run.
    Transition,
    Empty,
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u64,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Of the record, or the one that should stand there.
    pub seq: Option<u64>,
    pub fault: Fault,
    pub what: String,
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    Whole,
    Torn {
        offset: u64,
        len: u64,
        sha256: String,
        /// The next segment says so, with the same digest.
        declared: bool,
    },
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    pub file: String,
    pub number: u32,
    pub bytes: u64,
    /// Before the first bad one.
    pub records: u64,
    pub tail: Tail,
}

/// Consistent records in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub file: String,
    pub offset: u64,
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub verdict: Verdict,
    pub run: Option<String>,
    /// All that are consistent in themselves.
    pub records: u64,
    /// Those of the unbroken chain from the start.
    pub chained: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Hash of the last record of the unbroken chain.
    pub head: String,
    pub segments: Vec<SegmentReport>,
    /// In file order; the first is the first bad record.
    pub findings: Vec<Finding>,
    /// All of them, also those not listed.
    pub faults: u64,
    /// The first is the unbroken chain; later ones are proved within themselves only.
    pub spans: Vec<Span>,
    pub anchors: Vec<(Anchor, Anchored)>,
    /// Records after the last anchor that holds: whoever can write the files could have rewritten or cut these.
    pub unprotected: u64,
    pub require_anchor: bool,
    #[serde(skip)]
    pub(super) suspects: Vec<Finding>,
    /// The span that is being read is not listed.
    #[serde(skip)]
    spans_full: bool,
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        let mut anchors: Vec<_> = options.anchors.iter().map(|a| (a.clone(), Anchored::Beyond)).collect();
        anchors.sort_by_key(|(anchor, _)| anchor.seq);
        Self {
            verdict: Verdict::Whole,
            run: options.run.clone(),
            records: 0,
            chained: 0,
            first: None,
            last: None,
            head: GENESIS.to_owned(),
            segments: Vec::new(),
            findings: Vec::new(),
            faults: 0,
            spans: Vec::new(),
            anchors,
            unprotected: 0,
            require_anchor: options.require_anchor,
            suspects: Vec::new(),
            spans_full: false,
        }
    }

    /// 0 when the log is whole, 9 when it is torn, broken or contradicts an anchor, or when an anchor is required and
    /// missing.
    pub fn exit_code(&self) -> u8 {
        let suspect = self.verdict != Verdict::Whole || (self.require_anchor && self.unprotected > 0);
        if suspect { Kind::AuditBroken.exit_code() } else { 0 }
    }

    /// The first bad record in a sentence, or that there is none.
    pub fn first_fault(&self) -> String {
        self.findings.first().map_or_else(|| "nothing bad was found".to_owned(), Finding::to_string)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.faults += 1;
        if self.findings.len() < MAX_LISTED {
            self.findings.push(finding);
        }
    }

    /// A record of the unbroken chain.
    pub(super) fn take(&mut self, record: &Envelope) {
        self.chained += 1;
        self.first.get_or_insert(record.ts);
        self.last = Some(record.ts);
        self.head.clone_from(&record.hash);
        let from = self.anchors.partition_point(|(anchor, _)| anchor.seq < record.seq);
        for (anchor, anchored) in self.anchors[from..].iter_mut().take_while(|(anchor, _)| anchor.seq == record.seq) {
            *anchored = if anchor.head == record.hash { Anchored::Holds } else { Anchored::Contradicts };
        }
    }

    pub(super) fn extend_span(&mut self, file: &str, offset: u64, record: &Envelope, linked: bool) {
        if !linked || self.spans.is_empty() {
            self.spans_full = self.spans.len() == MAX_LISTED;
            if !self.spans_full {
                self.spans.push(Span { file: file.to_owned(), offset, from: record.seq, to: record.seq });
            }
        } else if let Some(span) = self.spans.last_mut().filter(|_| !self.spans_full) {
            span.to = record.seq;
        }
    }

    /// The next segment declared how these ended.
    pub(super) fn settle_tails(&mut self, closed: &[super::Closed]) {
        for segment in self.segments.iter_mut().filter(|s| closed.iter().any(|c| c.file == s.file)) {
            if let Tail::Torn { declared, .. } = &mut segment.tail {
                *declared = true;
            }
        }
    }

    pub(super) fn conclude(&mut self, options: &Options) {
        if self.records == 0 && self.faults == 0 {
            let file = self.segments.first().map_or_else(|| "the run directory".to_owned(), |s| s.file.clone());
            let what = "holds no record".to_owned();
            self.find(Finding { file, line: 0, offset: 0, seq: None, fault: Fault::Empty, what });
        }
        self.findings.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
        let holds = self.anchors.iter().filter(|(_, a)| *a == Anchored::Holds).map(|(anchor, _)| anchor.seq + 1).max();
        self.unprotected = self.chained.saturating_sub(holds.unwrap_or(0));
        self.require_anchor = options.require_anchor;
        let torn = |s: &SegmentReport| matches!(s.tail, Tail::Torn { declared: false, .. });
        self.verdict = if self.faults > 0 {
            Verdict::Broken
        } else if self.anchors.iter().any(|(_, a)| *a != Anchored::Holds) {
            Verdict::Contradicted
        } else if self.segments.iter().any(torn) {
            Verdict::Torn
        } else {
            Verdict::Whole
        };
    }
}
