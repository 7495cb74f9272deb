//! Which relations of PostgreSQL the statements lock: those that they name, and those that are locked with them.
//!
//! Owns the way from a name to what the catalog ties to it. Never leaves out a lock that it cannot follow: what that is
//! on is said in words.

use std::collections::BTreeMap;

use serde_json::json;

use super::lane::{number, text};
use crate::action::ddl::Plan;
use crate::check::schema;
use crate::sql::{Cost, HEIRS, Lock, Object, ObjectKind, Place, Statement};
use crate::target::db::{Handle, Row, text_bind};

/// How a relation comes to be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Name,
    /// The table of an index, the other end of a foreign key.
    Tie,
    /// A partition, or a table that inherits.
    Descent,
}

/// A relation of the catalog, and the locks that the statements take on it.
pub struct Touched {
    pub oid: i64,
    /// As the server writes it here.
    pub name: String,
    /// `r`, `p`, `v`, `m`, `i` …
    pub kind: String,
    pub by: By,
    pub locks: Vec<Lock>,
    /// Its columns that the statements name.
    pub columns: Vec<String>,
}

#[derive(Default)]
pub struct Found {
    pub touched: Vec<Touched>,
    /// What is locked and cannot be told from the catalog, with the lock.
    pub elsewhere: Vec<(&'static str, Lock)>,
    /// Names of what is locked that lead to nothing here.
    pub missing: Vec<String>,
}

/// Names that the catalog knows.
const NAMED: &str = "select n.name, c.oid::bigint as oid, c.oid::regclass::text as shown, c.relkind::text as kind
    from jsonb_array_elements($1::text::jsonb) with ordinality as w(pair, at)
    cross join lateral (select pair->>0 as name, pair->>1 as quoted) n
    join pg_class c on c.oid = to_regclass(n.quoted)
    order by w.at";

/// What hangs together with them, and how: partitions and heirs, and of `$2` the ways that are asked for.
const TIES: &str = "with recursive named as (
      select oid from unnest($1::text::oid[]) oid union select indrelid from pg_index
        where indexrelid = any($1::text::oid[])),
    below as (
      select n.oid as of, h.inhrelid as oid from named n join pg_inherits h on h.inhparent = n.oid
      union select b.of, h.inhrelid from below b join pg_inherits h on h.inhparent = b.oid),
    leads as (
      select n.oid as of, f.conrelid as oid from named n
        join pg_constraint f on f.contype = 'f' and f.confrelid = n.oid where 'leads here' = any($2::text::text[])
      union select l.of, f.conrelid from leads l join pg_constraint f on f.contype = 'f' and f.confrelid = l.oid),
    rest as (
      select n.oid as of, p.partdefid as oid from named n join pg_partitioned_table p on p.partrelid = n.oid
        where p.partdefid <> 0
      union select r.of, h.inhrelid from rest r join pg_inherits h on h.inhparent = r.oid),
    ties as (
      select of, b.oid, case when c.relispartition then 'partition' else 'child' end as how,
        null::name as constraint, null::oid as columns_of, null::smallint[] as columns
        from below b join pg_class c on c.oid = b.oid
      union all select of, oid, 'leads here', null, null, null from leads
      union all select n.oid, f.confrelid, 'points to', f.conname, f.conrelid, f.conkey
        from named n join pg_constraint f on f.contype = 'f' and f.conrelid = n.oid
        where 'points to' = any($2::text::text[])
      union all select n.oid, f.conrelid, 'points here', f.conname, f.confrelid, f.confkey
        from named n join pg_constraint f on f.contype = 'f' and f.confrelid = n.oid
        where 'points here' = any($2::text::text[])
      union all select of, oid, 'default', null, null, null from rest
      union all select n.oid, h.inhparent, 'partition of', null, null, null
        from named n join pg_inherits h on h.inhrelid = n.oid join pg_class c on c.oid = n.oid and c.relispartition
      union all select n.oid, i.indrelid, 'table', null, null, null
        from named n join pg_index i on i.indexrelid = n.oid
      union all select n.oid, i.indexrelid, 'index', null, null, null
        from named n join pg_index i on i.indrelid = n.oid)
    select t.of::bigint as of, t.how, t.oid::bigint as oid, t.oid::regclass::text as shown,
      (select c.relkind::text from pg_class c where c.oid = t.oid) as kind,
      t.constraint, (select jsonb_agg(a.attname) from pg_attribute a
        where a.attrelid = t.columns_of and a.attnum = any(t.columns)) as columns
    from ties t order by t.oid";

