//! For how long a reader stands behind a schema change that waits for a lock and tries again, beside the same statement
//! in psql, which waits for as long as it takes.

use std::time::{Duration, Instant};

use backout::action::{self, LOCK_MS, Port, Report};
use backout::check::Context;
use backout::run::record::{Environment, OutcomeResult};
use backout::target::Handle;
use tokio::sync::{mpsc, watch};

use crate::database::{Database, psql};
use crate::{Figure, ms};

/// How long another session holds the table: for some of the attempts.
const HELD: Duration = Duration::from_secs(4);
const BETWEEN_READS: Duration = Duration::from_millis(2);

const RUNBOOK: &str = r#"
backout: 1
name: stall
title: A column that everybody reads
targets:
  db: { postgres: "${BENCH_URL}" }
steps:
  - id: rename
    on: db
    ddl: |
      ALTER TABLE t RENAME COLUMN a TO b
"#;

pub fn readers() -> Figure {
    let Some(database) = Database::create("stall") else { return Figure::Skipped("no server given") };
    database.sql("CREATE TABLE t (id integer PRIMARY KEY, a text)");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ours, theirs) = runtime.block_on(measured(&database));
    let words = format!("longest {}, in psql {}", ms(ours), ms(theirs));
    Figure::Measured { words, holds: ours <= Duration::from_millis(LOCK_MS + 100) }
}

async fn measured(database: &Database) -> (Duration, Duration) {
    let context = database.context(RUNBOOK);
    let ours = stalled(&context, async {
        let step = &context.runbook.steps["rename"];
        let prepared = action::prepare(step, 1, false, Environment::Production, &context).await;
        let job = prepared.unwrap_or_else(|error| panic!("{error}")).job;
        let (reports, mut inbox) = mpsc::channel(16);
        let (_keep, cancel) = watch::channel(false);
        let port = Port { step: step.id.clone(), att: 1, reports, cancel };
        let worker = {
            let context = context.clone();
            tokio::spawn(async move { action::perform(job, context, &port).await })
        };
        while let Some((_, _, report)) = inbox.recv().await {
            if let Report::Reached { reply, .. } = report {
                let _ = reply.send(action::Go::Go);
            }
        }
        let outcome = worker.await.unwrap();
        assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    })
    .await;
    let url = database.url.clone();
    let back = move || psql(&url, "ALTER TABLE t RENAME COLUMN b TO a");
    let theirs = stalled(&context, async { drop(tokio::task::spawn_blocking(back).await.unwrap()) }).await;
    (ours, theirs)
}

/// The longest of the reads that go on while `change` waits for a session that holds the table.
async fn stalled(context: &Context, change: impl Future<Output = ()>) -> Duration {
    let mut holder = context.targets.dedicated("db", "holder").await.unwrap();
    holder.run("begin", vec![]).await.unwrap();
    holder.one("select count(*) from t", vec![]).await.unwrap();
    let mut reader = context.targets.dedicated("db", "reader").await.unwrap();
    reader.run("set lock_timeout = 0", vec![]).await.unwrap();
    let (over, ended) = watch::channel(false);
    let reading = tokio::spawn(reads(reader, ended));
    let held = async {
        tokio::time::sleep(HELD).await;
        holder.run("rollback", vec![]).await.unwrap();
    };
    tokio::join!(change, held);
    over.send_replace(true);
    reading.await.unwrap()
}

async fn reads(mut reader: Handle, ended: watch::Receiver<bool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !*ended.borrow() {
        let began = Instant::now();
        reader.one("select count(*) from t", vec![]).await.unwrap();
        longest = longest.max(began.elapsed());
        tokio::time::sleep(BETWEEN_READS).await;
    }
    longest
}
