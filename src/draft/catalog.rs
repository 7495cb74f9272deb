//! What the forms need to know of a live catalog. Read-only; takes no lock that anybody waits for.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::schema::quoted;
use crate::failure::{Failure, Kind, Result};
use crate::sql::shim::{ROWS_AT_ONCE, Rename, Table, TypeFacts};
use crate::target::Handle;
use crate::target::db::text_bind;

/// The table of a rename.
///
/// # Errors
/// The server's words; the table is not there.
pub async fn table(rename: &Rename, handle: &mut Handle) -> Result<Table> {
    let name = rename.table();
    let (from, to) = match rename {
        Rename::Column { from, to, .. } => (from.as_str(), to.as_str()),
        Rename::Table { to, .. } => ("", to.as_str()),
    };
    let binds = [&quoted(name), from, bare(to), bare(name)];
    let mut table: Table = read(TABLE, &binds, handle, &format!("the table {name} is not there")).await?;
    let rows = format!("select count(*) as n from (select from {} limit {}) as r", quoted(name), ROWS_AT_ONCE + 1);
    let counted = handle.one(rows, vec![]).await.map_err(|error| error.failure("counting rows", handle.target()))?;
    table.rows = counted.and_then(|n| n.as_u64()).unwrap_or(ROWS_AT_ONCE + 1);
    Ok(table)
}

/// An enum and who uses it.
///
/// # Errors
/// The server's words; there is no such enum.
pub async fn enumeration(name: &str, handle: &mut Handle) -> Result<TypeFacts> {
    read(ENUM, &[&quoted(name)], handle, &format!("there is no enum {name}")).await
}

fn bare(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, bare)| bare)
}

async fn read<T: DeserializeOwned>(sql: &str, binds: &[&str], handle: &mut Handle, none: &str) -> Result<T> {
    let target = handle.target().to_owned();
    let binds = binds.iter().map(|text| text_bind(*text)).collect();
    let found = handle.one(sql, binds).await.map_err(|error| error.failure("reading the catalog", &target))?;
    let found = found.filter(|found| !found.is_null()).ok_or_else(|| {
        Failure::new(Kind::Target, format!("{none} on target {target}"))
            .hint("the form is made from the live catalog as it is before the step: has the step been done already?")
    })?;
    // The driver gives jsonb as text or as a value.
    let value = match found {
        Value::String(text) => serde_json::from_str(&text),
        value => Ok(value),
    };
    value
        .and_then(serde_json::from_value)
        .map_err(|error| Failure::new(Kind::Defect, format!("the catalog of {target} was not understood")).cause(error))
}

/// `$1` the table, `$2` the column that is renamed or nothing, `$3` the wanted name, `$4` the table's bare name.
const TABLE: &str = "with t as (
    select c.*, n.nspname, a.attnum as att from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attname = $2::text and a.attnum > 0 and not a.attisdropped
    where c.oid = to_regclass($1::text))
  select jsonb_build_object(
    'kind', t.relkind::text, 'major', current_setting('server_version_num')::int / 10000,
    'schema', t.nspname, 'rows', 0,
    'bytes', case when t.relkind = 'p' then (select coalesce(sum(pg_table_size(relid)), 0) from pg_partition_tree(t.oid) where isleaf)
       else pg_table_size(t.oid) end,
    'owner', case when pg_get_userbyid(t.relowner) <> current_user then pg_get_userbyid(t.relowner) end,
    'row_security', t.relrowsecurity,
    'rules', exists (select from pg_rewrite r where r.ev_class = t.oid and t.relkind in ('r', 'p')),
    'child', exists (select from pg_inherits where inhrelid = t.oid),
    'parent', t.relkind <> 'p' and exists (select from pg_inherits where inhparent = t.oid),
    'columns', (select coalesce(jsonb_agg(jsonb_build_object('name', a.attname,
          'type_name', format_type(a.atttypid, a.atttypmod),
          'collation', case when a.attcollation <> y.typcollation
             then (select quote_ident(m.nspname) || '.' || quote_ident(l.collname) from pg_collation l
                   join pg_namespace m on m.oid = l.collnamespace where l.oid = a.attcollation) end,
          'not_null', a.attnotnull,
          'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
          'generated', a.attgenerated <> '', 'identity', a.attidentity <> '') order by a.attnum), '[]')
        from pg_attribute a join pg_type y on y.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped),
    'partition_key', (select coalesce(jsonb_agg(a.attname), '[]') from pg_partitioned_table p
        join pg_attribute a on a.attrelid = p.partrelid and a.attnum = any (p.partattrs::int2[]) where p.partrelid = t.oid),
    'grants', (select coalesce(jsonb_agg(jsonb_build_object('right', g.privilege_type, 'column', g.column,
          'role', case when g.grantee <> 0 then pg_get_userbyid(g.grantee) end, 'grantable', g.is_grantable)
          order by g.column nulls first, g.grantee, g.privilege_type), '[]')
        from (select null::name as column, x.* from aclexplode(t.relacl) x
              union all select a.attname, x.* from pg_attribute a cross join aclexplode(a.attacl) x
                where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped) g where g.grantee <> t.relowner),
    'triggers', (select coalesce(jsonb_agg(jsonb_build_object('name', g.tgname,
          'before', g.tgtype & 3 = 3 and g.tgtype & 20 <> 0,
          'names_it', case when strpos(convert_from(g.tgargs, 'SQL_ASCII'), $2::text) > 0 then true
             when l.lanname in ('c', 'internal') then null
             else strpos(lower(p.prosrc), lower($2::text)) > 0 or strpos(lower(p.prosrc), lower($3::text)) > 0 end,
          'of_column', t.att is not null and t.att = any (g.tgattr::int2[])) order by g.tgname), '[]')
        from pg_trigger g join pg_proc p on p.oid = g.tgfoid join pg_language l on l.oid = p.prolang
        where g.tgrelid = t.oid and not g.tgisinternal and g.tgenabled <> 'D'),
    'indexes', (select coalesce(jsonb_agg(jsonb_build_object('name', c.relname, 'unique', i.indisunique,
          'method', m.amname,
          'columns', (select coalesce(jsonb_agg(a.attname order by k.at), '[]')
             from unnest(i.indkey::int2[]) with ordinality k(num, at)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num),
          'plain', i.indisvalid and i.indimmediate and i.indexprs is null and i.indpred is null and i.indnatts = i.indnkeyatts
             and not i.indisexclusion and pg_get_indexdef(i.indexrelid) !~ 'NULLS NOT DISTINCT'
             and not exists (select from unnest(i.indoption::int2[]) o where o <> 0)
             and not exists (select from unnest(i.indclass::oid[]) o join pg_opclass q on q.oid = o where not q.opcdefault))
          order by c.relname), '[]')
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
        where i.indrelid = t.oid and t.att is not null and (t.att = any (i.indkey::int2[]) or exists (
          select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
            and d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid and d.refobjsubid = t.att))),
    'publications', (select coalesce(jsonb_agg(p.pubname order by p.pubname), '[]') from pg_publication_tables p
        where p.schemaname = t.nspname and p.tablename = t.relname),
    'taken', (select coalesce(jsonb_agg(c.relname), '[]') from pg_class c where c.relnamespace = t.relnamespace
        and c.oid <> t.oid and (c.relname = $3::text or starts_with(c.relname::text, $4::text)))
  )::text as found from t";

