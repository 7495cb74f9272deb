//! The budgets, measured: `cargo bench`, or `cargo bench -- WORD` for those whose name holds the word.
//!
//! Prints a Markdown row for each. What takes an hour is measured only when the word names it: `cargo bench -- hour`.
//! Measures on a quiet machine say something; others do not. What needs servers takes
//! them from BACKOUT_TEST_POSTGRES_URL and BACKOUT_TEST_KAFKA (`tests/run with cargo bench`), and is skipped without.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot be made stops; the table goes to stdout"
)]

mod audit;
mod database;
mod facts;
mod generated;
mod knowledge;
mod rehearsal;
mod screens;
mod stall;
mod trial;

#[allow(dead_code, reason = "shared with the terminal tests, which look at other parts of it")]
#[path = "../picture/screen.rs"]
mod screen;

use std::time::Duration;

/// What was measured, as it stands in the table.
pub enum Figure {
    Measured { words: String, holds: bool },
    Skipped(&'static str),
}

impl Figure {
    /// Median and worst of times, of which the worst counts.
    pub fn worst(mut times: Vec<Duration>, budget: Duration) -> Self {
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let words = format!("median {}, worst of {} {}", ms(median), times.len(), ms(worst));
        Self::Measured { words, holds: worst < budget }
    }
}

pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// `part` in hundredths: 99 is the 99th percentile. The times are sorted by this.
pub fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times[(times.len() * part / 100).min(times.len() - 1)]
}

type Budget = (&'static str, &'static str, fn() -> Figure);

const HOUR: &str = "memory of a run of one hour, the sandbox apart";

const BUDGETS: [Budget; 15] = [
    ("first paint, before any connection", "< 50 ms", screens::first_paint),
    ("lint of 500 steps", "< 50 ms", generated::lint),
    ("lint of 2,000 steps beside that of 500", "< 6 times", generated::growth),
    ("key to bytes, 200x50, 500 steps", "p50 < 2 ms, p99 < 16 ms", screens::keys),
    ("writes of an idle screen in 10 s", "0", screens::idle),
    ("survey of checkout-v2, PostgreSQL and Kafka", "< 1 s", rehearsal::survey),
    ("rehearsal alive and on screen, embedded", "< 3 s", rehearsal::embedded),
    ("rehearsal alive and on screen, PostgreSQL", "< 10 s", rehearsal::postgres),
    ("memory of a run's first minute, the sandbox apart", "< 64 MiB", rehearsal::memory_of_a_minute),
    (HOUR, "< 64 MiB", rehearsal::memory_of_an_hour),
    ("gated DDL step over psql", "p95 < 100 ms", audit::overhead),
    ("class of 10,000 statements", "< 1 s", knowledge::classification),
    ("trial over bare BEGIN, statement, ROLLBACK", "< 50 ms", trial::overhead),
    ("gate facts on 5,000 tables, 20,000 indexes, 200 sessions", "< 300 ms", facts::gate),
    ("longest stall of a reader behind a DDL without its lock", "lock timeout + 100 ms", stall::readers),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("| figure | budget | measured | |\n|---|---|---|---|");
    let mut broken = false;
    for (what, budget, measure) in BUDGETS {
        let named = wanted.iter().any(|word| what.contains(word.as_str()));
        if !named && (what == HOUR || !wanted.is_empty()) {
            continue;
        }
        let (words, mark) = match measure() {
            Figure::Measured { words, holds } => (words, if holds { "holds" } else { "BROKEN" }),
            Figure::Skipped(why) => (why.to_owned(), "skipped"),
        };
        broken |= mark == "BROKEN";
        println!("| {what} | {budget} | {words} | {mark} |");
    }
    std::process::exit(i32::from(broken));
}
