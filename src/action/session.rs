//! Ending other programs' sessions, and the acts beside a step.
//!
//! Never ends a session that is not the one that was shown: its number and its start, or where it came from and its
//! server's start, must all still fit.

mod mysql;

use serde_json::json;
use tokio::sync::watch;

use super::cancel::{self, AGAIN, BACKEND, HEEDS, UNTRACKED, signal};
use super::facts::blockers::IN_TX;
use super::facts::lane::text;
use super::transaction::{not_applied, outcome};
use super::{Go, Port, trial};
use crate::check::Context;
use crate::check::sessions::{self, Session};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Act, Outcome, OutcomeResult, Point, Tried};
use crate::target::db::{Handle, text_bind};
use crate::text::counted;

/// The sessions that a step would end, on each target that has sessions.
///
/// # Errors
/// A target that does not tell.
pub async fn find(glob: &str, on: Option<&str>, ctx: &Context) -> Result<Vec<(String, Session)>> {
    let mut found = Vec::new();
    for target in ctx.runbook.targets.values().filter(|target| target.kind.dialect().is_some()) {
        if on.is_some_and(|on| on != target.name) {
            continue;
        }
        let sessions = sessions::matching(&target.name, glob, ctx).await.map_err(|none| {
            Failure::new(Kind::Target, format!("the sessions of {} cannot be seen", target.name)).cause(none.words())
        })?;
        found.extend(sessions.into_iter().map(|session| (target.name.clone(), session)));
    }
    Ok(found)
}

pub(super) async fn perform(found: &[(String, Session)], ctx: &Context, port: &Port) -> Outcome {
    let shown: Vec<_> = found.iter().map(|(on, s)| json!({ "on": on, "pid": s.pid, "since": s.since })).collect();
    if port.reached(Point::Begun, json!({ "sessions": shown })).await == Go::Stop {
        return not_applied("stopped before a session was ended");
    }
    let mut ended = 0;
    for (target, session) in found {
        match end(target, session, ctx).await {
            Ok(true) => ended += 1,
            Ok(false) => {}
            Err(words) => {
                let result = if ended == 0 { OutcomeResult::NotApplied } else { OutcomeResult::Unknown };
                return outcome(result, format!("{ended} ended, then pid {}: {words}", session.pid));
            }
        }
    }
    Outcome { changed: Some(ended), ..outcome(OutcomeResult::Applied, format!("{} ended", counted(ended, "session"))) }
}

async fn end(target: &str, session: &Session, ctx: &Context) -> std::result::Result<bool, String> {
    match told(target, &session.pid, &session.since, Told::End, ctx).await? {
        (true, _) => Ok(true),
        (false, words) if words.starts_with(GONE) => Ok(false),
        (false, words) => Err(words),
    }
}

/// Whether an act took, and in whose words.
pub struct Acted {
    pub applied: bool,
    pub detail: String,
    /// Of a trial that ran to its end.
    pub tried: Option<Tried>,
    /// Of a session that had not been shown.
    pub found: Option<String>,
}

impl From<(bool, String)> for Acted {
    fn from((applied, detail): (bool, String)) -> Self {
        Self { applied, detail, tried: None, found: None }
    }
}

/// Does an act. `cancel` turns true where a trial must come back at once.
pub async fn act(act: &Act, ctx: &Context, cancel: watch::Receiver<bool>) -> Acted {
    let (target, pid, since, told_to) = match act {
        // The worker was told when this act began, and goes to the server by itself: here is read what came of it.
        Act::Cancel { target, pid, since } => {
            let done = cancel::ours(target, pid.as_deref(), since.as_deref(), ctx).await;
            return done.unwrap_or_else(|words| (false, format!("cannot see what came of it: {words}"))).into();
        }
        Act::Trial { step, copy, reason, .. } => {
            let Some(step) = ctx.runbook.steps.get(step) else {
                return (false, format!("there is no step {step}")).into();
            };
            let wanted = trial::Wanted { copy: *copy, reason: reason.as_deref(), ..trial::Wanted::default() };
            return match trial::attempt(step, &wanted, ctx, cancel).await {
                Ok(tried) => Acted { tried: Some(tried.clone()), ..(true, tried.words()).into() },
                Err(words) => (false, words).into(),
            };
        }
        Act::EndSession { target, pid, since } => (target, pid, since, Told::End),
        Act::CancelSession { target, pid, since } => (target, pid, since, Told::Cancel),
    };
    let Some(since) = since else {
        return look(target, pid, ctx).await.unwrap_or_else(|words| (false, words).into());
    };
    told(target, pid, since, told_to, ctx).await.unwrap_or_else(|words| (false, words)).into()
}

/// A number that was not shown as one in the way may be a slip: nobody is told anything before it was said who that is.
async fn look(target: &str, pid: &str, ctx: &Context) -> std::result::Result<Acted, String> {
    let mut beside = ctx.targets.beside(target, "act").await.map_err(|failure| failure.to_string())?;
    let Some(peer) = Peer::of(&mut beside, pid).await? else {
        return Ok((false, format!("{GONE} {pid}: nothing was sent")).into());
    };
    let Peer { app, since, state, tx, holds, .. } = peer;
    if since.is_empty() {
        return Err(unseen(pid));
    }
    let who = format!("{pid} is {app} of {since}, {state}, with {holds}");
    let detail =
        format!("nothing was sent: {pid} was not shown to be in the way; {who}. Type it again if that one is meant");
    let since = if tx.is_empty() { since } else { format!("{since}{IN_TX}{tx}") };
    Ok(Acted { found: Some(since), ..(false, detail).into() })
}

