//! The actions of an `ALTER TABLE` in MySQL and MariaDB, where they differ.

use super::super::fact::Fact;
use super::super::statement::{Class, Object, ObjectKind, OldCode};
use super::super::words::{Name, Words};
use super::{Action, action, column};

/// MariaDB's `WAIT n` and `NOWAIT`, which bound the wait for the lock.
pub(in super::super) fn eat_wait(words: &mut Words<'_>) {
    if words.eat(&["wait"]) {
        words.at += 1;
    } else {
        words.eat(&["nowait"]);
    }
}

/// `None` for what only says how: `ALGORITHM=…`, `LOCK=…`; but a copy that is asked for is made.
pub(super) fn action(mut words: Words<'_>, table: &Name) -> Option<Action> {
    if words.ahead(&["algorithm"]) || words.ahead(&["lock"]) || words.done() {
        // The author may ask for more than it needs.
        return words.contains("copy").then(|| Action {
            saved: Some("nothing, but the copy takes as long again".to_owned()),
            old_code: OldCode::fine("the rows are the same"),
            ..Action::new("ALTER TABLE … ALGORITHM=COPY")
        });
    }
    let key = table.key();
    let whole = words.clone();
    let known = if words.eat(&["modify"]) {
        modify(words, &key, false)
    } else if words.eat(&["change"]) {
        modify(words, &key, true)
    } else if words.eat(&["rename", "index"]) || words.eat(&["rename", "key"]) {
        Some(renamed_index(words, &key)?)
    } else if words.eat(&["rename", "column"]) {
        action::rename_column(words, &key)
    } else if words.eat(&["add"]) {
        add(words, &key)
    } else if words.eat(&["drop"]) {
        drop(words, &key)
    } else if words.eat(&["alter"]) {
        words.eat(&["column"]);
        column::alter_column(words, &key)
    } else {
        option(&words)
    };
    Some(known.unwrap_or_else(|| {
        let mut action = Action::other("ALTER TABLE");
        if ["drop", "discard", "truncate", "remove", "exchange", "coalesce"].iter().any(|word| whole.contains(word)) {
            action.class = Class::Irreversible;
        }
        action
    }))
}

/// `MODIFY c …` and `CHANGE a b …`: the whole definition anew, so that what is left out is lost.
fn modify(mut words: Words<'_>, table: &str, renames: bool) -> Option<Action> {
    words.eat(&["column"]);
    words.eat(&["if", "exists"]);
    let from = words.ident()?;
    let to = if renames { words.ident()? } else { from.clone() };
    let mut objects = vec![Object::of(ObjectKind::Column, table, from.key())];
    let mut done = Vec::new();
    if from != to {
        objects.push(Object::of(ObjectKind::Column, table, to.key()));
        let fact = |name: &Name, present| Fact::Column { table: table.to_owned(), column: name.key(), present };
        done = vec![fact(&to, true), fact(&from, false)];
    }
    let because = if from == to {
        format!("its type for {} may not take or hold the new values", from.key())
    } else {
        format!("older code still says {table}.{}", from.key())
    };
    Some(Action {
        // Values are cut, and in a mode that is not strict without a word.
        class: Class::Irreversible,
        objects,
        saved: Some(format!("the definition (SHOW CREATE TABLE) and the values of {table}.{}", from.key())),
        old_code: OldCode::both(because),
        done,
        ..Action::new(if renames { "ALTER TABLE … CHANGE COLUMN" } else { "ALTER TABLE … MODIFY COLUMN" })
    })
}

fn renamed_index(mut words: Words<'_>, table: &str) -> Option<Action> {
    let from = words.ident()?;
    words.eat(&["to"]).then_some(())?;
    let to = words.ident()?;
    let fact = |name: &Name, present| Fact::Index { name: name.key(), valid: false, present };
    Some(Action {
        objects: vec![Object::of(ObjectKind::Index, table, from.key())],
        back: Some(format!("RENAME INDEX {} TO {}", to.source(), from.source())),
        old_code: OldCode::both("index hints that name it fail"),
        done: vec![fact(&to, true), fact(&from, false)],
        ..Action::new("ALTER TABLE … RENAME INDEX")
    })
}

