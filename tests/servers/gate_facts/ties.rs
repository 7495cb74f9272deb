//! What a statement locks without naming it: whoever holds that is in the way, too.

use std::collections::BTreeSet;

use backout::runbook::template::as_text;

use super::{Shop, lines, of, one, session};
use crate::support;

/// Whether somebody keeps the statement waiting, as the server has it.
async fn waits_now(shop: &Shop, sql: &str) -> bool {
    let mut handle = session(shop, "probe", &["begin", "set local lock_timeout = 30"]).await;
    let refused = handle.run(sql, vec![]).await.err().and_then(|error| error.code);
    refused.as_deref() == Some("55P03")
}

const STATEMENTS: [&str; 27] = [
    "ALTER TABLE parted RENAME COLUMN note TO remark",
    "ALTER TABLE parted ADD COLUMN more int",
    "ALTER TABLE parted RENAME TO other",
    "ALTER TABLE parted OWNER TO CURRENT_USER",
    "ALTER TABLE parted ADD PRIMARY KEY (id)",
    "ALTER TABLE parted ADD UNIQUE (id)",
    "CREATE INDEX ON parted (note)",
    "DROP INDEX parted_note",
    "CREATE TRIGGER t BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE TABLE part_3 PARTITION OF parted FOR VALUES FROM (20) TO (30)",
    "DROP TABLE parted",
    "ALTER TABLE base RENAME COLUMN note TO remark",
    "ALTER TABLE base ADD CHECK (id > 0)",
    "ALTER TABLE base RENAME TO other",
    "CREATE INDEX ON base (note)",
    "DROP TABLE base CASCADE",
    "TRUNCATE customers CASCADE",
    "DROP TABLE customers CASCADE",
    "ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE",
    "ALTER TABLE customers DROP COLUMN id CASCADE",
    "ALTER TABLE customers DROP COLUMN note CASCADE",
    "ALTER TABLE accounts DROP COLUMN customer",
    "ALTER TABLE accounts DROP COLUMN note",
    "ALTER TABLE accounts DROP CONSTRAINT accounts_customer_fkey",
    "ALTER TABLE accounts DROP CONSTRAINT small",
    "REINDEX TABLE accounts",
    "GRANT SELECT ON accounts TO PUBLIC",
];

const TABLES: [&str; 13] = [
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
    "CREATE TABLE parted (id int, note text) PARTITION BY RANGE (id)",
    "CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE part_rest PARTITION OF parted DEFAULT PARTITION BY RANGE (id)",
    "CREATE TABLE part_deep PARTITION OF part_rest DEFAULT",
    "CREATE INDEX parted_note ON parted (note)",
    "CREATE TABLE base (id int NOT NULL, note text)",
    "CREATE TABLE heir () INHERITS (base)",
    "CREATE TABLE customers (id int PRIMARY KEY, note text)",
    "CREATE TABLE accounts (id int PRIMARY KEY, note text, customer int REFERENCES customers, CONSTRAINT small CHECK (id < 9))",
    "CREATE TABLE entries (id int PRIMARY KEY, account int REFERENCES accounts)",
    "CREATE VIEW customer_notes AS SELECT note FROM customers",
    "INSERT INTO customers VALUES (1, 'x')",
];

/// Each relation is held in turn, and each gate names those sessions for which the server makes the statement wait.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_what_is_locked_with_it_is_in_the_way_and_nobody_else() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = of(&database.url, "run-ties", &STATEMENTS, &TABLES).await;
    let mut waits = vec![Vec::new(); STATEMENTS.len()];
    let mut readers = Vec::new();
    for held in ["part_1", "part_deep", "heir", "customers", "accounts", "entries"] {
        let mut reader = session(&shop, "reader", &["begin"]).await;
        let read = format!("SELECT pg_backend_pid()::text FROM (SELECT count(*) FROM {held}) q");
        let pid = as_text(&reader.one(read.as_str(), vec![]).await.unwrap().unwrap());
        for (sql, waits) in STATEMENTS.iter().zip(&mut waits) {
            if waits_now(&shop, sql).await {
                waits.push((held, pid.clone()));
            }
        }
        reader.run("rollback", vec![]).await.unwrap();
        readers.push((reader, read));
    }
    for (reader, read) in &mut readers {
        reader.run("begin", vec![]).await.unwrap();
        reader.one(read.as_str(), vec![]).await.unwrap();
    }
    let mut wrong = Vec::new();
    for (n, (sql, waits)) in STATEMENTS.iter().zip(&waits).enumerate() {
        let evidence = shop.prepare(&format!("s{n}"), 1, false).await.unwrap().evidence;
        let told: BTreeSet<_> = evidence.blockers.iter().map(|(pid, _)| pid).collect();
        if told != waits.iter().map(|(_, pid)| pid).collect() {
            wrong.push(format!("{sql} waits for who has {waits:?}, told are {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(waits.iter().filter(|waits| !waits.is_empty()).count() > 15, "{waits:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_no_catalog_tells_is_told_in_words() {
    let Some(database) = support::postgres_database("facts") else { return };
    let tables = ["CREATE SEQUENCE numbers", "CREATE TABLE t (id int DEFAULT nextval('numbers'))"];
    let shop = of(&database.url, "run-unsaid", &["DROP SEQUENCE numbers CASCADE"], &tables).await;
    let told = lines(&shop, "s0").await;
    let unsaid = "in way: ! ACCESS EXCLUSIVE on everything that hangs on it, columns of other tables too: who holds that is not looked for";
    assert!(told.iter().any(|line| line == unsaid), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_as_large_as_its_partitions() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = of(&database.url, "run-parted", &STATEMENTS[..1], &TABLES).await;
    shop.sql("INSERT INTO parted SELECT n % 40, repeat('x', 500) FROM generate_series(1, 4000) n").await;
    let told = lines(&shop, "s0").await;
    let table = one(&told, "table: parted");
    assert!(
        table.contains(" MB in 3 partitions, never analysed") || table.contains(" kB in 3 partitions, never"),
        "{table}"
    );
    shop.sql("ANALYZE parted").await;
    let told = lines(&shop, "s0").await;
    let table = one(&told, "table: parted");
    assert!(table.contains("about 4000 rows") && !table.contains(" 0 bytes"), "{table}");
    assert!(!told.iter().any(|line| line.starts_with("invalid")), "{told:#?}");

    // On a partition, and a partitioned one that not all partitions have.
    shop.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'part_1_note_idx'::regclass").await;
    shop.sql("CREATE INDEX parted_id ON ONLY parted (id)").await;
    let told = lines(&shop, "s0").await;
    assert_eq!(one(&told, "invalid: ! part_1"), "invalid: ! part_1_note_idx on parted: kept up and not used");
    assert!(one(&told, "invalid: ! parted_id").contains("not on every partition"), "{told:#?}");
}
