//! The `http` check: GET or HEAD, nothing else, so that asking changes nothing.

use std::time::Duration;

use serde_json::Value;

use super::kafka::Asked;
use crate::failure::{Failure, Kind, Result};
use crate::runbook::HttpRequest;
use crate::runbook::expect::Verdict;
use crate::runbook::template::{Missing, Scope};
use crate::target::Access;
use crate::target::http::Request;

/// The request with everything filled in. `base` is the address of the target that it is `on`: an address that begins
/// with `/` goes there.
///
/// # Errors
/// A name without a value, and what [`Request::new`] refuses.
pub fn render(request: &HttpRequest, base: Option<&str>, scope: &dyn Scope, access: &Access) -> Result<Request> {
    let missing = |m: Missing| Failure::new(Kind::RedCheck, "the request cannot be rendered").cause(m);
    let mut url = request.url.render_text(scope).map_err(missing)?;
    if url.starts_with('/')
        && let Some(base) = base
    {
        url = format!("{}{url}", base.trim_end_matches('/'));
    }
    let headers = (request.headers.iter())
        .map(|(name, value)| Ok((name.clone(), value.render_text(scope).map_err(missing)?)))
        .collect::<Result<Vec<_>>>()?;
    let body = request.body.as_ref().map(|body| body.render_text(scope).map_err(missing)).transpose()?;
    Request::new(access, &request.method, &url, &headers, body)
}

/// Whether a status is the one that was wanted; any 2xx where none was named.
pub fn fits(wanted: Option<u16>, status: u16) -> bool {
    wanted.map_or((200..300).contains(&status), |wanted| wanted == status)
}

/// Asks. Where an answer is expected, the body is the value (as JSON, where it is that); else the status is.
pub async fn check(request: &Request, wanted: Option<u16>, expects: bool, limit: Duration) -> Asked {
    if !request.reads() {
        return Asked::unknown("a check sends GET or HEAD only");
    }
    let response = match request.send(limit).await {
        Ok(response) => response,
        Err(unanswered) => return Asked::unknown(unanswered.failure.to_string().replace('\n', "; ")),
    };
    let fits = fits(wanted, response.status);
    let words = Some(format!("status {}", response.status));
    if expects && fits {
        if response.cut {
            return Asked::unknown("the answer is too long to be judged");
        }
        return Asked { value: Some(response.value()), words, verdict: None };
    }
    Asked {
        value: Some(Value::from(response.status)),
        words,
        verdict: Some(if fits { Verdict::Pass } else { Verdict::Fail }),
    }
}
