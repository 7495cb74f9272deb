//! One step as one transaction: claim, marker, the work, the checks in it, commit, the marker read back.
//!
//! Owns the order, the points where the engine is asked and the retries that a lock allows. Never commits without
//! `ready`, and never says *applied* on the word of COMMIT alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::cancel::{Canceller, asked, watched};
use super::ddl::stale;
use super::{Go, Port, Report, alive, change, ddl, marker, restored};
use crate::check::{self, Context, Depth, Where};
use crate::names;
use crate::run::gate::offer_digest;
use crate::run::record::{Offer, Outcome, OutcomeResult, Point};
use crate::runbook::{CheckRef, Step};
use crate::sql::Dialect;
use crate::target::db::{Handle, SqlError};

/// Between attempts after a lock timeout, doubling; half of each is chance.
const BACKOFF: Duration = Duration::from_millis(250);
pub const ATTEMPTS: u32 = 6;
/// The longest stall that a waiting statement imposes on everybody behind it. Beyond PostgreSQL's own deadlock_timeout of
/// a second, at which an autovacuum gives way to who waits for it: given up before, it would never give way.
pub const LOCK_MS: u64 = 1_250;
const STATEMENT: Duration = Duration::from_secs(60);

/// What stands between BEGIN and COMMIT.
#[derive(Debug, Clone)]
pub enum Body {
    Ddl(ddl::Plan),
    Change(Box<change::Plan>),
    Undo(change::UndoPlan),
}

/// What the work did.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub changed: Option<u64>,
    pub changed_since: Vec<String>,
    pub before_image: Option<String>,
    /// What the operator should know of it.
    pub note: Option<String>,
}

/// Why a transaction was rolled back.
pub enum Back {
    /// The server refused for a lock: it may be tried again.
    Lock(SqlError),
    /// Another process has made this very attempt: what it did stands under the same marker.
    Twin(String),
    Because(String),
}

impl From<SqlError> for Back {
    fn from(error: SqlError) -> Self {
        if error.is_lock() && !error.lost { Self::Lock(error) } else { Self::Because(error.words()) }
    }
}

pub fn not_applied(evidence: impl Into<String>) -> Outcome {
    outcome(OutcomeResult::NotApplied, evidence)
}

pub fn outcome(result: OutcomeResult, evidence: impl Into<String>) -> Outcome {
    Outcome::new(result, evidence)
}

/// Runs a body to its outcome.
pub async fn perform(body: &Body, step: &Step, offer: &Offer, ctx: &Context, port: &Port) -> Outcome {
    let Some(target) = offer.target.as_ref().map(|seen| seen.name.clone()) else {
        return not_applied("the step names no target");
    };
    let app = names::application_name(ctx.access.run8(), &offer.step, offer.att);
    let mut handle = match ctx.targets.dedicated(&target, &app).await {
        Ok(handle) => handle,
        Err(failure) => return not_applied(failure.to_string()),
    };
    let gone = alive::end_of(&handle, ctx);
    tokio::select! {
        outcome = attempts(&mut handle, body, step, offer, ctx, port) => outcome,
        // Nothing is sent to it any more: with this its connection is dropped.
        outcome = gone => outcome,
    }
}

async fn attempts(handle: &mut Handle, body: &Body, step: &Step, offer: &Offer, ctx: &Context, port: &Port) -> Outcome {
    if let Err(outcome) = claimed(handle, offer, ctx, port).await {
        return outcome;
    }
    for attempt in 1..=ATTEMPTS {
        match once(handle, body, step, offer, ctx, port).await {
            Ok(outcome) => return outcome,
            Err(Back::Because(why)) if *port.cancel.borrow() && !why.starts_with("cancelled") => {
                return not_applied(format!("cancelled, rolled back: {why}"));
            }
            Err(Back::Because(why)) => return not_applied(why),
            Err(Back::Twin(why)) => return outcome(OutcomeResult::Unknown, why),
            Err(Back::Lock(error)) => {
                let again = (attempt < ATTEMPTS).then(|| pause(attempt));
                port.tell(Report::AttemptFailed {
                    code: error.code.clone().unwrap_or_default(),
                    message: error.message.clone(),
                    again_in_ms: again,
                })
                .await;
                let Some(again) = again else {
                    return not_applied(format!("no lock after {ATTEMPTS} attempts: {}", error.words()));
                };
                let mut cancel = port.cancel.clone();
                let cancelled = tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(again)) => false,
                    cancelled = asked(&mut cancel) => cancelled,
                };
                if cancelled {
                    return not_applied("cancelled while waiting for a lock");
                }
            }
        }
    }
    not_applied("no attempt was made")
}

/// Takes the claim that the offer names, if it names one.
pub(super) async fn claimed(handle: &mut Handle, offer: &Offer, ctx: &Context, port: &Port) -> Result<(), Outcome> {
    let Some(epoch) = offer.epoch else { return Ok(()) };
    let cancel = Canceller::of(handle, ctx);
    // Its commit may wait for a standby that is down.
    match watched(&port.cancel, &cancel, marker::take(handle, ctx, epoch)).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            tell_lost(handle, ctx, port).await;
            Err(not_applied("claim lost: another run took this target first; nothing was sent"))
        }
        Err(error) => Err(not_applied(format!("the claim cannot be taken: {}", error.words()))),
    }
}

