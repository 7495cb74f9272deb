//! Facts of a catalog: is that column there, is that index valid.
//!
//! Owns how each fact is read on each dialect, and the text of a whole catalog. Never guesses: what cannot be read is
//! unknown, and so is a fact that a dialect does not have.

use serde_json::Value;

use crate::run::record::{Found, Position};
use crate::runbook::expect::Verdict;
use crate::sql::{Dialect, Fact};
use crate::target::db::{Handle, SqlError, text_bind};

use super::sql::{Asked, NoAnswer, Where};
use super::{Answer, Context};

/// All facts together: passes when every one holds; the words name those that do not.
pub async fn judged(facts: &[Fact], handle: &mut Handle, _place: Where) -> Answer {
    let mut red = Vec::new();
    for fact in facts {
        match holds_on(fact, handle).await {
            Ok(true) => {}
            Ok(false) => red.push(fact.not_done().to_string()),
            Err(none) => return Answer::unknown(none.words()),
        }
    }
    Answer {
        verdict: if red.is_empty() { Verdict::Pass } else { Verdict::Fail },
        value: Some(Value::Bool(red.is_empty())),
        words: (!red.is_empty()).then(|| red.join("; ")),
        took_ms: 0,
    }
}

/// Whether a fact holds on a target now; `None` where that cannot be told.
pub async fn holds(fact: &Fact, target: &str, ctx: &Context) -> Option<bool> {
    let mut handle = ctx.targets.monitor(target).await.ok()?;
    holds_on(fact, &mut handle).await.ok()
}

/// Whether one fact holds now, as this connection sees it.
pub async fn holds_on(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    match handle.dialect() {
        Some(Dialect::Postgres) => postgres(fact, handle).await,
        Some(Dialect::Sqlite) => sqlite(fact, handle).await,
        _ => Err(NoAnswer::Unknown("the catalog of this target cannot be read".to_owned())),
    }
}

/// `schema.table` and names with capitals: each part is quoted, so that the server reads what the parser read.
pub fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
}

async fn there(handle: &mut Handle, sql: &str, binds: &[&str]) -> Result<bool, SqlError> {
    let binds = binds.iter().map(|text| text_bind(*text)).collect();
    let found = handle.one(format!("select exists ({sql}) as found"), binds).await?;
    Ok(match found {
        Some(Value::Bool(found)) => found,
        Some(Value::Number(n)) => n.as_i64() == Some(1),
        _ => false,
    })
}

async fn postgres(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
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
                Some(value) => {
                    // The server writes a literal as 'x'::type, and a number bare.
                    let sql = format!(
                        "{base} and (select regexp_replace(pg_get_expr(d.adbin, d.adrelid), '^''(.*)''::[^'']*$', '\\1')
                         from pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) = $3::text"
                    );
                    there(handle, &sql, &[&quoted(table), name, value]).await?
                }
            };
            (found, *present)
        }
        Fact::EnumValue { type_name, value, present } => (
            there(handle, "select 1 from pg_enum where enumtypid = to_regtype($1::text) and enumlabel = $2::text", &[&quoted(type_name), value]).await?,
            *present,
        ),
        Fact::Index { name, valid, present } => {
            let valid = if *valid { " and i.indisvalid" } else { "" };
            let sql = format!("select 1 from pg_index i where i.indexrelid = to_regclass($1::text){valid}");
            (there(handle, &sql, &[&quoted(name)]).await?, *present)
        }
        Fact::Constraint { table, name, present } => (there(handle, constraint, &[&quoted(table), name]).await?, *present),
        Fact::Validated { table, name, validated } => {
            (there(handle, &format!("{constraint} and c.convalidated"), &[&quoted(table), name]).await?, *validated)
        }
        Fact::Trigger { table, name, present } => (
            there(handle, "select 1 from pg_trigger where tgrelid = to_regclass($1::text) and tgname = $2::text and not tgisinternal", &[&quoted(table), name]).await?,
            *present,
        ),
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

async fn sqlite(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    let object = "select 1 from sqlite_master where type = ? and name = ? collate nocase";
    let column = "select 1 from pragma_table_xinfo(?) c where c.name = ? collate nocase";
    let bare = |name: &str| name.strip_prefix("main.").unwrap_or(name).to_owned();
    let (found, wanted) = match fact {
        Fact::Table { name, present } => (there(handle, object, &["table", &bare(name)]).await?, *present),
        Fact::View { name, present } => (there(handle, object, &["view", &bare(name)]).await?, *present),
        Fact::Trigger { name, present, .. } => (there(handle, object, &["trigger", &bare(name)]).await?, *present),
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
        Fact::Constraint { .. }
        | Fact::Validated { .. }
        | Fact::EnumValue { .. }
        | Fact::Function { .. }
        | Fact::Type { .. }
        | Fact::Schema { .. } => {
            return Err(NoAnswer::Unknown(format!("SQLite's catalog does not tell whether {fact}")));
        }
    };
    Ok(found == wanted)
}

/// Whether statements with these facts are in: all facts hold, none does, or some do. Of one target.
pub async fn position(facts: &[Fact], target: &str, ctx: &Context) -> Found {
    match ctx.targets.monitor(target).await {
        Ok(mut handle) => position_on(facts, &mut handle).await,
        Err(failure) => Found { position: Position::Unknown, because: NoAnswer::from(failure).words() },
    }
}

/// As [`position`], on a connection.
pub async fn position_on(facts: &[Fact], handle: &mut Handle) -> Found {
    if facts.is_empty() {
        let because = "the catalog cannot tell whether it has been applied".to_owned();
        return Found { position: Position::Unknown, because };
    }
    let (mut done, mut open) = (Vec::new(), Vec::new());
    for fact in facts {
        match holds_on(fact, handle).await {
            Ok(true) => done.push(fact.to_string()),
            Ok(false) => open.push(fact.not_done().to_string()),
            Err(none) => return Found { position: Position::Unknown, because: none.words() },
        }
    }
    let (position, because) = match (done.is_empty(), open.is_empty()) {
        (_, true) => (Position::Done, done.join("; ")),
        (true, false) => (Position::NotDone, open.join("; ")),
        (false, false) => (Position::HalfDone, format!("{}; but {}", done.join("; "), open.join("; "))),
    };
    Found { position, because }
}

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
