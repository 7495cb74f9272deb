//! What can be changed and what a reading of the catalog sees of it, form by form on real databases: the whole catalog
//! and the few objects that a step touches see it alike, and both see that it is taken back.

use backout::check::schema;
use backout::check::schema::touched::{self, Scope};
use backout::sql::{Dialect, judge};
use backout::target::Handle;

use crate::schema_checks::RUN;
use crate::shop::Shop;
use crate::support;

/// A change, and what takes it back.
type Form = (&'static str, &'static str);

async fn whole(handle: &mut Handle) -> Vec<String> {
    schema::catalog(handle).await.unwrap_or_else(|none| panic!("{}", none.words()))
}

async fn each_is_seen(kind: &str, address: &str, set_up: &[&str], forms: &[Form], role: &str) {
    let shop = Shop::run(kind, address, RUN);
    let named = |sql: &str| sql.replace("ROLE", role);
    for sql in set_up {
        shop.sql(&named(sql)).await;
    }
    let dialect = match kind {
        "postgres" => Dialect::Postgres,
        "sqlite" => Dialect::Sqlite,
        _ => Dialect::Mysql,
    };
    let mut reader = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    let mut wrong = Vec::new();
    for (change, back) in forms {
        let (change, back) = (named(change), named(back));
        let scope = Scope::of([&judge(dialect, &change)]);
        let before = (whole(&mut reader).await, touched::read(&scope, &mut reader).await.unwrap());
        shop.sql(&change).await;
        let changed = (whole(&mut reader).await, touched::read(&scope, &mut reader).await.unwrap());
        if schema::differences(&before.0, &changed.0, &[]).is_empty() {
            wrong.push(format!("the whole catalog does not see: {change}"));
        }
        if touched::differences(&before.1, &changed.1).is_empty() {
            wrong.push(format!("its own objects do not show: {change} ({scope:?})"));
        }
        shop.sql(&back).await;
        let again = (whole(&mut reader).await, touched::read(&scope, &mut reader).await.unwrap());
        wrong.extend(
            schema::differences(&before.0, &again.0, &[]).iter().map(|told| format!("whole, after {back}: {told}")),
        );
        wrong.extend(touched::differences(&before.1, &again.1).iter().map(|told| format!("after {back}: {told}")));
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

const POSTGRES: &[&str] = &[
    "CREATE TYPE state AS ENUM ('new', 'paid')",
    "CREATE DOMAIN cents AS int CHECK (VALUE >= 0)",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE span AS RANGE (subtype = int)",
    "CREATE TABLE shops (id int PRIMARY KEY)",
    "CREATE TABLE orders (id int PRIMARY KEY, shop int, note text, state state, total cents)",
    "ALTER TABLE orders ADD CONSTRAINT in_shop FOREIGN KEY (shop) REFERENCES shops",
    "ALTER TABLE orders ADD CONSTRAINT positive CHECK (id > 0)",
    "ALTER TABLE orders ADD CONSTRAINT sure UNIQUE (note) DEFERRABLE",
    "CREATE INDEX by_note ON orders (note)",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
    "CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end'",
    "CREATE VIEW notes AS SELECT id, note FROM orders",
    "CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM orders",
    "CREATE POLICY mine ON orders USING (id > 0)",
    "CREATE RULE silent AS ON DELETE TO shops DO INSTEAD NOTHING",
    "CREATE TABLE days (id int, at int) PARTITION BY RANGE (at)",
    "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE days_2 (id int, at int)",
    "CREATE TABLE heirs (id int NOT NULL)",
    "CREATE PUBLICATION feed FOR TABLE shops",
    "CREATE STATISTICS both_of (dependencies) ON shop, note FROM orders",
    "CREATE FOREIGN DATA WRAPPER far",
    "CREATE SERVER there FOREIGN DATA WRAPPER far OPTIONS (host 'a')",
    "CREATE FOREIGN TABLE theirs (id int) SERVER there OPTIONS (name 'x')",
    "CREATE AGGREGATE most (int) (SFUNC = int4larger, STYPE = int)",
    "CREATE SCHEMA apart",
    "CREATE TABLE apart.kept (id int)",
];

const POSTGRES_FORMS: &[Form] = &[
    ("ALTER TABLE orders ALTER note SET DEFAULT 'x'", "ALTER TABLE orders ALTER note DROP DEFAULT"),
    ("ALTER TABLE orders ALTER note SET NOT NULL", "ALTER TABLE orders ALTER note DROP NOT NULL"),
    ("ALTER TABLE orders ALTER note SET STORAGE external", "ALTER TABLE orders ALTER note SET STORAGE extended"),
    ("ALTER TABLE orders ALTER note SET COMPRESSION pglz", "ALTER TABLE orders ALTER note SET COMPRESSION default"),
    ("ALTER TABLE orders ALTER note SET STATISTICS 500", "ALTER TABLE orders ALTER note SET STATISTICS -1"),
    ("ALTER TABLE orders ALTER note SET (n_distinct = 5)", "ALTER TABLE orders ALTER note RESET (n_distinct)"),
    ("ALTER TABLE orders REPLICA IDENTITY FULL", "ALTER TABLE orders REPLICA IDENTITY DEFAULT"),
    ("ALTER TABLE orders REPLICA IDENTITY USING INDEX orders_pkey", "ALTER TABLE orders REPLICA IDENTITY DEFAULT"),
    ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", "ALTER TABLE orders DISABLE ROW LEVEL SECURITY"),
    ("ALTER TABLE orders FORCE ROW LEVEL SECURITY", "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY"),
    ("ALTER TABLE orders SET (fillfactor = 70)", "ALTER TABLE orders RESET (fillfactor)"),
    (
        "ALTER TABLE orders SET (toast.autovacuum_enabled = false)",
        "ALTER TABLE orders RESET (toast.autovacuum_enabled)",
    ),
    ("ALTER TABLE apart.kept SET UNLOGGED", "ALTER TABLE apart.kept SET LOGGED"),
    ("ALTER TABLE orders CLUSTER ON by_note", "ALTER TABLE orders SET WITHOUT CLUSTER"),
    ("ALTER TABLE orders OWNER TO ROLE", "ALTER TABLE orders OWNER TO CURRENT_USER"),
    ("ALTER TABLE orders DISABLE TRIGGER touched", "ALTER TABLE orders ENABLE TRIGGER touched"),
    ("ALTER TABLE orders ENABLE REPLICA TRIGGER touched", "ALTER TABLE orders ENABLE TRIGGER touched"),
    ("ALTER TABLE orders ENABLE ALWAYS TRIGGER touched", "ALTER TABLE orders ENABLE TRIGGER touched"),
    // A foreign key that nothing enforces any more.
    ("ALTER TABLE orders DISABLE TRIGGER ALL", "ALTER TABLE orders ENABLE TRIGGER ALL"),
    ("ALTER TABLE shops DISABLE RULE silent", "ALTER TABLE shops ENABLE RULE silent"),
    (
        "ALTER TABLE orders ALTER CONSTRAINT in_shop DEFERRABLE",
        "ALTER TABLE orders ALTER CONSTRAINT in_shop NOT DEFERRABLE",
    ),
    ("ALTER TABLE heirs INHERIT shops", "ALTER TABLE heirs NO INHERIT shops"),
    (
        "ALTER TABLE days ATTACH PARTITION days_2 FOR VALUES FROM (10) TO (20)",
        "ALTER TABLE days DETACH PARTITION days_2",
    ),
    (
        "ALTER TABLE days DETACH PARTITION days_1",
        "ALTER TABLE days ATTACH PARTITION days_1 FOR VALUES FROM (0) TO (10)",
    ),
    (
        "ALTER TABLE orders RENAME CONSTRAINT positive TO above",
        "ALTER TABLE orders RENAME CONSTRAINT above TO positive",
    ),
    ("ALTER TABLE orders RENAME COLUMN note TO remark", "ALTER TABLE orders RENAME COLUMN remark TO note"),
    ("ALTER TABLE orders RENAME TO old_orders", "ALTER TABLE old_orders RENAME TO orders"),
    ("ALTER TABLE orders SET SCHEMA apart", "ALTER TABLE apart.orders SET SCHEMA public"),
    ("ALTER TABLE shops ALTER id ADD GENERATED ALWAYS AS IDENTITY", "ALTER TABLE shops ALTER id DROP IDENTITY"),
    ("ALTER INDEX by_note SET (fillfactor = 70)", "ALTER INDEX by_note RESET (fillfactor)"),
    ("DROP INDEX by_note", "CREATE INDEX by_note ON orders (note)"),
    ("CREATE UNIQUE INDEX twice ON orders (shop) INCLUDE (id)", "DROP INDEX twice"),
    ("ALTER SEQUENCE numbers CACHE 50", "ALTER SEQUENCE numbers CACHE 1"),
    ("ALTER SEQUENCE numbers INCREMENT 2", "ALTER SEQUENCE numbers INCREMENT 1"),
    ("ALTER SEQUENCE numbers OWNED BY orders.id", "ALTER SEQUENCE numbers OWNED BY NONE"),
    ("GRANT SELECT ON orders TO ROLE", "REVOKE SELECT ON orders FROM ROLE"),
    ("GRANT SELECT ON orders TO ROLE WITH GRANT OPTION", "REVOKE SELECT ON orders FROM ROLE"),
    ("GRANT UPDATE (note) ON orders TO ROLE", "REVOKE UPDATE (note) ON orders FROM ROLE"),
    ("REVOKE DELETE ON orders FROM CURRENT_USER", "GRANT DELETE ON orders TO CURRENT_USER"),
    ("GRANT USAGE ON SEQUENCE numbers TO ROLE", "REVOKE USAGE ON SEQUENCE numbers FROM ROLE"),
    ("REVOKE EXECUTE ON FUNCTION touch() FROM public", "GRANT EXECUTE ON FUNCTION touch() TO public"),
    ("REVOKE USAGE ON TYPE state FROM public", "GRANT USAGE ON TYPE state TO public"),
    ("GRANT USAGE ON SCHEMA apart TO ROLE", "REVOKE USAGE ON SCHEMA apart FROM ROLE"),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ROLE",
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM ROLE",
    ),
    ("COMMENT ON TABLE orders IS 'x'", "COMMENT ON TABLE orders IS NULL"),
    ("COMMENT ON COLUMN orders.note IS 'x'", "COMMENT ON COLUMN orders.note IS NULL"),
    ("COMMENT ON CONSTRAINT positive ON orders IS 'x'", "COMMENT ON CONSTRAINT positive ON orders IS NULL"),
    ("COMMENT ON INDEX by_note IS 'x'", "COMMENT ON INDEX by_note IS NULL"),
    ("COMMENT ON FUNCTION touch() IS 'x'", "COMMENT ON FUNCTION touch() IS NULL"),
    ("ALTER POLICY mine ON orders USING (id > 1)", "ALTER POLICY mine ON orders USING (id > 0)"),
    ("ALTER POLICY mine ON orders TO ROLE", "ALTER POLICY mine ON orders TO public"),
    ("ALTER TYPE state RENAME VALUE 'paid' TO 'settled'", "ALTER TYPE state RENAME VALUE 'settled' TO 'paid'"),
    ("ALTER TYPE pair ADD ATTRIBUTE c int", "ALTER TYPE pair DROP ATTRIBUTE c"),
    ("ALTER DOMAIN cents SET DEFAULT 0", "ALTER DOMAIN cents DROP DEFAULT"),
    ("ALTER DOMAIN cents SET NOT NULL", "ALTER DOMAIN cents DROP NOT NULL"),
    (
        "ALTER DOMAIN cents ADD CONSTRAINT small CHECK (VALUE < 10) NOT VALID",
        "ALTER DOMAIN cents DROP CONSTRAINT small",
    ),
    ("DROP TYPE span", "CREATE TYPE span AS RANGE (subtype = int)"),
    ("ALTER FUNCTION touch() SECURITY DEFINER", "ALTER FUNCTION touch() SECURITY INVOKER"),
    ("ALTER FUNCTION touch() SET work_mem = '8MB'", "ALTER FUNCTION touch() RESET work_mem"),
    ("ALTER FUNCTION touch() COST 7", "ALTER FUNCTION touch() COST 100"),
    ("DROP AGGREGATE most (int)", "CREATE AGGREGATE most (int) (SFUNC = int4larger, STYPE = int)"),
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return null; end'",
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
    ),
    (
        "CREATE OR REPLACE VIEW notes AS SELECT id, note FROM orders WHERE id > 1",
        "CREATE OR REPLACE VIEW notes AS SELECT id, note FROM orders",
    ),
    ("ALTER VIEW notes SET (security_barrier)", "ALTER VIEW notes RESET (security_barrier)"),
    ("REFRESH MATERIALIZED VIEW sums WITH NO DATA", "REFRESH MATERIALIZED VIEW sums"),
    ("DROP STATISTICS both_of", "CREATE STATISTICS both_of (dependencies) ON shop, note FROM orders"),
    ("ALTER STATISTICS both_of SET STATISTICS 300", "ALTER STATISTICS both_of SET STATISTICS -1"),
    ("ALTER PUBLICATION feed ADD TABLE orders", "ALTER PUBLICATION feed DROP TABLE orders"),
    (
        "ALTER PUBLICATION feed SET (publish = 'insert')",
        "ALTER PUBLICATION feed SET (publish = 'insert, update, delete, truncate')",
    ),
    ("CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION watch()", "DROP EVENT TRIGGER watched"),
    ("ALTER FOREIGN TABLE theirs OPTIONS (SET name 'y')", "ALTER FOREIGN TABLE theirs OPTIONS (SET name 'x')"),
    ("ALTER SERVER there OPTIONS (SET host 'b')", "ALTER SERVER there OPTIONS (SET host 'a')"),
    ("CREATE CAST (pair AS text) WITH INOUT", "DROP CAST (pair AS text)"),
    ("CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)", "DROP OPERATOR === (int, int)"),
    ("CREATE COLLATION plain FROM \"C\"", "DROP COLLATION plain"),
    ("CREATE SCHEMA more", "DROP SCHEMA more"),
    ("CREATE TABLE apart.more (id int)", "DROP TABLE apart.more"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_postgres_catalog() {
    let Some(database) = support::postgres_database("seen") else { return };
    let owner = Shop::run("postgres", &database.url, RUN);
    let role = support::unique("seen");
    owner.sql(&format!("CREATE ROLE {role}")).await;
    each_is_seen("postgres", &database.url, POSTGRES, POSTGRES_FORMS, &role).await;
    owner.sql(&format!("DROP OWNED BY {role}")).await;
    owner.sql(&format!("DROP ROLE {role}")).await;
}

const MARIADB: &[&str] = &[
    "CREATE TABLE shops (id int PRIMARY KEY)",
    "CREATE TABLE orders (id int PRIMARY KEY, shop int, note varchar(40), total int, CONSTRAINT positive CHECK (total > 0)) ROW_FORMAT = DYNAMIC",
    "ALTER TABLE orders ADD CONSTRAINT in_shop FOREIGN KEY (shop) REFERENCES shops (id)",
    "CREATE INDEX by_note ON orders (note)",
    "CREATE TABLE days (id int, at int) PARTITION BY RANGE (at) (PARTITION a VALUES LESS THAN (10))",
    "CREATE SEQUENCE numbers",
    "CREATE VIEW notes AS SELECT id, note FROM orders",
];

const MARIADB_FORMS: &[Form] = &[
    ("ALTER TABLE orders MODIFY note varchar(50)", "ALTER TABLE orders MODIFY note varchar(40)"),
    ("ALTER TABLE orders MODIFY note varchar(40) COMMENT 'x'", "ALTER TABLE orders MODIFY note varchar(40)"),
    ("ALTER TABLE orders MODIFY note varchar(40) COLLATE utf8mb4_bin", "ALTER TABLE orders MODIFY note varchar(40)"),
    ("ALTER TABLE orders ADD COLUMN twice int AS (total * 2) STORED", "ALTER TABLE orders DROP COLUMN twice"),
    ("ALTER TABLE orders COMMENT = 'x'", "ALTER TABLE orders COMMENT = ''"),
    ("ALTER TABLE orders ROW_FORMAT = COMPACT", "ALTER TABLE orders ROW_FORMAT = DYNAMIC"),
    (
        "ALTER TABLE shops DEFAULT CHARACTER SET latin1",
        "ALTER TABLE shops DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ),
    ("ALTER TABLE days ADD PARTITION (PARTITION b VALUES LESS THAN (20))", "ALTER TABLE days DROP PARTITION b"),
    ("ALTER TABLE orders DROP CONSTRAINT positive", "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)"),
    ("ALTER TABLE orders ALTER INDEX by_note IGNORED", "ALTER TABLE orders ALTER INDEX by_note NOT IGNORED"),
    ("DROP INDEX by_note ON orders", "CREATE INDEX by_note ON orders (note)"),
    ("CREATE INDEX short ON orders (note(5))", "DROP INDEX short ON orders"),
    ("CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = 'x'", "DROP TRIGGER touched"),
    ("CREATE PROCEDURE p(IN a int) SELECT a", "DROP PROCEDURE p"),
    ("CREATE FUNCTION f(a int) RETURNS int DETERMINISTIC RETURN a", "DROP FUNCTION f"),
    ("CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01' DO SELECT 1", "DROP EVENT e"),
    (
        "CREATE OR REPLACE VIEW notes AS SELECT id FROM orders",
        "CREATE OR REPLACE VIEW notes AS SELECT id, note FROM orders",
    ),
    ("DROP SEQUENCE numbers", "CREATE SEQUENCE numbers"),
    ("CREATE TABLE more (id int)", "DROP TABLE more"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_mariadb_catalog() {
    let Some(database) = support::mysql_database("seen") else { return };
    each_is_seen("mysql", &database.url, MARIADB, MARIADB_FORMS, "").await;
    // What a foreign key does when its parent goes, and where it points.
    let shop = Shop::run("mysql", &database.url, RUN);
    let mut reader = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    let before = whole(&mut reader).await;
    shop.sql("ALTER TABLE orders DROP FOREIGN KEY in_shop").await;
    shop.sql("ALTER TABLE orders ADD CONSTRAINT in_shop FOREIGN KEY (shop) REFERENCES shops (id) ON DELETE CASCADE")
        .await;
    let told = schema::differences(&before, &whole(&mut reader).await, &[]);
    assert!(told.len() == 1 && told[0].contains("on delete cascade, and was foreign key"), "{told:?}");
}

const SQLITE: &[&str] = &[
    "CREATE TABLE shops (id integer PRIMARY KEY)",
    "CREATE TABLE \"orders\" (id integer PRIMARY KEY, shop int REFERENCES shops (id), /* what, was (said) */ note text \
     COLLATE nocase, total int CHECK (total > 0), twice int AS (total * 2), CONSTRAINT small CHECK (total < 10), UNIQUE (note, shop)) STRICT",
    "CREATE INDEX by_note ON orders (note)",
    "CREATE VIEW notes AS SELECT id, note FROM orders",
    "CREATE TRIGGER touched AFTER UPDATE ON orders BEGIN SELECT 1; END",
    "CREATE TABLE words (id integer PRIMARY KEY, word text)",
];

const SQLITE_FORMS: &[Form] = &[
    ("ALTER TABLE orders RENAME COLUMN note TO remark", "ALTER TABLE orders RENAME COLUMN remark TO note"),
    ("ALTER TABLE shops RENAME TO stores", "ALTER TABLE stores RENAME TO shops"),
    ("ALTER TABLE words ADD COLUMN said text DEFAULT 'a  b' COLLATE nocase", "ALTER TABLE words DROP COLUMN said"),
    ("DROP INDEX by_note", "CREATE INDEX by_note ON orders (note)"),
    ("CREATE UNIQUE INDEX some ON words (word) WHERE id > 1", "DROP INDEX some"),
    ("DROP TRIGGER touched", "CREATE TRIGGER touched AFTER UPDATE ON orders BEGIN SELECT 1; END"),
    ("DROP VIEW notes", "CREATE VIEW notes AS SELECT id,note FROM orders"),
    ("CREATE TABLE more (id int PRIMARY KEY) WITHOUT ROWID, STRICT", "DROP TABLE more"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_sqlite_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.db");
    std::fs::File::create(&file).unwrap();
    each_is_seen("sqlite", file.to_str().unwrap(), SQLITE, SQLITE_FORMS, "").await;
    let shop = Shop::run("sqlite", file.to_str().unwrap(), RUN);
    let mut reader = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    let lines = whole(&mut reader).await;
    for line in [
        "column orders.note: text COLLATE nocase",
        "column orders.shop: int REFERENCES shops(id)",
        "column orders.total: int CHECK(total>0)",
        "column orders.twice: int AS(total*2)",
        "constraint orders.small: CHECK(total<10)",
        "constraint orders.unnamed: UNIQUE(note,shop)",
        "table orders: table STRICT",
    ] {
        assert!(lines.iter().any(|seen| seen == line), "{line}:\n{}", lines.join("\n"));
    }
    // The rebuild of a table, with one check the less: its columns stand as they stood.
    for sql in [
        "CREATE TABLE anew (id integer PRIMARY KEY, shop int REFERENCES shops (id), note text COLLATE nocase, \
         total int CHECK (total > 0), twice int AS (total * 2), UNIQUE (note, shop)) STRICT",
        "DROP VIEW notes",
        "DROP TABLE orders",
        "ALTER TABLE anew RENAME TO orders",
    ] {
        shop.sql(sql).await;
    }
    let told = schema::differences(&lines, &whole(&mut reader).await, &["notes".to_owned()]);
    let gone = ["constraint orders.small", "index orders.by_note", "trigger orders.touched"];
    assert_eq!(told, gone.map(|object| format!("{object} was there and is not")));
}
