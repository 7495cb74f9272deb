//! `ALTER TABLE` and `ALTER TYPE`: each action by itself, then all of one statement together.

mod action;
mod column;
mod mysql;
mod object;
mod setting;

use super::fact::Fact;
use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::{Name, Words};
use super::{Dialect, readonly};

pub(super) use mysql::eat_wait;
pub(super) use object::object;

/// One action of an `ALTER TABLE`. `back` is what undoes it, as the text behind `ALTER TABLE t`.
pub(super) struct Action {
    pub class: Class,
    pub kind: &'static str,
    /// Forms that come with it, such as the `CHECK` of a new column.
    pub more: Vec<&'static str>,
    pub objects: Vec<Object>,
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
            more: Vec::new(),
            objects: Vec::new(),
            back: None,
            saved: None,
            old_code: OldCode::unknown(),
            done: Vec::new(),
        }
    }

    /// An action of which nothing is known.
    fn other(kind: &'static str) -> Action {
        Action { saved: Some("the definition of the table as it was".to_owned()), ..Action::new(kind) }
    }
}

pub(super) fn table(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter"]);
    let ignore = words.dialect == Dialect::Mysql && (words.eat(&["online"]) | words.eat(&["ignore"]));
    let foreign = words.eat(&["foreign", "table"]);
    if !foreign && !words.eat(&["table"]) {
        return None;
    }
    if words.ahead(&["all", "in", "tablespace"]) {
        let mut statement = Statement::new(Class::Ddl, "ALTER TABLE ALL IN TABLESPACE");
        statement.old_code = OldCode::fine("the rows are the same");
        let what = "the tablespace of each table".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
        return Some(statement);
    }
    let guarded = words.eat(&["if", "exists"]);
    let only = words.eat(&["only"]);
    let name = words.name()?;
    words.eat_punct("*");
    if words.dialect == Dialect::Mysql {
        mysql::eat_wait(&mut words);
    }
    let table = name.key();
    let noun = if foreign { "FOREIGN TABLE" } else { "TABLE" };
    let prefix = format!("ALTER {noun} {}{}", if only { "ONLY " } else { "" }, name.source());
    if let Some(renamed) = rename_table(words.clone(), &name) {
        return Some(renamed);
    }
    let pieces = words.pieces();
    let run: Vec<_> = pieces.iter().filter_map(runs).collect();
    let actions: Vec<Action> = match words.dialect {
        Dialect::Mysql => pieces.into_iter().filter_map(|piece| mysql::action(piece, &name)).collect(),
        _ => pieces.into_iter().map(|piece| action::action(piece, &name)).collect(),
    };
    let mut whole = together(actions, &prefix)?;
    whole.objects.insert(0, Object::new(ObjectKind::Table, &table));
    run.iter().for_each(|expression| readonly::raise_by_calls(expression, &mut whole));
    if foreign && whole.parts.is_empty() {
        whole.parts = vec![whole.kind, "ALTER FOREIGN TABLE"];
    }
    if guarded && matches!(whole.reverse, Reverse::None { .. }) {
        whole.reverse = Reverse::None { because: "IF EXISTS: it may have changed nothing".to_owned() };
    }
    if ignore {
        // Rows that break a new key are dropped without a word.
        whole.raise(Class::Irreversible);
    }
    Some(whole)
}

/// The part of an action that the server works out for the rows that are there: a default, a check, a new value.
fn runs<'a>(piece: &Words<'a>) -> Option<Words<'a>> {
    let heads = ["default", "check", "generated", "using"];
    let at = (piece.at..piece.all.len()).find(|at| heads.iter().any(|head| piece.all[*at].is(head)))?;
    // `USING INDEX i`, `EXCLUDE USING gist (…)` name no expression.
    let names = piece.all[at].is("using") && !piece.contains("type");
    (!names).then(|| Words { at: 0, all: piece.all[at..].into(), ..piece.clone() })
}

