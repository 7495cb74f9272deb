//! What stands between the run and its next step, and the one sentence that says what to do now.
//!
//! Pure. Owns the order of phases, `after`, `when`, `needs` and holds; never decides for the operator.

use std::collections::{BTreeMap, HashSet};

use super::record::{Checked, End, HoldReason, Now, OutcomeResult};
use super::state::{State, Status};
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, After, CheckRef, HttpRequest, Phase, Runbook, Step};
use crate::text::counted;

pub type Readings = BTreeMap<CheckRef, Checked>;

/// Why a step may not begin. `hard` ones are passed only by break-glass; waits are passed by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    After { step: String, hard: bool },
    Phase { step: String },
    When { step: String, wanted: String, taken: Option<String> },
    Need { check: CheckRef, verdict: Option<Verdict>, hard: bool, because: Option<String> },
    Held(HoldReason),
    Open { step: String },
    Gate { step: String },
    NotEntered,
    Ended,
    Status(Status),
    Decision { rows: usize },
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After { step, .. } => write!(f, "{step} comes first"),
            Self::Phase { step } => write!(f, "{step} of the phase before it is not finished"),
            Self::When { step, wanted, taken: Some(taken) } => write!(f, "{step} was decided as {taken}, not {wanted}"),
            Self::When { step, wanted, taken: None } => write!(f, "{step} has not been decided ({wanted} leads here)"),
            Self::Need { check, verdict, because, .. } => {
                match verdict {
                    Some(Verdict::Unknown { because }) => write!(f, "{check} is unknown: {because}"),
                    Some(Verdict::Fail) => write!(f, "{check} is red"),
                    Some(Verdict::Pass) => write!(f, "{check} is green"),
                    None => write!(f, "{check} has not been asked yet"),
                }?;
                because.iter().try_for_each(|because| write!(f, ": {because}"))
            }
            Self::Held(reason) => write!(f, "the run is held: {}", hold_words(reason)),
            Self::Open { step } => write!(f, "{step} is running"),
            Self::Gate { step } => write!(f, "the gate of {step} is open"),
            Self::NotEntered => f.write_str("the entry point has not been accepted"),
            Self::Ended => f.write_str("the run has ended"),
            Self::Status(status) => write!(f, "the step is {}", status.word()),
            Self::Decision { rows } => write!(f, "{} undecided", counted(*rows, "row")),
        }
    }
}

impl Blocked {
    /// Without the reason of a need and its way out, which stand where there is room for them.
    fn brief(&self) -> String {
        match self.clone() {
            Self::Need { check, verdict, hard, .. } => Self::Need { check, verdict, hard, because: None }.to_string(),
            other => other.to_string(),
        }
    }
}

pub fn hold_words(reason: &HoldReason) -> String {
    match reason {
        HoldReason::Operator => "by the operator".into(),
        HoldReason::Terminal => "the terminal was lost".into(),
        HoldReason::Signal => "a signal asked for it".into(),
        HoldReason::Suspended => "the machine was suspended".into(),
        HoldReason::Target { name } => format!("target {name} does not answer"),
        HoldReason::Guard { check } => format!("guard {check} broke"),
        HoldReason::Claim { target } => format!("another run took over {target}"),
        HoldReason::Step { step } => format!("{step} wants a decision"),
    }
}

/// Everything that stands in the way of `step`, worst first. Empty: it may be prepared.
pub fn blocked(runbook: &Runbook, state: &State, step: &Step, undoing: bool, readings: &Readings) -> Vec<Blocked> {
    let mut why = Vec::new();
    if state.closed() {
        return vec![Blocked::Ended];
    }
    if let Some(open) = &state.open {
        why.push(Blocked::Open { step: open.step.clone() });
    }
    if let Some(gate) = &state.gate {
        why.push(Blocked::Gate { step: gate.step.clone() });
    }
    let status = state.status(&step.id);
    let ready = if undoing { status.stands() } else { status.open_to_attempt() };
    if !ready {
        why.push(Blocked::Status(status));
    }
    let undo = undoing || matches!(step.action, Action::UndoOf { .. });
    why.extend(held_by(state, step, undo).cloned().map(Blocked::Held));
    if undoing {
        return why;
    }
    // Containing waits for nothing that it does not name itself: also not for the survey to end.
    if !state.entered && step.phase != Phase::Contain {
        why.push(Blocked::NotEntered);
    }
    why.extend(order(runbook, state, step));
    for (decision, wanted) in &step.when {
        let taken = state.steps.get(decision).and_then(|s| s.decided.as_ref()).map(|(option, _)| option.clone());
        if taken.as_ref() != Some(wanted) || !state.status(decision).finished() {
            why.push(Blocked::When { step: decision.clone(), wanted: wanted.clone(), taken });
        }
    }
    let needs = step.needs.iter().filter(|need| !passed(state, step, &need.check, need.hard));
    why.extend(needs.filter_map(|need| {
        let verdict = readings.get(&need.check).map(|checked| checked.verdict.clone());
        (verdict != Some(Verdict::Pass)).then(|| {
            let (check, because) = (need.check.clone(), need.because.clone());
            Blocked::Need { check, verdict, hard: need.hard, because }
        })
    }));
    why
}

