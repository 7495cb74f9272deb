//! The cluster of the sandbox: librdkafka's mock cluster, or brokers that were given.
//!
//! Owns the topic of the scenario: making it, filling it, and where its groups begin. Never touches a given cluster
//! that is neither empty nor declares itself a rehearsal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::history::Event;
use super::scenario::Topic;
use crate::failure::{Failure, Kind, Result};

/// Longest wait for one answer of a broker.
const CALL: Duration = Duration::from_secs(10);

/// Writes events; holds the mock cluster, which ends with it.
pub struct Bus {
    producer: ThreadedProducer<DefaultProducerContext>,
    pub brokers: String,
    /// The mock cluster cannot describe groups: the sandbox answers for its own actors.
    pub mock: bool,
}

impl Bus {
    /// Starts a mock cluster of one broker on a free loopback port.
    pub fn mock(topic: &Topic) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1").set("linger.ms", "0").set("log_level", "0");
        let producer: ThreadedProducer<DefaultProducerContext> =
            config.create().map_err(|e| failed("start the mock cluster", &e))?;
        let brokers = {
            let none = || Failure::new(Kind::Defect, "librdkafka made no mock cluster");
            let cluster = producer.client().mock_cluster().ok_or_else(none)?;
            cluster
                .create_topic(&topic.name, topic.partitions, 1)
                .and_then(|()| cluster.create_topic(crate::names::TOPIC_ENVIRONMENT, 1, 1))
                .map_err(|e| failed("make topics on the mock cluster", &e))?;
            cluster.bootstrap_servers()
        };
        join_at_once(&producer);
        Ok(Self { producer, brokers, mock: true })
    }

    /// Uses brokers that were given; the topic and the groups of the scenario are made anew.
    ///
    /// # Errors
    /// The cluster cannot be reached, or will not make the topic.
    pub async fn given(brokers: &str, topic: &Topic, groups: &[&str]) -> Result<Self> {
        let config = config(brokers);
        let producer = config.create().map_err(|e| failed("use the given brokers", &e))?;
        let admin: AdminClient<DefaultClientContext> =
            config.create().map_err(|e| failed("use the given brokers", &e))?;
        let options = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
        // First, as this is refused where somebody reads there after all.
        let deleted = admin.delete_groups(groups, &options).await;
        for (group, code) in
            deleted.map_err(|e| failed("delete the old groups", &e))?.into_iter().filter_map(Result::err)
        {
            if code != RDKafkaErrorCode::GroupIdNotFound {
                return Err(failed(&format!("delete the old group {group}"), &KafkaError::AdminOp(code)));
            }
        }
        let gone = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
        let deleted = admin.delete_topics(&[&topic.name], &options).await;
        for (name, code) in deleted.map_err(|e| failed("delete the old topic", &e))?.into_iter().filter_map(Result::err)
        {
            if !gone.contains(&code) {
                return Err(failed(&format!("delete the old topic {name}"), &KafkaError::AdminOp(code)));
            }
        }
        let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
        let until = Instant::now() + CALL;
        loop {
            // A topic goes away some time after its deletion was answered.
            match admin.create_topics([&new], &options).await.map_err(|e| failed("make the topic", &e))?.pop() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Some(Err((_, code))) => {
                    return Err(failed("make the topic", &KafkaError::AdminOp(code)));
                }
                Some(Ok(_)) | None => break,
            }
        }
        Ok(Self { producer, brokers: brokers.to_owned(), mock: false })
    }

    /// Writes all events and waits until they are in.
    pub fn fill(&self, topic: &str, events: &[Event]) -> Result<()> {
        for event in events {
            let value = event.value.to_string();
            let record = BaseRecord::to(topic)
                .key(&event.key)
                .payload(&value)
                .partition(event.partition)
                .timestamp(event.at.as_millisecond());
            self.producer.send(record).map_err(|(e, _)| failed("write the history", &e))?;
        }
        self.producer.flush(CALL).map_err(|e| failed("write the history", &e))
    }

    /// Writes one event, as an actor does: whether it got there is not waited for.
    pub fn say(&self, topic: &str, partition: i32, key: &str, value: &Value) -> bool {
        let value = value.to_string();
        self.producer.send(BaseRecord::to(topic).key(key).payload(&value).partition(partition)).is_ok()
    }
}

