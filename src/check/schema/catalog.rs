//! The text of a whole catalog: a fingerprint that is kept, compared, and told apart in words.
//!
//! One object a line, `KIND NAME: what it is`, sorted. Column numbers are no part of it: a column that was dropped and
//! added again is the same column.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::sessions::fits;
use crate::check::sql::{Asked, NoAnswer};
use crate::check::{Answer, Context};
use crate::runbook::expect::Verdict;
use crate::sql::Dialect;
use crate::target::db::Handle;
use crate::text::in_one_line;

/// Differences that are said one by one.
const SAID: usize = 12;

/// The catalog as text: two catalogs are the same when their texts are.
pub async fn catalog(handle: &mut Handle) -> Asked<Vec<String>> {
    let sql = match handle.dialect() {
        Some(Dialect::Postgres) => CATALOG,
        Some(Dialect::Sqlite) => SQLITE,
        Some(Dialect::Mysql) => super::mysql::CATALOG,
        _ => return Err(NoAnswer::Unknown("this target has no catalog".to_owned())),
    };
    let rows = handle.read(sql, vec![]).await?;
    let lines = rows.iter().filter_map(|row| row.get("line")).map(crate::runbook::template::as_text);
    Ok(lines.map(|line| in_one_line(&line).into_string()).collect())
}

/// Whether the catalog is as the kept one was, but for what is left out.
pub(super) async fn like(
    fingerprint: &std::path::Path,
    except: &[String],
    handle: &mut Handle,
    ctx: &Context,
) -> Answer {
    let name = fingerprint.display();
    let kept = match tokio::fs::read_to_string(ctx.runbook.base.join(fingerprint)).await {
        Ok(kept) if kept.trim().is_empty() => {
            return Answer::unknown(format!(
                "{name} is empty: `backout doctor RUNBOOK --fingerprint TARGET` prints one"
            ));
        }
        Ok(kept) => kept,
        Err(error) => return Answer::unknown(format!("{name} cannot be read: {error}")),
    };
    let now = match catalog(handle).await {
        Ok(now) => now,
        Err(none) => return Answer::unknown(none.words()),
    };
    let kept: Vec<String> = kept.lines().map(str::to_owned).collect();
    let found = differences(&kept, &now, except);
    Answer {
        verdict: if found.is_empty() { Verdict::Pass } else { Verdict::Fail },
        value: Some(Value::Bool(found.is_empty())),
        words: (!found.is_empty()).then(|| said(&found)),
        took_ms: 0,
    }
}

/// The first differences, and how many more there are.
pub fn said(found: &[String]) -> String {
    let first = found.iter().take(SAID).cloned().collect::<Vec<_>>().join("; ");
    match found.len().saturating_sub(SAID) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// What one catalog has and the other has not, object by object, in words.
pub fn differences(before: &[String], now: &[String], except: &[String]) -> Vec<String> {
    let objects = |lines: &[String]| -> BTreeMap<String, String> {
        let parted = lines.iter().filter(|line| !line.is_empty()).map(|line| match line.split_once(": ") {
            Some((object, is)) => (object.to_owned(), is.to_owned()),
            None => (line.trim_end_matches(':').to_owned(), String::new()),
        });
        parted.filter(|(object, _)| !left_out(object, except)).collect()
    };
    let (before, now) = (objects(before), objects(now));
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    all.into_iter()
        .filter_map(|object| match (before.get(object), now.get(object)) {
            (None, Some(_)) => Some(format!("{object} is there and was not")),
            (Some(_), None) => Some(format!("{object} was there and is not")),
            (Some(was), Some(is)) if was != is => Some(changed(object, was, is)),
            _ => None,
        })
        .collect()
}

/// What an operator looks for first has words of its own.
fn changed(object: &str, was: &str, is: &str) -> String {
    for (mark, words, other) in [
        (" (not valid)", "is not valid", "is valid and was not"),
        (" NOT VALID", "is not validated", "is validated and was not"),
        (" (disabled)", "is disabled", "is enabled and was not"),
    ] {
        if is.strip_suffix(mark) == Some(was) {
            return format!("{object} {words}");
        }
        if was.strip_suffix(mark) == Some(is) {
            return format!("{object} {other}");
        }
    }
    format!("{object} is {is}, and was {was}")
}

/// `column orders.note` is left out by `orders.note`, by `orders` and by `ord*`.
fn left_out(object: &str, except: &[String]) -> bool {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    except.iter().any(|glob| fits(glob, name) || fits(&format!("{glob}.*"), name))
}

const SQLITE: &str = "select line from (
  select m.type || ' ' || case when m.type in ('table', 'view') then '' else m.tbl_name || '.' end || m.name || ': '
    || case m.type when 'table' then 'table' else coalesce(m.sql, 'made by its table') end as line
  from sqlite_master m where m.name not like 'sqlite_%' and m.name not like 'backout\\_%' escape '\\'
  union all
  select 'column ' || m.name || '.' || c.name || ': ' || c.type || case when c.\"notnull\" then ' not null' else '' end
    || coalesce(' default ' || c.dflt_value, '') || case when c.pk then ' primary key ' || c.pk else '' end
  from sqlite_master m join pragma_table_xinfo(m.name) c
  where m.type = 'table' and m.name not like 'sqlite_%' and m.name not like 'backout\\_%' escape '\\'
) order by line";

