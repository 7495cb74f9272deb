//! `run` and `resume`.

use crate::audit::{self, RunId};
use crate::failure::{Failure, Kind, Result};

use super::session::{self, Drive, Open, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    open: Open,
    #[command(flatten)]
    drive: Drive,
}

#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// The run; the latest when left out
    run: Option<String>,
    /// A file of NAME=VALUE lines for ${NAME} under targets
    #[arg(long, value_name = "FILE")]
    env_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    drive: Drive,
}

pub async fn run(args: Args) -> Result<u8> {
    Session::open(&args.open)?.begin(&args.drive).await
}

pub async fn resume(args: ResumeArgs) -> Result<u8> {
    let state = audit::state_dir(args.drive.state_dir.as_deref());
    let run: RunId = match &args.run {
        Some(run) => run.parse()?,
        None => audit::list_runs(&state)?.into_iter().max().ok_or_else(|| {
            Failure::new(Kind::Usage, "there is no run to resume").hint("`backout run RUNBOOK` begins one")
        })?,
    };
    let run_dir = audit::run_dir(&state, &run);
    let origin = session::origin(&run_dir)?;
    let open = Open {
        runbook: origin.runbook.clone(),
        vars: Vec::new(),
        env_file: args.env_file,
        incident: origin.incident.clone(),
        insecure_tls: origin.insecure_tls,
    };
    let mut session = Session::open(&open)?;
    let kept = std::fs::read_to_string(run_dir.join("runbook.yaml")).unwrap_or_default();
    if kept != session.runbook.source {
        return Err(Failure::new(
            Kind::Runbook,
            format!("{} was changed since the run began", origin.runbook.display()),
        )
        .cause(format!("the run keeps the text it began with in {}", run_dir.join("runbook.yaml").display()))
        .hint("put the runbook back as it was, or begin a new run"));
    }
    if let Some(sandbox) = &origin.sandbox {
        session = session.within(crate::rehearsal::join(sandbox)?);
    }
    session.resume(&run, run_dir, &args.drive).await
}