fn add(mut words: Words<'_>, table: &str) -> Option<Action> {
    let unique = words.clone();
    let named = words.clone().eat(&["constraint"]);
    let key = ["index", "key", "fulltext", "spatial"].iter().any(|word| words.ahead(&[word]));
    if words.ahead(&["partition"]) {
        return None;
    }
    if key {
        let special = words.eat(&["fulltext"]) || words.eat(&["spatial"]);
        let _ = words.eat(&["index"]) || words.eat(&["key"]);
        words.eat(&["if", "not", "exists"]);
        let name = if words.peek().is_some_and(|word| word.punct("(")) { None } else { words.ident() };
        let kind = if special { "ALTER TABLE … ADD FULLTEXT INDEX" } else { "ALTER TABLE … ADD INDEX" };
        return Some(added_index(kind, name, table, OldCode::fine("an index changes no answer")));
    }
    if words.eat(&["unique"]) {
        let _ = words.eat(&["index"]) || words.eat(&["key"]);
        let name = if words.peek().is_some_and(|word| word.punct("(")) { None } else { words.ident() };
        let old_code = OldCode::writes("writes of a second equal value fail");
        return Some(added_index("ALTER TABLE … ADD UNIQUE", name, table, old_code));
    }
    if named || ["check", "primary", "foreign"].iter().any(|word| words.ahead(&[word])) {
        return action::add_constraint(unique, table);
    }
    words.eat(&["column"]);
    action::add_column(words, table)
}

fn added_index(kind: &'static str, name: Option<Name>, table: &str, old_code: OldCode) -> Action {
    let mut action = Action { old_code, ..Action::new(kind) };
    match name {
        Some(name) => {
            action.objects = vec![Object::of(ObjectKind::Index, table, name.key())];
            action.done = vec![Fact::Index { name: name.key(), valid: false, present: true }];
            action.back = Some(format!("DROP INDEX {}", name.source()));
        }
        None => action.saved = Some("the name that the server gives the index".to_owned()),
    }
    action
}

fn drop(mut words: Words<'_>, table: &str) -> Option<Action> {
    let what = "the definition (SHOW CREATE TABLE)";
    if words.eat(&["primary", "key"]) {
        return Some(Action {
            saved: Some(format!("{what} of the primary key")),
            old_code: OldCode::fine("it may write the same key twice"),
            ..Action::new("ALTER TABLE … DROP PRIMARY KEY")
        });
    }
    if words.eat(&["foreign", "key"]) {
        words.eat(&["if", "exists"]);
        let name = words.ident()?;
        return Some(Action {
            objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
            saved: Some(format!("{what} of {}, and every row that breaks it since", name.key())),
            old_code: OldCode::fine("it may only write more than before"),
            done: vec![Fact::Constraint { table: table.to_owned(), name: name.key(), present: false }],
            ..Action::new("ALTER TABLE … DROP FOREIGN KEY")
        });
    }
    if words.eat(&["index"]) || words.eat(&["key"]) {
        words.eat(&["if", "exists"]);
        let name = words.ident()?;
        return Some(Action {
            objects: vec![Object::of(ObjectKind::Index, table, name.key())],
            saved: Some(format!("{what} of the index, and the time to build it")),
            old_code: OldCode::both("index hints that name it fail; a unique index guards no more"),
            done: vec![Fact::Index { name: name.key(), valid: false, present: false }],
            ..Action::new("ALTER TABLE … DROP INDEX")
        });
    }
    if words.eat(&["check"]) {
        return action::dropped_constraint(words, table);
    }
    if words.ahead(&["partition"]) {
        return Some(Action {
            class: Class::Irreversible,
            saved: Some("a copy of every row of the partition".to_owned()),
            old_code: OldCode::reads("the rows of the partition are gone"),
            ..Action::new("ALTER TABLE … DROP PARTITION")
        });
    }
    action::drop(words, table)
}

/// Options of the table.
fn option(words: &Words<'_>) -> Option<Action> {
    let table: [(&[&str], &'static str, &'static str); 9] = [
        (&["engine"], "ALTER TABLE … ENGINE", "the rows are the same, their transactions may not be"),
        (&["convert", "to", "character", "set"], "ALTER TABLE … CONVERT TO CHARACTER SET", ""),
        (&["convert", "to", "charset"], "ALTER TABLE … CONVERT TO CHARACTER SET", ""),
        (&["auto_increment"], "ALTER TABLE … AUTO_INCREMENT", "only new rows get other numbers"),
        (&["comment"], "ALTER TABLE … COMMENT", "no code reads comments"),
        (&["row_format"], "ALTER TABLE … ROW_FORMAT", "the rows are the same"),
        (&["force"], "ALTER TABLE … FORCE", "the rows are the same"),
        (&["order", "by"], "ALTER TABLE … ORDER BY", "only the order of an answer without ORDER BY"),
        (&["default"], "ALTER TABLE … DEFAULT CHARACTER SET", "only new columns have another character set"),
    ];
    let (_, kind, old_code) = table.into_iter().find(|(head, ..)| words.ahead(head))?;
    let old_code = if old_code.is_empty() {
        OldCode::both("values that the character set does not have are lost")
    } else {
        OldCode::fine(old_code)
    };
    let class = if kind.contains("CONVERT") { Class::Irreversible } else { Class::Ddl };
    Some(Action { class, saved: Some("the option as it was".to_owned()), old_code, ..Action::new(kind) })
}
