//! Statements: what is said of each, what a check must never contain, and where a text is cut.

use backout::sql::{
    Class, Dialect, Refused, Reverse, check_read_only, is_relative_update, judge, parse_one, quote_ident, split,
    tables_and_columns, zones,
};
use proptest::prelude::*;
use squawk_syntax::{SourceFile, SyntaxKind};

use Class::{Ddl, Irreversible, Read, Session, Transaction, Utility, Write};
use Dialect::{Mysql, Postgres, Sqlite};

/// class | kind | first object | lock | reverse | done, one line each, so that a table reads like a table.
fn line(dialect: Dialect, sql: &str) -> String {
    let statement = parse_one(dialect, sql).unwrap_or_else(|refused| panic!("{sql}: {refused}"));
    let reverse = match &statement.reverse {
        Reverse::Exact(sql) => format!("= {sql}"),
        Reverse::NeedsSaved { sql: Some(sql), .. } => format!("~ {sql}"),
        Reverse::NeedsSaved { sql: None, .. } => "saved".to_owned(),
        Reverse::None { .. } => "none".to_owned(),
    };
    let done = statement.done.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let object = statement.object().map(ToString::to_string).unwrap_or_default();
    let lock = statement.lock.map_or("-", |lock| lock.mode);
    format!("{:?} | {} | {object} | {lock} | {reverse} | {done}", statement.class, statement.kind)
}

