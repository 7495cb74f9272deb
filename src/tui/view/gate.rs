//! The gate: all of what will happen, wrapped and never cut, and one line to type.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::line::{clean, clock, labelled, width, wrap};
use super::{Scene, between, bottom, detail, draw_lines, scrolled};
use crate::run::gate::TOKEN_VALID;
use crate::run::next::passed;
use crate::run::record::{GateShown, Undoing};
use crate::run::state::OpenGate;
use crate::runbook::Level;
use crate::runbook::template::as_text;
use crate::tui::model::{AtGate, Field, wants_second};
use crate::tui::theme::{self, Role};

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let (open, mine) = (scene.snapshot.state.gate.as_ref()?, scene.model.gate.as_ref()?);
    let columns = usize::from(area.width);
    let (foot, cursor) = foot(scene, open, mine, columns);
    let rows = u16::try_from(foot.len()).unwrap_or(u16::MAX).min(area.height);
    let foot_area = bottom(area, rows);
    scrolled(scene, facts(scene, &open.shown, columns), mine.scroll, between(area, 0, rows), buffer);
    draw_lines(foot, foot_area, buffer);
    cursor.map(|(x, row)| Position { x: area.x + x, y: foot_area.y + row })
}

/// In the order of the questions: what, where, what it locks and breaks, on what evidence, how back.
pub fn facts(scene: &Scene<'_>, shown: &GateShown, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let (offer, evidence) = (&shown.offer, &shown.evidence);
    let mut out = Vec::new();
    let step = scene.snapshot.runbook.steps.get(&offer.step);
    let back = if offer.undoes.is_some() { "Take back: " } else { "" };
    for text in step.iter().flat_map(|step| wrap(&format!("{back}{}", step.title), columns.saturating_sub(2))) {
        out.push(Line::raw(format!(" {text}")));
    }
    for text in offer.rendered.iter().flat_map(|text| wrap(text, columns.saturating_sub(2))) {
        out.push(Line::styled(format!(" {text}"), theme.style(Role::Title)));
    }
    out.push(Line::default());
    let muted = theme.style(Role::Muted);
    let mut add = |label: &str, words: &str, role: Role| {
        out.extend(labelled(label, words, columns, muted, theme.style(role)));
    };
    if !offer.binds.is_empty() {
        let binds: Vec<String> =
            offer.binds.iter().enumerate().map(|(i, v)| format!("${} = {}", i + 1, as_text(v))).collect();
        add("values", &binds.join(", "), Role::Plain);
    }
    if let Some(undone) = &offer.undoes {
        add("undoes", undone, Role::Title);
    }
    match &offer.target {
        Some(target) => {
            add("on", &format!("{} · {} · {}", target.name, target.words, target.server), Role::Plain);
            add("", &format!("identity {}", target.told()), Role::Muted);
        }
        None => add("on", elsewhere(shown), Role::Plain),
    }
    if let Some(number) = offer.number {
        add("changes", &format!("{number}"), Role::Title);
    }
    for (label, words) in evidence.facts.iter().filter(|(label, _)| label != "on") {
        let role = if label == "breaks" || words.starts_with('!') || (label == "never" && words.contains('!')) {
            Role::Warn
        } else {
            Role::Plain
        };
        add(&clean(label), words, role);
    }
    for (i, need) in evidence.needs.iter().enumerate() {
        let live = scene.snapshot.checks.get(&need.check).and_then(|l| l.latest.as_ref()).unwrap_or(need);
        let (glyph, role) = theme::verdict(Some(&live.verdict));
        let hard = step.is_some_and(|step| step.needs.iter().any(|n| n.check == need.check && n.hard));
        let over = step.is_some_and(|step| passed(&scene.snapshot.state, step, &need.check, hard));
        let value = live.value.as_ref().map(as_text).or_else(|| live.words.clone()).unwrap_or_default();
        let words = format!(
            "{glyph} {}: {} {value} · {}{}{}",
            need.check,
            live.verdict.word(),
            scene.age(&live.at),
            if hard { " · hard" } else { "" },
            if over { " · PASSED OVER" } else { "" }
        );
        add(if i == 0 { "needs" } else { "" }, &words, role);
    }
    let (words, role) = detail::undo_words(&offer.undo);
    add("undo", &words, role);
    for (i, check) in step.iter().filter(|_| offer.undoes.is_none()).flat_map(|step| &step.verify).enumerate() {
        let (words, _) = detail::judged(scene, check);
        add(if i == 0 { "then" } else { "" }, &format!("must hold: {words}"), Role::Plain);
    }
    for (i, row) in evidence.sample.iter().enumerate() {
        add(if i == 0 { "first" } else { "" }, row, Role::Plain);
    }
    if let Some(epoch) = offer.epoch {
        add("claim", &format!("epoch {epoch}: no other run acts here meanwhile"), Role::Muted);
    }
    add("asks", asks(offer.level), Role::Plain);
    if let Some(why) = step.and_then(|step| step.why.as_ref()) {
        add("why", &why.split_whitespace().collect::<Vec<_>>().join(" "), Role::Plain);
    }
    add("digest", &format!("step {}", offer.step_digest), Role::Muted);
    out
}

