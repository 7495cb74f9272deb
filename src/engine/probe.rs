//! Probes: when each check is asked again, what its answers have been, and what `for: 30s` makes of them.
//!
//! Owns the readings. Never asks by itself: it says what is due, the engine sends a task, and the answer comes back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Link, Live};
use crate::run::gate::elapsed;
use crate::run::next::Readings;
use crate::run::record::{Checked, Now, Record};
use crate::runbook::expect::{Verdict, duration_text};
use crate::runbook::{Check, CheckRef, Runbook};

/// Answers kept for the sparkline.
const HISTORY: usize = 60;
/// A service that must be gone is asked for this often.
const GONE_EVERY: Duration = Duration::from_secs(3);
/// While a gate is open, its needs are asked this often.
const URGENT_EVERY: Duration = Duration::from_secs(1);
/// A target that answers is asked who it is this often; one that does not, more often.
const LINK_EVERY: Duration = Duration::from_secs(15);
const LINK_AGAIN: Duration = Duration::from_secs(3);

struct Probe {
    check: Option<Check>,
    live: Live,
    asked_at: Option<Now>,
    /// Since when every observed answer was a pass.
    green_since: Option<Now>,
    due: bool,
}

pub struct Probes {
    probes: BTreeMap<CheckRef, Probe>,
    readings: Readings,
    flaps: u32,
    links: BTreeMap<String, Now>,
}

impl Probes {
    pub fn new(runbook: &Runbook) -> Self {
        let checks = runbook.checks.values().map(|check| (CheckRef::Check(check.name.clone()), Some(check.clone())));
        let gone = runbook.services.values().filter(|service| service.gone);
        let gone = gone.map(|service| CheckRef::ServiceGone(service.name.clone()));
        // A step may wait for one that is to come back, too.
        let needed = runbook.steps.values().flat_map(|step| &step.needs).map(|need| need.check.clone());
        let needed = needed.filter(|check| matches!(check, CheckRef::ServiceGone(_)));
        let gone = gone.chain(needed).map(|check| (check, None));
        let probe = |check| Probe {
            check,
            live: Live { latest: None, history: VecDeque::new(), asking: false },
            asked_at: None,
            green_since: None,
            due: false,
        };
        Self {
            probes: checks.chain(gone).map(|(name, check)| (name, probe(check))).collect(),
            readings: Readings::new(),
            flaps: 0,
            links: BTreeMap::new(),
        }
    }

    /// Latest answers, as decisions see them.
    pub fn readings(&self) -> &Readings {
        &self.readings
    }

    pub fn check(&self, name: &CheckRef) -> Option<&Check> {
        self.probes.get(name)?.check.as_ref()
    }

    pub fn verdict(&self, check: &CheckRef) -> Option<Verdict> {
        self.readings.get(check).map(|checked| checked.verdict.clone())
    }

    pub fn live(&self) -> BTreeMap<CheckRef, Live> {
        self.probes.iter().map(|(name, probe)| (name.clone(), probe.live.clone())).collect()
    }

    pub fn recheck(&mut self, check: &CheckRef) {
        if let Some(probe) = self.probes.get_mut(check) {
            probe.due = true;
        }
    }

    pub fn all_due(&mut self) {
        self.probes.values_mut().for_each(|probe| probe.due = true);
    }

    /// A record that changes what is worth asking.
    pub fn heard(&mut self, record: &Record) {
        if matches!(record, Record::Outcome(_) | Record::VarSet { .. } | Record::Frozen(_)) {
            self.all_due();
        }
    }

    /// What to ask now; marks it as being asked.
    pub fn due(&mut self, now: &Now, urgent: &[CheckRef]) -> Vec<CheckRef> {
        let mut due = Vec::new();
        for (name, probe) in &mut self.probes {
            let every = match urgent.contains(name) {
                true => URGENT_EVERY,
                false => probe.check.as_ref().map_or(GONE_EVERY, |check| check.every),
            };
            // A check that is slow is not asked back to back.
            let slow = probe.live.latest.as_ref().map_or(Duration::ZERO, |c| Duration::from_millis(c.took_ms * 2));
            let waited = probe.asked_at.as_ref().map_or(Duration::MAX, |at| elapsed(at, now));
            if !probe.live.asking && (probe.due || waited >= every.max(slow)) {
                probe.due = false;
                probe.live.asking = true;
                probe.asked_at = Some(now.clone());
                due.push(name.clone());
            }
        }
        due
    }

    pub fn links_due(&mut self, now: &Now, targets: &[(String, Link)]) -> Vec<String> {
        let mut due = Vec::new();
        for (name, link) in targets {
            let every = if matches!(link, Link::Up(_)) { LINK_EVERY } else { LINK_AGAIN };
            if self.links.get(name).is_none_or(|at| elapsed(at, now) >= every) {
                self.links.insert(name.clone(), now.clone());
                due.push(name.clone());
            }
        }
        due
    }

    /// Takes an answer in. True where the verdict is another than before.
    pub fn answered(&mut self, mut checked: Checked, now: &Now) -> bool {
        let Some(probe) = self.probes.get_mut(&checked.check) else { return false };
        probe.live.asking = false;
        probe.asked_at = Some(now.clone());
        checked.verdict = held_for(probe, checked.verdict, now);
        let before = probe.live.latest.as_ref().map(|checked| checked.verdict.word());
        let changed = before != Some(checked.verdict.word());
        if changed && before.is_some() {
            self.flaps += 1;
        }
        probe.live.history.push_back(checked.clone());
        if probe.live.history.len() > HISTORY {
            probe.live.history.pop_front();
        }
        probe.live.latest = Some(checked.clone());
        self.readings.insert(checked.check.clone(), checked);
        changed
    }

    /// Everything for one `checked` record, and how often verdicts changed since the last.
    pub fn take_for_record(&mut self) -> (Vec<Checked>, u32) {
        (self.readings.values().cloned().collect(), std::mem::take(&mut self.flaps))
    }
}

/// `for: 30s` counts observed time only; until then a pass is unknown.
fn held_for(probe: &mut Probe, verdict: Verdict, now: &Now) -> Verdict {
    if verdict != Verdict::Pass {
        probe.green_since = None;
        return verdict;
    }
    let since = probe.green_since.get_or_insert_with(|| now.clone());
    let Some(hold) = probe.check.as_ref().and_then(|check| check.hold) else { return verdict };
    let held = elapsed(since, now);
    if held >= hold {
        return Verdict::Pass;
    }
    Verdict::Unknown { because: format!("green for {} s, it must be for {}", held.as_secs(), duration_text(hold)) }
}
