//! A program in a pseudo-terminal, seen as a person sees it, and that sight as a picture.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{Cell, Color, Parser};

pub struct Screen {
    parser: Arc<Mutex<Parser>>,
    keys: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    /// Nobody looks any more: the reader ends, and with it the last hold on the terminal.
    closed: Arc<AtomicBool>,
    /// When bytes came out of the program, and how many.
    pub written: Receiver<(Instant, usize)>,
    /// The terminal hangs up when this is dropped.
    master: Option<Box<dyn MasterPty + Send>>,
}

impl Screen {
    /// Starts backout with these words, in the project's root.
    pub fn start(words: &[&str], env: &[(&str, &str)], columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_backout"));
        command.args(words);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        for name in ["CI", "NO_COLOR", "SSH_CONNECTION", "LC_ALL"] {
            command.env_remove(name);
        }
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("USER", "alice")].iter().chain(env) {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let sized = |n| NonZeroU16::new(n).unwrap();
        let parser = Arc::new(Mutex::new(Parser::new(sized(rows), sized(columns), 0)));
        let seen = parser.clone();
        let closed = Arc::new(AtomicBool::new(false));
        let shut = closed.clone();
        let (sender, written) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            // On Linux the read fails when the last writer has gone.
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                let at = Instant::now();
                locked(&seen).process(&bytes[..n]);
                // Not every screen has somebody who counts.
                let _ = sender.send((at, n));
                if shut.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { parser, keys: Some(keys), child, closed, written, master: Some(pair.master) }
    }

    pub fn text(&self) -> String {
        locked(&self.parser).screen().contents()
    }

    /// Waits until `seen` holds for the text of the screen; the screen at the end of the wait is in the panic.
    pub fn wait(&self, what: &str, within: Duration, seen: impl Fn(&str) -> bool) {
        let until = Instant::now() + within;
        while !seen(&self.text()) {
            assert!(Instant::now() < until, "no {what} within {within:?}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn press(&mut self, keys: &str) {
        let terminal = self.keys.as_mut().unwrap();
        terminal.write_all(keys.as_bytes()).unwrap();
        terminal.flush().unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let sized = |n| NonZeroU16::new(n).unwrap();
        locked(&self.parser).screen_mut().set_size(sized(rows), sized(columns));
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    /// Closes the terminal while the program runs in it, when it next writes.
    pub fn hang_up(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.keys = None;
        self.master = None;
    }

    /// The program's exit code; a signal that ended it is 1.
    pub fn code(&mut self, within: Duration) -> u32 {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(Instant::now() < until, "it runs after {within:?}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn seen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(locked(&self.parser).screen())
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub fn save(&self, path: &Path) {
        std::fs::write(path, svg(locked(&self.parser).screen())).unwrap();
    }
}

impl Screen {
    /// Ends the program, if it still runs.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

fn locked(parser: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    parser.lock().unwrap_or_else(PoisonError::into_inner)
}

const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const MARGIN: f32 = 12.0;
const PAPER: &str = "#16181d";
const INK: &str = "#d5d8de";
/// The sixteen colours, as a dark terminal has them.
const COLORS: [&str; 16] = [
    "#16181d", "#e0625c", "#7fb069", "#d9b25f", "#6c9bd2", "#b583c9", "#5fb3b3", "#d5d8de", "#6b7280", "#f07f79",
    "#9bcb85", "#ecca7f", "#8ab4e8", "#cda0de", "#7fcccc", "#ffffff",
];

#[derive(PartialEq, Clone)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
    underline: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let (mut ink, mut paper) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        if cell.inverse() {
            (ink, paper) = (Some(paper.unwrap_or_else(|| PAPER.into())), Some(ink.unwrap_or_else(|| INK.into())));
        }
        let ink = ink.unwrap_or_else(|| INK.into());
        Self { ink, paper, bold: cell.bold(), dim: cell.dim(), underline: cell.underline() }
    }
}

fn colour(colour: Color) -> Option<String> {
    match colour {
        Color::Default => None,
        Color::Idx(n) => Some(COLORS[usize::from(n) % 16].to_owned()),
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
    }
}

fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) =
        (f32::from(columns.get()) * WIDTH + 2.0 * MARGIN, f32::from(rows.get()) * HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-size=\"14\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n"
    );
    for row in 0..rows.get() {
        let mut runs: Vec<(u16, u16, String, Look)> = Vec::new();
        for column in 0..columns.get() {
            let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
            let (look, cells) = (Look::of(cell), if cell.is_wide() { 2 } else { 1 });
            let text = if cell.has_contents() { cell.contents() } else { " " };
            match runs.last_mut() {
                Some((_, length, run, same)) if *same == look => {
                    run.push_str(text);
                    *length += cells;
                }
                _ => runs.push((column, cells, text.to_owned(), look)),
            }
        }
        let top = MARGIN + f32::from(row) * HEIGHT;
        for (column, cells, text, look) in runs {
            let (x, length) = (MARGIN + f32::from(column) * WIDTH, f32::from(cells) * WIDTH);
            if let Some(paper) = &look.paper {
                let _ = writeln!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let mut style = String::new();
            if look.bold {
                style.push_str(" font-weight=\"bold\"");
            }
            if look.dim {
                style.push_str(" opacity=\"0.65\"");
            }
            if look.underline {
                style.push_str(" text-decoration=\"underline\"");
            }
            // Without a length the columns would drift apart in a font of another width.
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" xml:space=\"preserve\" fill=\"{}\"{style}>{}</text>",
                top + HEIGHT * 0.75,
                look.ink,
                text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}
