//! One pass over a window of a topic.
//!
//! Owns the consumer of the pass. The ends are taken first, so that a busy topic ends; records are picked by their
//! timestamps too, since producers' clocks are not ordered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{Fields, Seen, Shape, ShapeTable, Window};
use crate::failure::Result;
use crate::target::kafka::{self, CALL, Client, Connection, window};
use crate::text::Shown;

/// More shapes than this are keys that are values: a table of them tells nothing.
const SHAPES: usize = 500;
const PRODUCERS: usize = 50;
/// How far back from the end a record is looked for, where the broker says that there is none since.
const TAIL: i64 = 100;

/// Where a scan stops before the end of its window, which marks the table partial.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub records: u64,
    /// Of payloads.
    pub bytes: u64,
    pub time: Duration,
}

impl Limits {
    /// For survey and polling: what takes longer is marked partial there, and read whole on request.
    pub const POLLED: Self = Self { records: 500_000, bytes: 256 << 20, time: Duration::from_secs(5) };
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: 2_000_000, bytes: 1 << 30, time: Duration::from_secs(30) }
    }
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub records: u64,
    /// By offsets, so an upper bound: a compacted topic has gaps.
    pub of: u64,
}

/// Reads the topic's records since `since` (all that are kept, where there is none) up to its present end.
///
/// `progress` is called about ten times a second, on the scan's thread; `Break` ends the scan, with a partial table.
/// Dropping the future ends it too.
///
/// # Errors
/// No such topic, no right to read it, or a broker that is gone for longer than a call may take.
pub async fn scan(
    connection: &Connection,
    topic: &str,
    since: Option<Timestamp>,
    limits: Limits,
    progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
) -> Result<ShapeTable> {
    let dropped = Arc::new(AtomicBool::new(false));
    let _guard = OnDrop(dropped.clone());
    let (what, topic) = (format!("read topic {topic}"), topic.to_owned());
    let pass = move |client: &Client| {
        let pass = Pass {
            client,
            since: since.map(Timestamp::as_millisecond),
            limits,
            began: Instant::now(),
            dropped,
            progress,
            fields: Fields::default(),
            found: HashMap::new(),
            table: ShapeTable { topic, ..ShapeTable::default() },
        };
        pass.run()
    };
    connection.read(&what, pass).await
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Found {
    count: u64,
    seen: BTreeMap<i32, Seen>,
    producers: BTreeMap<String, u64>,
}

struct Pass<'c, P> {
    client: &'c Client,
    since: Option<i64>,
    limits: Limits,
    began: Instant,
    dropped: Arc<AtomicBool>,
    progress: P,
    fields: Fields,
    found: HashMap<Box<[u64]>, Found>,
    table: ShapeTable,
}

