//! The event layer on real Apache Kafka and on librdkafka's mock cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use backout::action::{Go, Port, Report};
use backout::check::kafka::group;
use backout::failure::Kind;
use backout::run::record::{Environment, ItemDone, OutcomeResult, Point, Position};
use backout::runbook::expect::Verdict;
use backout::runbook::{GroupCheck, Target, TargetKind};
use backout::shapes::{self, Limits, ShapeTable};
use backout::target::Access;
use backout::target::kafka::{Connection, declare_rehearsal};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::support;

mod command;
mod publish;

fn access(env: &[(&str, &str)]) -> Access {
    Access {
        env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        run: "20261124-0207-checkout".to_owned(),
        runbook: "checkout-v2".to_owned(),
        incident: None,
        run_dir: std::env::temp_dir(),
        insecure_tls: false,
        stand_ins: None,
    }
}

fn target(address: &str) -> Target {
    Target { name: "bus".to_owned(), kind: TargetKind::Kafka, address: address.to_owned(), key: None }
}

fn connection(brokers: &str) -> Connection {
    Connection::open(&target("${KAFKA_BROKERS}"), &access(&[("KAFKA_BROKERS", brokers)])).unwrap()
}

async fn create(brokers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    // A broker deletes what is older than its limit within seconds, and these tests write records of last year.
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    admin.create_topics([&topic], &options).await.unwrap()[0].as_ref().unwrap();
}

/// Key, payload, timestamp in ms.
fn produce(brokers: &str, topic: &str, records: &[(&str, &str, i64)], version: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for (key, payload, at) in records {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "app", value: Some("checkout") })
            .insert(Header { key: "version", value: Some(version) });
        let record = BaseRecord::to(topic).key(*key).payload(*payload).timestamp(*at).headers(headers);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// Item header and payload of every committed record.
fn read_all(brokers: &str, topic: &str) -> Vec<(String, String)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", support::unique("readall"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = rdkafka::TopicPartitionList::new();
    for p in 0..partitions {
        list.add_partition_offset(topic, p as i32, rdkafka::Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut found, mut ended) = (Vec::new(), BTreeSet::new());
    let until = Instant::now() + Duration::from_secs(20);
    while ended.len() < partitions && Instant::now() < until {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => {
                use rdkafka::message::Headers;
                let item = record
                    .headers()
                    .and_then(|h| h.iter().find(|h| h.key == "backout-item"))
                    .and_then(|h| h.value)
                    .map(|v| String::from_utf8_lossy(v).into_owned());
                let payload = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
                found.push((item.unwrap_or_default(), payload));
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(p))) => {
                ended.insert(p);
            }
            _ => {}
        }
    }
    found
}

/// The points that were reached, once the engine's end is through.
type Points = tokio::task::JoinHandle<Vec<(Point, Value)>>;

