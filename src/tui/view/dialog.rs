//! Dialogs: a sheet over the lower part of the page, so that what it is about stays in sight.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use tui_textarea::TextArea;

use super::gate::visible;
use super::line::{Row, width, wrap};
use super::{Scene, between, draw_lines, header, scrolled, top, trial};
use crate::action::live::Sight;
use crate::run::record::{End, OutcomeResult};
use crate::runbook::Action;
use crate::tui::keymap::{BINDINGS, Binding, works};
use crate::tui::model::{Dialog, Field, Purpose};
use crate::tui::theme::Role;
use crate::tui::update::offered;

/// Rows of the sheet; none without a dialog.
pub fn height(scene: &Scene<'_>, body: Rect) -> u16 {
    let wanted = match scene.model.dialogs.last() {
        None => return 0,
        Some(Dialog::Help { .. } | Dialog::Palette { .. } | Dialog::Trial { .. }) => body.height,
        Some(Dialog::Note { .. } | Dialog::Finish { .. }) => 12,
        Some(Dialog::Decide { .. } | Dialog::Prompt { .. } | Dialog::Leave) => {
            let lines = words(scene, usize::from(body.width)).len();
            u16::try_from(lines).map_or(u16::MAX, |lines| lines.saturating_add(1)).max(8)
        }
    };
    wanted.min(body.height)
}

pub fn draw(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let dialog = scene.model.dialogs.last()?;
    Clear.render(area, buffer);
    let columns = usize::from(area.width);
    let mut sheet = Sheet { scene, columns, lines: Vec::new(), cursor: None, fields: None };
    match dialog {
        Dialog::Help { scroll } => {
            sheet.title("help: every key");
            draw_lines(sheet.lines, top(area, 1), buffer);
            scrolled(scene, help(scene, columns), *scroll, between(area, 1, 0), buffer);
            return None;
        }
        Dialog::Trial { step, scroll } => {
            sheet.title(&format!("trial of {step}"));
            draw_lines(sheet.lines, top(area, 1), buffer);
            scrolled(scene, trial::lines(scene, step, columns), *scroll, between(area, 1, 0), buffer);
            return None;
        }
        Dialog::Palette { field, pick } => {
            sheet.title("commands");
            sheet.field(": ", field, true);
            let rows = usize::from(area.height).saturating_sub(2);
            let first = (pick + 1).saturating_sub(rows);
            for (i, binding) in offered(&field.text).into_iter().enumerate().skip(first) {
                sheet.lines.push(command_line(scene, binding, i == *pick, columns));
            }
        }
        Dialog::Prompt { .. } | Dialog::Leave | Dialog::Decide { .. } => {
            sheet.short(dialog);
            sheet.keep_fields(usize::from(area.height));
        }
        Dialog::Note { area: text, .. } | Dialog::Finish { area: text, .. } => {
            sheet.short(dialog);
            return sheet.with_text(text, area, buffer);
        }
    }
    let cursor = sheet.cursor;
    draw_lines(sheet.lines, area, buffer);
    cursor.map(|(x, y)| Position { x: area.x + x, y: area.y + y })
}

/// The dialog as text.
pub fn words(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mut sheet = Sheet { scene, columns, lines: Vec::new(), cursor: None, fields: None };
    if let Some(dialog) = scene.model.dialogs.last() {
        sheet.short(dialog);
    }
    sheet.lines
}

struct Sheet<'a> {
    scene: &'a Scene<'a>,
    columns: usize,
    lines: Vec<Line<'static>>,
    cursor: Option<(u16, u16)>,
    /// The line of the first field.
    fields: Option<usize>,
}

