//! PostgreSQL: how it is opened, what it says it is, one statement at a time.
//!
//! Never pools, never caches a statement, never lets the address or the password into an error.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{Column, Connection as _, Executor, PgConnection, Row as _, Statement as _};

use crate::failure::{Failure, Kind, Result};
use crate::names::{ENVIRONMENT, Place};
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::template::{RenderedSql, as_text};
use crate::runbook::{Target, TargetKind};
use crate::sql::Server;

use super::db::{Row, SqlError, operator_sql};
use super::wire::{asked_tls, is_loopback, opened, proves_nothing, within};
use super::{Access, Identity};

/// A setting of no meaning, to see whether it arrives.
const DIRECT: &str = "backout.direct";
/// Of a check's statement.
pub const CHECK_MS: u64 = 5_000;
/// Beyond its statement's limit only a dead network keeps a check waiting.
const SILENCE: Duration = Duration::from_millis(CHECK_MS + 2_000);

const SOONER: &str = "select set_config('deadlock_timeout', '1s', false)
    from pg_roles where rolname = current_user and rolsuper and current_setting('deadlock_timeout')::interval > '1 s'";

/// One connection of one owner.
pub struct Connection {
    conn: PgConnection,
    pub target: String,
    /// With `backend_start` it names this backend and no later one of the same number.
    pub pid: i32,
    pub backend_start: String,
    pub server: Server,
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
    pub async fn open(target: &Target, access: &Access, app: &str, reads_only: bool) -> Result<Self> {
        let address = access.address(target)?;
        let options = options(target, address.expose(), access.insecure_tls)?;
        let where_to = format!("{}:{}", options.get_host(), options.get_port());
        let options = options.application_name(app).statement_cache_capacity(0).options([(DIRECT, "on")]);
        let conn = opened(target, &where_to, PgConnection::connect_with(&options), refused).await?;
        let mut this = Self {
            conn,
            target: target.name.clone(),
            pid: 0,
            backend_start: String::new(),
            server: Server::Postgres(0),
            where_to,
            limit: reads_only.then_some(SILENCE),
            busy: false,
            lost: false,
        };
        let failed = |error: SqlError| error.failure("preparing the connection", &target.name);
        // Before the first setting: behind a pooler they would be those of other programs' sessions, too.
        if !this.is_direct().await.map_err(failed)? {
            return Err(Failure::new(Kind::Target, format!("target {} at {} is a pooler", target.name, this.where_to))
                .cause("what is set for a session of backout would be set for the next program on the same connection")
                .hint("give the address of the server itself, not of PgBouncer or the like in front of it"));
        }
        this.settle_session(reads_only).await.map_err(failed)?;
        Ok(this)
    }

    /// Whether the server has what was said to it when the connection was opened: a pooler keeps that to itself.
    async fn is_direct(&mut self) -> Result<bool, SqlError> {
        let row =
            self.conn.fetch_one(operator_sql(&format!("select current_setting('{DIRECT}', true) = 'on'"))).await?;
        Ok(row.try_get::<Option<bool>, _>(0)?.unwrap_or(false))
    }

