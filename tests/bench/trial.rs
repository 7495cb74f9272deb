//! What a trial costs others beside the bare BEGIN, statement, ROLLBACK: from its first lock to the end of its rollback.

use std::time::{Duration, Instant};

use backout::action::trial::{self, Wanted};

use crate::Figure;
use crate::database::Database;

const STATEMENT: &str = "ALTER TABLE t2500 RENAME COLUMN a TO b2";
const TIMES: usize = 30;

pub fn overhead() -> Figure {
    let Some(database) = Database::crowded("trial") else { return Figure::Skipped("no server given") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measured(&database))
}

async fn measured(database: &Database) -> Figure {
    let context = database.context(&format!(
        "backout: 1\nname: bench\ntitle: Bench\ntargets:\n  db: {{ postgres: \"${{BENCH_URL}}\" }}\nsteps:\n  - id: rename\n    phase: repair\n    on: db\n    ddl: |\n      {STATEMENT}\n"
    ));
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let mut bare = context.targets.dedicated("db", "bench").await.unwrap();
        let begun = Instant::now();
        for statement in ["begin", STATEMENT, "rollback"] {
            bare.run(statement, vec![]).await.unwrap();
        }
        let alone = begun.elapsed();
        let (_stop, cancel) = tokio::sync::watch::channel(false);
        let step = &context.runbook.steps["rename"];
        let tried = trial::attempt(step, &Wanted::default(), &context, cancel).await.unwrap();
        times.push(Duration::from_micros(tried.held_us).saturating_sub(alone));
    }
    Figure::worst(times, Duration::from_millis(50))
}
