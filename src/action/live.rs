//! What a statement under way does on its server, who keeps it waiting and who waits behind it: read beside it, about
//! once a second.
//!
//! Owns the questions and how their answers are said. Never asks on the worker's connection, never records anything, and
//! never says *nobody* of what it cannot see.

use std::time::Duration;

use serde_json::Value;

use crate::check::Context;
use crate::runbook::TargetKind;
use crate::runbook::template::as_text;

mod mysql;
mod postgres;
mod words;

pub use words::Line;

/// Between two looks: a wait for a lock lasts for a second before it is given up.
const EVERY: Duration = Duration::from_millis(600);

/// One look. The latest counts; none is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sight {
    /// What the session does, as its server says it: `active`, `idle in transaction`. Empty where nothing was read.
    pub state: String,
    /// Seconds of the present statement.
    pub runs: Option<i64>,
    /// As the server names it: `Lock relation`. None: it works.
    pub waits_for: Option<String>,
    /// Who keeps it waiting; between two attempts, who did and is still there.
    pub blockers: Vec<Blocker>,
    /// Who waits for it.
    pub queue: Vec<Queued>,
    pub progress: Vec<Progress>,
    /// What could not be read, and why.
    pub cannot: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocker {
    /// Empty where no session holds the lock.
    pub pid: String,
    /// What makes it this one: when its server process began, on MySQL where it came from; empty where the role may not
    /// see it.
    pub since: String,
    pub app: String,
    pub user: String,
    pub state: String,
    /// Seconds of its transaction.
    pub age: Option<i64>,
    pub query: String,
    /// It waits for a lock itself.
    pub waits: bool,
    /// What else there is to know of it, or all where it is no session.
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub pid: String,
    pub app: String,
    /// Seconds; `None`: the server does not tell.
    pub stalled: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `create index`.
    pub what: String,
    pub phase: String,
    pub done: Option<(i64, i64)>,
    pub unit: &'static str,
}

/// The session of a worker, as the worker's first point names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    Postgres { pid: String, since: String },
    Mysql { id: String },
    Sqlite,
}

impl Watch {
    /// `None`: the worker has no session that a server could be asked for.
    pub fn of(kind: TargetKind, data: &Value) -> Option<Self> {
        let part = |name: &str| data.get(name).map(as_text);
        match kind {
            TargetKind::Postgres => Some(Self::Postgres { pid: part("pid")?, since: part("backend_start")? }),
            TargetKind::Mysql => Some(Self::Mysql { id: part("pid")? }),
            TargetKind::Sqlite => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// Looks again and again, until `seen` says that nobody wants to know any more.
    pub async fn follow(self, target: String, ctx: Context, mut seen: impl FnMut(Sight) -> bool) {
        match self {
            Self::Postgres { pid, since } => {
                let mut eye = postgres::Eye::new(target, ctx, pid, since);
                while seen(eye.look().await) {
                    tokio::time::sleep(EVERY).await;
                }
            }
            Self::Mysql { id } => {
                let mut eye = mysql::Eye::new(target, ctx, id);
                while seen(eye.look().await) {
                    tokio::time::sleep(EVERY).await;
                }
            }
            // Nobody to ask, once and for all.
            Self::Sqlite => {
                let state = "SQLite has no sessions: who holds the file's lock cannot be asked".to_owned();
                seen(Sight { state, ..Sight::default() });
            }
        }
    }
}

impl Sight {
    fn blind(why: impl Into<String>) -> Self {
        Self { cannot: Some(why.into()), ..Self::default() }
    }

    /// Whether the operator could end somebody to let it go on.
    pub fn is_blocked(&self) -> bool {
        self.blockers.iter().any(|blocker| !blocker.pid.is_empty())
    }

    /// When the server process of a blocker began, as it was shown.
    pub fn since_of(&self, pid: &str) -> Option<&str> {
        let found = self.blockers.iter().find(|blocker| blocker.pid == pid)?;
        Some(found.since.as_str()).filter(|since| !since.is_empty())
    }
}
