//! A shop after the failed rollback on one database, and a run's hands on it: what the suites of both databases share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backout::action::{self, Go, Job, Port, Prepared, Report};
use backout::check::{self, Answer, Context, Depth};
use backout::run::record::{Environment, Outcome, Point};
use backout::runbook::resolve;
use backout::target::Access;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

const RUNBOOK: &str = r#"
backout: 1
name: shop
title: The shop
targets:
  shop: { KIND: "${SHOP}" }
sets:
  stuck:
    on: shop
    key: id
    query: |
      SELECT id, amount_cents, status FROM orders WHERE status = 'awaiting'
readings:
  revenue: { on: shop, query: "SELECT coalesce(sum(amount_cents), 0) FROM orders" }
checks:
  insert-works:
    layer: schema
    on: shop
    title: The old code can take an order
    probe: |
      INSERT INTO orders (id, amount_cents, status, payment_ref) VALUES (1000000, 1, 'pending', {{ probe.key }})
  none-stuck: { layer: data, on: shop, title: No order is stuck, count: stuck, expect: 0 }
  impossible: { layer: data, on: shop, title: Never so, query: "SELECT count(*) FROM orders", expect: 12345 }
steps:
  - id: evidence
    phase: contain
    freeze: [revenue, stuck, catalog of shop]
  - id: rename-back
    phase: repair
    on: shop
    title: Give the old code its column name back
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [insert-works]
  - id: rename-red
    on: shop
    title: The same with a check that stays red
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [impossible]
  - id: confirm
    on: shop
    title: Confirm what was paid
    change:
      set: stuck
      sql: |
        UPDATE orders AS o SET status = 'confirmed' FROM {{ set }} s WHERE o.id = s.id AND o.status = s.status
"#;

pub struct Shop {
    pub context: Context,
    _dir: Arc<tempfile::TempDir>,
}

impl Shop {
    /// The runbook as a file has it.
    pub fn text(kind: &str) -> String {
        RUNBOOK.replace("KIND", kind)
    }

    /// A run of its own on the database at `address`.
    pub fn run(kind: &str, address: &str, run: &str) -> Self {
        Self::with(&Self::text(kind), address, run)
    }

    /// A run of another runbook, whose target `shop` is at `${SHOP}`.
    pub fn with(runbook: &str, address: &str, run: &str) -> Self {
        Self::beside(Path::new("."), runbook, address, run)
    }

    /// As [`Shop::with`], of a runbook in `folder`.
    pub fn beside(folder: &Path, runbook: &str, address: &str, run: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let loaded = resolve::load_str("shop.yaml", runbook, folder).unwrap_or_else(|e| panic!("{e}"));
        let runbook = Arc::new(loaded.runbook);
        let access = Arc::new(Access {
            env: BTreeMap::from([("SHOP".to_owned(), address.to_owned())]),
            run: run.to_owned(),
            runbook: "shop".to_owned(),
            incident: Some("INC-1".to_owned()),
            run_dir: dir.path().to_owned(),
            insecure_tls: false,
            stand_ins: None,
        });
        let context = Context::new(runbook, access);
        Self { context, _dir: dir }
    }

    pub async fn prepare(&self, step: &str, att: u32, undoing: bool) -> backout::failure::Result<Prepared> {
        let step = &self.context.runbook.steps[step];
        action::prepare(step, att, undoing, Environment::Production, &self.context).await
    }

    /// Performs a job; `at` is asked at each point.
    pub async fn perform(
        &self,
        job: Job,
        mut at: impl AsyncFnMut(Point, &Value) -> Go,
    ) -> (Outcome, Vec<(Point, Value)>, Vec<String>) {
        let (reports, mut inbox) = mpsc::channel(16);
        let (_cancel, cancel) = watch::channel(false);
        let port = Port { step: job.step.id.clone(), att: job.offer.att, reports, cancel };
        let context = self.context.clone();
        let worker = tokio::spawn(async move { action::perform(job, context, &port).await });
        let (mut reached, mut failed) = (Vec::new(), Vec::new());
        while let Some((_, _, report)) = inbox.recv().await {
            match report {
                Report::Reached { point, data, reply } => {
                    let go = at(point, &data).await;
                    reached.push((point, data));
                    let _ = reply.send(go);
                }
                Report::AttemptFailed { code, .. } => failed.push(code),
                _ => {}
            }
        }
        (worker.await.unwrap(), reached, failed)
    }

    /// Performs a job; once a lock was refused, `then` is done.
    pub async fn until_locked(&self, job: Job, then: impl AsyncFnOnce()) -> (Outcome, Vec<String>) {
        let (reports, mut inbox) = mpsc::channel(16);
        let (_cancel, cancel) = watch::channel(false);
        let port = Port { step: job.step.id.clone(), att: job.offer.att, reports, cancel };
        let context = self.context.clone();
        let worker = tokio::spawn(async move { action::perform(job, context, &port).await });
        let (mut then, mut failed) = (Some(then), Vec::new());
        while let Some((_, _, report)) = inbox.recv().await {
            match report {
                Report::Reached { reply, .. } => drop(reply.send(Go::Go)),
                Report::AttemptFailed { code, .. } => {
                    failed.push(code);
                    if let Some(then) = then.take() {
                        then().await;
                    }
                }
                _ => {}
            }
        }
        (worker.await.unwrap(), failed)
    }

    /// Prepares and performs without a stop.
    pub async fn done(&self, step: &str, att: u32, undoing: bool) -> Outcome {
        let prepared = self.prepare(step, att, undoing).await.unwrap_or_else(|e| panic!("{e}"));
        self.perform(prepared.job, async |_, _| Go::Go).await.0
    }

