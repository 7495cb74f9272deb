//! `--plain`: a person without a screen. Lines that are only ever added to, and answers typed line by line.
//!
//! Owns one loop over signals, snapshots and typed lines. What a line means is what the same keys mean on the screen: the
//! rules of a gate are in one place, and this is not it. Never moves a cursor, colours nothing, and takes no answer that
//! did not come from a terminal.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::engine::{Ask, Handle, Snapshot};
use crate::failure::{Failure, Kind, Result};
use crate::tui::input::Signal;
use crate::tui::model::Model;
use crate::tui::terminal;
use crate::tui::update::{Effect, on_signal};

mod heard;
mod told;
mod typed;

use told::Told;
use typed::Typed;

/// How long the engine may take to accept a question before it is said to be busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs until the engine has ended, and gives the exit code. `actor` is who joined with this process.
///
/// # Errors
/// Signals cannot be heard.
pub async fn run(handle: Handle, actor: String) -> Result<u8> {
    let signals = terminal::signals()
        .map_err(|error| Failure::new(Kind::Interrupted, "signals cannot be heard here").cause(error))?;
    let ascii = !terminal::shows_unicode(|name| std::env::var(name).ok());
    let _marked = typed::Marked::pastes();
    // Nothing is cut for want of room.
    let model = Model { size: (1000, 50), ..Model::default() };
    let plain = Plain { handle, model, told: Told::new(ascii, actor), started: Instant::now(), asked: None };
    plain.drive(typed::lines(), signals, &mut io::stdout()).await
}

struct Plain {
    handle: Handle,
    model: Model,
    told: Told,
    started: Instant,
    /// Asked when so many had been taken in: what to type next is said after the answer.
    asked: Option<u64>,
}

impl Plain {
    async fn drive(
        mut self,
        mut lines: Receiver<Typed>,
        mut signals: impl Stream<Item = Signal> + Unpin,
        out: &mut dyn Write,
    ) -> Result<u8> {
        let mut snapshots = self.handle.snapshots.clone();
        let mut snapshot = snapshots.borrow_and_update().clone();
        self.model.receive(&snapshot, self.at());
        let mut hears = true;
        let mut engine_runs = true;
        loop {
            self.asked = self.asked.filter(|before| snapshot.taken <= *before && engine_runs);
            if self.told.tell(&self.model, &snapshot, self.asked.is_none(), out).is_err() && !self.model.unread {
                // Who cannot be told anything must not be asked anything.
                self.model.unread = true;
                self.ask(Ask::Leave { why: "nobody reads what is printed".into() }, &snapshot).await;
            }
            if let Some(code) = snapshot.exit {
                return Ok(code);
            }
            if !engine_runs {
                return Ok(Kind::Defect.exit_code());
            }
            let arms = self.model.gate.as_ref().and_then(|gate| gate.arms).filter(|arms| *arms > self.model.at);
            let effects = tokio::select! {
                biased;
                Some(signal) = signals.next() => self.signal(signal, &snapshot),
                changed = snapshots.changed(), if engine_runs => {
                    engine_runs = changed.is_ok();
                    snapshot = snapshots.borrow_and_update().clone();
                    self.model.receive(&snapshot, self.at());
                    Vec::new()
                }
                typed = lines.recv(), if hears => {
                    hears = typed.is_some();
                    self.model.at = self.at();
                    self.told.answer_again();
                    heard::hear(&mut self.model, &mut self.told, &snapshot, typed.unwrap_or(Typed::End))
                }
                () = tokio::time::sleep_until(self.started + arms.unwrap_or_default()), if arms.is_some() => {
                    self.model.at = self.at();
                    // Half a line that was typed before the gate could be read is no answer to it.
                    typed::forget();
                    Vec::new()
                }
            };
            for effect in effects {
                match effect {
                    Effect::Ask(ask) => self.ask(ask, &snapshot).await,
                    Effect::Copy(text) => {
                        if let Err(error) = crate::tui::clipboard::keep(&text, &snapshot.run_dir) {
                            self.model.says = Some(format!("It could not be copied: {error}"));
                        }
                    }
                    Effect::Repaint | Effect::Quit => {}
                }
            }
        }
    }

    fn at(&self) -> Duration {
        self.started.elapsed()
    }

    fn signal(&mut self, signal: Signal, snapshot: &Snapshot) -> Vec<Effect> {
        self.told.answer_again();

        let (model, effect) = on_signal(std::mem::take(&mut self.model), snapshot, signal, self.at());
        self.model = model;
        effect.into_iter().collect()
    }

    async fn ask(&mut self, ask: Ask, snapshot: &Arc<Snapshot>) {
        let asked = tokio::time::timeout(PATIENCE, self.handle.asks.send(ask)).await;
        self.asked = Some(snapshot.taken);
        if !matches!(asked, Ok(Ok(()))) {
            self.asked = None;
            self.model.says = Some("The engine is busy or has ended: nothing was asked.".into());
        }
    }
}
