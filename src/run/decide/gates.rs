//! What comes to a gate, and what goes through it.
//!
//! Owns the decisions before an intent: showing, beginning without a gate, answering, overrides, break-glass, acts.

use super::{Decided, Draft, Facts, at, but, no, of, run};
use crate::run::decide::Refusal;
use crate::run::gate::{self, elapsed, reason_is_enough};
use crate::run::next::{self, Blocked, blocked, hold_words, need_word, passed};
use crate::run::record::{
    Act, CloseReason, Environment, Evidence, GateAnswered, GateShown, HoldReason, Intent, Offer, Record, exact,
};
use crate::run::state::{SECOND_PERSON, State, Status, TRIAL, UNDO, VERIFY};
use crate::runbook::{Action, CheckRef, Level, Runbook, Step, level};

pub(super) fn refuse_blocked(why: &[Blocked]) -> Refusal {
    let because = why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let soft = why.iter().all(|b| matches!(b, Blocked::Need { hard: false, .. }));
    match soft {
        true => but(because, "o: pass over it, with a reason that is recorded"),
        false => no(because),
    }
}

pub(super) fn show(
    runbook: &Runbook,
    state: &State,
    step: &Step,
    offer: &Offer,
    evidence: &Evidence,
    facts: &Facts<'_>,
) -> Decided {
    let undoing = offer.undoes.as_deref() == Some(step.id.as_str());
    let least = if undoing { level::undo_by_kind(step) } else { level::by_kind(runbook, step) };
    if offer.level < least {
        return Err(no("the offer is below the level of its action"));
    }
    if offer.level == Level::None {
        return Err(no("an action that changes nothing has no gate"));
    }
    if offer.token.trim().is_empty() {
        return Err(no("the offer names nothing to type: Enter alone never confirms"));
    }
    match (&step.action, offer.undoes.as_deref()) {
        (Action::UndoOf { step: undone }, Some(named)) if undone == named => {
            let status = state.status(undone);
            if !status.stands() {
                return Err(but(
                    format!("{undone} is {}: there is nothing to undo", status.word()),
                    "it is not needed",
                ));
            }
        }
        (Action::UndoOf { step: undone }, _) if !undoing => {
            return Err(no(format!("the offer does not say that it undoes {undone}")));
        }
        (_, Some(other)) if !undoing => {
            return Err(no(format!("{} does not undo {other}", step.id)));
        }
        _ => {}
    }
    if undoing {
        undo_allowed(runbook, state, step)?;
    }
    let why = blocked(runbook, state, step, undoing, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    // The digest covers the offer as the log keeps it.
    let mut offer = offer.clone();
    offer.binds.iter_mut().for_each(exact);
    let (att, offer_digest) = (offer.att, gate::offer_digest(&offer));
    let shown = GateShown { offer, offer_digest, evidence: evidence.clone() };
    Ok(vec![at(&step.id, att, Record::GateShown(shown))])
}

/// Undoing what a finished later step builds on is refused.
pub(super) fn undo_allowed(runbook: &Runbook, state: &State, step: &Step) -> Result<(), Refusal> {
    let mut on_it = next::built_on(runbook, state, step);
    let all = on_it.join(", ");
    on_it.reverse();
    match on_it.as_slice() {
        [] => Ok(()),
        [one] => Err(but(format!("{one} builds on it and stands"), format!("undo {one} first"))),
        last_first => {
            let order = last_first.join(", then ");
            Err(but(format!("{all} build on it and stand"), format!("undo {order} first")))
        }
    }
}

pub(super) fn begin(runbook: &Runbook, state: &State, step: &Step, on: Option<String>, facts: &Facts<'_>) -> Decided {
    if level::by_kind(runbook, step) != Level::None {
        return Err(no(format!("{} needs a gate", step.id)));
    }
    let why = blocked(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let intent =
        Intent { action: step.action.word().to_owned(), offer_digest: None, undoes: None, transactional: false, on };
    Ok(vec![at(&step.id, att, Record::Intent(intent))])
}

pub(super) struct Typed<'a> {
    pub(super) typed: &'a str,
    pub(super) reason: Option<&'a str>,
    pub(super) looked_ms: u64,
    pub(super) from_file: bool,
}

pub(super) fn answer_gate(
    runbook: &Runbook,
    state: &State,
    answer: &Typed<'_>,
    transactional: bool,
    facts: &Facts<'_>,
) -> Decided {
    let open = state.gate.as_ref().ok_or_else(|| no("no gate is open"))?;
    let offer = &open.shown.offer;
    let step = runbook.steps.get(&open.step).ok_or_else(|| no("the runbook has no such step"))?;
    if answer.from_file
        && (offer.environment != Environment::Rehearsal || state.environment() != Environment::Rehearsal)
    {
        return Err(no("answers from a file are for rehearsals: this target is not declared one"));
    }
    if !answer.from_file && elapsed(&open.at, facts.now) < gate::ARM {
        return Err(no("the gate has only just been shown: read it"));
    }
    let close = |reason, detail| Ok(vec![at(&open.step, open.att, Record::GateClosed { reason, detail })]);
    let undoing = offer.undoes.as_ref() == Some(&step.id);
    let undo = undoing || matches!(step.action, Action::UndoOf { .. });
    if let Some(hold) = next::held_by(state, step, undo).next() {
        return close(CloseReason::Changed, format!("the run is held: {}", hold_words(hold)));
    }
    let mut judged = Vec::new();
    for need in step.needs.iter().filter(|need| !undoing && !passed(state, step, &need.check, need.hard)) {
        let Some(checked) = facts.readings.get(&need.check) else {
            return close(CloseReason::Red, format!("{} has not been asked", need.check));
        };
        judged.push((checked, gate::freshness(check_of(runbook, &need.check), checked)));
    }
    if let Some((reason, detail)) = gate::must_close(&judged, &open.at, facts.now) {
        return close(reason, detail);
    }
    if answer.typed.trim() != offer.token {
        return Err(but(format!("that is not {}", offer.token), "type it exactly, or Esc"));
    }
    if offer.level == Level::Irreversible && open.approved_by.is_none() && open.broken.is_none() {
        return Err(but(
            "this cannot be undone: it needs a second person",
            "break glass with a reason of 10 characters or more",
        ));
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
    Ok(vec![at(&open.step, open.att, Record::GateAnswered(answered)), at(&open.step, open.att, Record::Intent(intent))])
}

pub(super) fn check_of<'a>(runbook: &'a Runbook, check: &CheckRef) -> Option<&'a crate::runbook::Check> {
    match check {
        CheckRef::Check(name) => runbook.checks.get(name),
        CheckRef::ServiceGone(_) => None,
    }
}

