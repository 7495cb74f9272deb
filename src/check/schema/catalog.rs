//! The text of a whole catalog.

use crate::check::sql::{Asked, NoAnswer};
use crate::sql::Dialect;
use crate::target::db::Handle;

/// The catalog as text, one object a line, sorted: two catalogs are the same when their texts are.
pub async fn catalog(handle: &mut Handle) -> Asked<Vec<String>> {
    let sql = match handle.dialect() {
        Some(Dialect::Postgres) => CATALOG,
        Some(Dialect::Sqlite) => {
            "select type || ' ' || name || ': ' || coalesce(sql, '') as line from sqlite_master
             where name not like 'sqlite_%' and name not like 'backout_%' order by 1"
        }
        _ => return Err(NoAnswer::Unknown("this target has no catalog".to_owned())),
    };
    let rows = handle.read(sql, vec![]).await?;
    Ok(rows.iter().filter_map(|row| row.get("line")).map(crate::runbook::template::as_text).collect())
}

const CATALOG: &str = "select line from (
  select 'column ' || c.oid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || case when a.attnotnull then ' not null' else '' end
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backout')
  union all
  select 'index ' || pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' (invalid)' end
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backout')
  union all
  select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(c.oid)
  from pg_constraint c join pg_namespace n on n.oid = c.connamespace
  where conrelid <> 0 and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backout')
  union all
  select 'trigger ' || pg_get_triggerdef(t.oid) from pg_trigger t where not tgisinternal
  union all
  select 'enum ' || t.oid::regtype || ' ' || string_agg(quote_literal(enumlabel), ', ' order by enumsortorder)
  from pg_enum e join pg_type t on t.oid = e.enumtypid group by t.oid
) catalog order by line collate \"C\"";
