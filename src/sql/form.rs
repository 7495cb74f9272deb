//! The rows of the tables in [`super::postgres`], [`super::mysql`] and [`super::sqlite`]: for each form of a statement,
//! what it locks, how its time grows, whether a transaction can hold it, and how that is known. Owns the way from a
//! statement's forms to its locks; what a statement names, undoes and leaves behind is read from its words elsewhere.

use std::fmt;

use super::Dialect;
use super::statement::{Cost, Held, Lock, Object, ObjectKind, Place, Statement};

/// A server and its version. PostgreSQL by its major number (`15`), MySQL and MariaDB as `major * 10000 + minor * 100 +
/// patch` (`101119`), SQLite as `SQLITE_VERSION_NUMBER` (`3051003`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    Postgres(u32),
    Mysql(u32),
    MariaDb(u32),
    Sqlite(u32),
}

impl Server {
    pub fn dialect(self) -> Dialect {
        match self {
            Server::Postgres(_) => Dialect::Postgres,
            Server::Mysql(_) | Server::MariaDb(_) => Dialect::Mysql,
            Server::Sqlite(_) => Dialect::Sqlite,
        }
    }

    fn version(self) -> u32 {
        match self {
            Server::Postgres(n) | Server::Mysql(n) | Server::MariaDb(n) | Server::Sqlite(n) => n,
        }
    }

    /// Whether the tables were compared with a server of this version.
    fn measured(self) -> bool {
        match self {
            Server::Postgres(major) => major == 15,
            Server::MariaDb(n) => n / 100 == 1011,
            Server::Sqlite(n) => n / 1000 == 3051,
            Server::Mysql(_) => false,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dotted = |n: u32| format!("{}.{}.{}", n / 10_000, n / 100 % 100, n % 100);
        match self {
            Server::Postgres(major) => write!(f, "PostgreSQL {major}"),
            Server::Mysql(n) => write!(f, "MySQL {}", dotted(*n)),
            Server::MariaDb(n) => write!(f, "MariaDB {}", dotted(*n)),
            Server::Sqlite(n) => write!(f, "SQLite {}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000),
        }
    }
}

/// What a lock of a form is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The first table that the statement names.
    Table,
    /// The tables that it names after the first.
    Others,
    /// Every table that it names.
    Tables,
    /// Every view, index or sequence that it names.
    View,
    Index,
    Sequence,
    /// What inherits from the tables that it names: partitions, and heirs of the older kind.
    Heirs,
    /// Something that is locked without being named.
    Unnamed(&'static str),
}

/// The place of [`On::Heirs`], where there are any.
pub const HEIRS: &str = "the partitions and the heirs of its tables";

/// The cheapest way in which MySQL and MariaDB run an `ALTER TABLE`, and what it lets others do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    Instant,
    NoCopy,
    Inplace,
    /// In place, and writes wait for the whole time.
    Locking,
    /// The rows are copied: writes wait for the whole time.
    Copy,
}

impl Algorithm {
    /// As it is asked for: with it, the server refuses at once what would cost more.
    pub fn clause(self) -> &'static str {
        match self {
            Algorithm::Instant => "ALGORITHM=INSTANT",
            Algorithm::NoCopy => "ALGORITHM=NOCOPY",
            Algorithm::Inplace | Algorithm::Locking => "ALGORITHM=INPLACE",
            Algorithm::Copy => "ALGORITHM=COPY",
        }
    }
}

/// One row: what holds for every statement of one form, on some versions of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub kind: &'static str,
    pub locks: &'static [(On, Lock)],
    pub cost: Cost,
    /// May stand in a transaction and goes with its rollback.
    pub transactional: bool,
    pub algorithm: Option<Algorithm>,
    /// Compared with a real server, by a test, whenever the tests run.
    pub measured: bool,
    /// Where it is written, for what was not measured; empty: the manual's page on the statement.
    pub source: &'static str,
    since: u32,
    until: u32,
}

impl Form {
    /// A form of every version, measured, allowed in a transaction.
    pub(super) const fn new(kind: &'static str, locks: &'static [(On, Lock)], cost: Cost) -> Form {
        Form {
            kind,
            locks,
            cost,
            transactional: true,
            algorithm: None,
            measured: true,
            source: "",
            since: 0,
            until: u32::MAX,
        }
    }

    pub(super) const fn outside(self) -> Form {
        Form { transactional: false, ..self }
    }

    pub(super) const fn since(self, since: u32) -> Form {
        Form { since, ..self }
    }

    pub(super) const fn until(self, until: u32) -> Form {
        Form { until, ..self }
    }

    /// Not measured: read in `source`.
    pub(super) const fn read_in(self, source: &'static str) -> Form {
        Form { measured: false, source, ..self }
    }

    pub(super) const fn by(self, algorithm: Algorithm) -> Form {
        Form { algorithm: Some(algorithm), transactional: false, ..self }
    }

