//! A statement under way, as it is seen beside its worker: who blocks it, who waits behind it, how far it is; ended by
//! acts whose effect is read again; and the sessions that are older than it afterwards.

use std::time::Duration;

use backout::action::live::{Sight, Watch};
use backout::action::{self, Go, Port, Report};
use backout::check::{Depth, Took};
use backout::engine::{Ask, LOG_DEADLINE, Snapshot};
use backout::run::record::{Act, Outcome, OutcomeResult, Record};
use backout::run::state::Status;
use backout::runbook::TargetKind;
use backout::runbook::template::as_text;
use backout::target::Handle;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::desk::{Desk, PATIENCE};
use crate::shop::Shop;
use crate::support::{self, Database};

mod mariadb;

const RUNBOOK: &str = r#"
backout: 1
name: live
title: One table
targets:
  shop: { KIND: "${SHOP}" }
services:
  checkout: { runs: v1, sessions: "checkout-v1*", uses: [orders.payment_ref] }
checks:
  pools: { on: shop, title: Pools are recycled, sessions: "checkout-v1*", older_than: rename, expect: 0 }
steps:
  - id: rename
    phase: repair
    on: shop
    title: Another name for the column
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id
  - id: index
    on: shop
    title: An index, while others write
    ddl: |
      CREATE INDEX CONCURRENTLY orders_status ON orders (status)
"#;

const ON_POSTGRES: &str = r#"
  - { id: cluster, on: shop, title: The rows in another order, ddl: "CLUSTER orders USING orders_pkey" }
  - { id: vacuum, on: shop, title: Frozen rows, ddl: "VACUUM (FREEZE) orders" }
"#;

async fn shop(database: &Database, kind: &str, run: &str) -> Shop {
    let more = if kind == "postgres" { ON_POSTGRES } else { "" };
    let shop = Shop::with(&[&RUNBOOK.replace("KIND", kind), more].concat(), &database.url, run);
    shop.sql("CREATE TABLE orders (id bigint PRIMARY KEY, status varchar(16), payment_ref varchar(64))").await;
    shop.sql("INSERT INTO orders VALUES (1, 'paid', 'ref-1')").await;
    shop
}

async fn session(shop: &Shop, app: &str, sql: &[&str]) -> Handle {
    let mut handle = shop.context.targets.dedicated("shop", app).await.unwrap();
    for sql in sql {
        handle.run(*sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    handle
}

const READS: [&str; 2] = ["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"];

/// A worker of its own, and what is seen of it.
struct UnderWay {
    worker: JoinHandle<Outcome>,
    sights: mpsc::UnboundedReceiver<Sight>,
    cancel: watch::Sender<bool>,
    /// Of its first point.
    data: Value,
}

impl UnderWay {
    async fn begin(shop: &Shop, step: &str, kind: TargetKind) -> Self {
        let prepared = shop.prepare(step, 1, false).await.unwrap_or_else(|e| panic!("{e}"));
        let (reports, mut inbox) = mpsc::channel(16);
        let (cancel, cancelled) = watch::channel(false);
        let port = Port { step: step.to_owned(), att: 1, reports, cancel: cancelled };
        let context = shop.context.clone();
        let worker = tokio::spawn(async move { action::perform(prepared.job, context, &port).await });
        let (named, name) = oneshot::channel();
        tokio::spawn(async move {
            let mut named = Some(named);
            while let Some((_, _, report)) = inbox.recv().await {
                if let Report::Reached { data, reply, .. } = report {
                    let _ = named.take().map(|named| named.send(data));
                    let _ = reply.send(Go::Go);
                }
            }
        });
        let data = name.await.unwrap();
        let (seen, sights) = mpsc::unbounded_channel();
        let watch = Watch::of(kind, &data).unwrap();
        let context = shop.context.clone();
        tokio::spawn(watch.follow("shop".into(), context, move |sight| seen.send(sight).is_ok()));
        Self { worker, sights, cancel, data }
    }

    async fn sees(&mut self, what: &str, seen: impl Fn(&Sight) -> bool) -> Sight {
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(sight) = self.sights.recv().await {
                if seen(&sight) {
                    return Some(sight);
                }
                last = Some(sight);
            }
            None
        });
        found.await.ok().flatten().unwrap_or_else(|| panic!("no {what}: {last:?}"))
    }

    fn act(&self) -> Act {
        let part = |name: &str| self.data.get(name).map(as_text);
        Act::Cancel { target: "shop".into(), pid: part("pid"), since: part("backend_start") }
    }
}

