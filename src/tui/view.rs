//! The screen: a picture of the run and of what is half typed, and of nothing else.
//!
//! ```text
//!  header   environment · runbook · incident · who                 clock · held or not      row 1
//!  NEXT     one imperative sentence                                                         row 2
//!  rule     every target as its server names it                                             row 3
//!  body     survey | steps, detail, checks, log | gate | table of a set | end
//!  banner   held, unknown, messages: what, what it means, what can be done
//!  footer   the keys that work now                                                          last row
//! ```
//!
//! Owns no state: a frame is a function of (snapshot, model, theme). Never draws text that was not cleaned.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::model::{Model, View};
use super::theme::{Role, Theme};
use crate::engine::Snapshot;
use crate::run::next::{self, Next};
use crate::run::record::Now;

mod banner;
mod checks;
mod detail;
mod dialog;
mod end;
mod gate;
mod header;
mod line;
mod log;
mod rows;
mod small;
mod steps;
mod survey;
mod trial;

pub use line::wrap;

/// Below this, one page that names the running step.
pub const LEAST: (u16, u16) = (60, 18);

/// What every part of the screen is drawn from.
pub(super) struct Scene<'a> {
    pub snapshot: &'a Snapshot,
    pub model: &'a Model,
    pub theme: Theme,
    pub now: Now,
    pub next: Next,
    /// As [`Frame::reach`].
    reach: Cell<usize>,
}

impl<'a> Scene<'a> {
    fn new(model: &'a Model, snapshot: &'a Snapshot, theme: Theme) -> Self {
        let next = next::next(&snapshot.runbook, &snapshot.state, &snapshot.readings());
        Self { snapshot, model, theme, now: model.now(snapshot), next, reach: Cell::new(0) }
    }

    /// What has the focus can be scrolled so far.
    fn reaches(&self, lines: usize) {
        self.reach.set(self.reach.get().max(lines));
    }

    fn age(&self, at: &Now) -> String {
        line::age(self.now.seconds_since(at))
    }

    fn rule(&self, columns: u16) -> Line<'static> {
        Line::styled("─".repeat(usize::from(columns)), self.theme.style(Role::Muted))
    }
}

#[derive(Debug, PartialEq)]
pub struct Frame {
    pub buffer: Buffer,
    /// Where the cursor stands while something is typed.
    pub cursor: Option<Position>,
    /// How far what has the focus can be scrolled: beyond it a key would have to be taken back unseen.
    pub reach: usize,
}

pub fn paint(model: &Model, snapshot: &Snapshot, theme: Theme, area: Rect) -> Frame {
    let mut buffer = Buffer::empty(area);
    let scene = Scene::new(model, snapshot, theme);
    let cursor = if area.width < LEAST.0 || area.height < LEAST.1 {
        small::draw(&scene, area, &mut buffer);
        None
    } else {
        whole(&scene, area, &mut buffer)
    };
    theme.settle(&mut buffer);
    Frame { buffer, cursor: cursor.filter(|at| area.contains(*at)), reach: scene.reach.get() }
}

fn whole(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let (model, snapshot) = (scene.model, scene.snapshot);
    let head = header::lines(scene, area.width);
    let head_area = top(area, head.len());
    draw_lines(head, head_area, buffer);
    let foot_area = bottom(area, 1);
    draw_lines(vec![header::footer(scene, area.width)], foot_area, buffer);
    let mut body = between(area, head_area.height, 1);

    // The gate has a line of its own for what is said.
    if model.gate.is_none() {
        let banner = banner::lines(scene, usize::from(area.width));
        // The run stays visible behind whatever is wrong with it.
        let rows = u16::try_from(banner.len()).unwrap_or(u16::MAX).min(body.height / 2);
        draw_lines(banner, bottom(body, rows), buffer);
        body = between(body, 0, rows);
    }
    let sheet = dialog::height(scene, body);
    let sheet_area = bottom(body, sheet);
    let page = between(body, 0, sheet);

    let mut cursor = None;
    if snapshot.exit.is_some() {
        end::draw(scene, page, buffer);
    } else if model.gate.is_some() {
        cursor = gate::draw(scene, page, buffer);
    } else if model.at_rows(snapshot) {
        cursor = rows::draw(scene, page, buffer);
    } else if model.view == View::Survey {
        survey::draw(scene, page, buffer);
    } else {
        run(scene, page, buffer);
    }
    if sheet > 0 {
        scene.reach.set(0);
        cursor = dialog::draw(scene, sheet_area, buffer);
    }
    cursor
}

