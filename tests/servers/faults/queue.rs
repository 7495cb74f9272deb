//! Who else wants the table: readers behind a step that waits, deadlocks of which either is the victim, autovacuum.

use std::cell::Cell;

use backout::action::Go;
use backout::run::record::{OutcomeResult, Record};
use sqlx::{Connection, PgConnection};

use super::server::Server;
use super::{each_of, ends, eventually, prepared, said_of, sql};
use crate::faults;
use crate::shop::Shop;
use crate::support::{self, Database};
use crate::takeover::{Operator, said};

const RUNBOOK: &str = r#"
backout: 1
name: queue
title: Two tables
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: rename
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN reference TO payment_ref
  - id: both
    on: shop
    ddl:
      - "ALTER TABLE orders ADD CONSTRAINT counted CHECK (waits())"
      - "ALTER TABLE payments ADD COLUMN note text"
"#;

/// `waits` lasts until somebody waits for `orders`, as long as there is a row in `held`.
const TABLES: [&str; 6] = [
    "CREATE TABLE orders (id int PRIMARY KEY, reference text)",
    "INSERT INTO orders VALUES (1, 'a')",
    "CREATE TABLE payments (id int PRIMARY KEY)",
    "CREATE TABLE held (what text)",
    "INSERT INTO held VALUES ('statement')",
    "CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS
       'BEGIN WHILE EXISTS (SELECT FROM held)
          AND NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = ''orders''::regclass)
        LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN true; END'",
];

async fn shop(run: &str) -> Option<(Database, Shop)> {
    let database = support::postgres_database("queue")?;
    let shop = Shop::with(RUNBOOK, &database.url, run);
    for table in TABLES {
        shop.sql(table).await;
    }
    shop.context.targets.install("shop").await.unwrap();
    Some((database, shop))
}

/// Another session, that waits for a lock as long as it takes.
struct Other(PgConnection);

impl Other {
    async fn on(database: &Database) -> Self {
        Self(PgConnection::connect(&database.url).await.unwrap())
    }

    async fn says(&mut self, sql: &'static str) -> sqlx::Result<()> {
        sqlx::raw_sql(sql).execute(&mut self.0).await.map(|_| ())
    }

    async fn counts(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.unwrap()
    }
}

/// Sessions of a step that wait for a lock on `orders`.
const STEP_WAITS: &str = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE NOT granted AND relation = 'orders'::regclass AND application_name LIKE 'backout/%' AND datname = current_database()";

/// Sessions that wait behind one of a step, and not behind those that it waits for.
const BEHIND: &str = "SELECT count(*) FROM pg_stat_activity r, unnest(pg_blocking_pids(r.pid)) b
    JOIN pg_stat_activity s ON s.pid = b AND s.application_name LIKE 'backout/%'
    WHERE r.application_name = '' AND r.datname = current_database()";

