//! How it ended: what was done, what is open and whose it is, where the record lies.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::line::{Row, labelled, width, wrap};
use super::{Scene, header, scrolled};
use crate::run::record::{Checked, End, Environment, OpenItem};
use crate::run::state::Status;
use crate::run::{left, next};
use crate::tui::theme::{self, Role};

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    scrolled(scene, lines(scene, usize::from(area.width)), scene.model.scroll, area, buffer);
}

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let (snapshot, theme) = (scene.snapshot, scene.theme);
    let state = &snapshot.state;
    let (what, role) = match &state.ended {
        Some((End::Recovered, _)) => ("RECOVERED: every step is finished, every check was green", Role::Ok),
        Some((End::Degraded, _)) => ("DEGRADED, safe and owned: contained, and what is open has an owner", Role::Warn),
        Some((End::Stopped, _)) => ("STOPPED: nothing more happens in this run", Role::Warn),
        None if state.abandoned.is_some() => ("ABANDONED", Role::Warn),
        None => ("LEFT, not ended: the run is held, and goes on where it stands", Role::Warn),
    };
    let mut out = vec![Line::default(), Line::styled(format!(" {what}"), theme.style(role)), Line::default()];
    let mut add = |label: &str, words: &str, role: Role| {
        out.extend(labelled(label, words, columns, theme.style(Role::Muted), theme.style(role)));
    };
    let count = |wanted: &[Status]| state.steps.values().filter(|s| wanted.contains(&s.now())).count();
    add(
        "steps",
        &format!(
            "{} done · {} by other hands · {} not needed · {} skipped · {} undone · {} not finished",
            count(&[Status::Done]),
            count(&[Status::Elsewhere]),
            count(&[Status::NotNeeded]),
            count(&[Status::Skipped]),
            count(&[Status::Undone]),
            state.steps.values().filter(|s| !s.now().finished()).count()
        ),
        Role::Plain,
    );
    if let Some(id) = state.undo_failed() {
        let words = state.steps.get(id).and_then(|step| step.undo_failed.as_deref()).unwrap_or_default();
        add("undo", &format!("FAILED at {id}, and what it was to take back stands: {words}"), Role::Bad);
    }
    let verdicts = snapshot.checks.values().filter_map(|live| live.latest.as_ref());
    let owed = |checked: &&Checked| checked.verdict.is_pass() || !next::contained(state, &checked.check);
    let owed: Vec<_> = verdicts.filter(owed).collect();
    let green = owed.iter().filter(|c| c.verdict.is_pass()).count();
    add("checks", &format!("{green} of {} green", owed.len()), Role::Plain);
    if let Some((started, at)) = &state.started {
        let minutes = scene.now.seconds_since(at) / 60;
        add("run", &format!("{} · {} h {:02} min", started.run, minutes / 60, minutes % 60), Role::Plain);
    }
    add("record", &snapshot.run_dir.display().to_string(), Role::Plain);
    if !state.closed() {
        add("go on", &snapshot.resume_words(), Role::Title);
        if state.environment() == Environment::Rehearsal {
            add("", "within ten minutes: then the sandbox ends, unless it is kept (--keep)", Role::Plain);
        }
        if let Some((step, _)) = next::next_step(&snapshot.runbook, state, &snapshot.readings()) {
            add("next", &format!("{} {}: {}", super::steps::place(scene, &step.id), step.id, step.title), Role::Plain);
        }
        let guards: Vec<String> = state.guards.keys().map(ToString::to_string).collect();
        if !guards.is_empty() {
            add("stays", &format!("contained, and looked at by nobody meanwhile: {}", guards.join(", ")), Role::Warn);
        }
        if let Some(open) = &state.open {
            add("unknown", &format!("{}: it may have happened; resume looks for evidence", open.step), Role::Warn);
        }
    }
    for (step, what, reason) in &state.overrides {
        add("override", &format!("{}: {what}: {reason}", step.as_deref().unwrap_or("run")), Role::Warn);
    }
    let ended = state.ended.as_ref().map(|(_, open)| open.as_slice()).unwrap_or_default();
    let temporary = left::temporary(&snapshot.runbook, state);
    if !temporary.is_empty() {
        out.push(Line::default());
        out.push(header::title(scene, "still temporary, and whose", true, 0, 0, columns));
    }
    for (_, left) in &temporary {
        let item = ended.iter().find(|item| item.what == left.what).cloned().unwrap_or_else(|| left::open_item(left));
        out.extend(owned(scene, &item, columns));
        if let Some(step) = &left.remove {
            out.push(Row::new().put(format!("   {step} removes it"), theme.style(Role::Muted)).fit(columns));
        }
    }
    let open: Vec<_> = ended.iter().filter(|item| !temporary.iter().any(|(_, left)| left.what == item.what)).collect();
    if !open.is_empty() {
        out.push(Line::default());
        out.push(header::title(scene, "open, and whose", true, 0, 0, columns));
        out.extend(open.into_iter().flat_map(|item| owned(scene, item, columns)));
    }
    out.push(Line::default());
    out.push(header::title(scene, "steps", true, 0, 0, columns));
    for step in snapshot.runbook.steps.values() {
        let status = state.status(&step.id);
        let (glyph, role) = theme::status(status);
        out.push(
            Row::new()
                .put(format!(" {glyph} "), theme.style(role))
                .cell(&step.id, 20, theme.style(Role::Plain))
                .put(status.word(), theme.style(role))
                .fit(columns),
        );
    }
    out
}

fn owned(scene: &Scene<'_>, item: &OpenItem, columns: usize) -> Vec<Line<'static>> {
    let or = |text: &str, wanted: &str| if text.is_empty() { wanted.to_owned() } else { text.to_owned() };
    let whose = format!("{} by {} ", or(&item.owner, "owner wanted"), or(&item.by, "a date"));
    let mut what = wrap(&item.what, columns.saturating_sub(width(&whose) + 4).max(columns / 2)).into_iter();
    let warn = scene.theme.style(Role::Warn);
    let first = Row::new().put(format!(" ! {}", what.next().unwrap_or_default()), warn);
    let mut lines = vec![first.end(whose, scene.theme.style(Role::Plain)).fit(columns)];
    lines.extend(what.map(|text| Line::styled(format!("   {text}"), warn)));
    lines
}
