//! Decisions: an input and the state give records, or a refusal.
//!
//! Pure: reads no clock and does no I/O. What a decision rests on stands in the records it gives.

use serde_json::Value;

use super::gate::{self, elapsed, reason_is_enough};
use super::next::{Blocked, Readings, blocked, reads_only};
use super::record::{
    Act, Actor, Checked, CloseReason, End, Environment, Evidence, Frozen, GateAnswered, GateShown, HoldReason, Intent,
    ItemDone, Now, Offer, OpenItem, Outcome, OutcomeResult, Point, Position, Record, RunStarted, Settled, Surveyed,
};
use super::state::{State, Status};
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, CheckRef, Level, Phase, Runbook, Step};

/// What the engine sampled for this decision.
pub struct Facts<'a> {
    pub now: &'a Now,
    /// The actor that asked.
    pub by: &'a str,
    pub readings: &'a Readings,
}

/// A record before it is stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub step: Option<String>,
    pub att: Option<u32>,
    pub record: Record,
}

/// An input that was turned down: why, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub because: String,
    pub instead: Option<String>,
}

/// What may come to the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Start { started: RunStarted, actor: Actor },
    Join(Actor),
    SetVar { name: String, value: Value },
    Survey(Surveyed),
    Enter { done: Vec<String> },
    /// The step was prepared: show its gate.
    Show { step: String, offer: Offer, evidence: Evidence },
    /// The step was prepared and asks for nothing: begin.
    Begin { step: String, on: Option<String> },
    /// The preview was 0.
    NotNeeded { step: String, because: String },
    Answer { typed: String, reason: Option<String>, looked_ms: u64, from_file: bool, transactional: bool },
    BreakGlass { reason: String },
    Close { reason: CloseReason, detail: String },
    Override { step: String, reason: String },
    Reached { step: String, att: u32, point: Point, data: Value },
    AttemptFailed { step: String, att: u32, code: String, message: String, again_in_ms: Option<u64> },
    Progressed { step: String, att: u32, done: u64, of: Option<u64> },
    Item { step: String, att: u32, item: ItemDone },
    Froze { step: String, att: u32, items: Vec<Frozen> },
    Finished { step: String, att: u32, outcome: Outcome },
    Verified { step: String, checks: Vec<Checked> },
    Decide { step: String, option: String, reason: String },
    /// What a person did by hand, and saw.
    Seen { step: String, seen: String },
    Classify { step: String, row: String, class: String, reason: String },
    Skip { step: String, reason: String },
    Jump { to: String, reason: String },
    Note { step: Option<String>, text: String },
    Elsewhere { step: String, evidence: String },
    SettleStart,
    SettleEvidence { what: String, finding: String },
    Settle { result: OutcomeResult, reason: String, outcome: Option<Outcome> },
    GuardChecked { check: CheckRef, verdict: Verdict, value: Option<Value> },
    Hold { reason: HoldReason, detail: String },
    Lift,
    Claimed { target: String, epoch: u64 },
    ClaimLost { target: String, holder: String },
    TargetLost { target: String, why: String },
    TargetFound { target: String, identity: Value },
    Act { act: Act, token: String, typed: String },
    ActDone { act: Act, applied: bool, detail: String },
    Finish { end: End, open: Vec<OpenItem> },
}

type Decided = Result<Vec<Draft>, Refusal>;

fn no(because: impl Into<String>) -> Refusal {
    Refusal { because: because.into(), instead: None }
}

fn but(because: impl Into<String>, instead: impl Into<String>) -> Refusal {
    Refusal { because: because.into(), instead: Some(instead.into()) }
}

fn run(record: Record) -> Draft {
    Draft { step: None, att: None, record }
}

fn of(step: &str, record: Record) -> Draft {
    Draft { step: Some(step.to_owned()), att: None, record }
}

fn at(step: &str, att: u32, record: Record) -> Draft {
    Draft { step: Some(step.to_owned()), att: Some(att), record }
}

