//! Cancelling a statement of our own on its server, and reading again what became of it.
//!
//! Owns the way there: from a second connection, guarded by process id, start and the statement that runs. Never drops a
//! statement under way, which would cancel nothing there, and never says *cancelled* on the word of the signal alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::committing;
use super::facts::lane::text;
use crate::check::Context;
use crate::names;
use crate::runbook::TargetKind;
use crate::target::db::{Handle, Row, text_bind};

/// How long a server process may take to do as it was told.
pub(super) const HEEDS: Duration = Duration::from_secs(3);
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// How a statement under way is cancelled on the server.
pub(super) enum Canceller {
    Postgres { ctx: Box<Context>, target: String, pid: i32, backend_start: String },
    Sqlite(Arc<AtomicBool>),
    Mysql { ctx: Box<Context>, target: String, id: u64, sql: String },
    None,
}

impl Canceller {
    pub(super) fn of(handle: &Handle, ctx: &Context) -> Self {
        match handle {
            Handle::Postgres(c) => Self::Postgres {
                ctx: Box::new(ctx.clone()),
                target: c.target.clone(),
                pid: c.pid,
                backend_start: c.backend_start.clone(),
            },
            Handle::Sqlite(c) => Self::Sqlite(Arc::clone(&c.interrupt)),
            Handle::Mysql(_) | Handle::Kafka(_) => Self::None,
        }
    }

    async fn cancel(&self) {
        match self {
            Self::Postgres { ctx, target, pid, backend_start } => {
                // It is told again until the work has ended: what went wrong once may go better then.
                let _ = cancel_running(ctx, target, &pid.to_string(), backend_start).await;
            }
            Self::Sqlite(interrupt) => interrupt.store(true, Ordering::Relaxed),
            Self::Mysql { ctx, target, id, sql } => {
                let _ = committing::kill_query(ctx, target, *id, sql).await;
            }
            Self::None => {}
        }
    }

    fn done(&self) {
        if let Self::Sqlite(interrupt) = self {
            interrupt.store(false, Ordering::Relaxed);
        }
    }
}

/// The state of a session for which `track_activities` is off.
pub(super) const UNTRACKED: &str = "disabled";

/// A server process as it is read before and after it was told something.
pub(super) const BACKEND: &str =
    "select coalesce(nullif(application_name, ''), 'no name') as app, backend_start::text as since,
      coalesce(state, '') as state, coalesce(query_start::text, '') as began, coalesce(xact_start::text, '') as tx,
      case when state = 'active' then 'yes' else 'no' end as works,
      (select count(*) from pg_locks l where l.pid = a.pid and l.locktype = 'relation') || ' table locks' as holds
    from pg_stat_activity a where pid = $1::text::int";

/// Cancels what that backend runs now, and nothing that it begins a moment later: that might be its COMMIT.
async fn cancel_running(ctx: &Context, target: &str, pid: &str, backend_start: &str) -> Result<bool, String> {
    let mut beside = ctx.targets.beside(target, "cancel").await.map_err(|failure| failure.to_string())?;
    let rows = beside.read(BACKEND, vec![text_bind(pid)]).await.map_err(|error| error.words())?;
    // What is not tracked is told all the same: no COMMIT follows a cancel of ours.
    let works = |row: &&Row| matches!(text(row, "state").as_str(), "active" | UNTRACKED);
    // Behind a pooler another client may have it by now, under its own name.
    let ours = |row: &&Row| text(row, "app").starts_with(&names::prefix(ctx.access.run8()));
    let active = |row: &&Row| text(row, "since") == backend_start && works(row) && ours(row);
    let Some(row) = rows.iter().find(active) else { return Ok(false) };
    signal(&mut beside, pid, backend_start, [&text(row, "began"), ""], "pg_cancel_backend").await
}

/// Only while process id and start, and where they are named the start of its statement and of its transaction, name the
/// same.
pub(super) async fn signal(
    beside: &mut Handle,
    pid: &str,
    backend_start: &str,
    [began, tx]: [&str; 2],
    with: &'static str,
) -> Result<bool, String> {
    let sql = format!(
        "select {with}(pid) as done from pg_stat_activity
         where pid = $1::text::int and backend_start = $2::text::timestamptz
           and ($3::text = '' or query_start = nullif($3::text, '')::timestamptz)
           and ($4::text = '' or xact_start = nullif($4::text, '')::timestamptz)"
    );
    let binds = vec![text_bind(pid), text_bind(backend_start), text_bind(began), text_bind(tx)];
    match beside.one(sql, binds).await {
        Ok(found) => Ok(found.is_some_and(|value| value == Value::Bool(true))),
        Err(error) if error.code.as_deref() == Some("42501") => {
            Err(format!("{}; who may says SELECT {with}({pid})", error.words()))
        }
        Err(error) => Err(error.words()),
    }
}

