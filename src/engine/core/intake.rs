//! What comes to the loop, and what the loop does while the log is written.
//!
//! Owns that a slow disk never deafens the engine: whatever comes meanwhile is kept in order and decided once the
//! record before it is on the disk and in the state. Never decides, and begins nothing that changes anything.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Engine, Leaving};
use crate::action::Report;
use crate::audit::Envelope;
use crate::engine::work::Done;
use crate::engine::{Ask, LogWait, Snapshot, clock};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Checked, HoldReason};

pub(super) enum Came {
    Ask(Ask),
    /// Every driver is gone: as if the terminal was lost.
    NoDriver,
    Report(String, u32, Report),
    Done(Done),
    /// An answer that the screen has already and no decision has seen.
    Seen(Checked),
    Tick,
}

impl Came {
    /// Stops things: it goes before everything that only goes on.
    fn stops(&self) -> bool {
        matches!(self, Self::NoDriver | Self::Ask(Ask::Hold { .. } | Ask::Leave { .. } | Ask::Terminate))
    }
}

impl Engine {
    /// Workers first, then tasks, then people, then time. Nothing is lost when it is dropped half way.
    pub(super) async fn comes(&mut self) -> Came {
        let ask = async {
            match &mut self.asks {
                Some(asks) => asks.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((step, att, report)) = self.reports.recv() => Came::Report(step, att, report),
            Some(done) = self.done.recv() => Came::Done(done),
            ask = ask => match ask {
                Some(ask) => Came::Ask(ask),
                None => {
                    self.asks = None;
                    Came::NoDriver
                }
            },
            _ = self.tick.tick() => Came::Tick,
        }
    }

    pub(super) async fn take_in(&mut self, came: Came) {
        match came {
            Came::Ask(ask) => {
                self.ask(ask).await;
                self.run_effects().await;
                self.snapshot.taken += 1;
            }
            Came::NoDriver if self.leaving.is_none() => {
                self.leave(Leaving::Leave, HoldReason::Terminal, "no driver is left").await;
            }
            Came::NoDriver => {}
            Came::Report(step, att, report) => self.hear(step, att, report).await,
            Came::Done(done) => self.finish(done).await,
            Came::Seen(checked) => self.judge(checked).await,
            Came::Tick => self.tick().await,
        }
    }

    /// Waits until the log has what was handed to it, and listens meanwhile.
    ///
    /// # Errors
    /// The log failed, or did not answer in time: what it was handed may or may not be on the disk.
    pub(super) async fn durable(
        &mut self,
        mut answer: oneshot::Receiver<Result<Vec<Envelope>>>,
    ) -> Result<Vec<Envelope>> {
        let since = clock::now();
        let until = tokio::time::Instant::now() + self.log_deadline;
        let written = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer
                    .unwrap_or_else(|_| Err(Failure::new(Kind::AuditUnwritable, "the audit log's writer is gone"))),
                () = tokio::time::sleep_until(until) => {
                    let late = format!("the disk has not answered for {} s", self.log_deadline.as_secs());
                    break Err(Failure::new(Kind::AuditUnwritable, "the audit log cannot be written").cause(late)
                        .hint("nothing that changes anything runs any more; mend the disk, then `backout resume`"));
                }
                came = self.comes() => {
                    self.put_by(came);
                    self.show_wait(LogWait { since: since.clone(), kept: asks(&self.inbox) });
                }
            }
        };
        // A picture of the wait is not to outlast it.
        self.dirty |= self.publish.borrow().log_wait.is_some();
        written
    }

    /// The picture that was shown last, with the wait and what was read meanwhile: what is being decided is in no state
    /// yet, and half of it is nobody's to see.
    fn show_wait(&mut self, wait: LogWait) {
        let shown = Snapshot {
            log_wait: Some(wait),
            now: clock::now(),
            checks: self.probes.live(),
            watched: self.snapshot.watched.clone(),
            ..Snapshot::clone(&self.publish.borrow())
        };
        self.publish.send_replace(Arc::new(shown));
    }

    /// Keeps what came for later. What a person stops, stops now as far as it needs no record: a worker that has not
    /// begun does not, and one that is told to turn back on the server is told.
    fn put_by(&mut self, came: Came) {
        match came {
            Came::Tick => self.poll(),
            Came::Done(Done::Answered(checked)) => {
                self.refresh(&checked);
                self.inbox.push_back(Came::Seen(checked));
            }
            // Only the latest is of use: it is not kept for later.
            Came::Done(Done::Sighted { step, att, sight }) => self.sighted(&step, att, sight),
            came if came.stops() => {
                if matches!(came, Came::Ask(Ask::Terminate)) {
                    self.leaving = Some(Leaving::Terminate);
                    self.work.cancel();
                    self.work.cancel_trial();
                }
                let after = self.inbox.iter().take_while(|came| came.stops()).count();
                self.inbox.insert(after, came);
            }
            came => self.inbox.push_back(came),
        }
    }

    /// Somebody stopped the run while the intent was being written: what was not begun is not begun.
    pub(super) fn called_off(&self) -> bool {
        self.leaving.is_some() || self.inbox.iter().any(Came::stops)
    }
}

fn asks(inbox: &VecDeque<Came>) -> usize {
    inbox.iter().filter(|came| matches!(came, Came::Ask(_))).count()
}