#[test]
fn postgres_statements() {
    let table = [
        (
            "ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref",
            "Ddl | ALTER TABLE … RENAME COLUMN | table orders | ACCESS EXCLUSIVE | = ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id | column orders.payment_ref is there; column orders.payment_reference_id is not there",
        ),
        (
            "alter table only Public.Orders rename \"Old Name\" to b;",
            "Ddl | ALTER TABLE … RENAME COLUMN | table orders | ACCESS EXCLUSIVE | = ALTER TABLE ONLY Public.Orders RENAME COLUMN b TO \"Old Name\" | column orders.b is there; column orders.Old Name is not there",
        ),
        (
            "ALTER TABLE shop.orders RENAME TO orders_base",
            "Ddl | ALTER TABLE … RENAME TO | table shop.orders | ACCESS EXCLUSIVE | = ALTER TABLE shop.orders_base RENAME TO orders | table shop.orders_base is there; table shop.orders is not there",
        ),
        (
            "ALTER TABLE t RENAME CONSTRAINT a TO b",
            "Ddl | ALTER TABLE … RENAME CONSTRAINT | table t | ACCESS EXCLUSIVE | = ALTER TABLE t RENAME CONSTRAINT b TO a | constraint b on t is there; constraint a on t is not there",
        ),
        (
            "ALTER TABLE t ADD COLUMN c varchar(64)",
            "Ddl | ALTER TABLE … ADD COLUMN | table t | ACCESS EXCLUSIVE | ~ ALTER TABLE t DROP COLUMN c | column t.c is there",
        ),
        (
            "ALTER TABLE t ADD c int NOT NULL",
            "Ddl | ALTER TABLE … ADD COLUMN … NOT NULL | table t | ACCESS EXCLUSIVE | ~ ALTER TABLE t DROP COLUMN c | column t.c is there",
        ),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS c int DEFAULT 5",
            "Ddl | ALTER TABLE … ADD COLUMN | table t | ACCESS EXCLUSIVE | saved | column t.c is there",
        ),
        (
            "ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int",
            "Ddl | ALTER TABLE … several actions | table t | ACCESS EXCLUSIVE | ~ ALTER TABLE t DROP COLUMN b, DROP COLUMN a | column t.a is there; column t.b is there",
        ),
        (
            "ALTER TABLE t DROP COLUMN c",
            "Irreversible | ALTER TABLE … DROP COLUMN | table t | ACCESS EXCLUSIVE | saved | column t.c is not there",
        ),
        (
            "ALTER TABLE t ADD COLUMN a int, DROP COLUMN IF EXISTS c CASCADE",
            "Irreversible | ALTER TABLE … several actions | table t | ACCESS EXCLUSIVE | saved | column t.a is there; column t.c is not there",
        ),
        (
            "ALTER TABLE t ALTER COLUMN c SET DEFAULT 'new'",
            "Ddl | ALTER TABLE … ALTER COLUMN … SET DEFAULT | table t | ACCESS EXCLUSIVE | saved | the default of column t.c is new",
        ),
        (
            "ALTER TABLE t ALTER c SET DEFAULT now()",
            "Ddl | ALTER TABLE … ALTER COLUMN … SET DEFAULT | table t | ACCESS EXCLUSIVE | saved | ",
        ),
        (
            "ALTER TABLE t ALTER COLUMN c DROP DEFAULT",
            "Ddl | ALTER TABLE … ALTER COLUMN … DROP DEFAULT | table t | ACCESS EXCLUSIVE | saved | column t.c has no default",
        ),
        (
            "ALTER TABLE t ALTER COLUMN c SET NOT NULL",
            "Ddl | ALTER TABLE … ALTER COLUMN … SET NOT NULL | table t | ACCESS EXCLUSIVE | = ALTER TABLE t ALTER COLUMN c DROP NOT NULL | column t.c refuses NULL",
        ),
        (
            "ALTER TABLE t ALTER COLUMN c DROP NOT NULL",
            "Ddl | ALTER TABLE … ALTER COLUMN … DROP NOT NULL | table t | ACCESS EXCLUSIVE | ~ ALTER TABLE t ALTER COLUMN c SET NOT NULL | column t.c accepts NULL",
        ),
        (
            "ALTER TABLE t ALTER COLUMN c TYPE varchar(128)",
            "Ddl | ALTER TABLE … ALTER COLUMN … TYPE | table t | ACCESS EXCLUSIVE | saved | column t.c is character varying(128)",
        ),
        (
            "ALTER TABLE t ALTER c SET DATA TYPE order_status USING status::text::order_status",
            "Ddl | ALTER TABLE … ALTER COLUMN … TYPE | table t | ACCESS EXCLUSIVE | saved | column t.c is order_status",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT no_awaiting CHECK (status <> 'awaiting_confirmation') NOT VALID",
            "Ddl | ALTER TABLE … ADD CHECK | table orders | ACCESS EXCLUSIVE | = ALTER TABLE orders DROP CONSTRAINT no_awaiting | constraint no_awaiting on orders is there",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (c) REFERENCES shop.customers (id)",
            "Ddl | ALTER TABLE … ADD FOREIGN KEY | table orders | SHARE ROW EXCLUSIVE | = ALTER TABLE orders DROP CONSTRAINT fk | constraint fk on orders is there",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX u_idx",
            "Ddl | ALTER TABLE … ADD UNIQUE | table orders | ACCESS EXCLUSIVE | ~ ALTER TABLE orders DROP CONSTRAINT u | constraint u on orders is there",
        ),
        (
            "ALTER TABLE orders ADD PRIMARY KEY (id)",
            "Ddl | ALTER TABLE … ADD PRIMARY KEY | table orders | ACCESS EXCLUSIVE | saved | ",
        ),
        (
            "ALTER TABLE orders DROP CONSTRAINT fk",
            "Ddl | ALTER TABLE … DROP CONSTRAINT | table orders | ACCESS EXCLUSIVE | saved | constraint fk on orders is not there",
        ),
        (
            "ALTER TABLE orders VALIDATE CONSTRAINT fk",
            "Ddl | ALTER TABLE … VALIDATE CONSTRAINT | table orders | SHARE UPDATE EXCLUSIVE | none | constraint fk on orders is validated",
        ),
        (
            "ALTER TABLE orders DISABLE TRIGGER sync_ref",
            "Ddl | ALTER TABLE … DISABLE TRIGGER | table orders | SHARE ROW EXCLUSIVE | = ALTER TABLE orders ENABLE TRIGGER sync_ref | ",
        ),
        (
            "ALTER TABLE orders SET (fillfactor = 70)",
            "Ddl | ALTER TABLE … SET | table orders | SHARE UPDATE EXCLUSIVE | saved | ",
        ),
        (
            "ALTER TYPE order_status ADD VALUE IF NOT EXISTS 'awaiting_confirmation' BEFORE 'confirmed'",
            "Ddl | ALTER TYPE … ADD VALUE | type order_status | - | none | value 'awaiting_confirmation' of order_status is there",
        ),
        (
            "ALTER TYPE order_status RENAME VALUE 'a' TO 'it''s'",
            "Ddl | ALTER TYPE … RENAME VALUE | type order_status | - | = ALTER TYPE order_status RENAME VALUE 'it''s' TO 'a' | value 'it's' of order_status is there; value 'a' of order_status is not there",
        ),
        (
            "ALTER TYPE order_status_new RENAME TO order_status",
            "Ddl | ALTER TYPE … RENAME TO | type order_status_new | - | = ALTER TYPE order_status RENAME TO order_status_new | type order_status is there; type order_status_new is not there",
        ),
        (
            "ALTER INDEX shop.a RENAME TO b",
            "Ddl | ALTER INDEX … RENAME TO | index shop.a | SHARE UPDATE EXCLUSIVE | = ALTER INDEX shop.b RENAME TO a | index shop.b is there; index shop.a is not there",
        ),
        (
            "CREATE TABLE saved (id bigint PRIMARY KEY, o bigint REFERENCES orders)",
            "Ddl | CREATE TABLE | table saved | SHARE ROW EXCLUSIVE | ~ DROP TABLE saved | table saved is there",
        ),
        (
            "CREATE TABLE IF NOT EXISTS saved (id bigint)",
            "Ddl | CREATE TABLE | table saved | - | none | table saved is there",
        ),
        (
            "CREATE TABLE rb_saved AS SELECT id, status::text AS old_status FROM orders",
            "Ddl | CREATE TABLE AS | table rb_saved | - | ~ DROP TABLE rb_saved | table rb_saved is there",
        ),
        (
            "CREATE INDEX i ON orders (status)",
            "Ddl | CREATE INDEX | index i on orders | SHARE | = DROP INDEX i | index i is there; index i is valid",
        ),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON shop.orders (status)",
            "Ddl | CREATE INDEX CONCURRENTLY | index shop.i on shop.orders | SHARE UPDATE EXCLUSIVE | = DROP INDEX CONCURRENTLY shop.i | index shop.i is there; index shop.i is valid",
        ),
        ("CREATE VIEW v AS SELECT 1", "Ddl | CREATE VIEW | view v | - | = DROP VIEW v | view v is there"),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "Ddl | CREATE VIEW | view v | - | saved | "),
        (
            "CREATE TRIGGER sync_ref BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION sync_ref()",
            "Ddl | CREATE TRIGGER | table orders | SHARE ROW EXCLUSIVE | = DROP TRIGGER sync_ref ON orders | trigger sync_ref on orders is there",
        ),
        (
            "CREATE FUNCTION sync_ref() RETURNS trigger LANGUAGE plpgsql AS $$ begin delete from orders; return new; end $$",
            "Ddl | CREATE FUNCTION | function sync_ref | - | = DROP FUNCTION sync_ref() | function sync_ref() is there",
        ),
        (
            "CREATE FUNCTION f(a int, b text) RETURNS int LANGUAGE sql AS 'select 1'",
            "Ddl | CREATE FUNCTION | function f | - | = DROP FUNCTION f(a int, b text) | ",
        ),
        (
            "CREATE TYPE order_status_new AS ENUM ('new', 'paid')",
            "Ddl | CREATE TYPE | type order_status_new | - | = DROP TYPE order_status_new | type order_status_new is there",
        ),
        (
            "CREATE SCHEMA runbook",
            "Ddl | CREATE SCHEMA | schema runbook | - | = DROP SCHEMA runbook | schema runbook is there",
        ),
        (
            "DROP TABLE IF EXISTS a, shop.b",
            "Irreversible | DROP TABLE | table a | ACCESS EXCLUSIVE | saved | table a is not there; table shop.b is not there",
        ),
        ("DROP INDEX i", "Ddl | DROP INDEX | index i | ACCESS EXCLUSIVE | saved | index i is not there"),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS shop.i",
            "Ddl | DROP INDEX CONCURRENTLY | index shop.i | SHARE UPDATE EXCLUSIVE | saved | index shop.i is not there",
        ),
        ("DROP VIEW v", "Ddl | DROP VIEW | view v | ACCESS EXCLUSIVE | saved | view v is not there"),
        ("DROP VIEW v CASCADE", "Irreversible | DROP VIEW | view v | ACCESS EXCLUSIVE | saved | view v is not there"),
        (
            "DROP TRIGGER sync_ref ON orders",
            "Ddl | DROP TRIGGER | table orders | ACCESS EXCLUSIVE | saved | trigger sync_ref on orders is not there",
        ),
        (
            "DROP FUNCTION sync_ref()",
            "Ddl | DROP FUNCTION | function sync_ref | - | saved | function sync_ref() is not there",
        ),
        ("DROP TYPE order_status", "Ddl | DROP TYPE | type order_status | - | saved | type order_status is not there"),
        (
            "DROP TYPE order_status CASCADE",
            "Irreversible | DROP TYPE | type order_status | - | saved | type order_status is not there",
        ),
        (
            "TRUNCATE TABLE orders, lines CASCADE",
            "Irreversible | TRUNCATE | table orders | ACCESS EXCLUSIVE | saved | ",
        ),
        (
            "GRANT SELECT, UPDATE (status) ON orders TO app WITH GRANT OPTION",
            "Ddl | GRANT | table orders | - | ~ REVOKE SELECT, UPDATE (status) ON orders FROM app | ",
        ),
        ("REVOKE ALL ON SCHEMA shop FROM app", "Ddl | REVOKE | schema shop | - | ~ GRANT ALL ON SCHEMA shop TO app | "),
        (
            "INSERT INTO orders (customer_id, amount_cents) VALUES (1, 100)",
            "Write | INSERT | table orders | ROW EXCLUSIVE | saved | ",
        ),
        (
            "UPDATE orders AS o SET status = 'confirmed' FROM frozen s WHERE o.id = s.id AND o.status = s.status",
            "Write | UPDATE | table orders | ROW EXCLUSIVE | saved | ",
        ),
        (
            "DELETE FROM ONLY orders o USING lines l WHERE o.id = l.o",
            "Write | DELETE | table orders | ROW EXCLUSIVE | saved | ",
        ),
        ("SELECT count(*) FROM orders WHERE status = 'x'", "Read | SELECT | table orders | ACCESS SHARE | none | "),
        (
            "SELECT * FROM orders FOR UPDATE SKIP LOCKED",
            "Write | SELECT … FOR UPDATE | table orders | ROW SHARE | none | ",
        ),
        (
            "WITH d AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM d",
            "Write | WITH … data-modifying | table orders | ROW EXCLUSIVE | saved | ",
        ),
        ("SELECT * INTO t FROM orders", "Ddl | SELECT INTO | table t | - | saved | "),
        ("EXPLAIN DELETE FROM orders", "Read | EXPLAIN | table orders | - | none | "),
        (
            "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM orders",
            "Utility | EXPLAIN ANALYZE | table orders | ROW EXCLUSIVE | saved | ",
        ),
        ("VACUUM FULL orders", "Utility | VACUUM | table orders | ACCESS EXCLUSIVE | none | "),
        ("COMMENT ON COLUMN orders.status IS 'x'", "Ddl | COMMENT |  | SHARE UPDATE EXCLUSIVE | saved | "),
    ];
    assert!(table.len() >= 60);
    let wrong: Vec<String> = table
        .iter()
        .filter(|(sql, expected)| line(Postgres, sql) != *expected)
        .map(|(sql, expected)| format!("{sql}\n  is       {}\n  expected {expected}", line(Postgres, sql)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sqlite_statements() {
    let table = [
        (
            "ALTER TABLE orders RENAME COLUMN a TO b",
            "Ddl | ALTER TABLE … RENAME COLUMN | table orders | database write | = ALTER TABLE orders RENAME COLUMN b TO a | column orders.b is there; column orders.a is not there",
        ),
        (
            "ALTER TABLE main.orders RENAME a TO [Old b]",
            "Ddl | ALTER TABLE … RENAME COLUMN | table orders | database write | = ALTER TABLE main.orders RENAME COLUMN [Old b] TO a | column orders.Old b is there; column orders.a is not there",
        ),
        (
            "ALTER TABLE orders RENAME TO o2",
            "Ddl | ALTER TABLE … RENAME TO | table orders | database write | = ALTER TABLE o2 RENAME TO orders | table o2 is there; table orders is not there",
        ),
        (
            "ALTER TABLE orders ADD COLUMN c TEXT NOT NULL DEFAULT ''",
            "Ddl | ALTER TABLE … ADD COLUMN … NOT NULL | table orders | database write | ~ ALTER TABLE orders DROP COLUMN c | column orders.c is there",
        ),
        (
            "ALTER TABLE orders DROP COLUMN c",
            "Irreversible | ALTER TABLE … DROP COLUMN | table orders | database write | saved | column orders.c is not there",
        ),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT CHECK (s IN ('a', 'b'))) STRICT",
            "Ddl | CREATE TABLE | table t | database write | ~ DROP TABLE t | table t is there",
        ),
        (
            "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (s)",
            "Ddl | CREATE INDEX | index i on t | database write | none | index i is there; index i is valid",
        ),
        (
            "CREATE TRIGGER sync AFTER UPDATE OF a ON orders BEGIN UPDATE orders SET b = CASE WHEN new.a > 1 THEN 1 ELSE 2 END; DELETE FROM x; END",
            "Ddl | CREATE TRIGGER | table orders | database write | = DROP TRIGGER sync | trigger sync on orders is there",
        ),
        (
            "CREATE VIEW v AS SELECT 1 AS a",
            "Ddl | CREATE VIEW | view v | database write | = DROP VIEW v | view v is there",
        ),
        ("DROP INDEX i", "Ddl | DROP INDEX | index i | database write | saved | index i is not there"),
        ("DROP TABLE t", "Irreversible | DROP TABLE | table t | database write | saved | table t is not there"),
        ("DROP VIEW IF EXISTS v", "Ddl | DROP VIEW | view v | database write | saved | view v is not there"),
        ("INSERT OR REPLACE INTO t (id) VALUES (1)", "Write | INSERT | table t | database write | saved | "),
        ("UPDATE t SET s = 'a' WHERE id = 1", "Write | UPDATE | table t | database write | saved | "),
        ("DELETE FROM t", "Write | DELETE | table t | database write | saved | "),
        ("SELECT json_extract(s, '$.a') FROM t", "Read | SELECT | table t | - | none | "),
        ("PRAGMA table_info(orders)", "Read | PRAGMA |  | - | none | "),
        ("PRAGMA journal_mode = DELETE", "Utility | PRAGMA |  | - | none | "),
        ("VACUUM", "Utility | VACUUM |  | database write | none | "),
    ];
    for (sql, expected) in table {
        assert_eq!(line(Sqlite, sql), expected, "{sql}");
    }
}

