//! What is left of a step is changed behind its back: its marker or its claim is taken away, the database under its name
//! is another one or an older one, the same run goes on in a second process. Nothing is concluded from what is missing.

use backout::action::{self, Go, Settlement};
use backout::run::record::{Offer, OutcomeResult, Point};
use serde_json::Value;

use super::server::{Server, Stop};
use super::sql;
use crate::shop::Shop;
use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: witness
title: A cent, a comment, a column and an index
targets:
  shop: { KIND: "${SHOP}" }
steps:
  - id: credit
    phase: repair
    on: shop
    change: { sql: "UPDATE orders SET amount_cents = amount_cents + 1 WHERE id <= 3" }
  - id: comment
    on: shop
    ddl: |
      COMMENT ON TABLE orders IS 'counted'
  - id: column
    on: shop
    ddl: |
      ALTER TABLE orders ADD COLUMN psp text
  - id: build
    on: shop
    ddl: |
      CREATE INDEX CONCURRENTLY orders_cents ON orders (amount_cents)
"#;

/// A step as the log has it after its `ready` or `begun`, whatever became of it.
type Attempt = (Offer, Vec<(Point, Value)>);

async fn shop(kind: &str, address: &str, run: &str) -> Shop {
    let text = match kind {
        "sqlite" => RUNBOOK.split_once("  - id: comment").unwrap().0,
        _ => RUNBOOK,
    };
    let shop = Shop::with(&text.replace("KIND", kind), address, run);
    shop.sql("CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL)").await;
    shop.sql("INSERT INTO orders VALUES (1, 100), (2, 200), (3, 300), (4, 400)").await;
    shop.context.targets.install("shop").await.unwrap();
    shop
}

async fn on_postgres(run: &str) -> Option<(Database, Shop)> {
    let database = support::postgres_database("witness")?;
    let shop = shop("postgres", &database.url, run).await;
    Some((database, shop))
}

/// Applied, and its log ends before its outcome.
async fn applied(shop: &Shop, step: &str, att: u32) -> Attempt {
    let prepared = shop.prepare(step, att, false).await.unwrap_or_else(|error| panic!("{error}"));
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    let settled = settled(shop, &(offer.clone(), reached.clone())).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    (offer, reached)
}

/// Turned back at its last point, and its log ends there.
async fn turned_back(shop: &Shop, step: &str, att: u32) -> Attempt {
    let prepared = shop.prepare(step, att, false).await.unwrap_or_else(|error| panic!("{error}"));
    let offer = prepared.offer.clone();
    let stop = async |point, _: &Value| if matches!(point, Point::TxOpen | Point::Begun) { Go::Go } else { Go::Stop };
    let (outcome, reached, _) = shop.perform(prepared.job, stop).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    (offer, reached)
}

async fn settled(shop: &Shop, (offer, reached): &Attempt) -> Settlement {
    action::settle(&shop.context.runbook.steps[&offer.step], Some(offer), reached, &shop.context).await
}