/// As long as the step waits, each reader that came behind it gets through: none is stuck behind it until the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_lets_the_readers_behind_it_through() {
    let Some((database, shop)) = shop("run-queue").await else { return };
    let (mut idle, mut reader) = (Other::on(&database).await, Other::on(&database).await);
    for holder in [&mut idle, &mut reader] {
        holder.says("BEGIN").await.unwrap();
        holder.says("SELECT count(*) FROM orders").await.unwrap();
    }
    // One in the middle of a statement, the other idle in its transaction.
    let reads = tokio::spawn(async move {
        let slept = reader.says("SELECT pg_sleep(60)").await;
        (slept, reader)
    });
    let prepared = shop.prepare("rename", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let over = Cell::new(false);
    let step = async {
        let performed = shop.perform(prepared.job, async |_, _| Go::Go).await;
        over.set(true);
        performed
    };
    let readers = async {
        let mut watch = Other::on(&database).await;
        for _ in 0..3 {
            let mut behind = Other::on(&database).await;
            eventually("a step that waits", async || watch.counts(STEP_WAITS).await == 1).await;
            let read = tokio::spawn(async move { behind.counts("SELECT count(*) FROM orders").await });
            // Most are queued behind it at once; one that came between two attempts was never held up.
            eventually("a reader behind it, or through", async || {
                watch.counts(BEHIND).await == 1 || read.is_finished()
            })
            .await;
            assert_eq!(read.await.unwrap(), 1);
            assert!(!over.get(), "the step was over before its reader");
            let holds = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database() AND application_name = ''";
            assert_eq!(watch.counts(holds).await, 1, "what the step waits for is still there");
        }
        idle.says("COMMIT").await.unwrap();
        sql(&database.url, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND datname = current_database()").await;
    };
    let ((outcome, _, failed), ()) = tokio::join!(step, readers);
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert!(failed.len() >= 2 && failed.iter().all(|code| code == "55P03"), "{failed:?}");
    let (slept, _reader) = reads.await.unwrap();
    assert!(slept.is_err());
}

/// The other has `payments` and wants `orders`; the step has `orders` and wants `payments`. `ours`, `theirs`: after how
/// many milliseconds each looks for a deadlock.
async fn deadlocked(run: &str, ours: &str, theirs: &'static str) -> Option<(Shop, Vec<String>, sqlx::Result<()>)> {
    let (database, shop) = shop(run).await?;
    sql(&database.url, &format!("ALTER DATABASE {} SET deadlock_timeout = {ours}", database.name)).await;
    let mut other = Other::on(&database).await;
    other.says(theirs).await.unwrap();
    other.says("BEGIN; LOCK payments IN ACCESS SHARE MODE").await.unwrap();
    let prepared = shop.prepare("both", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let others = async {
        let mut watch = Other::on(&database).await;
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backout/%/both/1' AND wait_event = 'PgSleep' AND datname = current_database()";
        eventually("the step in its first statement", async || watch.counts(waits).await == 1).await;
        let locked = other.says("LOCK orders IN ACCESS SHARE MODE").await;
        watch.says("DELETE FROM held").await.unwrap();
        other.says("ROLLBACK").await.unwrap();
        locked
    };
    let ((outcome, _, failed), locked) = tokio::join!(shop.perform(prepared.job, async |_, _| Go::Go), others);
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!(shop.one("SELECT count(*) FROM backout.marker WHERE step = 'both'").await, 1);
    assert_eq!(shop.one("SELECT count(*) FROM pg_constraint WHERE conname = 'counted'").await, 1);
    assert_eq!(shop.one("SELECT count(note) FROM payments").await, 0);
    Some((shop, failed, locked))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_the_victim_of_a_deadlock_is_tried_again() {
    let Some((_shop, failed, locked)) = deadlocked("run-victim", "20", "SET deadlock_timeout = '1h'").await else {
        return;
    };
    assert_eq!(failed, ["40P01"]);
    locked.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_whose_victim_is_another_lets_the_step_through() {
    let Some((_shop, failed, locked)) = deadlocked("run-winner", "3600000", "SET deadlock_timeout = '500ms'").await
    else {
        return;
    };
    assert!(failed.is_empty(), "{failed:?}");
    let code = locked.unwrap_err().into_database_error().unwrap().code().map(|code| code.into_owned());
    assert_eq!(code.as_deref(), Some("40P01"));
}

/// On a server that vacuums at once, so slowly that it is still at it when it is looked at.
async fn vacuumed(freeze: bool, deadlock_timeout: &str) -> Option<(Server, Shop)> {
    let late = format!("deadlock_timeout={deadlock_timeout}");
    let settings = ["autovacuum=on", "autovacuum_naptime=1s", "autovacuum_max_workers=1", &late];
    let server = Server::postgres(&settings).await?;
    let shop = Shop::with(RUNBOOK, &server.first(), "run-vacuum");
    shop.context.targets.install("shop").await.unwrap();
    shop.sql("CREATE TABLE orders (id int PRIMARY KEY, reference text) WITH (autovacuum_enabled = off)").await;
    shop.sql("INSERT INTO orders SELECT id, repeat('x', 500) FROM generate_series(1, 20000) id").await;
    if freeze {
        shop.sql(
            "DO $$ BEGIN CREATE TABLE burnt (n int); FOR n IN 1..100200 LOOP
               BEGIN INSERT INTO burnt VALUES (n); EXCEPTION WHEN others THEN RAISE; END; END LOOP; END $$",
        )
        .await;
    }
    shop.sql("DELETE FROM orders WHERE id % 3 = 0").await;
    let by = if freeze { "autovacuum_freeze_max_age = 100000" } else { "autovacuum_vacuum_scale_factor = 0" };
    shop.sql(&format!(
        "ALTER TABLE orders SET (autovacuum_enabled = {}, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, {by})", !freeze
    ))
    .await;
    Some((server, shop))
}

async fn in_way(shop: &Shop) -> String {
    let mut told = String::new();
    eventually("an autovacuum", async || {
        let prepared = shop.prepare("rename", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
        let way = prepared.evidence.facts.into_iter().find(|(label, _)| label == "in way");
        told = way.map(|(_, words)| words).unwrap_or_default();
        told.starts_with("! autovacuum, pid ")
    })
    .await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autovacuum_gives_way_to_a_step() {
    // A superuser's step looks for it in time, however late its server would.
    let Some((server, shop)) = vacuumed(false, "20s").await else { return };
    // Whoever may not, is told that it will not give way.
    for sql in [
        "CREATE ROLE op LOGIN PASSWORD 'op' IN ROLE pg_monitor",
        "GRANT USAGE ON SCHEMA backout TO op",
        "ALTER ROLE op SET search_path = backout, public",
        "ALTER TABLE orders OWNER TO op",
    ] {
        shop.sql(sql).await;
    }
    let late = Shop::with(RUNBOOK, &server.first().replace("//backout:backout@", "//op:op@"), "run-late");
    let way = in_way(&late).await;
    assert!(
        way.contains("waits for 20000 ms (deadlock_timeout), a step waits for 1250: it does NOT give way"),
        "{way}"
    );
    assert!(way.contains("ALTER ROLE"), "{way}");
    shop.sql("ALTER TABLE orders OWNER TO backout").await;
    let way = in_way(&shop).await;
    assert!(way.contains("holds SHARE UPDATE EXCLUSIVE on orders: it gives way by itself"), "{way}");
    let prepared = shop.prepare("rename", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let (outcome, _, failed) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?} {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autovacuum_that_prevents_a_wraparound_does_not() {
    let Some((server, shop)) = vacuumed(true, "1s").await else { return };
    let way = in_way(&shop).await;
    assert!(
        way.contains("holds SHARE UPDATE EXCLUSIVE on orders: it is to prevent wraparound and does NOT give way"),
        "{way}"
    );
    let prepared = shop.prepare("rename", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let end = async || {
        assert!(in_way(&shop).await.contains("does NOT give way"), "it is still there");
        // The next one has no such reason any more.
        sql(&server.first(), "UPDATE pg_class SET reloptions = NULL WHERE relname = 'orders'").await;
        sql(
            &server.first(),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'",
        )
        .await;
    };
    let (outcome, failed) = shop.until_locked(prepared.job, end).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!(failed.first().map(String::as_str), Some("55P03"));
}

/// Given up after the last of its tries, each of which stands in the log with the pause that followed it; not applied,
/// and applied once when the way is free.
#[tokio::test(flavor = "multi_thread")]
async fn every_try_for_a_lock_is_in_the_log() {
    let Some(database) = support::postgres_database("tries") else { return };
    prepared(&database.url, faults::RUNBOOK, &faults::TABLES).await;
    let mut reader = Other::on(&database).await;
    reader.says("BEGIN; SELECT count(*) FROM orders").await.unwrap();
    let operator = Operator::new("ada", &database.url, "", "");
    std::fs::write(operator.file("runbook.yaml"), faults::RUNBOOK).unwrap();
    std::fs::write(operator.file("answers.yaml"), faults::ANSWERS).unwrap();
    let output = ends(operator.starts("run")).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let mut pauses = Vec::new();
    each_of(&operator, |event| {
        if let Record::AttemptFailed { code, again_in_ms, .. } = event.record {
            assert_eq!((event.step.as_deref(), event.att, code.as_str()), (Some("constrain"), Some(1), "55P03"));
            pauses.push(again_in_ms);
        }
    });
    assert_eq!(pauses.len(), 6, "{pauses:?}");
    for (pause, most) in pauses.iter().zip([500, 1000, 2000, 4000, 8000]) {
        assert!(pause.is_some_and(|pause| (most / 2..most).contains(&pause)), "{pauses:?}");
    }
    assert_eq!(pauses.last(), Some(&None), "nothing follows the last");
    assert_eq!(said_of(&operator, "constrain", 1), Some(OutcomeResult::NotApplied));
    reader.says("COMMIT").await.unwrap();
    let output = ends(operator.starts("resume")).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said_of(&operator, "constrain", 2), Some(OutcomeResult::Applied));
    assert_eq!(reader.counts("SELECT count(*) FROM altered").await, 1);
}
