//! Evidence of what no transaction of a database holds: programs, requests, events.

use std::time::Duration;

use serde_json::Value;

use super::{Gathered, PATIENCE, done};
use crate::action::{Item, command, http, items, publish};
use crate::check::{Context, Names, http as http_check};
use crate::run::record::{Offer, Point};
use crate::run::settle::{Items, Left, Way};
use crate::runbook::{Action, Publish, Step};
use crate::target::db::Handle;

pub(super) async fn gather(
    step: &Step,
    offer: &Offer,
    reached: &[(Point, Value)],
    found: &mut Gathered,
    ctx: &Context,
) {
    let Some((_, sent)) = reached.last() else { return };
    if let (Way::Events, Action::Publish(published)) = (found.evidence.way, &step.action) {
        return match in_topic(step, published, sent, ctx).await {
            Ok(there) => {
                found.say("topic", there.words.clone());
                // A fenced producer sends nothing any more.
                found.evidence.left = Left::Nothing;
                found.evidence.done = Some(there.position);
                found.changed = Some(there.events);
            }
            Err(words) => found.say("topic", format!("cannot be asked: {words}")),
        };
    }
    let (left, words) = programs(step, offer, ctx).await;
    found.say("processes", words);
    found.evidence.left = left;
    if left != Left::Nothing {
        return;
    }
    if step.each.is_some() && offer.undoes.is_none() {
        batch(step, found, ctx);
    } else {
        found.done(&done::of(step, offer, ctx).await);
    }
}

async fn in_topic(step: &Step, published: &Publish, sent: &Value, ctx: &Context) -> Result<publish::Standing, String> {
    let rows = items(&step.id, &published.from, ctx).map_err(|f| f.to_string())?;
    let events = publish::prepare_events(&step.id, published, &rows, &Names::new(ctx)).map_err(|f| f.to_string())?;
    let handle = ctx.targets.monitor(step.on.as_deref().unwrap_or_default()).await.map_err(|f| f.to_string())?;
    let Handle::Kafka(connection) = &*handle else { return Err("its target is not a Kafka cluster".to_owned()) };
    let connection = connection.clone();
    drop(handle);
    let (run, topic) = (ctx.access.run.clone(), published.topic.clone());
    let job = publish::Job { run, step: step.id.clone(), topic, events };
    publish::standing(&connection, &job, sent).await.map_err(|f| f.to_string())
}

/// What the log says of the items, and whether the one under way may be repeated.
fn batch(step: &Step, found: &mut Gathered, ctx: &Context) {
    let (items, words) = match in_log(step, ctx) {
        Ok((items, words, changed)) => {
            found.changed = changed;
            (items, words)
        }
        Err(words) => (Items::Unreadable, words),
    };
    found.say("items", words);
    found.evidence.items = Some(items);
}

fn in_log(step: &Step, ctx: &Context) -> Result<(Items, String, Option<u64>), String> {
    let each = step.each.as_ref().ok_or("the step has no items")?;
    let rows = items(&step.id, &each.set, ctx).map_err(|f| f.to_string())?;
    let under_way = ctx.begun.get(&step.id).and_then(|data| data.get("item")?.as_str());
    if let Some(key) = under_way {
        let rows: Vec<_> = rows.into_iter().filter(|item| item.key == key).collect();
        let repeatable = repeatable(step, &rows, ctx)?;
        let row = rows.first().map(|item| format!(", row {}", item.row_key)).unwrap_or_default();
        let carries = if repeatable { "its key" } else { "no key" };
        return Ok((Items::UnderWay { repeatable }, format!("{key}{row} was under way, and carries {carries}"), None));
    }
    let done = ctx.items.get(&step.id);
    let is_open = |item: &&Item| done.and_then(|done| done.get(&item.key)).is_none_or(|item| !item.ok);
    Ok(match rows.iter().filter(is_open).count() {
        0 => (Items::Done, format!("all {} have their end in the log", rows.len()), Some(rows.len() as u64)),
        open => (Items::Open, format!("none was under way, {open} are open"), None),
    })
}

fn repeatable(step: &Step, rows: &[Item], ctx: &Context) -> Result<bool, String> {
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
async fn programs(step: &Step, offer: &Offer, ctx: &Context) -> (Left, String) {
    let began = tokio::time::Instant::now();
    loop {
        let left = match command::survivors(&ctx.access, &step.id, offer.att) {
            Ok(left) => left,
            Err(error) => return (Left::Unseen, format!("cannot see: {error}")),
        };
        if left.is_empty() {
            return (Left::Nothing, "none of that attempt is left".to_owned());
        }
        if began.elapsed() >= PATIENCE {
            let pids: Vec<String> = left.iter().map(|pid| format!("pid {pid}")).collect();
            return (Left::Something, format!("still running: {}", pids.join(", ")));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
