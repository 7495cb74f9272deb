//! Injected crashes for the crash matrix.
//!
//! In a debug build, `BACKOUT_FAULT=ready` ends the process as kill -9 would, once that point's record is on disk. A
//! release build knows no faults.

use crate::run::record::Point;

/// Ends the process here if the environment asks for it.
pub fn at(point: Point) {
    let word = match point {
        Point::Begun => "begun",
        Point::TxOpen => "tx_open",
        Point::Ready => "ready",
        Point::Sent => "sent",
    };
    named(word);
}

/// As [`at`], for a moment that is no point.
pub fn named(word: &str) {
    if cfg!(debug_assertions) && std::env::var_os("BACKOUT_FAULT").is_some_and(|fault| fault == word) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
