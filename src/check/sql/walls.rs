//! The walls between a question and the database.
//!
//! On PostgreSQL: the parser with its list of functions, a read-only transaction, one statement by protocol, the
//! sub-select, then a look at what the own session has taken. On SQLite: the parser, a file opened read-only, the
//! authorizer, the sub-select. On MySQL and MariaDB: the parser, a read-only session, one statement by protocol, the
//! sub-select. Each one alone was breached when tried. Never commits.

use serde_json::Value;

use super::{Asked, NoAnswer, unknown};
use crate::runbook::template::RenderedSql;
use crate::sql::{self, Dialect};
use crate::target::db::{Handle, Row, SqlError};

/// Where a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// On a read connection, in a transaction of its own.
    Apart,
    /// Inside the transaction of a changing step, in a savepoint that is always rolled back to.
    Inside,
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
    let rows = match place {
        Where::Apart => apart(handle, sql, limit).await,
        Where::Inside => inside(handle, sql, limit).await,
    };
    handle.set_busy(busy_before);
    rows
}

/// The walls behind the parser, in a transaction of its own.
///
/// # Errors
/// As [`guarded`].
pub async fn apart(handle: &mut Handle, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    if handle.dialect() != Some(Dialect::Postgres) {
        // The read connection is opened read-only; SQLite has its authorizer on.
        return Ok(handle.rows(sql, Some(limit)).await?);
    }
    let scratch = Scratch::open(handle, Where::Apart, "begin isolation level repeatable read read only").await?;
    let asked = async {
        // After a first read the transaction cannot be turned into a writing one any more.
        handle.one("select 1", vec![]).await?;
        let rows = handle.rows(sql, Some(limit)).await?;
        Ok::<_, SqlError>((rows, taken(handle).await?))
    }
    .await;
    let (rows, taken) = scratch.close(handle, asked).await?;
    not_taken(handle, rows, &None, &taken)
}

/// The walls behind the parser, inside the transaction of a changing step.
///
/// # Errors
/// As [`guarded`].
pub async fn inside(handle: &mut Handle, sql: &RenderedSql, limit: u64) -> Asked<Vec<Row>> {
    if handle.dialect() != Some(Dialect::Postgres) {
        handle.wall(true).await?;
        let rows = handle.rows(sql, Some(limit)).await;
        handle.wall(false).await?;
        return Ok(rows?);
    }
    let before = taken(handle).await?;
    let scratch = Scratch::open(handle, Where::Inside, "").await?;
    let asked = async {
        handle.run("set local transaction_read_only = on", vec![]).await?;
        let rows = handle.rows(sql, Some(limit)).await?;
        Ok::<_, SqlError>((rows, taken(handle).await?))
    }
    .await;
    // The way back brings the transaction back to writing, too.
    let (rows, after) = scratch.close(handle, asked).await?;
    not_taken(handle, rows, &before, &after)
}

/// The rows, if nothing was taken beside what the step itself holds.
fn not_taken(handle: &mut Handle, rows: Vec<Row>, before: &Option<String>, after: &Option<String>) -> Asked<Vec<Row>> {
    if before == after {
        return Ok(rows);
    }
    // An advisory lock outlives the rollback: only the end of the connection gives it back.
    handle.give_up();
    unknown(format!("the query is not a pure read: it took {}", after.as_deref().unwrap_or("what was held")))
}

/// What this session's transaction holds that no read takes: locks of others' concern, a transaction id. Nothing on
/// SQLite, where the authorizer sees each thing before it is done.
///
/// # Errors
/// The server's words.
pub async fn taken(handle: &mut Handle) -> Result<Option<String>, SqlError> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Ok(None);
    }
    let found = handle.one(TAKEN, vec![]).await?;
    Ok(found.as_ref().and_then(Value::as_str).map(str::to_owned))
}

const TAKEN: &str = "select coalesce(
    (select string_agg(distinct locktype || ' lock ' || mode || coalesce(' on ' || relation::regclass::text, '')
        || coalesce(' ' || classid || '.' || objid, ''), ', ') from pg_locks where pid = pg_backend_pid()
      and ((locktype = 'relation' and mode <> 'AccessShareLock') or locktype in ('advisory', 'transactionid'))),
    'transaction id ' || pg_current_xact_id_if_assigned()::text) as taken";

/// What is rolled back whatever happened in it: a transaction, or a savepoint in one that goes on.
pub(super) struct Scratch(Where);

impl Scratch {
    /// `begin`: how a transaction of its own begins.
    pub(super) async fn open(handle: &mut Handle, place: Where, begin: &str) -> Result<Self, SqlError> {
        handle.run(if place == Where::Apart { begin } else { "savepoint backout_scratch" }, vec![]).await?;
        Ok(Self(place))
    }

    /// Rolls back, and gives what was found; what failed first is what is told.
    pub(super) async fn close<T>(self, handle: &mut Handle, found: Result<T, SqlError>) -> Result<T, NoAnswer> {
        let back = match self.0 {
            Where::Apart => handle.run("rollback", vec![]).await,
            Where::Inside => match handle.run("rollback to savepoint backout_scratch", vec![]).await {
                Ok(_) => handle.run("release savepoint backout_scratch", vec![]).await,
                Err(error) => Err(error),
            },
        };
        let found = found?;
        back?;
        Ok(found)
    }
}
