//! The second copy of a log, in a directory that a group may read: for those who follow the run, and against whoever
//! changes the first copy afterwards.
//!
//! Owns a thread that carries bytes over twice a second, so that a slow share holds up nothing. Best effort: once it
//! fails it stops and says why, and the run goes on. Never writes to the log itself.

use super::store::{Dir, Store};
use crate::failure::{Failure, Kind, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// How far behind the copy may be.
pub const EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Copier {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    lost: Arc<OnceLock<String>>,
}

impl Copier {
    /// Keeps `copy` (0750, files 0640, made if it is not there) equal to the log in `run_dir`. What an earlier process
    /// left behind is caught up.
    ///
    /// # Errors
    /// `AuditUnwritable` when either directory cannot be opened.
    pub fn start(run_dir: &Path, copy: &Path) -> Result<Self> {
        let failed = |path: &Path, e: &io::Error| {
            Failure::new(Kind::AuditUnwritable, format!("the log cannot be copied, {}", path.display())).cause(e)
        };
        let log = Dir::open(run_dir).map_err(|e| failed(run_dir, &e))?;
        let copy = Dir::shared(copy).map_err(|e| failed(copy, &e))?;
        let (stop, stopped) = channel();
        let lost = Arc::new(OnceLock::new());
        let said = Arc::clone(&lost);
        let thread = std::thread::spawn(move || {
            let mut carried = BTreeMap::new();
            loop {
                let last = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
                if let Err(e) = carry(&log, &copy, &mut carried) {
                    // Told once; the engine records it.
                    let _ = said.set(e.to_string());
                    return;
                }
                if last {
                    return;
                }
            }
        });
        Ok(Self { stop, thread, lost })
    }

    /// Why nothing is copied any more, if so.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Copies what is left and ends; the answer is that of [`Copier::lost`].
    pub fn close(self) -> Option<String> {
        let Self { stop, thread, lost } = self;
        drop(stop);
        match thread.join() {
            Ok(()) => lost.get().cloned(),
            Err(_) => Some("the copying thread panicked".to_owned()),
        }
    }
}

/// Appends to every copied segment what its original has more. `carried` holds how much of each is known to be equal.
fn carry(log: &Dir, copy: &Dir, carried: &mut BTreeMap<String, u64>) -> io::Result<()> {
    for name in log.names()? {
        let mut original = log.open_file(&name)?;
        let len = original.metadata()?.len();
        if carried.get(&name) == Some(&len) {
            continue;
        }
        let mut target = copy.shared_file(&name)?;
        let at = target.metadata()?.len();
        let equal = match carried.get(&name) {
            Some(&known) => known == at && at <= len,
            None => at <= len && same(&mut original, &mut target, at)?,
        };
        if !equal {
            return Err(io::Error::other(format!("{name} and its copy are not the same")));
        }
        original.seek(SeekFrom::Start(at))?;
        io::copy(&mut original.take(len - at), &mut target)?;
        target.sync_data()?;
        carried.insert(name, len);
    }
    Ok(())
}

/// Are the first `len` bytes equal?
fn same(a: &mut File, b: &mut File, mut len: u64) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    while len > 0 {
        let n = usize::try_from(len).map_or(left.len(), |len| len.min(left.len()));
        a.read_exact(&mut left[..n])?;
        b.read_exact(&mut right[..n])?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
        len -= n as u64;
    }
    Ok(true)
}
