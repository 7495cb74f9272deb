//! What a scan has found. Plain data; keeps no payload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FieldKind;

/// The shapes of one window of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeTable {
    pub topic: String,
    /// What was to be read of each partition: the end as it stood when the scan began.
    pub windows: BTreeMap<i32, Window>,
    /// The most frequent first.
    pub shapes: Vec<Shape>,
    /// Records in the window, of whatever content.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Records that are no JSON.
    pub undecodable: u64,
    /// Records without a payload: they delete a key in a compacted topic.
    pub tombstones: u64,
    /// Why the window was not read to its end, if it was not.
    pub partial: Option<String>,
    /// The broker could not find offsets by time; records were read from the beginning and picked by timestamp.
    pub searched: bool,
}

/// Offsets of one partition: `start` to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub low: i64,
    pub start: i64,
    pub end: i64,
}

/// Records whose fields and types are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Sorted: `customer.id`, `items[].sku`; a field of two types in one record (in an array) stands twice.
    pub fields: Vec<(String, FieldKind)>,
    pub count: u64,
    pub seen: BTreeMap<i32, Seen>,
    /// Records by what their headers `app` and `version` say (`checkout v2`), where there are any.
    pub producers: BTreeMap<String, u64>,
}

/// The first and the last record of a shape in one partition. Timestamps in ms since 1970, as the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub first: i64,
    pub first_ms: i64,
    pub last: i64,
    pub last_ms: i64,
}

impl Shape {
    /// Whether the field is there and not null.
    pub fn has(&self, path: &str) -> bool {
        self.fields.iter().any(|(field, kind)| field == path && *kind != FieldKind::Null)
    }

    /// The latest record of this shape, ms since 1970.
    pub fn last_ms(&self) -> Option<i64> {
        self.seen.values().map(|seen| seen.last_ms).max()
    }

    /// The earliest record of this shape, ms since 1970.
    pub fn first_ms(&self) -> Option<i64> {
        self.seen.values().map(|seen| seen.first_ms).min()
    }
}

impl ShapeTable {
    /// Fields that some shapes have, with a value, and others have not: what a reader stumbles over.
    pub fn differing(&self) -> Vec<String> {
        let mut fields: Vec<&String> = self.shapes.iter().flat_map(|s| s.fields.iter().map(|(f, _)| f)).collect();
        fields.sort();
        fields.dedup();
        fields
            .into_iter()
            .filter(|field| self.shapes.iter().any(|s| !s.has(field)) && self.shapes.iter().any(|s| s.has(field)))
            .cloned()
            .collect()
    }
}
