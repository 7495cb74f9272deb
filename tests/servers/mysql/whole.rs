//! Whole runs as processes of their own, headless, on a MariaDB database that declares itself a rehearsal; killed at
//! every point of a schema change, and taken up again: nothing happens twice, and nothing is said that is not so.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout::target::{Handle, mysql};
use tokio::sync::Semaphore;

use crate::shop::Shop;
use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: shop
title: The shop
targets:
  shop: { mysql: "${SHOP}" }
sets:
  stuck:
    on: shop
    key: id
    query: |
      SELECT id, status FROM orders WHERE status = 'awaiting'
checks:
  insert-works:
    layer: schema
    on: shop
    title: The old code can take an order
    probe: |
      INSERT INTO orders (id, amount_cents, status, payment_ref) VALUES (1000000, 1, 'pending', {{ probe.key }})
  wide: { layer: schema, on: shop, title: Wide enough, schema: [{ column: orders.amount_cents, type: bigint }] }
  none-lost: { layer: data, on: shop, title: No order is lost, query: "SELECT count(*) FROM orders", expect: 603 }
steps:
  - id: evidence
    phase: contain
    freeze: [stuck, catalog of shop]
  - id: find-by-status
    on: shop
    title: Let the repair find its orders
    ddl: |
      CREATE INDEX by_status ON orders (status)
  - id: rename-back
    phase: repair
    on: shop
    title: Give the old code its column name back
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [insert-works]
  - id: widen
    on: shop
    title: Two changes that no transaction holds together
    ddl:
      - |
        ALTER TABLE orders MODIFY amount_cents bigint NOT NULL
      - |
        ALTER TABLE orders ADD COLUMN digest varchar(128) AS (sha2(repeat(status, 300000), 512)) STORED
    verify: [wide, none-lost]
  - id: drop-index
    phase: release
    undo_of: find-by-status
"#;

struct Play {
    dir: tempfile::TempDir,
    database: Database,
    shop: Shop,
}

impl Play {
    async fn new() -> Option<Self> {
        let database = support::mysql_database("whole")?;
        let shop = Shop::with(RUNBOOK, &database.url, "run-setup");
        shop.sql("CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents int NOT NULL, status varchar(16) NOT NULL, payment_reference_id varchar(64))").await;
        shop.sql("INSERT INTO orders SELECT seq, 1, 'new', NULL FROM seq_1_to_603").await;
        shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
        let Handle::Mysql(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
        mysql::declare_rehearsal(&mut own, "whole").await.unwrap();
        let play = Self { dir: support::state_dir(), database, shop };
        std::fs::write(play.file("runbook.yaml"), RUNBOOK).unwrap();
        let steps = ["find-by-status", "rename-back", "drop-index"]
            .map(|step| format!("  {step}: {{ token: \"orders@shop\" }}\n"));
        let broken =
            "  widen: { token: \"orders@shop\", reason: \"The amounts do not fit any more, says the shop.\" }\n";
        std::fs::write(play.file("answers.yaml"), format!("answers: 1\nsteps:\n{}{broken}", steps.concat())).unwrap();
        Some(play)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, verb: &str, fault: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb);
        if verb == "run" {
            command.arg(self.file("runbook.yaml"));
        }
        command.arg("--headless").arg("--answers").arg(self.file("answers.yaml"));
        command.arg("--state-dir").arg(self.file("state")).env("SHOP", &self.database.url);
        match fault {
            Some(fault) => command.env("BACKOUT_FAULT", fault),
            None => command.env_remove("BACKOUT_FAULT"),
        };
        command
    }

    async fn does(&self, verb: &str, fault: Option<&str>) -> Output {
        let mut command = self.command(verb, fault);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn audit(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        let output = command.arg("audit").args(words).arg("--state-dir").arg(self.file("state")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    }

    /// The end that every run must come to, however often it was killed.
    async fn ended(&self, output: &Output, of: &str) {
        assert_eq!(output.status.code(), Some(0), "{of}: {}", said(output));
        let columns = "SELECT group_concat(concat(column_name, ' ', column_type) ORDER BY ordinal_position) AS c
            FROM information_schema.columns WHERE table_schema = database() AND table_name = 'orders'";
        let now =
            "id bigint(20),amount_cents bigint(20),status varchar(16),payment_ref varchar(64),digest varchar(128)";
        assert_eq!(self.shop.one(columns).await, now, "{of}");
        let indexes = "SELECT count(*) AS n FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'by_status'";
        assert_eq!(self.shop.one(indexes).await, 0, "{of}");
        self.audit(&["verify"]);
        let log = self.audit(&["show", "--long"]);
        for step in ["find-by-status", "rename-back", "widen", "drop-index"] {
            let applied = log.lines().filter(|line| line.contains(&format!(" {step} ")) && line.contains(" applied: "));
            assert!(applied.count() <= 1, "{of}: {step} was applied twice:\n{log}");
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_through_and_tells_how_each_statement_was_run() {
    let Some(play) = Play::new().await else { return };
    let output = play.does("run", None).await;
    play.ended(&output, "run").await;
    let log = play.audit(&["show", "--long"]);
    for told in ["by ALGORITHM=NOCOPY, LOCK=NONE", "by ALGORITHM=INSTANT", "by ALGORITHM=COPY, LOCK=SHARED"] {
        assert!(log.contains(told), "{told}:\n{log}");
    }
    assert!(log.contains("with ALGORITHM=INSTANT; if refused: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_moment_of_a_schema_change_it_resumes_to_the_same_end() {
    if support::server("mysql", support::MYSQL).is_none() {
        return;
    }
    let rows: [&'static [&'static str]; 9] = [
        &["find-by-status:intent"],
        &["find-by-status:sent", "drop-index:begun"],
        &["rename-back:intent", "rename-back:finished"],
        &["rename-back:begun", "rename-back:settled", "rename-back:finished"],
        &["rename-back:finished", "widen:begun"],
        &["rename-back:outcome", "drop-index:intent"],
        &["widen:intent", "drop-index:finished"],
        &["widen:finished", "widen:settled"],
        &["widen:outcome", "drop-index:outcome"],
    ];
    // Several at a time: most of each is waiting.
    let turns = Arc::new(Semaphore::new(4));
    let plays = rows.map(|moments| {
        let turns = turns.clone();
        tokio::spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            killed(moments).await;
        })
    });
    for play in plays {
        play.await.unwrap();
    }
}

async fn killed(moments: &[&str]) {
    let play = Play::new().await.unwrap();
    let mut output = play.does("run", Some(moments[0])).await;
    for (n, moment) in moments.iter().enumerate() {
        assert_eq!(output.status.code(), None, "{moments:?}: {moment} was to kill it: {}", said(&output));
        output = play.does("resume", moments.get(n + 1).copied()).await;
    }
    play.ended(&output, &moments.join(", ")).await;
}

/// The server goes on with what a client that is gone had sent: what it comes to is waited for, not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_server_copies_the_table_it_waits_for_the_servers_end() {
    let Some(play) = Play::new().await else { return };
    let mut command = play.command("run", None);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let copies = "SELECT count(*) AS n FROM information_schema.processlist
        WHERE db = database() AND info LIKE '%ADD COLUMN digest%ALGORITHM=COPY%' AND state LIKE 'copy to tmp table%'";
    let began = Instant::now();
    while play.shop.one(copies).await != 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "no copy was seen");
        assert_eq!(child.try_wait().unwrap(), None, "it ended before");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = play.does("resume", None).await;
    play.ended(&output, "killed in the copy").await;
    let log = play.audit(&["show", "--long"]);
    assert!(log.contains("none of that attempt is left"), "{log}");
}