/// Waits until a cancel is asked for. False: nobody can ask any more. The guard that `wait_for` gives stays in here: it
/// must not live across an await.
pub(super) async fn asked(cancel: &mut watch::Receiver<bool>) -> bool {
    cancel.wait_for(|cancel| *cancel).await.is_ok()
}

/// Follows work to its end; a cancel goes to the server, again and again until the server gives in.
pub(super) async fn watched<T>(
    cancel: &watch::Receiver<bool>,
    canceller: &Canceller,
    work: impl Future<Output = T>,
) -> T {
    let mut cancel = cancel.clone();
    tokio::pin!(work);
    tokio::select! {
        out = &mut work => return out,
        cancelled = asked(&mut cancel) => {
            if !cancelled {
                return work.await;
            }
        }
    }
    loop {
        tokio::select! {
            out = &mut work => {
                canceller.done();
                return out;
            }
            () = async { canceller.cancel().await; tokio::time::sleep(Duration::from_millis(300)).await } => {}
        }
    }
}

/// What became of the worker's own session after the worker was told to cancel: whether its statement ended, in the words
/// of what was read.
pub(super) async fn ours(
    target: &str,
    pid: Option<&str>,
    since: Option<&str>,
    ctx: &Context,
) -> Result<(bool, String), String> {
    let kind = ctx.targets.target(target).map_err(|failure| failure.to_string())?.kind;
    if kind == TargetKind::Sqlite {
        return Ok((
            true,
            "the statement runs in this process and was interrupted: its outcome says the rest".to_owned(),
        ));
    }
    let Some(pid) = pid else {
        return Ok((true, "nothing had been sent to the server yet: the step turns back before it sends".to_owned()));
    };
    let mut beside = ctx.targets.beside(target, "cancel").await.map_err(|failure| failure.to_string())?;
    let sent = Instant::now();
    let mut first = None;
    loop {
        let now = match kind {
            TargetKind::Mysql => connection(&mut beside, pid, since).await?,
            _ => backend(&mut beside, pid, since).await?,
        };
        let Some((runs, words)) = now else {
            let gone = format!("read again, pid {pid} of this step is gone, and every lock with it");
            return Ok((true, format!("{gone}; the step's outcome says whether it had been done before")));
        };
        let begun = first.get_or_insert_with(|| runs.clone());
        if sent.elapsed() >= HEEDS {
            return Ok(match runs.is_some() && runs == *begun {
                true => (false, format!("pid {pid} was told and goes on: {words}; it is told again until it gives in")),
                false => (true, format!("its statement ended: read again, pid {pid} {words}")),
            });
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The statement that a backend runs, by its start, and the backend in words.
async fn backend(
    beside: &mut Handle,
    pid: &str,
    since: Option<&str>,
) -> Result<Option<(Option<String>, String)>, String> {
    let rows = beside.read(BACKEND, vec![text_bind(pid)]).await.map_err(|error| error.words())?;
    let same = |row: &&Row| since.is_none_or(|since| text(row, "since") == since);
    let found = rows.iter().find(same);
    if found.is_some_and(|row| text(row, "state") == UNTRACKED) {
        return Err(format!("track_activities is off for pid {pid}"));
    }
    Ok(found.map(|row| {
        let (state, holds) = (text(row, "state"), text(row, "holds"));
        let runs = (state == "active").then(|| text(row, "began"));
        (runs, format!("is {state} and holds {holds}"))
    }))
}

async fn connection(
    beside: &mut Handle,
    id: &str,
    since: Option<&str>,
) -> Result<Option<(Option<String>, String)>, String> {
    let Handle::Mysql(connection) = &*beside else { return Ok(None) };
    let sql = format!(
        "select p.command, coalesce(p.state, '') as state, left(coalesce(p.info, ''), 200) as info
         from information_schema.processlist p where p.id = $1 and $2 in ('', {})",
        connection.known_by()
    );
    let binds = vec![text_bind(id), text_bind(since.unwrap_or_default())];
    let rows = beside.read(sql, binds).await.map_err(|error| error.words())?;
    Ok(rows.first().map(|row| {
        let (command, state) = (text(row, "command"), text(row, "state"));
        ((command != "Sleep").then(|| text(row, "info")), format!("is at {command} {state}"))
    }))
}
