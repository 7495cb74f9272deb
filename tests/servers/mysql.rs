//! MySQL and MariaDB: what a server says it is, the walls of its read connections, its catalog, statements that commit
//! by themselves.

use backout::action::{self, Go};
use backout::check::Depth;
use backout::run::record::{Environment, OutcomeResult, Point, Position};
use backout::target::{Handle, mysql};
use serde_json::Value;

use crate::shop::Shop;
use crate::support::{self, Database};

mod rights;
mod sessions;
mod ways;
mod whole;

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
      SELECT id, amount_cents, status FROM orders WHERE status = 'awaiting'
checks:
  insert-works:
    layer: schema
    on: shop
    title: The old code can take an order
    probe: |
      INSERT INTO orders (id, amount_cents, status, payment_ref) VALUES (1000000, 1, 'pending', 'x')
  none-stuck: { layer: data, on: shop, title: No order is stuck, count: stuck, expect: 0 }
  exact: { layer: data, on: shop, title: Exact, query: "SELECT 12345678901234567.89", expect: "12345678901234567.89" }
  shaped: { layer: schema, on: shop, title: Shaped, schema: [{ column: orders.payment_reference_id, type: varchar(64) }] }
steps:
  - id: rename-back
    phase: repair
    on: shop
    title: Give the old code its column name back
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [insert-works]
  - id: slow
    on: shop
    title: A column that is computed for every row
    ddl: |
      ALTER TABLE orders ADD COLUMN digest varchar(128) AS (sha2(repeat(status, 1000000), 512)) STORED
  - id: long
    on: shop
    title: A statement that takes its time
    ddl: |
      CREATE TABLE long_one AS SELECT sleep(12) AS slept
  - id: confirm
    on: shop
    title: Confirm what was paid
    change:
      sql: |
        UPDATE orders SET status = 'confirmed' WHERE status = 'awaiting'
"#;

async fn shop(run: &str) -> Option<(Database, Shop)> {
    let database = support::mysql_database("mysql")?;
    let shop = Shop::with(RUNBOOK, &database.url, run);
    shop.sql(
        "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL, status varchar(16) NOT NULL, payment_reference_id varchar(64))",
    )
    .await;
    for id in 1..=3 {
        shop.sql(&format!("INSERT INTO orders VALUES ({id}, {}, 'awaiting', 'ref-{id}')", id * 100)).await;
    }
    shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
    Some((database, shop))
}

#[tokio::test]
async fn a_server_says_what_it_is_and_what_it_declares() {
    let Some((database, shop)) = shop("run-aaaaaaaa").await else { return };
    let identity = shop.context.targets.identity("shop").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(identity.environment, Environment::Production);
    assert!(identity.has_marker && identity.sees_sessions && !identity.standby, "{identity:?}");
    assert!(identity.seen.server.starts_with("MariaDB ") || identity.seen.server.starts_with("MySQL "));
    assert!(identity.seen.words.starts_with(&format!("{} @ ", database.name)), "{}", identity.seen.words);
    let handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    let Handle::Mysql(mut own) = handle else { panic!("it is a MySQL target") };
    mysql::declare_rehearsal(&mut own, "nonce-1").await.unwrap();
    let declared = shop.context.targets.identity("shop").await.unwrap();
    assert_eq!((declared.environment, declared.nonce.as_deref()), (Environment::Rehearsal, Some("nonce-1")));
}

