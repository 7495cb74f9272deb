//! A Kafka cluster: how it is reached, what it says it is, and the questions that every Kafka check asks.
//!
//! Owns the clients. Every call to librdkafka blocks, so each runs on a thread made for blocking calls, with a limit of
//! its own, and clients are dropped there too. Never joins a group and never commits an offset: reading leaves no trace.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::{Target, TargetKind};
use crate::target::{Access, Identity};

pub mod address;
pub mod admin;
mod declaration;
mod reach;
mod snapshot;
pub mod window;

pub use admin::{GroupState, Member};
pub use declaration::{Declaration, declare_rehearsal};
pub use reach::Words;

/// What one call to a broker may take.
pub const CALL: Duration = Duration::from_secs(5);

/// How long a declaration is believed where only words hang on it.
const DECLARED: Duration = Duration::from_secs(30);

const UNREACHED: &str = "look at the host, the port and the TLS settings of the target's address";

/// Reads for the cluster itself, not for a group.
const NO_GROUP: &str = "";

/// One target: settings and clients. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    address: address::Address,
    /// One client per group asked about: the group's committed offsets are asked under its own name.
    clients: Mutex<HashMap<String, Arc<Client>>>,
    /// As it last declared itself, and when.
    environment: Mutex<Option<(Instant, Environment)>>,
    up: reach::Up,
}

/// A consumer that is never subscribed.
pub type Client = BaseConsumer<Words>;

impl Drop for Inner {
    fn drop(&mut self) {
        let clients = std::mem::take(self.clients.get_mut().unwrap_or_else(PoisonError::into_inner));
        // Closing a client that knows a group takes 100 ms and more: never on the runtime's threads.
        std::thread::spawn(move || drop(clients));
    }
}

/// The records of one partition that can be read now: from `low` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    pub low: i64,
    /// The last stable offset: what a reader of committed records sees.
    pub end: i64,
}

impl Connection {
    /// Reads the settings; connects to nothing yet.
    ///
    /// # Errors
    /// An address that cannot be read, and one off loopback without TLS unless `--insecure-tls` was given.
    pub fn open(target: &Target, access: &Access) -> Result<Self> {
        let address = access.address(target)?;
        let address = address::Address::parse(&target.name, address.expose(), access.insecure_tls)?;
        Ok(Self {
            inner: Arc::new(Inner {
                name: target.name.clone(),
                address,
                clients: Mutex::default(),
                environment: Mutex::default(),
                up: reach::Up::default(),
            }),
        })
    }

    /// The target's name in the runbook.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The brokers of the address, without any setting: safe to show.
    pub fn brokers(&self) -> &str {
        &self.inner.address.brokers
    }

    /// Settings of a client of any kind, security and limits included.
    pub fn config(&self) -> ClientConfig {
        self.inner.address.config()
    }

