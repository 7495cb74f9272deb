//! Which statement it is, by its first words, and all that is neither `ALTER TABLE`, `CREATE`, `DROP` nor on rows.

use super::fact::Fact;
use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;
use super::{Dialect, alter, comment, create, dml, drop, form, relation, rights};

pub(super) fn classify(words: Words<'_>) -> Statement {
    let first = words.peek().map(|w| w.text.clone()).unwrap_or_default();
    let known = match first.as_str() {
        "alter" => {
            alter::table(words.clone()).or_else(|| alter::type_(words.clone())).or_else(|| alter::object(words.clone()))
        }
        "create" => create::create(words.clone()),
        "drop" => drop::drop(words.clone()),
        "truncate" => drop::truncate(words.clone()),
        "explain" | "describe" | "desc" => explain(words.clone()),
        "grant" | "revoke" => rights::grant(words.clone()),
        "copy" => copy(words.clone()),
        "pragma" => pragma(words.clone()),
        _ => dml::dml(words.clone()).or_else(|| plain(words.clone())),
    };
    let mut statement = known.unwrap_or_else(|| {
        Statement::unknown(format!("{} is not a statement that is known here", first.to_ascii_uppercase()))
    });
    if statement.class >= Class::Session && !keeps(statement.kind) {
        super::readonly::raise_by_dangers(&words, &mut statement);
    }
    form::settle(words.dialect, None, &mut statement);
    statement
}

/// Whether the calls in its text are kept for later: whoever runs what it creates makes them.
fn keeps(kind: &str) -> bool {
    let things = ["FUNCTION", "PROCEDURE", "TRIGGER", "RULE", "POLICY", "EVENT"];
    kind.starts_with("CREATE ") && things.iter().any(|thing| kind.contains(thing))
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
        let parts = if inner.parts.is_empty() { vec![inner.kind] } else { inner.parts.clone() };
        statement = Statement { kind: "EXPLAIN ANALYZE", parts, ..inner };
        statement.raise(Class::Utility);
        return Some(statement);
    }
    if inner.class > Class::Read {
        // Planning takes the same locks.
        statement.parts = vec!["EXPLAIN", inner.kind];
    }
    // A function that calls itself immutable runs while the statement is planned.
    super::readonly::raise_by_calls(&words, &mut statement);
    statement.objects = inner.objects;
    statement.old_code = OldCode::fine("it only reads");
    statement.reverse = Reverse::None { because: "it only reads: there is nothing to undo".to_owned() };
    Some(statement)
}

