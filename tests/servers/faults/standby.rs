//! A standby beside its primary: what it may be asked, what the primary's gate says of it, and its promotion.

use backout::action::{self, Go};
use backout::check::Depth;
use backout::engine;
use backout::run::record::{Offer, OutcomeResult, Point, Position};
use backout::survey;

use super::server::{Server, Stop};
use super::{eventually, sql};
use crate::shop::Shop;

const RUNBOOK: &str = r#"
backout: 1
name: standby
title: A standby
targets:
  shop: { postgres: "${SHOP}" }
checks:
  there: { layer: schema, on: shop, title: The table is there, query: "SELECT count(*) FROM orders", expect: 1 }
  probed: { layer: schema, on: shop, title: An order can be taken, probe: "INSERT INTO orders VALUES (2, 'b')" }
steps:
  - id: rename
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN reference TO payment_ref
"#;

const STEP: &str = "rename";

/// A primary with a table and a standby that has it too.
async fn pair() -> Option<(Server, Server)> {
    let primary = Server::postgres(&[]).await?;
    let shop = Shop::with(RUNBOOK, &primary.first(), "run-setup");
    shop.context.targets.install("shop").await.unwrap();
    shop.sql("CREATE TABLE orders (id int PRIMARY KEY, reference text)").await;
    shop.sql("INSERT INTO orders VALUES (1, 'a')").await;
    let standby = primary.standby().await;
    Some((primary, standby))
}

/// Applies the step, and gives the offer and the points that the log would have.
async fn applied(shop: &Shop) -> (Offer, Vec<(Point, serde_json::Value)>) {
    let prepared = shop.prepare(STEP, 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    (offer, reached)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_read_and_never_written_to() {
    let Some((primary, standby)) = pair().await else { return };
    let shop = Shop::with(RUNBOOK, &standby.first(), "run-standby");
    let identity = shop.context.targets.identity("shop").await.unwrap();
    assert!(identity.standby && identity.seen.words.ends_with(", standby"), "{identity:?}");
    let Err(refused) = shop.prepare(STEP, 1, false).await else { panic!("it was prepared") };
    assert!(refused.to_string().contains("shop is a standby and cannot be written to"), "{refused}");

    // What only reads is answered; what would have to write is not known.
    let answer = shop.check("there", Depth::Parse).await;
    assert!(answer.verdict.is_pass(), "{answer:?}");
    let probe = shop.check("probed", Depth::Try).await;
    assert!(!probe.verdict.is_pass() && !probe.verdict.is_fail(), "{probe:?}");
    let step = &shop.context.runbook.steps[STEP];
    let map = survey::take(&shop.context, engine::now, |_, _| {}).await;
    let positions: Vec<_> = map.steps.iter().map(|(_, found)| found.position).collect();
    assert_eq!(positions, [Position::NotDone], "{:?}", map.steps);
    assert!(map.targets.iter().all(|(_, seen)| seen.as_ref().is_ok_and(|seen| seen.standby)), "{:?}", map.targets);

    // What is done on the primary proves nothing here, as long as it may not have come.
    let there = Shop::with(RUNBOOK, &primary.first(), "run-standby");
    let (offer, reached) = applied(&there).await;
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    assert!(settled.reason.contains("a standby may lag"), "{}", settled.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_tells_of_the_standby_and_what_it_lags() {
    let Some((primary, standby)) = pair().await else { return };
    let shop = Shop::with(RUNBOOK, &primary.first(), "run-gate");
    let lines = async || -> Vec<String> {
        let prepared = shop.prepare(STEP, 1, false).await.unwrap_or_else(|error| panic!("{error}"));
        prepared.evidence.facts.into_iter().map(|(label, words)| format!("{label}: {words}")).collect()
    };
    let told = |lines: &[String], start: &str| lines.iter().find(|line| line.starts_with(start)).cloned();
    eventually("a standby that has caught up", async || {
        told(&lines().await, "standby: ")
            .is_some_and(|line| line.contains("standby: streaming, async, 0 bytes to replay"))
    })
    .await;
    let caught_up = lines().await;
    assert_eq!(told(&caught_up, "slot: "), None, "a slot that is read is no news: {caught_up:?}");

    // It gets everything and replays nothing.
    sql(&standby.first(), "SELECT pg_wal_replay_pause()").await;
    shop.sql("INSERT INTO orders SELECT id, 'more' FROM generate_series(2, 2000) id").await;
    let behind = async || told(&lines().await, "standby: ").filter(|line| !line.contains(" 0 bytes to replay"));
    eventually("a lag", async || behind().await.is_some()).await;
    let line = behind().await.unwrap();
    assert!(line.contains("streaming") && line.contains("B to replay"), "{line}");
    sql(&standby.first(), "SELECT pg_wal_replay_resume()").await;

    // Gone, its slot holds what it has not had.
    drop(standby);
    eventually("a slot that nobody reads", async || {
        told(&lines().await, "slot: ").is_some_and(|line| line.contains("standby (physical) ! inactive"))
    })
    .await;
    assert_eq!(told(&lines().await, "standby: "), None);
}

/// A commit that the standby never had, and then the standby has its primary's place: what is missing there may be lost.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_promotion_nothing_is_said_to_be_missing() {
    let Some((mut primary, mut standby)) = pair().await else { return };
    standby.stops(Stop::Fast);
    let shop = Shop::with(RUNBOOK, &primary.first(), "run-promotion");
    let (offer, reached) = applied(&shop).await;
    let step = &shop.context.runbook.steps[STEP];
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    let was = offer.target.clone().unwrap();
    assert_eq!(was.timeline, Some(1));

    primary.stops(Stop::Crash);
    standby.restarts(Stop::Fast).await;
    standby.is_promoted().await;
    let now = Shop::with(RUNBOOK, &standby.first(), "run-promotion");
    assert_eq!(now.one("SELECT count(reference) FROM orders").await, 1, "the change is lost");
    let identity = now.context.targets.identity("shop").await.unwrap().seen;
    assert_eq!((identity.timeline, &identity.identity), (Some(2), &was.identity));
    let settled = action::settle(step, Some(&offer), &reached, &now.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    assert!(settled.reason.contains("lost by a failover"), "{}", settled.reason);
    let (_, words) = settled.evidence.iter().find(|(what, _)| what == "target").unwrap();
    assert!(words.contains("timeline 2 now, and was") && words.ends_with("timeline 1"), "{words}");
}