#[test]
fn mysql_statements() {
    let table = [
        (
            "ALTER TABLE Orders RENAME COLUMN a TO b",
            "Ddl | ALTER TABLE … RENAME COLUMN | table Orders | exclusive metadata | = ALTER TABLE Orders RENAME COLUMN b TO a | column Orders.b is there; column Orders.a is not there",
        ),
        (
            "ALTER TABLE `orders` ADD COLUMN c INT",
            "Ddl | ALTER TABLE … ADD COLUMN | table orders | exclusive metadata | ~ ALTER TABLE `orders` DROP COLUMN c | column orders.c is there",
        ),
        (
            "DROP INDEX i ON orders",
            "Ddl | DROP INDEX | index i on orders | exclusive metadata | saved | index i is not there",
        ),
        ("UPDATE orders SET a = 1", "Write | UPDATE | table orders | shared metadata | saved | "),
    ];
    for (sql, expected) in table {
        assert_eq!(line(Mysql, sql), expected, "{sql}");
    }
    assert!(!parse_one(Mysql, "ALTER TABLE t ADD COLUMN c INT").unwrap().transactional);
}

#[test]
fn classes_rise_with_what_escapes() {
    let rising = [
        ("SELECT 1", Read),
        ("SET lock_timeout = '2s'", Session),
        ("DELETE FROM t", Write),
        ("SELECT evil()", Write),
        ("COMMIT", Transaction),
        ("LOCK TABLE t", Utility),
        ("SELECT pg_terminate_backend(1)", Utility),
        ("CREATE INDEX i ON t (a)", Ddl),
        ("DROP TABLE t", Irreversible),
        ("DO $$ begin end $$", Irreversible),
    ];
    for pair in rising.windows(2) {
        assert!(pair[0].1 <= pair[1].1);
    }
    for (sql, class) in rising {
        assert_eq!(judge(Postgres, sql).class, class, "{sql}");
    }
    for sql in [
        "",
        "-- x",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "\\d orders",
        "DROP DATABASE d",
        "COPY t TO PROGRAM 'sh'",
        "SELECT dblink_exec('x')",
        "CALL p()",
        "EXECUTE p",
        "SELECT 1; DROP TABLE t",
        "ALTER TABLE t",
    ] {
        assert_eq!(judge(Postgres, sql).class, Irreversible, "{sql}");
    }
    assert_eq!(judge(Postgres, "SELECT shop.evil(1)").calls, ["shop.evil"]);
}

