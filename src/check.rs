//! Checks: read-only questions, and what their answers are worth.
//!
//! Owns how each kind of check and reading is asked. Never changes a target (a probe is rolled back, always), and never
//! turns a missing answer into a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::audit::Anchor;
use crate::run::record::{FrozenContent, ItemDone, Kept, Now};
use crate::runbook::expect::Verdict;
use crate::runbook::template::Scope;
use crate::runbook::{Check, CheckKind, Expect, Reads, Runbook, SetSource, VarKind};
use crate::target::db::Handle;
use crate::target::{Access, Targets};

pub mod command;
pub mod finding;
pub mod http;
pub mod kafka;
pub mod schema;
pub mod service;
pub mod sessions;
pub mod sql;

use sql::Asked;
pub use sql::{NoAnswer, Where, plain};

/// Longer than every time limit of a server: only a dead network meets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What checks and actions may know of the run: a copy made by the engine for one task.
#[derive(Clone)]
pub struct Context {
    pub runbook: Arc<Runbook>,
    pub access: Arc<Access>,
    pub targets: Arc<Targets>,
    pub vars: BTreeMap<String, Value>,
    /// Latest frozen content by item name (`revenue`, `stuck`, `verdict`, `offsets of bus`).
    pub frozen: BTreeMap<String, FrozenContent>,
    /// Before-image files of finished change steps, by step: what `changed by STEP` reads.
    pub changed: BTreeMap<String, String>,
    /// What services read now, where a done step redeclared it: service, topic, needs.
    pub reads: BTreeMap<String, BTreeMap<String, Reads>>,
    /// Rows of compared sets that a person decided: set, key, class.
    pub decided: BTreeMap<String, BTreeMap<String, String>>,
    /// Items of `each` steps that have an end in the log: step, item key.
    pub items: BTreeMap<String, BTreeMap<String, ItemDone>>,
    /// Data of each step's last `begun` or `sent` point: what may have been under way when a process died.
    pub begun: BTreeMap<String, Value>,
    /// What schema steps touched as it was before them, and when that was kept: by step.
    pub before: BTreeMap<String, (Kept, Now)>,
    /// Steps whose effect stands.
    pub standing: BTreeSet<String>,
    /// When each finished step took effect; `None`: nothing was to be done.
    pub took: BTreeMap<String, Option<Took>>,
    /// The newest record of the audit log that is on the disk: what a marker carries.
    pub head: Option<Anchor>,
}

/// When a step took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// The target, and when by the clock of its server, where that was read.
    pub committed: Option<(String, String)>,
    /// By our own clock.
    pub ago: Duration,
}

/// How deep a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The server prepares it: missing columns and wrong labels show; nothing runs. For survey and polling.
    Parse,
    /// Executed and rolled back: burns sequence values and fires triggers. At `verify`, or on request.
    Try,
}

/// An answer, before the engine stamps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    pub value: Option<Value>,
    /// The server's own words, where there is no value.
    pub words: Option<String>,
    pub took_ms: u64,
}

impl Answer {
    pub fn unknown(because: impl Into<String>) -> Self {
        let words = because.into();
        Self { verdict: Verdict::unknown(words.clone()), value: None, words: Some(words), took_ms: 0 }
    }
}

impl Context {
    /// Of a run that has done nothing yet, with connections of its own.
    pub fn new(runbook: Arc<Runbook>, access: Arc<Access>) -> Self {
        Self {
            targets: Arc::new(Targets::new(runbook.clone(), access.clone())),
            runbook,
            access,
            vars: BTreeMap::new(),
            frozen: BTreeMap::new(),
            changed: BTreeMap::new(),
            reads: BTreeMap::new(),
            decided: BTreeMap::new(),
            items: BTreeMap::new(),
            begun: BTreeMap::new(),
            before: BTreeMap::new(),
            standing: BTreeSet::new(),
            took: BTreeMap::new(),
            head: None,
        }
    }

    /// What stands for a name in `same_as`: a value, or the number of a set's rows. Frozen as unknown is NULL.
    pub fn frozen_value(&self, name: &str) -> Option<Value> {
        Some(match self.frozen.get(name)? {
            FrozenContent::Value(value) | FrozenContent::Snapshot(value) => value.clone(),
            FrozenContent::Rows { count, .. } => Value::from(*count),
            FrozenContent::Unknown { .. } => Value::Null,
        })
    }
}

/// The names that a text of the runbook may use in a check or an action on a database.
pub struct Names<'a> {
    ctx: &'a Context,
    probe_key: String,
}

impl<'a> Names<'a> {
    pub fn new(ctx: &'a Context) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let salt: u64 = rand::random();
        Self { ctx, probe_key: format!("backout-probe-{salt:016x}-{n}") }
    }
}

