//! What the facts of a gate cost on a database of many tables, indexes and sessions.

use std::time::{Duration, Instant};

use backout::action;
use backout::run::record::Environment;

use crate::Figure;
use crate::database::Database;

const SESSIONS: usize = 200;
const ROUNDS: usize = 20;

const RUNBOOK: &str = r#"
backout: 1
name: facts
title: One of many tables
targets:
  db: { postgres: "${BENCH_URL}" }
steps:
  - id: rename
    on: db
    title: Another name for the column
    ddl: |
      ALTER TABLE t2500 RENAME COLUMN b TO c
"#;

pub fn gate() -> Figure {
    let Some(database) = Database::crowded("facts") else { return Figure::Skipped("no server given") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measured(&database))
}

async fn measured(database: &Database) -> Figure {
    let context = database.context(RUNBOOK);
    // Half of them in a transaction, with locks.
    let mut sessions = Vec::new();
    for n in 0..SESSIONS {
        let mut session = context.targets.dedicated("db", "app").await.unwrap();
        if n % 2 == 0 {
            session.run("begin", vec![]).await.unwrap();
            session.one(format!("select count(*) from t{}", n + 1), vec![]).await.unwrap();
        }
        sessions.push(session);
    }
    let step = &context.runbook.steps["rename"];
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let prepared = action::prepare(step, 1, false, Environment::Production, &context).await;
        let prepared = prepared.unwrap_or_else(|e| panic!("{e}"));
        // The first opens the monitor.
        if round > 0 {
            times.push(begun.elapsed());
        }
        assert!(!prepared.evidence.facts.iter().any(|(_, words)| words.contains("cannot")), "{:?}", prepared.evidence);
    }
    Figure::worst(times, Duration::from_millis(300))
}
