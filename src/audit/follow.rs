//! Somebody else's log while it is written: what is new since the last look, each record proved to follow the last.
//!
//! Owns a place in the chain. Never takes the run's lock and never waits; the caller looks again when it likes.

use super::line::{Envelope, GENESIS};
use super::reader::{Lines, Piece};
use super::store::{Dir, segment_name};
use crate::failure::{Failure, Kind, Result};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Records given at once.
pub const BATCH: usize = 1000;

#[derive(Debug)]
pub struct Follow {
    dir: Dir,
    segment: u32,
    offset: u64,
    seq: u64,
    head: String,
}

impl Follow {
    /// Begins before the first record.
    ///
    /// # Errors
    /// `AuditBroken` when the directory cannot be opened.
    pub fn new(dir: &Path) -> Result<Self> {
        let dir = Dir::open(dir).map_err(|e| {
            Failure::new(Kind::AuditBroken, format!("the run directory {} cannot be read", dir.display())).cause(e)
        })?;
        Ok(Self { dir, segment: 1, offset: 0, seq: 0, head: GENESIS.to_owned() })
    }

    /// The records that were added, at most [`BATCH`]; none when there is nothing new. A record that is being written
    /// is left for the next look.
    ///
    /// # Errors
    /// `AuditBroken` at the first record that does not follow the one before it.
    pub fn poll(&mut self) -> Result<Vec<Envelope>> {
        let mut records = Vec::new();
        loop {
            // Looked for first: once the next segment is there, nothing is added to this one any more.
            let over = self.open(self.segment + 1)?.is_some();
            let Some(segment) = self.open(self.segment)? else {
                return Ok(records);
            };
            self.read(segment, over, &mut records)?;
            if !over || records.len() >= BATCH {
                // A full batch may have left lines in this segment.
                return Ok(records);
            }
            (self.segment, self.offset) = (self.segment + 1, 0);
        }
    }

    fn read(&mut self, mut segment: std::fs::File, over: bool, records: &mut Vec<Envelope>) -> Result<()> {
        let offset = self.offset;
        segment.seek(SeekFrom::Start(offset)).map_err(|e| self.broken(&e))?;
        let len = segment.metadata().map_err(|e| self.broken(&e))?.len();
        let mut lines = Lines::new(segment.take(len.saturating_sub(offset)));
        while records.len() < BATCH {
            let record = match lines.next_piece().map_err(|e| self.broken(&e))? {
                None | Some(Piece::Tail) => return Ok(()),
                Some(Piece::Line(line)) => Envelope::parse(line).map(|record| (record, line.len())),
                Some(Piece::Long) => return Err(self.broken(&"longer than any record")),
            };
            match record {
                Ok((record, len)) if record.seq == self.seq && record.prev == self.head => {
                    self.offset += len as u64;
                    self.seq += 1;
                    self.head.clone_from(&record.hash);
                    records.push(record);
                }
                Ok(_) => {
                    return Err(self.broken(&"it does not hold the hash of the record before it"));
                }
                // What a crash left; the first record of the next segment must follow all the same.
                Err(_) if over => return Ok(()),
                Err(e) => return Err(self.broken(&e)),
            }
        }
        Ok(())
    }

    fn open(&self, segment: u32) -> Result<Option<std::fs::File>> {
        match self.dir.open_file(&segment_name(segment)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.broken(&e)),
        }
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Failure {
        let Self { segment, offset, seq, .. } = self;
        let file = segment_name(*segment);
        Failure::new(Kind::AuditBroken, format!("record {seq} of the log cannot be read, {file} offset {offset}"))
            .cause(why)
            .hint("look with `backout audit verify`")
    }
}
