//! `survey` of the founding incident: where are we, for a person and for a program.

use std::path::Path;
use std::process::{Command, Output};

use backout::rehearsal::{self, On, Options, Rehearsal};
use serde_json::{Value, json};

use crate::support;

mod claims;
mod unseen;

const RUNBOOK: &str = "runbooks/checkout-v2";

fn survey(world: &Rehearsal, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["survey", RUNBOOK]).args(words).envs(&world.env);
    for (name, value) in &world.vars {
        command.arg("--var").arg(format!("{name}={value}"));
    }
    command.output().unwrap()
}

/// A world in which nothing was mended yet.
fn broken(home: &Path) -> Rehearsal {
    let options = Options {
        runbook: Path::new(env!("CARGO_MANIFEST_DIR")).join(RUNBOOK),
        on: Some(On::Postgres),
        postgres_url: None,
        kafka: None,
        home: home.to_owned(),
        keep: false,
        program: vec![env!("CARGO_BIN_EXE_backout").to_owned(), "sandbox".to_owned()],
    };
    support::blocking(async move { rehearsal::start(&options).await }).unwrap()
}

fn end(world: Rehearsal, home: &Path) {
    drop(world);
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["rehearse", RUNBOOK, "--end", "--state-dir"]);
    assert!(command.arg(home).status().unwrap().success());
}

#[test]
fn the_whole_map_as_json() {
    if support::server("survey", support::POSTGRES).is_none() {
        return;
    }
    let home = support::state_dir();
    let world = broken(&home.path().join("rehearsals"));
    let output = survey(&world, &["--json"]);
    end(world, home.path());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let map: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(map["environment"], "rehearsal");
    assert_eq!(map["entry"], "evidence");
    assert_eq!(map["steps"]["rename-back"]["position"], "not_done");
    assert_eq!(map["redness"]["v1-insert-works"], json!({ "mended_by": { "step": "rename-back" } }));
    let stuck = map["checks"].as_array().unwrap().iter().find(|checked| checked["check"]["check"] == "stuck-orders");
    assert_eq!(stuck.unwrap()["value"], 340);
    let statements = map["statements"].as_array().unwrap();
    assert!(statements.iter().any(|told| told["found"]["position"] == "done"), "{statements:?}");
    assert!(map["targets"]["shop"]["server"].is_string(), "{}", map["targets"]);
}

#[test]
fn the_whole_map_in_words() {
    if support::server("survey", support::POSTGRES).is_none() {
        return;
    }
    let home = support::state_dir();
    let world = broken(&home.path().join("rehearsals"));
    let output = survey(&world, &[]);
    end(world, home.path());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for said in [
        "REHEARSAL",
        "ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id",
        "340",
        "mended by rename-back",
        "checkout-v2",
        "enter at evidence",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    assert!(!text.contains("-- Checkout v2"), "{text}");
}

const MATRIX: &str = r#"
backout: 1
name: fleet
migration:
  up: { sqlite: [up.sql] }
  recorded: { in: schema_migrations.version, as: "42" }
targets:
  whole: { sqlite: "FOLDER/whole.db" }
  none: { sqlite: "FOLDER/none.db" }
  half: { sqlite: "FOLDER/half.db" }
  silent: { sqlite: "FOLDER/silent.db" }
  psp: { records: "FOLDER/psp.csv", key: id }
services:
  checkout: { runs: v1, sessions: "checkout-v1*", uses: [orders.note, "half:orders.total"] }
  reports: { uses: ["none:orders.note"] }
  checkout-v2: { gone: true, sessions: "checkout-v2*", uses: [orders.note] }
steps:
  - { id: look, manual: Look }
"#;

/// Every statement on every database that has a form of it, whom it breaks there, and what the row claims.
#[tokio::test]
async fn every_statement_is_told_on_every_database() {
    use backout::check::schema::release::Mark::{Agrees, Disagrees};
    use backout::run::record::Position::{Done, NotDone, Unknown};

    let folder = tempfile::tempdir().unwrap();
    let up = "-- the release\nALTER TABLE orders ADD COLUMN psp text;\nALTER TABLE orders RENAME COLUMN note TO remark;\nUPDATE orders SET total = 1;\n";
    std::fs::write(folder.path().join("up.sql"), up).unwrap();
    std::fs::write(folder.path().join("psp.csv"), "id\n").unwrap();
    for name in ["whole", "none", "half"] {
        std::fs::write(folder.path().join(format!("{name}.db")), "").unwrap();
    }
    let text = MATRIX.replace("FOLDER", &folder.path().display().to_string());
    let shop = crate::shop::Shop::beside(folder.path(), &text, "", "run-matrix00");
    for (name, applied, row) in [("whole", 2, "42"), ("none", 0, "42"), ("half", 1, "41")] {
        let mut handle = shop.context.targets.dedicated(name, "test").await.unwrap();
        let setup = [
            "CREATE TABLE orders (id int PRIMARY KEY, total int, note text)".to_owned(),
            "CREATE TABLE schema_migrations (version text)".to_owned(),
            format!("INSERT INTO schema_migrations VALUES ('{row}')"),
        ];
        let statements = ["ALTER TABLE orders ADD COLUMN psp text", "ALTER TABLE orders RENAME COLUMN note TO remark"];
        for sql in setup.iter().map(String::as_str).chain(statements.into_iter().take(applied)) {
            handle.run(sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    }
    let map = backout::survey::take(&shop.context, backout::engine::now, |_, _| {}).await;
    let line = |target: &str, at: usize| {
        let of: Vec<_> = map.statements.iter().filter(|seen| seen.target == target).collect();
        assert_eq!(of.len(), 3, "{target}: {of:?}");
        of[at]
    };
    for (target, wanted) in [
        ("whole", [Done, Done]),
        ("none", [NotDone, NotDone]),
        ("half", [Done, NotDone]),
        ("silent", [Unknown, Unknown]),
    ] {
        for (at, position) in wanted.into_iter().enumerate() {
            assert_eq!(line(target, at).found.position, position, "{target}: {:?}", line(target, at));
        }
        let rows = line(target, 2);
        assert_eq!(
            (rows.found.position, rows.statement.as_str()),
            (Unknown, "UPDATE orders SET total = 1"),
            "{rows:?}"
        );
        let breaks: Vec<_> = line(target, 1).breaks.iter().map(|broken| broken.service.as_str()).collect();
        let wanted: &[&str] = if target == "none" { &["checkout", "reports"] } else { &["checkout"] };
        assert_eq!(breaks, wanted, "{target}: who must be gone is not broken");
        assert!(line(target, 0).breaks.is_empty());
    }
    let unseen = line("none", 1).breaks[1].to_string();
    assert_eq!(unseen, "breaks reports, cannot see its sessions: it uses orders.note");
    let claims: Vec<_> = map.claims.iter().map(|claim| (claim.target.as_str(), claim.mark)).collect();
    assert_eq!(claims, [("whole", Agrees), ("none", Disagrees), ("half", Disagrees)], "{:?}", map.claims);
}
