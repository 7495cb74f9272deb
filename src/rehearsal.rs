//! Rehearsals: the incident of a scenario, built on a sandbox that is a process of its own.
//!
//! Owns the sandbox (its databases, cluster, actors and stand-ins), how it is started, found and ended, and the score.
//! A run knows the sandbox only as it knows any target: nothing here is called by the engine, and nothing here decides
//! for it. Never touches a target that it did not make or that does not declare itself a rehearsal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Runbook, TargetKind};

pub mod actor;
pub mod bounds;
pub mod bus;
pub mod control;
pub mod declare;
pub mod history;
mod life;
pub mod postgres;
pub mod sandbox;
pub mod scenario;
pub mod score;
pub mod shop;
pub mod world;

pub use sandbox::Sandbox;
use scenario::Scenario;

/// Longest time from the start to a world that is ready: a slow machine that makes a PostgreSQL cluster.
const READY: Duration = Duration::from_secs(60);
/// A sandbox ends this long after its last user left.
pub const LINGER: Duration = Duration::from_secs(600);
/// Where the sandbox's process finds the address of a given database: not on its command line, which everybody sees.
pub const POSTGRES_URL: &str = "BACKOUT_SANDBOX_POSTGRES_URL";

/// The database that the incident is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum On {
    Sqlite,
    Postgres,
}

impl On {
    pub fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What to rehearse, and on what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of `runbook.yaml` and `scenario.yaml`.
    pub runbook: PathBuf,
    /// PostgreSQL where its binaries are found, else SQLite, when left out.
    pub on: Option<On>,
    pub postgres_url: Option<String>,
    pub kafka: Option<String>,
    /// Holds a folder for each sandbox, by the scenario's name.
    pub home: PathBuf,
    /// The sandbox stays until it is told to end.
    pub keep: bool,
    /// The program and the words before `serve` and `act`: this binary and its hidden verb.
    pub program: Vec<String>,
}

/// How long a player needs to leave after the terminal has gone.
pub const LEAVING: Duration = Duration::from_secs(5);

/// A sandbox that is ready to be played, and in use for as long as this lives.
#[derive(Debug)]
pub struct Rehearsal {
    pub dir: PathBuf,
    /// For the runbook's `${NAME}`s.
    pub env: BTreeMap<String, String>,
    /// For the runbook's vars.
    pub vars: BTreeMap<String, String>,
    /// The only programs that `command` may start.
    pub stand_ins: PathBuf,
    /// `PostgreSQL 15 (throw-away) and librdkafka's mock cluster, group states simulated`.
    pub words: String,
    pub on: On,
    pub pid: u32,
    /// The shared lock that keeps the sandbox alive.
    _user: File,
}

impl Rehearsal {
    fn of(sandbox: Sandbox, dir: PathBuf, user: File) -> Self {
        Self {
            dir,
            env: sandbox.env,
            vars: sandbox.vars,
            stand_ins: sandbox.stand_ins,
            words: sandbox.words,
            on: sandbox.on,
            pid: sandbox.pid,
            _user: user,
        }
    }

    /// Turns the SQL targets of the runbook to the dialect of the sandbox. A line for each that changed: another
    /// dialect than production's proves less, and the operator must know.
    pub fn adapt(&self, runbook: &mut Runbook) -> Vec<String> {
        let kind = match self.on {
            On::Sqlite => TargetKind::Sqlite,
            On::Postgres => TargetKind::Postgres,
        };
        let mut told = Vec::new();
        for target in runbook.targets.values_mut() {
            if target.kind.dialect().is_some() && target.kind != kind {
                told.push(format!(
                    "OTHER DIALECT: target {} is {:?} in the runbook and {:?} in this rehearsal",
                    target.name, target.kind, kind
                ));
                target.kind = kind;
            }
        }
        told
    }
}

/// Builds the incident in a new sandbox. One that is there already under this name is ended first, unless it is played.
///
/// # Errors
/// The scenario is invalid, somebody plays there, or the world cannot be built.
pub async fn start(options: &Options) -> Result<Rehearsal> {
    let file = options.runbook.join(scenario::FILE);
    let scenario = Scenario::read(&file)?;
    let file = file.canonicalize().map_err(|e| cannot("find the scenario", e))?;
    let on = match (options.on, &options.postgres_url) {
        (Some(On::Sqlite), Some(_)) => {
            return Err(Failure::new(Kind::Usage, "--on sqlite and --postgres-url do not go together"));
        }
        (_, Some(_)) => On::Postgres,
        (Some(on), None) => on,
        (None, None) if postgres::binaries().is_some() => On::Postgres,
        (None, None) => On::Sqlite,
    };
    let dir = sandbox_dir(&options.home, &scenario.name);
    end(&dir).await?;
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|e| cannot("make the sandbox's folder", e))?;
    let dir = dir.canonicalize().map_err(|e| cannot("find the sandbox's folder", e))?;
    // Held before the sandbox looks for the first time.
    let user = use_of(&dir)?;

    let mut child = launch(options, &dir, &file, on).map_err(|e| cannot("start the sandbox", e))?;
    let sandbox = wait_until_ready(&mut child, &dir).await?;
    Ok(Rehearsal::of(sandbox, dir, user))
}

/// The shared lock that keeps a sandbox alive.
fn use_of(dir: &Path) -> Result<File> {
    let user = open_users(dir).and_then(|user| user.lock_shared().map(|()| user));
    user.map_err(|e| cannot("take the sandbox's lock", e))
}