/// Whether this need is passed over at the coming gate, by name.
pub fn passed(state: &State, step: &Step, check: &CheckRef, hard: bool) -> bool {
    state.steps.get(&step.id).is_some_and(|s| s.passed.contains(&need_word(check, hard)))
}

/// What an override of a need is called in the log.
pub fn need_word(check: &CheckRef, hard: bool) -> String {
    if hard { format!("hard need {check}") } else { format!("need {check}") }
}

/// `after` and the phases.
fn order(runbook: &Runbook, state: &State, step: &Step) -> Vec<Blocked> {
    let open = |after: &After| {
        open_before(runbook, state, &after.step).map(|step| Blocked::After { step: step.to_owned(), hard: after.hard })
    };
    let mut why: Vec<_> = step.after.iter().filter_map(open).collect();
    if let Some(earlier) = runbook.steps.values().find(|other| other.phase < step.phase && !state.behind(&other.id)) {
        why.push(Blocked::Phase { step: earlier.id.clone() });
    }
    why
}

/// `step`, or what it waits for, where that is not finished: a step that falls away, because a decision went another
/// way, does not free those behind it from those before it.
fn open_before<'a>(runbook: &'a Runbook, state: &State, step: &'a str) -> Option<&'a str> {
    if !state.behind(step) {
        return Some(step);
    }
    let fell_away = state.status(step) == Status::NotNeeded;
    let after = runbook.steps.get(step).filter(|_| fell_away).map_or(&[][..], |step| &step.after);
    after.iter().find_map(|after| open_before(runbook, state, &after.step))
}

/// The holds that stop this step, or its undo.
pub fn held_by<'a>(state: &'a State, step: &Step, undo: bool) -> impl Iterator<Item = &'a HoldReason> {
    state.holds.iter().filter(move |hold| holds(hold, step, undo))
}

/// Whether this hold stops this step: a guard stops new repair only; a target, whatever is on it and new repair anywhere.
fn holds(hold: &HoldReason, step: &Step, undo: bool) -> bool {
    match hold {
        HoldReason::Guard { .. } => step.phase == Phase::Repair && !undo && !reads_only(&step.action),
        HoldReason::Step { step: other } => other != &step.id && !undo && step.phase != Phase::Contain,
        HoldReason::Target { name: target } | HoldReason::Claim { target } => {
            step.on.as_ref() == Some(target) || (step.phase == Phase::Repair && !undo && !reads_only(&step.action))
        }
        HoldReason::Operator | HoldReason::Terminal | HoldReason::Signal | HoldReason::Suspended => true,
    }
}

/// Reads, or asks for a word: nothing in the world changes. Handwork changes it.
pub fn reads_only(action: &Action) -> bool {
    match action {
        Action::Freeze(_) | Action::Reconcile { .. } | Action::Decide(_) => true,
        Action::Http(request) => reads_http(request),
        _ => false,
    }
}

fn reads_http(request: &HttpRequest) -> bool {
    matches!(request.method.as_str(), "GET" | "HEAD")
}

/// How long a person has been asked for this, and within what time the author wants it. Seconds.
pub fn asked_for(state: &State, step: &Step, now: &Now) -> Option<(u64, u64)> {
    let within = step.within.filter(|_| matches!(step.action, Action::Manual(_) | Action::Decide(_)))?;
    let asked = state.steps.get(&step.id).filter(|s| s.status == Status::Enabled)?.since.as_ref()?;
    Some((now.seconds_since(asked), within.as_secs()))
}