/// Says who holds the target now, and gives why this run may not go on there.
pub(super) async fn tell_lost(handle: &mut Handle, ctx: &Context, port: &Port) -> &'static str {
    let another = "taken over: another run holds the claim on this target";
    let (holder, why) = match marker::claim(handle, &ctx.access.runbook).await {
        Ok(Some(claim)) if claim.run == ctx.access.run => {
            let why = "taken over: this very run goes on in another process, which is ahead";
            (format!("this very run in another process, of {}", claim.holder), why)
        }
        Ok(Some(claim)) => (format!("run {} of {}", claim.run, claim.holder), another),
        Ok(None) | Err(_) => ("another run".to_owned(), another),
    };
    port.tell(Report::ClaimLost { target: handle.target().to_owned(), holder }).await;
    why
}

pub(super) fn twin(error: &SqlError) -> String {
    format!("this attempt has its marker already, from another process of this run: {}", error.words())
}

/// What a session says of itself and of where it is, to be known again by after a crash: the process or connection, and
/// where PostgreSQL tells it, the database's number, which no other one of its name has, and how far its log was on disk.
/// Before any transaction: what cannot be read must not end one.
pub(super) async fn session(handle: &mut Handle, offer: &Offer) -> Value {
    let mut data = json!({});
    match &*handle {
        Handle::Postgres(connection) => {
            data = json!({ "pid": connection.pid, "backend_start": connection.backend_start });
            let place = handle.read(PLACE, vec![]).await.unwrap_or_default();
            place.into_iter().flatten().for_each(|(name, value)| data[name] = value);
        }
        Handle::Mysql(connection) => data = json!({ "pid": connection.id, "backend_start": connection.came }),
        Handle::Sqlite(_) | Handle::Kafka(_) => {}
    }
    if let Some(epoch) = offer.epoch {
        data["claim"] = json!({ "target": handle.target(), "epoch": epoch });
    }
    data
}

const PLACE: &str = "select (select oid::text from pg_database where datname = current_database()) as database,
    pg_current_wal_flush_lsn()::text as wal";

pub(super) fn pause(attempt: u32) -> u64 {
    let whole = u64::try_from(BACKOFF.as_millis()).unwrap_or(250) << attempt.min(5);
    whole / 2 + rand::random::<u64>() % (whole / 2)
}

/// One attempt. `Err` means rolled back.
async fn once(
    handle: &mut Handle,
    body: &Body,
    step: &Step,
    offer: &Offer,
    ctx: &Context,
    port: &Port,
) -> Result<Outcome, Back> {
    let worked = work(handle, body, step, offer, ctx, port).await;
    let effect = match worked {
        Ok(effect) => effect,
        Err(back) => {
            // A lost connection is rolled back by the server: no COMMIT has been sent.
            let _ = handle.run("rollback", vec![]).await;
            return Err(back);
        }
    };
    let committed = handle.run("commit", vec![]).await;
    let at = stale::now(handle).await;
    let mut outcome = match committed {
        Err(error) if error.is_lock() && !error.lost => {
            let _ = handle.run("rollback", vec![]).await;
            return Err(Back::Lock(error));
        }
        Err(error) if !error.lost && error.code.is_some() => {
            let _ = handle.run("rollback", vec![]).await;
            return Err(Back::Because(format!("refused at COMMIT: {}", error.words())));
        }
        committed => proved(offer, ctx, committed).await,
    };
    if outcome.result != OutcomeResult::NotApplied {
        outcome.changed = effect.changed;
        outcome.changed_since = effect.changed_since;
        outcome.before_image = effect.before_image;
        outcome.evidence.extend(effect.note.map(|note| format!("; {note}")));
        if let (Body::Ddl(plan), Some(at)) = (body, &at) {
            outcome.evidence.extend(stale::told(plan, offer, at, ctx).await.map(|note| format!("; {note}")));
        }
        outcome.committed = at;
    }
    Ok(outcome)
}

