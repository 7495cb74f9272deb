//! What a typed line means: the same keys as on the screen, pressed one after the other.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_textarea::TextArea;

use super::told::Told;
use super::typed::Typed;
use crate::engine::{Ask, Snapshot};
use crate::tui::input::Input;
use crate::tui::keymap::{Binding, Command};
use crate::tui::model::{Dialog, Model, Pane, View};
use crate::tui::update::{Effect, update};
use crate::tui::view::Page;

/// Where a line goes.
enum Place {
    Commands,
    Gate,
    Dialog,
    /// Why an asked row is of its class.
    Reason,
}

fn place(model: &Model, snapshot: &Snapshot) -> Place {
    if !model.dialogs.is_empty() {
        Place::Dialog
    } else if model.gate.is_some() {
        Place::Gate
    } else if model.at_rows(snapshot) && model.rows.class.is_some() {
        Place::Reason
    } else {
        Place::Commands
    }
}

pub fn hear(model: &mut Model, told: &mut Told, snapshot: &Snapshot, typed: Typed) -> Vec<Effect> {
    let mut hands = Hands { model, told, snapshot, effects: Vec::new() };
    match typed {
        Typed::End => hands.leave("the input has ended"),
        Typed::Paste(text) => hands.paste(text),
        Typed::Line(line) if line.chars().any(char::is_control) => {
            hands.says("That line held control characters: nothing was done with it.");
        }
        Typed::Line(line) => hands.line(&line),
    }
    hands.effects
}

struct Hands<'a> {
    model: &'a mut Model,
    told: &'a mut Told,
    snapshot: &'a Snapshot,
    effects: Vec<Effect>,
}

