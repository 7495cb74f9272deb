//! The heads of the log that stand in the databases: who cuts or rewrites the log contradicts them.

use std::path::Path;
use std::process::{Command, Output};

use backout::engine::{Ask, LOG_DEADLINE};
use backout::run::state::Status;
use serde_json::json;

use crate::desk::{Desk, RUN};
use crate::shop::Shop;
use crate::support;

fn verify(dir: &Path, address: &str, flags: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.args(["audit", "verify"]).arg(dir).args(flags).env("SHOP", address);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

/// One step applied by a whole engine, then the log against the marker of that step.
async fn story(kind: &str, address: &str, status: &str) {
    let desk = Desk::on(kind, address, status, tempfile::tempdir().unwrap(), LOG_DEADLINE).await;
    desk.answer().await;
    desk.sees("the step done", |now| now.state.status("rename-back") == Status::Done).await;
    desk.ask(Ask::Leave { why: "the test is over".into() }).await;
    let (dir, home) = (desk.dir(), desk.home);
    desk.engine.await.unwrap().unwrap();

    let runbook = home.path().join("shop.yaml");
    std::fs::write(&runbook, Shop::text(kind)).unwrap();
    let origin = json!({ "runbook": runbook, "incident": null, "insecure_tls": false, "sandbox": null });
    std::fs::write(dir.join("origin.json"), origin.to_string()).unwrap();

    let log = dir.join("audit-000001.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let place = |kind: &str| {
        let kind = format!(r#""kind":"{kind}""#);
        lines.iter().rposition(|line| line.contains(&kind)).unwrap_or_else(|| panic!("no {kind}"))
    };
    let (intent, last) = (place("intent"), lines.len() - 1);

    let (code, said) = verify(&dir, address, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no anchor was asked for"), "{said}");
    assert!(said.contains(&format!("none of the {} records is protected", lines.len())), "{said}");
    assert_eq!(verify(&dir, address, &["--require-anchor"]).0, 9);

    let (code, said) = verify(&dir, address, &["--targets"]);
    assert_eq!(code, 0, "{said}");
    let left = format!("anchors     1/1 hold; records {}..{last} ({}) are NOT protected", intent + 1, last - intent);
    assert!(said.contains(&left), "{left}\n{said}");
    assert_eq!(verify(&dir, address, &["--targets", "--require-anchor"]).0, 9);

    // Cut after a record that is whole: nothing but the marker can tell.
    std::fs::write(&log, lines[..intent].concat()).unwrap();
    assert_eq!(verify(&dir, address, &[]).0, 0);
    let (code, said) = verify(&dir, address, &["--targets"]);
    assert_eq!(code, 9, "{said}");
    assert!(said.contains("CONTRADICTED") && said.contains("marker of rename-back/1 in shop"), "{said}");
    assert!(said.contains("lies beyond the end of the chain"), "{said}");

    // A database that cannot be asked is no anchor, and is named.
    let nowhere = match kind {
        "sqlite" => "/nowhere/shop.db".to_owned(),
        _ => "postgres://nobody@127.0.0.1:1/none".to_owned(),
    };
    let (code, said) = verify(&dir, &nowhere, &["--targets"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("unasked     shop could not be asked"), "{said}");
    let (code, said) = verify(&dir, address, &["--targets", "--expect-run", &RUN.replace('Y', "Z")]);
    assert_eq!(code, 9, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_behind_a_marker_contradicts_it_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    story("sqlite", path.to_str().unwrap(), "text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_behind_a_marker_contradicts_it_postgres() {
    let Some(database) = support::postgres_database("anchors") else { return };
    story("postgres", &database.url, "order_status").await;
}
