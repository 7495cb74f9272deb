//! `command`: a program, once or once per row.
//!
//! Owns the order of a batch: an item's begin is on disk before its program starts, its end before the next one begins.
//! An item of which nobody knows whether it happened stops the batch: it is settled by a person, or by an idempotency
//! key that the program is given.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Go, Item, Port, Report};
pub use crate::check::command::render;
use crate::check::command::{ATTEMPT, Ended, Finished, ITEM_KEY, admit, run};
use crate::failure::{Kind, Result};
use crate::run::record::{ItemDone, Outcome, OutcomeResult, Point};
use crate::runbook::Template;
use crate::runbook::template::Scope;
use crate::target::Access;

/// Failures in a row after which a batch stops: what fails so often fails for all.
const IN_A_ROW: u32 = 3;

/// Of a batch with items left open; what is done of it stands, item by item, in the log.
const OPEN: OutcomeResult = OutcomeResult::NotApplied;

/// One entry of a batch, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<T> {
    /// The item's key: stable over retries and runs.
    pub key: String,
    /// What it does; of a command, its argument vector.
    pub what: T,
    /// The request carries `key`, so the receiver knows a repetition.
    pub idempotent: bool,
}

/// What is known of a batch that had begun before: from the log.
#[derive(Debug, Clone, Default)]
pub struct Earlier<'a> {
    pub done: BTreeMap<String, ItemDone>,
    /// Data of the last `begun` (or `sent`) point, unless its item's end is known: what may have been under way.
    pub begun: Option<&'a Value>,
}

impl Earlier<'_> {
    /// The item that began and has no end.
    pub fn under_way(&self) -> Option<&str> {
        let item = self.begun?.get("item")?.as_str()?;
        self.done.get(item).is_none_or(|item| !item.ok).then_some(item)
    }
}

/// Renders the command for each row.
///
/// # Errors
/// A name without a value, with the row.
pub fn render_each(argv: &[Template], items: &[Item], outer: &dyn Scope) -> Result<Vec<Call<Vec<String>>>> {
    items
        .iter()
        .map(|item| {
            let scope = super::item::ItemScope { item, outer };
            let argv = render(argv, &scope).map_err(|f| f.cause(format!("row {}", item.row_key)))?;
            let idempotent = argv.iter().any(|arg| arg.contains(&item.key));
            Ok(Call { key: item.key.clone(), what: argv, idempotent })
        })
        .collect()
}

/// Starts the program once. `begun` is reached before it starts.
pub async fn perform(port: &Port, access: &Access, argv: &[String], limit: Duration) -> Outcome {
    let program = match admit(argv, access) {
        Ok(program) => program,
        Err(failure) => return outcome(OutcomeResult::NotApplied, failure.to_string(), None),
    };
    if port.reached(Point::Begun, json!({ "argv": argv })).await == Go::Stop {
        return outcome(OutcomeResult::NotApplied, "stopped before it started", None);
    }
    match run(&program, access, &[(ATTEMPT, &attempt(access, &port.step, port.att))], limit, port.cancel.clone()).await
    {
        // A program that could not be started did nothing.
        Err(failure) if failure.kind != Kind::Unknown => outcome(OutcomeResult::NotApplied, failure.to_string(), None),
        Err(failure) => outcome(OutcomeResult::Unknown, failure.to_string(), None),
        Ok(finished) => outcome(judged(&finished), finished.words(), None),
    }
}

/// Names one attempt of one step of one run.
fn attempt(access: &Access, step: &str, att: u32) -> String {
    format!("{}/{step}/{att}", access.run)
}

/// The processes of an attempt that outlived the one that started it: process ids.
///
/// # Errors
/// The list of processes cannot be read.
pub fn survivors(access: &Access, step: &str, att: u32) -> std::io::Result<Vec<u32>> {
    let wanted = format!("{ATTEMPT}={}", attempt(access, step, att));
    let carries = |environ: Vec<u8>| environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // What has ended meanwhile, or belongs to somebody else, cannot be read and is not ours.
    Ok(pids.filter(|pid: &u32| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(carries)).collect())
}

fn judged(finished: &Finished) -> OutcomeResult {
    match finished.end {
        Ended::Exit(0) => OutcomeResult::Applied,
        // By its own word it failed; what it changed before that, its verify tells.
        Ended::Exit(_) => OutcomeResult::NotApplied,
        Ended::Signal(_) | Ended::TimedOut | Ended::Cancelled => OutcomeResult::Unknown,
    }
}