impl Hands<'_> {
    fn press(&mut self, input: Input) {
        let at = self.model.at;
        let (model, effect) = update(std::mem::take(self.model), self.snapshot, &input, at);
        *self.model = model;
        self.effects.extend(effect);
    }

    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.press(Input::Key(KeyEvent::new(code, modifiers)));
    }

    /// The whole line in place of what stood there, and what sends it.
    fn send(&mut self, line: &str) {
        let note = matches!(self.model.dialogs.last(), Some(Dialog::Note { .. }));
        if !note {
            self.key(KeyCode::Char('u'), KeyModifiers::CONTROL);
        }
        line.chars().for_each(|c| self.key(KeyCode::Char(c), KeyModifiers::NONE));
        self.done();
    }

    fn done(&mut self) {
        match self.model.dialogs.last() {
            Some(Dialog::Note { .. }) => self.key(KeyCode::Char('s'), KeyModifiers::CONTROL),
            _ => self.key(KeyCode::Enter, KeyModifiers::NONE),
        }
    }

    fn says(&mut self, words: impl Into<String>) {
        self.model.says = Some(words.into());
    }

    fn leave(&mut self, why: &str) {
        self.model.leaving = true;
        self.effects.push(Effect::Ask(Ask::Leave { why: why.into() }));
    }

    fn paste(&mut self, text: String) {
        self.press(Input::Paste(text));
        let token = self.model.gate.as_ref().is_some_and(|gate| !gate.in_reason);
        if matches!(place(self.model, self.snapshot), Place::Dialog | Place::Reason)
            || (!token && self.model.gate.is_some())
        {
            self.done();
        }
    }

    fn line(&mut self, line: &str) {
        let word = line.trim();
        let place = place(self.model, self.snapshot);
        let back = Binding::said(word).is_some_and(|binding| binding.command == Command::Back);
        match place {
            Place::Commands => self.words(word),
            _ if back => self.key(KeyCode::Esc, KeyModifiers::NONE),
            Place::Reason => self.send(line),
            Place::Gate => self.gate(word),
            Place::Dialog if matches!(self.model.dialogs.last(), Some(Dialog::Finish { .. })) => self.finish(word),
            Place::Dialog => self.send(line),
        }
    }

    fn gate(&mut self, word: &str) {
        let armed = self.model.armed();
        match word {
            "page" => self.told.show(Page::Gate),
            "trial" => self.key(KeyCode::Char('t'), KeyModifiers::CONTROL),
            "break-glass" => self.key(KeyCode::Tab, KeyModifiers::NONE),
            "end a session" => self.key(KeyCode::Char('k'), KeyModifiers::CONTROL),
            _ if armed => self.send(word),
            _ => {
                if let Some(gate) = self.model.gate.as_mut() {
                    gate.says = Some("A gate takes nothing in its first 0.8 s: read it, then type.".into());
                }
            }
        }
    }

    /// How it ends, or an open item: `what | owner | date`. One with the same words takes the place of the first.
    fn finish(&mut self, word: &str) {
        let end = match word.to_lowercase().as_str() {
            "recovered" | "f2" => Some(2),
            "degraded" | "f3" => Some(3),
            "stopped" | "f4" => Some(4),
            _ => None,
        };
        if let Some(end) = end {
            self.key(KeyCode::F(end), KeyModifiers::NONE);
            return self.key(KeyCode::Char('s'), KeyModifiers::CONTROL);
        }
        let what = |line: &str| line.split('|').next().unwrap_or_default().trim().to_owned();
        match self.model.dialogs.last_mut() {
            Some(Dialog::Finish { area, says, .. }) if word.contains('|') => {
                let mut lines: Vec<String> =
                    area.lines().iter().filter(|line| !line.trim().is_empty()).cloned().collect();
                lines.retain(|line| what(line) != what(word));
                lines.push(word.to_owned());
                **area = TextArea::new(lines);
                *says = None;
            }
            Some(Dialog::Finish { says, .. }) => {
                *says = Some("Type recovered, degraded or stopped, or an open item: what | owner | date.".into());
            }
            _ => {}
        }
    }

    fn words(&mut self, word: &str) {
        if word.is_empty() {
            return self.told.next_again();
        }
        let mut chars = word.chars();
        if let (Some(digit @ '1'..='9'), None, true) = (chars.next(), chars.next(), self.model.at_rows(self.snapshot)) {
            return self.key(KeyCode::Char(digit), KeyModifiers::NONE);
        }
        if self.select(word) {
            return self.told.show(Page::Detail);
        }
        if word.eq_ignore_ascii_case("steps") {
            return self.told.show(Page::Steps);
        }
        if let Some(binding) = Binding::said(word) {
            return self.command(binding);
        }
        if let Some((name, step)) = word.rsplit_once(' ')
            && let Some(binding) = Binding::said(name)
            && self.select(step)
        {
            self.told.knows(step);
            return self.command(binding);
        }
        self.says(format!("\"{word}\" is no command and no step: nothing was done. help lists them."));
    }

    fn select(&mut self, step: &str) -> bool {
        let known = self.snapshot.runbook.steps.contains_key(step);
        if known {
            self.model.view = View::Run;
            self.model.picked = Some(step.to_owned());
        }
        known
    }

    fn command(&mut self, binding: &Binding) {
        let rows = self.model.at_rows(self.snapshot);
        match binding.command {
            Command::Help | Command::Palette => self.told.help(),
            Command::Checks => self.told.show(Page::Checks),
            Command::Log => self.told.show(Page::Log),
            Command::Redraw => self.told.whole(self.model, self.snapshot),
            Command::NextPane | Command::PreviousPane | Command::PageUp | Command::PageDown | Command::Zoom => {
                self.says("Nothing is out of sight here: every page is printed whole.");
            }
            Command::Leave => self.leave("the operator left"),
            Command::Survey => {
                self.model.view = View::Survey;
                self.told.show(Page::Survey);
            }
            command => {
                let moves = matches!(command, Command::Up | Command::Down | Command::Top | Command::Bottom);
                if moves && !rows {
                    (self.model.view, self.model.pane) = (View::Run, Pane::Steps);
                }
                if let Some(key) = binding.press() {
                    self.press(Input::Key(key));
                }
                if rows && moves {
                    self.told.show(Page::Rows);
                } else if moves || matches!(command, Command::Follow | Command::FindNext) {
                    self.told.show(Page::Detail);
                }
            }
        }
    }
}
