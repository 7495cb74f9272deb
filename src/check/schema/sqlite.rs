//! Facts as SQLite's schema table tells them.

pub(super) mod objects;

use crate::check::sql::{Asked, NoAnswer};
use crate::sql::Fact;
use crate::target::db::Handle;

use super::there;

/// Whether the fact holds.
pub(super) async fn holds(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    let object = "select 1 from sqlite_master where type = ? and name = ? collate nocase";
    let column = "select 1 from pragma_table_xinfo(?) c where c.name = ? collate nocase";
    let bare = |name: &str| name.strip_prefix("main.").unwrap_or(name).to_owned();
    let (found, wanted) = match fact {
        Fact::Table { name, present } => (there(handle, object, &["table", &bare(name)]).await?, *present),
        Fact::View { name, present } => (there(handle, object, &["view", &bare(name)]).await?, *present),
        Fact::Trigger { name, present, .. } => (there(handle, object, &["trigger", &bare(name)]).await?, *present),
        // A trigger of SQLite cannot be turned off.
        Fact::TriggerEnabled { name, enabled, .. } => {
            (there(handle, object, &["trigger", &bare(name)]).await?, *enabled)
        }
        Fact::Index { name, present, .. } => (there(handle, object, &["index", &bare(name)]).await?, *present),
        Fact::Column { table, column: name, present } => {
            (there(handle, column, &[&bare(table), name]).await?, *present)
        }
        Fact::ColumnType { table, column: name, type_name, is } => {
            let sql = format!("{column} and c.type = ? collate nocase");
            (there(handle, &sql, &[&bare(table), name, type_name]).await?, *is)
        }
        Fact::NotNull { table, column: name, not_null } => {
            (there(handle, &format!("{column} and c.\"notnull\" = 1"), &[&bare(table), name]).await?, *not_null)
        }
        Fact::Default { table, column: name, value: None, present } => {
            (there(handle, &format!("{column} and c.dflt_value is not null"), &[&bare(table), name]).await?, *present)
        }
        Fact::Default { table, column: name, value: Some(value), present } => {
            let sql = format!("{column} and trim(c.dflt_value, '''') = ?");
            (there(handle, &sql, &[&bare(table), name, value]).await?, *present)
        }
        Fact::Partition { .. }
        | Fact::Constraint { .. }
        | Fact::Validated { .. }
        | Fact::EnumValue { .. }
        | Fact::EnumValues { .. }
        | Fact::FunctionBody { .. }
        | Fact::Function { .. }
        | Fact::Type { .. }
        | Fact::Schema { .. } => {
            return Err(NoAnswer::Unknown(format!("SQLite's catalog does not tell whether {fact}")));
        }
    };
    Ok(found == wanted)
}