/// Starts the program once for each call that is not done yet, one after the other.
pub async fn perform_each(
    port: &Port,
    access: &Access,
    calls: &[Call<Vec<String>>],
    earlier: &Earlier<'_>,
    pause: Duration,
    limit: Duration,
) -> Outcome {
    each(port, calls, earlier, pause, Point::Begun, |call| async move {
        let program = match admit(&call.what, access) {
            Ok(program) => program,
            Err(failure) => return (OutcomeResult::NotApplied, failure.to_string()),
        };
        let env = [(ITEM_KEY, call.key.as_str()), (ATTEMPT, &attempt(access, &port.step, port.att))];
        match run(&program, access, &env, limit, port.cancel.clone()).await {
            Err(failure) if failure.kind != Kind::Unknown => (OutcomeResult::NotApplied, failure.to_string()),
            Err(failure) => (OutcomeResult::Unknown, failure.to_string()),
            Ok(finished) => (judged(&finished), finished.words()),
        }
    })
    .await
}

/// The batch itself: for commands and for requests.
pub(super) async fn each<'c, T, W>(
    port: &Port,
    calls: &'c [Call<T>],
    earlier: &Earlier<'_>,
    pause: Duration,
    point: Point,
    perform: impl Fn(&'c Call<T>) -> W,
) -> Outcome
where
    W: Future<Output = (OutcomeResult, String)>,
{
    let of = calls.len() as u64;
    let is_done = |key: &str| earlier.done.get(key).is_some_and(|item| item.ok);
    let mut done = calls.iter().filter(|call| is_done(&call.key)).count() as u64;
    let under_way = earlier.under_way();
    if let Some(call) = calls.iter().find(|call| Some(call.key.as_str()) == under_way && !call.idempotent) {
        return outcome(
            OutcomeResult::Unknown,
            format!(
                "item {} had begun, and nobody knows whether it happened; it carries no key that would make a repetition safe",
                call.key
            ),
            Some(done),
        );
    }
    let (mut failed, mut in_a_row, mut first) = (0, 0, true);
    let mut last_failure = String::new();
    for call in calls.iter().filter(|call| !is_done(&call.key)) {
        if !std::mem::take(&mut first) && !rest(port, pause).await {
            return outcome(OPEN, format!("cancelled; {done} of {of} done, {failed} failed"), Some(done));
        }
        if port.reached(point, json!({ "item": call.key })).await == Go::Stop {
            return outcome(OPEN, format!("stopped; {done} of {of} done, {failed} failed"), Some(done));
        }
        let (result, detail) = perform(call).await;
        if result == OutcomeResult::Unknown {
            return outcome(
                OutcomeResult::Unknown,
                format!("item {}: {detail}; {done} of {of} done", call.key),
                Some(done),
            );
        }
        let ok = result == OutcomeResult::Applied;
        let item = ItemDone { key: call.key.clone(), ok, detail: detail.clone() };
        if ok {
            (done, in_a_row) = (done + 1, 0);
        } else {
            (failed, in_a_row) = (failed + 1, in_a_row + 1);
            last_failure = format!("; item {}: {detail}", call.key);
        }
        let go = port.item(item).await;
        port.tell(Report::Progressed { done, of: Some(of) }).await;
        if go == Go::Stop && done < of {
            return outcome(OPEN, format!("stopped; {done} of {of} done, {failed} failed{last_failure}"), Some(done));
        }
        if in_a_row >= IN_A_ROW {
            return outcome(
                OPEN,
                format!("stopped after {IN_A_ROW} failures in a row; {done} of {of} done{last_failure}"),
                Some(done),
            );
        }
    }
    if failed == 0 {
        outcome(OutcomeResult::Applied, format!("{done} of {of} done"), Some(done))
    } else {
        outcome(OPEN, format!("{done} of {of} done, {failed} failed{last_failure}"), Some(done))
    }
}

/// `false` when cancelled.
async fn rest(port: &Port, pause: Duration) -> bool {
    let mut cancel = port.cancel.clone();
    if *cancel.borrow() {
        return false;
    }
    let cancelled = async {
        if cancel.wait_for(|cancel| *cancel).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = cancelled => false,
    }
}

pub(super) fn outcome(result: OutcomeResult, evidence: impl Into<String>, changed: Option<u64>) -> Outcome {
    Outcome { result, evidence: evidence.into(), changed, changed_since: Vec::new(), before_image: None }
}
