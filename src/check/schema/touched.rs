//! The catalog of a few objects and of what belongs to them: what a statement on them may have changed.
//!
//! Owns which objects belong together and how two states are told apart, object by object. Read-only; takes no lock
//! that anybody waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::postgres::objects as of_postgres;
use super::{catalog, quoted};
use crate::check::sql::{Asked, NoAnswer};
use crate::runbook::template::as_text;
use crate::sql::{Dialect, Fact, ObjectKind, Statement};
use crate::target::db::{Handle, Row, text_bind};

/// What statements name: where to look, before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Tables, views, sequences and indexes.
    pub relations: Vec<String>,
    pub types: Vec<String>,
    pub functions: Vec<String>,
    /// A statement touches what it does not name, or what hangs on no relation: everything is looked at.
    #[serde(default)]
    pub whole: bool,
    /// Tables and columns that the statements drop, as a reading names them: one that is there again is another one.
    #[serde(default)]
    pub dropped: Vec<String>,
}

/// Objects by name, each with its definition.
pub type Objects = BTreeMap<String, String>;

/// Of a table, a column, a sequence: which one it is. Two of one name do not hold the same rows.
const SELF: &str = "values ";
const ORDER: &str = "order ";

/// Whether it says which object it is and where it stands, not what it is.
pub(super) fn is_own(object: &str) -> bool {
    object.starts_with(SELF) || object.starts_with(ORDER)
}

impl Scope {
    pub fn of<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> Self {
        let mut scope = Self::default();
        for statement in statements {
            scope.whole |= statement.objects.is_empty();
            for object in &statement.objects {
                if let Some(table) = &object.table {
                    scope.relations.push(table.clone());
                }
                match (object.kind, &object.table) {
                    (ObjectKind::Type, _) => scope.types.push(object.name.clone()),
                    (ObjectKind::Function | ObjectKind::Procedure, _) => scope.functions.push(object.name.clone()),
                    (ObjectKind::Index, _) => scope.relations.push(object.name.clone()),
                    (_, Some(_)) => {}
                    (
                        ObjectKind::Table
                        | ObjectKind::View
                        | ObjectKind::MaterializedView
                        | ObjectKind::Sequence
                        | ObjectKind::Trigger,
                        None,
                    ) => scope.relations.push(object.name.clone()),
                    _ => scope.whole = true,
                }
            }
            scope.dropped.extend(dropped(statement));
        }
        for list in [&mut scope.relations, &mut scope.types, &mut scope.functions] {
            list.sort();
            list.dedup();
        }
        scope
    }
}

/// What a statement drops that held rows or values.
fn dropped(statement: &Statement) -> impl Iterator<Item = String> {
    let says = |what: &str| statement.kind.contains(what) || statement.parts.iter().any(|part| part.contains(what));
    let (columns, tables) = (says("DROP COLUMN"), says("DROP TABLE"));
    statement.done.iter().filter_map(move |fact| match fact {
        Fact::Column { table, column, present: false } if columns => Some(format!("column {}.{column}", bare(table))),
        Fact::Table { name, present: false } if tables => Some(format!("table {}", bare(name))),
        _ => None,
    })
}

/// What a scope stands for on a connection now, where a dialect has numbers for its objects.
#[derive(Debug, Clone)]
pub enum Reach {
    Ids(of_postgres::Ids),
    Names,
}

/// What hangs on the names of a scope now.
///
/// # Errors
/// The server's words.
pub async fn reach(scope: &Scope, handle: &mut Handle) -> Asked<Reach> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Ok(Reach::Names);
    }
    let ids = if scope.whole { of_postgres::every(handle).await } else { of_postgres::reached(scope, handle).await };
    ids.map(Reach::Ids)
}

/// The objects as this connection sees them now.
///
/// # Errors
/// A target without a catalog, and the server's words.
pub async fn read(scope: &Scope, handle: &mut Handle) -> Asked<Objects> {
    if let Reach::Ids(ids) = reach(scope, handle).await? {
        let mut objects = of_postgres::read(&ids, handle).await?;
        objects.extend(of_postgres::selves(&ids, handle).await?);
        if scope.whole {
            objects.extend(of_postgres::rest(handle).await?);
        }
        return Ok(objects);
    }
    let own = match handle.dialect() {
        Some(Dialect::Mysql) => handle.one("select database() as own", vec![]).await?.map(|name| as_text(&name)),
        _ => Some("main".to_owned()),
    };
    let elsewhere = |name: &&String| name.split_once('.').is_some_and(|(schema, _)| Some(schema) != own.as_deref());
    if let Some(name) = scope.relations.iter().find(elsewhere) {
        return Err(NoAnswer::Unknown(format!("{name} is in another database, whose catalog is not read")));
    }
    let mut all = catalog::all(handle).await?;
    all.retain(|object, is| scope.whole || belongs(object, is, scope));
    Ok(all)
}

