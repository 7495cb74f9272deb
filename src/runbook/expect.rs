//! What an answer must be, and what it therefore says.
//!
//! Owns [`Expect`], the judgement of one value, exact comparison of numbers and the durations of the file. Never asks
//! anything and never rounds: numbers are compared as decimals, and what cannot be judged is unknown, never a pass.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    Literal(Value),
    Compare {
        op: Op,
        /// A decimal number.
        value: String,
    },
    /// The value that was frozen last under this name.
    SameAs(String),
    /// Every shape satisfies every service that reads the topic: the value is `true`.
    Readable,
    /// A probe's last statement must be refused with this SQLSTATE: the value is `{"error": "23505"}`.
    Error(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    Greater,
}

impl Op {
    const SIGNS: [(&'static str, Op); 7] = [
        ("<=", Op::AtMost),
        (">=", Op::AtLeast),
        ("!=", Op::NotEqual),
        ("==", Op::Equal),
        ("<", Op::Less),
        (">", Op::Greater),
        ("=", Op::Equal),
    ];

    pub fn sign(self) -> &'static str {
        match self {
            Op::Less => "<",
            Op::AtMost => "<=",
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::AtLeast => ">=",
            Op::Greater => ">",
        }
    }

    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Op::Less => ordering.is_lt(),
            Op::AtMost => ordering.is_le(),
            Op::Equal => ordering.is_eq(),
            Op::NotEqual => ordering.is_ne(),
            Op::AtLeast => ordering.is_ge(),
            Op::Greater => ordering.is_gt(),
        }
    }
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    Unknown { because: String },
}

impl Verdict {
    pub fn unknown(because: impl Into<String>) -> Self {
        Self::Unknown { because: because.into() }
    }

    pub fn is_pass(&self) -> bool {
        *self == Self::Pass
    }

    pub fn is_fail(&self) -> bool {
        *self == Self::Fail
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// `pass`, `fail` or `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown { .. } => "unknown",
        }
    }

    fn of(pass: bool) -> Self {
        if pass { Self::Pass } else { Self::Fail }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { because } => write!(f, "unknown: {because}"),
            other => f.write_str(other.word()),
        }
    }
}

impl Expect {
    /// Reads a quoted text: `readable`, a comparison such as `<= 50`, or a literal.
    ///
    /// # Errors
    /// A comparison with something that is not a decimal number.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed == "readable" {
            return Ok(Self::Readable);
        }
        for (sign, op) in Op::SIGNS {
            if let Some(rest) = trimmed.strip_prefix(sign) {
                let number = rest.trim();
                return match Decimal::parse(number) {
                    Some(_) => Ok(Self::Compare { op, value: number.to_owned() }),
                    None => Err(format!("`{sign}` compares with a number, and {number:?} is none")),
                };
            }
        }
        Ok(Self::Literal(Value::String(text.to_owned())))
    }

    /// What `value` says. `frozen` gives what was frozen last under a name.
    ///
    /// No value, NULL, a value of another type and a name that was not frozen are all unknown.
    pub fn judge(&self, value: Option<&Value>, frozen: &dyn Fn(&str) -> Option<Value>) -> Verdict {
        let value = match value {
            None => return Verdict::unknown("no answer"),
            Some(Value::Null) => return Verdict::unknown("the answer is NULL"),
            Some(value) => value,
        };
        match self {
            Self::Literal(expected) => same(value, expected),
            Self::Compare { op, value: bound } => match (decimal(value), Decimal::parse(bound)) {
                (Some(found), Some(bound)) => Verdict::of(op.holds(found.cmp(&bound))),
                _ => wrong_type(value, "a number"),
            },
            Self::SameAs(name) => match frozen(name) {
                None => Verdict::unknown(format!("`{name}` is not frozen yet")),
                Some(Value::Null) => Verdict::unknown(format!("`{name}` was frozen as unknown")),
                Some(expected) => same(value, &expected),
            },
            Self::Readable => match value {
                Value::Bool(readable) => Verdict::of(*readable),
                other => wrong_type(other, "true or false"),
            },
            Self::Error(sqlstate) => {
                Verdict::of(value.get("error").and_then(Value::as_str).is_some_and(|found| found == sqlstate))
            }
        }
    }

    /// The name of the reading or set it compares with.
    pub fn same_as(&self) -> Option<&str> {
        match self {
            Self::SameAs(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(Value::String(text)) => write!(f, "{text:?}"),
            Self::Literal(value) => write!(f, "{value}"),
            Self::Compare { op, value } => write!(f, "{} {value}", op.sign()),
            Self::SameAs(name) => write!(f, "same as {name}"),
            Self::Readable => f.write_str("readable"),
            Self::Error(sqlstate) => write!(f, "error {sqlstate}"),
        }
    }
}

