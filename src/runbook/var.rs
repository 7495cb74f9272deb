//! A variable's value, from what was typed.

use serde_json::Value;

use super::VarKind;
use super::expect::Decimal;

impl VarKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }

    /// The value that `text` is. Integers beyond 2^53 and numbers with a fraction stay text, so that nothing is lost.
    ///
    /// # Errors
    /// In words, without the text itself.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Self::Text if text.chars().any(char::is_control) => Err("it holds control characters".into()),
            Self::Text => Ok(Value::from(text)),
            Self::Integer => {
                let number: i64 = text.parse().map_err(|_| "it is not a whole number of 64 bits".to_owned())?;
                Ok(if number.unsigned_abs() > 1 << 53 { Value::from(number.to_string()) } else { Value::from(number) })
            }
            Self::Number => match Decimal::parse(text) {
                Some(_) => Ok(Value::from(text)),
                None => Err("it is not a number".into()),
            },
            Self::Boolean => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("it is neither true nor false".into()),
            },
            Self::Timestamp => {
                let zoned = text.replace(' ', "T");
                zoned
                    .parse::<jiff::Timestamp>()
                    .map(|at| Value::from(at.to_string()))
                    .map_err(|_| "it is not a time with its zone, as 2026-01-05T02:11:09Z".into())
            }
        }
    }
}
