//! Class, kind, object, lock, reverse and done-facts of whole statements, as tables.

use Class::{Ddl, Irreversible, Read, Session, Transaction, Utility, Write};
use Dialect::{Mysql, Postgres, Sqlite};
use backout::sql::{Class, Dialect, Reverse, judge, parse_one};

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
            "Ddl | ALTER TABLE … ADD COLUMN … DEFAULT | table t | ACCESS EXCLUSIVE | saved | column t.c is there",
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
            "Ddl | ALTER TABLE … ADD CHECK … NOT VALID | table orders | ACCESS EXCLUSIVE | = ALTER TABLE orders DROP CONSTRAINT no_awaiting | constraint no_awaiting on orders is there",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (c) REFERENCES shop.customers (id)",
            "Ddl | ALTER TABLE … ADD FOREIGN KEY | table orders | SHARE ROW EXCLUSIVE | = ALTER TABLE orders DROP CONSTRAINT fk | constraint fk on orders is there; constraint fk on orders is validated",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX u_idx",
            "Ddl | ALTER TABLE … ADD UNIQUE USING INDEX | table orders | ACCESS EXCLUSIVE | ~ ALTER TABLE orders DROP CONSTRAINT u | constraint u on orders is there",
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
            "Ddl | ALTER TABLE … DISABLE TRIGGER | table orders | SHARE ROW EXCLUSIVE | ~ ALTER TABLE orders ENABLE TRIGGER sync_ref | trigger sync_ref on orders is disabled or not there",
        ),
        (
            "ALTER TABLE orders SET (fillfactor = 70)",
            "Ddl | ALTER TABLE … SET (…) | table orders | SHARE UPDATE EXCLUSIVE | saved | ",
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
            "Ddl | CREATE TABLE … REFERENCES | table saved | SHARE ROW EXCLUSIVE | ~ DROP TABLE saved | table saved is there",
        ),
        (
            "CREATE TABLE IF NOT EXISTS saved (id bigint)",
            "Ddl | CREATE TABLE | table saved | - | none | table saved is there",
        ),
        (
            "CREATE TABLE rb_saved AS SELECT id, status::text AS old_status FROM orders",
            "Ddl | CREATE TABLE AS | table rb_saved | ACCESS SHARE | ~ DROP TABLE rb_saved | table rb_saved is there",
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
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "Ddl | CREATE OR REPLACE VIEW | view v | ACCESS EXCLUSIVE | saved | "),
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
            "Ddl | DROP INDEX CONCURRENTLY | index shop.i | SHARE UPDATE EXCLUSIVE | saved | index shop.i is not there; index shop.i is not valid or not there",
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
            "Irreversible | DROP TYPE | type order_status | ACCESS EXCLUSIVE | saved | type order_status is not there",
        ),
        (
            "TRUNCATE TABLE orders, lines CASCADE",
            "Irreversible | TRUNCATE … CASCADE | table orders | ACCESS EXCLUSIVE | saved | ",
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
        ("SELECT * INTO t FROM orders", "Ddl | SELECT INTO | table t | ACCESS SHARE | saved | "),
        ("EXPLAIN DELETE FROM orders", "Read | EXPLAIN | table orders | ROW EXCLUSIVE | none | "),
        (
            "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM orders",
            "Utility | EXPLAIN ANALYZE | table orders | ROW EXCLUSIVE | saved | ",
        ),
        ("VACUUM FULL orders", "Utility | VACUUM FULL | table orders | ACCESS EXCLUSIVE | none | "),
        ("COMMENT ON COLUMN orders.status IS 'x'", "Ddl | COMMENT | table orders | SHARE UPDATE EXCLUSIVE | saved | "),
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
            "Ddl | ALTER TABLE … ADD COLUMN … DEFAULT | table orders | database write | ~ ALTER TABLE orders DROP COLUMN c | column orders.c is there",
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
