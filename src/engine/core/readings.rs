//! What is asked of the targets over and over: checks, links, the survey, and what a gate was decided on.
//!
//! Owns when readings reach the log and when a gate has become stale. Never asks by itself: probes are work too.

use std::sync::Arc;

use super::{ENGINE, Engine};
use crate::engine::{Link, clock};
use crate::run::decide::{Draft, Input};
use crate::run::gate;
use crate::run::next::passed;
use crate::run::record::{Checked, HoldReason, Now, Record};
use crate::survey::Survey;

impl Engine {
    pub(super) async fn tick(&mut self) {
        self.close_stale_gate().await;
        self.poll();
        self.record_checks(&clock::now()).await;
    }

    /// Asks what is due. Reads only, and waits for nothing.
    pub(super) fn poll(&mut self) {
        let now = clock::now();
        let urgent: Vec<_> = self
            .state
            .gate
            .as_ref()
            .and_then(|gate| self.runbook.steps.get(&gate.step))
            .map(|step| step.needs.iter().map(|need| &need.check).chain(self.state.guards.keys()).cloned().collect())
            .unwrap_or_default();
        if !self.state.closed() && self.leaving.is_none() {
            for check in self.probes.due(&now, &urgent) {
                self.work.check(check, self.context());
            }
            for target in self.probes.links_due(&now, &self.snapshot.targets) {
                self.work.link(target, self.targets.clone());
            }
        }
    }

    /// One unsynced record for all checks: every 5 s, at once on a changed verdict, at most one a second.
    pub(super) async fn record_checks(&mut self, now: &Now) {
        let age = self.checked_at.as_ref().map_or(u64::MAX, |at| now.seconds_since(at));
        let due = (self.verdicts_changed && age >= 1) || age >= 5;
        if !due || self.state.closed() || self.probes.readings().is_empty() {
            return;
        }
        let (checks, flaps) = self.probes.take_for_record();
        self.checked_at = Some(now.clone());
        self.verdicts_changed = false;
        let record = Record::Checked { checks, flaps };
        self.append(vec![Draft { step: None, att: None, record }], ENGINE).await;
    }

    pub(super) async fn answered(&mut self, checked: Checked) {
        self.refresh(&checked);
        self.judge(checked).await;
    }

    pub(super) fn refresh(&mut self, checked: &Checked) {
        self.verdicts_changed |= self.probes.answered(checked.clone(), &clock::now());
        self.dirty = true;
    }

    /// What an answer means for guards and for the open gate.
    pub(super) async fn judge(&mut self, checked: Checked) {
        if self.state.guards.contains_key(&checked.check) {
            // How long it must have held was proved when it was bound: a process that has just begun to look has not
            // seen it break.
            let pass = checked.verdict.is_pass().then(|| checked.verdict.clone());
            if let Some(verdict) = pass.or_else(|| self.probes.verdict(&checked.check)) {
                let input = Input::GuardChecked { check: checked.check, verdict, value: checked.value };
                self.take(input, ENGINE).await;
            }
        }
        self.close_stale_gate().await;
    }

    pub(super) async fn surveyed(&mut self, survey: Survey) {
        self.snapshot.surveying = false;
        for checked in &survey.checks {
            self.verdicts_changed |= self.probes.answered(checked.clone(), &clock::now());
        }
        for (target, identity) in &survey.targets {
            let link = match identity {
                Ok(identity) => Link::Up(Box::new(identity.clone())),
                Err(words) => Link::Down { words: words.clone(), since: clock::now() },
            };
            self.linked(target.clone(), link).await;
        }
        self.take(Input::Survey(survey.record()), ENGINE).await;
        self.surveyed_at = Some(clock::now());
        self.snapshot.survey = Some(Arc::new(survey));
    }

    pub(super) async fn linked(&mut self, target: String, link: Link) {
        let by_name = |entry: &&mut (String, Link)| entry.0 == target;
        let Some((_, old)) = self.snapshot.targets.iter_mut().find(by_name) else { return };
        let (was, is) = (old.clone(), link.clone());
        *old = link;
        self.dirty = true;
        match (was, is) {
            (Link::Up(before), Link::Up(after)) if !before.seen.is(&after.seen) => {
                let why = format!("another server answers now: {}", after.seen.words);
                self.take(Input::TargetLost { target: target.clone(), why: why.clone() }, ENGINE).await;
                let reason = HoldReason::Target { name: target };
                self.take(Input::Hold { reason, detail: why }, ENGINE).await;
            }
            (Link::Up(_), Link::Down { words, .. }) => {
                self.take(Input::TargetLost { target, why: words }, ENGINE).await;
            }
            // Lost it may have been to an earlier process, too.
            (was @ (Link::Connecting | Link::Down { .. }), Link::Up(identity)) => {
                let identity = serde_json::to_value(&identity.seen).unwrap_or_default();
                self.take(Input::TargetFound { target, identity }, ENGINE).await;
                if !matches!(was, Link::Connecting) {
                    self.probes.all_due();
                }
            }
            _ => {}
        }
    }

    pub(super) async fn close_stale_gate(&mut self) {
        let Some(open) = &self.state.gate else { return };
        let Some(step) = self.runbook.steps.get(&open.step) else { return };
        if open.shown.offer.undoes.as_deref() == Some(open.step.as_str()) {
            return;
        }
        let readings = self.probes.readings();
        let needs: Vec<_> = step
            .needs
            .iter()
            .filter(|need| !passed(&self.state, step, &need.check, need.hard))
            .filter_map(|need| readings.get(&need.check))
            .map(|checked| (checked, gate::freshness(self.probes.check(&checked.check), checked)))
            .collect();
        if let Some((reason, detail)) = gate::must_close(&needs, &open.at, &clock::now()) {
            let what = format!("The gate of {} closed: {detail}", open.step);
            self.take(Input::Close { reason, detail }, ENGINE).await;
            self.say(what, Some("nothing happened".into()), Some("Enter opens it again".into()));
        }
    }
}
