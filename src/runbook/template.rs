//! Text with `{{ name }}` in it, and SQL with `{{ name }}`, `{{ ident name }}` and `{{ set }}` in it.
//!
//! Owns the syntax and the rendering: one pass, so that a value that looks like a template stays a value. In SQL a
//! value becomes a bind parameter, never text. Never knows where values come from: that is the [`Scope`].

use std::fmt;
use std::ops::Range;

use serde_json::Value;

use super::VarKind;

mod sql;

pub use sql::{Bind, Place, RenderedSql, SqlPiece, SqlText};

/// Where the names of a template find their values.
pub trait Scope {
    /// The value of a dotted path (`deployed_at`, `item.theirs.charge_id`, `probe.key`, `stage`), if it is known now.
    fn get(&self, path: &str) -> Option<Value>;

    /// Its declared kind; `None` takes the kind from the value.
    fn kind(&self, path: &str) -> Option<VarKind>;
}

/// Text with names in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    pub source: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Bytes from the start of the text.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// Why a template cannot be rendered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The path that stands in the braces; `set` for `{{ set }}`.
    pub name: String,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has no value yet.
    Unset,
    /// Its value is not a plain identifier, and only such a one is put into a statement.
    NotAnIdentifier { value: String },
}

impl Missing {
    pub fn unset(name: impl Into<String>) -> Self {
        Self { name: name.into(), why: Why::Unset }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Unset => write!(f, "`{}` has no value yet", self.name),
            Why::NotAnIdentifier { value } => write!(
                f,
                "`{}` is {value:?}: an identifier has letters, digits and _ only, begins with a letter or _, and is at most 63 long",
                self.name
            ),
        }
    }
}

impl std::error::Error for Missing {}

impl Template {
    /// Reads `{{ path }}`; everything else is text.
    ///
    /// # Errors
    /// Braces that do not close, or that hold something other than one dotted name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        for part in parts(text)? {
            pieces.push(match part {
                Part::Text(range) => Piece::Text(text[range].to_owned()),
                Part::Braces { inside, at } => Piece::Name(one_path(inside, &at)?),
            });
        }
        Ok(Self { source: text.to_owned(), pieces })
    }

    /// The paths in it, in order, each once.
    pub fn names(&self) -> Vec<&str> {
        once(self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        }))
    }

    /// Exactly one `{{ x }}` keeps the type of x; everything else is text.
    ///
    /// # Errors
    /// A name without a value.
    pub fn render(&self, scope: &dyn Scope) -> Result<Value, Missing> {
        if let [Piece::Name(name)] = self.pieces.as_slice() {
            return scope.get(name).ok_or_else(|| Missing::unset(name));
        }
        self.render_text(scope).map(Value::String)
    }

    /// # Errors
    /// A name without a value.
    pub fn render_text(&self, scope: &dyn Scope) -> Result<String, Missing> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(t) => text.push_str(t),
                Piece::Name(name) => {
                    text.push_str(&as_text(&scope.get(name).ok_or_else(|| Missing::unset(name))?));
                }
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Renders every string of a JSON value as a template of its own; names of fields stay as they are.
///
/// # Errors
/// A name without a value.
pub fn render_value(value: &Value, scope: &dyn Scope) -> Result<Value, Missing> {
    Ok(match value {
        Value::String(text) => match Template::parse(text) {
            Ok(template) => template.render(scope)?,
            // The reader refused such a text; a value that did not come from a runbook is not a template.
            Err(_) => Value::String(text.clone()),
        },
        Value::Array(items) => Value::Array(items.iter().map(|v| render_value(v, scope)).collect::<Result<_, _>>()?),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(k, v)| Ok((k.clone(), render_value(v, scope)?))).collect::<Result<_, Missing>>()?,
        ),
        other => other.clone(),
    })
}

/// The bytes of each `{{ … }}` in a text that was read before.
pub fn braces(text: &str) -> Vec<Range<usize>> {
    parts(text)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|part| match part {
            Part::Braces { at, .. } => Some(at),
            Part::Text(_) => None,
        })
        .collect()
}

/// Text of a value: a string without quotes, null as nothing, everything else as JSON.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn once<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

enum Part<'a> {
    Text(Range<usize>),
    Braces { inside: &'a str, at: Range<usize> },
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find("{{").map(|i| i + from) {
        if open > from {
            parts.push(Part::Text(from..open));
        }
        let Some(close) = text[open..].find("}}").map(|i| i + open) else {
            return Err(TemplateError { offset: open, len: 2, message: "`{{` without `}}`".to_owned() });
        };
        parts.push(Part::Braces { inside: &text[open + 2..close], at: open..close + 2 });
        from = close + 2;
    }
    if from < text.len() {
        parts.push(Part::Text(from..text.len()));
    }
    Ok(parts)
}

fn one_path(inside: &str, at: &Range<usize>) -> Result<String, TemplateError> {
    let path = inside.trim();
    let word = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    if path.split('.').all(word) {
        return Ok(path.to_owned());
    }
    let message = if path.is_empty() {
        "`{{ }}` names nothing".to_owned()
    } else {
        format!("`{path}` is not a name: one name stands between `{{{{` and `}}}}`, no function and no arithmetic")
    };
    Err(TemplateError { offset: at.start, len: at.len(), message })
}
