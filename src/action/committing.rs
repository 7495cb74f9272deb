//! Statements that commit by themselves, on MySQL and MariaDB: what a gate says of them, and running one.
//!
//! Owns the retries that a metadata lock allows and the way a cancel reaches the server. Never kills a connection, and
//! no statement but the one that it was told of.

use std::time::Duration;

use super::cancel::{Canceller, asked, watched};
use super::transaction::{ATTEMPTS, pause};
use super::{Port, Report, ddl};
use crate::check::Context;
use crate::runbook::template::as_text;
use crate::sql::Dialect;
use crate::target::db::{Handle, SqlError, text_bind};

/// Lines for the gate; none on other databases.
pub(super) async fn facts(plan: &ddl::Plan, handle: &mut Handle, sees_sessions: bool) -> Vec<(String, String)> {
    if handle.dialect() != Some(Dialect::Mysql) {
        return Vec::new();
    }
    let alone = "not atomic, commits by itself, and what went before it; no trial: nothing takes it back";
    let mut facts = vec![("commits".to_owned(), alone.to_owned())];
    for table in plan.tables() {
        let (schema, name) = table.rsplit_once('.').unwrap_or(("", &table));
        let sql = "select concat(engine, ', about ', table_rows, ' rows, ',
                round((data_length + index_length) / 1048576), ' MiB') as size from information_schema.tables
            where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2";
        if let Ok(Some(size)) = handle.one(sql, vec![text_bind(schema), text_bind(name)]).await {
            facts.push(("table".to_owned(), format!("{table}: {}", as_text(&size))));
        }
    }
    facts.push(("in way".to_owned(), in_the_way(handle, sees_sessions).await));
    facts
}

/// Who waits for a metadata lock in this database, and whose transaction is open: any of them may hold one.
async fn in_the_way(handle: &mut Handle, sees_sessions: bool) -> String {
    if !sees_sessions {
        return "cannot see: the user lacks PROCESS".to_owned();
    }
    let sql = "select concat(p.user, ' (', p.id, ')',
            if(p.state like 'Waiting for table%lock', ' waits for a table', ''),
            coalesce(concat(' in a transaction for ', timestampdiff(second, t.trx_started, now()), ' s'), '')) as held
        from information_schema.processlist p
        left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id
        where p.id <> connection_id() and p.db = database()
          and (t.trx_id is not null or p.state like 'Waiting for table%lock') order by t.trx_started";
    match handle.read(sql, vec![]).await {
        Ok(rows) if rows.is_empty() => "no transaction is open and nobody waits for a table here now".to_owned(),
        Ok(rows) => rows.iter().filter_map(|row| row.get("held")).map(as_text).collect::<Vec<_>>().join("; "),
        Err(error) => format!("cannot see: {}", error.words()),
    }
}

/// One statement, to its end. A refused lock is told and tried again; a cancel kills the statement on the server.
pub(super) async fn run(handle: &mut Handle, sql: &str, ctx: &Context, port: &Port) -> Result<(), SqlError> {
    let canceller = match &*handle {
        Handle::Mysql(connection) => Canceller::Mysql {
            ctx: Box::new(ctx.clone()),
            target: connection.target.clone(),
            id: connection.id,
            sql: sql.to_owned(),
        },
        _ => Canceller::None,
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
