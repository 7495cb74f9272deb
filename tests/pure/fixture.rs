//! A run to look at: the founding incident as a snapshot, at the moments that a screen must show.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use backout::action;
use backout::action::live::{Blocker, Queued, Sight};
use backout::engine::{Link, Live, Message, Snapshot, Watched};
use backout::run::record::*;
use backout::run::state::State;
use backout::runbook::expect::Verdict;
use backout::runbook::{self, CheckRef, Level, Runbook, SetSource, TargetKind};
use backout::survey::{Red, ServiceSeen, StatementSeen, Survey};
use backout::target::Identity;
use serde_json::{Value, json};

mod undo;

pub use undo::{not_exact, undo_failed};

pub const RUNBOOK: &str = r#"
backout: 1
name: checkout-v2
title: Checkout v2 is gone, its state is not
summary: |
  Orders fail with column-not-found.
targets:
  shop: { postgres: "${SHOP_DATABASE_URL}" }
  bus: { kafka: "${KAFKA_BROKERS}" }
  psp: { records: "${PSP_EXPORT}", key: charge_id }
services:
  checkout: { runs: v1, sessions: "checkout-v1*", uses: [orders.payment_ref] }
  checkout-v2: { gone: true, sessions: "checkout-v2*", uses: [orders.payment_reference_id] }
  fulfillment: { group: fulfillment, reads: { order-events: { requires: [order_id] } } }
  loyalty: { group: loyalty, owner: loyalty team, reads: { order-events: { requires: [order_id, payment_reference_id] } } }
readings:
  revenue: { on: shop, query: "SELECT coalesce(sum(amount_cents), 0) FROM orders" }
sets:
  stuck:
    on: shop
    key: id
    query: |
      SELECT id, amount_cents, status FROM orders WHERE status = 'awaiting_confirmation'
  verdict:
    compare: { ours: stuck, theirs: psp, by: { id: order_id } }
    classes:
      captured: { found: once, theirs.state: captured, amount_cents: equal }
      authorised: { found: once, theirs.state: authorised }
      not-charged: { found: none }
      charged-twice: { found: many }
      else: ask
checks:
  v1-insert-works:
    layer: schema
    on: shop
    title: The old code can take an order
    probe: |
      INSERT INTO orders (customer_id, amount_cents, payment_ref) VALUES (1, 100, {{ probe.key }})
  stuck-orders: { layer: data, on: shop, title: Orders the old code cannot read, count: stuck, expect: 0 }
  revenue-kept: { layer: data, on: shop, title: No order gained or lost money, reading: revenue, expect: { same_as: revenue } }
  loyalty-lag: { layer: events, on: bus, title: Loyalty has caught up, group: { name: loyalty, lag: order-events }, expect: "<= 50", for: 30s }
  loyalty-stopped: { layer: events, on: bus, title: Loyalty has no live member, group: { name: loyalty, state: empty }, for: 5s }
  both-shapes-read:
    layer: events
    on: bus
    title: Every consumer can read every shape in the topic
    shapes: { topic: order-events }
    expect: readable
never:
  - what: Jump loyalty to the end of the topic
    match: { offsets: loyalty, to: latest }
    because: The skipped orders would never earn their points, and nobody could tell which.
