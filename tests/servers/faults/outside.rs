//! Statements that no transaction can hold, on PostgreSQL: refused or broken off, they leave what the catalog tells and what
//! it does not, and no reader waits behind them for long.

use backout::action::{self, Go};
use backout::run::record::{Outcome, OutcomeResult, Position};
use sqlx::{Connection, PgConnection};

use super::eventually;
use crate::shop::Shop;
use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: outside
title: Outside a transaction
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: full
    phase: repair
    on: shop
    ddl: |
      VACUUM (FULL) orders
  - id: unseen-first
    on: shop
    ddl: ["VACUUM orders", "CREATE INDEX CONCURRENTLY orders_none ON orders (nothing)"]
  - id: mixed
    on: shop
    ddl: ["ALTER TABLE orders ADD COLUMN psp text", "CREATE INDEX CONCURRENTLY orders_psp ON orders (psp)"]
  - id: unique
    on: shop
    ddl: |
      CREATE UNIQUE INDEX CONCURRENTLY orders_total ON orders (total)
  - id: unnamed
    on: shop
    ddl: |
      CREATE UNIQUE INDEX CONCURRENTLY ON orders (total)
  - id: passed-over
    on: shop
    ddl: |
      CREATE UNIQUE INDEX IF NOT EXISTS orders_total ON orders (total)
  - id: rebuild
    on: shop
    ddl: |
      REINDEX INDEX CONCURRENTLY orders_note
  - id: removal
    on: shop
    ddl: |
      DROP INDEX CONCURRENTLY orders_note
  - id: detach
    on: shop
    ddl: |
      ALTER TABLE parts DETACH PARTITION parts_1 CONCURRENTLY
  - id: finalize
    on: shop
    ddl: |
      ALTER TABLE parts DETACH PARTITION parts_1 FINALIZE
  - id: parent
    on: shop
    ddl: |
      CREATE INDEX parts_note ON ONLY parts (note)
  - id: label
    on: shop
    ddl: ["CREATE TYPE mood AS ENUM ('ok')", "ALTER TYPE mood ADD VALUE 'bad'", "CREATE TABLE moods (is_now mood DEFAULT 'ok')"]
  - id: label-used
    on: shop
    ddl: ["ALTER TYPE state ADD VALUE 'held'", "ALTER TABLE orders ADD COLUMN is_now state DEFAULT 'held'"]
"#;

const TABLES: [&str; 8] = [
    "CREATE TABLE orders (id int PRIMARY KEY, total int, note text)",
    "INSERT INTO orders VALUES (1, 5, 'a'), (2, 5, 'b')",
    "CREATE INDEX orders_note ON orders (note)",
    "CREATE TABLE other (id int)",
    "CREATE TABLE parts (id int, note text) PARTITION BY RANGE (id)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
    "CREATE TYPE state AS ENUM ('new')",
    "CREATE INDEX parts_1_note ON parts_1 (note)",
];

async fn shop(run: &str) -> Option<(Database, Shop)> {
    let database = support::postgres_database("outside")?;
    let shop = Shop::with(RUNBOOK, &database.url, run);
    for table in TABLES {
        shop.sql(table).await;
    }
    shop.context.targets.install("shop").await.unwrap();
    Some((database, shop))
}

/// A session that stays in a transaction that has read a table.
async fn reads(database: &Database, table: &str) -> PgConnection {
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    for sql in ["BEGIN ISOLATION LEVEL REPEATABLE READ".to_owned(), format!("SELECT count(*) FROM {table}")] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut reader).await.unwrap();
    }
    reader
}

async fn commits(mut reader: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
}

async fn stands(shop: &Shop, step: &str, position: Position, words: &[&str]) {
    let found = action::position(&shop.context.runbook.steps[step], &shop.context).await;
    assert_eq!(found.position, position, "{step}: {found:?}");
    for words in words {
        assert!(found.because.contains(words), "{words}: {found:?}");
    }
}

fn said(outcome: &Outcome, result: OutcomeResult, words: &[&str]) {
    assert_eq!(outcome.result, result, "{outcome:?}");
    for words in words {
        assert!(outcome.evidence.contains(words), "{words}: {outcome:?}");
    }
}

