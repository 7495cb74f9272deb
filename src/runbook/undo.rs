//! How a step is undone, as far as the runbook alone tells it; what cannot be undone says so before anything runs.
//!
//! Owns the one answer that plan, screen and gate give. Never looks at a target: what only a server or this run's own
//! files can tell is told at the gate.

use std::fmt;

use super::{Action, Runbook, Step, words};
use crate::sql;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// By its author: the action, in words.
    Declared(String),
    /// Derived from the statements: those that reverse them, last first, and what they do not bring back.
    Derived {
        statements: Vec<String>,
        limits: Vec<String>,
    },
    /// From what the step saves before it changes anything.
    Saved(&'static str),
    /// It undoes this step itself.
    Of(String),
    /// It changes nothing.
    Nothing,
    /// Not from the runbook alone.
    Later(&'static str),
    Cannot(String),
}

pub fn of(runbook: &Runbook, step: &Step) -> Undo {
    if let Some(undo) = &step.undo {
        let said = words::said(undo);
        return Undo::Declared(match undo.as_ref() {
            Action::Command { .. } | Action::Http(_) => said,
            undo => format!("{} {said}", undo.word()),
        });
    }
    let cannot = |because: &str| Undo::Cannot(because.to_owned());
    match &step.action {
        Action::Ddl(_) => derived(runbook, step),
        Action::Change(change) => match &change.unsaved_because {
            Some(because) => Undo::Cannot(format!("its rows are not saved: {because}")),
            None => Undo::Saved("from the before-image of each row"),
        },
        Action::Restore(_) => Undo::Saved("from the before-image of each row"),
        Action::Offsets(_) => Undo::Saved("to the offsets it had"),
        Action::Topic(_) => Undo::Saved("to the settings it had"),
        Action::Registry(_) => Undo::Saved("to what stood there"),
        Action::Freeze(_) | Action::Reconcile { .. } | Action::Decide(_) => Undo::Nothing,
        Action::Http(request) if matches!(request.method.as_str(), "GET" | "HEAD") => Undo::Nothing,
        Action::UndoOf { step } => Undo::Of(step.clone()),
        Action::Publish(_) | Action::Replay(_) | Action::Tombstones(_) => {
            cannot("an event that somebody has read cannot be unread")
        }
        Action::Session { .. } => cannot("an ended session does not come back; its client may connect again"),
        Action::Command { .. } | Action::Http(_) | Action::Manual(_) => cannot("the runbook declares no undo"),
    }
}

fn derived(runbook: &Runbook, step: &Step) -> Undo {
    let Action::Ddl(forms) = &step.action else { return Undo::Nothing };
    let dialect = step.on.as_ref().and_then(|on| runbook.targets.get(on)).and_then(|target| target.kind.dialect());
    let Some((dialect, texts)) = dialect.and_then(|dialect| Some((dialect, forms.get(dialect)?))) else {
        return Undo::Later("not known: there is no form of it for its target");
    };
    if texts.iter().any(|sql| !sql.names().is_empty()) {
        return Undo::Later("derived when the names in it are known");
    }
    let (mut statements, mut limits) = (Vec::new(), Vec::new());
    for sql in texts.iter().rev() {
        let reverse = sql::judge(dialect, &sql.parseable(dialect)).reverse;
        if let Some(because) = reverse.cannot() {
            return Undo::Cannot(because);
        }
        statements.extend(reverse.sql().map(str::to_owned));
        limits.extend(reverse.limit());
    }
    Undo::Derived { statements, limits }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(words) => f.write_str(words),
            Self::Derived { statements, limits } if limits.is_empty() => f.write_str(&statements.join("; ")),
            Self::Derived { statements, limits } => {
                write!(f, "{}; {}", statements.join("; "), limits.join("; "))
            }
            Self::Saved(words) | Self::Later(words) => f.write_str(words),
            Self::Of(step) => write!(f, "do `{step}` again"),
            Self::Nothing => f.write_str("nothing to undo"),
            Self::Cannot(because) => write!(f, "CANNOT BE UNDONE: {because}"),
        }
    }
}
