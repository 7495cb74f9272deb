//! What drivers ask of the run.
//!
//! Owns how an ask becomes an input or a preparation. Never waits for a target.

use super::{ENGINE, Engine, Leaving};
use crate::action::Job;
use crate::engine::{Ask, clock};
use crate::run::decide::Input;
use crate::run::effect::Effect;
use crate::run::gate;
use crate::run::record::{Act, CloseReason, HoldReason};
use crate::runbook::template::as_text;
use crate::runbook::{Action, SetSource};

impl Engine {
    pub(super) async fn ask(&mut self, ask: Ask) {
        self.snapshot.message = None;
        self.dirty = true;
        let by = self.actor.clone();
        match ask {
            Ask::Enter { done } => drop(self.take(Input::Enter { done }, &by).await),
            Ask::Open { step } => self.prepare(&step, false),
            Ask::Undo { step } => self.prepare(&step, true),
            Ask::Answer { typed, reason, looked_ms, from_file } => {
                self.answer(typed, reason, looked_ms, from_file).await;
            }
            Ask::BreakGlass { reason } => drop(self.take(Input::BreakGlass { reason }, &by).await),
            Ask::Close => {
                let input = Input::Close { reason: CloseReason::Left, detail: "the operator left it".into() };
                self.take(input, &by).await;
            }
            Ask::Override { step, reason } => drop(self.take(Input::Override { step, reason }, &by).await),
            Ask::Skip { step, reason } => drop(self.take(Input::Skip { step, reason }, &by).await),
            Ask::Jump { to, reason } => drop(self.take(Input::Jump { to, reason }, &by).await),
            Ask::Note { step, text } => drop(self.take(Input::Note { step, text }, &by).await),
            Ask::SetVar { name, value } => self.set_var(name, &value).await,
            Ask::Decide { step, option, reason } => drop(self.take(Input::Decide { step, option, reason }, &by).await),
            Ask::Seen { step, seen } => drop(self.take(Input::Seen { step, seen }, &by).await),
            Ask::Classify { step, row, class, reason } => {
                if self.take(Input::Classify { step: step.clone(), row, class, reason }, &by).await {
                    self.classify(&step);
                }
            }
            Ask::Verify { step } => {
                let att = self.state.steps.get(&step).map_or(0, |s| s.att);
                self.effects.push_back(Effect::Verify { step, att });
            }
            Ask::Settle { step, result, reason } => {
                if self.state.open.as_ref().is_some_and(|open| open.step == step) {
                    self.take(Input::Settle { result, reason, outcome: None }, &by).await;
                } else {
                    self.say(format!("{step} has nothing to settle"), None, None);
                }
            }
            Ask::Elsewhere { step, evidence } => drop(self.take(Input::Elsewhere { step, evidence }, &by).await),
            Ask::Hold { why } => {
                self.take(Input::Hold { reason: HoldReason::Operator, detail: why }, &by).await;
            }
            Ask::Lift => drop(self.take(Input::Lift, &by).await),
            Ask::Act { act, typed } => {
                let act = self.ours(act);
                let token = gate::act_token(&act);
                self.take(Input::Act { act, token, typed }, &by).await;
            }
            Ask::Recheck { check } => {
                self.probes.recheck(&check);
            }
            Ask::Finish { end, open } => drop(self.take(Input::Finish { end, open }, &by).await),
            Ask::Leave { why } => self.leave(Leaving::Leave, HoldReason::Terminal, &why).await,
            Ask::Terminate => self.leave(Leaving::Terminate, HoldReason::Signal, "SIGTERM").await,
        }
    }

    /// A cancel is of the session that the open intent's worker named last, and of no later one.
    fn ours(&self, act: Act) -> Act {
        let Act::Cancel { target, .. } = act else { return act };
        let reached = self
            .state
            .open
            .as_ref()
            .and_then(|open| open.reached.iter().rev().find(|(_, data)| data.get("pid").is_some()));
        let part = |name: &str| reached.and_then(|(_, data)| data.get(name)).map(as_text);
        Act::Cancel { target, pid: part("pid"), since: part("backend_start") }
    }

    pub(super) async fn set_var(&mut self, name: String, text: &str) {
        let Some(var) = self.runbook.vars.get(&name) else {
            return self.say(format!("the runbook has no variable {name}"), None, None);
        };
        match crate::runbook::vars::read_value(var.kind, text) {
            Ok(value) => {
                let by = self.actor.clone();
                if self.take(Input::SetVar { name, value }, &by).await {
                    self.probes.all_due();
                }
            }
            Err(why) => self.say(format!("{name}: {why}"), None, None),
        }
    }

    pub(super) fn prepare(&mut self, id: &str, undoing: bool) {
        let Some(step) = self.runbook.steps.get(id) else {
            return self.say(format!("the runbook has no step {id}"), None, None);
        };
        if self.snapshot.preparing.is_some() {
            return self.say("another step is being prepared".into(), None, None);
        }
        let att = self.state.steps.get(id).map_or(0, |s| s.att) + 1;
        self.snapshot.preparing = Some((id.to_owned(), clock::now()));
        // Guards too: the step before this one may have broken what was green when it was last asked.
        let guards = self.state.guards.keys().cloned();
        let asked = step.needs.iter().map(|need| need.check.clone()).chain(guards).collect();
        self.work.prepare(step.clone(), att, undoing, asked, self.state.environment(), self.context());
        if matches!(step.action, Action::Reconcile { .. }) {
            self.classify(id);
        }
    }

    pub(super) fn classify(&mut self, id: &str) {
        if let Some(Action::Reconcile { set }) = self.runbook.steps.get(id).map(|step| &step.action)
            && self.runbook.sets.get(set).is_some_and(|set| matches!(set.source, SetSource::Compare(_)))
        {
            self.work.classify(set.clone(), self.context());
        }
    }

    pub(super) async fn answer(&mut self, typed: String, reason: Option<String>, looked_ms: u64, from_file: bool) {
        let transactional = self
            .state
            .gate
            .as_ref()
            .and_then(|gate| self.jobs.get(&(gate.step.clone(), gate.att)))
            .is_some_and(Job::is_transactional);
        let by = self.actor.clone();
        self.take(Input::Answer { typed, reason, looked_ms, from_file, transactional }, &by).await;
    }

    pub(super) async fn leave(&mut self, how: Leaving, reason: HoldReason, why: &str) {
        self.leaving = Some(how);
        if self.state.gate.is_some() {
            self.take(Input::Close { reason: CloseReason::Left, detail: why.to_owned() }, ENGINE).await;
        }
        if !self.state.closed() {
            self.take(Input::Hold { reason, detail: why.to_owned() }, ENGINE).await;
        }
        if how == Leaving::Terminate {
            self.work.cancel();
            self.work.cancel_trial();
        }
    }
}
