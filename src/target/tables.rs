//! The tables of backout in a database.
//!
//! Owns their shape. Creates them only where somebody asks for it, and never changes one that is there.

use super::db::Handle;
use crate::failure::Result;
use crate::runbook::template::as_text;
use crate::sql::Dialect;

/// `{b}` becomes the place of our tables; casts are PostgreSQL's and go elsewhere.
pub fn portable(dialect: Dialect, sql: &str) -> String {
    match dialect {
        Dialect::Postgres => sql.replace("{b}", "backout."),
        Dialect::Sqlite | Dialect::Mysql => {
            let share = if dialect == Dialect::Mysql { " lock in share mode" } else { "" };
            let mut text = sql.replace("{b}", "backout_").replace(" for share of c", share);
            for cast in ["::text", "::bigint", "::jsonb"] {
                text = text.replace(cast, "");
            }
            text
        }
    }
}

/// Every right that a claim and a marker need, and whether the role has it. No row: the tables are not there.
const RIGHTS: &str = "select coalesce(string_agg(w.what || ' on backout.' || w.tbl, ', ' order by w.tbl, w.what)
        filter (where not has_table_privilege(c.oid, w.what)), '') as lacks,
      bool_and(has_schema_privilege(n.oid, 'usage')) as usable
    from (values ('marker', 'SELECT'), ('marker', 'INSERT'), ('claim', 'SELECT'), ('claim', 'INSERT'),
      ('claim', 'UPDATE')) w(tbl, what)
    join pg_namespace n on n.nspname = 'backout'
    join pg_class c on c.relnamespace = n.oid and c.relname = w.tbl
    having count(*) = 5";

/// Which rights the role lacks where the tables are there; `None` where they are not, or where nobody tells.
pub async fn lacking(handle: &mut Handle) -> Option<String> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return None;
    }
    let row = handle.read(RIGHTS, vec![]).await.ok()?.into_iter().next()?;
    let mut lacks: Vec<String> = row.get("lacks").map(as_text).filter(|lacks| !lacks.is_empty()).into_iter().collect();
    if row.get("usable").is_some_and(|usable| usable == false) {
        lacks.insert(0, "USAGE on schema backout".to_owned());
    }
    (!lacks.is_empty()).then(|| lacks.join(", "))
}

/// Creates the tables that are not there. For a database administrator, and for a sandbox.
///
/// # Errors
/// The server's words.
pub async fn install(handle: &mut Handle) -> Result<()> {
    let Some(dialect) = handle.dialect() else { return Ok(()) };
    let target = handle.target().to_owned();
    // MySQL has no key on text without a length; a name in a key is compared byte by byte.
    let (now, serial, long, json) = match dialect {
        Dialect::Postgres => ("timestamptz not null default clock_timestamp()", "bigserial", "bigint", "jsonb"),
        Dialect::Mysql => (
            "timestamp(6) not null default current_timestamp(6)",
            "bigint not null auto_increment unique",
            "bigint",
            "longtext",
        ),
        _ => ("text not null default current_timestamp", "integer", "integer", "text"),
    };
    let (name, suffix) = match dialect {
        Dialect::Mysql => ("varchar(160)", " engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin"),
        _ => ("text", ""),
    };
    let mut statements = Vec::new();
    if dialect == Dialect::Postgres {
        statements.push("create schema if not exists backout".to_owned());
    }
    statements.extend([
        format!("create table if not exists {{b}}claim (runbook {name} primary key, run_id text not null, epoch {long} not null, holder text not null, at {now}){suffix}"),
        format!("create table if not exists {{b}}marker (run_id {name} not null, step {name} not null, n {long} not null, runbook text not null, intent text not null check (length(intent) = 64), audit_seq {long}, audit_head text check (length(audit_head) = 64), holder text not null, at {now}, primary key (run_id, step, n)){suffix}"),
        format!("create table if not exists {{b}}anchor (run_id {name} not null, seq {long} not null, head text not null check (length(head) = 64), at {now}, primary key (run_id, seq)){suffix}"),
        format!("create table if not exists {{b}}progress (run_id {name} not null, step {name} not null, last_key text, rows_done {long} not null default 0, batches {long} not null default 0, primary key (run_id, step)){suffix}"),
        format!("create table if not exists {{b}}before_image (seq {serial}, run_id {name} not null, step {name} not null, n {long} not null, tbl {name} not null, pk {name} not null, old_row {json}, new_row {json}, saved_at {now}, undone_at text, primary key (run_id, step, n, tbl, pk)){suffix}"),
        "create table if not exists {b}environment (environment text not null, identity text not null, nonce text not null)".to_owned(),
    ]);
    for sql in statements {
        handle
            .run(portable(dialect, &sql), vec![])
            .await
            .map_err(|error| error.failure("creating the tables of backout", &target))?;
    }
    Ok(())
}
