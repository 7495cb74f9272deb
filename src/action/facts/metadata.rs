//! Metadata locks of MySQL and MariaDB: who holds one that keeps a change of a schema waiting.
//!
//! Owns where they are read, and what is said where nothing lists them: a transaction *may* hold one. Never takes an old
//! list of transactions for the present one.

use std::time::Duration;

use super::lane::{Lane, number, text};
use crate::target::db::Row;

/// Who lists metadata locks here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// MySQL 8 as it comes; MariaDB where it is turned on.
    Instrument,
    /// MariaDB's `metadata_lock_info`.
    Plugin,
    Nobody,
}

const INSTRUMENT: &str = "select count(*) as n from performance_schema.setup_instruments
    where name = 'wait/lock/metadata/sql/mdl' and enabled = 'YES' and @@performance_schema = 1";
const PLUGIN: &str = "select count(*) as n from information_schema.plugins
    where plugin_name = 'METADATA_LOCK_INFO' and plugin_status = 'ACTIVE'";

pub async fn lists(lane: &mut Lane) -> Lists {
    for (question, lists) in [(INSTRUMENT, Lists::Instrument), (PLUGIN, Lists::Plugin)] {
        if lane.ask(question, &[]).await.is_ok_and(|rows| rows.first().is_some_and(|row| number(row, "n") == Some(1))) {
            return lists;
        }
    }
    Lists::Nobody
}

/// Whom the lock keeps waiting.
#[derive(Clone, Copy)]
pub enum For<'a> {
    /// A change of this table, that is still to come.
    Table(&'a str),
    /// A connection that waits.
    Connection(&'a str),
}

/// Locks on no table that every change of a schema waits for.
const OVER_ALL: &str =
    "('BACKUP_FTWRL1', 'BACKUP_FTWRL2', 'BACKUP_BLOCK_DDL', 'BACKUP_WAIT_DDL', 'BACKUP_WAIT_COMMIT')";

/// `id`, `mode`, and whether it is on the table.
fn locks(lists: Lists, held_for: For<'_>) -> &'static str {
    match (lists, held_for) {
        (Lists::Instrument, For::Table(_)) => {
            "select h.processlist_id as id, m.lock_type as mode, m.object_type = 'TABLE' as on_it
               from performance_schema.metadata_locks m
               join performance_schema.threads h on h.thread_id = m.owner_thread_id
             where m.lock_status = 'GRANTED' and ((m.object_type = 'TABLE'
                 and m.object_schema = coalesce(nullif($1, ''), database()) and m.object_name = $2)
               or (m.object_type in ('GLOBAL', 'BACKUP LOCK') and m.lock_type = 'SHARED') or m.lock_type in {over_all})"
        }
        (Lists::Instrument, For::Connection(_)) => {
            "select h.processlist_id as id, m.lock_type as mode, m.object_type = 'TABLE' as on_it
               from performance_schema.threads me
               join performance_schema.metadata_locks w on w.owner_thread_id = me.thread_id and w.lock_status = 'PENDING'
               join performance_schema.metadata_locks m on m.lock_status = 'GRANTED'
                 and m.owner_thread_id <> w.owner_thread_id and m.object_type = w.object_type
                 and m.object_schema <=> w.object_schema and m.object_name <=> w.object_name
                 and (m.object_schema is not null or m.lock_type = 'SHARED' or m.lock_type in {over_all})
               join performance_schema.threads h on h.thread_id = m.owner_thread_id
             where me.processlist_id = $1"
        }
        (Lists::Plugin, For::Table(_)) => {
            "select m.thread_id as id, replace(m.lock_mode, 'MDL_', '') as mode, m.lock_type like 'Table%' as on_it
               from information_schema.metadata_lock_info m
             where (m.lock_type = 'Table metadata lock'
                 and m.table_schema = coalesce(nullif($1, ''), database()) and m.table_name = $2)
               or replace(m.lock_mode, 'MDL_', '') in {over_all}"
        }
        // What is waited for is not listed: it is on a table that the statement names.
        (Lists::Plugin, For::Connection(_)) => {
            "select m.thread_id as id, replace(m.lock_mode, 'MDL_', '') as mode, m.lock_type like 'Table%' as on_it
               from information_schema.processlist me join information_schema.metadata_lock_info m
                 on (m.lock_type = 'Table metadata lock' and me.state like 'Waiting for table%'
                   and (m.table_schema = me.db or instr(me.info, m.table_schema) > 0)
                   and me.info regexp concat('(^|[^[:alnum:]_$])', replace(m.table_name, '$', '[$]'), '($|[^[:alnum:]_$])'))
                 or (me.state like 'Waiting for backup%' and replace(m.lock_mode, 'MDL_', '') in {over_all})
             where me.id = $1"
        }
        // Every open transaction: which tables it touched is not told.
        (Lists::Nobody, _) => "select trx_mysql_thread_id as id, '' as mode, 1 as on_it from information_schema.innodb_trx",
    }
}

/// Renewed only where nobody has read it for a tenth of a second: where somebody polls, it may be of any age. A
/// transaction of our own that is not in it shows that.
const AGAIN: Duration = Duration::from_millis(130);
const LOOKS: usize = 5;
const OLD: &str = "the server's list of transactions is an old one: somebody reads it over and over, and only a pause of a \
    tenth of a second renews it";

/// Sessions with such a lock, or with what may be one; the longest transaction first.
///
/// # Errors
/// Why it cannot be told.
pub async fn holders(lane: &mut Lane, lists: Lists, held_for: For<'_>) -> Result<Vec<Row>, String> {
    let sql = format!(
        "select p.id, p.user as usr, {} as came, p.host, lower(p.command) as command, p.state,
            left(p.info, 200) as query, timestampdiff(second, t.trx_started, now()) as age, max(l.mode) as mode,
            max(l.on_it) as on_it, p.id = connection_id() as own
         from ({}) l join information_schema.processlist p on p.id = l.id
         left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id
         group by 1, 2, 3, 4, 5, 6, 7, 8, 11 order by min(t.trx_started) is null, min(t.trx_started), p.id",
        lane.known_by(),
        locks(lists, held_for).replace("{over_all}", OVER_ALL)
    );
    let (schema, name) = match held_for {
        For::Table(table) => table.rsplit_once('.').unwrap_or(("", table)),
        For::Connection(id) => (id, ""),
    };
    let binds = if lists == Lists::Nobody { vec![] } else { vec![schema, name] };
    if lists != Lists::Nobody {
        return lane.ask(&sql, &binds).await.map(others);
    }
    for _ in 0..LOOKS {
        lane.told("start transaction with consistent snapshot").await?;
        let rows = lane.ask(&sql, &binds).await;
        lane.told("rollback").await?;
        let rows = rows?;
        if rows.iter().any(|row| text(row, "own") == "1") {
            return Ok(others(rows));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(OLD.to_owned())
}

fn others(rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().filter(|row| text(row, "own") != "1").collect()
}
