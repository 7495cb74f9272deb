//! The first screen: where the world stands, on every layer at once.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::line::{Row, width, wrap};
use super::{Scene, bottom, checks, draw_lines, header, scrolled, top};
use crate::check::schema::release::Mark;
use crate::engine::Live;
use crate::run::record::{Found, Position};
use crate::runbook::{CheckRef, Layer};
use crate::tui::theme::{self, Role};

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let entry = entry(scene, usize::from(area.width));
    let rows = u16::try_from(entry.len()).unwrap_or(0).min(area.height / 3);
    draw_lines(entry, bottom(area, rows), buffer);
    let page = top(area, area.height - rows);
    if page.width < 120 {
        return scrolled(scene, map(scene, usize::from(page.width)), scene.model.scroll, page, buffer);
    }
    let left = Rect { width: page.width / 2, ..page };
    let right = Rect { x: page.x + left.width + 1, width: page.width - left.width - 1, ..page };
    for y in page.y..page.bottom() {
        buffer.set_string(right.x - 1, y, "│", scene.theme.style(Role::Muted));
    }
    let columns = usize::from(left.width);
    let mut lines = layers(scene, columns);
    lines.push(Line::default());
    lines.extend(never(scene, columns));
    scrolled(scene, lines, scene.model.scroll, left, buffer);
    let columns = usize::from(right.width);
    let mut lines = services(scene, columns);
    lines.push(Line::default());
    lines.extend(statements(scene, columns));
    lines.push(Line::default());
    lines.extend(steps(scene, columns));
    scrolled(scene, lines, scene.model.scroll, right, buffer);
}

fn map(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let parts = [layers, services, statements, never, steps];
    parts.iter().flat_map(|part| part(scene, columns)).collect()
}

/// All of it, and where to enter.
pub fn page(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    [map(scene, columns), entry(scene, columns)].concat()
}

fn layers(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mut out = vec![header::title(scene, "what holds, by layer", true, 0, 0, columns)];
    for layer in [Layer::Schema, Layer::Data, Layer::Events, Layer::Service] {
        let mut label = theme::layer_word(layer);
        for check in scene.snapshot.runbook.checks.values().filter(|c| c.layer == layer) {
            let name = CheckRef::Check(check.name.clone());
            out.push(check_line(scene, label, &name, &check.title, columns));
            label = "";
        }
        if layer == Layer::Service {
            for service in scene.snapshot.runbook.services.values().filter(|s| s.gone) {
                let name = CheckRef::ServiceGone(service.name.clone());
                out.push(check_line(scene, label, &name, &format!("{} is gone", service.name), columns));
                label = "";
            }
        }
    }
    out
}

