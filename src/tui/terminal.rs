//! The terminal: taken over on the way in, given back on every way out.
//!
//! Owns raw mode, the alternate screen, bracketed paste and focus events. Never captures the mouse: selecting and copying
//! stay the terminal's own.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use futures_util::stream::Stream;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::input::Signal;
use crate::engine::{Ask, Handle};

/// One write for a frame: a whole 200x50 screen is 19 KiB.
const BUFFER: usize = 64 * 1024;

pub type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Whether the terminal is ours. It is given back once, whoever comes first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours; dropping it gives it back.
pub struct Taken(());

/// # Errors
/// There is no terminal, or it cannot be switched.
pub fn take() -> io::Result<(Taken, Screen)> {
    // Without this, NO_COLOR makes crossterm write resets that take reverse and bold with them; the theme emits no colour.
    crossterm::style::force_color_output(true);
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let taken = Taken(());
    enter()?;
    let screen = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(BUFFER, io::stdout())))?;
    Ok((taken, screen))
}

/// Takes the terminal again after somebody else had it.
///
/// # Errors
/// It cannot be switched.
pub fn take_again() -> io::Result<()> {
    enable_raw_mode()?;
    enter()
}

fn enter() -> io::Result<()> {
    crossterm::execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)
}

/// Gives the terminal back. What fails here has nobody left to tell.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = crossterm::execute!(out, DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = out.flush();
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal before a panic is printed, but only where the panic ends the screen: a worker's panic is an
/// outcome that the engine tells, and must not leave the operator before a dead shell with the run going on behind it.
pub fn on_panic(screen: ThreadId) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == screen {
            give_back();
            before(info);
        } else if TAKEN.load(Ordering::SeqCst) {
            tracing::error!(panic = %info, "a task panicked");
        } else {
            before(info);
        }
    }));
}

/// Every signal that the screen answers, as a stream.
///
/// # Errors
/// A handler cannot be installed.
pub fn signals() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let (sender, receiver) = mpsc::channel(8);
    let kinds = [
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::hangup(), Signal::HangUp),
        (SignalKind::from_raw(libc::SIGTSTP), Signal::Stop),
        (SignalKind::from_raw(libc::SIGCONT), Signal::Continue),
    ];
    for (kind, meaning) in kinds {
        let mut arrivals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while arrivals.recv().await.is_some() && sender.send(meaning).await.is_ok() {} });
    }
    Ok(Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async {
        let signal = receiver.recv().await?;
        Some((signal, receiver))
    })))
}

/// How often the terminal is asked whether it is still there, and how long the screen may take to end by itself.
const LOOK: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(2);

/// Watches from a thread of its own whether the terminal is still there. The terminal library never comes back from
/// reading one that has hung up, and with it the screen's loop would never hear of anything again: the engine is told
/// to leave, and the process ends with the engine.
pub fn watch(handle: Handle) {
    std::thread::spawn(move || {
        let gone = || rustix::termios::tcgetattr(std::io::stdin()).is_err_and(|error| error == rustix::io::Errno::IO);
        while !gone() {
            if handle.asks.is_closed() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        // An engine that is gone needs no telling.
        let _ = handle.asks.blocking_send(Ask::Leave { why: "the terminal is gone".to_owned() });
        loop {
            let exit = handle.snapshots.borrow().exit;
            if let Some(code) = exit {
                std::thread::sleep(GRACE);
                std::process::exit(i32::from(code));
            }
            std::thread::sleep(LOOK);
        }
    });
}

/// Whether the locale and the terminal show more than ASCII.
pub fn shows_unicode(var: impl Fn(&str) -> Option<String>) -> bool {
    if var("TERM").is_some_and(|term| matches!(term.as_str(), "linux" | "dumb" | "vt100")) {
        return false;
    }
    let set = |name: &str| var(name).filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