/// Turns an input into records.
///
/// # Errors
/// A refusal where the state, the runbook or the facts do not allow it.
pub fn decide(runbook: &Runbook, state: &State, input: &Input, facts: &Facts<'_>) -> Decided {
    if state.closed() && !matches!(input, Input::Note { .. }) {
        return Err(no("the run has ended"));
    }
    let find = |id: &str| runbook.steps.get(id).ok_or_else(|| no(format!("the runbook has no step {id}")));
    match input {
        Input::Start { started, actor } => {
            Ok(vec![run(Record::RunStarted(started.clone())), run(Record::OperatorJoined(actor.clone()))])
        }
        Input::Join(actor) => Ok(vec![run(Record::OperatorJoined(actor.clone()))]),
        Input::SetVar { name, value } => match runbook.vars.contains_key(name) {
            true => Ok(vec![run(Record::VarSet { name: name.clone(), value: value.clone() })]),
            false => Err(no(format!("the runbook has no variable {name}"))),
        },
        Input::Survey(survey) => Ok(vec![run(Record::Surveyed(survey.clone()))]),
        Input::Enter { done } => enter(runbook, state, done),
        Input::Show { step, offer, evidence } => show(runbook, state, find(step)?, offer, evidence, facts),
        Input::Begin { step, on } => begin(runbook, state, find(step)?, on.clone(), facts),
        Input::NotNeeded { step, because } => {
            find(step)?;
            Ok(vec![of(step, Record::NotNeeded { because: because.clone() })])
        }
        Input::Answer { typed, reason, looked_ms, from_file, transactional } => {
            let answer = Typed { typed, reason: reason.as_deref(), looked_ms: *looked_ms, from_file: *from_file };
            answer_gate(runbook, state, &answer, *transactional, facts)
        }
        Input::BreakGlass { reason } => break_glass(state, reason),
        Input::Close { reason, detail } => {
            let gate = state.gate.as_ref().ok_or_else(|| no("no gate is open"))?;
            let record = Record::GateClosed { reason: *reason, detail: detail.clone() };
            Ok(vec![at(&gate.step, gate.att, record)])
        }
        Input::Override { step, reason } => pass_over(runbook, state, find(step)?, reason, facts),
        Input::Reached { step, att, point, data } => {
            Ok(vec![at(step, *att, Record::Reached { point: *point, data: data.clone() })])
        }
        Input::AttemptFailed { step, att, code, message, again_in_ms } => {
            let (code, message) = (code.clone(), message.clone());
            Ok(vec![at(step, *att, Record::AttemptFailed { code, message, again_in_ms: *again_in_ms })])
        }
        Input::Progressed { step, att, done, of } => {
            Ok(vec![at(step, *att, Record::Progressed { done: *done, of: *of })])
        }
        Input::Item { step, att, item } => Ok(vec![at(step, *att, Record::ItemDone(item.clone()))]),
        Input::Froze { step, att, items } => {
            Ok(items.iter().map(|item| at(step, *att, Record::Frozen(item.clone()))).collect())
        }
        Input::Finished { step, att, outcome } => Ok(vec![at(step, *att, Record::Outcome(outcome.clone()))]),
        Input::Verified { step, checks } => Ok(verified(state, find(step)?, checks)),
        Input::Decide { step, option, reason } => take_option(runbook, state, find(step)?, option, reason, facts),
        Input::Seen { step, seen } => by_hand(runbook, state, find(step)?, seen, facts),
        Input::Classify { step, row, class, reason } => classify(runbook, find(step)?, row, class, reason),
        Input::Skip { step, reason } => skip(runbook, state, find(step)?, reason),
        Input::Jump { to, reason } => jump(runbook, state, find(to)?, reason),
        Input::Note { text, .. } if text.trim().is_empty() => Err(no("the note is empty")),
        Input::Note { step, text } => {
            Ok(vec![Draft { step: step.clone(), att: None, record: Record::Note { text: text.clone() } }])
        }
        Input::Elsewhere { step, evidence } => elsewhere(state, find(step)?, evidence),
        Input::SettleStart => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            Ok(vec![at(&open.step, open.att, Record::SettleStarted { open_intent: open.att })])
        }
        Input::SettleEvidence { what, finding } => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            let record = Record::SettleEvidence { what: what.clone(), finding: finding.clone() };
            Ok(vec![at(&open.step, open.att, record)])
        }
        Input::Settle { result, reason, .. } => {
            let open = state.open.as_ref().ok_or_else(|| no("no intent is open"))?;
            if !open.settling {
                return Err(but("settling has not started", "wait until the evidence has been read"));
            }
            if facts.by != "engine" && !reason_is_enough(reason) {
                return Err(no(format!("say in {} characters or more what you saw", gate::REASON_LEAST)));
            }
            Ok(vec![at(&open.step, open.att, Record::Settled(Settled { result: *result, reason: reason.clone() }))])
        }
        Input::GuardChecked { check, verdict, value } => Ok(guard(state, check, verdict, value.as_ref())),
        Input::Hold { reason, detail } => match state.holds.contains(reason) {
            true => Ok(Vec::new()),
            false => Ok(vec![run(Record::Held { reason: reason.clone(), detail: detail.clone() })]),
        },
        Input::Lift => lift(state, facts),
        Input::Claimed { target, epoch } => {
            Ok(vec![run(Record::Claimed { target: target.clone(), epoch: *epoch })])
        }
        Input::ClaimLost { target, holder } => Ok(vec![
            run(Record::ClaimLost { target: target.clone(), holder: holder.clone() }),
            run(Record::Held { reason: HoldReason::Claim { target: target.clone() }, detail: holder.clone() }),
        ]),
        Input::TargetLost { target, why } => match state.lost.contains_key(target) {
            true => Ok(Vec::new()),
            false => Ok(vec![run(Record::TargetLost { target: target.clone(), why: why.clone() })]),
        },
        Input::TargetFound { target, identity } => match state.lost.contains_key(target) {
            false => Ok(Vec::new()),
            true => Ok(vec![run(Record::TargetFound { target: target.clone(), identity: identity.clone() })]),
        },
        Input::Act { act, token, typed } => act_input(state, act, token, typed),
        Input::ActDone { act, applied, detail } => {
            let record = Record::ActOutcome { act: act.clone(), applied: *applied, detail: detail.clone() };
            Ok(vec![run(record)])
        }
        Input::Finish { end, open } => finish(runbook, state, *end, open, facts),
    }
}

