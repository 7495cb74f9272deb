//! Targets: connections, identity and facts.
//!
//! Owns every connection to a database or a broker: how it is opened, what the server says it is, and which environment
//! it declares. Never judges an answer and never decides whether something may be done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::run::record::{Environment, TargetSeen};
use crate::runbook::{Runbook, Target, TargetKind};
use crate::text::Secret;

pub mod db;
pub mod http;
pub mod kafka;
pub mod mysql;
pub mod postgres;
pub mod records;
pub mod sqlite;
pub mod tables;
pub mod wire;

pub use db::{Handle, SqlError};

/// How targets are reached in this run: the environment (process and `--env-file`), names for connections, folders.
#[derive(Clone)]
pub struct Access {
    /// What `${NAME}` under `targets` stands for. Values are secrets: never shown.
    pub env: BTreeMap<String, String>,
    pub run: String,
    pub runbook: String,
    pub incident: Option<String>,
    pub run_dir: PathBuf,
    /// `--insecure-tls`: a recorded flag; without it anything off loopback is verify-full.
    pub insecure_tls: bool,
    /// In a rehearsal: the only programs that `command` may start, by name.
    pub stand_ins: Option<PathBuf>,
}

impl Access {
    /// The address of a target with every `${NAME}` in it filled in from the environment.
    ///
    /// # Errors
    /// A name that is not set, or braces that do not close.
    pub fn address(&self, target: &Target) -> Result<Secret> {
        let mut filled = String::new();
        let mut rest = target.address.as_str();
        while let Some(open) = rest.find("${") {
            filled.push_str(&rest[..open]);
            let Some(close) = rest[open..].find('}').map(|i| i + open) else {
                return Err(Failure::new(
                    Kind::Runbook,
                    format!("the address of target {} has `${{` without `}}`", target.name),
                ));
            };
            let name = &rest[open + 2..close];
            let value = self.env.get(name).filter(|v| !v.is_empty()).ok_or_else(|| {
                Failure::new(Kind::Target, format!("target {} cannot be reached: {name} is not set", target.name))
                    .hint(format!("set {name} in the environment or in the file given with --env-file"))
            })?;
            filled.push_str(value);
            rest = &rest[close + 1..];
        }
        filled.push_str(rest);
        Ok(Secret::new(filled))
    }

    /// The first eight characters of the run: what names connections.
    pub fn run8(&self) -> &str {
        &self.run[..self.run.floor_char_boundary(8)]
    }
}

/// What the server itself says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub seen: TargetSeen,
    pub kind: TargetKind,
    pub environment: Environment,
    /// Of the declaration row or record, in a rehearsal.
    pub nonce: Option<String>,
    /// A standby cannot be written to.
    pub standby: bool,
    /// It can be written to, and opens its sessions read-only for this role: somebody keeps writers out.
    pub read_only: bool,
    pub encrypted: Option<bool>,
    /// Whether the role may see other sessions; without it, blockers are *cannot see*, never *none*.
    pub sees_sessions: bool,
    /// Whether claim and marker tables are there, and the role may do with them what a step does.
    pub has_marker: bool,
    /// Why they cannot be used though they are there, in the server's words; not told on every server.
    pub lacks: Option<String>,
}

/// How long a failure to connect is believed: else everybody who asks for a target that does not answer would wait for
/// it one after the other, each for the whole limit.
const DOWN: Duration = Duration::from_secs(1);

/// The read connection of one target, held by one asker at a time.
pub type Monitor = OwnedMappedMutexGuard<Slot, Handle>;

/// A connection for what may not wait for a check's answer.
pub enum Beside {
    Own(Box<Handle>),
    Shared(Monitor),
}

impl std::ops::Deref for Beside {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        match self {
            Self::Own(handle) => handle,
            Self::Shared(handle) => handle,
        }
    }
}

impl std::ops::DerefMut for Beside {
    fn deref_mut(&mut self) -> &mut Handle {
        match self {
            Self::Own(handle) => handle,
            Self::Shared(handle) => handle,
        }
    }
}

/// Where the read connection of one target stands.
#[derive(Default)]
pub struct Slot {
    handle: Option<Handle>,
    /// When it could last not be opened, and why.
    down: Option<(Instant, Failure)>,
}

/// Every target of the runbook, opened when somebody first asks.
pub struct Targets {
    runbook: Arc<Runbook>,
    access: Arc<Access>,
    monitors: BTreeMap<String, Arc<Mutex<Slot>>>,
}

impl Targets {
    pub fn new(runbook: Arc<Runbook>, access: Arc<Access>) -> Self {
        let monitors = runbook.targets.keys().map(|name| (name.clone(), Arc::default())).collect();
        Self { runbook, access, monitors }
    }