fn words(sight: &Sight) -> String {
    sight.lines().iter().map(|line| format!("{}: {}\n", line.label, line.words)).collect()
}

async fn desk() -> Option<(Database, Desk)> {
    let database = support::postgres_database("live")?;
    let home = tempfile::tempdir().unwrap();
    let desk = Desk::on("postgres", &database.url, "order_status", home, LOG_DEADLINE).await;
    Some((database, desk))
}

fn sight(now: &Snapshot) -> Option<&Sight> {
    now.watched.as_ref()?.sight.as_ref()
}

fn acted(now: &Snapshot) -> Option<(bool, String)> {
    now.log.iter().rev().find_map(|event| match &event.record {
        Record::ActOutcome { applied, detail, .. } => Some((*applied, detail.clone())),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocks_and_who_queues_is_seen_and_the_blocker_is_ended_meanwhile() {
    let Some((_database, desk)) = desk().await else { return };
    let reader = session(&desk.shop, "bi-extract", &READS).await;
    desk.answer().await;
    let blocked = desk.sees("a blocker", |now| sight(now).is_some_and(Sight::is_blocked)).await;
    let blocker = sight(&blocked).unwrap().blockers[0].clone();
    assert_eq!((blocker.app.as_str(), blocker.state.as_str()), ("bi-extract", "idle in transaction"));
    assert!(blocker.age.is_some() && blocker.query.contains("LOCK TABLE"), "{blocker:?}");
    let told = words(sight(&blocked).unwrap());
    assert!(told.contains("waits: for a lock on a table (Lock relation)"), "{told}");
    assert!(told.contains(&format!("in way: ! bi-extract, pid {} (", blocker.pid)), "{told}");
    assert!(blocked.watched.as_ref().unwrap().behind().unwrap().starts_with("bi-extract, pid "));

    // Whoever only wants to read waits behind it, over and over, and is named.
    let mut web = session(&desk.shop, "web", &["set lock_timeout = 0"]).await;
    let reads = tokio::spawn(async move { while web.one("SELECT count(*) FROM orders", vec![]).await.is_ok() {} });
    let behind = |now: &std::sync::Arc<Snapshot>| {
        sight(now).is_some_and(|sight| sight.queue.iter().any(|queued| queued.app == "web" && queued.stalled.is_some()))
    };
    let queued = desk.sees("a queue", behind).await;
    assert!(words(sight(&queued).unwrap()).contains("behind: ! "), "{}", words(sight(&queued).unwrap()));
    desk.sees("a try without a lock", |now| now.watched.as_ref().is_some_and(|watched| watched.failed > 0)).await;

    let since = Some(blocker.since.clone());
    let act = Act::EndSession { target: "shop".into(), pid: blocker.pid.clone(), since };
    desk.ask(Ask::Act { act, typed: blocker.pid.clone() }).await;
    let done = desk.sees("the end", |now| now.state.status("rename-back") == Status::Done).await;
    let (took, detail) = acted(&done).unwrap();
    assert!(took && detail.contains("read again, it is gone"), "{detail}");
    assert_eq!(done.watched, None, "nothing runs any more");
    let of_acts = done.log.iter().filter(|event| event.record.kind().starts_with("act_"));
    let steps: Vec<_> = of_acts.map(|event| (event.step.as_deref(), event.att)).collect();
    assert_eq!(steps, [(Some("rename-back"), Some(1)); 4], "the log says for which step a session was ended");
    let step = &done.state.steps["rename-back"];
    let (on, at) = step.took.as_ref().unwrap().committed.as_ref().unwrap();
    assert_eq!((on, Some(at)), (&"shop".to_owned(), step.outcome.as_ref().unwrap().committed.as_ref()));
    reads.abort();
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_it_waits_leaves_nothing_and_says_what_was_read() {
    let Some((_database, desk)) = desk().await else { return };
    let _reader = session(&desk.shop, "bi-extract", &READS).await;
    desk.answer().await;
    desk.sees("a blocker", |now| sight(now).is_some_and(Sight::is_blocked)).await;
    let act = || Act::Cancel { target: "shop".into(), pid: None, since: None };
    desk.ask(Ask::Act { act: act(), typed: "cancle".into() }).await;
    let wrong = desk.sees("a refusal", |now| now.message.is_some()).await;
    let said = wrong.message.clone().unwrap();
    assert_eq!(said.what, "that is not cancel: nothing was sent");
    assert_eq!(said.can.as_deref(), Some("type cancel to do it"));
    assert_eq!(acted(&wrong), None);

    desk.ask(Ask::Act { act: act(), typed: "cancel".into() }).await;
    let done = desk.sees("the act's end", |now| acted(now).is_some() && now.state.open.is_none()).await;
    let (took, detail) = acted(&done).unwrap();
    assert!(took && detail.contains("read again, pid ") && detail.contains("is gone"), "{detail}");
    let named = done.log.iter().find_map(|event| match &event.record {
        Record::ActIntent { act: Act::Cancel { pid, since, .. } } => Some((pid.clone(), since.clone())),
        _ => None,
    });
    assert!(matches!(named, Some((Some(_), Some(_)))), "the log names the session: {named:?}");
    let step = &done.state.steps["rename-back"];
    assert_eq!(step.status, Status::Failed);
    let evidence = &step.outcome.as_ref().unwrap().evidence;
    assert!(evidence.starts_with("cancelled"), "{evidence}");
    assert_eq!(desk.shop.one("SELECT count(*) FROM backout.marker").await, 0);
    let left = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'orders'::regclass";
    assert_eq!(desk.shop.one(left).await, 0);
    assert_eq!(desk.shop.one("SELECT count(payment_reference_id) FROM orders").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_build_shows_its_phase_and_whom_it_waits_for_and_can_be_cancelled() {
    let Some(database) = support::postgres_database("live") else { return };
    let shop = shop(&database, "postgres", "run-build").await;
    let writer = session(&shop, "writer", &["begin", "UPDATE orders SET status = 'sent'"]).await;
    let mut build = UnderWay::begin(&shop, "index", TargetKind::Postgres).await;
    let waiting =
        |sight: &Sight| sight.progress.iter().any(|progress| progress.phase.starts_with("waiting for writers"));
    let seen = build.sees("a phase", |sight| waiting(sight) && sight.is_blocked()).await;
    let progress = &seen.progress[0];
    assert_eq!((progress.what.as_str(), progress.done), ("create index", Some((0, 1))));
    assert_eq!(seen.blockers[0].app, "writer");
    let told = words(&seen);
    assert!(told.contains("waits: for the end of an older transaction (Lock virtualxid)"), "{told}");
    assert!(told.contains("0 of 1 transactions waited for (0 %)"), "{told}");

    build.cancel.send_replace(true);
    let (_keep, never) = watch::channel(false);
    let acted = action::act(&build.act(), &shop.context, never).await;
    assert!(acted.applied && acted.detail.contains("read again"), "{}", acted.detail);
    let outcome = build.worker.await.unwrap();
    assert_ne!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert!(outcome.evidence.contains("57014"), "{outcome:?}");
    drop(writer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_vacuum_show_how_far_they_are() {
    let Some(database) = support::postgres_database("live") else { return };
    let shop = shop(&database, "postgres", "run-far").await;
    // Slow for the worker alone, while the index is built anew.
    shop.sql(
        "CREATE FUNCTION slow(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('application_name') LIKE 'backout/%' THEN PERFORM pg_sleep(4); END IF; RETURN $1; END $$",
    )
    .await;
    let mut author = session(&shop, "author", &["CREATE INDEX ON orders (slow(id))"]).await;
    let mut cluster = UnderWay::begin(&shop, "cluster", TargetKind::Postgres).await;
    let far = |what: &'static str| move |sight: &Sight| sight.progress.iter().any(|progress| progress.what == what);
    let seen = cluster.sees("how far it is", far("cluster")).await;
    assert!(words(&seen).contains("rebuilding index"), "{}", words(&seen));
    assert_eq!(cluster.worker.await.unwrap().result, OutcomeResult::Applied);
    author.run("DROP FUNCTION slow CASCADE", vec![]).await.unwrap();
    // Slow page by page, in the sessions that begin from here on.
    shop.sql("INSERT INTO orders SELECT n, 'paid', repeat('x', 60) FROM generate_series(2, 600) n").await;
    for setting in ["vacuum_cost_delay TO 100", "vacuum_cost_limit TO 1"] {
        let database = as_text(&shop.one("SELECT quote_ident(current_database())").await);
        shop.sql(&format!("ALTER DATABASE {database} SET {setting}")).await;
    }
    let mut vacuum = UnderWay::begin(&shop, "vacuum", TargetKind::Postgres).await;
    let seen = vacuum.sees("how far it is", far("vacuum")).await;
    assert!(words(&seen).contains("scanning heap"), "{}", words(&seen));
    assert_eq!(vacuum.worker.await.unwrap().result, OutcomeResult::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_never_reaches_what_runs_a_moment_later() {
    let Some(database) = support::postgres_database("live") else { return };
    let shop = shop(&database, "postgres", "run-later").await;
    // Another session of this run, and the checks': a cancel is of the worker's own session alone.
    let mut other = session(&shop, "backout/run-late/checks/0", &[]).await;
    let sleeps = tokio::spawn(async move { other.one("select pg_sleep(2)::text", vec![]).await });
    let reader = session(&shop, "bi-extract", &READS).await;
    let mut rename = UnderWay::begin(&shop, "rename", TargetKind::Postgres).await;
    rename.sees("a blocker", Sight::is_blocked).await;
    rename.cancel.send_replace(true);
    let outcome = rename.worker.await.unwrap();
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(sleeps.await.unwrap().is_ok(), "the other session was cancelled, too");
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_says_what_it_cannot_see_and_what_it_may_not_write() {
    let Some(database) = support::postgres_database("live") else { return };
    let shop = shop(&database, "postgres", "run-blind").await;
    shop.context.targets.install("shop").await.unwrap();
    let role = support::unique("blind");
    shop.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'blind'")).await;
    shop.sql(&format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    shop.sql(&format!("ALTER TABLE orders OWNER TO {role}")).await;
    let (_, host) = database.url.rsplit_once('@').unwrap();
    let address = format!("postgres://{role}:blind@{host}");
    let blind = Shop::with(&RUNBOOK.replace("KIND", "postgres"), &address, "run-blind");
    let marker = async || {
        let prepared = blind.prepare("rename", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
        let facts = prepared.evidence.facts;
        facts.into_iter().find(|(label, _)| label == "marker").map(|(_, words)| words).unwrap()
    };
    let said = marker().await;
    assert!(said.starts_with("! the role lacks USAGE on schema backout, INSERT on backout.claim, "), "{said}");
    assert!(said.contains("only the catalog can tell") && said.contains("nothing keeps a second run out"), "{said}");
    shop.sql(&format!("GRANT USAGE ON SCHEMA backout TO {role}")).await;
    shop.sql(&format!("GRANT SELECT, INSERT, UPDATE ON backout.claim TO {role}")).await;
    shop.sql(&format!("GRANT SELECT ON backout.marker TO {role}")).await;
    let said = marker().await;
    assert!(said.starts_with("! the role lacks INSERT on backout.marker: "), "{said}");
    shop.sql(&format!("GRANT INSERT ON backout.marker TO {role}")).await;
    assert_eq!(marker().await, "in the same transaction");

    let reader = session(&shop, "bi-extract", &READS).await;
    let mut rename = UnderWay::begin(&blind, "rename", TargetKind::Postgres).await;
    let seen = rename.sees("a blocker", Sight::is_blocked).await;
    let told = words(&seen);
    assert!(told.contains("in way: ! bi-extract, pid ") && told.contains("cannot see since when"), "{told}");
    assert!(told.contains("pg_read_all_stats"), "{told}");
    drop(reader);
    let outcome = rename.worker.await.unwrap();
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    let older = session(&shop, "checkout-v1-7f", &[]).await;
    let answer = blind.check("pools", Depth::Parse).await;
    assert!(answer.verdict.word() == "unknown", "{answer:?}");
    drop((older, blind));
    shop.sql(&format!("DROP OWNED BY {role}")).await;
    shop.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_older_than_a_change_hold_stale_statements_until_they_reconnect() {
    let Some(database) = support::postgres_database("live") else { return };
    let mut shop = shop(&database, "postgres", "run-stale").await;
    shop.context.targets.install("shop").await.unwrap();
    let address = format!("{}?application_name=checkout-v1-7f", database.url);
    let read = "SELECT * FROM orders";
    let mut old = PgConnection::connect(&address).await.unwrap();
    sqlx::query(read).fetch_all(&mut old).await.unwrap();
    let before = shop.check("pools", Depth::Parse).await;
    assert_eq!(before.words.as_deref(), Some("rename is not done yet"));

    let outcome = shop.done("rename", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    let said = &outcome.evidence;
    assert!(said.contains("1 session of checkout is older than this change"), "{said}");
    assert!(said.contains("0A000") && said.contains("pools tells when it is done"), "{said}");
    let committed = outcome.committed.clone().map(|at| ("shop".to_owned(), at));
    assert!(committed.is_some());
    let took = Took { committed, ago: Duration::from_secs(3600) };
    shop.context.took.insert("rename".into(), Some(took));
    let refused = sqlx::query(read).fetch_all(&mut old).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("0A000"));
    let red = shop.check("pools", Depth::Parse).await;
    assert!(red.verdict.is_fail() && red.value == Some(1.into()), "{red:?}");
    old.close().await.unwrap();

    let mut new = PgConnection::connect(&address).await.unwrap();
    sqlx::query(read).fetch_all(&mut new).await.unwrap();
    let gone = async || {
        let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'checkout-v1%'";
        as_text(&shop.one(&format!("{gone} AND datname = current_database()")).await) == "1"
    };
    while !gone().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let green = shop.check("pools", Depth::Parse).await;
    assert!(green.verdict.is_pass(), "{green:?}");

    // Done by other hands at a time that no server told: by our own clock, on the side of caution.
    let took = Took { committed: None, ago: Duration::ZERO };
    shop.context.took.insert("rename".into(), Some(took));
    assert!(shop.check("pools", Depth::Parse).await.verdict.is_fail());
    shop.context.took.insert("rename".into(), None);
    assert!(shop.check("pools", Depth::Parse).await.verdict.is_pass(), "nothing was changed");
    // An index changes no row's shape: nothing is said of pools.
    let index = shop.done("index", 1, false).await;
    assert!(!index.evidence.contains("0A000"), "{index:?}");
    new.close().await.unwrap();
}