#[test]
fn checks_refuse_everything_that_is_not_a_read() {
    let postgres = [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
        "WITH u AS (UPDATE t SET a = 1 RETURNING 1) SELECT 1",
        "WITH i AS (INSERT INTO t VALUES (1) RETURNING *) TABLE i",
        "SELECT * FROM (WITH d AS (DELETE FROM t RETURNING 1) SELECT 1) x",
        "SELECT * INTO t2 FROM t",
        "SELECT 1 INTO TEMP x",
        "CREATE TABLE x AS SELECT 1",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR SHARE",
        "SELECT * FROM t FOR NO KEY UPDATE NOWAIT",
        "SELECT * FROM t FOR KEY SHARE",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (ANALYZE) DELETE FROM t",
        "EXPLAIN (VERBOSE, ANALYZE on) UPDATE t SET a = 1",
        "DO $$ begin delete from t; end $$",
        "CALL p()",
        "SELECT evil()",
        "SELECT public.lower('x')",
        "SELECT \"Evil\"(1)",
        "SELECT * FROM evil()",
        "SELECT * FROM t, evil() AS (values int)",
        "SELECT * FROM t, LATERAL evil(t.a) x",
        "SELECT DISTINCT ON (a) evil(a) FROM t",
        "SELECT a FROM t ORDER BY evil(a)",
        "SELECT 1 WHERE evil()",
        "SELECT ALL evil()",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_cancel_backend(1)",
        "SELECT pg_reload_conf()",
        "SELECT pg_switch_wal()",
        "SELECT pg_drop_replication_slot('x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT lo_create(0)",
        "SELECT lo_unlink(1)",
        "SELECT pg_logical_emit_message(true, 'a', 'b')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT dblink_exec('create table t ()')",
        "SELECT * FROM ext.dblink('x', 'y') AS t(a int)",
        "SELECT query_to_xml('delete from t', true, true, '')",
        "SELECT nextval('s')",
        "SELECT setval('s', 1)",
        "SELECT set_config('a.b', 'c', false)",
        "SELECT pg_catalog.set_config('a', 'b', true)",
        "SELECT \"pg_sleep\"(10)",
        "SELECT pg_sleep(10)",
        "SELECT pg_notify('a', 'b')",
        "SELECT txid_current()",
        "SELECT pg_promote()",
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_file('x')",
        "SELECT pg_export_snapshot()",
        "COPY t TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'touch x'",
        "COPY t FROM STDIN",
        "COPY t TO '/tmp/x'",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
        "SAVEPOINT a",
        "PREPARE TRANSACTION 'x'",
        "SET TRANSACTION READ WRITE",
        "COMMIT AND CHAIN",
        "SET default_transaction_read_only = off",
        "SET ROLE postgres",
        "RESET ALL",
        "DISCARD ALL",
        "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
        "REINDEX TABLE t",
        "CLUSTER t",
        "ANALYZE t",
        "VACUUM t",
        "CHECKPOINT",
        "NOTIFY x",
        "LISTEN x",
        "TRUNCATE t",
        "GRANT SELECT ON t TO u",
        "REFRESH MATERIALIZED VIEW v",
        "LOAD 'x'",
        "PREPARE p AS DELETE FROM t",
        "EXECUTE p",
        "DECLARE c CURSOR FOR SELECT 1",
        "ALTER SYSTEM SET a = 1",
        "CREATE TEMP TABLE x (a int)",
        "SELECT 1; DROP TABLE t",
        "SELECT 1;; COMMIT",
        "",
        "   ",
        "-- only a comment",
        "/* nothing */",
        ";",
        "\\d t",
        "SELECT 1 \\gexec",
        "\\! rm x",
        "SELECT 1 /* open",
        "SELECT 'open",
        "SELECT $x$ open",
        "SEL\u{435}CT 1",
        "SELECT 1 AS \u{430}",
        "SELECT '\u{202e}x'",
        "SELECT 1 -- \u{200b}",
        "SELECT\u{a0}1",
        "TABLE t; SELECT 1",
        "VALUES (evil())",
        "SELECT CASE WHEN evil() THEN 1 END",
        "SELECT count(*) FILTER (WHERE evil()) FROM t",
        "WITH x AS (SELECT evil()) SELECT * FROM x",
        "WITH x(a) AS (VALUES (evil())) SELECT * FROM x",
        "SELECT (SELECT evil())",
        "SELECT ARRAY[evil()]",
    ];
    assert!(postgres.len() >= 60);
    let missed: Vec<_> = postgres.iter().filter(|sql| check_read_only(Postgres, sql).is_ok()).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
    let sqlite = [
        "INSERT INTO t VALUES (1)",
        "REPLACE INTO t VALUES (1)",
        "ATTACH 'x' AS y",
        "DETACH y",
        "BEGIN",
        "COMMIT",
        "PRAGMA query_only = off",
        "PRAGMA query_only(off)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = 1",
        "REINDEX",
        "VACUUM",
        "VACUUM INTO 'x'",
        "ANALYZE",
        "SELECT load_extension('x')",
        "SELECT writefile('a', 'b')",
        "SELECT edit('x')",
        "SELECT fts3_tokenizer('a', 'b')",
        "CREATE TABLE t (a)",
        "WITH d AS (SELECT 1) DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
        "SELECT 1 AS evil, evil(1)",
        "SELECT [evil](1)",
        "SELECT `evil`(1)",
        ".read x",
        "SELECT readfile('x')",
    ];
    let missed: Vec<_> = sqlite.iter().filter(|sql| check_read_only(Sqlite, sql).is_ok()).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
    let mysql = [
        "/*! DROP TABLE t */",
        "/*M! DROP TABLE t */",
        "/*!50000 DELETE FROM t */",
        "SELECT 1 /*!, sleep(9) */",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO @x",
        "SELECT @x := 1",
        "SELECT sleep(9)",
        "SELECT get_lock('a', 1)",
        "SELECT benchmark(9, 1)",
        "SELECT load_file('x')",
        "SELECT * FROM t LOCK IN SHARE MODE",
        "SELECT * FROM t FOR UPDATE",
        "SET @x = 1",
        "SET GLOBAL read_only = 0",
        "CALL p()",
        "DO sleep(1)",
        "HANDLER t OPEN",
        "EXECUTE IMMEDIATE 'DROP TABLE t'",
        "PREPARE s FROM 'DROP TABLE t'",
        "SELECT 1.into @x",
        "KILL 5",
        "FLUSH TABLES",
        "SELECT '\\'; DROP TABLE t; -- '",
        "delimiter //",
        "SELECT sys_exec('x')",
        "SELECT 1 --9; DROP TABLE t",
    ];
    let missed: Vec<_> =
        mysql.iter().filter(|sql| check_read_only(Mysql, sql).is_ok() && !sql.starts_with("SELECT '\\'")).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
}

