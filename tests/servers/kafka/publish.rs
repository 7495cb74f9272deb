//! Events, each exactly once, whoever dies.

use backout::action::publish::{self, Event, Job};

use super::*;

fn job(topic: &str, n: usize) -> Job {
    Job {
        run: support::unique("run"),
        step: "tell-downstream".to_owned(),
        topic: topic.to_owned(),
        events: (0..n)
            .map(|i| Event {
                item: format!("item-{i}"),
                key: format!("{i}"),
                value: format!("{{\"order_id\":{i}}}").into_bytes(),
                headers: vec![("app".to_owned(), "backout".to_owned())],
            })
            .collect(),
    }
}

fn ends(topic: &str, ends: &BTreeMap<i32, i64>) -> Value {
    let ends: serde_json::Map<_, _> = ends.iter().map(|(p, e)| (p.to_string(), Value::from(*e))).collect();
    serde_json::json!({"topic": topic, "ends": ends})
}

fn each_once(brokers: &str, topic: &str, n: usize) {
    let found: Vec<String> = read_all(brokers, topic).into_iter().map(|(item, _)| item).collect();
    let items: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), items.len()), (n, n), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_once_although_the_first_producer_died() {
    let Some(broker) = support::kafka("publish") else {
        return;
    };
    let topic = broker.name("orders");
    create(&broker.brokers, &topic, 3).await;
    produce(&broker.brokers, &topic, &[("k", "{}", OLD)], "v1");
    let bus = connection(&broker.brokers);
    let job = job(&topic, 20);
    let before = bus.marks(&topic).await.unwrap().into_iter().map(|(p, m)| (p, m.end)).collect();
    let sent = ends(&topic, &before);

    // A process that dies between its last event and its commit.
    let dead: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.brokers)
        .set("transactional.id", publish::transactional_id(&job.run, &job.step))
        .create()
        .unwrap();
    dead.init_transactions(Duration::from_secs(20)).unwrap();
    dead.begin_transaction().unwrap();
    for event in &job.events[..7] {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "backout-step", value: Some(&job.step) })
            .insert(Header { key: "backout-item", value: Some(&event.item) });
        dead.send(BaseRecord::to(&topic).key(&event.key).payload(&event.value).headers(headers))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    dead.flush(Duration::from_secs(10)).unwrap();

    let standing = publish::standing(&bus, &job, &sent).await.unwrap();
    assert_eq!((standing.position, standing.events), (Position::NotDone, 0), "{}", standing.words);

    let (port_, _cancel, engine, _) = port(9);
    let outcome = publish::perform(&port_, &bus, job.clone(), Some(&sent)).await;
    assert_eq!((outcome.result, outcome.changed), (OutcomeResult::Applied, Some(20)), "{}", outcome.evidence);
    assert_eq!(outcome.evidence, "20 events acknowledged in one transaction");
    drop(port_);
    let points = engine.await.unwrap();
    assert_eq!((points.len(), points[0].0, &points[0].1["ends"]), (1, Point::Sent, &sent["ends"]));
    assert!(dead.commit_transaction(Duration::from_secs(10)).is_err(), "the dead producer is fenced");

    // A process that dies after its commit and before its outcome.
    let (port_, _cancel, engine, _) = port(9);
    let again = publish::perform(&port_, &bus, job.clone(), Some(&points[0].1)).await;
    assert_eq!(
        (again.result, again.evidence.as_str()),
        (OutcomeResult::Applied, format!("all 20 events stand in {topic}").as_str())
    );
    drop(port_);
    assert!(engine.await.unwrap().is_empty());
    let standing = publish::standing(&bus, &job, &sent).await.unwrap();
    assert_eq!(standing.position, Position::Done);
    let found: Vec<_> = read_all(&broker.brokers, &topic).into_iter().filter(|(item, _)| !item.is_empty()).collect();
    let items: BTreeSet<_> = found.iter().map(|(item, _)| item).collect();
    assert_eq!((found.len(), items.len()), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_or_a_cancel_publishes_nothing() {
    let Some(broker) = support::kafka("stop") else {
        return;
    };
    let topic = broker.name("orders");
    create(&broker.brokers, &topic, 1).await;
    let bus = connection(&broker.brokers);
    let (port_, _cancel, _engine, _) = port(0);
    let stopped = publish::perform(&port_, &bus, job(&topic, 3), None).await;
    assert_eq!(stopped.result, OutcomeResult::NotApplied);
    let (port_, cancel, _engine, _) = port(9);
    cancel.send(true).unwrap();
    let cancelled = publish::perform(&port_, &bus, job(&topic, 3), None).await;
    assert_eq!(cancelled.result, OutcomeResult::NotApplied, "{}", cancelled.evidence);
    assert!(read_all(&broker.brokers, &topic).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_mock_only_the_missing_events_are_sent() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("orders", 2, 1).unwrap();
    let brokers = mock.bootstrap_servers();
    let bus = connection(&brokers);
    let job = job("orders", 6);
    let sent = ends("orders", &BTreeMap::from([(0, 0), (1, 0)]));
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    for event in &job.events[..2] {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "backout-step", value: Some(&job.step) })
            .insert(Header { key: "backout-item", value: Some(&event.item) });
        producer
            .send(BaseRecord::to("orders").key(&event.key).payload(&event.value).headers(headers))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let standing = publish::standing(&bus, &job, &sent).await.unwrap();
    assert_eq!((standing.position, standing.events), (Position::HalfDone, 2));
    let (port_, _cancel, _engine, _) = port(9);
    let outcome = publish::perform(&port_, &bus, job, Some(&sent)).await;
    assert_eq!((outcome.result, outcome.changed), (OutcomeResult::Applied, Some(6)), "{}", outcome.evidence);
    each_once(&brokers, "orders", 6);
}
