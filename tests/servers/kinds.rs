//! Every kind of step and check in one run of the real program, on PostgreSQL, with an HTTP service beside it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use backout::target::{Access, Handle, Targets, postgres};
use sqlx::{Connection, PgConnection};

use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: kinds
title: One of each
targets:
  shop: { postgres: "${SHOP}" }
  payouts: { records: "${PAYOUTS}", key: ref }
  desk: { http: "${DESK}" }
services:
  cart-v2: { gone: true, sessions: "cart-v2*" }
vars:
  rate: { type: integer, ask: "How many a minute?" }
readings:
  orders: { on: shop, query: "SELECT count(*) FROM orders" }
sets:
  stuck:
    on: shop
    key: id
    query: |
      SELECT id, amount FROM orders WHERE status = 'stuck'
  judged:
    compare: { ours: stuck, theirs: payouts, by: { id: order_id } }
    classes:
      paid: { found: once, theirs.state: paid, amount: equal }
      else: unpaid
checks:
  asked: { layer: data, on: shop, title: Asked, query: "SELECT {{ rate }} + 1", expect: 8 }
  counted: { layer: data, on: shop, title: Counted, count: stuck, expect: 0 }
  kept: { layer: data, on: shop, title: As many as before, reading: orders, expect: { same_as: orders } }
  tried: { layer: schema, on: shop, title: Tried, probe: "INSERT INTO orders (amount, old) VALUES (1, 'x')" }
  shaped: { layer: schema, on: shop, title: Shaped, schema: [{ column: orders.old, type: text }, { index: orders_by_old }] }
  nobody: { layer: service, on: shop, title: Nobody of v2, sessions: "cart-v2*", expect: 0 }
  closed: { layer: service, on: desk, title: The shop is closed, http: /closed, expect: "yes" }
steps:
  - id: evidence
    phase: contain
    freeze: [orders, stuck, catalog of shop]
  - id: end-v2
    phase: contain
    on: shop
    title: End what is left of v2
    session: { end: "cart-v2*" }
    verify: [nobody]
  - id: close-shop
    phase: contain
    on: desk
    title: Close the shop
    http: { method: POST, url: "/closed", body: "yes" }
    undo: { http: { method: POST, url: "/closed", body: "no" } }
    verify: [closed]
  - id: choose
    phase: repair
    title: Which way
    decide: { ask: Rename or shim?, options: [rename, shim] }
  - id: rename
    on: shop
    title: Back to the old name, with its index
    when: { choose: rename }
    needs: [{ service: cart-v2, gone: true, hard: true }]
    ddl:
      - |
        ALTER TABLE orders RENAME COLUMN new TO old
      - |
        CREATE INDEX orders_by_old ON orders (old)
    verify: [tried, shaped]
  - id: shim
    on: shop
    title: A second column instead
    when: { choose: shim }
    ddl: |
      ALTER TABLE orders ADD COLUMN shim text
  - id: judge
    title: Who was paid
    reconcile: judged
  - id: settle-paid
    on: shop
    title: Those are done
    change:
      set: judged[paid]
      sql: |
        UPDATE orders AS o SET status = 'done' FROM {{ set }} AS s WHERE o.id = s.id AND o.status = 'stuck'
    verify: [kept]
  - id: reopen-unpaid
    on: shop
    title: Those are open again
    change:
      rows: "<= 5"
      sql: |
        UPDATE orders SET status = 'open' WHERE status = 'stuck'
    verify: [counted, kept, asked]
  - id: tell-customers
    on: desk
    title: Tell each that was not paid
    each: judged[unpaid]
    http:
      method: POST
      url: "/tell/{{ item.id }}"
      headers: { Idempotency-Key: "{{ item.key }}" }
      body: "order {{ item.id }} of {{ item.amount }}"
  - id: look
    title: Look at the shop
    manual: { what: "Look at the order page.", by: on-call }
    within: 30m
  - id: open-shop
    phase: release
    undo_of: close-shop
    title: Open the shop
  - id: bye
    phase: close
    title: Say what you saw
    needs: [counted, kept, tried, shaped, nobody, asked]
    manual: "Say what you saw."
    leaves:
      - { what: "The index orders_by_old", owner: shop team, remove_by: "2027-01-31" }
"#;

const ANSWERS: &str = r#"
answers: 1
vars: { rate: "7" }
steps:
  end-v2: { token: "PID" }
  close-shop: { token: "close-shop@rehearsal" }
  choose: { option: rename, reason: "No v2 reader is left." }
  rename: { token: "orders@shop" }
  settle-paid: { token: "2" }
  reopen-unpaid: { token: "3" }
  tell-customers: { token: "3 tell-customers@rehearsal", reason: "They wait for an answer." }
  look: { token: "The order page shows all orders." }
  open-shop: { token: "open-shop@rehearsal" }
  bye: { token: "All orders are there and taken." }
"#;

const PAYOUTS: &str = concat!(
    "{\"ref\":\"p1\",\"order_id\":1,\"state\":\"paid\",\"amount\":100}\n",
    "{\"ref\":\"p2\",\"order_id\":2,\"state\":\"paid\",\"amount\":200}\n",
    "{\"ref\":\"p3\",\"order_id\":3,\"state\":\"refused\",\"amount\":300}\n",
);

/// Keeps what it was asked, and tells whether the shop is closed.
struct Desk {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = kept.clone();
                std::thread::spawn(move || answer(stream.unwrap(), &kept));
            }
        });
        Self { url, asked }
    }

    fn posted(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|line| line.starts_with("POST")).cloned().collect()
    }
}

