//! MariaDB's forms without an algorithm, run for real: whether a statement commits what came before it, and whether it
//! waits for whoever has read the tables that it is about. The forms with an algorithm are asked for in `mysql::ways`.

use backout::sql::{self, Dialect, Lock, Server};
use backout::target::Handle;

use crate::shop::Shop;
use crate::support;

const RUNBOOK: &str = r#"
backout: 1
name: shop
title: The shop
targets:
  shop: { mysql: "${SHOP}" }
steps:
  - id: nothing
    on: shop
    ddl: |
      CREATE TABLE never (a int)
"#;

const FIXTURE: [&str; 16] = [
    "DROP TABLE IF EXISTS n",
    "DROP VIEW IF EXISTS n",
    "DROP TABLE IF EXISTS t",
    "DROP VIEW IF EXISTS v",
    "DROP FUNCTION IF EXISTS f",
    "DROP PROCEDURE IF EXISTS pr",
    "DROP TABLE IF EXISTS p",
    "DROP TABLE IF EXISTS seen",
    "CREATE TABLE p (id int PRIMARY KEY)",
    "CREATE TABLE t (id int PRIMARY KEY, a int, b int, KEY k (b))",
    "CREATE TABLE seen (a int)",
    "INSERT INTO t VALUES (1, 1, 1)",
    "CREATE VIEW v AS SELECT id FROM t",
    "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW SET NEW.a = 1",
    "CREATE FUNCTION f() RETURNS int RETURN 1",
    "CREATE PROCEDURE pr() SELECT 1",
];

const STATEMENTS: [&str; 26] = [
    "CREATE TABLE n (a int)",
    "CREATE TABLE n LIKE t",
    "CREATE TABLE n AS SELECT * FROM t",
    "CREATE TABLE n (a int, FOREIGN KEY (a) REFERENCES p (id))",
    "DROP TABLE t",
    "TRUNCATE TABLE t",
    "RENAME TABLE t TO n",
    "CREATE VIEW n AS SELECT id FROM t",
    "CREATE OR REPLACE VIEW v AS SELECT id FROM t",
    "DROP VIEW v",
    "CREATE TRIGGER n BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; END",
    "DROP TRIGGER g",
    "DROP FUNCTION f",
    "DROP PROCEDURE pr",
    "CREATE INDEX i ON t (a)",
    "DROP INDEX k ON t",
    "ALTER TABLE t ADD COLUMN c int",
    "ANALYZE TABLE t",
    "SELECT count(*) FROM t",
    "SELECT id FROM t WHERE id = 9 FOR UPDATE",
    "INSERT INTO t VALUES (2, 2, 2)",
    "REPLACE INTO t VALUES (3, 3, 3)",
    "UPDATE t SET b = 2 WHERE id = 9",
    "DELETE FROM t WHERE id = 9",
    "SET @x = 1",
    "SHOW TABLES",
];

async fn said(hand: &mut Handle, sql: &str) {
    hand.run(sql, vec![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn fixture(hand: &mut Handle) {
    for sql in FIXTURE {
        said(hand, sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_what_commits_and_what_waits() {
    let Some(database) = support::mysql_database("knowledge") else { return };
    let shop = Shop::with(RUNBOOK, &database.url, "run-knowledge");
    let mut hand = shop.context.targets.dedicated("shop", "test").await.unwrap();
    let Handle::Mysql(connection) = &hand else { panic!("it is a MySQL target") };
    let server = connection.server;
    if !matches!(server, Server::MariaDb(n) if n / 100 == 1011) {
        return;
    }
    said(&mut hand, "SET lock_wait_timeout = 30").await;
    let mut reader = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    let mut wrong = Vec::new();
    for sql in STATEMENTS {
        let statement = sql::parse_one(Dialect::Mysql, sql).unwrap_or_else(|refused| panic!("{sql}: {refused}"));
        let statement = statement.on(server);
        fixture(&mut hand).await;
        said(&mut hand, "START TRANSACTION").await;
        said(&mut hand, "INSERT INTO seen VALUES (1)").await;
        said(&mut hand, sql).await;
        said(&mut hand, "ROLLBACK").await;
        let kept = hand.one("SELECT count(*) AS n FROM seen", vec![]).await.unwrap().and_then(|n| n.as_i64());
        if (kept == Some(1)) == statement.transactional {
            wrong.push(format!("{sql}: {kept:?} rows were committed, told transactional: {}", statement.transactional));
        }
        fixture(&mut hand).await;
        said(&mut reader, "START TRANSACTION").await;
        reader.one("SELECT count(*) AS n FROM t, p, v", vec![]).await.unwrap();
        // The server's own threads may hold a table for a moment: only this statement does not wait for them.
        said(&mut hand, "SET lock_wait_timeout = 0").await;
        let waits = hand.run(sql, vec![]).await;
        said(&mut hand, "SET lock_wait_timeout = 30").await;
        said(&mut reader, "ROLLBACK").await;
        let waited = matches!(&waits, Err(error) if error.is_lock());
        if let (Err(error), false) = (&waits, waited) {
            wrong.push(format!("{sql}: {error}"));
        }
        if waited != statement.locks.iter().any(|held| held.lock == Lock::METADATA) {
            wrong.push(format!("{sql}: waits for a reader: {waited}, told {:?}", statement.locks));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
