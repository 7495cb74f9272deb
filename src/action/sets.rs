//! The rows of a set as an action acts on them: frozen, a class of them, or what earlier steps changed.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Item, rows};
use crate::check::Context;
use crate::failure::{Failure, Kind, Result};
use crate::run::record::FrozenContent;
use crate::runbook::template::as_text;
use crate::runbook::{SetRef, SetSource};

type Row = Map<String, Value>;

/// Our rows of a set, as they were frozen.
///
/// # Errors
/// The set was not frozen, or its file cannot be read.
pub fn frozen_rows(set: &SetRef, ctx: &Context) -> Result<Vec<Row>> {
    Ok(match set {
        SetRef::Set(name) => lines(name, ctx)?.into_iter().map(ours).collect(),
        SetRef::Class { set, class } => in_class(set, class, ctx)?.into_iter().map(ours).collect(),
        SetRef::ChangedBy { steps } => {
            changed(steps, ctx)?.into_iter().map(|(_, line)| part(&line, "after").unwrap_or_default()).collect()
        }
    })
}

/// One item for each row; of a class that matches many records, one for each surplus record.
///
/// # Errors
/// As [`frozen_rows`].
pub fn items(step: &str, set: &SetRef, ctx: &Context) -> Result<Vec<Item>> {
    let item = |row_key: String, record_key: String, ours: Row, theirs: Option<Row>, before: Option<Row>| Item {
        key: item_key(ctx, step, &row_key, &record_key),
        row_key,
        ours,
        theirs,
        before,
    };
    Ok(match set {
        SetRef::Set(name) => {
            let key = key_column(name, ctx);
            lines(name, ctx)?
                .into_iter()
                .map(ours)
                .map(|row| item(text(&row, &key), String::new(), row, None, None))
                .collect()
        }
        SetRef::Class { set, class } => {
            let mut all = Vec::new();
            for line in in_class(set, class, ctx)? {
                let row_key = text(&line, "key");
                let surplus = line.get("surplus").and_then(Value::as_array).cloned().unwrap_or_default();
                let row = ours(line.clone());
                if surplus.is_empty() {
                    let theirs = line.get("theirs").and_then(|all| all.as_array()?.first()?.as_object().cloned());
                    all.push(item(row_key, String::new(), row, theirs, None));
                    continue;
                }
                for record in surplus.iter().filter_map(Value::as_object) {
                    let record_key = text(record, &record_key_column(set, ctx));
                    all.push(item(row_key.clone(), record_key, row.clone(), Some(record.clone()), None));
                }
            }
            all
        }
        SetRef::ChangedBy { steps } => changed(steps, ctx)?
            .into_iter()
            .map(|(of, line)| {
                let row_key = format!("{of}/{}", text(&line, "key"));
                item(row_key, String::new(), part(&line, "after").unwrap_or_default(), None, part(&line, "before"))
            })
            .collect(),
    })
}

/// Stable over retries and over runs: a second run cannot pay twice.
fn item_key(ctx: &Context, step: &str, row_key: &str, record_key: &str) -> String {
    let incident = ctx.access.incident.as_deref().unwrap_or("");
    let mut digest = Sha256::new();
    for part in [ctx.runbook.name.as_str(), incident, step, row_key, record_key] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn lines(name: &str, ctx: &Context) -> Result<Vec<Row>> {
    match ctx.frozen.get(name) {
        Some(FrozenContent::Rows { file, .. }) => rows::read(&ctx.access.run_dir, file),
        Some(FrozenContent::Unknown { because }) => {
            Err(Failure::new(Kind::Unknown, format!("{name} could not be frozen: {because}")).hint("freeze it again"))
        }
        Some(_) => Err(Failure::new(Kind::Runbook, format!("{name} is not a set of rows"))),
        None => Err(Failure::new(Kind::Refused, format!("{name} has not been frozen in this run"))
            .hint("run the step that freezes or reconciles it first")),
    }
}

fn in_class(set: &str, class: &str, ctx: &Context) -> Result<Vec<Row>> {
    let mut all = lines(set, ctx)?;
    all.retain(|line| line.get("class").and_then(Value::as_str) == Some(class));
    Ok(all)
}

fn changed(steps: &[String], ctx: &Context) -> Result<Vec<(String, Row)>> {
    let mut all = Vec::new();
    for step in steps {
        // A step that changed nothing, or was not needed, has no file.
        if let Some(file) = ctx.changed.get(step) {
            all.extend(rows::read(&ctx.access.run_dir, file)?.into_iter().map(|line| (step.clone(), line)));
        }
    }
    Ok(all)
}

/// A line of a compared set holds our row under `ours`; any other line is the row.
fn ours(line: Row) -> Row {
    part(&line, "ours").unwrap_or(line)
}

fn part(line: &Row, name: &str) -> Option<Row> {
    line.get(name)?.as_object().cloned()
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).map(as_text).unwrap_or_default()
}

/// The column that names a row of this set.
pub fn key_column(name: &str, ctx: &Context) -> String {
    if let Some(target) = ctx.runbook.targets.get(name) {
        return target.key.clone().unwrap_or_default();
    }
    match ctx.runbook.sets.get(name).map(|set| (&set.source, &set.key)) {
        Some((SetSource::Compare(compare), _)) => key_column(&compare.ours, ctx),
        Some((SetSource::Records { target }, _)) => key_column(target, ctx),
        Some((_, key)) => key.clone(),
        None => String::new(),
    }
}

fn record_key_column(set: &str, ctx: &Context) -> String {
    match ctx.runbook.sets.get(set).map(|set| &set.source) {
        Some(SetSource::Compare(compare)) => key_column(&compare.theirs, ctx),
        _ => key_column(set, ctx),
    }
}
