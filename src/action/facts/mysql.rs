//! A gate's questions to MySQL and MariaDB: how a statement will be run, the tables, who is in the way, who copies the
//! server.
//!
//! Owns where the holders of metadata locks are read, and what is said where nothing lists them: a transaction *may*
//! hold one. Never says *nobody* of what it cannot see.

use super::lane::{lasting, number, text};
use super::{Facts, Line, line, services};
use crate::action::ddl::Plan;
use crate::check::Context;
use crate::sql::{Algorithm, Statement, Way, Ways};
use crate::target::db::{Handle, Row, SqlError, text_bind};
use crate::text::{counted, hex, in_one_line};

/// On a gate; the rest is counted.
const SHOWN: usize = 4;

pub async fn gather(plan: &Plan, handle: &mut Handle, ctx: &Context, sees: bool) -> Facts {
    let alone = "not atomic: commits by itself, and what went before it; no trial, for nothing takes it back";
    let mut lines = vec![line("commits", alone)];
    lines.extend(how(plan));
    let tables = plan.tables();
    for table in &tables {
        lines.extend(size(handle, table).await);
    }
    let (in_way, blockers) = in_the_way(handle, &tables, sees).await;
    lines.extend(in_way);
    lines.extend(prepared(handle).await);
    lines.extend(services::touched(plan, handle, ctx).await);
    lines.extend(copies(handle, sees).await);
    Facts { lines, blockers }
}

/// What the server will be asked for, and what that lets others do.
fn how(plan: &Plan) -> Vec<Line> {
    let several = plan.statements.len() > 1;
    let told = |(n, (sql, statement)): (usize, &(String, Statement))| {
        let of = if several { format!("{}: ", n + 1) } else { String::new() };
        match plan.ways(sql, statement) {
            Ways::Written(why) => why.map(|why| line("runs", format!("{of}as written: {why}"))),
            Ways::Tried(ways) => Some(line("runs", format!("{of}{}", worst(&ways)))),
        }
    };
    plan.statements.iter().enumerate().filter_map(told).collect()
}

fn worst(ways: &[Way]) -> &'static str {
    match ways.iter().map(|way| way.algorithm).max() {
        Some(Algorithm::Copy) => {
            "! the cheapest way first; it may come to a COPY of the table: writes wait for as long as that takes"
        }
        Some(Algorithm::Locking) => "! the cheapest way first; it may keep writes waiting for as long as it takes",
        _ => "the cheapest way first, and only ways in which reads and writes go on; never a copy of the table",
    }
}

async fn size(handle: &mut Handle, table: &str) -> Option<Line> {
    let sql = "select concat(engine, ', about ', table_rows, ' rows, ',
            round((data_length + index_length) / 1048576), ' MiB') as size from information_schema.tables
        where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2";
    let row = handle.read(sql, named(table)).await.ok()?.into_iter().next()?;
    Some(line("table", format!("{table}: {}", text(&row, "size"))))
}

fn named(table: &str) -> Vec<crate::runbook::template::Bind> {
    let (schema, name) = table.rsplit_once('.').unwrap_or(("", table));
    vec![text_bind(schema), text_bind(name)]
}

/// Who lists metadata locks here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
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

async fn lists(handle: &mut Handle) -> Lists {
    for (question, lists) in [(INSTRUMENT, Lists::Instrument), (PLUGIN, Lists::Plugin)] {
        if let Ok(Some(n)) = handle.one(question, vec![]).await
            && n.as_i64() == Some(1)
        {
            return lists;
        }
    }
    Lists::Nobody
}

const SESSION: &str = "p.id, p.user as usr, p.host, lower(p.command) as command, p.state, left(p.info, 200) as query,
    timestampdiff(second, t.trx_started, now()) as age";