fn enter(runbook: &Runbook, state: &State, done: &[String]) -> Decided {
    if state.entered {
        return Err(no("the entry point was accepted already"));
    }
    let Some(survey) = &state.survey else {
        return Err(but("the survey has not ended", "contain steps may begin meanwhile"));
    };
    for id in done {
        let found = survey.steps.get(id).map(|found| found.position);
        if found != Some(Position::Done) {
            return Err(no(format!("the survey did not find {id} done")));
        }
    }
    let mut drafts = vec![run(Record::Entered { done: done.to_vec() })];
    // What a contain step proved guards from now on, whoever did it.
    let contain = done.iter().filter_map(|id| runbook.steps.get(id)).filter(|step| step.phase == Phase::Contain);
    for step in contain {
        let green = |check: &&CheckRef| survey.checks.iter().any(|c| &c.check == *check && c.verdict == Verdict::Pass);
        let bound = step.verify.iter().filter(green).filter(|check| !state.guards.contains_key(check));
        drafts.extend(bound.map(|check| of(&step.id, Record::GuardBound { check: check.clone() })));
    }
    Ok(drafts)
}

fn refuse_blocked(why: &[Blocked]) -> Refusal {
    let because = why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let soft = why.iter().all(|b| matches!(b, Blocked::Need { hard: false, .. }));
    match soft {
        true => but(because, "o: pass over it, with a reason that is recorded"),
        false => no(because),
    }
}

/// Blocks that no recorded override of this step passes over.
fn standing(runbook: &Runbook, state: &State, step: &Step, undoing: bool, readings: &Readings) -> Vec<Blocked> {
    let overridden = state.overrides.iter().any(|(of, what, _)| of.as_deref() == Some(&step.id) && what == "need");
    let glass = state.overrides.iter().any(|(of, what, _)| of.as_deref() == Some(&step.id) && what == "hard need");
    let mut why = blocked(runbook, state, step, undoing, readings);
    why.retain(|b| match b {
        Blocked::Need { hard: false, .. } => !overridden && !glass,
        Blocked::Need { hard: true, .. } => !glass,
        _ => true,
    });
    why
}

