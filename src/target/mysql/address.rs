//! The address of a MySQL or MariaDB target: what it may ask for, and why it could not be opened.
//!
//! Owns the decision on TLS. Never lets the address or the password into an error.

use std::str::FromStr;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::failure::{Failure, Kind, Result};
use crate::runbook::Target;
use crate::target::db::SqlError;
use crate::target::wire::{asked_tls, is_loopback, proves_nothing};

/// Reads the address and decides on TLS.
pub(super) fn options(target: &Target, address: &str, insecure_tls: bool) -> Result<MySqlConnectOptions> {
    let broken = || {
        Failure::new(Kind::Target, format!("the address of target {} is not a MySQL address", target.name))
            .hint("it has the form mysql://USER:PASSWORD@HOST:PORT/DATABASE; special characters are percent-encoded")
    };
    let address = match address.strip_prefix("mariadb://") {
        Some(rest) => format!("mysql://{rest}"),
        None => address.to_owned(),
    };
    if !address.starts_with("mysql://") {
        return Err(broken());
    }
    let options = MySqlConnectOptions::from_str(&address).map_err(|_| broken())?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(broken());
    }
    let host = options.get_host();
    let local = options.get_socket().is_some() || is_loopback(host);
    if local || insecure_tls {
        return Ok(options);
    }
    match asked_tls(&address) {
        None => Ok(options.ssl_mode(MySqlSslMode::VerifyIdentity)),
        Some(mode) if mode.eq_ignore_ascii_case("verify_identity") => {
            Ok(options.ssl_mode(MySqlSslMode::VerifyIdentity))
        }
        Some(mode) => Err(proves_nothing(target, "ssl-mode", mode, "use ssl-mode=VERIFY_IDENTITY (with ssl-ca=FILE)")),
    }
}

pub(super) fn refused(target: &Target, where_to: &str, error: &SqlError) -> Failure {
    let hint = match error.code.as_deref() {
        Some("1045" | "1698") => "look at the user and the password in the address",
        Some("1044" | "1049") => "look at the database name in the address, and at the user's rights on it",
        Some("1040" | "1203") => "the server has no connection left: end one, or raise max_connections",
        _ if error.message.starts_with("TLS") => "look at the server's certificate and at ssl-ca in the address",
        _ => "look at host and port in the address, and whether the server runs",
    };
    Failure::new(Kind::Target, format!("target {} at {where_to} cannot be opened", target.name))
        .cause(error.words())
        .hint(hint)
}
