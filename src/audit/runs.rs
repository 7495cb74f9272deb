//! Where runs are kept on this machine, and their names.

use crate::failure::{Failure, Kind, Result};
use crate::text::Shown;
use jiff::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};

/// Crockford's base 32: no I, L, O, U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 26 characters that sort by time: 48 bits of milliseconds since 1970, 80 random bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    pub fn generate(now: Timestamp) -> Self {
        let millis = u128::try_from(now.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1);
        let random: u128 = rand::random::<u128>() >> 48;
        let bits = millis << 80 | random;
        let digit = |i: u32| char::from(DIGITS[((bits >> (5 * i)) & 31) as usize]);
        Self((0..26).rev().map(digit).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters, as application names and screens carry it; they change once a second.
    pub fn run8(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for RunId {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        // The first digit carries three bits.
        let legal = text.len() == 26 && text.as_bytes()[0] <= b'7' && text.bytes().all(|b| DIGITS.contains(&b));
        if legal {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::new(Kind::Usage, format!("`{}` is not the id of a run", Shown::capped(text, 60)))
            .hint("a run id has 26 characters and names a directory under runs/ in the state directory"))
    }
}

/// The state directory: the flag, else `$XDG_STATE_HOME/backout`, else `~/.local/state/backout`.
pub fn state_dir(flag: Option<&Path>) -> PathBuf {
    if let Some(flag) = flag {
        return flag.to_owned();
    }
    // A relative XDG path is to be ignored, says the XDG base directory specification.
    let xdg = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = xdg.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".local/state"));
    state.join("backout")
}

pub fn run_dir(state: &Path, run: &RunId) -> PathBuf {
    state.join("runs").join(run.as_str())
}

/// The runs kept under `state`, oldest first; none if there is no such directory.
///
/// # Errors
/// `Usage` with the file system's words when it cannot be listed.
pub fn list_runs(state: &Path) -> Result<Vec<RunId>> {
    let runs = state.join("runs");
    let failed = |e: std::io::Error| {
        Failure::new(Kind::Usage, format!("the runs in {} cannot be listed", runs.display())).cause(e)
    };
    let mut found = Vec::new();
    match std::fs::read_dir(&runs) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
        Ok(entries) => {
            for entry in entries {
                found.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()));
            }
        }
    }
    found.sort();
    Ok(found)
}
