//! Whether a server still has the session of a worker: a line that is gone without a word keeps its client waiting for ever.
//!
//! Read-only, from the connection that checks are asked on. Never ends a session, and never concludes anything of what the
//! lost one did: that is settled by what it left.

use std::time::Duration;

use super::transaction::outcome;
use crate::check::Context;
use crate::run::record::{Outcome, OutcomeResult};
use crate::target::db::{Handle, text_bind};

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(5);
/// An answer may be on its way when its session has ended already.
const LOOKS: u32 = 2;

const BACKEND: &str = "select count(*) as n from pg_stat_activity
    where pid = $1::text::int and backend_start = $2::text::timestamptz";
const CONNECTION: &str = "select count(*) as n from information_schema.processlist p
    where p.id = $1 and $2 in ('', {known_by})";

/// Waits for the end of that session, and gives what is known then of what it did: nothing.
pub(super) fn end_of(handle: &Handle, ctx: &Context) -> impl Future<Output = Outcome> + use<> {
    let (target, ctx) = (handle.target().to_owned(), ctx.clone());
    let who = match handle {
        Handle::Postgres(connection) => Some((connection.pid.to_string(), connection.backend_start.clone())),
        Handle::Mysql(connection) => Some((connection.id.to_string(), connection.came.clone())),
        Handle::Sqlite(_) | Handle::Kafka(_) => None,
    };
    async move {
        let Some((pid, since)) = who else { return std::future::pending().await };
        let mut missed = 0;
        while missed < LOOKS {
            tokio::time::sleep(AGAIN).await;
            let Ok(mut monitor) = ctx.targets.monitor(&target).await else { continue };
            let sql = match &*monitor {
                Handle::Mysql(connection) => CONNECTION.replace("{known_by}", &connection.known_by()),
                _ => BACKEND.to_owned(),
            };
            let found = monitor.one(sql, vec![text_bind(&pid), text_bind(&since)]).await.ok().flatten();
            missed = match found.and_then(|n| n.as_u64()) {
                Some(0) => missed + 1,
                Some(_) => 0,
                None => missed,
            };
        }
        let words = format!("no answer, and the server has no session of pid {pid} any more");
        outcome(OutcomeResult::Unknown, words)
    }
}
