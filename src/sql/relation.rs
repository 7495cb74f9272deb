//! Which tables a statement on rows reads and writes, which columns it assigns, and whether it computes a new value from
//! the old one. Read from the words: names inside string literals, views and function bodies are not seen.

use super::words::Words;
use super::{Dialect, Refused, dialect};

/// Tables and columns of a statement on rows, in the order they appear, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    /// Columns of the first written table that are assigned: named by INSERT, SET by UPDATE.
    pub columns: Vec<String>,
}

/// The tables and columns of the one statement in `sql`; empty for statements that are not on rows.
///
/// # Errors
/// As [`super::parse_one`].
pub fn tables_and_columns(dialect: Dialect, sql: &str) -> Result<Touched, Refused> {
    Ok(touched(&dialect::one(dialect, sql)?))
}

/// Whether an assignment uses the old value of the column it sets (`x = x + 1`), so that running it twice is not the
/// same as running it once.
///
/// # Errors
/// As [`super::parse_one`].
pub fn is_relative_update(dialect: Dialect, sql: &str) -> Result<bool, Refused> {
    let words = dialect::one(dialect, sql)?;
    Ok(assignments(&words).iter().any(|assignment| assignment.relative))
}

struct Assignment {
    column: String,
    relative: bool,
}

/// What a level of parentheses is in the middle of.
#[derive(Clone, Copy, Default)]
struct Level {
    from: bool,
    expect: bool,
}

pub(super) fn touched(words: &Words<'_>) -> Touched {
    let ctes = ctes(words);
    let mut out = Touched::default();
    let mut levels = vec![Level::default()];
    let mut cursor = words.clone();
    let mut statement_table = words.all.first().is_some_and(|w| w.is("table"));
    while let Some(word) = cursor.peek().cloned() {
        let at = cursor.at;
        let level = levels.last().copied().unwrap_or_default();
        let before = |n: usize| at.checked_sub(n).and_then(|i| words.all.get(i));
        let after = |text: &str| before(1).is_some_and(|w| w.is(text));
        cursor.at += 1;
        let mut next = Level { expect: false, ..level };
        if word.punct("(") {
            // `extract(epoch FROM x)` and its like have a FROM that names no table.
            let function = ["extract", "substring", "trim", "overlay", "position"];
            let quiet = before(1).is_some_and(|w| function.iter().any(|f| w.is(f)));
            if let Some(last) = levels.last_mut() {
                last.expect = false;
            }
            levels.push(Level { from: level.expect, expect: level.expect && !quiet });
            if quiet {
                let start = cursor.at - 1;
                cursor.at = start;
                cursor.parens();
                levels.pop();
            }
            continue;
        }
        if word.punct(")") {
            if levels.len() > 1 {
                levels.pop();
            }
            continue;
        }
        if word.punct(",") {
            next.expect = level.from;
        } else if word.is("from") && !after("distinct") {
            (next.from, next.expect) = (true, true);
            if after("delete") {
                cursor.eat(&["only"]);
                push(cursor.name(), &mut out.writes, &[]);
                next.expect = false;
            }
        } else if word.is("join") || word.is("straight_join") {
            (next.from, next.expect) = (true, true);
        } else if word.is("using") && next.from {
            next.expect = !cursor.peek().is_some_and(|w| w.punct("("));
        } else if word.is("into") {
            cursor.eat(&["table"]);
            push(cursor.name(), &mut out.writes, &[]);
            if words.contains("merge") {
                (next.from, next.expect) = (true, false);
            }
        } else if word.is("update") && !after("for") && !after("key") && !after("do") {
            for skip in [["only"], ["ignore"], ["low_priority"]] {
                cursor.eat(&skip);
            }
            if cursor.eat(&["or"]) {
                cursor.at += 1;
            }
            if !cursor.ahead(&["set"]) {
                push(cursor.name(), &mut out.writes, &[]);
            }
        } else if std::mem::take(&mut statement_table) {
            push(cursor.name(), &mut out.reads, &ctes);
        } else if ENDS.iter().any(|end| word.is(end)) {
            next.from = false;
        } else if level.expect && word.named() {
            if word.is("only") || word.is("lateral") {
                next.expect = true;
            } else {
                cursor.at = at;
                let name = cursor.name();
                if !cursor.peek().is_some_and(|w| w.punct("(")) {
                    push(name, &mut out.reads, &ctes);
                }
            }
        }
        if let Some(last) = levels.last_mut() {
            *last = next;
        }
    }
    out.reads.retain(|name| !out.writes.contains(name));
    out.columns = columns(words);
    out
}

