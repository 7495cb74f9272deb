//! The tables of backout in a database.
//!
//! Owns their shape. Creates them only where somebody asks for it, and never changes one that is there.

use super::db::Handle;
use crate::failure::Result;
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

/// What creates the tables that are not there, a statement each.
pub fn statements(dialect: Dialect) -> Vec<String> {
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
    statements.iter().map(|sql| portable(dialect, sql)).collect()
}

/// What a role that is not their owner needs, `{role}` being its name.
pub fn rights(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Postgres => &[
            "grant usage, create on schema backout to {role}",
            "grant select, insert, update, delete on all tables in schema backout to {role}",
            "grant usage on all sequences in schema backout to {role}",
        ],
        Dialect::Mysql => &[
            "grant select, insert, update on backout_claim to {role}",
            "grant select, insert, update on backout_marker to {role}",
            "grant select on backout_environment to {role}",
        ],
        Dialect::Sqlite => &[],
    }
}

/// Creates the tables that are not there. For a database administrator, and for a sandbox.
///
/// # Errors
/// The server's words.
pub async fn install(handle: &mut Handle) -> Result<()> {
    let Some(dialect) = handle.dialect() else { return Ok(()) };
    let target = handle.target().to_owned();
    for sql in statements(dialect) {
        handle.run(sql, vec![]).await.map_err(|error| error.failure("creating the tables of backout", &target))?;
    }
    Ok(())
}