const CATALOG: &str = "with spaces as (
  select oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'backout')
), tables as (
  select c.*, c.oid::regclass::text as name from pg_class c join spaces n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
)
select line from (
  select case t.relkind when 'v' then 'view ' when 'm' then 'view ' else 'table ' end || t.name || ': '
    || case when t.relkind in ('v', 'm') then regexp_replace(pg_get_viewdef(t.oid), '\\s+', ' ', 'g') else 'table' end
    || case when t.relpersistence = 'u' then ', unlogged' else '' end
    || case when t.relrowsecurity then ', row security' else '' end as line
  from tables t
  union all
  select 'column ' || t.name || '.' || a.attname || ': ' || format_type(a.atttypid, a.atttypmod)
    || case when a.attnotnull then ' not null' else '' end
    || case a.attidentity when '' then '' else ' identity' end
    || coalesce(case a.attgenerated when '' then ' default ' else ' generated ' end || pg_get_expr(d.adbin, d.adrelid), '')
  from tables t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
  union all
  select 'index ' || t.name || '.' || c.relname || ': ' || pg_get_indexdef(i.indexrelid)
    || case when i.indisvalid then '' else ' (not valid)' end
  from pg_index i join pg_class c on c.oid = i.indexrelid join tables t on t.oid = i.indrelid
  union all
  select 'constraint ' || t.name || '.' || c.conname || ': ' || pg_get_constraintdef(c.oid)
  from pg_constraint c join tables t on t.oid = c.conrelid where c.contype <> 'n'
  union all
  select 'trigger ' || t.name || '.' || g.tgname || ': ' || pg_get_triggerdef(g.oid)
    || case when g.tgenabled in ('O', 'A') then '' else ' (disabled)' end
  from pg_trigger g join tables t on t.oid = g.tgrelid where not g.tgisinternal
  union all
  select 'policy ' || t.name || '.' || p.polname || ': ' || p.polcmd::text
    || case when p.polpermissive then '' else ' restrictive' end
    || ' to ' || array_to_string(array(select case r when 0 then 'public' else pg_get_userbyid(r) end
         from unnest(p.polroles) r order by 1), ', ')
    || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '')
    || coalesce(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
  from pg_policy p join tables t on t.oid = p.polrelid
  union all
  select 'grant ' || t.name || ' to ' || case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end || ': '
    || string_agg(g.privilege_type, ', ' order by g.privilege_type)
  from tables t cross join aclexplode(t.relacl) g where g.grantee <> t.relowner group by t.name, g.grantee
  union all
  select 'grant ' || t.name || '.' || a.attname || ' to ' || case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end
    || ': ' || string_agg(g.privilege_type, ', ' order by g.privilege_type)
  from tables t join pg_attribute a on a.attrelid = t.oid and not a.attisdropped cross join aclexplode(a.attacl) g
  where g.grantee <> t.relowner group by t.name, a.attname, g.grantee
  union all
  select 'enum ' || t.oid::regtype || ': ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
  from pg_enum e join pg_type t on t.oid = e.enumtypid join spaces n on n.oid = t.typnamespace group by t.oid
  union all
  select 'function ' || p.oid::regprocedure || ': ' || l.lanname || ' returns ' || coalesce(pg_get_function_result(p.oid), 'nothing')
    || ', body ' || encode(sha256(convert_to(case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) else p.prosrc end, 'UTF8')), 'hex')
  from pg_proc p join spaces n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
  where not exists (select 1 from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
) catalog order by line collate \"C\"";
