//! The founding incident's rehearsal: how soon it is there, how soon it is surveyed, how much memory its run takes.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Figure;
use crate::database::Database;
use crate::screen::Screen;

const PATIENCE: Duration = Duration::from_secs(90);
const RUNBOOK: &str = "runbooks/checkout-v2";

fn backout() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn end(state: &Path) {
    let ended = backout().args(["rehearse", RUNBOOK, "--end", "--state-dir"]).arg(state).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// On screen and alive: the targets answer, and the survey has counted the stuck orders.
fn on_screen(state: &Path, on: &str) -> Screen {
    let words = ["rehearse", RUNBOOK, "--on", on, "--state-dir", state.to_str().unwrap()];
    let screen = Screen::start(&words, &[], 100, 30);
    screen.wait("living world", PATIENCE, |text| {
        text.contains("✓ shop") && text.contains("✓ bus") && text.contains("340")
    });
    screen
}

fn alive(on: &str, budget: Duration) -> Figure {
    let times = (0..5).map(|_| {
        let state = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let screen = on_screen(state.path(), on);
        let took = begun.elapsed();
        drop(screen);
        end(state.path());
        took
    });
    Figure::worst(times.collect(), budget)
}

pub fn embedded() -> Figure {
    alive("sqlite", Duration::from_secs(3))
}

pub fn postgres() -> Figure {
    match backout::rehearsal::postgres::binaries() {
        Some(_) => alive("postgres", Duration::from_secs(10)),
        None => Figure::Skipped("no initdb and postgres on this machine"),
    }
}

/// The most that a run with its screen held at once in this time, from the kernel's own high-water mark.
fn memory(within: Duration) -> Figure {
    let state = tempfile::tempdir().unwrap();
    let screen = on_screen(state.path(), "sqlite");
    std::thread::sleep(within);
    let status = std::fs::read_to_string(format!("/proc/{}/status", screen.pid())).unwrap();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    drop(screen);
    end(state.path());
    let mib = kib.unwrap() as f64 / 1024.0;
    Figure::Measured { words: format!("{mib:.1} MiB at most"), holds: mib < 64.0 }
}

pub fn memory_of_a_minute() -> Figure {
    memory(Duration::from_secs(60))
}

pub fn memory_of_an_hour() -> Figure {
    memory(Duration::from_secs(3600))
}

pub fn survey() -> Figure {
    let brokers = std::env::var("BACKOUT_TEST_KAFKA").ok().filter(|value| !value.is_empty());
    let (Some(database), Some(brokers)) = (Database::create("survey"), brokers) else {
        return Figure::Skipped("no servers given");
    };
    let state = tempfile::tempdir().unwrap();
    let options = backout::rehearsal::Options {
        runbook: Path::new(env!("CARGO_MANIFEST_DIR")).join(RUNBOOK),
        on: None,
        postgres_url: Some(database.url.clone()),
        kafka: Some(brokers),
        home: state.path().join("rehearsals"),
        keep: false,
        program: vec![env!("CARGO_BIN_EXE_backout").into(), "sandbox".into()],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rehearsal = runtime.block_on(backout::rehearsal::start(&options)).unwrap();
    let once = || {
        let mut command = backout();
        command.args(["survey", RUNBOOK, "--json"]).envs(&rehearsal.env);
        for (name, value) in &rehearsal.vars {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        let begun = Instant::now();
        let output = command.output().unwrap();
        let took = begun.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(1) && said.contains("340"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        took
    };
    once();
    let figure = Figure::worst((0..10).map(|_| once()).collect(), Duration::from_secs(1));
    drop(rehearsal);
    end(state.path());
    figure
}
