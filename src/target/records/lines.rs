//! JSON Lines: one object each.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::{Located, Row, Wrong};

pub(super) fn read(text: &str) -> Result<Vec<Located>, Wrong> {
    let mut records = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Object(row) = serde_json::from_str(line).map_err(|error| {
            let said = error.to_string();
            let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
            Wrong::at(i + 1, format!("{said} (column {})", error.column()))
        })?;
        records.push((i + 1, row));
    }
    Ok(records)
}

/// An object in which no name stands twice: serde_json would take the last one, without a word.
struct Object(Row);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object, A::Error> {
        let mut row = Row::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if row.contains_key(&name) {
                return Err(A::Error::custom(format_args!("field {name} stands there twice")));
            }
            row.insert(name, value);
        }
        Ok(Object(row))
    }
}
