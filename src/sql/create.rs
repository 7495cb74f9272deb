//! `CREATE …`: what it makes, what takes it away again.

use super::Dialect;
use super::fact::Fact;
use super::statement::{Class, Cost, Lock, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;

pub(super) fn create(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["create"]).then_some(())?;
    let replace = words.eat(&["or", "replace"]);
    let temporary = words.eat(&["temporary"]) || words.eat(&["temp"]);
    let unlogged = words.eat(&["unlogged"]);
    let mut statement = if words.ahead(&["unique", "index"]) || words.ahead(&["index"]) {
        index(words.clone())?
    } else if words.eat(&["table"]) {
        table(words.clone(), temporary)?
    } else if words.eat(&["materialized", "view"]) {
        simple(words.clone(), "CREATE MATERIALIZED VIEW", ObjectKind::MaterializedView, "MATERIALIZED VIEW", replace)?
    } else if words.eat(&["recursive", "view"]) || words.eat(&["view"]) {
        simple(words.clone(), "CREATE VIEW", ObjectKind::View, "VIEW", replace)?
    } else if words.eat(&["trigger"]) || words.eat(&["constraint", "trigger"]) {
        trigger(words.clone(), replace)?
    } else if words.eat(&["function"]) {
        routine(words.clone(), "CREATE FUNCTION", ObjectKind::Function, "FUNCTION", replace)?
    } else if words.eat(&["procedure"]) {
        routine(words.clone(), "CREATE PROCEDURE", ObjectKind::Procedure, "PROCEDURE", replace)?
    } else if words.eat(&["type"]) {
        simple(words.clone(), "CREATE TYPE", ObjectKind::Type, "TYPE", replace)?
    } else if words.eat(&["domain"]) {
        simple(words.clone(), "CREATE DOMAIN", ObjectKind::Type, "DOMAIN", replace)?
    } else if words.eat(&["schema"]) {
        simple(words.clone(), "CREATE SCHEMA", ObjectKind::Schema, "SCHEMA", replace)?
    } else if words.eat(&["sequence"]) {
        simple(words.clone(), "CREATE SEQUENCE", ObjectKind::Sequence, "SEQUENCE", replace)?
    } else if words.eat(&["extension"]) {
        simple(words.clone(), "CREATE EXTENSION", ObjectKind::Extension, "EXTENSION", replace)?
    } else {
        return other(words);
    };
    if unlogged || temporary {
        statement.old_code = OldCode::fine("older code does not know of it");
    }
    match words.dialect {
        Dialect::Postgres => {}
        Dialect::Sqlite => statement.lock = Some(Lock::DATABASE_WRITE),
        Dialect::Mysql => statement.transactional = false,
    }
    Some(statement)
}

/// A thing with a name that `DROP` takes away; what was there before `OR REPLACE` must be saved.
fn simple(
    mut words: Words<'_>,
    kind: &'static str,
    object: ObjectKind,
    noun: &str,
    replace: bool,
) -> Option<Statement> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, kind);
    statement.objects = vec![Object::new(object, &key)];
    statement.cost = Cost::CatalogOnly;
    statement.old_code = OldCode::fine("older code does not know of it");
    let fact = match object {
        ObjectKind::View | ObjectKind::MaterializedView => Some(Fact::View { name: key.clone(), present: true }),
        ObjectKind::Type => Some(Fact::Type { name: key.clone(), present: true }),
        ObjectKind::Schema => Some(Fact::Schema { name: key.clone(), present: true }),
        _ => None,
    };
    // After OR REPLACE the name alone does not tell the new definition from the old one.
    statement.done = if replace { Vec::new() } else { fact.into_iter().collect() };
    statement.reverse = match (replace, guarded) {
        (true, _) => {
            statement.old_code = OldCode::both(format!("{key} may answer otherwise than before"));
            Reverse::NeedsSaved { what: format!("the definition of {key} as it was, if it was there"), sql: None }
        }
        (_, true) => Reverse::None { because: format!("IF NOT EXISTS: {key} may have been there before") },
        _ => Reverse::Exact(format!("DROP {noun} {}", name.source())),
    };
    if object == ObjectKind::Extension {
        statement.cost = Cost::Unknown;
    }
    if object == ObjectKind::MaterializedView {
        statement.cost = Cost::Scan;
    }
    Some(statement)
}