/// A port whose engine says go `times` times, then stop; and everything that was reported.
fn port(times: usize) -> (Port, watch::Sender<bool>, Points, mpsc::Receiver<ItemDone>) {
    let (reports, mut inbox) = mpsc::channel::<(String, u32, Report)>(16);
    let (cancel, cancelled) = watch::channel(false);
    let (items, done) = mpsc::channel(100);
    let engine = tokio::spawn(async move {
        let mut points = Vec::new();
        while let Some((_, _, report)) = inbox.recv().await {
            match report {
                Report::Reached { point, data, reply } => {
                    let go = if points.len() < times { Go::Go } else { Go::Stop };
                    points.push((point, data));
                    let _ = reply.send(go);
                }
                Report::Item { item, reply } => {
                    items.send(item).await.unwrap();
                    let _ = reply.send(Go::Go);
                }
                _ => {}
            }
        }
        points
    });
    (Port { step: "tell".to_owned(), att: 1, reports, cancel: cancelled }, cancel, engine, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_and_state_are_those_of_a_real_group() {
    let Some(broker) = support::kafka("group") else {
        return;
    };
    let (topic, name) = (broker.name("orders"), broker.name("loyalty"));
    create(&broker.brokers, &topic, 2).await;
    let bus = connection(&broker.brokers);
    let access = access(&[]);
    let lag = GroupCheck { group: name.clone(), lag: Some(topic.clone()), state: None };
    let empty = GroupCheck { group: name.clone(), lag: None, state: Some("empty".to_owned()) };

    // Never seen, nothing in the topic: nothing to be behind of, and nobody there.
    assert_eq!(group::ask(&lag, &bus, &access).await.value, Some(Value::from(0)));
    assert_eq!(group::ask(&empty, &bus, &access).await.verdict, Some(Verdict::Pass));

    let records: Vec<(String, String)> = (0..10).map(|i| (format!("{i}"), format!("{{\"order_id\":{i}}}"))).collect();
    let records: Vec<(&str, &str, i64)> =
        records.iter().map(|(k, v)| (k.as_str(), v.as_str(), 1_760_000_000_000)).collect();
    produce(&broker.brokers, &topic, &records, "v1");
    let unknown = group::ask(&lag, &bus, &access).await;
    assert!(unknown.verdict.is_some_and(|v| v.is_unknown()), "no committed offset is not zero");
    assert!(unknown.words.unwrap().contains("has committed no offset for partition"));

    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.brokers)
        .set("group.id", &name)
        .set("client.id", "loyalty-1")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let (member, topic_) = (member, topic.clone());
    let member = tokio::task::spawn_blocking(move || {
        member.subscribe(&[&topic_]).unwrap();
        let mut seen = 0;
        let until = Instant::now() + Duration::from_secs(20);
        while seen < 10 && Instant::now() < until {
            seen += usize::from(matches!(member.poll(Duration::from_millis(100)), Some(Ok(_))));
        }
        assert_eq!(seen, 10);
        member.commit_consumer_state(CommitMode::Sync).unwrap();
        member
    })
    .await
    .unwrap();

    assert_eq!(group::ask(&lag, &bus, &access).await.value, Some(Value::from(0)));
    let found = group::ask(&empty, &bus, &access).await;
    assert_eq!((found.value, found.verdict), (Some(Value::from("stable")), Some(Verdict::Fail)));
    assert!(found.words.unwrap().starts_with("stable, loyalty-1 on 127.0.0.1"));

    produce(&broker.brokers, &topic, &records[..4], "v2");
    assert_eq!(group::ask(&lag, &bus, &access).await.value, Some(Value::from(4)));

    tokio::task::spawn_blocking(move || drop(member)).await.unwrap();
    let found = group::ask(&empty, &bus, &access).await;
    assert_eq!(found.verdict, Some(Verdict::Pass), "{:?}", found.words);

    let snapshot = bus.offsets_snapshot(&BTreeMap::from([(name.clone(), vec![topic.clone()])])).await.unwrap();
    let committed: i64 =
        snapshot["groups"][&name][&topic].as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!(committed, 10);
}

const OLD: i64 = 1_760_000_000_000;
const NEW: i64 = OLD + 3_600_000;

fn two_shapes(brokers: &str, topic: &str) {
    let old: Vec<_> = (0..5).map(|_| ("a", r#"{"order_id":1,"status":"confirmed"}"#, OLD)).collect();
    let new: Vec<_> =
        (0..3).map(|_| ("b", r#"{"payment_reference_id":"x","order_id":2,"status":"pending"}"#, NEW)).collect();
    produce(brokers, topic, &old, "v1");
    produce(brokers, topic, &new, "v2");
    produce(brokers, topic, &[("b", "not json", NEW)], "v2");
}

async fn scan(bus: &Connection, topic: &str, since: Option<i64>) -> ShapeTable {
    let since = since.map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap());
    shapes::scan(bus, topic, since, Limits::default(), |_| ControlFlow::Continue(())).await.unwrap()
}

async fn shapes_on(brokers: &str, topic: &str, searched: bool) {
    let bus = connection(brokers);
    let whole = scan(&bus, topic, None).await;
    assert_eq!((whole.records, whole.undecodable, whole.partial.clone()), (9, 1, None));
    let counts: Vec<_> = whole.shapes.iter().map(|s| (s.count, s.fields.len())).collect();
    assert_eq!(counts, [(5, 2), (3, 3)]);
    assert_eq!(whole.shapes[0].producers, BTreeMap::from([("checkout v1".to_owned(), 5)]));
    assert_eq!(whole.differing(), ["payment_reference_id"]);
    let seen = whole.shapes[1].seen.values().next().unwrap();
    assert_eq!((seen.first_ms, seen.last_ms, seen.last - seen.first), (NEW, NEW, 2));

    let since = scan(&bus, topic, Some(NEW - 1000)).await;
    assert_eq!((since.records, since.shapes.len(), since.searched), (4, 1, searched));
    let later = scan(&bus, topic, Some(NEW + 1000)).await;
    assert_eq!((later.records, later.partial), (0, None));

    let few = Limits { records: 2, ..Limits::default() };
    let part = shapes::scan(&bus, topic, None, few, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(part.partial.as_deref(), Some("stopped at 2 records"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_a_window_on_a_broker() {
    let Some(broker) = support::kafka("shapes") else {
        return;
    };
    let topic = broker.name("orders");
    create(&broker.brokers, &topic, 3).await;
    two_shapes(&broker.brokers, &topic);
    shapes_on(&broker.brokers, &topic, false).await;
    let (bus, none) = (connection(&broker.brokers), broker.name("none"));
    let missing = shapes::scan(&bus, &none, None, Limits::default(), |_| ControlFlow::Continue(()));
    let failure = missing.await.unwrap_err();
    assert!(failure.hint.as_deref().unwrap_or_default().starts_with("look at the topic's name"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_a_window_where_times_are_answered_wrongly() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("orders", 3, 1).unwrap();
    let brokers = mock.bootstrap_servers();
    two_shapes(&brokers, "orders");
    shapes_on(&brokers, "orders", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_is_production_until_it_declares_itself() {
    let mock = MockCluster::new(1).unwrap();
    let brokers = mock.bootstrap_servers();
    let bus = connection(&brokers);
    let identity = bus.identity("bus").await.unwrap();
    assert_eq!((identity.environment, identity.nonce), (Environment::Production, None));
    let declared = declare_rehearsal(&brokers, "n0nce").await.unwrap();
    assert_eq!(declared.identity, identity.seen.identity);
    let identity = connection(&brokers).identity("bus").await.unwrap();
    assert_eq!((identity.environment, identity.nonce.as_deref()), (Environment::Rehearsal, Some("n0nce")));

    // The mock cannot tell a group's state; its sandbox can, and the words say so.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("groups.json"), r#"{"loyalty":{"state":"stable","members":["loyalty-1"]}}"#)
        .unwrap();
    let check = GroupCheck { group: "loyalty".to_owned(), lag: None, state: Some("empty".to_owned()) };
    let bus = connection(&brokers);
    let found = group::ask(&check, &bus, &access(&[("BACKOUT_SANDBOX", dir.path().to_str().unwrap())])).await;
    assert_eq!((found.verdict, found.words.as_deref()), (Some(Verdict::Fail), Some("stable, loyalty-1 (simulated)")));
    let found = group::ask(&check, &bus, &access(&[])).await;
    assert!(found.verdict.is_some_and(|v| v.is_unknown()));

    // Of production nobody else tells anything.
    let other = MockCluster::new(1).unwrap();
    let bus = connection(&other.bootstrap_servers());
    let found = group::ask(&check, &bus, &access(&[("BACKOUT_SANDBOX", dir.path().to_str().unwrap())])).await;
    assert!(found.verdict.is_some_and(|v| v.is_unknown()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_said_at_once() {
    // Nobody listens on the first port; a free one may be another test's a moment later.
    let began = Instant::now();
    let failure = connection("127.0.0.1:1").identity("bus").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(failure.kind, Kind::Target);
    assert!(failure.to_string().contains("127.0.0.1:1: Connection refused"), "{failure}");

    for (address, why) in [
        ("db-eu-1:9092", "would not be encrypted"),
        ("127.0.0.1", "is not a list of brokers"),
        ("127.0.0.1:9092?sasl.passwort=hunter22", "holds a setting that is not known"),
        ("user:hunter22@127.0.0.1:9092", "is not a list of brokers"),
        ("db-eu-1:9092?security.protocol=TLS", "has an unknown security.protocol"),
    ] {
        let refused = Connection::open(&target(address), &access(&[])).err().unwrap().to_string();
        assert!(refused.contains(why) && !refused.contains("hunter22"), "{refused}");
    }
    let tls = "db-eu-1:9093?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=u&sasl.password=hunter22";
    assert_eq!(Connection::open(&target(tls), &access(&[])).unwrap().brokers(), "db-eu-1:9093");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_is_noticed_and_one_of_several_is_enough() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("orders", 1, 1).unwrap();
    let brokers = format!("127.0.0.1:1,{}", mock.bootstrap_servers());
    let bus = connection(&brokers);
    assert_eq!(bus.marks("orders").await.unwrap().len(), 1);
    drop(mock);
    // The call that meets the death may take its limit; whoever comes after it is told at once.
    assert!(bus.marks("orders").await.is_err());
    let began = Instant::now();
    let failure = bus.marks("orders").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}: {failure}", began.elapsed());
    assert!(failure.to_string().contains("127.0.0.1:1: Connection refused"), "{failure}");
    let scan = shapes::scan(&bus, "orders", None, Limits::default(), |_| ControlFlow::Continue(()));
    assert!(scan.await.unwrap_err().to_string().contains("Connection refused"));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
