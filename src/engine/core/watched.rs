//! What is seen of the open intent's statement, beside the worker that runs it.
//!
//! Owns when the looking begins and ends. Nothing of it is recorded or decided on: the latest look counts, and one that
//! comes too late is dropped.

use serde_json::Value;

use super::Engine;
use crate::action::live::{Sight, Watch};
use crate::engine::{Watched, clock};
use crate::run::record::Now;

impl Engine {
    /// A worker has named its session: somebody looks at it from now on. Between two attempts it stays the same one.
    pub(super) fn watch(&mut self, step: &str, att: u32, data: &Value) {
        if let Some(watched) = self.snapshot.watched.as_mut().filter(|watched| watched.is_of(step, att)) {
            watched.again = None;
            return;
        }
        let Some(on) = self.state.open.as_ref().and_then(|open| open.intent.on.clone()) else { return };
        let kind = self.runbook.targets.get(&on).map(|target| target.kind);
        let Some(watch) = kind.and_then(|kind| Watch::of(kind, data)) else { return };
        self.snapshot.watched = Some(Watched::new(step, att));
        self.work.watch(step.to_owned(), att, on, watch, self.context());
    }

    pub(super) fn sighted(&mut self, step: &str, att: u32, sight: Sight) {
        if let Some(watched) = self.snapshot.watched.as_mut().filter(|watched| watched.is_of(step, att)) {
            watched.sight = Some(sight);
            self.dirty = true;
        }
    }

    /// An attempt found no lock; the worker tries again by itself, or gives up.
    pub(super) fn missed(&mut self, step: &str, att: u32, again_in_ms: Option<u64>) {
        if let Some(watched) = self.snapshot.watched.as_mut().filter(|watched| watched.is_of(step, att)) {
            watched.failed += 1;
            watched.again = again_in_ms.map(|ms| later(clock::now(), ms));
            self.dirty = true;
        }
    }

    pub(super) fn unwatch(&mut self) {
        self.work.unwatch();
        self.snapshot.watched = None;
    }
}

fn later(now: Now, ms: u64) -> Now {
    let by = jiff::SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    let wall = now.wall.checked_add(by).unwrap_or(now.wall);
    Now { wall, boottime: now.boottime.saturating_add(ms.saturating_mul(1_000_000)), ..now }
}
