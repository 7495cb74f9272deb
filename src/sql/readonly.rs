//! Whether a text may run as a check: it reads, locks nothing, and calls only functions known to be harmless.
//! One wall of several: a view, an operator or a cast can hide a function that no parser sees.

mod functions;

use functions::Verdict;

use super::statement::{Class, Statement};
use super::words::Words;
use super::{Dialect, Refused, dialect, utility};

/// Whether `sql` is one statement that only reads.
///
/// # Errors
/// [`Refused`], naming what does not belong into a check; when in doubt, refused.
pub fn check_read_only(dialect: Dialect, sql: &str) -> Result<(), Refused> {
    let words = dialect::one(dialect, sql)?;
    let statement = utility::classify(words.clone());
    if let Some((what, because)) = inner_write(&words).filter(|_| statement.class != Class::Ddl) {
        return Err(Refused::SideEffect { what, because });
    }
    if dialect == Dialect::Mysql && words.all.windows(2).any(|pair| pair[0].punct(":") && pair[1].punct("=")) {
        return Err(Refused::SideEffect { what: ":=".to_owned(), because: "it sets a variable of the session" });
    }
    // The argument of a reading pragma looks like a call.
    let calls = if statement.kind == "PRAGMA" { Vec::new() } else { calls(&words) };
    for call in calls {
        match functions::verdict(dialect, &call) {
            Verdict::Harmless | Verdict::Volatile => {}
            Verdict::Unknown => return Err(Refused::UnknownFunction { name: call }),
            Verdict::Dangerous(_, because) => {
                return Err(Refused::DangerousFunction { name: call, because });
            }
        }
    }
    if statement.class != Class::Read {
        return Err(Refused::NotARead { kind: statement.kind, class: statement.class });
    }
    Ok(())
}

/// A write or a row lock inside a statement that begins like a read.
pub(super) fn inner_write(words: &Words<'_>) -> Option<(String, &'static str)> {
    let all = &words.all;
    let mut locked = None;
    for (at, word) in all.iter().enumerate() {
        let next = |n: usize, text: &str| all.get(at + n).is_some_and(|w| w.is(text));
        let previous = |text: &str| at > 0 && all[at - 1].is(text);
        let qualified = at > 0 && all[at - 1].punct(".");
        let called = all.get(at + 1).is_some_and(|w| w.punct("("));
        let locks = word.is("for") && (next(1, "update") || next(1, "share") || next(1, "no") || next(1, "key"));
        if locks || (word.is("lock") && next(1, "in")) {
            let mode = if next(1, "share") { "FOR SHARE" } else { "FOR UPDATE" };
            locked.get_or_insert((mode.to_owned(), "it locks the rows it reads"));
        }
        let verb = ["insert", "delete", "merge", "update"].iter().any(|verb| word.is(verb));
        if at > 0 && verb && !qualified && !called && !previous("for") && !previous("key") {
            return Some((word.text.to_ascii_uppercase(), "it changes rows"));
        }
        if word.is("into") && !qualified {
            return Some(("INTO".to_owned(), "it writes a table, a file or a variable"));
        }
    }
    // What changes rows counts before what only locks them, wherever it stands.
    locked
}

/// Raises the class by the calls whose effects no rollback takes back.
pub(super) fn raise_by_dangers(words: &Words<'_>, statement: &mut Statement) {
    for call in calls(words) {
        if let Verdict::Dangerous(class, _) = functions::verdict(words.dialect, &call) {
            statement.raise(class);
        }
    }
}

/// Raises the class by what the statement calls, and names what is not known.
pub(super) fn raise_by_calls(words: &Words<'_>, statement: &mut Statement) {
    for call in calls(words) {
        match functions::verdict(words.dialect, &call) {
            Verdict::Harmless | Verdict::Volatile => {}
            Verdict::Dangerous(class, _) => statement.raise(class),
            Verdict::Unknown => {
                statement.raise(Class::Write);
                if !statement.calls.contains(&call) {
                    statement.calls.push(call);
                }
            }
        }
    }
}

