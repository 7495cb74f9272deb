//! Compatibility forms: what keeps both names of a column or a table working while two versions of a program run.
//!
//! Owns which forms there are, what each carries, and when it is refused: a form that could lose a write without a word
//! is never made. Pure: what the catalog holds is given by the caller. Tried on PostgreSQL 15, written for 13 and later.

use serde::Deserialize;

use super::{Dialect, Fact, Statement};
use crate::names;
use crate::text::counted;

mod column;
mod value;
mod view;

pub use value::{Part, TypeFacts, Use, ValueShim, value};

/// A rename, told from the facts that hold once it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    Column { table: String, from: String, to: String },
    Table { from: String, to: String },
}

impl Rename {
    /// `None`: the statement renames neither a column nor a table.
    pub fn of(statement: &Statement) -> Option<Self> {
        match (statement.kind, statement.done.as_slice()) {
            (
                "ALTER TABLE … RENAME COLUMN",
                [Fact::Column { table, column: to, present: true }, Fact::Column { column: from, present: false, .. }],
            ) => Some(Self::Column { table: table.clone(), from: from.clone(), to: to.clone() }),
            (
                "ALTER TABLE … RENAME TO",
                [Fact::Table { name: to, present: true }, Fact::Table { name: from, present: false }],
            ) => Some(Self::Table { from: from.clone(), to: to.clone() }),
            _ => None,
        }
    }

    /// The table as it is called before the rename.
    pub fn table(&self) -> &str {
        match self {
            Self::Column { table, .. } => table,
            Self::Table { from, .. } => from,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A second column, kept equal by a trigger in both directions.
    Column,
    /// A view under the name that is wanted, over the table under another.
    View,
}

impl Form {
    pub fn word(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::View => "view",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Column => "a second column with a trigger",
            Self::View => "a view",
        }
    }
}

/// The forms that a dialect has for a rename.
///
/// # Errors
/// Why it has none.
pub fn forms(dialect: Dialect, rename: &Rename) -> Result<&'static [Form], &'static str> {
    match (dialect, rename) {
        (Dialect::Postgres, Rename::Column { .. }) => Ok(&[Form::Column, Form::View]),
        (Dialect::Postgres, Rename::Table { .. }) => Ok(&[Form::View]),
        (Dialect::Mysql, _) => {
            Err("MySQL and MariaDB commit every statement by itself, so what is written between the column, its \
             filling and its triggers would be lost, and no view there takes an INSERT by two names of one column")
        }
        (Dialect::Sqlite, _) => {
            Err("a trigger of SQLite cannot set the row that is written, and a view of it takes no write without one, \
             so RETURNING, NOT NULL and ON CONFLICT would see one name only")
        }
    }
}

/// What a person can do where there is no form.
pub fn by_hand(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => {
            "by hand, in one session, which its writers and readers wait for: LOCK TABLES t WRITE; ALTER TABLE t ADD COLUMN \
             (nullable); UPDATE t to fill it; CREATE TRIGGER … BEFORE INSERT and … BEFORE UPDATE, each setting the name \
             that was not written from the one that was; UNLOCK TABLES (tried on MariaDB 10.11; a cascade of a foreign \
             key fires no trigger). Else put out a version that reads both names, or end the program that needs the \
             other one and rename"
        }
        Dialect::Sqlite | Dialect::Postgres => {
            "put out a version that reads both names, or end the program that needs the other one and rename"
        }
    }
}

/// The way for both programs to live, where these statements of a step are a rename and the dialect has a form for it.
pub fn instead<'a>(
    dialect: Dialect,
    statements: impl IntoIterator<Item = &'a Statement>,
    step: &str,
) -> Option<String> {
    // A list has a way of its own already.
    let mut statements = statements.into_iter();
    let (statement, None) = (statements.next()?, statements.next()) else { return None };
    let forms = forms(dialect, &Rename::of(statement)?).ok()?;
    let forms: Vec<_> = forms.iter().map(|form| form.words()).collect();
    Some(format!("to keep both names while it lives: `backout draft RUNBOOK --shim {step}` ({})", forms.join(", or ")))
}

/// What the catalog holds of the table that is renamed, or whose column is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Table {
    /// As `pg_class.relkind`: `r`, `p`, `v` …
    pub kind: String,
    /// PostgreSQL's major number.
    pub major: u32,
    pub schema: String,
    /// Counted, up to one more than [`ROWS_AT_ONCE`].
    pub rows: u64,
    /// With its partitions and what is kept out of line, its indexes left out.
    pub bytes: u64,
    /// Where it is another than who asks.
    pub owner: Option<String>,
    pub row_security: bool,
    pub rules: bool,
    /// It is a partition, or inherits.
    pub child: bool,
    /// Others inherit from it without being partitions.
    pub parent: bool,
    pub columns: Vec<Column>,
    /// Columns that say in which partition a row stands.
    pub partition_key: Vec<String>,
    pub grants: Vec<Grant>,
    pub triggers: Vec<Trigger>,
    pub indexes: Vec<Index>,
    pub publications: Vec<String>,
    /// Relations beside it whose names the forms would take.
    pub taken: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Column {
    pub name: String,
    /// As `format_type` has it.
    pub type_name: String,
    /// Quoted, where it is another than that of the type.
    pub collation: Option<String>,
    pub not_null: bool,
    pub default: Option<String>,
    pub generated: bool,
    pub identity: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grant {
    pub right: String,
    /// Of one column, or of the whole table.
    pub column: Option<String>,
    /// `None`: everybody.
    pub role: Option<String>,
    pub grantable: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Trigger {
    pub name: String,
    /// For each row, before it is written.
    pub before: bool,
    /// Its function or its arguments name the column; `None`: they cannot be read.
    pub names_it: Option<bool>,
    /// It is bound to updates of just this column.
    pub of_column: bool,
}

/// An index with the column in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Index {
    pub name: String,
    pub unique: bool,
    pub method: String,
    pub columns: Vec<String>,
    /// Columns and nothing else: no expression, condition, order or operator class of its own.
    pub plain: bool,
}

/// One form, ready to be put into steps. Every list is one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    pub form: Form,
    pub ddl: Vec<String>,
    /// Back to what was before `ddl`.
    pub undo: Vec<String>,
    /// What ends it: just what the rename would have left.
    pub remove: Vec<String>,
    /// The shim again, after `remove`.
    pub restore: Vec<String>,
    /// Rows that say something else under the two names, and every row while the wanted name is not there; still to be
    /// asked once the shim is removed.
    pub drift: String,
    /// What has to be there before `ddl`, where the rows are too many to be written under its lock.
    pub beside: Option<Beside>,
    /// What it costs, and what it cannot carry.
    pub limits: Vec<String>,
}

