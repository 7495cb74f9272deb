//! SQLite: how a file is opened, what it is, one statement at a time.
//!
//! Never creates a database file. The read connection is opened read-only and has the authorizer on; a statement that
//! changes anything is refused by the library itself.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Column, Connection as _, Executor, Row as _, SqliteConnection};

use crate::failure::{Failure, Kind, Result};
use crate::names::{CLAIM, ENVIRONMENT, MARKER, Place};
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::template::{RenderedSql, as_text};
use crate::runbook::{Target, TargetKind, VarKind};

use super::db::{Row, SqlError, operator_sql};
use super::{Access, Identity};

mod authorizer;
mod literal;

pub use literal::Literal;

const BUSY: Duration = Duration::from_millis(2_000);

/// One connection of one owner.
pub struct Connection {
    conn: SqliteConnection,
    pub target: String,
    path: PathBuf,
    reads_only: bool,
    pub(super) busy: bool,
    pub(super) lost: bool,
    /// Turning it true interrupts the running statement.
    pub interrupt: Arc<AtomicBool>,
}

impl Connection {
    /// # Errors
    /// No such file, no right to read it, or no database in it.
    pub async fn open(target: &Target, access: &Access, reads_only: bool) -> Result<Self> {
        let address = access.address(target)?;
        let path = address.expose();
        let path = path.strip_prefix("sqlite://").or_else(|| path.strip_prefix("sqlite:")).unwrap_or(path);
        Self::open_path(&target.name, Path::new(path), reads_only).await
    }

    /// Opens a file by its path.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_path(target: &str, path: &Path, reads_only: bool) -> Result<Self> {
        let cannot = |words: String| {
            Failure::new(Kind::Target, format!("target {target} cannot be opened"))
                .cause(words)
                .hint("look at the path and at the rights on the file; a database is never created")
        };
        let path = path.canonicalize().map_err(|error| cannot(format!("{}: {error}", path.display())))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .read_only(reads_only)
            .busy_timeout(BUSY)
            .statement_cache_capacity(0)
            .foreign_keys(true);
        let conn = SqliteConnection::connect_with(&options).await.map_err(|e| cannot(SqlError::from(e).words()))?;
        let interrupt = Arc::new(AtomicBool::new(false));
        let mut this = Self {
            conn,
            target: target.to_owned(),
            path,
            reads_only,
            busy: false,
            lost: false,
            interrupt: Arc::clone(&interrupt),
        };
        let mut handle = this.conn.lock_handle().await.map_err(|e| cannot(SqlError::from(e).words()))?;
        handle.set_progress_handler(10_000, move || !interrupt.load(Ordering::Relaxed));
        drop(handle);
        this.wall(reads_only).await.map_err(|e| cannot(e.words()))?;
        this.rows(&plain("select count(*) from sqlite_master"), None).await.map_err(|e| cannot(e.words()))?;
        Ok(this)
    }

    /// Puts the authorizer on or takes it off: with it on nothing but reading is possible.
    ///
    /// # Errors
    /// The library's words.
    pub async fn wall(&mut self, on: bool) -> Result<(), SqlError> {
        let mut handle = self.conn.lock_handle().await?;
        authorizer::set(&mut handle, on);
        Ok(())
    }

    pub fn reads_only(&self) -> bool {
        self.reads_only
    }

    pub fn unusable(&self) -> bool {
        self.busy || self.lost
    }

    pub(super) async fn rows(&mut self, sql: &RenderedSql, limit: Option<u64>) -> Result<Vec<Row>, SqlError> {
        let text = match limit {
            Some(n) => format!("select * from (\n{}\n) limit {n}", sql.sql.trim_end().trim_end_matches(';')),
            None => sql.sql.clone(),
        };
        let rows = bound(&text, sql)?.fetch_all(&mut self.conn).await?;
        rows.iter().map(|row| Ok(values(row, Literal::json)?.into_iter().collect())).collect()
    }

    /// The rows of one read, each value exactly as it is stored.
    ///
    /// # Errors
    /// The library's words; text that is not UTF-8.
    pub async fn literals(&mut self, sql: &RenderedSql) -> Result<Vec<BTreeMap<String, Literal>>, SqlError> {
        let rows = bound(&sql.sql, sql)?.fetch_all(&mut self.conn).await?;
        rows.iter().map(|row| Ok(values(row, |literal| literal)?.into_iter().collect())).collect()
    }

    pub(super) async fn execute(&mut self, sql: &RenderedSql) -> Result<u64, SqlError> {
        Ok(bound(&sql.sql, sql)?.execute(&mut self.conn).await?.rows_affected())
    }

    /// Prepared and thrown away. The authorizer is off for that instant: nothing runs.
    pub(super) async fn parse(&mut self, sql: &str) -> Result<(), SqlError> {
        self.wall(false).await?;
        let parsed = self.conn.prepare(operator_sql(sql)).await.map(|_| ()).map_err(SqlError::from);
        self.wall(self.reads_only).await?;
        parsed
    }

    /// What the file is, and which environment it declares.
    ///
    /// # Errors
    /// The library's words.
    pub async fn identity(&mut self) -> Result<Identity> {
        let target = self.target.clone();
        self.read_identity().await.map_err(|error| error.failure("reading the identity", &target))
    }

    async fn read_identity(&mut self) -> Result<Identity, SqlError> {
        let identity = file_identity(&self.path).map_err(|e| SqlError::new(e.to_string()))?;
        let version = self.rows(&plain("select sqlite_version() as v"), None).await?;
        let version = version.first().and_then(|row| row.get("v")).map(as_text).unwrap_or_default();
        let table = Place::Prefix.table(ENVIRONMENT);
        let declared = RenderedSql {
            sql: format!("select nonce from {table} where environment = 'rehearsal' and identity = ?"),
            binds: vec![super::db::text_bind(identity.clone())],
        };
        let nonce = match self.rows(&declared, None).await {
            Ok(rows) => rows.first().and_then(|row| row.get("nonce")).map(as_text),
            Err(_) => None,
        };
        let markers = format!(
            "select count(*) as n from sqlite_master where type = 'table' and name in ('{}', '{}')",
            Place::Prefix.table(MARKER),
            Place::Prefix.table(CLAIM)
        );
        let markers = self.rows(&plain(&markers), None).await?;
        let standby = std::fs::metadata(&self.path).is_ok_and(|m| m.permissions().readonly());
        Ok(Identity {
            seen: TargetSeen {
                name: self.target.clone(),
                server: format!("SQLite {version}"),
                words: format!("{}{}", self.path.display(), if standby { ", read-only" } else { "" }),
                identity,
                timeline: None,
            },
            kind: TargetKind::Sqlite,
            environment: if nonce.is_some() { Environment::Rehearsal } else { Environment::Production },
            nonce,
            standby,
            read_only: false,
            encrypted: None,
            // There are no sessions of a server; who holds the file cannot be asked.
            sees_sessions: false,
            has_marker: markers.first().and_then(|row| row.get("n")).and_then(Value::as_i64) == Some(2),
            lacks: None,
        })
    }
}