async fn unknown(shop: &Shop, attempt: &Attempt, words: &[&str]) {
    let settled = settled(shop, attempt).await;
    let told = format!("{}: {:?}", settled.reason, settled.evidence);
    assert_eq!(settled.result, OutcomeResult::Unknown, "{told}");
    for words in words {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// A marker that somebody took away is no proof that nothing was done: rows, and the transaction's number, say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_was_deleted_proves_nothing() {
    let Some((_database, shop)) = on_postgres("run-deleted").await else { return };
    let credit = applied(&shop, "credit", 1).await;
    shop.sql("DELETE FROM backout.marker").await;
    unknown(&shop, &credit, &["took it away since", "its before-image is there, 3 rows"]).await;
    shop.sql("DELETE FROM backout.before_image").await;
    unknown(&shop, &credit, &["took it away since", "the server says that its transaction"]).await;
    let comment = applied(&shop, "comment", 1).await;
    shop.sql("DELETE FROM backout.marker").await;
    unknown(&shop, &comment, &["took it away since"]).await;

    // What was rolled back has neither.
    let back = turned_back(&shop, "credit", 2).await;
    let settled = settled(&shop, &back).await;
    assert_eq!(settled.result, OutcomeResult::NotApplied, "{:?}", settled.evidence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_was_deleted_from_a_file_proves_nothing() {
    let dir = support::state_dir();
    let path = dir.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    let shop = shop("sqlite", path.to_str().unwrap(), "run-deleted").await;
    let credit = applied(&shop, "credit", 1).await;
    shop.sql("DELETE FROM backout_marker").await;
    unknown(&shop, &credit, &["took it away since", "its before-image is there, 3 rows"]).await;
    let back = turned_back(&shop, "credit", 2).await;
    shop.sql("DELETE FROM backout_claim").await;
    unknown(&shop, &back, &["the claim that this attempt took is not there"]).await;
}

/// Before the first statement outside a transaction goes its marker: without it, what is there is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_stood_before_is_not_taken_for_its_own() {
    let Some((_database, shop)) = on_postgres("run-before").await else { return };
    let back = turned_back(&shop, "build", 1).await;
    shop.sql("CREATE INDEX orders_cents ON orders (amount_cents)").await;
    // Its last point was not passed, and the log ends before it.
    let (offer, mut reached) = back.clone();
    assert_eq!(reached.pop().unwrap().0, Point::Sent);
    unknown(&shop, &(offer, reached), &["its first statement was not sent"]).await;
    shop.sql("DELETE FROM backout.marker").await;
    unknown(&shop, &back, &["the marker that goes before it is not there"]).await;
    shop.sql("DROP INDEX orders_cents").await;
    let found = settled(&shop, &back).await;
    assert_eq!(found.result, OutcomeResult::NotApplied, "{:?}", found.evidence);
    shop.sql("CREATE INDEX orders_cents ON orders (amount_cents)").await;

    // There already, and refused for that; and where the process ends before it hears so.
    let prepared = shop.prepare("build", 2, false).await.unwrap();
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    unknown(&shop, &(offer, reached), &["so it did before this attempt"]).await;
}

/// Nothing tells where there is no marker but the server, that knows what became of a transaction's number.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_marker_the_transactions_number_tells() {
    let Some((_database, shop)) = on_postgres("run-without").await else { return };
    shop.sql("DROP TABLE backout.marker").await;
    let comment = applied(&shop, "comment", 1).await;
    assert_eq!(comment.0.epoch, None);
    let back = turned_back(&shop, "comment", 2).await;
    let settled = settled(&shop, &back).await;
    assert_ne!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    let back = turned_back(&shop, "column", 1).await;
    let settled = self::settled(&shop, &back).await;
    assert_eq!(settled.result, OutcomeResult::NotApplied, "{:?}", settled.evidence);
}

/// Restored under the same name from before the step, or another database of the same cluster.
#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_not_believed() {
    let Some((database, shop)) = on_postgres("run-restored").await else { return };
    let server = support::server("witness", support::POSTGRES).unwrap();
    applied(&shop, "comment", 1).await;
    let (backup, name) = (support::unique("witness"), &database.name);
    let away = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    sql(&server, &away).await;
    sql(&server, &format!("CREATE DATABASE {backup} TEMPLATE {name}")).await;
    drop(shop);
    let shop = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-restored");
    let column = applied(&shop, "column", 1).await;
    let (host, _) = server.rsplit_once('/').unwrap();
    let elsewhere = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &format!("{host}/{backup}"), "run-restored");
    unknown(&elsewhere, &column, &["another server", backup.as_str()]).await;
    drop(elsewhere);
    sql(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    sql(&server, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{backup}'")).await;
    sql(&server, &format!("ALTER DATABASE {backup} RENAME TO {name}")).await;
    let restored = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-restored");
    assert_eq!(restored.one("SELECT count(*) FROM backout.marker").await, 1, "the backup is of before it");
    unknown(&restored, &column, &["the database of that name is another one"]).await;
}

/// The files of the whole server as they were before the step: the same identity, the same timeline, the same claim.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_restored_are_not_believed() {
    let Some(mut server) = Server::postgres(&[]).await else { return };
    let shop = shop("postgres", &server.first(), "run-files").await;
    applied(&shop, "comment", 1).await;
    server.is_copied(Stop::Fast);
    server.restarts(Stop::Fast).await;
    let shop = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &server.first(), "run-files");
    // Others go on meanwhile.
    shop.sql("INSERT INTO orders SELECT id, 1 FROM generate_series(10, 5000) id").await;
    let column = applied(&shop, "column", 1).await;
    server.stops(Stop::Fast);
    server.is_restored();
    server.restarts(Stop::Fast).await;
    let restored = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &server.first(), "run-files");
    let is = restored.context.targets.identity("shop").await.unwrap().seen;
    assert!(is.is(column.0.target.as_ref().unwrap()), "nothing but its log tells: {is:?}");
    unknown(&restored, &column, &["where it stood when this attempt began"]).await;
}

