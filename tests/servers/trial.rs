//! A trial on real databases: what it tells, what it refuses, and that it leaves nothing.

use std::time::Duration;

use backout::action::trial::{self, Wanted};
use backout::check::schema;
use backout::run::record::{Tried, TriedUndo};
use backout::target::Handle;
use tokio::sync::watch;

use crate::shop::Shop;
use crate::support::{self, Database};

const MORE: &str = r#"
  - id: widen
    on: shop
    title: Rewrites the table
    ddl: |
      ALTER TABLE orders ALTER COLUMN amount_cents TYPE numeric(20,2)
  - id: drop-ref
    on: shop
    title: Drops what its undo does not bring back
    ddl: |
      ALTER TABLE orders DROP COLUMN payment_reference_id
    undo:
      ddl: |
        ALTER TABLE orders ADD COLUMN payment_reference_id text
  - id: index-apart
    on: shop
    title: Cannot stand in a transaction
    ddl: |
      CREATE INDEX CONCURRENTLY by_status ON orders (status)
  - id: body
    on: shop
    title: Nobody knows what it does
    ddl: |
      DO $$ begin execute 'ALTER TABLE orders ADD COLUMN done int'; end $$
    undo:
      ddl: |
        ALTER TABLE orders DROP COLUMN done
  - id: calls
    on: shop
    title: Calls what is not known
    ddl: |
      CREATE TABLE more AS SELECT elsewhere() AS said
  - id: no-type
    on: shop
    title: Drops a type, and with it what has the type
    ddl: |
      DROP TYPE order_status CASCADE
    undo:
      ddl:
        - |
          CREATE TYPE order_status AS ENUM ('pending', 'confirmed', 'awaiting')
  - id: two
    on: shop
    title: Two statements
    ddl:
      - |
        ALTER TABLE orders ADD COLUMN note text
      - |
        ALTER TABLE orders RENAME COLUMN note TO remark
"#;

fn runbook(kind: &str) -> String {
    let text = Shop::text(kind);
    match kind {
        "postgres" => format!("{}{MORE}", text.trim_end_matches('\n').to_owned() + "\n"),
        _ => text,
    }
}

async fn postgres(run: &str) -> Option<(Database, Shop)> {
    let database = support::postgres_database("trial")?;
    let shop = Shop::with(&runbook("postgres"), &database.url, run);
    shop.fill("order_status").await;
    shop.sql("CREATE INDEX by_ref ON orders (payment_reference_id)").await;
    shop.sql("CREATE VIEW refs AS SELECT id, payment_reference_id FROM orders").await;
    Some((database, shop))
}

async fn tried(shop: &Shop, step: &str, wanted: &Wanted<'_>) -> Result<Tried, String> {
    let (_stop, cancel) = watch::channel(false);
    trial::attempt(&shop.context.runbook.steps[step], wanted, &shop.context, cancel).await
}

/// Column numbers apart, the whole database as it is.
async fn catalog(shop: &Shop) -> Vec<String> {
    let mut handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    schema::catalog(&mut handle).await.unwrap_or_else(|none| panic!("{}", none.words()))
}