fn check_line(scene: &Scene<'_>, label: &str, check: &CheckRef, title: &str, columns: usize) -> Line<'static> {
    let theme = scene.theme;
    let found = scene.snapshot.survey.as_ref().and_then(|s| s.checks.iter().find(|c| &c.check == check));
    let live = scene.snapshot.checks.get(check).cloned().or_else(|| {
        let latest = Some(found?.clone());
        Some(Live { latest, history: Default::default(), asking: false })
    });
    let latest = live.as_ref().and_then(|l| l.latest.as_ref());
    let (glyph, role) = checks::mark(scene, check, latest);
    let words = (columns * 9 / 20).max(24);
    let mut answer = checks::answer(live.as_ref());
    let meaning = checks::meaning(scene, check, live.as_ref());
    if answer == "false" || answer == "true" {
        answer = latest.map_or(answer, |c| c.verdict.word().to_owned());
    }
    let mut row = Row::new()
        .cell(format!(" {label}"), 9, theme.style(Role::Muted))
        .put(format!("{glyph} "), theme.style(role))
        .cell(title, words, theme.style(Role::Plain))
        .put(" ", theme.style(Role::Plain))
        .put(answer, theme.style(if role == Role::Ok { Role::Muted } else { role }));
    if let Some((words, role)) = meaning {
        row = row.put(format!(" · {words}"), theme.style(role));
    }
    row.end(latest.map_or_else(String::new, |c| format!("{} ", scene.age(&c.at))), theme.style(Role::Muted))
        .fit(columns)
}

fn services(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let muted = theme.style(Role::Muted);
    if scene.snapshot.runbook.services.is_empty() {
        return Vec::new();
    }
    let mut out = vec![header::title(scene, "who runs · version · there · needs", true, 0, 0, columns)];
    let Some(survey) = &scene.snapshot.survey else {
        for service in scene.snapshot.runbook.services.values() {
            out.push(Row::new().put(format!("  {}  looking", service.name), muted).fit(columns));
        }
        return out;
    };
    for seen in &survey.services {
        // Whether it has members stands behind the comma: the check of the group says so in full.
        let group_state = seen.group_state.as_deref().and_then(|state| state.split(',').next());
        let there = match (seen.connected, group_state) {
            (Some(n), Some(group)) => format!("{n} · {group}"),
            (Some(n), None) => format!("{n} connected"),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "cannot see".into(),
        };
        let alive = seen.connected.is_some_and(|n| n > 0);
        let row = Row::new()
            .cell(format!("  {}", seen.name), 16, theme.style(Role::Plain))
            .cell(seen.runs.as_deref().unwrap_or("-"), 5, muted)
            .cell(there, 15, theme.style(Role::Plain))
            .put(" ", muted);
        let gone = if alive { ("✗", "should be gone", Role::Bad) } else { ("", "should be gone", Role::Muted) };
        let needs = seen.needs.iter().map(|(need, met)| match met {
            Some(true) => ("✓", need.as_str(), Role::Ok),
            Some(false) => ("✗", need.as_str(), Role::Bad),
            None => ("?", need.as_str(), Role::Warn),
        });
        out.extend(with_marks(scene, row, seen.gone.then_some(gone).into_iter().chain(needs), columns));
    }
    out
}

/// A service, and beside it whatever it needs: what does not fit stands under it, for one need is as good as another.
fn with_marks<'a>(
    scene: &Scene<'_>,
    start: Row,
    marks: impl Iterator<Item = (&'a str, &'a str, Role)>,
    columns: usize,
) -> Vec<Line<'static>> {
    const INDENT: usize = 37;
    let mut rows = vec![start];
    let mut used = INDENT;
    for (glyph, words, role) in marks {
        let style = scene.theme.style(if glyph.is_empty() { role } else { Role::Plain });
        let wide = width(glyph) + 1 + width(words);
        if used > INDENT && used + wide > columns {
            rows.push(Row::new().put(" ".repeat(INDENT), Style::new()));
            used = INDENT;
        }
        used += wide + 2;
        if let Some(row) = rows.pop() {
            let row = if glyph.is_empty() { row } else { row.put(format!("{glyph} "), scene.theme.style(role)) };
            rows.push(row.put(format!("{words}  "), style));
        }
    }
    rows.into_iter().map(|row| row.fit(columns)).collect()
}

fn position(found: &Found) -> (&'static str, Role) {
    match found.position {
        Position::Done => ("in", Role::Warn),
        Position::NotDone => ("not in", Role::Ok),
        Position::HalfDone => ("half in", Role::Warn),
        Position::Unknown => ("cannot be told", Role::Warn),
    }
}

