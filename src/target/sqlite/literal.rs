//! A value of SQLite as a literal of its own: exact, with its type, and readable to whoever opens the file.
//!
//! `42` is an integer and `42.0` a real, `'42'` is text and `x'42'` a blob; NULL is no literal at all. Never computes: what is written is what is read
//! back, bit for bit.

use serde_json::{Number, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row as _, TypeInfo, ValueRef};

use super::super::db::{SqlError, text_bind};
use crate::runbook::VarKind;
use crate::runbook::template::Bind;
use crate::text::hex;

/// One value, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Literal {
    /// The value of a column. The type comes from the value: a column of SQLite has none that holds.
    pub(super) fn of(row: &SqliteRow, column: usize) -> Result<Self, SqlError> {
        let raw = row.try_get_raw(column)?;
        if raw.is_null() {
            return Ok(Self::Null);
        }
        let kind = raw.type_info().name().to_owned();
        Ok(match kind.as_str() {
            "INTEGER" | "BOOLEAN" | "INT8" | "INT4" => Self::Integer(row.try_get_unchecked(column)?),
            "REAL" | "FLOAT" | "NUMERIC" => Self::Real(row.try_get_unchecked(column)?),
            "BLOB" => Self::Blob(row.try_get_unchecked(column)?),
            _ => match row.try_get_unchecked::<String, _>(column) {
                Ok(text) => Self::Text(text),
                Err(_) => {
                    let name = row.column(column).name();
                    return Err(SqlError::new(format!("the text in column {name} is not UTF-8")));
                }
            },
        })
    }

    /// As JSON has it: a blob as `\x` and hexadecimal digits, a number without an end as nothing.
    pub fn json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(n) => Value::from(n),
            Self::Real(n) => Number::from_f64(n).map_or(Value::Null, Value::Number),
            Self::Text(text) => Value::String(text),
            Self::Blob(bytes) => Value::String(format!("\\x{}", hex(&bytes))),
        }
    }

    /// As SQL has it; `None` is NULL.
    pub fn written(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Integer(n) => n.to_string(),
            Self::Real(n) if n.is_infinite() => if *n > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
            // The shortest form that is read back as the same number; always with a point or an exponent.
            Self::Real(n) => format!("{n:?}"),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Blob(bytes) => format!("x'{}'", hex(bytes)),
        })
    }

    /// What [`Literal::written`] wrote; `None` where it is none of that.
    pub fn read(written: Option<&str>) -> Option<Self> {
        let Some(written) = written else { return Some(Self::Null) };
        let inner = |prefix: &str| written.strip_prefix(prefix)?.strip_suffix('\'');
        if let Some(digits) = inner("x'") {
            let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            return (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>().map(Self::Blob);
        }
        if let Some(text) = inner("'") {
            return Some(Self::Text(text.replace("''", "'")));
        }
        match written.contains(['.', 'e']) {
            true => written.parse().ok().map(Self::Real),
            false => written.parse().ok().map(Self::Integer),
        }
    }

    /// An expression that gives exactly this value, and what it binds.
    pub fn expression(&self) -> (&'static str, Option<Bind>) {
        let number = |value: Value, kind| Some(Bind { value, kind, name: String::new() });
        match self {
            Self::Null => ("null", None),
            Self::Integer(n) => ("?", number(Value::from(*n), VarKind::Integer)),
            Self::Real(n) => match Number::from_f64(*n) {
                Some(finite) => ("?", number(Value::Number(finite), VarKind::Number)),
                None if *n > 0.0 => ("9e999", None),
                None => ("-9e999", None),
            },
            Self::Text(text) => ("?", Some(text_bind(text))),
            Self::Blob(bytes) => ("unhex(?)", Some(text_bind(hex(bytes)))),
        }
    }
}
