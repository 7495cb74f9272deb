//! What workers and finished tasks report.
//!
//! Owns that a report is recorded before its worker goes on.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{ENGINE, Engine, Waiting};
use crate::action::{Acted, Go, Prepared, Report};
use crate::engine::fault;
use crate::engine::work::Done;
use crate::failure::{Failure, Result};
use crate::run::decide::Input;
use crate::run::record::{ItemDone, Offer, Outcome, OutcomeResult, Point};
use crate::runbook::{Action, Level};

impl Engine {
    pub(super) async fn hear(&mut self, step: String, att: u32, report: Report) {
        match report {
            Report::Reached { point, data, reply } => self.reached(step, att, point, data, reply).await,
            Report::AttemptFailed { code, message, again_in_ms } => {
                self.missed(&step, att, again_in_ms);
                self.take(Input::AttemptFailed { step, att, code, message, again_in_ms }, ENGINE).await;
            }
            Report::Progressed { done, of } => {
                self.snapshot.progress = Some((done, of));
                self.take(Input::Progressed { step, att, done, of }, ENGINE).await;
            }
            Report::Item { item, reply } => self.item(step, att, item, reply).await,
            Report::ClaimLost { target, holder } => {
                self.take(Input::ClaimLost { target, holder }, ENGINE).await;
            }
            Report::Frozen(items) => drop(self.take(Input::Froze { step, att, items }, ENGINE).await),
            Report::Finished(outcome) => self.finished(step, att, outcome).await,
        }
    }

    pub(super) async fn reached(
        &mut self,
        step: String,
        att: u32,
        point: Point,
        data: serde_json::Value,
        reply: oneshot::Sender<Go>,
    ) {
        if let Some((target, epoch)) = claimed(&data)
            && self.state.claims.get(&target) != Some(&epoch)
        {
            self.take(Input::Claimed { target, epoch }, ENGINE).await;
        }
        self.watch(&step, att, &data);
        self.waiting = Some(Waiting { step: step.clone(), att, reply });
        let taken = self.take(Input::Reached { step: step.clone(), att, point, data }, ENGINE).await;
        fault::at(&step, point);
        if !taken {
            self.release(&step, att, Go::Stop);
        }
    }

    pub(super) async fn item(&mut self, step: String, att: u32, item: ItemDone, reply: oneshot::Sender<Go>) {
        self.waiting = Some(Waiting { step: step.clone(), att, reply });
        if !self.take(Input::Item { step: step.clone(), att, item }, ENGINE).await {
            self.release(&step, att, Go::Stop);
        }
    }

    pub(super) async fn finished(&mut self, step: String, att: u32, outcome: Outcome) {
        fault::named(&step, "finished");
        self.snapshot.progress = None;
        self.unwatch();
        let undo = self.state.open.as_ref().is_some_and(|open| open.intent.undoes.is_some());
        // An undo that failed is a state, and says so by itself.
        if outcome.result == OutcomeResult::NotApplied && !undo {
            // Rows that nobody has given a class yet are no failure: their table asks.
            if !matches!(self.runbook.steps.get(&step).map(|s| &s.action), Some(Action::Reconcile { .. })) {
                let can = "its gate may be opened again".to_owned();
                self.say(format!("{step} was not applied: {}", outcome.evidence), None, Some(can));
            }
        }
        match outcome.result {
            OutcomeResult::NotApplied => self.classify(&step),
            _ => self.snapshot.classified = None,
        }
        self.take(Input::Finished { step, att, outcome }, ENGINE).await;
    }

