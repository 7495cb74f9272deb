//! Actions: what a step does to the world.
//!
//! Owns the three moments of every action: `prepare` (read-only: render it, count it, say what it asks consent to),
//! `perform` (do it, stopping at every point of no return until the engine says go) and `settle` (after a crash: did it
//! happen?), and its done-check. Never writes the log, never decides; the engine does both.

mod alive;
mod cancel;
pub mod change;
pub mod command;
mod committing;
mod copied;
pub mod ddl;
pub mod facts;
pub mod freeze;
pub mod http;
pub mod item;
pub mod live;
pub mod marker;
pub mod position;
pub mod prepare;
pub mod publish;
pub mod reconcile;
pub mod restored;
pub mod rows;
pub mod session;
pub mod sets;
pub mod settle;
mod table;
mod transaction;
pub mod trial;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::check::Context;
use crate::run::State;
use crate::run::record::{Evidence, Frozen, ItemDone, Offer, Outcome, Point};
use crate::runbook::{CheckRef, FreezeItem, Step, TargetKind};
use crate::target::db::Handle;

pub use position::position;
pub use prepare::prepare;
pub use reconcile::{AskedRow, ClassTotal, Classified, classify, sort};
pub use session::{Acted, act};
pub use sets::items;
pub use settle::{Settlement, settle};
pub use transaction::{ATTEMPTS, LOCK_MS};

/// Of a program or a request whose step names no limit.
const LIMIT: Duration = Duration::from_secs(300);

/// The engine's answer at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    Go,
    Stop,
}

/// What a worker tells the engine.
#[derive(Debug)]
pub enum Report {
    /// The worker waits for the reply before it goes on; a dropped reply is `Stop`.
    Reached {
        point: Point,
        data: serde_json::Value,
        reply: oneshot::Sender<Go>,
    },
    /// The server itself reported a lock timeout or deadlock on a live connection; the worker tries again by itself.
    AttemptFailed {
        code: String,
        message: String,
        again_in_ms: Option<u64>,
    },
    Progressed {
        done: u64,
        of: Option<u64>,
    },
    /// One item of an `each`; the worker waits until it is on disk.
    Item {
        item: ItemDone,
        reply: oneshot::Sender<Go>,
    },
    /// Another run took the target over; nothing was sent.
    ClaimLost {
        target: String,
        holder: String,
    },
    /// Read by a `freeze` or a `reconcile`.
    Frozen(Vec<Frozen>),
    Finished(Outcome),
}

/// A worker's line to the engine.
pub struct Port {
    pub step: String,
    pub att: u32,
    pub reports: mpsc::Sender<(String, u32, Report)>,
    /// Turns true when the operator cancels or the process is told to end.
    pub cancel: watch::Receiver<bool>,
}

impl Port {
    /// Waits at a point of no return. `Stop` also where nobody answers any more.
    pub async fn reached(&self, point: Point, data: serde_json::Value) -> Go {
        let (reply, answer) = oneshot::channel();
        self.tell(Report::Reached { point, data, reply }).await;
        answer.await.unwrap_or(Go::Stop)
    }

    /// Records one item durably before the next begins.
    pub async fn item(&self, item: ItemDone) -> Go {
        let (reply, answer) = oneshot::channel();
        self.tell(Report::Item { item, reply }).await;
        answer.await.unwrap_or(Go::Stop)
    }

    /// Sends without waiting. A closed engine is not the worker's to report: its next point answers `Stop`.
    pub async fn tell(&self, report: Report) {
        let _ = self.reports.send((self.step.clone(), self.att, report)).await;
    }
}

/// One row of a set that an action goes through.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Stable over retries and runs.
    pub key: String,
    pub row_key: String,
    pub ours: serde_json::Map<String, serde_json::Value>,
    pub theirs: Option<serde_json::Map<String, serde_json::Value>>,
    pub before: Option<serde_json::Map<String, serde_json::Value>>,
}

/// An action, rendered and counted: what a gate shows, and what starts when it is answered.
pub struct Prepared {
    pub offer: Offer,
    pub evidence: Evidence,
    pub job: Job,
    /// False: the preview is 0, so that there is nothing to do.
    pub needed: bool,
}

