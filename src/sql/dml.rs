//! Statements on rows: `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, and what hides inside them.

use super::Dialect;
use super::readonly;
use super::relation;
use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;

pub(super) fn dml(words: Words<'_>) -> Option<Statement> {
    let verb = verb(&words)?;
    let mut statement = match verb {
        "insert" | "replace" => change("INSERT"),
        "update" => change("UPDATE"),
        "delete" => change("DELETE"),
        "merge" => change("MERGE"),
        "values" => Statement::new(Class::Read, "VALUES"),
        "table" => Statement::new(Class::Read, "TABLE"),
        _ => select(&words),
    };
    if verb == "replace" {
        statement.kind = "REPLACE";
    }
    let overwrites = verb == "replace" || words.contains("conflict") || words.contains("duplicate");
    if overwrites || verb == "merge" || (verb == "insert" && words.ahead(&["insert", "or", "replace"])) {
        let what = "the rows as they were, and the keys of those that it adds".to_owned();
        statement.reverse = Reverse::NeedsSaved { what, sql: None };
    }
    let touched = relation::touched(&words);
    if statement.class == Class::Write && touched.writes.len() > 1 {
        statement.kind = "WITH … data-modifying";
    }
    let mut names: Vec<String> = touched.writes.iter().chain(&touched.reads).cloned().collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    statement.objects = names.into_iter().map(|name| Object::new(ObjectKind::Table, name)).collect();
    if let Some(table) = touched.writes.first() {
        let columns = touched.columns.iter().map(|column| Object::of(ObjectKind::Column, table, column));
        statement.objects.extend(columns);
    }
    if statement.class == Class::Read {
        read(&words, &mut statement);
    }
    if words.dialect == Dialect::Mysql && words.all.windows(2).any(|pair| pair[0].punct(":") && pair[1].punct("=")) {
        statement.raise(Class::Session);
    }
    readonly::raise_by_calls(&words, &mut statement);
    if let Some(table) = touched.writes.iter().find(|table| of_the_server(words.dialect, table)) {
        statement.raise(Class::Irreversible);
        let because = format!("{table} is the server's own: what a write to it does to the server is not known");
        statement.reverse = Reverse::None { because };
    }
    Some(statement)
}

/// Catalogs and settings that look like tables.
fn of_the_server(dialect: Dialect, table: &str) -> bool {
    let name = table.to_ascii_lowercase();
    let (schema, last) = name.rsplit_once('.').unwrap_or(("", &name));
    match dialect {
        Dialect::Postgres => {
            ["pg_catalog", "information_schema", "pg_toast"].contains(&schema)
                || (schema.is_empty() && last.starts_with("pg_"))
        }
        Dialect::Mysql => ["mysql", "sys", "performance_schema", "information_schema"].contains(&schema),
        // Where a counter stands is a row like any other.
        Dialect::Sqlite => last.starts_with("sqlite_") && last != "sqlite_sequence",
    }
}

/// The verb that the statement stands for: behind `WITH …`, inside parentheses.
fn verb<'w>(words: &'w Words<'_>) -> Option<&'w str> {
    let verbs = ["select", "insert", "update", "delete", "merge", "values", "table", "replace"];
    let at = (0..words.all.len()).find(|i| !words.all[*i].punct("("))?;
    let first = &words.all[at];
    if !first.is("with") {
        return verbs.iter().any(|verb| first.is(verb)).then_some(first.text.as_str());
    }
    let mut depth = 0usize;
    words.all[at..].iter().find_map(|word| {
        if word.punct("(") {
            depth += 1;
        } else if word.punct(")") {
            depth = depth.saturating_sub(1);
        }
        (depth == 0 && verbs.iter().any(|verb| word.is(verb))).then_some(word.text.as_str())
    })
}

fn change(kind: &'static str) -> Statement {
    let mut statement = Statement::new(Class::Write, kind);
    statement.old_code = OldCode::fine("the schema is the same; whether it knows the new values is for the runbook");
    let what = match kind {
        "INSERT" => "the keys of the rows it writes",
        _ => "the rows as they were",
    };
    statement.reverse = Reverse::NeedsSaved { what: what.to_owned(), sql: None };
    statement
}

fn select(words: &Words<'_>) -> Statement {
    let mut statement = Statement::new(Class::Read, "SELECT");
    // `INSERT INTO` in a WITH is another thing.
    let verbs = ["insert", "merge", "replace", "ignore"];
    let mut pairs = words.all.windows(2);
    if pairs.any(|pair| pair[1].is("into") && !verbs.iter().any(|verb| pair[0].is(verb))) {
        match words.dialect {
            Dialect::Mysql => {
                statement = Statement::new(Class::Irreversible, "SELECT INTO");
                let because = "it writes a file on the server, or a variable".to_owned();
                statement.reverse = Reverse::None { because };
            }
            _ => {
                statement = Statement::new(Class::Ddl, "SELECT INTO");
                let what = "nothing, but DROP TABLE for the new table must be written by hand".to_owned();
                statement.reverse = Reverse::NeedsSaved { what, sql: None };
            }
        }
    }
    statement
}

/// A reading statement that writes inside, or locks what it reads.
fn read(words: &Words<'_>, statement: &mut Statement) {
    statement.old_code = OldCode::fine("it only reads");
    statement.reverse = Reverse::None { because: "it only reads: there is nothing to undo".to_owned() };
    if let Some((what, _)) = readonly::inner_write(words) {
        let locks = what.starts_with("FOR ");
        statement.raise(Class::Write);
        statement.kind = if locks { "SELECT … FOR UPDATE" } else { "WITH … data-modifying" };
        if !locks {
            let what = "the rows as they were".to_owned();
            statement.reverse = Reverse::NeedsSaved { what, sql: None };
        }
    }
}
