//! The walls of a question, each with the others out of the way, and all of them together.
//!
//! What one wall lets through is asserted too: it is why there is more than one.

use backout::check::Depth;
use backout::check::sql::{self, NoAnswer, Where};
use backout::runbook::template::RenderedSql;
use backout::sql::{Dialect, check_read_only};
use backout::target::{Handle, SqlError, sqlite};
use serde_json::Value;

use crate::shop::Shop;
use crate::support::{self, Database};

fn text(sql: &str) -> RenderedSql {
    RenderedSql { sql: sql.to_owned(), binds: vec![] }
}

async fn postgres(run: &str) -> Option<(Database, Shop)> {
    let database = support::postgres_database("walls")?;
    let shop = Shop::run("postgres", &database.url, run);
    shop.fill("order_status").await;
    for sql in [
        "CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'INSERT INTO orders VALUES (98, 1, ''pending'', null) RETURNING 1'",
        "CREATE SEQUENCE numbers",
        // Called without a parenthesis, by an operator, a cast, a type, under a word of the grammar.
        "CREATE FUNCTION evil_of(orders) RETURNS int LANGUAGE sql AS 'INSERT INTO orders VALUES (98, 1, ''pending'', null) RETURNING 1'",
        "CREATE FUNCTION evil_with(n int) RETURNS boolean LANGUAGE sql AS 'INSERT INTO orders VALUES (98, 1, ''pending'', null) RETURNING true'",
        "CREATE FUNCTION range(n int) RETURNS boolean LANGUAGE sql AS 'SELECT evil_with(n)'",
        "CREATE OPERATOR !!! (RIGHTARG = int, FUNCTION = evil_with)",
        "CREATE FUNCTION evil_on(day date) RETURNS int LANGUAGE sql AS 'SELECT evil()'",
        "CREATE CAST (date AS int) WITH FUNCTION evil_on(date)",
        "CREATE DOMAIN odd AS int CHECK (evil_with(VALUE))",
        "CREATE VIEW settings AS SELECT set_config('transaction_read_only', 'off', false)",
        // To the parser these are tables like any other.
        "CREATE VIEW writes AS SELECT evil()",
        "CREATE VIEW counts AS SELECT nextval('numbers')",
        "CREATE VIEW locks AS SELECT pg_advisory_lock(4711)::text AS held",
        "CREATE VIEW locks_a_while AS SELECT pg_advisory_xact_lock(4712)::text AS held",
    ] {
        shop.sql(sql).await;
    }
    Some((database, shop))
}

/// A connection that may write: only the wall that is tested stands between it and the rows.
async fn open(shop: &Shop) -> Handle {
    shop.context.targets.dedicated("shop", "walls").await.unwrap()
}

fn code(refused: Result<impl std::fmt::Debug, SqlError>, sql: &str) -> String {
    match refused {
        Err(error) => error.code.unwrap_or_default(),
        Ok(found) => panic!("{sql} passed: {found:?}"),
    }
}