async fn rename_is_tried_and_taken_back(shop: &Shop) {
    let before = catalog(shop).await;
    let result = tried(shop, "rename-back", &Wanted::default()).await.unwrap();
    assert_eq!(result.undo, TriedUndo::Exact, "{result:?}");
    assert_eq!(result.checks.len(), 1);
    assert!(result.checks[0].passed && result.is_good(), "{result:?}");
    assert!(result.not_tried.is_empty() && result.outside.is_empty(), "{result:?}");
    assert!(result.held_us > 0 && result.statements[0].rewrote.is_empty());
    assert_eq!(catalog(shop).await, before);
    assert_eq!(shop.one("SELECT count(payment_reference_id) FROM orders").await, 10);
    assert_eq!(shop.one("SELECT count(*) FROM orders").await, 10);

    let red = tried(shop, "rename-red", &Wanted::default()).await.unwrap();
    assert!(!red.checks[0].passed && !red.is_good(), "{red:?}");
    assert!(red.checks[0].words.contains("fail") && red.checks[0].words.contains("10"), "{red:?}");
    assert!(red.words().contains("impossible"), "{}", red.words());
    assert_eq!(catalog(shop).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_shows_the_checks_the_undo_and_the_locks() {
    let Some((_database, shop)) = postgres("run-tried").await else { return };
    rename_is_tried_and_taken_back(&shop).await;
    let result = tried(&shop, "rename-back", &Wanted::default()).await.unwrap();
    assert!(result.locks.contains(&("orders".into(), "ACCESS EXCLUSIVE".into())), "{:?}", result.locks);
    assert_eq!(shop.one("SELECT count(*) FROM backout.marker").await, 0);
    assert_eq!(shop.one("SELECT count(*) FROM backout.claim").await, 0);
    let two = tried(&shop, "two", &Wanted::default()).await.unwrap();
    assert_eq!((two.statements.len(), &two.undo), (2, &TriedUndo::Exact), "{two:?}");
    let refused = tried(&shop, "index-apart", &Wanted::default()).await.unwrap_err();
    assert!(refused.contains("outside a transaction"), "{refused}");
    let refused = tried(&shop, "confirm", &Wanted::default()).await.unwrap_err();
    assert!(!refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_shows_the_checks_and_the_undo() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.db");
    std::fs::File::create(&file).unwrap();
    let shop = Shop::with(&runbook("sqlite"), file.to_str().unwrap(), "run-tried");
    shop.fill("text").await;
    rename_is_tried_and_taken_back(&shop).await;
    // Another writer holds the file.
    let mut other = shop.context.targets.dedicated("shop", "other").await.unwrap();
    other.run("begin immediate", vec![]).await.unwrap();
    let refused = tried(&shop, "rename-back", &Wanted::default()).await.unwrap_err();
    assert!(refused.contains("no lock within 500 ms"), "{refused}");
    other.run("rollback", vec![]).await.unwrap();
    let copy = tried(&shop, "rename-back", &Wanted { copy: true, ..Wanted::default() }).await.unwrap_err();
    assert!(copy.contains("no empty copies"), "{copy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_hurt_is_refused_without_a_reason_and_shown_on_a_copy() {
    let Some((_database, shop)) = postgres("run-big").await else { return };
    shop.sql("DROP VIEW refs").await;
    shop.sql("ANALYZE orders").await;
    let before = catalog(&shop).await;
    let small = Wanted { most_rows: 5, ..Wanted::default() };
    let refused = tried(&shop, "widen", &small).await.unwrap_err();
    assert!(refused.contains("about 10 rows") && refused.contains("empty copy"), "{refused}");
    // What only touches the catalog is small on every table.
    tried(&shop, "rename-back", &small).await.unwrap();
    let forced = Wanted { reason: Some("the table is small enough tonight"), ..small };
    let forced = tried(&shop, "widen", &forced).await.unwrap();
    assert_eq!(forced.statements[0].rewrote, ["orders"], "{forced:?}");
    assert!(matches!(&forced.undo, TriedUndo::None(because) if because.contains("type")), "{forced:?}");
    let copy = tried(&shop, "widen", &Wanted { copy: true, ..small }).await.unwrap();
    assert!(copy.copy && copy.locks.is_empty(), "{copy:?}");
    assert_eq!(copy.statements[0].rewrote, ["orders"], "{copy:?}");
    let unseen: Vec<&str> = copy.not_tried.iter().map(|(what, _)| what.as_str()).collect();
    assert!(["foreign keys", "triggers", "dependent views"].iter().all(|what| unseen.contains(what)), "{unseen:?}");
    assert_eq!(catalog(&shop).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_does_not_bring_back_everything_is_told() {
    let Some((_database, shop)) = postgres("run-differs").await else { return };
    shop.sql("DROP VIEW refs").await;
    let before = catalog(&shop).await;
    let result = tried(&shop, "drop-ref", &Wanted::default()).await.unwrap();
    let TriedUndo::Differs(told) = &result.undo else { panic!("{result:?}") };
    assert!(told.iter().any(|line| line.starts_with("index orders.by_ref is gone")), "{told:?}");
    // The column is there again, and what it held is not.
    assert!(told.iter().any(|line| line.starts_with("orders.payment_reference_id is another one")), "{told:?}");
    assert!(!result.is_good() && result.words().contains("NOT as before"), "{}", result.words());
    assert_eq!(catalog(&shop).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_leaves_out_what_hangs_on_the_object_is_told() {
    let Some((_database, shop)) = postgres("run-hangs").await else { return };
    let result = tried(&shop, "no-type", &Wanted::default()).await.unwrap();
    let TriedUndo::Differs(told) = &result.undo else { panic!("{result:?}") };
    assert!(told.iter().any(|line| line.starts_with("column orders.status is gone")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollback_would_not_take_back_is_tried_only_with_a_reason() {
    let Some((_database, shop)) = postgres("run-beside").await else { return };
    shop.sql("CREATE FUNCTION elsewhere() RETURNS text LANGUAGE sql AS 'SELECT ''x''::text'").await;
    for (step, words) in [("body", "nobody knows what DO does"), ("calls", "it calls elsewhere")] {
        let refused = tried(&shop, step, &Wanted::default()).await.unwrap_err();
        assert!(refused.contains(words) && refused.contains("no rollback would take that back"), "{refused}");
        let copied = tried(&shop, step, &Wanted { copy: true, ..Wanted::default() }).await.unwrap_err();
        assert!(copied.contains(words), "{copied}");
    }
    shop.sql("CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end'").await;
    shop.sql("CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION watch()").await;
    let reason = Wanted { reason: Some("read by two of us"), ..Wanted::default() };
    let before = catalog(&shop).await;
    // What it touches is not named: the whole catalog is compared.
    let result = tried(&shop, "body", &reason).await.unwrap();
    assert_eq!(result.undo, TriedUndo::Exact, "{result:?}");
    let told = result.not_tried.iter().find(|(what, _)| what == "event triggers watched");
    assert!(told.is_some_and(|(_, why)| why.contains("outside the transaction stays")), "{result:?}");
    assert!(result.unseen.contains("rows"), "{result:?}");
    assert_eq!(catalog(&shop).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_others_hold_ends_it_in_words() {
    let Some((_database, shop)) = postgres("run-locked").await else { return };
    let mut reader = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    reader.run("begin", vec![]).await.unwrap();
    reader.one("select count(*) from orders", vec![]).await.unwrap();
    let refused = tried(&shop, "rename-back", &Wanted::default()).await.unwrap_err();
    assert!(refused.contains("no lock within 500 ms") && refused.contains("55P03"), "{refused}");
    assert!(refused.contains("rolled back"), "{refused}");
    reader.run("rollback", vec![]).await.unwrap();
    assert!(tried(&shop, "rename-back", &Wanted::default()).await.is_ok());
}

/// A statement that waits long enough to be met by what is to end it.
async fn slow(run: &str) -> Option<(Database, Shop)> {
    let (database, shop) = postgres(run).await?;
    shop.sql("CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql AS 'SELECT $1 FROM pg_sleep(2)'").await;
    let text = runbook("postgres")
        + "  - id: slow\n    on: shop\n    title: Slow\n    ddl: |\n      ALTER TABLE orders ALTER COLUMN payment_reference_id TYPE text USING slow(payment_reference_id)\n    undo:\n      ddl: |\n        ALTER TABLE orders ALTER COLUMN payment_reference_id SET DEFAULT 'undone'\n";
    shop.sql("DROP VIEW refs").await;
    let shop = Shop::with(&text, &database.url, run);
    Some((database, shop))
}

async fn backend(shop: &Shop) -> String {
    let find = "SELECT coalesce(max(pid)::text, '') FROM pg_stat_activity
                WHERE application_name LIKE '%/trial/0' AND query LIKE 'ALTER%' AND datname = current_database()";
    for _ in 0..200 {
        let found = shop.one(find).await;
        if found != "" {
            return found.as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the trial never came to its statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_meanwhile_is_theirs_and_what_the_undo_left_is_its_own() {
    let Some((_database, shop)) = slow("run-others").await else { return };
    shop.sql(
        "CREATE OR REPLACE FUNCTION slow(text) RETURNS text LANGUAGE plpgsql VOLATILE AS 'begin
           while not exists (select from pg_class where relname = ''unrelated'') loop perform pg_sleep(0.02); end loop; return $1; end'",
    )
    .await;
    let reason = Wanted { reason: Some("to have the time"), ..Wanted::default() };
    let others = async {
        backend(&shop).await;
        // One on the very table, which no lock of the trial keeps out; one on another.
        shop.sql("GRANT UPDATE (amount_cents) ON orders TO public").await;
        shop.sql("CREATE TABLE unrelated (id int)").await;
    };
    let (result, ()) = tokio::join!(tried(&shop, "slow", &reason), others);
    let result = result.unwrap();
    let TriedUndo::Differs(told) = &result.undo else { panic!("{result:?}") };
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("column orders.payment_reference_id is text default 'undone'"), "{told:?}");
    for line in ["grant orders.amount_cents to public is there and was not", "table unrelated is there and was not"] {
        assert!(result.outside.iter().any(|told| told == line), "{line}: {:?}", result.outside);
    }
    assert!(!result.outside.iter().any(|line| line.contains("payment_reference_id")), "{:?}", result.outside);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_and_a_cancel_leave_nothing() {
    let Some((_database, shop)) = slow("run-ended").await else { return };
    let before = catalog(&shop).await;
    let reason = Wanted { reason: Some("to see it ended"), ..Wanted::default() };
    let kill = async {
        let pid = backend(&shop).await;
        shop.sql(&format!("SELECT pg_terminate_backend({pid})")).await;
    };
    let (ended, ()) = tokio::join!(tried(&shop, "slow", &reason), kill);
    let ended = ended.unwrap_err();
    assert!(ended.contains("57P01") && ended.contains("rolls back by itself"), "{ended}");
    assert_eq!(catalog(&shop).await, before);

    let (stop, cancel) = watch::channel(false);
    let cancelled = trial::attempt(&shop.context.runbook.steps["slow"], &reason, &shop.context, cancel);
    let stop = async {
        backend(&shop).await;
        stop.send_replace(true);
    };
    let (ended, ()) = tokio::join!(cancelled, stop);
    let ended = ended.unwrap_err();
    assert!(ended.contains("cancelled and rolled back"), "{ended}");
    assert_eq!(catalog(&shop).await, before);

    // Whoever asked for it is gone in the middle.
    let context = shop.context.clone();
    let (_stop, cancel) = watch::channel(false);
    let task = tokio::spawn(async move {
        let reason = Wanted { reason: Some("to see it dropped"), ..Wanted::default() };
        trial::attempt(&context.runbook.steps["slow"], &reason, &context, cancel).await.map(|_| ())
    });
    backend(&shop).await;
    task.abort();
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%/trial/0' AND datname = current_database()";
    for _ in 0..200 {
        if shop.one(gone).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shop.one(gone).await, 0);
    assert_eq!(catalog(&shop).await, before);
    let Handle::Postgres(_) = shop.context.targets.dedicated("shop", "after").await.unwrap() else { panic!() };
}