fn copy(words: Words<'_>) -> Option<Statement> {
    let outside = words.later(&["program"]) || (words.later(&["to"]) && !words.later(&["to", "stdout"]));
    let from = words.later(&["from"]) && !words.later(&["to"]);
    let class = match (outside, from) {
        (true, _) => Class::Irreversible,
        (false, true) => Class::Write,
        (false, false) => Class::Utility,
    };
    let mut statement = Statement::new(class, if from { "COPY FROM" } else { "COPY TO" });
    let mut cursor = Words { at: 1, ..words.clone() };
    cursor.eat(&["binary"]);
    if cursor.peek().is_some_and(|word| word.punct("(")) {
        // The query inside is a statement of its own, and may write.
        let start = cursor.at + 1;
        cursor.parens();
        let inside = Words { all: words.all[start..cursor.at - 1].into(), at: 0, ..words };
        let inner = classify(inside);
        statement.raise(inner.class);
        statement.objects = inner.objects;
        statement.calls = inner.calls;
    } else {
        statement.objects.extend(cursor.name().map(|name| Object::new(ObjectKind::Table, name.key())));
    }
    statement.old_code = OldCode::fine("the schema is the same");
    if from {
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
    Some(Statement::new(class, "PRAGMA"))
}

/// Statements told by their first words; the longer beginnings first.
const PLAIN: [(&[&str], Class, &str); 66] = [
    (&["begin"], Class::Transaction, "BEGIN"),
    (&["start", "slave"], Class::Irreversible, "START SLAVE"),
    (&["start", "replica"], Class::Irreversible, "START REPLICA"),
    (&["start"], Class::Transaction, "START TRANSACTION"),
    // Of a transaction that somebody else prepared.
    (&["commit", "prepared"], Class::Irreversible, "COMMIT PREPARED"),
    (&["rollback", "prepared"], Class::Irreversible, "ROLLBACK PREPARED"),
    (&["commit"], Class::Transaction, "COMMIT"),
    (&["end"], Class::Transaction, "END"),
    (&["rollback"], Class::Transaction, "ROLLBACK"),
    (&["abort"], Class::Transaction, "ABORT"),
    (&["savepoint"], Class::Transaction, "SAVEPOINT"),
    (&["release"], Class::Transaction, "RELEASE SAVEPOINT"),
    (&["prepare", "transaction"], Class::Irreversible, "PREPARE TRANSACTION"),
    (&["set", "transaction"], Class::Transaction, "SET TRANSACTION"),
    (&["set", "local", "transaction"], Class::Transaction, "SET TRANSACTION"),
    (&["set", "session", "characteristics"], Class::Transaction, "SET SESSION CHARACTERISTICS"),
    (&["set", "session", "transaction"], Class::Transaction, "SET SESSION TRANSACTION"),
    (&["set", "global"], Class::Utility, "SET GLOBAL"),
    (&["set", "persist"], Class::Utility, "SET PERSIST"),
    (&["set", "persist_only"], Class::Utility, "SET PERSIST"),
    (&["set", "password"], Class::Irreversible, "SET PASSWORD"),
    (&["set", "statement"], Class::Irreversible, "SET STATEMENT"),
    (&["set", "constraints"], Class::Transaction, "SET CONSTRAINTS"),
    (&["set"], Class::Session, "SET"),
    (&["reset"], Class::Session, "RESET"),
    // It lets go of roles and of advisory locks, too.
    (&["discard", "all"], Class::Transaction, "DISCARD"),
    (&["discard"], Class::Session, "DISCARD"),
    (&["use"], Class::Session, "USE"),
    (&["listen"], Class::Session, "LISTEN"),
    (&["unlisten"], Class::Session, "UNLISTEN"),
    (&["declare"], Class::Session, "DECLARE"),
    (&["fetch"], Class::Session, "FETCH"),
    (&["move"], Class::Session, "MOVE"),
    (&["close"], Class::Session, "CLOSE"),
    (&["deallocate"], Class::Session, "DEALLOCATE"),
    // The text it prepares or runs is not the text that was shown.
    (&["prepare"], Class::Irreversible, "PREPARE"),
    (&["execute"], Class::Irreversible, "EXECUTE"),
    (&["show"], Class::Read, "SHOW"),
    (&["do"], Class::Irreversible, "DO"),
    (&["call"], Class::Irreversible, "CALL"),
    (&["load"], Class::Irreversible, "LOAD"),
    (&["lock"], Class::Utility, "LOCK TABLE"),
    (&["unlock"], Class::Utility, "UNLOCK"),
    (&["vacuum"], Class::Utility, "VACUUM"),
    (&["analyze"], Class::Utility, "ANALYZE"),
    (&["analyse"], Class::Utility, "ANALYZE"),
    (&["cluster"], Class::Utility, "CLUSTER"),
    (&["repack"], Class::Utility, "REPACK"),
    (&["reindex"], Class::Utility, "REINDEX"),
    (&["checkpoint"], Class::Utility, "CHECKPOINT"),
    (&["notify"], Class::Utility, "NOTIFY"),
    (&["refresh", "materialized", "view"], Class::Utility, "REFRESH MATERIALIZED VIEW"),
    (&["attach"], Class::Utility, "ATTACH"),
    (&["detach"], Class::Utility, "DETACH"),
    (&["flush"], Class::Utility, "FLUSH"),
    (&["kill"], Class::Utility, "KILL"),
    (&["optimize"], Class::Utility, "OPTIMIZE TABLE"),
    (&["comment"], Class::Ddl, "COMMENT"),
    (&["security"], Class::Ddl, "SECURITY LABEL"),
    // All that a role owns changes hands at once, and nothing says what that was.
    (&["reassign"], Class::Irreversible, "REASSIGN OWNED"),
    (&["import"], Class::Ddl, "IMPORT FOREIGN SCHEMA"),
    (&["rename", "table"], Class::Ddl, "RENAME TABLE"),
    (&["rename"], Class::Ddl, "RENAME"),
    (&["handler"], Class::Utility, "HANDLER"),
    (&["install"], Class::Irreversible, "INSTALL"),
    (&["uninstall"], Class::Irreversible, "UNINSTALL"),
];

fn plain(mut words: Words<'_>) -> Option<Statement> {
    let (head, class, kind) = PLAIN.iter().find(|(head, ..)| words.ahead(head))?;
    let mut statement = Statement::new(*class, kind);
    words.eat(head);
    match *kind {
        "SHOW" => {
            statement.old_code = OldCode::fine("it only reads");
            statement.reverse = Reverse::None { because: "it only reads: there is nothing to undo".to_owned() };
        }
        "SET" => set(&words, &mut statement),
        // MySQL: of the log, of replication.
        "RESET" if words.dialect == Dialect::Mysql => statement.raise(Class::Irreversible),
        "RESET" => set(&words, &mut statement),
        "LOCK TABLE" => lock(words, &mut statement),
        "VACUUM" | "CLUSTER" | "ANALYZE" => maintenance(words, &mut statement),
        "REINDEX" => reindex(words, &mut statement),
        "REFRESH MATERIALIZED VIEW" => {
            if words.eat(&["concurrently"]) {
                statement.kind = "REFRESH MATERIALIZED VIEW CONCURRENTLY";
            }
            statement.objects.extend(words.name().map(|name| Object::new(ObjectKind::MaterializedView, name.key())));
            statement.old_code = OldCode::fine("it reads newer rows");
        }
        "DECLARE" => {
            let touched = relation::touched(&words);
            statement.objects = touched.reads.into_iter().map(|name| Object::new(ObjectKind::Table, name)).collect();
            // A cursor runs its query: what that does beyond reading counts.
            let query = words.clone().seek(&["for"]).unwrap_or_else(|| words.clone());
            let inner = classify(Words { all: words.all[query.at..].into(), at: 0, ..words });
            statement.raise(inner.class);
            statement.calls = inner.calls;
        }
        "COMMENT" => comment::comment(words, &mut statement),
        "RENAME TABLE" => rename(words, &mut statement),
        _ => {}
    }
    if statement.class <= Class::Session && *kind != "SHOW" {
        statement.old_code = OldCode::fine("only this session sees it");
    }
    Some(statement)
}

/// What looks like a setting of the session and is more.
fn set(words: &Words<'_>, statement: &mut Statement) {
    let all = &words.all;
    let named = |name: &str| all.iter().any(|word| word.text.eq_ignore_ascii_case(name));
    let transaction = [
        "transaction_read_only",
        "default_transaction_read_only",
        "transaction_isolation",
        "tx_read_only",
        "transaction_deferrable",
        "default_transaction_isolation",
        "autocommit",
        "tx_isolation",
    ];
    if transaction.iter().any(|name| named(name)) {
        statement.raise(Class::Transaction);
    }
    if named("global") || named("persist") || named("persist_only") {
        statement.raise(Class::Utility);
    }
    // On these stand triggers, keys, the log, what a commit means, the reading of strings, and who one is.
    let walls = [
        "session_replication_role",
        "sql_log_bin",
        "foreign_key_checks",
        "unique_checks",
        "check_constraint_checks",
        "zero_damaged_pages",
        "backslash_quote",
        "all",
        "allow_system_table_mods",
        "standard_conforming_strings",
        "sql_mode",
        "role",
        "authorization",
        "session_authorization",
        "synchronous_commit",
        "names",
        "client_encoding",
        "character_set_client",
        "character_set_connection",
        "collation_connection",
        "ignore_system_indexes",
        "read_only",
        "init_connect",
        "session_preload_libraries",
        "local_preload_libraries",
    ];
    if walls.iter().any(|name| named(name)) {
        statement.raise(Class::Transaction);
    }
    if words.dialect == Dialect::Mysql {
        // `SET @x = (SELECT f())` runs a query.
        super::readonly::raise_by_calls(words, statement);
        if words.contains("select") {
            statement.raise(Class::Write);
        }
    }
}

/// Each mode of `LOCK TABLE` has a row of its own.
const MODES: [(&[&str], &str); 8] = [
    (&["access", "share"], "LOCK TABLE … ACCESS SHARE"),
    (&["row", "share"], "LOCK TABLE … ROW SHARE"),
    (&["row", "exclusive"], "LOCK TABLE … ROW EXCLUSIVE"),
    (&["share", "update", "exclusive"], "LOCK TABLE … SHARE UPDATE EXCLUSIVE"),
    (&["share", "row", "exclusive"], "LOCK TABLE … SHARE ROW EXCLUSIVE"),
    (&["share"], "LOCK TABLE … SHARE"),
    (&["exclusive"], "LOCK TABLE … EXCLUSIVE"),
    (&["access", "exclusive"], "LOCK TABLE"),
];

fn lock(mut words: Words<'_>, statement: &mut Statement) {
    let _ = words.eat(&["table"]) || words.eat(&["tables"]);
    statement.reverse = Reverse::None { because: "the lock goes with the transaction".to_owned() };
    statement.old_code = OldCode::fine("it waits for as long as the lock is held");
    loop {
        words.eat(&["only"]);
        let Some(name) = words.name() else { break };
        words.eat_punct("*");
        statement.objects.push(Object::new(ObjectKind::Table, name.key()));
        if words.dialect == Dialect::Mysql {
            let _ = words.eat(&["read"]) || words.eat(&["write"]) || words.eat(&["local"]);
        }
        if !words.eat_punct(",") {
            break;
        }
    }
    if words.eat(&["in"])
        && let Some((_, kind)) = MODES.iter().find(|(mode, _)| words.eat(mode))
    {
        statement.kind = kind;
    }
}

fn maintenance(mut words: Words<'_>, statement: &mut Statement) {
    let full = statement.kind == "VACUUM" && words.contains("full");
    words.parens();
    while ["full", "verbose", "analyze", "analyse", "freeze", "table", "local"].iter().any(|word| words.eat(&[word])) {}
    if words.dialect == Dialect::Sqlite && words.contains("into") {
        statement.raise(Class::Irreversible);
        return;
    }
    loop {
        words.eat(&["only"]);
        let Some(name) = words.name() else { break };
        statement.objects.push(Object::new(ObjectKind::Table, name.key()));
        words.parens();
        if !words.eat_punct(",") {
            break;
        }
    }
    let every = statement.objects.is_empty() && words.dialect == Dialect::Postgres;
    statement.kind = match (statement.kind, full, every) {
        (_, true, true) => "VACUUM FULL (every table)",
        (_, true, false) => "VACUUM FULL",
        ("VACUUM", false, true) => "VACUUM (every table)",
        ("ANALYZE", _, true) => "ANALYZE (every table)",
        ("CLUSTER", _, true) => "CLUSTER (every table)",
        (kind, ..) => kind,
    };
    statement.reverse = Reverse::None { because: "the rows are the same: there is nothing to undo".to_owned() };
    statement.old_code = OldCode::fine("the rows are the same");
}

fn reindex(mut words: Words<'_>, statement: &mut Statement) {
    let concurrently = words.contains("concurrently");
    words.parens();
    let (kind, object) = match () {
        () if words.eat(&["index"]) => ("REINDEX INDEX", ObjectKind::Index),
        () if words.eat(&["table"]) => ("REINDEX TABLE", ObjectKind::Table),
        () if words.eat(&["schema"]) => ("REINDEX SCHEMA", ObjectKind::Schema),
        () if words.eat(&["database"]) || words.eat(&["system"]) => ("REINDEX SCHEMA", ObjectKind::Database),
        () => ("REINDEX", ObjectKind::Other),
    };
    words.eat(&["concurrently"]);
    statement.kind = match (concurrently, kind) {
        (true, "REINDEX SCHEMA") => "REINDEX SCHEMA CONCURRENTLY",
        (true, _) => "REINDEX CONCURRENTLY",
        (false, kind) => kind,
    };
    statement.objects.extend(words.name().map(|name| Object::new(object, name.key())));
    statement.reverse = Reverse::None { because: "the index is the same: there is nothing to undo".to_owned() };
    statement.old_code = OldCode::fine("an index changes no answer");
}

/// MySQL: `RENAME TABLE a TO b, c TO d`, in order.
fn rename(mut words: Words<'_>, statement: &mut Statement) {
    let (mut back, mut facts) = (Vec::new(), Vec::new());
    loop {
        words.eat(&["if", "exists"]);
        let Some(from) = words.name() else { break };
        alter::eat_wait(&mut words);
        if !words.eat(&["to"]) {
            break;
        }
        let Some(to) = words.name() else { break };
        for name in [&from, &to] {
            statement.objects.push(Object::new(ObjectKind::Table, name.key()));
        }
        back.insert(0, format!("{} TO {}", to.source(), from.source()));
        facts.push(Fact::Table { name: to.key(), present: true });
        facts.push(Fact::Table { name: from.key(), present: false });
        if !words.eat_punct(",") {
            break;
        }
    }
    let single = back.len() == 1;
    statement.old_code = OldCode::both("older code still says the old name");
    statement.reverse = Reverse::Exact(format!("RENAME TABLE {}", back.join(", ")));
    // With several, one name can be taken and given again.
    statement.done = if single { facts } else { Vec::new() };
}
