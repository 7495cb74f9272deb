//! A rehearsal of the founding incident in a terminal of 80x24, with a state directory of its own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use crate::screen::Screen;

pub const PATIENCE: Duration = Duration::from_secs(120);

/// Columns and rows where lines are only added.
const LINES: (u16, u16) = (160, 200);

pub struct Play {
    pub screen: Screen,
    pub state: tempfile::TempDir,
}

impl Play {
    pub fn on(database: &str) -> Self {
        Self::with(database, &[])
    }

    pub fn with(database: &str, env: &[(&str, &str)]) -> Self {
        Self::start(database, env, &[], (80, 24))
    }

    /// Without a screen: lines only, on a terminal that keeps many of them in sight.
    pub fn plain(database: &str) -> Self {
        Self::start(database, &[], &["--plain"], LINES)
    }

    fn start(database: &str, env: &[(&str, &str)], more: &[&str], size: (u16, u16)) -> Self {
        let state = tempfile::Builder::new().prefix("backout-state.").tempdir().unwrap();
        let dir = state.path().to_str().unwrap();
        let words = ["rehearse", "runbooks/checkout-v2", "--on", database, "--state-dir", dir];
        let words = [&words, more].concat();
        Self { screen: Screen::start(&words, env, size.0, size.1), state }
    }

    /// Waits until all of these words stand on the screen.
    pub fn sees(&self, words: &[&str]) {
        // A sentence that is too long for its row goes on in the next.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.screen.wait(&words.join(" and "), PATIENCE, |text| {
            let text = flat(text);
            words.iter().all(|word| text.contains(word))
        });
    }

    pub fn enter(&mut self) {
        self.screen.press("\r");
    }

    /// To the first screen, with everything surveyed.
    pub fn surveyed(&self) {
        self.sees(&["NEXT Read the map, then accept where to enter", "340", "Enter accept"]);
    }

    /// Accepts the entry and keeps the evidence.
    pub fn evidence_kept(&mut self) {
        self.surveyed();
        self.enter();
        self.sees(&["NEXT Freeze the evidence", "Enter open"]);
        self.enter();
        self.sees(&["NEXT Open the gate of stop-straggler"]);
    }

    /// Opens the gate of the step that is next.
    pub fn gate(&mut self, step: &str) {
        self.sees(&[&format!("NEXT Open the gate of {step}"), "Enter open"]);
        self.enter();
        self.sees(&["GATE", step, " armed "]);
    }

    /// Types the token, sees it stand there, and sends it.
    pub fn answer(&mut self, token: &str) {
        self.screen.press(token);
        self.sees(&[&format!("> {token}")]);
        self.enter();
    }

    /// Leaves, and waits for the end.
    pub fn leave(&mut self) -> u32 {
        self.screen.press("q");
        self.sees(&["Enter leaves"]);
        self.enter();
        self.ended("LEFT, not ended");
        self.screen.code(PATIENCE)
    }

    /// The last page, read and closed.
    pub fn ended(&mut self, words: &str) {
        self.sees(&[words, "NEXT Read how it", "then Enter"]);
        // It stays for a moment whatever is pressed, so that it is seen.
        std::thread::sleep(Duration::from_secs(1));
        self.enter();
    }

    pub fn backout(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_backout"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(words)
            .arg("--state-dir")
            .arg(self.state.path())
            .output()
            .unwrap()
    }

    /// The log, a record a line.
    pub fn log(&self) -> String {
        String::from_utf8(self.backout(&["audit", "show", "--long"]).stdout).unwrap()
    }

    /// Whether anything was begun for this step.
    pub fn began(&self, step: &str) -> bool {
        self.log().lines().any(|line| line.contains(&format!("{step}/")) && line.contains(" intent "))
    }

    pub fn verified(&self) {
        let verified = self.backout(&["audit", "verify"]);
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    }

    pub fn sandbox(&self) -> PathBuf {
        self.state.path().join("rehearsals/checkout-v2")
    }

    /// The same without a screen.
    pub fn resume_plain(&mut self) {
        let dir = self.state.path().to_str().unwrap().to_owned();
        self.screen = Screen::start(&["resume", "--plain", "--state-dir", &dir], &[], LINES.0, LINES.1);
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.screen.press(&format!("{text}\r"));
    }

    /// Starts `resume` in a new terminal.
    pub fn resume(&mut self) {
        let dir = self.state.path().to_str().unwrap().to_owned();
        self.screen = Screen::start(&["resume", "--state-dir", &dir], &[], 80, 24);
    }

    /// What the terminal is after the program: the shell's again.
    pub fn restored(&self) {
        // Its last bytes may still be on their way.
        self.screen.wait("restored screen", PATIENCE, |text| text.contains("\nlog "));
        self.screen.seen(|screen| {
            assert!(!screen.alternate_screen(), "the alternate screen is on");
            assert!(!screen.bracketed_paste(), "bracketed paste is on");
            assert!(!screen.hide_cursor(), "the cursor is hidden");
        });
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.screen.end();
        let ended = self.backout(&["rehearse", "runbooks/checkout-v2", "--end"]);
        assert!(ended.status.success() || std::thread::panicking(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
