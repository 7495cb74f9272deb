//! SQLite files: the whole way of a step, the wall, what a file says it is.

use backout::check::Depth;
use backout::run::record::Environment;
use backout::runbook::template::RenderedSql;
use backout::target::sqlite;
use tempfile::TempDir;

use crate::shop::{self, Shop};

fn file() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[tokio::test]
async fn a_step_is_applied_once_and_undone_row_by_row() {
    let (_dir, path) = file();
    shop::story("sqlite", &path, "text").await;
}

#[tokio::test]
async fn nothing_but_reading_passes_the_wall() {
    let (_dir, path) = file();
    let shop = Shop::run("sqlite", &path, "run-cccccccc");
    shop.fill("text").await;
    let mut monitor = shop.context.targets.monitor("shop").await.unwrap();
    for sql in [
        "INSERT INTO orders VALUES (99, 1, 'x', null)",
        "DELETE FROM orders",
        "CREATE TABLE x (a)",
        "PRAGMA query_only = off",
        "PRAGMA writable_schema = on",
        "ATTACH 'other.db' AS other",
        "BEGIN IMMEDIATE",
        "VACUUM",
        "REINDEX",
        "SELECT load_extension('x')",
        "WITH d AS (SELECT 1) DELETE FROM orders WHERE id IN (SELECT * FROM d)",
        "DROP TABLE orders",
    ] {
        let sql = RenderedSql { sql: sql.to_owned(), binds: vec![] };
        assert!(monitor.execute(&sql).await.is_err(), "{} passed", sql.sql);
    }
    drop(monitor);
    assert_eq!(shop.one("SELECT count(*) FROM orders").await, 10);
}

#[tokio::test]
async fn a_copy_of_a_declared_file_is_production() {
    let (dir, path) = file();
    let shop = Shop::run("sqlite", &path, "run-dddddddd");
    shop.fill("text").await;
    assert_eq!(shop.context.targets.identity("shop").await.unwrap().environment, Environment::Production);
    let mut own = sqlite::Connection::open_path("shop", path.as_ref(), false).await.unwrap();
    sqlite::declare_rehearsal(&mut own, "nonce-1").await.unwrap();
    let declared = shop.context.targets.identity("shop").await.unwrap();
    assert_eq!((declared.environment, declared.nonce.as_deref()), (Environment::Rehearsal, Some("nonce-1")));
    assert!(declared.has_marker);
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let other = Shop::run("sqlite", &copy.display().to_string(), "run-eeeeeeee");
    assert_eq!(other.context.targets.identity("shop").await.unwrap().environment, Environment::Production);
}

#[tokio::test]
async fn a_missing_file_is_said_and_not_created() {
    let (dir, _) = file();
    let path = dir.path().join("none.db");
    let shop = Shop::run("sqlite", &path.display().to_string(), "run-ffffffff");
    let answer = shop.check("none-stuck", Depth::Parse).await;
    assert!(answer.verdict.is_unknown(), "{answer:?}");
    assert!(!path.exists());
}
