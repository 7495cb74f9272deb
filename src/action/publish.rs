//! Publishing: one event per row, each exactly once, whatever dies in between.
//!
//! Owns the producer and the header scan. A producer transaction per step fences the producer of a dead process before
//! anything is looked at; what stands in the topic then is found by its headers, and only the rest is sent. Where the
//! cluster has no transactions the headers alone carry it, and the outcome says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::item::ItemScope;
use super::{Go, Item, Port, Report};
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::run::record::{Outcome, OutcomeResult, Point, Position};
use crate::runbook::Publish;
use crate::runbook::template::{Missing, Scope, render_value};
use crate::target::kafka::{Connection, blocking};
use crate::text::{counted, hex};

mod producer;
mod scan;

pub use producer::transactional_id;
pub use scan::scan;

use producer::Publisher;

/// Events that go to the library before cancelling is looked at again.
const CHUNK: usize = 500;

/// One event, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Stable over retries: stands in the header and is what the scan looks for.
    pub item: String,
    pub key: String,
    /// JSON.
    pub value: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

/// Everything that one publishing step sends.
#[derive(Debug, Clone)]
pub struct Job {
    pub run: String,
    pub step: String,
    pub topic: String,
    pub events: Vec<Event>,
}

/// Renders an event for each row.
///
/// # Errors
/// A row without the column of the key, or a name without a value.
pub fn prepare_events(step: &str, publish: &Publish, items: &[Item], outer: &dyn Scope) -> Result<Vec<Event>> {
    let mut seen = BTreeSet::new();
    items
        .iter()
        .map(|item| {
            let failed = |why: String| {
                Failure::new(Kind::RedCheck, format!("step {step}: no event can be made of row {}", item.row_key))
                    .cause(why)
            };
            if !seen.insert(&item.key) {
                return Err(failed("another row has the same key".to_owned()));
            }
            let scope = ItemScope { item, outer };
            let missing = |m: Missing| failed(m.to_string());
            let key = match item.ours.get(&publish.key) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => {
                    return Err(failed(format!("its column {}, the event's key, has no value", publish.key)));
                }
                Some(other) => other.to_string(),
            };
            let value = render_value(&publish.value, &scope).map_err(missing)?;
            let headers = (publish.headers.iter())
                .map(|(name, template)| Ok((name.clone(), template.render_text(&scope).map_err(missing)?)))
                .collect::<Result<_>>()?;
            Ok(Event {
                item: item.key.clone(),
                key,
                value: serde_json::to_vec(&value).map_err(|e| failed(e.to_string()))?,
                headers,
            })
        })
        .collect()
}

/// SHA-256 over keys, values and headers of all events in order, lower-case hex: what a gate asks consent to.
pub fn digest(events: &[Event]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for event in events {
        part(event.item.as_bytes());
        part(event.key.as_bytes());
        part(&event.value);
        for (name, value) in &event.headers {
            part(name.as_bytes());
            part(value.as_bytes());
        }
    }
    hex(&hash.finalize())
}

/// Sends what is not there yet. `resumed` is the data of the step's last `sent` point, if the log has one: of an
/// attempt that has been settled.
///
/// `sent` is reached before the first byte, with the topic's ends as they then stood: every event of this step lies
/// after them.
pub async fn perform(port: &Port, connection: &Connection, job: Job, resumed: Option<&Value>) -> Outcome {
    match attempt(port, connection, job, resumed).await {
        Ok(outcome) => outcome,
        // Nothing has been sent: the failure came before the point.
        Err(failure) => outcome(OutcomeResult::NotApplied, failure.to_string(), None),
    }
}

/// What stands in a topic of a step's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Not done: none of those that the attempt was to send.
    pub position: Position,
    pub events: u64,
    pub words: String,
}

/// After a crash: fences the dead producer, then looks which events are there. `job` holds every event of the step,
/// `sent` the data of the attempt's `sent` point.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn standing(connection: &Connection, job: &Job, sent: &Value) -> Result<Standing> {
    let ends = ends_of(sent, &job.topic)?;
    let publisher = fence(connection, job).await?;
    blocking(move || drop(publisher)).await?;
    let all = job.events.len();
    let count = |name: &str| sent.get(name).and_then(Value::as_u64).map_or(all, |n| usize::try_from(n).unwrap_or(all));
    // Where earlier attempts had published some, those may lie before the ends.
    let since = (count("events") == all).then_some(&ends);
    let found = scan(connection, &job.topic, &job.step, since, wanted(job)).await?;
    let (there, before) = (found.len(), all.saturating_sub(count("missing")));
    let position = match there {
        there if there == all => Position::Done,
        there if there == before => Position::NotDone,
        _ => Position::HalfDone,
    };
    Ok(Standing { position, events: there as u64, words: format!("{there} of {all} events stand in {}", job.topic) })
}

async fn fence(connection: &Connection, job: &Job) -> Result<Publisher> {
    let (connection, run, step) = (connection.clone(), job.run.clone(), job.step.clone());
    blocking(move || Publisher::open(&connection, &run, &step)).await?
}