/// Where it acts, when no target says it for itself.
fn elsewhere(shown: &GateShown) -> &str {
    shown.evidence.facts.iter().find(|(label, _)| label == "on").map_or("this machine", |(_, words)| words)
}

pub fn asks(level: Level) -> &'static str {
    match level {
        Level::Irreversible => "IRREVERSIBLE: break-glass with a reason, then the token",
        Level::Seen => "what you saw, ten characters or more",
        Level::Number => "the number that changes, typed",
        Level::Object => "what it touches, and where, typed",
        Level::Step => "the step, and where, typed",
        Level::None | Level::Choice => super::steps::level_word(level),
    }
}

/// The token's line and what surrounds it: always in sight.
fn foot(scene: &Scene<'_>, open: &OpenGate, mine: &AtGate, columns: usize) -> (Vec<Line<'static>>, Option<(u16, u16)>) {
    let theme = scene.theme;
    let mut lines = vec![scene.rule(u16::try_from(columns).unwrap_or(u16::MAX))];
    let second = match (&open.approved_by, &open.broken) {
        (Some(by), _) => Some((format!("approved by {by}"), Role::Ok)),
        (None, Some(reason)) if open.shown.offer.level == Level::Irreversible => {
            Some((format!("IRREVERSIBLE · BREAK-GLASS: {reason}"), Role::Bad))
        }
        (None, Some(reason)) => Some((format!("BREAK-GLASS: {reason}"), Role::Warn)),
        (None, None) if wants_second(scene.snapshot) => {
            Some(("IRREVERSIBLE: Tab, then why it cannot wait for a second person".into(), Role::Bad))
        }
        // Its reason stands under `undo`, which may be out of sight.
        _ if matches!(open.shown.offer.undo, Undoing::None { .. }) => Some(("CANNOT BE UNDONE".into(), Role::Bad)),
        _ => None,
    };
    for (text, role) in
        second.iter().flat_map(|(text, role)| wrap(text, columns - 2).into_iter().map(move |t| (t, *role)))
    {
        lines.push(Line::styled(format!(" {text}"), theme.style(role)));
    }
    let mut cursor = None;
    let mut field = |lines: &mut Vec<Line<'static>>, label: &str, field: &Field, active: bool| {
        if active {
            let x = 1 + width(label) + visible(field, columns - width(label) - 3).1;
            cursor = Some((u16::try_from(x).unwrap_or(0), u16::try_from(lines.len()).unwrap_or(0)));
        }
        let text = visible(field, columns - width(label) - 3).0;
        lines.push(Line::from(vec![
            Span::styled(format!(" {label}"), theme.style(if active { Role::Title } else { Role::Muted })),
            Span::styled(text, theme.style(if active { Role::Input } else { Role::Muted })),
        ]));
    };
    let armed = scene.model.armed();
    if mine.in_reason {
        field(&mut lines, "why > ", &mine.reason, armed);
    }
    field(&mut lines, "> ", &mine.token, armed && !mine.in_reason);
    let age = scene.now.seconds_since(&open.at);
    let left = TOKEN_VALID.as_secs().saturating_sub(age);
    let (state, role) = match (mine.arms, armed) {
        (None, _) => ("DISARMED, no focus", Role::Warn),
        (Some(_), false) => ("arming: read", Role::Warn),
        (Some(_), true) => ("armed", Role::Ok),
    };
    let mut last = vec![
        Span::styled(format!(" {state}"), theme.style(role)),
        Span::styled(format!(" · expires {} · a paste is refused", clock(left)), theme.style(Role::Muted)),
    ];
    if columns >= 72 && scene.model.gate.as_ref().is_some_and(|g| g.says.is_none()) {
        last.push(Span::styled(" · Enter alone does nothing", theme.style(Role::Muted)));
    }
    lines.push(Line::from(last));
    let message = scene.snapshot.message.as_ref().map(|m| match &m.can {
        Some(can) => format!("{}; {can}", m.what),
        None => m.what.clone(),
    });
    for text in mine.says.iter().chain(message.iter()).flat_map(|text| wrap(text, columns - 2)) {
        lines.push(Line::styled(format!(" {text}"), theme.style(Role::Warn)));
    }
    (lines, cursor)
}

/// The part of the field around its cursor that fits, and where the cursor stands in it.
pub fn visible(field: &Field, room: usize) -> (String, usize) {
    let text = clean(&field.text);
    let before: String = field.text.chars().take(field.cursor).collect();
    let at = width(&clean(&before));
    if at < room {
        return (super::line::cut(&text, room), at);
    }
    let mut skipped = 0;
    let tail: String = text
        .chars()
        .skip_while(|c| {
            let skip = at - skipped >= room;
            skipped += usize::from(skip) * unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            skip
        })
        .collect();
    (super::line::cut(&tail, room), at - skipped)
}