#[tokio::test]
async fn values_are_exact() {
    let Some((_database, shop)) = shop("run-aaaaaaab").await else { return };
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    let sql = "SELECT 18446744073709551615 AS u, CAST(-9223372036854775808 AS signed) AS i,
        CAST(12345678901234567890.0123456789 AS decimal(40,10)) AS d, DATE '2026-02-03' AS day,
        CAST('2026-02-03 04:05:06.000007' AS datetime(6)) AS at, CAST('-25:00:01' AS time) AS t, NULL AS n, 'ä' AS s";
    let row = handle.read(sql, vec![]).await.unwrap().remove(0);
    let text = |name: &str| row[name].to_string();
    assert_eq!((text("u"), text("i")), ("18446744073709551615".into(), "-9223372036854775808".into()));
    assert_eq!(text("d"), "12345678901234567890.0123456789");
    assert_eq!((&row["day"], &row["at"]), (&Value::from("2026-02-03"), &Value::from("2026-02-03 04:05:06.000007")));
    assert_eq!((&row["t"], &row["n"], &row["s"]), (&Value::from("-25:00:01"), &Value::Null, &Value::from("ä")));
}

#[tokio::test]
async fn text_is_text_in_whatever_collation_and_bytes_are_bytes() {
    let Some((_database, shop)) = shop("run-aaaaaaaj").await else { return };
    shop.sql(
        "CREATE TABLE strings (a varchar(9) COLLATE utf8mb4_bin, b text COLLATE utf8mb4_bin, c char(3) CHARACTER SET latin1
            COLLATE latin1_bin, d varbinary(9), e blob, f binary(2), g longtext COLLATE utf8mb4_bin, h bit(9), i json,
            j enum('ä', 'b') COLLATE utf8mb4_bin)",
    )
    .await;
    shop.sql("INSERT INTO strings VALUES ('ä', 'ä', 'ä', 'ä', 'ä', 'a', 'ä', b'100000001', '{\"a\": 1}', 'ä')").await;
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    let row = handle.read("SELECT * FROM strings", vec![]).await.unwrap().remove(0);
    let of = |names: &str| names.chars().map(|name| row[&name.to_string()].to_string()).collect::<Vec<_>>();
    assert_eq!(of("abcgj"), ["\"ä\""; 5]);
    assert_eq!(of("defh"), [r#""\\xc3a4""#, r#""\\xc3a4""#, r#""\\x6100""#, r#""\\x0101""#]);
    assert!(row["i"] == "{\"a\": 1}" || row["i"] == serde_json::json!({ "a": 1 }), "{row:?}");
}

#[tokio::test]
async fn a_read_connection_changes_nothing_whoever_asks() {
    let Some((_database, shop)) = shop("run-aaaaaaac").await else { return };
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    for sql in ["CREATE TABLE t (a int)", "DROP TABLE orders", "DELETE FROM orders", "TRUNCATE orders"] {
        let error = handle.run(sql, vec![]).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("1792"), "{sql}: {error}");
    }
    let other = shop.context.targets.dedicated("shop", "test").await.unwrap();
    let Handle::Mysql(other) = other else { panic!("it is a MySQL target") };
    handle.run(format!("kill query {}", other.id), vec![]).await.unwrap_or_else(|e| panic!("a cancel must pass: {e}"));
    assert!(handle.run("SELECT 1; DROP TABLE orders", vec![]).await.is_err());
    for sql in ["SELECT 1 /*! , 2 */", "SELECT 1 /*M! , 2 */", "SELECT 1 INTO OUTFILE '/tmp/x'", "DROP TABLE orders"] {
        assert!(backout::sql::check_read_only(backout::sql::Dialect::Mysql, sql).is_err(), "{sql}");
    }
    assert_eq!(handle.one("SELECT count(*) AS n FROM orders", vec![]).await.unwrap(), Some(Value::from(3)));
}

#[tokio::test]
async fn checks_are_asked() {
    let Some((_database, shop)) = shop("run-aaaaaaad").await else { return };
    assert!(shop.check("exact", Depth::Parse).await.verdict.is_pass());
    assert!(shop.check("shaped", Depth::Parse).await.verdict.is_pass());
    let stuck = shop.check("none-stuck", Depth::Parse).await;
    assert_eq!((stuck.verdict.is_fail(), stuck.value), (true, Some(Value::from(3))));
    let probe = shop.check("insert-works", Depth::Parse).await;
    assert!(probe.verdict.is_fail(), "a missing column is red when it is only prepared: {probe:?}");
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    let error = handle.run("DELETE FROM orders", vec![]).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("1792"), "the wall is up again after a probe: {error}");
}

