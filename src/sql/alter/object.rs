//! `ALTER` of what is neither a table nor a type: indexes, views, sequences, functions, roles, the server.

use super::super::fact::Fact;
use super::super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::super::words::{Name, Words};

/// Words, noun, the form of its renaming, the form of all else, what it is.
type Thing = (&'static [&'static str], &'static str, &'static str, &'static str, ObjectKind);

const THINGS: [Thing; 9] = [
    (&["index"], "INDEX", "ALTER INDEX … RENAME TO", "ALTER INDEX", ObjectKind::Index),
    (
        &["materialized", "view"],
        "MATERIALIZED VIEW",
        "ALTER MATERIALIZED VIEW … RENAME TO",
        "ALTER MATERIALIZED VIEW",
        ObjectKind::MaterializedView,
    ),
    (&["view"], "VIEW", "ALTER VIEW … RENAME TO", "ALTER VIEW", ObjectKind::View),
    (&["sequence"], "SEQUENCE", "ALTER SEQUENCE … RENAME TO", "ALTER SEQUENCE", ObjectKind::Sequence),
    (&["schema"], "SCHEMA", "ALTER SCHEMA … RENAME TO", "ALTER SCHEMA", ObjectKind::Schema),
    (&["domain"], "DOMAIN", "ALTER DOMAIN … RENAME TO", "ALTER DOMAIN", ObjectKind::Type),
    (&["function"], "FUNCTION", "ALTER FUNCTION … RENAME TO", "ALTER FUNCTION", ObjectKind::Function),
    (&["procedure"], "PROCEDURE", "ALTER FUNCTION … RENAME TO", "ALTER PROCEDURE", ObjectKind::Procedure),
    (&["routine"], "ROUTINE", "ALTER FUNCTION … RENAME TO", "ALTER FUNCTION", ObjectKind::Function),
];

/// What is told by its first words alone.
const REST: [(&[&str], &str, ObjectKind); 16] = [
    (&["role"], "ALTER ROLE", ObjectKind::Role),
    (&["user", "mapping"], "ALTER USER MAPPING", ObjectKind::Other),
    (&["user"], "ALTER ROLE", ObjectKind::Role),
    (&["group"], "ALTER ROLE", ObjectKind::Role),
    (&["database"], "ALTER DATABASE", ObjectKind::Database),
    (&["tablespace"], "ALTER TABLESPACE", ObjectKind::Other),
    (&["extension"], "ALTER EXTENSION", ObjectKind::Extension),
    (&["publication"], "ALTER PUBLICATION", ObjectKind::Other),
    (&["subscription"], "ALTER SUBSCRIPTION", ObjectKind::Other),
    (&["statistics"], "ALTER STATISTICS", ObjectKind::Other),
    (&["event", "trigger"], "ALTER EVENT TRIGGER", ObjectKind::Other),
    (&["event"], "ALTER EVENT", ObjectKind::Other),
    (&["aggregate"], "ALTER FUNCTION", ObjectKind::Function),
    (&["server"], "ALTER SERVER", ObjectKind::Other),
    (&["collation"], "ALTER COLLATION", ObjectKind::Other),
    (&["operator"], "ALTER OPERATOR", ObjectKind::Other),
];

pub(in super::super) fn object(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter"]).then_some(())?;
    let mut statement = Statement::new(Class::Ddl, "ALTER");
    let what = "the definition as it was".to_owned();
    statement.reverse = Reverse::NeedsSaved { what, sql: None };
    if words.eat(&["system"]) {
        statement.kind = "ALTER SYSTEM";
        statement.old_code = OldCode::both("the whole server works by it after the next reload or restart");
        return Some(statement);
    }
    if words.eat(&["default", "privileges"]) {
        statement.kind = "ALTER DEFAULT PRIVILEGES";
        statement.old_code = OldCode::fine("only objects made from now on have other rights");
        return Some(statement);
    }
    if let Some(thing) = THINGS.iter().find(|(head, ..)| words.eat(head)) {
        return thing_altered(words, thing, statement);
    }
    for (word, kind, renamed) in [
        ("trigger", "ALTER TRIGGER", "ALTER TRIGGER … RENAME TO"),
        ("rule", "ALTER RULE", "ALTER RULE … RENAME TO"),
        ("policy", "ALTER POLICY", "ALTER POLICY"),
    ] {
        if words.eat(&[word]) {
            return on_table(words, word, kind, renamed, statement);
        }
    }
    let found = REST.iter().find(|(head, ..)| words.eat(head));
    statement.kind = found.map_or("ALTER", |(_, kind, _)| kind);
    words.eat(&["if", "exists"]);
    let kind = found.map_or(ObjectKind::Other, |(.., kind)| *kind);
    statement.objects.extend(words.name().map(|name| Object::new(kind, name.key())));
    match statement.kind {
        "ALTER DATABASE" if words.ahead(&["set", "tablespace"]) => {
            statement.kind = "ALTER DATABASE … SET TABLESPACE";
            statement.old_code = OldCode::fine("the rows are the same");
        }
        "ALTER PUBLICATION" => {
            if let Some(mut rest) = words.clone().seek(&["table"]) {
                rest.eat(&["only"]);
                statement.objects.extend(rest.name().map(|name| Object::new(ObjectKind::Table, name.key())));
            }
            statement.old_code = OldCode::writes(super::super::create::PUBLISHED);
        }
        // Their scripts and connections can do anything.
        "ALTER EXTENSION" | "ALTER SUBSCRIPTION" | "ALTER" => statement.raise(Class::Irreversible),
        _ => {}
    }
    Some(statement)
}

