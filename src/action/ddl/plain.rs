//! Statements that no transaction can hold: one message each, and the catalog tells what became of them.
//!
//! Never repairs: what a statement left half done is named with the steps to take, which are the operator's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{LOCK_MS, Plan, facts_of, left, stale};
use crate::action::cancel::{Canceller, watched};
use crate::action::transaction::{claimed, not_applied, outcome, session, tell_lost, twin};
use crate::action::{Go, Port, alive, committing, marker, restored};
use crate::check::{Context, NoAnswer, schema};
use crate::names;
use crate::run::record::{Found, Offer, Outcome, OutcomeResult, Point, Position};
use crate::sql::{Dialect, Statement};
use crate::target::db::{Handle, SqlError};

/// MySQL and MariaDB: killed, or over the server's time limit.
const INTERRUPTED: [&str; 3] = ["1317", "1969", "3024"];

/// Where the statements stand on a target: what is half done is told statement by statement.
pub async fn position(plan: &Plan, target: &str, ctx: &Context) -> Found {
    match ctx.targets.monitor(target).await {
        Ok(mut handle) => {
            let plan = &plan.clone().on(&handle);
            let found = position_on(plan, &mut handle).await;
            left::told(plan, of_all(plan, found), &mut handle).await
        }
        Err(failure) => Found { position: Position::Unknown, because: NoAnswer::from(failure).words() },
    }
}

