//! Survey: where is the world, on every layer at once?
//!
//! Owns the map that a run starts from: every step's done-check, every check, who runs beside us, the release's own
//! statements, and where to enter. Read-only by construction: it asks through `check` and `action::position` alone.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serializer;

use crate::action;
use crate::check::schema::release::Claim;
use crate::check::{self, Context, Depth};
use crate::run::record::{Checked, Environment, Found, Now, Position, Surveyed};
use crate::runbook::{CheckRef, Phase, Runbook, Step, TargetKind};
use crate::target::Identity;

pub mod release;
pub mod services;

pub use release::{Broken, StatementSeen};
pub use services::ServiceSeen;

/// The map.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Survey {
    /// In the runbook's order.
    #[serde(serialize_with = "steps_by_name")]
    pub steps: Vec<(String, Found)>,
    pub checks: Vec<Checked>,
    pub services: Vec<ServiceSeen>,
    /// The release's own statements: in, not in, half in, or cannot be told.
    pub statements: Vec<StatementSeen>,
    /// What the migration table says of them.
    pub claims: Vec<Claim>,
    #[serde(serialize_with = "seen_or_not")]
    pub targets: BTreeMap<String, Result<Identity, String>>,
    pub environment: Environment,
    /// The first step that is not done: where to enter.
    pub entry: Option<String>,
    /// Steps before it that the world shows as done.
    pub done: Vec<String>,
    #[serde(serialize_with = "by_check")]
    pub redness: BTreeMap<CheckRef, Red>,
}

/// The three meanings of red.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Red {
    MendedBy { step: String },
    NobodyMends,
    Broke,
}

/// What a target said of itself, or why it did not.
fn seen(identity: &Result<Identity, String>) -> serde_json::Value {
    match identity {
        Ok(identity) => serde_json::to_value(&identity.seen).unwrap_or_default(),
        Err(words) => serde_json::json!({ "unreachable": words }),
    }
}

