//! What a gate, a marker and a synced log cost a schema change, over the bare statement.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use backout::target::{Handle, postgres};
use serde_json::Value;

use crate::database::Database;
use crate::{Figure, generated, ms, percentile};

const STEPS: usize = 60;

pub fn overhead() -> Figure {
    let Some(database) = Database::create("ddl") else { return Figure::Skipped("no server given") };
    database.sql("CREATE TABLE t (id integer)");
    database.sql("CREATE TABLE bare (id integer)");

    let mut bare: Vec<Duration> = (0..STEPS)
        .map(|n| {
            let said = database.sql(&format!("ALTER TABLE bare ADD COLUMN c{n} integer"));
            let took = said.lines().find_map(|line| line.strip_prefix("Time: ")?.strip_suffix(" ms")).unwrap();
            Duration::from_secs_f64(took.parse::<f64>().unwrap() / 1000.0)
        })
        .collect();

    let dir = tempfile::tempdir().unwrap();
    let file = generated::write(dir.path(), "{ postgres: \"${BENCH_URL}\" }", STEPS, 0, true);
    declare(&database, &file);
    let output = Command::new(env!("CARGO_BIN_EXE_backout"))
        .args(["run", file.to_str().unwrap(), "--headless", "--answers"])
        .arg(dir.path().join("answers.yaml"))
        .arg("--state-dir")
        .arg(dir.path())
        .env("BENCH_URL", &database.url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );

    let mut gated = taken(&dir.path().join("runs"));
    assert_eq!(gated.len(), STEPS);
    let statement = percentile(&mut bare, 50);
    let (half, most) =
        (percentile(&mut gated, 50).saturating_sub(statement), percentile(&mut gated, 95).saturating_sub(statement));
    Figure::Measured {
        words: format!("p50 {}, p95 {} of {STEPS}; the statement alone {}", ms(half), ms(most), ms(statement)),
        holds: most < Duration::from_millis(100),
    }
}

/// The database says itself that it is a rehearsal: else no answer from a file counts.
fn declare(database: &Database, file: &std::path::Path) {
    let targets = database.context(&std::fs::read_to_string(file).unwrap()).targets;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        targets.install("db").await.unwrap();
        match targets.dedicated("db", "backout/bench").await.unwrap() {
            Handle::Postgres(mut connection) => postgres::declare_rehearsal(&mut connection, "bench").await.unwrap(),
            _ => panic!("another kind of target"),
        }
    });
}

/// From each answered gate to its outcome, by the log's own monotonic stamps.
fn taken(runs: &std::path::Path) -> Vec<Duration> {
    let run = std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(run.join("audit-000001.jsonl")).unwrap();
    let mut answered = BTreeMap::new();
    let mut times = Vec::new();
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let at = record["mono"].as_str().and_then(|text| text.parse::<u64>().ok());
        let (Some(step), Some(at)) = (record["step"].as_str(), at) else { continue };
        match record["kind"].as_str() {
            Some("gate_answered") => {
                answered.insert(step.to_owned(), at);
            }
            Some("outcome") => times.extend(answered.remove(step).map(|from| Duration::from_nanos(at - from))),
            _ => {}
        }
    }
    times
}
