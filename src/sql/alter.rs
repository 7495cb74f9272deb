//! `ALTER TABLE`, `ALTER TYPE` and the other `ALTER`s: each action by itself, then all of one statement together.
//! Locks and costs: measured on PostgreSQL 15; SQLite and MySQL from their manuals.

use super::fact::Fact;
use super::statement::{Class, Cost, Lock, Object, ObjectKind, OldCode, Reverse, Statement};
use super::typename;
use super::words::{Name, Words};
use super::{Dialect, readonly};

/// One action of an `ALTER TABLE`. `back` is what undoes it, as the text behind `ALTER TABLE t`.
pub(super) struct Action {
    pub class: Class,
    pub kind: &'static str,
    pub objects: Vec<Object>,
    pub lock: Lock,
    pub cost: Cost,
    pub back: Option<String>,
    pub saved: Option<String>,
    pub old_code: OldCode,
    pub done: Vec<Fact>,
}

impl Action {
    fn new(kind: &'static str) -> Action {
        Action {
            class: Class::Ddl,
            kind,
            objects: Vec::new(),
            lock: Lock::ACCESS_EXCLUSIVE,
            cost: Cost::CatalogOnly,
            back: None,
            saved: None,
            old_code: OldCode::unknown(),
            done: Vec::new(),
        }
    }

    /// An action of which only the lock is known.
    fn other(kind: &'static str) -> Action {
        let saved = Some("the definition of the table as it was".to_owned());
        Action {
            saved,
            cost: Cost::Unknown,
            ..Action::new(kind)
        }
    }
}

pub(super) fn table(mut words: Words<'_>) -> Option<Statement> {
    if !words.eat(&["alter", "table"]) && !words.eat(&["alter", "foreign", "table"]) {
        return None;
    }
    let guarded = words.eat(&["if", "exists"]);
    let only = words.eat(&["only"]);
    let name = words.name()?;
    words.eat_punct("*");
    let table = name.key();
    let prefix = format!(
        "ALTER TABLE {}{}",
        if only { "ONLY " } else { "" },
        name.source()
    );
    if let Some(renamed) = rename_table(words.clone(), &name) {
        return Some(finish(words.dialect, &table, renamed));
    }
    let actions: Vec<Action> = words
        .pieces()
        .into_iter()
        .map(|piece| action(piece, &name))
        .collect();
    let mut whole = together(actions, &prefix)?;
    whole
        .objects
        .insert(0, Object::new(ObjectKind::Table, &table));
    if guarded && matches!(whole.reverse, Reverse::None { .. }) {
        whole.reverse = Reverse::None {
            because: "IF EXISTS: it may have changed nothing".to_owned(),
        };
    }
    Some(finish(words.dialect, &table, whole))
}

/// The parts that the dialect decides for every `ALTER TABLE`.
fn finish(dialect: Dialect, table: &str, mut statement: Statement) -> Statement {
    match dialect {
        Dialect::Postgres => {}
        Dialect::Sqlite => statement.lock = Some(Lock::DATABASE_WRITE),
        Dialect::Mysql => {
            statement.lock = Some(Lock::METADATA);
            statement.transactional = false;
            if !statement.kind.contains("RENAME") {
                statement.cost = Cost::Unknown;
            }
        }
    }
    if !statement
        .objects
        .iter()
        .any(|o| o.kind == ObjectKind::Table && o.name == table)
    {
        statement
            .objects
            .insert(0, Object::new(ObjectKind::Table, table));
    }
    statement
}

