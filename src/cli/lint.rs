//! `backout lint`: what is wrong with a runbook, before anything connects.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::Value;

use crate::failure::{Failure, Kind, Result};
use crate::runbook::{self, Diagnostics};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The runbooks, or the folders that hold runbook.yaml
    #[arg(required = true, value_name = "RUNBOOK")]
    pub files: Vec<PathBuf>,
    /// One JSON list of diagnostics
    #[arg(long)]
    pub json: bool,
}

/// Prints every error and warning. 0: nothing but warnings; 3: a runbook is invalid.
///
/// # Errors
/// Standard output cannot be written; a reader that has gone away is none.
pub fn run(args: &Args) -> Result<u8> {
    let mut out = io::stdout().lock();
    quiet(lint(args, &mut out))
}

/// The same to any writer.
///
/// # Errors
/// The writer's own.
pub fn lint(args: &Args, out: &mut dyn Write) -> io::Result<u8> {
    let mut code = 0;
    let mut list = Vec::new();
    for file in &args.files {
        let diagnostics: Diagnostics = match runbook::load(&super::runbook_file(file)) {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => {
                code = Kind::Runbook.exit_code();
                diagnostics
            }
        };
        if args.json {
            if let Value::Array(items) = diagnostics.to_json() {
                list.extend(items);
            }
        } else {
            writeln!(out, "{diagnostics}")?;
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &list)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(code)
}

/// A reader that has gone away (`| head`) is not an error of ours.
pub(crate) fn quiet(written: io::Result<u8>) -> Result<u8> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(e) => Err(Failure::new(Kind::Defect, "standard output cannot be written").cause(e)),
        Ok(code) => Ok(code),
    }
}
