//! A disk that is slow, fails or never answers, under a whole engine with a real database beside it.

use std::path::Path;
use std::time::Duration;

use backout::audit;
use backout::engine::{Ask, LOG_DEADLINE};
use backout::failure::Kind;
use backout::run::record::HoldReason;
use backout::run::state::Status;

use crate::desk::{Desk, Disk};

fn kinds(dir: &Path) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut each = |record: &audit::Envelope| {
        kinds.push(record.kind.clone());
        Ok(())
    };
    audit::verify(dir, &audit::Options::default(), &mut each).unwrap();
    kinds.retain(|kind| kind != "checked");
    kinds
}

#[tokio::test]
async fn what_comes_while_the_log_is_written_is_kept_in_order() {
    let desk = Desk::at_the_gate(LOG_DEADLINE).await;
    let taken = desk.handle.snapshots.borrow().taken;
    desk.turn(Disk::Hangs);
    desk.answer().await;
    desk.sees("a wait for the log", |now| now.log_wait.is_some()).await;
    for text in ["first", "second"] {
        desk.ask(Ask::Note { step: None, text: text.into() }).await;
    }
    // Both are heard and neither is decided; nothing has begun.
    let waits = desk.sees("both notes", |now| now.log_wait.as_ref().is_some_and(|wait| wait.kept == 2)).await;
    assert!(waits.state.open.is_none() && waits.state.gate.is_some());
    assert_eq!(waits.taken, taken);
    desk.unchanged().await;

    desk.turn(Disk::Answers);
    let now = desk.sees("the end of the wait", |now| now.taken == taken + 3 && now.log_wait.is_none()).await;
    assert_eq!(now.message, None);
    desk.sees("the step done", |now| now.state.status("rename-back") == Status::Done).await;
    assert_eq!(desk.shop.one("SELECT count(payment_ref) FROM orders").await, 10);
    desk.ask(Ask::Leave { why: "the test is over".into() }).await;
    assert_eq!(desk.engine.await.unwrap().unwrap(), 5);
    let kinds = kinds(&desk.home.path().join(crate::desk::RUN));
    let place = |of: &str| kinds.iter().rposition(|kind| kind == of).unwrap_or_else(|| panic!("no {of} in {kinds:?}"));
    let notes: Vec<_> =
        desk.handle.snapshots.borrow().log.iter().filter(|e| e.record.kind() == "note").cloned().collect();
    let texts: Vec<_> = notes.iter().map(|note| note.record.parts().1["text"].clone()).collect();
    assert_eq!(texts, ["first", "second"]);
    assert!(place("intent") < place("note"), "{kinds:?}");
}

#[tokio::test]
async fn a_hold_that_comes_while_the_intent_is_written_begins_nothing() {
    let desk = Desk::at_the_gate(LOG_DEADLINE).await;
    desk.turn(Disk::Hangs);
    desk.answer().await;
    desk.sees("a wait for the log", |now| now.log_wait.is_some()).await;
    desk.ask(Ask::Note { step: None, text: "before the hold".into() }).await;
    desk.ask(Ask::Hold { why: "Ctrl-C".into() }).await;
    desk.sees("both", |now| now.log_wait.as_ref().is_some_and(|wait| wait.kept == 2)).await;
    desk.turn(Disk::Answers);
    let now = desk.sees("the hold", |now| now.state.holds.contains(&HoldReason::Operator)).await;
    assert!(now.state.open.is_none());
    let now = desk.sees("the note", |now| now.log.iter().any(|event| event.record.kind() == "note")).await;
    let order: Vec<_> = now.log.iter().map(|event| event.record.kind()).filter(|kind| kind != "checked").collect();
    let tail = &order[order.iter().rposition(|kind| kind == "intent").unwrap()..];
    assert_eq!(tail, ["intent", "outcome", "held", "note"]);
    desk.unchanged().await;
}

#[tokio::test]
async fn a_failed_sync_begins_nothing_and_ends_in_74() {
    let desk = Desk::at_the_gate(LOG_DEADLINE).await;
    desk.turn(Disk::Fails);
    desk.answer().await;
    let now = desk.sees("the message", |now| now.message.is_some()).await;
    let message = now.message.clone().unwrap();
    assert!(message.what.contains("cannot be written") && message.what.contains("os error 5"), "{message:?}");
    assert!(now.state.open.is_none() && now.state.gate.is_some());

    // Reading goes on; whatever changes anything is turned down, and says why.
    desk.answer().await;
    desk.ask(Ask::Note { step: None, text: "nobody will read this".into() }).await;
    desk.sees("the same message", |again| again.taken > now.taken + 1 && again.message.is_some()).await;
    desk.unchanged().await;
    desk.ask(Ask::Leave { why: "the log is dead".into() }).await;
    let dir = desk.dir();
    let (failure, _home, shop) = desk.dies().await;
    assert_eq!((failure.kind, failure.exit_code()), (Kind::AuditUnwritable, 74), "{failure}");
    // The records that may be missing are said, and kept beside the log.
    assert!(failure.to_string().contains(r#""kind":"intent""#), "{failure}");
    let degraded = std::fs::read_to_string(dir.join(audit::degraded::FILE)).unwrap();
    assert!(degraded.lines().next().unwrap().contains("audit_degraded"), "{degraded}");
    assert!(degraded.contains(r#""kind":"intent""#), "{degraded}");
    assert_eq!(shop.one("SELECT count(*) FROM backout_marker").await, 0);
}

#[tokio::test]
async fn a_sync_that_never_answers_is_a_failed_one() {
    let desk = Desk::at_the_gate(Duration::from_millis(600)).await;
    desk.turn(Disk::Hangs);
    desk.answer().await;
    let now = desk.sees("the message", |now| now.message.is_some() && now.log_wait.is_none()).await;
    assert!(now.message.clone().unwrap().what.contains("has not answered"), "{:?}", now.message);
    desk.unchanged().await;
    desk.ask(Ask::Leave { why: "the log is dead".into() }).await;
    let disk = desk.disk.clone();
    let (failure, _home, shop) = desk.dies().await;
    assert_eq!(failure.exit_code(), 74, "{failure}");
    assert!(failure.to_string().contains(r#""kind":"intent""#), "{failure}");
    assert_eq!(shop.one("SELECT count(*) FROM backout_marker").await, 0);
    *disk.0.lock().unwrap() = Disk::Answers;
    disk.1.notify_all();
}