fn thing_altered(mut words: Words<'_>, thing: &Thing, mut statement: Statement) -> Option<Statement> {
    let (_, noun, renamed, kind, object) = thing;
    statement.kind = kind;
    words.eat(&["if", "exists"]);
    let name = words.name()?;
    let arguments = words.arguments().map(|text| format!("({text})")).unwrap_or_default();
    statement.objects.push(Object::new(*object, name.key()));
    if words.eat(&["rename", "to"]) {
        let new = name.sibling(&words.ident()?);
        statement.kind = renamed;
        statement.old_code = match object {
            ObjectKind::Index => {
                OldCode::writes("ON CONFLICT ON CONSTRAINT says the name of a key, which is its index's")
            }
            _ => OldCode::both(format!("older code still says {}", name.key())),
        };
        statement.reverse =
            Reverse::Exact(format!("ALTER {noun} {}{arguments} RENAME TO {}", new.source(), name.last_part().source()));
        let facts = [fact(*object, &new, &arguments, true), fact(*object, &name, &arguments, false)];
        statement.done = facts.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default();
        return Some(statement);
    }
    let cascade = words.contains("cascade");
    match object {
        ObjectKind::Index => index(&words, &mut statement),
        ObjectKind::Type => domain(words, &name, &mut statement),
        ObjectKind::Sequence => {
            statement.kind = match () {
                () if words.ahead(&["owner", "to"]) => "ALTER SEQUENCE … OWNER TO",
                () if words.ahead(&["set", "schema"]) => "ALTER SEQUENCE … SET SCHEMA",
                () if words.ahead(&["set", "logged"]) || words.ahead(&["set", "unlogged"]) => {
                    "ALTER SEQUENCE … SET LOGGED"
                }
                () => kind,
            };
            if statement.kind != *kind {
                let what = "the setting as it was".to_owned();
                statement.reverse = Reverse::NeedsSaved { what, sql: None };
                return Some(statement);
            }
            statement.old_code = OldCode::writes("it may be given numbers that exist already");
            let what = "the definition and the last value".to_owned();
            statement.reverse = Reverse::NeedsSaved { what, sql: None };
        }
        ObjectKind::MaterializedView => materialized(&words, &mut statement),
        _ => {}
    }
    if cascade {
        statement.raise(Class::Irreversible);
    }
    Some(statement)
}

fn materialized(words: &Words<'_>, statement: &mut Statement) {
    let bracket = words.all.get(words.at + 1).is_some_and(|word| word.punct("("));
    statement.kind = match () {
        () if (words.ahead(&["set"]) || words.ahead(&["reset"])) && bracket => "ALTER MATERIALIZED VIEW … SET (…)",
        () if words.ahead(&["alter"]) && words.later(&["set", "statistics"]) => {
            "ALTER MATERIALIZED VIEW … SET STATISTICS"
        }
        () => return,
    };
    statement.old_code = OldCode::fine("only storage and the planner look at it");
}

fn fact(object: ObjectKind, name: &Name, arguments: &str, present: bool) -> Option<Fact> {
    let name = name.key();
    match object {
        ObjectKind::Index => Some(Fact::Index { name, valid: false, present }),
        ObjectKind::View | ObjectKind::MaterializedView => Some(Fact::View { name, present }),
        ObjectKind::Schema => Some(Fact::Schema { name, present }),
        ObjectKind::Type => Some(Fact::Type { name, present }),
        ObjectKind::Function if arguments == "()" => Some(Fact::Function { name: format!("{name}()"), present }),
        _ => None,
    }
}

