//! Which events of a step stand in a topic, told by their headers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::failure::Result;
use crate::names;
use crate::target::kafka::{Client, Connection, marks, window};

/// The items of `wanted` that stand in the topic after the offsets `from` (of the whole topic without any), as a reader
/// of committed records sees it. Which run published them makes no difference: the item's key is of the world.
///
/// # Errors
/// No such topic, no right to read it, or a broker that is gone.
pub async fn scan(
    connection: &Connection,
    topic: &str,
    step: &str,
    from: Option<&BTreeMap<i32, i64>>,
    wanted: BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let what = format!("look for this step's events in {topic}");
    let (topic, step, from) = (topic.to_owned(), step.to_owned(), from.cloned());
    let read = move |client: &Client| {
        let ranges: BTreeMap<i32, Range<i64>> = marks(client, &topic)?
            .into_iter()
            .map(|(partition, marks)| {
                // A partition added since then is read from its beginning.
                let start = from.as_ref().and_then(|from| from.get(&partition)).copied().unwrap_or(marks.low);
                (partition, start.max(marks.low)..marks.end)
            })
            .collect();
        let mut found = BTreeSet::new();
        window::read(client, &topic, &ranges, |record| {
            if let Some(record) = record
                && header(record, names::HEADER_STEP) == Some(step.as_bytes())
                && let Some(item) = header(record, names::HEADER_ITEM).and_then(|i| std::str::from_utf8(i).ok())
                && wanted.contains(item)
            {
                found.insert(item.to_owned());
            }
            if found.len() == wanted.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    };
    connection.read(&what, read).await
}

fn header<'a>(record: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a [u8]> {
    let headers = record.headers()?;
    // Ours stand behind the author's.
    (0..headers.count()).rev().map(|i| headers.get(i)).find(|header| header.key == name)?.value
}
