//! What a test takes from the servers that `tests/run` started: a database of its own, names of its own on the broker, a
//! directory for state.
//!
//! A variable that is not set means that the server is not there. The suite then says so and the test returns; under
//! `CI=true` it fails. Everything here may be called inside a runtime and outside one.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};
use tempfile::TempDir;

pub const POSTGRES: &str = "BACKOUT_TEST_POSTGRES_URL";
pub const MYSQL: &str = "BACKOUT_TEST_MYSQL_URL";
pub const KAFKA: &str = "BACKOUT_TEST_KAFKA";

/// The address in `variable`, or `None` after saying once for each suite that it is skipped.
pub fn server(suite: &str, variable: &str) -> Option<String> {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if let Ok(address) = std::env::var(variable)
        && !address.is_empty()
    {
        return Some(address);
    }
    let skipped = format!("skipped: {suite}: {variable} is not set");
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{skipped}, and under CI=true nothing may be skipped");
    if SAID.lock().unwrap().insert(skipped.clone()) {
        // Past the test harness, which keeps what a passing test prints to itself.
        std::io::stderr().write_all(format!("{skipped}\n").as_bytes()).unwrap();
    }
    None
}

/// A name that no other test, run or process on these servers has: lower case, digits and `_`, under 60 bytes.
pub fn unique(suite: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let suite: String =
        suite.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).take(24).collect();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("t_{suite}_{pid}_{started:x}_{n}")
}

/// A directory for the runs of one test, removed with it.
pub fn state_dir() -> TempDir {
    tempfile::Builder::new().prefix("backout-state.").tempdir().unwrap()
}

/// An empty database of one test, dropped with this value whoever is still connected.
pub struct Database {
    /// The address of the database, with user and password.
    pub url: String,
    pub name: String,
    server: String,
}

/// A database of its own on the PostgreSQL server. The user is a superuser: roles are the test's to make and to drop.
pub fn postgres_database(suite: &str) -> Option<Database> {
    Database::create(suite, server(suite, POSTGRES)?)
}

/// A database of its own on the MariaDB server. The user has every privilege.
pub fn mysql_database(suite: &str) -> Option<Database> {
    Database::create(suite, server(suite, MYSQL)?)
}

impl Database {
    /// On the server at this address, by a user who may create one.
    pub fn create(suite: &str, server: String) -> Option<Self> {
        let name = unique(suite);
        // template0, as any connection to template1 would stop the copy.
        let template = if server.starts_with("postgres") { " TEMPLATE template0" } else { "" };
        administer(&server, format!("CREATE DATABASE {name}{template}")).unwrap();
        let (host, _) = server.rsplit_once('/').expect("the server's address ends in /database");
        Some(Self { url: format!("{host}/{name}"), name, server })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let force = if self.server.starts_with("postgres") { " WITH (FORCE)" } else { "" };
        let name = &self.name;
        // A test that stopped the server, or that fails already, is not made to fail here.
        if let Err(error) = administer(&self.server, format!("DROP DATABASE IF EXISTS {name}{force}")) {
            eprintln!("database {name} stays: {error}");
        }
    }
}

fn administer(server: &str, statement: String) -> sqlx::Result<()> {
    let (server, statement) = (server.to_owned(), AssertSqlSafe(statement));
    blocking(async move {
        if server.starts_with("postgres") {
            let mut connection = PgConnection::connect(&server).await?;
            sqlx::raw_sql(statement).execute(&mut connection).await?;
            connection.close().await
        } else {
            let mut connection = MySqlConnection::connect(&server).await?;
            sqlx::raw_sql(statement).execute(&mut connection).await?;
            connection.close().await
        }
    })
}

/// The future's result, by a thread and a runtime of its own: a runtime cannot be entered twice on one thread.
pub fn blocking<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let run = move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    std::thread::spawn(run).join().unwrap()
}

/// The broker, and names on it that are this test's alone. Topics stay until the broker goes.
pub struct Broker {
    /// `host:port`
    pub brokers: String,
    prefix: String,
}

pub fn kafka(suite: &str) -> Option<Broker> {
    Some(Broker { brokers: server(suite, KAFKA)?, prefix: unique(suite) })
}

impl Broker {
    /// The name of a topic, a group or a transactional id.
    pub fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }
}