fn show(runbook: &Runbook, state: &State, step: &Step, offer: &Offer, evidence: &Evidence, facts: &Facts<'_>) -> Decided {
    let undoing = offer.undoes.as_deref() == Some(step.id.as_str());
    if offer.level < super::next::level_of(runbook, step) && !undoing {
        return Err(no("the offer is below the level of its action"));
    }
    if offer.level == Level::None {
        return Err(no("an action that changes nothing has no gate"));
    }
    if undoing {
        undo_allowed(runbook, state, step)?;
    }
    let why = standing(runbook, state, step, undoing, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let shown = GateShown { offer: offer.clone(), offer_digest: gate::offer_digest(offer), evidence: evidence.clone() };
    Ok(vec![at(&step.id, offer.att, Record::GateShown(shown))])
}

/// Undoing what a finished later step builds on is refused.
fn undo_allowed(runbook: &Runbook, state: &State, step: &Step) -> Result<(), Refusal> {
    let built_on = runbook
        .steps
        .values()
        .filter(|other| other.after.iter().any(|after| after.step == step.id))
        .find(|other| state.status(&other.id).stands() && !reads_only(&other.action));
    match built_on {
        Some(other) => Err(but(format!("{} builds on it and stands", other.id), format!("undo {} first", other.id))),
        None => Ok(()),
    }
}

fn begin(runbook: &Runbook, state: &State, step: &Step, on: Option<String>, facts: &Facts<'_>) -> Decided {
    if super::next::level_of(runbook, step) != Level::None {
        return Err(no(format!("{} needs a gate", step.id)));
    }
    let why = standing(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let intent = Intent {
        action: step.action.word().to_owned(),
        offer_digest: None,
        undoes: None,
        transactional: false,
        on,
    };
    Ok(vec![at(&step.id, att, Record::Intent(intent))])
}

struct Typed<'a> {
    typed: &'a str,
    reason: Option<&'a str>,
    looked_ms: u64,
    from_file: bool,
}

fn answer_gate(runbook: &Runbook, state: &State, answer: &Typed<'_>, transactional: bool, facts: &Facts<'_>) -> Decided {
    let open = state.gate.as_ref().ok_or_else(|| no("no gate is open"))?;
    let offer = &open.shown.offer;
    let step = runbook.steps.get(&open.step).ok_or_else(|| no("the runbook has no such step"))?;
    if answer.from_file && (offer.environment != Environment::Rehearsal || state.environment() != Environment::Rehearsal) {
        return Err(no("answers from a file are for rehearsals: this target is not declared one"));
    }
    if !answer.from_file && elapsed(&open.at, facts.now) < gate::ARM {
        return Err(no("the gate has only just been shown: read it"));
    }
    let needs: Vec<_> = step
        .needs
        .iter()
        .filter_map(|need| facts.readings.get(&need.check))
        .map(|checked| (checked, gate::freshness(check_of(runbook, &checked.check), checked)))
        .collect();
    let overridden = state.overrides.iter().any(|(of, what, _)| of.as_deref() == Some(&step.id) && what.ends_with("need"));
    let judged: &[_] = if overridden || open.step == offer.undoes.clone().unwrap_or_default() { &[] } else { &needs };
    if let Some((reason, detail)) = gate::must_close(judged, &open.at, facts.now) {
        return Ok(vec![at(&open.step, open.att, Record::GateClosed { reason, detail })]);
    }
    if answer.typed.trim() != offer.token {
        return Err(but(format!("that is not {}", offer.token), "type it exactly, or Esc"));
    }
    if offer.level == Level::Irreversible && open.approved_by.is_none() && open.broken.is_none() {
        return Err(but("this cannot be undone: it needs a second person", "break glass with a reason of 10 characters or more"));
    }
    if offer.level == Level::Choice && !answer.reason.is_some_and(reason_is_enough) {
        return Err(no("a decision needs a reason"));
    }
    let digest = open.shown.offer_digest.clone();
    let answered = GateAnswered {
        yes: true,
        offer_digest: digest.clone(),
        typed: answer.typed.to_owned(),
        reason: answer.reason.map(str::to_owned),
        looked_ms: answer.looked_ms,
        from_file: answer.from_file,
    };
    let intent = Intent {
        action: offer.action.clone(),
        offer_digest: Some(digest),
        undoes: offer.undoes.clone(),
        transactional,
        on: offer.target.as_ref().map(|target| target.name.clone()),
    };
    Ok(vec![
        at(&open.step, open.att, Record::GateAnswered(answered)),
        at(&open.step, open.att, Record::Intent(intent)),
    ])
}

fn check_of<'a>(runbook: &'a Runbook, check: &CheckRef) -> Option<&'a crate::runbook::Check> {
    match check {
        CheckRef::Check(name) => runbook.checks.get(name),
        CheckRef::ServiceGone(_) => None,
    }
}

