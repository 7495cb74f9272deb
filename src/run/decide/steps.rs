//! What settles a step without a gate of its own, and what follows when one has taken effect.
//!
//! Owns verdicts after the effect, decisions and handwork, skipping, jumping, and steps done by other hands.

use super::gates::refuse_blocked;
use super::holds::bind;
use super::{Decided, Draft, Facts, Refusal, at, no, of, run, worst};
use crate::run::gate::{self, reason_is_enough};
use crate::run::next::{Blocked, blocked};
use crate::run::record::{Checked, HoldReason, Intent, Outcome, OutcomeResult, Record, Restored, Settled};
use crate::run::state::{State, Status};
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, CheckRef, Level, Phase, Runbook, Step, level};

/// After the effect: the checks decide whether the step is done or only applied; of an undo, the catalog too.
pub(super) fn verified(
    runbook: &Runbook,
    state: &State,
    step: &Step,
    checks: &[Checked],
    restored: Option<&Restored>,
) -> Vec<Draft> {
    let undoes = state.steps.get(&step.id).and_then(|s| s.undoes.as_ref());
    // What had to hold after the step need not hold after its undo.
    let own_undo = undoes == Some(&step.id);
    let judged: Vec<_> = checks.iter().filter(|c| !own_undo || !step.verify.contains(&c.check)).cloned().collect();
    let missing = step.verify.iter().find(|check| !own_undo && !checks.iter().any(|c| &c.check == *check));
    let verdict = match missing {
        Some(check) if worst(&judged) == Verdict::Pass => Verdict::unknown(format!("{check} was not asked")),
        _ => worst(&judged),
    };
    let back = restored.map_or(Verdict::Pass, Restored::verdict);
    let verdict = if verdict == Verdict::Fail || back == Verdict::Pass { verdict } else { back.clone() };
    let pass = verdict == Verdict::Pass;
    let mut drafts = vec![
        of(
            &step.id,
            Record::Verified { checks: checks.to_vec(), verdict: verdict.clone(), restored: restored.cloned() },
        ),
        of(&step.id, Record::StepDone { verified: pass }),
    ];
    let held = HoldReason::Step { step: step.id.clone() };
    if pass {
        if undoes.is_none() {
            drafts.extend(bind(runbook, state, step, |_| true));
            drafts.extend(other_ways(runbook, state, step));
        }
        let undone = undoes.map(|undone| HoldReason::Step { step: undone.clone() }).filter(|undone| undone != &held);
        for hold in [held].into_iter().chain(undone).filter(|hold| state.holds.contains(hold)) {
            drafts.push(run(Record::HoldLifted { reason: hold }));
        }
    } else if !state.holds.contains(&held) {
        let detail = match restored.filter(|_| back != Verdict::Pass) {
            Some(restored) => format!("{}: {}", step.id, restored.words()),
            None => format!("what must hold after it is {}", verdict.word()),
        };
        drafts.push(run(Record::Held { reason: held, detail }));
    }
    drafts
}

/// A decision closes the ways that it does not take.
fn other_ways(runbook: &Runbook, state: &State, decision: &Step) -> Vec<Draft> {
    let Some((option, _)) = state.steps.get(&decision.id).and_then(|s| s.decided.as_ref()) else {
        return Vec::new();
    };
    let leads_elsewhere = |step: &&Step| step.when.iter().any(|(of, wanted)| of == &decision.id && wanted != option);
    let open = |step: &&Step| matches!(state.status(&step.id), Status::Waiting | Status::Enabled | Status::Failed);
    let because = format!("{} was decided as {option}", decision.id);
    let closed = runbook.steps.values().filter(leads_elsewhere).filter(open);
    closed.map(|step| of(&step.id, Record::NotNeeded { because: because.clone() })).collect()
}

/// A preview of 0 is worth something only when it is the step's turn.
pub(super) fn not_needed(runbook: &Runbook, state: &State, step: &Step, because: &str, facts: &Facts<'_>) -> Decided {
    let mut why = blocked(runbook, state, step, false, facts.readings);
    why.retain(|b| !matches!(b, Blocked::Need { .. } | Blocked::Held(_)));
    match why.is_empty() {
        true => Ok(vec![of(&step.id, Record::NotNeeded { because: because.to_owned() })]),
        false => Err(refuse_blocked(&why)),
    }
}

