//! Who else runs, on which version, and whether it has what it needs.

use serde::Serialize;

use crate::check::{self, Context};
use crate::runbook::Service;
use crate::sql::Fact;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSeen {
    pub name: String,
    pub runs: Option<String>,
    /// Sessions on the databases; `None`: cannot see.
    pub connected: Option<u64>,
    pub group_state: Option<String>,
    /// What it needs, and whether it is there; `None`: nobody knows.
    pub needs: Vec<(String, Option<bool>)>,
    /// It should not run.
    pub gone: bool,
    pub owner: Option<String>,
}

/// What is seen of one service.
pub async fn seen(service: &Service, context: &Context) -> ServiceSeen {
    let mut needs = Vec::new();
    for used in &service.uses {
        needs.push((used.name.clone(), column_is_there(service, &used.name, context).await));
    }
    let reads = context.reads.get(&service.name);
    for (topic, declared) in &service.reads {
        let present = reads.and_then(|reads| reads.get(topic)).unwrap_or(declared);
        needs.extend(present.requires.iter().map(|field| (format!("{topic}: {field}"), None)));
    }
    let connected = match service.sessions.is_empty() {
        true => None,
        false => check::sessions::of_service(&service.sessions, context).await.ok().map(|found| found.len() as u64),
    };
    let group_state = match &service.group {
        Some(group) => check::kafka::state(group, context).await,
        None => None,
    };
    ServiceSeen {
        name: service.name.clone(),
        runs: service.runs.clone(),
        connected,
        group_state,
        needs,
        gone: service.gone,
        owner: service.owner.clone(),
    }
}

/// `table.column`, on the first SQL target that answers.
async fn column_is_there(service: &Service, used: &str, context: &Context) -> Option<bool> {
    let (table, column) = used.rsplit_once('.')?;
    let scoped = service.uses.iter().find(|scoped| scoped.name == used).and_then(|scoped| scoped.target.clone());
    let target =
        context.runbook.targets.values().find(|target| {
            target.kind.dialect().is_some() && scoped.as_ref().is_none_or(|name| name == &target.name)
        })?;
    let fact = Fact::Column { table: table.to_owned(), column: column.to_owned(), present: true };
    check::schema::holds(&fact, &target.name, context).await
}
