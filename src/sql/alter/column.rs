//! `ALTER TABLE … ALTER COLUMN`.

use super::super::fact::Fact;
use super::super::statement::{Object, ObjectKind, OldCode};
use super::super::typename;
use super::super::words::Words;
use super::Action;

pub(super) fn alter_column(mut words: Words<'_>, table: &str) -> Option<Action> {
    let column = words.ident()?;
    let (name, source) = (column.key(), column.source());
    let objects = vec![Object::of(ObjectKind::Column, table, &name)];
    let (table, column) = (table.to_owned(), name.clone());
    if words.eat(&["set", "default"]) {
        let value = literal(&words);
        return Some(Action {
            objects,
            saved: Some(format!("the default that {table}.{name} had")),
            old_code: if words.ahead(&["null"]) {
                none_given(&name)
            } else {
                OldCode::fine("rows written without it get the new default; whether it knows that is for the runbook")
            },
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
            old_code: none_given(&name),
            done: vec![Fact::Default { table, column, value: None, present: false }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … DROP DEFAULT")
        });
    }
    if words.eat(&["set", "not", "null"]) {
        return Some(Action {
            objects,
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
            saved: Some(format!(
                "the type and the values of {table}.{name}: what is cut or rounded does not come back"
            )),
            old_code: OldCode::both(format!("its type for {name} may not take or hold the new values")),
            done: vec![Fact::ColumnType { table, column, type_name: typename::canonical(written), is: true }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … TYPE")
        });
    }
    let (kind, what, old_code) = other(&words)?;
    Some(Action { objects, saved: Some(format!("{what} of {table}.{name}")), old_code, ..Action::new(kind) })
}

fn none_given(column: &str) -> OldCode {
    OldCode::writes(format!("inserts that leave out {column} write NULL, or fail where it refuses NULL"))
}

/// The settings of a column: the form, what must be saved, what older code sees.
fn other(words: &Words<'_>) -> Option<(&'static str, &'static str, OldCode)> {
    let planner = || OldCode::fine("only the planner looks at it");
    let storage = || OldCode::fine("the values are the same");
    let generated = || OldCode::writes("inserts may be refused a value, or given another one");
    let next = |text: &str| words.all.get(words.at + 1).is_some_and(|word| word.punct(text));
    let (set, reset) = (words.ahead(&["set"]), words.ahead(&["reset"]));
    Some(match () {
        () if words.ahead(&["set", "statistics"]) => {
            ("ALTER TABLE … ALTER COLUMN … SET STATISTICS", "the statistics target", planner())
        }
        () if words.ahead(&["set", "storage"]) => {
            ("ALTER TABLE … ALTER COLUMN … SET STORAGE", "the storage", storage())
        }
        () if words.ahead(&["set", "compression"]) => {
            ("ALTER TABLE … ALTER COLUMN … SET COMPRESSION", "the compression", storage())
        }
        () if words.ahead(&["set", "expression"]) => (
            "ALTER TABLE … ALTER COLUMN … SET EXPRESSION",
            "the expression and the values",
            OldCode::reads("it meets other values"),
        ),
        () if set && next("(") => ("ALTER TABLE … ALTER COLUMN … SET (…)", "the settings", planner()),
        () if reset && next("(") => ("ALTER TABLE … ALTER COLUMN … RESET (…)", "the settings", planner()),
        () if words.ahead(&["add", "generated"]) => {
            ("ALTER TABLE … ALTER COLUMN … ADD GENERATED", "nothing but the name of the new sequence", generated())
        }
        () if words.ahead(&["set", "generated"]) || set || words.ahead(&["restart"]) => (
            "ALTER TABLE … ALTER COLUMN … SET GENERATED",
            "the definition of the identity and its last value",
            generated(),
        ),
        () if words.ahead(&["drop", "identity"]) => (
            "ALTER TABLE … ALTER COLUMN … DROP IDENTITY",
            "the definition of the identity and its last value",
            OldCode::writes("inserts that leave the column out fail"),
        ),
        () if words.ahead(&["drop", "expression"]) => (
            "ALTER TABLE … ALTER COLUMN … DROP EXPRESSION",
            "the expression",
            OldCode::reads("rows written from now on have no computed value"),
        ),
        () => return None,
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
