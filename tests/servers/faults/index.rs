//! An index that is built while others write, and whose build ends in the middle: no transaction takes it back, and the
//! catalog alone tells.

use std::process::Child;

use backout::run::record::OutcomeResult;
use sqlx::{Connection, PgConnection};

use super::proxy::{Proxy, Wire};
use super::{LOOKS, ends, eventually, prepared, said_of};
use crate::support::{self, Database};
use crate::takeover::{Operator, said};

const RUNBOOK: &str = r#"
backout: 1
name: index
title: An index
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: build
    phase: repair
    on: shop
    ddl: |
      CREATE INDEX CONCURRENTLY orders_cents ON orders (amount_cents)
"#;

const TABLES: [&str; 3] = [
    "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL)",
    "INSERT INTO orders SELECT id, id * 100 FROM generate_series(1, 10) id",
    "CREATE TABLE other (id int)",
];

/// The index as the catalog has it: its number, and whether it is valid.
const INDEX: &str =
    "SELECT i.indexrelid::bigint, i.indisvalid FROM pg_index i WHERE indexrelid = to_regclass('orders_cents')";

/// A build that waits for an old transaction: all is done, and it is not valid yet.
struct Build {
    database: Database,
    operator: Operator,
    proxy: Proxy,
    run: Child,
    /// The old transaction.
    old: PgConnection,
    own: PgConnection,
}

impl Build {
    async fn waits() -> Option<Self> {
        let database = support::postgres_database("index")?;
        prepared(&database.url, RUNBOOK, &TABLES).await;
        let mut old = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM other").execute(&mut old).await.unwrap();
        let (login, rest) = database.url.rsplit_once('@').unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let proxy = Proxy::to(host, Wire::Postgres, None).await;
        let mut operator = Operator::new("ada", &format!("{login}@{}/{name}", proxy.address), "", "");
        std::fs::write(operator.file("runbook.yaml"), RUNBOOK).unwrap();
        std::fs::write(operator.file("answers.yaml"), "answers: 1\nsteps:\n  build: { token: \"orders@shop\" }\n")
            .unwrap();
        let run = operator.starts("run");
        operator.url = database.url.clone();
        let own = PgConnection::connect(&database.url).await.unwrap();
        let mut build = Self { database, operator, proxy, run, old, own };
        let waits = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots' AND datname = current_database()";
        eventually("a wait for the old transaction", async || build.number(waits).await == 1).await;
        Some(build)
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.own).await.unwrap()
    }

    async fn index(&mut self) -> Option<(i64, bool)> {
        sqlx::query_as(INDEX).fetch_optional(&mut self.own).await.unwrap()
    }

    fn killed(&mut self) {
        self.run.kill().unwrap();
        self.run.wait().unwrap();
    }

    fn says(&self, att: u32) -> Option<OutcomeResult> {
        said_of(&self.operator, "build", att)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_process_was_killed_is_half_done_until_it_is_mended() {
    let Some(mut build) = Build::waits().await else { return };
    let half = build.index().await;
    assert!(half.is_some_and(|(_, valid)| !valid), "{half:?}");
    build.killed();
    // Once and again: it is not built a second time on top of what the first left.
    for _ in 0..2 {
        let output = ends(build.operator.starts("resume")).await;
        assert_eq!(output.status.code(), Some(7), "{}", said(&output));
        for words in ["half of it is there", "index orders_cents is INVALID", "DROP INDEX CONCURRENTLY orders_cents"] {
            assert!(said(&output).contains(words), "{words}: {}", said(&output));
        }
        assert_eq!((build.index().await, build.says(1)), (half, None));
    }
    sqlx::raw_sql("COMMIT").execute(&mut build.old).await.unwrap();
    sqlx::raw_sql("DROP INDEX CONCURRENTLY orders_cents").execute(&mut build.own).await.unwrap();
    let output = ends(build.operator.starts("resume")).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!((build.says(1), build.says(2)), (Some(OutcomeResult::NotApplied), Some(OutcomeResult::Applied)));
    assert!(build.index().await.is_some_and(|(_, valid)| valid));
    build.operator.audit(&["verify"]);
}

/// The server does not learn that its client is gone, and goes on: it is waited for, and found done.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_outlives_its_process_is_waited_for() {
    let Some(mut build) = Build::waits().await else { return };
    let half = build.index().await.unwrap();
    build.proxy.keeps_the_server_in_the_dark();
    build.killed();
    let mut resumed = build.operator.starts("resume");
    eventually("a look for sessions", async || build.number(LOOKS).await == 1).await;
    assert!(resumed.try_wait().unwrap().is_none() && build.says(1).is_none());
    sqlx::raw_sql("COMMIT").execute(&mut build.old).await.unwrap();
    eventually("a valid index", async || build.index().await.is_some_and(|(_, valid)| valid)).await;
    build.proxy.tells_the_server();
    let output = ends(resumed).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!((build.says(1), build.says(2)), (Some(OutcomeResult::Applied), None));
    assert_eq!(build.index().await, Some((half.0, true)), "{}", build.database.name);
}
