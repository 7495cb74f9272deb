//! The catalog of a few objects and of what belongs to them: what a statement on them may have changed.
//!
//! Owns which objects belong together and how two states are told apart, object by object. Read-only; takes no lock
//! that anybody waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::schema::{self, quoted};
use super::sql::{Asked, NoAnswer};
use crate::runbook::template::as_text;
use crate::sql::{Dialect, ObjectKind, Statement};
use crate::target::db::{Handle, text_bind};

/// What statements name: where to look, before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Tables, views, sequences and indexes.
    pub relations: Vec<String>,
    pub types: Vec<String>,
    pub functions: Vec<String>,
}

/// Objects by name, each with its definition.
pub type Objects = BTreeMap<String, String>;

impl Scope {
    pub fn of<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> Self {
        let mut scope = Self::default();
        for object in statements.into_iter().flat_map(|statement| &statement.objects) {
            let list = match object.kind {
                ObjectKind::Type => &mut scope.types,
                ObjectKind::Function | ObjectKind::Procedure => &mut scope.functions,
                _ => &mut scope.relations,
            };
            list.push(object.name.clone());
            scope.relations.extend(object.table.clone());
        }
        for list in [&mut scope.relations, &mut scope.types, &mut scope.functions] {
            list.sort();
            list.dedup();
        }
        scope
    }
}

/// The objects as this connection sees them now.
///
/// # Errors
/// A target without a catalog, and the server's words.
pub async fn read(scope: &Scope, handle: &mut Handle) -> Asked<Objects> {
    match handle.dialect() {
        Some(Dialect::Postgres) => {
            let list = |names: Vec<String>| text_bind(serde_json::json!(names).to_string());
            let types = list(scope.types.iter().map(|name| quoted(name)).collect());
            let functions = list(scope.functions.iter().map(|name| bare(name)).collect());
            let tables = text_bind(tables(scope, handle).await?);
            let rows = handle.read(OBJECTS, vec![tables, types, functions]).await?;
            let text = |value: Option<&serde_json::Value>| value.map(as_text).unwrap_or_default();
            Ok(rows.iter().map(|row| (text(row.get("object")), text(row.get("is")))).collect())
        }
        Some(dialect @ (Dialect::Sqlite | Dialect::Mysql)) => {
            let own = match dialect {
                Dialect::Mysql => handle.one("select database() as own", vec![]).await?.map(|name| as_text(&name)),
                _ => Some("main".to_owned()),
            };
            let elsewhere =
                |name: &&String| name.split_once('.').is_some_and(|(schema, _)| Some(schema) != own.as_deref());
            if let Some(name) = scope.relations.iter().find(elsewhere) {
                return Err(NoAnswer::Unknown(format!("{name} is in another database, whose catalog is not read")));
            }
            let split = |line: String| line.split_once(": ").map(|(object, is)| (object.to_owned(), is.to_owned()));
            let all = schema::catalog(handle).await?.into_iter().filter_map(split);
            Ok(all.filter(|(object, _)| belongs(object, scope)).collect())
        }
        _ => Err(NoAnswer::Unknown("the catalog of this target cannot be read".to_owned())),
    }
}

/// The file of each table in scope and below it, by object id: another file means that the table was rewritten.
///
/// # Errors
/// The server's words.
pub async fn files(scope: &Scope, handle: &mut Handle) -> Asked<BTreeMap<String, (String, String)>> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Ok(BTreeMap::new());
    }
    let sql = "select c.oid::text as oid, c.oid::regclass::text as name,
         coalesce(pg_relation_filenode(c.oid)::text, '') as file from pg_class c
         where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'm')";
    let tables = text_bind(tables(scope, handle).await?);
    let rows = handle.read(sql, vec![tables]).await?;
    let text = |row: &crate::target::db::Row, name: &str| row.get(name).map(as_text).unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, "oid"), (text(row, "name"), text(row, "file")))).collect())
}

/// The object ids of the relations in scope and of what hangs on them, as an array of PostgreSQL. Asked by itself:
/// joined to a recursion, whose size no planner can guess, the whole catalog would be read, and that under a lock.
async fn tables(scope: &Scope, handle: &mut Handle) -> Asked<String> {
    let names: Vec<String> = scope.relations.iter().map(|name| quoted(name)).collect();
    let found = handle.one(TABLES, vec![text_bind(serde_json::json!(names).to_string())]).await?;
    Ok(found.as_ref().map(as_text).unwrap_or_default())
}

