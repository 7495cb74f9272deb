//! The only way to the log, and so to the state.
//!
//! Owns the order of decide, write, sync, fold. Never begins an effect: it queues what the records ask for.

use std::sync::Arc;

use super::{ENGINE, Engine, TAIL};
use crate::audit;
use crate::engine::{Message, clock, fault};
use crate::failure::{Failure, Kind};
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
        let lines = events.iter().map(line).collect();
        match self.writer.append(lines, sync).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => return self.log_died(failure),
            Err(_) => return self.log_died(Failure::new(Kind::AuditUnwritable, "the audit log's writer is gone")),
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

    pub(super) fn log_died(&mut self, failure: Failure) -> bool {
        let can = Some("nothing that changes anything runs any more; reading works; leave with q".to_owned());
        self.say(format!("The audit log cannot be written: {failure}"), None, can);
        self.lost = Some(failure);
        // Whoever waits at a point is told to stop.
        self.waiting = None;
        self.work.cancel();
        false
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