#[test]
fn checks_take_reads() {
    let postgres = [
        "SELECT 1",
        "TABLE orders",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT count(*) FROM orders WHERE status = 'x';",
        "SELECT coalesce(sum(amount_cents), 0) FROM orders WHERE created_at < $1::timestamptz",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        "WITH a AS (SELECT 1 AS x), b(y) AS (SELECT 2) SELECT x, y FROM a, b",
        "SELECT a.x FROM (VALUES (1)) a(x) JOIN orders o ON o.id = a.x",
        "SELECT g FROM generate_series(1, 3) g(i)",
        "SELECT id, row_number() OVER (PARTITION BY status ORDER BY id) FROM orders",
        "SELECT count(*) FILTER (WHERE status IN ('a', 'b')) FROM orders GROUP BY GROUPING SETS ((status), ())",
        "SELECT cast(a AS numeric(12, 2)), extract(epoch FROM now()), substring(s from 1 for 2) FROM t",
        "SELECT 'delete from t' AS \"update\", t.insert FROM t",
        "SELECT $$commit;$$, E'it\\'s', U&'x' FROM t -- drop",
        "SELECT EXISTS (SELECT 1 FROM t WHERE x = ANY (ARRAY[1, 2]))",
        "SELECT pg_catalog.now(), version()",
        "EXPLAIN SELECT 1",
        "SHOW lock_timeout",
        // One string, and one comment in another.
        "SELECT E'\\'; DROP TABLE t; --'",
        "SELECT 1 /* /* */; DROP TABLE t; -- */",
        "SELECT x.a FROM jsonb_to_recordset('[]'::jsonb) AS x(a int)",
        "SELECT 'Ünïcode' AS \"Größe\" -- ärger",
    ];
    let refused: Vec<_> =
        postgres.iter().filter_map(|sql| Some((sql, check_read_only(Postgres, sql).err()?))).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    for sql in [
        "SELECT count(*) FROM orders",
        "SELECT strftime('%s', 'now'), \"a\" FROM t WHERE x = ?1",
        "PRAGMA table_info(t)",
        "SELECT value FROM json_each('[1]')",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "EXPLAIN QUERY PLAN SELECT 1",
    ] {
        assert_eq!(check_read_only(Sqlite, sql), Ok(()), "{sql}");
    }
    for sql in
        ["SELECT count(*) FROM `orders` WHERE a = \"x\" # note", "SELECT date_format(now(), '%Y') FROM t LIMIT 1"]
    {
        assert_eq!(check_read_only(Mysql, sql), Ok(()), "{sql}");
    }
}

