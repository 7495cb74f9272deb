//! One statement to one SQL connection, whatever the dialect, and what came back.
//!
//! Owns the only place where text that is not a constant becomes SQL for the driver, and the translation of its errors.
//! Never writes SQL and never decides what may be sent.

use serde_json::{Map, Value};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::failure::{Failure, Kind};
use crate::runbook::VarKind;
use crate::runbook::template::{Bind, RenderedSql};
use crate::sql::Dialect;

use super::{kafka, mysql, postgres, sqlite};

/// A row by column name.
pub type Row = Map<String, Value>;

/// An open connection.
pub enum Handle {
    Postgres(postgres::Connection),
    Sqlite(sqlite::Connection),
    Mysql(mysql::Connection),
    Kafka(kafka::Connection),
}

/// What a database said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// SQLSTATE; SQLite's primary result code by name (`SQLITE_BUSY`); MySQL's error number. None: the connection, not the server, spoke.
    pub code: Option<String>,
    pub message: String,
    /// The connection is gone or in no state to go on.
    pub lost: bool,
}

/// Time limits, KILL, rights, read only, a server without room or on its way down.
const MYSQL_NO_ANSWER: [&str; 15] = [
    "1317", "1969", "3024", "1044", "1045", "1142", "1143", "1227", "1370", "1290", "1792", "1040", "1053", "1927",
    "1836",
];

impl SqlError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), lost: false }
    }

    /// Whether the server refused for a lock that others hold: the one refusal that may be tried again by itself.
    pub fn is_lock(&self) -> bool {
        matches!(self.code.as_deref(), Some("55P03" | "40P01" | "SQLITE_BUSY" | "SQLITE_LOCKED" | "1205" | "1213"))
    }

    /// Whether a row with that key is there already.
    pub fn is_twin(&self) -> bool {
        matches!(self.code.as_deref(), Some("23505" | "1062" | "SQLITE_CONSTRAINT"))
    }

    /// Whether it says nothing of what was asked: locks, time limits, rights, a standby, a lost connection.
    pub fn is_no_answer(&self) -> bool {
        self.lost
            || self.is_lock()
            || self.code.as_deref().is_none_or(|code| {
                matches!(code, "57014" | "25006" | "42501" | "SQLITE_READONLY" | "SQLITE_INTERRUPT" | "SQLITE_IOERR")
                    || MYSQL_NO_ANSWER.contains(&code)
                    || code.starts_with("53")
                    || code.starts_with("57P")
                    || code.starts_with("08")
            })
    }

    /// The server's own words with its code.
    pub fn words(&self) -> String {
        match &self.code {
            Some(code) => format!("{} ({code})", self.message),
            None => self.message.clone(),
        }
    }

    /// For the operator: `what` failed on `target`.
    pub fn failure(&self, what: &str, target: &str) -> Failure {
        Failure::new(Kind::Target, format!("{what} failed on target {target}")).cause(self.words())
    }
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words())
    }
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_server(error.as_ref()),
            // The driver's other errors may hold an address: their kind alone is said.
            // What the TLS library refuses comes as bad data.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self { code: None, message: format!("TLS: {error}"), lost: true }
            }
            sqlx::Error::Io(error) => {
                Self { code: None, message: format!("the connection broke: {error}"), lost: true }
            }
            sqlx::Error::Tls(error) => Self { code: None, message: format!("TLS: {error}"), lost: true },
            sqlx::Error::Protocol(words) => Self { code: None, message: words, lost: true },
            sqlx::Error::WorkerCrashed => {
                Self { code: None, message: "the connection's thread ended".to_owned(), lost: true }
            }
            sqlx::Error::RowNotFound => Self::new("no row"),
            sqlx::Error::Configuration(_) => Self::new("the address cannot be read"),
            other => Self::new(other.to_string()),
        }
    }
}

