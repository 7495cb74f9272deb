//! Why a text is not taken, and what to do about it.

use thiserror::Error;

/// A text that is not read as one statement, or may not run as a check. Offsets are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("there is no statement here, only blanks or comments: write one")]
    Empty,
    #[error(
        "not understood at byte {offset}: {message}. Correct the statement; what cannot be read counts as irreversible"
    )]
    Unparsable { message: String, offset: usize },
    #[error("{count} statements in one text: give each a step or a list item of its own")]
    Many { count: usize },
    #[error("{what} opened at byte {offset} is not closed: close it")]
    Unterminated { what: &'static str, offset: usize },
    #[error(
        "a version comment (/*! or /*M!) at byte {offset} runs on some servers and is skipped by others: write the statement plainly"
    )]
    VersionComment { offset: usize },
    #[error("{command} at byte {offset} is a command of the client program, not SQL: write the SQL that it stands for")]
    MetaCommand { command: String, offset: usize },
    #[error("the character {shown} at byte {offset} is invisible or looks like another one: retype the text there", shown = shown(*char))]
    Lookalike { char: char, offset: usize },
    #[error("nested or chained deeper than {limit}: write it flatter")]
    TooDeep { limit: usize },
    #[error("the name {name:?} is not a plain identifier: use a letter or _, then up to 62 letters, digits, _ or $")]
    Name { name: String },
    #[error("{kind} is not a read: it {class}. Give it a step of its own")]
    NotARead { kind: &'static str, class: super::Class },
    #[error("{what} has no place in a read-only check: {because}")]
    SideEffect { what: String, because: &'static str },
    #[error(
        "the function {name} is not known to be harmless: use built-in functions that only compute, or give the call a step of its own"
    )]
    UnknownFunction { name: String },
    #[error(
        "the function {name} has effects that a rollback does not undo ({because}): give the call a step of its own"
    )]
    DangerousFunction { name: String, because: &'static str },
}

/// Invisible characters by their code point, others also as they are.
fn shown(c: char) -> String {
    if c.is_alphanumeric() { format!("{c:?} (U+{:04X})", u32::from(c)) } else { format!("U+{:04X}", u32::from(c)) }
}
