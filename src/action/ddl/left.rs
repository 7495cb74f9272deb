//! What a statement that was broken off leaves behind and no fact of it tells: indexes that are not valid.
//!
//! Read-only. Never removes one, and names none that somebody is building now.

use std::collections::BTreeSet;

use super::Plan;
use crate::run::record::{Found, Position};
use crate::runbook::template::as_text;
use crate::sql::Dialect;
use crate::target::db::Handle;

const INVALID: &str = "select i.indexrelid::regclass::text as name from pg_index i
      join pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
    where not i.indisvalid and not exists (select from pg_stat_progress_create_index p
      where p.index_relid = i.indexrelid or p.relid = i.indrelid)";

/// Whether one of the statements may leave an index that it does not name.
fn may_leave(plan: &Plan) -> bool {
    let unnamed =
        |kind: &str, facts: bool| kind == "REINDEX CONCURRENTLY" || kind.ends_with("INDEX CONCURRENTLY") && !facts;
    plan.statements.iter().any(|(_, statement)| unnamed(statement.kind, !statement.done.is_empty()))
}

/// The indexes that are not valid now, where these statements may leave any; what cannot be read is not among them.
pub(super) async fn invalid(plan: &Plan, handle: &mut Handle) -> BTreeSet<String> {
    if handle.dialect() != Some(Dialect::Postgres) || !may_leave(plan) {
        return BTreeSet::new();
    }
    let rows = handle.read(INVALID, vec![]).await.unwrap_or_default();
    rows.iter().filter_map(|row| row.get("name")).map(as_text).collect()
}

/// What is there now and was not before, with its repair.
pub(super) async fn since(before: &BTreeSet<String>, plan: &Plan, handle: &mut Handle) -> Option<String> {
    words(invalid(plan, handle).await.difference(before))
}

/// Where statements stand that no fact tells of, with what an earlier rebuild left.
pub(super) async fn told(plan: &Plan, found: Found, handle: &mut Handle) -> Found {
    if found.position != Position::Unknown {
        return found;
    }
    let now = invalid(plan, handle).await;
    let of_rebuild = |name: &&String| {
        let name = name.trim_end_matches('"').trim_end_matches(|c: char| c.is_ascii_digit());
        name.ends_with("_ccnew") || name.ends_with("_ccold")
    };
    match words(now.iter().filter(of_rebuild)) {
        Some(words) => Found { because: format!("{}; {words}", found.because), ..found },
        None => found,
    }
}

fn words<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let drops: Vec<String> = names.iter().map(|name| format!("DROP INDEX CONCURRENTLY {name}")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "left behind INVALID: {}, which costs every write and answers no query. To repair: {}, then this step again",
            names.join(", "),
            drops.join("; ")
        )
    })
}