/// The second column under a name that nobody knows, until it is filled and the server has proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    pub column: String,
    pub ddl: Vec<String>,
    pub undo: Vec<String>,
    /// For psql, to be said again until it fills nothing.
    pub fill: String,
    /// Why it is filled by hand.
    pub why: String,
    /// Built once it is filled, each in a step of its own.
    pub indexes: Vec<String>,
    pub prove: String,
    pub unprove: Vec<String>,
    /// 1 where the column is there under this name or its last.
    pub there: String,
}

/// More than this is not rewritten under a lock that stops every reader.
pub const ROWS_AT_ONCE: u64 = 100_000;
pub const BYTES_AT_ONCE: u64 = 64 * 1024 * 1024;

impl Table {
    fn at_once(&self) -> bool {
        self.rows <= ROWS_AT_ONCE && self.bytes <= BYTES_AT_ONCE
    }

    fn size(&self) -> String {
        let rows = match self.rows > ROWS_AT_ONCE {
            true => format!("more than {ROWS_AT_ONCE} rows"),
            false => counted(self.rows, "row"),
        };
        format!("{rows}, {} MB", self.bytes.div_ceil(1_000_000))
    }
}

/// The forms of a rename for this table, the one first that costs the least now: nothing is copied by a view.
pub fn by_cost(forms: &[Form], table: &Table) -> Vec<Form> {
    let mut forms = forms.to_vec();
    if !table.at_once() {
        forms.reverse();
    }
    forms
}

/// The form for a rename.
///
/// # Errors
/// Every reason why it is refused.
pub fn make(form: Form, rename: &Rename, table: &Table) -> Result<Shim, Vec<String>> {
    let mut refused = Vec::new();
    match table.kind.as_str() {
        "r" | "p" => {}
        "v" | "m" => refused.push(format!("{} is a view, not a table", rename.table())),
        kind => refused.push(format!("{} is no plain table (relkind {kind})", rename.table())),
    }
    if table.schema != "public" && !rename.table().contains('.') {
        refused.push(elsewhere("table", &table.schema));
    }
    match (form, rename) {
        (Form::Column, Rename::Column { table: name, from, to }) => column::make(name, from, to, table, refused),
        (Form::Column, Rename::Table { .. }) => Err(vec!["a table has no second column".to_owned()]),
        (Form::View, rename) => view::make(rename, table, refused),
    }
}

/// A name without a schema is one of `public`, as everywhere here.
fn elsewhere(what: &str, schema: &str) -> String {
    format!("the {what} stands in the schema {schema}: write that before its name")
}

/// A name, quoted part by part, with its schema: what is created goes where the search path of a role says first.
fn quoted(name: &str) -> String {
    let public = if name.contains('.') { "" } else { "\"public\"." };
    let parts = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".");
    format!("{public}{parts}")
}

/// `other` in the schema of `name`.
fn beside(name: &str, other: &str) -> String {
    name.rsplit_once('.').map_or_else(|| other.to_owned(), |(schema, _)| format!("{schema}.{other}"))
}

/// A name without its schema.
fn bare(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, bare)| bare)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Both names in one row as text, whatever the column's type takes for equal. Reads a row as it is: a name that is not
/// there is no error.
fn drift(table: &str, from: &str, to: &str, at_most: &str) -> String {
    let (from, to) = (literal(from), literal(to));
    format!(
        "SELECT count(*) FROM (SELECT to_jsonb(o) AS j FROM {} AS o{at_most}) AS r\nWHERE j -> {from} IS NOT NULL AND j ->> {to} IS DISTINCT FROM j ->> {from}",
        quoted(table)
    )
}

/// `GRANT`s on `on`, those of columns under the name that the column has there.
fn grants<'a>(all: impl IntoIterator<Item = &'a Grant>, on: &str, column: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    for grant in all {
        let role = grant
            .role
            .as_deref()
            .map_or_else(|| "PUBLIC".to_owned(), |role| format!("\"{}\"", role.replace('"', "\"\"")));
        let again = if grant.grantable { " WITH GRANT OPTION" } else { "" };
        let columns = match &grant.column {
            None => vec![String::new()],
            Some(name) => column(name).iter().map(|name| format!(" ({})", quoted_ident(name))).collect(),
        };
        out.extend(
            columns.iter().map(|column| format!("GRANT {}{column} ON {} TO {role}{again}", grant.right, quoted(on))),
        );
    }
    out
}

fn quoted_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn published(table: &Table) -> Option<String> {
    (!table.publications.is_empty()).then(|| {
        format!(
            "publication {} sends the table: a subscriber must have the same names first, or its replication stops",
            table.publications.join(", ")
        )
    })
}

/// A made name in the room that a server gives it.
fn fit(name: String) -> String {
    names::fit(&name, names::PG_NAME_BYTES)
}
