//! The sandbox's control socket and its stand-ins: how a `kubectl` of the run reaches the world.
//!
//! Owns the socket's protocol (one line of JSON each way) and the programs in `bin`. Never decides what a command does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::world::Answer;
use crate::failure::{Failure, Kind, Result};

pub const SOCKET: &str = "control.sock";
/// The folder of the stand-ins.
pub const BIN: &str = "bin";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A stand-in was called like this.
    Act(Vec<String>),
    End,
}

/// Asks the sandbox in `dir`; waits at most `limit` for its answer.
///
/// # Errors
/// No sandbox listens there, or it does not answer.
pub fn ask(dir: &Path, request: &Request, limit: Duration) -> Result<Answer> {
    let failed = |e: std::io::Error| {
        Failure::new(Kind::Target, format!("the sandbox in {} does not answer", dir.display()))
            .cause(e)
            .hint("it may have ended: start the rehearsal again")
    };
    let mut stream = connect(dir).map_err(failed)?;
    stream.set_read_timeout(Some(limit)).map_err(failed)?;
    let line = serde_json::to_string(request).unwrap_or_default() + "\n";
    stream.write_all(line.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|e| failed(e.into()))
}

/// The address of a socket has room for some hundred bytes, a folder may be longer: the way goes over an open
/// descriptor of the folder.
fn connect(dir: &Path) -> std::io::Result<UnixStream> {
    use std::os::fd::AsRawFd as _;
    let folder = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// Puts the stand-ins into `dir/bin`: a line of shell each, since they must run with an empty environment.
pub fn install_stand_ins(dir: &Path, names: &[String], program: &[String]) -> std::io::Result<()> {
    let bin = dir.join(BIN);
    std::fs::create_dir_all(&bin)?;
    for name in names {
        let words: Vec<String> = program
            .iter()
            .map(String::as_str)
            .chain(["act", &dir.to_string_lossy(), name])
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
