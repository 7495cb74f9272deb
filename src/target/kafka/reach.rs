//! Whether a cluster can be reached: what librdkafka said of its connections, and who listens at the brokers' addresses.
//!
//! Owns the words of a lost connection. A call of the library to brokers that are not there takes its whole limit and
//! then says "timed out"; the system says at once that nobody listens, so it is asked first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use tokio::net::TcpStream;

/// Whether a broker has answered since a connection last failed: shared by all clients of one target.
#[derive(Debug, Clone, Default)]
pub struct Up(Arc<AtomicBool>);

impl Up {
    pub fn set(&self, up: bool) {
        self.0.store(up, Ordering::Release);
    }

    pub fn is(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Keeps what the library said last: calls themselves fail with no more than "timed out".
#[derive(Default)]
pub struct Words {
    last: Mutex<Option<String>>,
    up: Up,
}

impl Words {
    pub fn of(up: &Up) -> Self {
        Self { last: Mutex::default(), up: up.clone() }
    }

    /// The reason of the last lost or refused connection, if there was one since the last answer.
    pub fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A broker has answered: what was said of earlier connections is over.
    pub fn answered(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.up.set(true);
    }
}

impl ClientContext for Words {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, fac: &str, message: &str) {
        tracing::debug!(?level, fac, message, "librdkafka");
        // Why a connection failed stands nowhere else: the events of a consumer carry a bare code.
        if fac == "FAIL" {
            let reason = message.strip_prefix("[thrd:").and_then(|m| m.split_once("]: ")).map_or(message, |(_, m)| m);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
            self.up.set(false);
        }
    }
}

impl ConsumerContext for Words {}

/// Connects to each of `host:port,host:port` and hangs up; through as soon as one of them takes the connection.
///
/// # Errors
/// No broker does within `limit`: what the system said of each, with its address.
pub async fn listens(brokers: &str, limit: Duration) -> Result<(), Vec<String>> {
    let mut asked: FuturesUnordered<_> = brokers
        .split(',')
        .map(|broker| async move {
            match tokio::time::timeout(limit, TcpStream::connect(broker)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("{broker}: {error}")),
                Err(_) => Err(format!("{broker}: no connection within {} s", limit.as_secs())),
            }
        })
        .collect();
    let mut words = Vec::new();
    while let Some(found) = asked.next().await {
        match found {
            Ok(()) => return Ok(()),
            Err(why) => words.push(why),
        }
    }
    Err(words)
}
