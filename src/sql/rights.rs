//! `GRANT` and `REVOKE`: on what, and what takes it back.

use super::statement::{Class, Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;

/// Words behind `ON`, and what they name; without any of them it is a table.
const THINGS: [(&[&str], ObjectKind); 18] = [
    (&["all", "tables", "in", "schema"], ObjectKind::Schema),
    (&["all", "sequences", "in", "schema"], ObjectKind::Schema),
    (&["all", "functions", "in", "schema"], ObjectKind::Schema),
    (&["all", "procedures", "in", "schema"], ObjectKind::Schema),
    (&["all", "routines", "in", "schema"], ObjectKind::Schema),
    (&["foreign", "data", "wrapper"], ObjectKind::Other),
    (&["foreign", "server"], ObjectKind::Other),
    (&["large", "object"], ObjectKind::Other),
    (&["schema"], ObjectKind::Schema),
    (&["sequence"], ObjectKind::Sequence),
    (&["function"], ObjectKind::Function),
    (&["routine"], ObjectKind::Function),
    (&["procedure"], ObjectKind::Procedure),
    (&["database"], ObjectKind::Database),
    (&["type"], ObjectKind::Type),
    (&["domain"], ObjectKind::Type),
    (&["language"], ObjectKind::Other),
    (&["tablespace"], ObjectKind::Other),
];

pub(super) fn grant(mut words: Words<'_>) -> Option<Statement> {
    let grants = words.eat(&["grant"]);
    if !grants {
        words.eat(&["revoke"]).then_some(())?;
    }
    // `REVOKE GRANT OPTION FOR …` takes back the right to pass a right on, and leaves the right.
    let option = ["grant", "admin", "inherit", "set"].into_iter().find(|word| words.eat(&[word, "option", "for"]));
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
        statement.objects = objects(Words { at, ..words.clone() });
    }
    statement.old_code = if grants {
        OldCode::fine("it may do more than before")
    } else {
        OldCode::both("what it is no longer allowed to do fails")
    };
    let cascades = words.later(&["cascade"]);
    let with = option.map(|word| format!(" WITH {} OPTION", word.to_ascii_uppercase())).unwrap_or_default();
    let others = if cascades { ", and those of others that had them from it" } else { "" };
    statement.reverse = Reverse::NeedsSaved {
        what: format!("the rights as they were (relacl): some may have been there before{others}"),
        sql: Some(format!("{opposite} {what} {back} {to}{with}")),
    };
    Some(statement)
}

fn objects(mut words: Words<'_>) -> Vec<Object> {
    // `ON PARAMETER work_mem`: a setting is no object.
    if words.ahead(&["parameter"]) {
        return Vec::new();
    }
    let kind = THINGS.iter().find(|(head, _)| words.eat(head)).map_or(ObjectKind::Table, |(_, kind)| *kind);
    if kind == ObjectKind::Table {
        words.eat(&["table"]);
    }
    let mut out = Vec::new();
    while let Some(name) = words.name() {
        out.push(Object::new(kind, name.key()));
        words.parens();
        if !words.eat_punct(",") {
            break;
        }
    }
    out
}
