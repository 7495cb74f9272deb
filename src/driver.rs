//! Drivers without a screen, over the same engine: headless here, a person without a screen in [`plain`].
//!
//! Owns how answers from a file become asks, and what is printed meanwhile. Never answers a gate that the file does not
//! name, and never waits for ever: what does not turn green in time ends the drive with the exit code that says so.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;

use crate::engine::{Ask, Handle, Link, Message, Snapshot};
use crate::failure::Kind;
use crate::run::left;
use crate::run::next::{Blocked, next_step};
use crate::run::record::{End, Event, HoldReason, Now};
use crate::run::state::Status;
use crate::runbook::{Action, CheckRef, Level, Step, level};

pub mod answers;
pub mod json;
pub mod line;
pub mod plain;
pub mod watching;

pub use answers::Answers;
use watching::Watching;

/// What does not change for so long is not going to change by itself.
const PATIENCE: Duration = Duration::from_secs(90);

/// How events and messages are printed.
pub trait Printer: Send {
    fn event(&mut self, out: &mut dyn Write, event: &Event) -> io::Result<()>;
    fn message(&mut self, out: &mut dyn Write, what: &str) -> io::Result<()>;

    /// News of a statement under way: for people, since nothing of it is in the log.
    fn live(&mut self, _out: &mut dyn Write, _at: &Now, _step: &str, _words: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Drives the run to an end and gives the exit code.
pub async fn run(handle: Handle, answers: Answers, printer: Box<dyn Printer>) -> u8 {
    let printing = tokio::spawn(print(handle.events.subscribe(), handle.snapshots.clone(), printer));
    let drive =
        Drive { handle, answers, since: Instant::now(), saw: String::new(), opened: None, tried: BTreeSet::new() };
    let code = drive.run().await;
    // What was sent before the end is still printed; the engine has closed the stream.
    let _ = tokio::time::timeout(Duration::from_secs(2), printing).await;
    code
}

/// Prints until the engine is gone. A closed pipe ends the printing, never the run.
async fn print(
    mut events: tokio::sync::broadcast::Receiver<Arc<Event>>,
    snapshots: tokio::sync::watch::Receiver<Arc<Snapshot>>,
    mut printer: Box<dyn Printer>,
) {
    let mut said = None;
    let mut watching = Watching::default();
    for event in snapshots.borrow().log.iter() {
        let _ = printer.event(&mut io::stdout().lock(), event);
    }
    loop {
        let event = tokio::time::timeout(Duration::from_millis(250), events.recv()).await;
        let (message, news, now) = {
            let snapshot = snapshots.borrow();
            (snapshot.message.clone(), watching.news(&snapshot), snapshot.now.clone())
        };
        let mut out = io::stdout().lock();
        if message != said {
            said.clone_from(&message);
            if let Some(message) = message {
                let parts = [Some(message.what), message.means, message.can];
                let words = parts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
                let _ = printer.message(&mut out, &words);
            }
        }
        for (step, words) in news {
            let _ = printer.live(&mut out, &now, &step, &words);
        }
        match event {
            Ok(Ok(event)) => {
                let _ = printer.event(&mut out, &event);
            }
            Ok(Err(RecvError::Closed)) => return,
            Ok(Err(RecvError::Lagged(_))) => {}
            Err(_) if snapshots.borrow().exit.is_some() => return,
            Err(_) => {}
        }
        if out.flush().is_err() {
            return;
        }
    }
}

struct Drive {
    handle: Handle,
    answers: Answers,
    /// Since when nothing has changed that leads on.
    since: Instant,
    saw: String,
    /// Asked to open, and no gate stood since.
    opened: Option<String>,
    /// Steps whose gate this driver has answered: what then was not applied is not tried again.
    tried: BTreeSet<String>,
}

/// What to do with the present snapshot.
enum Move {
    Ask(Ask),
    Wait(String),
    End(u8),
}

impl Drive {
    async fn run(mut self) -> u8 {
        for (name, value) in self.answers.vars.clone() {
            if self.send(Ask::SetVar { name, value }).await.is_err() {
                break;
            }
        }
        loop {
            let snapshot = self.handle.snapshots.borrow_and_update().clone();
            if let Some(code) = snapshot.exit {
                return code;
            }
            match self.next_move(&snapshot) {
                Move::Ask(ask) => {
                    self.since = Instant::now();
                    if self.send(ask).await.is_err() {
                        return self.exit_of_engine();
                    }
                }
                Move::Wait(what) => {
                    if what != self.saw {
                        self.saw = what;
                        self.since = Instant::now();
                    }
                    if self.since.elapsed() > PATIENCE {
                        return self.end(if snapshot.state.holds.is_empty() { 1 } else { 5 }).await;
                    }
                    let changed = tokio::time::timeout(Duration::from_millis(200), self.handle.snapshots.changed());
                    if matches!(changed.await, Ok(Err(_))) {
                        return self.exit_of_engine();
                    }
                }
                Move::End(code) => return self.end(code).await,
            }
        }
    }

    fn exit_of_engine(&self) -> u8 {
        self.handle.snapshots.borrow().exit.unwrap_or(74)
    }

    /// Sends and waits until the engine has taken it in.
    async fn send(&mut self, ask: Ask) -> Result<(), ()> {
        let before = self.handle.snapshots.borrow().taken;
        self.handle.asks.send(ask).await.map_err(drop)?;
        let taken = |snapshot: &Arc<Snapshot>| snapshot.taken > before || snapshot.exit.is_some();
        self.handle.snapshots.wait_for(taken).await.map(drop).map_err(drop)
    }

    /// Leaves the run held and gives the reason's code.
    async fn end(&mut self, code: u8) -> u8 {
        let why = format!("the headless driver ends with {code}: {}", self.saw);
        if self.send(Ask::Leave { why }).await.is_ok() {
            let _ = self.handle.snapshots.wait_for(|snapshot| snapshot.exit.is_some()).await;
        }
        code
    }

    fn next_move(&mut self, snapshot: &Snapshot) -> Move {
        let state = &snapshot.state;
        if let Some((end, _)) = &state.ended {
            return Move::Wait(format!("ended {end:?}"));
        }
        if let Some(gate) = &state.gate {
            return self.gate(&gate.step, snapshot);
        }
        if let Some(open) = &state.open {
            // Leaving clears the message: it goes into the reason.
            return match snapshot.untold() {
                Some(message) => {
                    self.saw = in_one(message);
                    Move::End(7)
                }
                None => Move::Wait(format!("{} {} {:?}", open.step, open.att, snapshot.progress)),
            };
        }
        if snapshot.preparing.is_some() {
            return Move::Wait("preparing".into());
        }
        if let Some((step, s)) = state.steps.iter().find(|(_, s)| s.status.is_red()) {
            self.saw = format!("{step} is {}", s.status.word());
            return Move::End(1);
        }
        if let Some(failed) = state.undo_failed() {
            // What an earlier process saw fail is tried again once, at the same gate.
            let again = |step: &&Step| state.status(failed) == Status::NotUndone && !self.tried.contains(&step.id);
            return match snapshot.runbook.steps.get(failed).filter(again) {
                Some(step) => self.open(step, snapshot),
                None => {
                    let words = state.steps.get(failed).and_then(|step| step.undo_failed.as_deref());
                    self.saw = format!("the undo failed at {failed}: {}", words.unwrap_or_default());
                    Move::End(Kind::UndoFailed.exit_code())
                }
            };
        }
        if state.steps.values().any(|step| step.status == Status::Applied) {
            return Move::Wait("verifying".into());
        }
        if !state.entered {
            return match &snapshot.survey {
                Some(survey) => Move::Ask(Ask::Enter { done: survey.done.clone() }),
                None => Move::Wait("surveying".into()),
            };
        }
        if let Some(hold) = state.holds.iter().find(|hold| !matches!(hold, HoldReason::Guard { .. })) {
            let words = Blocked::Held(hold.clone()).to_string();
            // What an earlier process left behind is lifted as soon as this one has taken the run up.
            if matches!(hold, HoldReason::Terminal | HoldReason::Signal) {
                return Move::Wait(words);
            }
            // A server that starts again, or one that this process has not asked yet; not after a step that failed by it.
            if let HoldReason::Target { name } = hold {
                if let Some(step) = self.tried.iter().find(|step| state.status(step) == Status::Failed) {
                    self.saw = format!("{step} was not applied; {words}");
                    return Move::End(1);
                }
                return if state.lost.contains_key(name) { Move::Wait(words) } else { Move::Ask(Ask::Lift) };
            }
            self.saw = words;
            return Move::End(5);
        }
        self.step(snapshot)
    }

    fn readings(snapshot: &Snapshot) -> crate::run::next::Readings {
        snapshot.readings()
    }

    fn step(&mut self, snapshot: &Snapshot) -> Move {
        let readings = Self::readings(snapshot);
        let runbook = &snapshot.runbook;
        let Some((step, why)) = next_step(runbook, &snapshot.state, &readings) else {
            return self.close(snapshot, &readings);
        };
        let answer = self.answers.steps.get(&step.id).cloned().unwrap_or_default();
        if answer.skip {
            return Move::Ask(Ask::Skip { step: step.id.clone(), reason: answer.reason.unwrap_or_default() });
        }
        if !why.is_empty() {
            if let Some(hold @ Blocked::Held(_)) = why.first() {
                return Move::Wait(hold.to_string());
            }
            return Move::Wait(format!(
                "{} waits: {}",
                step.id,
                why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            ));
        }
        self.open(step, snapshot)
    }

    fn open(&mut self, step: &Step, snapshot: &Snapshot) -> Move {
        let answer = self.answers.steps.get(&step.id).cloned().unwrap_or_default();
        let failed = snapshot.state.status(&step.id) == Status::Failed && self.tried.contains(&step.id);
        match &step.action {
            Action::Decide(_) => match answer.option {
                Some(option) => {
                    let reason = answer.reason.unwrap_or_default();
                    Move::Ask(Ask::Decide { step: step.id.clone(), option, reason })
                }
                None => self.unanswered(&step.id),
            },
            Action::Manual(_) => match answer.token {
                Some(seen) => Move::Ask(Ask::Seen { step: step.id.clone(), seen }),
                None => self.unanswered(&step.id),
            },
            Action::Reconcile { .. } if failed => self.asked_rows(step, snapshot),
            _ if failed => {
                self.saw = format!("{} was not applied", step.id);
                Move::End(1)
            }
            _ if snapshot.message.is_some() && self.opened.as_ref() == Some(&step.id) => {
                // It was turned down, or could not be prepared. Leaving clears the message: it goes into the reason.
                if let Some(message) = &snapshot.message {
                    self.saw = in_one(message);
                }
                let unfit = |on: &str| {
                    snapshot.targets.iter().any(|(name, link)| {
                        name == on
                            && match link {
                                Link::Down { .. } => true,
                                Link::Up(identity) => identity.standby || identity.read_only,
                                Link::Connecting => false,
                            }
                    })
                };
                let level = level::by_kind(&snapshot.runbook, step);
                Move::End(match step.on.as_deref().is_some_and(unfit) {
                    true => 8,
                    false if level == Level::None => 1,
                    false => 4,
                })
            }
            _ => {
                self.saw = format!("opening {}", step.id);
                self.opened = Some(step.id.clone());
                if level::by_kind(&snapshot.runbook, step) == Level::None {
                    self.tried.insert(step.id.clone());
                }
                Move::Ask(Ask::Open { step: step.id.clone() })
            }
        }
    }

    fn asked_rows(&mut self, step: &Step, snapshot: &Snapshot) -> Move {
        let Some(classified) = &snapshot.classified else { return Move::Wait(format!("sorting for {}", step.id)) };
        let decided = snapshot.state.steps.get(&step.id).map(|s| s.rows.clone()).unwrap_or_default();
        let answers = self.answers.steps.get(&step.id).map(|answer| answer.rows.clone()).unwrap_or_default();
        let Some(row) = classified.asked.iter().find(|row| !decided.contains_key(&row.key)) else {
            return Move::Ask(Ask::Open { step: step.id.clone() });
        };
        let Some(answer) = answers.get(&row.key) else {
            self.saw = format!("row {} of {} has no answer in the file", row.key, step.id);
            return Move::End(4);
        };
        let (class, reason) = (answer.class.clone(), answer.reason.clone());
        Move::Ask(Ask::Classify { step: step.id.clone(), row: row.key.clone(), class, reason })
    }

    fn unanswered(&mut self, step: &str) -> Move {
        self.saw = format!("{step} has no answer in the file");
        Move::End(4)
    }

    fn gate(&mut self, step: &str, snapshot: &Snapshot) -> Move {
        self.opened = None;
        let Some(answer) = self.answers.steps.get(step).cloned() else { return self.unanswered(step) };
        let Some(gate) = &snapshot.state.gate else { return Move::Wait("gate".into()) };
        if gate.shown.offer.level == Level::Irreversible && gate.broken.is_none() && gate.approved_by.is_none() {
            return match answer.reason {
                Some(reason) if self.saw != format!("breaking glass for {step}") => {
                    self.saw = format!("breaking glass for {step}");
                    Move::Ask(Ask::BreakGlass { reason })
                }
                _ => {
                    self.saw = format!("{step} needs a second person or a reason");
                    Move::End(4)
                }
            };
        }
        let Some(typed) = answer.token else { return self.unanswered(step) };
        if typed != gate.shown.offer.token || self.saw == format!("answering {step}") {
            self.saw = format!("{step} asks for {}, the file has {typed}", gate.shown.offer.token);
            return Move::End(4);
        }
        self.saw = format!("answering {step}");
        self.tried.insert(step.to_owned());
        Move::Ask(Ask::Answer { typed, reason: answer.reason, looked_ms: 0, from_file: true })
    }

    fn close(&mut self, snapshot: &Snapshot, readings: &crate::run::next::Readings) -> Move {
        let runbook = &snapshot.runbook;
        let names = runbook.checks.keys().map(|name| CheckRef::Check(name.clone()));
        let red: Vec<_> = names
            .filter(|check| !readings.get(check).is_some_and(|checked| checked.verdict.is_pass()))
            .filter(|check| !crate::run::next::contained(&snapshot.state, check))
            .map(|check| check.to_string())
            .collect();
        if !red.is_empty() {
            return Move::Wait(format!("not green yet: {}", red.join(", ")));
        }
        let open = left::temporary(runbook, &snapshot.state).into_iter().map(|(_, left)| left::open_item(left));
        if self.saw == "closing" {
            return Move::End(1);
        }
        self.saw = "closing".into();
        Move::Ask(Ask::Finish { end: End::Recovered, open: open.collect() })
    }
}

fn in_one(message: &Message) -> String {
    let parts = [Some(&message.what), message.means.as_ref(), message.can.as_ref()];
    parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" · ")
}