impl Sheet<'_> {
    /// A dialog of a few lines; the text that is typed over several lines is not in it.
    fn short(&mut self, dialog: &Dialog) {
        match dialog {
            Dialog::Prompt { purpose, field, says } => {
                let (title, about, label) = asked(self.scene, purpose);
                self.title(&title);
                self.words(&about, Role::Plain);
                self.field(label, field, true);
                self.says(says.as_deref());
            }
            Dialog::Leave => {
                self.title("leave");
                let runs = match &self.scene.snapshot.state.open {
                    Some(open) => format!(
                        "{} runs: it is followed to its end, and recorded. Then the last page says how it stands.",
                        open.step
                    ),
                    None => "Nothing runs. The run is held and stays open; what was contained stays contained.".into(),
                };
                self.words(&runs, Role::Plain);
                self.words(&format!("Come back with: {}", self.scene.snapshot.resume_words()), Role::Title);
                self.words("Enter leaves · Esc stays", Role::Muted);
            }
            Dialog::Decide { step, word, reason, in_reason, says } => {
                let declared = self.scene.snapshot.runbook.steps.get(step);
                self.title(&format!("decide {step}"));
                if let Some(Action::Decide(decide)) = declared.map(|s| &s.action) {
                    self.words(&decide.ask, Role::Title);
                    self.words(&format!("One of: {}", decide.options.join("   ")), Role::Plain);
                }
                self.field("word > ", word, !*in_reason);
                self.field("why  > ", reason, *in_reason);
                self.says(says.as_deref());
            }
            Dialog::Note { step, .. } => {
                self.title(&step.as_ref().map_or("note".to_owned(), |step| format!("note, beside {step}")));
                self.words("It goes into the log as it stands. ^S writes it; Enter is a new line.", Role::Muted);
            }
            Dialog::Finish { end, says, .. } => {
                self.title("end the run");
                let mark = |this| if *end == Some(this) { "▶" } else { " " };
                self.words(
                    &format!("{} F2 recovered     every step finished, every check green", mark(End::Recovered)),
                    Role::Plain,
                );
                self.words(
                    &format!(
                        "{} F3 degraded      contained; every open item has an owner and a date",
                        mark(End::Degraded)
                    ),
                    Role::Plain,
                );
                self.words(&format!("{} F4 stopped       nothing more happens", mark(End::Stopped)), Role::Plain);
                self.says(says.as_deref());
                self.words("Open items, a line each:  what | owner | date", Role::Muted);
            }
            Dialog::Trial { step, .. } => {
                self.title(&format!("trial of {step}"));
                self.lines.extend(trial::lines(self.scene, step, self.columns));
            }
            Dialog::Help { .. } | Dialog::Palette { .. } => {}
        }
    }

    fn title(&mut self, text: &str) {
        self.lines.push(header::title(self.scene, text, true, 0, 0, self.columns));
    }

    fn words(&mut self, text: &str, role: Role) {
        let style = self.scene.theme.style(role);
        self.lines.extend(
            wrap(text, self.columns.saturating_sub(2)).into_iter().map(|t| Line::styled(format!(" {t}"), style)),
        );
    }

    fn says(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.words(text, Role::Warn);
        }
    }

    /// Where not all of it fits, what is typed stays in sight, and what is cut above it is told.
    fn keep_fields(&mut self, rows: usize) {
        let (Some(at), Some(over)) = (self.fields, self.lines.len().checked_sub(rows).filter(|over| *over > 0)) else {
            return;
        };
        let from = at.saturating_sub(over + 1).max(1);
        let gone = at.saturating_sub(from);
        let words = format!(" … {gone} more lines: Esc, and read them in the step's detail");
        let told = Line::styled(words, self.scene.theme.style(Role::Warn));
        self.lines.splice(from..at, [told]);
        if let Some((_, y)) = self.cursor.as_mut() {
            *y = y.saturating_sub(u16::try_from(gone.saturating_sub(1)).unwrap_or(0));
        }
    }

    fn field(&mut self, label: &str, field: &Field, active: bool) {
        let theme = self.scene.theme;
        self.fields.get_or_insert(self.lines.len());
        let (text, at) = visible(field, self.columns.saturating_sub(width(label) + 3).max(4));
        if active {
            let x = u16::try_from(1 + width(label) + at).unwrap_or(0);
            self.cursor = Some((x, u16::try_from(self.lines.len()).unwrap_or(0)));
        }
        self.lines.push(Line::from(vec![
            Span::styled(format!(" {label}"), theme.style(if active { Role::Title } else { Role::Muted })),
            Span::styled(text, theme.style(if active { Role::Input } else { Role::Muted })),
        ]));
    }

    fn with_text(self, text: &TextArea<'static>, area: Rect, buffer: &mut Buffer) -> Option<Position> {
        let rows = u16::try_from(self.lines.len()).unwrap_or(u16::MAX);
        draw_lines(self.lines, area, buffer);
        let mut text_area = between(area, rows, 0);
        text_area.x += 1;
        text_area.width = text_area.width.saturating_sub(2);
        if text_area.height > 0 && text_area.width > 0 {
            text.render(text_area, buffer);
        }
        None
    }
}

