//! `DROP …` and `TRUNCATE`: what goes, and what must have been saved for it to come back.

use super::Dialect;
use super::fact::Fact;
use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;

struct Thing {
    head: &'static [&'static str],
    kind: &'static str,
    object: ObjectKind,
    class: Class,
    saved: &'static str,
}

const fn thing(
    head: &'static [&'static str],
    kind: &'static str,
    object: ObjectKind,
    class: Class,
    saved: &'static str,
) -> Thing {
    Thing { head, kind, object, class, saved }
}

const DEFINITION: &str = "the definition, comments and grants";

const THINGS: [Thing; 24] = [
    thing(
        &["table"],
        "DROP TABLE",
        ObjectKind::Table,
        Class::Irreversible,
        "a copy of the table: definition and every row",
    ),
    thing(&["foreign", "table"], "DROP FOREIGN TABLE", ObjectKind::Table, Class::Ddl, DEFINITION),
    thing(
        &["materialized", "view"],
        "DROP MATERIALIZED VIEW",
        ObjectKind::MaterializedView,
        Class::Ddl,
        "the definition (pg_get_viewdef), indexes and grants",
    ),
    thing(&["view"], "DROP VIEW", ObjectKind::View, Class::Ddl, "the definition (pg_get_viewdef) and grants"),
    thing(&["type"], "DROP TYPE", ObjectKind::Type, Class::Ddl, "the definition with all labels in order"),
    thing(&["domain"], "DROP DOMAIN", ObjectKind::Type, Class::Ddl, DEFINITION),
    thing(
        &["function"],
        "DROP FUNCTION",
        ObjectKind::Function,
        Class::Ddl,
        "the definition (pg_get_functiondef) and grants",
    ),
    thing(
        &["procedure"],
        "DROP PROCEDURE",
        ObjectKind::Procedure,
        Class::Ddl,
        "the definition (pg_get_functiondef) and grants",
    ),
    thing(
        &["routine"],
        "DROP ROUTINE",
        ObjectKind::Function,
        Class::Ddl,
        "the definition (pg_get_functiondef) and grants",
    ),
    thing(&["aggregate"], "DROP AGGREGATE", ObjectKind::Function, Class::Ddl, DEFINITION),
    thing(&["schema"], "DROP SCHEMA", ObjectKind::Schema, Class::Ddl, DEFINITION),
    thing(&["sequence"], "DROP SEQUENCE", ObjectKind::Sequence, Class::Ddl, "the definition and the last value"),
    thing(
        &["extension"],
        "DROP EXTENSION",
        ObjectKind::Extension,
        Class::Irreversible,
        "the version and everything it keeps",
    ),
    thing(&["database"], "DROP DATABASE", ObjectKind::Database, Class::Irreversible, "a backup of the database"),
    thing(&["owned"], "DROP OWNED", ObjectKind::Role, Class::Irreversible, "a backup of the database"),
    thing(
        &["role"],
        "DROP ROLE",
        ObjectKind::Role,
        Class::Irreversible,
        "the role with its password, members and grants",
    ),
    thing(
        &["user"],
        "DROP USER",
        ObjectKind::Role,
        Class::Irreversible,
        "the role with its password, members and grants",
    ),
    thing(
        &["subscription"],
        "DROP SUBSCRIPTION",
        ObjectKind::Other,
        Class::Irreversible,
        "the slot, which goes with it",
    ),
    thing(&["publication"], "DROP PUBLICATION", ObjectKind::Other, Class::Ddl, "the tables it publishes"),
    thing(&["statistics"], "DROP STATISTICS", ObjectKind::Other, Class::Ddl, DEFINITION),
    thing(&["event", "trigger"], "DROP EVENT TRIGGER", ObjectKind::Other, Class::Ddl, DEFINITION),
    thing(&["event"], "DROP EVENT", ObjectKind::Other, Class::Ddl, DEFINITION),
    thing(&["server"], "DROP SERVER", ObjectKind::Other, Class::Ddl, DEFINITION),
    thing(&["tablespace"], "DROP TABLESPACE", ObjectKind::Other, Class::Ddl, DEFINITION),
];

pub(super) fn drop(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["drop"]).then_some(())?;
    words.eat(&["temporary"]);
    let cascade = words.later(&["cascade"]);
    let mut statement = if words.eat(&["index"]) {
        index(words.clone())?
    } else if words.eat(&["trigger"]) {
        trigger(words.clone())?
    } else if let Some((kind, object)) = hung(&mut words) {
        on_table(words.clone(), kind, object)?
    } else if let Some(thing) = THINGS.iter().find(|thing| words.eat(thing.head)) {
        named(words.clone(), thing)?
    } else {
        let mut statement = Statement::new(Class::Ddl, "DROP");
        let what = "the definition of what is dropped".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
        // The last name is the thing, or the table it hangs on.
        words.at = words.all.len().saturating_sub(1 + usize::from(cascade || words.later(&["restrict"])));
        statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::Other, name.key())));
        statement
    };
    if cascade {
        // What hangs on it goes too, columns among it, and the statement does not name it.
        statement.raise(Class::Irreversible);
        if words.dialect == Dialect::Postgres {
            statement.parts = vec![statement.kind, "DROP … CASCADE"];
        }
    }
    Some(statement)
}

/// What is dropped `ON` a table.
fn hung(words: &mut Words<'_>) -> Option<(&'static str, &'static str)> {
    [("rule", "DROP RULE"), ("policy", "DROP POLICY")]
        .into_iter()
        .find(|(word, _)| words.eat(&[word]))
        .map(|(word, kind)| (kind, word))
}

