//! The loop itself: inputs in, records on disk, state, effects.
//!
//! Owns the writer, the state and everything that waits for them. Never awaits anything slow: what comes while the log
//! is written is taken in and kept in order.

mod asks;
mod effects;
mod intake;
mod readings;
mod record;
mod reports;
mod watched;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};

use self::intake::Came;
use super::probe::Probes;
use super::work::{Done, Work};
use super::{Ask, Handle, Link, Message, Snapshot, clock};
use crate::action::{Go, Job, Report};
use crate::audit;
use crate::failure::{Failure, Kind, Result};
use crate::run::decide::{Draft, Input};
use crate::run::effect::{Effect, resume};
use crate::run::record::{Act, CloseReason, End, Event, HoldReason, Now, Record};
use crate::run::state::State;
use crate::runbook::Runbook;
use crate::target::{Access, Targets};

pub use self::record::event_of;

/// How often the loop looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Events kept for drivers.
const TAIL: usize = 500;
/// How long the log may take to put a record on the disk. After that it counts as dead: nothing may rest on it.
pub const LOG_DEADLINE: Duration = Duration::from_secs(30);
/// The actor of what the engine decides by itself.
pub const ENGINE: &str = "engine";

/// What a run begins or goes on with.
pub struct Setup {
    pub runbook: Arc<Runbook>,
    pub access: Arc<Access>,
    pub run_dir: PathBuf,
    pub writer: audit::Writer,
    /// The log so far, when an earlier process began the run.
    pub events: Vec<Event>,
    /// The first input of a new run; a resumed one joins.
    pub first: Input,
    /// The actor that this process's operator is.
    pub actor: String,
    /// From the command line, by name.
    pub vars: Vec<(String, String)>,
    /// [`LOG_DEADLINE`], or another.
    pub log_deadline: Duration,
}

/// Starts the engine as a task. It ends when the run ends, when it is told to leave, or when the log dies.
pub fn start(setup: Setup) -> Result<(Handle, tokio::task::JoinHandle<Result<u8>>)> {
    let state = State::replay(&setup.events)
        .map_err(|illegal| Failure::new(Kind::AuditBroken, format!("the log cannot be followed: {illegal}")))?;
    let (asks, ask_inbox) = mpsc::channel(64);
    let (reports, report_inbox) = mpsc::channel(64);
    let (done, done_inbox) = mpsc::unbounded_channel();
    let (events, _) = broadcast::channel(1024);
    let targets = Arc::new(Targets::new(setup.runbook.clone(), setup.access.clone()));
    let log = setup.events.into_iter().map(Arc::new).collect::<Vec<_>>();
    let tail = log.len().saturating_sub(TAIL);
    let snapshot = Snapshot {
        runbook: setup.runbook.clone(),
        state: Arc::new(state.clone()),
        now: clock::now(),
        targets: links(&setup.runbook),
        checks: BTreeMap::new(),
        survey: None,
        surveying: false,
        preparing: None,
        classified: None,
        log: log.into_iter().skip(tail).collect(),
        message: None,
        watched: None,
        progress: None,
        run_dir: setup.run_dir,
        taken: 0,
        log_wait: None,
        exit: None,
    };
    let (publish, snapshots) = watch::channel(Arc::new(snapshot.clone()));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let engine = Engine {
        runbook: setup.runbook.clone(),
        access: setup.access,
        targets: targets.clone(),
        writer: setup.writer,
        state,
        snapshot,
        publish,
        events: events.clone(),
        actor: setup.actor,
        asks: Some(ask_inbox),
        reports: report_inbox,
        done: done_inbox,
        work: Work::new(reports, done),
        probes: Probes::new(&setup.runbook),
        jobs: HashMap::new(),
        tick,
        inbox: VecDeque::new(),
        log_deadline: setup.log_deadline,
        head: None,
        waiting: None,
        leaving: None,
        lost: None,
        effects: VecDeque::new(),
        checked_at: None,
        verdicts_changed: false,
        surveyed_at: None,
        dirty: true,
    };
    let task = tokio::spawn(engine.run(setup.first, setup.vars));
    Ok((Handle { asks, snapshots, events }, task))
}

fn links(runbook: &Runbook) -> Vec<(String, Link)> {
    let named = runbook.targets.values().filter(|target| crate::survey::has_identity(target.kind));
    named.map(|target| (target.name.clone(), Link::Connecting)).collect()
}

/// How the loop should end once nothing is open any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Leave,
    Terminate,
}

/// A worker that waits at a point or behind an item.
struct Waiting {
    step: String,
    att: u32,
    reply: oneshot::Sender<Go>,
}

