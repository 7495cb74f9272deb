//! Ending other programs' sessions, and the acts beside a step.
//!
//! Never ends a session that has changed since it was shown: process id and start must both still fit.

use serde_json::json;
use tokio::sync::watch;

use super::cancel::{self, AGAIN, BACKEND, HEEDS, signal};
use super::facts::lane::text;
use super::transaction::{not_applied, outcome};
use super::{Go, Port, trial};
use crate::check::Context;
use crate::check::sessions::{self, Session};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Act, Outcome, OutcomeResult, Point, Tried};
use crate::runbook::TargetKind;
use crate::target::db::{Handle, Row, text_bind};
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
    match told(target, &session.pid, Some(&session.since), Told::End, ctx).await? {
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
}

impl From<(bool, String)> for Acted {
    fn from((applied, detail): (bool, String)) -> Self {
        Self { applied, detail, tried: None }
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
                Ok(tried) => Acted { applied: true, detail: tried.words(), tried: Some(tried) },
                Err(words) => (false, words).into(),
            };
        }
        Act::EndSession { target, pid, since } => (target, pid, since, Told::End),
        Act::CancelSession { target, pid, since } => (target, pid, since, Told::Cancel),
    };
    told(target, pid, since.as_deref(), told_to, ctx).await.unwrap_or_else(|words| (false, words)).into()
}

/// What another session's server process is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Cancel,
}

const GONE: &str = "there is no session";

/// Tells one backend, known by its process id and start, and reads again what became of it.
async fn told(
    target: &str,
    pid: &str,
    since: Option<&str>,
    told: Told,
    ctx: &Context,
) -> std::result::Result<(bool, String), String> {
    if ctx.targets.target(target).map_err(|f| f.to_string())?.kind != TargetKind::Postgres {
        return Err("sessions can be ended on PostgreSQL only".to_owned());
    }
    pid.parse::<i32>().map_err(|_| "its process id cannot be read".to_owned())?;
    let mut beside = ctx.targets.beside(target, "act").await.map_err(|failure| failure.to_string())?;
    let Some(before) = backend(&mut beside, pid).await? else {
        return Ok((false, format!("{GONE} {pid}: nothing was sent")));
    };
    let (app, now) = (text(&before, "app"), text(&before, "since"));
    if now.is_empty() {
        return Err(format!("cannot see since when session {pid} is there: the role lacks pg_read_all_stats"));
    }
    let since = since.unwrap_or(&now);
    if since != now {
        return Ok((false, format!("{GONE} {pid} of {since} any more: {pid} is {app} of {now} now; nothing was sent")));
    }
    let with = if told == Told::End { "pg_terminate_backend" } else { "pg_cancel_backend" };
    // Its statement, and not one that it has begun since.
    let began = text(&before, "began");
    let began = (told == Told::Cancel).then_some(began.as_str());
    if !signal(&mut beside, pid, since, began, with).await? {
        return Ok((false, format!("{GONE} {pid} any more, or {with} was refused")));
    }
    let same = |row: &Row| ["since", "state", "began"].iter().all(|name| row.get(*name) == before.get(*name));
    let sent = tokio::time::Instant::now();
    loop {
        let after = backend(&mut beside, pid).await?.filter(|row| text(row, "since") == now);
        match (&after, told) {
            (None, _) => return Ok((true, format!("session {pid} of {app} ended: read again, it is gone"))),
            (Some(row), Told::Cancel) if !same(row) => {
                let (state, locks) = (text(row, "state"), text(row, "locks"));
                return Ok((
                    true,
                    format!(
                        "statement of {app}, pid {pid}, cancelled: read again, it is {state} and holds {locks} table locks"
                    ),
                ));
            }
            _ => {}
        }
        let idle = told == Told::Cancel && text(&before, "state") != "active";
        if sent.elapsed() >= if idle { AGAIN * 3 } else { HEEDS } {
            let (state, locks) = (text(&before, "state"), text(&before, "locks"));
            let then = if told == Told::Cancel { format!("; to end the session, type {pid}") } else { String::new() };
            let changed = format!(
                "{with} said yes and changed nothing: {app}, pid {pid}, is still {state}, with {locks} table locks{then}"
            );
            return Ok((false, changed));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn backend(beside: &mut Handle, pid: &str) -> std::result::Result<Option<Row>, String> {
    let rows = beside.read(BACKEND, vec![text_bind(pid)]).await.map_err(|error| error.words())?;
    Ok(rows.into_iter().next())
}
