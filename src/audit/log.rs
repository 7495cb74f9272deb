//! The chain being written: the only owner of `seq`, `prev` and `hash`.
//!
//! Owns sealing, rotation, resuming in a new segment, and the rule that one failure ends all writing. Knows no kind of
//! record but `segment_opened`, which it writes itself. Blocks; [`super::writer`] gives it a thread.

use super::line::{Draft, Envelope, GENESIS, Stamp, check_payload};
use super::redact::redact;
use super::store::{LogSink, Store, segment_name};
use super::verify::{self, Closed, Options, Report, Verdict};
use crate::failure::{Failure, Kind, Result};
use crate::text::Secret;
use serde_json::{Value, json};

/// First record of every segment but the first.
pub const SEGMENT_OPENED: &str = "segment_opened";

/// Bytes after which a new segment is begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

pub struct Log<S> {
    store: S,
    sink: Box<dyn LogSink>,
    run: String,
    segment: u32,
    segment_len: u64,
    seq: u64,
    head: String,
    secrets: Vec<Secret>,
    dead: Option<Failure>,
    unsynced: bool,
    rotate_after: u64,
}

impl<S: Store> Log<S> {
    /// Begins the log of a new run: an empty first segment.
    ///
    /// # Errors
    /// `AuditUnwritable` with the file system's words.
    pub fn create(store: S, run: &str) -> Result<Self> {
        let sink = store.create(&segment_name(1)).map_err(|e| unwritable(&segment_name(1), &e))?;
        Ok(Self::over(store, sink, run, 1, 0, GENESIS))
    }

    /// Goes on with a log that another process left, in a new segment whose first record says where the old one
    /// ended. `each` is given every record in order and may find one illegal. The old segments are not touched.
    ///
    /// # Errors
    /// `AuditBroken` when anything but the end of the last segment is damaged; `AuditUnwritable`.
    pub fn resume(
        store: S,
        by: &str,
        stamp: Stamp,
        each: &mut dyn FnMut(&Envelope) -> Result<(), String>,
    ) -> Result<(Self, Report)> {
        let walk = verify::walk(&store, &Options::default(), each)?;
        if !matches!(walk.report.verdict, Verdict::Whole | Verdict::Torn) {
            return Err(Failure::new(Kind::AuditBroken, "the audit log of this run is broken, it cannot be resumed")
                .cause(walk.report.first_fault())
                .hint("look with `backout audit verify`, then start a new run that supersedes this one"));
        }
        let segment = walk.last_segment + 1;
        let name = segment_name(segment);
        let sink = store.create(&name).map_err(|e| {
            unwritable(&name, &e).hint("the old segments were not touched; free space or rights, and resume again")
        })?;
        let run = walk.report.run.clone().unwrap_or_default();
        let mut log = Self::over(store, sink, &run, segment, walk.next_seq, &walk.head);
        log.open_segment(by, stamp, "resume", &walk.closed)?;
        Ok((log, walk.report))
    }

    fn over(store: S, sink: Box<dyn LogSink>, run: &str, segment: u32, seq: u64, head: &str) -> Self {
        let (run, head) = (run.to_owned(), head.to_owned());
        let (secrets, dead) = (Vec::new(), None);
        Self {
            store,
            sink,
            run,
            segment,
            segment_len: 0,
            seq,
            head,
            secrets,
            dead,
            unsynced: false,
            rotate_after: SEGMENT_BYTES,
        }
    }

    /// Begins a new segment once one has this many bytes, instead of [`SEGMENT_BYTES`].
    pub fn rotate_after(&mut self, bytes: u64) {
        self.rotate_after = bytes;
    }

    /// From now on these do not reach the disk.
    pub fn hide(&mut self, secrets: Vec<Secret>) {
        self.secrets.extend(secrets);
    }

