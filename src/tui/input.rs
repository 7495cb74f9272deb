//! What comes in: keys, pastes, focus, size, signals.
//!
//! Owns the translation from the terminal's events. Never knows what a key means.

use crossterm::event::{Event, KeyEvent, KeyEventKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Key(KeyEvent),
    Paste(String),
    FocusLost,
    FocusGained,
    Resized(u16, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as `^C`.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP, or the terminal's input has ended.
    HangUp,
    /// SIGTSTP: not obeyed, an open action would stand still with its locks.
    Stop,
    /// SIGCONT: the terminal may be anybody's since.
    Continue,
}

/// `None` for what the screen has no use for: key releases, the mouse.
pub fn translate(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Input::Key(key)),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::FocusLost => Some(Input::FocusLost),
        Event::FocusGained => Some(Input::FocusGained),
        Event::Resize(columns, rows) => Some(Input::Resized(columns, rows)),
        Event::Key(_) | Event::Mouse(_) => None,
    }
}