steps:
  - id: evidence
    phase: contain
    title: Freeze counts, catalog and offsets
    freeze: [revenue, stuck, offsets of bus, catalog of shop]
  - id: pause-loyalty
    phase: contain
    after: []
    layer: service
    title: Stop the loyalty consumer
    why: It dies on the first event without payment_reference_id and takes its partition with it.
    command: [kubectl, scale, deploy/loyalty, --replicas=0]
    verify: [loyalty-stopped]
    undo: { command: [kubectl, scale, deploy/loyalty, "--replicas=2"] }
  - id: rename-back
    phase: repair
    on: shop
    title: Give the old code its column name back
    why: v1 inserts payment_ref; the column is payment_reference_id.
    needs: [{ service: checkout-v2, gone: true, hard: true }]
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [v1-insert-works]
  - id: decide-orders
    title: Decide each stuck order against the payment provider
    reconcile: verdict
  - id: confirm-captured
    on: shop
    title: Confirm what was paid
    change:
      set: verdict[captured]
      sql: |
        UPDATE orders AS o SET status = 'confirmed' FROM {{ set }} s WHERE o.id = s.id AND o.status = s.status
    verify: [revenue-kept]
  - id: refund-doubles
    title: Give back the second charge
    each: verdict[charged-twice]
    command: [psp, refund, "{{ item.theirs.charge_id }}", "--idempotency-key={{ item.key }}"]
  - id: tolerant-loyalty
    layer: service
    title: Deploy the loyalty that reads both shapes
    command: [kubectl, set, image, deploy/loyalty, "loyalty=loyalty:tolerant"]
    undo: { command: [kubectl, rollout, undo, deploy/loyalty] }
    leaves: [{ what: the tolerant loyalty image, owner: loyalty team }]
  - id: resume-loyalty
    phase: release
    title: Start loyalty again
    undo_of: pause-loyalty
    needs: [{ check: both-shapes-read, hard: true }]
"#;

