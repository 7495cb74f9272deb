//! Statements that no transaction can hold: one message each, and the catalog tells what became of them.
//!
//! Never repairs: what a statement left half done is named with the steps to take, which are the operator's.

use serde_json::json;

use super::{LOCK_MS, Plan, facts_of};
use crate::action::transaction::{claimed, not_applied, outcome, tell_lost};
use crate::action::{Go, Port, committing, marker, restored};
use crate::check::{Context, NoAnswer, schema};
use crate::names;
use crate::run::record::{Found, Offer, Outcome, OutcomeResult, Point, Position};
use crate::sql::Dialect;
use crate::target::db::{Handle, SqlError};

/// MySQL and MariaDB: killed, or over the server's time limit.
const INTERRUPTED: [&str; 3] = ["1317", "1969", "3024"];

/// Where the statements stand on a target: what is half done is told statement by statement.
pub async fn position(plan: &Plan, target: &str, ctx: &Context) -> Found {
    match ctx.targets.monitor(target).await {
        Ok(mut handle) => position_on(plan, &mut handle).await,
        Err(failure) => Found { position: Position::Unknown, because: NoAnswer::from(failure).words() },
    }
}

async fn position_on(plan: &Plan, handle: &mut Handle) -> Found {
    let standing = facts_of(plan);
    let whole = schema::position_on(&standing, handle).await;
    let all = plan.statements.len();
    if whole.position != Position::HalfDone || all < 2 {
        return whole;
    }
    let mut because = Vec::new();
    for (n, (_, statement)) in plan.statements.iter().enumerate() {
        let facts: Vec<_> = statement.done.iter().filter(|fact| standing.contains(fact)).cloned().collect();
        let found = schema::position_on(&facts, handle).await;
        let words = match found.position {
            Position::Done => "is in",
            Position::NotDone => "is not in",
            Position::HalfDone => "is half in",
            Position::Unknown => "cannot be told",
        };
        because.push(format!("{} of {all}, {}, {words}: {}", n + 1, statement.kind, found.because));
    }
    Found { position: Position::HalfDone, because: because.join("; ") }
}

/// Runs the statements in their order, and asks the catalog after them or after the one that was refused.
pub async fn perform_plain(plan: &Plan, offer: &Offer, ctx: &Context, port: &Port) -> Outcome {
    let Some(target) = offer.target.as_ref().map(|seen| seen.name.clone()) else {
        return not_applied("the step names no target");
    };
    let app = names::application_name(ctx.access.run8(), &offer.step, offer.att);
    let mut handle = match ctx.targets.dedicated(&target, &app).await {
        Ok(handle) => handle,
        Err(failure) => return not_applied(failure.to_string()),
    };
    if let Err(outcome) = claimed(&mut handle, offer, ctx, port).await {
        return outcome;
    }
    let mut data = json!({ "statements": plan.statements.len() });
    if let Some(epoch) = offer.epoch {
        data["claim"] = json!({ "target": target, "epoch": epoch });
    }
    if let Handle::Mysql(connection) = &handle {
        data["pid"] = json!(connection.id);
        data["backend_start"] = json!(connection.came);
    }
    if let Handle::Postgres(connection) = &handle {
        data["pid"] = json!(connection.pid);
        data["backend_start"] = json!(connection.backend_start);
    }
    if let Some(catalog) = restored::keep(plan, &mut handle, offer, ctx).await {
        data["catalog"] = catalog;
    }
    if port.reached(Point::Begun, data).await == Go::Stop {
        return not_applied("stopped before the first statement");
    }
    if let Some(epoch) = offer.epoch {
        match marker::write(&mut handle, ctx, offer, epoch).await {
            Ok(true) => {}
            Ok(false) => {
                tell_lost(&mut handle, ctx, port).await;
                return not_applied("taken over: another run holds the claim on this target; nothing was sent");
            }
            Err(error) => return not_applied(format!("the marker cannot be written: {}", error.words())),
        }
    }
    let mut taken = Vec::new();
    for (n, (sql, statement)) in plan.statements.iter().enumerate() {
        let ran = match limit(&mut handle, statement.transactional).await {
            Ok(()) if matches!(handle, Handle::Mysql(_)) => {
                committing::run(&mut handle, sql, &plan.ways(sql, statement), ctx, port).await
            }
            Ok(()) => handle.run(sql.as_str(), vec![]).await.map(|_| None),
            Err(error) => Err(error),
        };
        match ran {
            Ok(way) => taken.extend(way),
            Err(error) => return refused(plan, n, &error, &mut handle).await,
        }
    }
    let mut outcome = shown(plan, &mut handle).await;
    for way in taken {
        outcome.evidence.push_str(&format!("; {way}"));
    }
    outcome
}

/// What the catalog shows after the last statement.
async fn shown(plan: &Plan, handle: &mut Handle) -> Outcome {
    let found = position_on(plan, handle).await;
    match found.position {
        Position::Done => outcome(OutcomeResult::Applied, format!("the catalog shows it: {}", found.because)),
        _ if facts_of(plan).is_empty() => {
            outcome(OutcomeResult::Applied, "the server answered each statement; a catalog does not show them")
        }
        _ => outcome(OutcomeResult::Unknown, found.because),
    }
}

/// A lock timeout fires on the harmless waits of a concurrent build and leaves an invalid index; a statement that could
/// stand in a transaction holds up everybody behind it while it waits.
async fn limit(handle: &mut Handle, transactional: bool) -> Result<(), SqlError> {
    if handle.dialect() == Some(Dialect::Postgres) {
        let lock = if transactional { LOCK_MS } else { 0 };
        handle.run(format!("set lock_timeout = {lock}"), vec![]).await?;
        handle.run("set statement_timeout = 0", vec![]).await?;
    }
    Ok(())
}

/// What is there after statement `n` was refused: a refused one may leave something behind, as an invalid index.
async fn refused(plan: &Plan, n: usize, error: &SqlError, handle: &mut Handle) -> Outcome {
    let words = format!("statement {} of {}: {}", n + 1, plan.statements.len(), error.words());
    if error.lost {
        return outcome(OutcomeResult::Unknown, words);
    }
    let found = position_on(plan, handle).await;
    match found.position {
        Position::NotDone => not_applied(words),
        // Stopped in its course, it may have come to its end all the same.
        Position::Done if INTERRUPTED.iter().any(|code| error.code.as_deref() == Some(*code)) => {
            outcome(OutcomeResult::Unknown, format!("{words}; {}", found.because))
        }
        Position::Done | Position::Unknown if n == 0 => not_applied(words),
        _ => outcome(OutcomeResult::Unknown, format!("{words}; {}", found.because)),
    }
}