struct Engine {
    runbook: Arc<Runbook>,
    access: Arc<Access>,
    targets: Arc<Targets>,
    writer: audit::Writer,
    state: State,
    snapshot: Snapshot,
    publish: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Arc<Event>>,
    actor: String,
    /// None once every driver is gone.
    asks: Option<mpsc::Receiver<Ask>>,
    reports: mpsc::Receiver<(String, u32, Report)>,
    done: mpsc::UnboundedReceiver<Done>,
    work: Work,
    probes: Probes,
    /// Prepared, and shown or begun: what an intent starts.
    jobs: HashMap<(String, u32), Job>,
    tick: Interval,
    /// What came while the log was written, in order; what stops things stands first.
    inbox: VecDeque<Came>,
    log_deadline: Duration,
    /// The newest record that is known to be on the disk.
    head: Option<audit::Anchor>,
    waiting: Option<Waiting>,
    leaving: Option<Leaving>,
    /// The log died: nothing that changes anything runs any more.
    lost: Option<Failure>,
    effects: VecDeque<Effect>,
    checked_at: Option<Now>,
    verdicts_changed: bool,
    surveyed_at: Option<Now>,
    dirty: bool,
}

impl Engine {
    async fn run(mut self, first: Input, vars: Vec<(String, String)>) -> Result<u8> {
        self.take(first, &self.actor.clone()).await;
        for (name, text) in vars {
            self.set_var(name, &text).await;
        }
        self.recover().await;
        self.survey();
        loop {
            self.run_effects().await;
            self.show();
            if let Some(code) = self.may_end() {
                return self.end(code).await;
            }
            let came = match self.inbox.pop_front() {
                Some(came) => came,
                None => self.comes().await,
            };
            self.take_in(came).await;
        }
    }

    /// Everything is on the disk, or the process ends as one whose log died.
    async fn end(mut self, code: u8) -> Result<u8> {
        if self.lost.is_none() {
            let written = self.writer.append(Vec::new(), true);
            if let Err(failure) = self.durable(written).await {
                self.log_died(failure, &[]);
            }
        }
        let ended = match self.lost {
            // A thread that hangs in a sync is not waited for.
            Some(failure) => Err(failure),
            None => self.writer.close().map(|()| code),
        };
        self.snapshot.exit = Some(ended.as_ref().map_or_else(Failure::exit_code, |code| *code));
        self.publish.send_replace(Arc::new(self.snapshot));
        ended
    }

    /// What an earlier process left open.
    async fn recover(&mut self) {
        if let Some(gate) = &self.state.gate {
            let detail = format!("the process that showed the gate of {} is gone", gate.step);
            self.take(Input::Close { reason: CloseReason::Left, detail }, ENGINE).await;
        }
        if audit::degraded::found(&self.snapshot.run_dir) {
            let why =
                format!("an earlier process could not write its log; its last words are in {}", audit::degraded::FILE);
            let record = Record::AuditDegraded { why };
            if self.append(vec![Draft { step: None, att: None, record }], ENGINE).await
                && let Err(error) = audit::degraded::recorded(&self.snapshot.run_dir)
            {
                tracing::warn!(%error, "the last words of an earlier process are told of once more at the next resume");
            }
        }
        if let Some(act) = self.state.act.clone() {
            let detail = match act {
                Act::Trial { .. } => "the process that tried it is gone, and the server rolled it back",
                _ => "the process that did it is gone: look whether it took",
            };
            let (applied, detail) = (false, detail.to_owned());
            self.take(Input::ActDone { act, applied, detail, tried: None, found: None }, ENGINE).await;
        }
        self.effects.extend(resume(&self.state));
        for reason in [HoldReason::Terminal, HoldReason::Signal] {
            if self.state.holds.contains(&reason) {
                let record = Record::HoldLifted { reason };
                self.append(vec![Draft { step: None, att: None, record }], &self.actor.clone()).await;
            }
        }
    }

    fn say(&mut self, what: String, means: Option<String>, can: Option<String>) {
        self.dirty = true;
        self.snapshot.message = Some(Message { at: clock::now(), what, means, can });
    }

    /// The exit code, when nothing is under way and the loop should end.
    fn may_end(&self) -> Option<u8> {
        // What was kept while the log was written is still to be decided.
        if !self.inbox.is_empty() {
            return None;
        }
        let unknown = self.state.open.as_ref().is_some_and(|open| open.unknown);
        // A trial holds locks until its rollback: its end is waited for.
        let trying = matches!(self.state.act, Some(Act::Trial { .. })) && self.lost.is_none();
        let running = trying || self.work.acting() || (self.state.open.is_some() && !unknown && self.lost.is_none());
        if running {
            return None;
        }
        let held = if self.state.undo_failed().is_some() { Kind::UndoFailed.exit_code() } else { 5 };
        let left = match self.leaving {
            Some(Leaving::Terminate) => Some(143),
            Some(Leaving::Leave) if unknown => Some(7),
            Some(Leaving::Leave) => Some(held),
            None => None,
        };
        match &self.state.ended {
            Some((End::Recovered, _)) => Some(0),
            Some((End::Degraded | End::Stopped, _)) => Some(held),
            None => left,
        }
    }

    fn show(&mut self) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        self.snapshot.state = Arc::new(self.state.clone());
        self.snapshot.now = clock::now();
        self.snapshot.checks = self.probes.live();
        self.publish.send_replace(Arc::new(self.snapshot.clone()));
    }
}