async fn work(
    handle: &mut Handle,
    body: &Body,
    step: &Step,
    offer: &Offer,
    ctx: &Context,
    port: &Port,
) -> Result<Effect, Back> {
    let postgres = handle.dialect() == Some(Dialect::Postgres);
    // Before every attempt, and before its lock: others may have changed it since the last.
    let catalog = match body {
        Body::Ddl(plan) => restored::keep(plan, handle, offer, ctx).await,
        Body::Change(_) | Body::Undo(_) => None,
    };
    let mut data = session(handle, offer).await;
    handle.run(if postgres { "begin" } else { "begin immediate" }, vec![]).await?;
    if postgres {
        let statement = step.within.unwrap_or(STATEMENT).as_millis();
        handle.run(format!("set local lock_timeout = {LOCK_MS}"), vec![]).await?;
        handle.run(format!("set local statement_timeout = {statement}"), vec![]).await?;
    }
    if let Some(epoch) = offer.epoch {
        match marker::write(handle, ctx, offer, epoch).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(Back::Because(tell_lost(handle, ctx, port).await.to_owned()));
            }
            Err(error) if error.is_twin() => return Err(Back::Twin(twin(&error))),
            Err(error) => return Err(error.into()),
        }
    }
    if postgres && let Some(xid) = handle.one("select pg_current_xact_id()::text as xid", vec![]).await? {
        data["xid"] = xid;
    }
    if let Some(catalog) = catalog {
        data["catalog"] = catalog;
    }
    if port.reached(Point::TxOpen, data).await == Go::Stop {
        return Err(Back::Because("stopped before the first statement".to_owned()));
    }
    let cancel = Canceller::of(handle, ctx);
    let effect = watched(&port.cancel, &cancel, async {
        match body {
            Body::Ddl(plan) => ddl::run(handle, plan).await,
            Body::Change(plan) => change::run(handle, plan, offer, ctx).await,
            Body::Undo(plan) => plan.run(handle, ctx).await,
        }
    })
    .await?;
    if let Body::Ddl(plan) = body
        && let Some(words) = ddl::not_shown(handle, plan).await?
    {
        return Err(Back::Because(format!(
            "rolled back: the server took it, and its catalog does not show it: {words}"
        )));
    }
    let red = watched(&port.cancel, &cancel, checks_inside(handle, step, offer, ctx)).await;
    if let Some(red) = red {
        return Err(Back::Because(format!("rolled back: in the transaction {red}")));
    }
    if *port.cancel.borrow() {
        return Err(Back::Because("cancelled, rolled back".to_owned()));
    }
    if port.reached(Point::Ready, json!({ "changed": effect.changed, "before_image": effect.before_image })).await
        == Go::Stop
    {
        return Err(Back::Because("stopped before COMMIT, rolled back".to_owned()));
    }
    if *port.cancel.borrow() {
        return Err(Back::Because("cancelled before COMMIT, rolled back".to_owned()));
    }
    Ok(effect)
}

/// The step's own verify, as far as this transaction can tell: the first check that is not green.
async fn checks_inside(handle: &mut Handle, step: &Step, offer: &Offer, ctx: &Context) -> Option<String> {
    if offer.undoes.as_deref() == Some(step.id.as_str()) {
        return None;
    }
    let target = handle.target().to_owned();
    for check in &step.verify {
        let CheckRef::Check(name) = check else { continue };
        let Some(check) = ctx.runbook.checks.get(name) else { continue };
        if !check::inside(check, &target, ctx) {
            continue;
        }
        let answer = check::on(check, ctx, handle, Where::Inside, Depth::Try).await;
        // A label that this transaction adds can be used after its COMMIT only: then it is asked again.
        if answer.words.as_deref().is_some_and(|words| words.contains("(55P04)")) {
            continue;
        }
        if !answer.verdict.is_pass() {
            let value = answer.value.map(|value| format!(", value {value}")).unwrap_or_default();
            let words = answer.words.map(|words| format!(": {words}")).unwrap_or_default();
            return Some(format!("{name} is {}{value}{words}", answer.verdict.word()));
        }
    }
    None
}

/// After COMMIT: the marker on a fresh snapshot is the proof, not the answer to COMMIT.
async fn proved(offer: &Offer, ctx: &Context, committed: Result<u64, SqlError>) -> Outcome {
    let name = offer.target.as_ref().map(|seen| seen.name.as_str()).unwrap_or_default();
    let said = committed.as_ref().err().map(|error| format!(" (COMMIT: {})", error.words())).unwrap_or_default();
    if offer.epoch.is_none() {
        return match committed {
            Ok(_) => outcome(OutcomeResult::Applied, "COMMIT answered; no marker was written"),
            Err(_) => outcome(OutcomeResult::Unknown, format!("no answer to COMMIT, and no marker was written{said}")),
        };
    }
    let read = async {
        let mut monitor = ctx.targets.monitor(name).await.map_err(|failure| failure.to_string())?;
        marker::read(&mut monitor, &offer.run, &offer.step, offer.att).await.map_err(|error| error.words())
    };
    match (read.await, committed) {
        (Ok(Some(digest)), _) if digest == offer_digest(offer) => {
            outcome(OutcomeResult::Applied, format!("marker read back{said}"))
        }
        (Ok(Some(_)), _) => outcome(OutcomeResult::Unknown, format!("the marker belongs to another intent{said}")),
        (Ok(None), Ok(_)) => outcome(OutcomeResult::Unknown, "COMMIT answered, and the marker is not there"),
        // The server may still be at it: settling looks for the backend first.
        (Ok(None), Err(_)) => outcome(OutcomeResult::Unknown, format!("the marker is not there yet{said}")),
        (Err(words), _) => outcome(OutcomeResult::Unknown, format!("the marker cannot be read: {words}{said}")),
    }
}
