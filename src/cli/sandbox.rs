//! `backout sandbox`: hidden; the process of a rehearsal's world, and the hand of its stand-ins.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::failure::{Failure, Kind, Result};
use crate::rehearsal::control::{self, Request};
use crate::rehearsal::sandbox::{Setup, serve};
use crate::rehearsal::{LINGER, On, POSTGRES_URL, program};

#[derive(Debug, Args)]
pub struct SandboxArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the incident of a scenario in DIR and keep it alive
    Serve {
        dir: PathBuf,
        #[arg(long)]
        scenario: PathBuf,
        #[arg(long, value_enum)]
        on: On,
        #[arg(long, env = POSTGRES_URL, hide_env_values = true)]
        postgres_url: Option<String>,
        #[arg(long)]
        kafka: Option<String>,
        /// Do not end by itself
        #[arg(long)]
        keep: bool,
    },
    /// What a stand-in calls: do in DIR what this command line says
    Act {
        dir: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        argv: Vec<String>,
    },
}

/// Returns the exit code.
///
/// # Errors
/// The world cannot be built, or nobody answers.
pub async fn run(args: SandboxArgs) -> Result<u8> {
    match args.verb {
        Verb::Serve { dir, scenario, on, postgres_url, kafka, keep } => {
            let linger = (!keep).then_some(LINGER);
            serve(Setup { dir, scenario, on, postgres_url, kafka, linger, program: program()? }).await?;
            Ok(0)
        }
        Verb::Act { dir, argv } => {
            let asked =
                tokio::task::spawn_blocking(move || control::ask(&dir, &Request::Act(argv), Duration::from_secs(30)));
            let answer = asked.await.map_err(|e| Failure::new(Kind::Defect, "a stand-in failed").cause(e))??;
            // A stand-in whose output nobody reads has still done its work.
            let _ = std::io::stdout().write_all(answer.stdout.as_bytes());
            let _ = std::io::stderr().write_all(answer.stderr.as_bytes());
            Ok(answer.code)
        }
    }
}