pub async fn find(plan: &Plan, handle: &mut Handle) -> Result<Found, String> {
    let mut names = BTreeMap::new();
    for (_, statement) in &plan.statements {
        for (name, _) in locked(statement) {
            let quoted = schema::quoted(&name);
            names.insert(name, quoted);
        }
    }
    let pairs = json!(names.into_iter().collect::<Vec<_>>()).to_string();
    let rows = handle.read(NAMED, vec![text_bind(pairs)]).await.map_err(|error| error.words())?;
    let oids: Vec<_> = rows.iter().map(|row| text(row, "oid")).collect();
    let oids = format!("{{{}}}", oids.join(","));
    let unnamed = plan.statements.iter().flat_map(|(_, statement)| &statement.locks).filter_map(|held| match held.on {
        Place::Unnamed(what) => tie(what).map(|how| format!("\"{how}\"")),
        Place::Object(_) => None,
    });
    let ways = format!("{{{}}}", unnamed.collect::<Vec<_>>().join(","));
    let binds = vec![text_bind(oids), text_bind(ways)];
    let ties = handle.read(TIES, binds).await.map_err(|error| error.words())?;
    let mut found = Found::default();
    let mut names_change = false;
    for (_, statement) in &plan.statements {
        found.take_in(statement, &rows, &ties, names_change);
        // What comes after may be about what is not there yet.
        names_change |= ["CREATE ", "… RENAME TO", "… SET SCHEMA"].iter().any(|form| statement.kind.contains(form));
    }
    for row in &rows {
        let named = found.touched.iter_mut().find(|one| Some(one.oid) == number(row, "oid"));
        named.into_iter().for_each(|one| one.columns.extend(columns(plan, &text(row, "name"))));
    }
    Ok(found)
}

impl Found {
    fn take_in(&mut self, statement: &Statement, rows: &[Row], ties: &[Row], names_change: bool) {
        let of = |oid: Option<i64>| ties.iter().filter(move |tie| number(tie, "of") == oid);
        let mut names = Vec::new();
        for (name, lock) in locked(statement) {
            let Some(row) = rows.iter().find(|row| text(row, "name") == name) else {
                let made = names_change || statement.kind.starts_with("CREATE");
                let news = lock.is_some() && !made && !self.missing.contains(&name);
                self.missing.extend(news.then_some(name));
                continue;
            };
            self.add(row, By::Name, lock);
            for tie in of(number(row, "oid")) {
                let lock = down(statement, &text(tie, "how"));
                lock.into_iter().for_each(|lock| self.add(tie, By::Descent, Some(lock)));
            }
            names.push((name, row));
        }
        for held in &statement.locks {
            let Place::Unnamed(what) = held.on else { continue };
            if what == HEIRS {
                continue;
            }
            // What hangs on a sequence or a type is in no table of ties.
            let tied = names.iter().any(|(_, row)| text(row, "kind") != "S");
            let Some(how) = tie(what).filter(|_| tied) else {
                self.elsewhere.push((what, held.lock));
                continue;
            };
            for (name, row) in &names {
                let meant = |tie: &&Row| text(tie, "how") == how && concerns(statement, name, tie);
                for tie in of(number(row, "oid")).filter(meant) {
                    self.add(tie, By::Tie, Some(held.lock));
                    let below = of(number(tie, "oid")).filter(|tie| down(statement, &text(tie, "how")).is_some());
                    below.for_each(|tie| self.add(tie, By::Descent, Some(held.lock)));
                }
            }
        }
    }

    fn add(&mut self, row: &Row, by: By, lock: Option<Lock>) {
        let Some(oid) = number(row, "oid") else { return };
        match self.touched.iter_mut().find(|one| one.oid == oid) {
            Some(one) => {
                one.locks.extend(lock);
                one.by = if by == By::Name { By::Name } else { one.by };
            }
            None => {
                let (name, kind) = (text(row, "shown"), text(row, "kind"));
                self.touched.push(Touched { oid, name, kind, by, locks: lock.into_iter().collect(), columns: vec![] });
            }
        }
    }
}

