//! `backout schema`: the JSON Schema of the runbook format, for editors.

use std::io::{self, Write};

use crate::cli::lint::quiet;
use crate::failure::Result;
use crate::runbook::schema;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {}

/// Prints the schema.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(_: &Args) -> Result<u8> {
    let mut out = io::stdout().lock();
    quiet(out.write_all(schema::text().as_bytes()).and_then(|()| out.flush()).map(|()| 0))
}
