//! A run from the command line: its directory, its log, its engine and a driver over it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::{self, RunId, Stamp, Writer};
use crate::driver::{self, Answers, Printer};
use crate::engine::{self, Setup, Snapshot};
use crate::failure::{Failure, Kind, Result};
use crate::rehearsal::Rehearsal;
use crate::run::decide::Input;
use crate::run::record::{Actor, Event, RunStarted};
use crate::runbook::{self, Runbook};
use crate::target::Access;
use crate::text::Secret;
use crate::{run, telemetry, tui};

/// What every verb that opens a runbook takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Open {
    /// The runbook, or the folder that holds runbook.yaml
    pub runbook: PathBuf,
    /// A variable of the runbook
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// A file of NAME=VALUE lines for ${NAME} under targets
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// The incident's name, as your tracker has it
    #[arg(long, value_name = "NAME")]
    pub incident: Option<String>,
    /// Accept servers off loopback whose certificate cannot be verified; recorded
    #[arg(long)]
    pub insecure_tls: bool,
}

/// How the run is driven.
#[derive(Debug, Clone, clap::Args)]
pub struct Drive {
    /// No screen: answers come from a file, and only on a rehearsal
    #[arg(long, requires = "answers")]
    pub headless: bool,
    /// What is typed at each gate
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// No screen: lines that are only added, answers typed line by line; for screen readers and for scripts that watch
    #[arg(long, conflicts_with = "headless")]
    pub plain: bool,
    /// Headless: one JSON object for each record
    #[arg(long, requires = "headless")]
    pub json: bool,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
    /// Where runs are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// What `resume` needs to know beside the log. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    pub runbook: PathBuf,
    pub incident: Option<String>,
    pub insecure_tls: bool,
    /// The sandbox of a rehearsal.
    pub sandbox: Option<PathBuf>,
}

const ORIGIN: &str = "origin.json";

/// A loaded runbook with how to reach its targets.
pub struct Session {
    pub runbook: Runbook,
    pub origin: Origin,
    pub env: BTreeMap<String, String>,
    pub vars: Vec<(String, String)>,
    pub stand_ins: Option<PathBuf>,
    /// Said on stderr before the screen opens.
    told: Vec<String>,
    /// Held for as long as the run: the sandbox lives while somebody plays.
    rehearsal: Option<Rehearsal>,
}

impl Session {
    /// # Errors
    /// The runbook does not hold, the env file cannot be read, or a variable is not NAME=VALUE.
    pub fn open(open: &Open) -> Result<Self> {
        let runbook = load(&open.runbook)?;
        let mut env: BTreeMap<String, String> = std::env::vars().collect();
        if let Some(file) = &open.env_file {
            for (name, value) in env_file(file)? {
                env.entry(name).or_insert(value);
            }
        }
        let vars = open.vars.iter().map(|pair| assignment(pair)).collect::<Result<_>>()?;
        let path = std::fs::canonicalize(&open.runbook).unwrap_or_else(|_| open.runbook.clone());
        let (incident, insecure_tls) = (open.incident.clone(), open.insecure_tls);
        let origin = Origin { runbook: path, incident, insecure_tls, sandbox: None };
        Ok(Self { runbook, origin, env, vars, stand_ins: None, told: Vec::new(), rehearsal: None })
    }

    /// Takes a sandbox's world instead of the environment's. What the sandbox cannot play as written is told first.
    pub fn within(mut self, rehearsal: Rehearsal) -> Self {
        self.origin.sandbox = Some(rehearsal.dir.clone());
        self.stand_ins = Some(rehearsal.stand_ins.clone());
        self.env.clone_from(&rehearsal.env);
        for (name, value) in &rehearsal.vars {
            if !self.vars.iter().any(|(given, _)| given == name) {
                self.vars.push((name.clone(), value.clone()));
            }
        }
        self.told.push(rehearsal.words.clone());
        self.told.extend(rehearsal.adapt(&mut self.runbook));
        self.rehearsal = Some(rehearsal);
        self
    }

    pub fn access(&self, run: &str, run_dir: &Path) -> Access {
        Access {
            env: self.env.clone(),
            run: run.to_owned(),
            runbook: self.runbook.name.clone(),
            incident: self.origin.incident.clone(),
            run_dir: run_dir.to_owned(),
            insecure_tls: self.origin.insecure_tls,
            stand_ins: self.stand_ins.clone(),
        }
    }

