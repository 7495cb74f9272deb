//! The steps, by phase: glyph and words, the layer's letter, and what each asks for.

use ratatui::text::Line;

use super::line::{Row, pad};
use super::{Scene, Window};
use crate::run::record::Position;
use crate::run::state::{Status, StepState};
use crate::runbook::{Level, Phase, Step, level};
use crate::tui::theme::{self, Role};

pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Contain => "contain",
        Phase::Repair => "repair",
        Phase::Release => "release",
        Phase::Close => "close",
    }
}

/// The number of a step in the file, from 1.
pub fn place(scene: &Scene<'_>, id: &str) -> String {
    scene.snapshot.runbook.steps.get_index_of(id).map_or_else(String::new, |i| (i + 1).to_string())
}

/// What stands on one line of the list.
enum Entry<'a> {
    Phase(Phase),
    Step(&'a Step),
}

/// The list as it is written, and the width of its longest id.
struct List<'a> {
    entries: Vec<Entry<'a>>,
    widest: usize,
}

impl<'a> List<'a> {
    fn of(scene: &Scene<'a>, columns: usize) -> Self {
        let mut entries = Vec::new();
        let mut phase = None;
        for step in scene.snapshot.runbook.steps.values() {
            if phase.replace(step.phase) != Some(step.phase) {
                entries.push(Entry::Phase(step.phase));
            }
            entries.push(Entry::Step(step));
        }
        let widest = scene.snapshot.runbook.steps.keys().map(String::len).max().unwrap_or(0).min(columns / 3);
        Self { entries, widest }
    }

    fn line(&self, scene: &Scene<'_>, entry: &Entry<'_>, columns: usize) -> Line<'static> {
        match entry {
            Entry::Phase(phase) => phase_line(scene, *phase, columns),
            Entry::Step(step) => {
                let selected = scene.model.step(scene.snapshot) == Some(step.id.as_str());
                step_line(scene, step, selected, self.widest, columns)
            }
        }
    }
}

/// All lines.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let list = List::of(scene, columns);
    list.entries.iter().map(|entry| list.line(scene, entry, columns)).collect()
}

/// As many as fit, so that the selected step is among them.
pub fn window(scene: &Scene<'_>, columns: usize, rows: usize) -> Window {
    let list = List::of(scene, columns);
    let selected = scene.model.step(scene.snapshot);
    let is_selected = |entry: &Entry<'_>| matches!(entry, Entry::Step(step) if selected == Some(step.id.as_str()));
    let at = list.entries.iter().position(is_selected).unwrap_or(0);
    // The selected step moves within the middle third: what came before it is the context, and the list scrolls a third at
    // a time, so that most keys redraw two rows and not the pane.
    let third = (rows / 3).max(1);
    let first = (at + 1).saturating_sub(rows - rows / 3).next_multiple_of(third);
    Window::of(&list.entries, first, rows, |entry| list.line(scene, entry, columns))
}

fn phase_line(scene: &Scene<'_>, phase: Phase, columns: usize) -> Line<'static> {
    let row = Row::new().put(format!(" {}", phase_word(phase)), scene.theme.style(Role::Muted));
    let guards = &scene.snapshot.state.guards;
    if phase != Phase::Contain || guards.is_empty() {
        return row.fit(columns);
    }
    let broken = guards.values().filter(|guard| guard.broken.is_some()).count();
    let (words, role) = match broken {
        0 if guards.len() == 1 => ("✓ 1 guard holds ".into(), Role::Ok),
        0 => (format!("✓ {} guards hold ", guards.len()), Role::Ok),
        _ => (format!("✗ {broken} of {} guards broke ", guards.len()), Role::Bad),
    };
    row.end(words, scene.theme.style(role)).fit(columns)
}

fn step_line(scene: &Scene<'_>, step: &Step, selected: bool, widest: usize, columns: usize) -> Line<'static> {
    let theme = scene.theme;
    let state = scene.snapshot.state.steps.get(&step.id);
    let status = state.map_or(Status::Waiting, StepState::now);
    let (glyph, role) = theme::status(status);
    let is_next = scene.next.step.as_deref() == Some(&step.id);
    let (glyph, role) = if is_next && status == Status::Waiting { ("▶", Role::Title) } else { (glyph, role) };
    let text = if selected { theme.style(Role::Title) } else { theme.style(Role::Plain) };
    let mut line = Row::new()
        .put(if selected { "›" } else { " " }, theme.style(Role::Title))
        .put(format!("{glyph} "), theme.style(role))
        .put(format!("{:>2} ", place(scene, &step.id)), theme.style(Role::Muted))
        .put(pad(&step.id, widest), text)
        .put(format!("  {}", step.title), theme.style(if status.finished() { Role::Muted } else { Role::Plain }));
    let (words, role) = tail(scene, step, status);
    line = line
        .end(format!("{words}  "), theme.style(role))
        .end(theme::layer(step.layer), theme.style(Role::Muted))
        .end(" ", theme.style(Role::Plain));
    line.fit(columns)
}

/// What stands at the end of a step's row.
fn tail(scene: &Scene<'_>, step: &Step, status: Status) -> (String, Role) {
    let state = scene.snapshot.state.steps.get(&step.id);
    let since = || state.and_then(|s| s.since.as_ref()).map(|at| at.wall.strftime("%H:%MZ").to_string());
    match status {
        Status::Waiting | Status::Enabled => {
            let found =
                scene.snapshot.survey.as_ref().and_then(|survey| {
                    survey.steps.iter().find(|(id, _)| *id == step.id).map(|(_, found)| found.position)
                });
            match found {
                Some(Position::Done) => ("done already?".into(), Role::Warn),
                Some(Position::HalfDone) => ("half done".into(), Role::Warn),
                _ => (level_word(level::by_kind(&scene.snapshot.runbook, step)).into(), Role::Muted),
            }
        }
        Status::Running => {
            let elapsed = scene.snapshot.state.open.as_ref().map_or(0, |open| scene.now.seconds_since(&open.at));
            let undoes = scene.snapshot.state.open.as_ref().and_then(|open| open.intent.undoes.as_ref());
            let word = if undoes == Some(&step.id) { "undoing" } else { "running" };
            (format!("{word} {}", super::line::clock(elapsed)), Role::Running)
        }
        Status::Done => {
            let guards: Vec<_> =
                scene.snapshot.state.guards.iter().filter(|(_, g)| g.step.as_ref() == Some(&step.id)).collect();
            let time = since().unwrap_or_default();
            if guards.is_empty() {
                (time, Role::Muted)
            } else if guards.iter().any(|(_, g)| g.broken.is_some()) {
                ("guard ✗ BROKE".into(), Role::Bad)
            } else {
                (format!("guard ✓ {time}"), Role::Ok)
            }
        }
        other => (other.word().into(), theme::status(other).1),
    }
}

/// What must be typed, in a word.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::None => "reads",
        Level::Choice => "your choice",
        Level::Seen => "by hand",
        Level::Number => "type number",
        Level::Object => "type object",
        Level::Step => "type step",
        Level::Irreversible => "IRREVERSIBLE",
    }
}
