//! The actions of an `ALTER TABLE`, but those of `ALTER COLUMN`.

use super::super::fact::Fact;
use super::super::statement::{Class, Cost, Lock, Object, ObjectKind, OldCode};
use super::super::words::{Name, Words};
use super::super::{Dialect, readonly};
use super::{Action, column};

pub(super) fn action(mut words: Words<'_>, table: &Name) -> Action {
    let key = table.key();
    let whole = words.clone();
    let known = if words.eat(&["rename", "constraint"]) {
        rename_constraint(words, &key)
    } else if words.eat(&["rename", "column"]) || (!words.ahead(&["rename", "index"]) && words.eat(&["rename"])) {
        rename_column(words, &key)
    } else if words.eat(&["add"]) {
        add(words, &key)
    } else if words.eat(&["drop"]) {
        drop(words, &key)
    } else if words.eat(&["alter"]) {
        words.eat(&["column"]);
        column::alter_column(words, &key)
    } else if words.eat(&["validate", "constraint"]) {
        validate(words, &key)
    } else {
        other(words)
    };
    known.unwrap_or_else(|| {
        let mut action = Action::other("ALTER TABLE");
        if whole.contains("drop") {
            action.class = Class::Irreversible;
        }
        action
    })
}

fn rename_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let from = words.ident()?;
    words.eat(&["to"]).then_some(())?;
    let to = words.ident()?;
    words.done().then_some(())?;
    let fact = |name: &Name, present| Fact::Constraint { table: table.to_owned(), name: name.key(), present };
    Some(Action {
        objects: vec![Object::of(ObjectKind::Constraint, table, from.key())],
        back: Some(format!("RENAME CONSTRAINT {} TO {}", to.source(), from.source())),
        old_code: OldCode::fine("only error messages name a constraint"),
        done: vec![fact(&to, true), fact(&from, false)],
        ..Action::new("ALTER TABLE … RENAME CONSTRAINT")
    })
}

fn rename_column(mut words: Words<'_>, table: &str) -> Option<Action> {
    let from = words.ident()?;
    words.eat(&["to"]).then_some(())?;
    let to = words.ident()?;
    words.done().then_some(())?;
    let fact = |name: &Name, present| Fact::Column { table: table.to_owned(), column: name.key(), present };
    Some(Action {
        objects: vec![
            Object::of(ObjectKind::Column, table, from.key()),
            Object::of(ObjectKind::Column, table, to.key()),
        ],
        back: Some(format!("RENAME COLUMN {} TO {}", to.source(), from.source())),
        old_code: OldCode::both(format!("older code still says {table}.{}", from.key())),
        done: vec![fact(&to, true), fact(&from, false)],
        ..Action::new("ALTER TABLE … RENAME COLUMN")
    })
}

fn add(mut words: Words<'_>, table: &str) -> Option<Action> {
    let constraint = ["constraint", "check", "unique", "primary", "foreign", "exclude"];
    let named_column = words.eat(&["column"]);
    if !named_column && constraint.iter().any(|word| words.ahead(&[word])) {
        return add_constraint(words, table);
    }
    if !named_column && words.dialect == Dialect::Mysql && mysql_index(&words) {
        return None;
    }
    let guarded = words.eat(&["if", "not", "exists"]);
    let column = words.ident()?;
    let name = column.key();
    let definition = words.clone();
    let default = definition.later(&["default"]);
    let not_null = definition.later(&["not", "null"]) || definition.later(&["primary", "key"]);
    let filled = default || definition.contains("generated") || serial(&definition);
    let volatile = serial(&definition)
        || definition.contains("generated")
        || (default && readonly::calls_volatile(&definition))
        || definition.contains("identity");
    let indexed = definition.later(&["unique"]) || definition.later(&["primary", "key"]);
    let back = (!guarded).then(|| format!("DROP COLUMN {}", column.source()));
    let saved = if guarded {
        "whether the column was there before (IF NOT EXISTS), and its values".to_owned()
    } else {
        format!("the values written to {table}.{name} since")
    };
    Some(Action {
        objects: vec![Object::of(ObjectKind::Column, table, &name)],
        cost: match (words.dialect, volatile, indexed) {
            (Dialect::Postgres, true, _) => Cost::Rewrite,
            (Dialect::Postgres, false, true) => Cost::IndexBuild,
            _ => Cost::CatalogOnly,
        },
        back,
        saved: Some(saved),
        old_code: if not_null && !filled {
            OldCode::writes(format!("its inserts give no {name}, which refuses NULL and has no default"))
        } else {
            OldCode::fine("code that names its columns does not see a new one")
        },
        done: vec![Fact::Column { table: table.to_owned(), column: name, present: true }],
        ..Action::new(if not_null { "ALTER TABLE … ADD COLUMN … NOT NULL" } else { "ALTER TABLE … ADD COLUMN" })
    })
}

fn serial(definition: &Words<'_>) -> bool {
    ["serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"].iter().any(|w| definition.contains(w))
}

fn mysql_index(words: &Words<'_>) -> bool {
    ["index", "key", "fulltext", "spatial", "partition"].iter().any(|w| words.ahead(&[w]))
}

