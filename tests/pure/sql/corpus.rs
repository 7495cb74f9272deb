//! The statements of `tests/corpus/sql`, each with its class: not one is told milder than it is.

use backout::sql::{Class, Dialect, check_read_only, judge};

/// `\n`, `\t`, `\r`, `\\` and `\u{…}` as in a string of Rust.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let escape = after.chars().next().unwrap();
        rest = &after[1..];
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            '\\' => out.push('\\'),
            'u' => {
                let (code, after) = rest[1..].split_once('}').unwrap();
                out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
                rest = after;
            }
            other => panic!("\\{other} in {text}"),
        }
    }
    out + rest
}

fn class(word: &str) -> Class {
    match word {
        "Read" => Class::Read,
        "Session" => Class::Session,
        "Write" => Class::Write,
        "Transaction" => Class::Transaction,
        "Utility" => Class::Utility,
        "Ddl" => Class::Ddl,
        "Irreversible" => Class::Irreversible,
        other => panic!("{other} is no class"),
    }
}

/// The dialect, the class, whether a check may run it, and the text.
pub fn statements() -> Vec<(Dialect, Class, bool, String)> {
    let mut out = Vec::new();
    for (dialect, file) in [(Dialect::Postgres, "postgres"), (Dialect::Mysql, "mysql"), (Dialect::Sqlite, "sqlite")] {
        let text = std::fs::read_to_string(format!("tests/corpus/sql/{file}.txt")).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap();
            let (mark, sql) = rest.split_at(1);
            let class = class(word);
            out.push((
                dialect,
                class,
                class == Class::Read && mark == "|",
                decoded(sql.strip_prefix(' ').unwrap_or(sql)),
            ));
        }
    }
    out
}

#[test]
fn no_statement_is_told_milder_than_it_is() {
    let all = statements();
    assert!(all.len() >= 120, "{} statements", all.len());
    let mut wrong = Vec::new();
    for (dialect, expected, checked, sql) in &all {
        let found = judge(*dialect, sql);
        if found.class != *expected {
            let milder = if found.class < *expected { "MILDER" } else { "harsher" };
            wrong.push(format!(
                "{milder}: {dialect}: {sql:?} is {:?} ({}), expected {expected:?}",
                found.class, found.kind
            ));
        }
        match check_read_only(*dialect, sql) {
            Ok(()) if !checked => wrong.push(format!("a check takes {dialect}: {sql:?}")),
            Err(refused) if *checked => wrong.push(format!("a check refuses {dialect}: {sql:?}: {refused}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