/// Title, what it means, and the label of the line.
fn asked(scene: &Scene<'_>, purpose: &Purpose) -> (String, String, &'static str) {
    match purpose {
        Purpose::Skip { step } => (format!("skip {step}"), "It is not done, and what waits for it goes on. Recorded with your reason.".into(), "why > "),
        Purpose::Jump { to } => (format!("jump to {to}"), "The open steps between are skipped, each recorded with your reason.".into(), "why > "),
        Purpose::Override { step } if scene.snapshot.state.status(step).undo_failed() => (format!("go forward, {step} as it stands"), "It is not undone: what was to be taken back stays. What waits for the decision goes on.".into(), "why > "),
        Purpose::Override { step } if scene.snapshot.state.status(step).is_red() => (format!("go forward past {step}"), "What must hold after it does not. What waits for it goes on all the same.".into(), "why > "),
        Purpose::Override { step } => (format!("override a need of {step}"), "Its soft needs are passed over; hard ones are not.".into(), "why > "),
        Purpose::BreakGlass => {
            let next = scene.next.step.as_deref().unwrap_or("the next step");
            let step = scene.snapshot.runbook.steps.get(next);
            let because = step.into_iter().flat_map(|step| &step.needs).filter_map(|need| need.because.as_deref());
            let because: String = because.map(|because| format!(" {because}.")).collect();
            (format!("break the glass for {next}"), format!("Its needs do not hold, the hard ones too. You pass over them alone, and the log says so.{because}"), "why > ")
        }
        Purpose::Seen { step } => {
            let what = match scene.snapshot.runbook.steps.get(step).map(|step| &step.action) {
                Some(Action::Manual(manual)) => manual.what.to_string(),
                _ => String::new(),
            };
            (format!("{step}: say what you saw"), what, "seen > ")
        }
        Purpose::Elsewhere { step } if scene.snapshot.state.status(step).undo_failed() => (format!("{step}: undone by hand"), "What shows that it is undone, and by whom? The catalog is compared with the one before the step, where that was kept.".into(), "evidence > "),
        Purpose::Elsewhere { step } => (format!("{step} was done by other hands"), "What shows that it was done, and by whom?".into(), "evidence > "),
        Purpose::Settle { step, result } => {
            let word = if *result == OutcomeResult::Applied { "it happened" } else { "it did not happen" };
            (format!("settle {step}: {word}"), "Your word stands where evidence could not tell. What did you see?".into(), "because > ")
        }
        Purpose::Hold => ("hold".into(), "Nothing new begins; what runs is followed to its end.".into(), "why > "),
        Purpose::Cancel { target } => (format!("cancel what runs on {target}"), "The server is told to cancel the open statement. It may have been done already: the outcome says. Type cancel.".into(), "> "),
        Purpose::EndSession { target } => (format!("end a session on {target}"), format!("{}Type its pid, on MySQL its id: the server rolls its transaction back. Or type cancel and that: only its statement is cancelled.", in_way(scene)), "pid > "),
        Purpose::Trial { step, copy, reason } => {
            let title = match (copy, reason) {
                (true, _) => format!("try {step} on an empty copy"),
                (false, Some(_)) => format!("try {step} at full size, with your reason"),
                (false, None) => format!("try {step}, and roll it back"),
            };
            (title, trial::cost(scene, step, *copy), "> ")
        }
        Purpose::TrialReason { step } => (format!("try {step} at full size"), "The locks are held for as long as the rewrite or scan takes: everybody waits behind them. Why must it be seen on the table itself?".into(), "why > "),
        Purpose::Var { name } => {
            let ask = scene.snapshot.runbook.vars.get(name).and_then(|var| var.ask.clone());
            (format!("set {name}"), ask.unwrap_or_else(|| "Steps and checks that need it wait for it.".into()), "= ")
        }
        Purpose::Find => ("find a step".into(), "Words of its name or title.".into(), "/ "),
    }
}

/// Who is in the way, as the gate or the eye on the open statement has it: the sheet covers both.
fn in_way(scene: &Scene<'_>) -> String {
    let is = |label: &str| label == "in way";
    let snapshot = scene.snapshot;
    let at_gate = snapshot.state.gate.iter().flat_map(|open| &open.shown.evidence.facts);
    let mut words: Vec<String> = at_gate.filter(|(label, _)| is(label)).map(|(_, words)| words.clone()).collect();
    let sight = snapshot.watched.iter().filter_map(|watched| watched.sight.as_ref()).flat_map(Sight::lines);
    words.extend(sight.filter(|line| is(line.label)).map(|line| line.words));
    words.iter().map(|words| format!("{words}\n")).collect()
}

fn help(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut out = Vec::new();
    for binding in BINDINGS {
        let now = works(binding.command, scene.model, scene.snapshot);
        let role = if now { Role::Plain } else { Role::Muted };
        for (i, text) in wrap(binding.help, columns.saturating_sub(11)).into_iter().enumerate() {
            let key = if i == 0 { binding.key } else { "" };
            out.push(
                Row::new()
                    .cell(format!("  {key}"), 10, theme.style(Role::Title))
                    .put(text, theme.style(role))
                    .fit(columns),
            );
        }
    }
    out.push(Line::default());
    for text in [
        "At a gate: read all of it, type what is asked, Enter. Keys are swallowed for 0.8 s after it opens; a paste is refused; losing focus disarms it; Esc closes it and nothing happens.",
        "Marks: ✓ pass or done, ✗ fail, ? unknown, ▶ next or running, ! applied but not verified, or undone but not exactly, – skipped or not needed, ← undone. Letters: S schema, D data, E events, V service.",
        "The mouse is the terminal's own: select and copy as everywhere.",
    ] {
        out.extend(
            wrap(text, columns.saturating_sub(3))
                .into_iter()
                .map(|t| Line::styled(format!("  {t}"), theme.style(Role::Plain))),
        );
    }
    out
}

fn command_line(scene: &Scene<'_>, binding: &Binding, picked: bool, columns: usize) -> Line<'static> {
    let theme = scene.theme;
    let now = works(binding.command, scene.model, scene.snapshot);
    let style = match (picked, now) {
        (true, _) => theme.style(Role::Selected),
        (false, true) => theme.style(Role::Plain),
        (false, false) => theme.style(Role::Muted),
    };
    Row::new()
        .put(if picked { " ▶ " } else { "   " }, style)
        .cell(binding.name, 22, style)
        .cell(binding.key, 7, theme.style(Role::Title))
        .put(binding.help, theme.style(Role::Muted))
        .fit(columns)
}
