//! Text with `{{ name }}` in it, and SQL with `{{ name }}`, `{{ ident name }}` and `{{ set }}` in it.
//!
//! Owns the syntax and the rendering: one pass, so that a value that looks like a template stays a value. In SQL a
//! value becomes a bind parameter, never text. Never knows where values come from: that is the [`Scope`].

use std::fmt;
use std::ops::Range;

use serde_json::Value;

use super::VarKind;
use crate::sql::{self, Dialect};

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
        Self {
            name: name.into(),
            why: Why::Unset,
        }
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
        Ok(Self {
            source: text.to_owned(),
            pieces,
        })
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
                    text.push_str(&as_text(
                        &scope.get(name).ok_or_else(|| Missing::unset(name))?,
                    ));
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
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|v| render_value(v, scope))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(k, v)| Ok((k.clone(), render_value(v, scope)?)))
                .collect::<Result<_, Missing>>()?,
        ),
        other => other.clone(),
    })
}

/// SQL as the runbook has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlText {
    pub text: String,
    /// Of the literal in the YAML file.
    pub span: Place,
    pieces: Vec<SqlPiece>,
}

/// A place in the YAML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Bytes from the start of the file.
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: usize,
    /// Characters, from 1.
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlPiece {
    Text(String),
    /// `{{ x }}`: a bind parameter.
    Bind(String),
    /// `{{ ident x }}`: an identifier, checked and quoted.
    Ident(String),
    /// `{{ set }}`: the table of the frozen set.
    SetTable,
}

/// A statement and what is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedSql {
    pub sql: String,
    pub binds: Vec<Bind>,
}

/// One bind parameter, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Bind {
    pub value: Value,
    pub kind: VarKind,
    /// The path it came from.
    pub name: String,
}

impl SqlText {
    /// # Errors
    /// Braces that do not close or hold something else than `x`, `ident x` or `set`.
    pub fn parse(text: &str, span: Place) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        for part in parts(text)? {
            pieces.push(match part {
                Part::Text(range) => SqlPiece::Text(text[range].to_owned()),
                Part::Braces { inside, at } => match inside.trim().strip_prefix("ident") {
                    Some(rest) if rest.starts_with(char::is_whitespace) => {
                        SqlPiece::Ident(one_path(rest, &at)?)
                    }
                    _ if inside.trim() == "set" => SqlPiece::SetTable,
                    _ => SqlPiece::Bind(one_path(inside, &at)?),
                },
            });
        }
        Ok(Self {
            text: text.to_owned(),
            span,
            pieces,
        })
    }

    pub fn pieces(&self) -> &[SqlPiece] {
        &self.pieces
    }

    /// The paths that need a value, in order, each once. `{{ set }}` is none.
    pub fn names(&self) -> Vec<&str> {
        once(self.pieces.iter().filter_map(|piece| match piece {
            SqlPiece::Bind(name) | SqlPiece::Ident(name) => Some(name.as_str()),
            SqlPiece::Text(_) | SqlPiece::SetTable => None,
        }))
    }

    pub fn uses_set(&self) -> bool {
        self.pieces.contains(&SqlPiece::SetTable)
    }

    /// The statement for `dialect`. `set_table` is the frozen set's table as it stands in SQL, quoted already.
    ///
    /// PostgreSQL gets `$n` with a cast to the declared kind, SQLite and MySQL get `?`. Trailing white space is gone.
    ///
    /// # Errors
    /// A name without a value, an `ident` that is none, `{{ set }}` without a table.
    pub fn render(
        &self,
        dialect: Dialect,
        scope: &dyn Scope,
        set_table: Option<&str>,
    ) -> Result<RenderedSql, Missing> {
        let mut sql = String::with_capacity(self.text.len() + 16);
        let mut binds = Vec::new();
        for piece in &self.pieces {
            match piece {
                SqlPiece::Text(text) => sql.push_str(text),
                SqlPiece::SetTable => sql.push_str(set_table.ok_or_else(|| Missing::unset("set"))?),
                SqlPiece::Ident(name) => {
                    let value = as_text(&scope.get(name).ok_or_else(|| Missing::unset(name))?);
                    match sql::quote_ident(dialect, &value) {
                        Ok(quoted) => sql.push_str(&quoted),
                        Err(_) => {
                            return Err(Missing {
                                name: name.clone(),
                                why: Why::NotAnIdentifier { value },
                            });
                        }
                    }
                }
                SqlPiece::Bind(name) => {
                    let value = scope.get(name).ok_or_else(|| Missing::unset(name))?;
                    let kind = scope.kind(name).unwrap_or_else(|| kind_of(&value));
                    binds.push(Bind {
                        value,
                        kind,
                        name: name.clone(),
                    });
                    sql.push_str(&placeholder(dialect, kind, binds.len()));
                }
            }
        }
        sql.truncate(sql.trim_end().len());
        Ok(RenderedSql { sql, binds })
    }

    /// The text with something that parses in the place of each name: for the parser, never for a server.
    ///
    /// Same length as the text, so that places stay: `{{ x }}` becomes a parameter, names become an identifier.
    pub fn parseable(&self, dialect: Dialect) -> String {
        let mut sql = String::with_capacity(self.text.len());
        let mut n = 0;
        for part in parts(&self.text).unwrap_or_default() {
            match part {
                Part::Text(range) => sql.push_str(&self.text[range]),
                Part::Braces { inside, at } => {
                    let word = inside.trim();
                    let stand_in = if word == "set" {
                        "backout".to_owned()
                    } else if word.starts_with("ident") && word.len() > 5 {
                        "backout_x".to_owned()
                    } else {
                        n += 1;
                        match dialect {
                            Dialect::Postgres => format!("${n}"),
                            Dialect::Mysql | Dialect::Sqlite => "?".to_owned(),
                        }
                    };
                    sql.push_str(&format!("{stand_in:<width$}", width = at.len()));
                }
            }
        }
        sql
    }
}

impl fmt::Display for SqlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
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

fn placeholder(dialect: Dialect, kind: VarKind, n: usize) -> String {
    match dialect {
        Dialect::Mysql | Dialect::Sqlite => "?".to_owned(),
        Dialect::Postgres => {
            let cast = match kind {
                VarKind::Text => "text",
                VarKind::Integer => "bigint",
                VarKind::Number => "numeric",
                VarKind::Boolean => "boolean",
                VarKind::Timestamp => "timestamptz",
            };
            format!("${n}::{cast}")
        }
    }
}

fn kind_of(value: &Value) -> VarKind {
    match value {
        Value::Bool(_) => VarKind::Boolean,
        Value::Number(n) if n.is_i64() => VarKind::Integer,
        Value::Number(_) => VarKind::Number,
        _ => VarKind::Text,
    }
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
            return Err(TemplateError {
                offset: open,
                len: 2,
                message: "`{{` without `}}`".to_owned(),
            });
        };
        parts.push(Part::Braces {
            inside: &text[open + 2..close],
            at: open..close + 2,
        });
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
            && w.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    if path.split('.').all(word) {
        return Ok(path.to_owned());
    }
    let message = if path.is_empty() {
        "`{{ }}` names nothing".to_owned()
    } else {
        format!(
            "`{path}` is not a name: one name stands between `{{{{` and `}}}}`, no function and no arithmetic"
        )
    };
    Err(TemplateError {
        offset: at.start,
        len: at.len(),
        message,
    })
}
