//! What the gate of a schema change says of the database: each fact made true, and seen.

use backout::action;
use backout::run::record::Act;
use backout::runbook::template::as_text;
use backout::target::Handle;

use crate::shop::Shop;
use crate::support::{self, Database};

mod others;
mod ties;

const RUNBOOK: &str = r#"
backout: 1
name: gate
title: One table and what stands on it
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: rename
    on: shop
    title: Another name for the column
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id
  - id: drop
    on: shop
    title: Without the column
    ddl: |
      ALTER TABLE orders DROP COLUMN payment_ref
  - id: cascade
    on: shop
    title: Without the column and what stands on it
    ddl: |
      ALTER TABLE orders DROP COLUMN payment_ref CASCADE
  - id: retype
    on: shop
    title: Another type for the column
    ddl: |
      ALTER TABLE orders ALTER COLUMN payment_ref TYPE varchar(64)
  - id: index
    on: shop
    title: An index, while others write
    ddl: |
      CREATE INDEX CONCURRENTLY orders_status ON orders (status)
"#;

const TABLES: [&str; 12] = [
    "CREATE TABLE orders (id bigint PRIMARY KEY, status text, payment_ref text UNIQUE, other text)",
    "CREATE TABLE payments (ref text REFERENCES orders (payment_ref))",
    "CREATE VIEW order_report AS SELECT id, payment_ref FROM orders",
    "CREATE VIEW of_others AS SELECT id, other FROM orders",
    "CREATE MATERIALIZED VIEW order_totals AS SELECT payment_ref, count(*) FROM orders GROUP BY 1",
    "CREATE INDEX orders_broken ON orders (other)",
    "CREATE FUNCTION pay() RETURNS trigger LANGUAGE plpgsql AS 'begin new.payment_ref := 1; return new; end'",
    "CREATE FUNCTION look_alike() RETURNS int LANGUAGE plpgsql AS 'begin return (select max(payment_reference) from x); end'",
    "CREATE TRIGGER paid BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pay()",
    "CREATE POLICY own ON orders USING (payment_ref IS NOT NULL)",
    "GRANT SELECT (payment_ref) ON orders TO public",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_broken'::regclass",
];

async fn shop(database: &Database, run: &str) -> Shop {
    let shop = Shop::with(RUNBOOK, &database.url, run);
    for sql in TABLES {
        shop.sql(sql).await;
    }
    shop
}

/// A shop with a step a statement, named by its number, on tables of its own.
async fn of(url: &str, run: &str, statements: &[&str], tables: &[&str]) -> Shop {
    let head = RUNBOOK.split_once("steps:\n").unwrap().0;
    let step = |(n, sql): (usize, &&str)| format!("  - {{ id: s{n}, on: shop, title: One, ddl: {sql:?} }}\n");
    let steps: String = statements.iter().enumerate().map(step).collect();
    let shop = Shop::with(&format!("{head}steps:\n{steps}"), url, run);
    for sql in tables {
        shop.sql(sql).await;
    }
    shop
}

/// The lines of a step's gate, each as `label: words`.
async fn lines(shop: &Shop, step: &str) -> Vec<String> {
    let prepared = shop.prepare(step, 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    prepared.evidence.facts.into_iter().map(|(label, words)| format!("{label}: {words}")).collect()
}

fn one<'a>(lines: &'a [String], start: &str) -> &'a str {
    lines.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {lines:#?}"))
}

