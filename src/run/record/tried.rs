//! What a trial showed: a step's statements run, looked at, undone and taken back.

use serde::{Deserialize, Serialize};

use crate::text::counted;

/// A trial that ran to its end. Everything in it was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub statements: Vec<TriedStatement>,
    /// On an empty copy of the tables, not on the tables.
    pub copy: bool,
    /// Locks that others had to wait for: on what, and which.
    pub locks: Vec<(String, String)>,
    /// From the first lock to the end of the rollback, microseconds.
    pub held_us: u64,
    pub checks: Vec<TriedCheck>,
    /// What could not be tried, and why.
    pub not_tried: Vec<(String, String)>,
    pub undo: TriedUndo,
    /// What is other outside after the rollback than it was before: others' work, or what a function of the statements
    /// did outside their transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
    /// What no comparison of the catalog sees.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unseen: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedStatement {
    pub sql: String,
    pub took_us: u64,
    /// Tables that got a new file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrote: Vec<String>,
}

/// A check of `verify`, asked with the statements applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedCheck {
    pub check: String,
    pub passed: bool,
    /// `pass`, or what it is and in whose words.
    pub words: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriedUndo {
    /// The catalog of the touched objects was as before.
    Exact,
    /// Undone, and these are other than before.
    Differs(Vec<String>),
    Failed(String),
    /// Nothing undoes it, or not by a statement here.
    None(String),
}

/// How a line of a result reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Plain,
}

impl Tried {
    /// Every check that was tried passed, and the undo, where there is one, brings back what was.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.passed) && matches!(self.undo, TriedUndo::Exact | TriedUndo::None(_))
    }

    /// The statements it was about.
    pub fn rendered(&self) -> Vec<&str> {
        self.statements.iter().map(|statement| statement.sql.as_str()).collect()
    }

    /// The whole result: label, words, tone.
    pub fn lines(&self) -> Vec<(&'static str, String, Tone)> {
        let mut lines = Vec::new();
        for statement in &self.statements {
            let rewrote = match statement.rewrote.as_slice() {
                [] => "nothing rewritten".to_owned(),
                tables => format!("REWROTE {}", tables.join(", ")),
            };
            let tone = if statement.rewrote.is_empty() { Tone::Plain } else { Tone::Bad };
            lines.push(("ran", format!("{} · {} · {rewrote}", statement.sql.trim_end(), ms(statement.took_us)), tone));
        }
        for check in &self.checks {
            match check.passed {
                true => lines.push(("with it", format!("{} passes with it applied", check.check), Tone::Good)),
                false => lines.push(("with it", format!("{}: {}", check.check, check.words), Tone::Bad)),
            }
        }
        match &self.undo {
            TriedUndo::Exact => lines.push((
                "undo",
                "undone again: the catalog of what it touches is exactly as before".into(),
                Tone::Good,
            )),
            TriedUndo::Differs(told) => {
                lines.push(("undo", "undone again, and NOT as before:".into(), Tone::Bad));
                lines.extend(told.iter().map(|line| ("", line.clone(), Tone::Bad)));
            }
            TriedUndo::Failed(words) => lines.push(("undo", format!("the undo FAILED: {words}"), Tone::Bad)),
            TriedUndo::None(because) => lines.push(("undo", format!("not tried: {because}"), Tone::Plain)),
        }
        if matches!(self.undo, TriedUndo::Exact | TriedUndo::Differs(_)) && !self.unseen.is_empty() {
            lines.push(("", format!("not compared: {}", self.unseen), Tone::Plain));
        }
        let held = ms(self.held_us);
        for (on, lock) in &self.locks {
            lines.push(("held", format!("{lock} on {on}, {held} at most"), Tone::Plain));
        }
        if self.locks.is_empty() {
            lines.push(("held", "no lock that anybody waits for".into(), Tone::Plain));
        }
        lines.extend(self.not_tried.iter().map(|(what, why)| ("untried", format!("{what}: {why}"), Tone::Plain)));
        if self.not_tried.is_empty() {
            lines.push(("untried", "nothing".into(), Tone::Plain));
        }
        lines.push(match self.outside.as_slice() {
            [] => ("after", "rolled back: the catalog outside is as it was".into(), Tone::Good),
            told => (
                "after",
                format!("rolled back; other now, by others or outside the transaction: {}", told.join("; ")),
                Tone::Bad,
            ),
        });
        lines
    }

    /// On one line, for a gate and a log.
    pub fn words(&self) -> String {
        let red: Vec<&str> = self.checks.iter().filter(|c| !c.passed).map(|c| c.check.as_str()).collect();
        let checks = match (self.checks.as_slice(), red.as_slice()) {
            ([], _) => "no check was tried".to_owned(),
            (all, []) => format!(
                "{} with it applied",
                if all.len() == 1 {
                    format!("{} passes", all[0].check)
                } else {
                    format!("{} pass", counted(all.len(), "check"))
                }
            ),
            (_, red) => format!("NOT green with it applied: {}", red.join(", ")),
        };
        let undo = match &self.undo {
            TriedUndo::Exact => "undone again, catalog identical".to_owned(),
            TriedUndo::Differs(told) => format!("undone again, {} NOT as before", counted(told.len(), "object")),
            TriedUndo::Failed(words) => format!("its undo FAILED: {words}"),
            TriedUndo::None(_) => "its undo was not tried".to_owned(),
        };
        let rewrote = self.statements.iter().any(|statement| !statement.rewrote.is_empty());
        let rewrote = if rewrote { ", with a rewrite" } else { "" };
        let on = if self.copy { "on an empty copy: " } else { "" };
        let not = match self.not_tried.len() {
            0 => "nothing".to_owned(),
            _ => self.not_tried.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>().join(", "),
        };
        format!("{on}{checks}; {undo}; held {}{rewrote}; not tried: {not}", ms(self.held_us))
    }
}

fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}
