//! Injected crashes for the crash matrix.
//!
//! In a debug build, `BACKOUT_FAULT=ready` ends the process as kill -9 would at the first moment of that name, and
//! `BACKOUT_FAULT=rename-back:ready` at that step's. The moments: a step's `intent` is on disk, a point (`begun`,
//! `tx_open`, `ready`, `sent`) is on disk, one `item` of a batch is on disk, the work has `finished` and its outcome is
//! not on disk, its `outcome` is, its step is `settled`. A release build knows no faults.

use crate::run::record::{Event, Point, Record};

/// Ends the process here if the environment asks for it.
pub fn at(step: &str, point: Point) {
    named(step, point.word());
}

/// As [`at`], for a record that has just reached the disk.
pub fn after(event: &Event) {
    let moment = match &event.record {
        Record::Intent(_) => "intent",
        Record::ItemDone(_) => "item",
        Record::Outcome(_) => "outcome",
        Record::Settled(_) => "settled",
        _ => return,
    };
    named(event.step.as_deref().unwrap_or_default(), moment);
}

/// As [`at`], for a moment that is neither.
pub fn named(step: &str, moment: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(fault) = std::env::var("BACKOUT_FAULT") else { return };
    let hit = match fault.split_once(':') {
        Some((of, wanted)) => of == step && wanted == moment,
        None => fault == moment,
    };
    if hit {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
