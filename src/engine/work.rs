//! Tasks beside the loop: workers, checks, surveys. Each one reports back; none of them touches the state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};

use super::{Link, clock};
use crate::action::{self, Acted, Classified, Job, Port, Prepared, Report};
use crate::check::{self, Answer, Context, Depth};
use crate::failure::Result;
use crate::run::record::{Act, Checked, Environment, Offer, Outcome, OutcomeResult, Point, Restored};
use crate::runbook::expect::Verdict;
use crate::runbook::{CheckKind, CheckRef, Step};
use crate::survey::{self, Seen, Survey, stamp};
use crate::target::Targets;

/// How long `verify` waits for a world that needs a moment, beside the check's own `for`.
const VERIFY_PATIENCE: Duration = Duration::from_secs(30);
const VERIFY_AGAIN: Duration = Duration::from_millis(500);

/// What a task found.
pub enum Done {
    Prepared { step: String, prepared: Result<Box<Prepared>>, readings: Vec<Checked> },
    Answered(Checked),
    Verified { step: String, checks: Vec<Checked>, restored: Option<Restored> },
    Surveyed(Box<Survey>),
    Classified(Result<Box<Classified>>),
    Settled { evidence: Vec<(String, String)>, result: OutcomeResult, reason: String, outcome: Outcome },
    Acted { act: Act, acted: Acted },
    Link { target: String, link: Link },
    Panicked { step: String, att: u32, words: String },
}

pub struct Work {
    reports: mpsc::Sender<(String, u32, Report)>,
    done: mpsc::UnboundedSender<Done>,
    cancel: watch::Sender<bool>,
    worker: Option<tokio::task::JoinHandle<()>>,
    /// Turns true where the act under way must come back at once.
    trial: Option<watch::Sender<bool>>,
}

impl Work {
    pub fn new(reports: mpsc::Sender<(String, u32, Report)>, done: mpsc::UnboundedSender<Done>) -> Self {
        Self { reports, done, cancel: watch::Sender::new(false), worker: None, trial: None }
    }

