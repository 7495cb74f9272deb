//! What connections to servers have in common, whichever SQL they speak: how long one may take to open or may be silent,
//! and what an address off this machine may ask of TLS.
//!
//! Never opens one by itself, and never lets an address into an error.

use std::time::Duration;

use super::db::SqlError;
use crate::failure::{Failure, Kind, Result};
use crate::runbook::Target;

const CONNECT: Duration = Duration::from_secs(5);

/// A connection that opens in time. `refused`: the server's words as the operator should read them.
pub(super) async fn opened<T>(
    target: &Target,
    where_to: &str,
    connecting: impl Future<Output = std::result::Result<T, sqlx::Error>>,
    refused: impl FnOnce(&Target, &str, &SqlError) -> Failure,
) -> Result<T> {
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(refused(target, where_to, &error.into())),
        Err(_) => Err(Failure::new(Kind::Target, format!("target {} does not answer", target.name))
            .cause(format!("no answer from {where_to} within {} s", CONNECT.as_secs()))
            .hint("look at the network, the port and the server's load")),
    }
}

/// One question to the server. A connection that is silent for longer than `limit` is lost.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    asked: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> Result<T, SqlError> {
    let Some(limit) = limit else { return asked.await.map_err(SqlError::from) };
    let silent = |_| SqlError {
        lost: true,
        ..SqlError::new(format!("the connection is silent: no answer within {} s", limit.as_secs()))
    };
    tokio::time::timeout(limit, asked).await.map_err(silent)?.map_err(SqlError::from)
}

/// What an address itself says of TLS.
pub(super) fn asked_tls(address: &str) -> Option<&str> {
    let (_, query) = address.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("sslmode=").or_else(|| pair.strip_prefix("ssl-mode=")))
}

/// Off this machine only a server that proves who it is will do.
pub(super) fn proves_nothing(target: &Target, setting: &str, mode: &str, hint: &str) -> Failure {
    let name = &target.name;
    let what = format!(
        "target {name} is off this machine and asks for {setting}={mode}, which proves nothing about the server"
    );
    Failure::new(Kind::Target, what).hint(format!("{hint}, or say --insecure-tls, which is recorded"))
}

/// `localhost`, 127.0.0.0/8, ::1: what cannot be off this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
