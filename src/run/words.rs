//! A record in one line of words: the same on the screen, in plain lines and in `audit show`.
//!
//! Pure. Never cuts and never escapes: whoever shows it knows how much room there is.

use super::record::{Act, OpenItem, OutcomeResult, Record};
use crate::text::counted;

/// What happened. Who, when and for which step stand beside it.
pub fn words(record: &Record) -> String {
    match record {
        Record::RunStarted(started) => format!("run {} of {} begins", started.run, started.runbook),
        Record::OperatorJoined(actor) => format!("{} joined as {} from {}", actor.user, actor.id, actor.host),
        Record::HandedOver { from, to } => format!("{from} handed over to {to}"),
        Record::VarSet { name, value } => format!("{name} = {value}"),
        Record::Surveyed(survey) => format!("surveyed, {}", survey.environment.word()),
        Record::Frozen(frozen) => format!("froze {}", frozen.item),
        Record::Entered { done } if done.is_empty() => "entered at the first step".into(),
        Record::Entered { done } => format!("entered; done already: {}", done.join(", ")),
        Record::Decided { option, reason, row: Some(row) } => format!("row {row} is {option}: {reason}"),
        Record::Decided { option, reason, row: None } => format!("decided {option}: {reason}"),
        Record::Enabled {} => "is next".into(),
        Record::NotNeeded { because } => format!("not needed: {because}"),
        Record::Jumped { to, reason } => format!("jumped to {to}: {reason}"),
        Record::Skipped { reason, .. } => format!("skipped: {reason}"),
        Record::Note { text } => format!("note: {text}"),
        Record::Refused { because, .. } => format!("refused: {because}"),
        Record::Deviation { what, because } => format!("outside the plan: {what} ({because})"),
        Record::GateShown(shown) => {
            format!("gate asks for {}: {}", shown.offer.token, shown.offer.rendered.join("; "))
        }
        Record::GateAnswered(answer) if answer.yes => {
            format!("answered after {} s: {}", answer.looked_ms / 1000, answer.typed)
        }
        Record::GateAnswered(_) => "answered: no".into(),
        Record::GateClosed { detail, .. } => format!("gate closed: {detail}"),
        Record::Approval { by, .. } => format!("approved by {by}"),
        Record::Override { what, reason } => format!("override ({what}): {reason}"),
        Record::Intent(intent) => match &intent.undoes {
            Some(undone) => format!("begins: {}, to undo {undone}", intent.action),
            None => format!("begins: {}", intent.action),
        },
        Record::Reached { point, .. } => format!("reached {}", point.word()),
        Record::AttemptFailed { code, message, .. } => format!("{code}: {message}"),
        Record::Progressed { done, of: Some(of) } => format!("{done} of {of} done"),
        Record::Progressed { done, of: None } => format!("{done} done"),
        Record::ItemDone(item) => {
            format!("item {} {}: {}", item.key, if item.ok { "done" } else { "failed" }, item.detail)
        }
        Record::Outcome(outcome) => {
            let result = match outcome.result {
                OutcomeResult::Applied => "applied",
                OutcomeResult::NotApplied => "NOT applied",
                OutcomeResult::Unknown => "UNKNOWN",
            };
            let count = outcome.changed.map(|n| format!(", {n} changed")).unwrap_or_default();
            format!("{result}{count}: {}", outcome.evidence)
        }
        Record::Verified { verdict, restored: Some(restored), .. } => {
            format!("verified: {}, {}", verdict.word(), restored.words())
        }
        Record::Verified { verdict, checks, .. } => {
            format!("verified: {}, {}", verdict.word(), counted(checks.len(), "check"))
        }
        Record::StepDone { verified } => if *verified { "done" } else { "applied, NOT VERIFIED" }.into(),
        Record::SettleStarted { .. } => "looking for what became of it".into(),
        Record::SettleEvidence { what, finding } => format!("{what}: {finding}"),
        Record::Settled(settled) => {
            format!("settled, {}: {}", super::next::settled_word(settled.result), settled.reason)
        }
        Record::GuardBound { check, .. } => format!("guard: {check}"),
        Record::GuardBroken { check, verdict, .. } => format!("guard {check} BROKE: {}", verdict.word()),
        Record::Held { detail, .. } => format!("HELD: {detail}"),
        Record::HoldLifted { .. } => "hold lifted".into(),
        Record::Claimed { target, epoch } => format!("holds {target}, claim {epoch}"),
        Record::ClaimLost { target, holder } => format!("claim on {target} lost to {holder}"),
        Record::TargetLost { target, why } => format!("{target} lost: {why}"),
        Record::TargetFound { target, .. } => format!("{target} found"),
        Record::RunFinished { end, open } => {
            let mut words = format!("finished: {end:?}, {}", counted(open.len(), "open item")).to_lowercase();
            for OpenItem { what, owner, by } in open {
                words.push_str(&format!("; {what}: {owner} by {by}"));
            }
            words
        }
        Record::RunAbandoned { because } => format!("abandoned: {because}"),
        Record::Checked { checks, .. } => {
            let of = |word: &str| checks.iter().filter(|checked| checked.verdict.word() == word).count();
            format!("checks: {} pass, {} fail, {} unknown", of("pass"), of("fail"), of("unknown"))
        }
        Record::ActShown { act, token } => format!("{} asks for {token}", act_words(act)),
        Record::ActAnswered { typed, .. } => format!("answered: {typed}"),
        Record::ActIntent { act } => format!("begins: {}", act_words(act)),
        Record::ActOutcome { applied, detail, .. } => {
            format!("{}: {detail}", if *applied { "it took" } else { "it did NOT take" })
        }
        Record::AuditDegraded { why } => format!("the log was degraded: {why}"),
        other => other.kind().replace('_', " "),
    }
}

pub(super) fn act_words(act: &Act) -> String {
    match act {
        Act::Cancel { target, pid: Some(pid), .. } => format!("cancel of our own statement on {target}, pid {pid}"),
        Act::Cancel { target, .. } => format!("cancel of our own statement on {target}"),
        Act::EndSession { target, pid, .. } => format!("ending session {pid} on {target}"),
        Act::CancelSession { target, pid, .. } => format!("cancel of the statement of session {pid} on {target}"),
        Act::Trial { target, step, .. } => format!("trial of {step} on {target}"),
    }
}
