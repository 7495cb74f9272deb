//! Who is in the way of a change of a schema, and what can be done about them and about ourselves.

use std::time::Duration;

use backout::action::{self, Go, Port, Report};
use backout::run::record::{Act, Evidence, Outcome, OutcomeResult, Point};
use backout::target::Handle;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::shop;
use crate::shop::Shop;

/// A connection of somebody else, which read the orders in a transaction that it keeps open.
async fn reader(shop: &Shop) -> (Handle, u64) {
    let mut holder = shop.context.targets.dedicated("shop", "test").await.unwrap();
    holder.run("start transaction", vec![]).await.unwrap();
    holder.one("SELECT count(*) AS n FROM orders", vec![]).await.unwrap();
    let Handle::Mysql(connection) = &holder else { panic!("it is a MySQL target") };
    let id = connection.id;
    (holder, id)
}

async fn gate(shop: &Shop) -> Evidence {
    shop.prepare("rename-back", 1, false).await.unwrap_or_else(|e| panic!("{e}")).evidence
}

fn in_way(evidence: &Evidence) -> Vec<&str> {
    evidence.facts.iter().filter(|(label, _)| label == "in way").map(|(_, words)| words.as_str()).collect()
}

async fn act(shop: &Shop, act: Act) -> (bool, String) {
    let (_cancel, cancel) = watch::channel(false);
    let acted = action::act(&act, &shop.context, cancel).await;
    (acted.applied, acted.detail)
}

fn end(id: u64, since: Option<&str>) -> Act {
    Act::EndSession { target: "shop".into(), pid: id.to_string(), since: since.map(str::to_owned) }
}

fn cancel(id: u64, since: Option<&str>) -> Act {
    Act::CancelSession { target: "shop".into(), pid: id.to_string(), since: since.map(str::to_owned) }
}

#[tokio::test]
async fn a_holder_is_named_and_ended_and_a_cancel_of_an_idle_one_changes_nothing() {
    let Some((_database, shop)) = shop("run-sessaaaa").await else { return };
    let nobody = gate(&shop).await;
    assert_eq!(in_way(&nobody), ["nobody holds a metadata lock on orders now"]);
    assert!(nobody.blockers.is_empty());

    let (_holder, id) = reader(&shop).await;
    let evidence = gate(&shop).await;
    let words = in_way(&evidence)[0];
    assert!(words.contains(&format!("id {id}, sleep, in a transaction for ")), "{words}");
    assert!(words.contains("holds a SHARED_READ metadata lock on orders"), "{words}");
    let (pid, came) = &evidence.blockers[0];
    assert_eq!(pid, &id.to_string());
    assert!(came.starts_with("backout@127.0.0.1:"), "{came}");

    let (took, words) = act(&shop, cancel(id, None)).await;
    assert!(!took && words.starts_with(&format!("nothing was sent: {id} was not shown to be in the way")), "{words}");
    let (took, words) = act(&shop, cancel(id, Some(came))).await;
    assert!(!took && words.contains("KILL QUERY said yes and changed nothing"), "{words}");
    assert!(words.contains("sleep, with a transaction that is open for "), "{words}");
    let (took, words) = act(&shop, end(id, Some("backout@127.0.0.1:1"))).await;
    assert!(!took && words.contains("nothing was sent"), "{words}");
    let (took, words) = act(&shop, end(id, Some(came))).await;
    assert!(took && words.contains("read again, it is gone"), "{words}");
    let (took, words) = act(&shop, end(id, Some(came))).await;
    assert!(!took && words.starts_with("there is no session"), "{words}");
    assert!(in_way(&gate(&shop).await)[0].starts_with("nobody"));
}