async fn attempt(port: &Port, connection: &Connection, job: Job, resumed: Option<&Value>) -> Result<Outcome> {
    let mut publisher = fence(connection, &job).await?;
    let (ends, found) = match resumed {
        Some(data) => {
            let ends = ends_of(data, &job.topic)?;
            let found = scan(connection, &job.topic, &job.step, Some(&ends), wanted(&job)).await?;
            (ends, found)
        }
        None => {
            let marks = connection.marks(&job.topic).await?;
            (marks.into_iter().map(|(partition, marks)| (partition, marks.end)).collect(), BTreeSet::new())
        }
    };
    let (all, there) = (job.events.len() as u64, found.len() as u64);
    let missing: Vec<Event> = job.events.into_iter().filter(|event| !found.contains(&event.item)).collect();
    if missing.is_empty() {
        blocking(move || drop(publisher)).await?;
        return Ok(outcome(OutcomeResult::Applied, format!("all {all} events stand in {}", job.topic), Some(all)));
    }
    let fenced = publisher.without_transactions.clone();
    let data = json!({
        "topic": job.topic,
        "ends": ends.iter().map(|(p, end)| (p.to_string(), Value::from(*end))).collect::<serde_json::Map<_, _>>(),
        "events": all,
        "missing": missing.len(),
        "transaction": fenced.is_none(),
    });
    if port.reached(Point::Sent, data).await == Go::Stop {
        blocking(move || drop(publisher)).await?;
        let result = if there == 0 { OutcomeResult::NotApplied } else { OutcomeResult::Unknown };
        return Ok(outcome(result, format!("stopped; {there} of {all} events stand in {}", job.topic), Some(there)));
    }
    let of = missing.len();
    let mut events = missing.into_iter();
    let mut done = 0;
    loop {
        let chunk: Vec<Event> = events.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        let cancelled = *port.cancel.borrow();
        let (topic, run, step, n) = (job.topic.clone(), job.run.clone(), job.step.clone(), chunk.len());
        let tried = blocking(move || {
            let sent = if cancelled {
                Err(Failure::new(Kind::Held, "cancelled"))
            } else {
                publisher.send(&topic, &run, &step, &chunk)
            };
            (publisher, sent)
        })
        .await;
        let Ok((back, sent)) = tried else {
            return Ok(lost());
        };
        publisher = back;
        if let Err(failure) = sent {
            let Ok(undone) = blocking(move || publisher.give_up()).await else {
                return Ok(lost());
            };
            return Ok(broken_off(&failure, undone, there, all));
        }
        done += n;
        port.tell(Report::Progressed { done: done as u64, of: Some(of as u64) }).await;
    }
    let Ok(committed) = blocking(move || publisher.finish()).await else {
        return Ok(lost());
    };
    Ok(match committed {
        Ok(()) => {
            let how = match fenced {
                None => "in one transaction".to_owned(),
                Some(why) => format!("without a transaction: {why}"),
            };
            let before = if there > 0 { format!(", {there} stood there before") } else { String::new() };
            outcome(OutcomeResult::Applied, format!("{} acknowledged {how}{before}", counted(of, "event")), Some(all))
        }
        Err(failure) => outcome(OutcomeResult::Unknown, failure.to_string(), None),
    })
}

/// Past the point of no return, a thread that died says nothing about what it had done.
fn lost() -> Outcome {
    outcome(OutcomeResult::Unknown, "the producer's thread ended early".to_owned(), None)
}

/// `undone`: the transaction is known to be aborted, or nothing had been acknowledged or was under way.
fn broken_off(failure: &Failure, undone: Result<()>, there: u64, all: u64) -> Outcome {
    match undone {
        Ok(()) if there == 0 => {
            outcome(OutcomeResult::NotApplied, format!("{failure}; nothing was published"), Some(0))
        }
        Ok(()) => outcome(
            OutcomeResult::Unknown,
            format!("{failure}; {there} of {all} events were there before, none was added"),
            Some(there),
        ),
        Err(left) => outcome(OutcomeResult::Unknown, format!("{failure}; {left}"), None),
    }
}

fn wanted(job: &Job) -> BTreeSet<String> {
    job.events.iter().map(|event| event.item.clone()).collect()
}

fn ends_of(data: &Value, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let broken = || Failure::new(Kind::AuditBroken, format!("the log holds no ends of topic {topic} for this step"));
    if data.get("topic").and_then(Value::as_str) != Some(topic) {
        return Err(broken());
    }
    let ends = data.get("ends").and_then(Value::as_object).ok_or_else(broken)?;
    ends.iter()
        .map(|(partition, end)| Ok((partition.parse().map_err(|_| broken())?, end.as_i64().ok_or_else(broken)?)))
        .collect()
}

fn outcome(result: OutcomeResult, evidence: String, changed: Option<u64>) -> Outcome {
    Outcome { changed, ..Outcome::new(result, evidence) }
}

/// The headers of an event: what the author wrote, then ours, which nobody may replace.
fn headers<'a>(run: &'a str, step: &'a str, event: &'a Event) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = [(names::HEADER_RUN, run), (names::HEADER_STEP, step), (names::HEADER_ITEM, event.item.as_str())];
    let authors = event.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    authors.filter(|(name, _)| !name.starts_with("backout-")).chain(own)
}
