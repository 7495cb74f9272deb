//! Rows kept in the run's directory: JSON Lines, 0600, written once.
//!
//! Owns the files behind frozen sets and changed rows. Business and personal data lie in them and in no log.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Kind, Result};
use crate::text::sha256;

/// Writes the lines to `folder/name-<digest>.jsonl` under the run's directory, durably.
/// Gives the path relative to it and the SHA-256 of the lines. The same rows again are the same file.
///
/// # Errors
/// `AuditUnwritable` with the file system's words.
pub fn write(run_dir: &Path, folder: &str, name: &str, lines: &[Value]) -> Result<(String, String)> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(line.to_string().into_bytes());
        bytes.push(b'\n');
    }
    let digest = sha256(&bytes);
    let relative = format!("{folder}/{name}-{}.jsonl", &digest[..12]);
    let path = run_dir.join(&relative);
    let unwritable = |error: std::io::Error| {
        Failure::new(Kind::AuditUnwritable, format!("{} cannot be written", path.display())).cause(error)
    };
    let dir = run_dir.join(folder);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(unwritable)?;
    if path.exists() {
        return Ok((relative, digest));
    }
    // A crash leaves a half-written file under another name only.
    let draft = dir.join(format!(".{name}-{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, &path))
        .and_then(|()| fs::File::open(&dir)?.sync_all());
    written.map_err(unwritable)?;
    Ok((relative, digest))
}

/// The rows of a file that [`write`] made.
///
/// # Errors
/// The file is gone, or holds something else.
pub fn read(run_dir: &Path, relative: &str) -> Result<Vec<Map<String, Value>>> {
    let path = run_dir.join(relative);
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(Kind::Defect, format!("{} cannot be read", path.display())).cause(error).hint("freeze it again")
    };
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| unreadable(&error))).collect()
}
