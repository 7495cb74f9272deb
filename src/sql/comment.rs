//! `COMMENT ON …`: what the comment is on.

use super::statement::{Object, ObjectKind, OldCode, Reverse, Statement};
use super::words::Words;

/// What has a name of its own.
const THINGS: [(&[&str], ObjectKind); 15] = [
    (&["materialized", "view"], ObjectKind::MaterializedView),
    (&["foreign", "table"], ObjectKind::Table),
    (&["event", "trigger"], ObjectKind::Other),
    (&["table"], ObjectKind::Table),
    (&["view"], ObjectKind::View),
    (&["index"], ObjectKind::Index),
    (&["sequence"], ObjectKind::Sequence),
    (&["type"], ObjectKind::Type),
    (&["domain"], ObjectKind::Type),
    (&["function"], ObjectKind::Function),
    (&["procedure"], ObjectKind::Procedure),
    (&["schema"], ObjectKind::Schema),
    (&["database"], ObjectKind::Database),
    (&["role"], ObjectKind::Role),
    (&["extension"], ObjectKind::Extension),
];

/// What hangs on a table.
const HUNG: [(&str, ObjectKind); 4] = [
    ("constraint", ObjectKind::Constraint),
    ("trigger", ObjectKind::Trigger),
    ("rule", ObjectKind::Other),
    ("policy", ObjectKind::Other),
];

pub(super) fn comment(mut words: Words<'_>, statement: &mut Statement) {
    statement.old_code = OldCode::fine("no code reads comments");
    let what = "the comment as it was".to_owned();
    statement.reverse = Reverse::NeedsSaved { what, sql: None };
    words.eat(&["on"]);
    if words.eat(&["column"]) {
        if let Some((table, column)) = words.name().and_then(|name| name.split_last()) {
            statement.objects =
                vec![Object::new(ObjectKind::Table, &table), Object::of(ObjectKind::Column, &table, column)];
        }
    } else if let Some((_, kind)) = HUNG.iter().find(|(word, _)| words.eat(&[word])) {
        statement.kind = "COMMENT … ON";
        let Some(name) = words.name() else { return };
        words.eat(&["on"]);
        if words.eat(&["domain"]) {
            statement.objects.extend(words.name().map(|domain| Object::new(ObjectKind::Type, domain.key())));
        } else if let Some(table) = words.name() {
            let table = table.key();
            statement.objects = vec![Object::new(ObjectKind::Table, &table), Object::of(*kind, &table, name.key())];
        }
    } else {
        let known = THINGS.iter().find(|(head, _)| words.eat(head)).map(|(_, kind)| *kind);
        if let Some(kind) = known {
            statement.objects.extend(words.name().map(|name| Object::new(kind, name.key())));
        }
    }
}
