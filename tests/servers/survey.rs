//! `survey` of the founding incident: where are we, for a person and for a program.

use std::path::Path;
use std::process::{Command, Output};

use backout::rehearsal::{self, On, Options, Rehearsal};
use serde_json::{Value, json};

use crate::support;

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
