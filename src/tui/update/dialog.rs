//! Dialogs: what is typed beside the run, each with a safe way out.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_textarea::TextArea;

use super::{Effect, do_command, edit, find, prompt, reason};
use crate::engine::{Ask, Snapshot};
use crate::run::left;
use crate::run::next::target_of;
use crate::run::record::{Act, End, OpenItem, Record};
use crate::runbook::Action;
use crate::tui::keymap::{BINDINGS, Binding};
use crate::tui::model::{Dialog, Field, Model, Purpose, was_not_tried};

pub(super) fn note(step: Option<String>) -> Dialog {
    Dialog::Note { step, area: Box::default() }
}

pub(super) fn decide(step: String) -> Dialog {
    Dialog::Decide { step, word: Field::default(), reason: Field::default(), in_reason: false, says: None }
}

/// What steps have left behind stands there already, to be owned.
pub(super) fn finish(snapshot: &Snapshot) -> Dialog {
    let temporary = left::temporary(&snapshot.runbook, &snapshot.state).into_iter();
    let lines: Vec<String> = temporary
        .map(|(_, left)| {
            let OpenItem { what, owner, by } = left::open_item(left);
            format!("{what} | {owner} | {by}")
        })
        .collect();
    let area = if lines.is_empty() { TextArea::default() } else { TextArea::new(lines) };
    Dialog::Finish { end: None, area: Box::new(area), says: None }
}

/// What the palette offers for what was typed.
pub fn offered(typed: &str) -> Vec<&'static Binding> {
    let typed = typed.trim().to_lowercase();
    BINDINGS.iter().filter(|b| b.name.contains(&typed) || b.help.to_lowercase().contains(&typed)).collect()
}

pub(super) fn on_paste(model: &mut Model, text: &str) {
    match model.dialogs.last_mut() {
        Some(Dialog::Prompt { purpose, field, says }) => {
            if token(purpose).is_some() || matches!(purpose, Purpose::EndSession { .. }) {
                *says = Some("A paste is refused here: type it, so that it is meant.".into());
            } else {
                field.insert(text);
            }
        }
        Some(Dialog::Note { area, .. } | Dialog::Finish { area, .. }) => {
            area.insert_str(text);
        }
        Some(Dialog::Decide { reason, in_reason: true, .. }) => reason.insert(text),
        Some(Dialog::Decide { says, .. }) => *says = Some("Type the word: a paste is refused here.".into()),
        Some(Dialog::Palette { field, .. }) => field.insert(text),
        Some(Dialog::Help { .. } | Dialog::Leave | Dialog::Trial { .. }) | None => {}
    }
}

/// The word that must be typed, where the purpose has one.
pub fn token(purpose: &Purpose) -> Option<&'static str> {
    match purpose {
        Purpose::Cancel { .. } => Some("cancel"),
        Purpose::Trial { .. } => Some("try"),
        _ => None,
    }
}

pub(super) fn on_key(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Option<Effect> {
    let mut dialog = model.dialogs.pop()?;
    if key.code == KeyCode::Esc {
        return None;
    }
    let ctrl_s = key.code == KeyCode::Char('s') && key.modifiers.contains(KeyModifiers::CONTROL);
    match &mut dialog {
        Dialog::Help { scroll } => match key.code {
            KeyCode::Down | KeyCode::Char('j') => *scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => *scroll += 10,
            KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
            KeyCode::Char('q' | '?') | KeyCode::Enter => return None,
            _ => {}
        },
        Dialog::Trial { step, scroll } => match key.code {
            KeyCode::Down | KeyCode::Char('j') => *scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => *scroll += 10,
            KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
            KeyCode::Char('e') if was_not_tried(snapshot, step) => {
                let purpose = Purpose::Trial { step: step.clone(), copy: true, reason: None };
                model.dialogs.push(prompt(purpose));
                return None;
            }
            KeyCode::Char('b') if was_not_tried(snapshot, step) => {
                model.dialogs.push(prompt(Purpose::TrialReason { step: step.clone() }));
                return None;
            }
            KeyCode::Char('q') | KeyCode::Enter => return None,
            _ => {}
        },
        Dialog::Leave => match key.code {
            KeyCode::Enter => {
                model.leaving = true;
                return Some(Effect::Ask(Ask::Leave { why: "the operator left".into() }));
            }
            KeyCode::Char('n' | 'q') => return None,
            _ => {}
        },
        Dialog::Palette { field, pick } => match key.code {
            KeyCode::Up => *pick = pick.saturating_sub(1),
            KeyCode::Down => *pick = (*pick + 1).min(offered(&field.text).len().saturating_sub(1)),
            KeyCode::Enter => {
                let chosen = offered(&field.text).get(*pick).map(|b| b.command)?;
                return do_command(model, snapshot, chosen);
            }
            _ => {
                if edit(field, key) {
                    *pick = 0;
                }
            }
        },
        Dialog::Prompt { purpose, field, says } => {
            if key.code == KeyCode::Enter {
                match submit(model, snapshot, purpose, field) {
                    Ok(effect) => return effect,
                    Err(missing) => *says = Some(missing),
                }
            } else if edit(field, key) {
                *says = None;
            }
        }
        Dialog::Note { step, area } => {
            if ctrl_s {
                let text = area.lines().join("\n").trim().to_owned();
                return (!text.is_empty()).then(|| Effect::Ask(Ask::Note { step: step.clone(), text }));
            }
            area.input(*key);
        }
        Dialog::Decide { step, word, reason: why, in_reason, says } => match key.code {
            KeyCode::Tab | KeyCode::BackTab => *in_reason = !*in_reason,
            KeyCode::Enter => {
                let options = match snapshot.runbook.steps.get(step).map(|s| &s.action) {
                    Some(Action::Decide(decide)) => decide.options.as_slice(),
                    _ => &[],
                };
                if !options.contains(&word.text) {
                    *says = Some(format!("The word of the choice, as written: {}.", options.join(", ")));
                } else if !*in_reason && why.text.trim().is_empty() {
                    *in_reason = true;
                } else {
                    match reason(why) {
                        Ok(reason) => {
                            let (step, option) = (step.clone(), word.text.clone());
                            return Some(Effect::Ask(Ask::Decide { step, option, reason }));
                        }
                        Err(missing) => *says = Some(missing),
                    }
                }
            }
            _ => {
                if edit(if *in_reason { why } else { word }, key) {
                    *says = None;
                }
            }
        },
        Dialog::Finish { end, area, says } => match key.code {
            KeyCode::F(2) => *end = Some(End::Recovered),
            KeyCode::F(3) => *end = Some(End::Degraded),
            KeyCode::F(4) => *end = Some(End::Stopped),
            _ if ctrl_s => match (*end, open_items(area.lines())) {
                (None, _) => *says = Some("Say how it ends: F2, F3 or F4.".into()),
                (_, Err(line)) => *says = Some(line),
                (Some(end), Ok(open)) => return Some(Effect::Ask(Ask::Finish { end, open })),
            },
            _ => {
                area.input(*key);
            }
        },
    }
    model.dialogs.push(dialog);
    None
}

/// `what | owner | date`, a line each.
fn open_items(lines: &[String]) -> Result<Vec<OpenItem>, String> {
    let lines = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            match parts.as_slice() {
                [what, owner, by] if !what.is_empty() && !owner.is_empty() && !by.is_empty() => {
                    Ok(OpenItem { what: (*what).into(), owner: (*owner).into(), by: (*by).into() })
                }
                _ => Err(format!("Each open item needs an owner and a date: what | owner | date. Not so: {line}")),
            }
        })
        .collect()
}

