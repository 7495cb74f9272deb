//! Running a program: for `command` checks, and for the actions above.
//!
//! Owns how a program is started and ended. An argument vector, never a shell; a process group of its own, no input,
//! output kept to a bound; in a rehearsal nothing but the stand-ins, and nothing of the operator's environment.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::finding::Finding;
use super::kafka::SANDBOX;
use super::{Answer, Context, Names};
use crate::failure::{Failure, Kind, Result};
use crate::runbook::expect::Verdict;
use crate::runbook::template::Scope;
use crate::runbook::{Check, CheckKind, Template};
use crate::target::Access;
use crate::target::http::secrets;
use crate::text::{Secret, Shown, multiline, scrub};

/// Bytes kept of each stream; the rest is read and dropped, so that the program never waits for us.
pub const OUTPUT: usize = 64 * 1024;

/// What a check waits for its program.
const LIMIT: Duration = Duration::from_secs(20);

/// Between asking a program to end and ending it.
pub const GRACE: Duration = Duration::from_secs(5);

/// What the program learns of the item at hand.
pub const ITEM_KEY: &str = "BACKOUT_ITEM_KEY";

/// What it and its children carry, so that they can be found when the process that started them is dead.
pub const ATTEMPT: &str = "BACKOUT_ATTEMPT";

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub end: Ended,
    /// Sanitised, without secrets, at most [`OUTPUT`] bytes of each stream.
    pub stdout: String,
    pub stderr: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    /// By a signal that did not come from here.
    Signal(i32),
    /// It did not end in time and was ended.
    TimedOut,
    /// Ended because the operator cancelled.
    Cancelled,
}

impl Finished {
    pub fn ok(&self) -> bool {
        self.end == Ended::Exit(0)
    }

    /// How it ended, with the last line that it said.
    pub fn words(&self) -> String {
        let end = match self.end {
            Ended::Exit(code) => format!("exit {code}"),
            Ended::Signal(signal) => format!("ended by signal {signal}"),
            Ended::TimedOut => "did not end in time".to_owned(),
            Ended::Cancelled => "cancelled".to_owned(),
        };
        let said = if self.ok() { [&self.stdout, &self.stderr] } else { [&self.stderr, &self.stdout] };
        match said.iter().find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty())) {
            Some(line) => format!("{end}: {}", Shown::capped(line.trim(), 200)),
            None => end,
        }
    }
}

/// A program that may be started here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    argv: Vec<String>,
}

/// Finds the program, before anything is asked or shown: in a rehearsal only a stand-in will do.
///
/// # Errors
/// An empty argument vector, an argument with a zero byte, and in a rehearsal a program without a stand-in, by name.
pub fn admit(argv: &[String], access: &Access) -> Result<Program> {
    let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
        return Err(Failure::new(Kind::Runbook, "the command names no program"));
    };
    if argv.iter().any(|arg| arg.contains('\0')) {
        return Err(Failure::new(Kind::Runbook, format!("an argument of {name} holds a zero byte")));
    }
    let path = match &access.stand_ins {
        None => PathBuf::from(name),
        Some(dir) => {
            let path = dir.join(name);
            if name.contains('/') || !is_program(&path) {
                return Err(Failure::new(
                    Kind::Refused,
                    format!("{name} has no stand-in: in a rehearsal no other program is started"),
                )
                .hint(format!("put an executable named {name} among the scenario's stand-ins")));
            }
            path
        }
    };
    Ok(Program { path, argv: argv.to_vec() })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs it to its end, to `limit`, or until `cancel` turns true. The last two end its whole process group.
///
/// # Errors
/// It could not be started: nothing has happened.
pub async fn run(
    program: &Program,
    access: &Access,
    env: &[(&str, &str)],
    limit: Duration,
    cancel: watch::Receiver<bool>,
) -> Result<Finished> {
    let name = &program.argv[0];
    let mut command = Command::new(&program.path);
    command
        .args(&program.argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(stand_ins) = &access.stand_ins {
        command.env_clear().env("PATH", stand_ins);
        if let Some(sandbox) = access.env.get(SANDBOX) {
            command.env(SANDBOX, sandbox);
        }
    }
    command.envs(env.iter().copied());
    let mut child = command.spawn().map_err(|e| {
        Failure::new(Kind::Target, format!("{name} cannot be started"))
            .cause(e)
            .hint("is it installed, executable, and on PATH?")
    })?;
    let group = Group::of(&child);
    let (stdout, stderr) = (keep(child.stdout.take()), keep(child.stderr.take()));
    let end = tokio::select! {
        status = child.wait() => ended(status.map_err(|e| {
            Failure::new(Kind::Unknown, format!("nobody knows how {name} ended")).cause(e)
        })?),
        () = tokio::time::sleep(limit) => {
            group.end(&mut child).await;
            Ended::TimedOut
        }
        () = cancelled(cancel) => {
            group.end(&mut child).await;
            Ended::Cancelled
        }
    };
    group.disarm();
    let secrets = secrets(access);
    Ok(Finished { end, stdout: shown(stdout, &secrets).await, stderr: shown(stderr, &secrets).await })
}

fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match status.code() {
        Some(code) => Ended::Exit(code),
        None => Ended::Signal(status.signal().unwrap_or(0)),
    }
}