#[tokio::test]
async fn a_rename_commits_by_itself_and_the_catalog_settles_it() {
    let Some((_database, shop)) = shop("run-aaaaaaae").await else { return };
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((prepared.offer.token.as_str(), prepared.offer.epoch), ("orders@shop", Some(1)));
    assert!(prepared.evidence.facts.iter().any(|(_, words)| words.contains("commits by itself")));
    let (offer, job) = (prepared.offer.clone(), prepared.job);
    let (outcome, reached, _) = shop.perform(job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!(reached.iter().map(|(point, _)| *point).collect::<Vec<_>>(), [Point::Begun, Point::Sent]);
    assert_eq!(shop.one("SELECT count(*) AS n FROM backout_marker").await, 1);
    assert!(shop.check("insert-works", Depth::Parse).await.verdict.is_pass());
    let step = &shop.context.runbook.steps["rename-back"];
    assert_eq!(action::position(step, &shop.context).await.position, Position::Done);
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    let back = shop.done("rename-back", 2, true).await;
    assert_eq!(back.result, OutcomeResult::Applied, "{back:?}");
}

#[tokio::test]
async fn a_start_that_sent_nothing_is_settled_as_not_done() {
    let Some((_database, shop)) = shop("run-aaaaaaaf").await else { return };
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Stop).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    let step = &shop.context.runbook.steps["rename-back"];
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::NotApplied, "{:?}", settled.evidence);
}

#[tokio::test]
async fn a_refused_lock_is_told_and_tried_again() {
    let Some((_database, shop)) = shop("run-aaaaaaag").await else { return };
    let mut holder = shop.context.targets.dedicated("shop", "test").await.unwrap();
    holder.run("start transaction", vec![]).await.unwrap();
    holder.one("SELECT count(*) AS n FROM orders", vec![]).await.unwrap();
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    let way = prepared.evidence.facts.iter().find(|(label, _)| label == "in way").unwrap();
    assert!(way.1.contains("in a transaction"), "{way:?}");
    let (outcome, failed) = shop.until_locked(prepared.job, async move || drop(holder)).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!(failed.first().map(String::as_str), Some("1205"));
}

#[tokio::test]
async fn another_run_that_took_over_stops_the_first() {
    let Some((database, shop)) = shop("run-aaaaaaah").await else { return };
    shop.done("rename-back", 1, false).await;
    let first = shop.prepare("rename-back", 2, true).await.unwrap_or_else(|e| panic!("{e}"));
    let second = Shop::with(RUNBOOK, &database.url, "run-bbbbbbbb");
    let theirs = second.prepare("rename-back", 1, true).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(theirs.offer.epoch, Some(2));
    let takes = theirs.evidence.facts.iter().find(|(label, _)| label == "takes over").unwrap();
    assert!(takes.1.contains("run run-aaaaaaaa of ") || takes.1.contains("run run-aaaaaaah of "), "{takes:?}");
    assert!(takes.1.ends_with("It did: rename-back"), "{takes:?}");
    second.perform(theirs.job, async |_, _| Go::Stop).await;
    let (outcome, reached, _) = shop.perform(first.job, async |_, _| Go::Go).await;
    assert!(reached.is_empty() && outcome.evidence.starts_with("claim lost"), "{outcome:?}");
}

#[tokio::test]
async fn a_change_is_refused_by_name() {
    let Some((_database, shop)) = shop("run-aaaaaaai").await else { return };
    let Err(failure) = shop.prepare("confirm", 1, false).await else { panic!("it was prepared") };
    assert!(failure.to_string().contains("`change` is not supported on MySQL"), "{failure}");
}