/// What is other now than it was, an object a line; empty: exactly the same.
pub fn differences(was: &Objects, now: &Objects) -> Vec<String> {
    let mut told = Vec::new();
    for (object, definition) in was {
        match now.get(object) {
            None => told.push(format!("{object} is gone (it was: {definition})")),
            Some(other) if other != definition => told.push(format!("{object} is {other} (it was: {definition})")),
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|(object, _)| !was.contains_key(*object));
    told.extend(new.map(|(object, definition)| format!("{object} is there, and was not: {definition}")));
    told
}

/// Of tables what belongs to those in scope; of views and triggers all, for these catalogs do not tell what they depend
/// on.
fn belongs(object: &str, scope: &Scope) -> bool {
    let Some((kind, name)) = object.split_once(' ') else { return true };
    let named = |part: &str| scope.relations.iter().any(|relation| bare(relation).eq_ignore_ascii_case(part));
    matches!(kind, "view" | "trigger") || name.split(['.', ' ']).any(named)
}

/// A name without its schema and, of a function, its arguments.
fn bare(name: &str) -> String {
    let name = name.split('(').next().unwrap_or(name);
    name.rsplit('.').next().unwrap_or(name).trim().to_owned()
}

/// The relations that are named, the tables of named indexes, and what hangs on them: views, and tables below.
const TABLES: &str = "with recursive named as (
    select to_regclass(name)::oid as oid from jsonb_array_elements_text($1::text::jsonb) as n(name)
  ), tables as (
    select coalesce(i.indrelid, n.oid) as oid from named n left join pg_index i on i.indexrelid = n.oid
      where n.oid is not null
    union
    select more.oid from tables t cross join lateral (
      select r.ev_class as oid from pg_depend d join pg_rewrite r on r.oid = d.objid
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
      union all select inhrelid from pg_inherits where inhparent = t.oid) more
  ) select coalesce(array_agg(oid), '{}')::text as oids from tables";

const OBJECTS: &str = "select object, string_agg(line, '; ' order by line collate \"C\") as is from (
  select case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'S' then 'sequence ' else 'table ' end
    || c.oid::regclass as object, 'owner ' || pg_get_userbyid(c.relowner)
    || coalesce(', grants ' || c.relacl::text, '') || coalesce(', settings ' || c.reloptions::text, '')
    || case c.relpersistence when 'u' then ', unlogged' else '' end || case when c.relrowsecurity then ', row security' else '' end
    || case when c.relkind in ('v', 'm') then ', as ' || pg_get_viewdef(c.oid) else '' end as line
  from pg_class c where c.oid = any($1::text::oid[])
  union all
  select 'column ' || c.oid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
    || case when a.attnotnull then ' not null' else '' end
    || case a.attidentity when '' then '' else ' identity' end || case a.attgenerated when '' then '' else ' generated' end
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || coalesce(' grants ' || a.attacl::text, '')
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  union all
  select 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' (invalid)' end
  from pg_index i where i.indrelid = any($1::text::oid[])
  union all
  select 'constraint ' || conname || ' on ' || conrelid::regclass, pg_get_constraintdef(c.oid)
  from pg_constraint c where c.oid in (select objid from pg_depend where classid = 'pg_constraint'::regclass
    and refclassid = 'pg_class'::regclass and refobjid = any($1::text::oid[]))
  union all
  select 'trigger ' || tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(g.oid)
    || case tgenabled when 'O' then '' else ' (' || tgenabled::text || ')' end
  from pg_trigger g where g.tgrelid = any($1::text::oid[]) and not tgisinternal
  union all
  select 'policy ' || polname || ' on ' || polrelid::regclass, polcmd::text || coalesce(' using ' || pg_get_expr(polqual, polrelid), '')
    || coalesce(' check ' || pg_get_expr(polwithcheck, polrelid), '')
  from pg_policy p where p.polrelid = any($1::text::oid[])
  union all
  select 'enum ' || e.enumtypid::regtype, string_agg(quote_literal(enumlabel), ', ' order by enumsortorder)
  from pg_enum e where e.enumtypid in (
    select a.atttypid from pg_attribute a where a.attrelid = any($1::text::oid[])
    union select to_regtype(name)::oid from jsonb_array_elements_text($2::text::jsonb) as n(name))
  group by e.enumtypid
  union all
  select 'function ' || p.oid::regprocedure, 'body ' || md5(p.prosrc) || coalesce(' grants ' || p.proacl::text, '')
  from pg_proc p where p.proname in (select name from jsonb_array_elements_text($3::text::jsonb) as n(name))
    and p.pronamespace in (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')
) belongs (object, line) group by object";