/// Device and inode: a copy of the file is another one.
fn file_identity(path: &Path) -> std::io::Result<String> {
    let meta = std::fs::metadata(path)?;
    Ok(format!("{}:{}", meta.dev(), meta.ino()))
}

/// Declares this file a rehearsal; a copy of it is none.
///
/// # Errors
/// The library's words.
pub async fn declare_rehearsal(connection: &mut Connection, nonce: &str) -> Result<()> {
    let identity = connection.identity().await?.seen.identity;
    let table = Place::Prefix.table(ENVIRONMENT);
    let target = connection.target.clone();
    let insert = RenderedSql {
        sql: format!("insert into {table} values ('rehearsal', ?, ?)"),
        binds: vec![super::db::text_bind(identity), super::db::text_bind(nonce)],
    };
    for sql in [
        plain(&format!(
            "create table if not exists {table} (environment text not null, identity text not null, nonce text not null)"
        )),
        plain(&format!("delete from {table}")),
        insert,
    ] {
        connection.execute(&sql).await.map_err(|e| e.failure("declaring the rehearsal", &target))?;
    }
    Ok(())
}

fn plain(sql: &str) -> RenderedSql {
    RenderedSql { sql: sql.to_owned(), binds: Vec::new() }
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound(text: &str, sql: &RenderedSql) -> Result<Query, SqlError> {
    let mut query = sqlx::query(operator_sql(text));
    for bind in &sql.binds {
        query = match (&bind.value, bind.kind) {
            (Value::Null, _) => query.bind(None::<String>),
            (Value::Bool(b), _) => query.bind(i64::from(*b)),
            (Value::Number(n), _) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => query.bind(n),
                (None, Some(n)) => query.bind(n),
                (None, None) => query.bind(n.to_string()),
            },
            // The runbook's declaration counts, not how the value was written.
            (Value::String(text), VarKind::Integer) => match text.parse::<i64>() {
                Ok(n) => query.bind(n),
                Err(_) => return Err(SqlError::new(format!("`{}` is not an integer", bind.name))),
            },
            (other, _) => query.bind(as_text(other)),
        };
    }
    Ok(query)
}

/// The columns of a row by name.
fn values<T>(row: &SqliteRow, as_wanted: impl Fn(Literal) -> T) -> Result<Vec<(String, T)>, SqlError> {
    row.columns()
        .iter()
        .map(|column| Ok((column.name().to_owned(), as_wanted(Literal::of(row, column.ordinal())?))))
        .collect()
}

/// The primary result code, by name.
pub(super) fn code_name(code: i32) -> &'static str {
    match code & 0xff {
        3 => "SQLITE_PERM",
        5 => "SQLITE_BUSY",
        6 => "SQLITE_LOCKED",
        8 => "SQLITE_READONLY",
        9 => "SQLITE_INTERRUPT",
        10 => "SQLITE_IOERR",
        11 => "SQLITE_CORRUPT",
        13 => "SQLITE_FULL",
        14 => "SQLITE_CANTOPEN",
        19 => "SQLITE_CONSTRAINT",
        20 => "SQLITE_MISMATCH",
        23 => "SQLITE_AUTH",
        26 => "SQLITE_NOTADB",
        _ => "SQLITE_ERROR",
    }
}