    /// The target of this name in the runbook.
    ///
    /// # Errors
    /// No such target.
    pub fn target(&self, name: &str) -> Result<&Target> {
        self.runbook
            .targets
            .get(name)
            .ok_or_else(|| Failure::new(Kind::Runbook, format!("there is no target {name} in the runbook")))
    }

    /// The read connection for checks: opened on first use, and again after it was lost or left in the middle.
    ///
    /// # Errors
    /// The target cannot be reached; the message has the server's words and never the address.
    pub async fn monitor(&self, name: &str) -> Result<Monitor> {
        let target = self.target(name)?;
        let slot = self
            .monitors
            .get(name)
            .ok_or_else(|| Failure::new(Kind::Defect, format!("target {name} has no connection slot")))?;
        let mut slot = Arc::clone(slot).lock_owned().await;
        if slot.handle.as_ref().is_none_or(Handle::unusable) {
            if let Some((at, failure)) = &slot.down
                && at.elapsed() < DOWN
            {
                return Err(failure.clone());
            }
            slot.handle = None;
            let app = names::application_name(self.access.run8(), "checks", 0);
            let opened = self.open(target, &app, true).await;
            slot.down = opened.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
            slot.handle = Some(opened?);
        }
        OwnedMutexGuard::try_map(slot, |slot| slot.handle.as_mut())
            .map_err(|_| Failure::new(Kind::Defect, format!("target {name} has no connection")))
    }

    /// A connection of one worker, that it alone owns and may write with. `app`: what the server lists it as.
    ///
    /// # Errors
    /// As [`Targets::monitor`].
    pub async fn dedicated(&self, name: &str, app: &str) -> Result<Handle> {
        self.open(self.target(name)?, app, false).await
    }

    /// A connection of its own for questions beside those of the monitor.
    ///
    /// # Errors
    /// As [`Targets::monitor`].
    pub async fn reader(&self, name: &str, what: &str) -> Result<Handle> {
        let app = names::application_name(self.access.run8(), what, 0);
        self.open(self.target(name)?, &app, true).await
    }

    /// As [`Targets::reader`]; where the server has no room for one more connection, that of the checks.
    ///
    /// # Errors
    /// As [`Targets::monitor`].
    pub async fn beside(&self, name: &str, what: &str) -> Result<Beside> {
        match self.reader(name, what).await {
            Ok(own) => Ok(Beside::Own(Box::new(own))),
            Err(_) => self.monitor(name).await.map(Beside::Shared),
        }
    }

    /// Creates the tables of backout that are not there.
    ///
    /// # Errors
    /// As [`Targets::monitor`], and the server's words where the role may not create them.
    pub async fn install(&self, name: &str) -> Result<()> {
        let app = names::application_name(self.access.run8(), "install", 0);
        tables::install(&mut self.dedicated(name, &app).await?).await
    }

    /// # Errors
    /// As [`Targets::monitor`].
    pub async fn identity(&self, name: &str) -> Result<Identity> {
        let mut handle = self.monitor(name).await?;
        match &mut *handle {
            Handle::Postgres(connection) => connection.identity().await,
            Handle::Sqlite(connection) => connection.identity().await,
            Handle::Mysql(connection) => connection.identity().await,
            Handle::Kafka(connection) => {
                // A copy: nobody waits for this answer to ask the cluster something else.
                let connection = connection.clone();
                drop(handle);
                connection.identity(name).await
            }
        }
    }

    async fn open(&self, target: &Target, app: &str, reads_only: bool) -> Result<Handle> {
        let access = &self.access;
        // On the heap: several are opened side by side far down a stack.
        match target.kind {
            TargetKind::Postgres => {
                Box::pin(postgres::Connection::open(target, access, app, reads_only)).await.map(Handle::Postgres)
            }
            TargetKind::Sqlite => {
                Box::pin(sqlite::Connection::open(target, access, reads_only)).await.map(Handle::Sqlite)
            }
            TargetKind::Kafka => kafka::Connection::open(target, access).map(Handle::Kafka),
            TargetKind::Mysql => Box::pin(mysql::Connection::open(target, access, reads_only)).await.map(Handle::Mysql),
            TargetKind::Registry => Err(unsupported(target, "registry")),
            TargetKind::Http | TargetKind::Records => Err(Failure::new(
                Kind::Defect,
                format!("target {} is read as a whole and has no connection", target.name),
            )),
        }
    }
}

fn unsupported(target: &Target, kind: &str) -> Failure {
    Failure::new(Kind::Target, format!("target {}: {kind} targets are not supported yet", target.name))
}