#[test]
fn refusals_say_what_and_what_to_do() {
    let said = |sql: &str| check_read_only(Postgres, sql).unwrap_err().to_string();
    assert!(said("SELECT shop.evil()").contains("shop.evil"));
    assert!(said("SELECT pg_terminate_backend(1)").contains("ends another session"));
    assert!(said("SELECT 1; SELECT 2").starts_with("2 statements"));
    assert!(said("SELECT 1 \\gexec").contains("\\gexec at byte 9"));
    assert!(matches!(parse_one(Postgres, "SELECT \u{200b}1"), Err(Refused::Lookalike { offset: 7, .. })));
    assert!(matches!(parse_one(Postgres, "SELECT 1 FROM"), Err(Refused::Unparsable { .. })));
    assert!(matches!(parse_one(Mysql, "SELECT 1 /*!x*/"), Err(Refused::VersionComment { offset: 9 })));
}

#[test]
fn locks_costs_and_old_code() {
    let of = |sql: &str| parse_one(Postgres, sql).unwrap();
    let cost = |sql: &str| format!("{:?}", of(sql).cost);
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c varchar(9) NOT NULL DEFAULT 'x'"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()"), "Rewrite");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c bigserial"), "Rewrite");
    assert_eq!(cost("ALTER TABLE t ALTER COLUMN c SET NOT NULL"), "Scan");
    assert_eq!(cost("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)"), "Scan");
    assert_eq!(cost("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD UNIQUE (a)"), "IndexBuild");
    assert_eq!(cost("ALTER TABLE t ALTER c TYPE bigint"), "Rewrite");
    assert!(!of("CREATE INDEX CONCURRENTLY i ON t (a)").transactional);
    assert!(!of("VACUUM t").transactional);
    assert!(of("ALTER TABLE t DROP COLUMN c").transactional);
    let rename = of("ALTER TABLE orders RENAME COLUMN a TO b");
    assert!(rename.old_code.reads_broken && rename.old_code.writes_broken);
    assert_eq!(rename.lock.unwrap().words(), "ACCESS EXCLUSIVE lock: blocks reads, writes and schema changes");
    let required = of("ALTER TABLE t ADD COLUMN c int NOT NULL").old_code;
    assert!(!required.reads_broken && required.writes_broken);
    assert!(!of("ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 1").old_code.breaks());
    let value = of("ALTER TYPE s ADD VALUE 'x'").old_code;
    assert!(value.reads_broken && !value.writes_broken);
    for fact in of("ALTER TABLE t RENAME a TO b").done {
        assert_ne!(fact, fact.not_done());
        assert_eq!(fact, fact.not_done().not_done());
    }
}

