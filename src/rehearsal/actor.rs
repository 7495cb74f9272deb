//! The actors: the programs that live in the sandbox beside the operator.
//!
//! Owns how each of them behaves, by simulated ticks. They know nothing of the run: they see their own database
//! session and their own consumer, as in life. Never writes for the operator.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::bus::{self, Bus};
use super::history::partition_of;
use super::shop::Shop;

/// The old code taking orders: one try every few ticks, an event for every success, and now and then an event about an
/// old order. It comes back by itself when its session breaks.
pub struct CheckoutV1 {
    pub url: String,
    pub topic: String,
    pub partitions: i32,
    pub order_every: u64,
    pub event_every: u64,
    session: Option<Shop>,
    pub taken: u64,
    pub failed: u64,
    /// The server's words for the last order that failed.
    pub last_error: Option<String>,
}

/// Its application name.
const V1_SESSION: &str = "checkout-v1";

impl CheckoutV1 {
    pub fn new(url: &str, topic: &super::scenario::Topic, ticks: &super::scenario::CheckoutV1) -> Self {
        Self {
            url: url.to_owned(),
            topic: topic.name.clone(),
            partitions: topic.partitions,
            order_every: ticks.order_every,
            event_every: ticks.event_every,
            session: None,
            taken: 0,
            failed: 0,
            last_error: None,
        }
    }

    pub async fn tick(&mut self, n: u64, bus: &Bus) {
        if n.is_multiple_of(self.event_every) {
            let order = 1 + i64::try_from(n % 997).unwrap_or(0);
            self.tell(bus, order, "order_reminder", "pending");
        }
        if !n.is_multiple_of(self.order_every) {
            return;
        }
        match self.take(n).await {
            Ok(order) => {
                self.taken += 1;
                self.last_error = None;
                self.tell(bus, order, "order_created", "pending");
            }
            Err(e) => {
                self.failed += 1;
                self.last_error = Some(super::shop::failed("an order", &e).causes.join("; "));
                if !matches!(e, sqlx::Error::Database(_)) {
                    self.session = None;
                }
            }
        }
    }

    async fn take(&mut self, n: u64) -> Result<i64, sqlx::Error> {
        if self.session.is_none() {
            self.session = Some(Shop::open(&self.url, V1_SESSION).await?);
        }
        let Some(session) = &mut self.session else {
            return Err(sqlx::Error::PoolClosed);
        };
        let (customer, amount) = (i64::try_from(1 + n % 800), i64::try_from(900 + n % 7_000));
        session.order_v1(customer.unwrap_or(1), amount.unwrap_or(900), &format!("pay_live_{n}")).await
    }

    fn tell(&self, bus: &Bus, order: i64, event: &str, status: &str) {
        let value =
            json!({ "event": event, "order_id": order, "status": status, "payment_ref": format!("pay_{order}") });
        bus.say(&self.topic, partition_of(order, self.partitions), &order.to_string(), &value);
    }

    pub async fn stop(self) {
        if let Some(session) = self.session {
            session.close(V1_SESSION).await;
        }
    }
}

/// The pod of v2 that the rollback forgot. Idle, until somebody repairs the schema under it: then its one waiting
/// customer can order, and it writes as v2 writes.
pub struct Straggler {
    url: String,
    name: String,
    session: Option<Shop>,
    /// The order it wrote.
    pub wrote: Option<i64>,
}

impl Straggler {
    pub async fn start(url: &str, name: &str) -> Result<Self, sqlx::Error> {
        let session = Some(Shop::open(url, name).await?);
        Ok(Self { url: url.to_owned(), name: name.to_owned(), session, wrote: None })
    }

    pub fn alive(&self) -> bool {
        self.session.is_some()
    }

    /// `wanted`: whether its deployment wants it.
    pub async fn tick(&mut self, wanted: bool) {
        match (&mut self.session, wanted) {
            (Some(_), false) => {
                if let Some(session) = self.session.take() {
                    session.close(&self.name).await;
                }
            }
            (None, true) => self.session = Shop::open(&self.url, &self.name).await.ok(),
            (Some(session), true) if self.wrote.is_none() => match session.repair_began().await {
                Ok(true) => self.wrote = session.order_v2(77, 4_200).await.ok(),
                Ok(false) => {}
                // Somebody ended its session: a new pod takes its place.
                Err(_) => self.session = None,
            },
            _ => {}
        }
    }
}

/// What the world wants of a consumer, and what the consumer says of itself.
#[derive(Default)]
pub struct Switches {
    pub wanted: AtomicBool,
    /// Reads events without the field that it requires.
    pub tolerant: AtomicBool,
    pub end: AtomicBool,
    /// Has a live member in its group.
    pub member: AtomicBool,
    pub deaths: AtomicU64,
    /// The last event that killed it: partition and offset.
    pub killer: Mutex<Option<(i32, i64)>>,
}

