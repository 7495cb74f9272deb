//! argv → one call → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(backout::cli::main(std::env::args_os()))
}
