//! What is kept of a cluster's offsets before anything is moved: the undo of moving them.
//!
//! Reads only, and whole or not at all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Connection;
use crate::failure::Result;

/// Integers beyond this stand as text in a snapshot: other readers of JSON would round them.
const EXACT: i64 = 1 << 53;

impl Connection {
    /// What `freeze: [offsets of BUS]` keeps: committed offsets of each group on the topics that it reads, and the
    /// readable range of every such topic.
    ///
    /// # Errors
    /// The first topic or group that does not answer: half a snapshot undoes nothing.
    pub async fn offsets_snapshot(&self, groups: &BTreeMap<String, Vec<String>>) -> Result<Value> {
        let mut topics = serde_json::Map::new();
        for topic in groups.values().flatten() {
            if !topics.contains_key(topic) {
                let marks = self.marks(topic).await?;
                let partitions = marks.iter().map(|(partition, marks)| {
                    (partition.to_string(), json!({"low": number(marks.low), "end": number(marks.end)}))
                });
                topics.insert(topic.clone(), Value::Object(partitions.collect()));
            }
        }
        let mut committed = serde_json::Map::new();
        for (group, topics) in groups {
            let mut per_topic = serde_json::Map::new();
            for topic in topics {
                let offsets = self.committed(group, topic).await?;
                let offsets = offsets
                    .iter()
                    .map(|(partition, offset)| (partition.to_string(), offset.map_or(Value::Null, number)));
                per_topic.insert(topic.clone(), Value::Object(offsets.collect()));
            }
            committed.insert(group.clone(), Value::Object(per_topic));
        }
        Ok(json!({"groups": committed, "topics": topics}))
    }
}

fn number(offset: i64) -> Value {
    if offset.abs() > EXACT { Value::String(offset.to_string()) } else { Value::from(offset) }
}