/// Whether a call gives another answer for each row, as far as is known.
pub(super) fn calls_volatile(words: &Words<'_>) -> bool {
    calls(words).iter().any(|call| !matches!(functions::verdict(words.dialect, call), Verdict::Harmless))
}

/// Every function that is called, with its schema where one is written (`pg_catalog.` dropped).
fn calls(words: &Words<'_>) -> Vec<String> {
    let all = &words.all;
    let mut out = Vec::new();
    for at in 0..all.len() {
        // SQLite calls these where they stand like tables, too.
        if words.dialect == Dialect::Sqlite
            && all[at].named()
            && all[at].text.to_ascii_lowercase().starts_with("pragma_")
        {
            out.push(all[at].text.to_ascii_lowercase());
            continue;
        }
        if !all[at].named() || !all.get(at + 1).is_some_and(|w| w.punct("(")) || not_a_call(words, at) {
            continue;
        }
        let mut start = at;
        while start >= 2 && all[start - 1].punct(".") && all[start - 2].named() {
            start -= 2;
        }
        let parts: Vec<&str> = all[start..=at].iter().step_by(2).map(|w| w.text.as_str()).collect();
        let name = match parts.as_slice() {
            ["pg_catalog", rest @ ..] if words.dialect == Dialect::Postgres => rest.join("."),
            parts => parts.join("."),
        };
        out.push(if words.dialect == Dialect::Postgres { name } else { name.to_ascii_lowercase() });
    }
    out
}

/// A name before a parenthesis that is a keyword, a type, or the head of a column list.
fn not_a_call(words: &Words<'_>, at: usize) -> bool {
    let all = &words.all;
    let qualified = at > 0 && all[at - 1].punct(".");
    if !qualified && functions::grammar(words, at) {
        return true;
    }
    let Some(before) = at.checked_sub(1).map(|i| &all[i]) else {
        return false;
    };
    // `x::varchar(3)`; one colon alone is that of a slice, `a[1:f()]`.
    let cast = before.punct(":") && at > 1 && all[at - 2].punct(":");
    // `x AS varchar(3)`, `f(…) AS t(a, b)`, `WITH t(a) AS`.
    if ["as", "with", "recursive", "ordinality"].iter().any(|w| before.is(w)) || cast {
        return true;
    }
    if before.punct(",") && column_list_of_with(words, at) {
        return true;
    }
    // `FROM (…) t(a)` and `FROM f(…) t(a)`; but `SELECT DISTINCT ON (…) f(…)` calls.
    if words.dialect == Dialect::Postgres && before.punct(")") {
        return opening(words, at - 1).and_then(|open| open.checked_sub(1)).is_some_and(|i| {
            let head = &all[i];
            head.is("from")
                || head.is("join")
                || head.is("lateral")
                || head.punct(",")
                || (head.named() && !functions::grammar(words, i))
        });
    }
    // `INSERT INTO t (a, b)`.
    let mut start = at;
    while start >= 2 && all[start - 1].punct(".") {
        start -= 2;
    }
    start.checked_sub(1).is_some_and(|i| all[i].is("into") || all[i].is("references"))
}

/// `, t(a) AS (SELECT …`: the words after AS ( are reserved, so that no column definition can look the same.
fn column_list_of_with(words: &Words<'_>, at: usize) -> bool {
    let mut cursor = Words { at: at + 1, ..words.clone() };
    cursor.parens();
    if !cursor.eat(&["as"]) {
        return false;
    }
    let _ = cursor.eat(&["not", "materialized"]) || cursor.eat(&["materialized"]);
    cursor.eat_punct("(") && ["select", "with", "table"].iter().any(|w| cursor.ahead(&[w]))
}

fn opening(words: &Words<'_>, close: usize) -> Option<usize> {
    let mut depth = 0usize;
    (0..=close).rev().find(|i| {
        let word = &words.all[*i];
        depth += usize::from(word.punct(")"));
        depth -= usize::from(word.punct("(") && depth > 0);
        depth == 0
    })
}
