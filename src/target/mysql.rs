//! MySQL and MariaDB: how they are opened, what they say they are, one statement at a time.
//!
//! Never pools, never caches a statement, never lets the address or the password into an error, and leaves the
//! server's SQL mode and time zone as they are.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, Executor, MySqlConnection};

use crate::failure::Result;
use crate::runbook::template::{Bind, RenderedSql, as_text};
use crate::runbook::{Target, VarKind};
use crate::sql::Server;

use super::Access;
use super::db::{Row, SqlError, operator_sql};
use super::wire::{opened, within};

mod address;
mod identity;
mod value;

use address::{options, refused};
pub use identity::{SEES_ALL, declare_rehearsal, role};

/// Of a check's statement.
const CHECK_S: u64 = 5;
/// Beyond its statement's limit only a dead network keeps a check waiting.
const SILENCE: Duration = Duration::from_secs(CHECK_S + 2);
/// The longest stall that a waiting statement imposes on everybody behind it; the server's own default is a day.
pub const LOCK_S: u64 = 2;
/// "This command is not supported in the prepared statement protocol yet": said of a text that was read as one statement.
const NOT_PREPARED: &str = "1295";

const SELF: &str = "select connection_id() as id, version() as version";
/// The server counts the seconds from its start to the beginning of the statement: their difference never varies.
const STARTED: &str =
    "select timestampadd(second, unix_timestamp() - cast(variable_value as signed), '1970-01-01') as at
    from {status}.global_status where variable_name = 'Uptime'";

/// One connection of one owner.
pub struct Connection {
    conn: MySqlConnection,
    pub target: String,
    /// The server's number of this connection: what KILL QUERY takes.
    pub id: u64,
    /// As [`Connection::known_by`] has it.
    pub came: String,
    pub server: Server,
    /// In UTC; empty where the server does not tell.
    started: String,
    where_to: String,
    /// A worker's statement may take as long as it takes; a check's may not.
    limit: Option<Duration>,
    pub(super) busy: bool,
    pub(super) lost: bool,
}

