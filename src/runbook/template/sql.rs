//! SQL with names in it: a value becomes a bind parameter, never text.

use std::fmt;

use serde_json::Value;

use super::{Missing, Part, Scope, TemplateError, Why, as_text, once, one_path, parts};
use crate::runbook::VarKind;
use crate::sql::{self, Dialect};

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
                    Some(rest) if rest.starts_with(char::is_whitespace) => SqlPiece::Ident(one_path(rest, &at)?),
                    _ if inside.trim() == "set" => SqlPiece::SetTable,
                    _ => SqlPiece::Bind(one_path(inside, &at)?),
                },
            });
        }
        Ok(Self { text: text.to_owned(), span, pieces })
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
    pub fn render(&self, dialect: Dialect, scope: &dyn Scope, set_table: Option<&str>) -> Result<RenderedSql, Missing> {
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
                            return Err(Missing { name: name.clone(), why: Why::NotAnIdentifier { value } });
                        }
                    }
                }
                SqlPiece::Bind(name) => {
                    let value = scope.get(name).ok_or_else(|| Missing::unset(name))?;
                    let kind = scope.kind(name).unwrap_or_else(|| kind_of(&value));
                    binds.push(Bind { value, kind, name: name.clone() });
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
