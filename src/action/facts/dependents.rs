//! The touched tables themselves, and what stands on them: what follows a rename, what breaks, what hinders a drop.
//!
//! Owns the reading of the catalog's dependencies. Never looks at an object that the statements do not touch.

use std::collections::BTreeMap;

use serde_json::json;

use super::lane::{Lane, number, text};
use super::touched::{By, Touched};
use super::{Line, line};
use crate::action::ddl::Plan;
use crate::target::db::Row;
use crate::text::counted;

/// Names of one kind that a line lists; the rest is counted.
const LISTED: usize = 4;

type Answer = Result<Vec<Row>, String>;

/// A table with its partitions: in it nothing is kept but them.
const TREE: &str = "with recursive tree as (
      select c.oid as of, c.oid from pg_class c where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'p', 'm')
      union select t.of, h.inhrelid from tree t join pg_inherits h on h.inhparent = t.oid
        join pg_class c on c.oid = h.inhrelid and c.relispartition)";

// What was never analysed has -1 rows, before version 14 none in no pages.
const TABLES: &str = "select t.of::bigint as oid,
      (case when bool_or(c.reltuples < 0 or c.reltuples = 0 and c.relpages = 0 and v.version < 140000) then -1
        else coalesce(sum(c.reltuples), 0) end)::bigint as rows,
      count(*) - 1 as below, (select count(*) from pg_index i where i.indrelid = t.of) as indexes,
      (select string_agg(i.indexrelid::regclass::text, ', ' order by i.indexrelid::regclass::text) from pg_index i
         join pg_class x on x.oid = i.indexrelid and x.relkind = 'i' join tree b on b.of = t.of and b.oid = i.indrelid
         where not (i.indisvalid and i.indisready and i.indislive)) as invalid,
      (select string_agg(i.indexrelid::regclass::text, ', ' order by i.indexrelid::regclass::text) from pg_index i
         join pg_class x on x.oid = i.indexrelid and x.relkind = 'I' join tree b on b.of = t.of and b.oid = i.indrelid
         where not i.indisvalid) as partial
    from tree t left join pg_class c on c.oid = t.oid and c.relkind <> 'p'
    cross join (select current_setting('server_version_num')::int as version) v group by t.of";

// Apart from the others: the size of a table that somebody locks cannot be read.
const SIZES: &str =
    "select of::bigint as oid, pg_size_pretty(sum(pg_total_relation_size(oid))) as size from tree group by of";

pub async fn tables(lane: &mut Lane, oids: &str) -> Answer {
    lane.ask(&format!("{TREE} {TABLES}"), &[oids]).await
}

pub async fn sizes(lane: &mut Lane, oids: &str) -> Answer {
    lane.ask(&format!("{TREE} {SIZES}"), &[oids]).await
}

/// One line a table, and one for what is invalid on it.
pub fn told(touched: &[Touched], tables: Answer, sizes: Answer) -> Vec<Line> {
    let mut lines = Vec::new();
    let rows = match tables {
        Ok(rows) => rows,
        Err(words) => return vec![line("table", format!("cannot be read: {words}"))],
    };
    for row in &rows {
        let Some(one) = touched.iter().find(|one| Some(one.oid) == number(row, "oid")) else { continue };
        let size = match &sizes {
            Ok(sizes) => sizes.iter().find(|size| size.get("oid") == row.get("oid")).map(|size| text(size, "size")),
            Err(words) => Some(format!("size cannot be read ({words})")),
        };
        let rows = match number(row, "rows") {
            Some(rows) if rows >= 0 => format!("about {rows} rows"),
            _ => "never analysed: rows not known".to_owned(),
        };
        let indexes = counted(number(row, "indexes").unwrap_or(0), "index").replace("indexs", "indexes");
        let below = match number(row, "below").unwrap_or(0) {
            0 => String::new(),
            below => format!(" in {}", counted(below, "partition")),
        };
        lines.push(line("table", format!("{}: {}{below}, {rows}, {indexes}", one.name, size.unwrap_or_default())));
        for (which, what) in
            [("invalid", "kept up and not used"), ("partial", "not on every partition, or not valid there")]
        {
            let names = text(row, which);
            if !names.is_empty() {
                lines.push(line("invalid", format!("! {names} on {}: {what}", one.name)));
            }
        }
    }
    lines
}