pub fn runbook() -> Runbook {
    match runbook::load_str("runbook.yaml", RUNBOOK, Path::new(".")) {
        Ok(loaded) => loaded.runbook,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

/// Seconds after 02:18:00Z.
pub fn at(seconds: u64) -> Now {
    let wall = "2026-11-24T02:18:00Z".parse::<jiff::Timestamp>().unwrap();
    Now {
        wall: wall + jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap()),
        boottime: (1_000 + seconds) * 1_000_000_000,
        boot: "0c1d2e3f".into(),
    }
}

pub fn event(seconds: u64, step: Option<&str>, att: Option<u32>, record: Record) -> Event {
    Event { at: at(seconds), by: "a1".into(), step: step.map(str::to_owned), att, record }
}

pub fn checked(name: &str, verdict: Verdict, value: Option<Value>, words: Option<&str>, seconds: u64) -> Checked {
    let check = match name.strip_suffix(" gone") {
        Some(service) => CheckRef::ServiceGone(service.into()),
        None => CheckRef::Check(name.into()),
    };
    Checked { check, verdict, value, words: words.map(str::to_owned), at: at(seconds), took_ms: 3 }
}

fn found(position: Position, because: &str) -> Found {
    Found { position, because: because.into() }
}

fn identity(name: &str, kind: TargetKind, server: &str, words: &str) -> Identity {
    Identity {
        seen: seen(name, server, words),
        kind,
        environment: Environment::Production,
        nonce: None,
        standby: false,
        read_only: false,
        encrypted: Some(true),
        sees_sessions: true,
        has_marker: true,
        lacks: None,
    }
}

fn seen(name: &str, server: &str, words: &str) -> TargetSeen {
    TargetSeen {
        name: name.into(),
        server: server.into(),
        words: words.into(),
        identity: "7301122334455667788".into(),
        timeline: None,
    }
}

pub fn survey(seconds: u64) -> Survey {
    let book = runbook();
    let steps = book.steps.keys().map(|id| {
        let found = match id.as_str() {
            "rename-back" => found(Position::NotDone, "payment_reference_id is there, payment_ref is not"),
            "refund-doubles" => found(Position::Unknown, "only this run's log could tell"),
            _ => found(Position::NotDone, "this run has not done it"),
        };
        (id.clone(), found)
    });
    let no_column = Some("42703 column \"payment_ref\" of relation \"orders\" does not exist");
    let need = |name: &str, met| (name.to_owned(), met);
    let service = |name: &str, runs: Option<&str>, connected, group: Option<&str>, gone, needs| ServiceSeen {
        name: name.into(),
        runs: runs.map(str::to_owned),
        connected,
        group_state: group.map(str::to_owned),
        needs,
        gone,
        owner: None,
    };
    let statement = |statement: &str| StatementSeen {
        statement: statement.into(),
        target: "shop".into(),
        found: found(Position::Done, ""),
        breaks: vec![],
    };
    Survey {
        steps: steps.collect(),
        checks: vec![
            checked("v1-insert-works", Verdict::Fail, None, no_column, seconds),
            checked("stuck-orders", Verdict::Fail, Some(json!(340)), None, seconds),
            checked("revenue-kept", Verdict::unknown("revenue has not been frozen"), None, None, seconds),
            checked("loyalty-lag", Verdict::Fail, Some(json!(2113)), None, seconds),
            checked("loyalty-stopped", Verdict::Fail, Some(json!("stable")), None, seconds),
            checked(
                "both-shapes-read",
                Verdict::Fail,
                Some(json!(false)),
                Some("loyalty cannot read 38 % of 5,512"),
                seconds,
            ),
            checked("checkout-v2 gone", Verdict::Fail, Some(json!(1)), None, seconds),
        ],
        services: vec![
            service("checkout", Some("v1"), Some(6), None, false, vec![need("orders.payment_ref", Some(false))]),
            service("checkout-v2", None, Some(1), None, true, vec![]),
            service("fulfillment", None, None, Some("stable"), false, vec![need("order-events: order_id", Some(true))]),
            service(
                "loyalty",
                None,
                None,
                Some("rebalancing"),
                false,
                vec![need("order-events: payment_reference_id", Some(false))],
            ),
        ],
        statements: vec![
            statement("ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id"),
            statement("ALTER TABLE orders ADD COLUMN psp text, ADD COLUMN currency text"),
            statement("ALTER TYPE order_status ADD VALUE 'awaiting_confirmation'"),
        ],
        claims: vec![],
        targets: BTreeMap::new(),
        environment: Environment::Production,
        entry: Some("evidence".into()),
        done: vec![],
        redness: BTreeMap::from([
            (CheckRef::Check("v1-insert-works".into()), Red::MendedBy { step: "rename-back".into() }),
            (CheckRef::Check("both-shapes-read".into()), Red::NobodyMends),
        ]),
    }
}

pub fn offer(step: &str, level: Level, token: &str) -> Offer {
    Offer {
        run: "20261124T021800Z-7f3a".into(),
        step: step.into(),
        att: 1,
        action: "ddl".into(),
        rendered: vec!["ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref".into()],
        binds: vec![],
        target: Some(seen("shop", "PostgreSQL 15.4", "orders_prod @ db-eu-1:5432 as oncall, primary")),
        environment: Environment::Production,
        level,
        token: token.into(),
        number: None,
        undo: Undoing::By {
            rendered: vec!["ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id".into()],
            derived: true,
            limits: Some("exact, as long as no v2 process writes".into()),
        },
        undoes: None,
        epoch: Some(1),
        step_digest: "5f1c09aa".into(),
    }
}

pub fn shown(offer: Offer) -> GateShown {
    let facts = [
        (
            "locks",
            "orders, ACCESS EXCLUSIVE: no read and no write passes while it is held; no rewrite, no scan; gives up after 2 s, 5 times",
        ),
        ("table", "18,203,411 rows, 4.1 GiB, 3 indexes; view order_report follows it"),
        ("in way", "! bi-extract, pid 4121, idle in transaction for 41 min"),
        ("breaks", "nobody that runs: checkout v1 needs it, checkout-v2 is gone"),
    ];
    GateShown {
        offer_digest: backout::run::gate::offer_digest(&offer),
        offer,
        evidence: Evidence {
            needs: vec![checked("checkout-v2 gone", Verdict::Pass, Some(json!(0)), None, 1387)],
            facts: facts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            sample: vec![],
            blockers: vec![],
        },
    }
}

fn begun() -> Vec<Event> {
    let book = runbook();
    let started = RunStarted {
        run: "20261124T021800Z-7f3a".into(),
        runbook: book.name.clone(),
        runbook_digest: book.digest.clone(),
        incident: Some("INC-4711".into()),
        version: "0.1.0".into(),
        steps: book.steps.keys().cloned().collect(),
        headless: false,
        leaves: Vec::new(),
    };
    let alice = Actor {
        id: "a1".into(),
        user: "alice".into(),
        uid: 1000,
        host: "jump-1".into(),
        tty: Some("pts/3".into()),
        claimed_ssh: None,
        pid: 4242,
    };
    vec![event(0, None, None, Record::RunStarted(started)), event(0, None, None, Record::OperatorJoined(alice))]
}

/// Contained: evidence frozen, loyalty stopped, the guard bound; rename-back is next.
pub fn contained() -> Vec<Event> {
    let mut events = begun();
    events.push(event(8, None, None, Record::Surveyed(survey(6).record())));
    events.push(event(20, None, None, Record::Entered { done: vec![] }));
    let frozen = Frozen {
        item: backout::runbook::FreezeItem::Reading("revenue".into()),
        content: FrozenContent::Value(json!("1841250")),
    };
    let intent = |action: &str, digest: Option<String>, on: Option<&str>| {
        Record::Intent(Intent {
            action: action.into(),
            offer_digest: digest,
            undoes: None,
            transactional: on.is_some(),
            on: on.map(str::to_owned),
        })
    };
    let outcome = |evidence: &str| Record::Outcome(Outcome::new(OutcomeResult::Applied, evidence));
    let mut pause = offer("pause-loyalty", Level::Step, "pause-loyalty@production");
    pause.action = "command".into();
    let pause = shown(pause);
    let digest = pause.offer_digest.clone();
    let answer = GateAnswered {
        yes: true,
        offer_digest: digest.clone(),
        typed: "pause-loyalty@production".into(),
        reason: None,
        looked_ms: 9_000,
        from_file: false,
    };
    let one = |seconds, step, record| event(seconds, Some(step), Some(1), record);
    events.extend([
        one(96, "evidence", intent("freeze", None, None)),
        one(98, "evidence", Record::Frozen(frozen)),
        one(100, "evidence", outcome("4 of 4 frozen")),
        one(100, "evidence", Record::StepDone { verified: true }),
        one(240, "pause-loyalty", Record::GateShown(pause)),
        one(250, "pause-loyalty", Record::GateAnswered(answer)),
        one(250, "pause-loyalty", intent("command", Some(digest), None)),
        one(252, "pause-loyalty", outcome("exit 0")),
        one(271, "pause-loyalty", Record::Verified { checks: vec![], verdict: Verdict::Pass, restored: None }),
        one(271, "pause-loyalty", Record::StepDone { verified: true }),
        one(
            271,
            "pause-loyalty",
            Record::GuardBound {
                check: CheckRef::Check("loyalty-stopped".into()),
                until: Some("resume-loyalty".into()),
            },
        ),
        event(272, Some("rename-back"), None, Record::Enabled {}),
    ]);
    events
}

pub fn gate(level: Level, token: &str) -> Vec<Event> {
    let mut events = contained();
    events.push(event(
        1380,
        Some("rename-back"),
        Some(1),
        Record::GateShown(shown(offer("rename-back", level, token))),
    ));
    events
}

/// The gate was answered and the worker is under way.
fn running() -> Vec<Event> {
    let mut events = gate(Level::Object, "orders@shop");
    let digest = shown(offer("rename-back", Level::Object, "orders@shop")).offer_digest;
    let answer = GateAnswered {
        yes: true,
        offer_digest: digest.clone(),
        typed: "orders@shop".into(),
        reason: None,
        looked_ms: 12_000,
        from_file: false,
    };
    let intent = Intent {
        action: "ddl".into(),
        offer_digest: Some(digest),
        undoes: None,
        transactional: true,
        on: Some("shop".into()),
    };
    events.push(event(1400, Some("rename-back"), Some(1), Record::GateAnswered(answer)));
    events.push(event(1400, Some("rename-back"), Some(1), Record::Intent(intent)));
    events
}

/// The connection was lost after COMMIT was sent.
pub fn unknown() -> Vec<Event> {
    let mut events = running();
    let lost = Outcome::new(OutcomeResult::Unknown, "connection lost after COMMIT was sent");
    events.push(event(1401, Some("rename-back"), Some(1), Record::Outcome(lost)));
    events
}

/// Its second try waits behind a report that nobody has ended, and the shop waits behind it.
pub fn waiting() -> Snapshot {
    let mut events = running();
    let reached = |data| Record::Reached { point: Point::TxOpen, data };
    let missed = Record::AttemptFailed {
        code: "55P03".into(),
        message: "canceling statement due to lock timeout".into(),
        again_in_ms: Some(300),
    };
    let session = json!({ "pid": 7731, "backend_start": "2026-11-24 02:41:20.1+00" });
    events.push(event(1400, Some("rename-back"), Some(1), reached(session.clone())));
    events.push(event(1401, Some("rename-back"), Some(1), missed));
    events.push(event(1401, Some("rename-back"), Some(1), reached(session)));
    let blocker = Blocker {
        pid: "4121".into(),
        since: "2026-11-24 01:59:02.5+00".into(),
        app: "bi-extract".into(),
        user: "etl".into(),
        state: "idle in transaction".into(),
        age: Some(2473),
        query: "SELECT * FROM orders WHERE created_at > '2026-11-01'".into(),
        ..Blocker::default()
    };
    let queued = |pid: &str, app: &str, stalled| Queued { pid: pid.into(), app: app.into(), stalled: Some(stalled) };
    let sight = Sight {
        state: "active".into(),
        runs: Some(1),
        waits_for: Some("Lock relation".into()),
        blockers: vec![blocker],
        queue: vec![queued("81", "checkout-v1", 1), queued("82", "checkout-v1", 1), queued("90", "api", 0)],
        ..Sight::default()
    };
    let mut now = snapshot(events, 1402);
    now.watched = Some(Watched { sight: Some(sight), failed: 1, ..Watched::new("rename-back", 1) });
    now
}

pub fn held() -> Vec<Event> {
    let mut events = contained();
    let check = CheckRef::Check("loyalty-stopped".into());
    events.push(event(
        1380,
        None,
        None,
        Record::GuardBroken { check: check.clone(), verdict: Verdict::Fail, value: Some(json!("stable")) },
    ));
    events.push(event(
        1380,
        None,
        None,
        Record::Held { reason: HoldReason::Guard { check }, detail: "1 member: loyalty-7f".into() },
    ));
    events
}

fn live(mut past: Vec<Checked>) -> Live {
    Live { latest: past.last().cloned(), history: VecDeque::from(std::mem::take(&mut past)), asking: false }
}

pub fn snapshot(events: Vec<Event>, seconds: u64) -> Snapshot {
    let book = runbook();
    let state = State::replay(&events).unwrap();
    let t = seconds - 4;
    let numbers = |name: &str, values: &[i64], pass: fn(i64) -> bool| {
        let past = values
            .iter()
            .map(|n| checked(name, if pass(*n) { Verdict::Pass } else { Verdict::Fail }, Some(json!(n)), None, t));
        live(past.collect())
    };
    let words = |name: &str, verdict: Verdict, words: &str| live(vec![checked(name, verdict, None, Some(words), t)]);
    let checks = [
        words("v1-insert-works", Verdict::Fail, "42703 column \"payment_ref\" does not exist"),
        numbers("stuck-orders", &[310, 322, 331, 340, 340, 340, 340], |n| n == 0),
        words("revenue-kept", Verdict::Pass, "same"),
        numbers("loyalty-lag", &[12, 40, 310, 900, 1500, 1830, 2113], |n| n <= 50),
        live(vec![checked("loyalty-stopped", Verdict::Pass, Some(json!("empty")), None, t)]),
        words("both-shapes-read", Verdict::Fail, "loyalty cannot read 38 % of 5,512"),
        numbers("checkout-v2 gone", &[1, 1, 0, 0, 0], |n| n == 0),
    ];
    Snapshot {
        runbook: Arc::new(book),
        state: Arc::new(state),
        now: at(seconds),
        targets: vec![
            (
                "shop".into(),
                Link::Up(Box::new(identity(
                    "shop",
                    TargetKind::Postgres,
                    "PostgreSQL 15.4",
                    "orders_prod @ db-eu-1:5432 as oncall, primary",
                ))),
            ),
            (
                "bus".into(),
                Link::Up(Box::new(identity("bus", TargetKind::Kafka, "Apache Kafka", "cluster Zk3v-prod, 3 brokers"))),
            ),
        ],
        checks: checks.into_iter().map(|live| (live.latest.clone().unwrap().check, live)).collect(),
        survey: Some(Arc::new(survey(seconds - 2))),
        surveying: false,
        preparing: None,
        classified: None,
        log: events.into_iter().map(Arc::new).collect(),
        message: None,
        watched: None,
        progress: None,
        taken: 0,
        run_dir: "/var/lib/backout/runs/20261124T021800Z-7f3a".into(),
        log_wait: None,
        exit: None,
    }
}

/// Before anything has answered: what the first paint shows.
pub fn first() -> Snapshot {
    let mut first = snapshot(begun(), 6);
    first.survey = None;
    first.surveying = true;
    first.checks.clear();
    first.targets = vec![("shop".into(), Link::Connecting), ("bus".into(), Link::Connecting)];
    first
}

pub fn surveyed() -> Snapshot {
    let mut events = begun();
    events.push(event(8, None, None, Record::Surveyed(survey(6).record())));
    let mut now = snapshot(events, 12);
    now.checks.clear();
    now
}

/// 340 rows against the provider's records, as the founding incident has them.
pub fn rows() -> Snapshot {
    let mut now = snapshot(contained(), 1590);
    let object = |value: Value| value.as_object().cloned().unwrap();
    let SetSource::Compare(compare) = now.runbook.sets["verdict"].source.clone() else { panic!("not compared") };
    let order = |id: u64| object(json!({ "id": id, "amount_cents": 6100, "status": "awaiting_confirmation" }));
    let charge = |n: u64, id: u64, cents: u64, state: &str| {
        object(json!({ "charge_id": format!("ch_{n}"), "order_id": id, "amount_cents": cents, "state": state }))
    };
    let ours: Vec<_> = (50_001..=50_340).map(order).collect();
    let mut theirs: Vec<_> = (50_001..=50_301).map(|id| charge(id, id, 6100, "captured")).collect();
    theirs.extend((50_302..=50_311).map(|id| charge(id, id, 6100, "authorised")));
    theirs.extend([charge(1, 50_312, 6100, "captured"), charge(2, 50_312, 6100, "captured")]);
    theirs.push(charge(3, 50_313, 5000, "captured"));
    theirs.extend((1..=12).map(|id| charge(id, id, 900, "captured")));
    now.classified = Some(Arc::new(action::sort("verdict", &compare, "id", ours, theirs, &BTreeMap::new()).unwrap()));
    now
}

pub fn message() -> Message {
    Message {
        at: at(1381),
        what: "rename-back was not begun: checkout-v2 gone is red".into(),
        means: Some("1 session of checkout-v2-7f is left on shop".into()),
        can: Some("end it, or wait; then open the gate again".into()),
    }
}
