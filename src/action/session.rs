//! Ending other programs' sessions, and the acts beside a step.
//!
//! Never ends a session that has changed since it was shown: process id and start must both still fit.

use serde_json::json;
use tokio::sync::watch;

use super::transaction::{cancel_backend, not_applied, outcome};
use super::{Go, Port, trial};
use crate::check::Context;
use crate::check::sessions::{self, Session};
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::run::record::{Act, Outcome, OutcomeResult, Point, Tried};
use crate::runbook::TargetKind;
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
    if ctx.targets.target(target).map_err(|f| f.to_string())?.kind != TargetKind::Postgres {
        return Err("sessions can be ended on PostgreSQL only".to_owned());
    }
    let pid = session.pid.parse().map_err(|_| "its process id cannot be read".to_owned())?;
    cancel_backend(ctx, target, pid, &session.since, "pg_terminate_backend").await
}

/// What must be typed for an act.
pub fn act_token(act: &Act) -> String {
    match act {
        Act::Cancel { .. } => "cancel".to_owned(),
        Act::EndSession { pid, .. } => pid.clone(),
        Act::Trial { .. } => "try".to_owned(),
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
    let told = match act {
        // The worker has been told; the server hears it from the worker's own canceller, and here once more.
        Act::Cancel { target } => match cancel_ours(target, ctx).await {
            Ok(n) => (true, format!("cancel sent to {n} backends of this run")),
            Err(words) => (false, words),
        },
        Act::EndSession { target, pid } => {
            let found = match ctx.targets.monitor(target).await {
                Ok(mut handle) => sessions::all(&mut handle).await.map_err(|none| none.words()),
                Err(failure) => Err(failure.to_string()),
            };
            let session = found.map(|all| all.into_iter().find(|session| session.pid == *pid));
            match session {
                Ok(Some(session)) => match end(target, &session, ctx).await {
                    Ok(true) => (true, format!("session {pid} ended")),
                    Ok(false) => (false, format!("session {pid} was gone already")),
                    Err(words) => (false, words),
                },
                Ok(None) => (false, format!("there is no session {pid}")),
                Err(words) => (false, words),
            }
        }
        Act::Trial { step, copy, reason, .. } => {
            let Some(step) = ctx.runbook.steps.get(step) else {
                return (false, format!("there is no step {step}")).into();
            };
            let wanted = trial::Wanted { copy: *copy, reason: reason.as_deref(), ..trial::Wanted::default() };
            match trial::attempt(step, &wanted, ctx, cancel).await {
                Ok(tried) => return Acted { applied: true, detail: tried.words(), tried: Some(tried) },
                Err(words) => (false, words),
            }
        }
    };
    told.into()
}

async fn cancel_ours(target: &str, ctx: &Context) -> std::result::Result<u64, String> {
    let mut handle = ctx.targets.monitor(target).await.map_err(|f| f.to_string())?;
    if handle.dialect() != Some(crate::sql::Dialect::Postgres) {
        return Ok(0);
    }
    let ours = format!("{}/{}/%", names::SCHEMA, ctx.access.run8());
    let sql = "select pg_cancel_backend(pid) as done from pg_stat_activity
               where application_name like $1::text and state = 'active' and pid <> pg_backend_pid()";
    let rows = handle.read(sql, vec![crate::target::db::text_bind(ours)]).await.map_err(|e| e.words())?;
    Ok(rows.len() as u64)
}