    pub fn covers(&self, server: Server) -> bool {
        (self.since..=self.until).contains(&server.version())
    }

    /// How the row is known for that server: `measured on PostgreSQL 15`, or where it was read.
    pub fn evidence(&self, server: Server) -> String {
        if self.measured && server.measured() {
            return format!("measured on {server}");
        }
        let page = self.kind.split(" …").next().unwrap_or(self.kind);
        match self.source {
            "" => format!("not measured on {server}; source: its manual, {page}"),
            source => format!("not measured on {server}; source: {source}"),
        }
    }
}

/// The rows for a kind: those that cover the server, or all where it is not known.
fn rows(dialect: Dialect, server: Option<Server>, kind: &'static str) -> impl Iterator<Item = &'static Form> {
    super::forms(dialect, server)
        .filter(move |form| form.kind == kind && server.is_none_or(|server| form.covers(server)))
}

/// Locks, cost and transaction of a statement from the rows of its parts, each at its most careful. A part without a row
/// locks everything named against everybody, at a cost that is not known.
pub(super) fn settle(dialect: Dialect, server: Option<Server>, statement: &mut Statement) {
    let kinds = if statement.parts.is_empty() { vec![statement.kind] } else { statement.parts.clone() };
    let (mut locks, mut cost, mut transactional) = (Vec::<Held>::new(), None, true);
    for kind in kinds {
        let mut known = false;
        for form in rows(dialect, server, kind) {
            known = true;
            cost = Some(cost.map_or(form.cost, |cost: Cost| cost.max(form.cost)));
            transactional &= form.transactional;
            for (on, lock) in form.locks {
                places(*on, &statement.objects).for_each(|place| add(&mut locks, place, *lock));
            }
        }
        if !known {
            cost = Some(Cost::Unknown.max(cost.unwrap_or(Cost::Unknown)));
            transactional = false;
            let lock = match dialect {
                Dialect::Postgres => Lock::ACCESS_EXCLUSIVE,
                Dialect::Mysql => Lock::METADATA,
                Dialect::Sqlite => Lock::DATABASE_WRITE,
            };
            places(On::Tables, &statement.objects).for_each(|place| add(&mut locks, place, lock));
        }
    }
    statement.lock = locks.iter().map(|held| held.lock).max_by_key(|lock| lock.strength());
    statement.locks = locks;
    statement.cost = cost.unwrap_or(Cost::Unknown);
    statement.transactional = transactional;
}

fn places(on: On, objects: &[Object]) -> Box<dyn Iterator<Item = Place> + '_> {
    let of = move |kinds: &'static [ObjectKind]| {
        objects.iter().filter(move |object| kinds.contains(&object.kind)).cloned().map(Place::Object)
    };
    let tables = of(&[ObjectKind::Table]);
    match on {
        On::Table => Box::new(tables.take(1)),
        On::Others => Box::new(tables.skip(1)),
        On::Tables => Box::new(tables),
        On::View => Box::new(of(&[ObjectKind::View, ObjectKind::MaterializedView])),
        On::Index => Box::new(of(&[ObjectKind::Index])),
        On::Sequence => Box::new(of(&[ObjectKind::Sequence])),
        On::Heirs => Box::new(std::iter::once(Place::Unnamed(HEIRS))),
        On::Unnamed(what) => Box::new(std::iter::once(Place::Unnamed(what))),
    }
}

fn add(locks: &mut Vec<Held>, place: Place, lock: Lock) {
    match locks.iter_mut().find(|held| held.on == place) {
        Some(held) if held.lock.strength() < lock.strength() => held.lock = lock,
        Some(_) => {}
        None => locks.push(Held { on: place, lock }),
    }
}

impl Statement {
    /// As the server of that version does it; without a version a statement is told at its most careful.
    pub fn on(mut self, server: Server) -> Statement {
        if self.class != super::Class::Irreversible || !self.objects.is_empty() {
            settle(server.dialect(), Some(server), &mut self);
        }
        self
    }

    /// How what is said of locks, cost and transaction is known for that server, a line for each form in it.
    pub fn evidence(&self, server: Server) -> Vec<String> {
        let kinds = if self.parts.is_empty() { vec![self.kind] } else { self.parts.clone() };
        let lines = kinds.into_iter().map(|kind| match rows(server.dialect(), Some(server), kind).next() {
            Some(form) => format!("{kind}: {}", form.evidence(server)),
            None => format!("{kind}: nothing is known of it on {server}"),
        });
        lines.collect()
    }

    /// The cheapest algorithm that MySQL or MariaDB can do the whole statement with, where that is known.
    pub fn algorithm(&self, server: Server) -> Option<Algorithm> {
        let kinds = if self.parts.is_empty() { vec![self.kind] } else { self.parts.clone() };
        let ways: Option<Vec<_>> = kinds
            .into_iter()
            .map(|kind| rows(server.dialect(), Some(server), kind).next().and_then(|form| form.algorithm))
            .collect();
        ways?.into_iter().max()
    }
}