#[tokio::test]
async fn a_prepared_transaction_is_named_though_no_list_of_locks_has_it() {
    let Some((database, shop)) = shop("run-sessaaae").await else { return };
    let xid = &database.name;
    let mut owner = shop.context.targets.dedicated("shop", "test").await.unwrap();
    for sql in ["xa start", "UPDATE orders SET amount_cents = 1", "xa end", "xa prepare"] {
        let sql = if sql.starts_with("xa") { format!("{sql} '{xid}'") } else { sql.to_owned() };
        owner.run(sql, vec![]).await.unwrap_or_else(|e| panic!("{e}"));
    }
    drop(owner);
    let evidence = gate(&shop).await;
    let found = evidence.facts.iter().find(|(label, words)| label == "prepared" && words.contains(xid.as_str()));
    let words = &found.unwrap_or_else(|| panic!("{:?}", evidence.facts)).1;
    let rollback = words.split_once(" or ").unwrap().1;
    assert!(rollback.starts_with("XA ROLLBACK X'") && rollback.ends_with("',X'',1"), "{words}");
    for _ in 0..100 {
        let mut other = shop.context.targets.dedicated("shop", "test").await.unwrap();
        // While its session still ends it is nobody else's to roll back.
        if other.run(rollback, vec![]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it cannot be rolled back");
}

#[tokio::test]
async fn a_statement_of_another_is_cancelled_and_his_session_stays() {
    let Some((_database, shop)) = shop("run-sessaaab").await else { return };
    let (mut holder, id) = reader(&shop).await;
    let asleep = tokio::spawn(async move { (holder.one("SELECT sleep(60) AS n", vec![]).await, holder) });
    until(&shop, id, "User sleep").await;
    let (_, came) = gate(&shop).await.blockers.remove(0);
    let (took, words) = act(&shop, cancel(id, Some(&came))).await;
    assert!(took && words.contains("it is sleep and holds a transaction that is open for "), "{words}");
    let (_, mut holder) = asleep.await.unwrap();
    assert_eq!(holder.one("SELECT 7 AS n", vec![]).await.unwrap(), Some(Value::from(7)));
}

/// Waits until the server says that a connection is in this state.
async fn until(shop: &Shop, id: u64, state: &str) {
    let sql =
        format!("SELECT count(*) AS n FROM information_schema.processlist WHERE id = {id} AND state LIKE '{state}%'");
    for _ in 0..600 {
        if shop.one(&sql).await == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("connection {id} never was in state {state}");
}

/// Performs a step and cancels it once its connection is in this state.
async fn cancelled_in(shop: &Shop, step: &str, state: &str) -> (Outcome, Vec<String>) {
    let prepared = shop.prepare(step, 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    let (reports, mut inbox) = mpsc::channel(16);
    let (stop, cancel) = watch::channel(false);
    let port = Port { step: step.to_owned(), att: 1, reports, cancel };
    let (job, context) = (prepared.job, shop.context.clone());
    let worker = tokio::spawn(async move { action::perform(job, context, &port).await });
    let (mut failed, mut id) = (Vec::new(), 0);
    while let Some((_, _, report)) = inbox.recv().await {
        match report {
            Report::Reached { point, data, reply } => {
                id = data["pid"].as_u64().unwrap_or(id);
                let _ = reply.send(Go::Go);
                if point == Point::Sent {
                    until(shop, id, state).await;
                    stop.send(true).unwrap();
                }
            }
            Report::AttemptFailed { code, .. } => failed.push(code),
            _ => {}
        }
    }
    (worker.await.unwrap(), failed)
}

#[tokio::test]
async fn our_statement_is_cancelled_while_it_waits_for_a_lock() {
    let Some((_database, shop)) = shop("run-sessaaac").await else { return };
    let (_holder, _) = reader(&shop).await;
    let (outcome, failed) = cancelled_in(&shop, "rename-back", "Waiting for table metadata lock").await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("(1317)"), "{outcome:?}");
    assert!(failed.is_empty(), "a cancel is not tried again: {failed:?}");
    assert_eq!(shop.one("SELECT count(payment_reference_id) AS n FROM orders").await, 3);
}

#[tokio::test]
async fn our_statement_is_cancelled_while_it_copies_the_table() {
    let Some((_database, shop)) = shop("run-sessaaad").await else { return };
    // Some ten milliseconds a row, in a column that has to be computed for each.
    shop.sql("INSERT INTO orders (id, amount_cents, status) SELECT seq, 1, 'x' FROM seq_1000_to_9000").await;
    let (outcome, _) = cancelled_in(&shop, "slow", "copy to tmp table").await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("(1317)"), "{outcome:?}");
    let columns = "SELECT count(*) AS n FROM information_schema.columns WHERE table_schema = database() AND column_name = 'digest'";
    assert_eq!(shop.one(columns).await, 0);
    assert!(
        shop.prepare("slow", 2, false)
            .await
            .unwrap()
            .evidence
            .facts
            .iter()
            .any(|(_, words)| words.starts_with("nobody"))
    );
}

/// Long enough for two looks at whether its session is still there.
#[tokio::test]
async fn a_statement_that_takes_long_is_waited_for() {
    let Some((_database, shop)) = shop("run-sessaaaf").await else { return };
    let outcome = shop.done("long", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
}
