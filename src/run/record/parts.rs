//! A record as the parts of a log line, and back.
//!
//! Owns which kinds are folded, which may wait for the next sync, and that a number in the log is exact for every reader.

use serde_json::Value;

use super::Record;

impl Record {
    /// Legal anywhere; changes no run state.
    pub fn is_log(&self) -> bool {
        matches!(
            self,
            Self::SegmentOpened(_)
                | Self::LockTaken { .. }
                | Self::LockLost { .. }
                | Self::Checked { .. }
                | Self::ClockStep { .. }
                | Self::Signal { .. }
                | Self::SessionLost { .. }
                | Self::AuditDegraded { .. }
                | Self::Checkpoint(_)
                | Self::Anchored { .. }
                | Self::Heartbeat {}
                | Self::Read { .. }
                | Self::Exported { .. }
        )
    }

    /// Rides along with the next synced record: nothing depends on it.
    pub fn may_wait(&self) -> bool {
        matches!(self, Self::Checked { .. } | Self::Progressed { .. } | Self::Heartbeat {})
    }

    /// The `kind` of the line.
    pub fn kind(&self) -> String {
        self.parts().0
    }

    /// `kind` and `payload` of the line. Numbers that not every JSON reader keeps exactly are texts in it.
    pub fn parts(&self) -> (String, Value) {
        match serde_json::to_value(self).map(|mut value| {
            exact(&mut value);
            value
        }) {
            Ok(Value::Object(mut parts)) => {
                let kind = parts.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned));
                (kind.unwrap_or_default(), parts.remove("payload").unwrap_or(Value::Null))
            }
            _ => (String::new(), Value::Null),
        }
    }

    /// As a replay of the log gives it back: what the state holds before a restart is what it holds after.
    #[must_use]
    pub fn logged(self) -> Self {
        let (kind, payload) = self.parts();
        Self::from_parts(&kind, &payload).unwrap_or(self)
    }

    /// Whether this version of backout knows the kind.
    pub fn knows(kind: &str) -> bool {
        match Self::from_parts(kind, &Value::Null) {
            Ok(_) => true,
            Err(why) => !why.to_string().starts_with("unknown variant"),
        }
    }

    /// The record of a line.
    ///
    /// # Errors
    /// An unknown kind, or a payload that is not of its kind.
    pub fn from_parts(kind: &str, payload: &Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({ "kind": kind, "payload": payload }))
    }
}

/// Integers within 2^53 stay; every other number becomes its own text.
pub fn exact(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.to_string().parse::<i64>().is_ok_and(|i| i.unsigned_abs() <= 1 << 53);
            if !whole {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(exact),
        Value::Object(fields) => fields.values_mut().for_each(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