    /// Appends records in one write; with `sync` they are on the disk when this returns. All or none are
    /// acknowledged; after an error none ever again.
    ///
    /// # Errors
    /// `AuditUnwritable` from the first failure of the sink on; `Defect` for a record that may not be written as it is
    /// (too long, numbers that readers would round), which leaves the log usable.
    pub fn append(&mut self, drafts: Vec<Draft>, sync: bool) -> Result<Vec<Envelope>> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        if let Some(first) = drafts.first().filter(|_| self.segment_len >= self.rotate_after) {
            let stamp = Stamp { ts: first.ts, mono: first.mono, boot: first.boot.clone() };
            let by = first.by.clone();
            self.rotate(&by, stamp)?;
        }
        let (mut seq, mut head) = (self.seq, self.head.clone());
        let (mut records, mut bytes) = (Vec::with_capacity(drafts.len()), Vec::new());
        for mut draft in drafts {
            draft.payload = redact(draft.payload, &self.secrets);
            if cfg!(debug_assertions) {
                check_payload(&draft.payload).map_err(|why| defect(&format!("payload of `{}`{why}", draft.kind)))?;
            }
            let (record, line) = Envelope::seal(seq, &head, &self.run, draft).map_err(|why| defect(&why))?;
            seq += 1;
            head.clone_from(&record.hash);
            bytes.extend_from_slice(&line);
            records.push(record);
        }
        let written = self.sink.health().and_then(|()| self.sink.append(&bytes));
        self.outlive(written)?;
        self.unsynced = true;
        (self.seq, self.head) = (seq, head);
        self.segment_len += bytes.len() as u64;
        if sync {
            self.sync()?;
        }
        Ok(records)
    }

    /// Puts what was appended without `sync` on the disk.
    ///
    /// # Errors
    /// `AuditUnwritable`, as [`Log::append`].
    pub fn sync(&mut self) -> Result<()> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        if self.unsynced {
            let synced = self.sink.sync().and_then(|()| self.sink.health());
            self.outlive(synced)?;
            self.unsynced = false;
        }
        Ok(())
    }

    pub fn is_unsynced(&self) -> bool {
        self.unsynced && self.dead.is_none()
    }

    /// The number the next record will get, and the hash of the one before it: what an anchor carries.
    pub fn head(&self) -> (u64, &str) {
        (self.seq, &self.head)
    }

    fn rotate(&mut self, by: &str, stamp: Stamp) -> Result<()> {
        self.sync()?;
        let file = segment_name(self.segment);
        let closed = Closed { file, good_len: self.segment_len, torn_len: 0, torn_sha256: None };
        let name = segment_name(self.segment + 1);
        match self.store.create(&name) {
            Ok(sink) => self.sink = sink,
            Err(e) => self.outlive(Err(e))?,
        }
        self.segment += 1;
        self.segment_len = 0;
        self.open_segment(by, stamp, "full", &[closed])
    }

    fn open_segment(&mut self, by: &str, stamp: Stamp, reason: &str, closed: &[Closed]) -> Result<()> {
        let Some((last, before)) = closed.split_last() else {
            return Err(defect("a segment that follows none"));
        };
        let mut payload = json!({
            "reason": reason,
            "prev_file": last.file,
            "prev_good_len": last.good_len,
            "torn_len": last.torn_len,
            "torn_sha256": last.torn_sha256,
            "by_pid": std::process::id(),
        });
        if let (Some(fields), false) = (payload.as_object_mut(), before.is_empty()) {
            // Segments that a process opened and died in before their first record: they declare nothing themselves.
            fields.insert("before".to_owned(), Value::Array(before.iter().map(Closed::to_json).collect()));
        }
        let Stamp { ts, mono, boot } = stamp;
        let by = by.to_owned();
        let draft = Draft { by, step: None, att: None, kind: SEGMENT_OPENED.to_owned(), payload, ts, mono, boot };
        self.append(vec![draft], true).map(|_| ())
    }

    fn outlive(&mut self, outcome: std::io::Result<()>) -> Result<()> {
        outcome.map_err(|e| {
            let failure = unwritable(&segment_name(self.segment), &e)
                .hint("nothing that changes anything runs any more; mend the disk, then `backout resume`");
            self.dead = Some(failure.clone());
            failure
        })
    }
}

fn unwritable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Kind::AuditUnwritable, format!("the audit log {name} cannot be written")).cause(error)
}

fn defect(why: &str) -> Failure {
    Failure::new(Kind::Defect, "a record cannot be written to the audit log").cause(why)
}
