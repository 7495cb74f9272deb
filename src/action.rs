//! Actions: what a step does to the world.
//!
//! Owns the three moments of every action: `prepare` (read-only: render it, count it, say what it asks consent to),
//! `perform` (do it, stopping at every point of no return until the engine says go) and `settle` (after a crash: did it
//! happen?), and its done-check. Never writes the log, never decides; the engine does both.

pub mod command;
pub mod http;
pub mod item;
pub mod publish;

use tokio::sync::{mpsc, oneshot, watch};

use crate::run::record::{Frozen, ItemDone, Outcome, Point};

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
    Reached { point: Point, data: serde_json::Value, reply: oneshot::Sender<Go> },
    /// The server itself reported a lock timeout or deadlock on a live connection; the worker tries again by itself.
    AttemptFailed { code: String, message: String, again_in_ms: Option<u64> },
    Progressed { done: u64, of: Option<u64> },
    /// One item of an `each`; the worker waits until it is on disk.
    Item { item: ItemDone, reply: oneshot::Sender<Go> },
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