/// `$1`: pairs of a table and a column's name, or null for the whole table.
const HANGING: &str = "with t as (
      select (p->>0)::oid as rel, a.attnum as att, a.attacl from jsonb_array_elements($1::text::jsonb) p
      left join pg_attribute a on a.attrelid = (p->>0)::oid and a.attname = p->>1 and not a.attisdropped
      where p->>1 is null or a.attnum is not null),
    d as (select distinct t.rel, p.classid, p.objid from t join pg_depend p on p.refclassid = 'pg_class'::regclass
      and p.refobjid = t.rel and (t.att is null or p.refobjsubid = t.att))
    select case v.relkind when 'm' then 'materialized view' else 'view' end as kind, v.oid::regclass::text as name
      from d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
      join pg_class v on v.oid = r.ev_class where v.oid <> d.rel and v.relkind in ('v', 'm')
    union select case when c.contype <> 'f' then 'constraint' when c.conrelid = d.rel then 'foreign key'
        else 'foreign key to it' end, c.conname || ' on ' || c.conrelid::regclass
      from d join pg_constraint c on d.classid = 'pg_constraint'::regclass and c.oid = d.objid where c.conrelid <> 0
    union select 'index', i.indexrelid::regclass::text
      from d join pg_index i on d.classid = 'pg_class'::regclass and i.indexrelid = d.objid
    union select 'generated column', c.adrelid::regclass || '.' || g.attname
      from d join pg_attrdef c on d.classid = 'pg_attrdef'::regclass and c.oid = d.objid
      join pg_attribute g on g.attrelid = c.adrelid and g.attnum = c.adnum where g.attgenerated <> ''
    union select 'trigger', g.tgname || case when g.tgenabled = 'D' then ' (disabled)' else '' end
      from t join pg_trigger g on g.tgrelid = t.rel where not g.tgisinternal
    union select 'policy', y.polname::text from t join pg_policy y on y.polrelid = t.rel
    union select 'grant on the column', pg_catalog.array_to_string(t.attacl, ', ') from t where t.attacl is not null
    union select 'publication', b.pubname::text from t join pg_publication b on b.puballtables or exists
      (select from pg_publication_rel r where r.prpubid = b.oid and r.prrelid = t.rel)
      or exists (select from pg_publication_tables v join pg_namespace n on n.nspname = v.schemaname
        join pg_class c on c.relnamespace = n.oid and c.relname = v.tablename where v.pubname = b.pubname and c.oid = t.rel)
    union select 'partition', h.inhrelid::regclass::text from t join pg_inherits h on h.inhparent = t.rel
    order by 1, 2";

/// What the statements do to what stands on the objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Rename,
    Drop,
    Cascade,
    Retype,
    Else,
}

fn does(plan: &Plan) -> Does {
    let mut does = Does::Else;
    for (_, statement) in &plan.statements {
        let forms: Vec<&str> = statement.parts.iter().copied().chain([statement.kind]).collect();
        let is = |wanted: &str| forms.iter().any(|form| form.contains(wanted));
        if is("CASCADE") {
            return Does::Cascade;
        }
        if is("DROP COLUMN") || is("DROP TABLE") || is("DROP VIEW") || is("DROP MATERIALIZED") {
            does = Does::Drop;
        } else if is("… TYPE") && does == Does::Else {
            does = Does::Retype;
        } else if (is("RENAME COLUMN") || is("RENAME TO")) && does == Does::Else {
            does = Does::Rename;
        }
    }
    does
}

