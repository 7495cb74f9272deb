//! The vocabulary: what can be said about a statement. Owns no rule of any dialect.

use std::fmt;

use super::fact::Fact;

/// What a statement can do at worst, rising. `max` raises and nothing lowers.
///
/// The order is by how far an effect escapes: nothing; the session; rows, which a rollback or a before-image brings
/// back; the transaction, on which every other safety stands; things outside any transaction (locks, maintenance, other
/// sessions); the schema; data or objects that nothing brings back, and everything that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Read,
    Session,
    Write,
    Transaction,
    Utility,
    Ddl,
    Irreversible,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Read => "reads",
            Class::Session => "changes the session",
            Class::Write => "changes rows",
            Class::Transaction => "controls the transaction",
            Class::Utility => "acts outside the transaction",
            Class::Ddl => "changes the schema",
            Class::Irreversible => "cannot be taken back",
        })
    }
}

/// All that is known of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub class: Class,
    /// In words, as in the manual: `ALTER TABLE … RENAME COLUMN`.
    pub kind: &'static str,
    /// Every object named; the first is the one a gate's token names.
    pub objects: Vec<Object>,
    /// The forms that make it up, where there are several: the actions of an `ALTER TABLE`. Empty: `kind` alone.
    pub parts: Vec<&'static str>,
    /// Every lock on a table, view, index or sequence that was there before.
    pub locks: Vec<Held>,
    /// The strongest of them; `None` when nothing is locked or nothing is known.
    pub lock: Option<Lock>,
    pub cost: Cost,
    /// May stand in a transaction and is undone by its rollback.
    pub transactional: bool,
    pub reverse: Reverse,
    pub old_code: OldCode,
    /// All hold once the statement has been applied, none of them before; empty when the catalog cannot tell.
    pub done: Vec<Fact>,
    /// Functions called that are not on the list of harmless built-ins: their bodies are not known here.
    pub calls: Vec<String>,
}

impl Statement {
    /// A statement of which nothing is known but its class and name: every other field at its most careful.
    pub(super) fn new(class: Class, kind: &'static str) -> Statement {
        Statement {
            class,
            kind,
            objects: Vec::new(),
            parts: Vec::new(),
            locks: Vec::new(),
            lock: None,
            cost: Cost::Unknown,
            transactional: false,
            reverse: Reverse::None { because: "no reverse is known for this statement".to_owned() },
            old_code: OldCode::unknown(),
            done: Vec::new(),
            calls: Vec::new(),
        }
    }

    pub(super) fn unknown(because: String) -> Statement {
        Statement { reverse: Reverse::None { because }, ..Statement::new(Class::Irreversible, "unknown statement") }
    }

    /// Raises the class, never lowers it.
    pub(super) fn raise(&mut self, to: Class) {
        self.class = self.class.max(to);
    }

    /// The object a gate's token names.
    pub fn object(&self) -> Option<&Object> {
        self.objects.first()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    Table,
    Column,
    Type,
    Index,
    View,
    MaterializedView,
    Constraint,
    Function,
    Procedure,
    Trigger,
    Schema,
    Sequence,
    Database,
    Role,
    Extension,
    Other,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectKind::Table => "table",
            ObjectKind::Column => "column",
            ObjectKind::Type => "type",
            ObjectKind::Index => "index",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::Constraint => "constraint",
            ObjectKind::Function => "function",
            ObjectKind::Procedure => "procedure",
            ObjectKind::Trigger => "trigger",
            ObjectKind::Schema => "schema",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Database => "database",
            ObjectKind::Role => "role",
            ObjectKind::Extension => "extension",
            ObjectKind::Other => "object",
        })
    }
}

/// A named thing in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    pub kind: ObjectKind,
    pub name: String,
    /// The table that a column, constraint, index or trigger belongs to, where the statement says so.
    pub table: Option<String>,
}

