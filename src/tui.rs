//! The terminal driver: shows the run, and asks the engine for what was typed.
//!
//! Owns the screen and one loop over signals, snapshots, keys and time. Never decides about the run and never waits for
//! anything but those four: what is asked is answered by the next snapshot.

use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::time::Instant;

use crate::engine::{Ask, Handle, Snapshot};
use crate::failure::{Failure, Kind};

pub mod clipboard;
pub mod input;
pub mod keymap;
pub mod model;
pub mod terminal;
pub mod theme;
pub mod update;
pub mod view;

use input::{Input, Signal};
use model::Model;
use theme::Theme;
use update::Effect;
use view::Frame;

/// Between two frames that no key asked for: at most fifteen a second.
const FRAME: Duration = Duration::from_millis(66);
/// How long the engine may take to accept a question before the screen says that it is busy.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--no-color`, or NO_COLOR set to anything.
    pub no_color: bool,
    /// Only ASCII; also where the locale is not UTF-8.
    pub ascii: bool,
}

/// Runs the screen on this terminal until the engine has ended.
///
/// Returns the exit code of the process.
///
/// # Errors
/// There is no terminal, or it cannot be written.
pub async fn run(handle: Handle, options: Options) -> Result<u8, Failure> {
    let var = |name: &str| std::env::var(name).ok();
    let theme = Theme {
        color: !options.no_color && var("NO_COLOR").is_none_or(|value| value.is_empty()),
        ascii: options.ascii || !terminal::shows_unicode(var),
    };
    terminal::on_panic(std::thread::current().id());
    let signals = terminal::signals().map_err(lost)?;
    let (taken, screen) = terminal::take().map_err(lost)?;
    terminal::watch(handle.clone());
    let keys = crossterm::event::EventStream::new()
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter_map(|event| std::future::ready(event.ok().and_then(input::translate)));
    let mut tui = Tui::new(screen, theme, handle);
    tui.on_real_terminal = true;
    let code = tui.drive(Box::pin(keys), signals).await;
    drop(taken);
    code
}

fn lost(error: impl Display) -> Failure {
    Failure::new(Kind::Interrupted, "The terminal cannot be used.")
        .cause(error)
        .hint("run it in an interactive terminal, or rehearse with --headless")
}

/// The screen on any backend, with any source of keys and signals: what the tests drive is what runs.
pub struct Tui<B: Backend> {
    /// Never dropped: on the way out it would write to a terminal that may be gone, and panic when it cannot say so.
    /// [`terminal::give_back`] shows the cursor.
    terminal: ManuallyDrop<Terminal<B>>,
    theme: Theme,
    handle: Handle,
    pub model: Model,
    started: Instant,
    last: Option<Frame>,
    on_real_terminal: bool,
    /// The terminal is gone: nothing is drawn any more.
    blind: bool,
    /// Frames that were written.
    pub frames: u64,
}