/// Whether two values are the same; numbers by value, whatever they are written like.
pub fn same(value: &Value, expected: &Value) -> Verdict {
    match expected {
        Value::Number(_) => match (decimal(value), decimal(expected)) {
            (Some(found), Some(expected)) => Verdict::of(found == expected),
            _ => wrong_type(value, "a number"),
        },
        // A frozen NUMERIC comes as text: equal by value is equal.
        Value::String(text) => match value {
            Value::String(found) if found == text => Verdict::Pass,
            Value::String(_) | Value::Number(_) => match (decimal(value), Decimal::parse(text)) {
                (Some(found), Some(expected)) => Verdict::of(found == expected),
                _ if value.is_string() => Verdict::Fail,
                _ => wrong_type(value, "a text"),
            },
            other => wrong_type(other, "a text"),
        },
        Value::Bool(expected) => match value {
            Value::Bool(found) => Verdict::of(found == expected),
            other => wrong_type(other, "true or false"),
        },
        Value::Null => Verdict::unknown("nothing was expected"),
        Value::Array(_) | Value::Object(_) => Verdict::of(value == expected),
    }
}

fn wrong_type(value: &Value, wanted: &str) -> Verdict {
    let found = match value {
        Value::Null => "NULL",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a record",
    };
    Verdict::unknown(format!("the answer is {found}, and {wanted} was expected"))
}

fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => Decimal::parse(&number.to_string()),
        Value::String(text) => Decimal::parse(text),
        _ => None,
    }
}

/// A decimal number of any length, in its one shortest form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// `-?digits(.digits)?(e±digits)?`; an exponent beyond 400 is not a number that anybody meant.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || exponent.abs() > 400 {
            return None;
        }
        let mut all = format!("{whole}{fraction}");
        let mut point = whole.len() as i64 + i64::from(exponent);
        while point < 0 {
            all.insert(0, '0');
            point += 1;
        }
        while (all.len() as i64) < point {
            all.push('0');
        }
        let (whole, fraction) = all.split_at(usize::try_from(point).ok()?);
        let (whole, fraction) = (whole.trim_start_matches('0').to_owned(), fraction.trim_end_matches('0').to_owned());
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Self { negative, whole, fraction })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| {
            (a.whole.len().cmp(&b.whole.len()))
                .then_with(|| a.whole.cmp(&b.whole))
                .then_with(|| a.fraction.cmp(&b.fraction))
        };
        match (self.negative, other.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads `200ms`, `30s`, `2m`, `1h`, `7d`.
///
/// # Errors
/// Anything else, and more than a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(format!("{text:?} is not a duration: a number and ms, s, m, h or d, as in `30s`"));
        }
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a duration: a number comes first"))?;
    match number.checked_mul(millis) {
        Some(total) if total <= 366 * 86_400_000 => Ok(Duration::from_millis(total)),
        _ => Err(format!("{text:?} is more than a year")),
    }
}

/// A duration as the file writes it.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= unit && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}