impl Connection {
    /// # Errors
    /// No answer within five seconds, a refusal (the server's words and a hint), or an address that asks for less than
    /// verified TLS off loopback.
    pub async fn open(target: &Target, access: &Access, reads_only: bool) -> Result<Self> {
        let address = access.address(target)?;
        let options = options(target, address.expose(), access.insecure_tls)?;
        let where_to = format!("{}:{}", options.get_host(), options.get_port());
        let options = options
            .statement_cache_capacity(0)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None::<String>);
        let conn = opened(target, &where_to, MySqlConnection::connect_with(&options), refused).await?;
        let mut this = Self {
            conn,
            target: target.name.clone(),
            id: 0,
            came: String::new(),
            server: Server::Mysql(0),
            started: String::new(),
            where_to,
            limit: reads_only.then_some(SILENCE),
            busy: false,
            lost: false,
        };
        this.settle_session(reads_only).await.map_err(|e| e.failure("preparing the connection", &target.name))?;
        Ok(this)
    }

    async fn settle_session(&mut self, reads_only: bool) -> Result<(), SqlError> {
        let row = self.own(SELF).await?;
        self.id = row.get("id").and_then(Value::as_u64).unwrap_or(0);
        self.server = server(&row.get("version").map(as_text).unwrap_or_default());
        // A server may begin with a transaction that never ends: what is read in it stays as it was, and no marker
        // would be there before its statement.
        self.send("set session autocommit = 1").await?;
        let status =
            if matches!(self.server, Server::MariaDb(_)) { "information_schema" } else { "performance_schema" };
        match self.own(&STARTED.replace("{status}", status)).await {
            Ok(row) => self.started = row.get("at").map(as_text).unwrap_or_default(),
            // Or else it would know itself by less than another connection does.
            Err(error) if error.lost => return Err(error),
            Err(_) => {}
        }
        let own = format!(
            "select {} as came from information_schema.processlist p where p.id = connection_id()",
            self.known_by()
        );
        self.came = self.own(&own).await?.get("came").map(as_text).unwrap_or_default();
        self.send(&format!("set session lock_wait_timeout = {LOCK_S}")).await?;
        self.send(&format!("set session innodb_lock_wait_timeout = {LOCK_S}")).await?;
        if reads_only {
            let limit = match self.server {
                Server::MariaDb(_) => format!("set session max_statement_time = {CHECK_S}"),
                _ => format!("set session max_execution_time = {}", CHECK_S * 1000),
            };
            self.send(&limit).await?;
            // Not `start transaction read only`: DDL commits that first, and then runs.
            self.send("set session transaction read only").await?;
        }
        Ok(())
    }

    /// What makes a session `p` of the process list, with its number, this one and none of a server that was started
    /// again, as SQL: who it is, where it came from, and since when this server is up.
    pub fn known_by(&self) -> String {
        let started = &self.started;
        let plain = started.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ' | '.'));
        match plain && !started.is_empty() {
            true => format!("concat(p.user, '@', p.host, ', server up since {started}')"),
            false => "concat(p.user, '@', p.host)".to_owned(),
        }
    }

    pub fn unusable(&self) -> bool {
        self.lost || self.busy
    }

    pub(super) async fn rows(&mut self, sql: &RenderedSql, limit: Option<u64>) -> Result<Vec<Row>, SqlError> {
        // The line breaks matter: a statement may end in a comment.
        let text = match limit {
            Some(n) => {
                format!("select * from (\n{}\n) backout_q limit {n}", sql.sql.trim_end().trim_end_matches(';'))
            }
            None => sql.sql.clone(),
        };
        let rows = within(self.limit, bound(&text, sql)?.fetch_all(&mut self.conn)).await;
        self.noted(rows)?.iter().map(value::row).collect()
    }

    /// The rows of a statement of ours that cannot be prepared everywhere; numbers and text only.
    ///
    /// # Errors
    /// The server's words.
    pub async fn told(&mut self, sql: &'static str) -> Result<Vec<Row>, SqlError> {
        let rows = within(self.limit, sqlx::raw_sql(sql).fetch_all(&mut self.conn)).await;
        self.noted(rows)?.iter().map(value::row).collect()
    }

    pub(super) async fn execute(&mut self, sql: &RenderedSql) -> Result<u64, SqlError> {
        let done = within(self.limit, bound(&sql.sql, sql)?.execute(&mut self.conn)).await;
        match self.noted(done) {
            Err(error) if error.code.as_deref() == Some(NOT_PREPARED) && sql.binds.is_empty() => {
                self.send(&sql.sql).await.map(|()| 0)
            }
            done => done.map(|done| done.rows_affected()),
        }
    }

    /// Prepared and thrown away, one after the other; gives the first that is refused. A read-only session refuses even
    /// that of a write, so it is none for as long: nothing is run, what reading a statement may call is rolled back, and
    /// whoever is stopped in the middle leaves a connection that nobody uses again.
    pub(super) async fn parse(&mut self, statements: &[&str]) -> Result<(), SqlError> {
        let (reads_only, busy) = (self.limit.is_some(), self.busy);
        self.busy = true;
        if reads_only {
            self.send("set session transaction read write").await?;
            self.send("start transaction").await?;
        }
        let mut parsed = Ok(());
        for sql in statements {
            let read = within(self.limit, self.conn.prepare(operator_sql(sql))).await;
            parsed = self.noted(read).map(|_| ());
            if parsed.is_err() {
                break;
            }
        }
        if reads_only {
            for sql in ["rollback", "set session transaction read only"] {
                if let Err(error) = self.send(sql).await {
                    self.lost = true;
                    return Err(error);
                }
            }
        }
        self.busy = busy;
        parsed
    }

    async fn send(&mut self, sql: &str) -> Result<(), SqlError> {
        let done = within(self.limit, self.conn.execute(sqlx::raw_sql(operator_sql(sql)))).await;
        self.noted(done).map(|_| ())
    }

    fn noted<T>(&mut self, result: Result<T, SqlError>) -> Result<T, SqlError> {
        if result.as_ref().is_err_and(|error| error.lost) {
            self.lost = true;
        }
        result
    }

    async fn own(&mut self, sql: &str) -> Result<Row, SqlError> {
        let sql = RenderedSql { sql: sql.to_owned(), binds: Vec::new() };
        self.rows(&sql, None).await?.into_iter().next().ok_or_else(|| SqlError::new("no row"))
    }
}

/// `10.11.19-MariaDB-log`, `8.0.36-0ubuntu0`.
fn server(version: &str) -> Server {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let number = part() * 10_000 + part() * 100 + part();
    if version.contains("MariaDB") { Server::MariaDb(number) } else { Server::Mysql(number) }
}

type Query = sqlx::query::Query<'static, sqlx::MySql, sqlx::mysql::MySqlArguments>;

fn bound(text: &str, sql: &RenderedSql) -> Result<Query, SqlError> {
    let mut query = sqlx::query(operator_sql(text));
    for bind in &sql.binds {
        query = match (&bind.value, bind.kind) {
            (Value::Null, _) => query.bind(None::<String>),
            (Value::Bool(b), _) => query.bind(*b),
            (Value::Number(n), _) => match (n.as_i64(), n.as_u64()) {
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

/// `$n` of our own statements as the `?` that this protocol has, in the order in which they stand.
pub(super) fn numbered(sql: String, binds: Vec<Bind>) -> RenderedSql {
    if binds.is_empty() || !sql.contains('$') {
        return RenderedSql { sql, binds };
    }
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut ordered = Vec::new();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let bind = part[..end].parse::<usize>().ok().and_then(|n| binds.get(n.checked_sub(1)?));
        ordered.extend(bind.cloned());
        text.push('?');
        text.push_str(&part[end..]);
    }
    RenderedSql { sql: text, binds: ordered }
}
