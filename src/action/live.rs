//! What a statement under way does on its server, who keeps it waiting and who waits behind it: read beside it, about
//! once a second.
//!
//! Owns the questions and how their answers are said. Never asks on the worker's connection, never records anything, and
//! never says *nobody* of what it cannot see.

use std::time::Duration;

use serde_json::Value;

use crate::action::facts::lane::{Lane, number, text};
use crate::check::Context;
use crate::runbook::TargetKind;
use crate::runbook::template::as_text;
use crate::target::db::Row;

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
    Mysql { id: String, since: String },
    Sqlite,
}

/// What asks a server, and what it knows from one look to the next.
enum Eye {
    Postgres(postgres::Eye),
    Mysql(mysql::Eye),
}

impl Eye {
    /// On a connection of its own, which is another one after a look that failed.
    async fn look(&mut self, lane: &mut Option<Lane>, target: &str, ctx: &Context) -> Sight {
        let mut open = match lane.take() {
            Some(lane) => lane,
            None => Lane::open(target, "watch", ctx).await,
        };
        let read = match self {
            Self::Postgres(eye) => eye.read(&mut open).await,
            Self::Mysql(eye) => eye.read(&mut open).await,
        };
        if read.is_ok() {
            *lane = Some(open);
        }
        read.unwrap_or_else(|words| Sight::blind(format!("cannot see what it does: {words}")))
    }
}

impl Watch {
    /// `None`: the worker has no session that a server could be asked for.
    pub fn of(kind: TargetKind, data: &Value) -> Option<Self> {
        let part = |name: &str| data.get(name).map(as_text);
        match kind {
            TargetKind::Postgres => Some(Self::Postgres { pid: part("pid")?, since: part("backend_start")? }),
            TargetKind::Mysql => {
                Some(Self::Mysql { id: part("pid")?, since: part("backend_start").unwrap_or_default() })
            }
            TargetKind::Sqlite => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// Looks again and again, until `seen` says that nobody wants to know any more.
    pub async fn follow(self, target: String, ctx: Context, mut seen: impl FnMut(Sight) -> bool) {
        let mut eye = match self {
            Self::Postgres { pid, since } => Eye::Postgres(postgres::Eye::new(pid, since)),
            Self::Mysql { id, since } => Eye::Mysql(mysql::Eye::new(id, since)),
            // Nobody to ask, once and for all.
            Self::Sqlite => {
                let state = "SQLite has no sessions: who holds the file's lock cannot be asked".to_owned();
                seen(Sight { state, ..Sight::default() });
                return;
            }
        };
        let mut lane = None;
        while seen(eye.look(&mut lane, &target, &ctx).await) {
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Queued {
    fn of(row: &Row) -> Self {
        Self { pid: text(row, "pid"), app: text(row, "app"), stalled: number(row, "stalled") }
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