/// A consumer with a thread of its own: every call of its client may block, also the last one.
pub struct Reader {
    pub group: String,
    pub switches: Arc<Switches>,
    thread: Option<JoinHandle<()>>,
}

/// How a consumer reads.
pub struct Habits {
    pub brokers: String,
    pub group: String,
    pub topic: String,
    /// Dies on an event without this field, unless tolerant.
    pub requires: Option<String>,
    /// From its death to its next try.
    pub back_after: Duration,
    pub tick: Duration,
}

impl Reader {
    pub fn start(habits: Habits) -> std::io::Result<Self> {
        let switches = Arc::new(Switches::default());
        switches.wanted.store(true, Ordering::Release);
        let (seen, group) = (Arc::clone(&switches), habits.group.clone());
        let thread = std::thread::Builder::new().name(group.clone()).spawn(move || live(&habits, &seen))?;
        Ok(Self { group, switches, thread: Some(thread) })
    }

    pub fn is_member(&self) -> bool {
        self.switches.member.load(Ordering::Acquire)
    }

    /// As the group's coordinator would describe it.
    pub fn state(&self) -> Value {
        if self.is_member() {
            json!({ "state": "stable", "members": [{ "client_id": self.group, "host": "/127.0.0.1" }] })
        } else {
            json!({ "state": "empty", "members": [] })
        }
    }

    /// Tells it to leave its group and waits until it has.
    pub fn stop(mut self) {
        self.switches.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live(habits: &Habits, switches: &Switches) {
    while !switches.end.load(Ordering::Acquire) {
        if !switches.wanted.load(Ordering::Acquire) {
            std::thread::sleep(habits.tick / 4);
            continue;
        }
        let died = serve(habits, switches);
        switches.member.store(false, Ordering::Release);
        if died {
            switches.deaths.fetch_add(1, Ordering::AcqRel);
            rest(habits, switches);
        }
    }
}

/// Between two lives; a redeployment or a stop ends it.
fn rest(habits: &Habits, switches: &Switches) {
    let until = std::time::Instant::now() + habits.back_after;
    let tolerant = switches.tolerant.load(Ordering::Acquire);
    while std::time::Instant::now() < until
        && !switches.end.load(Ordering::Acquire)
        && switches.tolerant.load(Ordering::Acquire) == tolerant
    {
        std::thread::sleep(habits.tick / 4);
    }
}

/// One life as a member of the group: true when an event killed it, false when it was told to stop.
fn serve(habits: &Habits, switches: &Switches) -> bool {
    let mut config = bus::config(&habits.brokers);
    config
        .set("group.id", &habits.group)
        .set("client.id", &habits.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .set("fetch.wait.max.ms", "100");
    let Ok(consumer) = config.create::<BaseConsumer>() else {
        return true;
    };
    if consumer.subscribe(&[&habits.topic]).is_err() {
        return true;
    }
    while switches.wanted.load(Ordering::Acquire) && !switches.end.load(Ordering::Acquire) {
        match read_some(&consumer, habits, switches) {
            Ok(done) => commit(&consumer, &habits.topic, &done),
            Err(at) => {
                // What it had read since its last commit is read again in its next life.
                if let Ok(mut killer) = switches.killer.lock() {
                    *killer = Some(at);
                }
                return true;
            }
        }
        let joined = consumer.assignment().is_ok_and(|a| a.count() > 0);
        switches.member.store(joined, Ordering::Release);
    }
    false
}

/// Reads for one tick: the next offset of each partition, or the place of the event that killed it.
fn read_some(consumer: &BaseConsumer, habits: &Habits, switches: &Switches) -> Result<BTreeMap<i32, i64>, (i32, i64)> {
    let until = std::time::Instant::now() + habits.tick;
    let mut done = BTreeMap::new();
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(done);
        }
        let Some(Ok(record)) = consumer.poll(left) else {
            continue;
        };
        let value: Value = record.payload().and_then(|p| serde_json::from_slice(p).ok()).unwrap_or_default();
        let missing = habits.requires.as_ref().is_some_and(|field| value.get(field).is_none());
        if missing && !switches.tolerant.load(Ordering::Acquire) {
            return Err((record.partition(), record.offset()));
        }
        done.insert(record.partition(), record.offset() + 1);
    }
}

fn commit(consumer: &BaseConsumer, topic: &str, done: &BTreeMap<i32, i64>) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in done {
        if list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).is_err() {
            return;
        }
    }
    if list.count() > 0 {
        // A commit that is lost is an event that is read twice; that is what these services live with.
        let _ = consumer.commit(&list, CommitMode::Sync);
    }
}
