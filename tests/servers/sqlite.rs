//! SQLite files: the whole way of a step, what a file says it is.

use backout::check::Depth;
use backout::run::record::Environment;
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
