//! Text as YAML that reads back as it is.

use std::fmt::Write as _;

use crate::names;
use crate::runbook::Phase;
use crate::text::in_one_line;

/// In quotes: every JSON string is a YAML string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// For a comment.
pub fn line(text: &str) -> String {
    in_one_line(text).into_string()
}

/// The lines of a literal block.
pub fn block(indent: usize, text: &str) -> String {
    let pad = " ".repeat(indent);
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") });
    lines.collect::<Vec<_>>().join("\n")
}

/// Statements, each a literal block.
pub fn list(out: &mut String, indent: usize, key: &str, statements: &[String]) {
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "{pad}{key}:");
    for statement in statements {
        let _ = writeln!(out, "{pad}  - |\n{}", block(indent + 4, statement));
    }
}

pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Contain => "contain",
        Phase::Repair => "repair",
        Phase::Release => "release",
        Phase::Close => "close",
    }
}

/// A name that the format takes: letters, digits, `-` and `_`, at most 48.
pub fn named(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    names::fit(&text.chars().map(plain).collect::<String>(), 48)
}
