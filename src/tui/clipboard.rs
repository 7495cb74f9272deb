//! The clipboard: through the terminal (OSC 52), and always into a file as well.
//!
//! tmux passes it on only with `set-clipboard on`, and many terminals refuse it: nobody answers whether it worked.

use std::io::{self, Write};
use std::path::Path;

use crossterm::clipboard::CopyToClipboard;

/// In the run's directory.
pub const FILE: &str = "copied.txt";

/// # Errors
/// The file or the terminal cannot be written.
pub fn copy(text: &str, run_dir: &Path) -> io::Result<()> {
    keep(text, run_dir)?;
    crossterm::execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
}

/// Into the file alone.
///
/// # Errors
/// The file cannot be written.
pub fn keep(text: &str, run_dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    // What was copied may be rows of a customer.
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(run_dir.join(FILE))?.write_all(text.as_bytes())
}
