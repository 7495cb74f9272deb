//! The log of this run as one line an event; the file has all of each.

use ratatui::text::Line;

use super::Scene;
use super::line::Row;
use crate::run::record::{Event, OutcomeResult, Record};
use crate::text::counted;
use crate::tui::theme::Role;

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let quiet = |event: &&std::sync::Arc<Event>| !matches!(event.record, Record::Heartbeat {} | Record::Checked { .. });
    let line = |event: &std::sync::Arc<Event>| {
        let (words, role) = words(&event.record);
        let who = scene.snapshot.state.actors.get(&event.by).map_or(event.by.as_str(), |actor| actor.user.as_str());
        let about = event.step.as_deref().map(|step| format!("{step}: ")).unwrap_or_default();
        Row::new()
            .put(format!(" {} ", event.at.wall.strftime("%H:%M:%SZ")), theme.style(Role::Muted))
            .cell(who, 7, theme.style(Role::Muted))
            .put(format!(" {about}"), theme.style(Role::Title))
            .put(words, theme.style(role))
            .fit(columns)
    };
    scene.snapshot.log.iter().filter(quiet).map(line).collect()
}

/// What happened, in the past tense.
pub fn words(record: &Record) -> (String, Role) {
    let plain = |text: String| (text, Role::Plain);
    match record {
        Record::RunStarted(started) => plain(format!("run {} of {} began", started.run, started.runbook)),
        Record::VarSet { name, value } => plain(format!("{name} = {value}")),
        Record::OperatorJoined(actor) => plain(format!("{} joined from {}", actor.user, actor.host)),
        Record::HandedOver { from, to } => plain(format!("{from} handed over to {to}")),
        Record::Surveyed(survey) => plain(format!("surveyed, {}", survey.environment.word())),
        Record::Frozen(frozen) => plain(format!("froze {}", frozen.item)),
        Record::Entered { done } => plain(format!("entered, {} done already", counted(done.len(), "step"))),
        Record::Decided { option, reason, row: Some(row) } => plain(format!("row {row} is {option}: {reason}")),
        Record::Decided { option, reason, row: None } => plain(format!("decided {option}: {reason}")),
        Record::Enabled {} => plain("is next".into()),
        Record::NotNeeded { because } => (format!("not needed: {because}"), Role::Muted),
        Record::Jumped { to, reason } => (format!("jumped to {to}: {reason}"), Role::Warn),
        Record::Skipped { reason, .. } => (format!("skipped: {reason}"), Role::Warn),
        Record::Note { text } => plain(format!("note: {text}")),
        Record::Refused { input, because } => (format!("refused {input}: {because}"), Role::Warn),
        Record::GateShown(shown) => plain(format!("gate shown, asks {:?}", shown.offer.token)),
        Record::GateClosed { reason, detail } => plain(format!("gate closed ({reason:?}): {detail}").to_lowercase()),
        Record::GateAnswered(answer) if answer.yes => {
            plain(format!("gate answered after {} s", answer.looked_ms / 1000))
        }
        Record::GateAnswered(_) => plain("gate answered no".into()),
        Record::Approval { by, .. } => plain(format!("approved by {by}")),
        Record::Override { what, reason } => (format!("override of {what}: {reason}"), Role::Warn),
        Record::Intent(intent) => (format!("began {}", intent.action), Role::Running),
        Record::Reached { point, .. } => (format!("reached {point:?}").to_lowercase(), Role::Muted),
        Record::AttemptFailed { code, message, .. } => (format!("{code}: {message}"), Role::Warn),
        Record::ItemDone(item) => {
            (format!("item {}: {}", item.key, item.detail), if item.ok { Role::Plain } else { Role::Bad })
        }
        Record::Outcome(outcome) => {
            let (word, role) = match outcome.result {
                OutcomeResult::Applied => ("applied", Role::Ok),
                OutcomeResult::NotApplied => ("NOT APPLIED", Role::Bad),
                OutcomeResult::Unknown => ("UNKNOWN", Role::Warn),
            };
            (format!("{word}: {}", outcome.evidence), role)
        }
        Record::Verified { verdict, .. } => {
            (format!("verified: {verdict}"), if verdict.is_pass() { Role::Ok } else { Role::Warn })
        }
        Record::StepDone { verified: true } => ("done".into(), Role::Ok),
        Record::StepDone { verified: false } => ("done, NOT VERIFIED".into(), Role::Warn),
        Record::SettleEvidence { what, finding } => plain(format!("{what}: {finding}")),
        Record::Settled(settled) => (format!("settled: {}", settled.reason), Role::Warn),
        Record::GuardBound { check, .. } => plain(format!("guard {check} holds from here")),
        Record::GuardBroken { check, verdict, .. } => (format!("guard {check} broke: {verdict}"), Role::Bad),
        Record::Held { detail, .. } => (format!("HELD: {detail}"), Role::Warn),
        Record::HoldLifted { .. } => plain("hold lifted".into()),
        Record::Claimed { target, epoch } => plain(format!("claimed {target}, epoch {epoch}")),
        Record::ClaimLost { target, holder } => (format!("claim on {target} lost to {holder}"), Role::Bad),
        Record::TargetLost { target, why } => (format!("{target} does not answer: {why}"), Role::Bad),
        Record::TargetFound { target, .. } => plain(format!("{target} answers again")),
        Record::RunFinished { end, open } => {
            plain(format!("run ended {end:?}, {}", counted(open.len(), "open item")).to_lowercase())
        }
        Record::RunAbandoned { because } => (format!("abandoned: {because}"), Role::Warn),
        other => (other.kind().replace('_', " "), Role::Muted),
    }
}