    /// Freezes the stuck orders into this run.
    pub async fn freeze(&mut self) {
        let step = &self.context.runbook.steps["evidence"];
        let action = step.action.clone();
        let backout::runbook::Action::Freeze(items) = action else { panic!("evidence freezes") };
        let (frozen, _) = action::freeze::perform(&items, &self.context).await;
        for frozen in frozen {
            self.context.frozen.insert(frozen.item.to_string(), frozen.content);
        }
    }

    pub async fn check(&self, name: &str, depth: Depth) -> Answer {
        check::ask(&self.context.runbook.checks[name], &self.context, depth).await
    }

    pub async fn sql(&self, sql: &str) {
        let mut handle = self.context.targets.dedicated("shop", "test").await.unwrap();
        handle.run(sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    pub async fn one(&self, sql: &str) -> Value {
        let mut handle = self.context.targets.dedicated("shop", "test").await.unwrap();
        handle.one(sql, vec![]).await.unwrap().unwrap()
    }

    /// Ten orders, five of them stuck, and the tables of backout.
    pub async fn fill(&self, status: &str) {
        if status != "text" {
            self.sql(&format!("CREATE TYPE {status} AS ENUM ('pending', 'awaiting', 'confirmed', 'cancelled')")).await;
        }
        self.sql(&format!(
            "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL, status {status} NOT NULL, payment_reference_id text)"
        ))
        .await;
        for id in 1..=10 {
            let status = if id <= 5 { "awaiting" } else { "pending" };
            self.sql(&format!("INSERT INTO orders VALUES ({id}, {}, '{status}', 'ref-{id}')", id * 100)).await;
        }
        self.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// What must hold on every database: names the first that does not.
pub async fn story(kind: &str, address: &str, status: &str) {
    use backout::run::record::{OutcomeResult, Position};

    let mut shop = Shop::run(kind, address, "run-aaaaaaaa");
    shop.fill(status).await;
    let probe = shop.check("insert-works", Depth::Parse).await;
    assert!(probe.verdict.is_fail(), "a missing column is red when it is only prepared: {probe:?}");
    let position = action::position(&shop.context.runbook.steps["rename-back"], &shop.context).await;
    assert_eq!(position.position, Position::NotDone, "{position:?}");

    // A check in the transaction that is red takes the statement back.
    let outcome = shop.done("rename-red", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("impossible is fail"), "{outcome:?}");

    let prepared = shop.prepare("rename-back", 1, false).await.unwrap();
    assert_eq!(prepared.offer.token, "orders@shop");
    assert_eq!(prepared.offer.epoch, Some(1));
    let (offer, job) = (prepared.offer.clone(), prepared.job);
    let (outcome, reached, _) = shop.perform(job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert!(outcome.evidence.starts_with("marker read back"), "{outcome:?}");
    assert_eq!(outcome.evidence.contains("0A000"), kind == "postgres", "{outcome:?}");
    let points: Vec<_> = reached.iter().map(|(point, _)| *point).collect();
    assert_eq!(points, [Point::TxOpen, Point::Ready]);
    let step = &shop.context.runbook.steps["rename-back"];
    assert_eq!(action::position(step, &shop.context).await.position, Position::Done);
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    assert!(shop.check("insert-works", Depth::Try).await.verdict.is_pass());
    assert_eq!(shop.one("SELECT count(*) FROM orders").await, 10, "a probe leaves nothing");

    // Rows: one of the frozen five is changed by somebody else before, and is listed.
    shop.freeze().await;
    shop.sql("UPDATE orders SET status = 'cancelled' WHERE id = 5").await;
    let prepared = shop.prepare("confirm", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((prepared.offer.number, prepared.offer.token.as_str()), (Some(4), "4"));
    let (outcome, _, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!(outcome.changed, Some(4));
    assert_eq!(outcome.changed_since, ["5"]);
    assert_eq!(shop.one("SELECT count(*) FROM orders WHERE status = 'confirmed'").await, 4);
    assert!(shop.check("none-stuck", Depth::Parse).await.verdict.is_pass());
    shop.context.changed.insert("confirm".into(), outcome.before_image.unwrap());
    let again = shop.prepare("confirm", 2, false).await.unwrap();
    assert!(!again.needed, "nothing is left to change");

    // Its undo leaves alone what somebody changed since.
    shop.sql("UPDATE orders SET amount_cents = 1 WHERE id = 2").await;
    let outcome = shop.done("confirm", 3, true).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert_eq!((outcome.changed, outcome.changed_since), (Some(3), vec!["2".to_owned()]));
    assert_eq!(shop.one("SELECT count(*) FROM orders WHERE status = 'awaiting'").await, 3);

    // Another run takes the target over: the first one's prepared step is stopped.
    let first = shop.prepare("rename-back", 2, true).await.unwrap_or_else(|e| panic!("{e}"));
    let second = Shop::run(kind, address, "run-bbbbbbbb");
    let theirs = second.prepare("rename-back", 1, true).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(theirs.offer.epoch, Some(2));
    assert!(theirs.offer.token.starts_with("take over "), "{}", theirs.offer.token);
    assert!(theirs.evidence.facts.iter().any(|(label, _)| label == "takes over"), "{:?}", theirs.evidence.facts);
    let (outcome, _, _) = second.perform(theirs.job, async |_, _| Go::Stop).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    let (outcome, reached, _) = shop.perform(first.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(reached.is_empty() && outcome.evidence.starts_with("claim lost"), "{outcome:?}");
}
