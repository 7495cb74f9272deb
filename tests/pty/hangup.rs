//! A terminal that goes away: with a signal, with one that is ignored, and with none at all.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backout::tui::terminal;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::play::PATIENCE;

const SIZE: PtySize = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };

/// A terminal whose other end is in our hands, and what came out of it.
struct Line {
    master: Option<Box<dyn MasterPty + Send>>,
    name: std::path::PathBuf,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Line {
    fn new() -> (Self, Box<dyn portable_pty::SlavePty + Send>) {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let name = pair.master.tty_name().unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::downgrade(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            // The hold on the terminal ends with the line: only then does it hang up.
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                match sink.upgrade() {
                    Some(seen) => seen.lock().unwrap().extend_from_slice(&bytes[..n]),
                    None => return,
                }
            }
        });
        (Self { master: Some(pair.master), name, seen }, pair.slave)
    }

    fn end(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.name).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Only what differs is drawn: a word that no earlier screen has.
    fn shows(&self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text().contains(what) {
            assert!(Instant::now() < until, "no {what:?} within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn hang_up(mut self) {
        self.master = None;
        // The reader lets go with the next byte that the program draws.
    }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("backout-state.").tempdir().unwrap())
    }

    fn words(&self) -> Vec<String> {
        let dir = self.0.path().to_str().unwrap();
        ["rehearse", "runbooks/checkout-v2", "--on", "sqlite", "--state-dir", dir].map(str::to_owned).to_vec()
    }

    fn backout(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.args(words).arg("--state-dir").arg(self.0.path()).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Held because the terminal was lost, and the log whole.
    fn held(&self) {
        let log = self.backout(&["audit", "show", "--long"]);
        let held = log.lines().find(|line| line.contains(" held ")).unwrap_or_else(|| panic!("no hold in\n{log}"));
        assert!(held.contains(r#"reason="terminal""#), "{held}");
        self.backout(&["audit", "verify"]);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let dir = self.0.path().to_str().unwrap();
        let words = ["rehearse", "runbooks/checkout-v2", "--end", "--state-dir", dir];
        let _ =
            Command::new(env!("CARGO_BIN_EXE_backout")).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "it runs after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program as the leader of the terminal's session: the kernel tells it that the terminal is gone.
fn leader(before: &str) {
    let home = Home::new();
    let (line, slave) = Line::new();
    let mut command = CommandBuilder::new("/bin/sh");
    command.args(["-c", &format!(r#"{before} exec "$0" "$@""#), env!("CARGO_BIN_EXE_backout")]);
    command.args(home.words());
    command.cwd(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("CI");
    command.env("TERM", "xterm-256color");
    let mut child = slave.spawn_command(command).unwrap();
    drop(slave);
    line.shows("accept");
    line.hang_up();
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it runs after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.exit_code(), 5);
    home.held();
}

#[test]
fn with_a_signal() {
    leader("");
}

#[test]
fn with_a_signal_that_is_ignored() {
    leader("trap '' HUP;");
}

/// Another session's terminal: nobody is told, every write fails, and reading never comes back.
#[test]
fn without_a_signal() {
    let home = Home::new();
    let (line, slave) = Line::new();
    let end = line.end();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.args(home.words()).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("CI").env("TERM", "xterm-256color");
    command.stdin(end.try_clone().unwrap()).stdout(end.try_clone().unwrap()).stderr(end);
    let mut child = command.spawn().unwrap();
    drop((command, slave));
    line.shows("accept");
    line.hang_up();
    let status = ended(&mut child);
    assert_eq!(status.code(), Some(5), "signal {:?}", status.signal());
    home.held();
}

/// Only for [`a_panic_gives_the_terminal_back`], which runs it in a terminal of its own.
#[test]
#[ignore = "panics, and wants a terminal"]
fn panics_with_the_terminal_taken() {
    terminal::on_panic(std::thread::current().id());
    let _taken = terminal::take().unwrap();
    panic!("on purpose");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let (line, _slave) = Line::new();
    let end = line.end();
    let before = rustix::termios::tcgetattr(&end).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "hangup::panics_with_the_terminal_taken", "--ignored", "--nocapture"]);
    command.stdin(end.try_clone().unwrap()).stdout(end.try_clone().unwrap()).stderr(Stdio::from(end));
    let mut child = command.spawn().unwrap();
    drop(command);
    assert!(!ended(&mut child).success());
    line.shows("on purpose");
    let text = line.text();
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}"));
    assert!(place("\u{1b}[?1049h") < place("\u{1b}[?1049l"));
    assert!(place("\u{1b}[?1049l") < place("on purpose"), "the words went with the other screen: {text:?}");
    assert!(text.contains("\u{1b}[?25h") && text.contains("\u{1b}[?2004l"));
    let after = rustix::termios::tcgetattr(line.end()).unwrap();
    assert_eq!((after.local_modes, after.input_modes), (before.local_modes, before.input_modes), "raw mode is on");
}