fn unseen(pid: &str) -> String {
    format!("cannot see since when session {pid} is there: the role lacks pg_read_all_stats")
}

/// What another session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Cancel,
}

const GONE: &str = "there is no session";

/// Another session as its server shows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    app: String,
    /// What tells it from every other one that has had its number: when it began, or where it came from.
    since: String,
    state: String,
    /// Of its statement: changes with it.
    began: String,
    /// When its transaction began, where that is told.
    tx: String,
    /// What it holds, in words.
    holds: String,
    works: bool,
}

impl Peer {
    async fn of(beside: &mut Handle, pid: &str) -> std::result::Result<Option<Self>, String> {
        let sql = match &*beside {
            Handle::Postgres(_) => BACKEND.to_owned(),
            Handle::Mysql(connection) => mysql::session(connection),
            _ => return Err("sessions can be ended on PostgreSQL, MySQL and MariaDB only".to_owned()),
        };
        let rows = beside.read(sql, vec![text_bind(pid)]).await.map_err(|error| error.words())?;
        Ok(rows.first().map(|row| Self {
            app: text(row, "app"),
            since: text(row, "since"),
            state: text(row, "state"),
            began: text(row, "began"),
            tx: text(row, "tx"),
            holds: text(row, "holds"),
            works: text(row, "works") == "yes",
        }))
    }
}

/// Tells one session, known by its number and by what makes it this one, and reads again what became of it.
async fn told(
    target: &str,
    pid: &str,
    since: &str,
    told: Told,
    ctx: &Context,
) -> std::result::Result<(bool, String), String> {
    let number: u64 = pid.parse().map_err(|_| "its number cannot be read".to_owned())?;
    let mut beside = ctx.targets.beside(target, "act").await.map_err(|failure| failure.to_string())?;
    let Some(before) = Peer::of(&mut beside, pid).await? else {
        return Ok((false, format!("{GONE} {pid}: nothing was sent")));
    };
    let (app, now) = (&before.app, &before.since);
    if now.is_empty() {
        return Err(unseen(pid));
    }
    let (since, tx) = since.split_once(IN_TX).unwrap_or((since, ""));
    if since != now.as_str() {
        return Ok((false, format!("{GONE} {pid} of {since} any more: {pid} is {app} of {now} now; nothing was sent")));
    }
    // A session may go on to other work, or a pooler give it to another client.
    if !tx.is_empty() && tx != before.tx {
        return Ok((false, format!("the transaction of {app}, pid {pid}, has ended by itself: nothing was sent")));
    }
    let (with, took) = match &*beside {
        Handle::Mysql(_) => mysql::kill(&mut beside, number, since, told == Told::End).await?,
        _ => {
            let with = if told == Told::End { "pg_terminate_backend" } else { "pg_cancel_backend" };
            // Its statement, and not one that it has begun since.
            let began = (told == Told::Cancel).then_some(before.began.as_str());
            (with, signal(&mut beside, pid, since, [began.unwrap_or_default(), tx], with).await?)
        }
    };
    if !took {
        return Ok((false, format!("{GONE} {pid} any more, or {with} was refused")));
    }
    let sent = tokio::time::Instant::now();
    loop {
        let after = Peer::of(&mut beside, pid).await?.filter(|peer| peer.since == *now);
        match (&after, told) {
            (None, _) => return Ok((true, format!("session {pid} of {app} ended: read again, it is gone"))),
            (Some(peer), Told::Cancel)
                if before.works && (&peer.state, &peer.began) != (&before.state, &before.began) =>
            {
                let Peer { state, holds, .. } = peer;
                let words =
                    format!("statement of {app}, pid {pid}, cancelled: read again, it is {state} and holds {holds}");
                return Ok((true, words));
            }
            (Some(peer), Told::Cancel) if peer.state == UNTRACKED => {
                let words = format!("{with} was taken, and whether it changed anything cannot be seen");
                return Ok((false, format!("{words}: track_activities is off for {app}, pid {pid}")));
            }
            _ => {}
        }
        let idle = told == Told::Cancel && !before.works;
        if sent.elapsed() >= if idle { AGAIN * 3 } else { HEEDS } {
            let Peer { state, holds, .. } = after.as_ref().unwrap_or(&before);
            // MariaDB calls one killed whose transaction stays open.
            let state = if idle { &before.state } else { state };
            if state != &before.state {
                return Ok((
                    false,
                    format!("{with} was taken, and {app}, pid {pid}, is still there: {state}, with {holds}"),
                ));
            }
            let then = if told == Told::Cancel { format!("; to end the session, type {pid}") } else { String::new() };
            let changed =
                format!("{with} said yes and changed nothing: {app}, pid {pid}, is still {state}, with {holds}{then}");
            return Ok((false, changed));
        }
        tokio::time::sleep(AGAIN).await;
    }
}