/// Each session with a lock on the table, or with one that keeps every change of a schema waiting.
fn holders(lists: Lists) -> String {
    let from = match lists {
        Lists::Instrument => {
            "(select h.processlist_id as id, m.lock_type as mode, m.object_type = 'TABLE' as on_it
                from performance_schema.metadata_locks m
                join performance_schema.threads h on h.thread_id = m.owner_thread_id
                where m.lock_status = 'GRANTED' and ((m.object_type = 'TABLE'
                    and m.object_schema = coalesce(nullif($1, ''), database()) and m.object_name = $2)
                  or (m.object_type in ('GLOBAL', 'BACKUP LOCK') and m.lock_type = 'SHARED')
                  or m.lock_type in ('BACKUP_FTWRL1', 'BACKUP_FTWRL2', 'BACKUP_BLOCK_DDL', 'BACKUP_WAIT_DDL')))"
        }
        Lists::Plugin => {
            "(select m.thread_id as id, replace(m.lock_mode, 'MDL_', '') as mode, m.lock_type like 'Table%' as on_it
                from information_schema.metadata_lock_info m
                where (m.lock_type = 'Table metadata lock'
                    and m.table_schema = coalesce(nullif($1, ''), database()) and m.table_name = $2)
                  or m.lock_mode in ('MDL_BACKUP_FTWRL1', 'MDL_BACKUP_FTWRL2', 'MDL_BACKUP_BLOCK_DDL',
                    'MDL_BACKUP_WAIT_DDL'))"
        }
        // Every open transaction: which tables it touched is not told.
        Lists::Nobody => {
            "(select trx_mysql_thread_id as id, '' as mode, 1 as on_it from information_schema.innodb_trx)"
        }
    };
    format!(
        "select {SESSION}, l.mode, l.on_it from {from} l join information_schema.processlist p on p.id = l.id
         left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id
         where p.id <> connection_id() order by t.trx_started, p.id"
    )
}

fn waiters() -> String {
    format!(
        "select {SESSION} from information_schema.processlist p
         left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id
         where p.id <> connection_id() and p.db = database() and p.state like 'Waiting for table%' order by p.id"
    )
}

/// Sessions in the way, in words, and each by its number and where it comes from.
async fn in_the_way(handle: &mut Handle, tables: &[String], sees: bool) -> (Vec<Line>, Vec<(String, String)>) {
    if !sees {
        return (vec![line("in way", "cannot see other sessions or their locks: the user lacks PROCESS")], Vec::new());
    }
    let lists = lists(handle).await;
    let mut found: Vec<(Row, String)> = Vec::new();
    for table in tables {
        match held(handle, lists, table).await {
            Ok(rows) => found.extend(rows),
            Err(error) => return (vec![line("in way", format!("! cannot see who: {}", error.words()))], Vec::new()),
        }
    }
    if let Ok(rows) = handle.read(waiters(), vec![]).await {
        found.extend(rows.into_iter().map(|row| (row, "waits for a metadata lock on a table here".to_owned())));
    }
    let mut said: Vec<(String, String, String)> = Vec::new();
    for (row, what) in &found {
        // One session is one blocker, however many locks it holds.
        let (id, came) = (text(row, "id"), came(row));
        if !said.iter().any(|(known, ..)| *known == id) {
            said.push((id, came, words(row, what)));
        }
    }
    if said.is_empty() {
        return (vec![line("in way", nobody(lists, tables))], Vec::new());
    }
    let more = said.len().saturating_sub(SHOWN);
    let mut lines: Vec<Line> = said.iter().take(SHOWN).map(|(.., words)| line("in way", words)).collect();
    if more > 0 {
        lines.push(line("in way", format!("! and {more} more")));
    }
    (lines, said.into_iter().map(|(id, came, _)| (id, came)).collect())
}

