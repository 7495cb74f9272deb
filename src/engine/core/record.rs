//! The only way to the log, and so to the state.
//!
//! Owns the order of decide, write, sync, fold. Never begins an effect: it queues what the records ask for.

use std::sync::Arc;

use super::{ENGINE, Engine, Leaving, TAIL};
use crate::audit;
use crate::engine::{Message, clock, fault};
use crate::failure::Failure;
use crate::run::decide::{Draft, Facts, Input, Refusal, decide};
use crate::run::effect::effects;
use crate::run::record::{Event, Now, Record};

impl Engine {
    /// Decides an input and takes its records in. A refusal by a person's input is shown and recorded.
    pub(super) async fn take(&mut self, input: Input, by: &str) -> bool {
        let now = clock::now();
        let facts = Facts { now: &now, by, readings: self.probes.readings() };
        match decide(&self.runbook, &self.state, &input, &facts) {
            Ok(drafts) => self.append(drafts, by).await,
            Err(refusal) => {
                self.refuse(&input, refusal, by, now).await;
                false
            }
        }
    }

    pub(super) async fn refuse(&mut self, input: &Input, refusal: Refusal, by: &str, now: Now) {
        self.dirty = true;
        self.snapshot.message =
            Some(Message { at: now, what: refusal.because.clone(), means: None, can: refusal.instead });
        if by != ENGINE && !self.state.closed() && self.state.started.is_some() {
            let record = Record::Refused { input: word_of(input), because: refusal.because };
            self.append(vec![Draft { step: None, att: None, record }], by).await;
        }
    }

    /// The only way to the log: stamp, write, sync, then fold, then effects.
    pub(super) async fn append(&mut self, drafts: Vec<Draft>, by: &str) -> bool {
        if drafts.is_empty() {
            return true;
        }
        if self.lost.is_some() {
            self.say_lost();
            return false;
        }
        let at = clock::now();
        let events: Vec<Event> = drafts
            .into_iter()
            .map(|draft| Event {
                at: at.clone(),
                by: by.to_owned(),
                step: draft.step,
                att: draft.att,
                record: draft.record,
            })
            .collect();
        // What the state would refuse must not reach the log.
        let mut next = self.state.clone();
        for event in &events {
            if let Err(illegal) = next.evolve(event) {
                tracing::error!(%illegal, "a decision gave an illegal record");
                self.say(format!("A defect was stopped: {illegal}"), None, Some("nothing was recorded or done".into()));
                return false;
            }
        }
        let sync = events.iter().any(|event| !event.record.may_wait());
        let lines: Vec<_> = events.iter().map(line).collect();
        let written = self.writer.append(lines.clone(), sync);
        match self.durable(written).await {
            // An anchor that the disk may yet lose would contradict the log after a power loss.
            Ok(records) if sync => self.head = records.last().map(audit::Anchor::of),
            Ok(_) => {}
            Err(failure) => {
                self.log_died(failure, &lines);
                return false;
            }
        }
        self.state = next;
        self.dirty = true;
        for event in &events {
            fault::after(event);
        }
        for event in events {
            self.effects.extend(effects(&self.state, event.step.as_deref(), event.att, &event.record));
            self.probes.heard(&event.record);
            let event = Arc::new(event);
            self.snapshot.log.push_back(event.clone());
            if self.snapshot.log.len() > TAIL {
                self.snapshot.log.pop_front();
            }
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
        true
    }

    /// From here on nothing changes anything. The records that may not be on the disk are kept beside the log, and said
    /// at the end for whoever has to write them down.
    pub(super) fn log_died(&mut self, failure: Failure, unwritten: &[audit::Draft]) {
        let (dir, why, lines) = (self.snapshot.run_dir.clone(), failure.to_string(), self.writer.as_lines(unwritten));
        let told = lines.iter().fold(failure, |failure, line| failure.cause(format!("perhaps not in the log: {line}")));
        self.lost = Some(told);
        self.say_lost();
        // The disk that hangs in the log's sync may hang here too.
        std::thread::spawn(move || {
            if let Err(error) = audit::degraded::keep(&dir, &why, &lines) {
                tracing::error!(%error, "what the log did not take is not on the disk either");
            }
        });
        // Whoever waits at a point is told to stop.
        self.waiting = None;
        self.work.cancel();
        if self.state.started.as_ref().is_some_and(|(started, _)| started.headless) {
            // Nobody reads on.
            self.leaving.get_or_insert(Leaving::Leave);
        }
    }

    fn say_lost(&mut self) {
        let Some(failure) = &self.lost else { return };
        let what =
            failure.causes.first().map_or_else(|| failure.message.clone(), |why| format!("{}: {why}", failure.message));
        let means = "nothing that changes anything runs any more; reading works";
        self.say(what, Some(means.to_owned()), Some("leave with q, mend the disk, then `backout resume`".to_owned()));
    }
}

fn line(event: &Event) -> audit::Draft {
    let (kind, payload) = event.record.parts();
    audit::Draft {
        by: event.by.clone(),
        step: event.step.clone(),
        att: event.att,
        kind,
        payload,
        ts: event.at.wall,
        mono: event.at.boottime,
        boot: event.at.boot.clone(),
    }
}

/// The event of a line of the log.
///
/// # Errors
/// A kind that this version does not know, or a payload that is not of its kind.
pub fn event_of(envelope: &audit::Envelope) -> std::result::Result<Event, String> {
    let record = Record::from_parts(&envelope.kind, &envelope.payload).map_err(|error| error.to_string())?;
    let at = Now { wall: envelope.ts, boottime: envelope.mono, boot: envelope.boot.clone() };
    Ok(Event { at, by: envelope.by.clone(), step: envelope.step.clone(), att: envelope.att, record })
}

/// The input's name, as `refused` records it.
fn word_of(input: &Input) -> String {
    let debug = format!("{input:?}");
    let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
    debug[..end].to_owned()
}