fn together(actions: Vec<Action>, prefix: &str) -> Option<Statement> {
    let many = actions.len() > 1;
    let lead = actions.iter().map(|a| a.class).max()?;
    let kind = if many {
        "ALTER TABLE … several actions"
    } else {
        actions.first()?.kind
    };
    let mut statement = Statement::new(lead, kind);
    statement.old_code = OldCode::fine("nothing that older code uses changes");
    statement.cost = Cost::CatalogOnly;
    let (mut back, mut saved, mut reasons) = (Some(Vec::new()), Vec::new(), Vec::new());
    let mut facts = Some(Vec::new());
    for action in actions {
        statement.cost = costlier(statement.cost, action.cost);
        statement.lock = Some(match statement.lock {
            Some(lock) if lock.blocks > action.lock.blocks => lock,
            _ => action.lock,
        });
        statement.old_code = if many {
            statement.old_code.and(action.old_code)
        } else {
            action.old_code
        };
        statement.objects.extend(action.objects);
        // Done can be told of the whole only when it can be told of each part.
        facts = facts
            .filter(|_| !action.done.is_empty())
            .map(|mut all: Vec<Fact>| {
                all.extend(action.done);
                all
            });
        match (action.back, action.saved) {
            (Some(text), None) => {
                if let Some(back) = back.as_mut() {
                    back.insert(0, text);
                }
            }
            (text, Some(what)) => {
                saved.push(what);
                back = back.zip(text).map(|(mut all, text)| {
                    all.insert(0, text);
                    all
                });
            }
            (None, None) => {
                reasons.push(format!(
                    "{} has nothing to undo or no opposite",
                    action.kind
                ));
                back = None;
            }
        }
    }
    statement.done = facts.unwrap_or_default();
    let sql = back.map(|all| format!("{prefix} {}", all.join(", ")));
    statement.reverse = match (sql, saved.is_empty()) {
        (Some(sql), true) => Reverse::Exact(sql),
        (sql, false) => Reverse::NeedsSaved {
            what: saved.join("; "),
            sql,
        },
        (None, true) => Reverse::None {
            because: reasons.join("; "),
        },
    };
    Some(statement)
}