const ENDS: [&str; 14] = [
    "where",
    "group",
    "order",
    "having",
    "limit",
    "union",
    "except",
    "intersect",
    "select",
    "set",
    "returning",
    "window",
    "offset",
    "fetch",
];

fn push(name: Option<super::words::Name>, into: &mut Vec<String>, except: &[String]) {
    if let Some(key) = name.map(|name| name.key())
        && !except.contains(&key)
        && !into.contains(&key)
    {
        into.push(key);
    }
}

/// Names that `WITH` gives to its queries.
fn ctes(words: &Words<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for at in 0..words.all.len() {
        let starts = words.all[at].is("with") || words.all[at].is("recursive") || words.all[at].punct(",");
        if !starts {
            continue;
        }
        let mut cursor = Words { at: at + 1, ..words.clone() };
        cursor.eat(&["recursive"]);
        let Some(name) = cursor.ident() else { continue };
        cursor.parens();
        if cursor.eat(&["as"]) {
            let _ = cursor.eat(&["not", "materialized"]) || cursor.eat(&["materialized"]);
            if cursor.peek().is_some_and(|w| w.punct("(")) {
                out.push(name.key());
            }
        }
    }
    out
}

fn columns(words: &Words<'_>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut cursor = words.clone();
    while !cursor.done() {
        if cursor.eat(&["into"]) && cursor.name().is_some() {
            if cursor.eat(&["as"]) {
                cursor.ident();
            }
            if cursor.eat_punct("(") {
                while let Some(column) = cursor.ident() {
                    out.push(column.key());
                    if !cursor.eat_punct(",") {
                        break;
                    }
                }
            }
            break;
        }
        cursor.at += 1;
    }
    for assignment in assignments(words) {
        if !out.contains(&assignment.column) {
            out.push(assignment.column);
        }
    }
    out
}

/// The assignments of every `SET` in the statement.
fn assignments(words: &Words<'_>) -> Vec<Assignment> {
    let mut out = Vec::new();
    let own = own_names(words);
    for at in 0..words.all.len() {
        if !words.all[at].is("set") || at == 0 {
            continue;
        }
        let (mut end, mut depth) = (at + 1, 0usize);
        while let Some(word) = words.all.get(end) {
            let stop = ["where", "from", "returning", "when", "order", "limit"].iter().any(|w| word.is(w));
            if depth == 0 && (stop || word.punct(")")) {
                break;
            }
            depth = if word.punct("(") { depth + 1 } else { depth.saturating_sub(usize::from(word.punct(")"))) };
            end += 1;
        }
        let list = Words { at: at + 1, all: words.all[..end].into(), ..words.clone() };
        for mut piece in list.pieces() {
            let grouped = piece.eat_punct("(");
            let mut targets = Vec::new();
            while let Some(name) = piece.name() {
                targets.push(name.last_part().key());
                if !(grouped && piece.eat_punct(",")) {
                    break;
                }
            }
            for column in targets {
                let relative = mentions(&piece, &column, &own);
                out.push(Assignment { column, relative });
            }
        }
    }
    out
}

/// The written table, its last name and its alias.
fn own_names(words: &Words<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut cursor = words.clone();
    while !cursor.done() {
        if cursor.eat(&["update"]) || cursor.eat(&["into"]) {
            cursor.eat(&["only"]);
            if let Some(name) = cursor.name() {
                out.extend([name.key(), name.last_part().key()]);
                cursor.eat_punct("*");
                let explicit = cursor.eat(&["as"]);
                if (explicit || !cursor.ahead(&["set"])) && !cursor.peek().is_some_and(|w| w.punct("(")) {
                    out.extend(cursor.ident().map(|alias| alias.key()));
                }
            }
        } else {
            cursor.at += 1;
        }
    }
    out
}

fn mentions(words: &Words<'_>, column: &str, own: &[String]) -> bool {
    let mut cursor = words.clone();
    while !cursor.done() {
        let Some(name) = cursor.name() else {
            cursor.at += 1;
            continue;
        };
        let key = name.key();
        let mentioned = match key.rsplit_once('.') {
            None => key == column,
            Some((table, last)) => last == column && own.iter().any(|own| own == table),
        };
        if mentioned {
            return true;
        }
    }
    false
}
