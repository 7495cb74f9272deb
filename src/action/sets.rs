//! Frozen sets as actions use them: their rows, their columns, their items.
//!
//! Owns how a frozen set lies in files. Never asks a target: what is not frozen is refused.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::change::Image;
use super::rows::SetTable;
use super::{Item, files};
use crate::check::Context;
use crate::failure::{Failure, Kind, Result};
use crate::run::record::FrozenContent;
use crate::runbook::template::as_text;
use crate::runbook::{Compare, SetRef, SetSource};
use crate::target::db::Row;

/// A row of a compared set in its class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    pub class: String,
    pub key: String,
    pub ours: Row,
    /// Their records; of a class for more than one match, the surplus ones.
    pub theirs: Vec<Row>,
    /// Each record is an item of its own.
    pub many: bool,
}

/// The comparison behind a set, if it is one.
pub fn compare<'a>(ctx: &'a Context, set: &str) -> Option<&'a Compare> {
    match &ctx.runbook.sets.get(set)?.source {
        SetSource::Compare(compare) => Some(compare),
        _ => None,
    }
}

/// The column that names a row of a set, or a record of a records target.
pub fn key_column(ctx: &Context, set: &str) -> Option<String> {
    if let Some(compare) = compare(ctx, set) {
        return key_column(ctx, &compare.ours);
    }
    match ctx.runbook.sets.get(set) {
        Some(set) => Some(set.key.clone()),
        None => ctx.runbook.targets.get(set).and_then(|target| target.key.clone()),
    }
}

/// As [`key_column`], for every way to name rows.
pub fn set_key(ctx: &Context, set: &SetRef) -> Option<String> {
    match set {
        SetRef::Set(set) | SetRef::Class { set, .. } => key_column(ctx, set),
        SetRef::ChangedBy { .. } => None,
    }
}

fn file_of<'a>(ctx: &'a Context, set: &str) -> Result<&'a str> {
    let not = |why: &str| {
        Failure::new(Kind::Refused, format!("the rows of {set} are not known: {why}"))
            .hint("run the step that freezes it, or again if it could not be read")
    };
    match ctx.frozen.get(set) {
        Some(FrozenContent::Rows { file, .. }) => Ok(file),
        Some(FrozenContent::Unknown { because }) => Err(not(because)),
        _ => Err(not("it is not frozen yet")),
    }
}

fn placed(ctx: &Context, set: &str) -> Result<Vec<Placed>> {
    files::read(ctx, file_of(ctx, set)?)
}

fn images(ctx: &Context, step: &str) -> Result<Vec<Image>> {
    match ctx.changed.get(step) {
        Some(file) => files::read(ctx, file),
        None => Err(Failure::new(Kind::Refused, format!("{step} has changed no rows in this run yet"))),
    }
}

/// The rows of a frozen set: ours, of a comparison.
///
/// # Errors
/// It is not frozen, or its file is gone.
pub fn rows(ctx: &Context, set: &SetRef) -> Result<Vec<Row>> {
    match set {
        SetRef::Set(set) if compare(ctx, set).is_none() => files::read(ctx, file_of(ctx, set)?),
        SetRef::Set(set) => Ok(placed(ctx, set)?.into_iter().map(|row| row.ours).collect()),
        SetRef::Class { set, class } => {
            Ok(placed(ctx, set)?.into_iter().filter(|row| row.class == *class).map(|row| row.ours).collect())
        }
        SetRef::ChangedBy { steps } => {
            let mut all = Vec::new();
            for step in steps {
                all.extend(images(ctx, step)?.into_iter().map(|image| image.after.unwrap_or(image.before)));
            }
            Ok(all)
        }
    }
}

/// The rows with the types of their columns, for a statement.
///
/// # Errors
/// As [`rows`].
pub fn set_table(ctx: &Context, set: &SetRef) -> Result<SetTable> {
    let typed = match set {
        SetRef::Set(name) | SetRef::Class { set: name, .. } => {
            files::read(ctx, &format!("frozen/{name}.columns.jsonl")).unwrap_or_default()
        }
        SetRef::ChangedBy { .. } => Vec::new(),
    };
    Ok(SetTable::new(rows(ctx, set)?, typed))
}

/// What a step goes through, one by one. Keys are the same in every run of the same incident: a second run cannot do
/// an item twice where the receiver knows its key.
///
/// # Errors
/// As [`rows`], and a row without a key.
pub fn items(ctx: &Context, step: &str, set: &SetRef) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    match set {
        SetRef::ChangedBy { steps } => {
            for changed in steps {
                for image in images(ctx, changed)? {
                    items.push(Item {
                        key: item_key(ctx, step, &image.key, ""),
                        row_key: image.key,
                        ours: image.after.unwrap_or_else(|| image.before.clone()),
                        theirs: None,
                        before: Some(image.before),
                    });
                }
            }
        }
        SetRef::Set(name) if compare(ctx, name).is_none() => {
            let column = key_column(ctx, name).unwrap_or_default();
            for row in rows(ctx, set)? {
                let row_key = row.get(&column).map(as_text).ok_or_else(|| {
                    Failure::new(Kind::Refused, format!("a row of {name} has no column {column}"))
                })?;
                let key = item_key(ctx, step, &row_key, "");
                items.push(Item { key, row_key, ours: row, theirs: None, before: None });
            }
        }
        SetRef::Set(name) | SetRef::Class { set: name, .. } => {
            let only = match set {
                SetRef::Class { class, .. } => Some(class),
                _ => None,
            };
            let record_key = compare(ctx, name).and_then(|compare| key_column(ctx, &compare.theirs));
            for row in placed(ctx, name)?.into_iter().filter(|row| only.is_none_or(|class| row.class == *class)) {
                let records: Vec<Option<Row>> = match (row.many, row.theirs.is_empty()) {
                    (true, _) => row.theirs.into_iter().map(Some).collect(),
                    (false, true) => vec![None],
                    (false, false) => row.theirs.into_iter().take(1).map(Some).collect(),
                };
                for theirs in records {
                    let record = theirs.as_ref().zip(record_key.as_ref());
                    let record = record.and_then(|(record, column)| record.get(column)).map(as_text).unwrap_or_default();
                    items.push(Item {
                        key: item_key(ctx, step, &row.key, &record),
                        row_key: row.key.clone(),
                        ours: row.ours.clone(),
                        theirs,
                        before: None,
                    });
                }
            }
        }
    }
    Ok(items)
}

fn item_key(ctx: &Context, step: &str, row: &str, record: &str) -> String {
    let mut hash = Sha256::new();
    for part in [&ctx.access.runbook, ctx.access.incident.as_deref().unwrap_or_default(), step, row, record] {
        // Lengths keep `a|bc` and `ab|c` apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    files::hex(&hash.finalize())[..32].to_owned()
}
