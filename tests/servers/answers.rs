//! The servers that `tests/run` starts are what the suites take them for.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, MySqlConnection, PgConnection};

use crate::support::{self, blocking};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn postgres_gives_a_test_a_database_of_its_own() {
    let Some(database) = support::postgres_database("answers") else {
        return;
    };
    let other = support::postgres_database("answers").unwrap();
    let mut ours = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL)")
        .execute(&mut ours)
        .await
        .unwrap();
    sqlx::raw_sql("INSERT INTO orders VALUES (1, 'pending')").execute(&mut ours).await.unwrap();
    let (name, status): (String, String) =
        sqlx::query_as("SELECT current_database()::text, status FROM orders").fetch_one(&mut ours).await.unwrap();
    assert_eq!((name, status.as_str()), (database.name.clone(), "pending"));

    let mut theirs = PgConnection::connect(&other.url).await.unwrap();
    let absent: bool = sqlx::query_scalar("SELECT to_regclass('orders') IS NULL").fetch_one(&mut theirs).await.unwrap();
    assert!(absent, "a test sees the tables of another");

    // Dropped although a connection is open.
    let (url, gone) = (other.url.clone(), database.name.clone());
    drop(database);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(gone)
        .fetch_one(&mut theirs)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let refused = PgConnection::connect(&url.replace(":backout@", ":wrong@")).await.unwrap_err();
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
}

#[tokio::test]
async fn mariadb_gives_a_test_a_database_of_its_own() {
    let Some(database) = support::mysql_database("answers") else {
        return;
    };
    let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (id bigint PRIMARY KEY, status varchar(20) NOT NULL)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::raw_sql("INSERT INTO orders VALUES (1, 'pending')").execute(&mut connection).await.unwrap();
    let (name, status): (String, String) =
        sqlx::query_as("SELECT database(), status FROM orders").fetch_one(&mut connection).await.unwrap();
    assert_eq!((name, status.as_str()), (database.name.clone(), "pending"));
    let version: String = sqlx::query_scalar("SELECT version()").fetch_one(&mut connection).await.unwrap();
    assert!(version.contains("MariaDB"), "{version}");
}

#[tokio::test]
async fn kafka_keeps_an_event_and_knows_its_group() {
    let Some(broker) = support::kafka("answers") else {
        return;
    };
    let (topic, group) = (broker.name("order-events"), broker.name("loyalty"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.brokers);

    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let created = admin.create_topics([&NewTopic::new(&topic, 1, TopicReplication::Fixed(1))], &options).await.unwrap();
    assert_eq!(created, [Ok(topic.clone())]);

    let producer: FutureProducer = config.create().unwrap();
    let sent = producer.send(FutureRecord::to(&topic).key("17").payload("{\"order_id\":17}"), PATIENCE).await.unwrap();
    assert_eq!((sent.partition, sent.offset), (0, 0));

    let consumer: BaseConsumer = config
        .set("group.id", &group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    // The consumer's calls block, and its drop waits for the broker.
    tokio::task::spawn_blocking(move || {
        consumer.subscribe(&[&topic]).unwrap();
        let until = Instant::now() + PATIENCE;
        let message = loop {
            match consumer.poll(Duration::from_millis(200)) {
                Some(message) => break message.unwrap(),
                None => assert!(Instant::now() < until, "no message within {PATIENCE:?}"),
            }
        };
        assert_eq!(message.key_view::<str>().unwrap().unwrap(), "17");
        assert_eq!(message.payload_view::<str>().unwrap().unwrap(), "{\"order_id\":17}");
        consumer.commit_message(&message, CommitMode::Sync).unwrap();
        drop(message);

        let cluster = consumer.client().fetch_cluster_id(PATIENCE).unwrap();
        assert_eq!(cluster.len(), 22, "a KRaft cluster id is a UUID in base64: {cluster}");
        let groups = consumer.client().fetch_group_list(None, PATIENCE).unwrap();
        let ours = groups.groups().iter().find(|found| found.name() == group).unwrap();
        assert_eq!((ours.state(), ours.members().len()), ("Stable", 1));
        assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 1));
    })
    .await
    .unwrap();
}

#[test]
fn a_test_without_a_runtime_has_the_same() {
    let Some(database) = support::postgres_database("answers") else {
        return;
    };
    let url = database.url.clone();
    let one: i32 = blocking(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(one, 1);
    assert!(std::fs::read_dir(support::state_dir().path()).unwrap().next().is_none());
}