fn table(mut words: Words<'_>, temporary: bool) -> Option<Statement> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, "CREATE TABLE");
    statement.objects = vec![Object::new(ObjectKind::Table, &key)];
    statement.cost = Cost::CatalogOnly;
    statement.old_code = OldCode::fine("older code does not know of it");
    if !temporary {
        statement.done = vec![Fact::Table { name: key.clone(), present: true }];
    }
    statement.reverse = if guarded {
        Reverse::None { because: format!("IF NOT EXISTS: {key} may have been there before") }
    } else {
        let sql = Some(format!("DROP TABLE {}", name.source()));
        Reverse::NeedsSaved { what: format!("the rows written to {key} since"), sql }
    };
    if words.later(&["as"]) && (words.contains("select") || words.contains("values") || words.contains("table")) {
        statement.kind = "CREATE TABLE AS";
        statement.cost = Cost::Scan;
    }
    while !words.done() {
        let referenced = words.eat(&["references"]);
        let parent = words.eat(&["partition", "of"]);
        if !referenced && !parent {
            words.at += 1;
            continue;
        }
        let Some(other) = words.name() else { continue };
        statement.objects.push(Object::new(ObjectKind::Table, other.key()));
        statement.lock = Some(if parent { Lock::ACCESS_EXCLUSIVE } else { Lock::SHARE_ROW_EXCLUSIVE });
    }
    Some(statement)
}

fn index(mut words: Words<'_>) -> Option<Statement> {
    let unique = words.eat(&["unique"]);
    words.eat(&["index"]).then_some(())?;
    let concurrently = words.dialect == Dialect::Postgres && words.eat(&["concurrently"]);
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = if words.ahead(&["on"]) { None } else { Some(words.name()?) };
    if words.dialect == Dialect::Mysql && words.eat(&["using"]) {
        words.at += 1;
    }
    words.eat(&["on"]).then_some(())?;
    words.eat(&["only"]);
    let table = words.name()?;
    let mut statement =
        Statement::new(Class::Ddl, if concurrently { "CREATE INDEX CONCURRENTLY" } else { "CREATE INDEX" });
    statement.lock = Some(if concurrently { Lock::SHARE_UPDATE_EXCLUSIVE } else { Lock::SHARE });
    statement.cost = Cost::IndexBuild;
    statement.transactional = !concurrently;
    statement.objects = vec![Object::new(ObjectKind::Table, table.key())];
    statement.old_code = if unique {
        OldCode::writes("writes of a second equal value fail")
    } else {
        OldCode::fine("an index changes no answer")
    };
    let Some(name) = name else {
        let what = "the name that the server gives the index".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
        return Some(statement);
    };
    // PostgreSQL keeps an index in the schema of its table; SQLite names the schema before the index.
    let index = if words.dialect == Dialect::Postgres { table.sibling(&name) } else { name };
    statement.objects.insert(0, Object::of(ObjectKind::Index, &table.key(), index.key()));
    let fact = |valid| Fact::Index { name: index.key(), valid, present: true };
    // Two facts: a failed CONCURRENTLY leaves an index that is there and not valid, which is half done.
    statement.done = vec![fact(false), fact(true)];
    let source = index.source();
    statement.reverse = match (guarded, words.dialect) {
        (true, _) => Reverse::None { because: format!("IF NOT EXISTS: {source} may have been there before") },
        (_, Dialect::Mysql) => Reverse::Exact(format!("DROP INDEX {source} ON {}", table.source())),
        _ if concurrently => Reverse::Exact(format!("DROP INDEX CONCURRENTLY {source}")),
        _ => Reverse::Exact(format!("DROP INDEX {source}")),
    };
    Some(statement)
}