    /// Runs `ask` with a client on a thread for blocking calls. `group` is the group that it asks about.
    ///
    /// # Errors
    /// What the broker, the system or the library says, with what was wanted (`what`, after "cannot").
    pub async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        group: Option<&str>,
        ask: impl FnOnce(&Client) -> std::result::Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let group = group.unwrap_or(NO_GROUP).to_owned();
        let client = move |connection: &Self| connection.client(&group);
        self.answer(what, client, ask).await
    }

    /// As [`Connection::ask`], with a client of its own that ends with the reading: for many records.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub async fn read<T: Send + 'static>(
        &self,
        what: &str,
        read: impl FnOnce(&Client) -> std::result::Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let client = |connection: &Self| {
            let mut config = reading(connection.config(), NO_GROUP);
            for (key, value) in window::SETTINGS {
                config.set(key, value);
            }
            connection.create(&config)
        };
        self.answer(what, client, read).await
    }

    async fn answer<T: Send + 'static>(
        &self,
        what: &str,
        client: impl FnOnce(&Self) -> Result<Arc<Client>> + Send + 'static,
        ask: impl FnOnce(&Client) -> std::result::Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        self.reach(what).await?;
        let (connection, what) = (self.clone(), what.to_owned());
        blocking(move || {
            let client = client(&connection)?;
            // Nobody else takes events off this client; they would pile up while a broker is away.
            while client.poll(Duration::ZERO).is_some() {}
            let answer = ask(&client);
            if answer.as_ref().is_err_and(unreached) {
                connection.inner.up.set(false);
            } else {
                client.context().answered();
            }
            answer.map_err(|e| {
                while client.poll(Duration::ZERO).is_some() {}
                connection.failed(&what, &e, client.context().last())
            })
        })
        .await?
    }

    /// Asks the system whether any broker listens, unless one has answered since a connection last failed.
    async fn reach(&self, what: &str) -> Result<()> {
        if self.inner.up.is() {
            return Ok(());
        }
        reach::listens(self.brokers(), CALL).await.map_err(|words| {
            let failure = words.iter().fold(self.cannot(what), |failure, words| failure.cause(words));
            failure.hint(UNREACHED)
        })
    }

    fn create(&self, config: &ClientConfig) -> Result<Arc<Client>> {
        let made = config.create_with_context(Words::of(&self.inner.up));
        made.map(Arc::new).map_err(|e| self.failed("use its settings", &e, None))
    }

    fn client(&self, group: &str) -> Result<Arc<Client>> {
        let mut clients = self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(group) {
            return Ok(client.clone());
        }
        let client = self.create(&reading(self.config(), group))?;
        clients.insert(group.to_owned(), client.clone());
        Ok(client)
    }

    /// The failure of one call, in the broker's or the library's words.
    pub fn failed(&self, what: &str, error: &KafkaError, words: Option<String>) -> Failure {
        let failure = match words {
            Some(words) if unreached(error) => self.cannot(what).cause(self.inner.address.scrub(&words)),
            None if unreached(error) => self.cannot(what).cause(format!("no answer within {} s", CALL.as_secs())),
            _ => self.cannot(what),
        };
        let failure = failure.cause(self.inner.address.scrub(&error.to_string()));
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => failure
                .hint("look at the topic's name, and at the rights of this user: without them a topic looks absent"),
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => failure.hint("this user lacks the right; reading needs DESCRIBE and READ"),
            _ if unreached(error) => failure.hint(UNREACHED),
            _ => failure,
        }
    }

    fn cannot(&self, what: &str) -> Failure {
        Failure::new(Kind::Target, format!("Kafka {} ({}): cannot {what}", self.name(), self.brokers()))
    }

    /// Cluster id, brokers, and whether the cluster declares itself a rehearsal.
    ///
    /// # Errors
    /// The cluster cannot be reached within [`CALL`], or leads to brokers in the clear off loopback.
    pub async fn identity(&self, name: &str) -> Result<Identity> {
        let (brokers, topics) = self
            .ask("reach it", None, |client| {
                let metadata = client.fetch_metadata(None, CALL)?;
                let brokers: Vec<(String, i32)> =
                    metadata.brokers().iter().map(|b| (b.host().to_owned(), b.port())).collect();
                let topics = metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len()));
                Ok((brokers, topics.collect::<BTreeMap<_, _>>()))
            })
            .await?;
        self.inner.address.admits(name, &brokers)?;
        let cluster = self
            .ask("learn its cluster id", None, |client| Ok(client.client().fetch_cluster_id(CALL)))
            .await?
            .ok_or_else(|| {
                Failure::new(Kind::Target, format!("Kafka {name} ({}) tells no cluster id", self.brokers()))
                    .hint("a broker older than 0.10 is not supported")
            })?;
        let declaration = declaration::read(self, &cluster, &topics).await?;
        *self.inner.environment.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), declaration.environment));
        let mut words: Vec<String> = brokers.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        words.sort();
        Ok(Identity {
            seen: TargetSeen {
                name: name.to_owned(),
                server: if cluster.starts_with("mockCluster") {
                    "librdkafka mock cluster".to_owned()
                } else {
                    "Apache Kafka".to_owned()
                },
                words: format!("cluster {cluster} @ {}", words.join(", ")),
                identity: cluster,
                timeline: None,
            },
            kind: TargetKind::Kafka,
            environment: declaration.environment,
            nonce: declaration.nonce,
            standby: false,
            read_only: false,
            encrypted: Some(self.inner.address.encrypted),
            sees_sessions: true,
            has_marker: false,
            lacks: None,
        })
    }

    /// The environment that the cluster declares, asked again when the answer is older than [`DECLARED`].
    ///
    /// # Errors
    /// As [`Connection::identity`].
    pub async fn environment(&self) -> Result<Environment> {
        let known = *self.inner.environment.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((at, environment)) if at.elapsed() < DECLARED => Ok(environment),
            _ => Ok(self.identity(self.name()).await?.environment),
        }
    }

    /// Readable range of every partition, by partition number.
    ///
    /// # Errors
    /// No such topic, or the broker's own words.
    pub async fn marks(&self, topic: &str) -> Result<BTreeMap<i32, Marks>> {
        let topic = topic.to_owned();
        self.ask(&format!("read the offsets of topic {topic}"), None, move |client| marks(client, &topic)).await
    }

    /// The committed offsets of a group on a topic; `None` where there is none. Joins nothing.
    ///
    /// # Errors
    /// No such topic, or the broker's own words.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, Option<i64>>> {
        let topic = topic.to_owned();
        self.ask(&format!("read the committed offsets of group {group}"), Some(group), move |client| {
            let mut asked = TopicPartitionList::new();
            for partition in partitions(client, &topic)? {
                asked.add_partition(&topic, partition);
            }
            let answer = client.committed_offsets(asked, CALL)?;
            let mut committed = BTreeMap::new();
            for element in answer.elements() {
                element.error()?;
                committed.insert(
                    element.partition(),
                    match element.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    },
                );
            }
            Ok(committed)
        })
        .await
    }

    /// State and members of a group, from the broker; `None` where the broker cannot tell, as the mock cluster cannot.
    ///
    /// # Errors
    /// The broker's own words.
    pub async fn describe_group(&self, group: &str) -> Result<Option<GroupState>> {
        let wanted = group.to_owned();
        self.ask(&format!("describe group {group}"), None, move |client| {
            match admin::describe_group(client.client(), &wanted, CALL) {
                Err(error) if unsupported(&error) => Ok(None),
                described => described.map(Some),
            }
        })
        .await
    }

    /// What to say where [`Connection::describe_group`] gives `None`.
    pub fn cannot_describe(&self, group: &str) -> Failure {
        Failure::new(
            Kind::Target,
            format!("Kafka {} ({}) cannot tell the state of group {group}", self.name(), self.brokers()),
        )
    }
}

