//! Targets that are not there: refused is said at once, silence at its own limit, and neither holds up the others.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support;

/// Nobody listens there; a free port may be another test's a moment later.
const REFUSED: &str = "127.0.0.1:1";
/// What a survey takes at most where whatever does not answer is refused, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(3);
/// What the silence of one target may cost: its limit of five seconds, once, and not once for each question.
const ONE_LIMIT: Duration = Duration::from_secs(9);

const RUNBOOK: &str = r#"
backout: 1
name: down
title: Something does not answer
migration: { up: { postgres: [up.sql], sqlite: [up.sql] } }
targets:
  shop: { DIALECT: "${SHOP}" }
  bus: { kafka: "${BROKERS}" }
services:
  checkout: { runs: v1, sessions: "checkout*", uses: [orders.payment_ref, orders.status] }
  loyalty: { group: loyalty, reads: { order-events: { requires: [order_id] } } }
  old-loyalty: { gone: true, group: old-loyalty }
checks:
  orders: { layer: data, on: shop, title: The orders are there, query: "SELECT count(*) FROM orders", expect: 1 }
  stuck: { layer: data, on: shop, title: None is stuck, query: "SELECT count(*) FROM orders WHERE status = 'stuck'", expect: 0 }
  lag: { layer: events, on: bus, title: Loyalty has caught up, group: { name: loyalty, lag: order-events }, expect: "<= 5" }
  stopped: { layer: events, on: bus, title: Loyalty has no member, group: { name: loyalty, state: empty } }
  readable: { layer: events, on: bus, title: Every shape can be read, shapes: { topic: order-events }, expect: readable }
steps:
  - id: rename-back
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [orders, stuck]
  - id: caught-up
    phase: release
    layer: service
    title: Let loyalty read
    command: [kubectl, scale, deploy/loyalty, --replicas=1]
    undo: { command: [kubectl, scale, deploy/loyalty, --replicas=0] }
    verify: [lag, stopped, readable]
"#;

struct Bench {
    dir: tempfile::TempDir,
}

/// A survey's lines, each with how long it took to come, and its exit code.
struct Told {
    lines: Vec<(Duration, String)>,
    code: Option<i32>,
    took: Duration,
}

impl Bench {
    fn on(dialect: &str) -> Self {
        let dir = support::state_dir();
        std::fs::write(dir.path().join("runbook.yaml"), RUNBOOK.replace("DIALECT", dialect)).unwrap();
        let up = ["a", "b", "c", "d"].map(|column| format!("ALTER TABLE orders ADD COLUMN {column} text;\n"));
        std::fs::write(dir.path().join("up.sql"), up.concat()).unwrap();
        Self { dir }
    }

    fn sqlite(&self) -> String {
        let path: PathBuf = self.dir.path().join("shop.db");
        let url = format!("sqlite://{}", path.display());
        let create = format!("{url}?mode=rwc");
        support::blocking(async move {
            use sqlx::Connection;
            let mut shop = sqlx::SqliteConnection::connect(&create).await.unwrap();
            let script = "CREATE TABLE orders (id integer, payment_ref text, status text); INSERT INTO orders VALUES (1, 'p', 'paid')";
            sqlx::raw_sql(script).execute(&mut shop).await.unwrap();
            shop.close().await.unwrap();
        });
        url
    }

    fn backout(&self, verb: &str, shop: &str, brokers: &str) -> Told {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_backout"))
            .arg(verb)
            .arg(self.dir.path())
            .envs([("SHOP", shop), ("BROKERS", brokers)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|l| (began.elapsed(), l.unwrap()));
        let lines = lines.collect();
        let code = child.wait().unwrap().code();
        Told { lines, code, took: began.elapsed() }
    }

    fn survey(&self, shop: &str, brokers: &str) -> Told {
        self.backout("survey", shop, brokers)
    }
}

impl Told {
    fn text(&self) -> String {
        self.lines.iter().map(|(at, line)| format!("{:5} ms  {line}\n", at.as_millis())).collect()
    }

    /// When the line came that has all these words.
    fn at(&self, words: &[&str]) -> Duration {
        let found = self.lines.iter().find(|(_, line)| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("no line says {words:?}:\n{}", self.text())).0
    }
}

/// A port that takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_refused_broker_is_said_at_once() {
    let bench = Bench::on("sqlite");
    let shop = bench.sqlite();
    let told = bench.survey(&shop, REFUSED);
    assert_eq!(told.code, Some(8), "{}", told.text());
    assert!(told.took < AT_ONCE, "{:?}\n{}", told.took, told.text());
    told.at(&["bus", "DOWN", "cannot reach it"]);
    told.at(&["because: 127.0.0.1:1: Connection refused"]);
    told.at(&["✓ pass", "The orders are there"]);
    for title in ["Loyalty has caught up", "Loyalty has no member", "Every shape can be read", "old-loyalty gone"] {
        told.at(&["? unknown", title, "Connection refused"]);
    }
    let doctor = bench.backout("doctor", &shop, REFUSED);
    assert!(doctor.took < AT_ONCE, "{:?}\n{}", doctor.took, doctor.text());
    doctor.at(&["bus", "DOWN", "127.0.0.1:1: Connection refused"]);
}

