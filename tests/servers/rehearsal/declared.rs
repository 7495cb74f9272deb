//! Given servers: only one that declares itself a rehearsal, under its own identity and readable by this user, is
//! played on; any other is production, refused by its name, and nothing in it has changed.

use backout::failure::Failure;
use backout::rehearsal::{self, On, declare};
use backout::run::record::Environment;
use backout::target::kafka::declare_rehearsal;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::options;
use crate::support::{self, Database};

async fn sql(url: &str, statements: &[String]) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// Somebody's shop, and a role that may do everything in it but what belongs to backout.
async fn somebodys(suite: &str) -> Option<(Database, String, String)> {
    let database = support::postgres_database(suite)?;
    let role = support::unique(suite);
    let (user, rest) = database.url.split_once('@').unwrap();
    let user = user.rsplit_once("//").unwrap().0;
    let url = format!("{user}//{role}:{role}@{rest}");
    let statements = [
        "CREATE TABLE orders (precious text)".to_owned(),
        "INSERT INTO orders VALUES ('yes')".to_owned(),
        format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'"),
        format!("ALTER TABLE orders OWNER TO {role}"),
        format!("GRANT CREATE ON DATABASE {} TO {role}", database.name),
    ];
    sql(&database.url, &statements).await;
    Some((database, role, url))
}

async fn start(database: Option<&str>, brokers: Option<&str>) -> Result<(), Failure> {
    let home = support::state_dir();
    let mut options = options(home.path(), if database.is_some() { On::Postgres } else { On::Sqlite });
    options.postgres_url = database.map(str::to_owned);
    options.kafka = brokers.map(str::to_owned);
    let played = rehearsal::start(&options).await.map(drop);
    let dir = rehearsal::sandbox_dir(home.path(), "checkout-v2");
    rehearsal::end(&dir).await.unwrap();
    played
}

async fn refused(name: &str, database: Option<&str>, brokers: Option<&str>) {
    let failure = start(database, brokers).await.unwrap_err();
    let words = failure.to_string();
    assert!(words.contains(name) && words.contains("is production to a rehearsal"), "{words}");
    assert!(words.contains("neither empty nor declares itself a rehearsal"), "{words}");
    assert_eq!(failure.exit_code(), 8, "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_say_so_to_this_user_is_production() {
    let Some((database, role, url)) = somebodys("declared").await else { return };
    let name = format!("{} @ ", database.name);
    refused(&name, Some(&url), None).await;

    // The row of another database, copied here with a dump.
    let Some(other) = support::postgres_database("declared") else { return };
    declare::database(&other.url, "nonce").await.unwrap();
    let other_says = declare::given_database(&other.url).await.unwrap();
    assert_eq!(other_says.environment, Environment::Rehearsal);
    let table = "CREATE TABLE backout.environment (environment text, identity text, nonce text)";
    let copied = [
        "CREATE SCHEMA backout".to_owned(),
        table.to_owned(),
        format!("INSERT INTO backout.environment VALUES ('rehearsal', '{}', 'nonce')", other_says.seen.identity),
        format!("GRANT USAGE ON SCHEMA backout TO {role}"),
        format!("GRANT SELECT ON backout.environment TO {role}"),
    ];
    sql(&database.url, &copied).await;
    refused(&name, Some(&url), None).await;

    // Its own row now; but first this user may not read it, then not even enter the schema.
    sql(&database.url, &["DROP SCHEMA backout CASCADE".to_owned()]).await;
    declare::database(&database.url, "nonce").await.unwrap();
    sql(&database.url, &[format!("GRANT USAGE ON SCHEMA backout TO {role}")]).await;
    refused(&name, Some(&url), None).await;
    sql(&database.url, &[format!("REVOKE USAGE ON SCHEMA backout FROM {role}")]).await;
    refused(&name, Some(&url), None).await;
    let seen = declare::given_database(&url).await.unwrap();
    assert_eq!((seen.environment, seen.has_marker), (Environment::Production, false));

    let mut shop = PgConnection::connect(&url).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar("SELECT precious FROM orders").fetch_all(&mut shop).await.unwrap();
    assert_eq!(rows, ["yes"]);
    shop.close().await.unwrap();

    // And with the right to read it, it is what it says.
    let read =
        [format!("GRANT USAGE ON SCHEMA backout TO {role}"), format!("GRANT SELECT ON backout.environment TO {role}")];
    sql(&database.url, &read).await;
    assert_eq!(declare::given_database(&url).await.unwrap().environment, Environment::Rehearsal);
    sql(&database.url, &[format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")]).await;
}

fn write(brokers: &str, record: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    producer.send(BaseRecord::to("backout.environment").key("k").payload(record)).map_err(|(e, _)| e).unwrap();
    producer.flush(std::time::Duration::from_secs(10)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_say_so_to_this_user_is_production() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("invoices", 1, 1).unwrap();
    let brokers = mock.bootstrap_servers();
    let cluster = declare::given_cluster(&brokers).await.unwrap().seen.identity;
    refused(&cluster, None, Some(&brokers)).await;

    mock.create_topic("backout.environment", 1, 1).unwrap();
    for record in [
        r#"{"environment":"rehearsal","identity":"another-cluster","nonce":"n"}"#.to_owned(),
        format!(r#"{{"environment":"production","identity":"{cluster}","nonce":"n"}}"#),
        format!(r#"{{"environment":"rehearsal","identity":"{cluster}","nonce":""}}"#),
        "rehearsal".to_owned(),
    ] {
        write(&brokers, &record);
        refused(&cluster, None, Some(&brokers)).await;
    }

    declare_rehearsal(&brokers, "n0nce").await.unwrap();
    assert_eq!(declare::given_cluster(&brokers).await.unwrap().environment, Environment::Rehearsal);
    let denied = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    mock.topic_error("backout.environment", denied).unwrap();
    refused(&cluster, None, Some(&brokers)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_database_is_left_alone_where_the_cluster_is_production() {
    let Some(database) = support::postgres_database("declared") else { return };
    sql(&database.url, &["CREATE TABLE orders (of_an_earlier text)".to_owned()]).await;
    declare::database(&database.url, "nonce").await.unwrap();
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("invoices", 1, 1).unwrap();
    refused("librdkafka mock cluster", Some(&database.url), Some(&mock.bootstrap_servers())).await;
    sql(&database.url, &["SELECT of_an_earlier FROM orders".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_servers_that_are_not_there_are_said_at_once() {
    let began = std::time::Instant::now();
    let words = start(None, Some("127.0.0.1:1")).await.unwrap_err().to_string();
    assert!(words.contains("127.0.0.1:1: Connection refused"), "{words}");
    let words = start(Some("postgres://oncall@127.0.0.1:1/shop"), None).await.unwrap_err().to_string();
    assert!(words.contains("Connection refused"), "{words}");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