    /// A worker is under way.
    pub fn acting(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| !worker.is_finished())
    }

    /// Tells the worker to cancel on the server and turn back.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// The same for a trial: it is rolled back at once.
    pub fn cancel_trial(&self) {
        if let Some(trial) = &self.trial {
            trial.send_replace(true);
        }
    }

    pub fn perform(&mut self, step: String, att: u32, job: Job, context: Context) {
        self.cancel.send_replace(false);
        let port = Port { step: step.clone(), att, reports: self.reports.clone(), cancel: self.cancel.subscribe() };
        let (reports, done) = (self.reports.clone(), self.done.clone());
        self.worker = Some(tokio::spawn(async move {
            // A panic in a worker is an unknown outcome, never a dead screen.
            let worker = tokio::spawn(async move { action::perform(job, context, &port).await });
            match worker.await {
                Ok(outcome) => {
                    let _ = reports.send((step, att, Report::Finished(outcome))).await;
                }
                Err(died) => {
                    let _ = done.send(Done::Panicked { step, att, words: died.to_string() });
                }
            }
        }));
    }

    fn spawn(&self, task: impl Future<Output = Done> + Send + 'static) {
        let done = self.done.clone();
        tokio::spawn(async move {
            // The engine may have ended.
            let _ = done.send(task.await);
        });
    }

    pub fn survey(&self, context: Context) {
        let done = self.done.clone();
        self.spawn(async move {
            let seen = move |_, seen| {
                if let Seen::Check(checked) = seen {
                    let _ = done.send(Done::Answered(checked));
                }
            };
            Done::Surveyed(Box::new(survey::take(&context, clock::now, seen).await))
        });
    }

    pub fn check(&self, check: CheckRef, context: Context) {
        self.spawn(async move {
            let answer = ask(&check, &context, Depth::Parse).await;
            Done::Answered(stamp(check, answer, clock::now()))
        });
    }

    pub fn link(&self, target: String, targets: Arc<Targets>) {
        self.spawn(async move {
            let link = match targets.identity(&target).await {
                Ok(identity) => Link::Up(Box::new(identity)),
                Err(failure) => Link::Down { words: failure.to_string(), since: clock::now() },
            };
            Done::Link { target, link }
        });
    }

    pub fn prepare(
        &self,
        step: Step,
        att: u32,
        undoing: bool,
        asked: BTreeSet<CheckRef>,
        environment: Environment,
        context: Context,
    ) {
        self.spawn(async move {
            let asked = join_all(asked.into_iter().map(|check| async {
                let answer = ask(&check, &context, Depth::Parse).await;
                stamp(check, answer, clock::now())
            }));
            let (readings, prepared) = tokio::join!(asked, action::prepare(&step, att, undoing, environment, &context));
            let prepared = prepared.map(|mut prepared| {
                let needed = |checked: &&Checked| step.needs.iter().any(|need| need.check == checked.check);
                prepared.evidence.needs = readings.iter().filter(needed).cloned().collect();
                Box::new(prepared)
            });
            Done::Prepared { step: step.id, prepared, readings }
        });
    }

    pub fn classify(&self, set: String, context: Context) {
        self.spawn(async move { Done::Classified(action::classify(&set, &context).await.map(Box::new)) });
    }

    /// Asks until all pass, one that cannot change has failed, or patience is over. Where the step undid another, or
    /// itself, the catalog is compared as well.
    pub fn verify(
        &self,
        step: String,
        checks: Vec<CheckRef>,
        undone: Option<String>,
        environment: Environment,
        context: Context,
    ) {
        self.spawn(async move {
            let restored = async {
                match undone {
                    Some(undone) => action::restored::compare(&undone, &context).await,
                    None => None,
                }
            };
            let checks = join_all(checks.into_iter().map(|check| verify_one(check, environment, &context)));
            let (checks, restored) = tokio::join!(checks, restored);
            Done::Verified { step, checks, restored }
        });
    }

    pub fn settle(&self, step: Step, offer: Option<Offer>, reached: Vec<(Point, serde_json::Value)>, context: Context) {
        self.spawn(async move {
            let settlement = action::settle(&step, offer.as_ref(), &reached, &context).await;
            Done::Settled {
                evidence: settlement.evidence,
                result: settlement.result,
                reason: settlement.reason,
                outcome: settlement.outcome,
            }
        });
    }

    pub fn act(&mut self, act: Act, context: Context) {
        if matches!(act, Act::Cancel { .. }) {
            self.cancel();
        }
        let (stop, stopped) = watch::channel(false);
        self.trial = Some(stop);
        self.spawn(async move {
            let doing = act.clone();
            // A panic ends the act, never the engine that waits for its end.
            let acted = tokio::spawn(async move { action::act(&doing, &context, stopped).await }).await;
            let died = |died: tokio::task::JoinError| (false, format!("it died: {died}")).into();
            Done::Acted { act, acted: acted.unwrap_or_else(died) }
        });
    }
}

async fn ask(check: &CheckRef, context: &Context, depth: Depth) -> Answer {
    match check {
        CheckRef::Check(name) => match context.runbook.checks.get(name) {
            Some(check) => check::ask(check, context, depth).await,
            None => Answer { verdict: Verdict::unknown("no such check"), value: None, words: None, took_ms: 0 },
        },
        CheckRef::ServiceGone(service) => check::service::gone(service, context).await,
    }
}

async fn verify_one(check: CheckRef, environment: Environment, context: &Context) -> Checked {
    let found = match &check {
        CheckRef::Check(name) => context.runbook.checks.get(name),
        CheckRef::ServiceGone(_) => None,
    };
    // On production a probe is prepared only, unless it runs inside the step's own transaction.
    let depth = if environment == Environment::Rehearsal { Depth::Try } else { Depth::Parse };
    let settles_at_once = found.is_some_and(|check| {
        check.hold.is_none()
            && matches!(
                check.kind,
                CheckKind::Query(_) | CheckKind::Probe { .. } | CheckKind::Schema(_) | CheckKind::Count { .. }
            )
    });
    let hold = found.and_then(|check| check.hold);
    let patience = VERIFY_PATIENCE + hold.unwrap_or_default();
    let began = Instant::now();
    let mut green_since: Option<Instant> = None;
    loop {
        let answer = ask(&check, context, depth).await;
        let green = answer.verdict == Verdict::Pass;
        let since = if green { *green_since.get_or_insert_with(Instant::now) } else { Instant::now() };
        if !green {
            green_since = None;
        }
        let held = hold.is_none_or(|hold| since.elapsed() >= hold);
        let over = began.elapsed() >= patience;
        if (green && held) || (settles_at_once && !green) || over {
            let mut checked = stamp(check, answer, clock::now());
            if green && !held {
                checked.verdict = Verdict::unknown("it was not green for long enough");
            }
            return checked;
        }
        tokio::time::sleep(VERIFY_AGAIN).await;
    }
}