/// Steps, detail, checks, log: side by side as far as the terminal goes.
fn run(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    use super::model::Pane;
    let pane = scene.model.pane;
    if scene.model.zoom {
        return part(scene, pane, area, true, buffer);
    }
    if area.width < 120 {
        let lower = if pane == Pane::Steps { Pane::Detail } else { pane };
        let strip = u16::from(lower != Pane::Checks) * checks::STRIP.min(area.height / 6);
        let steps_rows = (area.height - strip) * 9 / 20;
        part(scene, Pane::Steps, top(area, steps_rows), pane == Pane::Steps, buffer);
        part(scene, lower, between(area, steps_rows, strip), pane == lower, buffer);
        return draw_lines(checks::strip(scene, area.width, strip), bottom(area, strip), buffer);
    }
    let columns: Vec<(Vec<(Pane, u16)>, u16)> = if area.width < 160 {
        let left = area.width * 9 / 20;
        vec![
            (vec![(Pane::Steps, area.height * 3 / 5), (Pane::Log, area.height)], left),
            (vec![(Pane::Detail, area.height * 3 / 5), (Pane::Checks, area.height)], area.width - left - 1),
        ]
    } else {
        let (left, right) = (area.width * 7 / 20, area.width * 6 / 20);
        vec![
            (vec![(Pane::Steps, area.height)], left),
            (vec![(Pane::Detail, area.height)], area.width - left - right - 2),
            (vec![(Pane::Checks, area.height / 2), (Pane::Log, area.height)], right),
        ]
    };
    let mut x = area.x;
    for (panes, width) in columns {
        if x > area.x {
            for y in area.y..area.bottom() {
                buffer.set_string(x - 1, y, "│", scene.theme.style(Role::Muted));
            }
        }
        let mut y = area.y;
        for (which, until) in panes {
            let height = (area.y + until).saturating_sub(y).min(area.bottom() - y);
            part(scene, which, Rect { x, y, width, height }, pane == which, buffer);
            y += height;
        }
        x += width + 1;
    }
}

/// One pane under its title.
fn part(scene: &Scene<'_>, pane: super::model::Pane, area: Rect, focused: bool, buffer: &mut Buffer) {
    use super::model::Pane;
    if area.height < 2 {
        return;
    }
    let columns = usize::from(area.width);
    let inner = between(area, 1, 0);
    let rows = usize::from(inner.height);
    let scroll = if focused { scene.model.scroll } else { 0 };
    let Window { lines, first, more } = match pane {
        Pane::Steps => steps::window(scene, columns, rows),
        Pane::Detail => Window::of(&detail::lines(scene, columns), scroll, rows, Line::clone),
        Pane::Checks => Window::of(&checks::lines(scene, columns), scroll, rows, Line::clone),
        Pane::Log => log::window(scene, columns, rows, scroll),
    };
    match pane {
        // The list follows the selected step.
        Pane::Steps => {}
        // Scrolled from its end.
        Pane::Log if focused && first > 0 => scene.reaches(scroll + first),
        Pane::Log if focused => scene.reaches(more),
        _ if focused => scene.reaches(first + more),
        _ => {}
    }
    let title = header::title(scene, pane.word(), focused, first, more, columns);
    draw_lines(vec![title], top(area, 1), buffer);
    draw_lines(lines, inner, buffer);
}

/// What is in sight of a long list. Only that is ever made into lines: a frame costs what it shows.
struct Window {
    lines: Vec<Line<'static>>,
    /// Above and below, out of sight.
    first: usize,
    more: usize,
}

