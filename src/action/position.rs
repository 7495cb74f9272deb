//! Where a step stands, read from the world: done, not done, half done or unknown.
//!
//! Never changes anything. What the world cannot tell is not done in a new run, or unknown where doing it twice hurts.

use futures_util::future::join_all;

use super::{change, ddl, is_sql, items, prepare, publish};
use crate::check::{self, Context, Depth, Names};
use crate::run::record::{Found, Position};
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, CheckRef, Phase, Step};
use crate::target::db::Handle;
use crate::text::counted;

fn found(position: Position, because: impl Into<String>) -> Found {
    Found { position, because: because.into() }
}

/// The done-check of a step.
pub async fn position(step: &Step, ctx: &Context) -> Found {
    if !step.done_when.is_empty() {
        return by_checks(&step.done_when, ctx).await;
    }
    if step.each.is_some() {
        return found(Position::NotDone, "only this run's log knows which items are done");
    }
    match &step.action {
        Action::Ddl(forms) => {
            let Some(target) = step.on.as_deref().filter(|on| is_sql(ctx, on)) else {
                return found(Position::Unknown, "its target is not a database");
            };
            let dialect = ctx.runbook.targets.get(target).and_then(|target| target.kind.dialect());
            let Some((dialect, texts)) = dialect.and_then(|dialect| Some((dialect, forms.get(dialect)?))) else {
                return found(Position::Unknown, format!("the runbook has no form of it for {target}"));
            };
            match ddl::Plan::of(texts, dialect, ctx, &step.id) {
                Ok(plan) => ddl::position(&plan, target, ctx).await,
                Err(failure) => found(Position::Unknown, words(&failure)),
            }
        }
        Action::Change(change) => match &change.set {
            Some(set) if super::sets::frozen_rows(set, ctx).is_err() => {
                found(Position::NotDone, format!("{set} is not frozen in this run"))
            }
            None => found(Position::NotDone, "only this run's log knows it"),
            Some(_) => {
                let Some(on) = step.on.as_deref() else { return found(Position::Unknown, "it names no target") };
                let mut handle = match ctx.targets.monitor(on).await {
                    Ok(handle) => handle,
                    Err(failure) => return found(Position::Unknown, words(&failure)),
                };
                match change::Plan::of(change, &step.id, &mut handle, ctx).await {
                    Ok(plan) if plan.number == 0 => found(Position::Done, "no row of its set is left to change"),
                    Ok(plan) => {
                        found(Position::NotDone, format!("{} of its set would change", counted(plan.number, "row")))
                    }
                    Err(failure) => found(Position::Unknown, words(&failure)),
                }
            }
        },
        Action::Publish(publish) => published(step, publish, ctx).await,
        Action::Command { .. } | Action::Http(_) if !step.verify.is_empty() => by_checks(&step.verify, ctx).await,
        Action::Session { .. } if !step.verify.is_empty() => by_checks(&step.verify, ctx).await,
        Action::UndoOf { step: undone } => match ctx.runbook.steps.get(undone) {
            // It is done when what it undoes is not.
            Some(undone) if !matches!(undone.action, Action::UndoOf { .. }) => {
                let of = Box::pin(position(undone, ctx)).await;
                let because = format!("{}: {}", undone.id, of.because);
                match of.position {
                    Position::Done => found(Position::NotDone, because),
                    // Not done may also mean that it has not been done yet.
                    Position::NotDone => found(Position::NotDone, because),
                    other => found(other, because),
                }
            }
            _ => found(Position::Unknown, format!("there is no step {undone} to undo")),
        },
        _ if step.phase == Phase::Contain && !step.verify.is_empty() => by_checks(&step.verify, ctx).await,
        action => found(Position::NotDone, format!("a {} step is known by this run's log only", action.word())),
    }
}

fn words(failure: &crate::failure::Failure) -> String {
    check::NoAnswer::from(failure.clone()).words()
}

async fn by_checks(checks: &[CheckRef], ctx: &Context) -> Found {
    let (mut red, mut unknown) = (Vec::new(), Vec::new());
    let asked = checks.iter().map(|check| async move {
        match check {
            CheckRef::ServiceGone(service) => check::service_gone(service, ctx).await,
            CheckRef::Check(name) => match ctx.runbook.checks.get(name) {
                Some(check) => check::ask(check, ctx, Depth::Parse).await,
                None => check::Answer::unknown("no such check"),
            },
        }
    });
    for (check, answer) in checks.iter().zip(join_all(asked).await) {
        match answer.verdict {
            // One look shows no length of time: a crash-looping group is empty now and then.
            Verdict::Pass if waits(check, ctx) => {
                unknown.push(format!("{check} is green, but one look cannot tell that it stays so"))
            }
            Verdict::Pass => {}
            Verdict::Fail => red.push(check.to_string()),
            Verdict::Unknown { because } => unknown.push(format!("{check}: {because}")),
        }
    }
    match (red.is_empty(), unknown.is_empty()) {
        (false, _) => found(Position::NotDone, format!("red: {}", red.join(", "))),
        (true, false) => found(Position::Unknown, unknown.join("; ")),
        (true, true) => {
            let names: Vec<String> = checks.iter().map(ToString::to_string).collect();
            found(Position::Done, format!("green: {}", names.join(", ")))
        }
    }
}

fn waits(check: &CheckRef, ctx: &Context) -> bool {
    let CheckRef::Check(name) = check else { return false };
    ctx.runbook.checks.get(name).is_some_and(|check| check.hold.is_some())
}

/// Which of its events stand in the topic.
async fn published(step: &Step, publish: &crate::runbook::Publish, ctx: &Context) -> Found {
    let Ok(items) = items(&step.id, &publish.from, ctx) else {
        return found(Position::NotDone, format!("{} is not there in this run", publish.from));
    };
    let events = match publish::prepare_events(&step.id, publish, &items, &Names::new(ctx)) {
        Ok(events) => events,
        Err(failure) => return found(Position::Unknown, words(&failure)),
    };
    if events.is_empty() {
        return found(Position::NotDone, format!("{} has no rows in this run", publish.from));
    }
    match there(step, publish, &events, ctx).await {
        Ok(n) if n == events.len() => found(Position::Done, format!("{} in {}", counted(n, "event"), publish.topic)),
        Ok(0) => found(Position::NotDone, format!("none of its events stands in {}", publish.topic)),
        Ok(n) => found(Position::HalfDone, format!("{n} of {} events stand in {}", events.len(), publish.topic)),
        Err(failure) => found(Position::Unknown, words(&failure)),
    }
}

async fn there(
    step: &Step,
    publish: &crate::runbook::Publish,
    events: &[publish::Event],
    ctx: &Context,
) -> crate::failure::Result<usize> {
    let connection = {
        let handle = ctx.targets.monitor(step.on.as_deref().unwrap_or_default()).await?;
        match &*handle {
            Handle::Kafka(connection) => connection.clone(),
            _ => return Err(prepare::refused(&step.id, "its target is not a Kafka cluster")),
        }
    };
    let wanted = events.iter().map(|event| event.item.clone()).collect();
    Ok(publish::scan(&connection, &publish.topic, &step.id, None, wanted).await?.len())
}
