//! Append-only lines: for screen readers, for scripts that watch, for a log of a headless run.

use std::io::{self, Write};

use super::Printer;
use crate::run::record::{Event, OutcomeResult, Record};
use crate::runbook::expect::Verdict;
use crate::text::{Shown, counted};

#[derive(Default)]
pub struct Line {
    /// The last printed verdicts: only changes are worth a line.
    verdicts: std::collections::BTreeMap<String, String>,
}

impl Printer for Line {
    fn event(&mut self, out: &mut dyn Write, event: &Event) -> io::Result<()> {
        for words in self.words(event) {
            let time = event.at.wall.strftime("%H:%M:%SZ");
            let step = event.step.as_deref().unwrap_or("-");
            writeln!(out, "{time}  {step:<18} {}", Shown::capped(&words, 400))?;
        }
        Ok(())
    }

    fn message(&mut self, out: &mut dyn Write, what: &str) -> io::Result<()> {
        writeln!(out, "!! {}", Shown::capped(what, 800))
    }
}

impl Line {
    fn words(&mut self, event: &Event) -> Vec<String> {
        if let Record::Checked { checks, .. } = &event.record {
            return checks.iter().filter_map(|checked| self.changed(checked)).collect();
        }
        let mut lines = vec![words(&event.record)];
        if let Record::GateShown(shown) = &event.record {
            lines.extend(shown.evidence.facts.iter().map(|(label, words)| format!("gate: {label}: {words}")));
        }
        lines
    }

    fn changed(&mut self, checked: &crate::run::record::Checked) -> Option<String> {
        let name = checked.check.to_string();
        let verdict = checked.verdict.word().to_owned();
        if self.verdicts.get(&name) == Some(&verdict) {
            return None;
        }
        let value = match (&checked.value, &checked.words, &checked.verdict) {
            (_, Some(words), _) => words.clone(),
            (_, None, Verdict::Unknown { because }) => because.clone(),
            (Some(value), None, _) => value.to_string(),
            (None, None, _) => String::new(),
        };
        let line = format!("check {name}: {verdict} {value}");
        self.verdicts.insert(name, verdict);
        Some(line.trim_end().to_owned())
    }
}

fn words(record: &Record) -> String {
    match record {
        Record::RunStarted(started) => format!("run {} of {} begins", started.run, started.runbook),
        Record::OperatorJoined(actor) => format!("{} joined as {}", actor.user, actor.id),
        Record::VarSet { name, value } => format!("{name} = {value}"),
        Record::Surveyed(survey) => format!("surveyed, {}", survey.environment.word()),
        Record::Entered { done } if done.is_empty() => "entered at the first step".into(),
        Record::Entered { done } => format!("entered; done already: {}", done.join(", ")),
        Record::Frozen(frozen) => format!("froze {}", frozen.item),
        Record::GateShown(shown) => {
            let offer = &shown.offer;
            format!("gate: {}; asks for {}", offer.rendered.join("; "), offer.token)
        }
        Record::GateAnswered(answer) => format!("answered: {}", if answer.yes { &answer.typed } else { "no" }),
        Record::GateClosed { detail, .. } => format!("gate closed: {detail}"),
        Record::Override { what, reason } => format!("override ({what}): {reason}"),
        Record::Intent(intent) => format!("begins: {}", intent.action),
        Record::Reached { point, .. } => format!("reached {}", format!("{point:?}").to_lowercase()),
        Record::ItemDone(item) => format!("item {}: {}", if item.ok { "done" } else { "failed" }, item.detail),
        Record::Outcome(outcome) => {
            let result = match outcome.result {
                OutcomeResult::Applied => "applied",
                OutcomeResult::NotApplied => "NOT applied",
                OutcomeResult::Unknown => "UNKNOWN",
            };
            let count = outcome.changed.map(|n| format!(", {n} changed")).unwrap_or_default();
            format!("{result}{count}: {}", outcome.evidence)
        }
        Record::Verified { verdict, checks } => {
            format!("verified {}: {}", counted(checks.len(), "check"), verdict.word())
        }
        Record::StepDone { verified } => if *verified { "done" } else { "applied, NOT VERIFIED" }.into(),
        Record::NotNeeded { because } => format!("not needed: {because}"),
        Record::Skipped { reason, .. } => format!("skipped: {reason}"),
        Record::Decided { option, reason, row: Some(row) } => format!("row {row} is {option}: {reason}"),
        Record::Decided { option, reason, row: None } => format!("decided {option}: {reason}"),
        Record::Note { text } => format!("note: {text}"),
        Record::Refused { because, .. } => format!("refused: {because}"),
        Record::Held { detail, .. } => format!("HELD: {detail}"),
        Record::HoldLifted { .. } => "hold lifted".into(),
        Record::GuardBound { check, .. } => format!("guard: {check}"),
        Record::GuardBroken { check, verdict, .. } => format!("guard {check} BROKE: {}", verdict.word()),
        Record::SettleEvidence { what, finding } => format!("{what}: {finding}"),
        Record::Settled(settled) => format!("settled {:?}: {}", settled.result, settled.reason),
        Record::Claimed { target, epoch } => format!("holds {target}, claim {epoch}"),
        Record::ClaimLost { target, holder } => format!("claim on {target} lost to {holder}"),
        Record::TargetLost { target, why } => format!("{target} lost: {why}"),
        Record::TargetFound { target, .. } => format!("{target} found"),
        Record::RunFinished { end, open } => {
            format!("finished: {end:?}, {}", counted(open.len(), "open item")).to_lowercase()
        }
        other => other.kind().replace('_', " "),
    }
}
