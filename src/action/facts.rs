//! What a gate says of statements on the schema before anybody decides: locks, size, what hangs on it, who is in the
//! way, what breaks.
//!
//! Owns the order of the lines. Never fails a gate: a question that was not answered says so, in the server's words, and
//! what cannot be seen is never said to be none.

pub(super) mod blockers;
mod dependents;
pub(super) mod lane;
pub(super) mod metadata;
mod mysql;
mod postgres;
mod server;
mod services;
mod touched;

use super::ddl::Plan;
use crate::check::Context;
use crate::runbook::template::as_text;
use crate::sql::{self, Dialect};
use crate::target::Identity;
use crate::target::db::Handle;
use crate::text::{counted, in_one_line};

/// A label, as short as the gate's, and words.
type Line = (String, String);

/// Names and statements of others stand in it: one line of what can be seen.
fn line(label: &str, words: impl AsRef<str>) -> Line {
    (label.to_owned(), in_one_line(words.as_ref()).into_string())
}

/// Told of in full; of the others who they are.
const SHOWN: usize = 4;
const NAMED: usize = 16;

/// Who is in the way: the first in all their words, the others by what they are ended by.
fn in_the_way(said: Vec<Said>) -> Vec<Line> {
    let (all, rest) = (said.len(), said.iter().skip(SHOWN).take(NAMED).map(|one| one.short.clone()));
    let rest = rest.collect::<Vec<_>>().join(", ");
    let mut lines: Vec<Line> = said.into_iter().take(SHOWN).map(|one| line("in way", one.words)).collect();
    if let Some(more) = all.checked_sub(SHOWN).filter(|more| *more > 0) {
        let further = if more > NAMED { format!(" and {} more", more - NAMED) } else { String::new() };
        lines.push(line("in way", format!("! and {more} more: {rest}{further}")));
    }
    lines
}

/// One who is in the way.
struct Said {
    /// Its number, or its name where no session has it.
    who: String,
    short: String,
    words: String,
}

/// For the gate.
#[derive(Default)]
pub struct Facts {
    pub lines: Vec<Line>,
    /// As [`crate::run::record::Evidence::blockers`].
    pub blockers: Vec<(String, String)>,
}

pub async fn gather(plan: &Plan, handle: &mut Handle, ctx: &Context, identity: Option<&Identity>) -> Facts {
    let mut lines = Vec::new();
    for (_, statement) in &plan.statements {
        let lock = statement.lock.map_or_else(|| "no table lock known".to_owned(), |lock| lock.words());
        lines.push(line("locks", format!("{lock}; {}", statement.cost)));
    }
    // MySQL and MariaDB have a line of their own for it.
    if !plan.transactional() && handle.dialect() != Some(Dialect::Mysql) {
        lines.push(line("not atomic", "runs outside a transaction: only the catalog can tell how far it came"));
    }
    let sees = identity.is_some_and(|identity| identity.sees_sessions);
    let facts = match handle.dialect() {
        Some(Dialect::Postgres) => postgres::gather(plan, handle, ctx, sees).await,
        Some(Dialect::Mysql) => mysql::gather(plan, handle, ctx, sees).await,
        _ => file(plan, handle, ctx).await,
    };
    lines.extend(facts.lines);
    Facts { lines, blockers: facts.blockers }
}

/// SQLite: there is nobody else whose sessions or locks could be asked for.
async fn file(plan: &Plan, handle: &mut Handle, ctx: &Context) -> Facts {
    let mut lines = Vec::new();
    for table in plan.tables() {
        lines.extend(rows(handle, &table).await.map(|rows| line("table", format!("{table}: {rows}"))));
    }
    lines.extend(services::touched(plan, handle, ctx).await);
    Facts { lines, ..Facts::default() }
}

async fn rows(handle: &mut Handle, table: &str) -> Option<String> {
    let name = sql::quote_ident(Dialect::Sqlite, table).ok()?;
    let rows = handle.one(format!("select count(*) from {name}"), vec![]).await.ok().flatten()?;
    Some(rows.as_u64().map_or_else(|| as_text(&rows), |n| counted(n, "row")))
}