async fn session(shop: &Shop, app: &str, sql: &[&str]) -> Handle {
    let mut handle = shop.context.targets.dedicated("shop", app).await.unwrap();
    for sql in sql {
        handle.run(*sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    handle
}

async fn told(act: &Act, ctx: &backout::check::Context) -> (bool, String) {
    let (_keep, never) = tokio::sync::watch::channel(false);
    let acted = action::act(act, ctx, never).await;
    (acted.applied, acted.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_on_a_column_is_told_by_what_becomes_of_it() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-facts").await;
    shop.sql("CREATE PUBLICATION cdc FOR TABLE orders").await;
    // Whole schemas: from PostgreSQL 15 on.
    shop.sql("CREATE PUBLICATION whole FOR TABLES IN SCHEMA public").await;
    let rename = lines(&shop, "rename").await;
    let table = one(&rename, "table: orders");
    assert!(table.contains("never analysed") && table.ends_with("3 indexes"), "{table}");
    assert!(one(&rename, "invalid").contains("orders_broken on orders"), "{rename:#?}");
    let follows = one(&rename, "follows");
    for there in
        ["view order_report", "materialized view order_totals", "constraint orders_payment_ref_key", "policy own"]
    {
        assert!(follows.contains(there), "{there}: {follows}");
    }
    assert!(follows.contains("payments_ref_fkey on payments") && follows.contains("grant on the column"), "{follows}");
    assert!(!follows.contains("of_others"), "{follows}");
    let breaks = one(&rename, "breaks");
    assert!(breaks.contains("function pay()") && !breaks.contains("look_alike"), "{breaks}");
    assert!(one(&rename, "publish").contains("publication cdc, whole"), "{rename:#?}");
    assert_eq!(one(&rename, "in way"), "in way: nobody holds a conflicting lock on orders now");
    assert!(!rename.iter().any(|line| line.contains("cannot")), "{rename:#?}");

    let drop = lines(&shop, "drop").await;
    let hinders = one(&drop, "hinders");
    assert!(hinders.contains("view order_report") && hinders.contains("payments_ref_fkey"), "{hinders}");
    assert!(shop_refuses(&shop, "ALTER TABLE orders DROP COLUMN payment_ref").await);
    assert!(one(&drop, "goes too").contains("orders_payment_ref_key"), "{drop:#?}");
    assert!(one(&lines(&shop, "cascade").await, "cascades").contains("view order_report"));
    assert!(one(&lines(&shop, "retype").await, "hinders").contains("materialized view order_totals"));

    shop.sql("ALTER TABLE orders DISABLE TRIGGER paid").await;
    shop.sql("INSERT INTO orders (id) SELECT generate_series(1, 50)").await;
    shop.sql("ANALYZE orders").await;
    assert!(one(&lines(&shop, "rename").await, "table").contains("about 50 rows"));
}

async fn shop_refuses(shop: &Shop, sql: &str) -> bool {
    let mut handle = session(shop, "test", &[]).await;
    handle.run(sql, vec![]).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_lock_that_conflicts_is_in_the_way() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-conflict").await;
    let mut reader = session(&shop, "bi-extract", &["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"]).await;
    let rename = lines(&shop, "rename").await;
    let way = one(&rename, "in way");
    for words in ["! bi-extract, pid ", "idle in transaction for ", "holds ACCESS SHARE on orders", "LOCK TABLE orders"]
    {
        assert!(way.contains(words), "{words}: {way}");
    }
    let index = lines(&shop, "index").await;
    assert!(one(&index, "in way").contains("nobody holds a conflicting lock"), "{index:#?}");
    assert!(one(&index, "oldest").contains("bi-extract"), "it waits for every transaction: {index:#?}");
    assert!(!rename.iter().any(|line| line.starts_with("oldest")), "a young transaction is no news: {rename:#?}");

    // Who waits stands in the queue before us, and who has it all leaves even the size unread.
    let mut second = session(&shop, "migration", &["begin", "set lock_timeout = 0"]).await;
    let waits = tokio::spawn(async move {
        second.run("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", vec![]).await.unwrap();
        second
    });
    let waiting = "select count(*) from pg_locks where not granted and relation = 'orders'::regclass";
    while as_text(&shop.one(waiting).await) != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let queued = lines(&shop, "rename").await;
    assert!(queued.iter().any(|line| line.contains("migration") && line.contains("waits for ACCESS EXCLUSIVE")));
    reader.run("rollback", vec![]).await.unwrap();
    let holder = waits.await.unwrap();
    let locked = lines(&shop, "rename").await;
    assert!(one(&locked, "table: orders").contains("lock timeout (55P03)"), "{locked:#?}");
    assert!(one(&locked, "in way").contains("holds ACCESS EXCLUSIVE"), "{locked:#?}");
    drop(holder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_has_no_session_to_end() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-prepared").await;
    let gid = support::unique("gid");
    let prepare = format!("PREPARE TRANSACTION '{gid}'");
    let mut other = session(&shop, "two-phase", &["begin", "INSERT INTO orders (id) VALUES (1)", &prepare]).await;
    let way = lines(&shop, "rename").await;
    let way = one(&way, "in way").to_owned();
    other.run(format!("ROLLBACK PREPARED '{gid}'"), vec![]).await.unwrap();
    assert!(way.contains(&format!("prepared transaction '{gid}'")), "{way}");
    assert!(way.contains("holds ROW EXCLUSIVE on orders") && way.contains("ROLLBACK PREPARED"), "{way}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_look_says_so() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-blind").await;
    let role = support::unique("blind");
    shop.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'blind'")).await;
    let (_, host) = database.url.rsplit_once('@').unwrap();
    let blind = Shop::with(RUNBOOK, &format!("postgres://{role}:blind@{host}"), "run-blind");
    let free = lines(&blind, "rename").await;
    assert!(one(&free, "in way").contains("cannot see other sessions"), "{free:#?}");
    assert!(one(&free, "sessions").contains("pg_read_all_stats"), "{free:#?}");
    assert!(!free.iter().any(|line| line.contains("nobody")), "{free:#?}");
    let reader = session(&shop, "bi-extract", &["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"]).await;
    let held = lines(&blind, "rename").await;
    let way = one(&held, "in way");
    assert!(way.contains("bi-extract, pid ") && way.contains("cannot see for how long"), "{way}");
    drop(reader);
    drop(blind);
    shop.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_act_did_is_read_again() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-acts").await;
    let reads = ["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"];
    let mut idle = session(&shop, "bi-extract", &reads).await;
    let earlier = shop.prepare("rename", 1, false).await.unwrap().evidence.blockers[0].clone();
    for sql in ["rollback"].iter().chain(&reads) {
        idle.run(*sql, vec![]).await.unwrap();
    }
    let prepared = shop.prepare("rename", 1, false).await.unwrap();
    let (pid, since) = prepared.evidence.blockers[0].clone();
    let target = || "shop".to_owned();
    let cancel = |since: &str| Act::CancelSession { target: target(), pid: pid.clone(), since: Some(since.to_owned()) };
    let end = |since: &str| Act::EndSession { target: target(), pid: pid.clone(), since: Some(since.to_owned()) };
    // A transaction that is idle has no statement: the server says yes, and nothing changes.
    let (took, words) = told(&cancel(&since), &shop.context).await;
    assert!(!took && words.contains("said yes and changed nothing"), "{words}");
    assert!(words.contains("idle in transaction, with 1 table locks"), "{words}");
    assert!(words.contains(&format!("to end the session, type {pid}")), "{words}");
    // Nor is what it does now, where that is not what was shown: it may even be another client's, behind a pooler.
    assert_eq!(pid, earlier.0);
    let (took, words) = told(&end(&earlier.1), &shop.context).await;
    assert!(!took && words.contains("has ended by itself: nothing was sent"), "{words}");
    // Another session with the same number is not meant.
    let (took, words) = told(&end("2001-01-01 00:00:00+00"), &shop.context).await;
    assert!(!took && words.contains("nothing was sent"), "{words}");
    // What was not shown to be in the way may be a slip: it is told who that is, and what would make it this one.
    let slip = Act::EndSession { target: target(), pid: pid.clone(), since: None };
    let (_keep, never) = tokio::sync::watch::channel(false);
    let looked = action::act(&slip, &shop.context, never).await;
    assert!(!looked.applied && looked.found.as_ref() == Some(&since), "{}", looked.detail);
    assert!(
        looked.detail.contains(&format!("nothing was sent: {pid} was not shown to be in the way; {pid} is bi-extract"))
    );
    let (took, words) = told(&end(&since), &shop.context).await;
    assert!(took && words.contains("read again, it is gone"), "{words}");
    assert!(one(&lines(&shop, "rename").await, "in way").contains("nobody"));
    let (took, words) = told(&end(&since), &shop.context).await;
    assert!(!took && words.contains("there is no session"), "{words}");
    drop(idle);

    // A statement under way is cancelled, and its transaction's locks go with it.
    let mut busy = session(&shop, "report", &["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"]).await;
    let slow = tokio::spawn(async move { (busy.one("select pg_sleep(60)::text", vec![]).await, busy) });
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    while as_text(&shop.one(sleeps).await) != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let prepared = shop.prepare("rename", 1, false).await.unwrap();
    let (pid, since) = prepared.evidence.blockers[0].clone();
    let cancel = Act::CancelSession { target: target(), pid, since: Some(since) };
    let (took, words) = told(&cancel, &shop.context).await;
    assert!(took && words.contains("idle in transaction (aborted) and holds 0 table locks"), "{words}");
    let (slept, _busy) = slow.await.unwrap();
    assert_eq!(slept.unwrap_err().code.as_deref(), Some("57014"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_nobody_reads_is_told() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-slot").await;
    let slot = support::unique("slot");
    shop.one(&format!("SELECT pg_create_physical_replication_slot('{slot}', true) IS NULL")).await;
    let lines = lines(&shop, "rename").await;
    shop.one(&format!("SELECT pg_drop_replication_slot('{slot}') IS NULL")).await;
    let told = one(&lines, &format!("slot: {slot}"));
    assert!(told.contains("inactive"), "{told}");
}
