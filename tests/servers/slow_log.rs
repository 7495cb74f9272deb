//! A disk that is slow, fails or never answers, under a whole engine with a real database beside it.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use backout::audit::log::Log;
use backout::audit::store::{Dir, LogSink, Store};
use backout::audit::{self, Writer};
use backout::engine::{self, Ask, Handle, LOG_DEADLINE, Setup, Snapshot};
use backout::failure::{Failure, Kind};
use backout::run::decide::Input;
use backout::run::record::{Actor, HoldReason, RunStarted};
use backout::run::state::Status;
use tokio::task::JoinHandle;

use crate::shop::Shop;

const RUN: &str = "01JH8Q3V5K6M7N8P9QRSTVWXYZ";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq)]
enum Disk {
    Answers,
    Hangs,
    Fails,
}

type Switch = Arc<(Mutex<Disk>, Condvar)>;

struct Slow(Dir, Switch);

struct SlowSink(Box<dyn LogSink>, Switch);

impl Store for Slow {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn open(&self, name: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        self.0.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogSink>> {
        Ok(Box::new(SlowSink(self.0.create(name)?, self.1.clone())))
    }
}

impl LogSink for SlowSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (disk, turned) = &*self.1;
        let disk = turned.wait_while(disk.lock().unwrap(), |disk| *disk == Disk::Hangs).unwrap();
        match *disk {
            Disk::Fails => Err(io::Error::from_raw_os_error(5)),
            _ => self.0.sync(),
        }
    }

    fn health(&self) -> io::Result<()> {
        self.0.health()
    }
}

/// A run on SQLite at the open gate of `rename-back`.
struct Desk {
    shop: Shop,
    disk: Switch,
    handle: Handle,
    engine: JoinHandle<backout::failure::Result<u8>>,
    home: tempfile::TempDir,
}

impl Desk {
    async fn at_the_gate(log_deadline: Duration) -> Self {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("shop.db");
        std::fs::File::create(&database).unwrap();
        let shop = Shop::run("sqlite", database.to_str().unwrap(), RUN);
        shop.fill("text").await;
        let run_dir = home.path().join(RUN);
        let disk: Switch = Arc::new((Mutex::new(Disk::Answers), Condvar::new()));
        let log = Log::create(Slow(Dir::create(&run_dir).unwrap(), disk.clone()), RUN).unwrap();
        let started = RunStarted {
            run: RUN.into(),
            runbook: "shop".into(),
            runbook_digest: String::new(),
            incident: None,
            version: String::new(),
            steps: shop.context.runbook.steps.keys().cloned().collect(),
            headless: false,
        };
        let (id, user, host) = ("a1".to_owned(), "alice".to_owned(), "here".to_owned());
        let actor = Actor { id, user, uid: 1, host, tty: None, claimed_ssh: None, pid: 1 };
        let setup = Setup {
            runbook: shop.context.runbook.clone(),
            access: shop.context.access.clone(),
            run_dir,
            writer: Writer::over(log, None),
            events: Vec::new(),
            first: Input::Start { started, actor },
            actor: "a1".into(),
            vars: Vec::new(),
            log_deadline,
        };
        let (handle, engine) = engine::start(setup).unwrap();
        let desk = Self { shop, disk, handle, engine, home };
        desk.sees("a survey", |now| now.survey.is_some() && now.state.survey.is_some()).await;
        desk.ask(Ask::Enter { done: Vec::new() }).await;
        desk.sees("the entry", |now| now.state.entered).await;
        desk.ask(Ask::Open { step: "evidence".into() }).await;
        desk.sees("the evidence", |now| now.state.status("evidence") == Status::Done).await;
        desk.ask(Ask::Open { step: "rename-back".into() }).await;
        desk.sees("the gate", |now| now.state.gate.is_some()).await;
        // It arms only after it could be read.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        desk
    }

    async fn ask(&self, ask: Ask) {
        self.handle.asks.send(ask).await.unwrap();
    }

    /// What has to be typed, as a person who looked at it for a while.
    async fn answer(&self) {
        let answer = Ask::Answer { typed: "orders@shop".into(), reason: None, looked_ms: 5000, from_file: false };
        self.ask(answer).await;
    }

    async fn sees(&self, what: &str, seen: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.handle.snapshots.clone();
        let found = tokio::time::timeout(PATIENCE, snapshots.wait_for(seen)).await;
        found
            .unwrap_or_else(|_| panic!("no {what}: {:?}", self.handle.snapshots.borrow().message))
            .unwrap_or_else(|_| panic!("ended before {what}"))
            .clone()
    }

    fn turn(&self, to: Disk) {
        *self.disk.0.lock().unwrap() = to;
        self.disk.1.notify_all();
    }

    fn dir(&self) -> std::path::PathBuf {
        self.home.path().join(RUN)
    }

    /// The old column is still gone: nothing was applied.
    async fn unchanged(&self) {
        assert_eq!(self.shop.one("SELECT count(payment_reference_id) FROM orders").await, 10);
        assert_eq!(self.shop.one("SELECT count(*) FROM backout_marker").await, 0);
    }

    /// Ends by itself once told, as a process whose log died.
    async fn dies(self) -> (Failure, tempfile::TempDir, Shop) {
        let ended = tokio::time::timeout(PATIENCE, self.engine).await.expect("it ends").unwrap();
        (ended.unwrap_err(), self.home, self.shop)
    }
}

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
    let kinds = kinds(&desk.home.path().join(RUN));
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
