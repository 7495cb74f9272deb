//! Servers of one test alone, for what a shared one cannot bear: a restart, a crash, a standby, a promotion.
//!
//! Each ends with the test that started it, whatever becomes of the test; its folder goes with it.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use backout::rehearsal::postgres::{as_user, binaries, die_with_parent, user_for_server};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, MySqlConnection, PgConnection};
use tempfile::TempDir;

use super::{PATIENCE, eventually};
use crate::support;

/// A server and how it is started again.
pub struct Server {
    child: Option<Child>,
    home: TempDir,
    kind: Kind,
    port: u16,
    settings: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Mariadb,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// In order, without waiting for its clients.
    Fast,
    /// As a crash: what comes next is a recovery.
    Crash,
}

impl Server {
    pub async fn postgres(settings: &[&str]) -> Option<Self> {
        support::server("faults", support::POSTGRES)?;
        let server = Self::new(Kind::Postgres, settings);
        let password = server.file("password");
        std::fs::write(&password, "backout").unwrap();
        own(&password);
        let mut made = server.program("initdb");
        made.args(["-U", "backout", "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync"]);
        made.arg("--pwfile").arg(password).arg("-D").arg(server.file("data"));
        whole(made);
        Some(server.up().await)
    }

    /// A hot standby of this server, that keeps a slot `standby` there and streams.
    pub async fn standby(&self) -> Self {
        let standby = Self::new(Kind::Postgres, &["wal_receiver_status_interval=1s"]);
        let mut copied = standby.program("pg_basebackup");
        let from = format!("{}?application_name=standby", self.first());
        copied.args(["-R", "-X", "stream", "-c", "fast", "-C", "-S", "standby", "--no-sync", "-d", &from]);
        copied.arg("-D").arg(standby.file("data"));
        whole(copied);
        standby.up().await
    }

    pub async fn mariadb(settings: &[&str]) -> Option<Self> {
        support::server("faults", support::MYSQL)?;
        let server = Self::new(Kind::Mariadb, settings);
        let mut made = server.program("mariadb-install-db");
        made.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        made.arg(format!("--datadir={}", server.file("data").display()));
        whole(made);
        std::fs::write(
            server.file("first.sql"),
            "CREATE DATABASE IF NOT EXISTS backout;
             CREATE USER IF NOT EXISTS 'backout'@'127.0.0.1' IDENTIFIED BY 'backout';
             GRANT ALL PRIVILEGES ON *.* TO 'backout'@'127.0.0.1' WITH GRANT OPTION;",
        )
        .unwrap();
        own(&server.file("first.sql"));
        Some(server.up().await)
    }

    fn new(kind: Kind, settings: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("backout-faults.").tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        own(home.path());
        let settings = settings.iter().map(|one| (*one).to_owned()).collect();
        Self { child: None, home, kind, port: 0, settings }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, database: &str) -> String {
        let kind = if self.kind == Kind::Postgres { "postgres" } else { "mysql" };
        format!("{kind}://backout:backout@{}/{database}", self.address())
    }

    /// The address of its first database.
    pub fn first(&self) -> String {
        self.url(if self.kind == Kind::Postgres { "postgres" } else { "backout" })
    }

    /// Stops, and is up again at the same address.
    pub async fn restarts(&mut self, stop: Stop) {
        self.stops(stop);
        self.serve();
        assert!(self.answers().await, "it does not come up again: {}", self.said());
    }

