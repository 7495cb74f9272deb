//! Typing at a gate: the one place where the world is about to change.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Effect, do_command, edit, reason};
use crate::engine::{Ask, Snapshot};
use crate::run::gate;
use crate::runbook::Level;
use crate::tui::keymap::Command;
use crate::tui::model::{Model, Purpose, wants_second};

pub(super) fn on_key(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Option<Effect> {
    let armed = model.armed();
    let at = model.at;
    let second = wants_second(snapshot);
    let open = snapshot.state.gate.as_ref()?;
    let gate = model.gate.as_mut()?;
    match key.code {
        // The safe side is never locked.
        KeyCode::Esc if gate.in_reason => {
            gate.in_reason = false;
            gate.says = None;
        }
        KeyCode::Esc => return Some(Effect::Ask(Ask::Close)),
        KeyCode::PageDown => gate.scroll = gate.scroll.saturating_add(8),
        KeyCode::PageUp => gate.scroll = gate.scroll.min(10_000).saturating_sub(8),
        KeyCode::Down => gate.scroll = gate.scroll.saturating_add(1),
        KeyCode::Up => gate.scroll = gate.scroll.min(10_000).saturating_sub(1),
        KeyCode::Char('t') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            return do_command(model, snapshot, Command::Trial);
        }
        // Beside the token, and with a token of its own.
        KeyCode::Char('k') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            if let Some(target) = &open.shown.offer.target {
                let purpose = Purpose::EndSession { target: target.name.clone() };
                model.dialogs.push(super::prompt(purpose));
            }
        }
        _ if !armed => {}
        KeyCode::Tab | KeyCode::BackTab => {
            if second {
                gate.in_reason = !gate.in_reason;
                gate.says = None;
            } else {
                gate.says = Some("Break-glass is for irreversible steps without a second person.".into());
            }
        }
        KeyCode::Enter if gate.in_reason => match reason(&gate.reason) {
            Ok(reason) => return Some(Effect::Ask(Ask::BreakGlass { reason })),
            Err(missing) => gate.says = Some(missing),
        },
        KeyCode::Enter => {
            let wanted = &open.shown.offer.token;
            let typed = &gate.token.text;
            let level = open.shown.offer.level;
            if gate.sent {
                gate.says = Some("Sent: waiting for the engine's word.".into());
            } else if second {
                gate.says = Some("Tab first, and why it cannot wait for a second person.".into());
            } else if typed.is_empty() {
                gate.says = Some("Enter alone does nothing.".into());
            } else if let Some(difference) = difference(level, typed, wanted) {
                gate.says = Some(difference);
            } else {
                gate.sent = true;
                gate.says = Some("Sent.".into());
                let looked_ms = u64::try_from(at.saturating_sub(gate.shown).as_millis()).unwrap_or(u64::MAX);
                return Some(Effect::Ask(Ask::Answer {
                    typed: typed.clone(),
                    reason: None,
                    looked_ms,
                    from_file: false,
                }));
            }
        }
        _ => {
            let field = if gate.in_reason { &mut gate.reason } else { &mut gate.token };
            if edit(field, key) {
                gate.says = None;
                gate.sent = false;
            }
        }
    }
    None
}

/// What is not as it must be; the text stays for mending.
pub fn difference(level: Level, typed: &str, wanted: &str) -> Option<String> {
    if level == Level::Seen {
        let least = gate::REASON_LEAST;
        return (!gate::reason_is_enough(typed)).then(|| format!("Say what was seen in {least} characters or more."));
    }
    if typed == wanted {
        return None;
    }
    let same = typed.chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count();
    let (there, here) = (wanted.chars().nth(same), typed.chars().nth(same));
    Some(match (there, here) {
        (Some(there), Some(here)) => format!("Not it: character {} is \"{here}\", wanted is \"{there}\".", same + 1),
        (Some(there), None) => format!("Not it yet: after {same} characters comes \"{there}\"."),
        _ => format!("Not it: \"{wanted}\" ends after {same} characters."),
    })
}
