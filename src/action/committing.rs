//! Statements that commit by themselves: running one, on MySQL and MariaDB in the cheapest way that was agreed to.
//!
//! Owns the order of the ways, the retries that a lock allows and the way a cancel reaches the server. Never tries a way
//! that the gate did not show, never kills a connection, and no statement but the one that it was told of.

use std::time::Duration;

use super::cancel::{Canceller, asked, watched};
use super::transaction::{ATTEMPTS, pause};
use super::{Port, Report};
use crate::check::Context;
use crate::sql::{Server, Ways};
use crate::target::db::{Handle, SqlError, text_bind};

/// Not with this ALGORITHM, not with this LOCK, not on this partition, no such ALGORITHM.
const NOT_THIS_WAY: [&str; 4] = ["1845", "1846", "1847", "1800"];
/// MySQL alone (other errors elsewhere): no more row versions, or too long a row, for INSTANT. Not measured: its manual,
/// Server Error Message Reference.
const NOT_INSTANT: [&str; 2] = ["4092", "4093"];

/// One statement, to its end. Gives words on the way that the server took.
pub(super) async fn run(
    handle: &mut Handle,
    sql: &str,
    ways: &Ways,
    ctx: &Context,
    port: &Port,
) -> Result<Option<String>, SqlError> {
    let Ways::Tried(ways) = ways else { return until_lock(handle, sql, ctx, port).await.map(|()| None) };
    let mut refused: Vec<String> = Vec::new();
    let mut last = SqlError::new("there is no way to run it");
    for way in ways {
        match until_lock(handle, &way.sql, ctx, port).await {
            Err(error) if not_this_way(&error, handle) => {
                refused.push(format!("{} refused: {}", way.asks, error.words()));
                last = error;
            }
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(Some(
                    std::iter::once(format!("by {}", way.asks)).chain(refused).collect::<Vec<_>>().join("; "),
                ));
            }
        }
    }
    let none = "the server takes none of the ways that were agreed to, and nothing was done";
    Err(SqlError { message: format!("{none}: {}", refused.join("; ")), ..last })
}

fn not_this_way(error: &SqlError, handle: &Handle) -> bool {
    let is_mysql = matches!(handle, Handle::Mysql(connection) if matches!(connection.server, Server::Mysql(_)));
    error.code.as_deref().is_some_and(|code| NOT_THIS_WAY.contains(&code) || is_mysql && NOT_INSTANT.contains(&code))
}

/// Once, to its end: where a lock or a deadlock ends it, what it left is in the way of a second time.
pub(super) async fn once(handle: &mut Handle, sql: &str, ctx: &Context, port: &Port) -> Result<(), SqlError> {
    let canceller = Canceller::of(handle, ctx);
    watched(&port.cancel, &canceller, handle.run(sql, vec![])).await.map(|_| ())
}

/// A refused lock is told and tried again; a cancel ends the statement on the server.
pub(super) async fn until_lock(handle: &mut Handle, sql: &str, ctx: &Context, port: &Port) -> Result<(), SqlError> {
    let canceller = match &*handle {
        Handle::Mysql(connection) => Canceller::Mysql {
            ctx: Box::new(ctx.clone()),
            target: connection.target.clone(),
            id: connection.id,
            sql: sql.to_owned(),
        },
        _ => Canceller::of(handle, ctx),
    };
    let mut attempt = 1;
    loop {
        let error = match watched(&port.cancel, &canceller, handle.run(sql, vec![])).await {
            Err(error) if error.is_lock() && !error.lost => error,
            ran => return ran.map(|_| ()),
        };
        let again = (attempt < ATTEMPTS).then(|| pause(attempt));
        let (code, message) = (error.code.clone().unwrap_or_default(), error.message.clone());
        port.tell(Report::AttemptFailed { code, message, again_in_ms: again }).await;
        let Some(again) = again else { return Err(error) };
        let mut cancel = port.cancel.clone();
        let cancelled = tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(again)) => false,
            cancelled = asked(&mut cancel) => cancelled,
        };
        if cancelled {
            return Err(error);
        }
        attempt += 1;
    }
}

/// From a second connection, and only while that connection runs this very statement.
pub(super) async fn kill_query(ctx: &Context, target: &str, id: u64, sql: &str) -> Result<(), String> {
    let mut monitor = ctx.targets.monitor(target).await.map_err(|failure| failure.to_string())?;
    let runs = "select count(*) as n from information_schema.processlist
        where id = $1 and left(info, 200) = left($2, 200)";
    let found = monitor.one(runs, vec![text_bind(id.to_string()), text_bind(sql)]).await;
    if found.map_err(|error| error.words())?.and_then(|n| n.as_u64()) == Some(1) {
        monitor.run(format!("kill query {id}"), vec![]).await.map_err(|error| error.words())?;
    }
    Ok(())
}