fn trigger(mut words: Words<'_>, replace: bool) -> Option<Statement> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = words.name()?;
    while !words.done() && !words.eat(&["on"]) {
        words.at += 1;
    }
    let table = words.name()?;
    let (key, on) = (name.key(), table.key());
    let mut statement = Statement::new(Class::Ddl, "CREATE TRIGGER");
    statement.objects = vec![Object::new(ObjectKind::Table, &on), Object::of(ObjectKind::Trigger, &on, &key)];
    statement.lock = Some(Lock::SHARE_ROW_EXCLUSIVE);
    statement.cost = Cost::CatalogOnly;
    statement.old_code = OldCode::fine("its writes do more than it knows");
    statement.done = vec![Fact::Trigger { table: on, name: key.clone(), present: true }];
    statement.reverse = match (replace, guarded, words.dialect) {
        (true, ..) => {
            statement.done.clear();
            Reverse::NeedsSaved { what: format!("the definition of trigger {key} as it was"), sql: None }
        }
        (_, true, _) => Reverse::None { because: format!("IF NOT EXISTS: {key} may have been there before") },
        (.., Dialect::Postgres) => Reverse::Exact(format!("DROP TRIGGER {} ON {}", name.source(), table.source())),
        _ => Reverse::Exact(format!("DROP TRIGGER {}", name.source())),
    };
    Some(statement)
}

fn routine(
    mut words: Words<'_>,
    kind: &'static str,
    object: ObjectKind,
    noun: &str,
    replace: bool,
) -> Option<Statement> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = words.name()?;
    let arguments = words.parens().unwrap_or_default().trim();
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, kind);
    statement.objects = vec![Object::new(object, &key)];
    statement.cost = Cost::CatalogOnly;
    statement.old_code = OldCode::fine("older code does not know of it");
    let plain = !arguments.contains('=') && !arguments.to_ascii_lowercase().contains("default");
    if arguments.is_empty() && !replace {
        statement.done = vec![Fact::Function { name: format!("{key}()"), present: true }];
    }
    statement.reverse = match (replace, guarded) {
        (true, _) => {
            statement.old_code = OldCode::both(format!("{key} may do something else than before"));
            let what = format!("the definition of {key} as it was (pg_get_functiondef), if it was there");
            Reverse::NeedsSaved { what, sql: None }
        }
        (_, true) => Reverse::None { because: format!("IF NOT EXISTS: {key} may have been there before") },
        _ if words.dialect == Dialect::Mysql => Reverse::Exact(format!("DROP {noun} {}", name.source())),
        _ if plain => Reverse::Exact(format!("DROP {noun} {}({arguments})", name.source())),
        // Without arguments the server refuses when the name is not unique: safe, not silent.
        _ => Reverse::Exact(format!("DROP {noun} {}", name.source())),
    };
    Some(statement)
}

fn other(mut words: Words<'_>) -> Option<Statement> {
    let kinds: [(&[&str], &'static str, ObjectKind, bool); 12] = [
        (&["database"], "CREATE DATABASE", ObjectKind::Database, false),
        (&["tablespace"], "CREATE TABLESPACE", ObjectKind::Other, false),
        (&["subscription"], "CREATE SUBSCRIPTION", ObjectKind::Other, false),
        (&["role"], "CREATE ROLE", ObjectKind::Role, true),
        (&["user"], "CREATE USER", ObjectKind::Role, true),
        (&["publication"], "CREATE PUBLICATION", ObjectKind::Other, true),
        (&["rule"], "CREATE RULE", ObjectKind::Other, true),
        (&["policy"], "CREATE POLICY", ObjectKind::Other, true),
        (&["event", "trigger"], "CREATE EVENT TRIGGER", ObjectKind::Other, true),
        (&["aggregate"], "CREATE AGGREGATE", ObjectKind::Function, true),
        (&["statistics"], "CREATE STATISTICS", ObjectKind::Other, true),
        (&["virtual", "table"], "CREATE VIRTUAL TABLE", ObjectKind::Table, true),
    ];
    let found = kinds.iter().find(|(head, ..)| words.eat(head));
    let mut statement = Statement::new(Class::Ddl, found.map_or("CREATE", |(_, kind, ..)| kind));
    statement.transactional = found.is_some_and(|(.., inside)| *inside) && words.dialect != Dialect::Mysql;
    words.eat(&["if", "not", "exists"]);
    if let Some(name) = words.name() {
        let kind = found.map_or(ObjectKind::Other, |(_, _, kind, _)| *kind);
        let what = format!("nothing, but its DROP must be written by hand for {}", name.key());
        statement.objects = vec![Object::new(kind, name.key())];
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    }
    if words.contains("on") && ["CREATE RULE", "CREATE POLICY"].contains(&statement.kind) {
        statement.lock = Some(Lock::ACCESS_EXCLUSIVE);
    }
    Some(statement)
}
