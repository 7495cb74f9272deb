//! The table of a compared set: classes with counts and sums, then the rows that want a person.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use serde_json::{Map, Value};

use super::gate::visible;
use super::line::{Row, labelled, width, wrap};
use super::{Scene, between, bottom, draw_lines, header, scrolled};
use crate::action::AskedRow;
use crate::runbook::template::as_text;
use crate::runbook::{Action, SetRef};
use crate::tui::model::{classes, reconciling, undecided};
use crate::tui::theme::Role;

pub fn sentence(scene: &Scene<'_>) -> Option<String> {
    scene.snapshot.classified.as_ref()?;
    Some(match undecided(scene.snapshot) {
        0 => "Every row has a class: Enter freezes them and goes on".into(),
        1 => "1 row wants your decision: its class by number, then why".into(),
        n => format!("{n} rows want your decision: the class by number, then why"),
    })
}

/// The class that a person gave the row.
fn decided(scene: &Scene<'_>, row: &AskedRow) -> Option<String> {
    let step = reconciling(scene.snapshot);
    let recorded = step.and_then(|id| scene.snapshot.state.steps.get(id)).and_then(|s| s.rows.get(&row.key).cloned());
    recorded.or_else(|| row.class.clone())
}

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let columns = usize::from(area.width);
    let (mut foot, cursor) = foot(scene, columns);
    let rows = u16::try_from(foot.len()).unwrap_or(u16::MAX).min(area.height * 2 / 3);
    let foot_area = bottom(area, rows);
    // What may be typed stands at its end and is never what is cut.
    let cut = foot.len().saturating_sub(usize::from(rows));
    foot.drain(1..(cut + 1).min(foot.len()));
    let cursor = cursor.map(|(x, y)| (x, y.saturating_sub(u16::try_from(cut).unwrap_or(0))));
    let mut lines = totals(scene, columns);
    let before = lines.len();
    lines.extend(asked(scene, columns));
    let height = usize::from(area.height - rows);
    let wanted = before + scene.model.rows.row + 2;
    scrolled(scene, lines, wanted.saturating_sub(height), between(area, 0, rows), buffer);
    draw_lines(foot, foot_area, buffer);
    cursor.map(|(x, y)| Position { x: area.x + x, y: foot_area.y + y })
}

/// All of it, as far down as it goes.
pub fn page(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    [totals(scene, columns), asked(scene, columns), foot(scene, columns).0].concat()
}

fn totals(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let muted = theme.style(Role::Muted);
    let Some(classified) = &scene.snapshot.classified else { return Vec::new() };
    let all: u64 = classified.classes.iter().map(|c| c.rows).sum();
    let mut out = vec![header::title(
        scene,
        &format!("{} · {all} rows in {} classes", classified.set, classified.classes.len()),
        true,
        0,
        0,
        columns,
    )];
    out.push(
        Row::new()
            .cell("   class", 22, muted)
            .cell("     rows", 10, muted)
            .cell("           sum", 16, muted)
            .put("  then", muted)
            .fit(columns),
    );
    for class in &classified.classes {
        let then = then(scene, &classified.set, &class.name);
        out.push(
            Row::new()
                .cell(format!("   {}", class.name), 22, theme.style(Role::Plain))
                .cell(format!("{:>9}", class.rows), 10, theme.style(Role::Title))
                .cell(format!("{:>14}", class.sum.as_deref().unwrap_or("-")), 16, theme.style(Role::Plain))
                .put(format!("  {then}"), muted)
                .fit(columns),
        );
    }
    if classified.theirs_only > 0 {
        out.push(
            Row::new().put(format!("   only in theirs: {}, in no class", classified.theirs_only), muted).fit(columns),
        );
    }
    out
}

/// The step that acts on the class.
fn then(scene: &Scene<'_>, set: &str, class: &str) -> String {
    let of = |reference: &SetRef| matches!(reference, SetRef::Class { set: s, class: c } if s == set && c == class);
    let steps = scene.snapshot.runbook.steps.values().filter(|step| {
        let change = matches!(&step.action, Action::Change(change) if change.set.as_ref().is_some_and(of));
        change || step.each.as_ref().is_some_and(|each| of(&each.set))
    });
    let words: Vec<String> = steps.map(|s| format!("{} {}", super::steps::place(scene, &s.id), s.id)).collect();
    if words.is_empty() { "no step acts on it".into() } else { words.join(", ") }
}

fn asked(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let Some(classified) = &scene.snapshot.classified else { return Vec::new() };
    let open = classified.asked.iter().filter(|row| decided(scene, row).is_none()).count();
    let mut out =
        vec![header::title(scene, &format!("asked: {open} of {} open", classified.asked.len()), true, 0, 0, columns)];
    for (i, row) in classified.asked.iter().enumerate() {
        let here = i == scene.model.rows.row;
        let class = decided(scene, row);
        let (glyph, role) = if class.is_some() { ("✓", Role::Ok) } else { ("?", Role::Warn) };
        out.push(
            Row::new()
                .put(if here { "›" } else { " " }, theme.style(Role::Title))
                .put(format!("{glyph} "), theme.style(role))
                .cell(&row.key, 12, theme.style(if here { Role::Title } else { Role::Plain }))
                .put(format!("  {}", class.as_deref().map_or(row.because.as_str(), |c| c)), theme.style(Role::Plain))
                .fit(columns),
        );
    }
    out
}

fn fields(map: &Map<String, Value>) -> String {
    map.iter().map(|(name, value)| format!("{name} {}", as_text(value))).collect::<Vec<_>>().join(" · ")
}

/// The selected row from both sides, its choices, and the reason.
fn foot(scene: &Scene<'_>, columns: usize) -> (Vec<Line<'static>>, Option<(u16, u16)>) {
    let theme = scene.theme;
    let mut out = vec![scene.rule(u16::try_from(columns).unwrap_or(u16::MAX))];
    let row = scene.snapshot.classified.as_ref().and_then(|c| c.asked.get(scene.model.rows.row));
    let Some(row) = row else {
        out.push(Line::styled(" No row is asked about.", theme.style(Role::Muted)));
        return (out, None);
    };
    let muted = theme.style(Role::Muted);
    let mut add =
        |label: &str, words: &str, role: Role| out.extend(labelled(label, words, columns, muted, theme.style(role)));
    add("row", &format!("{} · {}", row.key, row.because), Role::Title);
    add("ours", &fields(&row.ours), Role::Plain);
    for theirs in &row.theirs {
        add("theirs", &fields(theirs), Role::Plain);
    }
    if row.theirs.is_empty() {
        add("theirs", "nothing", Role::Warn);
    }
    let choices: Vec<String> =
        classes(scene.snapshot).iter().enumerate().take(9).map(|(i, c)| format!("[{}] {c}", i + 1)).collect();
    for text in wrap(&choices.join("   "), columns.saturating_sub(2)) {
        out.push(Line::styled(format!(" {text}"), theme.style(Role::Title)));
    }
    let mut cursor = None;
    if let Some(class) = &scene.model.rows.class {
        let label = format!(" {class}, because > ");
        let (text, at) = visible(&scene.model.rows.reason, columns.saturating_sub(width(&label) + 1).max(4));
        cursor = Some((u16::try_from(width(&label) + at).unwrap_or(0), u16::try_from(out.len()).unwrap_or(0)));
        out.push(Line::from(vec![
            Span::styled(label, theme.style(Role::Title)),
            Span::styled(text, theme.style(Role::Input)),
        ]));
    }
    (out, cursor)
}
