//! One segment as a stream of lines, in memory bounded by the longest legal line, whatever the file holds.
//!
//! Owns the difference between a *torn* end (what a crash leaves behind) and everything else. Never judges the chain.

use super::line::{MAX_LINE, is_self_consistent};
use crate::text::hex;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Line feed included, at most [`MAX_LINE`] bytes.
    Line(&'a [u8]),
    /// A line longer than that; its bytes are gone past.
    Long,
    /// The last bytes, without a line feed.
    Tail,
}

/// The bytes of a segment from its first bad one to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    pub len: u64,
    pub sha256: String,
    /// A crash explains it: nothing consistent follows, and every line in it is cut off or was left as zeros.
    pub torn: bool,
}

pub struct Lines<R> {
    inner: BufReader<R>,
    line: Vec<u8>,
    /// Of the piece last returned, and of the one after it.
    at: u64,
    next: u64,
    damage: Option<(u64, Sha256, bool)>,
}

impl<R: Read> Lines<R> {
    pub fn new(segment: R) -> Self {
        Self { inner: BufReader::with_capacity(64 * 1024, segment), line: Vec::new(), at: 0, next: 0, damage: None }
    }

    /// Byte offset of the piece last returned.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// The next piece, or nothing at the end.
    ///
    /// # Errors
    /// What reading the segment said.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.at = self.next;
        self.line.clear();
        let mut ended = false;
        let mut long: Option<LongTail> = None;
        while !ended {
            let buffer = match self.inner.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|&b| b == b'\n');
            let taken = end.map_or(buffer.len(), |i| i + 1);
            ended = end.is_some();
            let chunk = &buffer[..taken];
            if long.is_none() && self.line.len() + taken > MAX_LINE {
                let (_, hasher, _) = self.damage.get_or_insert_with(|| (self.at, Sha256::new(), true));
                hasher.update(&self.line);
                let mut tail = LongTail::default();
                tail.extend(&self.line);
                long = Some(tail);
                self.line.clear();
            }
            match &mut long {
                Some(tail) => {
                    tail.extend(chunk);
                    if let Some((_, hasher, _)) = &mut self.damage {
                        hasher.update(chunk);
                    }
                }
                None => self.line.extend_from_slice(chunk),
            }
            self.next += taken as u64;
            self.inner.consume(taken);
        }
        if let Some(tail) = long {
            let crash = !ended && tail.without_zeros <= MAX_LINE as u64;
            if let Some((_, _, torn)) = &mut self.damage {
                *torn &= crash;
            }
            return Ok(Some(if ended { Piece::Long } else { Piece::Tail }));
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.damage.is_some() || !ended {
            self.damaged();
        }
        Ok(Some(if ended { Piece::Line(&self.line) } else { Piece::Tail }))
    }

    /// The line last returned is bad: from here on everything counts as damage. Called for it once; later pieces are
    /// taken in by themselves.
    pub fn damaged(&mut self) {
        let (_, hasher, torn) = self.damage.get_or_insert_with(|| (self.at, Sha256::new(), true));
        hasher.update(&self.line);
        // A zero byte never stands in a line of ours: it is a page that was allocated and not written.
        *torn &= !self.line.ends_with(b"\n") || (self.line.contains(&0) && !is_self_consistent(&self.line));
    }

    /// Whether damage was met so far.
    pub fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// At the end of the segment: its length in bytes, and its damage.
    pub fn finish(self) -> (u64, Option<Damage>) {
        let len = self.next;
        let damage = self.damage.map(|(offset, hasher, torn)| {
            let sha256 = hex(&hasher.finalize());
            Damage { offset, len: len - offset, sha256, torn }
        });
        (len, damage)
    }
}

/// How long an endless line is without the zeros at its end.
#[derive(Default)]
struct LongTail {
    len: u64,
    without_zeros: u64,
}

impl LongTail {
    fn extend(&mut self, chunk: &[u8]) {
        if let Some(last) = chunk.iter().rposition(|&b| b != 0) {
            self.without_zeros = self.len + last as u64 + 1;
        }
        self.len += chunk.len() as u64;
    }
}