/// `$1` the type.
const ENUM: &str = "with y as (select y.oid, typarray, typowner, typacl, nspname from pg_type y join pg_namespace n on n.oid = typnamespace
      where y.oid = to_regtype($1::text) and typtype = 'e'),
    made as (select d.classid, d.objid, d.objsubid from y join pg_depend d on d.refclassid = 'pg_type'::regclass
      and d.refobjid in (y.oid, y.typarray) and d.objid not in (y.typarray)),
    cols as (select c.oid, c.relkind, a.attnum, a.attname, a.atttypid, c.oid::regclass::text as named
      from y join pg_attribute a on a.atttypid in (y.oid, y.typarray) and not a.attisdropped and a.attnum > 0
      join pg_class c on c.oid = a.attrelid where c.relkind in ('r', 'p') and not exists (
        select from pg_inherits where inhrelid = c.oid) and c.relnamespace <> coalesce(to_regnamespace('backout')::oid, 0))
  select jsonb_build_object('schema', y.nspname,
    'labels', (select jsonb_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = y.oid),
    'owner', case when pg_get_userbyid(y.typowner) <> current_user then pg_get_userbyid(y.typowner) end,
    'granted', (select coalesce(jsonb_agg(case when x.grantee <> 0 then pg_get_userbyid(x.grantee) end order by x.grantee), '[]')
        from aclexplode(y.typacl) x where x.grantee not in (0, y.typowner)),
    'uses', (select coalesce(jsonb_agg(jsonb_build_object('table', replace(named, '\"', ''), 'column', attname,
          'array', atttypid <> y.oid, 'default', pg_get_expr(d.adbin, d.adrelid),
          'key', (select a.attname from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
             where k.conrelid = cols.oid and k.contype = 'p' and cardinality(k.conkey) = 1)) order by named, cols.attnum), '[]')
        from cols left join pg_attrdef d on d.adrelid = cols.oid and d.adnum = cols.attnum),
    'hinders', (select coalesce(jsonb_agg(distinct what), '[]') from (
        select pg_describe_object(classid, objid, objsubid) as what from made
        where classid <> 'pg_attrdef'::regclass and classid <> 'pg_constraint'::regclass
          and not (classid = 'pg_class'::regclass and objid in (select oid from pg_class where relkind in ('r', 'p', 'i', 'I')
            and relnamespace <> coalesce(to_regnamespace('backout')::oid, 0)))
        union select pg_describe_object(d.classid, d.objid, d.objsubid)
        from cols join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = cols.oid and d.refobjsubid = cols.attnum
        where d.classid <> 'pg_attrdef'::regclass
          and not (d.classid = 'pg_class'::regclass and exists (select from pg_index i where i.indexrelid = d.objid
            and i.indexprs is null and i.indpred is null))
          and not (d.classid = 'pg_class'::regclass and d.objid = cols.oid)
          and not (d.classid = 'pg_constraint'::regclass and exists (select from pg_constraint k where k.oid = d.objid
            and k.contype in ('p', 'u', 'f', 'n')))) h)
  )::text as found from y";
