//! A whole engine without a driver, over a log whose disk does as it is told.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use backout::audit::Writer;
use backout::audit::log::Log;
use backout::audit::store::{Dir, LogSink, Store};
use backout::engine::{self, Ask, Handle, Setup, Snapshot};
use backout::failure::Failure;
use backout::run::decide::Input;
use backout::run::record::{Actor, RunStarted};
use backout::run::state::Status;
use tokio::task::JoinHandle;

use crate::shop::Shop;

pub const RUN: &str = "01JH8Q3V5K6M7N8P9QRSTVWXYZ";
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq)]
pub enum Disk {
    Answers,
    Hangs,
    Fails,
}

pub type Switch = Arc<(Mutex<Disk>, Condvar)>;

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

/// A run at the open gate of `rename-back`.
pub struct Desk {
    pub shop: Shop,
    pub disk: Switch,
    pub handle: Handle,
    pub engine: JoinHandle<backout::failure::Result<u8>>,
    pub home: tempfile::TempDir,
}

impl Desk {
    /// On SQLite.
    pub async fn at_the_gate(log_deadline: Duration) -> Self {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("shop.db");
        std::fs::File::create(&database).unwrap();
        Self::on("sqlite", database.to_str().unwrap(), "text", home, log_deadline).await
    }

    pub async fn on(kind: &str, address: &str, status: &str, home: tempfile::TempDir, log_deadline: Duration) -> Self {
        let shop = Shop::run(kind, address, RUN);
        shop.fill(status).await;
        let desk = Self::begun(shop, home, log_deadline).await;
        desk.ask(Ask::Open { step: "evidence".into() }).await;
        desk.sees("the evidence", |now| now.state.status("evidence") == Status::Done).await;
        desk.ask(Ask::Open { step: "rename-back".into() }).await;
        desk.sees("the gate", |now| now.state.gate.is_some()).await;
        // It arms only after it could be read.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        desk
    }

    /// A run of a shop's own runbook, entered.
    pub async fn begun(shop: Shop, home: tempfile::TempDir, log_deadline: Duration) -> Self {
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
            leaves: Vec::new(),
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
        desk
    }

    pub async fn ask(&self, ask: Ask) {
        self.handle.asks.send(ask).await.unwrap();
    }

    /// What has to be typed, as a person who looked at it for a while.
    pub async fn answer(&self) {
        let answer = Ask::Answer { typed: "orders@shop".into(), reason: None, looked_ms: 5000, from_file: false };
        self.ask(answer).await;
    }

    pub async fn sees(&self, what: &str, seen: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.handle.snapshots.clone();
        let found = tokio::time::timeout(PATIENCE, snapshots.wait_for(seen)).await;
        found
            .unwrap_or_else(|_| panic!("no {what}: {:?}", self.handle.snapshots.borrow().message))
            .unwrap_or_else(|_| panic!("ended before {what}"))
            .clone()
    }

    pub fn turn(&self, to: Disk) {
        *self.disk.0.lock().unwrap() = to;
        self.disk.1.notify_all();
    }

    pub fn dir(&self) -> std::path::PathBuf {
        self.home.path().join(RUN)
    }

    /// The old column is still gone: nothing was applied.
    pub async fn unchanged(&self) {
        assert_eq!(self.shop.one("SELECT count(payment_reference_id) FROM orders").await, 10);
        assert_eq!(self.shop.one("SELECT count(*) FROM backout_marker").await, 0);
    }

    /// Ends by itself once told, as a process whose log died.
    pub async fn dies(self) -> (Failure, tempfile::TempDir, Shop) {
        let ended = tokio::time::timeout(PATIENCE, self.engine).await.expect("it ends").unwrap();
        (ended.unwrap_err(), self.home, self.shop)
    }
}