/// A prepared action, to be performed once.
pub struct Job {
    pub step: Step,
    pub offer: Offer,
    pub work: Work,
}

/// What a worker does.
pub enum Work {
    /// One transaction on a database.
    Transaction(transaction::Body),
    /// Statements that no transaction can hold.
    Plain(ddl::Plan),
    Freeze(Vec<FreezeItem>),
    Reconcile(String),
    Sessions(Vec<(String, crate::check::sessions::Session)>),
    Publish(publish::Job),
    Command(Vec<String>),
    CommandEach(Vec<command::Call<Vec<String>>>),
    Http(crate::target::http::Request, Option<u16>),
    HttpEach(Vec<command::Call<crate::target::http::Request>>, Option<u16>),
    /// A person does it, outside; the answer at the gate is the outcome.
    Person,
}

impl Job {
    /// Whether a rollback takes all of it back until COMMIT.
    pub fn is_transactional(&self) -> bool {
        matches!(self.work, Work::Transaction(_))
    }
}

/// Does it, to its outcome. Never fails: what goes wrong is an outcome, too.
pub async fn perform(job: Job, ctx: Context, port: &Port) -> Outcome {
    let Job { step, offer, work } = job;
    let limit = step.within.unwrap_or(LIMIT);
    let pause = step.each.as_ref().map_or(Duration::ZERO, |each| each.pause);
    let begun = ctx.begun.get(&step.id);
    let earlier = command::Earlier { done: ctx.items.get(&step.id).cloned().unwrap_or_default(), begun };
    match work {
        Work::Transaction(body) => transaction::perform(&body, &step, &offer, &ctx, port).await,
        Work::Plain(plan) => ddl::perform_plain(&plan, &offer, &ctx, port).await,
        Work::Freeze(items) => kept(freeze::perform(&items, &ctx).await, port).await,
        Work::Reconcile(set) => kept(reconcile::perform(&set, &ctx).await, port).await,
        Work::Sessions(found) => session::perform(&found, &ctx, port).await,
        Work::Publish(job) => match kafka(&offer, &ctx).await {
            Ok(connection) => publish::perform(port, &connection, job, begun).await,
            Err(outcome) => outcome,
        },
        Work::Command(argv) => command::perform(port, &ctx.access, &argv, limit).await,
        Work::CommandEach(calls) => command::perform_each(port, &ctx.access, &calls, &earlier, pause, limit).await,
        Work::Http(request, wanted) => http::perform(port, &request, wanted, limit).await,
        Work::HttpEach(calls, wanted) => http::perform_each(port, &calls, &earlier, wanted, pause, limit).await,
        Work::Person => transaction::outcome(crate::run::record::OutcomeResult::Applied, "as the operator answered"),
    }
}

/// What was read goes into the log before the outcome that rests on it.
async fn kept((frozen, outcome): (Vec<Frozen>, Outcome), port: &Port) -> Outcome {
    if !frozen.is_empty() {
        port.tell(Report::Frozen(frozen)).await;
    }
    outcome
}

async fn kafka(offer: &Offer, ctx: &Context) -> Result<crate::target::kafka::Connection, Outcome> {
    let name = offer.target.as_ref().map(|seen| seen.name.as_str()).unwrap_or_default();
    match ctx.targets.monitor(name).await {
        Ok(handle) => match &*handle {
            Handle::Kafka(connection) => Ok(connection.clone()),
            _ => Err(transaction::not_applied(format!("{name} is not a Kafka target"))),
        },
        Err(failure) => Err(transaction::not_applied(failure.to_string())),
    }
}

/// What is verified after the present attempt of a step: nothing of its own where it is being undone, for its checks
/// say that it stands.
pub fn to_verify(step: &Step, state: &State) -> Vec<CheckRef> {
    let undone = state.steps.get(&step.id).and_then(|s| s.undoes.as_deref()) == Some(step.id.as_str());
    if undone { Vec::new() } else { step.verify.clone() }
}

fn is_sql(ctx: &Context, target: &str) -> bool {
    ctx.runbook.targets.get(target).is_some_and(|t: &crate::runbook::Target| {
        matches!(t.kind, TargetKind::Postgres | TargetKind::Sqlite | TargetKind::Mysql)
    })
}
