//! What `doctor --sql` prints is what an administrator needs, and all of it.

use std::path::Path;
use std::process::{Command, Output};

use crate::shop::Shop;
use crate::support;

const RUNBOOK: &str = "backout: 1
name: shop
title: The shop
targets:
  shop: { KIND: \"${SHOP}\" }
steps:
  - id: look
    on: shop
    manual: { what: Look, by: on-call }
";

fn doctor(folder: &Path, kind: &str, address: &str, words: &[&str]) -> Output {
    std::fs::write(folder.join("runbook.yaml"), RUNBOOK.replace("KIND", kind)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.arg("doctor").arg(folder).args(words).env("SHOP", address).output().unwrap()
}

/// The statements that are printed, one a line; those after `-- ` are the rights of a role.
fn printed(folder: &Path, kind: &str, role: Option<&str>) -> Vec<String> {
    // Nothing answers there: it is printed all the same.
    let output = doctor(folder, kind, "postgres://127.0.0.1:1/nowhere", &["--sql", "shop"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rights = text.lines().filter_map(|line| Some(line.strip_prefix("-- ")?.replace("ROLE", role?)));
    let rights = rights.filter(|line| line.ends_with(';'));
    text.lines().filter(|line| !line.starts_with("--")).map(str::to_owned).chain(rights).collect()
}

#[tokio::test]
async fn what_it_prints_makes_the_tables_of_every_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    std::fs::write(&file, "").unwrap();
    let (postgres, mysql) = (support::postgres_database("doctor"), support::mysql_database("doctor"));
    let mut places = vec![("sqlite", file.display().to_string())];
    places.extend(postgres.as_ref().map(|database| ("postgres", database.url.clone())));
    places.extend(mysql.as_ref().map(|database| ("mysql", database.url.clone())));
    for (kind, address) in places {
        let said = doctor(folder.path(), kind, &address, &[]);
        assert_eq!(said.status.code(), Some(8), "{kind}");
        assert!(String::from_utf8_lossy(&said.stdout).contains("--sql"), "{kind}");
        let shop = Shop::with(&RUNBOOK.replace("KIND", kind), &address, "run-doctor");
        for statement in printed(folder.path(), kind, None) {
            shop.sql(statement.trim_end_matches(';')).await;
        }
        let said = doctor(folder.path(), kind, &address, &[]);
        assert_eq!(said.status.code(), Some(0), "{kind}: {}", String::from_utf8_lossy(&said.stdout));
    }
}

#[tokio::test]
async fn the_rights_it_prints_are_enough_for_a_role_that_owns_nothing() {
    let Some(database) = support::postgres_database("doctor") else { return };
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &database.url, "run-doctor");
    let role = support::unique("doctor");
    shop.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    for statement in printed(folder.path(), "postgres", Some(&role)) {
        shop.sql(statement.trim_end_matches(';')).await;
    }
    let (_, host) = database.url.rsplit_once('@').unwrap();
    let said = doctor(folder.path(), "postgres", &format!("postgres://{role}:x@{host}"), &[]);
    let words = String::from_utf8_lossy(&said.stdout).into_owned();
    shop.sql(&format!("DROP OWNED BY {role}")).await;
    shop.sql(&format!("DROP ROLE {role}")).await;
    assert_eq!(said.status.code(), Some(0), "{words}");
}

#[tokio::test]
async fn the_rights_it_prints_are_enough_for_a_user_of_mariadb() {
    let Some(database) = support::mysql_database("doctor") else { return };
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::with(&RUNBOOK.replace("KIND", "mysql"), &database.url, "run-doctor");
    let name = format!("doctor_{}", std::process::id());
    let user = format!("{name}@'127.0.0.1'");
    shop.sql(&format!("CREATE USER {user} IDENTIFIED BY 'x'")).await;
    for statement in printed(folder.path(), "mysql", Some(&user)) {
        shop.sql(statement.trim_end_matches(';')).await;
    }
    let (_, host) = database.url.rsplit_once('@').unwrap();
    let said = doctor(folder.path(), "mysql", &format!("mysql://{name}:x@{host}"), &[]);
    shop.sql(&format!("DROP USER {user}")).await;
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn a_target_without_tables_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path(), "postgres", "", &["--sql", "shp"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("its targets are shop"));
}
