//! The log with a thread of its own, so that a slow disk never deafens the engine.
//!
//! Owns the run's lock for as long as it lives, and the timer that puts unsynced records on the disk. Never answers
//! before the records are where they were asked to be.

use super::degraded;
use super::line::{Draft, Envelope, Stamp};
use super::log::Log;
use super::redact::redact;
use super::store::{Dir, Lock, Store};
use super::verify::Report;
use crate::failure::{Failure, Kind, Result};
use crate::text::Secret;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a record may wait for its sync when none was asked for.
pub const RIDE_ALONG: Duration = Duration::from_millis(250);

enum Order {
    Append { drafts: Vec<Draft>, sync: bool, done: oneshot::Sender<Result<Vec<Envelope>>> },
    Hide(Vec<Secret>),
}

/// The handle. Dropping it ends the thread once its orders are done; [`Writer::close`] waits for that.
#[derive(Debug)]
pub struct Writer {
    orders: Sender<Order>,
    thread: JoinHandle<Result<()>>,
    secrets: Mutex<Vec<Secret>>,
}

impl Writer {
    /// Creates the run's directory, takes its lock and begins its log.
    ///
    /// # Errors
    /// `AuditUnwritable` with the file system's words; nothing of the run may start then.
    pub fn create(dir: &Path, run: &str) -> Result<Self> {
        let dir = Dir::create(dir).map_err(|e| inaccessible(dir, &e))?;
        let lock = lock(&dir)?;
        Ok(Self::over(Log::create(dir, run)?, Some(lock)))
    }

    /// Takes the lock of an earlier run, reads its log giving each record to `each`, and goes on in a new segment.
    ///
    /// # Errors
    /// `Held` when another process has the run, `AuditBroken` when its log cannot be trusted, `AuditUnwritable`.
    pub fn resume(
        dir: &Path,
        by: &str,
        stamp: Stamp,
        each: &mut dyn FnMut(&Envelope) -> Result<(), String>,
    ) -> Result<(Self, Report)> {
        let dir = Dir::open(dir).map_err(|e| inaccessible(dir, &e))?;
        let lock = lock(&dir)?;
        let (log, report) = Log::resume(dir, by, stamp, each)?;
        Ok((Self::over(log, Some(lock)), report))
    }

    /// A writer over any log; `lock` is let go when the thread ends.
    pub fn over<S: Store + 'static>(log: Log<S>, lock: Option<Lock>) -> Self {
        let (orders, inbox) = channel();
        let thread = std::thread::spawn(move || {
            let outcome = serve(log, &inbox);
            drop(lock);
            outcome
        });
        Self { orders, thread, secrets: Mutex::default() }
    }

    /// Hands records to the log, in this order after all earlier ones. The answer comes when they are written, with
    /// `sync` when they are on the disk; it carries them with their place in the chain.
    ///
    /// A sender that was dropped without an answer means the thread is gone: treat it as unwritable.
    pub fn append(&self, drafts: Vec<Draft>, sync: bool) -> oneshot::Receiver<Result<Vec<Envelope>>> {
        let (done, answer) = oneshot::channel();
        if let Err(unsent) = self.orders.send(Order::Append { drafts, sync, done })
            && let Order::Append { done, .. } = unsent.0
        {
            // An answer nobody waits for is no loss.
            let _ = done.send(Err(Failure::new(Kind::AuditUnwritable, "the audit log's writer is gone")));
        }
        answer
    }

    /// From the next append on these do not reach the disk.
    pub fn hide(&self, secrets: Vec<Secret>) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).extend(secrets.clone());
        // A writer that is gone writes no secrets.
        let _ = self.orders.send(Order::Hide(secrets));
    }

    /// A payload as it will stand in the log: what a digest must cover, or a reader could not recompute it.
    pub fn as_logged(&self, payload: serde_json::Value) -> serde_json::Value {
        redact(payload, &self.secrets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records as lines for a person to copy, where the log cannot take them.
    pub fn as_lines(&self, drafts: &[Draft]) -> Vec<String> {
        degraded::lines(drafts, &self.secrets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything ordered is on the disk, and lets go of the run.
    ///
    /// # Errors
    /// `AuditUnwritable` if the log died at any time.
    pub fn close(self) -> Result<()> {
        drop(self.orders);
        self.thread.join().unwrap_or_else(|_| Err(Failure::new(Kind::Defect, "the audit log's writer panicked")))
    }
}

fn serve<S: Store>(mut log: Log<S>, inbox: &Receiver<Order>) -> Result<()> {
    let mut unsynced_since = None;
    loop {
        let order = if log.is_unsynced() {
            let since: Instant = *unsynced_since.get_or_insert_with(Instant::now);
            match inbox.recv_timeout(RIDE_ALONG.saturating_sub(since.elapsed())) {
                // What fails here fails every later append, and so reaches the engine.
                Err(RecvTimeoutError::Timeout) => {
                    let _ = log.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => None,
                Ok(order) => Some(order),
            }
        } else {
            unsynced_since = None;
            inbox.recv().ok()
        };
        match order {
            Some(Order::Append { drafts, sync, done }) => {
                // The engine may have gone while a slow disk was at work; the record stands all the same.
                let _ = done.send(log.append(drafts, sync));
            }
            Some(Order::Hide(secrets)) => log.hide(secrets),
            None => return log.sync(),
        }
    }
}

fn lock(dir: &Dir) -> Result<Lock> {
    match Lock::take(dir).map_err(|e| inaccessible(dir.path(), &e))? {
        Ok(lock) => Ok(lock),
        Err(holder) => {
            let who = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Err(Failure::new(Kind::Held, format!("this run is held by {who}"))
                .hint("follow it with `backout watch`, or end that process and resume"))
        }
    }
}

fn inaccessible(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::AuditUnwritable, format!("the run directory {} cannot be used", dir.display()))
        .cause(error)
        .hint("choose another place with --state-dir")
}
