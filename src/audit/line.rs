//! One record as one line of bytes, and back.
//!
//! Owns the format: key order, escapes, the hash over the raw bytes before `,"hash":"`. A line is accepted only if
//! writing it again gives the same bytes, so that there is one way to write a record and none to hide anything in it.
//! Never touches a file and knows no kind of record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;

use crate::text::sha256;

/// Version of the format.
pub const VERSION: u32 = 1;

/// Bytes, line feed included. What is bigger belongs beside the log, with its digest in it.
pub const MAX_LINE: usize = 256 * 1024;

/// `prev` of the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Bytes of `,"hash":"<64>"}` and the line feed, the end of every line.
const TRAILER: usize = 76;
const HASH_KEY: &[u8] = b",\"hash\":\"";

/// When, as told by the one clock of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub ts: Timestamp,
    /// Nanoseconds of `CLOCK_BOOTTIME`; comparable only within one `boot`.
    pub mono: u64,
    /// First 8 characters of the kernel's boot id.
    pub boot: String,
}

/// A record before the writer gave it its place in the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Key of the actor table, such as `a1`.
    pub by: String,
    pub step: Option<String>,
    pub att: Option<u32>,
    pub kind: String,
    pub payload: Value,
    pub ts: Timestamp,
    pub mono: u64,
    pub boot: String,
}

/// A record in its place. `hash` is the head of the chain after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    pub v: u32,
    pub seq: u64,
    pub prev: String,
    /// Wall clock, whole microseconds; order and durations come from `seq` and `mono`, never from this.
    pub ts: Timestamp,
    pub mono: u64,
    pub boot: String,
    pub run: String,
    pub by: String,
    pub step: Option<String>,
    pub att: Option<u32>,
    pub kind: String,
    pub payload: Value,
    pub hash: String,
}

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The bytes do not end as every line does.
    Frame,
    /// The hash at the end is not the hash of the bytes before it.
    Hash,
    /// Written by another version of backout.
    Version(String),
    /// Self-consistent, but not as backout writes it.
    Form(String),
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LineError::Frame => f.write_str("does not end in a hash and a line feed"),
            LineError::Hash => f.write_str("its hash does not match its bytes"),
            LineError::Version(v) => write!(f, "format version {v}, this backout reads version {VERSION}"),
            LineError::Form(why) => write!(f, "not written by backout: {why}"),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    seq: u64,
    prev: &'a str,
    ts: String,
    mono: String,
    boot: &'a str,
    run: &'a str,
    by: &'a str,
    step: Option<&'a str>,
    att: Option<u32>,
    kind: &'a str,
    payload: &'a Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parsed {
    v: u32,
    seq: u64,
    prev: String,
    ts: Timestamp,
    mono: String,
    boot: String,
    run: String,
    by: String,
    step: Option<String>,
    att: Option<u32>,
    kind: String,
    payload: Value,
    hash: String,
}

impl Envelope {
    /// The record that `draft` becomes at `seq` after `prev`, and its line.
    ///
    /// # Errors
    /// A sentence for the operator when the line would be longer than [`MAX_LINE`] or cannot be written as JSON.
    pub fn seal(seq: u64, prev: &str, run: &str, draft: Draft) -> Result<(Self, Vec<u8>), String> {
        let Draft { by, step, att, kind, payload, ts, mono, boot } = draft;
        let ts = Timestamp::from_microsecond(ts.as_microsecond()).map_err(|e| e.to_string())?;
        let (prev, run, hash) = (prev.to_owned(), run.to_owned(), String::new());
        let mut record = Self { v: VERSION, seq, prev, ts, mono, boot, run, by, step, att, kind, payload, hash };
        let mut line = record.body()?;
        if line.len() + TRAILER > MAX_LINE {
            return Err(format!("a `{}` record of {} bytes is longer than {MAX_LINE}", record.kind, line.len()));
        }
        record.hash = sha256(&line);
        line.extend_from_slice(HASH_KEY);
        line.extend_from_slice(record.hash.as_bytes());
        line.extend_from_slice(b"\"}\n");
        Ok((record, line))
    }

    /// Reads one line, line feed included.
    ///
    /// # Errors
    /// Why it is not a record of this format.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let (body, hash) = frame(line).ok_or(LineError::Frame)?;
        if sha256(body).as_bytes() != hash {
            return Err(LineError::Hash);
        }
        if let Some(version) = body.strip_prefix(b"{\"v\":").filter(|rest| !rest.starts_with(b"1,")) {
            let digits = version.iter().take(20).take_while(|b| b.is_ascii_digit()).map(|&b| char::from(b)).collect();
            return Err(LineError::Version(digits));
        }
        let form = |e: &dyn std::fmt::Display| LineError::Form(e.to_string());
        let p: Parsed = serde_json::from_slice(line).map_err(|e| form(&e))?;
        let mono = p.mono.parse().map_err(|e| form(&e))?;
        let record = Self {
            v: p.v,
            seq: p.seq,
            prev: p.prev,
            ts: p.ts,
            mono,
            boot: p.boot,
            run: p.run,
            by: p.by,
            step: p.step,
            att: p.att,
            kind: p.kind,
            payload: p.payload,
            hash: p.hash,
        };
        if record.body().map_err(LineError::Form)? != body {
            return Err(LineError::Form("a doubled key, another key order, spacing or escape".to_owned()));
        }
        Ok(record)
    }

    /// The bytes that the hash covers.
    fn body(&self) -> Result<Vec<u8>, String> {
        let body = Body {
            v: self.v,
            seq: self.seq,
            prev: &self.prev,
            ts: format!("{:.6}", self.ts),
            mono: self.mono.to_string(),
            boot: &self.boot,
            run: &self.run,
            by: &self.by,
            step: self.step.as_deref(),
            att: self.att,
            kind: &self.kind,
            payload: &self.payload,
        };
        let mut json = serde_json::Serializer::with_formatter(Vec::with_capacity(512), VisibleJson);
        body.serialize(&mut json).map_err(|e| e.to_string())?;
        let mut bytes = json.into_inner();
        bytes.pop();
        Ok(bytes)
    }
}

/// Does the line carry the right hash of itself, whatever it says?
pub fn is_self_consistent(line: &[u8]) -> bool {
    frame(line).is_some_and(|(body, hash)| sha256(body).as_bytes() == hash)
}

/// The bytes before the trailer, and the 64 hexadecimal characters in it.
fn frame(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER)?)?;
    let hash = trailer.strip_prefix(HASH_KEY)?.strip_suffix(b"\"}\n")?;
    (is_hex64(hash) && line.len() <= MAX_LINE).then_some((body, hash))
}

pub(crate) fn is_hex64(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Only integers that every JSON reader keeps exactly: none beyond 2^53, no fractions. Others are written as strings.
///
/// # Errors
/// The offending number and the keys that lead to it.
pub fn check_payload(payload: &Value) -> Result<(), String> {
    const EXACT: u64 = 1 << 53;
    match payload {
        Value::Number(n) => match n.to_string().parse::<i64>() {
            Ok(i) if i.unsigned_abs() <= EXACT => Ok(()),
            _ => Err(format!(": {n} is not an integer within 2^53, write it as a string")),
        },
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| check_payload(item).map_err(|why| format!("[{i}]{why}")))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, item)| check_payload(item).map_err(|why| format!(".{key}{why}")))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// Compact JSON in which, beyond what JSON demands, everything invisible is escaped: the file may be shown with `cat`.
struct VisibleJson;

impl serde_json::ser::Formatter for VisibleJson {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !crate::text::is_visible(c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}
