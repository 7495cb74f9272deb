//! The actions of an `ALTER TABLE` on the table as a whole: triggers, rules, row security, storage, parents, partitions.

use super::super::fact::Fact;
use super::super::statement::{Object, ObjectKind, OldCode};
use super::super::words::Words;
use super::Action;

/// Two that undo each other exactly, once it is known that the first changed something.
struct Pair {
    words: &'static [&'static str],
    kind: &'static str,
    back: &'static str,
    old_code: &'static str,
}

const fn pair(words: &'static [&'static str], kind: &'static str, back: &'static str, old_code: &'static str) -> Pair {
    Pair { words, kind, back, old_code }
}

/// Of triggers and rules.
const EFFECTS: &str = "effects";

/// What stands behind the words is a name, and stands behind the opposite as well.
const PAIRS: [Pair; 13] = [
    pair(&["enable", "replica", "trigger"], "ALTER TABLE … ENABLE REPLICA TRIGGER", "ENABLE TRIGGER", EFFECTS),
    pair(&["enable", "always", "trigger"], "ALTER TABLE … ENABLE ALWAYS TRIGGER", "ENABLE TRIGGER", EFFECTS),
    pair(&["enable", "trigger"], "ALTER TABLE … ENABLE TRIGGER", "DISABLE TRIGGER", EFFECTS),
    pair(&["disable", "trigger"], "ALTER TABLE … DISABLE TRIGGER", "ENABLE TRIGGER", EFFECTS),
    pair(&["enable", "replica", "rule"], "ALTER TABLE … ENABLE RULE", "ENABLE RULE", EFFECTS),
    pair(&["enable", "always", "rule"], "ALTER TABLE … ENABLE RULE", "ENABLE RULE", EFFECTS),
    pair(&["enable", "rule"], "ALTER TABLE … ENABLE RULE", "DISABLE RULE", EFFECTS),
    pair(&["disable", "rule"], "ALTER TABLE … DISABLE RULE", "ENABLE RULE", EFFECTS),
    pair(
        &["no", "force", "row", "level", "security"],
        "ALTER TABLE … NO FORCE ROW LEVEL SECURITY",
        "FORCE ROW LEVEL SECURITY",
        "",
    ),
    pair(
        &["force", "row", "level", "security"],
        "ALTER TABLE … FORCE ROW LEVEL SECURITY",
        "NO FORCE ROW LEVEL SECURITY",
        "",
    ),
    pair(
        &["enable", "row", "level", "security"],
        "ALTER TABLE … ENABLE ROW LEVEL SECURITY",
        "DISABLE ROW LEVEL SECURITY",
        "",
    ),
    pair(
        &["disable", "row", "level", "security"],
        "ALTER TABLE … DISABLE ROW LEVEL SECURITY",
        "ENABLE ROW LEVEL SECURITY",
        "it may meet rows that were hidden from it",
    ),
    pair(&["cluster", "on"], "ALTER TABLE … CLUSTER ON", "SET WITHOUT CLUSTER", "the rows are the same"),
];

type Saved = (&'static [&'static str], &'static str, &'static str, &'static str);

/// What needs the former setting to be undone; an empty last text: both reads and writes may break.
const SAVED: [Saved; 16] = [
    (&["owner", "to"], "ALTER TABLE … OWNER TO", "the owner", ""),
    (&["set", "schema"], "ALTER TABLE … SET SCHEMA", "the schema", ""),
    (&["set", "logged"], "ALTER TABLE … SET LOGGED", "whether it was logged", "the rows are the same"),
    (
        &["set", "unlogged"],
        "ALTER TABLE … SET UNLOGGED",
        "whether it was logged",
        "the rows are the same until a crash empties it",
    ),
    (&["set", "tablespace"], "ALTER TABLE … SET TABLESPACE", "the tablespace", "the rows are the same"),
    (&["set", "access", "method"], "ALTER TABLE … SET ACCESS METHOD", "the access method", "the rows are the same"),
    (
        &["set", "without", "cluster"],
        "ALTER TABLE … SET WITHOUT CLUSTER",
        "the index it was clustered on",
        "the rows are the same",
    ),
    (&["set", "without", "oids"], "ALTER TABLE … SET WITHOUT OIDS", "nothing: it changes nothing", "nothing changes"),
    (&["replica", "identity"], "ALTER TABLE … REPLICA IDENTITY", "the replica identity", ""),
    (&["no", "inherit"], "ALTER TABLE … NO INHERIT", "", ""),
    (&["not", "of"], "ALTER TABLE … NOT OF", "the type it was of", "the rows are the same"),
    (&["of"], "ALTER TABLE … OF", "nothing: NOT OF undoes it", "the rows are the same"),
    (&["options"], "ALTER TABLE … OPTIONS", "the options", ""),
    (&["set"], "ALTER TABLE … SET (…)", "the settings", "only storage and vacuum look at it"),
    (&["reset"], "ALTER TABLE … RESET (…)", "the settings", "only storage and vacuum look at it"),
    (&["inherit"], "ALTER TABLE … INHERIT", "", ""),
];

fn partition(table: &str, partition: String, whole: bool, present: bool) -> Fact {
    Fact::Partition { table: table.to_owned(), partition, whole, present }
}

