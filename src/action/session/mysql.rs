//! A session of MySQL or MariaDB, as it is now, and KILL.
//!
//! Never kills by the number alone: the user, the place that it came from and the server's start must still be the same.
//! A server gives no number twice while it runs.

use crate::sql::Server;
use crate::target::db::{Handle, text_bind};
use crate::target::mysql::Connection;

/// MariaDB numbers statements; elsewhere the text must tell one from the next.
pub(super) fn session(connection: &Connection) -> String {
    let known_by = connection.known_by();
    let began = match connection.server {
        Server::MariaDb(_) => "p.query_id",
        _ => "coalesce(p.info, '')",
    };
    format!(
        "select p.user as app, {known_by} as since,
            lower(concat_ws(': ', p.command, nullif(p.state, ''))) as state, {began} as began,
            if(p.command in ('Query', 'Execute'), 'yes', 'no') as works,
            coalesce(concat('a transaction that is open for ', timestampdiff(second, t.trx_started, now()), ' s'),
                'no transaction') as holds
         from information_schema.processlist p
         left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id where p.id = $1"
    )
}

/// From another connection. False: there is no such session.
pub(super) async fn kill(beside: &mut Handle, id: u64, came: &str, ends: bool) -> Result<(&'static str, bool), String> {
    let with = if ends { "KILL CONNECTION" } else { "KILL QUERY" };
    let Handle::Mysql(connection) = &*beside else { return Ok((with, false)) };
    let known_by = connection.known_by();
    let same =
        format!("select count(*) as n from information_schema.processlist p where p.id = $1 and {known_by} = $2");
    let found = beside.one(same, vec![text_bind(id.to_string()), text_bind(came)]).await;
    if found.map_err(|error| error.words())?.and_then(|n| n.as_u64()) != Some(1) {
        return Ok((with, false));
    }
    match beside.run(format!("{} {id}", with.to_lowercase()), vec![]).await {
        Ok(_) => Ok((with, true)),
        // "Unknown thread id"
        Err(error) if error.code.as_deref() == Some("1094") => Ok((with, false)),
        Err(error) => Err(error.words()),
    }
}