fn costlier(a: Cost, b: Cost) -> Cost {
    let rank = |cost| match cost {
        Cost::CatalogOnly => 0,
        Cost::Scan => 1,
        Cost::IndexBuild => 2,
        Cost::Unknown => 3,
        Cost::Rewrite => 4,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn rename_table(mut words: Words<'_>, name: &Name) -> Option<Statement> {
    if !words.eat(&["rename", "to"])
        && !(words.dialect == Dialect::Mysql && words.eat(&["rename", "as"]))
    {
        return None;
    }
    let new = words.name()?;
    let target = if new.qualified() {
        new.clone()
    } else {
        name.sibling(&new)
    };
    let (from, to) = (name.key(), target.key());
    let mut statement = Statement::new(Class::Ddl, "ALTER TABLE … RENAME TO");
    statement.objects = vec![
        Object::new(ObjectKind::Table, &from),
        Object::new(ObjectKind::Table, &to),
    ];
    statement.lock = Some(Lock::ACCESS_EXCLUSIVE);
    statement.cost = Cost::CatalogOnly;
    let back = if words.dialect == Dialect::Mysql {
        name.clone()
    } else {
        name.last_part()
    };
    statement.reverse = Reverse::Exact(format!(
        "ALTER TABLE {} RENAME TO {}",
        target.source(),
        back.source()
    ));
    statement.old_code = OldCode::both(format!("older code still says {from}"));
    statement.done = vec![
        Fact::Table {
            name: to,
            present: true,
        },
        Fact::Table {
            name: from,
            present: false,
        },
    ];
    Some(statement)
}

fn action(mut words: Words<'_>, table: &Name) -> Action {
    let key = table.key();
    let whole = words.clone();
    let known = if words.eat(&["rename", "constraint"]) {
        rename_constraint(words, &key)
    } else if words.eat(&["rename", "column"])
        || (!words.ahead(&["rename", "index"]) && words.eat(&["rename"]))
    {
        rename_column(words, &key)
    } else if words.eat(&["add"]) {
        add(words, &key)
    } else if words.eat(&["drop"]) {
        drop(words, &key)
    } else if words.eat(&["alter"]) {
        words.eat(&["column"]);
        alter_column(words, &key)
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
    let fact = |name: &Name, present| Fact::Constraint {
        table: table.to_owned(),
        name: name.key(),
        present,
    };
    Some(Action {
        objects: vec![Object::of(ObjectKind::Constraint, table, from.key())],
        back: Some(format!(
            "RENAME CONSTRAINT {} TO {}",
            to.source(),
            from.source()
        )),
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
    let fact = |name: &Name, present| Fact::Column {
        table: table.to_owned(),
        column: name.key(),
        present,
    };
    Some(Action {
        objects: vec![
            Object::of(ObjectKind::Column, table, from.key()),
            Object::of(ObjectKind::Column, table, to.key()),
        ],
        back: Some(format!(
            "RENAME COLUMN {} TO {}",
            to.source(),
            from.source()
        )),
        old_code: OldCode::both(format!("older code still says {table}.{}", from.key())),
        done: vec![fact(&to, true), fact(&from, false)],
        ..Action::new("ALTER TABLE … RENAME COLUMN")
    })
}

fn add(mut words: Words<'_>, table: &str) -> Option<Action> {
    let constraint = [
        "constraint",
        "check",
        "unique",
        "primary",
        "foreign",
        "exclude",
    ];
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
            OldCode::writes(format!(
                "its inserts give no {name}, which refuses NULL and has no default"
            ))
        } else {
            OldCode::fine("code that names its columns does not see a new one")
        },
        done: vec![Fact::Column {
            table: table.to_owned(),
            column: name,
            present: true,
        }],
        ..Action::new(if not_null {
            "ALTER TABLE … ADD COLUMN … NOT NULL"
        } else {
            "ALTER TABLE … ADD COLUMN"
        })
    })
}

fn serial(definition: &Words<'_>) -> bool {
    [
        "serial",
        "bigserial",
        "smallserial",
        "serial4",
        "serial8",
        "serial2",
    ]
    .iter()
    .any(|w| definition.contains(w))
}

fn mysql_index(words: &Words<'_>) -> bool {
    ["index", "key", "fulltext", "spatial", "partition"]
        .iter()
        .any(|w| words.ahead(&[w]))
}

fn add_constraint(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = if words.eat(&["constraint"]) {
        Some(words.ident()?)
    } else {
        None
    };
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
    objects.extend(
        references
            .name()
            .map(|parent| Object::new(ObjectKind::Table, parent.key())),
    );
    let mut action = Action {
        objects,
        ..Action::new(kind)
    };
    action.lock = if foreign {
        Lock::SHARE_ROW_EXCLUSIVE
    } else {
        Lock::ACCESS_EXCLUSIVE
    };
    action.cost = match (not_valid || using_index, index) {
        (true, _) => Cost::CatalogOnly,
        (false, true) => Cost::IndexBuild,
        (false, false) => Cost::Scan,
    };
    action.old_code = OldCode::writes("writes that the constraint refuses fail");
    match name {
        Some(name) => {
            action.done = vec![Fact::Constraint {
                table: table.to_owned(),
                name: name.key(),
                present: true,
            }];
            action.back = Some(format!("DROP CONSTRAINT {}", name.source()));
            action.saved =
                using_index.then(|| "the index, which goes with the constraint".to_owned());
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
            class: if cascade {
                Class::Irreversible
            } else {
                Class::Ddl
            },
            objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
            saved: Some(format!(
                "the definition of constraint {} (pg_get_constraintdef), and every row that breaks it since",
                name.key()
            )),
            old_code: OldCode::fine("it may only write more than before"),
            done: vec![Fact::Constraint {
                table: table.to_owned(),
                name: name.key(),
                present: false,
            }],
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
        done: vec![Fact::Column {
            table: table.to_owned(),
            column: name,
            present: false,
        }],
        ..Action::new("ALTER TABLE … DROP COLUMN")
    })
}

fn alter_column(mut words: Words<'_>, table: &str) -> Option<Action> {
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
                .map(|value| Fact::Default {
                    table,
                    column,
                    value: Some(value),
                    present: true,
                })
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
            done: vec![Fact::Default {
                table,
                column,
                value: None,
                present: false,
            }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … DROP DEFAULT")
        });
    }
    if words.eat(&["set", "not", "null"]) {
        return Some(Action {
            objects,
            cost: if pg { Cost::Scan } else { Cost::Unknown },
            back: Some(format!("ALTER COLUMN {source} DROP NOT NULL")),
            old_code: OldCode::writes(format!("writes of NULL to {name}, or without it, fail")),
            done: vec![Fact::NotNull {
                table,
                column,
                not_null: true,
            }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … SET NOT NULL")
        });
    }
    if words.eat(&["drop", "not", "null"]) {
        return Some(Action {
            objects,
            back: Some(format!("ALTER COLUMN {source} SET NOT NULL")),
            saved: Some(format!(
                "nothing, but rows where {table}.{name} is NULL by then must be filled first"
            )),
            old_code: OldCode::reads(format!("it may meet NULL in {name}")),
            done: vec![Fact::NotNull {
                table,
                column,
                not_null: false,
            }],
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
            old_code: OldCode::both(format!(
                "its type for {name} may not take or hold the new values"
            )),
            done: vec![Fact::ColumnType {
                table,
                column,
                type_name: typename::canonical(written),
                is: true,
            }],
            ..Action::new("ALTER TABLE … ALTER COLUMN … TYPE")
        });
    }
    if words.eat(&["set", "statistics"])
        || words.ahead(&["set"]) && words.text(words.at, words.at + 2).ends_with('(')
    {
        return Some(Action {
            objects,
            lock: Lock::SHARE_UPDATE_EXCLUSIVE,
            saved: Some("the setting as it was".to_owned()),
            old_code: OldCode::fine("only the planner looks at it"),
            ..Action::new("ALTER TABLE … ALTER COLUMN … SET")
        });
    }
    let kind = "ALTER TABLE … ALTER COLUMN";
    let cost = if words.ahead(&["add"]) || words.contains("expression") {
        Cost::Unknown
    } else {
        Cost::CatalogOnly
    };
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

fn validate(mut words: Words<'_>, table: &str) -> Option<Action> {
    let name = words.ident()?;
    Some(Action {
        objects: vec![Object::of(ObjectKind::Constraint, table, name.key())],
        lock: Lock::SHARE_UPDATE_EXCLUSIVE,
        cost: Cost::Scan,
        old_code: OldCode::fine("the constraint held for new rows before"),
        done: vec![Fact::Validated {
            table: table.to_owned(),
            name: name.key(),
            validated: true,
        }],
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
    let fine = |kind, what: &str| Action {
        saved: Some(what.to_owned()),
        ..Action::new(kind)
    };
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
    if words.ahead(&["set", "logged"])
        || words.ahead(&["set", "unlogged"])
        || words.ahead(&["set", "tablespace"])
    {
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
            ..fine(
                "ALTER TABLE … ATTACH PARTITION",
                "nothing: DETACH PARTITION undoes it",
            )
        });
    }
    None
}

/// `ALTER TYPE`.
pub(super) fn type_(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter", "type"]).then_some(())?;
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, "ALTER TYPE");
    statement.objects = vec![Object::new(ObjectKind::Type, &key)];
    statement.cost = Cost::CatalogOnly;
    let value = |value: &str, present| Fact::EnumValue {
        type_name: key.clone(),
        value: value.to_owned(),
        present,
    };
    if words.eat(&["add", "value"]) {
        words.eat(&["if", "not", "exists"]);
        let added = words.literal()?;
        statement.kind = "ALTER TYPE … ADD VALUE";
        statement.done = vec![value(&added, true)];
        statement.old_code = OldCode::reads(format!(
            "older code does not know '{added}' when it meets it in a row"
        ));
        statement.reverse = Reverse::None {
            because: format!(
                "there is no DROP VALUE: leave '{added}' in {key} and move the rows that hold it"
            ),
        };
    } else if words.eat(&["rename", "value"]) {
        let from = words.literal()?;
        words.at += 1;
        words.eat(&["to"]).then_some(())?;
        let to = words.literal()?;
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        statement.kind = "ALTER TYPE … RENAME VALUE";
        statement.done = vec![value(&to, true), value(&from, false)];
        statement.old_code = OldCode::both(format!("older code still says '{from}'"));
        statement.reverse = Reverse::Exact(format!(
            "ALTER TYPE {} RENAME VALUE {} TO {}",
            name.source(),
            quoted(&to),
            quoted(&from)
        ));
    } else if words.eat(&["rename", "to"]) {
        let new = name.sibling(&words.ident()?);
        statement.kind = "ALTER TYPE … RENAME TO";
        statement
            .objects
            .push(Object::new(ObjectKind::Type, new.key()));
        statement.done = vec![
            Fact::Type {
                name: new.key(),
                present: true,
            },
            Fact::Type {
                name: key.clone(),
                present: false,
            },
        ];
        statement.old_code = OldCode::both(format!("casts of older code still say {key}"));
        statement.reverse = Reverse::Exact(format!(
            "ALTER TYPE {} RENAME TO {}",
            new.source(),
            name.last_part().source()
        ));
    } else {
        if words.contains("drop") {
            statement.class = Class::Irreversible;
        }
        statement.cost = Cost::Unknown;
        let what = "the definition of the type as it was".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    }
    Some(statement)
}