pub(super) fn setting(mut words: Words<'_>, table: &str) -> Option<Action> {
    if let Some(pair) = PAIRS.iter().find(|pair| words.eat(pair.words)) {
        return Some(undone_by(&words, pair, table));
    }
    if words.eat(&["attach", "partition"]) {
        let child = words.name()?;
        return Some(Action {
            done: vec![partition(table, child.key(), true, true)],
            objects: vec![Object::new(ObjectKind::Table, child.key())],
            back: Some(format!("DETACH PARTITION {}", child.source())),
            saved: Some(format!("nothing, but {} keeps the indexes and constraints that it is given", child.key())),
            old_code: OldCode::both(format!(
                "the rows of {child} appear in {table}, and {child} takes no others any more",
                child = child.key()
            )),
            ..Action::new("ALTER TABLE … ATTACH PARTITION")
        });
    }
    if words.eat(&["detach", "partition"]) {
        let child = words.name()?;
        let kind = if words.ahead(&["concurrently"]) {
            "ALTER TABLE … DETACH PARTITION CONCURRENTLY"
        } else if words.ahead(&["finalize"]) {
            "ALTER TABLE … DETACH PARTITION FINALIZE"
        } else {
            "ALTER TABLE … DETACH PARTITION"
        };
        let mut done = vec![partition(table, child.key(), false, false)];
        if kind.ends_with("CONCURRENTLY") {
            // Interrupted, it leaves a partition that is half detached.
            done.push(partition(table, child.key(), true, false));
        }
        return Some(Action {
            done,
            objects: vec![Object::new(ObjectKind::Table, child.key())],
            saved: Some(format!("the bounds of {} (pg_get_expr of relpartbound)", child.key())),
            old_code: OldCode::both(format!("the rows of {} are gone from {table}", child.key())),
            ..Action::new(kind)
        });
    }
    let (head, kind, what, old_code) = SAVED.iter().find(|(head, ..)| words.ahead(head))?;
    let storage = kind.ends_with("(…)");
    if storage && !words.all.get(words.at + 1).is_some_and(|word| word.punct("(")) {
        return None;
    }
    words.eat(head);
    let old_code = if old_code.is_empty() { older(kind) } else { OldCode::fine(old_code) };
    let mut action = Action { old_code, ..Action::new(kind) };
    match *kind {
        "ALTER TABLE … INHERIT" | "ALTER TABLE … NO INHERIT" => {
            let parent = words.name()?;
            action.objects = vec![Object::new(ObjectKind::Table, parent.key())];
            let back = if kind.ends_with("NO INHERIT") { "INHERIT" } else { "NO INHERIT" };
            action.back = Some(format!("{back} {}", parent.source()));
            if kind.ends_with("NO INHERIT") {
                let what = "nothing, but its columns are its own from then on, and stay when the parent drops its own";
                action.saved = Some(what.to_owned());
            }
        }
        _ => action.saved = Some(format!("{what} as it was")),
    }
    Some(action)
}

fn undone_by(words: &Words<'_>, pair: &Pair, table: &str) -> Action {
    let name = words.remains();
    let mut action = Action::new(pair.kind);
    action.old_code = match pair.old_code {
        "" => older(pair.kind),
        EFFECTS => OldCode::writes("its writes have more or fewer side effects, or are refused"),
        words => OldCode::fine(words),
    };
    if pair.back.ends_with("TRIGGER") {
        // ALL and USER are words here, not names.
        let single = !["all", "user"].iter().any(|word| name.eq_ignore_ascii_case(word));
        let trigger = words.clone().ident().filter(|_| single);
        let trigger_name = trigger.map(|name| name.key());
        action.objects.extend(trigger_name.clone().map(|name| Object::of(ObjectKind::Trigger, table, name)));
        if !single {
            action.saved = Some("which triggers were enabled".to_owned());
        }
        let fires = !pair.kind.contains("DISABLE");
        let told = trigger_name.filter(|_| !pair.kind.contains("REPLICA") && !pair.kind.contains("ALWAYS"));
        action.done.extend(told.map(|name| Fact::TriggerEnabled { table: table.to_owned(), name, enabled: fires }));
    }
    let former = ["TRIGGER", "RULE", "CLUSTER"].iter().any(|word| pair.kind.contains(word));
    if former && action.saved.is_none() {
        action.saved = Some("the setting as it was: there are more than two".to_owned());
    }
    let takes_name = pair.back.ends_with("TRIGGER") || pair.back.ends_with("RULE");
    action.back = Some(if takes_name { format!("{} {name}", pair.back) } else { pair.back.to_owned() });
    action
}

fn older(kind: &str) -> OldCode {
    match kind {
        "ALTER TABLE … OWNER TO" => OldCode::both("what it may do as the owner of the table it may no more"),
        "ALTER TABLE … REPLICA IDENTITY" => {
            OldCode::writes("where its rows are published and no identity is left, its updates and deletes are refused")
        }
        "ALTER TABLE … SET SCHEMA" => OldCode::both("older code finds the table by its schema"),
        "ALTER TABLE … INHERIT" => OldCode::reads("rows appear in its parent"),
        "ALTER TABLE … NO INHERIT" => OldCode::reads("rows are gone from its parent"),
        _ => OldCode::both("rows may be hidden from it, and its writes refused"),
    }
}
