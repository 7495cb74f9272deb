//! What accepted records set going.
//!
//! Owns the hand-over to workers and when one must turn back. Never decides.

use std::collections::BTreeMap;

use super::{ENGINE, Engine, Leaving};
use crate::action::{Go, to_verify};
use crate::check::Context;
use crate::run::decide::Input;
use crate::run::effect::Effect;
use crate::run::record::{HoldReason, Outcome, OutcomeResult};
use crate::runbook::{Action, Reads};

impl Engine {
    pub(super) async fn run_effects(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                // What was on the disk before the log died is for the next process to settle.
                Effect::Work { .. } | Effect::Act(_) if self.lost.is_some() => {}
                Effect::Work { step, att } => self.begin(step, att).await,
                Effect::Release { step, att, .. } | Effect::ReleaseItem { step, att } => {
                    let go = if self.stopping() { Go::Stop } else { Go::Go };
                    self.release(&step, att, go);
                }
                Effect::Verify { step, .. } => {
                    if let Some(step) = self.runbook.steps.get(&step) {
                        let checks = to_verify(step, &self.state);
                        let undone = self.state.steps.get(&step.id).and_then(|s| s.undoes.clone());
                        self.work.verify(step.id.clone(), checks, undone, self.state.environment(), self.context());
                    }
                }
                Effect::Unsettled => drop(self.take(Input::SettleStart, ENGINE).await),
                Effect::Settle { step, att } => {
                    let reached = self.state.open.as_ref().map(|open| open.reached.clone()).unwrap_or_default();
                    let shown =
                        self.state.steps.get(&step).and_then(|s| s.shown.clone()).filter(|s| s.offer.att == att);
                    if let Some(step) = self.runbook.steps.get(&step) {
                        self.work.settle(step.clone(), shown.map(|s| s.offer), reached, self.context());
                    }
                }
                Effect::Act(act) => self.work.act(act, self.context()),
                Effect::Poll => self.probes.all_due(),
                Effect::End => {}
            }
        }
    }

    async fn begin(&mut self, step: String, att: u32) {
        let job = self.jobs.remove(&(step.clone(), att));
        let because = match job {
            Some(job) if !self.called_off() => return self.work.perform(step, att, job, self.context()),
            Some(_) => "nothing was started: the run was stopped while the intent was being written",
            None => "nothing was started: its preparation is gone",
        };
        let outcome = Outcome::new(OutcomeResult::NotApplied, because);
        self.take(Input::Finished { step, att, outcome }, ENGINE).await;
    }

    /// Whether a worker at a point of no return must turn back.
    pub(super) fn stopping(&self) -> bool {
        let claim_lost = self.state.holds.iter().any(|hold| matches!(hold, HoldReason::Claim { .. }));
        self.lost.is_some() || self.leaving == Some(Leaving::Terminate) || claim_lost
    }

    pub(super) fn release(&mut self, step: &str, att: u32, go: Go) {
        match self.waiting.take() {
            // A worker that is gone needs no answer.
            Some(waiting) if waiting.step == step && waiting.att == att => drop(waiting.reply.send(go)),
            other => self.waiting = other,
        }
    }

    pub(super) fn survey(&mut self) {
        if self.state.closed() {
            return;
        }
        self.snapshot.surveying = true;
        self.dirty = true;
        self.work.survey(self.context());
    }

    pub(super) fn context(&self) -> Context {
        let (runbook, state) = (&self.runbook, &self.state);
        let stands = |id: &str| state.status(id).stands();
        let mut reads: BTreeMap<String, BTreeMap<String, Reads>> = BTreeMap::new();
        for step in runbook.steps.values().filter(|step| stands(&step.id)) {
            for (service, topics) in &step.redeclares {
                let of = reads.entry(service.clone()).or_default();
                of.extend(topics.iter().map(|(topic, needs)| (topic.clone(), needs.clone())));
            }
        }
        let mut decided: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for step in runbook.steps.values() {
            if let (Action::Reconcile { set }, Some(rows)) = (&step.action, state.steps.get(&step.id)) {
                decided.entry(set.clone()).or_default().extend(rows.rows.clone());
            }
        }
        let images = state.steps.iter().filter_map(|(id, step)| {
            let image = step.outcome.as_ref().and_then(|outcome| outcome.before_image.clone());
            stands(id).then_some(())?;
            Some((id.clone(), image?))
        });
        Context {
            runbook: runbook.clone(),
            access: self.access.clone(),
            targets: self.targets.clone(),
            vars: state.vars.clone(),
            frozen: state.frozen.iter().map(|(name, frozen)| (name.clone(), frozen.content.clone())).collect(),
            changed: images.collect(),
            reads,
            decided,
            items: state.steps.iter().map(|(id, step)| (id.clone(), step.items.clone())).collect(),
            before: state.steps.iter().filter_map(|(id, step)| Some((id.clone(), step.before.clone()?))).collect(),
            standing: state.steps.keys().filter(|id| stands(id)).cloned().collect(),
            begun: state.steps.iter().filter_map(|(id, step)| Some((id.clone(), step.begun.clone()?))).collect(),
            head: self.head.clone(),
        }
    }
}