fn of_server(error: &dyn DatabaseError) -> SqlError {
    if let Some(pg) = error.try_downcast_ref::<PgDatabaseError>() {
        // Display of this error names a line of the server's C source: only its parts are of use.
        let mut message = pg.message().to_owned();
        for more in [pg.detail(), pg.hint()].into_iter().flatten() {
            message.push_str(&format!("; {more}"));
        }
        let code = pg.code().to_owned();
        // Whatever its reason: with these the server ends the session.
        let ended = matches!(pg.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        let lost = ended || code.starts_with("57P") || code.starts_with("08");
        return SqlError { code: Some(code), message, lost };
    }
    if let Some(mysql) = error.try_downcast_ref::<MySqlDatabaseError>() {
        let code = mysql.number().to_string();
        let lost = matches!(code.as_str(), "1053" | "1927" | "1152" | "1159" | "1161");
        return SqlError { code: Some(code), message: mysql.message().to_owned(), lost };
    }
    let number: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    SqlError { code: Some(sqlite::code_name(number).to_owned()), message: error.message().to_owned(), lost: false }
}

/// Text from a runbook, or made by ours from checked names, for the driver.
pub(super) fn operator_sql(text: &str) -> SqlStr {
    AssertSqlSafe(text.to_owned()).into_sql_str()
}

/// A bind by text: the statement casts it.
pub fn text_bind(value: impl Into<String>) -> Bind {
    Bind { value: Value::String(value.into()), kind: VarKind::Text, name: String::new() }
}

/// A bind of a value as it is.
pub fn bind(value: Value) -> Bind {
    let kind = match &value {
        Value::Bool(_) => VarKind::Boolean,
        Value::Number(n) if n.is_i64() => VarKind::Integer,
        Value::Number(_) => VarKind::Number,
        _ => VarKind::Text,
    };
    Bind { value, kind, name: String::new() }
}

impl Handle {
    pub fn dialect(&self) -> Option<Dialect> {
        match self {
            Self::Postgres(_) => Some(Dialect::Postgres),
            Self::Sqlite(_) => Some(Dialect::Sqlite),
            Self::Mysql(_) => Some(Dialect::Mysql),
            Self::Kafka(_) => None,
        }
    }

    /// Lost, or left in the middle of something by an asker that went away.
    pub fn unusable(&self) -> bool {
        match self {
            Self::Postgres(c) => c.unusable(),
            Self::Sqlite(c) => c.unusable(),
            Self::Mysql(c) => c.unusable(),
            Self::Kafka(_) => false,
        }
    }

    /// The rows of one read, as JSON with exact numbers. PostgreSQL: as a sub-select by the extended protocol.
    ///
    /// # Errors
    /// The server's words.
    pub async fn rows(&mut self, sql: &RenderedSql, limit: Option<u64>) -> Result<Vec<Row>, SqlError> {
        match self {
            Self::Postgres(c) => c.rows(sql, limit).await,
            Self::Sqlite(c) => c.rows(sql, limit).await,
            Self::Mysql(c) => c.rows(sql, limit).await,
            Self::Kafka(_) => Err(not_sql()),
        }
    }

    /// The rows of one read of our own, `$n` or `?` bound to `binds`.
    ///
    /// # Errors
    /// The server's words.
    pub async fn read(&mut self, sql: impl Into<String>, binds: Vec<Bind>) -> Result<Vec<Row>, SqlError> {
        let sql = self.own(sql.into(), binds);
        self.rows(&sql, None).await
    }

    /// The first column of the first row of one read of our own; `None` where there is no row.
    ///
    /// # Errors
    /// The server's words.
    pub async fn one(&mut self, sql: impl Into<String>, binds: Vec<Bind>) -> Result<Option<Value>, SqlError> {
        let row = self.read(sql, binds).await?.into_iter().next();
        Ok(row.and_then(|row| row.into_iter().next()).map(|(_, value)| value))
    }

    /// Runs exactly one statement; returns the rows it touched.
    ///
    /// # Errors
    /// The server's words.
    pub async fn execute(&mut self, sql: &RenderedSql) -> Result<u64, SqlError> {
        match self {
            Self::Postgres(c) => c.execute(sql).await,
            Self::Sqlite(c) => c.execute(sql).await,
            Self::Mysql(c) => c.execute(sql).await,
            Self::Kafka(_) => Err(not_sql()),
        }
    }

    /// Runs one statement of our own.
    ///
    /// # Errors
    /// The server's words.
    pub async fn run(&mut self, sql: impl Into<String>, binds: Vec<Bind>) -> Result<u64, SqlError> {
        let sql = self.own(sql.into(), binds);
        self.execute(&sql).await
    }

    fn own(&self, sql: String, binds: Vec<Bind>) -> RenderedSql {
        match self {
            Self::Mysql(_) => mysql::numbered(sql, binds),
            _ => RenderedSql { sql, binds },
        }
    }

    /// Has the server read a statement without running it.
    ///
    /// # Errors
    /// The server's words: a missing column, a wrong label, a syntax error.
    pub async fn parse(&mut self, sql: &str) -> Result<(), SqlError> {
        match self {
            Self::Postgres(c) => c.parse(sql).await,
            Self::Sqlite(c) => c.parse(sql).await,
            Self::Mysql(c) => c.parse(&[sql]).await,
            Self::Kafka(_) => Err(not_sql()),
        }
    }

    /// SQLite: its authorizer on or off for what this connection runs next. Nothing elsewhere.
    ///
    /// # Errors
    /// The library's words.
    pub async fn wall(&mut self, on: bool) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(c) => c.wall(on).await,
            Self::Postgres(_) | Self::Mysql(_) | Self::Kafka(_) => Ok(()),
        }
    }

    /// The next who asks for this connection gets a new one.
    pub fn give_up(&mut self) {
        match self {
            Self::Postgres(c) => c.lost = true,
            Self::Sqlite(c) => c.lost = true,
            Self::Mysql(c) => c.lost = true,
            Self::Kafka(_) => {}
        }
    }

    /// The name of the target in the runbook.
    pub fn target(&self) -> &str {
        match self {
            Self::Postgres(c) => &c.target,
            Self::Sqlite(c) => &c.target,
            Self::Mysql(c) => &c.target,
            Self::Kafka(c) => c.name(),
        }
    }

    /// Marks the connection as in the middle of something: whoever finds it so opens a new one.
    pub fn set_busy(&mut self, busy: bool) {
        match self {
            Self::Postgres(c) => c.busy = busy,
            Self::Sqlite(c) => c.busy = busy,
            Self::Mysql(c) => c.busy = busy,
            Self::Kafka(_) => {}
        }
    }
}

fn not_sql() -> SqlError {
    SqlError::new("this target is not a database")
}