impl Object {
    pub(super) fn new(kind: ObjectKind, name: impl Into<String>) -> Object {
        Object { kind, name: name.into(), table: None }
    }

    pub(super) fn of(kind: ObjectKind, table: &str, name: impl Into<String>) -> Object {
        Object { kind, name: name.into(), table: Some(table.to_owned()) }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) if self.kind == ObjectKind::Column => {
                write!(f, "column {table}.{}", self.name)
            }
            Some(table) => write!(f, "{} {} on {table}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What others cannot do while a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Blocks {
    Nothing,
    SchemaChanges,
    Writes,
    ReadsAndWrites,
}

/// A table lock by the server's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lock {
    pub mode: &'static str,
    pub blocks: Blocks,
}

impl Lock {
    pub const ACCESS_SHARE: Lock = Lock { mode: "ACCESS SHARE", blocks: Blocks::SchemaChanges };
    pub const ROW_SHARE: Lock = Lock { mode: "ROW SHARE", blocks: Blocks::SchemaChanges };
    pub const ROW_EXCLUSIVE: Lock = Lock { mode: "ROW EXCLUSIVE", blocks: Blocks::SchemaChanges };
    pub const SHARE_UPDATE_EXCLUSIVE: Lock = Lock { mode: "SHARE UPDATE EXCLUSIVE", blocks: Blocks::SchemaChanges };
    pub const SHARE: Lock = Lock { mode: "SHARE", blocks: Blocks::Writes };
    pub const SHARE_ROW_EXCLUSIVE: Lock = Lock { mode: "SHARE ROW EXCLUSIVE", blocks: Blocks::Writes };
    pub const EXCLUSIVE: Lock = Lock { mode: "EXCLUSIVE", blocks: Blocks::Writes };
    pub const ACCESS_EXCLUSIVE: Lock = Lock { mode: "ACCESS EXCLUSIVE", blocks: Blocks::ReadsAndWrites };
    /// SQLite has one writer for the whole file; with WAL the readers go on.
    pub const DATABASE_WRITE: Lock = Lock { mode: "database write", blocks: Blocks::Writes };
    /// MySQL and MariaDB: an exclusive metadata lock at the start and the end, whatever the algorithm.
    pub const METADATA: Lock = Lock { mode: "exclusive metadata", blocks: Blocks::ReadsAndWrites };

    /// MySQL and MariaDB: held to the end of the transaction by every statement on rows.
    pub const SHARED_METADATA: Lock = Lock { mode: "shared metadata", blocks: Blocks::SchemaChanges };

    /// Rises with what conflicts; of two locks on one thing the stronger counts.
    pub(super) fn strength(&self) -> u8 {
        let modes = [
            Lock::ACCESS_SHARE,
            Lock::SHARED_METADATA,
            Lock::ROW_SHARE,
            Lock::ROW_EXCLUSIVE,
            Lock::SHARE_UPDATE_EXCLUSIVE,
            Lock::SHARE,
            Lock::SHARE_ROW_EXCLUSIVE,
            Lock::DATABASE_WRITE,
            Lock::EXCLUSIVE,
            Lock::METADATA,
        ];
        // ACCESS EXCLUSIVE is above all in the list.
        modes.iter().position(|lock| lock == self).map_or(u8::MAX, |at| at as u8)
    }

    /// `ACCESS EXCLUSIVE lock: blocks reads, writes and schema changes`.
    pub fn words(&self) -> String {
        let blocks = match self.blocks {
            Blocks::Nothing => "blocks nothing",
            Blocks::SchemaChanges => "blocks schema changes, not reads or writes",
            Blocks::Writes => "blocks writes and schema changes, not reads",
            Blocks::ReadsAndWrites => "blocks reads, writes and schema changes",
        };
        format!("{} lock: {blocks}", self.mode)
    }
}

/// What a lock is on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Object(Object),
    /// In words: the statement does not name it.
    Unnamed(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Object(object) => object.fmt(f),
            Place::Unnamed(what) => f.write_str(what),
        }
    }
}