/// Whether a step, or what it undoes, is statements on a schema.
pub fn has_statements(runbook: &Runbook, step: &Step) -> bool {
    match &step.action {
        Action::UndoOf { step: undone } => runbook
            .steps
            .get(undone)
            .is_some_and(|undone| matches!(undone.undo.as_deref().unwrap_or(&undone.action), Action::Ddl(_))),
        action => matches!(action, Action::Ddl(_)),
    }
}

/// The target that a step acts on: of an undo, that of what it undoes.
pub fn target_of<'a>(runbook: &'a Runbook, step: &'a Step) -> Option<&'a str> {
    let undone = match &step.action {
        Action::UndoOf { step: undone } => runbook.steps.get(undone).and_then(|undone| undone.on.as_deref()),
        _ => None,
    };
    step.on.as_deref().or(undone)
}

/// What stands and was built on a step, directly or over others, in the order of the runbook.
pub fn built_on<'a>(runbook: &'a Runbook, state: &State, step: &'a Step) -> Vec<&'a str> {
    let mut on_it = HashSet::from([step.id.as_str()]);
    // In the order of the runbook one pass finds nearly all; a step may also come after one that is written below it.
    loop {
        let known = on_it.len();
        for other in runbook.steps.values() {
            if other.after.iter().any(|after| on_it.contains(after.step.as_str())) {
                on_it.insert(&other.id);
            }
        }
        if on_it.len() == known {
            break;
        }
    }
    on_it.remove(step.id.as_str());
    let stands = |other: &&Step| state.status(&other.id).stands() && !reads_only(&other.action);
    let steps = runbook.steps.values().filter(|other| on_it.contains(other.id.as_str())).filter(stands);
    steps.map(|other| other.id.as_str()).collect()
}

/// The step whose turn it is in the order of the runbook and that has not been told so.
pub fn turn<'a>(runbook: &'a Runbook, state: &State) -> Option<&'a Step> {
    let open = |step: &&Step| {
        let status = state.status(&step.id);
        status.open_to_attempt() && !status.finished() && (state.entered || step.phase == Phase::Contain)
    };
    runbook
        .steps
        .values()
        .filter(open)
        .find(|step| order(runbook, state, step).is_empty())
        .filter(|step| state.steps.get(&step.id).is_some_and(|s| s.status == Status::Waiting))
}

/// The step that is next in the order of the runbook, with what stands in its way.
pub fn next_step<'a>(runbook: &'a Runbook, state: &State, readings: &Readings) -> Option<(&'a Step, Vec<Blocked>)> {
    let mut first = None;
    for step in runbook.steps.values() {
        let status = state.status(&step.id);
        // What was undone may be done again, but only on request.
        if !status.open_to_attempt() || status.finished() {
            continue;
        }
        let why = blocked(runbook, state, step, false, readings);
        if why.is_empty() {
            return Some((step, why));
        }
        if first.is_none() && order(runbook, state, step).is_empty() {
            first = Some((step, why));
        }
    }
    first
}

/// The one thing to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// One imperative sentence.
    pub sentence: String,
    pub step: Option<String>,
    /// Enter leads on.
    pub enter: bool,
}