fn statements(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let Some(survey) = scene.snapshot.survey.as_ref().filter(|s| !s.statements.is_empty()) else { return Vec::new() };
    let mut out = vec![header::title(scene, "the release, as the database has it", true, 0, 0, columns)];
    let several = survey.statements.iter().any(|seen| seen.target != survey.statements[0].target);
    // What the tool's own table says stands first: where it is wrong, or stopped, nobody may run the tool.
    for claim in &survey.claims {
        let role = match claim.mark {
            Mark::Disagrees | Mark::Stopped => Role::Bad,
            Mark::Agrees => Role::Muted,
            Mark::NotTold => Role::Warn,
        };
        let on = if several { format!("{}: ", claim.target) } else { String::new() };
        let words = format!("{}: {on}{}", claim.mark.word(), claim.words);
        out.extend(under(&words, theme.style(role), columns));
    }
    for (i, seen) in survey.statements.iter().enumerate() {
        let (word, role) = position(&seen.found);
        let flat = seen.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let on = if several { format!("{}: ", seen.target) } else { String::new() };
        out.push(
            Row::new()
                .put(format!("  {} ", i + 1), theme.style(Role::Muted))
                .put(format!("{on}{flat}"), theme.style(Role::Plain))
                .end(format!("{word} "), theme.style(role))
                .fit(columns),
        );
        if matches!(seen.found.position, Position::HalfDone | Position::Unknown) {
            out.extend(under(&seen.found.because, theme.style(role), columns));
        }
        for broken in &seen.breaks {
            out.extend(under(&broken.to_string(), theme.style(Role::Warn), columns));
        }
    }
    out
}

/// What belongs to the line above.
fn under(words: &str, style: Style, columns: usize) -> Vec<Line<'static>> {
    wrap(words, columns.saturating_sub(6))
        .into_iter()
        .map(|line| Row::new().put(format!("    {line}"), style).fit(columns))
        .collect()
}

fn never(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut out = Vec::new();
    for never in &scene.snapshot.runbook.never {
        let advice = if never.matches.is_none() { " (advice: nothing refuses it)" } else { "" };
        let text = format!("{}: {}{advice}", never.what, never.because);
        for (i, line) in wrap(&text, columns.saturating_sub(9)).into_iter().enumerate() {
            let label = if i == 0 { " never   " } else { "         " };
            out.push(Row::new().put(label, theme.style(Role::Bad)).put(line, theme.style(Role::Plain)).fit(columns));
        }
    }
    out
}

fn steps(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let Some(survey) = &scene.snapshot.survey else { return Vec::new() };
    let mut out = vec![header::title(scene, "the steps, as the world shows them", true, 0, 0, columns)];
    for (id, found) in &survey.steps {
        let (glyph, role, wants) = match found.position {
            Position::Done => ("✓", Role::Ok, false),
            Position::NotDone => (" ", Role::Plain, false),
            Position::HalfDone => ("!", Role::Warn, true),
            Position::Unknown => ("?", Role::Warn, true),
        };
        let row = Row::new().put(format!(" {glyph} "), theme.style(role)).cell(id, 18, theme.style(Role::Plain)).cell(
            found.position.word(),
            10,
            theme.style(role),
        );
        // Why it is neither done nor not done must be read whole.
        out.push(if wants { row } else { row.put(&found.because, theme.style(Role::Muted)) }.fit(columns));
        if wants {
            out.extend(under(&found.because, theme.style(role), columns));
        }
    }
    out
}

/// Where to enter, and on what that rests.
fn entry(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut out = vec![scene.rule(u16::try_from(columns).unwrap_or(u16::MAX))];
    let text = match &scene.snapshot.survey {
        None => "Looking at every layer at once, read-only. Containing need not wait for it.".to_owned(),
        Some(survey) => {
            let count = |position| survey.steps.iter().filter(|(_, found)| found.position == position).count();
            let at = match &survey.entry {
                Some(id) => format!("enter at {} {id}", super::steps::place(scene, id)),
                None => "every step is done already".into(),
            };
            format!(
                "{at} · done {} · not done {} · half done {} · unknown {}",
                count(Position::Done),
                count(Position::NotDone),
                count(Position::HalfDone),
                count(Position::Unknown)
            )
        }
    };
    for line in wrap(&text, columns.saturating_sub(2)) {
        out.push(Line::styled(format!(" {line}"), theme.style(Role::Title)));
    }
    out
}
