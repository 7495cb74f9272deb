//! `audit show`: a log for a person.
//!
//! Owns the three forms: a line for each record, wrapped on a terminal and never cut; every field; and JSON. Nothing in a log reaches the terminal as anything
//! but text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use crate::audit::{self, Envelope, Options};
use crate::engine;
use crate::failure::Result;
use crate::run::record::{Record, Temporary};
use crate::run::state::State;
use crate::run::{left, words};
use crate::text::{Shown, in_one_line};
use crate::tui::view::wrap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Line,
    Long,
    Json,
}

/// Prints the unbroken chain, and on stderr where it breaks.
///
/// # Errors
/// The run's directory cannot be read.
pub fn show(dir: &Path, step: Option<&str>, form: Form) -> Result<u8> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let mut lines = Lines { columns: columns(), names: BTreeMap::new(), day: String::new(), checks: String::new() };
    let mut state = State::default();
    let mut each = |envelope: &Envelope| {
        let event = engine::event_of(envelope);
        if let Ok(event) = &event {
            // What is illegal is `verify`'s to say: here the records are shown.
            let _ = state.evolve(event);
        }
        if let Ok(Record::OperatorJoined(actor)) = event.as_ref().map(|event| &event.record) {
            lines.names.insert(actor.id.clone(), actor.user.clone());
        }
        if written.is_ok() && step.is_none_or(|step| envelope.step.as_deref() == Some(step)) {
            let line = match form {
                Form::Line => lines.of(envelope, event.as_ref().map(|event| &event.record).ok()),
                Form::Long => Some(audit::show(envelope).into_string()),
                Form::Json => Some(json(envelope)),
            };
            written = line.map_or(Ok(()), |line| writeln!(out, "{line}"));
        }
        Ok(())
    };
    let report = audit::verify(dir, &Options::default(), &mut each)?;
    if step.is_none() && form != Form::Json {
        written = written.and_then(|()| temporary(&mut out, &state));
    }
    let written = written.and_then(|()| out.flush());
    if report.exit_code() != 0 {
        // Where stderr is gone, the exit code says it.
        let _ = writeln!(io::stderr().lock(), "the log is not whole: {}", report.first_fault());
    }
    super::super::lint::quiet(written.map(|()| report.exit_code()))
}

/// What may still be there of a run that has no end, which would name it.
fn temporary(out: &mut impl Write, state: &State) -> io::Result<()> {
    let left = left::recorded(state);
    if state.ended.is_some() || left.is_empty() {
        return Ok(());
    }
    writeln!(out, "still temporary: the run has no end that says whose")?;
    for Temporary { step, what, owner, by, remove } in left {
        let unsure = if state.status(step).stands() { "" } else { "may be there: " };
        let owner = owner.as_deref().unwrap_or("nobody's yet");
        let by = by.as_deref().map_or_else(|| ", no date yet".to_owned(), |by| format!(" by {by}"));
        let end =
            remove.as_ref().map_or_else(|| format!("left by {step}"), |end| format!("left by {step}, {end} ends it"));
        writeln!(
            out,
            "  {unsure}{}: {}{} ({})",
            Shown::new(what),
            Shown::new(owner),
            Shown::new(&by),
            Shown::new(&end)
        )?;
    }
    Ok(())
}

/// `None` where the output is no terminal: a line is a record there.
fn columns() -> Option<usize> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns >= 40)
}

struct Lines {
    columns: Option<usize>,
    /// Users by actor.
    names: BTreeMap<String, String>,
    day: String,
    /// What the checks said last: said again, it is no news, and would drown the rest.
    checks: String,
}

impl Lines {
    /// `seq  time  who  step/attempt  what`, after a line with the day where it is another one.
    fn of(&mut self, envelope: &Envelope, record: Option<&Record>) -> Option<String> {
        let Envelope { seq, ts, by, .. } = envelope;
        let what = record.map_or_else(|| envelope.kind.clone(), words);
        if let Some(Record::Checked { .. }) = record
            && std::mem::replace(&mut self.checks, what.clone()) == what
        {
            return None;
        }
        let mut out = String::new();
        let day = ts.strftime("%Y-%m-%d").to_string();
        if day != self.day {
            let _ = writeln!(out, "{day} UTC");
            self.day = day;
        }
        let who = Shown::capped(self.names.get(by).unwrap_or(by), 7);
        let step = match (&envelope.step, envelope.att) {
            (Some(step), Some(att)) => Shown::capped(&format!("{step}/{att}"), 20),
            (Some(step), None) => Shown::capped(step, 20),
            (None, _) => Shown::new("-"),
        };
        let start = format!("{seq:>4} {} {who:<7} {step:<16} ", ts.strftime("%H:%M:%S"));
        let indent = start.chars().count();
        out.push_str(&start);
        match self.columns {
            Some(columns) => {
                let what = wrap(what.trim(), columns.saturating_sub(indent).max(20));
                out.push_str(&what.join(&format!("\n{}", " ".repeat(indent))));
            }
            None => out.push_str(in_one_line(what.trim()).as_str()),
        }
        Some(out)
    }
}

/// The record as it stands in the log, in ASCII: no terminal takes any of it for a command.
fn json(envelope: &Envelope) -> String {
    let Envelope { v, seq, prev, ts, mono, boot, run, by, step, att, kind, payload, hash } = envelope;
    let whole = json!({
        "v": v, "seq": seq, "prev": prev, "ts": format!("{ts:.6}"), "mono": mono.to_string(), "boot": boot, "run": run, "by": by,
        "step": step, "att": att, "kind": kind, "payload": payload, "hash": hash,
    });
    let mut out = String::new();
    for c in whole.to_string().chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}