fn add_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = if words.eat(&["constraint"]) { Some(words.ident()?) } else { None };
    let not_valid = words.later(&["not", "valid"]);
    let using_index = words.later(&["using", "index"]);
    let index = words.ahead(&["unique"]) || words.ahead(&["primary"]) || words.ahead(&["exclude"]);
    let foreign = words.ahead(&["foreign"]);
    let kind = match words.peek()?.text.as_str() {
        "check" => "ALTER TABLE … ADD CHECK",
        "unique" => "ALTER TABLE … ADD UNIQUE",
        "primary" => "ALTER TABLE … ADD PRIMARY KEY",
        "foreign" => "ALTER TABLE … ADD FOREIGN KEY",
        "exclude" => "ALTER TABLE … ADD EXCLUDE",
        _ => "ALTER TABLE … ADD CONSTRAINT",
    };
    let mut objects = Vec::new();
    if let Some(name) = &name {
        objects.push(Object::of(ObjectKind::Constraint, table, name.key()));
    }
    let mut references = words.clone();
    while !references.done() && !references.eat(&["references"]) {
        references.at += 1;
    }
    objects.extend(references.name().map(|parent| Object::new(ObjectKind::Table, parent.key())));
    let mut action = Action { objects, ..Action::new(kind) };
    action.lock = if foreign { Lock::SHARE_ROW_EXCLUSIVE } else { Lock::ACCESS_EXCLUSIVE };
    action.cost = match (not_valid || using_index, index) {
        (true, _) => Cost::CatalogOnly,
        (false, true) => Cost::IndexBuild,
        (false, false) => Cost::Scan,
    };
    action.old_code = OldCode::writes("writes that the constraint refuses fail");
    match name {
        Some(name) => {
            action.done = vec![Fact::Constraint { table: table.to_owned(), name: name.key(), present: true }];
            action.back = Some(format!("DROP CONSTRAINT {}", name.source()));
            action.saved = using_index.then(|| "the index, which goes with the constraint".to_owned());
        }
        None => action.saved = Some("the name that the server gives the constraint".to_owned()),
    }
    Some(action)
}

fn drop(mut words: Words<'_>, table: &str) -> Option<Action> {
    let cascade = words.later(&["cascade"]);
    if words.eat(&["constraint"]) || (words.dialect == Dialect::Mysql && words.eat(&["check"])) {
        words.eat(&["if", "exists"]);
        let name = words.ident()?;
        return Some(Action {
            class: if cascade { Class::Irreversible } else { Class::Ddl },
            objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
            saved: Some(format!(
                "the definition of constraint {} (pg_get_constraintdef), and every row that breaks it since",
                name.key()
            )),
            old_code: OldCode::fine("it may only write more than before"),
            done: vec![Fact::Constraint { table: table.to_owned(), name: name.key(), present: false }],
            ..Action::new("ALTER TABLE … DROP CONSTRAINT")
        });
    }
    let indexes = ["index", "key", "primary", "foreign", "partition"];
    if words.dialect == Dialect::Mysql && indexes.iter().any(|w| words.ahead(&[w])) {
        return None;
    }
    words.eat(&["column"]);
    words.eat(&["if", "exists"]);
    let column = words.ident()?;
    let name = column.key();
    Some(Action {
        class: Class::Irreversible,
        objects: vec![Object::of(ObjectKind::Column, table, &name)],
        saved: Some(format!(
            "the definition and every value of {table}.{name}, with its indexes, checks, default and grants"
        )),
        old_code: OldCode::both(format!("code that uses {table}.{name} fails")),
        done: vec![Fact::Column { table: table.to_owned(), column: name, present: false }],
        ..Action::new("ALTER TABLE … DROP COLUMN")
    })
}

fn validate(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = words.ident()?;
    Some(Action {
        objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
        lock: Lock::SHARE_UPDATE_EXCLUSIVE,
        cost: Cost::Scan,
        old_code: OldCode::fine("the constraint held for new rows before"),
        done: vec![Fact::Validated { table: table.to_owned(), name: name.key(), validated: true }],
        ..Action::new("ALTER TABLE … VALIDATE CONSTRAINT")
    })
}

fn other(mut words: Words<'_>) -> Option<Action> {
    let text = words.remains().to_ascii_lowercase();
    for (on, off) in [("enable", "disable"), ("disable", "enable")] {
        if words.eat(&[on, "trigger"]) {
            let name = words.remains().to_owned();
            return Some(Action {
                lock: Lock::SHARE_ROW_EXCLUSIVE,
                back: Some(format!("{} TRIGGER {name}", off.to_ascii_uppercase())),
                old_code: OldCode::fine("its writes have more or fewer side effects"),
                ..Action::new(if on == "enable" {
                    "ALTER TABLE … ENABLE TRIGGER"
                } else {
                    "ALTER TABLE … DISABLE TRIGGER"
                })
            });
        }
    }
    let fine = |kind, what: &str| Action { saved: Some(what.to_owned()), ..Action::new(kind) };
    if words.ahead(&["owner", "to"]) {
        return Some(fine("ALTER TABLE … OWNER TO", "the owner as it was"));
    }
    if text.starts_with("set schema") {
        return Some(Action {
            old_code: OldCode::both("older code finds the table by its schema"),
            ..fine("ALTER TABLE … SET SCHEMA", "the schema as it was")
        });
    }
    if text.starts_with("set (") || text.starts_with("set(") || text.starts_with("reset") {
        return Some(Action {
            lock: Lock::SHARE_UPDATE_EXCLUSIVE,
            old_code: OldCode::fine("only storage and vacuum look at it"),
            ..fine("ALTER TABLE … SET", "the settings as they were")
        });
    }
    if words.ahead(&["set", "logged"]) || words.ahead(&["set", "unlogged"]) || words.ahead(&["set", "tablespace"]) {
        let old_code = OldCode::fine("the rows are the same");
        return Some(Action {
            cost: Cost::Rewrite,
            old_code,
            ..fine("ALTER TABLE … SET LOGGED", "the setting as it was")
        });
    }
    if words.ahead(&["attach", "partition"]) {
        return Some(Action {
            lock: Lock::SHARE_UPDATE_EXCLUSIVE,
            cost: Cost::Scan,
            ..fine("ALTER TABLE … ATTACH PARTITION", "nothing: DETACH PARTITION undoes it")
        });
    }
    None
}
