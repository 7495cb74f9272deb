//! `ALTER TABLE … ALTER COLUMN`.

use super::super::fact::Fact;
use super::super::statement::{Cost, Lock, Object, ObjectKind, OldCode};
use super::super::words::Words;
use super::super::{Dialect, typename};
use super::Action;

pub(super) fn alter_column(mut words: Words<'_>, table: &str) -> Option<Action> {
    let column = words.ident()?;
    let (name, source) = (column.key(), column.source());
    let objects = vec![Object::of(ObjectKind::Column, table, &name)];
    let (table, column) = (table.to_owned(), name.clone());
    let pg = words.dialect == Dialect::Postgres;
    if words.eat(&["set", "default"]) {
        let value = literal(&words);
        return Some(Action {
            objects,
            saved: Some(format!("the default that {table}.{name} had")),
            old_code: OldCode::fine("rows written without the column get the new default"),
            done: value
                .map(|value| Fact::Default { table, column, value: Some(value), present: true })
                .into_iter()
                .collect(),
            ..Action::new("ALTER TABLE … ALTER COLUMN … SET DEFAULT")
        });
    }
    if words.eat(&["drop", "default"]) {
        return Some(Action {
            objects,
            saved: Some(format!("the default that {table}.{name} had")),
            old_code: OldCode::writes(format!(
                "inserts that leave out {name} write NULL, or fail where it refuses NULL"
            )),
            done: vec![Fact::Default { table, column, value: None, present: false }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … DROP DEFAULT")
        });
    }
    if words.eat(&["set", "not", "null"]) {
        return Some(Action {
            objects,
            cost: if pg { Cost::Scan } else { Cost::Unknown },
            back: Some(format!("ALTER COLUMN {source} DROP NOT NULL")),
            old_code: OldCode::writes(format!("writes of NULL to {name}, or without it, fail")),
            done: vec![Fact::NotNull { table, column, not_null: true }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … SET NOT NULL")
        });
    }
    if words.eat(&["drop", "not", "null"]) {
        return Some(Action {
            objects,
            back: Some(format!("ALTER COLUMN {source} SET NOT NULL")),
            saved: Some(format!("nothing, but rows where {table}.{name} is NULL by then must be filled first")),
            old_code: OldCode::reads(format!("it may meet NULL in {name}")),
            done: vec![Fact::NotNull { table, column, not_null: false }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … DROP NOT NULL")
        });
    }
    if words.eat(&["type"]) || words.eat(&["set", "data", "type"]) {
        let from = words.at;
        while !words.done() && !words.ahead(&["using"]) && !words.ahead(&["collate"]) {
            words.at += 1;
        }
        let written = words.text(from, words.at);
        return Some(Action {
            objects,
            // Without the old type it cannot be told whether the values stand as they are.
            cost: Cost::Rewrite,
            saved: Some(format!(
                "the type and the values of {table}.{name}: what is cut or rounded does not come back"
            )),
            old_code: OldCode::both(format!("its type for {name} may not take or hold the new values")),
            done: vec![Fact::ColumnType { table, column, type_name: typename::canonical(written), is: true }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … TYPE")
        });
    }
    if words.eat(&["set", "statistics"]) || words.ahead(&["set"]) && words.text(words.at, words.at + 2).ends_with('(') {
        return Some(Action {
            objects,
            lock: Lock::SHARE_UPDATE_EXCLUSIVE,
            saved: Some("the setting as it was".to_owned()),
            old_code: OldCode::fine("only the planner looks at it"),
            ..Action::new("ALTER TABLE … ALTER COLUMN … SET")
        });
    }
    let kind = "ALTER TABLE … ALTER COLUMN";
    let cost = if words.ahead(&["add"]) || words.contains("expression") { Cost::Unknown } else { Cost::CatalogOnly };
    Some(Action {
        objects,
        cost,
        saved: Some(format!("the definition of {table}.{name} as it was")),
        ..Action::new(kind)
    })
}

/// A default that is one literal: its text without quotes or cast, so that catalogs can be compared with it.
fn literal(words: &Words<'_>) -> Option<String> {
    let text = words.remains();
    let bare = text.split("::").next()?.trim();
    if words.clone().all.len() == words.at + 1 || text.contains("::") {
        let number = bare.strip_prefix('-').unwrap_or(bare);
        let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.') && !number.is_empty();
        let boolean = ["true", "false"].contains(&bare.to_ascii_lowercase().as_str());
        return match words.literal() {
            Some(value) => Some(value),
            None if plain => Some(bare.to_owned()),
            None if boolean => Some(bare.to_ascii_lowercase()),
            None => None,
        };
    }
    None
}
