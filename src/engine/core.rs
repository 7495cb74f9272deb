//! The loop itself: inputs in, records on disk, state, effects.
//!
//! Owns the writer, the state and everything that waits for them. Never awaits anything slow but the log.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::probe::Probes;
use super::work::{Done, Work};
use super::{Ask, Handle, Link, Message, Snapshot, clock};
use crate::action::{Go, Report};
use crate::audit;
use crate::check::Context;
use crate::failure::{Failure, Kind, Result};
use crate::run::decide::{Draft, Facts, Input, Refusal, decide};
use crate::run::effect::{Effect, effects};
use crate::run::gate;
use crate::run::record::{
    CloseReason, End, Event, HoldReason, ItemDone, Now, Offer, Outcome, OutcomeResult, Point, Record,
};
use crate::run::state::State;
use crate::runbook::{Action, CheckRef, Runbook, SetSource, Step};
use crate::survey::Survey;
use crate::target::{Access, Targets};

/// How often the loop looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Events kept for drivers.
const TAIL: usize = 500;
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
        progress: None,
        run_dir: setup.run_dir,
        taken: 0,
        exit: None,
    };
    let (publish, snapshots) = watch::channel(Arc::new(snapshot.clone()));
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
        asks: ask_inbox,
        reports: report_inbox,
        done: done_inbox,
        work: Work::new(reports, done),
        probes: Probes::new(&setup.runbook),
        jobs: HashMap::new(),
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
    asks: mpsc::Receiver<Ask>,
    reports: mpsc::Receiver<(String, u32, Report)>,
    done: mpsc::UnboundedReceiver<Done>,
    work: Work,
    probes: Probes,
    /// Prepared, and shown or begun: what an intent starts.
    jobs: HashMap<(String, u32), crate::action::Job>,
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
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            self.run_effects().await;
            self.show();
            if let Some(code) = self.may_end() {
                self.snapshot.exit = Some(code);
                self.publish.send_replace(Arc::new(self.snapshot.clone()));
                let closed = self.writer.close();
                return match self.lost {
                    Some(failure) => Err(failure),
                    None => closed.map(|()| code),
                };
            }
            tokio::select! {
                biased;
                Some((step, att, report)) = self.reports.recv() => self.hear(step, att, report).await,
                Some(done) = self.done.recv() => self.finish(done).await,
                ask = self.asks.recv() => match ask {
                    Some(ask) => {
                        self.ask(ask).await;
                        self.run_effects().await;
                        self.snapshot.taken += 1;
                    }
                    // Every driver is gone: as if the terminal was lost.
                    None if self.leaving.is_none() => self.leave(Leaving::Leave, HoldReason::Terminal, "no driver is left").await,
                    None => tokio::time::sleep(TICK).await,
                },
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    /// What an earlier process left open.
    async fn recover(&mut self) {
        if let Some(gate) = &self.state.gate {
            let detail = format!("the process that showed the gate of {} is gone", gate.step);
            self.take(Input::Close { reason: CloseReason::Left, detail }, ENGINE).await;
        }
        self.effects.extend(crate::run::effect::resume(&self.state));
        for reason in [HoldReason::Terminal, HoldReason::Signal] {
            if self.state.holds.contains(&reason) {
                let record = Record::HoldLifted { reason };
                self.append(vec![Draft { step: None, att: None, record }], &self.actor.clone()).await;
            }
        }
    }

    /// Decides an input and takes its records in. A refusal by a person's input is shown and recorded.
    async fn take(&mut self, input: Input, by: &str) -> bool {
        let now = clock::now();
        let facts = Facts { now: &now, by, readings: self.probes.readings() };
        match decide(&self.runbook, &self.state, &input, &facts) {
            Ok(drafts) => self.append(drafts, by).await,
            Err(refusal) => {
                self.refuse(&input, refusal, by, now).await;
                false
            }
        }
    }

    async fn refuse(&mut self, input: &Input, refusal: Refusal, by: &str, now: Now) {
        self.dirty = true;
        self.snapshot.message =
            Some(Message { at: now, what: refusal.because.clone(), means: None, can: refusal.instead });
        if by != ENGINE && !self.state.closed() && self.state.started.is_some() {
            let record = Record::Refused { input: word_of(input), because: refusal.because };
            self.append(vec![Draft { step: None, att: None, record }], by).await;
        }
    }

    /// The only way to the log: stamp, write, sync, then fold, then effects.
    async fn append(&mut self, drafts: Vec<Draft>, by: &str) -> bool {
        if drafts.is_empty() {
            return true;
        }
        if self.lost.is_some() {
            return false;
        }
        let at = clock::now();
        let events: Vec<Event> = drafts
            .into_iter()
            .map(|draft| Event {
                at: at.clone(),
                by: by.to_owned(),
                step: draft.step,
                att: draft.att,
                record: draft.record,
            })
            .collect();
        // What the state would refuse must not reach the log.
        let mut next = self.state.clone();
        for event in &events {
            if let Err(illegal) = next.evolve(event) {
                tracing::error!(%illegal, "a decision gave an illegal record");
                self.say(format!("A defect was stopped: {illegal}"), None, Some("nothing was recorded or done".into()));
                return false;
            }
        }
        let sync = events.iter().any(|event| !event.record.may_wait());
        let lines = events.iter().map(line).collect();
        match self.writer.append(lines, sync).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => return self.log_died(failure),
            Err(_) => return self.log_died(Failure::new(Kind::AuditUnwritable, "the audit log's writer is gone")),
        }
        self.state = next;
        self.dirty = true;
        for event in &events {
            super::fault::after(event);
        }
        for event in events {
            self.effects.extend(effects(&self.state, event.step.as_deref(), event.att, &event.record));
            self.probes.heard(&event.record);
            let event = Arc::new(event);
            self.snapshot.log.push_back(event.clone());
            if self.snapshot.log.len() > TAIL {
                self.snapshot.log.pop_front();
            }
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
        true
    }

    fn log_died(&mut self, failure: Failure) -> bool {
        let can = Some("nothing that changes anything runs any more; reading works; leave with q".to_owned());
        self.say(format!("The audit log cannot be written: {failure}"), None, can);
        self.lost = Some(failure);
        // Whoever waits at a point is told to stop.
        self.waiting = None;
        self.work.cancel();
        false
    }

    fn say(&mut self, what: String, means: Option<String>, can: Option<String>) {
        self.dirty = true;
        self.snapshot.message = Some(Message { at: clock::now(), what, means, can });
    }

    fn context(&self) -> Context {
        let (runbook, state) = (&self.runbook, &self.state);
        let stands = |id: &str| state.status(id).stands();
        let mut reads: BTreeMap<String, BTreeMap<String, crate::runbook::Reads>> = BTreeMap::new();
        for step in runbook.steps.values().filter(|step| stands(&step.id)) {
            for (service, topics) in &step.redeclares {
                let of = reads.entry(service.clone()).or_default();
                of.extend(topics.iter().map(|(topic, needs)| (topic.clone(), needs.clone())));
            }
        }
        let mut decided: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for step in runbook.steps.values() {
            if let (Action::Reconcile { set }, Some(rows)) = (&step.action, state.steps.get(&step.id)) {
                decided.entry(set.clone()).or_default().extend(rows.rows.clone());
            }
        }
        let images = state.steps.iter().filter_map(|(id, step)| {
            let image = step.outcome.as_ref().and_then(|outcome| outcome.before_image.clone());
            stands(id).then_some(())?;
            Some((id.clone(), image?))
        });
        Context {
            runbook: runbook.clone(),
            access: self.access.clone(),
            targets: self.targets.clone(),
            vars: state.vars.clone(),
            frozen: state.frozen.iter().map(|(name, frozen)| (name.clone(), frozen.content.clone())).collect(),
            changed: images.collect(),
            reads,
            decided,
            items: state.steps.iter().map(|(id, step)| (id.clone(), step.items.clone())).collect(),
            begun: state.steps.iter().filter_map(|(id, step)| Some((id.clone(), step.begun.clone()?))).collect(),
        }
    }

    fn survey(&mut self) {
        if self.state.closed() {
            return;
        }
        self.snapshot.surveying = true;
        self.dirty = true;
        self.work.survey(self.context());
    }

    async fn ask(&mut self, ask: Ask) {
        self.snapshot.message = None;
        self.dirty = true;
        let by = self.actor.clone();
        match ask {
            Ask::Enter { done } => drop(self.take(Input::Enter { done }, &by).await),
            Ask::Open { step } => self.prepare(&step, false),
            Ask::Undo { step } => self.prepare(&step, true),
            Ask::Answer { typed, reason, looked_ms, from_file } => {
                self.answer(typed, reason, looked_ms, from_file).await;
            }
            Ask::BreakGlass { reason } => drop(self.take(Input::BreakGlass { reason }, &by).await),
            Ask::Close => {
                let input = Input::Close { reason: CloseReason::Left, detail: "the operator left it".into() };
                self.take(input, &by).await;
            }
            Ask::Override { step, reason } => drop(self.take(Input::Override { step, reason }, &by).await),
            Ask::Skip { step, reason } => drop(self.take(Input::Skip { step, reason }, &by).await),
            Ask::Jump { to, reason } => drop(self.take(Input::Jump { to, reason }, &by).await),
            Ask::Note { step, text } => drop(self.take(Input::Note { step, text }, &by).await),
            Ask::SetVar { name, value } => self.set_var(name, &value).await,
            Ask::Decide { step, option, reason } => drop(self.take(Input::Decide { step, option, reason }, &by).await),
            Ask::Seen { step, seen } => drop(self.take(Input::Seen { step, seen }, &by).await),
            Ask::Classify { step, row, class, reason } => {
                if self.take(Input::Classify { step: step.clone(), row, class, reason }, &by).await {
                    self.classify(&step);
                }
            }
            Ask::Verify { step } => {
                let att = self.state.steps.get(&step).map_or(0, |s| s.att);
                self.effects.push_back(Effect::Verify { step, att });
            }
            Ask::Settle { step, result, reason } => {
                if self.state.open.as_ref().is_some_and(|open| open.step == step) {
                    self.take(Input::Settle { result, reason, outcome: None }, &by).await;
                } else {
                    self.say(format!("{step} has nothing to settle"), None, None);
                }
            }
            Ask::Elsewhere { step, evidence } => drop(self.take(Input::Elsewhere { step, evidence }, &by).await),
            Ask::Hold { why } => {
                self.take(Input::Hold { reason: HoldReason::Operator, detail: why }, &by).await;
            }
            Ask::Lift => drop(self.take(Input::Lift, &by).await),
            Ask::Act { act, typed } => {
                let token = gate::act_token(&act);
                self.take(Input::Act { act, token, typed }, &by).await;
            }
            Ask::Recheck { check } => {
                self.probes.recheck(&check);
            }
            Ask::Finish { end, open } => drop(self.take(Input::Finish { end, open }, &by).await),
            Ask::Leave { why } => self.leave(Leaving::Leave, HoldReason::Terminal, &why).await,
            Ask::Terminate => self.leave(Leaving::Terminate, HoldReason::Signal, "SIGTERM").await,
        }
    }

    async fn set_var(&mut self, name: String, text: &str) {
        let Some(var) = self.runbook.vars.get(&name) else {
            return self.say(format!("the runbook has no variable {name}"), None, None);
        };
        match crate::runbook::vars::read_value(var.kind, text) {
            Ok(value) => {
                let by = self.actor.clone();
                if self.take(Input::SetVar { name, value }, &by).await {
                    self.probes.all_due();
                }
            }
            Err(why) => self.say(format!("{name}: {why}"), None, None),
        }
    }

    fn prepare(&mut self, id: &str, undoing: bool) {
        let Some(step) = self.runbook.steps.get(id) else {
            return self.say(format!("the runbook has no step {id}"), None, None);
        };
        if self.snapshot.preparing.is_some() {
            return self.say("another step is being prepared".into(), None, None);
        }
        let att = self.state.steps.get(id).map_or(0, |s| s.att) + 1;
        self.snapshot.preparing = Some((id.to_owned(), clock::now()));
        let needs = step.needs.iter().map(|need| need.check.clone()).collect();
        self.work.prepare(step.clone(), att, undoing, needs, self.state.environment(), self.context());
        if matches!(step.action, Action::Reconcile { .. }) {
            self.classify(id);
        }
    }

    fn classify(&mut self, id: &str) {
        if let Some(Action::Reconcile { set }) = self.runbook.steps.get(id).map(|step| &step.action)
            && self.runbook.sets.get(set).is_some_and(|set| matches!(set.source, SetSource::Compare(_)))
        {
            self.work.classify(set.clone(), self.context());
        }
    }

    async fn answer(&mut self, typed: String, reason: Option<String>, looked_ms: u64, from_file: bool) {
        let transactional = self
            .state
            .gate
            .as_ref()
            .and_then(|gate| self.jobs.get(&(gate.step.clone(), gate.att)))
            .is_some_and(crate::action::Job::is_transactional);
        let by = self.actor.clone();
        self.take(Input::Answer { typed, reason, looked_ms, from_file, transactional }, &by).await;
    }

    async fn leave(&mut self, how: Leaving, reason: HoldReason, why: &str) {
        self.leaving = Some(how);
        if self.state.gate.is_some() {
            self.take(Input::Close { reason: CloseReason::Left, detail: why.to_owned() }, ENGINE).await;
        }
        if !self.state.closed() {
            self.take(Input::Hold { reason, detail: why.to_owned() }, ENGINE).await;
        }
        if how == Leaving::Terminate {
            self.work.cancel();
        }
    }

    /// The exit code, when nothing is under way and the loop should end.
    fn may_end(&self) -> Option<u8> {
        let unknown = self.state.open.as_ref().is_some_and(|open| open.unknown);
        let running = self.work.acting() || (self.state.open.is_some() && !unknown && self.lost.is_none());
        if running {
            return None;
        }
        let left = match self.leaving {
            Some(Leaving::Terminate) => Some(143),
            Some(Leaving::Leave) if unknown => Some(7),
            Some(Leaving::Leave) => Some(5),
            None => None,
        };
        match &self.state.ended {
            Some((End::Recovered, _)) => Some(0),
            Some((End::Degraded | End::Stopped, _)) => Some(5),
            None => left,
        }
    }

    async fn run_effects(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Work { step, att } => match self.jobs.remove(&(step.clone(), att)) {
                    Some(job) => self.work.perform(step, att, job, self.context()),
                    None => {
                        let outcome = not_applied("nothing was started: its preparation is gone");
                        self.take(Input::Finished { step, att, outcome }, ENGINE).await;
                    }
                },
                Effect::Release { step, att, .. } | Effect::ReleaseItem { step, att } => {
                    let go = if self.stopping() { Go::Stop } else { Go::Go };
                    self.release(&step, att, go);
                }
                Effect::Verify { step, .. } => {
                    if let Some(step) = self.runbook.steps.get(&step) {
                        let checks = to_verify(step, &self.state);
                        self.work.verify(step.id.clone(), checks, self.state.environment(), self.context());
                    }
                }
                Effect::Unsettled => drop(self.take(Input::SettleStart, ENGINE).await),
                Effect::Settle { step, att } => {
                    let reached = self.state.open.as_ref().map(|open| open.reached.clone()).unwrap_or_default();
                    let shown =
                        self.state.steps.get(&step).and_then(|s| s.shown.clone()).filter(|s| s.offer.att == att);
                    if let Some(step) = self.runbook.steps.get(&step) {
                        self.work.settle(step.clone(), shown.map(|s| s.offer), reached, self.context());
                    }
                }
                Effect::Act(act) => self.work.act(act, self.context()),
                Effect::Poll => self.probes.all_due(),
                Effect::End => {}
            }
        }
    }

    /// Whether a worker at a point of no return must turn back.
    fn stopping(&self) -> bool {
        let claim_lost = self.state.holds.iter().any(|hold| matches!(hold, HoldReason::Claim { .. }));
        self.lost.is_some() || self.leaving == Some(Leaving::Terminate) || claim_lost
    }

    fn release(&mut self, step: &str, att: u32, go: Go) {
        match self.waiting.take() {
            // A worker that is gone needs no answer.
            Some(waiting) if waiting.step == step && waiting.att == att => drop(waiting.reply.send(go)),
            other => self.waiting = other,
        }
    }

    async fn hear(&mut self, step: String, att: u32, report: Report) {
        match report {
            Report::Reached { point, data, reply } => self.reached(step, att, point, data, reply).await,
            Report::AttemptFailed { code, message, again_in_ms } => {
                self.take(Input::AttemptFailed { step, att, code, message, again_in_ms }, ENGINE).await;
            }
            Report::Progressed { done, of } => {
                self.snapshot.progress = Some((done, of));
                self.take(Input::Progressed { step, att, done, of }, ENGINE).await;
            }
            Report::Item { item, reply } => self.item(step, att, item, reply).await,
            Report::ClaimLost { target, holder } => {
                self.take(Input::ClaimLost { target, holder }, ENGINE).await;
            }
            Report::Frozen(items) => drop(self.take(Input::Froze { step, att, items }, ENGINE).await),
            Report::Finished(outcome) => self.finished(step, att, outcome).await,
        }
    }

    async fn reached(
        &mut self,
        step: String,
        att: u32,
        point: Point,
        data: serde_json::Value,
        reply: oneshot::Sender<Go>,
    ) {
        if let Some((target, epoch)) = claimed(&data)
            && self.state.claims.get(&target) != Some(&epoch)
        {
            self.take(Input::Claimed { target, epoch }, ENGINE).await;
        }
        self.waiting = Some(Waiting { step: step.clone(), att, reply });
        let taken = self.take(Input::Reached { step: step.clone(), att, point, data }, ENGINE).await;
        super::fault::at(&step, point);
        if !taken {
            self.release(&step, att, Go::Stop);
        }
    }

    async fn item(&mut self, step: String, att: u32, item: ItemDone, reply: oneshot::Sender<Go>) {
        self.waiting = Some(Waiting { step: step.clone(), att, reply });
        if !self.take(Input::Item { step: step.clone(), att, item }, ENGINE).await {
            self.release(&step, att, Go::Stop);
        }
    }

    async fn finished(&mut self, step: String, att: u32, outcome: Outcome) {
        super::fault::named(&step, "finished");
        self.snapshot.progress = None;
        if outcome.result == OutcomeResult::NotApplied {
            self.say(
                format!("{step} was not applied: {}", outcome.evidence),
                None,
                Some("its gate may be opened again".into()),
            );
        }
        match outcome.result {
            OutcomeResult::NotApplied => self.classify(&step),
            _ => self.snapshot.classified = None,
        }
        self.take(Input::Finished { step, att, outcome }, ENGINE).await;
    }

    async fn finish(&mut self, done: Done) {
        self.dirty = true;
        match done {
            Done::Prepared { step, needs, prepared, readings } => {
                self.snapshot.preparing = None;
                for checked in readings {
                    self.answered(checked).await;
                }
                self.prepared(step, needs, prepared).await;
            }
            Done::Answered(checked) => self.answered(checked).await,
            Done::Verified { step, checks } => {
                for checked in &checks {
                    self.answered(checked.clone()).await;
                }
                self.take(Input::Verified { step, checks }, ENGINE).await;
            }
            Done::Surveyed(survey) => self.surveyed(*survey).await,
            Done::Classified(Ok(classified)) => self.snapshot.classified = Some(Arc::new(*classified)),
            Done::Classified(Err(failure)) => self.failed(&failure),
            Done::Settled { evidence, result, reason, outcome } => {
                for (what, finding) in evidence {
                    self.take(Input::SettleEvidence { what, finding }, ENGINE).await;
                }
                if result == OutcomeResult::Unknown {
                    self.say(
                        "Nobody can tell whether it happened".into(),
                        Some(reason),
                        Some("look yourself, then settle it with a reason".into()),
                    );
                } else {
                    self.take(Input::Settle { result, reason, outcome: Some(outcome) }, ENGINE).await;
                }
            }
            Done::Acted { act, applied, detail } => {
                self.take(Input::ActDone { act, applied, detail }, ENGINE).await;
            }
            Done::Link { target, link } => self.linked(target, link).await,
            Done::Panicked { step, att, words } => {
                let outcome = Outcome {
                    result: OutcomeResult::Unknown,
                    evidence: format!("the worker died: {words}"),
                    changed: None,
                    changed_since: Vec::new(),
                    before_image: None,
                };
                self.take(Input::Finished { step, att, outcome }, ENGINE).await;
            }
        }
    }

    async fn prepared(&mut self, step: String, _undoing: bool, prepared: Result<crate::action::Prepared>) {
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return self.failed(&failure),
        };
        // The digest, and the marker that carries it, are of the offer as the log keeps it.
        let logged = serde_json::to_value(&prepared.offer).map(|offer| self.writer.as_logged(offer));
        if let Some(mut offer) = logged.ok().and_then(|offer| serde_json::from_value::<Offer>(offer).ok()) {
            offer.binds.iter_mut().for_each(crate::run::record::exact);
            prepared.job.offer = offer.clone();
            prepared.offer = offer;
        }
        let by = self.actor.clone();
        if !prepared.needed {
            let because = "the preview is 0: nothing is to be done".to_owned();
            self.take(Input::NotNeeded { step, because }, &by).await;
            return;
        }
        let att = prepared.offer.att;
        self.jobs.retain(|(of, _), _| of != &step);
        self.jobs.insert((step.clone(), att), prepared.job);
        if prepared.offer.level == crate::runbook::Level::None {
            let on = prepared.offer.target.map(|target| target.name);
            self.take(Input::Begin { step, on }, &by).await;
        } else {
            let (offer, evidence) = (prepared.offer, prepared.evidence);
            self.take(Input::Show { step, offer, evidence }, &by).await;
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let means = (!failure.causes.is_empty()).then(|| failure.causes.join("; "));
        self.say(failure.message.clone(), means, failure.hint.clone());
    }

    async fn answered(&mut self, checked: crate::run::record::Checked) {
        let changed = self.probes.answered(checked.clone(), &clock::now());
        self.dirty = true;
        self.verdicts_changed |= changed;
        if self.state.guards.contains_key(&checked.check) {
            // How long it must have held was proved when it was bound: a process that has just begun to look has not
            // seen it break.
            let pass = checked.verdict.is_pass().then(|| checked.verdict.clone());
            if let Some(verdict) = pass.or_else(|| self.probes.verdict(&checked.check)) {
                let input = Input::GuardChecked { check: checked.check, verdict, value: checked.value };
                self.take(input, ENGINE).await;
            }
        }
        self.close_stale_gate().await;
    }

    async fn surveyed(&mut self, survey: Survey) {
        self.snapshot.surveying = false;
        for checked in &survey.checks {
            self.verdicts_changed |= self.probes.answered(checked.clone(), &clock::now());
        }
        for (target, identity) in &survey.targets {
            let link = match identity {
                Ok(identity) => Link::Up(Box::new(identity.clone())),
                Err(words) => Link::Down { words: words.clone(), since: clock::now() },
            };
            self.linked(target.clone(), link).await;
        }
        self.take(Input::Survey(survey.record()), ENGINE).await;
        self.surveyed_at = Some(clock::now());
        self.snapshot.survey = Some(Arc::new(survey));
    }

    async fn linked(&mut self, target: String, link: Link) {
        let by_name = |entry: &&mut (String, Link)| entry.0 == target;
        let Some((_, old)) = self.snapshot.targets.iter_mut().find(by_name) else { return };
        let (was, is) = (old.clone(), link.clone());
        *old = link;
        self.dirty = true;
        match (was, is) {
            (Link::Up(before), Link::Up(after)) if before.seen.identity != after.seen.identity => {
                let why = format!("another server answers now: {}", after.seen.words);
                self.take(Input::TargetLost { target: target.clone(), why: why.clone() }, ENGINE).await;
                let reason = HoldReason::Target { name: target };
                self.take(Input::Hold { reason, detail: why }, ENGINE).await;
            }
            (Link::Up(_), Link::Down { words, .. }) => {
                self.take(Input::TargetLost { target, why: words }, ENGINE).await;
            }
            (Link::Down { .. }, Link::Up(identity)) => {
                let identity = serde_json::to_value(&identity.seen).unwrap_or_default();
                self.take(Input::TargetFound { target, identity }, ENGINE).await;
                self.probes.all_due();
            }
            _ => {}
        }
    }

    async fn close_stale_gate(&mut self) {
        let Some(open) = &self.state.gate else { return };
        let Some(step) = self.runbook.steps.get(&open.step) else { return };
        if open.shown.offer.undoes.as_deref() == Some(open.step.as_str()) {
            return;
        }
        let overridden =
            self.state.overrides.iter().any(|(of, what, _)| of.as_deref() == Some(&step.id) && what.ends_with("need"));
        let readings = self.probes.readings();
        let needs: Vec<_> = step
            .needs
            .iter()
            .filter(|_| !overridden)
            .filter_map(|need| readings.get(&need.check))
            .map(|checked| (checked, gate::freshness(self.probes.check(&checked.check), checked)))
            .collect();
        if let Some((reason, detail)) = gate::must_close(&needs, &open.at, &clock::now()) {
            let what = format!("The gate of {} closed: {detail}", open.step);
            self.take(Input::Close { reason, detail }, ENGINE).await;
            self.say(what, Some("nothing happened".into()), Some("Enter opens it again".into()));
        }
    }

    async fn tick(&mut self) {
        let now = clock::now();
        self.close_stale_gate().await;
        let urgent: Vec<_> = self
            .state
            .gate
            .as_ref()
            .and_then(|gate| self.runbook.steps.get(&gate.step))
            .map(|step| step.needs.iter().map(|need| need.check.clone()).collect())
            .unwrap_or_default();
        if !self.state.closed() && self.leaving.is_none() {
            for check in self.probes.due(&now, &urgent) {
                self.work.check(check, self.context());
            }
            for target in self.probes.links_due(&now, &self.snapshot.targets) {
                self.work.link(target, self.targets.clone());
            }
        }
        self.record_checks(&now).await;
    }

    /// One unsynced record for all checks: every 5 s, at once on a changed verdict, at most one a second.
    async fn record_checks(&mut self, now: &Now) {
        let age = self.checked_at.as_ref().map_or(u64::MAX, |at| now.seconds_since(at));
        let due = (self.verdicts_changed && age >= 1) || age >= 5;
        if !due || self.state.closed() || self.probes.readings().is_empty() {
            return;
        }
        let (checks, flaps) = self.probes.to_record();
        self.checked_at = Some(now.clone());
        self.verdicts_changed = false;
        let record = Record::Checked { checks, flaps };
        self.append(vec![Draft { step: None, att: None, record }], ENGINE).await;
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

/// What must hold after the present attempt of a step. Undoing a step promises nothing of what it was for.
fn to_verify(step: &Step, state: &State) -> Vec<CheckRef> {
    let undone = state.steps.get(&step.id).and_then(|s| s.undoes.as_deref()) == Some(step.id.as_str());
    if undone { Vec::new() } else { step.verify.clone() }
}

/// The claim that a worker took, as it stands in the data of its point.
fn claimed(data: &serde_json::Value) -> Option<(String, u64)> {
    let claim = data.get("claim")?;
    let epoch = claim.get("epoch")?;
    let epoch = epoch.as_u64().or_else(|| epoch.as_str()?.parse().ok())?;
    Some((claim.get("target")?.as_str()?.to_owned(), epoch))
}

fn not_applied(evidence: &str) -> Outcome {
    Outcome {
        result: OutcomeResult::NotApplied,
        evidence: evidence.to_owned(),
        changed: None,
        changed_since: Vec::new(),
        before_image: None,
    }
}

fn line(event: &Event) -> audit::Draft {
    let (kind, payload) = event.record.parts();
    audit::Draft {
        by: event.by.clone(),
        step: event.step.clone(),
        att: event.att,
        kind,
        payload,
        ts: event.at.wall,
        mono: event.at.boottime,
        boot: event.at.boot.clone(),
    }
}

/// The event of a line of the log.
///
/// # Errors
/// A kind that this version does not know, or a payload that is not of its kind.
pub fn event_of(envelope: &audit::Envelope) -> std::result::Result<Event, String> {
    let record = Record::from_parts(&envelope.kind, &envelope.payload).map_err(|error| error.to_string())?;
    let at = Now { wall: envelope.ts, boottime: envelope.mono, boot: envelope.boot.clone() };
    Ok(Event { at, by: envelope.by.clone(), step: envelope.step.clone(), att: envelope.att, record })
}

/// The input's name, as `refused` records it.
fn word_of(input: &Input) -> String {
    let debug = format!("{input:?}");
    let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
    debug[..end].to_owned()
}
