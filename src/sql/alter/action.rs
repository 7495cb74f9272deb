//! The actions of an `ALTER TABLE` on columns and constraints, but those of `ALTER COLUMN`.

use super::super::fact::Fact;
use super::super::statement::{Class, Object, ObjectKind, OldCode};
use super::super::words::{Name, Words};
use super::super::{Dialect, readonly, typename};
use super::{Action, column, setting};

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
    } else if words.eat(&["alter", "constraint"]) {
        alter_constraint(words, &key)
    } else if words.eat(&["alter"]) {
        words.eat(&["column"]);
        column::alter_column(words, &key)
    } else if words.eat(&["validate", "constraint"]) {
        validate(words, &key)
    } else {
        setting::setting(words, &key)
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
        old_code: OldCode::writes("ON CONFLICT ON CONSTRAINT says the name of a key"),
        done: vec![fact(&to, true), fact(&from, false)],
        ..Action::new("ALTER TABLE … RENAME CONSTRAINT")
    })
}

pub(super) fn rename_column(mut words: Words<'_>, table: &str) -> Option<Action> {
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
    let constraint = ["constraint", "check", "unique", "primary", "foreign", "exclude", "not"];
    let named_column = words.eat(&["column"]);
    if !named_column && constraint.iter().any(|word| words.ahead(&[word])) {
        return add_constraint(words, table);
    }
    add_column(words, table)
}

/// Behind `ADD COLUMN`.
pub(super) fn add_column(mut words: Words<'_>, table: &str) -> Option<Action> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let column = words.ident()?;
    let name = column.key();
    let definition = words.clone();
    let forms = column_forms(&definition);
    let has = |word: &str| definition.later(&[word]);
    let not_null = definition.later(&["not", "null"]) || definition.later(&["primary", "key"]);
    let unique = has("unique") || definition.later(&["primary", "key"]);
    let filled = (has("default") && !null_default(&definition))
        || has("generated")
        || has("as")
        || has("auto_increment")
        || serial(&definition);
    let kind = *forms.first()?;
    let mut objects = vec![Object::of(ObjectKind::Column, table, &name)];
    objects.extend(referenced(&definition).map(|parent| Object::new(ObjectKind::Table, parent.key())));
    let back = (!guarded).then(|| format!("DROP COLUMN {}", column.source()));
    let saved = if guarded {
        "whether the column was there before (IF NOT EXISTS), and its values".to_owned()
    } else {
        format!("the values written to {table}.{name} since")
    };
    Some(Action {
        more: forms[1..].to_vec(),
        objects,
        back,
        saved: Some(saved),
        old_code: if not_null && !filled {
            OldCode::writes(format!("its inserts give no {name}, which refuses NULL and has no default"))
        } else if has("check") || (has("generated") && !has("identity")) || (filled && (unique || has("references"))) {
            OldCode::writes(format!("its inserts give no {name}: what the column refuses then is refused to them"))
        } else {
            OldCode::fine("code that names its columns does not see a new one")
        },
        done: vec![Fact::Column { table: table.to_owned(), column: name, present: true }],
        ..Action::new(kind)
    })
}