impl<P: FnMut(Progress) -> ControlFlow<()>> Pass<'_, P> {
    fn run(mut self) -> std::result::Result<ShapeTable, KafkaError> {
        self.table.windows = self.windows()?;
        let ranges: BTreeMap<i32, Range<i64>> =
            self.table.windows.iter().map(|(partition, w)| (*partition, w.start..w.end)).collect();
        let of = ranges.values().map(|r| u64::try_from(r.end - r.start).unwrap_or(0)).sum();
        let (mut read, mut told) = (0, Instant::now());
        let mut stopped = None;
        let (client, topic) = (self.client, self.table.topic.clone());
        let whole = window::read(client, &topic, &ranges, |record| {
            if let Some(record) = record {
                read += 1;
                self.take(record);
            }
            if told.elapsed() >= Duration::from_millis(100) {
                told = Instant::now();
                let stop = (self.progress)(Progress { records: read, of }).is_break();
                stopped = self.over(stop);
            }
            stopped = stopped.take().or_else(|| self.full());
            if stopped.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if !whole {
            self.table.partial = stopped;
        }
        let _ = (self.progress)(Progress { records: read, of });
        Ok(self.done())
    }

    fn full(&self) -> Option<String> {
        if self.table.records >= self.limits.records {
            Some(format!("stopped at {} records", self.limits.records))
        } else if self.table.bytes >= self.limits.bytes {
            Some(format!("stopped at {} bytes", self.limits.bytes))
        } else {
            None
        }
    }

    fn over(&self, stop: bool) -> Option<String> {
        if stop || self.dropped.load(Ordering::Relaxed) {
            Some("it was stopped".to_owned())
        } else if self.began.elapsed() > self.limits.time {
            Some(format!("stopped after {} s", self.limits.time.as_secs()))
        } else {
            None
        }
    }

    fn take(&mut self, record: &BorrowedMessage<'_>) {
        let at = record.timestamp().to_millis();
        if let (Some(since), Some(at)) = (self.since, at)
            && at < since
        {
            return;
        }
        self.table.records += 1;
        let Some(payload) = record.payload() else {
            self.table.tombstones += 1;
            return;
        };
        self.table.bytes += payload.len() as u64;
        // A registry's framing: a zero byte, four bytes of schema id, the document.
        let document = if payload.len() > 5 && payload[0] == 0 { &payload[5..] } else { payload };
        let Ok(hashes) = self.fields.read(document) else {
            self.table.undecodable += 1;
            return;
        };
        if !self.found.contains_key(hashes) {
            if self.found.len() >= SHAPES {
                self.table.partial = Some(format!("more than {SHAPES} shapes: their keys are values"));
                return;
            }
            let new = Found { count: 0, seen: BTreeMap::new(), producers: BTreeMap::new() };
            self.found.insert(hashes.into(), new);
        }
        let Some(found) = self.found.get_mut(hashes) else {
            return;
        };
        found.count += 1;
        let (offset, at) = (record.offset(), at.unwrap_or(0));
        let seen = found.seen.entry(record.partition()).or_insert(Seen {
            first: offset,
            first_ms: at,
            last: offset,
            last_ms: at,
        });
        seen.last = offset;
        seen.last_ms = at;
        if let Some(producer) = producer(record)
            && (found.producers.len() < PRODUCERS || found.producers.contains_key(&producer))
        {
            *found.producers.entry(producer).or_default() += 1;
        }
    }

    fn done(mut self) -> ShapeTable {
        let fields = &self.fields;
        self.table.shapes = (self.found.into_iter())
            .map(|(hashes, found)| Shape {
                fields: fields.names(&hashes),
                count: found.count,
                seen: found.seen,
                producers: found.producers,
            })
            .collect();
        self.table.shapes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.fields.cmp(&b.fields)));
        self.table
    }

    /// Where to begin in each partition, and where the present end is.
    fn windows(&mut self) -> std::result::Result<BTreeMap<i32, Window>, KafkaError> {
        let marks = kafka::marks(self.client, &self.table.topic)?;
        let mut windows: BTreeMap<i32, Window> =
            marks.iter().map(|(partition, m)| (*partition, Window { low: m.low, start: m.low, end: m.end })).collect();
        let Some(since) = self.since else {
            return Ok(windows);
        };
        let mut times = TopicPartitionList::new();
        for partition in windows.keys() {
            times.add_partition_offset(&self.table.topic, *partition, Offset::Offset(since))?;
        }
        let answer = self.client.offsets_for_times(times, CALL)?;
        for element in answer.elements() {
            if let Some(window) = windows.get_mut(&element.partition()) {
                window.start = match element.offset() {
                    Offset::Offset(offset) => offset.clamp(window.low, window.end),
                    _ => window.end,
                };
            }
        }
        // "None since then" is believed only where the last records say so too: some brokers always answer it.
        let doubted: BTreeMap<i32, Window> =
            windows.iter().filter(|(_, w)| w.start == w.end && w.end > w.low).map(|(p, w)| (*p, *w)).collect();
        for partition in self.with_later(&doubted, since)? {
            if let Some(window) = windows.get_mut(&partition) {
                window.start = window.low;
                self.table.searched = true;
            }
        }
        Ok(windows)
    }

    /// Those of the partitions whose last records hold one at or after `since`.
    fn with_later(
        &self,
        windows: &BTreeMap<i32, Window>,
        since: i64,
    ) -> std::result::Result<BTreeSet<i32>, KafkaError> {
        let tails = windows.iter().map(|(partition, w)| (*partition, w.low.max(w.end - TAIL)..w.end)).collect();
        let mut later = BTreeSet::new();
        window::read(self.client, &self.table.topic, &tails, |record| {
            if let Some(record) = record
                && record.timestamp().to_millis().is_some_and(|at| at >= since)
            {
                later.insert(record.partition());
            }
            ControlFlow::Continue(())
        })?;
        Ok(later)
    }
}

/// `checkout v2`, from the headers that say it.
fn producer(record: &BorrowedMessage<'_>) -> Option<String> {
    let headers = record.headers()?;
    let value = |name: &str| {
        headers
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value)
            .map(|value| Shown::from_bytes(value).cap(60).into_string())
    };
    match (value("app"), value("version")) {
        (Some(app), Some(version)) => Some(format!("{app} {version}")),
        (app, version) => app.or(version),
    }
}
