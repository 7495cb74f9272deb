//! `backout rehearse`: the flags of a rehearsal, and the sandbox that stands before the run begins.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::session::{Drive, Open, Session};
use crate::audit;
use crate::failure::Result;
use crate::rehearsal::bounds;
use crate::rehearsal::scenario::{FILE, Scenario};
use crate::rehearsal::{self, On, Options, Rehearsal, program};

/// What `rehearse` adds to the flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RehearseArgs {
    /// The folder of runbook.yaml and scenario.yaml
    pub runbook: PathBuf,
    /// The database to play on [default: postgres where its binaries are found, else sqlite]
    #[arg(long, value_enum)]
    pub on: Option<On>,
    /// Play on this database, which is empty or declares itself a rehearsal; as a flag, everybody here can read it
    #[arg(long, value_name = "URL", env = rehearsal::POSTGRES_URL, hide_env_values = true)]
    pub postgres_url: Option<String>,
    /// Play on these brokers, which are empty or declare themselves a rehearsal
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Keep the sandbox until --end, instead of ten minutes after the last run
    #[arg(long)]
    pub keep: bool,
    /// End the sandbox of this runbook and do nothing else
    #[arg(long, conflicts_with_all = ["on", "postgres_url", "kafka", "keep"])]
    pub end: bool,
}

/// `rehearse` as it is typed.
#[derive(Debug, clap::Args)]
pub struct Play {
    #[command(flatten)]
    args: RehearseArgs,
    #[command(flatten)]
    drive: Drive,
}

/// Builds the sandbox, then runs the runbook on it as any run.
pub async fn run(play: Play) -> Result<u8> {
    let home = audit::state_dir(play.drive.state_dir.as_deref()).join("rehearsals");
    let open = Open {
        runbook: play.args.runbook.clone(),
        vars: Vec::new(),
        env_file: None,
        incident: None,
        insecure_tls: false,
    };
    // A runbook that does not hold is said before a world is built for it.
    let session = if play.args.end { None } else { Some(Session::open(&open)?) };
    if let Some(session) = &session {
        bounds::admit(&session.runbook, &Scenario::read(&play.args.runbook.join(FILE))?)?;
    }
    match (prepare(&play.args, home).await?, session) {
        (Ready::ToPlay(rehearsal), Some(session)) => session.within(rehearsal).begin(&play.drive).await,
        (Ready::ToPlay(_), None) => Ok(0),
        (Ready::Ended(was_there), _) => {
            let words = if was_there { "The sandbox has ended." } else { "No sandbox of this runbook is there." };
            super::lint::quiet(writeln!(std::io::stdout().lock(), "{words}").map(|()| 0))
        }
    }
}

/// What is there after the verb has done its part.
#[derive(Debug)]
pub enum Ready {
    /// A sandbox to run the runbook against.
    ToPlay(Rehearsal),
    /// `--end`: whether a sandbox was there.
    Ended(bool),
}

/// Starts, or ends, the sandbox. `home` holds the sandboxes: `rehearsals` in the state folder.
///
/// # Errors
/// The scenario is invalid, or the sandbox cannot be built or is being played.
pub async fn prepare(args: &RehearseArgs, home: PathBuf) -> Result<Ready> {
    if args.end {
        let scenario = Scenario::read(&args.runbook.join(FILE))?;
        let dir = rehearsal::sandbox_dir(&home, &scenario.name);
        if rehearsal::is_played(&dir) {
            let limit = rehearsal::LEAVING.as_secs();
            // Where stderr is gone, nobody waits to be told.
            let _ =
                writeln!(std::io::stderr().lock(), "It is being played: waiting up to {limit} s for its run to leave.");
        }
        return rehearsal::end(&dir).await.map(Ready::Ended);
    }
    let options = Options {
        runbook: args.runbook.clone(),
        on: args.on,
        postgres_url: args.postgres_url.clone(),
        kafka: args.kafka.clone(),
        home,
        keep: args.keep,
        program: program()?,
    };
    rehearsal::start(&options).await.map(Ready::ToPlay)
}
