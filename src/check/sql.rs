//! Questions in SQL: a query's value, the rows of a set, a probe, each behind several walls.
//!
//! Owns the walls: the parser, a read-only transaction, one statement by protocol, the sub-select, then a look at one's
//! own locks and transaction id; SQLite by its authorizer. Each one alone was breached when tried. Never commits.

use serde_json::Value;

use crate::runbook::template::{RenderedSql, SqlText};
use crate::runbook::{PerDialect, SetSource};
use crate::sql::{self, Class, Dialect};
use crate::target::db::{Handle, Row, SqlError};

use super::{Context, Depth, Names};

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

/// Where a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// On a read connection, in a transaction of its own.
    Apart,
    /// Inside the transaction of a changing step, in a savepoint that is always rolled back to.
    Inside,
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

/// Rows of a read from the runbook, behind every wall.
///
/// # Errors
/// A statement that is not a read, the server's words, and anything that the server shows was taken by it.
pub async fn guarded(handle: &mut Handle, place: Where, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    let Some(dialect) = handle.dialect() else { return unknown("this target is not a database") };
    if let Err(refused) = sql::check_read_only(dialect, &sql.sql) {
        return unknown(refused.to_string());
    }
    let busy_before = place == Where::Inside;
    handle.set_busy(true);
    let rows = match (dialect, place) {
        (Dialect::Postgres, Where::Apart) => apart(handle, sql, limit).await,
        (Dialect::Postgres, Where::Inside) => inside(handle, sql, limit).await,
        (_, Where::Apart) => handle.rows(sql, Some(limit)).await.map_err(NoAnswer::from),
        (_, Where::Inside) => inside_sqlite(handle, sql, limit).await,
    };
    handle.set_busy(busy_before);
    rows
}

async fn apart(handle: &mut Handle, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    handle.run("begin isolation level repeatable read read only", vec![]).await?;
    // After a first read the transaction cannot be turned into a writing one any more.
    let asked = async {
        handle.one("select 1", vec![]).await?;
        let rows = handle.rows(sql, Some(limit)).await?;
        let taken = handle.one(TAKEN, vec![]).await?;
        Ok::<_, SqlError>((rows, taken))
    }
    .await;
    let ended = handle.run("rollback", vec![]).await;
    let (rows, taken) = asked?;
    ended?;
    match taken.as_ref().and_then(Value::as_str) {
        None => Ok(rows),
        Some(what) => {
            // An advisory lock outlives the rollback: only the end of the connection gives it back.
            handle.give_up();
            unknown(format!("the query is not a pure read: it took {what}"))
        }
    }
}

/// Locks that no read takes, and a transaction id, of this very backend.
const TAKEN: &str = "select coalesce(
    (select string_agg(distinct locktype || ' lock ' || mode, ', ') from pg_locks where pid = pg_backend_pid()
      and ((locktype = 'relation' and mode <> 'AccessShareLock') or locktype in ('advisory', 'transactionid'))),
    'transaction id ' || pg_current_xact_id_if_assigned()::text) as taken";

async fn inside(handle: &mut Handle, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    handle.run("savepoint backout_check", vec![]).await?;
    let asked = async {
        handle.run("set local transaction_read_only = on", vec![]).await?;
        handle.rows(sql, Some(limit)).await
    }
    .await;
    // Brings the transaction back to writing, too.
    handle.run("rollback to savepoint backout_check", vec![]).await?;
    handle.run("release savepoint backout_check", vec![]).await?;
    Ok(asked?)
}

async fn inside_sqlite(handle: &mut Handle, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    handle.wall(true).await?;
    let rows = handle.rows(sql, Some(limit)).await;
    handle.wall(false).await?;
    Ok(rows?)
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

/// What a probe found.
pub async fn probe(
    handle: &mut Handle,
    place: Where,
    statements: &[SqlText],
    role: Option<&str>,
    depth: Depth,
    names: &Names<'_>,
) -> Asked<Value> {
    let Some(dialect) = handle.dialect() else { return unknown("this target is not a database") };
    let mut texts = Vec::new();
    for text in statements {
        let sql = one_rendered(text, dialect, names, None)?;
        let class = sql::parse_one(dialect, &sql.sql).map_err(|refused| NoAnswer::Unknown(refused.to_string()))?.class;
        if !matches!(class, Class::Read | Class::Write) {
            return unknown(format!("a probe reads and writes rows, and this {class}"));
        }
        texts.push((sql, class));
    }
    let role = match role {
        Some(role) => Some(sql::quote_ident(dialect, role).map_err(|e| NoAnswer::Unknown(e.to_string()))?),
        None => None,
    };
    let busy_before = place == Where::Inside;
    handle.set_busy(true);
    let found = match depth {
        Depth::Parse => parse_only(handle, place, &texts, role).await,
        Depth::Try => tried(handle, place, &texts, role).await,
    };
    handle.set_busy(busy_before);
    found
}

async fn parse_only(
    handle: &mut Handle,
    place: Where,
    texts: &[(RenderedSql, Class)],
    role: Option<String>,
) -> Asked<Value> {
    let postgres = handle.dialect() == Some(Dialect::Postgres);
    let (open, close) = match place {
        Where::Apart => (vec!["begin read only"], vec!["rollback"]),
        Where::Inside => (
            vec!["savepoint backout_probe"],
            vec!["rollback to savepoint backout_probe", "release savepoint backout_probe"],
        ),
    };
    if postgres {
        for sql in open {
            handle.run(sql, vec![]).await?;
        }
    }
    let found = async {
        if postgres {
            handle.run("set local lock_timeout = 100", vec![]).await?;
            if let Some(role) = role {
                handle.run(format!("set local role {role}"), vec![]).await?;
            }
        }
        for (sql, _) in texts {
            handle.parse(&sql.sql).await?;
        }
        Ok::<_, SqlError>(Value::from("prepared"))
    }
    .await;
    if postgres {
        for sql in close {
            handle.run(sql, vec![]).await?;
        }
    }
    Ok(found?)
}

async fn tried(
    handle: &mut Handle,
    place: Where,
    texts: &[(RenderedSql, Class)],
    role: Option<String>,
) -> Asked<Value> {
    let postgres = handle.dialect() == Some(Dialect::Postgres);
    let begin = if postgres { "begin" } else { "begin immediate" };
    if place == Where::Apart {
        handle.run(begin, vec![]).await?;
    }
    handle.run("savepoint backout_probe", vec![]).await?;
    let found = async {
        if postgres {
            handle.run("set local lock_timeout = 200", vec![]).await?;
            handle.run("set local statement_timeout = 2000", vec![]).await?;
            if let Some(role) = role {
                handle.run(format!("set local role {role}"), vec![]).await?;
            }
        }
        let mut last = Value::Null;
        for (sql, class) in texts {
            last = match class {
                Class::Read => {
                    let row = handle.rows(sql, Some(1)).await?.into_iter().next();
                    row.and_then(|row| row.into_iter().next()).map_or(Value::Null, |(_, value)| plain(value))
                }
                _ => Value::from(handle.execute(sql).await?),
            };
        }
        Ok::<_, SqlError>(last)
    }
    .await;
    handle.run("rollback to savepoint backout_probe", vec![]).await?;
    handle.run("release savepoint backout_probe", vec![]).await?;
    if place == Where::Apart {
        handle.run("rollback", vec![]).await?;
    }
    Ok(found?)
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