/// What a statement names and locks; where its locks are not known, the strongest on all that it touches.
fn locked(statement: &Statement) -> Vec<(String, Option<Lock>)> {
    let relation = |object: &Object| match object.kind {
        ObjectKind::Table
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Index
        | ObjectKind::Sequence => Some(object.name.clone()),
        _ => object.table.clone(),
    };
    let named = statement.locks.iter().filter_map(|held| match &held.on {
        Place::Object(object) => Some((relation(object)?, Some(held.lock))),
        Place::Unnamed(_) => None,
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let known_to_be_none = statement.locks.is_empty() && statement.cost != Cost::Unknown;
    let lock = (!known_to_be_none).then(|| statement.lock.unwrap_or(Lock::ACCESS_EXCLUSIVE));
    statement.objects.iter().filter_map(|object| Some((relation(object)?, lock))).collect()
}

/// By what tie of the catalog a lock without a name is found.
fn tie(what: &str) -> Option<&'static str> {
    Some(match what {
        "the table that a dropped foreign key points to"
        | "the table that a validated foreign key points to"
        | "the tables that its foreign keys point to" => "points to",
        "the tables whose foreign keys point to it" | "everything that hangs on it, columns of other tables too" => {
            "points here"
        }
        "every table whose foreign keys lead to it, which is emptied too" => "leads here",
        "the default partition, where there is one" => "default",
        "the table that it is a partition of" => "partition of",
        "the table of the index" => "table",
        "every index of the table" => "index",
        _ => return None,
    })
}

/// Of a foreign key: whether the statement is about that one.
fn concerns(statement: &Statement, table: &str, tie: &Row) -> bool {
    let of = |kind: ObjectKind| {
        let objects = statement.objects.iter();
        objects.filter(move |object| object.kind == kind && object.table.as_deref() == Some(table))
    };
    let columns = tie.get("columns").and_then(|columns| columns.as_array());
    let constraint = text(tie, "constraint");
    // A key that goes takes with it whatever points to it, whatever that is called.
    let own = of(ObjectKind::Constraint).filter(|_| text(tie, "how") == "points to");
    let mut named = own.chain(of(ObjectKind::Column)).peekable();
    constraint.is_empty()
        || named.peek().is_none()
        || named.any(|object| match object.kind {
            ObjectKind::Constraint => object.name == constraint,
            _ => columns.is_some_and(|columns| columns.iter().any(|column| *column == object.name.as_str())),
        })
}

/// The lock that a statement takes on partitions, or on tables that inherit in the older way.
fn down(statement: &Statement, how: &str) -> Option<Lock> {
    // About rows and indexes, of which such a table has its own: as measured on PostgreSQL 15.
    const APART: [&str; 7] = [
        "ALTER TABLE … ADD FOREIGN KEY",
        "ALTER TABLE … ADD UNIQUE",
        "ALTER TABLE … ADD PRIMARY KEY",
        "ALTER TABLE … ADD EXCLUDE",
        "REINDEX",
        "CREATE INDEX",
        "DROP INDEX",
    ];
    let held = statement.locks.iter().find(|held| held.on == Place::Unnamed(HEIRS))?;
    let apart = |form: &&str| APART.iter().any(|start| form.starts_with(start)) || form.contains("TRIGGER");
    let whole = std::slice::from_ref(&statement.kind);
    let mut forms = if statement.parts.is_empty() { whole } else { statement.parts.as_slice() }.iter();
    match how {
        "partition" => Some(held.lock),
        "child" => (!forms.all(apart)).then_some(held.lock),
        _ => None,
    }
}

fn columns(plan: &Plan, table: &str) -> Vec<String> {
    let objects = plan.statements.iter().flat_map(|(_, statement)| &statement.objects);
    let of = objects.filter(|object| object.kind == ObjectKind::Column && object.table.as_deref() == Some(table));
    let mut names: Vec<String> = of.map(|object| object.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}