fn index(words: &Words<'_>, statement: &mut Statement) {
    statement.old_code = OldCode::fine("an index changes no answer");
    let bracket = words.all.get(words.at + 1).is_some_and(|word| word.punct("("));
    if (words.ahead(&["set"]) || words.ahead(&["reset"])) && bracket {
        statement.kind = "ALTER INDEX … SET (…)";
    } else if words.ahead(&["set", "tablespace"]) {
        statement.kind = "ALTER INDEX … SET TABLESPACE";
    } else if words.ahead(&["alter"]) {
        statement.kind = "ALTER INDEX … SET STATISTICS";
    }
}

fn domain(mut words: Words<'_>, name: &Name, statement: &mut Statement) {
    let key = name.key();
    statement.old_code = OldCode::writes("values that the domain refuses fail");
    let drops = words.ahead(&["drop"]);
    if words.ahead(&["set", "default"]) || words.ahead(&["drop", "default"]) {
        statement.kind = "ALTER DOMAIN … SET DEFAULT";
        statement.old_code = OldCode::writes("rows written without the column get another default, or none");
    } else if words.eat(&["rename", "constraint"]) {
        statement.kind = "ALTER DOMAIN … RENAME CONSTRAINT";
        statement.old_code = OldCode::fine("only error messages name a constraint");
        if let (Some(from), true, Some(to)) = (words.ident(), words.eat(&["to"]), words.ident()) {
            let (domain, from, to) = (name.source(), from.source(), to.source());
            statement.reverse = Reverse::Exact(format!("ALTER DOMAIN {domain} RENAME CONSTRAINT {to} TO {from}"));
        }
    } else if words.ahead(&["owner"]) {
        statement.kind = "ALTER DOMAIN … OWNER TO";
        statement.old_code = OldCode::fine("the domain is the same");
    } else if words.ahead(&["set", "schema"]) {
        statement.kind = "ALTER DOMAIN … SET SCHEMA";
        statement.old_code = OldCode::both("older code finds the domain by its schema");
    } else if drops {
        statement.kind = "ALTER DOMAIN … DROP";
        statement.old_code = OldCode::fine("it may only write more than before");
    } else if words.eat(&["add"]) {
        let not_valid = words.later(&["not", "valid"]);
        statement.kind = if not_valid { "ALTER DOMAIN … NOT VALID" } else { "ALTER DOMAIN … constraint" };
        if words.eat(&["constraint"])
            && let Some(constraint) = words.ident()
        {
            statement.reverse =
                Reverse::Exact(format!("ALTER DOMAIN {} DROP CONSTRAINT {}", name.source(), constraint.source()));
        }
    } else if words.ahead(&["set", "not", "null"]) {
        statement.kind = "ALTER DOMAIN … constraint";
        statement.reverse = Reverse::Exact(format!("ALTER DOMAIN {} DROP NOT NULL", name.source()));
    } else if words.ahead(&["validate"]) {
        statement.kind = "ALTER DOMAIN … constraint";
        statement.old_code = OldCode::fine(&format!("the constraint of {key} held for new rows before"));
    }
}

/// `ALTER TRIGGER|RULE|POLICY name ON table …`.
fn on_table(
    mut words: Words<'_>,
    noun: &str,
    kind: &'static str,
    renamed: &'static str,
    mut statement: Statement,
) -> Option<Statement> {
    statement.kind = kind;
    let name = words.name()?;
    words.eat(&["on"]).then_some(())?;
    let table = words.name()?;
    let (key, on) = (name.key(), table.key());
    let trigger = noun == "trigger";
    let object = if trigger { ObjectKind::Trigger } else { ObjectKind::Other };
    statement.objects = vec![Object::new(ObjectKind::Table, &on), Object::of(object, &on, &key)];
    statement.old_code = OldCode::both("rows may be hidden from it, and its writes changed or refused");
    if words.eat(&["rename", "to"]) {
        let new = words.ident()?;
        statement.kind = renamed;
        statement.old_code = OldCode::fine("no code says its name");
        let noun = noun.to_ascii_uppercase();
        statement.reverse =
            Reverse::Exact(format!("ALTER {noun} {} ON {} RENAME TO {}", new.source(), table.source(), name.source()));
        let fact = |name: String, present| Fact::Trigger { table: on.clone(), name, present };
        if trigger {
            statement.done = vec![fact(new.key(), true), fact(key, false)];
        }
    }
    Some(statement)
}
