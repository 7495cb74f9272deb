//! After a crash: did it happen?
//!
//! Owns the order of the evidence: a backend that still lives, the marker, the catalog. Never runs anything again, and
//! never concludes while the server may still be at work.

use std::time::Duration;

use serde_json::Value;

use super::transaction::outcome;
use super::{command, http, items, marker, position, publish};
use crate::check::{Context, Names, http as http_check};
use crate::run::gate::offer_digest;
use crate::run::record::{Offer, Outcome, OutcomeResult, Point, Position};
use crate::runbook::template::as_text;
use crate::runbook::{Action, Step};
use crate::sql::Dialect;
use crate::target::db::{Handle, text_bind};

mod evidence;

/// How long a backend of the crashed attempt is waited for.
const ORPHAN: Duration = Duration::from_secs(60);

/// What was found, in order, and what it means.
pub struct Settlement {
    pub evidence: Vec<(String, String)>,
    pub result: OutcomeResult,
    pub reason: String,
    pub outcome: Outcome,
}

struct Found {
    evidence: Vec<(String, String)>,
}

impl Found {
    fn say(&mut self, what: &str, finding: impl Into<String>) {
        self.evidence.push((what.to_owned(), finding.into()));
    }

    fn settled(self, result: OutcomeResult, reason: impl Into<String>) -> Settlement {
        let reason = reason.into();
        Settlement { evidence: self.evidence, result, outcome: outcome(result, reason.clone()), reason }
    }
}

/// Settles the open intent of a step from what the world shows. `reached`: the points that are in the log.
pub async fn settle(step: &Step, offer: Option<&Offer>, reached: &[(Point, Value)], ctx: &Context) -> Settlement {
    let mut found = Found { evidence: Vec::new() };
    let last = reached.last().map(|(point, _)| *point);
    found.say(
        "log",
        last.map_or("no point was reached".to_owned(), |point| format!("the last point reached is {point:?}")),
    );
    match &step.action {
        Action::Freeze(_) | Action::Reconcile { .. } => {
            return found.settled(OutcomeResult::NotApplied, "it only reads: read again");
        }
        Action::Manual(_) | Action::Decide(_) => {
            return found.settled(OutcomeResult::Applied, "the person's word stands in the log before its intent");
        }
        _ => {}
    }
    let Some(offer) = offer else {
        return found.settled(OutcomeResult::Unknown, "the log holds no offer to compare with");
    };
    let target = match offer.target.as_ref() {
        Some(target) if super::is_sql(ctx, &target.name) => target,
        _ => return elsewhere(step, offer, reached, found, ctx).await,
    };
    match ctx.targets.identity(&target.name).await {
        Err(failure) => {
            found.say("target", failure.to_string());
            return found.settled(OutcomeResult::Unknown, "the target cannot be asked");
        }
        Ok(now) if now.seen.identity != target.identity => {
            found.say("target", format!("it is {} now, and was {}", now.seen.identity, target.identity));
            return found.settled(OutcomeResult::Unknown, "another server answers: its missing marker proves nothing");
        }
        Ok(now) if now.standby => {
            found.say("target", "it is a standby");
            return found.settled(OutcomeResult::Unknown, "a standby may lag: its missing marker proves nothing");
        }
        Ok(now) => found.say("target", format!("the same: {}", now.seen.identity)),
    }
    in_database(step, offer, &target.name, last, reached, found, ctx).await
}

async fn in_database(
    step: &Step,
    offer: &Offer,
    target: &str,
    last: Option<Point>,
    reached: &[(Point, Value)],
    mut found: Found,
    ctx: &Context,
) -> Settlement {
    let named = |data: &&Value| data.get("pid").is_some();
    let opened = reached.iter().rev().map(|(_, data)| data).find(named);
    match orphan(opened, target, ctx).await {
        Ok(None) => found.say("orphan", "no backend of that attempt is left"),
        Ok(Some(words)) => {
            found.say("orphan", words);
            return found
                .settled(OutcomeResult::Unknown, "its backend is still there: end it, or wait and settle again");
        }
        Err(words) => {
            found.say("orphan", format!("cannot see: {words}"));
            return found.settled(OutcomeResult::Unknown, "nobody can tell whether its backend is still at work");
        }
    }
    if last.is_some_and(|point| point == Point::Begun) {
        return by_state(step, offer, found, ctx, opened.is_none()).await;
    }
    if offer.epoch.is_some() {
        let read = async {
            let mut handle = ctx.targets.monitor(target).await.map_err(|f| f.to_string())?;
            marker::read(&mut handle, &offer.run, &offer.step, offer.att).await.map_err(|e| e.words())
        };
        return match read.await {
            Ok(Some(digest)) if digest == offer_digest(offer) => {
                found.say("marker", "there, with this offer's digest");
                let mut settled = found.settled(OutcomeResult::Applied, "the marker is committed");
                settled.outcome.changed = changed_of(reached);
                settled.outcome.before_image = image_of(reached);
                settled
            }
            Ok(Some(_)) => {
                found.say("marker", "there, with another digest");
                found.settled(OutcomeResult::Unknown, "the marker belongs to another intent")
            }
            Ok(None) => {
                found.say("marker", "not there");
                found.settled(OutcomeResult::NotApplied, "no marker and no backend: the server has rolled it back")
            }
            Err(words) => {
                found.say("marker", format!("cannot be read: {words}"));
                found.settled(OutcomeResult::Unknown, "the marker cannot be read")
            }
        };
    }
    if last != Some(Point::Ready) {
        return found.settled(OutcomeResult::NotApplied, "no COMMIT was sent, and no backend is left");
    }
    by_state(step, offer, found, ctx, false).await
}