fn on_table(mut words: Words<'_>, kind: &'static str, what: &'static str) -> Option<Statement> {
    words.eat(&["if", "exists"]);
    let name = words.name()?.key();
    words.eat(&["on"]).then_some(())?;
    let table = words.name()?.key();
    let mut statement = Statement::new(Class::Ddl, kind);
    statement.objects = vec![Object::of(ObjectKind::Other, &table, &name), Object::new(ObjectKind::Table, &table)];
    statement.old_code =
        OldCode::both(format!("without the {what} it may meet other rows, or its writes do other things"));
    statement.reverse = Reverse::NeedsSaved { what: format!("the definition of {what} {name}"), sql: None };
    Some(statement)
}

fn named(mut words: Words<'_>, thing: &Thing) -> Option<Statement> {
    let mut statement = Statement::new(thing.class, thing.kind);
    words.eat(&["by"]);
    words.eat(&["if", "exists"]);
    let mut names = Vec::new();
    loop {
        let name = words.name()?;
        let arguments = words.arguments();
        statement.objects.push(Object::new(thing.object, name.key()));
        names.push((name.key(), arguments));
        if !words.eat_punct(",") {
            break;
        }
    }
    let listed = names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    statement.old_code = OldCode::both(format!("code that uses {listed} fails"));
    statement.reverse = Reverse::NeedsSaved { what: format!("{} of {listed}", thing.saved), sql: None };
    let facts = names.into_iter().map(|(name, arguments)| match thing.object {
        ObjectKind::Table => Some(Fact::Table { name, present: false }),
        ObjectKind::View | ObjectKind::MaterializedView => Some(Fact::View { name, present: false }),
        ObjectKind::Type => Some(Fact::Type { name, present: false }),
        ObjectKind::Schema => Some(Fact::Schema { name, present: false }),
        // Types alone are known to be types; with a name before them only the server can tell.
        ObjectKind::Function => match arguments {
            Some("") => Some(Fact::Function { name: format!("{name}()"), present: false }),
            _ => None,
        },
        _ => None,
    });
    statement.done = facts.collect::<Option<Vec<_>>>().unwrap_or_default();
    Some(statement)
}

fn index(mut words: Words<'_>) -> Option<Statement> {
    let concurrently = words.dialect == Dialect::Postgres && words.eat(&["concurrently"]);
    words.eat(&["if", "exists"]);
    let mut statement = Statement::new(Class::Ddl, if concurrently { "DROP INDEX CONCURRENTLY" } else { "DROP INDEX" });
    loop {
        let name = words.name()?;
        statement.objects.push(Object::new(ObjectKind::Index, name.key()));
        statement.done.push(Fact::Index { name: name.key(), valid: false, present: false });
        if concurrently {
            // Interrupted, it leaves an index that is there and answers nothing: half done.
            statement.done.push(Fact::Index { name: name.key(), valid: true, present: false });
        }
        if !words.eat_punct(",") {
            break;
        }
    }
    if words.eat(&["on"]) {
        let table = words.name()?.key();
        statement.objects.iter_mut().for_each(|object| object.table = Some(table.clone()));
        statement.objects.push(Object::new(ObjectKind::Table, table));
    }
    statement.old_code = match words.dialect {
        Dialect::Postgres => OldCode::writes("where it is unique it guards no more, and ON CONFLICT on it fails"),
        Dialect::Sqlite => OldCode::both("INDEXED BY fails, and ON CONFLICT where it is unique"),
        Dialect::Mysql => OldCode::both("index hints that name it fail; a unique index guards no more"),
    };
    let what = match words.dialect {
        Dialect::Postgres => "the definition of the index (pg_get_indexdef), and the time to build it",
        Dialect::Sqlite => "the definition of the index (sqlite_schema.sql), and the time to build it",
        Dialect::Mysql => "the definition of the index (SHOW CREATE TABLE), and the time to build it",
    };
    statement.reverse = Reverse::NeedsSaved { what: what.to_owned(), sql: None };
    Some(statement)
}

fn trigger(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["if", "exists"]);
    let name = words.name()?.key();
    let mut statement = Statement::new(Class::Ddl, "DROP TRIGGER");
    if words.eat(&["on"]) {
        let table = words.name()?.key();
        statement.objects.push(Object::new(ObjectKind::Table, &table));
        statement.objects.push(Object::of(ObjectKind::Trigger, &table, &name));
        statement.done = vec![Fact::Trigger { table, name: name.clone(), present: false }];
    } else {
        // SQLite and MySQL: a trigger's name is unique; the statement does not say its table.
        statement.objects.push(Object::new(ObjectKind::Trigger, &name));
        statement.done = vec![Fact::Trigger { table: String::new(), name: name.clone(), present: false }];
    }
    statement.old_code = OldCode::writes("its writes lose what the trigger did for them, and may be refused");
    statement.reverse = Reverse::NeedsSaved { what: format!("the definition of trigger {name}"), sql: None };
    Some(statement)
}

pub(super) fn truncate(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["truncate"]).then_some(())?;
    words.eat(&["table"]);
    let mut statement = Statement::new(Class::Irreversible, "TRUNCATE");
    loop {
        words.eat(&["only"]);
        let name = words.name()?;
        words.eat_punct("*");
        statement.objects.push(Object::new(ObjectKind::Table, name.key()));
        if !words.eat_punct(",") {
            break;
        }
    }
    if words.contains("cascade") {
        statement.kind = "TRUNCATE … CASCADE";
    }
    let mut what = "a copy of every row".to_owned();
    if words.eat(&["restart", "identity"]) {
        statement.parts = vec![statement.kind, "TRUNCATE … RESTART IDENTITY"];
        what += ", and where its sequences stood";
    }
    statement.old_code = OldCode::both("every row is gone, and rows that point to them are refused");
    statement.reverse = Reverse::NeedsSaved { what, sql: None };
    Some(statement)
}
