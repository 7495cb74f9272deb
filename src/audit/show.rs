//! One record as a line for people. Whatever stands in a log, it cannot reach the terminal as anything but text.

use super::line::Envelope;
use crate::text::Shown;
use serde_json::Value;

/// Characters of a line; a statement that is longer is in the file.
const WIDTH: usize = 2000;

/// `seq  time  by  step/attempt  kind  key=value …`
pub fn show(record: &Envelope) -> Shown {
    let step = match (&record.step, record.att) {
        (Some(step), Some(att)) => format!("{step}/{att}"),
        (Some(step), None) => step.clone(),
        (None, _) => "-".to_owned(),
    };
    let Envelope { seq, ts, by, kind, .. } = record;
    let mut line = format!("{seq:>5}  {ts:.3}  {by:<3} {step:<20} {kind:<16}");
    match &record.payload {
        Value::Object(fields) => {
            for (key, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
                line.push_str(&format!(" {key}={value}"));
            }
        }
        Value::Null => {}
        other => line.push_str(&format!(" {other}")),
    }
    Shown::capped(line.trim_end(), WIDTH)
}
