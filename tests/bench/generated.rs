//! A runbook of any length, on a SQLite file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Figure;

/// Writes a runbook of `steps` steps and `checks` checks, and answers for its DDL.
pub fn write(dir: &Path, target: &str, steps: usize, checks: usize, only_ddl: bool) -> PathBuf {
    let mut text = format!("backout: 1\nname: generated\ntitle: A long way back\ntargets:\n  db: {target}\n");
    if checks > 0 {
        text.push_str("checks:\n");
    }
    for n in 0..checks {
        let _ = write!(
            text,
            "  check-{n}:\n    layer: data\n    on: db\n    title: Question {n}\n    query: |\n      SELECT {n} + 0\n    expect: {n}\n"
        );
    }
    text.push_str("steps:\n");
    let mut answers = "answers: 1\nsteps:\n".to_owned();
    for n in 0..steps {
        let _ = write!(text, "  - id: step-{n:03}\n    phase: repair\n    title: The {n}th thing to do\n");
        let action = match n % 3 {
            1 if !only_ddl => format!(
                "    layer: service\n    command: [deploy, \"part-{n}\"]\n    undo: {{ command: [undeploy, \"part-{n}\"] }}\n"
            ),
            2 if !only_ddl => {
                format!("    layer: service\n    manual: {{ what: \"Look at part {n}\", by: on-call }}\n")
            }
            _ => {
                let _ = writeln!(answers, "  step-{n:03}: {{ token: \"t@db\" }}");
                format!("    on: db\n    ddl: |\n      ALTER TABLE t ADD COLUMN c{n} integer\n")
            }
        };
        text.push_str(&action);
        if checks > 0 {
            let _ = writeln!(text, "    verify: [check-{}]", n % checks);
        }
    }
    std::fs::write(dir.join("answers.yaml"), answers).unwrap();
    let path = dir.join("runbook.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// How long it takes to lint a runbook of so many steps, from the process's start to its end.
fn linted(steps: usize, times: usize) -> Vec<Duration> {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "{ sqlite: \"/nowhere/t.db\" }", steps, 50, false);
    let once = || {
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_backout")).arg("lint").arg(&file).output().unwrap();
        let took = begun.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        took
    };
    once();
    (0..times).map(|_| once()).collect()
}

pub fn lint() -> Figure {
    Figure::worst(linted(500, 20), Duration::from_millis(50))
}

/// Four times the steps take about four times as long, and not sixteen.
pub fn growth() -> Figure {
    let quickest = |steps| linted(steps, 5).into_iter().min().unwrap().as_secs_f64();
    let times = quickest(2000) / quickest(500);
    Figure::Measured { words: format!("{times:.1} times"), holds: times < 6.0 }
}
