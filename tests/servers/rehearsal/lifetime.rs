//! How a sandbox ends: by itself some time after its last user, or by its death, and what it leaves behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backout::rehearsal::sandbox::{Sandbox, Setup, serve};
use backout::rehearsal::{self, On};

use super::{Stage, options};
use crate::support;

const LINGER: Duration = Duration::from_secs(1);

/// Processes whose command line holds one of these paths.
pub fn living(paths: &[&Path]) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| paths.iter().any(|path| line.contains(&*path.to_string_lossy())))
        .collect()
}

/// Waits until nothing of the sandbox is left.
pub fn gone(dir: &Path, sandbox: &Sandbox) {
    let paths: Vec<&Path> = std::iter::once(dir).chain(sandbox.postgres_data.as_deref()).collect();
    let until = Instant::now() + Duration::from_secs(10);
    while !living(&paths).is_empty() {
        assert!(Instant::now() < until, "left behind: {:?}", living(&paths));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn database() -> On {
    if rehearsal::postgres::binaries().is_some() { On::Postgres } else { On::Sqlite }
}

/// The process of the test below: a sandbox that waits a second where `backout`'s own waits ten minutes.
#[test]
#[ignore = "it is the sandbox of another test"]
fn serves_for_a_second() {
    let argv: Vec<String> = std::env::args().skip_while(|word| word != "serve").collect();
    let [_, dir, _, scenario, _, on] = argv.as_slice() else { return };
    let on = if on == "postgres" { On::Postgres } else { On::Sqlite };
    let program = vec!["true".to_owned()];
    let setup = Setup {
        dir: dir.into(),
        scenario: scenario.into(),
        on,
        postgres_url: None,
        kafka: None,
        linger: Some(LINGER),
        program,
    };
    tokio::runtime::Runtime::new().unwrap().block_on(serve(setup)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_after_its_last_user_and_not_before() {
    let home = support::state_dir();
    let mut options = options(home.path(), database());
    let exe = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let words = ["--ignored", "--exact", "--nocapture", "rehearsal::lifetime::serves_for_a_second", "--"];
    options.program = std::iter::once(exe).chain(words.map(str::to_owned)).collect();
    let first = rehearsal::start(&options).await.unwrap();
    let dir = first.dir.clone();
    let sandbox = rehearsal::alive(&dir).unwrap();

    // Taken over by the next run before the first lets go.
    let second = rehearsal::join(&dir).unwrap();
    drop(first);
    tokio::time::sleep(3 * LINGER).await;
    assert!(rehearsal::alive(&dir).is_some(), "it ended while it was played");

    let left = Instant::now();
    drop(second);
    while rehearsal::alive(&dir).is_some() {
        assert!(left.elapsed() < Duration::from_secs(20), "it does not end by itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(left.elapsed() >= LINGER, "{:?}", left.elapsed());
    gone(&dir, &sandbox);
    for file in [dir.join("sandbox.json"), dir.join("control.sock")] {
        assert!(!file.exists(), "{} is left", file.display());
    }
    assert!(sandbox.postgres_data.is_none_or(|data| !data.exists()));
    assert!(rehearsal::join(&dir).unwrap_err().to_string().contains("no sandbox lives in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_takes_its_server_along_and_the_next_sweeps_up() {
    let mut stage = Stage::on(database()).await;
    let dir = stage.dir();
    let sandbox = rehearsal::alive(&dir).unwrap();
    let killed = Command::new("kill").args(["-9", &sandbox.pid.to_string()]).status().unwrap();
    assert!(killed.success());
    gone(&dir, &sandbox);
    drop(stage.played.take());
    assert!(!rehearsal::end(&dir).await.unwrap(), "none lives there");
    assert!(sandbox.postgres_data.is_none_or(|data| !data.exists()));
}
