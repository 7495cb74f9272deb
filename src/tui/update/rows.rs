//! Asked rows of a compared set: a class by its number, a reason, Enter.

use crossterm::event::{KeyCode, KeyEvent};

use super::{Effect, edit, nth_class, reason};
use crate::engine::{Ask, Snapshot};
use crate::tui::keymap::{self, Command};
use crate::tui::model::{Field, Model, reconciling};

/// `None`: the key is not the table's.
pub(super) fn on_key(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Option<Option<Effect>> {
    let classified = snapshot.classified.as_ref()?;
    let last = classified.asked.len().saturating_sub(1);
    if let Some(class) = model.rows.class.clone() {
        match key.code {
            KeyCode::Esc => {
                model.rows.class = None;
                model.says = None;
            }
            KeyCode::Enter => {
                let row = classified.asked.get(model.rows.row)?;
                match reason(&model.rows.reason) {
                    Err(missing) => model.says = Some(missing),
                    Ok(reason) => {
                        let step = reconciling(snapshot)?.to_owned();
                        let open = |i: &usize| *i != model.rows.row && classified.asked[*i].class.is_none();
                        let next = (0..=last).find(open).unwrap_or(model.rows.row);
                        model.rows.class = None;
                        model.rows.reason = Field::default();
                        model.rows.row = next;
                        model.says = None;
                        return Some(Some(Effect::Ask(Ask::Classify { step, row: row.key.clone(), class, reason })));
                    }
                }
            }
            _ => {
                edit(&mut model.rows.reason, key);
            }
        }
        return Some(None);
    }
    if let Some(class) = nth_class(snapshot, key)
        && !classified.asked.is_empty()
    {
        model.rows.class = Some(class);
        model.says = None;
        return Some(None);
    }
    match keymap::command(key)? {
        Command::Up => model.rows.row = model.rows.row.saturating_sub(1),
        Command::Down => model.rows.row = (model.rows.row + 1).min(last),
        Command::Top => model.rows.row = 0,
        Command::Bottom => model.rows.row = last,
        Command::PageUp => model.rows.row = model.rows.row.saturating_sub(10),
        Command::PageDown => model.rows.row = (model.rows.row + 10).min(last),
        Command::Back if model.says.is_none() => model.rows.hidden = true,
        Command::Open => return None,
        _ => return None,
    }
    Some(None)
}