    /// Values that must never reach the disk: the addresses of the targets that hold a password, and their passwords.
    fn secrets(&self) -> Vec<Secret> {
        let access = self.access("", Path::new(""));
        let addresses = self.runbook.targets.values().filter_map(|target| access.address(target).ok());
        addresses
            .flat_map(|address| passwords(address.expose()))
            // What stands in the runbook for all to read is no secret, and hiding it would hide tables and tokens.
            .filter(|secret| secret.len() >= 4 && !self.runbook.source.contains(secret.as_str()))
            .map(Secret::new)
            .collect()
    }

    /// Begins a new run and drives it to its end.
    pub async fn begin(self, drive: &Drive) -> Result<u8> {
        let answers = self.ready(drive)?;
        let run = RunId::generate(engine::now().wall);
        let run_dir = audit::run_dir(&audit::state_dir(drive.state_dir.as_deref()), &run);
        let writer = Writer::create(&run_dir, run.as_str())?;
        writer.hide(self.secrets());
        keep(&run_dir, "runbook.yaml", self.runbook.source.as_bytes())?;
        let origin = serde_json::to_vec_pretty(&self.origin).unwrap_or_default();
        keep(&run_dir, ORIGIN, &origin)?;
        let started = RunStarted {
            run: run.to_string(),
            runbook: self.runbook.name.clone(),
            runbook_digest: self.runbook.digest.clone(),
            incident: self.origin.incident.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            steps: self.runbook.steps.keys().cloned().collect(),
            headless: drive.headless,
            leaves: run::left::declared(&self.runbook),
        };
        let actor = actor("a1");
        let first = Input::Start { started, actor: actor.clone() };
        self.drive(drive, answers, run.as_str(), run_dir, writer, Vec::new(), first, actor.id).await
    }

    /// Takes up an earlier run's log and goes on.
    pub async fn resume(self, run: &RunId, run_dir: PathBuf, drive: &Drive) -> Result<u8> {
        let answers = self.ready(drive)?;
        let now = engine::now();
        let stamp = Stamp { ts: now.wall, mono: now.boottime, boot: now.boot };
        let mut events: Vec<Event> = Vec::new();
        let mut each = |envelope: &audit::Envelope| engine::event_of(envelope).map(|event| events.push(event));
        let (writer, _) = Writer::resume(&run_dir, engine::ENGINE, stamp, &mut each)?;
        writer.hide(self.secrets());
        let joined = events.iter().filter(|event| event.record.kind() == "operator_joined").count();
        let actor = actor(&format!("a{}", joined + 1));
        let first = Input::Join(actor.clone());
        self.drive(drive, answers, run.as_str(), run_dir, writer, events, first, actor.id).await
    }

    fn ready(&self, drive: &Drive) -> Result<Option<Answers>> {
        let person = if drive.plain { super::typed_by_a_person() } else { super::interactive() };
        if !drive.headless && !person {
            return Err(Failure::new(Kind::Usage, "this is not a terminal, or CI is set: no gate passes by itself")
                .hint("--headless --answers FILE runs a rehearsal without a terminal; `backout survey` reads only"));
        }
        drive.answers.as_deref().filter(|_| drive.headless).map(Answers::load).transpose()
    }

