//! What is typed, a line at a time, and what was pasted instead.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc::{Receiver, Sender, channel};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Line(String),
    Paste(String),
    /// The input has ended, or the terminal is gone.
    End,
}

const PASTE: &str = "\u{1b}[200~";
const PASTED: &str = "\u{1b}[201~";

/// While this lives, the terminal marks what is pasted; one that cannot do so shows nothing of it.
pub struct Marked(bool);

impl Marked {
    pub fn pastes() -> Self {
        let terminal = io::stdout().is_terminal();
        if terminal {
            write("\u{1b}[?2004h");
        }
        Self(terminal)
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        if self.0 {
            write("\u{1b}[?2004l");
        }
    }
}

fn write(mode: &str) {
    // A terminal that is gone has no modes.
    let _ = io::stdout().write_all(mode.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Throws away what stands in the terminal's line and was not sent.
pub fn forget() {
    // A terminal that is gone has no line.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// Lines from a thread of its own: a read cannot be interrupted.
pub fn lines() -> Receiver<Typed> {
    let (sender, receiver) = channel(16);
    std::thread::spawn(move || read(io::stdin().lock(), &sender));
    receiver
}

fn read(mut input: impl BufRead, sender: &Sender<Typed>) {
    let mut pasting = false;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match input.read_until(b'\n', &mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if sender.blocking_send(judged(line, &mut pasting)).is_err() {
            return;
        }
    }
    // Whoever does not listen any more has ended already.
    let _ = sender.blocking_send(Typed::End);
}

/// A line with anything pasted in it is a paste; so is every line until the paste's end.
fn judged(line: &str, pasting: &mut bool) -> Typed {
    let pasted = *pasting || line.contains(PASTE);
    if let Some(last) = [line.rfind(PASTE), line.rfind(PASTED)].into_iter().flatten().max() {
        *pasting = line[last..].starts_with(PASTE);
    }
    if pasted { Typed::Paste(line.replace(PASTE, "").replace(PASTED, "")) } else { Typed::Line(line.to_owned()) }
}
