//! A file of outside records: CSV or JSON Lines, one record each, named by a key.
//!
//! Owns the reading, strict and located: what is half understood is refused, since money is decided on it. Values of a
//! CSV file stay text; numbers are compared by value later.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::failure::{Failure, Kind, Result};
use crate::runbook::Target;
use crate::target::Access;
use crate::text::Shown;

mod csv;
mod lines;

/// Bytes.
pub const LIMIT: u64 = 256 << 20;

/// One record by column.
pub type Row = Map<String, Value>;

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// From 1; none where the whole file is meant.
    line: Option<usize>,
    what: String,
}

impl Wrong {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }

    fn whole(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into() }
    }
}

/// A record with the line that it begins on.
type Located = (usize, Row);

/// Reads every record of a `records` target, off the runtime's threads.
///
/// # Errors
/// A name in its address that is not set, and what [`read_file`] says.
pub async fn read(target: &Target, access: &Access) -> Result<Vec<Row>> {
    let (path, key) = (PathBuf::from(access.address(target)?.expose()), target.key.clone());
    tokio::task::spawn_blocking(move || read_file(&path, key.as_deref()))
        .await
        .map_err(|e| Failure::new(Kind::Defect, "reading records ended early").cause(e))?
}

/// Reads every record. The name's ending tells the form: `.csv`, `.jsonl` or `.ndjson`.
///
/// With a `key`, each record has a value in that column that no other has.
///
/// # Errors
/// The file and the line, what is wrong there, and what to do.
pub fn read_file(path: &Path, key: Option<&str>) -> Result<Vec<Row>> {
    let name = Shown::new(&path.display().to_string());
    let failed = |what: String| Failure::new(Kind::Target, format!("the records in {name} cannot be used: {what}"));
    let parse = match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => csv::read,
        Some("jsonl" | "ndjson") => lines::read,
        _ => {
            return Err(failed("its name says neither CSV nor JSON Lines".to_owned())
                .hint("name it .csv, .jsonl or .ndjson, after what is in it"));
        }
    };
    let bytes = bytes(path).map_err(&failed)?;
    let located = |wrong: Wrong| match wrong.line {
        Some(line) => failed(format!("line {line}: {}", wrong.what)),
        None => failed(wrong.what),
    };
    let text = text(&bytes).map_err(located)?;
    let records = parse(text).map_err(located)?;
    if let Some(key) = key {
        keyed(&records, key).map_err(located)?;
    }
    Ok(records.into_iter().map(|(_, row)| row).collect())
}

fn bytes(path: &Path) -> std::result::Result<Vec<u8>, String> {
    // A FIFO would wait for its other end; opened like this it does not, and is then refused.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| format!("it cannot be opened: {e}"))?;
    let meta = file.metadata().map_err(|e| format!("it cannot be read: {e}"))?;
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let too_long = || format!("it is longer than {} MiB", LIMIT >> 20);
    if meta.len() > LIMIT {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // Once more: it may be growing.
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| format!("it cannot be read: {e}"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(too_long());
    }
    Ok(bytes)
}

/// The text without the mark that some programs put before it.
fn text(bytes: &[u8]) -> std::result::Result<&str, Wrong> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Wrong::whole("it is UTF-16; save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Wrong::at(line, format!("a byte (0x{:02X}) that is not UTF-8", bytes[e.valid_up_to()]))
    })?;
    if let Some(at) = text.find('\0') {
        return Err(Wrong::at(1 + text[..at].matches('\n').count(), "a zero byte"));
    }
    Ok(text)
}

/// # Errors
/// A record without the key, or with that of another one: it could not be told which was meant.
fn keyed(records: &[Located], key: &str) -> std::result::Result<(), Wrong> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(records.len());
    for (line, row) in records {
        let value = match row.get(key) {
            None => {
                let columns: Vec<&str> = row.keys().map(String::as_str).take(12).collect();
                let columns = Shown::new(&columns.join(", "));
                return Err(Wrong::at(*line, format!("no column {key}, the key; there are {columns}")));
            }
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null | Value::String(_)) => {
                return Err(Wrong::at(*line, format!("column {key}, the key, is empty")));
            }
            Some(_) => {
                return Err(Wrong::at(*line, format!("column {key}, the key, is neither text nor number")));
            }
        };
        let shown = Shown::capped(&value, 60);
        if let Some(first) = seen.insert(value, *line) {
            return Err(Wrong::at(*line, format!("{key} {shown} stands on line {first} already")));
        }
    }
    Ok(())
}