pub async fn hanging(lane: &mut Lane, plan: &Plan, touched: &[Touched]) -> Vec<Line> {
    let pairs: Vec<_> = touched
        .iter()
        .filter(|one| one.by == By::Name)
        .flat_map(|one| match one.columns.as_slice() {
            [] => vec![json!([one.oid, null])],
            columns => columns.iter().map(|column| json!([one.oid, column])).collect(),
        })
        .collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let rows = match lane.ask(HANGING, &[&json!(pairs).to_string()]).await {
        Ok(rows) => rows,
        Err(words) => return vec![line("depends", format!("cannot see what stands on it: {words}"))],
    };
    let does = does(plan);
    let mut by: BTreeMap<&'static str, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for row in &rows {
        let kind = text(row, "kind");
        if let Some(label) = label(does, &kind) {
            by.entry(label).or_default().entry(kind).or_default().push(text(row, "name"));
        }
    }
    by.into_iter().map(|(label, kinds)| line(label, format!("{}{}", said(&kinds), after(label)))).collect()
}

/// What becomes of a thing of this kind; `None` where the statement is nothing to it.
fn label(does: Does, kind: &str) -> Option<&'static str> {
    Some(match (does, kind) {
        (_, "publication") => "publish",
        (Does::Rename, "trigger") => return None,
        (Does::Rename, _) => "follows",
        (Does::Drop, "view" | "materialized view" | "foreign key to it" | "generated column" | "policy") => "hinders",
        (Does::Retype, "view" | "materialized view" | "generated column" | "policy" | "trigger") => "hinders",
        (Does::Cascade, _) => "cascades",
        (Does::Drop, _) => "goes too",
        (Does::Retype, _) => "rebuilt",
        (Does::Else, "view" | "materialized view" | "foreign key to it" | "partition") => "depends",
        (Does::Else, _) => return None,
    })
}

fn after(label: &str) -> &'static str {
    match label {
        "publish" => ": the schema is not replicated, the subscriber wants the same change",
        "hinders" => ": the server refuses the statement while it stands",
        "cascades" => ": dropped with it",
        _ => "",
    }
}

fn said(kinds: &BTreeMap<String, Vec<String>>) -> String {
    let one = |(kind, names): (&String, &Vec<String>)| {
        let more = names.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{kind} {}{more}", names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", "))
    };
    kinds.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The catalog does not look into a body of plpgsql: the name's letters are all there is.
const BODIES: &str = "select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema') and p.prokind <> 'a'
      and exists (select from jsonb_array_elements_text($1::text::jsonb) w(word)
        where strpos(p.prosrc, word) > 0
          and p.prosrc ~ ('(^|[^[:alnum:]_$])' || regexp_replace(word, '[^[:alnum:]_]', '.', 'g') || '($|[^[:alnum:]_$])'))
    order by 1";

pub async fn bodies(lane: &mut Lane, plan: &Plan, touched: &[Touched]) -> Vec<Line> {
    if does(plan) == Does::Else {
        return Vec::new();
    }
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned();
    let mut words: Vec<String> = touched.iter().flat_map(|one| one.columns.clone()).collect();
    if words.is_empty() {
        words = touched.iter().filter(|one| one.by == By::Name && one.kind != "i").map(|one| last(&one.name)).collect();
    }
    if words.is_empty() {
        return Vec::new();
    }
    match lane.ask(BODIES, &[&json!(words).to_string()]).await {
        Ok(rows) if rows.is_empty() => Vec::new(),
        Ok(rows) => {
            let names: Vec<String> = rows.iter().map(|row| text(row, "name")).collect();
            let kinds = BTreeMap::from([("function".to_owned(), names)]);
            vec![line("breaks", format!("{}: names {} in its body", said(&kinds), words.join(", ")))]
        }
        Err(error) => vec![line("breaks", format!("function bodies cannot be read: {error}"))],
    }
}
