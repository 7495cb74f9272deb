//! `audit verify` and `audit show`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::audit::{self, Anchor, Options, RunId};
use crate::engine;
use crate::failure::{Failure, Kind, Result};
use crate::run::state::State;

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
    /// The log, a line for each record
    Show {
        /// The run's id or directory; the latest when left out
        run: Option<String>,
        /// Records of this step only
        #[arg(long)]
        step: Option<String>,
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

pub fn run(args: &Args) -> Result<u8> {
    match &args.what {
        What::Verify { run, anchor, expect_run, require_anchor, json, state_dir } => {
            let dir = locate(run.as_deref(), state_dir.as_deref())?;
            let anchors = anchor
                .iter()
                .map(|text| text.parse::<Anchor>().map_err(|why| Failure::new(Kind::Usage, format!("--anchor: {why}"))))
                .collect::<Result<_>>()?;
            let options = Options { anchors, run: expect_run.clone(), require_anchor: *require_anchor };
            verify(&dir, &options, *json)
        }
        What::Show { run, step, state_dir } => show(&locate(run.as_deref(), state_dir.as_deref())?, step.as_deref()),
    }
}

fn verify(dir: &std::path::Path, options: &Options, json: bool) -> Result<u8> {
    let mut state = State::default();
    let mut legal = |envelope: &audit::Envelope| {
        let event = engine::event_of(envelope)?;
        state.evolve(&event).map_err(|illegal| illegal.to_string())
    };
    let report = audit::verify(dir, options, &mut legal)?;
    let mut out = io::stdout().lock();
    let written = match json {
        true => serde_json::to_string_pretty(&report).map_err(io::Error::from).and_then(|text| writeln!(out, "{text}")),
        false => write!(out, "{report}"),
    };
    super::lint::quiet(written.map(|()| report.exit_code()))
}

fn show(dir: &std::path::Path, step: Option<&str>) -> Result<u8> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let mut each = |envelope: &audit::Envelope| {
        if written.is_ok() && step.is_none_or(|step| envelope.step.as_deref() == Some(step)) {
            written = writeln!(out, "{}", audit::show(envelope));
        }
        Ok(())
    };
    let report = audit::verify(dir, &Options::default(), &mut each)?;
    let written = written.and_then(|()| out.flush());
    super::lint::quiet(written.map(|()| report.exit_code()))
}

fn locate(run: Option<&str>, state_dir: Option<&std::path::Path>) -> Result<PathBuf> {
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
