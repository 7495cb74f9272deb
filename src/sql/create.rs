//! `CREATE …`: what it makes, on what it hangs, what takes it away again.

use super::Dialect;
use super::fact::Fact;
use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;
use super::{readonly, relation};

pub(super) fn create(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["create"]).then_some(())?;
    let replace = words.eat(&["or", "replace"]);
    mysql_attributes(&mut words);
    let passing = words.eat(&["temporary"]) || words.eat(&["temp"]);
    let hidden = passing || words.eat(&["unlogged"]);
    let mut statement = if words.clone().eat(&["index"]) || index_words(&words) {
        index(words.clone())?
    } else if words.eat(&["table"]) {
        table(words.clone(), replace)?
    } else if words.eat(&["materialized", "view"]) {
        simple(words.clone(), "CREATE MATERIALIZED VIEW", ObjectKind::MaterializedView, "MATERIALIZED VIEW", replace)?
    } else if words.eat(&["recursive", "view"]) || words.eat(&["view"]) {
        let kind = if replace { "CREATE OR REPLACE VIEW" } else { "CREATE VIEW" };
        simple(words.clone(), kind, ObjectKind::View, "VIEW", replace)?
    } else if words.eat(&["trigger"]) || words.eat(&["constraint", "trigger"]) {
        trigger(words.clone(), replace)?
    } else if words.eat(&["function"]) {
        let kind = if replace { "CREATE OR REPLACE FUNCTION" } else { "CREATE FUNCTION" };
        routine(words.clone(), kind, ObjectKind::Function, "FUNCTION", replace)?
    } else if words.eat(&["procedure"]) {
        let kind = if replace { "CREATE OR REPLACE PROCEDURE" } else { "CREATE PROCEDURE" };
        routine(words.clone(), kind, ObjectKind::Procedure, "PROCEDURE", replace)?
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
        return other(words, replace);
    };
    if hidden {
        statement.old_code = OldCode::fine("older code does not know of it");
    }
    if passing {
        // No other session sees it.
        statement.done.clear();
    }
    Some(statement)
}

/// What happens to the writers of a table that is published, unless it has a key or another identity.
pub(super) const PUBLISHED: &str =
    "updates and deletes of a published table that has no key and no replica identity are refused";

/// `ALGORITHM = MERGE DEFINER = a@b SQL SECURITY DEFINER` before a view or a routine.
fn mysql_attributes(words: &mut Words<'_>) {
    if words.dialect != Dialect::Mysql {
        return;
    }
    let nouns = ["view", "function", "procedure", "trigger", "event"];
    let attributes = ["algorithm", "definer", "sql", "aggregate"];
    if attributes.iter().any(|word| words.ahead(&[word])) {
        while !words.done() && !nouns.iter().any(|noun| words.ahead(&[noun])) {
            words.at += 1;
        }
    }
}

fn index_words(words: &Words<'_>) -> bool {
    ["unique", "fulltext", "spatial"].iter().any(|word| words.ahead(&[word, "index"]))
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
    // `CREATE SCHEMA AUTHORIZATION joe`: the schema has the name of the role.
    if object == ObjectKind::Schema {
        words.eat(&["authorization"]);
    }
    let name = words.name()?;
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, kind);
    statement.objects = vec![Object::new(object, &key)];
    statement.old_code = OldCode::fine("older code does not know of it");
    if matches!(object, ObjectKind::View | ObjectKind::MaterializedView) {
        statement.objects.extend(shown(&words, &key));
        reads(&words, &mut statement);
        // A recursive view reads itself.
        statement.objects.retain(|object| object.kind != ObjectKind::Table || object.name != key);
    }
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
    if object == ObjectKind::Extension && words.contains("cascade") && !replace {
        let what = format!("which extensions came with {key}");
        statement.reverse = Reverse::NeedsSaved { what, sql: Some(format!("DROP EXTENSION {}", name.source())) };
    }
    if object == ObjectKind::Schema && words.contains("create") {
        // `CREATE SCHEMA s CREATE TABLE …`: its elements are not told one by one.
        statement.reverse = Reverse::NeedsSaved { what: "what the schema is created with".to_owned(), sql: None };
    }
    Some(statement)
}

