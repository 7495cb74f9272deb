//! Which statement it is, by its first words, and all that is neither `ALTER TABLE`, `CREATE`, `DROP` nor on rows.

use super::fact::Fact;
use super::statement::{Class, Cost, Lock, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;
use super::{Dialect, alter, create, dml, drop};

pub(super) fn classify(words: Words<'_>) -> Statement {
    let first = words.peek().map(|w| w.text.clone()).unwrap_or_default();
    let known = match first.as_str() {
        "alter" if words.ahead(&["alter", "table"]) || words.ahead(&["alter", "foreign", "table"]) => {
            alter::table(words.clone())
        }
        "alter" => alter::type_(words.clone()).or_else(|| other_alter(words.clone())),
        "create" => create::create(words.clone()),
        "drop" => drop::drop(words.clone()),
        "truncate" => drop::truncate(words.clone()),
        "explain" | "describe" | "desc" => explain(words.clone()),
        "grant" | "revoke" => grant(words.clone()),
        "copy" => copy(words.clone()),
        "pragma" => pragma(words.clone()),
        _ => dml::dml(words.clone()).or_else(|| plain(words.clone())),
    };
    let statement = known.unwrap_or_else(|| {
        Statement::unknown(format!("{} is not a statement that is known here", first.to_ascii_uppercase()))
    });
    in_dialect(words.dialect, statement)
}

/// Locks are told in PostgreSQL's terms first; the others have fewer.
fn in_dialect(dialect: Dialect, mut statement: Statement) -> Statement {
    let changes = statement.class >= Class::Ddl;
    match dialect {
        Dialect::Postgres => {}
        Dialect::Sqlite => statement.lock = statement.lock.map(|_| Lock::DATABASE_WRITE),
        Dialect::Mysql => {
            statement.lock = statement.lock.map(|_| if changes { Lock::METADATA } else { Lock::SHARED_METADATA });
            // DDL commits by itself.
            statement.transactional &= !changes;
        }
    }
    statement
}

fn explain(mut words: Words<'_>) -> Option<Statement> {
    words.at += 1;
    let mut analyze = words.eat(&["analyze"]) || words.eat(&["analyse"]);
    words.eat(&["verbose"]);
    if words.dialect == Dialect::Sqlite {
        words.eat(&["query", "plan"]);
    }
    if words.peek().is_some_and(|w| w.punct("(")) {
        let from = words.at;
        let mut inside = words.clone();
        inside.parens();
        let options = &words.all[from..inside.at];
        // `EXPLAIN (SELECT 1)` has a query in the parentheses.
        if !options.iter().any(|w| ["select", "with", "values", "table"].iter().any(|q| w.is(q))) {
            analyze |= options.iter().any(|w| w.is("analyze") || w.is("analyse"));
            words.at = inside.at;
        }
    }
    // Whatever stands between: with ANALYZE in it, the statement runs.
    analyze |= words.ahead(&["analyze"]);
    words.eat(&["analyze"]);
    let rest = Words { all: words.all[words.at.min(words.all.len())..].into(), at: 0, ..words };
    let inner = classify(rest);
    let mut statement = Statement::new(Class::Read, if analyze { "EXPLAIN ANALYZE" } else { "EXPLAIN" });
    if analyze {
        // It runs the statement; even a read is not a plan only.
        statement = Statement { kind: "EXPLAIN ANALYZE", ..inner };
        statement.raise(Class::Utility);
        return Some(statement);
    }
    statement.objects = inner.objects;
    statement.calls = inner.calls;
    statement.cost = Cost::CatalogOnly;
    statement.old_code = OldCode::fine("it only reads");
    statement.reverse = Reverse::None { because: "it only reads: there is nothing to undo".to_owned() };
    Some(statement)
}

fn grant(mut words: Words<'_>) -> Option<Statement> {
    let grants = words.eat(&["grant"]);
    if !grants {
        words.eat(&["revoke"]).then_some(())?;
    }
    let kind = if grants { "GRANT" } else { "REVOKE" };
    let from = words.at;
    let (link, opposite, back) = if grants { ("to", "REVOKE", "FROM") } else { ("from", "GRANT", "TO") };
    let mut on = None;
    while !words.done() && !words.ahead(&[link]) {
        if words.ahead(&["on"]) {
            on = Some(words.at + 1);
        }
        words.at += 1;
    }
    let what = words.text(from, words.at).to_owned();
    words.eat(&[link]).then_some(())?;
    let roles = words.at;
    let stops = ["with", "granted", "cascade", "restrict"];
    while !words.done() && !stops.iter().any(|stop| words.ahead(&[stop])) {
        words.at += 1;
    }
    let to = words.text(roles, words.at).to_owned();
    let mut statement = Statement::new(Class::Ddl, kind);
    if let Some(at) = on {
        let mut object = Words { at, ..words.clone() };
        let (kind, plain) = [
            ("schema", ObjectKind::Schema),
            ("sequence", ObjectKind::Sequence),
            ("function", ObjectKind::Function),
            ("database", ObjectKind::Database),
            ("type", ObjectKind::Type),
        ]
        .into_iter()
        .find(|(word, _)| object.eat(&[word]))
        .map_or((ObjectKind::Table, true), |(_, kind)| (kind, false));
        if plain {
            object.eat(&["table"]);
        }
        while let Some(name) = object.name() {
            statement.objects.push(Object::new(kind, name.key()));
            object.parens();
            if !object.eat_punct(",") {
                break;
            }
        }
    }
    statement.cost = Cost::CatalogOnly;
    statement.transactional = words.dialect == Dialect::Postgres;
    statement.old_code = if grants {
        OldCode::fine("it may do more than before")
    } else {
        OldCode::both("what it is no longer allowed to do fails")
    };
    statement.reverse = Reverse::NeedsSaved {
        what: "the rights as they were (relacl): some may have been there before".to_owned(),
        sql: Some(format!("{opposite} {what} {back} {to}")),
    };
    Some(statement)
}

fn copy(words: Words<'_>) -> Option<Statement> {
    let outside = words.later(&["program"]) || (words.later(&["to"]) && !words.later(&["to", "stdout"]));
    let from = words.later(&["from"]);
    let class = match (outside, from) {
        (true, _) => Class::Irreversible,
        (false, true) => Class::Write,
        (false, false) => Class::Utility,
    };
    let mut statement = Statement::new(class, "COPY");
    let mut cursor = Words { at: 1, ..words };
    statement.objects.extend(cursor.name().map(|name| Object::new(ObjectKind::Table, name.key())));
    if from {
        statement.lock = Some(Lock::ROW_EXCLUSIVE);
        let what = "the keys of the rows it writes".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    }
    Some(statement)
}

/// Pragmas that only tell, when nothing is assigned.
const TELLING: &str = "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list \
    foreign_key_check database_list function_list integrity_check quick_check compile_options collation_list module_list \
    pragma_list";
/// Pragmas that tell without an argument and set with one.
const SETTINGS: &str = "journal_mode page_count page_size schema_version user_version foreign_keys query_only encoding \
    application_id freelist_count data_version busy_timeout synchronous cache_size auto_vacuum";

fn pragma(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["pragma"]).then_some(())?;
    let name = words.name()?.last_part().key();
    let known = |list: &str| list.split_whitespace().any(|known| known == name);
    let argument = !words.done();
    let assigned = words.peek().is_some_and(|w| w.punct("="));
    let class =
        if (known(TELLING) && !assigned) || (known(SETTINGS) && !argument) { Class::Read } else { Class::Utility };
    let mut statement = Statement::new(class, "PRAGMA");
    statement.transactional = class == Class::Read;
    Some(statement)
}

