//! The `http` check: GET or HEAD, nothing else, so that asking changes nothing.

use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use super::{Answer, Context, Names};
use crate::failure::{Failure, Kind, Result};
use crate::runbook::expect::Verdict;
use crate::runbook::template::{Missing, Scope};
use crate::runbook::{Check, CheckKind, HttpRequest};
use crate::target::Access;
use crate::target::http::Request;
use crate::text::Secret;

/// What a check waits for its answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks an `http` check.
pub async fn ask(question: &Check, ctx: &Context) -> Answer {
    let CheckKind::Http(request) = &question.kind else {
        return Answer::unknown("it is no check over HTTP");
    };
    let rendered = base(question.on.as_deref(), ctx).and_then(|base| {
        let base = base.as_ref().map(Secret::expose);
        render(request, base, &Names::new(ctx), &ctx.access)
    });
    match rendered {
        Ok(rendered) => check(&rendered, request.status, question.expect.is_some(), LIMIT).await,
        Err(failure) => Finding::failed(&failure),
    }
    .judged(question, ctx)
}

/// The address of the target that a request is `on`.
///
/// # Errors
/// No such target, or a name in its address that is not set.
pub fn base(on: Option<&str>, ctx: &Context) -> Result<Option<Secret>> {
    on.map(|name| ctx.access.address(ctx.targets.target(name)?)).transpose()
}

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
pub async fn check(request: &Request, wanted: Option<u16>, expects: bool, limit: Duration) -> Finding {
    if !request.reads() {
        return Finding::unknown("a check sends GET or HEAD only");
    }
    let response = match request.send(limit).await {
        Ok(response) => response,
        Err(unanswered) => {
            return Finding::unknown(unanswered.failure.to_string().replace('\n', "; "));
        }
    };
    let fits = fits(wanted, response.status);
    let words = Some(format!("status {}", response.status));
    if expects && fits {
        if response.cut {
            return Finding::unknown("the answer is too long to be judged");
        }
        return Finding { value: Some(response.value()), words, verdict: None };
    }
    Finding {
        value: Some(Value::from(response.status)),
        words,
        verdict: Some(if fits { Verdict::Pass } else { Verdict::Fail }),
    }
}