/// The file of each table in reach, by object id: another file means that the table was rewritten.
///
/// # Errors
/// The server's words.
pub async fn files(reach: &Reach, handle: &mut Handle) -> Asked<BTreeMap<String, (String, String)>> {
    let Reach::Ids(ids) = reach else { return Ok(BTreeMap::new()) };
    let sql = "select c.oid::text as oid, c.oid::regclass::text as name,
         coalesce(pg_relation_filenode(c.oid)::text, '') as file from pg_class c
         where c.oid = any($1::text::oid[]) and c.relkind in ('r', 'm')";
    let rows = handle.read(sql, vec![text_bind(ids.relations.as_str())]).await?;
    let text = |row: &Row, name: &str| row.get(name).map(as_text).unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, "oid"), (text(row, "name"), text(row, "file")))).collect())
}

/// What is other now than it was, an object a line; empty: exactly the same.
pub fn differences(was: &Objects, now: &Objects) -> Vec<String> {
    let mut told = Vec::new();
    for (object, definition) in was {
        match now.get(object) {
            // That it is gone is told of the thing itself.
            None if is_own(object) => {}
            None => told.push(format!("{object} is gone (it was: {definition})")),
            Some(other) if other != definition => told.extend(changed(object, definition, other)),
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|(object, _)| !was.contains_key(*object) && !is_own(object));
    told.extend(new.map(|(object, definition)| format!("{object} is there, and was not: {definition}")));
    told
}

fn changed(object: &str, was: &str, is: &str) -> Option<String> {
    if let Some(name) = object.strip_prefix(SELF) {
        return Some(format!("{name} is {ANOTHER}"));
    }
    if let Some(table) = object.strip_prefix(ORDER) {
        let sorted = |list: &str| {
            let mut columns: Vec<String> = list.split(", ").map(str::to_owned).collect();
            columns.sort();
            columns
        };
        // Another set of columns is told column by column.
        return (sorted(was) == sorted(is))
            .then(|| format!("the columns of {table} come in another order: {is} (they came: {was})"));
    }
    Some(format!("{object} is {is} (it was: {was})"))
}

const ANOTHER: &str = "another one of the same name: what it held is gone, unless a statement put it back";

/// What was dropped and is there again, of a dialect that does not tell by itself that it is another one.
pub fn another(scope: &Scope, was: &Objects, now: &Objects) -> Vec<String> {
    let told = |object: &String| {
        let (kind, name) = object.split_once(' ')?;
        let itself = now.keys().find(|key| key.eq_ignore_ascii_case(object))?;
        let numbered = now.keys().any(|key| key.strip_prefix(SELF).is_some_and(|key| key.ends_with(name)));
        (was.contains_key(itself) && !numbered).then(|| format!("{kind} {name} is {ANOTHER}"))
    };
    scope.dropped.iter().filter_map(told).collect()
}

/// Of tables what belongs to those in scope; of views, routines and events all, for these catalogs do not tell what they
/// depend on; of constraints also those that point to them.
fn belongs(object: &str, is: &str, scope: &Scope) -> bool {
    let Some((kind, name)) = object.split_once(' ') else { return true };
    let named = |part: &str| scope.relations.iter().any(|relation| bare(relation).eq_ignore_ascii_case(part));
    let points = |relation: &String| {
        let is = is.to_ascii_lowercase();
        let name = bare(relation).to_ascii_lowercase();
        is.contains("references") && is.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
    };
    matches!(kind, "view" | "trigger" | "procedure" | "function" | "event")
        || name.split(['.', ' ']).any(named)
        || (matches!(kind, "constraint" | "column") && scope.relations.iter().any(points))
}

/// A name without its schema and, of a function, its arguments.
pub(super) fn bare(name: &str) -> String {
    let name = name.split('(').next().unwrap_or(name);
    name.rsplit('.').next().unwrap_or(name).trim().to_owned()
}

/// Each as the server reads it, as a list for a bind.
pub(super) fn each(names: &[String]) -> String {
    serde_json::json!(names.iter().map(|name| quoted(name)).collect::<Vec<_>>()).to_string()
}