/// What the definition of a new column consists of; the first names the whole.
fn column_forms(definition: &Words<'_>) -> Vec<&'static str> {
    let has = |words: &[&str]| definition.later(words);
    let pg = definition.dialect == Dialect::Postgres;
    let key = has(&["primary", "key"]);
    let mut out = Vec::new();
    if serial(definition) {
        out.push("ALTER TABLE … ADD COLUMN … SERIAL");
    } else if has(&["identity"]) && pg {
        out.push("ALTER TABLE … ADD COLUMN … IDENTITY");
    } else if has(&["generated"]) || (!pg && has(&["as"])) {
        let stored = has(&["stored"]) || has(&["persistent"]);
        out.push(if stored {
            "ALTER TABLE … ADD COLUMN … STORED"
        } else {
            "ALTER TABLE … ADD COLUMN … VIRTUAL"
        });
    } else if has(&["default"]) {
        out.push(match (null_default(definition), readonly::calls_volatile(definition)) {
            (true, _) if has(&["not", "null"]) && !key => "ALTER TABLE … ADD COLUMN … NOT NULL",
            (true, _) => "ALTER TABLE … ADD COLUMN",
            (_, true) => "ALTER TABLE … ADD COLUMN … DEFAULT (volatile)",
            (_, false) => "ALTER TABLE … ADD COLUMN … DEFAULT",
        });
    } else if has(&["not", "null"]) && !key {
        out.push("ALTER TABLE … ADD COLUMN … NOT NULL");
    }
    if key || has(&["unique"]) {
        out.push("ALTER TABLE … ADD COLUMN … UNIQUE");
    }
    if has(&["check"]) {
        out.push("ALTER TABLE … ADD COLUMN … CHECK");
    }
    if has(&["references"]) {
        let filled = out.iter().position(|form| form.ends_with("… DEFAULT"));
        match filled.filter(|_| pg) {
            Some(at) => out[at] = "ALTER TABLE … ADD COLUMN … DEFAULT … REFERENCES",
            None => out.push("ALTER TABLE … ADD COLUMN … REFERENCES"),
        }
    }
    if pg && !built_in_type(definition) && !serial(definition) {
        out.push("ALTER TABLE … ADD COLUMN (own type)");
    }
    if out.is_empty() {
        out.push("ALTER TABLE … ADD COLUMN");
    }
    out
}

/// Whether the type of a column's definition is one that the server brings.
fn built_in_type(definition: &Words<'_>) -> bool {
    let mut words = definition.clone();
    let from = words.at;
    let stops =
        ["default", "not", "null", "check", "unique", "primary", "references", "collate", "generated", "constraint"];
    while !words.done() && !stops.iter().any(|stop| words.ahead(&[stop])) {
        if words.parens().is_none() {
            words.at += 1;
        }
    }
    typename::built_in(words.text(from, words.at))
}

fn null_default(definition: &Words<'_>) -> bool {
    definition.clone().seek(&["default"]).is_some_and(|rest| rest.ahead(&["null"]))
}

/// The table behind `REFERENCES`.
fn referenced(words: &Words<'_>) -> Option<Name> {
    words.clone().seek(&["references"])?.name()
}

fn serial(definition: &Words<'_>) -> bool {
    ["serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"].iter().any(|w| definition.contains(w))
}

const ADD_CHECK: &str = "ALTER TABLE … ADD CHECK";
const ADD_FOREIGN_KEY: &str = "ALTER TABLE … ADD FOREIGN KEY";

pub(super) fn add_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = if words.eat(&["constraint"]) { Some(words.ident()?) } else { None };
    let not_valid = words.later(&["not", "valid"]);
    let using_index = words.later(&["using", "index"]);
    let not_enforced = words.later(&["not", "enforced"]);
    let kind = match (words.peek()?.text.as_str(), using_index) {
        ("check", _) if not_enforced => "ALTER TABLE … ADD CHECK … NOT ENFORCED",
        ("check", _) if not_valid => "ALTER TABLE … ADD CHECK … NOT VALID",
        ("check", _) => ADD_CHECK,
        ("not", _) if not_valid => "ALTER TABLE … ADD NOT NULL … NOT VALID",
        ("not", _) => "ALTER TABLE … ADD NOT NULL",
        ("unique", true) => "ALTER TABLE … ADD UNIQUE USING INDEX",
        ("unique", false) => "ALTER TABLE … ADD UNIQUE",
        ("primary", true) => "ALTER TABLE … ADD PRIMARY KEY USING INDEX",
        ("primary", false) => "ALTER TABLE … ADD PRIMARY KEY",
        ("foreign", _) if not_enforced => "ALTER TABLE … ADD FOREIGN KEY … NOT ENFORCED",
        ("foreign", _) if not_valid => "ALTER TABLE … ADD FOREIGN KEY … NOT VALID",
        ("foreign", _) => ADD_FOREIGN_KEY,
        ("exclude", _) => "ALTER TABLE … ADD EXCLUDE",
        _ => "ALTER TABLE … ADD CONSTRAINT",
    };
    let mut objects = Vec::new();
    if let Some(name) = &name {
        objects.push(Object::of(ObjectKind::Constraint, table, name.key()));
    }
    objects.extend(referenced(&words).map(|parent| Object::new(ObjectKind::Table, parent.key())));
    let mut action = Action { objects, ..Action::new(kind) };
    action.old_code = OldCode::writes("writes that the constraint refuses fail");
    match name {
        Some(name) => {
            let (table, constraint) = (table.to_owned(), name.key());
            action.done = vec![Fact::Constraint { table: table.clone(), name: constraint.clone(), present: true }];
            // Somebody may have added it NOT VALID: then it is there, and half of it is missing.
            if words.dialect == Dialect::Postgres && matches!(kind, ADD_CHECK | ADD_FOREIGN_KEY) {
                action.done.push(Fact::Validated { table, name: constraint, validated: true });
            }
            action.back = Some(format!("DROP CONSTRAINT {}", name.source()));
            action.saved = match kind {
                _ if using_index => Some("the index, which goes with the constraint".to_owned()),
                _ if kind.contains("PRIMARY") => {
                    Some("whether its columns refused NULL before: without the key they still do".to_owned())
                }
                _ => None,
            };
        }
        None => action.saved = Some("the name that the server gives the constraint".to_owned()),
    }
    Some(action)
}

/// Behind `DROP CONSTRAINT`.
pub(super) fn dropped_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let cascade = words.later(&["cascade"]);
    words.eat(&["if", "exists"]);
    let name = words.ident()?;
    Some(Action {
        more: if cascade { vec!["DROP … CASCADE"] } else { Vec::new() },
        class: if cascade { Class::Irreversible } else { Class::Ddl },
        objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
        saved: Some(format!(
            "the definition of constraint {} (pg_get_constraintdef), and every row that breaks it since",
            name.key()
        )),
        // The words do not tell a key from a check.
        old_code: OldCode::both(
            "if it is a key, ON CONFLICT, GROUP BY and the replication of rows may lean on it; if not, code only writes more",
        ),
        done: vec![Fact::Constraint { table: table.to_owned(), name: name.key(), present: false }],
        ..Action::new("ALTER TABLE … DROP CONSTRAINT")
    })
}

pub(super) fn drop(mut words: Words<'_>, table: &str) -> Option<Action> {
    if words.eat(&["constraint"]) {
        return dropped_constraint(words, table);
    }
    let cascade = words.later(&["cascade"]);
    words.eat(&["column"]);
    words.eat(&["if", "exists"]);
    let column = words.ident()?;
    let name = column.key();
    Some(Action {
        more: if cascade { vec!["DROP … CASCADE"] } else { Vec::new() },
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
        old_code: OldCode::fine("the constraint held for new rows before"),
        done: vec![Fact::Validated { table: table.to_owned(), name: name.key(), validated: true }],
        ..Action::new("ALTER TABLE … VALIDATE CONSTRAINT")
    })
}

fn alter_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = words.ident()?;
    Some(Action {
        objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
        saved: Some(format!("the definition of constraint {} (pg_get_constraintdef)", name.key())),
        old_code: OldCode::writes("the constraint may refuse at another moment than before"),
        ..Action::new("ALTER TABLE … ALTER CONSTRAINT")
    })
}
