//! Every object of an SQLite file, with its definition, from the statements that the file keeps.
//!
//! Owns how a `CREATE TABLE` falls into its columns and constraints: the library rewrites the text when it alters a table,
//! so that quotes, spaces, capitals and comments say nothing.

use crate::check::schema::touched::Objects;
use crate::check::sql::Asked;
use crate::runbook::template::as_text;
use crate::sql::{Dialect, Zone, zones};
use crate::target::db::Handle;

/// What a statement can change and no reading shows.
pub const UNSEEN: &str =
    "rows, where AUTOINCREMENT stands, pragmas of the file (user_version, journal_mode), and attached files";

const MASTER: &str =
    "select m.type as type, m.name as name, m.tbl_name as tbl_name, coalesce(m.sql, '') as sql from sqlite_master m
  where m.name not like 'sqlite\\_%' escape '\\' and m.name not like 'backout\\_%' escape '\\'";

/// The definitions of everything in the file, with the order of columns.
///
/// # Errors
/// The library's words.
pub async fn all(handle: &mut Handle) -> Asked<Objects> {
    let rows = handle.read(MASTER, vec![]).await?;
    let mut objects = Objects::new();
    for row in &rows {
        let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
        let (kind, name, sql) = (text("type"), text("name"), text("sql"));
        match kind.as_str() {
            "table" => table(&name, &sql, &mut objects),
            "view" => drop(objects.insert(format!("view {name}"), whole(&sql))),
            _ => drop(objects.insert(format!("{kind} {}.{name}", text("tbl_name")), whole(&sql))),
        }
    }
    Ok(objects)
}

fn table(name: &str, sql: &str, objects: &mut Objects) {
    let cut = cut(sql);
    let (Some(list), false) = (&cut.list, cut.head.to_ascii_lowercase().starts_with("create virtual")) else {
        objects.insert(format!("table {name}"), whole(sql));
        return;
    };
    objects.insert(format!("table {name}"), format!("table {}", cut.tail).trim_end().to_owned());
    let (mut order, mut unnamed) = (Vec::new(), Vec::new());
    for item in list {
        let (first, rest) = item.split_once([' ', '(']).unwrap_or((item, ""));
        let word = first.to_ascii_lowercase();
        if word == "constraint" {
            let (constraint, is) = rest.split_once(' ').unwrap_or((rest, ""));
            objects.insert(format!("constraint {name}.{constraint}"), is.to_owned());
        } else if ["primary", "unique", "check", "foreign"].contains(&word.as_str()) {
            unnamed.push(item.clone());
        } else {
            objects.insert(format!("column {name}.{first}"), rest.to_owned());
            order.push(first.to_owned());
        }
    }
    if !unnamed.is_empty() {
        unnamed.sort();
        objects.insert(format!("constraint {name}.unnamed"), unnamed.join("; "));
    }
    objects.insert(format!("order {name}"), order.join(", "));
}

/// A statement, and where it has one, its first list apart.
#[derive(Default)]
struct Cut {
    head: String,
    list: Option<Vec<String>>,
    tail: String,
}

fn whole(sql: &str) -> String {
    let mut text = String::new();
    for (piece, quoted) in pieces(sql) {
        add(&mut text, &piece, quoted);
    }
    text
}

fn cut(sql: &str) -> Cut {
    let (mut cut, mut depth) = (Cut::default(), 0_usize);
    for (piece, quoted) in pieces(sql) {
        let code = if quoted { "" } else { piece.as_str() };
        match (code, depth, &mut cut.list) {
            ("(", 0, None) => (depth, cut.list) = (1, Some(vec![String::new()])),
            (_, 0, None) => add(&mut cut.head, &piece, quoted),
            (_, 0, Some(_)) => add(&mut cut.tail, &piece, quoted),
            (")", 1, _) => depth = 0,
            (",", 1, Some(list)) => list.push(String::new()),
            (_, _, list) => {
                match code {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    _ => {}
                }
                if let Some(item) = list.as_mut().and_then(|list| list.last_mut()) {
                    add(item, &piece, quoted);
                }
            }
        }
    }
    cut
}

/// Words and signs one by one, without comments; a quoted name that needs no quotes without them, for the library writes
/// them where it renames. True: a literal, or a name in its quotes.
fn pieces(sql: &str) -> Vec<(String, bool)> {
    let mut pieces: Vec<(String, bool)> = Vec::new();
    for (range, zone) in zones(Dialect::Sqlite, sql) {
        let text = &sql[range];
        match zone {
            Zone::Comment => {}
            Zone::Literal => pieces.push((text.to_owned(), true)),
            Zone::QuotedIdent => {
                let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
                let plain =
                    !inner.is_empty() && inner.chars().all(wordy) && !inner.starts_with(|c: char| c.is_ascii_digit());
                pieces.push(if plain { (inner.to_owned(), false) } else { (text.to_owned(), true) });
            }
            Zone::Code => {
                let mut rest = text;
                while let Some(first) = rest.chars().next() {
                    let end = match wordy(first) {
                        true => rest.find(|c| !wordy(c)).unwrap_or(rest.len()),
                        false => first.len_utf8(),
                    };
                    let (piece, after) = rest.split_at(end);
                    if !piece.trim().is_empty() {
                        pieces.push((piece.to_owned(), false));
                    }
                    rest = after;
                }
            }
        }
    }
    pieces
}

fn wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// With a space where two words would run together.
fn add(text: &mut String, piece: &str, quoted: bool) {
    let word = quoted || piece.starts_with(wordy);
    if word && text.ends_with(|c| wordy(c) || matches!(c, '\'' | '"' | ')' | ']' | '`')) {
        text.push(' ');
    }
    text.push_str(piece);
}
