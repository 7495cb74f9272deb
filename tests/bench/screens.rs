//! The screen: how soon it stands, how soon it follows a key, and that it rests when nothing happens.

use std::time::{Duration, Instant};

use crate::screen::Screen;
use crate::{Figure, generated, ms, percentile};

const PATIENCE: Duration = Duration::from_secs(30);

/// No target answers: nothing is waited for.
const NOWHERE: [(&str, &str); 3] = [
    ("SHOP_DATABASE_URL", "postgres://nobody:nothing@127.0.0.1:1/none"),
    ("KAFKA_BROKERS", "127.0.0.1:1"),
    ("PSP_EXPORT", "/nowhere/export.csv"),
];

pub fn first_paint() -> Figure {
    let once = || {
        let state = tempfile::tempdir().unwrap();
        let words = ["run", "runbooks/checkout-v2", "--state-dir", state.path().to_str().unwrap()];
        let begun = Instant::now();
        let screen = Screen::start(&words, &NOWHERE, 200, 50);
        screen.wait("first paint", PATIENCE, |text| text.contains(" NEXT ") && text.contains("leave"));
        begun.elapsed()
    };
    once();
    Figure::worst((0..20).map(|_| once()).collect(), Duration::from_millis(50))
}

/// A run of 500 steps on a database file, past its survey.
fn long_run(dir: &std::path::Path, checks: usize) -> Screen {
    let database = dir.join("t.db");
    let created = std::fs::File::create(&database);
    assert!(created.is_ok());
    let target = format!("{{ sqlite: \"{}\" }}", database.display());
    let file = generated::write(dir, &target, 500, checks, false);
    let words = ["run", file.to_str().unwrap(), "--state-dir", dir.to_str().unwrap()];
    let mut screen = Screen::start(&words, &[], 200, 50);
    screen.wait("survey", PATIENCE, |text| text.contains("Read the map"));
    screen.press("\r");
    screen.wait("run view", PATIENCE, |text| text.contains("Open the gate of step-000"));
    screen
}

pub fn keys() -> Figure {
    let dir = tempfile::tempdir().unwrap();
    let mut screen = long_run(dir.path(), 10);
    let mut times = Vec::new();
    for n in 0..1000 {
        std::thread::sleep(Duration::from_millis(10));
        while screen.written.try_recv().is_ok() {}
        let pressed = Instant::now();
        screen.press(if n / 400 % 2 == 0 { "j" } else { "k" });
        let (at, _) = screen.written.recv_timeout(PATIENCE).unwrap();
        times.push(at.saturating_duration_since(pressed));
    }
    let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 99));
    Figure::Measured {
        words: format!("p50 {}, p99 {} of {}", ms(half), ms(most), times.len()),
        holds: half < Duration::from_millis(2) && most < Duration::from_millis(16),
    }
}

/// Ten seconds in which the clock of the header stood: its next minute is news, not idleness.
pub fn idle() -> Figure {
    let dir = tempfile::tempdir().unwrap();
    let screen = long_run(dir.path(), 0);
    std::thread::sleep(Duration::from_secs(3));
    let clock = || screen.text().lines().next().map(str::to_owned);
    loop {
        while screen.written.try_recv().is_ok() {}
        let shown = clock();
        std::thread::sleep(Duration::from_secs(10));
        if clock() == shown {
            break;
        }
    }
    let (writes, bytes) = screen.written.try_iter().fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes));
    Figure::Measured { words: format!("{writes} ({bytes} bytes)"), holds: writes == 0 }
}
