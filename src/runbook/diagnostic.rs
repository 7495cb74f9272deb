//! What is wrong with a runbook, and where.
//!
//! Owns the located message and how it looks: file, line, column, the source line, a mark under it, what to do.
//! Everything from the file is sanitised before it is drawn. Never decides what is wrong.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level as Mark, Renderer, Snippet, renderer::DecorStyle};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::text::Shown;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The runbook is refused.
    Error,
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// Bytes of the file; `None` where the file as a whole is meant.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub help: Option<String>,
    /// The source line holds a secret and is not drawn.
    pub secret: bool,
    /// Nothing is wrong with it: this release does not run it.
    pub later: bool,
}

impl Diagnostic {
    pub fn error(span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: span.into(),
            help: None,
            secret: false,
            later: false,
        }
    }

    /// `key` is part of the format, and this release does not run it.
    pub fn later(span: Range<usize>, key: &str) -> Self {
        Self { later: true, ..Self::error(span, format!("`{key}` is not supported yet")) }
    }

    pub fn warning(span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    /// As the operator named it.
    pub file: String,
    source: Arc<str>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts by place, errors first where two stand at one place; equal ones are said once.
    pub fn new(file: impl Into<String>, source: impl Into<Arc<str>>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| {
            let place = |d: &Diagnostic| d.span.as_ref().map_or((0, 0), |s| (s.start, s.end));
            (place(a), a.severity, &a.message).cmp(&(place(b), b.severity, &b.message))
        });
        list.dedup();
        let source: Arc<str> = source.into();
        hide_secrets(&source, &mut list);
        Self { file: file.into(), source, list }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether nothing is wrong but what this release does not run.
    pub fn only_later(&self) -> bool {
        self.list.iter().all(|d| d.later || d.severity != Severity::Error)
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// Line and column of a diagnostic, both from 1, the column in characters.
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<(usize, usize)> {
        diagnostic.span.as_ref().map(|span| line_column(&self.source, span.start))
    }

    /// One object for each, for editors and CI.
    pub fn to_json(&self) -> Value {
        Value::Array(
            self.list
                .iter()
                .map(|d| {
                    let place = self.place(d);
                    json!({
                        "severity": d.severity.to_string(),
                        "file": Shown::new(&self.file).as_str(),
                        "line": place.map(|p| p.0),
                        "column": place.map(|p| p.1),
                        "message": Shown::new(&d.message).as_str(),
                        "help": d.help.as_deref().map(|h| Shown::new(h).into_string()),
                    })
                })
                .collect(),
        )
    }

    fn draw(&self, diagnostic: &Diagnostic) -> String {
        let file = Shown::new(&self.file).into_string();
        let message = Shown::new(&diagnostic.message).into_string();
        let help = diagnostic.help.as_deref().map(|h| Shown::new(h).into_string());
        let level = match diagnostic.severity {
            Severity::Error => Mark::ERROR,
            Severity::Warning => Mark::WARNING,
        };
        let span = match &diagnostic.span {
            Some(span) if !diagnostic.secret && !self.source.is_empty() => span,
            place => {
                let mut text = format!("{}: {message}\n --> {file}", diagnostic.severity);
                if let Some(span) = place {
                    let (line, column) = line_column(&self.source, span.start);
                    text.push_str(&format!(":{line}:{column}"));
                }
                if let Some(help) = help {
                    text.push_str(&format!("\n  = help: {help}"));
                }
                return text;
            }
        };
        let (line, text, mark) = shown_line(&self.source, span);
        let mut group = level
            .primary_title(message)
            .element(Snippet::source(text).line_start(line).path(file).annotation(AnnotationKind::Primary.span(mark)));
        if let Some(help) = help {
            group = group.element(Mark::HELP.message(help));
        }
        Renderer::plain().decor_style(DecorStyle::Ascii).term_width(120).render(&[group])
    }
}

impl fmt::Display for Diagnostics {
    /// Every diagnostic with its source line, a blank line between two, and a last line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.list {
            writeln!(f, "{}\n", self.draw(diagnostic))?;
        }
        let count = |n: usize, word: &str| match n {
            1 => format!("1 {word}"),
            n => format!("{n} {word}s"),
        };
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let file = Shown::new(&self.file);
        match (errors, warnings) {
            (0, 0) => write!(f, "{}: no errors", file.as_str()),
            (e, 0) => write!(f, "{}: {}", file.as_str(), count(e, "error")),
            (0, w) => write!(f, "{}: {}", file.as_str(), count(w, "warning")),
            (e, w) => write!(f, "{}: {}, {}", file.as_str(), count(e, "error"), count(w, "warning")),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        let file = Shown::new(&diagnostics.file).into_string();
        Failure::new(Kind::Runbook, format!("the runbook {file} is refused"))
            .cause(&diagnostics)
            .hint(format!("correct it, then `backout lint {file}`"))
    }
}

/// A line that holds a secret is drawn for nobody: other things may be wrong with it, too.
fn hide_secrets(source: &str, list: &mut [Diagnostic]) {
    let line = |span: &Range<usize>| source[..floor(source, span.start)].rfind('\n');
    let lines: Vec<_> = list.iter().filter(|d| d.secret).filter_map(|d| d.span.as_ref().map(line)).collect();
    if lines.is_empty() {
        return;
    }
    for diagnostic in list {
        diagnostic.secret |= diagnostic.span.as_ref().is_some_and(|span| lines.contains(&line(span)));
    }
}

/// Line and column of a byte, both from 1, the column in characters.
pub fn line_column(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..floor(source, offset)];
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

fn floor(source: &str, offset: usize) -> usize {
    let mut at = offset.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The line that a span begins in, sanitised, and where in it the span lies.
fn shown_line(source: &str, span: &Range<usize>) -> (usize, String, Range<usize>) {
    let from = floor(source, span.start);
    let start = source[..from].rfind('\n').map_or(0, |i| i + 1);
    let end = source[from..].find('\n').map_or(source.len(), |i| i + from);
    let to = floor(source, span.end).clamp(from, end);
    let shown = |range: Range<usize>| Shown::new(&source[range]).into_string();
    let (before, marked, after) = (shown(start..from), shown(from..to), shown(to..end));
    let after = after.trim_end_matches('␍');
    let line = source[..from].matches('\n').count() + 1;
    let mark = before.len()..before.len() + marked.trim_end_matches(['␍', ' ']).len();
    (line, format!("{before}{marked}{after}"), mark)
}