pub(super) fn take_option(
    runbook: &Runbook,
    state: &State,
    step: &Step,
    option: &str,
    reason: &str,
    facts: &Facts<'_>,
) -> Decided {
    let Action::Decide(decision) = &step.action else {
        return Err(no(format!("{} is not a decision", step.id)));
    };
    if !decision.options.iter().any(|o| o == option) {
        return Err(no(format!("{option} is not one of {}", decision.options.join(", "))));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let why = blocked(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let decided = Record::Decided { option: option.to_owned(), reason: reason.trim().to_owned(), row: None };
    Ok(by_word(step, att, decided, format!("decided: {option}")))
}

pub(super) fn by_hand(runbook: &Runbook, state: &State, step: &Step, seen: &str, facts: &Facts<'_>) -> Decided {
    if !matches!(step.action, Action::Manual(_)) {
        return Err(no(format!("{} is not done by hand", step.id)));
    }
    if level::by_kind(runbook, step) > Level::Seen {
        return Err(no(format!("{} needs a gate", step.id)));
    }
    if !reason_is_enough(seen) {
        return Err(no(format!("say in {} characters or more what you saw", gate::REASON_LEAST)));
    }
    let why = blocked(runbook, state, step, false, facts.readings);
    if !why.is_empty() {
        return Err(refuse_blocked(&why));
    }
    let att = state.steps.get(&step.id).map_or(0, |s| s.att) + 1;
    let word = Record::Decided { option: "done".into(), reason: seen.trim().to_owned(), row: None };
    Ok(by_word(step, att, word, format!("by hand: {}", seen.trim())))
}

/// A step that is done by a person's recorded word.
pub(super) fn by_word(step: &Step, att: u32, word: Record, evidence: String) -> Vec<Draft> {
    let intent = Intent {
        action: step.action.word().to_owned(),
        offer_digest: None,
        undoes: None,
        transactional: false,
        on: None,
    };
    let outcome = Outcome::new(OutcomeResult::Applied, evidence);
    vec![
        at(&step.id, att, word),
        at(&step.id, att, Record::Intent(intent)),
        at(&step.id, att, Record::Outcome(outcome)),
    ]
}

pub(super) fn classify(runbook: &Runbook, state: &State, step: &Step, row: &str, class: &str, reason: &str) -> Decided {
    let Action::Reconcile { set } = &step.action else {
        return Err(no(format!("{} sorts no rows", step.id)));
    };
    let status = state.status(&step.id);
    if status.finished() && !status.open_to_attempt() {
        return Err(no(format!("{} is finished: its rows are frozen", step.id)));
    }
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
    let record =
        Record::Decided { option: class.to_owned(), reason: reason.trim().to_owned(), row: Some(row.to_owned()) };
    Ok(vec![of(&step.id, record)])
}

pub(super) fn skip(runbook: &Runbook, state: &State, step: &Step, reason: &str) -> Decided {
    let mut drafts = vec![skip_with(runbook, state, step, reason, &[])?];
    let hold = HoldReason::Step { step: step.id.clone() };
    if state.holds.contains(&hold) {
        drafts.push(run(Record::HoldLifted { reason: hold }));
    }
    Ok(drafts)
}

/// `with`: steps that are skipped in the same breath.
fn skip_with(runbook: &Runbook, state: &State, step: &Step, reason: &str, with: &[&Step]) -> Result<Draft, Refusal> {
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let status = state.status(&step.id);
    if !matches!(status, Status::Waiting | Status::Enabled | Status::Failed | Status::NotUndone) {
        return Err(no(format!("the step is {}", status.word())));
    }
    let hard = runbook.steps.values().find(|other| {
        !state.status(&other.id).finished()
            && !with.iter().any(|skipped| skipped.id == other.id)
            && other.after.iter().any(|after| after.hard && after.step == step.id)
    });
    if let Some(other) = hard {
        return Err(no(format!("{} must not begin without it: its order is hard", other.id)));
    }
    Ok(of(&step.id, Record::Skipped { reason: reason.trim().to_owned(), hard: false }))
}

pub(super) fn jump(runbook: &Runbook, state: &State, to: &Step, reason: &str) -> Decided {
    let status = state.status(&to.id);
    if !status.open_to_attempt() {
        return Err(no(format!("{} is {}", to.id, status.word())));
    }
    if !state.entered && to.phase != Phase::Contain {
        return Err(refuse_blocked(&[Blocked::NotEntered]));
    }
    if !reason_is_enough(reason) {
        return Err(no(format!("the reason needs {} characters or more", gate::REASON_LEAST)));
    }
    let open = |step: &&Step| matches!(state.status(&step.id), Status::Waiting | Status::Enabled | Status::Failed);
    let between: Vec<_> = runbook.steps.values().take_while(|step| step.id != to.id).filter(open).collect();
    let mut drafts = vec![run(Record::Jumped { to: to.id.clone(), reason: reason.trim().to_owned() })];
    for step in &between {
        drafts.push(skip_with(runbook, state, step, reason, &between)?);
    }
    Ok(drafts)
}

pub(super) fn elsewhere(runbook: &Runbook, state: &State, step: &Step, evidence: &str, facts: &Facts<'_>) -> Decided {
    if let Some(open) = &state.open {
        return Err(no(format!("{} is open", open.step)));
    }
    let status = state.status(&step.id);
    if !status.open_to_attempt() && status != Status::UndoFailed {
        return Err(no(format!("the step is {}", status.word())));
    }
    if !reason_is_enough(evidence) {
        return Err(no("say what shows that it was done"));
    }
    let undoes = match &step.action {
        _ if status == Status::UndoFailed => Some(step.id.clone()),
        Action::UndoOf { step: undone } if state.status(undone).stands() => Some(undone.clone()),
        _ => None,
    };
    // What it proved is gone with it.
    let itself = status == Status::UndoFailed;
    let settled = Settled { result: OutcomeResult::Applied, reason: evidence.trim().to_owned(), outcome: None, undoes };
    let mut drafts = vec![of(&step.id, Record::Settled(settled))];
    let green = |check: &CheckRef| !itself && facts.readings.get(check).is_some_and(|c| c.verdict == Verdict::Pass);
    drafts.extend(bind(runbook, state, step, green));
    Ok(drafts)
}
