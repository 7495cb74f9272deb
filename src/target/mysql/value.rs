//! A value of the binary protocol as JSON, by the type of its column.
//!
//! Never loses a digit: decimals and 64-bit integers stay exact. Bytes are `\x` and hexadecimal.

use serde_json::{Number, Value};
use sqlx::mysql::MySqlRow;
use sqlx::{Column, MySql, Row as _, Type, TypeInfo, ValueRef};

use crate::target::db::{Row, SqlError};
use crate::text::hex;

pub(super) fn row(row: &MySqlRow) -> Result<Row, SqlError> {
    row.columns().iter().map(|column| Ok((column.name().to_owned(), json(row, column.ordinal())?))).collect()
}

fn json(row: &MySqlRow, at: usize) -> Result<Value, SqlError> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let name = raw.type_info().name().to_owned();
    Ok(match name.as_str() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            Value::from(row.try_get_unchecked::<i64, _>(at)?)
        }
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
        | "YEAR" => Value::from(row.try_get_unchecked::<u64, _>(at)?),
        "FLOAT" => number(&row.try_get_unchecked::<f32, _>(at)?.to_string()),
        "DOUBLE" => number(&row.try_get_unchecked::<f64, _>(at)?.to_string()),
        "DECIMAL" => number(&row.try_get_unchecked::<String, _>(at)?),
        "DATE" => Value::from(date(&row.try_get_unchecked::<Vec<u8>, _>(at)?, false)?),
        "DATETIME" | "TIMESTAMP" => Value::from(date(&row.try_get_unchecked::<Vec<u8>, _>(at)?, true)?),
        "TIME" => Value::from(time(&row.try_get_unchecked::<Vec<u8>, _>(at)?)?),
        "JSON" => {
            let text = row.try_get_unchecked::<String, _>(at)?;
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" => {
            Value::from(row.try_get_unchecked::<String, _>(at)?)
        }
        // The driver's name goes by a flag that text has too where its collation compares bytes.
        _ if <str as Type<MySql>>::compatible(&raw.type_info()) => Value::from(row.try_get_unchecked::<String, _>(at)?),
        _ => {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(at)?;
            Value::from(format!("\\x{}", hex(&bytes)))
        }
    })
}

fn number(text: &str) -> Value {
    serde_json::from_str::<Number>(text).map_or_else(|_| Value::from(text), Value::Number)
}

/// Length, then year, month, day; hour, minute, second; microseconds: as much of it as is not zero.
fn date(bytes: &[u8], with_time: bool) -> Result<String, SqlError> {
    let part = |at: usize| bytes.get(at).copied().unwrap_or(0);
    if !matches!(part(0), 0 | 4 | 7 | 11) {
        return Err(SqlError::new("a date cannot be read"));
    }
    let year = u16::from_le_bytes([part(1), part(2)]);
    let day = format!("{year:04}-{:02}-{:02}", part(3), part(4));
    if !with_time {
        return Ok(day);
    }
    Ok(format!("{day} {}", clock(u64::from(part(5)), part(6), part(7), &[part(8), part(9), part(10), part(11)])))
}

/// Length, sign, days, hour, minute, second; microseconds.
fn time(bytes: &[u8]) -> Result<String, SqlError> {
    let part = |at: usize| bytes.get(at).copied().unwrap_or(0);
    if !matches!(part(0), 0 | 8 | 12) {
        return Err(SqlError::new("a time cannot be read"));
    }
    let sign = if part(1) == 1 { "-" } else { "" };
    let days = u32::from_le_bytes([part(2), part(3), part(4), part(5)]);
    let hours = u64::from(days) * 24 + u64::from(part(6));
    Ok(format!("{sign}{}", clock(hours, part(7), part(8), &[part(9), part(10), part(11), part(12)])))
}

fn clock(hours: u64, minutes: u8, seconds: u8, micros: &[u8; 4]) -> String {
    let whole = format!("{hours:02}:{minutes:02}:{seconds:02}");
    match u32::from_le_bytes(*micros) {
        0 => whole,
        micros => format!("{whole}.{micros:06}"),
    }
}