/// `ALTER` of what is not a table or a type.
fn other_alter(mut words: Words<'_>) -> Option<Statement> {
    words.eat(&["alter"]).then_some(())?;
    let things: [(&[&str], &str, &'static str, ObjectKind); 6] = [
        (&["index"], "INDEX", "ALTER INDEX … RENAME TO", ObjectKind::Index),
        (
            &["materialized", "view"],
            "MATERIALIZED VIEW",
            "ALTER MATERIALIZED VIEW … RENAME TO",
            ObjectKind::MaterializedView,
        ),
        (&["view"], "VIEW", "ALTER VIEW … RENAME TO", ObjectKind::View),
        (&["sequence"], "SEQUENCE", "ALTER SEQUENCE … RENAME TO", ObjectKind::Sequence),
        (&["schema"], "SCHEMA", "ALTER SCHEMA … RENAME TO", ObjectKind::Schema),
        (&["domain"], "DOMAIN", "ALTER DOMAIN … RENAME TO", ObjectKind::Type),
    ];
    let outside = ["system", "database", "tablespace"].iter().any(|word| words.ahead(&[word]));
    let mut statement = Statement::new(Class::Ddl, "ALTER");
    statement.transactional = !outside && words.dialect != Dialect::Mysql;
    let what = "the definition as it was".to_owned();
    statement.reverse = Reverse::NeedsSaved { what, sql: None };
    let Some((_, noun, kind, object)) = things.iter().find(|(head, ..)| words.eat(head)) else {
        words.at += 1;
        statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::Other, name.key())));
        return Some(statement);
    };
    words.eat(&["if", "exists"]);
    let name = words.name()?;
    statement.objects.push(Object::new(*object, name.key()));
    if words.eat(&["rename", "to"]) {
        let new = name.sibling(&words.ident()?);
        let fact = |name: String, present| match object {
            ObjectKind::Index => Some(Fact::Index { name, valid: false, present }),
            ObjectKind::View | ObjectKind::MaterializedView => Some(Fact::View { name, present }),
            ObjectKind::Schema => Some(Fact::Schema { name, present }),
            ObjectKind::Type => Some(Fact::Type { name, present }),
            _ => None,
        };
        statement.kind = kind;
        statement.cost = Cost::CatalogOnly;
        let locks = !matches!(object, ObjectKind::Schema | ObjectKind::Type);
        let mode = if *object == ObjectKind::Index { Lock::SHARE_UPDATE_EXCLUSIVE } else { Lock::ACCESS_EXCLUSIVE };
        statement.lock = locks.then_some(mode);
        statement.old_code = match object {
            ObjectKind::Index => OldCode::fine("an index changes no answer"),
            _ => OldCode::both(format!("older code still says {}", name.key())),
        };
        statement.reverse =
            Reverse::Exact(format!("ALTER {noun} {} RENAME TO {}", new.source(), name.last_part().source()));
        statement.done = fact(new.key(), true).into_iter().chain(fact(name.key(), false)).collect();
    }
    Some(statement)
}