/// Whether the broker cannot answer this kind of question at all, as the mock cluster cannot describe groups.
fn unsupported(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion)
    )
}

fn unreached(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::WaitingForCoordinator
        )
    )
}

/// The readable range of each partition, on a client at hand.
pub(crate) fn marks(client: &Client, topic: &str) -> std::result::Result<BTreeMap<i32, Marks>, KafkaError> {
    let mut found = BTreeMap::new();
    for partition in partitions(client, topic)? {
        let (low, end) = client.fetch_watermarks(topic, partition, CALL)?;
        found.insert(partition, Marks { low, end });
    }
    Ok(found)
}

fn partitions(client: &Client, topic: &str) -> std::result::Result<Vec<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), CALL)?;
    let missing = || KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
    let found = metadata.topics().iter().find(|t| t.name() == topic).ok_or_else(missing)?;
    if let Some(error) = found.error() {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    if found.partitions().is_empty() {
        return Err(missing());
    }
    Ok(found.partitions().iter().map(|p| p.id()).collect())
}

/// A reader of committed records that leaves no trace: nothing committed, nothing created, no group joined.
fn reading(mut config: ClientConfig, group: &str) -> ClientConfig {
    let group =
        if group.is_empty() { format!("backout-read-{:016x}", rand::random::<u64>()) } else { group.to_owned() };
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed");
    config
}

/// Runs `work` on a thread for blocking calls.
///
/// # Errors
/// The thread died, which is a defect.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Failure::new(Kind::Defect, "a call to Kafka ended early").cause(e))
}
