//! `doctor`: what a target has for backout, `--install` to create what is missing, `--sql` for whoever does that by hand,
//! and `--fingerprint` to print its catalog for a `like` check.

use std::io::{self, Write};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::failure::{Failure, Kind, Result};
use crate::run::record::Environment;
use crate::runbook::Runbook;
use crate::survey::has_identity;
use crate::target::{Targets, tables};
use crate::text::Shown;

use super::session::{Open, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    open: Open,
    /// Create the tables for claims, markers and before-images
    #[arg(long)]
    install: bool,
    /// Print what --install would run on this target, for its administrator; connects to nothing
    #[arg(long, value_name = "TARGET", conflicts_with_all = ["install", "fingerprint"])]
    sql: Option<String>,
    /// Print the catalog of this target, one object a line: what a `like` check compares with
    #[arg(long, value_name = "TARGET", conflicts_with = "install")]
    fingerprint: Option<String>,
}

/// Exit 0 when every target answers and has its tables, 8 otherwise.
pub async fn run(args: Args) -> Result<u8> {
    let session = Session::open(&args.open)?;
    if let Some(target) = &args.sql {
        return sql(target, &session.runbook);
    }
    let access = Arc::new(session.access("doctor", std::path::Path::new("")));
    let runbook = Arc::new(session.runbook);
    let targets = Targets::new(runbook.clone(), access);
    let named: Vec<_> = runbook.targets.values().filter(|target| has_identity(target.kind)).collect();
    if let Some(target) = &args.fingerprint {
        return fingerprint(target, &targets).await;
    }
    if args.install {
        for target in named.iter().filter(|target| target.kind.dialect().is_some()) {
            let mut handle = targets.dedicated(&target.name, "backout/doctor").await?;
            crate::action::marker::install(&mut handle).await?;
        }
    }
    // All at once: those that do not answer take their time together.
    let identities = join_all(named.iter().map(|target| targets.identity(&target.name))).await;
    let mut lines = Vec::new();
    let mut whole = true;
    for (target, identity) in named.into_iter().zip(identities) {
        match identity {
            Ok(identity) => {
                let environment = match identity.environment {
                    Environment::Production => "production",
                    Environment::Rehearsal => "declares itself a rehearsal",
                };
                let needs_tables = target.kind.dialect().is_some();
                let tables = match (needs_tables, identity.has_marker, &identity.lacks) {
                    (false, ..) => String::new(),
                    (true, true, _) => " · tables there".to_owned(),
                    (true, false, Some(lacks)) => format!(" · RIGHTS MISSING: {lacks}"),
                    (true, false, None) => {
                        " · TABLES MISSING: run with --install, or give the DBA what --sql prints".to_owned()
                    }
                };
                whole &= !needs_tables || identity.has_marker;
                let sees = if needs_tables && !identity.sees_sessions { " · cannot see other sessions" } else { "" };
                let seen = &identity.seen;
                lines.push(format!(
                    "{:<10} {} · {} · {environment}{tables}{sees}",
                    target.name, seen.server, seen.words
                ));
            }
            Err(failure) => {
                whole = false;
                let because = failure.causes.first().map(|words| format!(": {words}")).unwrap_or_default();
                lines.push(format!("{:<10} DOWN {}{because}", target.name, failure.message));
            }
        }
    }
    let mut out = io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{}", Shown::new(line)));
    super::lint::quiet(written.map(|()| if whole { 0 } else { 8 }))
}

fn sql(target: &str, runbook: &Runbook) -> Result<u8> {
    let Some(found) = runbook.targets.get(target) else {
        let named: Vec<&str> = runbook.targets.keys().map(String::as_str).collect();
        return Err(Failure::new(Kind::Usage, format!("the runbook has no target {target}"))
            .hint(format!("its targets are {}", named.join(", "))));
    };
    let Some(dialect) = found.kind.dialect() else {
        return Err(Failure::new(Kind::Usage, format!("{target} is no database: backout keeps no tables there")));
    };
    let mut out = io::stdout().lock();
    let mut print = || {
        tables::statements(dialect).iter().try_for_each(|statement| writeln!(out, "{statement};"))?;
        let rights = tables::rights(dialect);
        if !rights.is_empty() {
            writeln!(out, "-- For the role that runs backout, unless it owns them:")?;
        }
        rights.iter().try_for_each(|right| writeln!(out, "-- {};", right.replace("{role}", "ROLE")))
    };
    super::lint::quiet(print().map(|()| 0))
}

async fn fingerprint(target: &str, targets: &Targets) -> Result<u8> {
    let mut handle = targets.monitor(target).await?;
    let lines = crate::check::schema::fingerprint(&mut handle).await.map_err(|none| {
        Failure::new(Kind::Target, format!("the catalog of {target} cannot be read")).cause(none.words())
    })?;
    let mut out = io::stdout().lock();
    super::lint::quiet(lines.iter().try_for_each(|line| writeln!(out, "{}", Shown::new(line))).map(|()| 0))
}
