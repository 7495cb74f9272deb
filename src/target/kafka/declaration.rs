//! Which environment a cluster declares: the newest record on topic `backout.environment` that names its cluster id.
//!
//! Owns that record. No topic, no record, another cluster's id, no right to read: production.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message};
use serde::{Deserialize, Serialize};

use super::{CALL, Client, Connection, Words, address, blocking, marks, reading, window};
use crate::failure::{Failure, Kind, Result};
use crate::names::TOPIC_ENVIRONMENT;
use crate::run::record::Environment;

/// The value of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    pub environment: Environment,
    /// The cluster id: a copied topic declares nothing about another cluster.
    pub identity: String,
    pub nonce: Option<String>,
}

impl Declaration {
    fn production(cluster: &str) -> Self {
        Self { environment: Environment::Production, identity: cluster.to_owned(), nonce: None }
    }
}

/// # Errors
/// The topic is there and its records can be read no more: the connection broke between two questions.
pub(super) async fn read(
    connection: &Connection,
    cluster: &str,
    topics: &BTreeMap<String, usize>,
) -> Result<Declaration> {
    if !topics.contains_key(TOPIC_ENVIRONMENT) {
        return Ok(Declaration::production(cluster));
    }
    let wanted = cluster.to_owned();
    let found = connection
        .read("read its declaration", move |client| match newest(client, &wanted) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Ok(None),
            found => found,
        })
        .await?;
    let declares = |d: &Declaration| {
        d.environment == Environment::Rehearsal && d.nonce.as_deref().is_some_and(|nonce| !nonce.is_empty())
    };
    Ok(found.filter(declares).unwrap_or_else(|| Declaration::production(cluster)))
}

fn newest(client: &Client, cluster: &str) -> std::result::Result<Option<Declaration>, KafkaError> {
    // A declaration is written once in a cluster's life; the newest hundred of a partition are all there is.
    let ranges = marks(client, TOPIC_ENVIRONMENT)?
        .into_iter()
        .map(|(partition, marks)| (partition, marks.low.max(marks.end - 100)..marks.end))
        .collect();
    let mut found: Option<(i64, Declaration)> = None;
    window::read(client, TOPIC_ENVIRONMENT, &ranges, |record| {
        let Some(record) = record else {
            return ControlFlow::Continue(());
        };
        let at = record.timestamp().to_millis().unwrap_or(0);
        let declared = record.payload().and_then(|p| serde_json::from_slice::<Declaration>(p).ok());
        if let Some(declared) = declared.filter(|d| d.identity == cluster)
            && found.as_ref().is_none_or(|(newest, _)| at >= *newest)
        {
            found = Some((at, declared));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found.map(|(_, declared)| declared))
}

/// Declares the cluster at `bootstrap` a rehearsal: creates the topic if it is missing, and writes the record.
///
/// # Errors
/// The cluster cannot be reached, is on another machine, or takes the topic or the record not.
pub async fn declare_rehearsal(bootstrap: &str, nonce: &str) -> Result<Declaration> {
    let address = address::Address::parse("of the rehearsal", bootstrap, false)?;
    let (bootstrap, nonce) = (address.brokers.clone(), nonce.to_owned());
    let failed = move |what: &str, error: &KafkaError| {
        Failure::new(Kind::Target, format!("Kafka at {bootstrap}: cannot {what}")).cause(error)
    };
    let config = address.config();
    let reader = reading(config.clone(), "");
    let describe = failed.clone();
    let (cluster, exists) = blocking(move || {
        let client: Client = reader.create_with_context(Words::default()).map_err(|e| describe("use it", &e))?;
        let metadata = client.fetch_metadata(None, CALL).map_err(|e| describe("reach it", &e))?;
        let exists = metadata.topics().iter().any(|t| t.name() == TOPIC_ENVIRONMENT);
        let cluster = client.client().fetch_cluster_id(CALL);
        let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        Ok::<_, Failure>((cluster.ok_or_else(|| describe("learn its cluster id", &unknown))?, exists))
    })
    .await??;
    // The mock cluster makes a topic when it is written to, and never answers a request to create one.
    if !exists && !cluster.starts_with("mockCluster") {
        let admin: AdminClient<DefaultClientContext> = config.create().map_err(|e| failed("use it", &e))?;
        let topic = NewTopic::new(TOPIC_ENVIRONMENT, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
        let options = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
        for made in admin.create_topics([&topic], &options).await.map_err(|e| failed("create a topic", &e))? {
            if let Err((_, code)) = made
                && code != RDKafkaErrorCode::TopicAlreadyExists
            {
                return Err(failed("create a topic", &KafkaError::AdminOp(code)));
            }
        }
        blocking(move || drop(admin)).await?;
    }
    let declared = Declaration { environment: Environment::Rehearsal, identity: cluster, nonce: Some(nonce) };
    let record = declared.clone();
    blocking(move || {
        let value = serde_json::to_vec(&record).map_err(|e| Failure::new(Kind::Defect, "a declaration").cause(e))?;
        write(config, &record.identity, &value).map_err(|e| failed("write its declaration", &e))
    })
    .await??;
    Ok(declared)
}

fn write(mut config: rdkafka::ClientConfig, key: &str, value: &[u8]) -> std::result::Result<(), KafkaError> {
    config.set("acks", "all").set("message.timeout.ms", "5000");
    let producer: ThreadedProducer<Delivered> = config.create_with_context(Delivered::default())?;
    producer.send(BaseRecord::to(TOPIC_ENVIRONMENT).key(key).payload(value)).map_err(|(error, _)| error)?;
    producer.flush(CALL)?;
    let delivered = producer.context().0.lock().map(|d| d.clone()).unwrap_or_default();
    delivered.unwrap_or(Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut)))
}

#[derive(Default)]
struct Delivered(std::sync::Mutex<Option<std::result::Result<(), KafkaError>>>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(mut delivered) = self.0.lock() {
            *delivered = Some(result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
        }
    }
}
