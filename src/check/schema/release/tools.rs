//! What the rows of a migration tool's own table say of one migration.
//!
//! Pure. A tool is known by the columns of its table, as people rename tables. A row alone does not say *applied*: some
//! tools keep what failed, what was taken out again, what was assumed and never run, or only where they stand now.

use std::cmp::Ordering;

use serde_json::Value;

use crate::runbook::Recorded;
use crate::target::db::Row;

/// The column under which the looked-for value stands in every row, whatever its name is.
pub(super) const KEY: &str = "backout_key";

/// What the table says, and in which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    In(String),
    Out(String),
    /// Begun, and not ended: the tool refuses to go on.
    Stopped(String),
    Unclear(String),
}

/// Whether the migration is in, as the table has it.
pub fn says(recorded: &Recorded, rows: &[Row]) -> Says {
    let wanted = recorded.value.as_str();
    let has = |name: &str| rows.first().is_some_and(|row| get(row, name).is_some());
    let mut own: Vec<&Row> = rows.iter().filter(|row| same(&text(row, KEY), wanted)).collect();
    let newest = |own: &mut Vec<&Row>, by: &str| own.sort_by(|one, other| order(&text(one, by), &text(other, by)));
    if has("dirty") && has("version") {
        return golang_migrate(wanted, rows);
    }
    if has("version_num") {
        return alembic(wanted, rows, !own.is_empty());
    }
    if has("app") && has("name") {
        return django(wanted, rows, &own);
    }
    if has("installed_rank") {
        newest(&mut own, "installed_rank");
        return own.last().map_or_else(|| baseline(wanted, rows), |row| flyway(row));
    }
    if has("exectype") {
        newest(&mut own, "orderexecuted");
        return liquibase(&own);
    }
    newest(&mut own, if has("rolled_back_at") { "started_at" } else { "id" });
    match own.last() {
        None => Says::Out("is not there".into()),
        Some(row) if filled(row, "rolled_back_at") => Says::Out("is marked as rolled back".into()),
        Some(row) if get(row, "rolled_back_at").is_some() && !filled(row, "finished_at") => {
            Says::Stopped("was begun and has no end (finished_at is empty)".into())
        }
        Some(row) if yes(row, "is_applied") == Some(false) => Says::Out("was taken out again (is_applied)".into()),
        Some(row) if yes(row, "success") == Some(false) => Says::Stopped("FAILED (success is false)".into()),
        Some(row) if get(row, "total").is_some() && text(row, "applied") != text(row, "total") => {
            Says::Stopped(format!("stopped at statement {} of {}", text(row, "applied"), text(row, "total")))
        }
        Some(_) => there(),
    }
}

fn there() -> Says {
    Says::In("is there: the migration table says applied".into())
}

/// One row, with where it stands; it is written before the migration runs, and cleaned once that has ended.
fn golang_migrate(wanted: &str, rows: &[Row]) -> Says {
    let [row] = rows else {
        return Says::Unclear(format!("is not told: the table has {} rows where its tool keeps one", rows.len()));
    };
    let at = text(row, "version");
    match (order(&at, wanted), yes(row, "dirty")) {
        (_, None) => Says::Unclear(format!("is not told: the table stands at {at}, and `dirty` cannot be read")),
        (Ordering::Greater, _) => Says::In(format!("is behind where the table stands, at {at}: applied")),
        (_, Some(true)) => Says::Stopped(format!("stopped: the table is dirty at {at}")),
        (Ordering::Equal, _) => there(),
        (Ordering::Less, _) => Says::Out(format!("is ahead of where the table stands, at {at}: not applied")),
    }
}

/// Only the heads of its history.
fn alembic(wanted: &str, rows: &[Row], head: bool) -> Says {
    if head {
        return there();
    }
    let heads: Vec<_> = rows.iter().map(|row| text(row, "version_num")).collect();
    Says::Unclear(format!(
        "is not told: the table holds its head alone, {}; whether {wanted} lies below it, `alembic history` says",
        heads.join(", ")
    ))
}

/// Names are unique in one app only: `app.name` says which.
fn django(wanted: &str, rows: &[Row], own: &[&Row]) -> Says {
    let whole = |row: &&Row| format!("{}.{}", text(row, "app"), text(row, "name")) == wanted;
    if rows.iter().any(|row| whole(&row)) {
        return there();
    }
    match own {
        [] => Says::Out("is not there".into()),
        [_] => there(),
        several => {
            let apps: Vec<_> = several.iter().map(|row| text(row, "app")).collect();
            Says::Unclear(format!(
                "is not told: it is a name of several apps ({}); write `as: app.name`",
                apps.join(", ")
            ))
        }
    }
}

fn flyway(row: &Row) -> Says {
    let kind = text(row, "type").to_ascii_uppercase();
    match yes(row, "success") {
        Some(true) if kind.contains("UNDO") || kind == "DELETE" => Says::Out(format!("was taken out again ({kind})")),
        Some(true) if kind.contains("BASELINE") => Says::In("is there as a baseline: assumed, never run".into()),
        Some(true) => there(),
        Some(false) => Says::Stopped(format!("FAILED ({kind}, success is false)")),
        None => Says::Unclear("is there, and `success` cannot be read".into()),
    }
}

/// What is not above a baseline never runs.
fn baseline(wanted: &str, rows: &[Row]) -> Says {
    let based = rows.iter().filter(|row| text(row, "type").to_ascii_uppercase().contains("BASELINE"));
    match based.map(|row| text(row, KEY)).find(|version| order(version, wanted) == Ordering::Greater) {
        Some(version) => Says::In(format!("is below the baseline {version}: assumed, never run")),
        None => Says::Out("is not there".into()),
    }
}

/// An id is unique with its author and its file only.
fn liquibase(own: &[&Row]) -> Says {
    let Some(row) = own.last() else { return Says::Out("is not there".into()) };
    let of = |row: &Row| format!("{}:{}", text(row, "filename"), text(row, "author"));
    if let Some(other) = own.iter().map(|row| of(row)).find(|other| *other != of(row)) {
        return Says::Unclear(format!("is not told: it is the id of several changesets ({other}, {})", of(row)));
    }
    match text(row, "exectype").as_str() {
        "EXECUTED" | "RERAN" => there(),
        "MARK_RAN" => Says::In("is marked as run without having been run (MARK_RAN)".into()),
        "SKIPPED" => Says::Out("was skipped (SKIPPED)".into()),
        "FAILED" => Says::Stopped("FAILED (exectype)".into()),
        other => Says::Unclear(format!("is there as {other}")),
    }
}

fn get<'a>(row: &'a Row, name: &str) -> Option<&'a Value> {
    row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text(row: &Row, name: &str) -> String {
    match get(row, name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
    }
}

fn filled(row: &Row, name: &str) -> bool {
    get(row, name).is_some_and(|value| !value.is_null())
}

/// A truth value, as each database writes it.
fn yes(row: &Row, name: &str) -> Option<bool> {
    match text(row, name).to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    one == other || number(one) && number(other) && order(one, other) == Ordering::Equal
}

/// Numbers by their value, part by part: 9 before 10, 1.9 before 1.10.
fn order(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let parts = text.split(['.', '_']).map(|part| part.trim_start_matches('0').to_owned());
        parts.map(|part| (part.len() * usize::from(part.bytes().all(|b| b.is_ascii_digit())), part)).collect::<Vec<_>>()
    };
    parts(one).cmp(&parts(other))
}
