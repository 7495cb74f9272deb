//! Reading a range of offsets of every partition, from its start to its end as it stood.
//!
//! Owns the loop that ends: at the offset, at the partition's end (control records and compaction leave gaps), or after
//! a silence longer than a call may take.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{CALL, Client};

/// What a client must be opened with to be read by [`read`].
pub const SETTINGS: [(&str, &str); 5] = [
    ("enable.partition.eof", "true"),
    ("fetch.wait.max.ms", "10"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "65536"),
    ("fetch.message.max.bytes", "4194304"),
];

/// Gives each record of the ranges to `take`, and nothing at least ten times a second where none comes.
///
/// `false` when `take` broke off before the end.
///
/// # Errors
/// What the broker says, or a silence of [`CALL`].
pub fn read(
    client: &Client,
    topic: &str,
    ranges: &BTreeMap<i32, Range<i64>>,
    mut take: impl FnMut(Option<&BorrowedMessage<'_>>) -> ControlFlow<()>,
) -> Result<bool, KafkaError> {
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    let mut assigned = TopicPartitionList::new();
    for (partition, range) in ranges.iter().filter(|(_, range)| !range.is_empty()) {
        open.insert(*partition, range.end);
        assigned.add_partition_offset(topic, *partition, Offset::Offset(range.start))?;
    }
    client.assign(&assigned)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        let polled = client.poll(Duration::from_millis(100));
        if polled.is_some() {
            heard = Instant::now();
        }
        let flow = match polled {
            None if heard.elapsed() > CALL => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            None => take(None),
            Some(Ok(record)) => {
                let partition = record.partition();
                match open.get(&partition).copied() {
                    Some(end) => {
                        if record.offset() + 1 >= end {
                            open.remove(&partition);
                        }
                        if record.offset() < end { take(Some(&record)) } else { ControlFlow::Continue(()) }
                    }
                    None => ControlFlow::Continue(()),
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
                ControlFlow::Continue(())
            }
            // The library connects again by itself; the silence that follows is bounded.
            Some(Err(error)) if super::unreached(&error) => take(None),
            Some(Err(error)) => return Err(error),
        };
        if flow.is_break() {
            client.unassign()?;
            return Ok(open.is_empty());
        }
    }
    client.unassign()?;
    Ok(true)
}
