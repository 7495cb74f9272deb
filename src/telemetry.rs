//! The debug log: for finding defects in backout, on no account the audit log. It may lose lines; nothing may rest on it.
//!
//! Owns the one global subscriber. What drivers say through the `log` crate does not reach it, on purpose: they quote
//! statements and addresses.

use crate::failure::{Failure, Kind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Environment variable with a filter such as `backout=trace`.
pub const FILTER: &str = "BACKOUT_LOG";

/// Dropping it writes out what waits, for at most about a second.
#[must_use]
pub struct Guard {
    _worker: WorkerGuard,
}

/// Sends the traces of this process to `debug.log` in `dir`, 0600, appended.
///
/// # Errors
/// `Usage` when the file cannot be opened or the filter cannot be read; `Defect` when called twice.
pub fn start(dir: &Path) -> Result<Guard> {
    let path = dir.join("debug.log");
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|e| Failure::new(Kind::Usage, format!("{} cannot be opened", path.display())).cause(e))?;
    let filter = match std::env::var(FILTER) {
        Ok(filter) => EnvFilter::try_new(filter)
            .map_err(|e| Failure::new(Kind::Usage, format!("{FILTER} is not a filter")).cause(e))?,
        Err(_) => EnvFilter::new("warn,backout=debug"),
    };
    let (lines, worker) = NonBlockingBuilder::default().lossy(false).thread_name("debug-log").finish(file);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(lines).finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|e| Failure::new(Kind::Defect, "the debug log was started twice").cause(e))?;
    Ok(Guard { _worker: worker })
}
