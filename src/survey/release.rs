//! The release's own statements on each database: in, not in, half in, or not to be told, whom each breaks that runs
//! now, and what the migration table claims beside that.

use serde::Serialize;

use super::Seen;
use crate::check::schema::release::{self, Claim, Statement};
use crate::check::{self, Context};
use crate::run::record::{Found, Position};
use crate::sql;
use crate::target::db::Handle;
use crate::text::counted;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementSeen {
    pub statement: String,
    pub target: String,
    pub found: Found,
    /// Services that use what it takes away.
    pub breaks: Vec<Broken>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub service: String,
    pub uses: String,
    /// Sessions of it now; `None`: cannot see.
    pub sessions: Option<u64>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { service, uses, sessions } = self;
        match sessions {
            Some(n) => write!(f, "breaks {service}, {} now: it uses {uses}", counted(*n, "session")),
            None => write!(f, "breaks {service}, cannot see its sessions: it uses {uses}"),
        }
    }
}

/// Every statement on every database that the release has a form for, and the claims.
pub(super) async fn seen(context: &Context, heard: &impl Fn(usize, Seen)) -> (Vec<StatementSeen>, Vec<Claim>) {
    let (mut statements, mut claims) = (Vec::new(), Vec::new());
    let Some(migration) = &context.runbook.migration else { return (statements, claims) };
    for target in context.runbook.targets.values() {
        let Some(dialect) = target.kind.dialect() else { continue };
        let wanted = release::statements(dialect, context).await;
        if wanted.is_empty() {
            continue;
        }
        let mut broken = Vec::new();
        for statement in &wanted {
            broken.push(breaks(statement, &target.name, context).await);
        }
        let mut handle = match context.targets.monitor(&target.name).await {
            Ok(handle) => Ok(handle),
            Err(failure) => Err(check::NoAnswer::from(failure).words()),
        };
        let mut found = Vec::new();
        for (at, (statement, breaks)) in wanted.iter().zip(broken).enumerate() {
            let position = match &mut handle {
                Ok(handle) => release::position(&wanted, at, handle).await,
                Err(because) => Found { position: Position::Unknown, because: because.clone() },
            };
            let seen = StatementSeen {
                statement: statement.line.clone(),
                target: target.name.clone(),
                found: position.clone(),
                breaks,
            };
            found.push(position);
            heard(statements.len(), Seen::Statement(seen.clone()));
            statements.push(seen);
        }
        if let (Some(recorded), Ok(handle)) = (&migration.recorded, &mut handle) {
            let handle: &mut Handle = handle;
            let claim = release::claim(recorded, &found, handle).await;
            heard(claims.len(), Seen::Claim(claim.clone()));
            claims.push(claim);
        }
    }
    (statements, claims)
}

async fn breaks(statement: &Statement, target: &str, context: &Context) -> Vec<Broken> {
    let mut broken = Vec::new();
    for service in context.runbook.services.values().filter(|service| !service.gone) {
        let here = service.uses.iter().filter(|used| used.target.as_deref().is_none_or(|on| on == target));
        let Some(used) = here.map(|used| &used.name).find(|used| sql::leaves(&statement.read, used) == Some(false))
        else {
            continue;
        };
        let sessions = match service.sessions.is_empty() {
            true => None,
            false => check::sessions::of_service(&service.sessions, context).await.ok().map(|all| all.len() as u64),
        };
        broken.push(Broken { service: service.name.clone(), uses: used.clone(), sessions });
    }
    broken
}