/// At an irreversible gate: in place of a second person. Without a gate: past the hard needs of the next step.
pub(super) fn break_glass(runbook: &Runbook, state: &State, reason: &str, facts: &Facts<'_>) -> Decided {
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let reason = reason.trim().to_owned();
    if let Some(open) = &state.gate {
        if open.shown.offer.level != Level::Irreversible {
            return Err(no("this gate needs no second person"));
        }
        return Ok(vec![at(&open.step, open.att, Record::Override { what: SECOND_PERSON.into(), reason })]);
    }
    match next::next_step(runbook, state, facts.readings) {
        Some((step, _)) => pass_needs(step, &blocked(runbook, state, step, false, facts.readings), &reason),
        None => Err(no("no gate is open")),
    }
}

/// Past soft needs, each by name; of a step that is not verified or whose undo failed: go forward all the same.
pub(super) fn pass_over(runbook: &Runbook, state: &State, step: &Step, reason: &str, facts: &Facts<'_>) -> Decided {
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let reason = reason.trim().to_owned();
    let status = state.status(&step.id);
    if status.is_red() || status.undo_failed() {
        let what = if status.undo_failed() { UNDO } else { VERIFY };
        let hold = HoldReason::Step { step: step.id.clone() };
        let mut drafts = vec![of(&step.id, Record::Override { what: what.into(), reason })];
        if state.holds.contains(&hold) {
            drafts.push(run(Record::HoldLifted { reason: hold }));
        }
        return Ok(drafts);
    }
    let why = blocked(runbook, state, step, false, facts.readings);
    if let Some(Blocked::Need { check, .. }) = why.iter().find(|b| matches!(b, Blocked::Need { hard: true, .. })) {
        return Err(but(format!("{check} is a hard need"), "make it hold; only break-glass passes it (B)"));
    }
    pass_needs(step, &why, &reason)
}

