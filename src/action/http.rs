//! `http`: a request, once or once per row, each with a key that makes a repetition harmless where the receiver reads it.

use std::time::Duration;

use serde_json::json;

use super::command::{Call, Earlier, each, outcome};
use super::item::ItemScope;
use super::{Go, Item, Port};
use crate::check::http::{fits, render};
use crate::failure::Result;
use crate::run::record::{Outcome, OutcomeResult, Point};
use crate::runbook::HttpRequest;
use crate::runbook::template::Scope;
use crate::target::Access;
use crate::target::http::Request;
use crate::text::Shown;

/// A request for each row, with the row's key as `idempotency-key`.
///
/// # Errors
/// A name without a value, with the row, and what [`Request::new`] refuses.
pub fn render_each(
    request: &HttpRequest,
    base: Option<&str>,
    items: &[Item],
    outer: &dyn Scope,
    access: &Access,
) -> Result<Vec<Call<Request>>> {
    items
        .iter()
        .map(|item| {
            let scope = ItemScope { item, outer };
            let request =
                render(request, base, &scope, access).map_err(|f| f.cause(format!("row {}", item.row_key)))?;
            // Our header alone promises nothing: an author who writes the key says that the receiver reads it.
            let idempotent = request.reads() || request.carries(&item.key);
            Ok(Call { key: item.key.clone(), what: request.with_key(&item.key), idempotent })
        })
        .collect()
}

/// Sends it once. `sent` is reached before its bytes leave.
pub async fn perform(port: &Port, request: &Request, wanted: Option<u16>, limit: Duration) -> Outcome {
    if port.reached(Point::Sent, json!({ "request": request.rendered() })).await == Go::Stop {
        return outcome(OutcomeResult::NotApplied, "stopped before it was sent", None);
    }
    let (result, words) = sent(request, wanted, limit).await;
    outcome(result, words, None)
}

/// Sends the requests that are not done yet, one after the other.
pub async fn perform_each(
    port: &Port,
    calls: &[Call<Request>],
    earlier: &Earlier<'_>,
    wanted: Option<u16>,
    pause: Duration,
    limit: Duration,
) -> Outcome {
    each(port, calls, earlier, pause, Point::Sent, |call| sent(&call.what, wanted, limit)).await
}

async fn sent(request: &Request, wanted: Option<u16>, limit: Duration) -> (OutcomeResult, String) {
    match request.send(limit).await {
        Ok(response) if fits(wanted, response.status) => {
            (OutcomeResult::Applied, format!("status {}", response.status))
        }
        Ok(response) => {
            let said = response.body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let words = format!("status {}: {}", response.status, Shown::capped(said, 200));
            // A refusal is an answer; a server that broke down may have done it first.
            let refused = (300..500).contains(&response.status) && !matches!(response.status, 408 | 409);
            (if refused { OutcomeResult::NotApplied } else { OutcomeResult::Unknown }, words)
        }
        Err(unanswered) => {
            let result = if unanswered.unsent { OutcomeResult::NotApplied } else { OutcomeResult::Unknown };
            (result, unanswered.failure.to_string())
        }
    }
}
