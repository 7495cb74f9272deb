//! Secrets do not reach the disk: every string of a payload is scrubbed before it is hashed.
//!
//! Never decides what is a secret; the run says so when it resolves its variables and addresses.

use crate::text::{Secret, scrub};
use serde_json::{Map, Value};

/// Replaces every secret in the strings and keys of `payload` by `•••`.
pub fn redact(payload: Value, secrets: &[Secret]) -> Value {
    if secrets.is_empty() {
        return payload;
    }
    match payload {
        Value::String(text) => Value::String(scrub(&text, secrets)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| redact(item, secrets)).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(k, v)| (scrub(&k, secrets), redact(v, secrets))).collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => payload,
    }
}
