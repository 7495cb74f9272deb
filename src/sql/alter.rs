//! `ALTER TABLE`, `ALTER TYPE` and the other `ALTER`s: each action by itself, then all of one statement together.
//! Locks and costs: measured on PostgreSQL 15; SQLite and MySQL from their manuals.

mod action;
mod column;

use super::Dialect;
use super::fact::Fact;
use super::statement::{Class, Cost, Lock, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::{Name, Words};

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
        Action { saved, cost: Cost::Unknown, ..Action::new(kind) }
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
    let prefix = format!("ALTER TABLE {}{}", if only { "ONLY " } else { "" }, name.source());
    if let Some(renamed) = rename_table(words.clone(), &name) {
        return Some(finish(words.dialect, &table, renamed));
    }
    let actions: Vec<Action> = words.pieces().into_iter().map(|piece| action::action(piece, &name)).collect();
    let mut whole = together(actions, &prefix)?;
    whole.objects.insert(0, Object::new(ObjectKind::Table, &table));
    if guarded && matches!(whole.reverse, Reverse::None { .. }) {
        whole.reverse = Reverse::None { because: "IF EXISTS: it may have changed nothing".to_owned() };
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
    if !statement.objects.iter().any(|o| o.kind == ObjectKind::Table && o.name == table) {
        statement.objects.insert(0, Object::new(ObjectKind::Table, table));
    }
    statement
}

fn together(actions: Vec<Action>, prefix: &str) -> Option<Statement> {
    let many = actions.len() > 1;
    let lead = actions.iter().map(|a| a.class).max()?;
    let kind = if many { "ALTER TABLE … several actions" } else { actions.first()?.kind };
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
        statement.old_code = if many { statement.old_code.and(action.old_code) } else { action.old_code };
        statement.objects.extend(action.objects);
        // Done can be told of the whole only when it can be told of each part.
        facts = facts.filter(|_| !action.done.is_empty()).map(|mut all: Vec<Fact>| {
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
                reasons.push(format!("{} has nothing to undo or no opposite", action.kind));
                back = None;
            }
        }
    }
    statement.done = facts.unwrap_or_default();
    let sql = back.map(|all| format!("{prefix} {}", all.join(", ")));
    statement.reverse = match (sql, saved.is_empty()) {
        (Some(sql), true) => Reverse::Exact(sql),
        (sql, false) => Reverse::NeedsSaved { what: saved.join("; "), sql },
        (None, true) => Reverse::None { because: reasons.join("; ") },
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
    let renames = words.eat(&["rename", "to"]) || (words.dialect == Dialect::Mysql && words.eat(&["rename", "as"]));
    renames.then_some(())?;
    let new = words.name()?;
    let target = if new.qualified() { new.clone() } else { name.sibling(&new) };
    let (from, to) = (name.key(), target.key());
    let mut statement = Statement::new(Class::Ddl, "ALTER TABLE … RENAME TO");
    statement.objects = vec![Object::new(ObjectKind::Table, &from), Object::new(ObjectKind::Table, &to)];
    statement.lock = Some(Lock::ACCESS_EXCLUSIVE);
    statement.cost = Cost::CatalogOnly;
    let back = if words.dialect == Dialect::Mysql { name.clone() } else { name.last_part() };
    statement.reverse = Reverse::Exact(format!("ALTER TABLE {} RENAME TO {}", target.source(), back.source()));
    statement.old_code = OldCode::both(format!("older code still says {from}"));
    statement.done = vec![Fact::Table { name: to, present: true }, Fact::Table { name: from, present: false }];
    Some(statement)
}

/// `ALTER TYPE`.
pub(super) fn type_(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter", "type"]).then_some(())?;
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, "ALTER TYPE");
    statement.objects = vec![Object::new(ObjectKind::Type, &key)];
    statement.cost = Cost::CatalogOnly;
    let value = |value: &str, present| Fact::EnumValue { type_name: key.clone(), value: value.to_owned(), present };
    if words.eat(&["add", "value"]) {
        words.eat(&["if", "not", "exists"]);
        let added = words.literal()?;
        statement.kind = "ALTER TYPE … ADD VALUE";
        statement.done = vec![value(&added, true)];
        statement.old_code = OldCode::reads(format!("older code does not know '{added}' when it meets it in a row"));
        statement.reverse = Reverse::None {
            because: format!("there is no DROP VALUE: leave '{added}' in {key} and move the rows that hold it"),
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
        statement.reverse =
            Reverse::Exact(format!("ALTER TYPE {} RENAME VALUE {} TO {}", name.source(), quoted(&to), quoted(&from)));
    } else if words.eat(&["rename", "to"]) {
        let new = name.sibling(&words.ident()?);
        statement.kind = "ALTER TYPE … RENAME TO";
        statement.objects.push(Object::new(ObjectKind::Type, new.key()));
        statement.done =
            vec![Fact::Type { name: new.key(), present: true }, Fact::Type { name: key.clone(), present: false }];
        statement.old_code = OldCode::both(format!("casts of older code still say {key}"));
        statement.reverse =
            Reverse::Exact(format!("ALTER TYPE {} RENAME TO {}", new.source(), name.last_part().source()));
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
