//! Whether an action is one that `never` forbids: by parsed class and object, not by text.

use crate::runbook::{Action, Never, NeverMatch, Position};
use crate::sql::{self, Dialect, Object};

/// Whether `action`, on a target of `dialect`, is what `never` forbids. Without a `match` it is advice and never matches.
///
/// A text that cannot be parsed matches nothing here; such a text is refused on its own.
pub fn matches(never: &Never, action: &Action, dialect: Option<Dialect>) -> bool {
    let Some(matched) = &never.matches else {
        return false;
    };
    match (matched, action) {
        (NeverMatch::Offsets { group, to }, Action::Offsets(offsets)) => {
            *group == offsets.group && to.as_ref().is_none_or(|to| to == offsets.to.word())
        }
        // What matters is that records reach the topic, or rows the table, not which action brings them.
        (NeverMatch::Publish { topic }, Action::Publish(publish)) => *topic == publish.topic,
        (NeverMatch::Publish { topic }, Action::Replay(replay)) => *topic == replay.to,
        (NeverMatch::Publish { topic }, Action::Tombstones(marks)) => *topic == marks.topic,
        (NeverMatch::Publish { topic }, Action::Offsets(offsets)) => {
            matches!(&offsets.to, Position::Over { park, .. } if park == topic)
        }
        (NeverMatch::Change { object: table } | NeverMatch::Restore { table }, Action::Restore(restore)) => {
            table.eq_ignore_ascii_case(&restore.table)
        }
        (NeverMatch::Replay { topic }, Action::Replay(replay)) => *topic == replay.topic || *topic == replay.to,
        (NeverMatch::Tombstones { topic }, Action::Tombstones(marks)) => *topic == marks.topic,
        (NeverMatch::Topic { name }, Action::Topic(topic)) => *name == topic.name,
        (NeverMatch::Registry { act, subject }, Action::Registry(found)) => {
            act == found.change.word() && subject.as_ref().is_none_or(|s| *s == found.subject)
        }
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
        _ => false,
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