#[test]
fn exact_reverses_undo_themselves() {
    for sql in [
        "ALTER TABLE orders RENAME COLUMN a TO b",
        "ALTER TABLE shop.a RENAME TO b",
        "ALTER TYPE s RENAME VALUE 'a' TO 'b'",
        "ALTER TABLE t RENAME CONSTRAINT a TO b",
        "ALTER INDEX a RENAME TO b",
        "ALTER TYPE s.a RENAME TO b",
    ] {
        let there = parse_one(Postgres, sql).unwrap();
        let back = parse_one(Postgres, there.reverse.sql().unwrap()).unwrap();
        assert_eq!(back.reverse, Reverse::Exact(sql.to_owned()));
        assert!(back.done.iter().all(|fact| there.done.contains(&fact.not_done())), "{sql}");
    }
}

#[test]
fn tables_columns_and_relative_updates() {
    let of = |sql: &str| tables_and_columns(Postgres, sql).unwrap();
    let touched = of(
        "UPDATE orders AS o SET status = 'x', (a, b) = (1, 2) FROM frozen s JOIN lines l ON l.id = s.id WHERE o.id = s.id",
    );
    assert_eq!(touched.writes, ["orders"]);
    assert_eq!(touched.reads, ["frozen", "lines"]);
    assert_eq!(touched.columns, ["status", "a", "b"]);
    assert_eq!(of("SELECT extract(epoch FROM t.x) FROM a, shop.b JOIN (c JOIN d ON true) ON a.x IS DISTINCT FROM b.x WHERE e IN (SELECT 1 FROM f)").reads,
               ["a", "shop.b", "c", "d", "f"]);
    assert_eq!(of("INSERT INTO t (a, b) SELECT x, y FROM s").columns, ["a", "b"]);
    let relative = |sql: &str| is_relative_update(Postgres, sql).unwrap();
    for sql in [
        "UPDATE t SET x = x + 1",
        "UPDATE t a SET x = 1, y = a.y || 'z'",
        "UPDATE shop.t SET x = (t.x * 2)",
        "INSERT INTO t (k, x) VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET x = t.x + excluded.x",
        "WITH u AS (UPDATE t SET x = x + 1 RETURNING 1) SELECT 1",
    ] {
        assert!(relative(sql), "{sql}");
    }
    for sql in [
        "UPDATE t SET x = 1 WHERE x = 2",
        "UPDATE t SET x = s.x FROM s WHERE t.id = s.id",
        "UPDATE t SET x = 'x'",
        "INSERT INTO t (k, x) VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET x = excluded.x",
    ] {
        assert!(!relative(sql), "{sql}");
    }
}

