//! What a key does: from what the screen remembers and what the run is to what is asked.
//!
//! Owns nothing and does nothing: pure. What is to happen outside is returned as one [`Effect`].

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::input::{Input, Signal};
use super::keymap::{self, Command};
use super::model::{self, Dialog, Field, Model, Pane, Purpose, View};
use super::view;
use crate::engine::{Ask, Link, Snapshot};
use crate::run::gate;
use crate::run::record::OutcomeResult;
use crate::text::Shown;

mod dialog;
mod gate_page;
mod open;
mod rows;

pub use dialog::{offered, token};

/// Twice within this is meant.
const TWICE: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Ask(Ask),
    /// To the terminal's clipboard and into a file of the run.
    Copy(String),
    /// Draw everything again.
    Repaint,
    Quit,
}

pub fn update(mut model: Model, snapshot: &Snapshot, input: &Input, at: Duration) -> (Model, Option<Effect>) {
    model.at = model.at.max(at);
    let effect = match input {
        Input::Key(key) => on_key(&mut model, snapshot, key),
        Input::Paste(text) => {
            on_paste(&mut model, snapshot, text);
            None
        }
        Input::FocusLost => {
            model.focused = false;
            if let Some(gate) = model.gate.as_mut() {
                gate.arms = None;
                gate.says = Some("The terminal lost focus: the gate is disarmed until it is back.".into());
            }
            None
        }
        Input::FocusGained => {
            model.focused = true;
            let arms = model.at + gate::ARM;
            if let Some(gate) = model.gate.as_mut() {
                gate.arms.get_or_insert(arms);
                gate.says = None;
            }
            None
        }
        Input::Resized(columns, rows) => {
            model.size = (*columns, *rows);
            // What is read stands elsewhere now, or could not be read at all until now.
            let arms = model.at + gate::ARM;
            if let Some(gate) = model.gate.as_mut().filter(|gate| gate.arms.is_some()) {
                gate.arms = Some(arms);
            }
            Some(Effect::Repaint)
        }
    };
    (model, effect)
}

/// Signals mean the same wherever the screen is.
pub fn on_signal(mut model: Model, snapshot: &Snapshot, signal: Signal, at: Duration) -> (Model, Option<Effect>) {
    model.at = model.at.max(at);
    let effect = match signal {
        Signal::Interrupt => interrupt(&mut model, snapshot),
        Signal::Terminate => {
            model.unread = true;
            Some(Effect::Ask(Ask::Terminate))
        }
        Signal::HangUp => {
            model.unread = true;
            Some(Effect::Ask(Ask::Leave { why: "the terminal is gone".into() }))
        }
        Signal::Stop => {
            model.says = Some(NO_STOP.into());
            None
        }
        Signal::Continue => Some(Effect::Repaint),
    };
    (model, effect)
}

const NO_STOP: &str = "backout does not go to the background: what runs would stand still and keep its locks. q leaves, resume comes back.";

