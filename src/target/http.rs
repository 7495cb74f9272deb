//! HTTP requests: how they leave, and what comes back.
//!
//! Owns the limits: time, size of an answer, no redirect followed, and in a rehearsal nothing but loopback. Never
//! judges a status.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};
use serde_json::Value;

use super::Access;
use super::wire::is_loopback;
use crate::failure::{Failure, Kind, Result};
use crate::text::{Secret, Shown, multiline, scrub};

/// Bytes kept of an answer.
pub const BODY: usize = 64 * 1024;

/// Stands in the request of a batch, under the name that payment providers and others read.
pub const IDEMPOTENCY: &str = "idempotency-key";

/// One request, rendered and admitted.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
    secrets: Vec<Secret>,
    loopback_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// As text, at most [`BODY`] bytes.
    pub body: String,
    /// There was more than that.
    pub cut: bool,
}

impl Response {
    /// JSON, where the body is that; else its text.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| Value::String(self.body.trim().to_owned()))
    }
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Nothing of it has left: the connection was never made.
    pub unsent: bool,
    pub failure: Failure,
}

impl Request {
    /// # Errors
    /// Not a URL of http or https, a method or header that is none, another machine in a rehearsal or, in the clear, on
    /// production.
    pub fn new(
        access: &Access,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Option<String>,
    ) -> Result<Self> {
        let secrets = secrets(access);
        let shown = Shown::new(&without_user(&scrub(url, &secrets)));
        let refuse = |kind: Kind, why: &str| Failure::new(kind, format!("the request to {shown} {why}"));
        let url = Url::parse(url).map_err(|e| refuse(Kind::Runbook, "has no usable address").cause(e))?;
        let host = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(refuse(Kind::Runbook, "is neither http nor https"));
        }
        let loopback_only = access.stand_ins.is_some();
        if loopback_only && !is_loopback(host) {
            return Err(refuse(Kind::Refused, "would leave this machine, and this is a rehearsal")
                .hint("give it a loopback address in the rehearsal's environment"));
        }
        if url.scheme() == "http" && !is_loopback(host) && !access.insecure_tls {
            return Err(refuse(Kind::Target, "would not be encrypted")
                .hint("use https, or pass --insecure-tls, which is recorded"));
        }
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .map_err(|e| refuse(Kind::Runbook, "has no usable method").cause(e))?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let bad =
                |e: String| refuse(Kind::Runbook, &format!("has an unusable header {}", Shown::new(name))).cause(e);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| bad(e.to_string()))?;
            let value = HeaderValue::from_str(value).map_err(|e| bad(e.to_string()))?;
            map.insert(name, value);
        }
        Ok(Self { method, url, headers: map, body, secrets, loopback_only })
    }

    /// The same request with a key that names it, unless the author wrote one.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        if let (false, Ok(value)) = (self.headers.contains_key(IDEMPOTENCY), HeaderValue::from_str(key)) {
            self.headers.insert(IDEMPOTENCY, value);
        }
        self
    }

    /// Whether `key` leaves with it, in a header, the address or the body.
    pub fn carries(&self, key: &str) -> bool {
        self.headers.values().any(|value| value.as_bytes() == key.as_bytes())
            || self.url.as_str().contains(key)
            || self.body.as_ref().is_some_and(|body| body.contains(key))
    }

    /// GET and HEAD change nothing.
    pub fn reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// `POST https://psp.example/refunds`, then its body: what a gate shows. Header values are not shown.
    pub fn rendered(&self) -> Vec<String> {
        let mut lines = vec![self.words()];
        lines.extend(self.headers.keys().map(|name| format!("{name}: …")));
        lines.extend(self.body.iter().map(|body| scrub(body, &self.secrets)));
        lines
    }

    fn words(&self) -> String {
        format!("{} {}", self.method, scrub(&without_user(self.url.as_str()), &self.secrets))
    }

    /// Sends it and reads the answer, all within `limit`.
    ///
    /// # Errors
    /// No answer; says whether the request can have arrived.
    pub async fn send(&self, limit: Duration) -> std::result::Result<Response, Unanswered> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Kind::Target, format!("{} got no answer", self.words()))
                .cause(scrub(&error.to_string(), &self.secrets))
        };
        let unanswered = |error: reqwest::Error| {
            let unsent = error.is_builder() || error.is_connect();
            let mut failure = failed(&error.without_url());
            if unsent {
                failure = failure.hint("is it running, and is the address right?");
            }
            Unanswered { unsent, failure }
        };
        let mut client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(limit.min(Duration::from_secs(5)))
            .timeout(limit)
            .user_agent("backout");
        if self.loopback_only {
            client = client.no_proxy();
        }
        let client = client.build().map_err(unanswered)?;
        let mut request = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let mut response = request.send().await.map_err(|e| {
            let mut source: &dyn std::error::Error = &e;
            while let Some(next) = source.source() {
                source = next;
            }
            let last = source.to_string();
            let mut unanswered = unanswered(e);
            unanswered.failure = unanswered.failure.cause(scrub(&last, &self.secrets));
            unanswered
        })?;
        let status = response.status().as_u16();
        let (mut body, mut cut) = (Vec::new(), false);
        // A status is an answer, even where its body breaks off.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        let body = scrub(&String::from_utf8_lossy(&body), &self.secrets);
        let lines: Vec<String> = multiline(&body).into_iter().map(Shown::into_string).collect();
        Ok(Response { status, body: lines.join("\n"), cut })
    }
}

/// Values of the environment that are secrets: by the name they stand under, and passwords inside of addresses.
pub fn secrets(access: &Access) -> Vec<Secret> {
    const NAMES: [&str; 8] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "DSN", "AUTH", "COOKIE"];
    let mut secrets = Vec::new();
    for (name, value) in &access.env {
        let name = name.to_ascii_uppercase();
        // Shorter ones are no secrets, and without them nothing would stay readable.
        if value.len() >= 6 && NAMES.iter().any(|word| name.contains(word)) {
            secrets.push(Secret::new(value.as_str()));
        }
        if let Some((user, _)) = value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')) {
            secrets.push(Secret::new(value.as_str()));
            if let Some((_, password)) = user.split_once(':') {
                secrets.push(Secret::new(password));
            }
        }
        if let Some((_, rest)) = value.split_once("sasl.password=") {
            secrets.push(Secret::new(rest.split('&').next().unwrap_or(rest)));
        }
    }
    secrets
}

/// An address without the name and password that may stand in it.
fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            match rest[..host_end].rfind('@') {
                Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
                None => url.to_owned(),
            }
        }
        None => url.to_owned(),
    }
}
