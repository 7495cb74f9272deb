//! Values of variables, as an operator, the environment or the file gives them.
//!
//! Owns what counts as a value of each kind. Never guesses: a timestamp without an offset is refused, not taken for
//! local time or for UTC.

use serde_json::Value;

use super::VarKind;
use super::expect::Decimal;
use crate::text;

/// Bytes of one value.
pub const MAX_BYTES: usize = 64 * 1024;

/// Reads `text` as a value of `kind`. One line end at the end (as `$(cat file)` leaves none, but a file has) is not
/// part of the value.
///
/// # Errors
/// What is wrong with it, without a full stop; the value itself is not repeated when it is long.
pub fn read_value(kind: VarKind, text: &str) -> Result<Value, String> {
    let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
    if text.len() > MAX_BYTES {
        return Err(format!("the value is longer than {} KiB", MAX_BYTES / 1024));
    }
    if let Err((at, c)) = text::is_clean(text) {
        return Err(format!("the value has the invisible character U+{:04X} at byte {at}", u32::from(c)));
    }
    let shown: String = text.chars().take(40).collect();
    match kind {
        VarKind::Text => Ok(Value::String(text.to_owned())),
        VarKind::Integer => text
            .parse::<i64>()
            .ok()
            .filter(|n| n.to_string() == text)
            .map(Value::from)
            .ok_or_else(|| format!("`{shown}` is not a whole number of 64 bits: write digits only, as in `340`")),
        VarKind::Number => Decimal::parse(text)
            .filter(|_| !text.contains(['e', 'E']))
            .and_then(|_| serde_json::from_str(text).ok())
            .ok_or_else(|| format!("`{shown}` is not a decimal number: write it as in `12.50`")),
        VarKind::Boolean => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("`{shown}` is neither `true` nor `false`")),
        },
        VarKind::Timestamp => text
            .parse::<jiff::Timestamp>()
            .map(|t| Value::String(t.to_string()))
            .map_err(|_| format!("`{shown}` is not a time with an offset: write it as in `2026-11-24T02:07:00Z`")),
    }
}