fn on_key(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Option<Effect> {
    let ctrl = |c| key.code == KeyCode::Char(c) && key.modifiers.contains(KeyModifiers::CONTROL);
    if ctrl('c') {
        return interrupt(model, snapshot);
    }
    if ctrl('l') {
        return Some(Effect::Repaint);
    }
    if ctrl('z') {
        model.says = Some(NO_STOP.into());
        return None;
    }
    if model.too_small() && snapshot.exit.is_none() && key.code != KeyCode::Esc {
        return None;
    }
    if !model.dialogs.is_empty() {
        return dialog::on_key(model, snapshot, key);
    }
    if snapshot.exit.is_some() {
        if matches!(key.code, KeyCode::Enter | KeyCode::Char('q')) {
            return model.may_close().then_some(Effect::Quit);
        }
        return keymap::command(key).and_then(|c| navigate(model, snapshot, c));
    }
    if model.gate.is_some() {
        return gate_page::on_key(model, snapshot, key);
    }
    if model.at_rows(snapshot)
        && let Some(effect) = rows::on_key(model, snapshot, key)
    {
        return effect;
    }
    let Some(command) = keymap::command(key) else {
        if let KeyCode::Char(c) = key.code {
            let with = if key.modifiers.contains(KeyModifiers::CONTROL) { "^" } else { "" };
            let key = Shown::new(&c.to_string());
            model.says = Some(format!("{with}{key} does nothing here. ? lists the keys."));
        }
        return None;
    };
    do_command(model, snapshot, command)
}

fn on_paste(model: &mut Model, snapshot: &Snapshot, text: &str) {
    if model.too_small() {
        return;
    }
    if !model.dialogs.is_empty() {
        dialog::on_paste(model, text);
    } else if let Some(gate) = model.gate.as_mut() {
        if gate.in_reason {
            gate.reason.insert(text);
        } else {
            gate.says = Some("A paste is refused here: type it, so that it is meant.".into());
        }
    } else if model.at_rows(snapshot) && model.rows.class.is_some() {
        model.rows.reason.insert(text);
    } else {
        model.says = Some("A paste has no place here: nothing was done with it.".into());
    }
}

/// `^C`: the innermost thing is cancelled; where there is none, the run is held; twice, it is left.
fn interrupt(model: &mut Model, snapshot: &Snapshot) -> Option<Effect> {
    if snapshot.exit.is_some() {
        return model.may_close().then_some(Effect::Quit);
    }
    if model.dialogs.pop().is_some() {
        return None;
    }
    if model.gate.is_some() {
        return Some(Effect::Ask(Ask::Close));
    }
    let again = model.interrupted.is_some_and(|before| model.at.saturating_sub(before) <= TWICE);
    model.interrupted = Some(model.at);
    if again {
        model.leaving = true;
        return Some(Effect::Ask(Ask::Leave { why: "interrupted twice".into() }));
    }
    model.says = Some("^C once more, now, leaves.".into());
    Some(Effect::Ask(Ask::Hold { why: "interrupted from the keyboard".into() }))
}

fn prompt(purpose: Purpose) -> Dialog {
    Dialog::Prompt { purpose, field: Field::default(), says: None }
}

pub(super) fn do_command(model: &mut Model, snapshot: &Snapshot, command: Command) -> Option<Effect> {
    if command != Command::Back {
        // It was about the key before.
        model.says = None;
    }
    if !keymap::works(command, model, snapshot) {
        model.says = Some(keymap::why_not(command, model, snapshot));
        return None;
    }
    let step = model.step(snapshot).map(str::to_owned);
    let ask = |ask| Some(Effect::Ask(ask));
    match command {
        Command::Open => return open::open(model, snapshot),
        Command::Undo => return ask(Ask::Undo { step: step? }),
        Command::Verify => return ask(Ask::Verify { step: step? }),
        Command::Lift => {
            model.interrupted = None;
            return ask(Ask::Lift);
        }
        Command::Hold => model.dialogs.push(prompt(Purpose::Hold)),
        Command::Skip => model.dialogs.push(prompt(Purpose::Skip { step: step? })),
        Command::Jump => model.dialogs.push(prompt(Purpose::Jump { to: step? })),
        Command::Override => model.dialogs.push(prompt(Purpose::Override { step: step? })),
        Command::BreakGlass => model.dialogs.push(prompt(Purpose::BreakGlass)),
        Command::Elsewhere => model.dialogs.push(prompt(Purpose::Elsewhere { step: step? })),
        Command::Happened | Command::DidNotHappen => {
            let applied = command == Command::Happened;
            let result = if applied { OutcomeResult::Applied } else { OutcomeResult::NotApplied };
            let step = snapshot.state.open.as_ref()?.step.clone();
            model.dialogs.push(prompt(Purpose::Settle { step, result }));
        }
        Command::Cancel => {
            let target = snapshot.state.open.as_ref()?.intent.on.clone()?;
            model.dialogs.push(prompt(Purpose::Cancel { target }));
        }
        Command::EndSession => {
            let own = step.and_then(|id| snapshot.runbook.steps.get(&id)?.on.clone());
            let up =
                || snapshot.targets.iter().find(|(_, link)| matches!(link, Link::Up(_))).map(|(name, _)| name.clone());
            model.dialogs.push(prompt(Purpose::EndSession { target: own.or_else(up)? }));
        }
        Command::Trial => {
            let (step, _) = keymap::trial_of(model, snapshot)?;
            let purpose = Purpose::Trial { step: step.to_owned(), copy: false, reason: None };
            model.dialogs.push(prompt(purpose));
        }
        Command::Var => {
            let vars = &snapshot.state.vars;
            let unset = snapshot.runbook.vars.keys().find(|name| !vars.contains_key(*name));
            let name = unset.or_else(|| snapshot.runbook.vars.keys().next())?.clone();
            model.dialogs.push(prompt(Purpose::Var { name }));
        }
        Command::Recheck => {
            let step = snapshot.runbook.steps.get(&step?)?;
            let first = step.verify.first().or_else(|| step.needs.first().map(|need| &need.check));
            match first {
                Some(check) => return ask(Ask::Recheck { check: check.clone() }),
                None => model.says = Some("This step has no check of its own.".into()),
            }
        }
        Command::Note => model.dialogs.push(dialog::note(step)),
        Command::Finish => model.dialogs.push(dialog::finish(snapshot)),
        Command::Leave => model.dialogs.push(Dialog::Leave),
        Command::Find => model.dialogs.push(prompt(Purpose::Find)),
        _ => return navigate(model, snapshot, command),
    }
    None
}

fn navigate(model: &mut Model, snapshot: &Snapshot, command: Command) -> Option<Effect> {
    const PAGE: usize = 10;
    let turn = |pane: Pane, by: usize| {
        let at = Pane::ALL.iter().position(|p| *p == pane).unwrap_or(0);
        Pane::ALL[(at + by) % Pane::ALL.len()]
    };
    match command {
        Command::Up => shift(model, snapshot, -1),
        Command::Down => shift(model, snapshot, 1),
        Command::PageUp => shift(model, snapshot, -(PAGE as isize)),
        Command::PageDown => shift(model, snapshot, PAGE as isize),
        Command::Top => shift(model, snapshot, isize::MIN),
        Command::Bottom => shift(model, snapshot, isize::MAX),
        Command::NextPane => look_at(model, turn(model.pane, 1)),
        Command::PreviousPane => look_at(model, turn(model.pane, 3)),
        Command::Checks => look_at(model, if model.pane == Pane::Checks { Pane::Steps } else { Pane::Checks }),
        Command::Log => look_at(model, if model.pane == Pane::Log { Pane::Steps } else { Pane::Log }),
        Command::Follow => model.picked = None,
        Command::Survey => {
            model.view = View::Survey;
            model.scroll = 0;
        }
        Command::Zoom => model.zoom = !model.zoom,
        Command::Help => model.dialogs.push(Dialog::Help { scroll: 0 }),
        Command::Palette => model.dialogs.push(Dialog::Palette { field: Field::default(), pick: 0 }),
        Command::FindNext => find(model, snapshot),
        Command::Copy => {
            let id = model.step(snapshot)?.to_owned();
            let text = view::text(model, snapshot, view::Page::Detail, 100).join("\n");
            model.says = Some(format!("Copied {id}; also in {}.", super::clipboard::FILE));
            return Some(Effect::Copy(text));
        }
        Command::Redraw => return Some(Effect::Repaint),
        Command::Back => {
            if model.says.take().is_none() && snapshot.message.is_some() {
                model.read = snapshot.message.as_ref().map(|m| m.at.clone());
            } else if model.view == View::Survey && snapshot.state.entered {
                model.view = View::Run;
            } else {
                model.zoom = false;
            }
        }
        _ => {}
    }
    None
}

fn look_at(model: &mut Model, pane: Pane) {
    model.view = View::Run;
    model.pane = pane;
    model.scroll = 0;
}

fn shift(model: &mut Model, snapshot: &Snapshot, by: isize) {
    let ended = snapshot.exit.is_some();
    if ended || model.view == View::Survey || model.pane != Pane::Steps {
        let from_the_end = !ended && model.view == View::Run && model.pane == Pane::Log;
        // The view clamps: it alone knows how long its lines are.
        let by = by.clamp(-100_000, 100_000) * if from_the_end { -1 } else { 1 };
        model.scroll = model.scroll.min(100_000).saturating_add_signed(by);
        return;
    }
    let ids: Vec<&String> = snapshot.runbook.steps.keys().collect();
    let here = model.step(snapshot).and_then(|id| ids.iter().position(|other| *other == id)).unwrap_or(0);
    let there = here.saturating_add_signed(by).min(ids.len().saturating_sub(1));
    model.picked = ids.get(there).map(|id| (*id).clone());
}

/// The next step after the selected one with the words in it.
pub(super) fn find(model: &mut Model, snapshot: &Snapshot) {
    let wanted = model.find.to_lowercase();
    let steps: Vec<_> = snapshot.runbook.steps.values().collect();
    let here = model.step(snapshot).and_then(|id| steps.iter().position(|s| s.id == id)).unwrap_or(0);
    let fits = |i: &usize| {
        let step = steps[*i];
        step.id.to_lowercase().contains(&wanted) || step.title.to_lowercase().contains(&wanted)
    };
    let order = (1..=steps.len()).map(|by| (here + by) % steps.len().max(1));
    match order.into_iter().find(fits) {
        Some(i) => {
            model.picked = Some(steps[i].id.clone());
            model.view = View::Run;
            model.pane = Pane::Steps;
        }
        None => model.says = Some(format!("No step has \"{}\" in it.", model.find)),
    }
}

/// Editing one line. Whether the key was one.
fn edit(field: &mut Field, key: &KeyEvent) -> bool {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u') if ctrl => field.clear(),
        KeyCode::Char('a') if ctrl => field.to(0),
        KeyCode::Char('e') if ctrl => field.to(usize::MAX),
        KeyCode::Char('w') if ctrl => {
            while field.cursor > 0 && field.text.chars().nth(field.cursor - 1) == Some(' ') {
                field.backspace();
            }
            while field.cursor > 0 && field.text.chars().nth(field.cursor - 1) != Some(' ') {
                field.backspace();
            }
        }
        KeyCode::Char(_) if ctrl || key.modifiers.contains(KeyModifiers::ALT) => return false,
        KeyCode::Char(c) => field.insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace => field.backspace(),
        KeyCode::Delete => field.delete(),
        KeyCode::Left => field.to(field.cursor.saturating_sub(1)),
        KeyCode::Right => field.to(field.cursor + 1),
        KeyCode::Home => field.to(0),
        KeyCode::End => field.to(usize::MAX),
        _ => return false,
    }
    true
}

/// The reason as it is sent; `None` says what is missing.
fn reason(field: &Field) -> Result<String, String> {
    let text = field.text.trim();
    if gate::reason_is_enough(text) {
        return Ok(text.to_owned());
    }
    Err(format!("Say why in {} characters or more: the log is read by somebody who was not here.", gate::REASON_LEAST))
}

/// The number of the class under the key `1` to `9`.
fn nth_class(snapshot: &Snapshot, key: &KeyEvent) -> Option<String> {
    let KeyCode::Char(c @ '1'..='9') = key.code else { return None };
    let nth = usize::try_from(c.to_digit(10)?).ok()? - 1;
    model::classes(snapshot).into_iter().nth(nth)
}