    async fn settle_session(&mut self, reads_only: bool) -> Result<(), SqlError> {
        let statement = if reads_only { CHECK_MS } else { 0 };
        for (name, value) in [
            ("statement_timeout", statement.to_string()),
            ("lock_timeout", "2000".to_owned()),
            ("idle_in_transaction_session_timeout", "300000".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
            // A catalog query is over before it is compiled, and some are asked under a lock.
            ("jit", "off".to_owned()),
        ] {
            self.send(&format!("set {name} = {value}")).await?;
        }
        if reads_only {
            self.send("set default_transaction_read_only = on").await?;
        }
        self.send(SURVIVES).await?;
        // An autovacuum gives way to whom it has kept waiting for that long; a superuser may want it sooner.
        let _ = self.send(SOONER).await;
        // A role of the name of our schema finds it first: what it makes there is in nobody's way, and nobody finds it.
        let own =
            "select set_config('search_path', coalesce(string_agg(quote_ident(name), ', ' order by at), ''), false)
             from unnest(current_schemas(false)) with ordinality as s(name, at) where name <> 'backout'
             having current_user = 'backout'";
        self.send(own).await?;
        // Not on every platform, and not before version 14: a help where it is there.
        let _ = self.send("set client_connection_check_interval = 1000").await;
        let row = self.conn.fetch_one(SELF).await?;
        self.pid = row.try_get(0)?;
        self.backend_start = row.try_get(1)?;
        self.server = Server::Postgres(row.try_get::<i32, _>(2)?.unsigned_abs() / 10_000);
        Ok(())
    }

    pub fn unusable(&self) -> bool {
        self.lost || self.busy
    }

    pub(super) async fn rows(&mut self, sql: &RenderedSql, limit: Option<u64>) -> Result<Vec<Row>, SqlError> {
        let limit = limit.map(|n| format!(" limit {n}")).unwrap_or_default();
        // The line breaks matter: a statement may end in a comment.
        let text = format!("select to_jsonb(q)::text from (\n{}\n) q{limit}", sql.sql.trim_end_matches(';'));
        let mut query = sqlx::query(operator_sql(&text));
        for bind in &sql.binds {
            query = query.bind(text_of(&bind.value));
        }
        let rows = within(self.limit, query.fetch_all(&mut self.conn)).await;
        self.noted(rows)?.iter().map(json_row).collect()
    }

    pub(super) async fn execute(&mut self, sql: &RenderedSql) -> Result<u64, SqlError> {
        let mut query = sqlx::query(operator_sql(&sql.sql));
        for bind in &sql.binds {
            query = query.bind(text_of(&bind.value));
        }
        let done = within(self.limit, query.execute(&mut self.conn)).await;
        self.noted(done).map(|done| done.rows_affected())
    }

    pub(super) async fn parse(&mut self, sql: &str) -> Result<(), SqlError> {
        let parsed = within(self.limit, self.conn.prepare(operator_sql(sql))).await;
        self.noted(parsed).map(|_| ())
    }

    /// The columns of a read, each with its type as SQL writes it.
    ///
    /// # Errors
    /// The server's words.
    pub async fn column_types(&mut self, sql: &str) -> Result<Vec<(String, String)>, SqlError> {
        let parsed = within(self.limit, self.conn.prepare(operator_sql(sql))).await;
        let mut columns = Vec::new();
        for column in self.noted(parsed)?.columns() {
            let oid = column.type_info().oid().map_or(25, |oid| oid.0);
            columns.push((column.name().to_owned(), oid));
        }
        let mut typed = Vec::new();
        for (name, oid) in columns {
            let row = self.conn.fetch_one(operator_sql(&format!("select format_type({oid}, null)"))).await?;
            typed.push((name, row.try_get(0)?));
        }
        Ok(typed)
    }

    async fn send(&mut self, sql: &str) -> Result<(), SqlError> {
        let done = within(self.limit, self.conn.execute(operator_sql(sql))).await;
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
        let is = |name: &str| row.get(name).and_then(Value::as_bool).unwrap_or(false);
        let (database, user, standby) = (text("db"), text("usr"), is("standby"));
        // Not every hosted server lets it be read; without it nothing can be declared a rehearsal.
        let system = self.own("select system_identifier::text as id from pg_control_system()").await;
        let system = system.ok().and_then(|row| row.get("id").map(as_text));
        let identity = match &system {
            Some(system) => format!("{system}/{database}"),
            None => format!("{}/{database}", self.where_to),
        };
        // Not of the last checkpoint: that one may still tell of the time before a promotion.
        let timeline = match standby {
            true => None,
            false => self.own(TIMELINE).await.ok().and_then(|row| row.get("timeline")?.as_u64()?.try_into().ok()),
        };
        let lacks = if is("has_marker") { None } else { self.lacks().await };
        let declared = if system.is_some() && is("has_environment") { self.declared(&identity).await } else { None };
        Ok(Identity {
            seen: TargetSeen {
                name: self.target.clone(),
                server: format!("PostgreSQL {}", text("version").split_whitespace().next().unwrap_or_default()),
                words: format!(
                    "{database} @ {} as {user}, {}",
                    self.where_to,
                    if standby { "standby" } else { "primary" }
                ),
                identity,
                timeline,
            },
            kind: TargetKind::Postgres,
            environment: if declared.is_some() { Environment::Rehearsal } else { Environment::Production },
            nonce: declared,
            standby,
            read_only: is("read_only"),
            encrypted: row.get("ssl").and_then(Value::as_bool),
            sees_sessions: is("sees_all"),
            has_marker: is("has_marker"),
            lacks,
        })
    }

    /// Which rights the role lacks where the tables are there; `None` where they are not, or where nobody tells.
    async fn lacks(&mut self) -> Option<String> {
        let row = self.own(RIGHTS).await.ok()?;
        let mut lacks: Vec<_> = row.get("lacks").map(as_text).filter(|lacks| !lacks.is_empty()).into_iter().collect();
        if row.get("usable").is_some_and(|usable| usable == false) {
            lacks.insert(0, "USAGE on schema backout".to_owned());
        }
        (!lacks.is_empty()).then(|| format!("the role lacks {}", lacks.join(", ")))
    }

    /// The nonce of the declaration that names this very database; none for anything else, an error included.
    async fn declared(&mut self, identity: &str) -> Option<String> {
        let table = Place::Schema.table(ENVIRONMENT);
        let sql = format!(
            "select nonce from {table} where environment = 'rehearsal' and identity = '{}'",
            identity.replace('\'', "''")
        );
        self.own(&sql).await.ok().and_then(|row| row.get("nonce").map(as_text))
    }

    async fn own(&mut self, sql: &str) -> Result<Row, SqlError> {
        let sql = RenderedSql { sql: sql.to_owned(), binds: Vec::new() };
        self.rows(&sql, Some(1)).await?.into_iter().next().ok_or_else(|| SqlError::new("no row"))
    }
}

const SELF: &str = "select pid, backend_start::text, current_setting('server_version_num')::int
    from pg_stat_get_activity(pg_backend_pid())";

/// What a role or a database may be set to and no step must meet: time limits that not every version has, by which a
/// build would end in an index that is not valid, and commits that a crash of the server takes back.
const SURVIVES: &str = "select set_config(name, value, false)
    from (values ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('synchronous_commit', 'local')) v(name, value)
    where current_setting(name, true) is not null
      and (name <> 'synchronous_commit' or current_setting(name, true) = 'off')";

// Whoever may not use the schema is told that nothing is there for him, not that the question is forbidden: to_regclass
// would say the latter.
const IDENTITY: &str =
    "with own as (select c.oid, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'backout' and has_schema_privilege(n.oid, 'usage'))
    select current_database() as db, current_user as usr, pg_is_in_recovery() as standby,
    current_setting('server_version') as version,
    (select reset_val = 'on' from pg_settings where name = 'default_transaction_read_only') as read_only,
    (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as ssl,
    pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all,
    exists (select from own where relname = 'environment') as has_environment,
    (select count(*) from own where relname = 'marker'
        and has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
      or relname = 'claim' and has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
        and has_table_privilege(oid, 'update')) = 2 as has_marker";

/// Every right that a claim and a marker need, and whether the role has it. No row: the tables are not there.
const RIGHTS: &str = "select coalesce(string_agg(w.what || ' on backout.' || w.tbl, ', ' order by w.tbl, w.what)
        filter (where not has_table_privilege(c.oid, w.what)), '') as lacks,
      bool_and(has_schema_privilege(n.oid, 'usage')) as usable
    from (values ('marker', 'SELECT'), ('marker', 'INSERT'), ('claim', 'SELECT'), ('claim', 'INSERT'),
      ('claim', 'UPDATE')) w(tbl, what)
    join pg_namespace n on n.nspname = 'backout'
    join pg_class c on c.relnamespace = n.oid and c.relname = w.tbl
    having count(*) = 5";

const TIMELINE: &str = "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint as timeline";

/// Declares this database a rehearsal: only what its own server says it is makes the row count.
///
/// # Errors
/// The server's words.
pub async fn declare_rehearsal(connection: &mut Connection, nonce: &str) -> Result<()> {
    let identity = connection.identity().await?.seen.identity;
    let table = Place::Schema.table(ENVIRONMENT);
    let quoted = |text: &str| text.replace('\'', "''");
    for sql in [
        "create schema if not exists backout".to_owned(),
        format!(
            "create table if not exists {table} (environment text not null, identity text not null, nonce text not null)"
        ),
        format!("delete from {table}"),
        format!("insert into {table} values ('rehearsal', '{}', '{}')", quoted(&identity), quoted(nonce)),
    ] {
        let target = connection.target.clone();
        connection.send(&sql).await.map_err(|e| e.failure("declaring the rehearsal", &target))?;
    }
    Ok(())
}

fn text_of(value: &Value) -> Option<String> {
    if value.is_null() { None } else { Some(as_text(value)) }
}

fn json_row(row: &PgRow) -> Result<Row, SqlError> {
    let text: String = row.try_get(0)?;
    serde_json::from_str(&text).map_err(|error| SqlError::new(format!("the row is not a record: {error}")))
}

/// Reads the address and decides on TLS.
fn options(target: &Target, address: &str, insecure_tls: bool) -> Result<PgConnectOptions> {
    let broken = || {
        Failure::new(Kind::Target, format!("the address of target {} is not a PostgreSQL address", target.name))
            .hint("it has the form postgres://USER:PASSWORD@HOST:PORT/DATABASE; special characters are percent-encoded")
    };
    if !(address.starts_with("postgres://") || address.starts_with("postgresql://")) {
        return Err(broken());
    }
    let options = PgConnectOptions::from_str(address).map_err(|_| broken())?;
    let host = options.get_host();
    let local = options.get_socket().is_some() || host.starts_with('/') || is_loopback(host);
    if local || insecure_tls {
        return Ok(options);
    }
    match asked_tls(address) {
        None | Some("verify-full") => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
        Some(mode) => Err(proves_nothing(target, "sslmode", mode, "use sslmode=verify-full (with sslrootcert=FILE)")),
    }
}

fn refused(target: &Target, where_to: &str, error: &SqlError) -> Failure {
    let hint = match error.code.as_deref() {
        Some("28P01" | "28000") => "look at the user and the password in the address, and at pg_hba.conf",
        Some("3D000") => "look at the database name in the address",
        Some("53300") => "the server has no connection left: end one, or raise max_connections",
        // PgBouncer's words and those of RDS Proxy.
        Some("08P01" | "0A000") if error.message.contains("options") => {
            "a pooler stands in front of the server: give the address of the server itself"
        }
        Some("57P03") => "the server is starting or stopping: try again",
        _ if error.message.starts_with("TLS") => "look at the server's certificate and at sslrootcert in the address",
        _ => "look at host and port in the address, and whether the server runs",
    };
    Failure::new(Kind::Target, format!("target {} at {where_to} cannot be opened", target.name))
        .cause(error.words())
        .hint(hint)
}