/// What the catalog shows of the statements that it can show.
pub(super) async fn position_on(plan: &Plan, handle: &mut Handle) -> Found {
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

/// What is half there before any of it is run, in words.
pub async fn half_done(plan: &Plan, handle: &mut Handle) -> Option<String> {
    let found = position_on(plan, handle).await;
    (found.position == Position::HalfDone).then_some(found.because)
}

/// Without a transaction the first may have been run although nothing is seen, and the last may not although all the
/// others are.
fn of_all(plan: &Plan, found: Found) -> Found {
    let all = plan.statements.len();
    let n = match found.position {
        _ if plan.transactional() => return found,
        Position::NotDone => 0,
        Position::Done => all - 1,
        Position::HalfDone | Position::Unknown => return found,
    };
    if is_seen(plan, n) {
        return found;
    }
    let because = format!("{}; {}", unseen(plan, n), found.because);
    Found { position: Position::Unknown, because }
}

/// Whether a fact tells of that statement.
fn is_seen(plan: &Plan, n: usize) -> bool {
    let standing = facts_of(plan);
    plan.statements[n].1.done.iter().any(|fact| standing.contains(fact))
}

fn unseen(plan: &Plan, n: usize) -> String {
    let (all, kind) = (plan.statements.len(), plan.statements[n].1.kind);
    format!("of {} of {all}, {kind}, the catalog cannot tell whether it has been applied", n + 1)
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
    let gone = alive::end_of(&handle, ctx);
    tokio::select! {
        outcome = perform_on(&mut handle, plan, offer, ctx, port) => outcome,
        outcome = gone => outcome,
    }
}

async fn perform_on(handle: &mut Handle, plan: &Plan, offer: &Offer, ctx: &Context, port: &Port) -> Outcome {
    if let Err(outcome) = claimed(handle, offer, ctx, port).await {
        return outcome;
    }
    let mut data = session(handle, offer).await;
    data["statements"] = json!(plan.statements.len());
    let before = Before { found: position_on(plan, handle).await, invalid: left::invalid(plan, handle).await };
    data["stood"] = serde_json::to_value(before.found.position).unwrap_or_default();
    if let Some(catalog) = restored::keep(plan, handle, offer, ctx).await {
        data["catalog"] = catalog;
    }
    if port.reached(Point::Begun, data).await == Go::Stop {
        return not_applied("stopped before the first statement");
    }
    if let Some(epoch) = offer.epoch {
        let cancel = Canceller::of(handle, ctx);
        match watched(&port.cancel, &cancel, marker::write(handle, ctx, offer, epoch)).await {
            Ok(true) => {}
            Ok(false) => {
                let why = tell_lost(handle, ctx, port).await;
                return not_applied(format!("{why}; nothing was sent"));
            }
            Err(error) if error.is_twin() => return outcome(OutcomeResult::Unknown, twin(&error)),
            Err(error) => return not_applied(format!("the marker cannot be written: {}", error.words())),
        }
    }
    if port.reached(Point::Sent, json!({})).await == Go::Stop {
        return not_applied("stopped before the first statement");
    }
    let mut taken = Vec::new();
    for (n, (sql, statement)) in plan.statements.iter().enumerate() {
        if *port.cancel.borrow() {
            return refused(plan, n, &SqlError::new("cancelled before it was sent"), &before, handle).await;
        }
        let ran = match limit(handle, statement).await {
            Ok(()) if matches!(&*handle, Handle::Mysql(_)) => {
                committing::run(handle, sql, &plan.ways(sql, statement), ctx, port).await
            }
            Ok(()) if waits_for_all(statement) => committing::once(handle, sql, ctx, port).await.map(|()| None),
            Ok(()) => committing::until_lock(handle, sql, ctx, port).await.map(|()| None),
            Err(error) => Err(error),
        };
        match ran {
            Ok(way) => taken.extend(way),
            Err(error) => return refused(plan, n, &error, &before, handle).await,
        }
    }
    let committed = stale::now(handle).await;
    let mut outcome = shown(plan, handle).await;
    for way in taken {
        outcome.evidence.push_str(&format!("; {way}"));
    }
    if let Some(at) = &committed {
        outcome.evidence.extend(stale::told(plan, offer, at, ctx).await.map(|note| format!("; {note}")));
    }
    outcome.committed = committed;
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

/// What is built beside everybody else waits for all of them in the end, and holds nobody up by it.
fn waits_for_all(statement: &Statement) -> bool {
    !statement.transactional && statement.kind.ends_with("CONCURRENTLY")
}

/// A lock timeout fires on the harmless waits of a concurrent build and leaves an invalid index; any other statement
/// holds up everybody behind it while it waits.
async fn limit(handle: &mut Handle, statement: &Statement) -> Result<(), SqlError> {
    if handle.dialect() == Some(Dialect::Postgres) {
        let lock = if waits_for_all(statement) { 0 } else { LOCK_MS };
        handle.run(format!("set lock_timeout = {lock}"), vec![]).await?;
        handle.run("set statement_timeout = 0", vec![]).await?;
    }
    Ok(())
}

/// How it stood before the first statement.
struct Before {
    found: Found,
    invalid: BTreeSet<String>,
}

/// What is there after statement `n` was refused: a refused one may leave something behind, as an invalid index.
async fn refused(plan: &Plan, n: usize, error: &SqlError, before: &Before, handle: &mut Handle) -> Outcome {
    let all = plan.statements.len();
    let words = format!("statement {} of {all}: {}", n + 1, error.words());
    if error.lost {
        return outcome(OutcomeResult::Unknown, words);
    }
    let found = position_on(plan, handle).await;
    let left = left::since(&before.invalid, plan, handle).await;
    let builds = plan.statements[n].1.kind == "CREATE INDEX CONCURRENTLY";
    let words = left.iter().fold(words, |words, left| format!("{words}; {left}"));
    let told = format!("{words}; {}", found.because);
    if let Some(ran) = (0..n).find(|ran| !is_seen(plan, *ran)) {
        return outcome(
            OutcomeResult::Unknown,
            format!("{told}; {} of {all} was answered, and {}", ran + 1, unseen(plan, ran)),
        );
    }
    match found.position {
        Position::NotDone => not_applied(words),
        // Stopped in its course, it may have come to its end all the same.
        Position::Done if INTERRUPTED.iter().any(|code| error.code.as_deref() == Some(*code)) => {
            outcome(OutcomeResult::Unknown, told)
        }
        Position::Done if n == 0 => not_applied(words),
        // As it was before: it is not this attempt that left it.
        Position::HalfDone if n == 0 && found == before.found => not_applied(told),
        // What a catalog never shows, the server's refusal tells; what it cannot show now may be there.
        Position::Unknown if n == 0 && facts_of(plan).is_empty() && !(builds && left.is_some()) => not_applied(words),
        _ => outcome(OutcomeResult::Unknown, told),
    }
}

/// How it stood before the first statement, as the attempt said of itself.
pub fn stood(data: &Value) -> Option<Position> {
    serde_json::from_value(data.get("stood")?.clone()).ok()
}