async fn whole(shop: &Shop) {
    assert_eq!(shop.one("SELECT count(*) FROM orders").await, 10);
    assert_eq!(shop.one("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()").await, 0);
    assert_eq!(shop.one("SELECT count(*) FROM pg_class WHERE relname IN ('x', 'stolen')").await, 0);
    assert_eq!(shop.one("SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = 0").await, 0);
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (4711, 4712)
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // The server hears of the end of a connection a moment later.
    for _ in 0..100 {
        if shop.one(held).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("an advisory lock is still held");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_its_protocol_postgres_takes_one_statement_only() {
    let Some((_database, shop)) = postgres("run-protocol").await else { return };
    let mut handle = open(&shop).await;
    for hostile in [
        "SELECT 1; DROP TABLE orders",
        "COMMIT; CREATE TABLE x (a int)",
        "SELECT 1) q; DROP TABLE orders; SELECT * FROM (SELECT 1",
    ] {
        for refused in [handle.execute(&text(hostile)).await, handle.parse(hostile).await.map(|()| 0)] {
            assert_eq!(code(refused, hostile), "42601", "{hostile}");
        }
        assert_eq!(code(handle.rows(&text(hostile), Some(1)).await, hostile), "42601", "{hostile}");
    }
    // One at a time passes this wall.
    handle.execute(&text("UPDATE orders SET amount_cents = amount_cents")).await.unwrap();
    whole(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sub_select_admits_nothing_but_a_select() {
    let Some((_database, shop)) = postgres("run-wrapper").await else { return };
    let mut handle = open(&shop).await;
    for hostile in [
        "WITH d AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM d",
        "DELETE FROM orders",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "SELECT * INTO stolen FROM orders",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "SET default_transaction_read_only = off",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/backout-was-here'",
        "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        "PREPARE TRANSACTION 'x'",
        "NOTIFY x",
        "TRUNCATE orders",
        "VACUUM orders",
        "CALL evil()",
    ] {
        let refused = code(handle.rows(&text(hostile), Some(10)).await, hostile);
        assert!(["42601", "0A000"].contains(&refused.as_str()), "{hostile}: {refused}");
    }
    // A function with an effect is a select to it.
    handle.rows(&text("SELECT evil()"), Some(1)).await.unwrap();
    shop.sql("DELETE FROM orders WHERE id = 98").await;
    whole(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_transaction_writes_nothing() {
    let Some((_database, shop)) = postgres("run-readonly").await else { return };
    let mut handle = open(&shop).await;
    for hostile in [
        "SELECT evil()",
        "SELECT (ARRAY[1, 2])[1:evil()]",
        "SELECT o.evil_of FROM orders o",
        "SELECT !!! 1",
        "SELECT 5::odd",
        "SELECT current_date::int",
        "SELECT range(1)",
        "TABLE writes",
        "TABLE counts",
        "WITH d AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM d",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "SELECT * INTO stolen FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "CREATE TABLE x (a int)",
        "TRUNCATE orders",
        "GRANT SELECT ON orders TO public",
    ] {
        handle.run("begin isolation level repeatable read read only", vec![]).await.unwrap();
        handle.one("select 1", vec![]).await.unwrap();
        assert_eq!(code(handle.execute(&text(hostile)).await, hostile), "25006", "{hostile}");
        handle.run("rollback", vec![]).await.unwrap();
    }
    // After the first read it stays what it is; before, it would not.
    for (first, wanted) in [(true, Some("25001")), (false, None)] {
        handle.run("begin read only", vec![]).await.unwrap();
        if first {
            handle.one("select 1", vec![]).await.unwrap();
        }
        let turned = handle.run("set transaction read write", vec![]).await;
        assert_eq!(turned.err().and_then(|error| error.code).as_deref(), wanted);
        handle.run("rollback", vec![]).await.unwrap();
    }
    // Locks are no writes to it.
    handle.run("begin read only", vec![]).await.unwrap();
    handle.run("lock table orders in access exclusive mode", vec![]).await.unwrap();
    handle.one("select pg_advisory_xact_lock(4712)::text", vec![]).await.unwrap();
    handle.run("rollback", vec![]).await.unwrap();
    whole(&shop).await;
}

/// The read connection is read-only although nobody begins a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn the_read_connection_is_read_only_by_itself() {
    let Some((_database, shop)) = postgres("run-default").await else { return };
    let mut monitor = shop.context.targets.monitor("shop").await.unwrap();
    for hostile in ["DELETE FROM orders", "SELECT evil()", "CREATE TABLE x (a int)"] {
        assert_eq!(code(monitor.execute(&text(hostile)).await, hostile), "25006", "{hostile}");
    }
    drop(monitor);
    whole(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_look_sees_what_a_statement_has_taken() {
    let Some((_database, shop)) = postgres("run-look").await else { return };
    for innocent in ["SELECT 1", "SELECT count(*) FROM orders", "SELECT * FROM pg_locks", "SHOW lock_timeout"] {
        let mut handle = open(&shop).await;
        handle.run("begin", vec![]).await.unwrap();
        handle.execute(&text(innocent)).await.unwrap();
        assert_eq!(sql::taken(&mut handle).await.unwrap(), None, "{innocent}");
    }
    for (hostile, seen) in [
        ("SELECT pg_advisory_lock(4711)", "advisory lock"),
        ("SELECT pg_advisory_xact_lock_shared(4712)", "advisory lock"),
        ("TABLE locks", "advisory lock"),
        ("SELECT lo_create(0)", "transactionid lock"),
        ("SELECT * FROM orders FOR UPDATE", "lock RowShareLock on orders"),
        ("SELECT * FROM orders WHERE false FOR SHARE", "lock RowShareLock on orders"),
        ("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", "lock AccessExclusiveLock on orders"),
        ("UPDATE orders SET amount_cents = 1", "lock RowExclusiveLock on orders"),
        ("SELECT pg_current_xact_id()", "transactionid lock"),
        ("SELECT evil()", "lock RowExclusiveLock on orders"),
        ("SELECT pg_logical_emit_message(true, 'a', 'b')", "transactionid lock"),
        ("CREATE TEMP TABLE y (a int)", "AccessExclusiveLock"),
    ] {
        let mut handle = open(&shop).await;
        handle.run("begin", vec![]).await.unwrap();
        handle.execute(&text(hostile)).await.unwrap();
        let taken = sql::taken(&mut handle).await.unwrap().unwrap_or_default();
        assert!(taken.contains(seen), "{hostile}: {taken}");
    }
    whole(&shop).await;
}

/// The parser takes these views for tables, and a read-only transaction lets them lock: the last look alone tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_last_look_sees_is_no_answer_and_ends_the_connection() {
    let Some((_database, shop)) = postgres("run-lastlook").await else { return };
    for hostile in ["SELECT * FROM locks", "SELECT * FROM locks_a_while"] {
        check_read_only(Dialect::Postgres, hostile).unwrap();
        let mut monitor = shop.context.targets.monitor("shop").await.unwrap();
        let NoAnswer::Unknown(words) = sql::guarded(&mut monitor, Where::Apart, &text(hostile), 10).await.unwrap_err()
        else {
            panic!("{hostile}")
        };
        assert!(words.contains("not a pure read: it took advisory lock"), "{words}");
        assert!(monitor.unusable(), "an advisory lock outlives the rollback");
        drop(monitor);
        // Whoever asks next has another connection, and what was locked is free.
        let mut monitor = shop.context.targets.monitor("shop").await.unwrap();
        let found = sql::guarded(&mut monitor, Where::Apart, &text("SELECT count(*) FROM orders"), 10).await.unwrap();
        assert_eq!(found[0]["count"], 10);
        drop(monitor);
        whole(&shop).await;
    }
    // In a step's own transaction, with locks and an id of its own, what a check adds is still seen.
    for (hostile, seen) in [("SELECT * FROM locks", "advisory lock"), ("SELECT * FROM writes", "read-only transaction")]
    {
        let mut handle = open(&shop).await;
        handle.run("begin", vec![]).await.unwrap();
        handle.run("update orders set amount_cents = amount_cents where id = 1", vec![]).await.unwrap();
        let counted = sql::guarded(&mut handle, Where::Inside, &text("SELECT count(*) FROM orders"), 10).await.unwrap();
        assert_eq!(counted[0]["count"], 10);
        let refused = sql::guarded(&mut handle, Where::Inside, &text(hostile), 10).await.unwrap_err();
        assert!(refused.words().contains(seen), "{hostile}: {}", refused.words());
        // Behind the parser: nothing of a question stays in the step's transaction.
        let inside = sql::inside(&mut handle, &text("SELECT set_config('backout.left', 'here', true)"), 10).await;
        assert!(inside.is_ok(), "{inside:?}");
        let left = handle.one("select coalesce(current_setting('backout.left', true), '')", vec![]).await.unwrap();
        assert_eq!(left, Some(Value::from("")));
        handle.run("update orders set amount_cents = amount_cents where id = 2", vec![]).await.unwrap();
        handle.run("rollback", vec![]).await.unwrap();
    }
    whole(&shop).await;
}

const HOSTILE: [&str; 42] = [
    "SELECT evil()",
    "SELECT (ARRAY[1, 2])[1:evil()]",
    "SELECT o.evil_of FROM orders o",
    "SELECT (o).evil_of FROM orders o",
    "SELECT !!! 1",
    "SELECT 5::odd",
    "SELECT current_date::int",
    "SELECT range(1)",
    "SELECT 1 WHERE range(1)",
    "SELECT * FROM settings",
    "WITH l AS (SELECT 1 FROM orders FOR UPDATE), d AS (DELETE FROM orders RETURNING 1) SELECT 1",
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'transaction_read_only'",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT * FROM writes",
    "SELECT * FROM counts",
    "SELECT * FROM locks",
    "WITH d AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM d",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "CALL evil()",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "SELECT * INTO stolen FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT 1; DROP TABLE orders",
    "SELECT 1) q; DROP TABLE orders; SELECT * FROM (SELECT 1",
    "COMMIT",
    "COMMIT; CREATE TABLE x (a int)",
    "ROLLBACK; DELETE FROM orders",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_advisory_lock(4711)",
    "SELECT pg_terminate_backend(-1)",
    "SELECT nextval('numbers')",
    "SELECT lo_create(0)",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_read_file('/etc/passwd')",
    "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    "PREPARE TRANSACTION 'x'",
    "NOTIFY x",
    "TRUNCATE orders",
    "VACUUM orders",
    "",
];

#[tokio::test(flavor = "multi_thread")]
async fn together_they_let_nothing_through_on_postgres() {
    let Some((_database, shop)) = postgres("run-walls").await else { return };
    for hostile in HOSTILE {
        let mut monitor = shop.context.targets.monitor("shop").await.unwrap();
        let asked = sql::guarded(&mut monitor, Where::Apart, &text(hostile), 10).await;
        assert!(asked.is_err(), "{hostile} passed: {asked:?}");
        drop(monitor);
        let mut handle = open(&shop).await;
        handle.run("begin", vec![]).await.unwrap();
        let asked = sql::guarded(&mut handle, Where::Inside, &text(hostile), 10).await;
        assert!(asked.is_err(), "{hostile} passed inside: {asked:?}");
        handle.run("commit", vec![]).await.unwrap();
    }
    whole(&shop).await;
    assert_eq!(shop.one("SELECT is_called FROM numbers").await, false, "a sequence went on");
}

struct File {
    _dir: tempfile::TempDir,
    path: String,
    shop: Shop,
}

async fn file() -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    let path = path.display().to_string();
    let shop = Shop::run("sqlite", &path, "run-walls");
    shop.fill("text").await;
    File { _dir: dir, path, shop }
}

const SQLITE_HOSTILE: [&str; 18] = [
    "SELECT * FROM pragma_optimize",
    "CREATE TRIGGER r AFTER INSERT ON orders BEGIN SELECT CASE WHEN 1 THEN 2 END if; END; DROP TABLE orders",
    "INSERT INTO orders VALUES (99, 1, 'x', null)",
    "DELETE FROM orders",
    "UPDATE orders SET amount_cents = 0 RETURNING id",
    "CREATE TABLE x (a)",
    "CREATE TEMP TABLE x (a)",
    "PRAGMA query_only = off",
    "PRAGMA writable_schema = on",
    "PRAGMA journal_mode = wal",
    "ATTACH 'other.db' AS other",
    "BEGIN IMMEDIATE",
    "VACUUM",
    "REINDEX",
    "SELECT load_extension('x')",
    "WITH d AS (SELECT 1) DELETE FROM orders WHERE id IN (SELECT * FROM d)",
    "DROP TABLE orders",
    "SELECT 1) q; DELETE FROM orders; SELECT * FROM (SELECT 1",
];

impl File {
    async fn open(&self, reads_only: bool) -> Handle {
        Handle::Sqlite(sqlite::Connection::open_path("shop", self.path.as_ref(), reads_only).await.unwrap())
    }

    async fn whole(&self) {
        assert_eq!(self.shop.one("SELECT count(*) FROM orders").await, 10);
        assert_eq!(self.shop.one("SELECT count(*) FROM sqlite_master WHERE name IN ('x', 'other')").await, 0);
        assert_eq!(self.shop.one("SELECT min(amount_cents) FROM orders").await, 100);
    }
}

#[tokio::test]
async fn the_authorizer_alone_lets_nothing_but_reading_through() {
    let file = file().await;
    let mut handle = file.open(false).await;
    handle.wall(true).await.unwrap();
    for hostile in SQLITE_HOSTILE {
        let refused = handle.execute(&text(hostile)).await;
        assert!(refused.is_err(), "{hostile} passed");
        // All but what is no statement at all is refused by the authorizer itself.
        if !hostile.starts_with("SELECT") {
            assert_eq!(code(refused, hostile), "SQLITE_AUTH", "{hostile}");
        }
    }
    handle.rows(&text("SELECT count(*), upper(status) FROM orders GROUP BY 2"), Some(1)).await.unwrap();
    file.whole().await;
}

#[tokio::test]
async fn a_file_opened_read_only_is_not_written_without_the_authorizer() {
    let file = file().await;
    let mut handle = file.open(true).await;
    handle.wall(false).await.unwrap();
    for hostile in [
        "INSERT INTO orders VALUES (99, 1, 'x', null)",
        "DELETE FROM orders",
        "CREATE TABLE x (a)",
        "DROP TABLE orders",
        "VACUUM",
    ] {
        assert_eq!(code(handle.execute(&text(hostile)).await, hostile), "SQLITE_READONLY", "{hostile}");
    }
    // And no pragma lifts it; a temporary table passes, which is why the authorizer stands before it.
    handle.execute(&text("PRAGMA query_only = off")).await.unwrap();
    assert_eq!(code(handle.execute(&text("DELETE FROM orders")).await, "DELETE"), "SQLITE_READONLY");
    handle.execute(&text("CREATE TEMP TABLE x (a)")).await.unwrap();
    file.whole().await;
}

#[tokio::test]
async fn the_sub_select_alone_admits_a_select_and_what_breaks_out_of_it() {
    let file = file().await;
    let mut handle = file.open(false).await;
    for hostile in SQLITE_HOSTILE.iter().filter(|hostile| !hostile.starts_with("SELECT")) {
        assert_eq!(code(handle.rows(&text(hostile), Some(1)).await, hostile), "SQLITE_ERROR", "{hostile}");
    }
    file.whole().await;
    // SQLite's driver runs every statement of a text: the parser stands before this one, the authorizer behind it.
    let out = "SELECT 1) q; DELETE FROM orders WHERE id = 10; SELECT * FROM (SELECT 1";
    handle.rows(&text(out), Some(1)).await.unwrap();
    assert_eq!(file.shop.one("SELECT count(*) FROM orders").await, 9);
    check_read_only(Dialect::Sqlite, out).unwrap_err();
}

#[tokio::test]
async fn together_they_let_nothing_through_on_sqlite() {
    let file = file().await;
    for hostile in SQLITE_HOSTILE.into_iter().chain([""]) {
        let mut monitor = file.shop.context.targets.monitor("shop").await.unwrap();
        let asked = sql::guarded(&mut monitor, Where::Apart, &text(hostile), 10).await;
        assert!(asked.is_err(), "{hostile} passed: {asked:?}");
        // Behind the parser: the connection's own walls.
        let asked = sql::apart(&mut monitor, &text(hostile), 10).await;
        assert!(asked.is_err(), "{hostile} passed without the parser: {asked:?}");
        drop(monitor);
        let mut handle = file.open(false).await;
        handle.run("begin immediate", vec![]).await.unwrap();
        for asked in [
            sql::guarded(&mut handle, Where::Inside, &text(hostile), 10).await,
            sql::inside(&mut handle, &text(hostile), 10).await,
        ] {
            assert!(asked.is_err(), "{hostile} passed inside: {asked:?}");
        }
        // The step's own statements still may.
        handle.run("update orders set amount_cents = amount_cents", vec![]).await.unwrap();
        handle.run("commit", vec![]).await.unwrap();
    }
    let answer = file.shop.check("none-stuck", Depth::Parse).await;
    assert!(answer.verdict.is_fail(), "{answer:?}");
    file.whole().await;
}