async fn held(handle: &mut Handle, lists: Lists, table: &str) -> Result<Vec<(Row, String)>, SqlError> {
    let binds = if lists == Lists::Nobody { Vec::new() } else { named(table) };
    let rows = handle.read(holders(lists), binds).await?;
    let what = |row: &Row| match (text(row, "mode"), number(row, "on_it")) {
        (mode, _) if mode.is_empty() => {
            format!("may hold a metadata lock on {table}: nothing here lists them")
        }
        (mode, Some(1)) => format!("holds a {mode} metadata lock on {table}"),
        (mode, _) => format!("holds {mode}: every change of a schema waits for it"),
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let what = what(&row);
            (row, what)
        })
        .collect())
}

/// Transactions that somebody prepared and left: they outlive their session, and no list of locks has theirs.
async fn prepared(handle: &mut Handle) -> Vec<Line> {
    let Handle::Mysql(connection) = handle else { return Vec::new() };
    match connection.told("xa recover").await {
        Ok(rows) => {
            let told = |row: &Row| {
                let (name, xid) = xid(row);
                let words = "may hold locks on any table, and no session can be ended for it: its owner says";
                line("prepared", format!("! transaction {name} {words} XA COMMIT or XA ROLLBACK {xid}"))
            };
            let mut lines: Vec<Line> = rows.iter().take(SHOWN).map(told).collect();
            if rows.len() > SHOWN {
                lines.push(line("prepared", format!("! and {} more", rows.len() - SHOWN)));
            }
            lines
        }
        Err(error) => vec![line("prepared", format!("transactions cannot be seen: {}", error.words()))],
    }
}

/// A transaction's name as it can be read, and as SQL writes it, whatever its bytes are.
fn xid(row: &Row) -> (String, String) {
    let data = text(row, "data");
    let bytes = match data.strip_prefix("\\x") {
        Some(digits) => digits
            .as_bytes()
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect(),
        None => data.into_bytes(),
    };
    let length = number(row, "gtrid_length").and_then(|n| usize::try_from(n).ok()).unwrap_or(bytes.len());
    let (global, branch) = bytes.split_at(length.min(bytes.len()));
    let sql = format!("X'{}',X'{}',{}", hex(global), hex(branch), text(row, "formatID"));
    (String::from_utf8_lossy(&bytes).into_owned(), sql)
}

fn nobody(lists: Lists, tables: &[String]) -> String {
    let tables = tables.join(", ");
    match lists {
        Lists::Nobody => format!(
            "no transaction is open now; who holds a metadata lock on {tables} cannot be seen: performance_schema does \
             not list them, and the plugin metadata_lock_info is not loaded"
        ),
        _ => format!("nobody holds a metadata lock on {tables} now"),
    }
}

/// With its number, which a server gives once, what makes a session this one.
fn came(row: &Row) -> String {
    format!("{}@{}", text(row, "usr"), text(row, "host"))
}

fn words(row: &Row, what: &str) -> String {
    let age = number(row, "age").map(|age| format!(", in a transaction for {}", lasting(age))).unwrap_or_default();
    let query: String = in_one_line(&text(row, "query")).into_string().chars().take(80).collect();
    let query = if query.is_empty() { String::new() } else { format!(": {query}") };
    format!("! {}, id {}, {}{age}, {what}{query}", came(row), text(row, "id"), text(row, "command"))
}

/// Who reads this server's log to copy it: how far behind they are only they can tell.
async fn copies(handle: &mut Handle, sees: bool) -> Option<Line> {
    if !sees {
        return Some(line("replicas", "cannot see whether any server copies this one: the user lacks PROCESS"));
    }
    let sql = "select count(*) as n from information_schema.processlist where command like 'Binlog Dump%'";
    match handle.one(sql, vec![]).await {
        Ok(n) => match n.and_then(|n| n.as_u64()).unwrap_or(0) {
            0 => None,
            n => Some(line(
                "replicas",
                format!(
                    "{} of this server: each runs the statement after this one has, and falls behind by as long; how far \
                     behind they are cannot be seen from here",
                    counted(n, "replica")
                ),
            )),
        },
        Err(error) => Some(line("replicas", format!("cannot be seen: {}", error.words()))),
    }
}