fn changed_of(reached: &[(Point, Value)]) -> Option<u64> {
    let ready = reached.iter().rev().find(|(point, _)| *point == Point::Ready)?;
    ready.1.get("changed")?.as_u64()
}

/// The images were on disk before the point was reached.
fn image_of(reached: &[(Point, Value)]) -> Option<String> {
    let ready = reached.iter().rev().find(|(point, _)| *point == Point::Ready)?;
    Some(ready.1.get("before_image")?.as_str()?.to_owned())
}

/// By the done-check. `under_way`: nobody can tell that nothing of the attempt is still at work.
async fn by_state(step: &Step, offer: &Offer, mut found: Found, ctx: &Context, under_way: bool) -> Settlement {
    let at = match evidence::of(step, offer, ctx) {
        Some(wanted) => wanted.wait(ctx).await,
        None if offer.undoes.is_some() => match ctx.runbook.steps.get(offer.undoes.as_deref().unwrap_or_default()) {
            Some(undone) => evidence::turned(position(undone, ctx).await),
            None => position(step, ctx).await,
        },
        None => position(step, ctx).await,
    };
    found.say("done-check", format!("{:?}: {}", at.position, at.because));
    match at.position {
        Position::Done => found.settled(OutcomeResult::Applied, "the done-check shows it"),
        // Not there may still come where somebody may still be at work.
        Position::NotDone if !under_way => found
            .settled(OutcomeResult::NotApplied, "the done-check shows that it is not there, and nothing is at work"),
        _ => found.settled(OutcomeResult::Unknown, "what is there does not tell: look, and say what happened"),
    }
}

/// Programs, requests, events: what no transaction of a database holds.
async fn elsewhere(
    step: &Step,
    offer: &Offer,
    reached: &[(Point, Value)],
    mut found: Found,
    ctx: &Context,
) -> Settlement {
    let Some((_, data)) = reached.last() else {
        return found.settled(OutcomeResult::NotApplied, "nothing was sent: no point was reached");
    };
    if let (Action::Publish(published), None) = (&step.action, &offer.undoes) {
        return match in_topic(step, published, data, ctx).await {
            Ok(outcome) => {
                found.say("topic", outcome.evidence.clone());
                let reason = match outcome.result {
                    OutcomeResult::Applied => "every event stands in the topic",
                    OutcomeResult::NotApplied => "the producer is fenced, and nothing of it stands in the topic",
                    OutcomeResult::Unknown => {
                        "some of it stands in the topic: say that it was not applied to send the rest"
                    }
                };
                let settled = found.settled(outcome.result, reason);
                Settlement { outcome, ..settled }
            }
            Err(words) => {
                found.say("topic", format!("cannot be asked: {words}"));
                found.settled(OutcomeResult::Unknown, "the topic cannot be asked")
            }
        };
    }
    match still_running(step, offer, ctx).await {
        Ok(left) if left.is_empty() => found.say("processes", "none of that attempt is left"),
        Ok(left) => {
            found.say("processes", format!("still running: {}", left.join(", ")));
            return found.settled(OutcomeResult::Unknown, "its program is still running: wait for it, or end it");
        }
        Err(words) => {
            found.say("processes", format!("cannot see: {words}"));
            return found.settled(OutcomeResult::Unknown, "nobody can tell whether its program still runs");
        }
    }
    if step.each.is_some() && offer.undoes.is_none() {
        return match batch(step, ctx) {
            Ok(Batch::Done(n)) => {
                found.say("items", format!("all {n} have their end in the log"));
                let mut settled = found.settled(OutcomeResult::Applied, "every item is done");
                settled.outcome.changed = Some(n);
                settled
            }
            Ok(Batch::Open(n)) => {
                found.say("items", format!("none was under way, {n} are open"));
                found.settled(OutcomeResult::NotApplied, "what is done stands: going on does what is open")
            }
            Ok(Batch::UnderWay { key, repeatable: true }) => {
                found.say("item", format!("{key} was under way, and carries its key"));
                let reason = "the receiver knows a repetition by its key: going on does what is open";
                found.settled(OutcomeResult::NotApplied, reason)
            }
            Ok(Batch::UnderWay { key, repeatable: false }) => {
                found.say("item", format!("{key} was under way, and carries no key"));
                found.settled(OutcomeResult::Unknown, "one item may have happened: look, and say whether it did")
            }
            Err(words) => {
                found.say("items", words);
                found.settled(OutcomeResult::Unknown, "the items cannot be read")
            }
        };
    }
    by_state(step, offer, found, ctx, false).await
}