    #[expect(clippy::too_many_arguments, reason = "the two ways into a run meet here")]
    async fn drive(
        self,
        drive: &Drive,
        answers: Option<Answers>,
        run: &str,
        run_dir: PathBuf,
        writer: Writer,
        events: Vec<Event>,
        first: Input,
        actor: String,
    ) -> Result<u8> {
        let _debug_log = telemetry::start(&run_dir)?;
        let access = Arc::new(self.access(run, &run_dir));
        let setup = Setup {
            runbook: Arc::new(self.runbook),
            access,
            run_dir: run_dir.clone(),
            writer,
            events,
            first,
            actor: actor.clone(),
            vars: self.vars,
            log_deadline: engine::LOG_DEADLINE,
        };
        for line in &self.told {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
        let _alive = self.rehearsal;
        let (handle, engine) = engine::start(setup)?;
        match answers {
            Some(answers) => {
                let printer: Box<dyn Printer> = match drive.json {
                    true => Box::new(driver::json::Json),
                    false => Box::<driver::line::Line>::default(),
                };
                let code = driver::run(handle, answers, printer).await;
                joined(engine).await.map(|ended| if code == 0 { ended } else { code })
            }
            None => {
                let snapshots = handle.snapshots.clone();
                if drive.plain {
                    let told = driver::plain::run(handle, actor).await;
                    let ended = joined(engine).await;
                    tell_where(&snapshots.borrow());
                    return told.and(ended);
                }
                let options = tui::Options { no_color: drive.no_color, ascii: false };
                let drawn = tui::run(handle, options).await;
                let ended = joined(engine).await;
                tell_where(&snapshots.borrow());
                drawn.and(ended)
            }
        }
    }
}

/// The address itself and the passwords in it, as `user:password@` or as a setting; none where it holds none.
fn passwords(address: &str) -> Vec<String> {
    let credentials = address.split_once("://").and_then(|(_, rest)| Some(rest.rsplit_once('@')?.0));
    let user = credentials.and_then(|credentials| Some(credentials.split_once(':')?.1));
    let settings = address.split_once('?').map_or("", |(_, settings)| settings).split('&');
    let set = settings
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| name.ends_with("password"))
        .map(|(_, value)| value);
    let written: Vec<&str> = user.into_iter().chain(set).collect();
    let whole = written.first().map(|_| address.to_owned());
    let plain = written.iter().map(|text| decoded(text));
    written.iter().map(|text| (*text).to_owned()).chain(plain).chain(whole).collect()
}

/// Without percent-encoding: as the server may quote it.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => bytes.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn joined(engine: tokio::task::JoinHandle<Result<u8>>) -> Result<u8> {
    engine.await.unwrap_or_else(|died| Err(Failure::new(Kind::Defect, "the engine died").cause(died)))
}

/// What stays in the terminal when the screen is gone.
fn tell_where(snapshot: &Snapshot) {
    let (run, dir) = (snapshot.state.run(), snapshot.run_dir.display());
    let more = if snapshot.state.closed() { String::new() } else { format!("go on {}\n", snapshot.resume_words()) };
    let words = format!("run {run}\nlog {dir}\n{more}");
    // Where stderr is gone, nobody reads it.
    let _ = std::io::stderr().write_all(words.as_bytes());
}

/// Reads and checks a runbook; every diagnostic is in the failure.
pub fn load(path: &Path) -> Result<Runbook> {
    let file = super::runbook_file(path);
    match runbook::load(&file) {
        Ok(loaded) => Ok(loaded.runbook),
        Err(diagnostics) => Err(Failure::new(Kind::Runbook, format!("{} does not hold", file.display()))
            .cause(&diagnostics)
            .hint("`backout lint` shows the same, and warnings too")),
    }
}

/// The origin of a run, to resume it.
pub fn origin(run_dir: &Path) -> Result<Origin> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(Kind::Usage, format!("{} is not a run that can be resumed", run_dir.display())).cause(error)
    };
    let text = std::fs::read(run_dir.join(ORIGIN)).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

fn keep(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(dir.join(name))
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| {
            Failure::new(Kind::AuditUnwritable, format!("{} cannot be written", dir.join(name).display())).cause(error)
        })
}

fn assignment(pair: &str) -> Result<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::new(Kind::Usage, "--var takes NAME=VALUE")),
    }
}

/// NAME=VALUE lines; `#` begins a comment line. Values are secrets: an error names the line, never its text.
fn env_file(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Kind::Usage, format!("{} cannot be read", path.display())).cause(error))?;
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| Failure::new(Kind::Usage, format!("{}:{number} is not NAME=VALUE", path.display())))?;
            let value = value.trim().trim_matches(|c| c == '"' || c == '\'');
            Ok((name.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

/// Who sits here: observed from the process, and claimed by the environment.
fn actor(id: &str) -> Actor {
    let claimed = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let uid = rustix::process::getuid().as_raw();
    Actor {
        id: id.to_owned(),
        user: user_name(uid).unwrap_or_else(|| format!("uid {uid}")),
        uid,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        tty: rustix::termios::ttyname(std::io::stdin(), Vec::new()).ok().map(|tty| tty.to_string_lossy().into_owned()),
        claimed_ssh: claimed("SSH_CONNECTION"),
        pid: std::process::id(),
    }
}

/// The name of the user in the machine's own list. The environment may say anything.
fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter(|user| user.get(2).and_then(|id| id.parse().ok()) == Some(uid))
        .find_map(|user| Some((*user.first()?).to_owned()))
}
