//! PostgreSQL servers of a test's own: one that asks for a password, a standby of it, one that is asked for TLS.
//!
//! What such a server says is told in its own words, with the exit code that means it, without the password, and nothing
//! has changed after it.

use std::fs::{self, File};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use backout::rehearsal::postgres::binaries;
use backout::target::{Handle, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::shop::Shop;
use crate::support;

const RUNBOOK: &str = r#"
backout: 1
name: cluster
title: The old code wants its column back
targets:
  shop: { postgres: "${SHOP}" }
checks:
  orders: { layer: data, on: shop, title: The orders are there, query: "SELECT count(*) FROM orders", expect: 1 }
steps:
  - id: rename-back
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
"#;

const PASSWORD: &str = "right-horse-51c0";
const WRONG: &str = "wrong-battery-93ae";

/// A folder for servers, of the user whom they run as: they refuse to run as root, and cannot enter root's folders.
struct Place {
    dir: tempfile::TempDir,
    bin: PathBuf,
    user: Option<(u32, u32)>,
}

/// A running server, ended by its process id.
struct Server {
    child: Child,
    data: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // QUIT ends it at once, its children with it.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let fields: Vec<_> = line.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

impl Place {
    fn new(suite: &str) -> Option<Self> {
        let Some(bin) = binaries() else {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "no initdb and postgres on this machine, and under CI=true nothing may be skipped");
            eprintln!("skipped: {suite}: no initdb and postgres on this machine");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("backout-cluster.").tempdir().unwrap();
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self { dir, bin, user })
    }

    fn as_user(&self, program: &str) -> Command {
        // Some binaries stand beside the server and not in PATH, or the other way round.
        let path = self.bin.join(program);
        let mut command = Command::new(if path.is_file() { path } else { PathBuf::from(program) });
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.dir.path()).env("PGPASSWORD", PASSWORD).env("HOME", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    fn done(&self, command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server that takes nobody without a password.
    fn primary(&self, settings: &[&str]) -> Server {
        let data = self.dir.path().join("primary");
        let secret = self.dir.path().join("password");
        fs::write(&secret, PASSWORD).unwrap();
        if let Some((uid, gid)) = self.user {
            chown(&secret, Some(uid), Some(gid)).unwrap();
        }
        let mut initdb = self.as_user("initdb");
        initdb.args(["--username=admin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        self.done(initdb.arg("--pwfile").arg(&secret).arg("--pgdata").arg(&data));
        let everywhere = "host all all all scram-sha-256\n";
        let hba = data.join("pg_hba.conf");
        fs::write(&hba, fs::read_to_string(&hba).unwrap() + everywhere).unwrap();
        self.start(data, settings)
    }

    /// A standby of a running server, made as an administrator makes one.
    fn standby(&self, primary: &Server) -> Server {
        let data = self.dir.path().join("standby");
        let mut backup = self.as_user("pg_basebackup");
        backup.args(["-h", "127.0.0.1", "-U", "admin", "-X", "stream", "-c", "fast", "--no-sync", "-R", "-p"]);
        self.done(backup.arg(primary.port.to_string()).arg("-D").arg(&data));
        self.start(data, &[])
    }

    fn start(&self, data: PathBuf, settings: &[&str]) -> Server {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let log = File::create(self.dir.path().join(format!("{port}.log"))).unwrap();
        let mut command = self.as_user("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-F"]);
        command.args(["-c", "shared_buffers=16MB", "-c", "max_connections=30"]);
        for setting in ["listen_addresses=127.0.0.1"].iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server { child: command.spawn().unwrap(), data, port };
        let began = Instant::now();
        while !server.try_sql("SELECT 1::bigint").is_ok_and(|one| one == 1) {
            if server.child.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_secs(60) {
                panic!("{}", fs::read_to_string(self.dir.path().join(format!("{port}.log"))).unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Server {
    fn url(&self, password: &str) -> String {
        format!("postgres://admin:{password}@127.0.0.1:{}/postgres", self.port)
    }

    fn try_sql(&self, sql: &str) -> sqlx::Result<i64> {
        let (url, sql) = (self.url(PASSWORD), AssertSqlSafe(sql.to_owned()));
        support::blocking(async move {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        })
    }

    /// One order, backout's tables, and the word that this is a rehearsal.
    fn fill(&self) {
        let url = self.url(PASSWORD);
        support::blocking(async move {
            let shop = Shop::with(RUNBOOK, &url, "run-setup");
            shop.sql("CREATE TABLE orders (id bigint, payment_reference_id text)").await;
            shop.sql("INSERT INTO orders VALUES (1, 'p')").await;
            shop.context.targets.install("shop").await.unwrap();
            let Handle::Postgres(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else {
                panic!()
            };
            postgres::declare_rehearsal(&mut own, "cluster").await.unwrap();
        });
    }

    fn unchanged(&self) {
        let old = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'payment_reference_id'";
        assert_eq!(self.try_sql(old).unwrap(), 1);
        for table in ["claim", "marker", "before_image"] {
            assert_eq!(self.try_sql(&format!("SELECT count(*) FROM backout.{table}")).unwrap(), 0, "{table}");
        }
    }
}

/// An operator with the address of a server.
struct Desk {
    dir: tempfile::TempDir,
    url: String,
}

impl Desk {
    fn at(url: String) -> Self {
        let dir = support::state_dir();
        fs::write(dir.path().join("runbook.yaml"), RUNBOOK).unwrap();
        let answers = "answers: 1\nsteps:\n  rename-back: { token: \"orders@shop\" }\n";
        fs::write(dir.path().join("answers.yaml"), answers).unwrap();
        Self { dir, url }
    }

    fn backout(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb).arg(self.dir.path().join("runbook.yaml")).env("SHOP", &self.url).env("BACKOUT_LOG", "trace");
        command
    }

    fn survey(&self, code: i32, words: &[&str]) {
        self.tells(&self.backout("survey").output().unwrap(), code, words);
    }

    /// A whole run, and nothing of the password in anything that it leaves behind.
    fn run(&self, code: i32, words: &[&str]) {
        let state = self.dir.path().join("state");
        let mut command = self.backout("run");
        command.arg("--headless").arg("--answers").arg(self.dir.path().join("answers.yaml"));
        self.tells(&command.arg("--state-dir").arg(&state).output().unwrap(), code, words);
        let mut files = 0;
        walk(&state, &mut |path| {
            files += 1;
            let bytes = fs::read(path).unwrap_or_default();
            assert!(!secret(&String::from_utf8_lossy(&bytes)), "{} holds the password", path.display());
        });
        assert!(files > 0, "the run left no log");
        let verified = Command::new(env!("CARGO_BIN_EXE_backout"))
            .args(["audit", "verify", "--state-dir"])
            .arg(&state)
            .output()
            .unwrap();
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    }

    fn tells(&self, output: &Output, code: i32, words: &[&str]) {
        let said = said(output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for words in words {
            assert!(said.contains(words), "it does not say {words:?}:\n{said}");
        }
        assert!(!secret(&said), "it says the password:\n{said}");
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn secret(text: &str) -> bool {
    text.contains(PASSWORD) || text.contains(WRONG)
}

fn walk(dir: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() { walk(&entry.path(), each) } else { each(&entry.path()) }
    }
}

#[test]
fn a_wrong_password_and_a_standby() {
    let Some(place) = Place::new("cluster") else { return };
    let primary = place.primary(&[]);
    primary.fill();

    let refused = ["password authentication failed for user \"admin\" (28P01)"];
    let desk = Desk::at(primary.url(WRONG));
    desk.survey(8, &[refused[0], "look at the user and the password in the address"]);
    desk.run(8, &refused);
    primary.unchanged();
    // And a user whom it does not know: the server says no more than that.
    let desk = Desk::at(primary.url(WRONG).replace("admin:", "nobody-here:"));
    desk.run(8, &["password authentication failed for user \"nobody-here\" (28P01)"]);

    let standby = place.standby(&primary);
    assert!(standby.data.join("standby.signal").is_file());
    let began = Instant::now();
    while !standby.try_sql("SELECT count(*) FROM backout.environment").is_ok_and(|n| n == 1) {
        assert!(began.elapsed() < Duration::from_secs(30), "the standby does not follow");
    }
    let desk = Desk::at(standby.url(PASSWORD));
    // It can be asked, and says what it is.
    desk.survey(0, &["standby"]);
    desk.run(8, &["shop is a standby and cannot be written to"]);
    for server in [&primary, &standby] {
        server.unchanged();
    }
    // The same on the primary is done.
    Desk::at(primary.url(PASSWORD)).run(0, &["marker read back"]);
    assert_eq!(primary.try_sql("SELECT count(*) FROM backout.marker").unwrap(), 1);
}

/// An address of this machine that is not its loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: it asks for the way only.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn off_loopback_the_server_has_to_prove_itself() {
    let Some(place) = Place::new("cluster") else { return };
    let Some(address) = own_address() else {
        eprintln!("skipped: cluster: this machine has no address but its loopback");
        return;
    };
    let listen = format!("listen_addresses=127.0.0.1,{address}");
    let primary = place.primary(&[&listen]);
    primary.fill();
    let off = |more: &str| format!("{}{more}", primary.url(PASSWORD).replace("127.0.0.1", &address.to_string()));

    // It speaks no TLS at all, and is not spoken to in the clear.
    let words = [format!("target shop at {address}:{} cannot be opened", primary.port)];
    for more in ["", "?sslmode=verify-full"] {
        let desk = Desk::at(off(more));
        desk.survey(8, &[&words[0], "TLS", "sslrootcert"]);
        desk.run(8, &[&words[0], "TLS"]);
    }
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let words = format!("target shop is off this machine and asks for sslmode={mode}");
        Desk::at(off(&format!("?sslmode={mode}"))).run(8, &[&words, "--insecure-tls"]);
    }
    primary.unchanged();

    // With TLS, but by a certificate that nobody vouches for.
    let (cert, key) = (primary.data.join("server.crt"), primary.data.join("server.key"));
    let mut openssl = place.as_user("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop", "-keyout"]);
    place.done(openssl.arg(&key).arg("-out").arg(&cert));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let data = primary.data.clone();
    drop(primary);
    let primary = place.start(data, &[&listen, "ssl=on"]);
    let desk = Desk::at(primary.url(PASSWORD).replace("127.0.0.1", &address.to_string()));
    desk.survey(8, &["TLS", "look at the server's certificate and at sslrootcert in the address"]);
    desk.run(8, &["TLS"]);
    primary.unchanged();
}