#[test]
fn names_are_quoted_or_refused() {
    assert_eq!(quote_ident(Postgres, "orders").unwrap(), "\"orders\"");
    assert_eq!(quote_ident(Mysql, "a$1").unwrap(), "`a$1`");
    for name in ["", "1a", "a b", "a\"b", "a;b", "größe", &"a".repeat(64), "$a"] {
        assert!(quote_ident(Postgres, name).is_err(), "{name}");
    }
}

#[test]
fn files_are_split_where_statements_end() {
    let file = "-- up\nALTER TABLE a RENAME b TO c; /* ; */ CREATE FUNCTION f() RETURNS int AS $x$ select 1; $x$ LANGUAGE sql;\n\
        INSERT INTO t VALUES (';'), (E'\\';'); CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\n\
        CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT \";\" FROM t;;\n-- end\n";
    let pieces = split(Postgres, file).unwrap();
    assert_eq!(pieces.len(), 6, "{pieces:#?}");
    for piece in &pieces {
        parse_one(Postgres, piece).unwrap_or_else(|refused| panic!("{piece}: {refused}"));
    }
    let file = "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = CASE WHEN 1 THEN 2 END; SELECT 1; END; DELETE FROM t";
    assert_eq!(split(Sqlite, file).unwrap().len(), 2);
    assert!(matches!(split(Postgres, "SELECT 'x"), Err(Refused::Unterminated { .. })));
}

/// Random text made of what trips scanners.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("`"),
        Just("$$"),
        Just("$a$"),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("\\"),
        Just(";"),
        Just("\n"),
        Just(" "),
        Just("E'"),
        Just("U&\""),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("select "),
        Just("alter table "),
        Just("rename "),
        Just("to "),
        Just("t "),
        Just("add "),
        Just("drop "),
        Just("column "),
        Just("begin "),
        Just("end "),
        Just("case "),
        Just("1.e"),
        Just("{{ x }}"),
        Just("é"),
        Just("\u{200b}"),
        Just(","),
        Just("."),
        Just("="),
        Just("create "),
        Just("index "),
        Just("on "),
        Just("update "),
        Just("set "),
        Just("from "),
        Just("with "),
        Just("as "),
        Just("grant "),
        Just("type "),
        Just("value "),
        Just("'v' "),
        Just("#"),
        Just("$1"),
        Just("?"),
        Just(":x"),
        Just("explain "),
        Just("analyze "),
        Just("table "),
        Just("trigger "),
        Just("into "),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_zones_cover(text in nasty()) {
        for dialect in [Postgres, Mysql, Sqlite] {
            let statement = judge(dialect, &text);
            prop_assert!(statement.class != Irreversible || statement.object().is_some() || !statement.kind.is_empty());
            let _ = check_read_only(dialect, &text);
            let mut end = 0;
            for (range, _) in zones(dialect, &text) {
                prop_assert_eq!(range.start, end);
                prop_assert!(range.end > range.start && text.is_char_boundary(range.end));
                end = range.end;
            }
            prop_assert_eq!(end, text.len());
            if let Ok(pieces) = split(dialect, &text) {
                let joined = pieces.join("\n;");
                prop_assert_eq!(split(dialect, &joined).ok(), Some(pieces));
            }
        }
    }

    /// Two scanners that disagree are a way in: what one takes for a string the other runs.
    #[test]
    fn zones_agree_with_the_parser(text in nasty()) {
        let parse = SourceFile::parse(&text);
        if !parse.errors().is_empty() || parse_one(Postgres, &text).is_err() {
            return Ok(());
        }
        let ours = zones(Postgres, &text);
        for token in parse.syntax_node().descendants_with_tokens().filter_map(|element| element.into_token()) {
            let start = usize::from(token.text_range().start());
            if token.kind() == SyntaxKind::COMMENT || token.text().starts_with(['\'', '"', '$']) && token.text().len() > 2 {
                prop_assert!(ours.iter().any(|(range, _)| range.start == start), "{:?} at {start}", token.text());
            }
        }
    }
}

#[test]
fn deep_and_long_text_is_refused_or_read_but_never_fatal() {
    for text in [
        format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}true", "NOT ".repeat(50_000)),
        format!("SELECT {}1", "- ".repeat(50_000)),
        format!("SELECT 1{}", " + 1".repeat(9_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(5_000)),
        format!("SELECT a{}", "::int".repeat(4_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(5_000), " END".repeat(5_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(5_000)),
    ] {
        for dialect in [Postgres, Mysql, Sqlite] {
            let _ = judge(dialect, &text);
        }
    }
}
