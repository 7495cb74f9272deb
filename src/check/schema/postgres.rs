//! Facts as PostgreSQL's catalog tells them.

pub(super) mod objects;

use serde_json::Value;

use crate::check::sql::Asked;
use crate::sql::{Dialect, Fact};
use crate::target::db::{Handle, text_bind};

use super::there;

/// `schema.table` and names with capitals: each part is quoted, so that the server reads what the parser read.
pub fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
}

/// The schemas that have a relation of this name, given without its schema; everybody may read of them what a search
/// path leaves out, and what the right to look into is missing for.
pub(super) async fn elsewhere(name: &str, handle: &mut Handle) -> Asked<Option<String>> {
    if handle.dialect() != Some(Dialect::Postgres) || name.contains('.') {
        return Ok(None);
    }
    let sql = "select string_agg(n.nspname, ', ' order by n.nspname) as schemas
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = $1::text and c.relkind in ('r', 'p', 'f', 'v', 'm') and n.nspname !~ '^pg_'
          and n.nspname <> 'information_schema'";
    let found = handle.one(sql, vec![text_bind(name)]).await?;
    Ok(found.and_then(|found| found.as_str().map(str::to_owned)))
}

/// Whether the fact holds.
pub(super) async fn holds(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    let column = "select 1 from pg_attribute a where a.attrelid = to_regclass($1::text) and a.attname = $2::text
        and a.attnum > 0 and not a.attisdropped";
    let constraint = "select 1 from pg_constraint c where c.conrelid = to_regclass($1::text) and c.conname = $2::text";
    let (found, wanted) = match fact {
        Fact::Table { name, present } => (
            there(handle, "select 1 from pg_class where oid = to_regclass($1::text) and relkind in ('r', 'p', 'f')", &[&quoted(name)]).await?,
            *present,
        ),
        Fact::View { name, present } => (
            there(handle, "select 1 from pg_class where oid = to_regclass($1::text) and relkind in ('v', 'm')", &[&quoted(name)]).await?,
            *present,
        ),
        Fact::Column { table, column: name, present } => {
            (there(handle, column, &[&quoted(table), name]).await?, *present)
        }
        Fact::ColumnType { table, column: name, type_name, is } => {
            let sql = format!("{column} and format_type(a.atttypid, a.atttypmod) = $3::text");
            (there(handle, &sql, &[&quoted(table), name, type_name]).await?, *is)
        }
        Fact::NotNull { table, column: name, not_null } => {
            (there(handle, &format!("{column} and a.attnotnull"), &[&quoted(table), name]).await?, *not_null)
        }
        Fact::Default { table, column: name, value, present } => {
            let base = format!("{column} and a.atthasdef");
            let found = match value {
                None => there(handle, &base, &[&quoted(table), name]).await?,
                Some(value) => default_is(value, &base, table, name, handle).await?,
            };
            (found, *present)
        }
        Fact::EnumValue { type_name, value, present } => (
            there(handle, "select 1 from pg_enum where enumtypid = to_regtype($1::text) and enumlabel = $2::text", &[&quoted(type_name), value]).await?,
            *present,
        ),
        Fact::EnumValues { type_name, values, are } => {
            let sql = "select 1 from pg_enum where enumtypid = to_regtype($1::text)
                having string_agg(enumlabel, chr(10) order by enumsortorder) = $2::text";
            (there(handle, sql, &[&quoted(type_name), &values.join("\n")]).await?, *are)
        }
        Fact::Index { name, valid, present } => {
            let valid = if *valid { " and i.indisvalid" } else { "" };
            let sql = format!("select 1 from pg_index i where i.indexrelid = to_regclass($1::text){valid}");
            (there(handle, &sql, &[&quoted(name)]).await?, *present)
        }
        Fact::Partition { table, partition, whole, present } => {
            // Not every version has the column.
            let whole = if *whole { " and to_jsonb(i) -> 'inhdetachpending' is distinct from 'true'::jsonb" } else { "" };
            let sql = format!(
                "select 1 from pg_inherits i where i.inhparent = to_regclass($1::text) and i.inhrelid = to_regclass($2::text){whole}"
            );
            (there(handle, &sql, &[&quoted(table), &quoted(partition)]).await?, *present)
        }
        Fact::Constraint { table, name, present } => (there(handle, constraint, &[&quoted(table), name]).await?, *present),
        Fact::Validated { table, name, validated } => {
            (there(handle, &format!("{constraint} and c.convalidated"), &[&quoted(table), name]).await?, *validated)
        }
        Fact::Trigger { table, name, present } => (
            there(handle, "select 1 from pg_trigger where tgrelid = to_regclass($1::text) and tgname = $2::text and not tgisinternal", &[&quoted(table), name]).await?,
            *present,
        ),
        Fact::TriggerEnabled { table, name, enabled } => {
            let sql = "select 1 from pg_trigger where tgrelid = to_regclass($1::text) and tgname = $2::text
                and tgenabled in ('O', 'A')";
            (there(handle, sql, &[&quoted(table), name]).await?, *enabled)
        }
        Fact::FunctionBody { name, digest, is } => {
            let sql = "select 1 from pg_proc where oid = to_regprocedure($1::text)
                and encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') = $2::text";
            (there(handle, sql, &[name, digest]).await?, *is)
        }
        Fact::Function { name, present } => {
            (there(handle, "select 1 where to_regprocedure($1::text) is not null", &[name]).await?, *present)
        }
        Fact::Type { name, present } => {
            (there(handle, "select 1 where to_regtype($1::text) is not null", &[&quoted(name)]).await?, *present)
        }
        Fact::Schema { name, present } => {
            (there(handle, "select 1 where to_regnamespace($1::text) is not null", &[&quoted(name)]).await?, *present)
        }
    };
    Ok(found == wanted)
}

/// Whether a column's default is this literal. The server keeps the value, not the writing: `'yes'` is `true` to it.
async fn default_is(value: &str, base: &str, table: &str, column: &str, handle: &mut Handle) -> Asked<bool> {
    let found = "select format_type(a.atttypid, a.atttypmod) as type, (select pg_get_expr(d.adbin, d.adrelid)
        from pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) as expr from";
    let sql = base.replacen("select 1 from", found, 1);
    let rows = handle.read(sql, vec![text_bind(quoted(table)), text_bind(column)]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    // It writes a literal as 'x'::type, and a number bare.
    let expr = text("expr");
    let quoted = expr.strip_prefix('\'').and_then(|rest| rest.rsplit_once("'::")).map(|(inner, _)| inner);
    let kept = match quoted {
        Some(inner) if !inner.replace("''", "").contains('\'') => inner.replace("''", "'"),
        Some(_) => return Ok(false),
        None => expr.to_owned(),
    };
    let literal = quoted.is_some() || kept.parse::<f64>().is_ok() || ["true", "false"].contains(&kept.as_str());
    if kept == value || !literal {
        return Ok(kept == value);
    }
    let same = format!("select ($1::text::{0})::text = ($2::text::{0})::text as same", text("type"));
    let same = handle.one(same, vec![text_bind(value), text_bind(kept)]).await;
    // What is no value of the type at all is not its default.
    Ok(same.is_ok_and(|same| same == Some(Value::Bool(true))))
}
