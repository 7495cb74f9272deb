//! Live checks: verdict, value, age, and where they come from as a sparkline.

use ratatui::text::{Line, Span};
use serde_json::Value;

use super::Scene;
use super::line::{Row, cut, width, wrap};
use crate::engine::Live;
use crate::run::next::contained;
use crate::run::record::Checked;
use crate::runbook::CheckRef;
use crate::runbook::expect::Verdict;
use crate::runbook::template::as_text;
use crate::survey::Red;
use crate::tui::theme::{self, Role};

/// Rows of the strip at the bottom of the run view.
pub const STRIP: u16 = 3;

const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The mark of a check; one that a step has released is expected to be anything.
pub fn mark(scene: &Scene<'_>, check: &CheckRef, latest: Option<&Checked>) -> (&'static str, Role) {
    if latest.is_some_and(|latest| !latest.verdict.is_pass()) && released(scene, check) {
        return ("–", Role::Muted);
    }
    theme::verdict(latest.map(|checked| &checked.verdict))
}

/// It only had to hold while something was contained, and that is over.
pub fn released(scene: &Scene<'_>, check: &CheckRef) -> bool {
    contained(&scene.snapshot.state, check)
}

/// In the runbook's order, then the services that must be gone.
fn all<'a>(scene: &'a Scene<'_>) -> Vec<(CheckRef, Option<&'a Live>)> {
    let runbook = &scene.snapshot.runbook;
    let checks = runbook.checks.keys().map(|name| CheckRef::Check(name.clone()));
    let gone = runbook.services.values().filter(|s| s.gone).map(|s| CheckRef::ServiceGone(s.name.clone()));
    checks
        .chain(gone)
        .map(|check| {
            let live = scene.snapshot.checks.get(&check);
            (check, live)
        })
        .collect()
}

pub fn title(scene: &Scene<'_>, check: &CheckRef) -> String {
    match check {
        CheckRef::Check(name) => {
            scene.snapshot.runbook.checks.get(name).map_or_else(|| name.clone(), |c| c.title.clone())
        }
        CheckRef::ServiceGone(service) => format!("{service} is gone"),
    }
}

/// The answer in a few words: the value, or why there is none.
pub fn answer(live: Option<&Live>) -> String {
    let Some(latest) = live.and_then(|live| live.latest.as_ref()) else {
        return if live.is_some_and(|live| live.asking) { "asking".into() } else { "not asked yet".into() };
    };
    match (&latest.verdict, &latest.value, &latest.words) {
        (Verdict::Unknown { because }, _, _) => format!("unknown: {because}"),
        (_, _, Some(words)) => words.clone(),
        (_, Some(value), None) => as_text(value),
        (verdict, None, None) => verdict.word().into(),
    }
}

/// The three meanings of red.
pub fn meaning(scene: &Scene<'_>, check: &CheckRef, live: Option<&Live>) -> Option<(String, Role)> {
    let latest = live?.latest.as_ref()?;
    if !latest.verdict.is_pass() && released(scene, check) {
        return Some(("released: it need not hold any more".into(), Role::Muted));
    }
    if !latest.verdict.is_fail() {
        return None;
    }
    let was_green = live?.history.iter().any(|past| past.verdict.is_pass());
    match scene.snapshot.survey.as_ref().and_then(|survey| survey.redness.get(check)) {
        _ if was_green => Some(("it was green and broke".into(), Role::Bad)),
        Some(Red::Broke) => Some(("it was green and broke".into(), Role::Bad)),
        Some(Red::MendedBy { step }) => Some((format!("{step} mends it"), Role::Muted)),
        Some(Red::NobodyMends) => Some(("no step mends it".into(), Role::Warn)),
        None => None,
    }
}

/// Numbers as heights; where there are none, pass is low, fail is high. Unknown is a gap with its mark.
pub fn sparkline(live: &Live, cells: usize) -> Vec<(&'static str, Role)> {
    let past: Vec<_> = live.history.iter().rev().take(cells).collect();
    let number =
        |value: &Option<Value>| value.as_ref().and_then(|v| as_text(v).parse::<f64>().ok()).filter(|n| n.is_finite());
    let numbers: Vec<Option<f64>> = past.iter().rev().map(|checked| number(&checked.value)).collect();
    let most = numbers.iter().flatten().copied().fold(0.0_f64, f64::max);
    past.iter()
        .rev()
        .zip(numbers)
        .map(|(checked, number)| {
            let role = theme::verdict(Some(&checked.verdict)).1;
            let glyph = match (&checked.verdict, number) {
                (Verdict::Unknown { .. }, _) => "?",
                (_, Some(n)) if most > 0.0 => {
                    // Zero to the highest value of the window in eight steps; the cast floors a value of 0 to 7.
                    let step = (n.max(0.0) / most * 7.0).round() as usize;
                    LEVELS[step.min(7)]
                }
                (Verdict::Fail, _) => LEVELS[5],
                _ => LEVELS[0],
            };
            (glyph, role)
        })
        .collect()
}

