//! Append-only lines: for screen readers, for scripts that watch, for a log of a headless run.

use std::io::{self, Write};

use super::Printer;
use crate::run::record::{Event, Now, Record};
use crate::run::words;
use crate::runbook::expect::Verdict;
use crate::text::Shown;

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

    fn live(&mut self, out: &mut dyn Write, at: &Now, step: &str, words: &str) -> io::Result<()> {
        writeln!(out, "{}  {step:<18} {}", at.wall.strftime("%H:%M:%SZ"), Shown::capped(words, 400))
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