/// What makes a session the one that an earlier act was told of, instead of being done.
fn found(snapshot: &Snapshot, target: &str, pid: &str) -> Option<String> {
    snapshot.log.iter().rev().find_map(|event| match &event.record {
        Record::ActOutcome {
            act: Act::EndSession { target: on, pid: number, .. } | Act::CancelSession { target: on, pid: number, .. },
            found,
            ..
        } => found.clone().filter(|_| on == target && number == pid),
        _ => None,
    })
}

fn submit(model: &mut Model, snapshot: &Snapshot, purpose: &Purpose, field: &Field) -> Result<Option<Effect>, String> {
    if let Some(word) = token(purpose).filter(|word| *word != field.text) {
        let typed = field.text.trim();
        let not =
            if typed.is_empty() { String::new() } else { format!("\"{typed}\" is not it, and nothing was sent. ") };
        return Err(format!("{not}Type {word} to do it; Esc: nothing happens."));
    }
    let why = || reason(field);
    let ask = match purpose.clone() {
        Purpose::Skip { step } => Ask::Skip { step, reason: why()? },
        Purpose::Jump { to } => Ask::Jump { to, reason: why()? },
        Purpose::Override { step } => Ask::Override { step, reason: why()? },
        Purpose::BreakGlass => Ask::BreakGlass { reason: why()? },
        Purpose::Seen { step } => Ask::Seen { step, seen: why()? },
        Purpose::Elsewhere { step } => Ask::Elsewhere { step, evidence: why()? },
        Purpose::Settle { step, result } => Ask::Settle { step, result, reason: why()? },
        Purpose::Hold => Ask::Hold { why: why()? },
        Purpose::Cancel { target } => {
            Ask::Act { act: Act::Cancel { target, pid: None, since: None }, typed: field.text.clone() }
        }
        Purpose::EndSession { target } => {
            let typed = field.text.trim().to_owned();
            let cancel = typed.strip_prefix("cancel ");
            let pid = cancel.unwrap_or(&typed).to_owned();
            if pid.is_empty() || !pid.chars().all(|c| c.is_ascii_digit()) {
                return Err("The pid of the session, in digits; or cancel and its pid.".into());
            }
            let gate = snapshot.state.gate.as_ref();
            let shown = gate.and_then(|open| open.shown.evidence.blockers.iter().find(|(shown, _)| *shown == pid));
            let live = snapshot.watched.as_ref().and_then(|watched| watched.sight.as_ref()?.since_of(&pid));
            let since = shown.map(|(_, since)| since.clone()).or_else(|| live.map(str::to_owned));
            let since = since.or_else(|| found(snapshot, &target, &pid));
            let act = match cancel {
                Some(_) => Act::CancelSession { target, pid, since },
                None => Act::EndSession { target, pid, since },
            };
            Ask::Act { act, typed }
        }
        Purpose::TrialReason { step } => {
            let reason = Some(why()?);
            model.dialogs.push(prompt(Purpose::Trial { step, copy: false, reason }));
            return Ok(None);
        }
        Purpose::Trial { step, copy, reason } => {
            let of = snapshot.runbook.steps.get(&step);
            let target = of.and_then(|of| target_of(&snapshot.runbook, of)).unwrap_or_default().to_owned();
            Ask::Act { act: Act::Trial { target, step, copy, reason }, typed: field.text.clone() }
        }
        Purpose::Var { name } => {
            let value = field.text.trim().to_owned();
            if value.is_empty() {
                return Err("A value is wanted.".into());
            }
            Ask::SetVar { name, value }
        }
        Purpose::Find => {
            model.find = field.text.trim().to_owned();
            if !model.find.is_empty() {
                find(model, snapshot);
            }
            return Ok(None);
        }
    };
    Ok(Some(Effect::Ask(ask)))
}
