//! The audit log: append-only JSON Lines, one directory and one hash chain per run, that somebody who was not there
//! can trust.
//!
//! Owns the files, the format, the writer and the verifier. Knows no kind of record (the run does), reads no clock
//! (every record brings its time), and never goes on after a write or a sync has failed.

mod copy;
pub mod degraded;
mod follow;
pub mod line;
pub mod log;
pub mod reader;
pub mod redact;
mod runs;
mod show;
pub mod store;
pub mod verify;
pub mod writer;

pub use copy::Copier;
pub use follow::Follow;
pub use line::{Draft, Envelope, Stamp};
pub use runs::{RunId, list_runs, run_dir, state_dir};
pub use show::show;
pub use verify::{Anchor, Options, Report, Verdict, verify};
pub use writer::Writer;