    pub fn stops(&mut self, stop: Stop) {
        let Some(mut child) = self.child.take() else { return };
        let signal = match (self.kind, stop) {
            (Kind::Postgres, Stop::Fast) => Signal::INT,
            (Kind::Postgres, Stop::Crash) => Signal::QUIT,
            (Kind::Mariadb, Stop::Fast) => Signal::TERM,
            (Kind::Mariadb, Stop::Crash) => Signal::KILL,
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
        child.wait().unwrap();
    }

    /// Keeps its files as they are when it has stopped.
    pub fn is_copied(&mut self, stop: Stop) {
        self.stops(stop);
        self.copies("data", "backup");
    }

    /// Its files are again as they were kept.
    pub fn is_restored(&self) {
        std::fs::remove_dir_all(self.file("data")).unwrap();
        self.copies("backup", "data");
    }

    /// Files of its databases whose names begin so.
    pub fn files(&self, begin: &str) -> Vec<PathBuf> {
        let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin));
        entries(self.file("data")).flat_map(entries).filter(named).collect()
    }

    fn copies(&self, from: &str, to: &str) {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.file(from)).arg(self.file(to));
        whole(copy);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// One of the server's programs, as the user that it runs as.
    fn program(&self, name: &str) -> Command {
        let program = match self.kind {
            Kind::Postgres => binaries().expect("a server is given, and no binaries of one are here").join(name),
            Kind::Mariadb => PathBuf::from(name),
        };
        let mut command = as_user(Command::new(program), user_for_server());
        command.current_dir(self.home.path()).stdin(Stdio::null()).env("PATH", paths());
        // A MariaDB that starts deletes what others have in the folder for temporary files.
        command.env("TMPDIR", self.home.path());
        command
    }

    /// The port is free when it is chosen, and may be taken a moment later.
    async fn up(mut self) -> Self {
        for _ in 0..3 {
            self.port = free_port();
            self.serve();
            if self.answers().await {
                return self;
            }
            self.stops(Stop::Crash);
        }
        panic!("it does not come up: {}", self.said())
    }

    fn serve(&mut self) {
        let log = File::create(self.file("log")).unwrap();
        let data = self.file("data");
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = self.program("postgres");
                command.arg("-D").arg(data).args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", "", "-F"]);
                for setting in ["shared_buffers=16MB", "max_wal_senders=4", "autovacuum=off", "timezone=UTC"]
                    .into_iter()
                    .chain(self.settings.iter().map(String::as_str))
                {
                    command.args(["-c", setting]);
                }
                command
            }
            Kind::Mariadb => {
                let mut command = self.program("mariadbd");
                command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
                command.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-method=nosync"]);
                command.arg(format!("--port={}", self.port)).arg(format!("--datadir={}", data.display()));
                command.args(self.settings.iter().map(|setting| format!("--{setting}")));
                for (option, file) in [("socket", "socket"), ("pid-file", "pid"), ("init-file", "first.sql")] {
                    command.arg(format!("--{option}={}", self.file(file).display()));
                }
                command
            }
        };
        command.stdout(log.try_clone().unwrap()).stderr(log);
        die_with_parent(&mut command);
        self.child = Some(command.spawn().unwrap());
    }

    /// False: it has ended.
    async fn answers(&mut self) -> bool {
        let (url, postgres) = (self.first(), self.kind == Kind::Postgres);
        let began = std::time::Instant::now();
        loop {
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            let up = match postgres {
                true => PgConnection::connect(&url).await.is_ok(),
                false => MySqlConnection::connect(&url).await.is_ok(),
            };
            if up {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "no answer: {}", self.said());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Makes a primary of a standby.
    pub async fn is_promoted(&self) {
        let mut own = PgConnection::connect(&self.first()).await.unwrap();
        sqlx::raw_sql("SELECT pg_promote()").execute(&mut own).await.unwrap();
        eventually("the promotion", async || {
            sqlx::query_scalar("SELECT NOT pg_is_in_recovery()").fetch_one(&mut own).await.unwrap()
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stops(Stop::Crash);
    }
}

/// Gives a file to the user that servers run as.
fn own(path: &Path) {
    if let Some((uid, gid)) = user_for_server() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn whole(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn paths() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from))).unwrap()
}

/// Below the ephemeral range, so that no client's own socket takes it while the server is down.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + rand::random::<u16>() % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