fn steps_by_name<S: Serializer>(steps: &[(String, Found)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(steps.iter().map(|(step, found)| (step, found)))
}

fn seen_or_not<S: Serializer>(targets: &BTreeMap<String, Result<Identity, String>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(targets.iter().map(|(name, identity)| (name, seen(identity))))
}

fn by_check<S: Serializer>(redness: &BTreeMap<CheckRef, Red>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(redness.iter().map(|(check, red)| (check.to_string(), red)))
}

/// One line of the map, as it comes.
#[derive(Debug, Clone)]
pub enum Seen {
    Target(String, Result<Identity, String>),
    Check(Checked),
    Service(ServiceSeen),
    Statement(StatementSeen),
    Claim(Claim),
    Step(String, Found),
}

impl Survey {
    /// What goes into the log.
    pub fn record(&self) -> Surveyed {
        Surveyed {
            steps: self.steps.iter().cloned().collect(),
            checks: self.checks.clone(),
            environment: self.environment,
            targets: self.targets.iter().map(|(name, identity)| (name.clone(), seen(identity))).collect(),
        }
    }
}

/// Every question of the runbook at once, so that a target without an answer holds up nothing but its own lines. `now`
/// stamps the answers; `seen` hears of each line as it comes, with its place among those of its kind.
pub async fn take(context: &Context, now: impl Fn() -> Now + Copy, seen: impl Fn(usize, Seen)) -> Survey {
    let runbook = &context.runbook;
    let targets = identities(context, &seen);
    let asked = join_all(runbook.checks.values().enumerate().map(|(place, check)| {
        let seen = &seen;
        async move {
            let answer = check::ask(check, context, Depth::Parse).await;
            let checked = stamp(CheckRef::Check(check.name.clone()), answer, now());
            seen(place, Seen::Check(checked.clone()));
            checked
        }
    }));
    let named = runbook.services.values().filter(|service| service.gone);
    let gone = join_all(named.enumerate().map(|(place, service)| {
        let seen = &seen;
        async move {
            let answer = check::service_gone(&service.name, context).await;
            let checked = stamp(CheckRef::ServiceGone(service.name.clone()), answer, now());
            seen(runbook.checks.len() + place, Seen::Check(checked.clone()));
            checked
        }
    }));
    let services = join_all(runbook.services.values().enumerate().map(|(place, service)| {
        let seen = &seen;
        async move {
            let service = services::seen(service, context).await;
            seen(place, Seen::Service(service.clone()));
            service
        }
    }));
    let positions = join_all(runbook.steps.values().enumerate().map(|(place, step)| {
        let seen = &seen;
        async move {
            let found = action::position(step, context).await;
            seen(place, Seen::Step(step.id.clone(), found.clone()));
            (step.id.clone(), found)
        }
    }));
    let (targets, mut checks, gone, steps, services, (statements, claims)) =
        tokio::join!(targets, asked, gone, positions, services, release::seen(context, &seen));
    checks.extend(gone);
    let (entry, done) = propose(runbook, &steps);
    let redness = checks.iter().filter_map(|checked| Some((checked.check.clone(), red(runbook, checked)?))).collect();
    let environment = environment(runbook, &targets);
    Survey { steps, checks, services, statements, claims, targets, environment, entry, done, redness }
}

pub fn stamp(check: CheckRef, answer: check::Answer, at: Now) -> Checked {
    Checked { check, verdict: answer.verdict, value: answer.value, words: answer.words, at, took_ms: answer.took_ms }
}

async fn identities(context: &Context, seen: &impl Fn(usize, Seen)) -> BTreeMap<String, Result<Identity, String>> {
    let named = context.runbook.targets.values().filter(|target| has_identity(target.kind));
    join_all(named.enumerate().map(|(place, target)| async move {
        let identity = context.targets.identity(&target.name).await.map_err(|failure| failure.to_string());
        seen(place, Seen::Target(target.name.clone(), identity.clone()));
        (target.name.clone(), identity)
    }))
    .await
    .into_iter()
    .collect()
}

/// Databases and clusters say themselves what they are; files and addresses do not.
pub fn has_identity(kind: TargetKind) -> bool {
    kind.dialect().is_some() || kind == TargetKind::Kafka
}

/// A rehearsal only where every target that can say so declares one.
pub fn environment(runbook: &Runbook, targets: &BTreeMap<String, Result<Identity, String>>) -> Environment {
    let declared = |identity: &Result<Identity, String>| {
        identity.as_ref().is_ok_and(|identity| identity.environment == Environment::Rehearsal)
    };
    let asked = runbook.targets.values().filter(|target| has_identity(target.kind)).count();
    match asked > 0 && targets.len() == asked && targets.values().all(declared) {
        true => Environment::Rehearsal,
        false => Environment::Production,
    }
}

/// Enter at the first step that is not done; a done step behind it is done again only if its own position says so.
fn propose(runbook: &Runbook, steps: &[(String, Found)]) -> (Option<String>, Vec<String>) {
    let position = |step: &Step| steps.iter().find(|(id, _)| id == &step.id).map(|(_, found)| found.position);
    let entry = runbook.steps.values().find(|step| position(step) != Some(Position::Done)).map(|step| step.id.clone());
    let done = runbook
        .steps
        .values()
        .filter(|step| position(step) == Some(Position::Done))
        // What merely looks contained or released may never have been touched: only effects that a step owns count.
        .filter(|step| matches!(step.phase, Phase::Contain | Phase::Repair))
        .map(|step| step.id.clone())
        .collect();
    (entry, done)
}

/// What the red of an answer means; none where it is not red.
pub fn red(runbook: &Runbook, checked: &Checked) -> Option<Red> {
    let mends = runbook.steps.values().find(|step| step.verify.contains(&checked.check));
    checked.verdict.is_fail().then(|| match mends {
        Some(step) => Red::MendedBy { step: step.id.clone() },
        None => Red::NobodyMends,
    })
}