/// Never, where nobody can cancel any more.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The program and what it started. Ended with the worker that waits for it.
struct Group(std::sync::Mutex<Option<Pid>>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self(std::sync::Mutex::new(pid))
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = self.0.lock()
            && let Some(pid) = *pid
        {
            // Fails only when nobody of the group is left.
            let _ = kill_process_group(pid, signal);
        }
    }

    async fn end(&self, child: &mut Child) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
        // Also what the program left behind: it was told to end, and did not take them along.
        self.signal(Signal::KILL);
        let _ = child.wait().await;
    }

    /// What a program leaves running after it ended well is meant to run.
    fn disarm(&self) {
        if let Ok(mut pid) = self.0.lock() {
            *pid = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The reader of a stream, and what it has kept so far.
type Kept = (JoinHandle<()>, watch::Receiver<Vec<u8>>);

fn keep(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Kept {
    let (so_far, seen) = watch::channel(Vec::new());
    let task = tokio::spawn(async move {
        let mut buffer = [0; 8192];
        if let Some(mut stream) = stream {
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                so_far.send_modify(|kept| {
                    let room = OUTPUT.saturating_sub(kept.len());
                    kept.extend_from_slice(&buffer[..n.min(room)]);
                });
            }
        }
    });
    (task, seen)
}

/// What was said. A program left running in the background may hold the pipe open: it is not waited for.
async fn shown((task, seen): Kept, secrets: &[Secret]) -> String {
    let abort = task.abort_handle();
    if tokio::time::timeout(Duration::from_millis(500), task).await.is_err() {
        abort.abort();
    }
    let bytes = seen.borrow().clone();
    let text = scrub(&String::from_utf8_lossy(&bytes), secrets);
    let lines: Vec<String> = multiline(&text).into_iter().map(Shown::into_string).collect();
    lines.join("\n")
}

/// Asks a `command` check.
pub async fn ask(question: &Check, ctx: &Context) -> Answer {
    let CheckKind::Command { argv } = &question.kind else {
        return Answer::unknown("it is no check by a command");
    };
    match render(argv, &Names::new(ctx)) {
        Ok(argv) => check(&argv, question.expect.is_some(), &ctx.access, LIMIT).await,
        Err(failure) => Finding::failed(&failure),
    }
    .judged(question, ctx)
}

/// # Errors
/// A name without a value.
pub fn render(argv: &[Template], scope: &dyn Scope) -> Result<Vec<String>> {
    argv.iter()
        .map(|arg| {
            arg.render_text(scope)
                .map_err(|m| Failure::new(Kind::RedCheck, format!("the command's `{arg}` cannot be rendered")).cause(m))
        })
        .collect()
}

/// A `command` check: its output as a value, where an answer is expected; else how it ended.
pub async fn check(argv: &[String], expects: bool, access: &Access, limit: Duration) -> Finding {
    let (_never, cancel) = watch::channel(false);
    let finished = match admit(argv, access) {
        Ok(program) => run(&program, access, &[], limit, cancel).await,
        Err(failure) => Err(failure),
    };
    match finished {
        Err(failure) => Finding::unknown(failure.to_string().replace('\n', "; ")),
        Ok(finished) if matches!(finished.end, Ended::TimedOut | Ended::Signal(_)) => {
            Finding::unknown(finished.words())
        }
        Ok(finished) if expects && !finished.ok() => Finding::unknown(finished.words()),
        Ok(finished) if expects => {
            Finding { value: Some(value_of(finished.stdout.trim())), words: None, verdict: None }
        }
        Ok(finished) => Finding {
            value: match finished.end {
                Ended::Exit(code) => Some(Value::from(code)),
                _ => None,
            },
            words: Some(finished.words()),
            verdict: Some(if finished.ok() { Verdict::Pass } else { Verdict::Fail }),
        },
    }
}

/// JSON, where it is that; else the text.
pub(crate) fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
