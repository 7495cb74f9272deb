//! Declaring the sandbox's own targets a rehearsal, and asking a given one whether it does.
//!
//! Owns nothing of the form: that is the targets'. Never declares what the sandbox did not build or was not given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::failure::{Failure, Kind, Result};
use crate::run::record::Environment;
use crate::runbook::{Target, TargetKind};
use crate::target::{Access, Handle, Identity, kafka, postgres, sqlite, tables};

const NAME: &str = "of the rehearsal";
const APPLICATION: &str = "backout-sandbox";

fn access() -> Access {
    Access {
        env: BTreeMap::new(),
        run: String::new(),
        runbook: String::new(),
        incident: None,
        run_dir: PathBuf::new(),
        insecure_tls: false,
        stand_ins: None,
    }
}

fn target(kind: TargetKind, address: &str) -> Target {
    Target { name: NAME.to_owned(), kind, address: address.to_owned(), key: None }
}

/// Writes the declaration into the shop's database, and installs the tables that a DBA would have installed before.
pub async fn database(url: &str, nonce: &str) -> Result<()> {
    if url.starts_with("sqlite:") {
        let target = target(TargetKind::Sqlite, url);
        let mut connection = sqlite::Connection::open(&target, &access(), false).await?;
        sqlite::declare_rehearsal(&mut connection, nonce).await?;
        return tables::install(&mut Handle::Sqlite(connection)).await;
    }
    let target = target(TargetKind::Postgres, url);
    let mut connection = postgres::Connection::open(&target, &access(), APPLICATION, false).await?;
    postgres::declare_rehearsal(&mut connection, nonce).await?;
    tables::install(&mut Handle::Postgres(connection)).await
}

/// What a given database says that it is.
pub async fn given_database(url: &str) -> Result<Identity> {
    let target = target(TargetKind::Postgres, url);
    let mut connection = postgres::Connection::open(&target, &access(), APPLICATION, true).await?;
    connection.identity().await
}

/// Writes the declaration to the cluster.
pub async fn cluster(brokers: &str, nonce: &str) -> Result<()> {
    kafka::declare_rehearsal(brokers, nonce).await.map(|_| ())
}

/// What given brokers say that they are.
pub async fn given_cluster(brokers: &str) -> Result<Identity> {
    let target = target(TargetKind::Kafka, brokers);
    kafka::Connection::open(&target, &access())?.identity(NAME).await
}

/// # Errors
/// One of the groups has a live member: somebody else plays there.
pub async fn nobody_reads(brokers: &str, groups: &[&str]) -> Result<()> {
    let target = target(TargetKind::Kafka, brokers);
    let connection = kafka::Connection::open(&target, &access())?;
    for group in groups {
        let found = connection.describe_group(group).await?.filter(|found| !found.is_empty());
        if let Some(found) = found {
            let who =
                found.members.first().map_or_else(|| found.state.clone(), |m| format!("{}{}", m.client_id, m.host));
            let what = format!("Kafka at {brokers} is in use: group {group} is read by {who}");
            return Err(Failure::new(Kind::Target, what)
                .cause("a rehearsal would delete this group and its topic")
                .hint("end the other rehearsal first; one that was killed lets go within a minute"));
        }
    }
    Ok(())
}

/// # Errors
/// It is production: it does not declare itself a rehearsal, and it is not `empty` either.
pub fn admit(given: &Identity, empty: bool) -> Result<()> {
    if empty || given.environment == Environment::Rehearsal {
        return Ok(());
    }
    let what = format!("{} {} is production to a rehearsal", given.seen.server, given.seen.words);
    Err(Failure::new(Kind::Target, what)
        .cause("it is neither empty nor declares itself a rehearsal under its own identity, readable by this user")
        .hint("give one that exists for this rehearsal; nothing was changed"))
}
