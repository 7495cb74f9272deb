//! What a log could not take, kept beside it: the last words of a process whose log died.
//!
//! Owns one file of the run. It is no part of the chain and proves nothing; the next process records that it is there.
//! Never decides that a log is dead.

use super::line::Draft;
use super::redact::redact;
use crate::text::Secret;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// In the run's directory, 0600.
pub const FILE: &str = "degraded.jsonl";
const RECORDED: &str = "degraded.recorded.jsonl";

/// The records as lines for a person to copy, with no place in the chain.
pub fn lines(drafts: &[Draft], secrets: &[Secret]) -> Vec<String> {
    let line = |draft: &Draft| {
        let Draft { by, step, att, kind, ts, .. } = draft;
        let payload = redact(draft.payload.clone(), secrets);
        json!({ "ts": ts, "by": by, "step": step, "att": att, "kind": kind, "payload": payload }).to_string()
    };
    drafts.iter().map(line).collect()
}

/// Appends why the log died and what it did not take. May block as long as the disk does.
///
/// # Errors
/// The disk takes this no better than it took the log.
pub fn keep(dir: &Path, why: &str, lines: &[String]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(dir.join(FILE))?;
    let mut text = json!({ "kind": "audit_degraded", "why": why }).to_string();
    for line in lines {
        text.push('\n');
        text.push_str(line);
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether an earlier process left such a file that no record tells of.
pub fn found(dir: &Path) -> bool {
    dir.join(FILE).symlink_metadata().is_ok_and(|file| file.is_file())
}

/// A record tells of it now.
///
/// # Errors
/// The file system's words; it is told of once more then, which harms nobody.
pub fn recorded(dir: &Path) -> io::Result<()> {
    std::fs::rename(dir.join(FILE), dir.join(RECORDED))
}