fn pass_needs(step: &Step, why: &[Blocked], reason: &str) -> Decided {
    let mut drafts = Vec::new();
    for block in why {
        let Blocked::Need { check, hard, .. } = block else {
            return Err(no(block.to_string()));
        };
        let what = need_word(check, *hard);
        drafts.push(of(&step.id, Record::Override { what, reason: reason.to_owned() }));
    }
    if drafts.is_empty() {
        return Err(no("nothing stands in its way"));
    }
    Ok(drafts)
}

pub(super) fn act_input(runbook: &Runbook, state: &State, act: &Act, token: &str, typed: &str) -> Decided {
    if state.act.is_some() {
        return Err(no("another act is under way"));
    }
    if matches!(act, Act::Cancel { .. }) && state.open.is_none() {
        return Err(no("no statement of this run is under way"));
    }
    let wanted = gate::act_token(act);
    if token != wanted {
        return Err(no(format!("what must be typed for it is {wanted}")));
    }
    if typed.trim() != token {
        return Err(but(format!("that is not {token}: nothing was sent"), format!("type {token} to do it")));
    }
    let mut drafts = trial_allowed(runbook, state, act)?;
    let (step, att) = act_for(state, act).unzip();
    let (act, token, typed) = (act.clone(), token.to_owned(), typed.to_owned());
    let records = [
        Record::ActShown { act: act.clone(), token },
        Record::ActAnswered { act: act.clone(), yes: true, typed },
        Record::ActIntent { act },
    ];
    drafts.extend(records.map(|record| Draft { step: step.clone(), att: att.flatten(), record }));
    Ok(drafts)
}

/// The step that an act is for: the one that it tries, or whoever is under way or at its gate.
fn act_for(state: &State, act: &Act) -> Option<(String, Option<u32>)> {
    if let Act::Trial { step, .. } = act {
        return Some((step.clone(), None));
    }
    let open = state.open.as_ref().map(|open| (open.step.clone(), Some(open.att)));
    open.or_else(|| state.gate.as_ref().map(|gate| (gate.step.clone(), Some(gate.att))))
}

/// A trial is of a statement on a schema that has not been applied, and takes locks: not beside an open intent. At full
/// size where that would hurt, the reason is a record of its own.
fn trial_allowed(runbook: &Runbook, state: &State, act: &Act) -> Result<Vec<Draft>, Refusal> {
    let Act::Trial { step, copy, reason, target } = act else { return Ok(Vec::new()) };
    let of = runbook.steps.get(step).ok_or_else(|| no(format!("the runbook has no step {step}")))?;
    if let Some(open) = &state.open {
        return Err(but(format!("{} runs", open.step), "try it when that has ended"));
    }
    if let Some(hold) = state.holds.iter().find(|hold| !matches!(hold, HoldReason::Guard { .. })) {
        return Err(but(
            format!("the run is held: {}", hold_words(hold)),
            "a trial takes real locks: lift the hold first",
        ));
    }
    if !next::has_statements(runbook, of) || next::target_of(runbook, of) != Some(target.as_str()) {
        return Err(no(format!("{step} is no statement on the schema of {target}: there is nothing to try")));
    }
    let status = state.status(step);
    if !status.open_to_attempt() && status != Status::Gate {
        return Err(no(format!("the step is {}: there is nothing to try", status.word())));
    }
    match reason.as_deref().map(str::trim) {
        None => Ok(Vec::new()),
        Some(_) if *copy => Err(no("an empty copy needs no reason")),
        Some(reason) if reason_is_enough(reason) => {
            Ok(vec![self::of(step, Record::Override { what: TRIAL.into(), reason: reason.to_owned() })])
        }
        Some(_) => Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST))),
    }
}
