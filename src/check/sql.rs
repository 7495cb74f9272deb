//! Questions in SQL: a query's value, the rows of a set, their number; and why there is no answer.
//!
//! Owns what counts as an answer. Never sends anything but through the walls, and never turns nothing into a value.

use serde_json::Value;

use crate::runbook::template::{RenderedSql, SqlText};
use crate::runbook::{PerDialect, SetSource};
use crate::sql::{self, Dialect};
use crate::target::db::{Handle, Row, SqlError};

use super::{Context, Names};

mod probe;
mod walls;

pub use probe::probe;
pub use walls::{Where, apart, guarded, inside, taken};

/// Rows that a set may have. More is no runbook's set but a batch job.
pub const MOST_ROWS: u64 = 100_000;
/// Rows that a check's query may give: one is used.
const CHECK_ROWS: u64 = 201;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Words for the operator: what is missing, refused or lost. The check is unknown.
    Unknown(String),
    /// The server refused what was asked: for a probe, that is the answer.
    Refused(SqlError),
}

impl NoAnswer {
    pub fn words(&self) -> String {
        match self {
            Self::Unknown(words) => words.clone(),
            Self::Refused(error) => error.words(),
        }
    }
}

impl From<SqlError> for NoAnswer {
    fn from(error: SqlError) -> Self {
        if error.is_no_answer() { Self::Unknown(error.words()) } else { Self::Refused(error) }
    }
}

impl From<crate::failure::Failure> for NoAnswer {
    fn from(failure: crate::failure::Failure) -> Self {
        let mut words = failure.message;
        for cause in failure.causes {
            words = format!("{words}: {cause}");
        }
        Self::Unknown(words)
    }
}

pub type Asked<T> = Result<T, NoAnswer>;

fn unknown<T>(words: impl Into<String>) -> Asked<T> {
    Err(NoAnswer::Unknown(words.into()))
}

/// The form of `sql` for the dialect of this connection, with its binds.
pub fn rendered(text: &PerDialect<SqlText>, dialect: Dialect, names: &Names<'_>) -> Asked<RenderedSql> {
    let Some(text) = text.get(dialect) else {
        return unknown(format!("the runbook has no form of it for {dialect}"));
    };
    one_rendered(text, dialect, names, None)
}

pub fn one_rendered(text: &SqlText, dialect: Dialect, names: &Names<'_>, set: Option<&str>) -> Asked<RenderedSql> {
    text.render(dialect, names, set).map_err(|missing| NoAnswer::Unknown(missing.to_string()))
}

/// The one value of a query: one row with one column, or there is no answer.
pub async fn value(handle: &mut Handle, place: Where, sql: &RenderedSql) -> Asked<Value> {
    let mut rows = guarded(handle, place, sql, CHECK_ROWS).await?;
    match rows.len() {
        0 => unknown("the query gave no row"),
        1 => {
            let row = rows.remove(0);
            if row.len() != 1 {
                return unknown(format!("the query gives {} columns, and one is wanted", row.len()));
            }
            match row.into_iter().next() {
                Some((_, Value::Null)) | None => unknown("the answer is NULL"),
                Some((_, value)) => Ok(plain(value)),
            }
        }
        n => unknown(format!(
            "the query gave {}{n} rows, and one is wanted",
            if n as u64 == CHECK_ROWS { "at least " } else { "" }
        )),
    }
}

/// All rows of a query, capped.
///
/// # Errors
/// As [`guarded`], and more rows than a set may have.
pub async fn rows(handle: &mut Handle, place: Where, sql: &RenderedSql) -> Asked<Vec<Row>> {
    let rows = guarded(handle, place, sql, MOST_ROWS + 1).await?;
    if rows.len() as u64 > MOST_ROWS {
        return unknown(format!("more than {MOST_ROWS} rows: narrow the query, a set is what people decide about"));
    }
    Ok(rows.into_iter().map(plain_row).collect())
}

/// How many rows a query has now.
pub async fn count(handle: &mut Handle, place: Where, sql: &RenderedSql) -> Asked<Value> {
    let counted = RenderedSql {
        sql: format!("select count(*) as n from (\n{}\n) backout_rows", sql.sql.trim_end().trim_end_matches(';')),
        binds: sql.binds.clone(),
    };
    // The parser judges the author's text, not ours around it.
    if let Some(dialect) = handle.dialect()
        && let Err(refused) = sql::check_read_only(dialect, &sql.sql)
    {
        return unknown(refused.to_string());
    }
    value(handle, place, &counted).await
}

/// The rows of a set, read again now.
pub async fn set_rows(name: &str, ctx: &Context) -> Asked<Vec<Row>> {
    let Some(set) = ctx.runbook.sets.get(name) else {
        return records(name, ctx).await;
    };
    match &set.source {
        SetSource::Query { on, sql } => {
            let mut handle = ctx.targets.monitor(on).await?;
            let Some(dialect) = handle.dialect() else { return unknown(format!("{on} is not a database")) };
            let sql = rendered(sql, dialect, &Names::new(ctx))?;
            rows(&mut handle, Where::Apart, &sql).await
        }
        SetSource::Records { target } => records(target, ctx).await,
        SetSource::Topic(_) | SetSource::Http { .. } | SetSource::Command { .. } | SetSource::Combined(_) => {
            unknown(format!("{name} comes from where rows are not read yet"))
        }
        SetSource::Compare(_) => unknown(format!("{name} is compared: a reconcile step gives its rows")),
    }
}

async fn records(target: &str, ctx: &Context) -> Asked<Vec<Row>> {
    let target = ctx.targets.target(target)?;
    Ok(crate::target::records::read(target, &ctx.access).await?)
}

/// A value as records may hold it: integers that every reader of JSON keeps, everything else that is a number as text.
pub fn plain(value: Value) -> Value {
    const SAFE: i64 = 1 << 53;
    match value {
        Value::Number(n) => match n.as_i64() {
            Some(i) if (-SAFE..=SAFE).contains(&i) => Value::from(i),
            _ => Value::String(n.to_string()),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Object(row) => Value::Object(plain_row(row)),
        other => other,
    }
}

pub fn plain_row(row: Row) -> Row {
    row.into_iter().map(|(name, value)| (name, plain(value))).collect()
}