impl Scope for Names<'_> {
    fn get(&self, path: &str) -> Option<Value> {
        if path == "probe.key" {
            return Some(Value::String(self.probe_key.clone()));
        }
        self.ctx.vars.get(path).cloned()
    }

    fn kind(&self, path: &str) -> Option<VarKind> {
        if path == "probe.key" {
            return Some(VarKind::Text);
        }
        self.ctx.runbook.vars.get(path).map(|var| var.kind)
    }
}

/// Asks a check or a reading now. Whatever goes wrong is unknown, with the words of whoever said so.
pub async fn ask(check: &Check, ctx: &Context, depth: Depth) -> Answer {
    let began = Instant::now();
    let asked = tokio::time::timeout(PATIENCE, ask_kind(check, ctx, depth)).await;
    let mut answer = match asked {
        Ok(answer) => answer,
        Err(_) => Answer::unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    answer.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer
}

async fn ask_kind(check: &Check, ctx: &Context, depth: Depth) -> Answer {
    match &check.kind {
        CheckKind::Reading { reading } => match ctx.runbook.readings.get(reading) {
            Some(reading) => {
                let found = Box::pin(ask_kind(reading, ctx, depth)).await;
                judged(check, ctx, found.value.ok_or(NoAnswer::Unknown(found.words.unwrap_or_default())))
            }
            None => Answer::unknown(format!("there is no reading {reading}")),
        },
        CheckKind::Count { set } => judged(check, ctx, count(set, ctx).await),
        CheckKind::Query(_)
        | CheckKind::Schema(_)
        | CheckKind::Grants(_)
        | CheckKind::Migration { .. }
        | CheckKind::Like { .. } => match monitor_of(check, ctx).await {
            Ok(mut handle) => on(check, ctx, &mut handle, Where::Apart, depth).await,
            Err(none) => no_answer(none),
        },
        CheckKind::Probe { .. } => probe_apart(check, ctx, depth).await,
        CheckKind::Sessions { matching, older_than: None } => {
            judged(check, ctx, sessions::count_on(check, ctx, matching).await)
        }
        CheckKind::Sessions { matching, older_than: Some(step) } => {
            judged(check, ctx, sessions::count_older(check, ctx, matching, step).await)
        }
        CheckKind::ServiceGone { service } => service::gone(service, ctx).await,
        CheckKind::Group(_) => kafka::group(check, ctx).await,
        CheckKind::Shapes { .. } => kafka::shapes(check, ctx).await,
        CheckKind::Http(_) => http::ask(check, ctx).await,
        CheckKind::Command { .. } => command::ask(check, ctx).await,
        CheckKind::GroupOffsets { .. } | CheckKind::Explain { .. } | CheckKind::Registry(_) => {
            Answer::unknown("this kind of check is not supported yet")
        }
    }
}

/// Asks a SQL check on a given connection: inside a changing transaction, or apart on a read connection.
pub async fn on(check: &Check, ctx: &Context, handle: &mut Handle, place: Where, depth: Depth) -> Answer {
    let Some(dialect) = handle.dialect() else {
        return Answer::unknown(format!("{} is not a database", handle.target()));
    };
    let names = Names::new(ctx);
    let found = match &check.kind {
        CheckKind::Query(text) => match sql::rendered(text, dialect, &names) {
            Ok(sql) => sql::value(handle, place, &sql).await,
            Err(none) => Err(none),
        },
        CheckKind::Reading { reading } => match ctx.runbook.readings.get(reading) {
            Some(reading) => {
                let found = Box::pin(on(reading, ctx, handle, place, depth)).await;
                found.value.ok_or(NoAnswer::Unknown(found.words.unwrap_or_default()))
            }
            None => Err(NoAnswer::Unknown(format!("there is no reading {reading}"))),
        },
        CheckKind::Count { set } => match ctx.runbook.sets.get(set).map(|set| &set.source) {
            Some(SetSource::Query { sql: text, .. }) => match sql::rendered(text, dialect, &names) {
                Ok(sql) => sql::count(handle, place, &sql).await,
                Err(none) => Err(none),
            },
            _ => Err(NoAnswer::Unknown(format!("{set} is no set of this database"))),
        },
        kind @ (CheckKind::Schema(_) | CheckKind::Grants(_) | CheckKind::Migration { .. } | CheckKind::Like { .. }) => {
            return schema::asked(kind, handle, ctx).await;
        }
        CheckKind::Probe { statements, role } => {
            let Some(statements) = statements.get(dialect) else {
                return Answer::unknown(format!("the runbook has no form of it for {dialect}"));
            };
            let found = sql::probe(handle, place, statements, role.as_deref(), depth, &names).await;
            return judged_probe(check, ctx, found, depth);
        }
        _ => Err(NoAnswer::Unknown("only questions to a database are asked in a transaction".to_owned())),
    };
    judged(check, ctx, found)
}

/// Whether a check is asked inside the transaction of a step on `target`.
pub fn inside(check: &Check, target: &str, ctx: &Context) -> bool {
    if check.hold.is_some() {
        return false;
    }
    let here = |on: &Option<String>| on.as_deref() == Some(target);
    match &check.kind {
        CheckKind::Query(_) | CheckKind::Schema(_) | CheckKind::Grants(_) | CheckKind::Probe { .. } => here(&check.on),
        CheckKind::Reading { reading } => {
            ctx.runbook.readings.get(reading).is_some_and(|r| here(&r.on) && matches!(r.kind, CheckKind::Query(_)))
        }
        CheckKind::Count { set } => ctx
            .runbook
            .sets
            .get(set)
            .is_some_and(|set| matches!(&set.source, SetSource::Query { on, .. } if on == target)),
        _ => false,
    }
}

/// Whether nothing is left of a service.
pub async fn service_gone(service: &str, ctx: &Context) -> Answer {
    let began = Instant::now();
    let asked = tokio::time::timeout(PATIENCE, service::gone(service, ctx)).await;
    let mut answer = asked.unwrap_or_else(|_| Answer::unknown(format!("no answer within {} s", PATIENCE.as_secs())));
    answer.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer
}

async fn monitor_of(check: &Check, ctx: &Context) -> Asked<crate::target::Monitor> {
    let Some(on) = &check.on else { return Err(NoAnswer::Unknown("no target to ask".to_owned())) };
    Ok(ctx.targets.monitor(on).await?)
}

async fn count(set: &str, ctx: &Context) -> Asked<Value> {
    if let Some(SetSource::Query { on, sql: text }) = ctx.runbook.sets.get(set).map(|set| &set.source) {
        let mut handle = ctx.targets.monitor(on).await?;
        let Some(dialect) = handle.dialect() else {
            return Err(NoAnswer::Unknown(format!("{on} is not a database")));
        };
        let text = sql::rendered(text, dialect, &Names::new(ctx))?;
        return sql::count(&mut handle, Where::Apart, &text).await;
    }
    Ok(Value::from(sql::set_rows(set, ctx).await?.len()))
}

/// A probe that is executed writes, though never for good: it has a connection of its own.
async fn probe_apart(check: &Check, ctx: &Context, depth: Depth) -> Answer {
    let asked = async {
        match depth {
            Depth::Parse => {
                let mut handle = monitor_of(check, ctx).await?;
                Ok::<_, NoAnswer>(on(check, ctx, &mut handle, Where::Apart, depth).await)
            }
            Depth::Try => {
                let name = check.on.as_deref().unwrap_or_default();
                if ctx.targets.identity(name).await?.standby {
                    return Err(NoAnswer::Unknown(format!("{name} is a standby: nothing can be tried there")));
                }
                let app = crate::names::application_name(ctx.access.run8(), "probe", 0);
                let mut handle = ctx.targets.dedicated(name, &app).await?;
                Ok(on(check, ctx, &mut handle, Where::Apart, depth).await)
            }
        }
    };
    asked.await.unwrap_or_else(no_answer)
}

fn no_answer(none: NoAnswer) -> Answer {
    Answer::unknown(none.words())
}

/// The verdict on a value; a question without an expectation passes when it has an answer.
pub fn judged(check: &Check, ctx: &Context, found: Asked<Value>) -> Answer {
    match found {
        Err(none) => no_answer(none),
        Ok(value) => {
            let verdict = match &check.expect {
                Some(expect) => expect.judge(Some(&value), &|name| ctx.frozen_value(name)),
                None => Verdict::Pass,
            };
            Answer { verdict, value: Some(value), words: None, took_ms: 0 }
        }
    }
}

fn judged_probe(check: &Check, ctx: &Context, found: Asked<Value>, depth: Depth) -> Answer {
    match (found, depth) {
        (Err(NoAnswer::Refused(error)), _) => {
            let value = serde_json::json!({ "error": error.code });
            let verdict = match &check.expect {
                Some(expect @ Expect::Error(_)) => expect.judge(Some(&value), &|name| ctx.frozen_value(name)),
                _ => Verdict::Fail,
            };
            Answer { verdict, value: Some(value), words: Some(error.words()), took_ms: 0 }
        }
        (Err(none), _) => no_answer(none),
        (Ok(_), Depth::Parse) if check.expect.is_some() => {
            Answer::unknown("the server can prepare it; what it answers is seen when it is tried")
        }
        (Ok(value), Depth::Parse) => Answer { verdict: Verdict::Pass, value: Some(value), words: None, took_ms: 0 },
        (Ok(value), Depth::Try) => judged(check, ctx, Ok(value)),
    }
}