impl<B: Backend> Tui<B>
where
    B::Error: Display,
{
    pub fn new(terminal: Terminal<B>, theme: Theme, handle: Handle) -> Self {
        Self {
            terminal: ManuallyDrop::new(terminal),
            theme,
            handle,
            model: Model::default(),
            started: Instant::now(),
            last: None,
            on_real_terminal: false,
            blind: false,
            frames: 0,
        }
    }

    pub fn terminal(&self) -> &Terminal<B> {
        &self.terminal
    }

    /// The loop: signals first, then what the engine says, then keys, then time.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub async fn drive(
        &mut self,
        mut keys: Pin<Box<dyn Stream<Item = Input> + '_>>,
        mut signals: impl Stream<Item = Signal> + Unpin,
    ) -> Result<u8, Failure> {
        let mut snapshots = self.handle.snapshots.clone();
        let mut snapshot = snapshots.borrow_and_update().clone();
        self.model.receive(&snapshot, self.at());
        if let Ok(size) = self.terminal.size() {
            self.model.size = (size.width, size.height);
        }
        let mut drawn = self.draw(&snapshot)?;
        let mut keys_open = true;
        let mut signals_open = true;
        let mut engine_runs = true;
        let mut dirty = false;
        loop {
            if let Some(code) = snapshot.exit.filter(|_| self.model.unread || self.blind) {
                return Ok(code);
            }
            let wake = match dirty {
                true => drawn + FRAME,
                false => self.started + self.model.wakes(&snapshot),
            };
            let effect = tokio::select! {
                biased;
                signal = signals.next(), if signals_open => match signal {
                    Some(signal) => Some(self.signal(&snapshot, signal)),
                    None => { signals_open = false; None }
                },
                changed = snapshots.changed(), if engine_runs => {
                    engine_runs = changed.is_ok();
                    snapshot = snapshots.borrow_and_update().clone();
                    if !engine_runs && snapshot.exit.is_none() {
                        return Ok(Kind::Defect.exit_code());
                    }
                    self.model.receive(&snapshot, self.at());
                    dirty = true;
                    None
                },
                key = keys.next(), if keys_open => match key {
                    Some(input) => Some(self.key(&snapshot, &input)),
                    None => {
                        keys_open = false;
                        self.blind = true;
                        Some(self.signal(&snapshot, Signal::HangUp))
                    }
                },
                () = tokio::time::sleep_until(wake) => { dirty = true; None }
            };
            if let Some(effect) = effect {
                if let Some(Effect::Quit) = effect {
                    return Ok(snapshot.exit.unwrap_or(Kind::Held.exit_code()));
                }
                self.carry_out(effect, &snapshot).await;
                drawn = self.draw(&snapshot)?;
                dirty = false;
            } else if dirty && drawn.elapsed() >= FRAME {
                drawn = self.draw(&snapshot)?;
                dirty = false;
            }
        }
    }

    fn at(&self) -> Duration {
        self.started.elapsed()
    }

    fn key(&mut self, snapshot: &Snapshot, input: &Input) -> Option<Effect> {
        let (model, effect) = update::update(std::mem::take(&mut self.model), snapshot, input, self.at());
        self.model = model;
        effect
    }

    fn signal(&mut self, snapshot: &Snapshot, signal: Signal) -> Option<Effect> {
        self.blind |= signal == Signal::HangUp;
        if signal == Signal::Continue && self.on_real_terminal && terminal::take_again().is_err() {
            self.blind = true;
        }
        let (model, effect) = update::on_signal(std::mem::take(&mut self.model), snapshot, signal, self.at());
        self.model = model;
        effect
    }

    async fn carry_out(&mut self, effect: Option<Effect>, snapshot: &Arc<Snapshot>) {
        match effect {
            Some(Effect::Ask(ask)) => self.ask(ask).await,
            Some(Effect::Copy(text)) if self.on_real_terminal => {
                if let Err(error) = clipboard::copy(&text, &snapshot.run_dir) {
                    self.model.says = Some(format!("It could not be copied: {error}"));
                }
            }
            Some(Effect::Repaint) => self.last = None,
            Some(Effect::Copy(_) | Effect::Quit) | None => {}
        }
    }

    /// Never deafens the screen: an engine that does not take the question within a second is said to be busy.
    async fn ask(&mut self, ask: Ask) {
        match tokio::time::timeout(PATIENCE, self.handle.asks.send(ask)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.model.says = Some("The engine has ended: nothing was asked.".into()),
            Err(_) => self.model.says = Some("The engine is busy: nothing was asked. Try again.".into()),
        }
    }

    /// Writes the frame if it differs from the one that stands there.
    fn draw(&mut self, snapshot: &Snapshot) -> Result<Instant, Failure> {
        self.model.at = self.model.at.max(self.at());
        let now = Instant::now();
        if self.blind {
            return Ok(now);
        }
        let size = match self.terminal.size() {
            Ok(size) => size,
            Err(error) => return self.unseen(error, now),
        };
        let area = Rect::new(0, 0, size.width, size.height);
        if area.is_empty() {
            return Ok(now);
        }
        let frame = view::paint(&self.model, snapshot, self.theme, area);
        self.model.scroll_within(frame.reach);
        match self.put(&frame) {
            Ok(written) => self.frames += u64::from(written),
            Err(error) => return self.unseen(error, now),
        }
        self.last = Some(frame);
        Ok(now)
    }

    /// Writes what differs from the frame that stands there, all of it where none does; whether it wrote anything.
    /// [`Terminal::draw`] would copy and reset every cell besides.
    fn put(&mut self, frame: &Frame) -> Result<bool, B::Error> {
        let backend = self.terminal.backend_mut();
        let last = self.last.as_ref().filter(|last| last.buffer.area == frame.buffer.area);
        let blank;
        let before = match last {
            Some(last) => &last.buffer,
            None => {
                backend.clear_region(ClearType::All)?;
                blank = Buffer::empty(frame.buffer.area);
                &blank
            }
        };
        let changed = before.diff(&frame.buffer);
        if changed.is_empty() && last.is_some_and(|last| last.cursor == frame.cursor) {
            return Ok(false);
        }
        backend.draw(changed.into_iter())?;
        match frame.cursor {
            Some(at) => {
                backend.show_cursor()?;
                backend.set_cursor_position(at)?;
            }
            None => backend.hide_cursor()?,
        }
        backend.flush()?;
        Ok(true)
    }

    /// A terminal that takes nothing is a terminal that is gone: the run is held and left, without a screen.
    fn unseen(&mut self, error: B::Error, now: Instant) -> Result<Instant, Failure> {
        if !self.on_real_terminal {
            return Err(lost(error));
        }
        tracing::warn!(%error, "the terminal cannot be written");
        self.blind = true;
        self.model.leaving = true;
        // An engine that is busy hears it from the watch.
        let _ = self.handle.asks.try_send(Ask::Leave { why: "the terminal cannot be written".into() });
        Ok(now)
    }
}
