//! The catalog of MySQL and MariaDB, as `information_schema` has it.

pub(super) mod objects;

use super::there;
use crate::check::sql::{Asked, NoAnswer};
use crate::runbook::template::as_text;
use crate::sql::Fact;
use crate::target::db::{Handle, text_bind};

/// Whether one fact holds now.
pub(super) async fn holds(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    let table = "select 1 from information_schema.tables
        where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2 and table_type";
    let column = "select 1 from information_schema.columns
        where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2 and column_name = $3";
    let (found, wanted) = match fact {
        Fact::Table { name, present } => {
            let (schema, name) = parts(name);
            (there(handle, &format!("{table} = 'BASE TABLE'"), &[schema, name]).await?, *present)
        }
        Fact::View { name, present } => {
            let (schema, name) = parts(name);
            (there(handle, &format!("{table} = 'VIEW'"), &[schema, name]).await?, *present)
        }
        Fact::Column { table, column: name, present } => {
            let (schema, table) = parts(table);
            (there(handle, column, &[schema, table, name]).await?, *present)
        }
        Fact::ColumnType { table, column: name, type_name, is } => {
            let (schema, table) = parts(table);
            // The server writes an integer's width where older ones did: `int` is `int(11)`.
            let sql = format!(
                "{column} and (lower(column_type) = lower($4) or regexp_replace(lower(column_type), '^([a-z]*int)\\\\([0-9]+\\\\)', '\\\\1') = lower($4))"
            );
            (there(handle, &sql, &[schema, table, name, type_name]).await?, *is)
        }
        Fact::NotNull { table, column: name, not_null } => {
            let (schema, table) = parts(table);
            (there(handle, &format!("{column} and is_nullable = 'NO'"), &[schema, table, name]).await?, *not_null)
        }
        Fact::Default { table, column: name, value, present } => {
            let (schema, table) = parts(table);
            // MariaDB says NULL where a column may be null and has no default of its own, and quotes text.
            let has = format!("{column} and column_default is not null and column_default <> 'NULL'");
            let found = match value {
                None => there(handle, &has, &[schema, table, name]).await?,
                Some(value) => {
                    let sql = format!("{has} and trim(both '''' from column_default) = $4");
                    there(handle, &sql, &[schema, table, name, value]).await?
                }
            };
            (found, *present)
        }
        Fact::Constraint { table, name, present } => {
            let (schema, table) = parts(table);
            let sql = "select 1 from information_schema.table_constraints
                where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2 and constraint_name = $3";
            (there(handle, sql, &[schema, table, name]).await?, *present)
        }
        Fact::Trigger { name, present, .. } => {
            let (schema, name) = parts(name);
            let sql = "select 1 from information_schema.triggers
                where trigger_schema = coalesce(nullif($1, ''), database()) and trigger_name = $2";
            (there(handle, sql, &[schema, name]).await?, *present)
        }
        Fact::Schema { name, present } => {
            let sql = "select 1 from information_schema.schemata where schema_name = $1";
            (there(handle, sql, &[name]).await?, *present)
        }
        Fact::Index { name, present, .. } => {
            let (schema, name) = parts(name);
            let sql = "select count(distinct table_name) as n from information_schema.statistics
                where table_schema = coalesce(nullif($1, ''), database()) and index_name = $2";
            let tables = handle.one(sql, vec![text_bind(schema), text_bind(name)]).await?;
            match tables.map(|n| as_text(&n)).as_deref() {
                Some("0") => (false, *present),
                Some("1") => (true, *present),
                // An index has a name within its table only.
                _ => return Err(NoAnswer::Unknown(format!("several tables have an index {name}"))),
            }
        }
        Fact::Partition { .. }
        | Fact::TriggerEnabled { .. }
        | Fact::Validated { .. }
        | Fact::EnumValue { .. }
        | Fact::EnumValues { .. }
        | Fact::Function { .. }
        | Fact::FunctionBody { .. }
        | Fact::Type { .. } => {
            return Err(NoAnswer::Unknown(format!("the catalog of MySQL and MariaDB does not tell whether {fact}")));
        }
    };
    Ok(found == wanted)
}

/// The database, empty for the one that is open, and the name in it.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}
