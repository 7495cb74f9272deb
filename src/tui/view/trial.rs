//! The result of a trial: what passed with it applied, that its undo brings back what was, how long which locks were
//! held, and what was not tried.

use ratatui::text::Line;

use super::Scene;
use super::line::{labelled, wrap};
use crate::action::trial::costs;
use crate::run::record::Tone;
use crate::tui::theme::Role;

pub fn lines(scene: &Scene<'_>, step: &str, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let Some(trial) = scene.snapshot.state.steps.get(step).and_then(|s| s.tried.as_ref()) else { return Vec::new() };
    let mut out = Vec::new();
    let mut words = |text: &str, role: Role| {
        out.extend(
            wrap(text, columns.saturating_sub(2)).into_iter().map(|t| Line::styled(format!(" {t}"), theme.style(role))),
        );
    };
    let Some(tried) = &trial.tried else {
        let at = trial.at.wall.strftime("%H:%M:%SZ");
        match trial.words.starts_with("refused") {
            true => words(&format!("NOT TRIED at {at}: nothing was changed."), Role::Warn),
            false => words(&format!("DID NOT GET THROUGH at {at}: all of it was rolled back."), Role::Bad),
        }
        words(&trial.words, Role::Plain);
        words("e: on an empty copy · b: at full size, with a reason · Esc: back", Role::Muted);
        return out;
    };
    let on = if tried.copy { ", on an EMPTY COPY" } else { "" };
    let at = trial.at.wall.strftime("%H:%M:%SZ");
    match tried.is_good() {
        true => {
            words(&format!("TRIED at {at}{on}: what could be tried holds, and all of it was rolled back."), Role::Ok)
        }
        false => words(&format!("TRIED at {at}{on}: NOT as wanted, and all of it was rolled back."), Role::Bad),
    }
    out.push(Line::default());
    for (label, text, tone) in tried.lines() {
        let (mark, role) = match tone {
            Tone::Good => ("✓ ", Role::Ok),
            Tone::Bad => ("✗ ", Role::Bad),
            Tone::Plain => ("", Role::Plain),
        };
        let words = format!("{mark}{text}");
        out.extend(labelled(label, &words, columns, theme.style(Role::Muted), theme.style(role)));
    }
    out
}

/// What the trial costs, and what must be typed.
pub fn cost(scene: &Scene<'_>, step: &str, copy: bool) -> String {
    let ends = "Nothing stays: it is rolled back. Sequences may skip. Type try.";
    if copy {
        return format!("An empty temporary copy stands in for the table: no lock that anybody waits for. {ends}");
    }
    let snapshot = scene.snapshot;
    let offered = snapshot.state.gate.as_ref().map(|gate| &gate.shown.offer).filter(|offer| offer.step == step);
    let known = match (offered, snapshot.runbook.steps.get(step)) {
        (Some(offer), Some(of)) => costs(of, Some(offer.rendered.clone()), &snapshot.runbook, &snapshot.state.vars),
        (None, Some(of)) => costs(of, None, &snapshot.runbook, &snapshot.state.vars),
        (_, None) => None,
    };
    let known = known.unwrap_or_else(|| "What it locks is told at its gate.".to_owned());
    format!("{known} {ends}")
}