/// Takes part in a sandbox that is there, as `resume` does.
///
/// # Errors
/// None is there, or it has ended.
pub fn join(dir: &Path) -> Result<Rehearsal> {
    let sandbox = alive(dir).ok_or_else(|| {
        Failure::new(Kind::Target, format!("no sandbox lives in {}", dir.display()))
            .hint("it ends ten minutes after its last user; start a new rehearsal")
    })?;
    let user = use_of(dir)?;
    Ok(Rehearsal::of(sandbox, dir.to_owned(), user))
}

/// Where the sandbox of a scenario stands.
pub fn sandbox_dir(home: &Path, name: &str) -> PathBuf {
    home.join(name.replace(['/', '\0'], "-"))
}

/// Whether somebody plays there. Not the sandbox itself, which takes the lock alone for an instant when it looks.
pub fn is_played(dir: &Path) -> bool {
    let taken = |users: &File| users.try_lock().is_err() && users.try_lock_shared().is_ok();
    alive(dir).is_some() && open_users(dir).is_ok_and(|users| taken(&users))
}

/// Ends the sandbox in `dir` and waits until it is gone: whether there was one. A player who is about to leave, because
/// the terminal has gone, is waited for.
///
/// # Errors
/// Somebody plays there, or it does not end.
pub async fn end(dir: &Path) -> Result<bool> {
    let Some(sandbox) = alive(dir) else {
        // One that was killed could not clean up behind itself; its server went with it.
        if let Some(sandbox) = written(dir) {
            sweep(dir, &sandbox);
        }
        return Ok(false);
    };
    let left = Instant::now() + LEAVING;
    while is_played(dir) {
        if Instant::now() > left {
            return Err(Failure::new(Kind::Refused, format!("the rehearsal in {} is being played", dir.display()))
                .hint("leave its run first (q); then `backout rehearse --end`"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = dir.to_owned();
    let told =
        tokio::task::spawn_blocking(move || control::ask(&asked, &control::Request::End, Duration::from_secs(20)));
    if !matches!(told.await, Ok(Ok(_))) {
        signal(sandbox.pid, rustix::process::Signal::TERM);
    }
    let until = Instant::now() + Duration::from_secs(10);
    while runs(&sandbox) {
        if Instant::now() > until {
            signal(sandbox.pid, rustix::process::Signal::KILL);
            tokio::time::sleep(Duration::from_millis(200)).await;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sweep(dir, &sandbox);
    Ok(true)
}

/// What stands in `sandbox.json`, if its process lives.
pub fn alive(dir: &Path) -> Option<Sandbox> {
    written(dir).filter(runs)
}

fn written(dir: &Path) -> Option<Sandbox> {
    let text = std::fs::read(dir.join(sandbox::FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Takes away what an ended sandbox left beside its folder, and its address.
fn sweep(dir: &Path, sandbox: &Sandbox) {
    if let Some(data) = &sandbox.postgres_data {
        let _ = std::fs::remove_dir_all(data);
    }
    let _ = std::fs::remove_file(dir.join(sandbox::FILE));
}

fn runs(sandbox: &Sandbox) -> bool {
    start_time(sandbox.pid) == Some(sandbox.start_time)
}

/// Field 22 of `/proc/PID/stat`; none for a process that is gone or a zombie.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may hold anything, blanks and brackets too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then_some(())?;
    fields.nth(18)?.parse().ok()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn open_users(dir: &Path) -> std::io::Result<File> {
    std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join(sandbox::USERS))
}

fn launch(options: &Options, dir: &Path, scenario: &Path, on: On) -> std::io::Result<Child> {
    let none = || std::io::Error::other("no program");
    let (program, words) = options.program.split_first().ok_or_else(none)?;
    let mut command = Command::new(program);
    command
        .args(words)
        .arg("serve")
        .arg(dir)
        .arg("--scenario")
        .arg(scenario)
        .args(["--on", on.word()])
        .env_remove(POSTGRES_URL)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(dir.join("sandbox.err"))?);
    if let Some(url) = &options.postgres_url {
        command.env(POSTGRES_URL, url);
    }
    if let Some(brokers) = &options.kafka {
        command.arg("--kafka").arg(brokers);
    }
    if options.keep {
        command.arg("--keep");
    }
    command.spawn()
}

async fn wait_until_ready(child: &mut Child, dir: &Path) -> Result<Sandbox> {
    let until = Instant::now() + READY;
    loop {
        if let Some(sandbox) = alive(dir) {
            return Ok(sandbox);
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            let words = std::fs::read_to_string(dir.join("sandbox.err")).unwrap_or_default();
            let what =
                if ended.is_some() { "the sandbox could not be built" } else { "the sandbox is not ready in time" };
            return Err(Failure::new(Kind::Target, what).cause(words.trim()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes a file beside its place and moves it there: a reader sees the old one or the new one, whole.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    std::fs::rename(&beside, path)
}

fn cannot(what: &str, e: std::io::Error) -> Failure {
    Failure::new(Kind::Target, format!("cannot {what}")).cause(e)
}

/// This binary and its hidden verb.
///
/// # Errors
/// The system does not tell where this program stands.
pub fn program() -> Result<Vec<String>> {
    let exe = std::env::current_exe().map_err(|e| cannot("find this program's own file", e))?;
    Ok(vec![exe.to_string_lossy().into_owned(), "sandbox".to_owned()])
}
