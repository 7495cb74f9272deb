//! A terminal below the least size: what runs, what is next, and how to go on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::line::wrap;
use super::{LEAST, Scene, draw_lines};
use crate::tui::theme::{Role, environment};

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let theme = scene.theme;
    let state = &scene.snapshot.state;
    let (word, role) = environment(state.environment());
    let running = match (&state.open, &state.gate) {
        _ if scene.snapshot.exit.is_some() && state.closed() => "the run has ended; Enter closes".into(),
        _ if scene.snapshot.exit.is_some() => format!("LEFT; go on with {}", scene.snapshot.resume_words()),
        (Some(open), _) if open.unknown => format!("UNKNOWN: {}", open.step),
        (Some(open), _) => format!("running: {}", open.step),
        (None, Some(gate)) => format!("at the gate: {}", gate.step),
        (None, None) => "nothing runs".into(),
    };
    let texts = [
        (format!("{word} {}", scene.snapshot.runbook.name), role),
        (running, Role::Title),
        (format!("NEXT {}", scene.next.sentence), Role::Plain),
        (format!("Too small: {}x{}, wanted {}x{}.", area.width, area.height, LEAST.0, LEAST.1), Role::Warn),
        ("Keys do nothing here but Esc and ^C: they close, or hold.".into(), Role::Muted),
    ];
    let mut lines = Vec::new();
    for (text, role) in texts {
        for line in wrap(&text, usize::from(area.width)) {
            lines.push(Line::styled(line, theme.style(role)));
        }
    }
    draw_lines(lines, area, buffer);
}