impl Window {
    fn of<T>(all: &[T], first: usize, rows: usize, line: impl Fn(&T) -> Line<'static>) -> Self {
        let first = first.min(all.len().saturating_sub(rows));
        let lines: Vec<_> = all.iter().skip(first).take(rows).map(line).collect();
        let more = all.len() - first - lines.len();
        Self { lines, first, more }
    }
}

/// Lines that scroll when they do not fit, with what is out of sight told on the last row.
fn scrolled(scene: &Scene<'_>, lines: Vec<Line<'static>>, scroll: usize, area: Rect, buffer: &mut Buffer) {
    let rows = usize::from(area.height);
    if lines.len() <= rows || rows < 2 {
        return draw_lines(lines, area, buffer);
    }
    scene.reaches(lines.len() - (rows - 1));
    let first = scroll.min(lines.len() - (rows - 1));
    let more = lines.len() - first - (rows - 1);
    draw_lines(lines.into_iter().skip(first).take(rows - 1).collect(), between(area, 0, 1), buffer);
    let words = match (first, more) {
        (0, more) => format!(" ▼ {more} more lines below: PgDn"),
        (above, 0) => format!(" ▲ {above} lines above: PgUp"),
        (above, more) => format!(" ▲ {above} lines above: PgUp   ▼ {more} more below: PgDn"),
    };
    draw_lines(vec![Line::styled(words, scene.theme.style(Role::Warn))], bottom(area, 1), buffer);
}

fn draw_lines(lines: Vec<Line<'static>>, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        draw_line(&line, Rect { y, height: 1, ..area }, buffer);
    }
}

/// As the line would draw itself, but without looking for graphemes in ASCII: gaps and statements are most of a frame.
fn draw_line(line: &Line<'_>, area: Rect, buffer: &mut Buffer) {
    buffer.set_style(area, line.style);
    let mut x = area.x;
    for span in &line.spans {
        let room = area.right() - x;
        if span.content.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            for byte in span.content.bytes().take(usize::from(room)) {
                buffer[(x, area.y)].set_char(char::from(byte)).set_style(span.style);
                x += 1;
            }
        } else {
            (x, _) = buffer.set_span(x, area.y, span, room);
        }
    }
}

fn top(area: Rect, rows: impl TryInto<u16>) -> Rect {
    Rect { height: rows.try_into().unwrap_or(u16::MAX).min(area.height), ..area }
}

fn bottom(area: Rect, rows: u16) -> Rect {
    let height = rows.min(area.height);
    Rect { y: area.bottom() - height, height, ..area }
}

fn between(area: Rect, above: u16, below: u16) -> Rect {
    let above = above.min(area.height);
    Rect { y: area.y + above, height: area.height.saturating_sub(above + below), ..area }
}

/// A part of the screen that can be read as text, whole and from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Environment, runbook and who; at a gate, the gate's name and offer.
    Heading,
    /// The sentence that says what to do now.
    Next,
    Survey,
    Steps,
    Detail,
    Checks,
    Log,
    Gate,
    Rows,
    Dialog,
    /// What is wrong, and what was said last.
    Banner,
    End,
}

/// The page without a screen: nothing is scrolled, cleaned as everything that is shown.
pub fn text(model: &Model, snapshot: &Snapshot, page: Page, columns: usize) -> Vec<String> {
    let scene = Scene::new(model, snapshot, Theme { color: false, ascii: false });
    let lines = match page {
        Page::Heading => vec![header::heading(&scene, columns)],
        Page::Next => vec![Line::raw(header::sentence(&scene))],
        Page::Survey => survey::page(&scene, columns),
        Page::Steps => steps::lines(&scene, columns),
        Page::Detail => detail::lines(&scene, columns),
        Page::Checks => checks::lines(&scene, columns),
        Page::Log => log::lines(&scene, columns),
        Page::Gate => snapshot.state.gate.iter().flat_map(|open| gate::facts(&scene, &open.shown, columns)).collect(),
        Page::Rows => rows::page(&scene, columns),
        Page::Dialog => dialog::words(&scene, columns),
        Page::Banner => banner::lines(&scene, columns),
        Page::End => end::lines(&scene, columns),
    };
    lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
}
