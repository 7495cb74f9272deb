//! Empty copies of tables that stand in for them in one transaction: for a trial whose statements would hurt the tables.
//!
//! Owns when a copy can stand in at all. A temporary table of the same name comes first on the search path, so the
//! statements run as they are written; never lets one reach anything that is not a copy.

use super::ddl::Plan;
use crate::check::schema::quoted;
use crate::sql::{Dialect, ObjectKind};
use crate::target::db::{Handle, SqlError, text_bind};

/// Whether every object that the statements name is a table that can be copied, or a part of one.
///
/// # Errors
/// In words: what no copy can stand in for.
pub(super) async fn admits(plan: &Plan, handle: &mut Handle) -> Result<(), String> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Err("refused: there are no empty copies on this database".to_owned());
    }
    for object in plan.statements.iter().flat_map(|(_, statement)| &statement.objects) {
        let of_table = matches!(object.kind, ObjectKind::Table) || object.table.is_some();
        let name = object.table.as_ref().unwrap_or(&object.name);
        if !of_table {
            return Err(format!("refused: no copy can stand in for {object}"));
        }
        if name.contains('.') || object.name.contains('.') {
            return Err(format!("refused: {object} is named with its schema, so that no copy can stand in for it"));
        }
    }
    for table in plan.tables() {
        let kind = "select c.relkind::text from pg_class c where c.oid = to_regclass($1::text)";
        let kind = handle.one(kind, vec![text_bind(quoted(&table))]).await.map_err(|error| error.words())?;
        if !kind.is_some_and(|kind| kind == "r" || kind == "p") {
            return Err(format!("refused: {table} is no table that could be copied"));
        }
    }
    Ok(())
}

/// The copies, empty, in front of their tables until the rollback.
pub(super) async fn make(plan: &Plan, handle: &mut Handle) -> Result<(), SqlError> {
    for table in plan.tables() {
        let name = quoted(&table);
        handle.run(format!("create temporary table {name} (like {name} including all)"), vec![]).await?;
    }
    Ok(())
}

/// What a copy does not show.
pub(super) fn unseen() -> Vec<(String, String)> {
    ["foreign keys", "triggers", "dependent views", "policies and grants", "the rows, and how long they take"]
        .iter()
        .map(|what| ((*what).to_owned(), "an empty copy has none".to_owned()))
        .collect()
}