fn answer(mut stream: TcpStream, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut body = vec![0; header("content-length").map_or(0, |n| n.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let words: Vec<&str> = head[0].split(' ').collect();
    let key = if header("idempotency-key").is_some() { " keyed" } else { "" };
    kept.lock().unwrap().push(format!("{} {} {}{key}", words[0], words[1], String::from_utf8(body).unwrap()));
    let closed =
        kept.lock().unwrap().iter().rev().find_map(|line| line.strip_prefix("POST /closed ").map(str::to_owned));
    let state = closed.unwrap_or_else(|| "no".to_owned());
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{state}", state.len());
}

struct Stage {
    dir: tempfile::TempDir,
    shop: Database,
    desk: Desk,
}

impl Stage {
    async fn set(runbook: &str) -> Option<Self> {
        let shop = support::postgres_database("kinds")?;
        let mut sql = PgConnection::connect(&shop.url).await.unwrap();
        for statement in [
            "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount int, new text, status text NOT NULL DEFAULT 'open')",
            "INSERT INTO orders (amount, status) SELECT 100 * n, CASE WHEN n < 6 THEN 'stuck' ELSE 'done' END FROM generate_series(1, 10) n",
        ] {
            sqlx::raw_sql(statement).execute(&mut sql).await.unwrap();
        }
        let stage = Self { dir: support::state_dir(), shop, desk: Desk::open() };
        std::fs::write(stage.path("runbook.yaml"), runbook).unwrap();
        std::fs::write(stage.path("payouts.jsonl"), PAYOUTS).unwrap();
        stage.declare().await;
        Some(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn env(&self) -> BTreeMap<String, String> {
        let payouts = self.path("payouts.jsonl").display().to_string();
        [("SHOP", self.shop.url.clone()), ("PAYOUTS", payouts), ("DESK", self.desk.url.clone())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// The database says itself that it is a rehearsal: else no answer from a file counts.
    async fn declare(&self) {
        let runbook = match backout::runbook::load(&self.path("runbook.yaml")) {
            Ok(loaded) => loaded.runbook,
            Err(diagnostics) => panic!("{diagnostics}"),
        };
        let runbook = Arc::new(runbook);
        let access = Access {
            env: self.env(),
            run: "kinds".into(),
            runbook: runbook.name.clone(),
            incident: None,
            run_dir: PathBuf::new(),
            insecure_tls: false,
            stand_ins: None,
        };
        let targets = Targets::new(runbook, Arc::new(access));
        targets.install("shop").await.unwrap();
        let Handle::Postgres(mut connection) = targets.dedicated("shop", "backout/kinds").await.unwrap() else {
            panic!("another kind of target");
        };
        postgres::declare_rehearsal(&mut connection, "kinds").await.unwrap();
    }

    fn run(&self, answers: &str) -> Output {
        std::fs::write(self.path("answers.yaml"), answers).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg("run").arg(self.path("runbook.yaml")).arg("--headless").arg("--answers");
        command.arg(self.path("answers.yaml")).arg("--state-dir").arg(self.dir.path()).envs(self.env());
        command.output().unwrap()
    }
}

fn whole(state: &Path) {
    let verified = Command::new(env!("CARGO_BIN_EXE_backout"))
        .args(["audit", "verify", "--state-dir"])
        .arg(state)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each() {
    let Some(stage) = Stage::set(RUNBOOK).await else { return };
    let straggler = format!("{}?application_name=cart-v2-7", stage.shop.url);
    let mut straggler = PgConnection::connect(&straggler).await.unwrap();

    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut straggler).await.unwrap();

    let output = stage.run(&ANSWERS.replace("PID", &pid.to_string()));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    whole(stage.dir.path());
    // The way that was not taken falls away between the two, and frees nobody.
    assert!(said.find("rename             done").unwrap() < said.find("judge              begins").unwrap(), "{said}");

    assert!(sqlx::raw_sql("SELECT 1").execute(&mut straggler).await.is_err(), "the session of v2 lives");
    let mut sql = PgConnection::connect(&stage.shop.url).await.unwrap();
    let statuses: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 1").fetch_all(&mut sql).await.unwrap();
    assert_eq!(statuses, [("done".to_owned(), 7), ("open".to_owned(), 3)], "{said}");
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0 ORDER BY attnum",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(columns, ["id", "amount", "old", "status"], "the shim was not chosen");
    assert_eq!(
        stage.desk.posted(),
        [
            "POST /closed yes",
            "POST /tell/3 order 3 of 300 keyed",
            "POST /tell/4 order 4 of 400 keyed",
            "POST /tell/5 order 5 of 500 keyed",
            "POST /closed no",
        ]
    );
}

/// What a contain step made so is a guard from then on: undone behind the run's back, no repair step begins any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_guard_holds_new_repair() {
    let slip = "  - id: slip\n    on: desk\n    title: Somebody opens the shop too early\n    \
        http: { method: POST, url: \"/closed\", body: \"no\" }\n    undo: { http: { method: POST, url: \"/closed\", body: \"yes\" } }\n  - id: settle-paid\n";
    let Some(stage) = Stage::set(&RUNBOOK.replace("  - id: settle-paid\n", slip)).await else { return };
    let straggler = format!("{}?application_name=cart-v2-8", stage.shop.url);
    let mut straggler = PgConnection::connect(&straggler).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut straggler).await.unwrap();

    let output =
        stage.run(&format!("{}  slip: {{ token: \"slip@rehearsal\" }}\n", ANSWERS.replace("PID", &pid.to_string())));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("slip               applied") && said.contains("guard closed BROKE"), "{said}");
    whole(stage.dir.path());

    let mut sql = PgConnection::connect(&stage.shop.url).await.unwrap();
    let stuck: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders WHERE status = 'stuck'").fetch_one(&mut sql).await.unwrap();
    assert_eq!(stuck, 5, "{said}");
}