/// Statements told by their first words; the longer beginnings first.
const PLAIN: [(&[&str], Class, &str, bool); 56] = [
    (&["begin"], Class::Transaction, "BEGIN", true),
    (&["start"], Class::Transaction, "START TRANSACTION", true),
    (&["commit"], Class::Transaction, "COMMIT", true),
    (&["end"], Class::Transaction, "END", true),
    (&["rollback"], Class::Transaction, "ROLLBACK", true),
    (&["abort"], Class::Transaction, "ABORT", true),
    (&["savepoint"], Class::Transaction, "SAVEPOINT", true),
    (&["release"], Class::Transaction, "RELEASE SAVEPOINT", true),
    (&["prepare", "transaction"], Class::Irreversible, "PREPARE TRANSACTION", true),
    (&["set", "transaction"], Class::Transaction, "SET TRANSACTION", true),
    (&["set", "session", "characteristics"], Class::Transaction, "SET SESSION CHARACTERISTICS", true),
    (&["set", "session", "transaction"], Class::Transaction, "SET SESSION TRANSACTION", true),
    (&["set", "autocommit"], Class::Transaction, "SET autocommit", true),
    (&["set", "global"], Class::Utility, "SET GLOBAL", false),
    (&["set", "persist"], Class::Utility, "SET PERSIST", false),
    (&["set", "password"], Class::Irreversible, "SET PASSWORD", false),
    (&["set"], Class::Session, "SET", true),
    (&["reset"], Class::Session, "RESET", true),
    (&["discard"], Class::Session, "DISCARD", false),
    (&["use"], Class::Session, "USE", true),
    (&["listen"], Class::Session, "LISTEN", true),
    (&["unlisten"], Class::Session, "UNLISTEN", true),
    (&["declare"], Class::Session, "DECLARE", true),
    (&["fetch"], Class::Session, "FETCH", true),
    (&["move"], Class::Session, "MOVE", true),
    (&["close"], Class::Session, "CLOSE", true),
    (&["deallocate"], Class::Session, "DEALLOCATE", true),
    // The text it prepares or runs is not the text that was shown.
    (&["prepare"], Class::Irreversible, "PREPARE", true),
    (&["execute"], Class::Irreversible, "EXECUTE", true),
    (&["show"], Class::Read, "SHOW", true),
    (&["do"], Class::Irreversible, "DO", true),
    (&["call"], Class::Irreversible, "CALL", true),
    (&["load"], Class::Irreversible, "LOAD", false),
    (&["lock"], Class::Utility, "LOCK", true),
    (&["unlock"], Class::Utility, "UNLOCK", false),
    (&["vacuum"], Class::Utility, "VACUUM", false),
    (&["analyze"], Class::Utility, "ANALYZE", true),
    (&["cluster"], Class::Utility, "CLUSTER", true),
    (&["repack"], Class::Utility, "REPACK", false),
    (&["reindex"], Class::Utility, "REINDEX", true),
    (&["checkpoint"], Class::Utility, "CHECKPOINT", false),
    (&["notify"], Class::Utility, "NOTIFY", true),
    (&["refresh", "materialized", "view"], Class::Utility, "REFRESH MATERIALIZED VIEW", true),
    (&["attach"], Class::Utility, "ATTACH", false),
    (&["detach"], Class::Utility, "DETACH", false),
    (&["flush"], Class::Utility, "FLUSH", false),
    (&["kill"], Class::Utility, "KILL", false),
    (&["optimize"], Class::Utility, "OPTIMIZE TABLE", false),
    (&["comment"], Class::Ddl, "COMMENT", true),
    (&["security"], Class::Ddl, "SECURITY LABEL", true),
    (&["reassign"], Class::Ddl, "REASSIGN OWNED", true),
    (&["import"], Class::Ddl, "IMPORT FOREIGN SCHEMA", true),
    (&["rename"], Class::Ddl, "RENAME TABLE", false),
    (&["handler"], Class::Utility, "HANDLER", false),
    (&["install"], Class::Irreversible, "INSTALL", false),
    (&["uninstall"], Class::Irreversible, "UNINSTALL", false),
];

