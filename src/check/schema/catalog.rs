//! The text of a whole catalog: a fingerprint that is kept, compared, and told apart in words.
//!
//! One object a line, `KIND NAME: what it is`, sorted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::sessions::fits;
use crate::check::sql::{Asked, NoAnswer};
use crate::check::{Answer, Context};
use crate::runbook::expect::Verdict;
use crate::runbook::template::as_text;
use crate::sql::Dialect;
use crate::target::db::Handle;
use crate::text::in_one_line;

use super::touched::{self, Objects};
use super::{mysql, postgres, sqlite};

/// Differences that are said one by one.
const SAID: usize = 12;

/// How a fingerprint is written; raised with what a reading sees, for two readings of different sight say nothing of each
/// other.
pub const VERSION: u32 = 2;

/// Everything that a reading of this dialect sees, by name, with the order of columns; of PostgreSQL also which one each is.
///
/// # Errors
/// A target without a catalog, and the server's words.
pub(super) async fn all(handle: &mut Handle) -> Asked<Objects> {
    match handle.dialect() {
        Some(Dialect::Postgres) => postgres::objects::all(handle).await,
        Some(Dialect::Sqlite) => sqlite::objects::all(handle).await,
        Some(Dialect::Mysql) => mysql::objects::all(handle).await,
        _ => Err(NoAnswer::Unknown("this target has no catalog".to_owned())),
    }
}

/// What a reading of a dialect does not see, in words.
pub fn unseen(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => postgres::objects::UNSEEN,
        Dialect::Sqlite => sqlite::objects::UNSEEN,
        Dialect::Mysql => mysql::objects::UNSEEN,
    }
}

/// The catalog as text: two catalogs are the same when their texts are. The order of columns is no part of it: a column
/// that was dropped and added again is the same column.
///
/// # Errors
/// As the server says.
pub async fn catalog(handle: &mut Handle) -> Asked<Vec<String>> {
    let mut objects = all(handle).await?;
    objects.retain(|object, _| !touched::is_own(object));
    Ok(objects.iter().map(|(object, is)| in_one_line(&format!("{object}: {is}")).into_string()).collect())
}

/// The catalog as it is kept in a file: under what it was read with, and what it does not see.
///
/// # Errors
/// As the server says.
pub async fn fingerprint(handle: &mut Handle) -> Asked<Vec<String>> {
    let mut lines = vec![read_with(handle).await?];
    lines.extend(handle.dialect().map(|dialect| format!("{COMMENT} not in it: {}", unseen(dialect))));
    lines.extend(catalog(handle).await?);
    Ok(lines)
}

const COMMENT: char = '#';

/// On what the words of a reading depend beside the catalog: this program, the server's version, the names that need no
/// schema.
async fn read_with(handle: &mut Handle) -> Asked<String> {
    let server = match handle.dialect() {
        Some(Dialect::Postgres) => {
            let sql = "select 'PostgreSQL ' || current_setting('server_version_num')::int / 10000 || ', search path '
                || array_to_string(current_schemas(false), ', ')";
            handle.one(sql, vec![]).await?.as_ref().map(as_text).unwrap_or_default()
        }
        Some(Dialect::Sqlite) => "SQLite".to_owned(),
        Some(Dialect::Mysql) => handle
            .one("select substring_index(version(), '.', 2)", vec![])
            .await?
            .as_ref()
            .map(as_text)
            .unwrap_or_default(),
        None => return Err(NoAnswer::Unknown("this target has no catalog".to_owned())),
    };
    Ok(format!("{COMMENT} backout fingerprint {VERSION}, {server}"))
}

/// Whether the catalog is as the kept one was, but for what is left out.
pub(super) async fn like(
    fingerprint: &std::path::Path,
    except: &[String],
    handle: &mut Handle,
    ctx: &Context,
) -> Answer {
    let name = fingerprint.display();
    let kept = match tokio::fs::read_to_string(ctx.runbook.base.join(fingerprint)).await {
        Ok(kept) if kept.trim().is_empty() => {
            return Answer::unknown(format!(
                "{name} is empty: `backout doctor RUNBOOK --fingerprint TARGET` prints one"
            ));
        }
        Ok(kept) => kept,
        Err(error) => return Answer::unknown(format!("{name} cannot be read: {error}")),
    };
    let (with, now) = match (read_with(handle).await, catalog(handle).await) {
        (Ok(with), Ok(now)) => (with, now),
        (Err(none), _) | (_, Err(none)) => return Answer::unknown(none.words()),
    };
    // Other words for the same thing are no difference, and the same words may hide one.
    let head = kept.lines().next().unwrap_or_default();
    if head != with {
        let head = if head.starts_with(COMMENT) { head } else { "no such line" };
        return Answer::unknown(format!(
            "{name} begins with `{head}` and is read here with `{with}`: the two cannot be compared; \
             `backout doctor RUNBOOK --fingerprint TARGET` prints a new one"
        ));
    }
    let kept: Vec<String> = kept.lines().filter(|line| !line.starts_with(COMMENT)).map(str::to_owned).collect();
    let found = differences(&kept, &now, except);
    Answer {
        verdict: if found.is_empty() { Verdict::Pass } else { Verdict::Fail },
        value: Some(Value::Bool(found.is_empty())),
        words: (!found.is_empty()).then(|| said(&found)),
        took_ms: 0,
    }
}

/// The first differences, and how many more there are.
pub fn said(found: &[String]) -> String {
    let first = found.iter().take(SAID).cloned().collect::<Vec<_>>().join("; ");
    match found.len().saturating_sub(SAID) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// What one catalog has and the other has not, object by object, in words.
pub fn differences(before: &[String], now: &[String], except: &[String]) -> Vec<String> {
    let objects = |lines: &[String]| -> BTreeMap<String, String> {
        let parted = lines.iter().filter(|line| !line.is_empty()).map(|line| match line.split_once(": ") {
            Some((object, is)) => (object.to_owned(), is.to_owned()),
            None => (line.trim_end_matches(':').to_owned(), String::new()),
        });
        parted.filter(|(object, _)| !left_out(object, except)).collect()
    };
    let (before, now) = (objects(before), objects(now));
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    all.into_iter()
        .filter_map(|object| match (before.get(object), now.get(object)) {
            (None, Some(_)) => Some(format!("{object} is there and was not")),
            (Some(_), None) => Some(format!("{object} was there and is not")),
            (Some(was), Some(is)) if was != is => Some(changed(object, was, is)),
            _ => None,
        })
        .collect()
}

/// What an operator looks for first has words of its own.
fn changed(object: &str, was: &str, is: &str) -> String {
    for (mark, words, other) in [
        (" (not valid)", "is not valid", "is valid and was not"),
        (" NOT VALID", "is not validated", "is validated and was not"),
        (" (disabled)", "is disabled", "is enabled and was not"),
    ] {
        if is.strip_suffix(mark) == Some(was) {
            return format!("{object} {words}");
        }
        if was.strip_suffix(mark) == Some(is) {
            return format!("{object} {other}");
        }
    }
    format!("{object} is {is}, and was {was}")
}

/// `column orders.note` is left out by `orders.note`, by `orders` and by `ord*`; and by `column *`.
fn left_out(object: &str, except: &[String]) -> bool {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    let fit = |glob: &String| fits(glob, name) || fits(&format!("{glob}.*"), name) || fits(glob, object);
    except.iter().any(|glob| fit(glob) || (object.starts_with("grant ") && fit(&format!("{glob} to *"))))
}
