//! What is known about a SQL statement before any server sees it: what it can do at worst, which objects it touches,
//! which lock it takes and what that blocks, how it is undone, what code written for the schema before it sees, and
//! which facts of the catalog tell that it has been applied.
//!
//! Pure knowledge: it never connects, never runs anything, and never makes a statement look milder than it is. Three
//! parsers decide whether a text is exactly one statement (PostgreSQL: squawk; MySQL and SQLite: sqlparser); what the
//! statement names, undoes and leaves behind is then read from its words, and what it locks, rewrites and scans stands in
//! one table for each server. Whatever is not known is [`Class::Irreversible`].
//!
//! Names: unquoted ones in lower case (MySQL: as written), quoted ones as they are, with their schema as
//! `schema.table`; `public.` (PostgreSQL) and `main.` (SQLite) are dropped. SQLite compares names without case.

mod alter;
mod comment;
mod conflict;
mod create;
mod dialect;
mod dml;
mod drop;
mod fact;
mod form;
mod lex;
mod mysql;
mod postgres;
mod readonly;
mod refused;
mod relation;
mod rights;
pub mod shim;
mod sqlite;
mod statement;
mod typename;
mod utility;
mod words;

use std::fmt;

pub use fact::{Fact, leaves, together};
pub use form::{Algorithm, Form, HEIRS, On, Server};
pub use lex::{Zone, split, zones};
pub use mysql::{Way, Ways, ways};
pub use readonly::check_read_only;
pub use refused::Refused;
pub use relation::{Touched, is_relative_update, tables_and_columns};
pub use statement::{Blocks, Class, Cost, Held, Lock, Object, ObjectKind, OldCode, Place, Reverse, Statement};

/// Whose SQL it is. MariaDB is [`Dialect::Mysql`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Postgres => "PostgreSQL",
            Dialect::Mysql => "MySQL",
            Dialect::Sqlite => "SQLite",
        })
    }
}

/// What the one statement in `sql` is. A trailing semicolon and comments are allowed.
///
/// # Errors
/// [`Refused`] when the text is not exactly one statement that the dialect's parser knows, or hides something: a
/// version comment, a client command, a character that looks like another one.
pub fn parse_one(dialect: Dialect, sql: &str) -> Result<Statement, Refused> {
    let words = dialect::one(dialect, sql)?;
    Ok(utility::classify(words))
}

/// As [`parse_one`], but never fails: what cannot be read, or is more than one statement, is
/// [`Class::Irreversible`], and its reverse says why.
pub fn judge(dialect: Dialect, sql: &str) -> Statement {
    parse_one(dialect, sql).unwrap_or_else(|refused| Statement::unknown(refused.to_string()))
}

/// The rows of the table of a dialect; of MySQL and MariaDB both, unless `server` says which.
pub fn forms(dialect: Dialect, server: Option<Server>) -> impl Iterator<Item = &'static Form> {
    let tables: Vec<&'static [Form]> = match (dialect, server) {
        (Dialect::Postgres, _) => postgres::FORMS.to_vec(),
        (Dialect::Sqlite, _) => vec![sqlite::FORMS],
        (Dialect::Mysql, Some(Server::Mysql(_))) => vec![mysql::MYSQL],
        (Dialect::Mysql, Some(_)) => vec![mysql::MARIADB],
        (Dialect::Mysql, None) => vec![mysql::MARIADB, mysql::MYSQL],
    };
    tables.into_iter().flatten()
}

/// `name` as a quoted identifier of the dialect.
///
/// # Errors
/// [`Refused::Name`] unless the name is a letter or `_`, then at most 62 letters, digits, `_` or `$`, all ASCII.
pub fn quote_ident(dialect: Dialect, name: &str) -> Result<String, Refused> {
    let mut chars = name.chars();
    let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !head || name.len() > 63 || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
        return Err(Refused::Name { name: name.to_owned() });
    }
    Ok(match dialect {
        Dialect::Mysql => format!("`{name}`"),
        Dialect::Postgres | Dialect::Sqlite => format!("\"{name}\""),
    })
}
