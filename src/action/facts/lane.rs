//! A connection of its own for some of a gate's questions, or for those beside a statement under way, so that a slow
//! one keeps no other waiting.
//!
//! Never writes, and never waits longer than a gate may.

use std::time::Duration;

use serde_json::Value;

use crate::check::Context;
use crate::runbook::template::{Bind, as_text};
use crate::sql::Server;
use crate::target::db::{Handle, Row, text_bind};
use crate::text::in_one_line;

/// Of one question, on the server. A lock that is not to be had at once is an answer, too.
const ANSWER_MS: u64 = 1_000;
const LOCK_MS: u64 = 100;
/// Beyond the server's own limits only a dead network keeps a question waiting.
const SILENCE: Duration = Duration::from_secs(3);

/// Or why it could not be opened.
pub struct Lane(Result<Handle, String>);

impl Lane {
    /// `what`: what the server lists it as.
    pub async fn open(target: &str, what: &str, ctx: &Context) -> Self {
        let opened = async {
            let mut handle = ctx.targets.reader(target, what).await.map_err(|failure| {
                let mut words = vec![failure.message];
                words.extend(failure.causes);
                words.join(": ")
            })?;
            let limits = match &handle {
                Handle::Postgres(_) => {
                    vec![format!("set statement_timeout = {ANSWER_MS}"), format!("set lock_timeout = {LOCK_MS}")]
                }
                // A lock's limit is in seconds; MySQL has none below one.
                Handle::Mysql(connection) => match connection.server {
                    Server::MariaDb(_) => vec![
                        format!("set session max_statement_time = {}", ANSWER_MS / 1000),
                        "set session lock_wait_timeout = 0".to_owned(),
                    ],
                    Server::Mysql(_) => vec![
                        format!("set session max_execution_time = {ANSWER_MS}"),
                        "set session lock_wait_timeout = 1".to_owned(),
                    ],
                    _ => Vec::new(),
                },
                Handle::Sqlite(_) | Handle::Kafka(_) => Vec::new(),
            };
            for sql in limits {
                handle.run(sql, vec![]).await.map_err(|error| error.words())?;
            }
            Ok(handle)
        };
        Self(tokio::time::timeout(SILENCE, opened).await.unwrap_or_else(|_| Err(silent())))
    }

    /// # Errors
    /// Why there is no answer, in the server's words.
    pub async fn ask(&mut self, sql: &str, binds: &[&str]) -> Result<Vec<Row>, String> {
        let binds = binds.iter().map(|bind| text_bind(*bind)).collect();
        self.put(Question::Bound(sql, binds)).await
    }

    /// What MySQL and MariaDB do not let everybody prepare.
    ///
    /// # Errors
    /// As [`Lane::ask`].
    pub async fn told(&mut self, sql: &'static str) -> Result<Vec<Row>, String> {
        self.put(Question::Plain(sql)).await
    }

    async fn put(&mut self, question: Question<'_>) -> Result<Vec<Row>, String> {
        let handle = self.0.as_mut().map_err(|words| words.clone())?;
        let asked = async {
            match (question, handle) {
                (Question::Bound(sql, binds), handle) => handle.read(sql, binds).await,
                (Question::Plain(sql), Handle::Mysql(connection)) => connection.told(sql).await,
                (Question::Plain(sql), handle) => handle.read(sql, vec![]).await,
            }
        };
        match tokio::time::timeout(SILENCE, asked).await {
            Ok(answered) => answered.map_err(|error| in_one_line(&error.words()).into_string()),
            Err(_) => {
                self.0 = Err(silent());
                Err(silent())
            }
        }
    }

    /// MySQL and MariaDB: what makes a session `p` of the process list this one, as SQL.
    pub fn known_by(&self) -> String {
        match &self.0 {
            Ok(Handle::Mysql(connection)) => connection.known_by(),
            _ => "''".to_owned(),
        }
    }
}

enum Question<'a> {
    Bound(&'a str, Vec<Bind>),
    Plain(&'static str),
}

fn silent() -> String {
    format!("no answer within {} s", SILENCE.as_secs())
}

/// A column as text; empty where it is NULL.
pub fn text(row: &Row, name: &str) -> String {
    row.get(name).filter(|value| !value.is_null()).map(as_text).unwrap_or_default()
}

/// A column as a number, where it is one.
pub fn number(row: &Row, name: &str) -> Option<i64> {
    row.get(name).and_then(Value::as_i64)
}

/// Seconds as they are said of what goes on.
pub fn lasting(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