fn plain(mut words: Words<'_>) -> Option<Statement> {
    let (head, class, kind, transactional) = PLAIN.iter().find(|(head, ..)| words.ahead(head))?;
    let mut statement = Statement::new(*class, kind);
    statement.transactional = *transactional;
    words.eat(head);
    match *kind {
        "SHOW" => {
            statement.old_code = OldCode::fine("it only reads");
            statement.reverse = Reverse::None { because: "it only reads: there is nothing to undo".to_owned() };
        }
        "LOCK" => {
            words.eat(&["table"]);
            statement.lock = Some(if words.contains("exclusive") || !words.contains("mode") {
                Lock::ACCESS_EXCLUSIVE
            } else {
                Lock::SHARE
            });
            statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::Table, name.key())));
        }
        "VACUUM" | "CLUSTER" | "ANALYZE" => {
            let full = *kind == "CLUSTER" || words.contains("full");
            words.parens();
            while ["full", "verbose", "analyze", "freeze"].iter().any(|word| words.eat(&[word])) {}
            statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::Table, name.key())));
            statement.lock = Some(if full { Lock::ACCESS_EXCLUSIVE } else { Lock::SHARE_UPDATE_EXCLUSIVE });
            statement.cost = if full { Cost::Rewrite } else { Cost::Scan };
            statement.old_code = OldCode::fine("the rows are the same");
        }
        "REINDEX" => {
            let concurrently = words.contains("concurrently");
            statement.lock = Some(if concurrently { Lock::SHARE_UPDATE_EXCLUSIVE } else { Lock::ACCESS_EXCLUSIVE });
            statement.cost = Cost::IndexBuild;
            statement.transactional = !concurrently;
            words.at = words.all.len().saturating_sub(1);
            statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::Other, name.key())));
            statement.old_code = OldCode::fine("an index changes no answer");
        }
        "REFRESH MATERIALIZED VIEW" => {
            let concurrently = words.eat(&["concurrently"]);
            statement.lock = Some(if concurrently { Lock::EXCLUSIVE } else { Lock::ACCESS_EXCLUSIVE });
            statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::MaterializedView, name.key())));
        }
        "COMMENT" => {
            statement.lock = Some(Lock::SHARE_UPDATE_EXCLUSIVE);
            statement.cost = Cost::CatalogOnly;
            statement.old_code = OldCode::fine("no code reads comments");
            let what = "the comment as it was".to_owned();
            statement.reverse = Reverse::NeedsSaved { what, sql: None };
        }
        _ => {}
    }
    if statement.class <= Class::Session {
        statement.old_code = OldCode::fine("only this session sees it");
    }
    Some(statement)
}