async fn in_topic(
    step: &Step,
    published: &crate::runbook::Publish,
    sent: &Value,
    ctx: &Context,
) -> Result<Outcome, String> {
    let rows = items(&step.id, &published.from, ctx).map_err(|f| f.to_string())?;
    let events = publish::prepare_events(&step.id, published, &rows, &Names::new(ctx)).map_err(|f| f.to_string())?;
    let handle = ctx.targets.monitor(step.on.as_deref().unwrap_or_default()).await.map_err(|f| f.to_string())?;
    let Handle::Kafka(connection) = &*handle else { return Err("its target is not a Kafka cluster".to_owned()) };
    let connection = connection.clone();
    drop(handle);
    let (run, topic) = (ctx.access.run.clone(), published.topic.clone());
    let job = publish::Job { run, step: step.id.clone(), topic, events };
    publish::settle(&connection, &job, sent).await.map_err(|f| f.to_string())
}

/// What the log says of the items of a batch.
enum Batch {
    Done(u64),
    Open(usize),
    UnderWay {
        key: String,
        /// Its program or request carries the key by which the receiver knows a repetition.
        repeatable: bool,
    },
}

fn batch(step: &Step, ctx: &Context) -> Result<Batch, String> {
    let each = step.each.as_ref().ok_or("the step has no items")?;
    let rows = items(&step.id, &each.set, ctx).map_err(|f| f.to_string())?;
    let under_way = ctx.begun.get(&step.id).and_then(|data| data.get("item")?.as_str());
    if let Some(key) = under_way {
        let rows: Vec<_> = rows.into_iter().filter(|item| item.key == key).collect();
        return Ok(Batch::UnderWay { key: key.to_owned(), repeatable: repeatable(step, &rows, ctx)? });
    }
    let done = ctx.items.get(&step.id);
    let is_open = |item: &&super::Item| done.and_then(|done| done.get(&item.key)).is_none_or(|item| !item.ok);
    Ok(match rows.iter().filter(is_open).count() {
        0 => Batch::Done(rows.len() as u64),
        open => Batch::Open(open),
    })
}

fn repeatable(step: &Step, rows: &[super::Item], ctx: &Context) -> Result<bool, String> {
    let names = Names::new(ctx);
    let known = match &step.action {
        Action::Command { argv } => {
            let calls = command::render_each(argv, rows, &names).map_err(|f| f.to_string())?;
            calls.first().map(|call| call.idempotent)
        }
        Action::Http(request) => {
            let base = http_check::base(step.on.as_deref(), ctx).map_err(|f| f.to_string())?;
            let base = base.as_ref().map(crate::text::Secret::expose);
            let calls = http::render_each(request, base, rows, &names, &ctx.access).map_err(|f| f.to_string())?;
            calls.first().map(|call| call.idempotent)
        }
        _ => None,
    };
    known.ok_or_else(|| "the item that was under way is not in its set any more".to_owned())
}

/// Processes of the attempt, after waiting a while for them to end.
async fn still_running(step: &Step, offer: &Offer, ctx: &Context) -> Result<Vec<String>, String> {
    let began = tokio::time::Instant::now();
    loop {
        let left = command::survivors(&ctx.access, &step.id, offer.att).map_err(|error| error.to_string())?;
        if left.is_empty() || began.elapsed() >= ORPHAN {
            return Ok(left.iter().map(|pid| format!("pid {pid}")).collect());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Words on a backend of the crashed attempt that still lives; waits a while for the server to notice.
async fn orphan(opened: Option<&Value>, target: &str, ctx: &Context) -> Result<Option<String>, String> {
    let Some(opened) = opened else { return Ok(None) };
    let (Some(pid), Some(start)) = (opened.get("pid"), opened.get("backend_start")) else { return Ok(None) };
    let began = tokio::time::Instant::now();
    loop {
        let row = {
            let mut handle = ctx.targets.monitor(target).await.map_err(|f| f.to_string())?;
            if !matches!(&*handle, Handle::Postgres(_)) || handle.dialect() != Some(Dialect::Postgres) {
                return Ok(None);
            }
            let sql = "select coalesce(state, 'state not visible') as state, coalesce(left(query, 80), '') as query
                       from pg_stat_activity where pid = $1::bigint and backend_start = $2::timestamptz";
            let binds = vec![text_bind(as_text(pid)), text_bind(as_text(start))];
            handle.read(sql, binds).await.map_err(|error| error.words())?.into_iter().next()
        };
        let Some(row) = row else { return Ok(None) };
        if began.elapsed() >= ORPHAN {
            let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
            return Ok(Some(format!("pid {} is {}: {}", as_text(pid), text("state"), text("query"))));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
