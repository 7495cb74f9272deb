//! From a file to a tree of values with their places.
//!
//! Owns what is refused before anything has a meaning: what is no regular file, too long, not UTF-8, holds characters
//! that cannot be seen, or uses the parts of YAML that hide things. Never knows a key of the format: `resolve` does.

use std::io::Read;
use std::path::Path;

use super::diagnostic::Diagnostic;
use crate::text;

pub mod fields;
pub mod near;
pub mod tree;

pub use tree::{Node, Style, Tree};

/// Bytes of a runbook.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a runbook's text.
///
/// # Errors
/// One diagnostic: the file cannot be opened, is none, is longer than 1 MiB or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Diagnostic> {
    let refuse = |message: String| Diagnostic::error(None, message);
    let metadata = std::fs::metadata(path).map_err(|e| refuse(format!("cannot be read: {}", words(&e))))?;
    if metadata.is_dir() {
        return Err(refuse("is a folder".into()).help("name the file in it, as in `runbook.yaml`"));
    }
    // A FIFO would block for ever and a device never ends.
    if !metadata.is_file() {
        return Err(refuse("is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|e| refuse(format!("cannot be read: {}", words(&e))))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse("is longer than 1 MiB".into()));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        refuse(format!("is not UTF-8: byte {at}, in line {line}"))
    })
}

/// The tree of a text, with everything that is wrong with its form.
pub fn tree(source: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut found = hidden(source);
    if source.len() as u64 > MAX_BYTES {
        found.push(Diagnostic::error(None, "is longer than 1 MiB"));
        return (None, found);
    }
    let Tree { root, mut diagnostics } = tree::build(source);
    // The same character, once in our words and once in the parser's.
    let seen =
        |d: &Diagnostic| found.iter().any(|f| f.span.as_ref().map(|s| s.start) == d.span.as_ref().map(|s| s.start));
    diagnostics.retain(|d| d.span.is_none() || !seen(d));
    found.extend(diagnostics);
    (root, found)
}

/// Characters that cannot be seen, or that change what is seen, as they stand in the file.
fn hidden(source: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut from = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while let Err((at, c)) = text::is_clean(&source[from..]) {
        let start = from + at;
        from = start + c.len_utf8();
        // A line of a file written elsewhere may end in CR LF; a lone CR hides what stands before it.
        if c == '\r' && source[from..].starts_with('\n') {
            continue;
        }
        found.push(unseen(c, start..from));
        if found.len() == 20 {
            break;
        }
    }
    found
}

/// The diagnostic for a character that cannot be seen.
pub fn unseen(c: char, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(span, format!("the character U+{:04X} cannot be seen", u32::from(c)))
        .help("remove it: what a runbook says must be what it shows")
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