pub fn next(runbook: &Runbook, state: &State, readings: &Readings) -> Next {
    let say = |sentence: String, step: Option<&str>, enter| Next { sentence, step: step.map(str::to_owned), enter };
    if let Some((end, open)) = &state.ended {
        let words = match end {
            End::Recovered => "Recovered: read the summary, then leave".to_owned(),
            End::Degraded => {
                format!("Degraded, safe and owned: {} with an owner each", counted(open.len(), "open item"))
            }
            End::Stopped => "Stopped: nothing more happens in this run".to_owned(),
        };
        return say(words, None, false);
    }
    if let Some(because) = &state.abandoned {
        return say(format!("Abandoned: {because}"), None, false);
    }
    if let Some(gate) = &state.gate {
        let token = &gate.shown.offer.token;
        return say(
            format!("Read all of it, then type  {token}  and Enter.   Esc: nothing happens"),
            Some(&gate.step),
            false,
        );
    }
    if let Some(open) = &state.open {
        let what = match &open.intent.undoes {
            Some(undone) => format!("the undo of {undone}"),
            None => open.step.clone(),
        };
        return if open.unknown {
            say(format!("Settle {what}: it may have happened, and nobody knows yet"), Some(&open.step), false)
        } else {
            say(format!("Wait: {what} is running"), Some(&open.step), false)
        };
    }
    if let Some((id, _)) = state.steps.iter().find(|(_, s)| s.status == Status::Applied) {
        return say(format!("Wait: what must hold after {id} is being judged"), Some(id), false);
    }
    if let Some(id) = state.undo_failed() {
        let what = match runbook.steps.get(id).map(|step| &step.action) {
            Some(Action::UndoOf { step: undone }) => format!("it failed, and {undone} still stands"),
            _ => "its undo failed, it still stands".to_owned(),
        };
        return say(format!("Decide about {id}: {what}"), Some(id), true);
    }
    if let Some((id, s)) = state.steps.iter().find(|(_, s)| s.status.is_red() && !s.forward) {
        let what = match s.status {
            Status::NotExact => "undone, but not all is as before",
            _ => "it was applied, but what must hold after it does not",
        };
        return say(format!("Decide about {id}: {what}"), Some(id), true);
    }
    if let Some(hold) = state.holds.iter().find(|hold| !matches!(hold, HoldReason::Guard { .. })) {
        return say(format!("Held: {}. Lift the hold when it is safe", hold_words(hold)), None, false);
    }
    match next_step(runbook, state, readings) {
        Some((step, why)) if why.is_empty() => {
            let sentence = match &step.action {
                Action::Decide(_) => format!("Decide {}: {}", step.id, step.title),
                Action::Manual(_) => format!("Do {} by hand, then say what you saw: {}", step.id, step.title),
                Action::Reconcile { .. } => format!("Sort the rows of {}: {}", step.id, step.title),
                Action::Freeze(_) => format!("Freeze the evidence: {} needs nothing more", step.id),
                _ => format!("Open the gate of {}: {}", step.id, step.title),
            };
            say(sentence, Some(&step.id), true)
        }
        Some((_, why)) if why.contains(&Blocked::NotEntered) => {
            say("Look at the map, then accept where to enter".into(), None, true)
        }
        Some((step, why)) => {
            let first = why.first().map(Blocked::brief).unwrap_or_default();
            let mend = why.first().and_then(|why| mender(runbook, state, why)).unwrap_or_default();
            say(format!("{} waits: {first}{mend}", step.id), Some(&step.id), false)
        }
        None if !state.entered => say("Look at the map, then accept where to enter".into(), None, true),
        None => close_sentence(runbook, state, readings),
    }
}

/// The step that would make a need hold and was passed by.
fn mender(runbook: &Runbook, state: &State, why: &Blocked) -> Option<String> {
    let Blocked::Need { check, .. } = why else { return None };
    let passed = |step: &&Step| matches!(state.status(&step.id), Status::Skipped | Status::Undone);
    let step = runbook.steps.values().filter(passed).find(|step| step.verify.contains(check))?;
    Some(format!(". {} makes it hold and was {}: select it and open it", step.id, state.status(&step.id).word()))
}

fn close_sentence(runbook: &Runbook, state: &State, readings: &Readings) -> Next {
    let red = runbook
        .checks
        .keys()
        .map(|name| CheckRef::Check(name.clone()))
        .filter(|check| readings.get(check).map(|c| &c.verdict) != Some(&Verdict::Pass))
        .filter(|check| !contained(state, check))
        .count();
    let sentence = if red == 0 {
        "Close the run: every step is finished and every check is green".to_owned()
    } else {
        format!("Wait, or look: every step is finished, but {} not green", counted(red, "check"))
    };
    Next { sentence, step: None, enter: true }
}

/// A check that only had to hold while something was contained.
pub fn contained(state: &State, check: &CheckRef) -> bool {
    let verifies_undone = |step: &super::state::StepState| {
        step.status == Status::Undone && step.verified.iter().any(|checked| &checked.check == check)
    };
    state.steps.values().any(verifies_undone) || (state.released.contains(check) && !state.guards.contains_key(check))
}

/// The result that a step's evidence gives, for `settle`.
pub fn settled_word(result: OutcomeResult) -> &'static str {
    match result {
        OutcomeResult::Applied => "it happened, once",
        OutcomeResult::NotApplied => "it did not happen",
        OutcomeResult::Unknown => "the evidence cannot tell",
    }
}