/// New members of a group need not wait three seconds for others.
#[allow(unsafe_code)]
fn join_at_once(producer: &ThreadedProducer<DefaultProducerContext>) {
    // SAFETY: the handle is of a live client that owns a mock cluster for as long as it lives, which is longer than
    // this call; null is checked. The function sets one number under the cluster's own lock.
    unsafe {
        let cluster = rdkafka::bindings::rd_kafka_handle_mock_cluster(producer.client().native_ptr());
        if !cluster.is_null() {
            rdkafka::bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// What every client of the sandbox begins with.
pub fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "0")
        .set("log_level", "0")
        .set("reconnect.backoff.max.ms", "500");
    config
}

fn reading(brokers: &str, group: &str) -> std::result::Result<BaseConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("log_level", "0")
        .create()
}

/// Topics of a cluster that are not its own.
///
/// # Errors
/// The cluster does not answer.
pub async fn topics(brokers: &str) -> Result<Vec<String>> {
    let brokers = brokers.to_owned();
    blocking(move || {
        let client = reading(&brokers, "backout-sandbox")?;
        let metadata = client.fetch_metadata(None, CALL)?;
        let names = metadata.topics().iter().map(|t| t.name().to_owned());
        Ok(names.filter(|name| !name.starts_with("__")).collect())
    })
    .await
    .map_err(|e| failed("reach the given brokers", &e))
}

/// Sets where a group goes on, before it has ever had a member.
pub async fn begin_at(brokers: &str, group: &str, topic: &str, offsets: &[i64]) -> Result<()> {
    let (brokers, group, topic, offsets) = (brokers.to_owned(), group.to_owned(), topic.to_owned(), offsets.to_vec());
    let name = group.clone();
    blocking(move || {
        let client = reading(&brokers, &group)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
        }
        client.commit(&list, CommitMode::Sync)
    })
    .await
    .map_err(|e| failed(&format!("set the offsets of {name}"), &e))
}

/// Messages of the topic that the group has not committed yet; a partition without a commit counts whole.
pub async fn lag(brokers: &str, group: &str, topic: &Topic) -> Result<i64> {
    let (brokers, group, topic) = (brokers.to_owned(), group.to_owned(), topic.clone());
    blocking(move || {
        let client = reading(&brokers, &group)?;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(&topic.name, 0, topic.partitions - 1);
        let committed = client.committed_offsets(wanted, CALL)?;
        let mut lag = 0;
        for partition in 0..topic.partitions {
            let (low, end) = client.fetch_watermarks(&topic.name, partition, CALL)?;
            let at = match committed.find_partition(&topic.name, partition).map(|p| p.offset()) {
                Some(Offset::Offset(at)) => at,
                _ => low,
            };
            lag += end - at;
        }
        Ok(lag)
    })
    .await
    .map_err(|e| failed("read the lag", &e))
}

/// How often each order stands in the topic under this event, in all of it.
pub async fn count_events(brokers: &str, topic: &Topic, event: &str) -> Result<BTreeMap<i64, u32>> {
    let (brokers, topic, event) = (brokers.to_owned(), topic.clone(), event.to_owned());
    blocking(move || {
        let client = reading(&brokers, "backout-score")?;
        let mut assigned = TopicPartitionList::new();
        for partition in 0..topic.partitions {
            assigned.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
        }
        client.assign(&assigned)?;
        // Actors go on writing: one partition may come to its end more than once.
        let mut open: BTreeSet<i32> = (0..topic.partitions).collect();
        let (mut found, until) = (BTreeMap::new(), Instant::now() + 3 * CALL);
        while !open.is_empty() && Instant::now() < until {
            match client.poll(Duration::from_millis(200)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(e)) => return Err(e),
                Some(Ok(record)) => {
                    let value: Value =
                        record.payload().and_then(|p| serde_json::from_slice(p).ok()).unwrap_or_default();
                    if value["event"] == event.as_str()
                        && let Some(order) = value["order_id"].as_i64()
                    {
                        *found.entry(order).or_insert(0) += 1;
                    }
                }
            }
        }
        if !open.is_empty() {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        Ok(found)
    })
    .await
    .map_err(|e| failed("read the topic", &e))
}

/// Every call of librdkafka may block for as long as its time limit.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> std::result::Result<T, KafkaError> + Send + 'static,
) -> std::result::Result<T, KafkaError> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer,
        Err(_) => Err(KafkaError::Canceled),
    }
}

pub fn failed(what: &str, error: &KafkaError) -> Failure {
    Failure::new(Kind::Target, format!("the sandbox's cluster: cannot {what}")).cause(error)
}
