//! Rows in files of the run's directory: readable by their owner alone, on disk before anything rests on them.
//!
//! Never writes elsewhere and never appends.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::check::Context;
use crate::failure::{Failure, Kind, Result};

/// Writes one JSON value a line to `<run_dir>/<folder>/<name>.jsonl` and syncs it. Returns the path inside the run's
/// directory, and the SHA-256 of the file's bytes.
///
/// # Errors
/// The file cannot be written.
pub fn write<T: Serialize>(ctx: &Context, folder: &str, name: &str, lines: &[T]) -> Result<(String, String)> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)
            .map_err(|error| Failure::new(Kind::Defect, "a row cannot be written as JSON").cause(error))?;
        bytes.push(b'\n');
    }
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let inside = format!("{folder}/{name}.jsonl");
    let path = ctx.access.run_dir.join(&inside);
    put(&path, &bytes).map_err(|error| {
        Failure::new(Kind::Held, format!("{} cannot be written", path.display())).cause(error).hint("look at the disk")
    })?;
    Ok((inside, hex(&Sha256::digest(&bytes))))
}

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Reads such a file, by its path inside the run's directory.
///
/// # Errors
/// It is not there, or not what was written.
pub fn read<T: DeserializeOwned>(ctx: &Context, inside: &str) -> Result<Vec<T>> {
    let path = ctx.access.run_dir.join(inside);
    let broken = |why: String| {
        Failure::new(Kind::Unknown, format!("{} cannot be read", path.display()))
            .cause(why)
            .hint("freeze it again, or look whether the run's directory is whole")
    };
    let text = std::fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| broken(error.to_string()))).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
