//! The log of this run, an event a line, and whole: a reason that cannot be read to its end is none.

use ratatui::text::{Line, Span};

use super::line::{pad, width, wrap};
use super::{Scene, Window};
use crate::run::record::{Event, OutcomeResult, Record};
use crate::run::words;
use crate::tui::theme::Role;

/// All lines.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    told(scene).into_iter().flat_map(|event| entry(scene, event, columns)).collect()
}

/// The last that fit, or those `back` events before them.
pub fn window(scene: &Scene<'_>, columns: usize, rows: usize, back: usize) -> Window {
    let told = told(scene);
    let mut until = told.len().saturating_sub(back).max(1).min(told.len());
    let mut first = until;
    let mut lines: Vec<Line<'static>> = Vec::new();
    while let Some(event) = first.checked_sub(1).and_then(|i| told.get(i)).filter(|_| lines.len() < rows) {
        let mut all = entry(scene, event, columns);
        all.append(&mut lines);
        lines = all;
        first -= 1;
    }
    lines.drain(..lines.len().saturating_sub(rows));
    // Scrolled to the first: the page is filled from there, with what fits whole.
    while let Some(next) = told.get(until).map(|event| entry(scene, event, columns))
        && lines.len() + next.len() <= rows
    {
        lines.extend(next);
        until += 1;
    }
    Window { lines, first, more: told.len() - until }
}

fn told<'a>(scene: &Scene<'a>) -> Vec<&'a Event> {
    let quiet = |event: &&Event| matches!(event.record, Record::Heartbeat {} | Record::Checked { .. });
    scene.snapshot.log.iter().map(AsRef::as_ref).filter(|event| !quiet(event)).collect()
}

fn entry(scene: &Scene<'_>, event: &Event, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let who = scene.snapshot.state.actors.get(&event.by).map_or(event.by.as_str(), |actor| actor.user.as_str());
    let about = event.step.as_deref().map(|step| format!("{step}: ")).unwrap_or_default();
    let start = format!(" {} {} ", event.at.wall.strftime("%H:%M:%SZ"), pad(who, 7));
    let room = columns.saturating_sub(width(&start)).max(8);
    let text = format!("{about}{}", words(&event.record).replace('\n', " "));
    let style = theme.style(role(&event.record));
    wrap(&text, room)
        .into_iter()
        .enumerate()
        .map(|(i, text)| match text.strip_prefix(about.as_str()).filter(|_| i == 0) {
            Some(rest) => Line::from(vec![
                Span::styled(start.clone(), theme.style(Role::Muted)),
                Span::styled(about.clone(), theme.style(Role::Title)),
                Span::styled(rest.to_owned(), style),
            ]),
            None => Line::from(vec![
                Span::styled(if i == 0 { start.clone() } else { " ".repeat(width(&start)) }, theme.style(Role::Muted)),
                Span::styled(text, style),
            ]),
        })
        .collect()
}

/// How much a record matters to whoever looks back.
fn role(record: &Record) -> Role {
    match record {
        Record::Jumped { .. }
        | Record::Skipped { .. }
        | Record::Refused { .. }
        | Record::Override { .. }
        | Record::AttemptFailed { .. }
        | Record::StepDone { verified: false }
        | Record::Settled(_)
        | Record::Held { .. }
        | Record::AuditDegraded { .. }
        | Record::RunAbandoned { .. } => Role::Warn,
        Record::GuardBroken { .. } | Record::ClaimLost { .. } | Record::TargetLost { .. } => Role::Bad,
        Record::ItemDone(item) if !item.ok => Role::Bad,
        Record::Outcome(outcome) => match outcome.result {
            OutcomeResult::Applied => Role::Ok,
            OutcomeResult::NotApplied => Role::Bad,
            OutcomeResult::Unknown => Role::Warn,
        },
        Record::Verified { verdict, .. } => {
            if verdict.is_pass() {
                Role::Ok
            } else {
                Role::Warn
            }
        }
        Record::StepDone { verified: true } => Role::Ok,
        Record::Intent(_) => Role::Running,
        Record::NotNeeded { .. } | Record::Reached { .. } | Record::Progressed { .. } => Role::Muted,
        _ if record.is_log() => Role::Muted,
        _ => Role::Plain,
    }
}