fn break_glass(state: &State, reason: &str) -> Decided {
    let open = state.gate.as_ref().ok_or_else(|| no("no gate is open"))?;
    if open.shown.offer.level != Level::Irreversible {
        return Err(no("this gate needs no second person"));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let record = Record::Override { what: "second person".into(), reason: reason.trim().to_owned() };
    Ok(vec![at(&open.step, open.att, record)])
}

fn pass_over(runbook: &Runbook, state: &State, step: &Step, reason: &str, facts: &Facts<'_>) -> Decided {
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let why = standing(runbook, state, step, false, facts.readings);
    if let Some(other) = why.iter().find(|b| !matches!(b, Blocked::Need { .. })) {
        return Err(no(other.to_string()));
    }
    if why.is_empty() {
        return Err(no("nothing stands in its way"));
    }
    let hard = why.iter().any(|b| matches!(b, Blocked::Need { hard: true, .. }));
    let what = if hard { "hard need" } else { "need" };
    Ok(vec![of(&step.id, Record::Override { what: what.into(), reason: reason.trim().to_owned() })])
}

/// After the effect: the checks decide whether the step is done or only applied.
fn verified(state: &State, step: &Step, checks: &[Checked]) -> Vec<Draft> {
    let verdict = worst(checks);
    let pass = verdict == Verdict::Pass;
    let mut drafts = vec![
        of(&step.id, Record::Verified { checks: checks.to_vec(), verdict: verdict.clone() }),
        of(&step.id, Record::StepDone { verified: pass }),
    ];
    let undoing = state.steps.get(&step.id).is_some_and(|s| s.undoes.is_some());
    let held = HoldReason::Step { step: step.id.clone() };
    if pass {
        if step.phase == Phase::Contain && !undoing && !matches!(step.action, Action::UndoOf { .. }) {
            let bound = step.verify.iter().filter(|check| !state.guards.contains_key(check));
            drafts.extend(bound.map(|check| of(&step.id, Record::GuardBound { check: check.clone() })));
        }
        if state.holds.contains(&held) {
            drafts.push(run(Record::HoldLifted { reason: held }));
        }
    } else if !state.holds.contains(&held) {
        let detail = format!("what must hold after it is {}", verdict.word());
        drafts.push(run(Record::Held { reason: held, detail }));
    }
    drafts
}

/// Fail over unknown over pass; nothing asked is a pass.
pub fn worst(checks: &[Checked]) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Unknown { .. } => 1,
        Verdict::Fail => 2,
    };
    checks.iter().map(|c| &c.verdict).max_by_key(|v| rank(v)).cloned().unwrap_or(Verdict::Pass)
}