/// A copy of the run's directory is taken up beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_twice_does_nothing_twice() {
    let Some((database, shop)) = on_postgres("run-twins").await else { return };
    let twin = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-twins");
    for (step, later) in [("credit", "credit"), ("build", "column")] {
        let theirs = twin.prepare(step, 1, false).await.unwrap();
        let offer = theirs.offer.clone();
        applied(&shop, step, 1).await;
        let (outcome, reached, _) = twin.perform(theirs.job, async |_, _| Go::Go).await;
        assert_eq!(outcome.result, OutcomeResult::Unknown, "{outcome:?}");
        assert!(outcome.evidence.contains("from another process of this run"), "{outcome:?}");
        if step == "credit" {
            // What it finds of itself is what the other did, under the same offer.
            let found = settled(&twin, &(offer, reached)).await;
            assert_eq!(found.result, OutcomeResult::Applied, "{:?}", found.evidence);
        }
        // One that had to try more often is ahead.
        let theirs = twin.prepare(later, 2, false).await.unwrap();
        let ours = shop.prepare(later, 3, false).await.unwrap();
        let (outcome, ..) = shop.perform(ours.job, async |_, _| Go::Go).await;
        assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
        let (outcome, ..) = twin.perform(theirs.job, async |_, _| Go::Go).await;
        assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
        assert!(outcome.evidence.contains("this very run goes on in another process"), "{outcome:?}");
    }
    assert_eq!(shop.one("SELECT sum(amount_cents)::bigint FROM orders").await, 1000 + 6, "twice, by one of them");
}

/// What a role or a database is set to, and no step must be ended or lost by.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_role_do_not_end_a_step() {
    let Some((database, shop)) = on_postgres("run-settings").await else { return };
    shop.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.3); ASSERT current_setting(''synchronous_commit'') <> ''off''; RETURN NULL; END'",
    )
    .await;
    shop.sql("CREATE TRIGGER slow AFTER UPDATE ON orders EXECUTE FUNCTION slow()").await;
    for setting in [
        "statement_timeout = 100",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 100",
        "idle_session_timeout = 100",
        "synchronous_commit = off",
    ] {
        sql(&database.url, &format!("ALTER DATABASE {} SET {setting}", database.name)).await;
    }
    let shop = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-settings");
    let prepared = shop.prepare("credit", 1, false).await.unwrap();
    let slow = async |_, _: &Value| {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        Go::Go
    };
    let (outcome, ..) = shop.perform(prepared.job, slow).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");

    // One that keeps writers out is not passed over: the gate does not open, and says who can lift it.
    sql(&database.url, &format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name)).await;
    let shop = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-settings");
    let Err(refused) = shop.prepare("column", 1, false).await else { panic!("it was prepared") };
    let refused = format!("{refused} {:?}", refused.hint);
    for words in ["opens every session of this role read-only", "RESET default_transaction_read_only"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
}