#[test]
fn a_silent_broker_holds_up_only_its_own_lines() {
    let bench = Bench::on("sqlite");
    let (_broker, address) = silent();
    let told = bench.survey(&bench.sqlite(), &address);
    assert_eq!(told.code, Some(8), "{}", told.text());
    assert!(told.at(&["✓ pass", "The orders are there"]) < AT_ONCE, "{}", told.text());
    assert!(told.at(&["done", "rename-back"]) < AT_ONCE, "{}", told.text());
    assert!(told.at(&["PRODUCTION, until every target has said what it is"]) < AT_ONCE, "{}", told.text());
    for title in ["Loyalty has caught up", "Loyalty has no member", "Every shape can be read", "old-loyalty gone"] {
        assert!(told.at(&["? unknown", title, &address]) > Duration::from_secs(4), "{}", told.text());
    }
    assert!(told.took < ONE_LIMIT, "{:?}\n{}", told.took, told.text());
}

#[test]
fn a_refused_database_is_said_at_once() {
    let bench = Bench::on("postgres");
    let told = bench.survey(&format!("postgres://oncall@{REFUSED}/shop"), REFUSED);
    assert_eq!(told.code, Some(8), "{}", told.text());
    assert!(told.took < AT_ONCE, "{:?}\n{}", told.took, told.text());
    told.at(&["shop", "DOWN", "cannot be opened", "127.0.0.1:1"]);
    told.at(&["? unknown", "None is stuck", "Connection refused"]);
}

#[test]
fn a_silent_database_takes_its_limit_once_and_holds_up_no_broker() {
    let bench = Bench::on("postgres");
    let (_database, address) = silent();
    let told = bench.survey(&format!("postgres://oncall@{address}/shop"), REFUSED);
    assert_eq!(told.code, Some(8), "{}", told.text());
    told.at(&["? unknown", "None is stuck", &format!("no answer from {address} within 5 s")]);
    assert!(told.at(&["? unknown", "Loyalty has caught up", "Connection refused"]) < AT_ONCE, "{}", told.text());
    assert!(told.took < ONE_LIMIT, "{:?}\n{}", told.took, told.text());
}

/// As a server whose network is gone in the middle: it took the connection and answered, and then there is silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_lost_and_found_again() {
    use backout::target::{Access, Targets};
    let Some(database) = support::postgres_database("down") else { return };
    let (host, rest) = database.url.split_once('@').map(|(user, rest)| (user.to_owned(), rest.to_owned())).unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::to(server);
    let bench = Bench::on("postgres");
    let loaded = backout::runbook::load_str("runbook.yaml", &RUNBOOK.replace("DIALECT", "postgres"), bench.dir.path());
    let runbook = std::sync::Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")).runbook);
    let access = Access {
        env: [("SHOP".to_owned(), format!("{host}@{}/{name}", proxy.address))].into(),
        run: "down".into(),
        runbook: runbook.name.clone(),
        incident: None,
        run_dir: PathBuf::new(),
        insecure_tls: false,
        stand_ins: None,
    };
    let targets = Targets::new(runbook, std::sync::Arc::new(access));
    targets.identity("shop").await.unwrap();
    proxy.stall(true);
    let began = Instant::now();
    let failure = targets.identity("shop").await.unwrap_err();
    assert!(failure.to_string().contains("the connection is silent: no answer within 7 s"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    proxy.stall(false);
    targets.identity("shop").await.unwrap();
}

/// Between a client and a server: passes bytes on, or keeps them for itself.
struct Proxy {
    address: String,
    stalled: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Proxy {
    fn to(server: &str) -> Self {
        use std::sync::atomic::Ordering;
        let (listener, address) = silent();
        let stalled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (server, stall) = (server.to_owned(), stalled.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let there = std::net::TcpStream::connect(&server).unwrap();
                for (mut from, mut to) in [(client.try_clone().unwrap(), there.try_clone().unwrap()), (there, client)] {
                    let stall = stall.clone();
                    std::thread::spawn(move || {
                        let mut bytes = [0; 8192];
                        while let Ok(n @ 1..) = std::io::Read::read(&mut from, &mut bytes) {
                            if stall.load(Ordering::Acquire) {
                                // For this connection the network is gone for good.
                                std::thread::sleep(Duration::from_secs(60));
                                return;
                            }
                            if std::io::Write::write_all(&mut to, &bytes[..n]).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { address, stalled }
    }

    fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, std::sync::atomic::Ordering::Release);
    }
}