fn take_option(runbook: &Runbook, state: &State, step: &Step, option: &str, reason: &str, facts: &Facts<'_>) -> Decided {
    let Action::Decide(decision) = &step.action else {
        return Err(no(format!("{} is not a decision", step.id)));
    };
    if !decision.options.iter().any(|o| o == option) {
        return Err(no(format!("{option} is not one of {}", decision.options.join(", "))));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let why = standing(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let decided = Record::Decided { option: option.to_owned(), reason: reason.trim().to_owned(), row: None };
    Ok(by_word(step, att, decided, format!("decided: {option}")))
}

fn by_hand(runbook: &Runbook, state: &State, step: &Step, seen: &str, facts: &Facts<'_>) -> Decided {
    if !matches!(step.action, Action::Manual(_)) {
        return Err(no(format!("{} is not done by hand", step.id)));
    }
    if !reason_is_enough(seen) {
        return Err(no(format!("say in {} characters or more what you saw", gate::REASON_LEAST)));
    }
    let why = standing(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let word = Record::Decided { option: "done".into(), reason: seen.trim().to_owned(), row: None };
    Ok(by_word(step, att, word, format!("by hand: {}", seen.trim())))
}

/// A step that is done by a person's recorded word.
fn by_word(step: &Step, att: u32, word: Record, evidence: String) -> Vec<Draft> {
    let intent = Intent {
        action: step.action.word().to_owned(),
        offer_digest: None,
        undoes: None,
        transactional: false,
        on: None,
    };
    let outcome = Outcome {
        result: OutcomeResult::Applied,
        evidence,
        changed: None,
        changed_since: Vec::new(),
        before_image: None,
    };
    vec![
        at(&step.id, att, word),
        at(&step.id, att, Record::Intent(intent)),
        at(&step.id, att, Record::Outcome(outcome)),
    ]
}

fn classify(runbook: &Runbook, step: &Step, row: &str, class: &str, reason: &str) -> Decided {
    let Action::Reconcile { set } = &step.action else {
        return Err(no(format!("{} sorts no rows", step.id)));
    };
    let Some(crate::runbook::SetSource::Compare(compare)) = runbook.sets.get(set).map(|s| &s.source) else {
        return Err(no(format!("{set} is not a compared set")));
    };
    if !compare.classes.contains_key(class) && class != "open" {
        let classes = compare.classes.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(no(format!("{class} is not one of {classes}, open")));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let record = Record::Decided {
        option: class.to_owned(),
        reason: reason.trim().to_owned(),
        row: Some(row.to_owned()),
    };
    Ok(vec![of(&step.id, record)])
}

fn skip(runbook: &Runbook, state: &State, step: &Step, reason: &str) -> Decided {
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let status = state.status(&step.id);
    if !matches!(status, Status::Waiting | Status::Enabled | Status::Failed) {
        return Err(no(format!("the step is {}", status.word())));
    }
    let hard = runbook.steps.values().find(|other| {
        !state.status(&other.id).finished() && other.after.iter().any(|after| after.hard && after.step == step.id)
    });
    if let Some(other) = hard {
        return Err(but(format!("{} must not begin without it", other.id), "only break-glass passes a hard order"));
    }
    Ok(vec![of(&step.id, Record::Skipped { reason: reason.trim().to_owned(), hard: false })])
}

fn jump(runbook: &Runbook, state: &State, to: &Step, reason: &str) -> Decided {
    if !state.status(&to.id).open_to_attempt() {
        return Err(no(format!("{} is {}", to.id, state.status(&to.id).word())));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let mut drafts = vec![run(Record::Jumped { to: to.id.clone(), reason: reason.trim().to_owned() })];
    for step in runbook.steps.values().take_while(|step| step.id != to.id) {
        if matches!(state.status(&step.id), Status::Waiting | Status::Enabled | Status::Failed) {
            drafts.extend(skip(runbook, state, step, reason)?);
        }
    }
    Ok(drafts)
}

fn elsewhere(state: &State, step: &Step, evidence: &str) -> Decided {
    if !state.status(&step.id).open_to_attempt() {
        return Err(no(format!("the step is {}", state.status(&step.id).word())));
    }
    if !reason_is_enough(evidence) {
        return Err(no("say what shows that it was done"));
    }
    let settled = Settled { result: OutcomeResult::Applied, reason: evidence.trim().to_owned() };
    Ok(vec![of(&step.id, Record::Settled(settled))])
}

/// A guard that is not green any more breaks once; the hold stays until it is lifted.
fn guard(state: &State, check: &CheckRef, verdict: &Verdict, value: Option<&Value>) -> Vec<Draft> {
    let Some(guard) = state.guards.get(check) else { return Vec::new() };
    if verdict == &Verdict::Pass || guard.broken.is_some() {
        return Vec::new();
    }
    let reason = HoldReason::Guard { check: check.clone() };
    let mut drafts = vec![run(Record::GuardBroken {
        check: check.clone(),
        verdict: verdict.clone(),
        value: value.cloned(),
    })];
    if !state.holds.contains(&reason) {
        drafts.push(run(Record::Held { reason, detail: format!("{check} is {}", verdict.word()) }));
    }
    drafts
}

fn lift(state: &State, facts: &Facts<'_>) -> Decided {
    if state.holds.is_empty() {
        return Err(no("the run is not held"));
    }
    let mut drafts = Vec::new();
    let mut stays = Vec::new();
    for reason in &state.holds {
        let why = match reason {
            HoldReason::Guard { check } => match facts.readings.get(check).map(|c| &c.verdict) {
                Some(Verdict::Pass) => None,
                Some(verdict) => Some(format!("guard {check} is {}", verdict.word())),
                None => Some(format!("guard {check} has not been asked")),
            },
            HoldReason::Target { name } => state.lost.get(name).map(|why| format!("{name} does not answer: {why}")),
            HoldReason::Claim { target } => Some(format!("another run holds {target}")),
            HoldReason::Step { step } if !matches!(state.status(step), Status::Done | Status::Undone) => {
                Some(format!("{step} is {}", state.status(step).word()))
            }
            _ => None,
        };
        match why {
            Some(why) => stays.push(why),
            None => drafts.push(run(Record::HoldLifted { reason: reason.clone() })),
        }
    }
    if drafts.is_empty() {
        return Err(no(stays.join("; ")));
    }
    Ok(drafts)
}

fn act_input(state: &State, act: &Act, token: &str, typed: &str) -> Decided {
    if state.act.is_some() {
        return Err(no("another act is under way"));
    }
    if typed.trim() != token {
        return Err(no(format!("that is not {token}")));
    }
    let (act, token, typed) = (act.clone(), token.to_owned(), typed.to_owned());
    Ok(vec![
        run(Record::ActShown { act: act.clone(), token }),
        run(Record::ActAnswered { act: act.clone(), yes: true, typed }),
        run(Record::ActIntent { act }),
    ])
}

fn finish(runbook: &Runbook, state: &State, end: End, open: &[OpenItem], facts: &Facts<'_>) -> Decided {
    if let Some(intent) = &state.open {
        return Err(no(format!("{} is open", intent.step)));
    }
    if state.gate.is_some() {
        return Err(no("a gate is open"));
    }
    if end == End::Recovered {
        if let Some(step) = runbook.steps.values().find(|step| !state.status(&step.id).finished()) {
            return Err(but(format!("{} is {}", step.id, state.status(&step.id).word()), "close as degraded, with owners"));
        }
        let red = runbook.checks.keys().map(|name| CheckRef::Check(name.clone())).find(|check| {
            facts.readings.get(check).map(|c| &c.verdict) != Some(&Verdict::Pass) && !super::next::contained(state, check)
        });
        if let Some(check) = red {
            return Err(but(format!("{check} is not green"), "wait for it, or close as degraded, with owners"));
        }
        let unowned = runbook
            .steps
            .values()
            .filter(|step| state.status(&step.id).stands())
            .flat_map(|step| &step.leaves)
            .find(|left| !open.iter().any(|item| item.what == left.what));
        if let Some(left) = unowned {
            return Err(no(format!("{} is still temporary: it needs an owner and a date", left.what)));
        }
    }
    if end == End::Degraded && open.is_empty() {
        return Err(no("a degraded end names what is open, with an owner and a date"));
    }
    if let Some(item) = open.iter().find(|item| item.owner.trim().is_empty() || item.by.trim().is_empty()) {
        return Err(no(format!("{} needs an owner and a date", item.what)));
    }
    Ok(vec![run(Record::RunFinished { end, open: open.to_vec() })])
}
