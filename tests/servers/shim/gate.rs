//! DDL that a live service needs, at the gate of a whole engine: refused, past it by break-glass, free once it is gone.

use std::time::Duration;

use backout::engine::Ask;
use backout::run::state::Status;

use super::*;
use crate::desk::{Desk, RUN};

const WITHOUT: &str = "needs: [{ service: reports, gone: true, hard: true }]\n    ";

async fn at_the_desk(runbook: &str, database: &Database) -> Desk {
    let shop = filled(runbook, database, RUN).await;
    let desk = Desk::begun(shop, support::state_dir(), Duration::from_secs(20)).await;
    desk.ask(Ask::Open { step: "evidence".into() }).await;
    desk.sees("the evidence", |now| now.state.status("evidence") == Status::Done).await;
    desk
}

async fn refused(desk: &Desk, words: &[&str]) {
    desk.ask(Ask::Open { step: "rename-back".into() }).await;
    let all = |text: &str| words.iter().all(|word| text.contains(word));
    let now = desk.sees("the refusal", |now| now.message.as_ref().is_some_and(|told| all(&format!("{told:?}")))).await;
    assert!(now.state.gate.is_none(), "{:?}", now.message);
}

async fn gated(desk: &Desk) -> Vec<String> {
    desk.ask(Ask::Open { step: "rename-back".into() }).await;
    let now = desk.sees("the gate", |now| now.state.gate.is_some()).await;
    let facts = now.state.gate.as_ref().map(|gate| gate.shown.evidence.facts.clone()).unwrap_or_default();
    facts.into_iter().map(|(label, words)| format!("{label}: {words}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_that_a_live_service_needs_waits_for_its_end_or_for_break_glass() {
    let Some(database) = support::postgres_database("shim") else { return };
    // Nobody wrote the need: it follows from what reports uses.
    let runbook = RUNBOOK.replace(WITHOUT, "");
    let desk = at_the_desk(&runbook, &database).await;
    let mut reader = session(&desk.shop, "reports-1").await;
    reader.run("SELECT 1", vec![]).await.unwrap();
    desk.sees("the reader", |now| {
        let gone = backout::runbook::CheckRef::ServiceGone("reports".into());
        now.readings().get(&gone).is_some_and(|checked| checked.verdict.is_fail())
    })
    .await;
    refused(&desk, &["reports gone is red", "orders.payment_reference_id", "--shim rename-back"]).await;

    desk.ask(Ask::BreakGlass { reason: "orders fail, and the reports can wait".into() }).await;
    desk.sees("the override", |now| now.state.overrides.iter().any(|(_, what, _)| what == "hard need reports gone"))
        .await;
    let facts = gated(&desk).await;
    let breaks =
        facts.iter().find(|line| line.starts_with("breaks: reports uses")).unwrap_or_else(|| panic!("{facts:#?}"));
    assert!(breaks.contains("1 session now"), "{breaks}");
    assert!(
        facts.iter().any(|line| line.starts_with("instead: ") && line.contains("--shim rename-back")),
        "{facts:#?}"
    );
    desk.ask(Ask::Close).await;
    desk.sees("no gate", |now| now.state.gate.is_none()).await;

    // The glass was broken for one gate. Once the reader is gone, nothing has to be broken.
    drop(reader);
    desk.sees("the end of the reader", |now| {
        let gone = backout::runbook::CheckRef::ServiceGone("reports".into());
        now.readings().get(&gone).is_some_and(|checked| checked.verdict.is_pass())
    })
    .await;
    gated(&desk).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    desk.answer().await;
    desk.sees("the step", |now| now.state.status("rename-back") == Status::Done).await;
    let snapshot = desk.handle.snapshots.borrow().clone();
    assert_eq!(snapshot.state.overrides.len(), 1);
    assert_eq!(desk.shop.one("SELECT count(payment_ref) FROM orders").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_nobody_can_see_asks_for_break_glass_and_says_how_to_declare_it() {
    let Some(database) = support::postgres_database("shim") else { return };
    let runbook = RUNBOOK.replace(WITHOUT, "").replace("reports: { sessions: \"reports*\", uses", "reports: { uses");
    let desk = at_the_desk(&runbook, &database).await;
    let words = ["neither `sessions` nor `group`", "only break-glass", "reports*"];
    refused(&desk, &words).await;
    desk.ask(Ask::BreakGlass { reason: "the reports were stopped by hand".into() }).await;
    desk.sees("the override", |now| !now.state.overrides.is_empty()).await;
    gated(&desk).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    desk.answer().await;
    desk.sees("the step", |now| now.state.status("rename-back") == Status::Done).await;
}
