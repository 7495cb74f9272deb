//! How much the gate of a step asks for, as far as the runbook alone tells it.
//!
//! Owns the table of levels. A gate can only raise what stands here: it knows the rendered action and the server.

use super::{Action, Level, PerDialect, Runbook, SqlText, Step};
use crate::sql::{self, Class, Dialect};

/// The level of a step: by what it does, raised by its statements and by its author.
pub fn of(runbook: &Runbook, step: &Step) -> Level {
    with(runbook, step, |step| step.on.as_ref().and_then(|on| runbook.targets.get(on)?.kind.dialect()))
}

/// The same by the kind of its action alone, without reading its statements: no gate goes below it.
pub fn by_kind(runbook: &Runbook, step: &Step) -> Level {
    with(runbook, step, |_| None)
}

/// The least that undoing a step asks for.
pub fn undo_by_kind(undone: &Step) -> Level {
    undoing(undone, None)
}

fn with(runbook: &Runbook, step: &Step, dialect: impl Fn(&Step) -> Option<Dialect>) -> Level {
    let level = match &step.action {
        // By what it does, not by what it undoes.
        Action::UndoOf { step: undone } => match runbook.steps.get(undone) {
            Some(undone) => undoing(undone, dialect(undone)),
            None => Level::Irreversible,
        },
        action => of_action(action, dialect(step), step.undo.is_some()),
    };
    level.max(step.level.unwrap_or(Level::None))
}

fn undoing(undone: &Step, dialect: Option<Dialect>) -> Level {
    match (&undone.undo, &undone.action) {
        // The step can be done again, so its undo can be undone.
        (Some(undo), _) => of_action(undo, dialect, true),
        (None, Action::Change(change)) if change.unsaved_because.is_some() => Level::Irreversible,
        (None, Action::Change(_) | Action::Restore(_)) => Level::Number,
        (None, Action::Ddl(_) | Action::Offsets(_) | Action::Topic(_) | Action::Registry(_)) => Level::Object,
        (None, _) => Level::Irreversible,
    }
}

/// The level of an action; `undoable`: its author says how it is taken back.
pub fn of_action(action: &Action, dialect: Option<Dialect>, undoable: bool) -> Level {
    match action {
        Action::Freeze(_) | Action::Reconcile { .. } => Level::None,
        Action::Decide(_) => Level::Choice,
        Action::Manual(_) => Level::Seen,
        Action::Change(change) => {
            let forms = change.sql.forms();
            let worst = |d| forms.iter().map(|sql| sql::judge(d, &sql.parseable(d)).class).max();
            match dialect.and_then(worst) {
                Some(Class::Irreversible) => Level::Irreversible,
                // Nothing brings its rows back.
                _ if change.unsaved_because.is_some() && !undoable => Level::Irreversible,
                _ => Level::Number,
            }
        }
        Action::Restore(_) | Action::Publish(_) | Action::Replay(_) | Action::Tombstones(_) => Level::Number,
        Action::Offsets(_) | Action::Topic(_) | Action::Registry(_) => Level::Object,
        Action::Session { .. } => Level::Step,
        Action::Ddl(forms) => dialect.map_or(Level::Object, |d| ddl(forms, d)),
        Action::Http(request) if matches!(request.method.as_str(), "GET" | "HEAD") => Level::None,
        Action::Command { .. } | Action::Http(_) if undoable => Level::Step,
        Action::Command { .. } | Action::Http(_) => Level::Irreversible,
        Action::UndoOf { .. } => Level::Irreversible,
    }
}

/// What cannot be undone and loses nothing by it (an index that may have been there before) stays at its kind's level; the
/// gate says so.
fn ddl(forms: &PerDialect<Vec<SqlText>>, dialect: Dialect) -> Level {
    let statements = forms.get(dialect).map(Vec::as_slice).unwrap_or_default();
    let one_way = |sql: &SqlText| sql::judge(dialect, &sql.parseable(dialect)).class == Class::Irreversible;
    if statements.iter().any(one_way) { Level::Irreversible } else { Level::Object }
}

/// What is typed at the gate, in words.
pub fn token_form(runbook: &Runbook, step: &Step) -> String {
    let target = acting(runbook, step).on.as_deref().unwrap_or("TARGET");
    if let Action::Session { .. } = step.action {
        return "the pid of the session".to_owned();
    }
    let count = if step.each.is_some() { "COUNT " } else { "" };
    match of(runbook, step) {
        Level::None => "nothing".to_owned(),
        Level::Choice => "the word of the choice, and a reason".to_owned(),
        Level::Seen => "what was seen, 10 characters or more".to_owned(),
        Level::Number => "the number that will change, as previewed".to_owned(),
        Level::Object => format!("{}@{target}", object(runbook, step)),
        Level::Step => format!("{count}{}@ENVIRONMENT", step.id),
        Level::Irreversible => {
            let token = match &step.action {
                Action::Ddl(_) | Action::Offsets(_) | Action::Topic(_) | Action::Registry(_) => {
                    format!("{}@{target}", object(runbook, step))
                }
                Action::Change(_)
                | Action::Restore(_)
                | Action::Publish(_)
                | Action::Replay(_)
                | Action::Tombstones(_) => "the number that will change".to_owned(),
                _ => format!("{count}{}@ENVIRONMENT", step.id),
            };
            format!("{token}, and a second person or break-glass with a reason")
        }
    }
}

/// The step whose object is acted on: what is undone is the same object.
fn acting<'r>(runbook: &'r Runbook, step: &'r Step) -> &'r Step {
    match &step.action {
        Action::UndoOf { step: undone } => runbook.steps.get(undone).unwrap_or(step),
        _ => step,
    }
}

fn object(runbook: &Runbook, step: &Step) -> String {
    let step = acting(runbook, step);
    let dialect = step.on.as_ref().and_then(|t| runbook.targets.get(t)).and_then(|t| t.kind.dialect());
    let found = match (&step.action, dialect) {
        (Action::Offsets(offsets), _) => Some(offsets.group.clone()),
        (Action::Topic(topic), _) => Some(topic.name.clone()),
        (Action::Registry(act), _) => Some(act.subject.clone()),
        (Action::Ddl(forms), Some(d)) => forms.get(d).and_then(|statements| {
            let first = statements.iter().map(|sql| sql::judge(d, &sql.parseable(d))).max_by_key(|s| s.class)?;
            first.object().map(|o| o.table.clone().unwrap_or_else(|| o.name.clone()))
        }),
        _ => None,
    };
    found.unwrap_or_else(|| "OBJECT".to_owned())
}
