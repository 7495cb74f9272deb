//! Whether an action is one that `never` forbids: by parsed class and object, not by text.

use crate::runbook::{Action, Never, NeverMatch};
use crate::sql::{self, Dialect, Object};

/// Whether `action`, on a target of `dialect`, is what `never` forbids. Without a `match` it is advice and never matches.
///
/// A text that cannot be parsed matches nothing here; such a text is refused on its own.
pub fn matches(never: &Never, action: &Action, dialect: Option<Dialect>) -> bool {
    let Some(matched) = &never.matches else {
        return false;
    };
    match (matched, action) {
        (NeverMatch::Publish { topic }, Action::Publish(publish)) => *topic == publish.topic,
        (NeverMatch::Command { argv }, Action::Command { argv: words }) => {
            argv.len() <= words.len() && argv.iter().zip(words).all(|(a, w)| *a == w.source)
        }
        (_, Action::Ddl(forms)) => {
            statements(forms.forms().into_iter().flatten(), dialect, |d, text| sql_matches(matched, d, text))
        }
        (_, Action::Change(change)) => {
            statements(change.sql.forms().into_iter(), dialect, |d, text| sql_matches(matched, d, text))
        }
        _ => false,
    }
}

/// The same for one statement as it would be sent.
pub fn sql_matches(matched: &NeverMatch, dialect: Dialect, text: &str) -> bool {
    match matched {
        NeverMatch::Ddl { statement, object } => {
            let Ok(found) = sql::parse_one(dialect, text) else {
                return false;
            };
            let kind = found.kind.replace(['…', ' '], "").to_lowercase();
            let wanted = statement.replace([' ', '…'], "").to_lowercase();
            kind.contains(&wanted) && object.as_ref().is_none_or(|name| found.objects.iter().any(|o| is(o, name)))
        }
        NeverMatch::Change { object } => sql::tables_and_columns(dialect, text)
            .is_ok_and(|touched| touched.writes.iter().any(|table| table.eq_ignore_ascii_case(object))),
        NeverMatch::Offsets { .. } | NeverMatch::Publish { .. } | NeverMatch::Command { .. } => false,
    }
}

fn is(object: &Object, name: &str) -> bool {
    let full = match &object.table {
        Some(table) => format!("{table}.{}", object.name),
        None => object.name.clone(),
    };
    full.eq_ignore_ascii_case(name) || object.name.eq_ignore_ascii_case(name)
}

fn statements<'s>(
    mut texts: impl Iterator<Item = &'s crate::runbook::SqlText>,
    dialect: Option<Dialect>,
    matches: impl Fn(Dialect, &str) -> bool,
) -> bool {
    let Some(dialect) = dialect else { return false };
    texts.any(|sql| matches(dialect, &sql.parseable(dialect)))
}
