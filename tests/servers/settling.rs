//! What nobody saw the end of: the evidence that contradicts itself, and the operator's word where none can tell.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use backout::action::{self, Go};
use backout::audit::{self, Stamp, Writer};
use backout::engine::{self, Ask, Setup, Snapshot};
use backout::run::decide::Input;
use backout::run::record::{Actor, Event, OutcomeResult, Record};
use backout::target::{Access, sqlite};

use crate::shop::Shop;
use crate::support;

/// A marker and a catalog that say different things: nobody concludes from half of it.
async fn contradictions(shop: &Shop) {
    let step = &shop.context.runbook.steps["rename-back"];
    let rename = |from: &str, to: &str| format!("ALTER TABLE orders RENAME COLUMN {from} TO {to}");
    let (v2, v1) = ("payment_reference_id", "payment_ref");

    // Stopped at `ready`; then somebody else does the same by hand.
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap();
    let offer = prepared.offer.clone();
    let stop = async |point, _: &serde_json::Value| match point {
        backout::run::record::Point::Ready => Go::Stop,
        _ => Go::Go,
    };
    let (outcome, reached, _) = shop.perform(prepared.job, stop).await;
    assert_eq!((outcome.result, reached.len()), (OutcomeResult::NotApplied, 2), "{outcome:?}");
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::NotApplied, "{:?}", settled.evidence);
    shop.sql(&rename(v2, v1)).await;
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    assert!(settled.reason.contains("by other hands"), "{}", settled.reason);
    shop.sql(&rename(v1, v2)).await;

    // Applied; then somebody else takes it back.
    let prepared = shop.prepare("rename-back", 2, false).await.unwrap();
    let offer = prepared.offer.clone();
    let (outcome, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
    shop.sql(&rename(v1, v2)).await;
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    assert!(settled.reason.contains("somebody changed it since"), "{}", settled.reason);
    shop.sql(&rename(v2, v1)).await;

    // The marker of another offer is no proof of this one.
    let mut other = offer.clone();
    other.rendered.push("-- and more".to_owned());
    let settled = action::settle(step, Some(&other), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    // Nor does another server tell anything.
    let mut elsewhere = offer.clone();
    elsewhere.target.as_mut().unwrap().identity = "another/server".to_owned();
    let settled = action::settle(step, Some(&elsewhere), &reached, &shop.context).await;
    assert!(
        settled.result == OutcomeResult::Unknown && settled.reason.contains("another server"),
        "{}",
        settled.reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_contradicts_itself_is_unknown_on_postgres() {
    let Some(database) = support::postgres_database("settling") else { return };
    let shop = Shop::run("postgres", &database.url, "run-settling");
    shop.fill("order_status").await;
    contradictions(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_contradicts_itself_is_unknown_on_sqlite() {
    let dir = support::state_dir();
    let path = dir.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    let shop = Shop::run("sqlite", path.to_str().unwrap(), "run-settling");
    shop.fill("text").await;
    contradictions(&shop).await;
}

const RUNBOOK: &str = r#"
backout: 1
name: payouts
title: Pay each of the three
targets:
  shop: { sqlite: "${SHOP}" }
sets:
  owed: { on: shop, key: id, query: "SELECT id FROM orders WHERE id <= 3 ORDER BY id" }
steps:
  - id: evidence
    phase: contain
    freeze: [owed]
  - id: pay
    phase: repair
    layer: service
    title: Pay them
    each: owed
    command: [PROGRAM, "{{ item.id }}"KEY]
"#;

/// A run that pays three, whose process dies when the first payment has begun.
struct Payouts {
    dir: tempfile::TempDir,
}

impl Payouts {
    async fn killed(keyed: bool) -> Self {
        let payouts = Self { dir: support::state_dir() };
        let program = payouts.path("pay");
        std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}\n", payouts.path("ledger").display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let key = if keyed { ", \"--key={{ item.key }}\"" } else { "" };
        let runbook = RUNBOOK.replace("PROGRAM", program.to_str().unwrap()).replace("KEY", key);
        std::fs::write(payouts.path("runbook.yaml"), runbook).unwrap();
        payouts.answers(3);
        let shop = payouts.path("shop.db");
        std::fs::File::create(&shop).unwrap();
        let mut own = sqlite::Connection::open_path("shop", &shop, false).await.unwrap();
        sqlite::declare_rehearsal(&mut own, "payouts").await.unwrap();
        drop(own);
        let filled = Shop::run("sqlite", shop.to_str().unwrap(), "run-setup");
        filled.fill("text").await;
        let output = payouts.command("run", Some("pay:begun"));
        assert_eq!(output.status.code(), None, "{}", said(&output));
        assert_eq!(payouts.paid(), Vec::<String>::new());
        payouts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn answers(&self, open: usize) {
        let text = format!(
            "answers: 1\nsteps:\n  pay: {{ token: \"{open} pay@rehearsal\", reason: \"They have waited for their money long enough.\" }}\n"
        );
        std::fs::write(self.path("answers.yaml"), text).unwrap();
    }

    fn command(&self, verb: &str, fault: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb);
        if verb == "run" {
            command.arg(self.path("runbook.yaml"));
        }
        command.arg("--headless").arg("--answers").arg(self.path("answers.yaml"));
        command.arg("--state-dir").arg(self.path("state")).env("SHOP", self.path("shop.db"));
        match fault {
            Some(fault) => command.env("BACKOUT_FAULT", fault),
            None => command.env_remove("BACKOUT_FAULT"),
        };
        command.output().unwrap()
    }

    /// Whom the program paid, in order.
    fn paid(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("ledger")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        self.audit(&["show", "--long"])
    }

    fn audit(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        let output = command.arg("audit").args(words).arg("--state-dir").arg(self.path("state")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    }

    /// Takes the run up as a person does: their words, one after the other, each when the evidence has been read.
    async fn settled_by_hand(&self, result: OutcomeResult, words: &[&str]) {
        let runs = self.path("state").join("runs");
        let run_dir = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
        let run = run_dir.file_name().unwrap().to_str().unwrap().to_owned();
        let runbook = match backout::runbook::load(&self.path("runbook.yaml")) {
            Ok(loaded) => Arc::new(loaded.runbook),
            Err(diagnostics) => panic!("{diagnostics}"),
        };
        let access = Access {
            env: BTreeMap::from([("SHOP".to_owned(), self.path("shop.db").display().to_string())]),
            run,
            runbook: runbook.name.clone(),
            incident: None,
            run_dir: run_dir.clone(),
            insecure_tls: false,
            stand_ins: None,
        };
        let now = engine::now();
        let stamp = Stamp { ts: now.wall, mono: now.boottime, boot: now.boot };
        let mut events: Vec<Event> = Vec::new();
        let mut each = |envelope: &audit::Envelope| engine::event_of(envelope).map(|event| events.push(event));
        let (writer, _) = Writer::resume(&run_dir, engine::ENGINE, stamp, &mut each).unwrap();
        let actor = events.iter().find_map(|event| match &event.record {
            Record::OperatorJoined(actor) => Some(Actor { id: "a9".to_owned(), ..actor.clone() }),
            _ => None,
        });
        let first = Input::Join(actor.unwrap());
        let (access, vars) = (Arc::new(access), Vec::new());
        let (actor, log_deadline) = ("a9".to_owned(), engine::LOG_DEADLINE);
        let setup = Setup { runbook, access, run_dir, writer, events, first, actor, vars, log_deadline };
        let (mut handle, ended) = engine::start(setup).unwrap();
        let settling = |snapshot: &Arc<Snapshot>| snapshot.state.open.as_ref().is_some_and(|open| open.settling);
        let cannot_tell = |snapshot: &Arc<Snapshot>| {
            settling(snapshot) && snapshot.message.as_ref().is_some_and(|m| m.what.starts_with("Nobody can tell"))
        };
        handle.snapshots.wait_for(cannot_tell).await.unwrap();
        for (n, reason) in words.iter().enumerate() {
            let reason = (*reason).to_owned();
            handle.asks.send(Ask::Settle { step: "pay".to_owned(), result, reason }).await.unwrap();
            let last = n + 1 == words.len();
            let taken = handle.snapshots.borrow().taken;
            let heard = |s: &Arc<Snapshot>| s.taken > taken;
            let snapshot = handle.snapshots.wait_for(heard).await.unwrap().clone();
            assert_eq!(snapshot.state.open.is_none(), last, "{:?}", snapshot.message);
        }
        handle.asks.send(Ask::Leave { why: "somebody else goes on".to_owned() }).await.unwrap();
        let code = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap().unwrap();
        assert_eq!(code, 5);
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const LOOKED: &str = "The bank's journal of 03:12 shows it.";

#[tokio::test(flavor = "multi_thread")]
async fn an_item_without_a_key_waits_for_the_word_of_a_person() {
    for (result, left) in [(OutcomeResult::Applied, 2), (OutcomeResult::NotApplied, 3)] {
        let payouts = Payouts::killed(false).await;
        let stuck = payouts.command("resume", None);
        assert_eq!(stuck.status.code(), Some(7), "{}", said(&stuck));
        assert!(said(&stuck).contains("row 1 was under way, and carries no key"), "{}", said(&stuck));
        assert_eq!(payouts.paid(), Vec::<String>::new(), "nothing is repeated on a guess");

        // A word is not enough; a reason is.
        payouts.settled_by_hand(result, &["yes", LOOKED]).await;
        let log = payouts.log();
        assert!(log.contains("say in 10 characters or more what you saw"), "{log}");
        assert!(log.contains("carries no key") && log.contains(LOOKED), "{log}");
        assert!(log.contains(&format!("detail=\"settled: {LOOKED}\"")), "the word is on the one item: {log}");
        assert_eq!(payouts.paid(), Vec::<String>::new(), "settling runs nothing");

        payouts.answers(left);
        let output = payouts.command("resume", None);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(payouts.paid(), ["1", "2", "3"][3 - left..], "{}", said(&output));
        payouts.audit(&["verify"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_with_a_key_is_sent_again_with_the_same_one() {
    let payouts = Payouts::killed(true).await;
    let output = payouts.command("resume", None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let paid = payouts.paid();
    assert_eq!(paid.len(), 3, "{paid:?}");
    let log = payouts.log();
    assert!(log.contains("carries its key"), "{log}");
    let first = paid[0].strip_prefix("1 --key=").unwrap();
    assert!(log.contains(&format!("point=\"begun\" data={{\"item\":\"{first}\"}}")), "{log}");
    let keys: std::collections::BTreeSet<_> = paid.iter().map(|line| line.split('=').next_back().unwrap()).collect();
    assert_eq!(keys.len(), 3);
    payouts.audit(&["verify"]);
}
