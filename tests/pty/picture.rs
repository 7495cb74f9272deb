//! The README's pictures, made from the real screen: `cargo test --test pty picture -- --ignored`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::screen::Screen;

const PATIENCE: Duration = Duration::from_secs(60);

fn to(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/picture").join(name)
}

/// Opens the gate of what is next and answers it.
fn pass(screen: &mut Screen, step: &str, token: &str) {
    screen.wait(step, PATIENCE, |text| text.contains(&format!("Open the gate of {step}")));
    screen.press("\r");
    screen.wait("armed gate", PATIENCE, |text| text.contains(" armed ") && text.contains(token));
    screen.press(token);
    screen.wait("typed token", PATIENCE, |text| text.matches(token).count() > 1);
    screen.press("\r");
}

/// Plays the founding incident up to the first gate of the repair.
#[test]
#[ignore = "writes the pictures of the README"]
fn pictures() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().to_str().unwrap().to_owned();
    let on = std::env::var("BACKOUT_PICTURE_ON").unwrap_or_else(|_| "postgres".to_owned());
    let words = ["rehearse", "runbooks/checkout-v2", "--on", &on, "--state-dir", &dir];
    let mut screen = Screen::start(&words, &[], 100, 30);
    screen.wait("survey", PATIENCE, |text| text.starts_with(" REHEARSAL ") && text.contains("340"));
    screen.press("\r");
    screen.wait("run view", PATIENCE, |text| text.contains("Freeze the evidence") && text.contains("steps"));
    screen.press("\r");
    pass(&mut screen, "stop-straggler", "stop-straggler@rehearsal");
    pass(&mut screen, "pause-loyalty", "pause-loyalty@rehearsal");
    screen.wait("rename-back", PATIENCE, |text| text.contains("Open the gate of rename-back"));
    // The checks move for a while, so that their lines have a past.
    std::thread::sleep(Duration::from_secs(20));
    screen.save(&to("run.svg"));
    screen.press("\r");
    screen.wait("gate", PATIENCE, |text| text.contains(" armed "));
    screen.save(&to("gate.svg"));
    screen.press("\u{1b}");
    drop(screen);
    let end = std::process::Command::new(env!("CARGO_BIN_EXE_backout"))
        .args(["rehearse", "runbooks/checkout-v2", "--end", "--state-dir", &dir])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(end.unwrap().success());
}