/// Its statement is cancelled on the server while it waits for somebody's transaction.
async fn broken_off(shop: &Shop, step: &str, table: &str, database: &Database) -> Outcome {
    let prepared = shop.prepare(step, 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let reader = reads(database, table).await;
    let others = async {
        let mut own = PgConnection::connect(&database.url).await.unwrap();
        let cancels = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
            WHERE application_name LIKE 'backout/%/1' AND wait_event = 'virtualxid' AND datname = current_database()";
        eventually("a wait for all others", async || {
            sqlx::query_scalar::<_, i64>(cancels).fetch_one(&mut own).await.unwrap() == 1
        })
        .await;
    };
    let ((outcome, ..), ()) = tokio::join!(shop.perform(prepared.job, async |_, _| Go::Go), others);
    commits(reader).await;
    outcome
}

/// It waits for a reader in short tries, and whoever reads behind it gets through each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_full_that_waits_lets_the_readers_through() {
    let Some((database, shop)) = shop("run-full").await else { return };
    let reader = reads(&database, "orders").await;
    let prepared = shop.prepare("full", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(prepared.offer.epoch, Some(1), "it takes the claim as any other step");
    let (outcome, failed) = shop
        .until_locked(prepared.job, async || {
            drop(reads(&database, "orders").await);
            commits(reader).await;
        })
        .await;
    said(&outcome, OutcomeResult::Applied, &[]);
    assert!(!failed.is_empty() && failed.iter().all(|code| code == "55P03"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_tells_of_what_no_catalog_shows() {
    let Some((database, shop)) = shop("run-lists").await else { return };
    stands(&shop, "unseen-first", Position::Unknown, &["1 of 2, VACUUM, the catalog cannot tell"]).await;
    let outcome = shop.done("unseen-first", 1, false).await;
    said(&outcome, OutcomeResult::Unknown, &["statement 2 of 2", "(42703)", "1 of 2 was answered"]);

    // What could stand in a transaction waits for its lock in tries, here too.
    let reader = reads(&database, "orders").await;
    let prepared = shop.prepare("mixed", 1, false).await.unwrap();
    let (outcome, failed) = shop.until_locked(prepared.job, async || commits(reader).await).await;
    said(&outcome, OutcomeResult::Applied, &["orders_psp is valid"]);
    assert!(!failed.is_empty() && failed.iter().all(|code| code == "55P03"), "{failed:?}");
}

/// The index of a failed attempt is in the way of the next, is never taken for the real one, and is named with its repair.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_index_from_before_is_not_taken_for_the_real_one() {
    let Some((_database, shop)) = shop("run-invalid").await else { return };
    let repair = ["orders_total is INVALID", "DROP INDEX CONCURRENTLY orders_total"];
    said(&shop.done("unique", 1, false).await, OutcomeResult::Unknown, &repair);
    let prepared = shop.prepare("unique", 2, false).await.unwrap();
    let told = format!("{:?}", prepared.evidence.facts);
    assert!(told.contains("half done") && repair.iter().all(|words| told.contains(words)), "{told}");
    let (outcome, ..) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    said(&outcome, OutcomeResult::NotApplied, &["(42P07)", repair[0], repair[1]]);
    let outcome = shop.done("passed-over", 1, false).await;
    said(&outcome, OutcomeResult::NotApplied, &["its catalog does not show it", repair[0], repair[1]]);
    assert_eq!(shop.one("SELECT count(*) FROM backout.marker WHERE step = 'passed-over'").await, 0);

    let outcome = shop.done("unnamed", 1, false).await;
    said(
        &outcome,
        OutcomeResult::Unknown,
        &["(23505)", "INVALID: orders_total_idx", "DROP INDEX CONCURRENTLY orders_total_idx"],
    );

    shop.sql("DROP INDEX CONCURRENTLY orders_total").await;
    shop.sql("UPDATE orders SET total = id").await;
    said(&shop.done("unique", 3, false).await, OutcomeResult::Applied, &[]);
    said(&shop.done("passed-over", 2, false).await, OutcomeResult::Applied, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_broken_off_leaves_an_index_that_is_named() {
    let Some((database, shop)) = shop("run-rebuild").await else { return };
    let outcome = broken_off(&shop, "rebuild", "other", &database).await;
    let left = ["INVALID: orders_note_ccnew", "DROP INDEX CONCURRENTLY orders_note_ccnew"];
    said(&outcome, OutcomeResult::NotApplied, &["(57014)", left[0], left[1]]);
    stands(&shop, "rebuild", Position::Unknown, &left).await;
    shop.sql("DROP INDEX CONCURRENTLY orders_note_ccnew").await;
    said(&shop.done("rebuild", 2, false).await, OutcomeResult::Applied, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_broken_off_is_half_done() {
    let Some((database, shop)) = shop("run-removal").await else { return };
    stands(&shop, "removal", Position::NotDone, &[]).await;
    let outcome = broken_off(&shop, "removal", "orders", &database).await;
    let half = ["orders_note is there and INVALID", "DROP INDEX CONCURRENTLY orders_note"];
    said(&outcome, OutcomeResult::Unknown, &["(57014)", half[0], half[1]]);
    stands(&shop, "removal", Position::HalfDone, &half).await;
    said(&shop.done("removal", 2, false).await, OutcomeResult::Applied, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_half_detached_is_told_with_its_end() {
    let Some((database, shop)) = shop("run-detach").await else { return };
    stands(&shop, "detach", Position::NotDone, &["parts_1 is a partition of parts"]).await;
    let outcome = broken_off(&shop, "detach", "parts", &database).await;
    let half = ["parts_1 is half detached", "ALTER TABLE parts DETACH PARTITION parts_1 FINALIZE"];
    said(&outcome, OutcomeResult::Unknown, &["(57014)", half[0], half[1]]);
    stands(&shop, "detach", Position::HalfDone, &half).await;
    said(&shop.done("finalize", 1, false).await, OutcomeResult::Applied, &[]);
    stands(&shop, "detach", Position::Done, &[]).await;
}

/// On a parent alone it is not valid, and whole all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_on_a_parent_alone_is_done() {
    let Some((_database, shop)) = shop("run-parent").await else { return };
    let prepared = shop.prepare("parent", 1, false).await.unwrap();
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    said(&outcome, OutcomeResult::Applied, &["marker read back"]);
    let step = &shop.context.runbook.steps["parent"];
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
}

/// A label can be used at once where its type was made with it; one that was added only after its commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_used_where_the_server_lets_it_be() {
    let Some((_database, shop)) = shop("run-label").await else { return };
    said(&shop.done("label", 1, false).await, OutcomeResult::Applied, &[]);
    let outcome = shop.done("label-used", 1, false).await;
    said(&outcome, OutcomeResult::NotApplied, &["(55P04)", "must be committed before they can be used"]);
    assert_eq!(shop.one("SELECT count(*) FROM pg_enum WHERE enumlabel = 'held'").await, 0);
}
