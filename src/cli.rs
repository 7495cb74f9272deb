//! The command line: argv to one call each.
//!
//! Owns the verbs and their flags. Never does a verb's work here: each verb has a file.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::{Failure, Kind, Result};

pub mod audit;
pub mod doctor;
pub mod draft;
pub mod lint;
pub mod plan;
pub mod rehearse;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod session;
pub mod survey;

#[derive(Debug, Parser)]
#[command(
    name = "backout",
    version,
    about = "An interactive terminal runbook for the rollback that does not roll back"
)]
#[command(propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Walk through a runbook: survey, gates, checks, log
    Run(run::Args),
    /// Go on with a run that was held, left or killed
    Resume(run::ResumeArgs),
    /// Where are we? Every check and every step's done-check, read-only
    Survey(survey::Args),
    /// Rehearse a runbook on a sandbox that needs no server
    Rehearse(rehearse::Play),
    /// Check runbooks without connecting to anything
    Lint(lint::Args),
    /// A runbook as it would run, in Markdown
    Plan(plan::Args),
    /// Steps to put into a runbook, filled in from the live catalog: a rename that keeps both names, an enum without a value
    Draft(draft::Args),
    /// Look into and verify audit logs
    Audit(audit::Args),
    /// What a target has for backout: identity, environment, tables; --install creates them
    Doctor(doctor::Args),
    /// The runbook's JSON Schema
    Schema(schema::Args),
    /// Shell completions
    Completions { shell: clap_complete::Shell },
    /// The manual page
    Man,
    #[command(hide = true)]
    Sandbox(sandbox::SandboxArgs),
}

/// Runs the program and gives its exit code. Everything that goes wrong is said on stderr, for the operator.
pub fn main(argv: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; a closed pipe is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() { Kind::Usage.exit_code() } else { 0 };
        }
    };
    match dispatch(cli.verb) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr().lock(), "backout: {failure}");
            failure.exit_code()
        }
    }
}

/// Where a folder is named, the runbook in it.
fn runbook_file(named: &Path) -> PathBuf {
    if named.is_dir() { named.join("runbook.yaml") } else { named.to_owned() }
}

fn dispatch(verb: Verb) -> Result<u8> {
    match verb {
        Verb::Run(args) => block_on(run::run(args)),
        Verb::Resume(args) => block_on(run::resume(args)),
        Verb::Survey(args) => block_on(survey::run(args)),
        Verb::Rehearse(args) => block_on(rehearse::run(args)),
        Verb::Lint(args) => lint::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Draft(args) => block_on(draft::run(args)),
        Verb::Audit(args) => block_on(audit::run(args)),
        Verb::Doctor(args) => block_on(doctor::run(args)),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "backout", &mut std::io::stdout());
            Ok(0)
        }
        Verb::Man => print_man(),
        Verb::Sandbox(args) => block_on(sandbox::run(args)),
    }
}

fn print_man() -> Result<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .and_then(|()| std::io::stdout().write_all(&page))
        .map(|()| 0)
        .map_err(|error| Failure::new(Kind::Defect, "the manual page could not be written").cause(error))
}

/// The runtime of one verb. A worker that hangs does not keep the process alive.
pub fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Defect, "the runtime could not be started").cause(error))?;
    let result = runtime.block_on(task);
    runtime.shutdown_timeout(std::time::Duration::from_millis(300));
    result
}

/// Whether a person sits there: both ends are a terminal and nobody said CI.
pub fn interactive() -> bool {
    typed_by_a_person() && std::io::stdout().is_terminal()
}

/// Whether what comes in is typed: where it goes is another matter.
pub fn typed_by_a_person() -> bool {
    std::io::stdin().is_terminal() && std::env::var_os("CI").is_none_or(|ci| ci.is_empty())
}
