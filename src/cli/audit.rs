//! `audit verify` and `audit show`.

mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::show::Form;
use super::session::{self, Open, Session};
use crate::action::marker;
use crate::audit::{self, Anchor, Options, RunId};
use crate::engine;
use crate::failure::{Failure, Kind, Result};
use crate::run::state::State;
use crate::target::Targets;
use crate::text::Shown;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Is the log whole? Chain, sequence, legal transitions, anchors
    Verify {
        /// The run's id or directory; the latest when left out
        run: Option<String>,
        /// A record that is known from elsewhere
        #[arg(long, value_name = "SEQ:HASH")]
        anchor: Vec<String>,
        /// Ask the run's databases for the anchors that their marker rows carry
        #[arg(long)]
        targets: bool,
        /// The runbook that names the databases, where the note beside the log is not to be trusted
        #[arg(long, value_name = "FILE", requires = "targets")]
        runbook: Option<PathBuf>,
        /// A file of NAME=VALUE lines for ${NAME} under targets
        #[arg(long, value_name = "FILE", requires = "targets")]
        env_file: Option<PathBuf>,
        /// The run that it must be
        #[arg(long, value_name = "RUN")]
        expect_run: Option<String>,
        /// Records that no anchor protects are an error
        #[arg(long)]
        require_anchor: bool,
        #[arg(long)]
        json: bool,
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// The log, a line for each record; checks where they say something new
    Show {
        /// The run's id or directory; the latest when left out
        run: Option<String>,
        /// Records of this step only
        #[arg(long)]
        step: Option<String>,
        /// Every field of every record
        #[arg(long)]
        long: bool,
        /// Every record as JSON, in ASCII
        #[arg(long, conflicts_with = "long")]
        json: bool,
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

pub async fn run(args: Args) -> Result<u8> {
    match args.what {
        What::Verify { run, anchor, targets, runbook, env_file, expect_run, require_anchor, json, state_dir } => {
            let dir = locate(run.as_deref(), state_dir.as_deref())?;
            let mut anchors: Vec<_> = anchor
                .iter()
                .map(|text| text.parse::<Anchor>().map_err(|why| Failure::new(Kind::Usage, format!("--anchor: {why}"))))
                .collect::<Result<_>>()?;
            let mut unasked = Vec::new();
            if targets {
                let run = expect_run.clone().or_else(|| dir.file_name()?.to_str().map(str::to_owned));
                let run = run.unwrap_or_default();
                unasked = markers(&dir, &run, runbook, env_file, &mut anchors).await?;
            } else if anchors.is_empty() {
                unasked.push("no anchor was asked for: --targets asks the databases of the run".to_owned());
            }
            let options = Options { anchors, run: expect_run, require_anchor };
            verify(&dir, &options, &unasked, json)
        }
        What::Show { run, step, long, json, state_dir } => {
            let form = match (long, json) {
                (_, true) => Form::Json,
                (true, false) => Form::Long,
                (false, false) => Form::Line,
            };
            show::show(&locate(run.as_deref(), state_dir.as_deref())?, step.as_deref(), form)
        }
    }
}

/// The heads that the marker rows of this run carry, in every database that answers; the others in words.
async fn markers(
    dir: &Path,
    run: &str,
    runbook: Option<PathBuf>,
    env_file: Option<PathBuf>,
    anchors: &mut Vec<Anchor>,
) -> Result<Vec<String>> {
    let origin = session::origin(dir)?;
    let open = Open {
        runbook: runbook.unwrap_or(origin.runbook),
        vars: Vec::new(),
        env_file,
        incident: origin.incident,
        insecure_tls: origin.insecure_tls,
    };
    let mut session = Session::open(&open)?;
    if let Some(sandbox) = &origin.sandbox {
        match crate::rehearsal::join(sandbox) {
            Ok(sandbox) => session = session.within(sandbox),
            Err(failure) => return Ok(vec![failure.message]),
        }
    }
    let access = Arc::new(session.access(run, dir));
    let runbook = Arc::new(session.runbook);
    let targets = Targets::new(runbook.clone(), access);
    let mut unasked = Vec::new();
    for target in runbook.targets.values().filter(|target| target.kind.dialect().is_some()) {
        let found = match targets.dedicated(&target.name, "backout/audit").await {
            Ok(mut handle) => marker::heads(&mut handle, run).await.map_err(|error| error.words()),
            Err(failure) => Err(failure.message),
        };
        match found {
            Ok(found) => anchors.extend(found),
            Err(words) => unasked.push(format!("{} could not be asked for its markers: {words}", target.name)),
        }
    }
    Ok(unasked)
}

fn verify(dir: &Path, options: &Options, unasked: &[String], json: bool) -> Result<u8> {
    let mut state = State::default();
    let mut legal = |envelope: &audit::Envelope| {
        let event = engine::event_of(envelope)?;
        state.evolve(&event).map_err(|illegal| illegal.to_string())
    };
    let report = audit::verify(dir, options, &mut legal)?;
    let mut out = io::stdout().lock();
    let written = match json {
        true => serde_json::to_string_pretty(&report).map_err(io::Error::from).and_then(|text| writeln!(out, "{text}")),
        false => unasked
            .iter()
            .try_for_each(|words| writeln!(out, "unasked     {}", Shown::capped(words, 400)))
            .and_then(|()| writeln!(out, "{report}")),
    };
    super::lint::quiet(written.map(|()| report.exit_code()))
}

fn locate(run: Option<&str>, state_dir: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = run.map(PathBuf::from).filter(|path| path.is_dir()) {
        return Ok(path);
    }
    let state = audit::state_dir(state_dir);
    let id: RunId = match run {
        Some(run) => run.parse()?,
        None => audit::list_runs(&state)?
            .into_iter()
            .max()
            .ok_or_else(|| Failure::new(Kind::Usage, format!("there is no run in {}", state.display())))?,
    };
    Ok(audit::run_dir(&state, &id))
}