/// One check in a line or two; all of it.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut out = Vec::new();
    for (check, live) in all(scene) {
        let latest = live.and_then(|l| l.latest.as_ref());
        let (glyph, role) = mark(scene, &check, latest);
        let age = latest.map_or_else(String::new, |c| scene.age(&c.at));
        let cells = if columns < 60 { 10 } else { 20 };
        let spark = live.map(|l| sparkline(l, cells)).unwrap_or_default();
        let mut row =
            Row::new().put(format!(" {glyph} "), theme.style(role)).put(title(scene, &check), theme.style(Role::Plain));
        let gap = cells.saturating_sub(spark.len());
        row = row.end(" ".repeat(gap), theme.style(Role::Plain));
        for (glyph, role) in spark {
            row = row.end(glyph, theme.style(role));
        }
        out.push(row.end(format!(" {age:>7} "), theme.style(Role::Muted)).fit(columns));
        let mut words = answer(live);
        if let Some((meaning, _)) = meaning(scene, &check, live) {
            words = format!("{words} · {meaning}");
        }
        let style = theme.style(if glyph == "–" { Role::Muted } else { role_of(latest.map(|c| &c.verdict)) });
        for text in wrap(&words, columns.saturating_sub(6)) {
            out.push(Line::styled(format!("     {text}"), style));
        }
    }
    out
}

fn role_of(verdict: Option<&Verdict>) -> Role {
    match verdict {
        Some(Verdict::Fail) => Role::Bad,
        Some(Verdict::Unknown { .. }) => Role::Warn,
        _ => Role::Muted,
    }
}

/// All checks side by side in a few rows: the heartbeat of the run view.
pub fn strip(scene: &Scene<'_>, columns: u16, rows: u16) -> Vec<Line<'static>> {
    let room = usize::from(columns);
    let rows = usize::from(rows);
    if rows == 0 {
        return Vec::new();
    }
    let theme = scene.theme;
    let mut lines = vec![super::header::title(scene, "checks", false, 0, 0, room)];
    // Two or three to a row: bad ones first, so that what fits is what matters.
    let mut checks = all(scene);
    checks.sort_by_key(|(check, live)| match live.and_then(|l| l.latest.as_ref()).map(|c| &c.verdict) {
        Some(Verdict::Fail | Verdict::Unknown { .. }) if released(scene, check) => 4,
        Some(Verdict::Fail) => 0,
        Some(Verdict::Unknown { .. }) => 1,
        None => 2,
        Some(Verdict::Pass) => 3,
    });
    let each = (checks.len()).div_ceil((rows - 1).max(1)).clamp(1, (room / 24).max(1));
    let share = room / each;
    for chunk in checks.chunks(each).take(rows - 1) {
        let mut spans = Vec::new();
        for (check, live) in chunk {
            let latest = live.and_then(|l| l.latest.as_ref());
            let (glyph, role) = mark(scene, check, latest);
            let spark = live.map(|l| sparkline(l, 5)).unwrap_or_default();
            let words = share.saturating_sub(4 + spark.len() + 2);
            let value = latest
                .and_then(|c| c.value.as_ref())
                .map(as_text)
                .filter(|v| v.len() <= 6 && v != "true")
                .unwrap_or_default();
            let name = cut(&check.to_string(), words.saturating_sub(width(&value) + 1));
            let text = if value.is_empty() { name } else { format!("{name} {value}") };
            let text = cut(&text, words);
            let used = 3 + width(&text) + 1 + spark.len();
            spans.push(Span::styled(format!(" {glyph} "), theme.style(role)));
            spans.push(Span::styled(format!("{text} "), theme.style(Role::Plain)));
            spans.extend(spark.into_iter().map(|(g, role)| Span::styled(g, theme.style(role))));
            spans.push(Span::raw(" ".repeat(share.saturating_sub(used))));
        }
        lines.push(Line::from(spans));
    }
    lines
}
