//! Survey: where is the world, on every layer at once?
//!
//! Owns the map that a run starts from: every step's done-check, every check, who runs beside us, the release's own
//! statements, and where to enter. Read-only by construction: it asks through `check` and `action::position` alone.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

use crate::action;
use crate::check::{self, Context, Depth};
use crate::run::record::{Checked, Environment, Found, Now, Position, Surveyed};
use crate::runbook::expect::Verdict;
use crate::runbook::{CheckRef, Phase, Runbook, Step, TargetKind};
use crate::target::Identity;

pub mod services;

pub use services::ServiceSeen;

/// The map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Survey {
    /// In the runbook's order.
    pub steps: Vec<(String, Found)>,
    pub checks: Vec<Checked>,
    pub services: Vec<ServiceSeen>,
    /// The release's own statements: in, not in, half in, or cannot be told.
    pub statements: Vec<(String, Found)>,
    pub targets: BTreeMap<String, Result<Identity, String>>,
    pub environment: Environment,
    /// The first step that is not done: where to enter.
    pub entry: Option<String>,
    /// Steps before it that the world shows as done.
    pub done: Vec<String>,
    pub redness: BTreeMap<CheckRef, Red>,
}

/// The three meanings of red.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Red {
    MendedBy { step: String },
    NobodyMends,
    Broke,
}

impl Survey {
    /// What goes into the log.
    pub fn record(&self) -> Surveyed {
        let words = |identity: &Result<Identity, String>| match identity {
            Ok(identity) => serde_json::to_value(&identity.seen).unwrap_or_default(),
            Err(words) => serde_json::json!({ "unreachable": words }),
        };
        Surveyed {
            steps: self.steps.iter().cloned().collect(),
            checks: self.checks.clone(),
            environment: self.environment,
            targets: self.targets.iter().map(|(name, identity)| (name.clone(), words(identity))).collect(),
        }
    }
}

/// Every question of the runbook at once. `now` stamps the answers; `seen` hears of each as it comes.
pub async fn take(context: &Context, now: impl Fn() -> Now + Copy, seen: impl Fn(&Checked)) -> Survey {
    let runbook = &context.runbook;
    let targets = identities(context).await;
    let asked = join_all(runbook.checks.values().map(|check| async {
        let answer = check::ask(check, context, Depth::Parse).await;
        let checked = stamp(CheckRef::Check(check.name.clone()), answer, now());
        seen(&checked);
        checked
    }));
    let gone = join_all(runbook.services.values().filter(|service| service.gone).map(|service| async {
        let answer = check::service::gone(&service.name, context).await;
        let checked = stamp(CheckRef::ServiceGone(service.name.clone()), answer, now());
        seen(&checked);
        checked
    }));
    let positions =
        join_all(runbook.steps.values().map(|step| async { (step.id.clone(), action::position(step, context).await) }));
    let (mut checks, gone, steps, services, statements) =
        tokio::join!(asked, gone, positions, services::census(context), statements(context));
    checks.extend(gone);
    let (entry, done) = propose(runbook, &steps);
    let redness = redness(runbook, &checks);
    let environment = environment(runbook, &targets);
    Survey { steps, checks, services, statements, targets, environment, entry, done, redness }
}

pub fn stamp(check: CheckRef, answer: check::Answer, at: Now) -> Checked {
    Checked { check, verdict: answer.verdict, value: answer.value, words: answer.words, at, took_ms: answer.took_ms }
}

async fn identities(context: &Context) -> BTreeMap<String, Result<Identity, String>> {
    let named = context.runbook.targets.values().filter(|target| has_identity(target.kind));
    join_all(named.map(|target| async {
        let identity = context.targets.identity(&target.name).await;
        (target.name.clone(), identity.map_err(|failure| failure.to_string()))
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
fn environment(runbook: &Runbook, targets: &BTreeMap<String, Result<Identity, String>>) -> Environment {
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

fn redness(runbook: &Runbook, checks: &[Checked]) -> BTreeMap<CheckRef, Red> {
    let mends = |check: &CheckRef| runbook.steps.values().find(|step| step.verify.contains(check));
    checks
        .iter()
        .filter(|checked| checked.verdict == Verdict::Fail)
        .map(|checked| {
            let red = match mends(&checked.check) {
                Some(step) => Red::MendedBy { step: step.id.clone() },
                None => Red::NobodyMends,
            };
            (checked.check.clone(), red)
        })
        .collect()
}

/// The statement in one line, without the lines above it that only comment.
fn without_comments(sql: &str) -> String {
    let words = sql.lines().filter(|line| !line.trim_start().starts_with("--")).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

/// Which statements of the release are in, told from the catalog.
async fn statements(context: &Context) -> Vec<(String, Found)> {
    let Some(migration) = &context.runbook.migration else { return Vec::new() };
    let target = context.runbook.targets.values().find(|target| target.kind.dialect().is_some());
    let Some((target, dialect)) = target.and_then(|target| Some((target, target.kind.dialect()?))) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for file in migration.up.get(dialect).into_iter().flatten() {
        let path = context.runbook.base.join(file);
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) => {
                let because = format!("{} cannot be read: {error}", file.display());
                found.push((file.display().to_string(), Found { position: Position::Unknown, because }));
                continue;
            }
        };
        match crate::sql::split(dialect, &text) {
            Ok(pieces) => {
                for sql in pieces {
                    let facts = crate::sql::judge(dialect, &sql).done;
                    let position = check::schema::position(&facts, &target.name, context).await;
                    found.push((without_comments(&sql), position));
                }
            }
            Err(refused) => found.push((
                file.display().to_string(),
                Found { position: Position::Unknown, because: refused.to_string() },
            )),
        }
    }
    found
}
