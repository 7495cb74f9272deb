//! The frame around every page: who and where, what is next, which keys.

use ratatui::text::{Line, Span};

use super::Scene;
use super::line::{Row, clean, cut, width, wrap};
use crate::engine::Link;
use crate::run::next;
use crate::run::record::Environment;
use crate::tui::keymap;
use crate::tui::model::{Dialog, Purpose, View, wants_second};
use crate::tui::theme::{Role, environment};
use crate::tui::update::token;

/// Header, NEXT in one row or two, and the rule with the targets.
pub fn lines(scene: &Scene<'_>, columns: u16) -> Vec<Line<'static>> {
    let room = usize::from(columns);
    let theme = scene.theme;
    let mut lines = vec![heading(scene, room)];
    for (i, text) in wrap(&sentence(scene), room.saturating_sub(7)).into_iter().take(2).enumerate() {
        let label = if i == 0 { " NEXT  " } else { "       " };
        lines.push(Line::from(vec![
            Span::styled(label, theme.style(Role::Warn)),
            Span::styled(text, theme.style(Role::Title)),
        ]));
    }
    lines.push(targets(scene, room));
    lines
}

/// The first row: where and who.
pub fn heading(scene: &Scene<'_>, room: usize) -> Line<'static> {
    if scene.model.gate.is_some() { at_gate(scene, room) } else { who(scene, room) }
}

/// What to do now.
pub fn sentence(scene: &Scene<'_>) -> String {
    let log = scene.snapshot.log_wait.as_ref().map_or(0, |wait| scene.now.seconds_since(&wait.since));
    match scene.snapshot.preparing.as_ref() {
        _ if log > 0 => format!("Waiting for the audit log, {log} s: nothing begins before it is on the disk"),
        Some((step, since)) => {
            format!("Wait: the gate of {step} is being prepared, {} s", scene.now.seconds_since(since))
        }
        None if scene.snapshot.exit.is_some() && scene.snapshot.state.closed() => {
            "Read how it ended, then Enter".into()
        }
        None if scene.snapshot.exit.is_some() => "Read how it stands, then Enter".into(),
        None if scene.model.leaving => match &scene.snapshot.state.open {
            Some(open) => format!("Wait: {} is followed to its end, then you leave", open.step),
            None => "Wait: leaving".into(),
        },
        None => behind(scene).unwrap_or_else(|| enter_hint(scene)),
    }
}

/// What the open statement waits for, where that is somebody.
fn behind(scene: &Scene<'_>) -> Option<String> {
    let watched = scene.snapshot.watched.as_ref().filter(|_| scene.model.gate.is_none())?;
    Some(format!("Wait: {} is behind {}", watched.step, watched.behind()?))
}

/// What a dialog wants: its keys are the only ones that do anything while it is there.
fn asked(scene: &Scene<'_>) -> Option<String> {
    let words = match scene.model.dialogs.last()? {
        Dialog::Help { .. } | Dialog::Palette { .. } => return None,
        Dialog::Trial { .. } => "Read what came of it, then Esc",
        Dialog::Leave => "Enter leaves, and the run is held; Esc stays",
        Dialog::Note { .. } => "Write it down, then ^S",
        Dialog::Finish { .. } => "Say how it ends, F2, F3 or F4, and who owns what is open; then ^S",
        Dialog::Decide { .. } => "Type the word of the choice, then why, and Enter",
        Dialog::Prompt { purpose, .. } => match (token(purpose), purpose) {
            (Some(word), _) => return Some(format!("Read it, then type  {word}  and Enter")),
            (None, Purpose::EndSession { .. }) => "Type the pid of who is to be ended, and Enter",
            (None, Purpose::Find) => "Type what to look for, and Enter",
            (None, Purpose::Var { .. }) => "Type its value, and Enter",
            (None, Purpose::Seen { .. } | Purpose::Elsewhere { .. } | Purpose::Settle { .. }) => {
                "Say what was seen, and Enter"
            }
            (None, _) => "Say why, and Enter",
        },
    };
    Some(words.into())
}

fn enter_hint(scene: &Scene<'_>) -> String {
    if let Some(asked) = asked(scene) {
        return asked;
    }
    let mut sentence = scene.next.sentence.clone();
    let step = scene.next.step.as_ref().and_then(|id| scene.snapshot.runbook.steps.get(id));
    let asked = step.and_then(|step| next::asked_for(&scene.snapshot.state, step, &scene.now));
    if let Some((asked, within)) = asked.filter(|(asked, within)| asked > within) {
        sentence = format!("Late by {}: {sentence}", super::line::clock(asked - within));
    }
    if scene.model.at_rows(scene.snapshot) {
        return super::rows::sentence(scene).unwrap_or(sentence);
    }
    let map = scene.model.view == View::Survey && !scene.snapshot.state.entered;
    if let Some(survey) = scene.snapshot.survey.as_ref().filter(|_| map && !scene.snapshot.surveying) {
        return match &survey.entry {
            Some(id) => {
                format!("Read the map, then accept where to enter: {} {id}  (Enter)", super::steps::place(scene, id))
            }
            None => "Read the map, then accept it: every step is done already  (Enter)".into(),
        };
    }
    if map && scene.snapshot.surveying && scene.next.step.is_none() {
        return "Wait: the map is still being read; then accept where to enter".into();
    }
    let room = usize::from(scene.model.size.0).saturating_sub(7);
    if scene.model.gate.is_some() {
        if wants_second(scene.snapshot) {
            return "Read all of it, then Tab, and say why it cannot wait for a second person".into();
        }
        // The footer says what Esc does; a token is not to be torn by a wrap.
        let short = sentence.split_once("   Esc").map(|(short, _)| short.trim_end_matches('.').to_owned());
        return short.filter(|_| width(&sentence) > room).unwrap_or(sentence);
    }
    if scene.next.step.is_none() && !scene.next.enter && !scene.snapshot.state.holds.is_empty() {
        return format!("{sentence}  ({})", keymap::key_of(keymap::Command::Lift));
    }
    if scene.next.enter && scene.model.dialogs.is_empty() {
        const HINT: &str = "  (Enter)";
        // A second row would cost a row of the page, and the title stands below.
        return format!("{}{HINT}", cut(&sentence, room.saturating_sub(HINT.len())));
    }
    sentence
}

fn word(scene: &Scene<'_>) -> (&'static str, Role) {
    let read = scene.snapshot.state.survey.is_some() || scene.snapshot.survey.is_some();
    if !read {
        // What no server has declared yet is treated as production.
        return ("PROD?", Role::Production);
    }
    environment(scene.snapshot.state.environment())
}

fn who(scene: &Scene<'_>, room: usize) -> Line<'static> {
    let (snapshot, theme) = (scene.snapshot, scene.theme);
    let state = &snapshot.state;
    let (text, role) = word(scene);
    let mut parts = vec![snapshot.runbook.name.clone()];
    if let Some((started, _)) = &state.started {
        parts.extend(started.incident.clone());
    }
    let operator = state.operator.as_ref().and_then(|id| state.actors.get(id));
    parts.extend(operator.map(|actor| actor.user.clone()));
    let clock = scene.now.wall.strftime("%H:%MZ").to_string();
    let elapsed = state.started.as_ref().map_or(0, |(_, at)| scene.now.seconds_since(at)) / 60;
    let held = match (&state.ended, state.holds.is_empty()) {
        (Some(_), _) => ("ended", Role::Title),
        (None, true) => ("not held", Role::Muted),
        (None, false) => ("HELD", Role::Warn),
    };
    Row::new()
        .put(format!(" {text} "), theme.style(role))
        .put(format!(" {}", parts.join(" · ")), theme.style(Role::Title))
        .end(format!("{clock}  +{}:{:02}   ", elapsed / 60, elapsed % 60), theme.style(Role::Plain))
        .end(format!("{} ", held.0), theme.style(held.1))
        .fit(room)
}

fn at_gate(scene: &Scene<'_>, room: usize) -> Line<'static> {
    let Some(open) = &scene.snapshot.state.gate else { return Line::default() };
    let theme = scene.theme;
    // The gate names the environment that the offer is bound to.
    let (text, role) = environment(open.shown.offer.environment);
    let digest = &open.shown.offer_digest;
    let short = match (digest.get(..4), digest.get(4..8)) {
        (Some(a), Some(b)) => format!("{a}-{b}"),
        _ => digest.clone(),
    };
    let kind = if open.shown.offer.undoes.is_some() { "UNDO" } else { "GATE" };
    let place = super::steps::place(scene, &open.step);
    let again = if open.att > 1 { format!("   attempt {}", open.att) } else { String::new() };
    Row::new()
        .put(format!(" {text} "), theme.style(role))
        .put(format!(" {kind}  {place} {}{again}", open.step), theme.style(Role::Title))
        .end(format!("offer {short} "), theme.style(Role::Muted))
        .fit(room)
}

/// A rule that carries every target, as the server itself names it.
fn targets(scene: &Scene<'_>, room: usize) -> Line<'static> {
    let theme = scene.theme;
    let muted = theme.style(Role::Muted);
    let mut spans = vec![Span::styled("─", muted)];
    let mut used = 1;
    let count = scene.snapshot.targets.len();
    for (i, (name, link)) in scene.snapshot.targets.iter().enumerate() {
        let share = (room.saturating_sub(used + 1)) / (count - i).max(1);
        let (glyph, role, words) = match link {
            Link::Connecting => ("…", Role::Muted, "connecting".to_owned()),
            Link::Up(identity) => {
                let role = match identity.environment {
                    Environment::Production => Role::Plain,
                    Environment::Rehearsal => Role::Running,
                };
                ("✓", role, identity.seen.words.clone())
            }
            Link::Down { words, .. } => ("✗", Role::Bad, words.clone()),
        };
        let text = cut(&format!(" {glyph} {name} {words} "), share.saturating_sub(1));
        if share < 8 {
            break;
        }
        used += width(&text) + 1;
        spans.push(Span::styled(text, theme.style(role)));
        spans.push(Span::styled("─", muted));
    }
    spans.push(Span::styled("─".repeat(room.saturating_sub(used)), muted));
    Line::from(spans)
}

/// The title of a pane, with what is out of sight.
pub fn title(
    scene: &Scene<'_>,
    word: &str,
    focused: bool,
    above: usize,
    below: usize,
    columns: usize,
) -> Line<'static> {
    let theme = scene.theme;
    let style = theme.style(if focused { Role::Title } else { Role::Muted });
    let hidden = match (above, below) {
        (0, 0) => String::new(),
        (0, below) => format!(" ▼ {below} more "),
        (above, 0) => format!(" ▲ {above} above "),
        (above, below) => format!(" ▲ {above} ▼ {below} "),
    };
    let mark = if focused { "━" } else { "─" };
    let text = format!("{mark} {} ", clean(word));
    let rest = columns.saturating_sub(width(&text) + width(&hidden));
    Line::from(vec![
        Span::styled(text, style),
        Span::styled("─".repeat(rest), theme.style(Role::Muted)),
        Span::styled(hidden, theme.style(Role::Muted)),
    ])
}

/// As many of the keys as fit; help and the ways out always.
pub fn footer(scene: &Scene<'_>, columns: u16) -> Line<'static> {
    let room = usize::from(columns);
    let theme = scene.theme;
    let keys = keymap::footer(scene.model, scene.snapshot);
    let (last, first): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(key, _)| matches!(*key, "?" | "q" | "Esc"));
    let size = |(key, label): &(&str, &str)| width(key) + width(label) + 3;
    let mut left = room.saturating_sub(1 + last.iter().map(size).sum::<usize>());
    let mut shown = Vec::new();
    for key in first {
        if size(&key) <= left {
            left -= size(&key);
            shown.push(key);
        }
    }
    shown.extend(last);
    let mut spans = vec![Span::raw(" ")];
    for (key, label) in shown {
        spans.push(Span::styled(key, theme.style(Role::Title)));
        spans.push(Span::styled(format!(" {label}  "), theme.style(Role::Muted)));
    }
    Line::from(spans)
}