fn together(actions: Vec<Action>, prefix: &str) -> Option<Statement> {
    let many = actions.len() > 1;
    let lead = actions.iter().map(|a| a.class).max()?;
    let kind = if many { "ALTER TABLE … several actions" } else { actions.first()?.kind };
    let mut statement = Statement::new(lead, kind);
    statement.old_code = OldCode::fine("nothing that older code uses changes");
    if many || actions.iter().any(|action| !action.more.is_empty()) {
        statement.parts =
            actions.iter().flat_map(|action| std::iter::once(action.kind).chain(action.more.clone())).collect();
    }
    let (mut back, mut saved, mut reasons) = (Some(Vec::new()), Vec::new(), Vec::new());
    let mut facts = Some(Vec::new());
    for action in actions {
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

fn rename_table(mut words: Words<'_>, name: &Name) -> Option<Statement> {
    let renames = words.eat(&["rename", "to"]) || (words.dialect == Dialect::Mysql && words.eat(&["rename", "as"]));
    renames.then_some(())?;
    let new = words.name()?;
    let target = if new.qualified() { new.clone() } else { name.sibling(&new) };
    let (from, to) = (name.key(), target.key());
    let mut statement = Statement::new(Class::Ddl, "ALTER TABLE … RENAME TO");
    statement.objects = vec![Object::new(ObjectKind::Table, &from), Object::new(ObjectKind::Table, &to)];
    let back = if words.dialect == Dialect::Mysql { name.clone() } else { name.last_part() };
    statement.reverse = Reverse::Exact(format!("ALTER TABLE {} RENAME TO {}", target.source(), back.source()));
    statement.old_code = OldCode::both(format!("older code still says {from}"));
    statement.done = vec![Fact::Table { name: to, present: true }, Fact::Table { name: from, present: false }];
    Some(statement)
}

const ATTRIBUTES: [(&[&str], &str); 3] = [
    (&["add", "attribute"], "ALTER TYPE … ADD ATTRIBUTE"),
    (&["drop", "attribute"], "ALTER TYPE … DROP ATTRIBUTE"),
    (&["alter", "attribute"], "ALTER TYPE … ALTER ATTRIBUTE"),
];

/// `ALTER TYPE`.
pub(super) fn type_(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter", "type"]).then_some(())?;
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, "ALTER TYPE");
    statement.objects = vec![Object::new(ObjectKind::Type, &key)];
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
    } else if words.eat(&["rename", "attribute"]) {
        let from = words.ident()?;
        words.eat(&["to"]).then_some(())?;
        let to = words.ident()?;
        statement.kind = "ALTER TYPE … RENAME ATTRIBUTE";
        statement.old_code = OldCode::both(format!("older code still says {key}.{}", from.key()));
        statement.reverse = Reverse::Exact(format!(
            "ALTER TYPE {} RENAME ATTRIBUTE {} TO {}{}",
            name.source(),
            to.source(),
            from.source(),
            if words.ahead(&["cascade"]) { " CASCADE" } else { "" }
        ));
    } else if let Some((_, kind)) = ATTRIBUTES.iter().find(|(head, _)| words.ahead(head)) {
        // One type may have several of them at once.
        statement.kind = kind;
        statement.parts = words
            .pieces()
            .iter()
            .filter_map(|piece| ATTRIBUTES.iter().find(|(head, _)| piece.ahead(head)).map(|(_, kind)| *kind))
            .collect();
        if statement.parts.contains(&ATTRIBUTES[1].1) {
            statement.class = Class::Irreversible;
        }
        let what = "the definition of the type as it was, and the values of the attribute".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    } else if words.ahead(&["owner", "to"]) {
        statement.kind = "ALTER TYPE … OWNER TO";
        statement.old_code = OldCode::fine("the type is the same");
        statement.reverse = Reverse::NeedsSaved { what: format!("the owner of {key}"), sql: None };
    } else if words.eat(&["set", "schema"]) {
        statement.kind = "ALTER TYPE … SET SCHEMA";
        statement.old_code = OldCode::both("older code finds the type by its schema");
        statement.reverse = Reverse::NeedsSaved { what: format!("the schema of {key}"), sql: None };
    } else {
        if words.contains("drop") {
            statement.class = Class::Irreversible;
        }
        let what = "the definition of the type as it was".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    }
    Some(statement)
}