/// The columns of a view whose query is a plain list of columns; of any other none is told.
fn shown(words: &Words<'_>, view: &str) -> Vec<Object> {
    let listed = || {
        // With a list of names of its own, those of the query are not its columns.
        if words.peek()?.punct("(") {
            return None;
        }
        let mut rest = words.clone().seek(&["as", "select"])?;
        let mut columns = Vec::new();
        loop {
            let column = rest.name()?;
            let name = if rest.eat(&["as"]) { rest.ident()? } else { column.last_part() };
            columns.push(Object::of(ObjectKind::Column, view, name.key()));
            if !rest.eat_punct(",") {
                return rest.ahead(&["from"]).then_some(columns);
            }
        }
    };
    listed().unwrap_or_default()
}

/// The query inside: the tables it reads, and what the functions in it can do.
fn reads(words: &Words<'_>, statement: &mut Statement) {
    let touched = relation::touched(words);
    statement.objects.extend(touched.reads.into_iter().map(|name| Object::new(ObjectKind::Table, name)));
    readonly::raise_by_calls(words, statement);
}

fn table(mut words: Words<'_>, replace: bool) -> Option<Statement> {
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = words.name()?;
    let key = name.key();
    // MariaDB's CREATE OR REPLACE TABLE drops what was there.
    let class = if replace { Class::Irreversible } else { Class::Ddl };
    let mut statement = Statement::new(class, "CREATE TABLE");
    statement.objects = vec![Object::new(ObjectKind::Table, &key)];
    statement.old_code = OldCode::fine("older code does not know of it");
    if !replace {
        statement.done = vec![Fact::Table { name: key.clone(), present: true }];
    }
    statement.reverse = if guarded {
        Reverse::None { because: format!("IF NOT EXISTS: {key} may have been there before") }
    } else if replace {
        Reverse::NeedsSaved { what: format!("a copy of {key}, which it drops first"), sql: None }
    } else {
        let sql = Some(format!("DROP TABLE {}", name.source()));
        Reverse::NeedsSaved { what: format!("the rows written to {key} since"), sql }
    };
    let query = ["select", "values", "table", "with", "execute"];
    let filled = words.clone().seek(&["as"]).is_some_and(|rest| {
        rest.peek().is_some_and(|word| word.punct("(")) || query.iter().any(|word| rest.ahead(&[word]))
    });
    let filled = filled || words.dialect == Dialect::Mysql && words.contains("select");
    if filled {
        statement.kind = "CREATE TABLE AS";
        reads(&words, &mut statement);
        if words.contains("execute") {
            // What was prepared under that name is not in the text.
            statement.raise(Class::Irreversible);
        }
        return Some(statement);
    }
    let links: [(&[&str], &'static str); 4] = [
        (&["references"], "CREATE TABLE … REFERENCES"),
        (&["partition", "of"], "CREATE TABLE … PARTITION OF"),
        (&["inherits"], "CREATE TABLE … INHERITS"),
        (&["like"], "CREATE TABLE … LIKE"),
    ];
    let mut parts = Vec::new();
    while !words.done() {
        let Some((_, kind)) = links.iter().find(|(head, _)| words.eat(head)) else {
            words.at += 1;
            continue;
        };
        words.eat_punct("(");
        while let Some(other) = words.name() {
            statement.objects.push(Object::new(ObjectKind::Table, other.key()));
            if !kind.ends_with("INHERITS") || !words.eat_punct(",") {
                break;
            }
        }
        if !parts.contains(kind) {
            parts.push(*kind);
        }
    }
    if parts.contains(&"CREATE TABLE … REFERENCES") {
        statement.old_code = OldCode::writes("its deletes from the tables that are pointed to may be refused");
    }
    if let [one] = parts.as_slice() {
        statement.kind = one;
    } else {
        statement.parts = parts;
    }
    Some(statement)
}

fn index(mut words: Words<'_>) -> Option<Statement> {
    let unique = words.eat(&["unique"]);
    let _ = words.eat(&["fulltext"]) || words.eat(&["spatial"]);
    words.eat(&["index"]).then_some(())?;
    let concurrently = words.dialect == Dialect::Postgres && words.eat(&["concurrently"]);
    let guarded = words.eat(&["if", "not", "exists"]);
    let name = if words.ahead(&["on"]) { None } else { Some(words.name()?) };
    if words.dialect == Dialect::Mysql && words.eat(&["using"]) {
        words.at += 1;
    }
    words.eat(&["on"]).then_some(())?;
    let only = words.eat(&["only"]);
    let table = words.name()?;
    let mut statement =
        Statement::new(Class::Ddl, if concurrently { "CREATE INDEX CONCURRENTLY" } else { "CREATE INDEX" });
    statement.objects = vec![Object::new(ObjectKind::Table, table.key())];
    // What it works out for every row: its expressions, and those of its condition.
    let mut columns = words.clone();
    if columns.eat(&["using"]) {
        columns.at += 1;
    }
    let from = columns.at;
    columns.parens();
    let indexed = Words { at: 0, all: columns.all[from..columns.at].into(), ..words.clone() };
    let condition = columns.seek(&["where"]).map(|rest| Words { at: 0, all: rest.all[rest.at..].into(), ..rest });
    // A parenthesis within the list: an expression, or the length of a prefix.
    let computes = condition.is_some() || indexed.all.iter().skip(1).any(|word| word.punct("("));
    for expression in std::iter::once(indexed).chain(condition) {
        readonly::raise_by_calls(&expression, &mut statement);
    }
    statement.old_code = if unique {
        OldCode::writes("writes of a second equal value fail")
    } else if computes {
        OldCode::writes("writes of values for which its expression fails are refused")
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
    if only {
        // Of a partitioned table: it is not valid before each partition has its own, attached.
        statement.done.truncate(1);
    }
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
    statement.old_code = OldCode::writes("its writes do more than it knows, or are refused");
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
    let arguments = words.arguments().unwrap_or_default();
    let key = name.key();
    let mut statement = Statement::new(Class::Ddl, kind);
    statement.objects = vec![Object::new(object, &key)];
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

/// Words, form, what it is, and whether `DROP` takes it by its name alone, or `ON` its table.
type Kind = (&'static [&'static str], &'static str, ObjectKind, Taken);

#[derive(Clone, Copy, PartialEq)]
enum Taken {
    ByName,
    OnTable,
    /// Its `DROP` says more than a name.
    ByHand,
}

const KINDS: [Kind; 20] = [
    (&["database"], "CREATE DATABASE", ObjectKind::Database, Taken::ByName),
    (&["tablespace"], "CREATE TABLESPACE", ObjectKind::Other, Taken::ByName),
    // The rows that it copied stay.
    (&["subscription"], "CREATE SUBSCRIPTION", ObjectKind::Other, Taken::ByHand),
    (&["role"], "CREATE ROLE", ObjectKind::Role, Taken::ByName),
    (&["group"], "CREATE ROLE", ObjectKind::Role, Taken::ByName),
    (&["user", "mapping"], "CREATE USER MAPPING", ObjectKind::Other, Taken::ByHand),
    (&["user"], "CREATE USER", ObjectKind::Role, Taken::ByName),
    (&["publication"], "CREATE PUBLICATION", ObjectKind::Other, Taken::ByName),
    (&["rule"], "CREATE RULE", ObjectKind::Other, Taken::OnTable),
    (&["policy"], "CREATE POLICY", ObjectKind::Other, Taken::OnTable),
    (&["event", "trigger"], "CREATE EVENT TRIGGER", ObjectKind::Other, Taken::ByName),
    // What it has done by then stays done.
    (&["event"], "CREATE EVENT", ObjectKind::Other, Taken::ByHand),
    (&["aggregate"], "CREATE AGGREGATE", ObjectKind::Function, Taken::ByHand),
    (&["statistics"], "CREATE STATISTICS", ObjectKind::Other, Taken::ByName),
    (&["cast"], "CREATE CAST", ObjectKind::Other, Taken::ByHand),
    (&["operator"], "CREATE OPERATOR", ObjectKind::Other, Taken::ByHand),
    (&["collation"], "CREATE COLLATION", ObjectKind::Other, Taken::ByName),
    (&["foreign", "table"], "CREATE FOREIGN TABLE", ObjectKind::Table, Taken::ByName),
    (&["server"], "CREATE SERVER", ObjectKind::Other, Taken::ByName),
    (&["virtual", "table"], "CREATE VIRTUAL TABLE", ObjectKind::Table, Taken::ByHand),
];

fn other(mut words: Words<'_>, replace: bool) -> Option<Statement> {
    let found = KINDS.iter().find(|(head, ..)| words.eat(head));
    let (kind, object, taken) =
        found.map_or(("CREATE", ObjectKind::Other, Taken::ByHand), |(_, kind, object, taken)| (*kind, *object, *taken));
    let mut statement = Statement::new(Class::Ddl, kind);
    let guarded = words.eat(&["if", "not", "exists"]);
    // `CREATE STATISTICS ON a, b FROM t`: the server finds a name.
    if kind == "CREATE STATISTICS" && (words.ahead(&["on"]) || words.peek().is_some_and(|word| word.punct("("))) {
        statement.old_code = OldCode::fine("only the planner looks at it");
        statement.objects =
            tables_of(kind, &words).into_iter().map(|(t, _)| Object::new(ObjectKind::Table, t)).collect();
        let what = "the name that the server gives the statistics".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
        return Some(statement);
    }
    let Some(name) = words.name() else { return Some(statement) };
    let what = if replace {
        format!("the definition of {} as it was, if it was there", name.key())
    } else {
        format!("nothing, but its DROP must be written by hand for {}", name.key())
    };
    statement.reverse = Reverse::NeedsSaved { what, sql: None };
    statement.old_code = match kind {
        "CREATE RULE" | "CREATE POLICY" => {
            OldCode::both("rows may be hidden from it, and its writes changed or refused")
        }
        "CREATE PUBLICATION" if words.contains("for") => OldCode::writes(PUBLISHED),
        "CREATE EVENT TRIGGER" => OldCode::fine("only changes of the schema meet it"),
        _ => OldCode::fine("older code does not know of it"),
    };
    let noun = kind.trim_start_matches("CREATE ");
    statement.objects = vec![Object::new(object, name.key())];
    let tables = tables_of(kind, &words);
    if !replace && !guarded {
        statement.reverse = match (taken, tables.first()) {
            (Taken::ByName, _) => Reverse::Exact(format!("DROP {noun} {}", name.source())),
            (Taken::OnTable, Some((_, on))) => Reverse::Exact(format!("DROP {noun} {} ON {on}", name.source())),
            _ => statement.reverse,
        };
    }
    if taken == Taken::OnTable {
        statement.objects[0].table = tables.first().map(|(table, _)| table.clone());
    }
    statement.objects.extend(tables.into_iter().map(|(table, _)| Object::new(ObjectKind::Table, table)));
    Some(statement)
}

/// The tables that it hangs on, as the catalog spells them and as written.
fn tables_of(kind: &str, words: &Words<'_>) -> Vec<(String, String)> {
    let link: &[&str] = match kind {
        "CREATE RULE" => &["to"],
        "CREATE POLICY" => &["on"],
        "CREATE STATISTICS" => &["from"],
        "CREATE PUBLICATION" => &["for", "table"],
        _ => return Vec::new(),
    };
    let Some(mut rest) = words.clone().seek(link) else { return Vec::new() };
    rest.eat(&["only"]);
    let mut out = Vec::new();
    while let Some(name) = rest.name() {
        out.push((name.key(), name.source()));
        rest.parens();
        if !rest.eat_punct(",") {
            break;
        }
        rest.eat(&["table"]);
    }
    out
}
