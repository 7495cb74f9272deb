//! The log of this run as one line an event; the file has all of each.

use ratatui::text::Line;

use super::line::Row;
use super::{Scene, Window};
use crate::run::record::{Event, OutcomeResult, Record};
use crate::run::words;
use crate::tui::theme::Role;

/// All lines.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    told(scene).into_iter().map(|event| line(scene, event, columns)).collect()
}

/// The last that fit, or those `back` lines before them.
pub fn window(scene: &Scene<'_>, columns: usize, rows: usize, back: usize) -> Window {
    let told = told(scene);
    let first = told.len().saturating_sub(rows).saturating_sub(back);
    Window::of(&told, first, rows, |event| line(scene, event, columns))
}

fn told<'a>(scene: &Scene<'a>) -> Vec<&'a Event> {
    let quiet = |event: &&Event| matches!(event.record, Record::Heartbeat {} | Record::Checked { .. });
    scene.snapshot.log.iter().map(AsRef::as_ref).filter(|event| !quiet(event)).collect()
}

fn line(scene: &Scene<'_>, event: &Event, columns: usize) -> Line<'static> {
    let theme = scene.theme;
    let who = scene.snapshot.state.actors.get(&event.by).map_or(event.by.as_str(), |actor| actor.user.as_str());
    let about = event.step.as_deref().map(|step| format!("{step}: ")).unwrap_or_default();
    Row::new()
        .put(format!(" {} ", event.at.wall.strftime("%H:%M:%SZ")), theme.style(Role::Muted))
        .cell(who, 7, theme.style(Role::Muted))
        .put(format!(" {about}"), theme.style(Role::Title))
        .put(words(&event.record), theme.style(role(&event.record)))
        .fit(columns)
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