    pub(super) async fn finish(&mut self, done: Done) {
        self.dirty = true;
        match done {
            Done::Prepared { step, prepared, readings } => {
                self.snapshot.preparing = None;
                for checked in readings {
                    self.answered(checked).await;
                }
                self.prepared(step, prepared).await;
            }
            Done::Answered(checked) => self.answered(checked).await,
            Done::Verified { step, checks, restored } => {
                for checked in &checks {
                    self.answered(checked.clone()).await;
                }
                self.take(Input::Verified { step, checks, restored }, ENGINE).await;
            }
            Done::Surveyed(survey) => self.surveyed(*survey).await,
            Done::Classified(Ok(classified)) => self.snapshot.classified = Some(Arc::new(*classified)),
            Done::Classified(Err(failure)) => self.failed(&failure),
            Done::Settled { evidence, result, reason, outcome } => {
                for (what, finding) in evidence {
                    self.take(Input::SettleEvidence { what, finding }, ENGINE).await;
                }
                if result == OutcomeResult::Unknown {
                    self.say(
                        crate::engine::UNTOLD.into(),
                        Some(reason),
                        Some("look yourself, then settle it with a reason".into()),
                    );
                } else {
                    self.take(Input::Settle { result, reason, outcome: Some(outcome) }, ENGINE).await;
                }
            }
            Done::Acted { act, acted } => {
                let Acted { applied, detail, tried, found } = acted;
                if tried.is_none() {
                    let can = self
                        .state
                        .gate
                        .is_some()
                        .then(|| "open the gate again to see who is in the way now".to_owned());
                    self.say(detail.clone(), None, can);
                }
                self.take(Input::ActDone { act, applied, detail, tried, found }, ENGINE).await;
            }
            Done::Link { target, link } => self.linked(target, link).await,
            Done::Sighted { step, att, sight } => self.sighted(&step, att, sight),
            Done::Panicked { step, att, words } => {
                self.unwatch();
                let outcome = Outcome::new(OutcomeResult::Unknown, format!("the worker died: {words}"));
                self.take(Input::Finished { step, att, outcome }, ENGINE).await;
            }
        }
    }

    pub(super) async fn prepared(&mut self, step: String, prepared: Result<Box<Prepared>>) {
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return self.failed(&failure),
        };
        // The digest, and the marker that carries it, are of the offer as the log keeps it.
        let logged = serde_json::to_value(&prepared.offer).map(|offer| self.writer.as_logged(offer));
        if let Some(mut offer) = logged.ok().and_then(|offer| serde_json::from_value::<Offer>(offer).ok()) {
            offer.binds.iter_mut().for_each(crate::run::record::exact);
            prepared.job.offer = offer.clone();
            prepared.offer = offer;
        }
        let by = self.actor.clone();
        if !prepared.needed {
            let because = "the preview is 0: nothing is to be done".to_owned();
            self.take(Input::NotNeeded { step, because }, &by).await;
            return;
        }
        let att = prepared.offer.att;
        self.jobs.retain(|(of, _), _| of != &step);
        self.jobs.insert((step.clone(), att), prepared.job);
        if prepared.offer.level == Level::None {
            let on = prepared.offer.target.map(|target| target.name);
            self.take(Input::Begin { step, on }, &by).await;
        } else {
            let (offer, mut evidence) = (prepared.offer, prepared.evidence);
            let tried = self.state.steps.get(&step).and_then(|s| s.tried.as_ref());
            evidence
                .facts
                .extend(tried.and_then(|trial| trial.of(&offer.rendered)).map(|words| ("trial".into(), words)));
            self.take(Input::Show { step, offer, evidence }, &by).await;
        }
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        let means = (!failure.causes.is_empty()).then(|| failure.causes.join("; "));
        self.say(failure.message.clone(), means, failure.hint.clone());
    }
}

/// The claim that a worker took, as it stands in the data of its point.
fn claimed(data: &serde_json::Value) -> Option<(String, u64)> {
    let claim = data.get("claim")?;
    let epoch = claim.get("epoch")?;
    let epoch = epoch.as_u64().or_else(|| epoch.as_str()?.parse().ok())?;
    Some((claim.get("target")?.as_str()?.to_owned(), epoch))
}