/// A lock and what it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub on: Place,
    pub lock: Lock,
}

/// How the time under the lock grows, rising by what to expect at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cost {
    /// Milliseconds whatever the size.
    CatalogOnly,
    /// Reads the whole table.
    Scan,
    IndexBuild,
    /// By the rows it meets, or not known.
    Unknown,
    /// Writes the whole table and its indexes anew.
    Rewrite,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cost::CatalogOnly => "changes the catalog only",
            Cost::Scan => "scans the table",
            Cost::Rewrite => "rewrites the table",
            Cost::IndexBuild => "builds an index",
            Cost::Unknown => "cost not known",
        })
    }
}

/// How a statement is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverse {
    /// This statement brings back exactly what was.
    Exact(String),
    /// Not without something saved beforehand; `sql` is the statement for the part that needs nothing.
    NeedsSaved {
        what: String,
        sql: Option<String>,
    },
    None {
        because: String,
    },
}

/// Nothing is to be saved, and yet there is something to say.
const ALONE: &str = "nothing, but ";

impl Reverse {
    /// What the statement to run does not do by itself, in words.
    pub fn limit(&self) -> Option<String> {
        let Self::NeedsSaved { what, sql: Some(_) } = self else { return None };
        Some(what.strip_prefix(ALONE).map_or_else(|| format!("NOT brought back: {what}"), str::to_owned))
    }

    /// Why there is no statement to run, in words.
    pub fn cannot(&self) -> Option<String> {
        match self {
            Self::Exact(_) | Self::NeedsSaved { sql: Some(_), .. } => None,
            Self::NeedsSaved { what, sql: None } => {
                Some(what.strip_prefix(ALONE).map_or_else(|| format!("it needs {what}"), str::to_owned))
            }
            Self::None { because } => Some(because.clone()),
        }
    }

    /// The statement to run, where there is one.
    pub fn sql(&self) -> Option<&str> {
        match self {
            Reverse::Exact(sql) => Some(sql),
            Reverse::NeedsSaved { sql, .. } => sql.as_deref(),
            Reverse::None { .. } => None,
        }
    }
}

/// What code written for the schema before the statement sees after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldCode {
    pub reads_broken: bool,
    pub writes_broken: bool,
    pub because: String,
}

impl OldCode {
    pub(super) fn fine(because: &str) -> OldCode {
        OldCode { reads_broken: false, writes_broken: false, because: because.to_owned() }
    }

    pub(super) fn reads(because: impl Into<String>) -> OldCode {
        OldCode { reads_broken: true, writes_broken: false, because: because.into() }
    }

    pub(super) fn writes(because: impl Into<String>) -> OldCode {
        OldCode { reads_broken: false, writes_broken: true, because: because.into() }
    }

    pub(super) fn both(because: impl Into<String>) -> OldCode {
        OldCode { reads_broken: true, writes_broken: true, because: because.into() }
    }

    /// Not known counts as broken.
    pub(super) fn unknown() -> OldCode {
        OldCode::both("what older code sees is not known for this statement")
    }

    pub(super) fn and(self, other: OldCode) -> OldCode {
        let because = match (self.breaks(), other.breaks()) {
            (true, true) if self.because != other.because => {
                format!("{}; {}", self.because, other.because)
            }
            (false, true) => other.because,
            _ => self.because,
        };
        OldCode {
            reads_broken: self.reads_broken || other.reads_broken,
            writes_broken: self.writes_broken || other.writes_broken,
            because,
        }
    }

    pub fn breaks(&self) -> bool {
        self.reads_broken || self.writes_broken
    }
}

impl fmt::Display for OldCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.reads_broken, self.writes_broken) {
            (true, true) => "reads and writes of older code break",
            (true, false) => "reads of older code break",
            (false, true) => "writes of older code break",
            (false, false) => "older code goes on",
        };
        write!(f, "{what}: {}", self.because)
    }
}
