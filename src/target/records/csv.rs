//! CSV with a header line, as RFC 4180 has it.

use std::collections::HashSet;

use ::csv::{ErrorKind, Position, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::{Located, Wrong};
use crate::text::Shown;

pub(super) fn read(text: &str) -> Result<Vec<Located>, Wrong> {
    let mut reader = ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| wrong(&e, 0))?.clone();
    if header.is_empty() {
        return Err(Wrong::whole("it is empty: the first line names the columns"));
    }
    let mut names = HashSet::new();
    for (i, name) in header.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(Wrong::at(1, format!("column {} has no name", i + 1)));
        }
        if name != name.trim() {
            return Err(Wrong::at(
                1,
                format!("column {:?} has white space around its name", Shown::new(name).as_str()),
            ));
        }
        if !names.insert(name) {
            return Err(Wrong::at(1, format!("column {} stands there twice", Shown::new(name))));
        }
    }
    if header.len() == 1 && header[0].contains([';', '\t']) {
        return Err(Wrong::at(1, "columns are separated by something other than a comma"));
    }
    let (mut records, mut record, mut last) = (Vec::new(), StringRecord::new(), 1);
    while reader.read_record(&mut record).map_err(|e| wrong(&e, header.len()))? {
        last = line(record.position());
        let row = header.iter().zip(&record).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        records.push((last, row));
    }
    // An open quote takes every line after it into one value, without a word. Quotes come in pairs in this format.
    if text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err(Wrong::at(last, "a quote is opened here and never closed, or one stands alone in the file"));
    }
    Ok(records)
}

fn line(position: Option<&Position>) -> usize {
    position.map_or(1, |p| usize::try_from(p.line()).unwrap_or(usize::MAX))
}

fn wrong(error: &::csv::Error, columns: usize) -> Wrong {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, len, .. } => {
            Wrong::at(line(pos.as_ref()), format!("{len} values where the header names {columns} columns"))
        }
        _ => Wrong::at(line(error.position()), error.to_string()),
    }
}
