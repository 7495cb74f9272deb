//! Checks of the event layer: a group's lag, state and members, and whether every service can read every shape.
//!
//! Owns how these are asked and put in words. Never joins a group and never commits an offset.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::finding::Finding;
use super::{Answer, Context, Names};
use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Check, CheckKind, Runbook, TargetKind, Template};
use crate::shapes::Limits;
use crate::target::db::Handle;
use crate::target::kafka::Connection;

pub mod group;
pub mod shape;

pub use group::SANDBOX;

/// Asks a `group` check.
pub async fn group(check: &Check, ctx: &Context) -> Answer {
    let CheckKind::Group(group) = &check.kind else {
        return Answer::unknown("it is no check of a group");
    };
    match connection(check.on.as_deref(), ctx).await {
        Ok(connection) => group::ask(group, &connection, &ctx.access).await.judged(check, ctx),
        Err(failure) => Finding::failed(&failure).judged(check, ctx),
    }
}

/// Asks a `shapes` check. The value is the number of records that some service cannot read.
pub async fn shapes(check: &Check, ctx: &Context) -> Answer {
    let CheckKind::Shapes { topic, since } = &check.kind else {
        return Answer::unknown("it is no check of shapes");
    };
    let asked = async {
        let since = since.as_ref().map(|since| moment(since, ctx)).transpose()?;
        let connection = connection(check.on.as_deref(), ctx).await?;
        let services = shape::readers(&ctx.runbook, &ctx.reads, topic);
        Ok::<_, Failure>(shape::ask(&connection, topic, since, Limits::POLLED, &services).await.0)
    };
    asked.await.unwrap_or_else(|failure| Finding::failed(&failure)).judged(check, ctx)
}

/// The members of a group on every cluster of the runbook, in words.
///
/// # Errors
/// No cluster to ask, or one that does not tell.
pub async fn members(group: &str, ctx: &Context) -> Result<Vec<String>> {
    let clusters: Vec<&String> =
        ctx.runbook.targets.iter().filter(|(_, t)| t.kind == TargetKind::Kafka).map(|(name, _)| name).collect();
    if clusters.is_empty() {
        return Err(Failure::new(
            Kind::Runbook,
            format!("the runbook has no Kafka target that could tell who is in group {group}"),
        ));
    }
    let mut members = Vec::new();
    for cluster in clusters {
        let connection = connection(Some(cluster), ctx).await?;
        members.extend(group::describe(group, &connection, &ctx.access).await?.members());
    }
    Ok(members)
}

/// State and members of a group in one line, on the first cluster that tells; `None`: cannot see.
pub async fn state(group: &str, ctx: &Context) -> Option<String> {
    for target in ctx.runbook.targets.values().filter(|t| t.kind == TargetKind::Kafka) {
        if let Ok(connection) = connection(Some(&target.name), ctx).await
            && let Ok(found) = group::describe(group, &connection, &ctx.access).await
        {
            return Some(found.to_string());
        }
    }
    None
}

/// What `freeze: [offsets of TARGET]` keeps.
///
/// # Errors
/// The first topic or group that does not answer.
pub async fn offsets_snapshot(target: &str, ctx: &Context) -> Result<Value> {
    connection(Some(target), ctx).await?.offsets_snapshot(&groups(&ctx.runbook)).await
}

/// A copy: nobody waits for a scan to end before a group can be asked for.
async fn connection(on: Option<&str>, ctx: &Context) -> Result<Connection> {
    let name = on.ok_or_else(|| Failure::new(Kind::Runbook, "the check is not on a target"))?;
    match &*ctx.targets.monitor(name).await? {
        Handle::Kafka(connection) => Ok(connection.clone()),
        _ => Err(Failure::new(Kind::Runbook, format!("{name} is not a Kafka target"))),
    }
}

fn moment(since: &Template, ctx: &Context) -> Result<Timestamp> {
    let failed = |why: String| Failure::new(Kind::RedCheck, format!("nobody knows since when: {why}"));
    let text = since.render_text(&Names::new(ctx)).map_err(|missing| failed(missing.to_string()))?;
    text.trim().parse().map_err(|e: jiff::Error| failed(e.to_string()))
}

/// Groups of the runbook's services with the topics that each reads: what an offsets snapshot covers.
pub fn groups(runbook: &Runbook) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for service in runbook.services.values() {
        if let Some(group) = &service.group {
            groups.entry(group.clone()).or_default().extend(service.reads.keys().cloned());
        }
    }
    for check in runbook.checks.values().chain(runbook.readings.values()) {
        if let CheckKind::Group(check) = &check.kind {
            groups.entry(check.group.clone()).or_default().extend(check.lag.clone());
        }
    }
    groups.into_iter().map(|(group, topics)| (group, topics.into_iter().collect())).collect()
}
