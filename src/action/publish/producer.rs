//! The producer of one step. Blocks: for threads made for that.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::{Event, headers};
use crate::failure::{Failure, Kind, Result};
use crate::target::kafka::{CALL, Connection};

/// How long a definite answer is waited for: longer than the broker's own limit on a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// `backout-<run>-<step>`: who begins with it again fences who had it before.
pub fn transactional_id(run: &str, step: &str) -> String {
    format!("backout-{run}-{step}")
}

pub(super) struct Publisher {
    producer: BaseProducer<Deliveries>,
    connection: Connection,
    /// Why not, where the cluster has no transactions for us.
    pub without_transactions: Option<String>,
    begun: bool,
}

#[derive(Default)]
struct Deliveries(Mutex<Counted>);

#[derive(Default, Clone)]
struct Counted {
    acknowledged: u64,
    failed: Option<KafkaError>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => counted.acknowledged += 1,
            Err((error, _)) => {
                counted.failed.get_or_insert(error.clone());
            }
        }
    }
}

impl Publisher {
    /// Opens a producer and fences the one that had its name.
    pub fn open(connection: &Connection, run: &str, step: &str) -> Result<Self> {
        let producer = create(connection, Some(&transactional_id(run, step)))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match producer.init_transactions(CALL) {
                Ok(()) => {
                    return Ok(Self {
                        producer,
                        connection: connection.clone(),
                        without_transactions: None,
                        begun: false,
                    });
                }
                Err(error) if is_retriable(&error) && Instant::now() < until => {}
                Err(error) => match refused(&error) {
                    Some(why) => {
                        return Ok(Self {
                            producer: create(connection, None)?,
                            connection: connection.clone(),
                            without_transactions: Some(why),
                            begun: false,
                        });
                    }
                    None => return Err(connection.failed("begin to publish", &error, None)),
                },
            }
        }
    }

    /// Hands the events to the library, in the transaction where there are any.
    pub fn send(&mut self, topic: &str, run: &str, step: &str, events: &[Event]) -> Result<()> {
        if !self.begun && self.without_transactions.is_none() {
            self.producer.begin_transaction().map_err(|e| self.failed("begin a transaction", &e))?;
        }
        self.begun = true;
        for event in events {
            let own = headers(run, step, event)
                .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
            let mut record = BaseRecord::to(topic).key(&event.key).payload(&event.value).headers(own);
            let until = Instant::now() + PATIENCE;
            while let Err((error, back)) = self.producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || Instant::now() > until {
                    return Err(self.failed(&format!("publish to {topic}"), &error));
                }
                record = back;
                self.producer.poll(Duration::from_millis(100));
            }
            self.producer.poll(Duration::ZERO);
        }
        self.delivered(topic)
    }

    /// Waits for every acknowledgement and commits. After an error nobody knows.
    pub fn finish(self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            let _ = self.producer.flush(CALL);
        }
        if let Err(failure) = self.delivered("its topic") {
            return Err(match self.give_up() {
                Ok(()) => failure.cause("nothing was published"),
                Err(left) => failure.cause(left),
            });
        }
        if self.without_transactions.is_some() {
            return if self.producer.in_flight_count() == 0 {
                Ok(())
            } else {
                Err(self.failed("be sure of every event", &KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)))
            };
        }
        loop {
            match self.producer.commit_transaction(CALL) {
                Ok(()) => return Ok(()),
                // A commit that timed out is resumed by asking again.
                Err(error) if is_retriable(&error) && Instant::now() < until + PATIENCE => {}
                Err(error) => return Err(self.failed("commit its transaction", &error)),
            }
        }
    }

    /// Takes back what was sent: `Ok` when nothing of it can be read by anybody.
    pub fn give_up(self) -> Result<()> {
        if !self.begun {
            return Ok(());
        }
        if self.without_transactions.is_none() {
            return self.producer.abort_transaction(CALL).map_err(|e| self.failed("abort its transaction", &e));
        }
        let _ = self.producer.flush(CALL);
        let counted = self.counted();
        if counted.acknowledged == 0 && self.producer.in_flight_count() == 0 {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Unknown,
            format!("{} events are published, without a transaction", counted.acknowledged),
        ))
    }

    fn delivered(&self, topic: &str) -> Result<()> {
        match self.counted().failed {
            Some(error) => Err(self.failed(&format!("publish to {topic}"), &error)),
            None => Ok(()),
        }
    }

    fn counted(&self) -> Counted {
        self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Failure {
        self.connection.failed(what, error, None)
    }
}

fn create(connection: &Connection, id: Option<&str>) -> Result<BaseProducer<Deliveries>> {
    let mut config = connection.config();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // Java's default: an event must land where the others of its key are, or their order is lost.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", "30000")
        .set("linger.ms", "5");
    if let Some(id) = id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "60000");
    }
    config.create_with_context(Deliveries::default()).map_err(|e| connection.failed("open a producer", &e, None))
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        other => other.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut),
    }
}

/// Why the cluster gives us no transactions, if that is what it says.
fn refused(error: &KafkaError) -> Option<String> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => {
            Some("the cluster has none".to_owned())
        }
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Some("this user may not use one".to_owned())
        }
        _ => None,
    }
}
