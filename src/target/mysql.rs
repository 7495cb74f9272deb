//! MySQL and MariaDB: how they are opened, what they say they are, one statement at a time.
//!
//! Never pools, never caches a statement, never lets the address or the password into an error, and leaves the
//! server's SQL mode and time zone as they are.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{Connection as _, Executor, MySqlConnection};

use crate::failure::{Failure, Kind, Result};
use crate::names::{ENVIRONMENT, Place};
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::template::{Bind, RenderedSql, as_text};
use crate::runbook::{Target, TargetKind, VarKind};

use super::db::{Row, SqlError, operator_sql, text_bind};
use super::{Access, Identity};

mod value;

const CONNECT: Duration = Duration::from_secs(5);
/// Of a check's statement.
const CHECK_S: u64 = 5;
/// Beyond its statement's limit only a dead network keeps a check waiting.
const SILENCE: Duration = Duration::from_secs(CHECK_S + 2);
/// The longest stall that a waiting statement imposes on everybody behind it; the server's own default is a day.
pub const LOCK_S: u64 = 2;
/// "This command is not supported in the prepared statement protocol yet": said of a text that was read as one statement.
const NOT_PREPARED: &str = "1295";

/// One connection of one owner.
pub struct Connection {
    conn: MySqlConnection,
    pub target: String,
    /// The server's number of this connection: what KILL QUERY takes.
    pub id: u64,
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
        let conn = match tokio::time::timeout(CONNECT, MySqlConnection::connect_with(&options)).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(refused(target, &where_to, &error.into())),
            Err(_) => {
                return Err(Failure::new(Kind::Target, format!("target {} does not answer", target.name))
                    .cause(format!("no answer from {where_to} within {} s", CONNECT.as_secs()))
                    .hint("look at the network, the port and the server's load"));
            }
        };
        let mut this = Self {
            conn,
            target: target.name.clone(),
            id: 0,
            where_to,
            limit: reads_only.then_some(SILENCE),
            busy: false,
            lost: false,
        };
        this.settle_session(reads_only).await.map_err(|e| e.failure("preparing the connection", &target.name))?;
        Ok(this)
    }

    async fn settle_session(&mut self, reads_only: bool) -> Result<(), SqlError> {
        let row = self.own("select connection_id() as id, version() as version").await?;
        self.id = row.get("id").and_then(Value::as_u64).unwrap_or(0);
        self.send(&format!("set session lock_wait_timeout = {LOCK_S}")).await?;
        self.send(&format!("set session innodb_lock_wait_timeout = {LOCK_S}")).await?;
        if reads_only {
            let limit = match is_mariadb(&row.get("version").map(as_text).unwrap_or_default()) {
                true => format!("set session max_statement_time = {CHECK_S}"),
                false => format!("set session max_execution_time = {}", CHECK_S * 1000),
            };
            self.send(&limit).await?;
            // Not `start transaction read only`: DDL commits that first, and then runs.
            self.send("set session transaction read only").await?;
        }
        Ok(())
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

    pub(super) async fn execute(&mut self, sql: &RenderedSql) -> Result<u64, SqlError> {
        let done = within(self.limit, bound(&sql.sql, sql)?.execute(&mut self.conn)).await;
        match self.noted(done) {
            Err(error) if error.code.as_deref() == Some(NOT_PREPARED) && sql.binds.is_empty() => {
                self.send(&sql.sql).await.map(|()| 0)
            }
            done => done.map(|done| done.rows_affected()),
        }
    }

    /// Prepared and thrown away. A read-only session refuses even that of a write, and is none for that instant: nothing
    /// runs.
    pub(super) async fn parse(&mut self, sql: &str) -> Result<(), SqlError> {
        let reads_only = self.limit.is_some();
        if reads_only {
            self.send("set session transaction read write").await?;
        }
        let parsed = within(self.limit, self.conn.prepare(operator_sql(sql))).await;
        let parsed = self.noted(parsed).map(|_| ());
        if reads_only && let Err(error) = self.send("set session transaction read only").await {
            self.lost = true;
            return Err(error);
        }
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

    /// What the server says it is, and which environment it declares.
    ///
    /// # Errors
    /// The server's words.
    pub async fn identity(&mut self) -> Result<Identity> {
        let target = self.target.clone();
        self.read_identity().await.map_err(|error| error.failure("reading the identity", &target))
    }

    async fn read_identity(&mut self) -> Result<Identity, SqlError> {
        let row = self.own(IDENTITY).await?;
        let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
        let version = text("version");
        // Two servers on one machine differ in the port, two clones of one in the host.
        let mut identity = format!("{}:{}/{}/{}", text("host"), text("port"), text("server_id"), text("db"));
        if let Ok(row) = self.own("select @@server_uuid as id").await {
            identity = format!("{}/{identity}", row.get("id").map(as_text).unwrap_or_default());
        }
        let read_only = row.get("read_only").is_some_and(|on| as_text(on) == "1");
        let (replica, copies) = self.replica().await;
        let standby = read_only || replica;
        let strict = match text("sql_mode") {
            mode if mode.contains("STRICT_TRANS_TABLES") || mode.contains("STRICT_ALL_TABLES") => "strict",
            _ => "NOT STRICT: a value that does not fit is changed without an error",
        };
        let cipher = self.own("show session status like 'Ssl_cipher'").await.ok();
        let nonce = self.declared(&identity).await;
        let words = [
            format!("{} @ {} as {}", text("db"), self.where_to, text("usr")),
            copies,
            format!("server_id {}", text("server_id")),
            strict.to_owned(),
        ];
        let is_one = |name: &str| row.get(name).and_then(Value::as_i64) == Some(1);
        Ok(Identity {
            seen: TargetSeen {
                name: self.target.clone(),
                server: match is_mariadb(&version) {
                    true => format!("MariaDB {}", version.split('-').next().unwrap_or_default()),
                    false => format!("MySQL {version}"),
                },
                words: format!("{}{}", words.join(", "), if read_only { ", read_only" } else { "" }),
                identity,
                timeline: None,
            },
            kind: TargetKind::Mysql,
            environment: if nonce.is_some() { Environment::Rehearsal } else { Environment::Production },
            nonce,
            standby,
            encrypted: cipher.map(|row| row.values().nth(1).is_some_and(|cipher| !as_text(cipher).is_empty())),
            sees_sessions: self.own(SEES_ALL).await?.get("sees_all").is_some_and(|sees| as_text(sees) == "1"),
            has_marker: is_one("has_marker"),
        })
    }

    /// Whether the server copies another one, and how far it is behind. Where the user may not ask, that is said, and
    /// the server counts by its `read_only` alone.
    async fn replica(&mut self) -> (bool, String) {
        let row = match self.own("show slave status").await {
            // Gone from MySQL 8.4.
            Err(error) if error.code.is_some() => self.own("show replica status").await,
            row => row,
        };
        let row = match row {
            Ok(row) => row,
            Err(error) if error.code.is_some() => {
                return (false, "cannot see whether it is a replica".to_owned());
            }
            Err(_) => return (false, "primary".to_owned()),
        };
        let behind = row.get("Seconds_Behind_Master").or_else(|| row.get("Seconds_Behind_Source"));
        match behind.filter(|behind| !behind.is_null()) {
            Some(seconds) => (true, format!("replica, {} s behind", as_text(seconds))),
            None => (true, "replica, how far behind is not known".to_owned()),
        }
    }

    /// The nonce of the declaration that names this very database; none for anything else, an error included.
    async fn declared(&mut self, identity: &str) -> Option<String> {
        let table = Place::Prefix.table(ENVIRONMENT);
        let sql = RenderedSql {
            sql: format!("select nonce from {table} where environment = 'rehearsal' and identity = ?"),
            binds: vec![text_bind(identity)],
        };
        self.rows(&sql, None).await.ok()?.first()?.get("nonce").map(as_text)
    }

    async fn own(&mut self, sql: &str) -> Result<Row, SqlError> {
        let sql = RenderedSql { sql: sql.to_owned(), binds: Vec::new() };
        self.rows(&sql, None).await?.into_iter().next().ok_or_else(|| SqlError::new("no row"))
    }
}

/// Whether the user may see the sessions of others. CURRENT_USER is `name@host`; the list of rights has
/// `'name'@'host'`.
pub const SEES_ALL: &str = "select exists (select 1 from information_schema.user_privileges
    where privilege_type = 'PROCESS'
      and grantee = concat('''', replace(current_user(), '@', '''@'''), '''')) as sees_all";

const IDENTITY: &str = "select @@hostname as host, @@port as port, version() as version, database() as db,
    current_user() as usr, @@server_id as server_id, @@global.read_only as read_only, @@sql_mode as sql_mode,
    (select count(*) from information_schema.tables where table_schema = database()
        and table_name in ('backout_claim', 'backout_marker')) = 2 as has_marker";

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

/// Declares this database a rehearsal: only what its own server says it is makes the row count.
///
/// # Errors
/// The server's words.
pub async fn declare_rehearsal(connection: &mut Connection, nonce: &str) -> Result<()> {
    let identity = connection.identity().await?.seen.identity;
    let table = Place::Prefix.table(ENVIRONMENT);
    let target = connection.target.clone();
    let plain = |sql: String| RenderedSql { sql, binds: Vec::new() };
    for sql in [
        plain(format!(
            "create table if not exists {table} (environment text not null, identity text not null, nonce text not null)"
        )),
        plain(format!("delete from {table}")),
        RenderedSql {
            sql: format!("insert into {table} values ('rehearsal', ?, ?)"),
            binds: vec![text_bind(identity), text_bind(nonce)],
        },
    ] {
        connection.execute(&sql).await.map_err(|e| e.failure("declaring the rehearsal", &target))?;
    }
    Ok(())
}

/// One question to the server. A connection that is silent for longer than `limit` is lost.
async fn within<T>(
    limit: Option<Duration>,
    asked: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> Result<T, SqlError> {
    let Some(limit) = limit else { return asked.await.map_err(SqlError::from) };
    let silent = |_| SqlError {
        lost: true,
        ..SqlError::new(format!("the connection is silent: no answer within {} s", limit.as_secs()))
    };
    tokio::time::timeout(limit, asked).await.map_err(silent)?.map_err(SqlError::from)
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

/// Reads the address and decides on TLS.
fn options(target: &Target, address: &str, insecure_tls: bool) -> Result<MySqlConnectOptions> {
    let broken = || {
        Failure::new(Kind::Target, format!("the address of target {} is not a MySQL address", target.name))
            .hint("it has the form mysql://USER:PASSWORD@HOST:PORT/DATABASE; special characters are percent-encoded")
    };
    let address = match address.strip_prefix("mariadb://") {
        Some(rest) => format!("mysql://{rest}"),
        None => address.to_owned(),
    };
    if !address.starts_with("mysql://") {
        return Err(broken());
    }
    let options = MySqlConnectOptions::from_str(&address).map_err(|_| broken())?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(broken());
    }
    let asked = address
        .split_once('?')
        .into_iter()
        .flat_map(|(_, query)| query.split('&'))
        .find_map(|pair| pair.strip_prefix("sslmode=").or_else(|| pair.strip_prefix("ssl-mode=")));
    let host = options.get_host();
    let local = options.get_socket().is_some()
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if local || insecure_tls {
        return Ok(options);
    }
    match asked {
        None => Ok(options.ssl_mode(MySqlSslMode::VerifyIdentity)),
        Some(mode) if mode.eq_ignore_ascii_case("verify_identity") => {
            Ok(options.ssl_mode(MySqlSslMode::VerifyIdentity))
        }
        Some(mode) => Err(Failure::new(
            Kind::Target,
            format!(
                "target {} is off this machine and asks for ssl-mode={mode}, which proves nothing about the server",
                target.name
            ),
        )
        .hint("use ssl-mode=VERIFY_IDENTITY (with ssl-ca=FILE), or say --insecure-tls, which is recorded")),
    }
}

fn refused(target: &Target, where_to: &str, error: &SqlError) -> Failure {
    let hint = match error.code.as_deref() {
        Some("1045" | "1698") => "look at the user and the password in the address",
        Some("1044" | "1049") => "look at the database name in the address, and at the user's rights on it",
        Some("1040" | "1203") => "the server has no connection left: end one, or raise max_connections",
        _ if error.message.starts_with("TLS") => "look at the server's certificate and at ssl-ca in the address",
        _ => "look at host and port in the address, and whether the server runs",
    };
    Failure::new(Kind::Target, format!("target {} at {where_to} cannot be opened", target.name))
        .cause(error.words())
        .hint(hint)
}
