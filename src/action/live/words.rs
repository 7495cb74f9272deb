//! A look in words: for the screen, and for whoever reads lines.

use std::collections::BTreeMap;

use super::{Blocker, Progress, Queued, Sight};
use crate::action::facts::lane::lasting;
use crate::text::{counted, in_one_line};

/// On a screen of 24 rows; the rest is counted.
const SHOWN: usize = 3;

/// A label, as short as the gate's, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub label: &'static str,
    pub words: String,
    /// The operator may have to do something about it.
    pub warns: bool,
    /// The same as long as there is no news in it: seconds that pass are none.
    pub key: String,
}

fn line(label: &'static str, words: String, warns: bool, key: impl Into<String>) -> Line {
    Line { label, words, warns, key: format!("{label} {}", key.into()) }
}

impl Sight {
    /// What it does first, then who is in the way, who waits behind it, how far it is, and what cannot be seen.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let runs = self.runs.map(|runs| format!(" for {}", lasting(runs))).unwrap_or_default();
        match (&self.waits_for, self.state.as_str()) {
            (Some(what), _) => lines.push(line("waits", format!("{}{runs}", waits(what)), true, what)),
            (None, "") => {}
            (None, "active") => lines.push(line("works", format!("on the server{runs}"), false, "active")),
            (None, state) => lines.push(line("server", state.to_owned(), false, state)),
        }
        for blocker in self.blockers.iter().take(SHOWN) {
            lines.push(line("in way", blocker.words(), true, format!("{} {}", blocker.pid, blocker.state)));
        }
        if let Some(more) = self.blockers.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            lines.push(line("", format!("! and {more} more"), true, more.to_string()));
        }
        if !self.queue.is_empty() {
            // Twice as many are news.
            lines.push(line("behind", behind(&self.queue), true, self.queue.len().ilog2().to_string()));
        }
        lines.extend(self.progress.iter().map(|progress| {
            let (words, tenth) = progress.words();
            line("phase", words, false, format!("{} {tenth}", progress.phase))
        }));
        lines.extend(self.cannot.iter().map(|words| line("", words.clone(), true, words)));
        lines
    }
}

/// What the server's own word means here.
fn waits(what: &str) -> String {
    let meant = match what.trim_start_matches("Lock ") {
        "relation" => "for a lock on a table",
        "virtualxid" => "for the end of an older transaction",
        "transactionid" | "tuple" => "for a row that another transaction holds",
        _ => return format!("for {}", in_one_line(what)),
    };
    format!("{meant} ({what})")
}

fn behind(queue: &[Queued]) -> String {
    let mut apps: BTreeMap<&str, usize> = BTreeMap::new();
    for queued in queue {
        *apps.entry(queued.app.as_str()).or_default() += 1;
    }
    let apps = apps.iter().map(|(app, n)| if *n == 1 { (*app).to_owned() } else { format!("{app} ({n})") });
    let apps = apps.collect::<Vec<_>>().join(", ");
    let longest = queue.iter().filter_map(|queued| queued.stalled).max();
    let longest = longest.map(|longest| format!(", the longest for {}", lasting(longest))).unwrap_or_default();
    let (wait, n) = (if queue.len() == 1 { "waits" } else { "wait" }, counted(queue.len(), "session"));
    format!("! {n} {wait} behind it{longest}: {}", in_one_line(&apps))
}

impl Blocker {
    /// Who it is, since when and with what.
    pub fn words(&self) -> String {
        let Self { pid, app, user, state, .. } = self;
        if pid.is_empty() {
            return format!("! {}", self.note.clone().unwrap_or_default());
        }
        let who = format!("! {}, pid {pid} ({})", in_one_line(app), in_one_line(user));
        if let Some(note) = self.note.as_ref().filter(|_| user.is_empty()) {
            return format!("! pid {pid}: {note}");
        }
        let waits = if self.waits { ", waiting itself" } else { "" };
        if let Some(note) = &self.note {
            return format!("{who}: {note}");
        }
        if state.is_empty() {
            return format!("{who}{waits}: cannot see since when or what it does");
        }
        let age = self.age.map(|age| format!(" for {}", lasting(age))).unwrap_or_default();
        let query = if self.query.is_empty() { String::new() } else { format!(": {}", self.query) };
        format!("{who}, {state}{age}{waits}{query}")
    }
}

impl Progress {
    /// With the tenth that it is in.
    fn words(&self) -> (String, i64) {
        let Self { what, phase, unit, .. } = self;
        match self.done {
            None => (format!("{what}: {phase}"), 0),
            Some((done, of)) => {
                let percent = done.saturating_mul(100) / of.max(1);
                (format!("{what}: {phase}, {done} of {of} {unit} ({percent} %)"), percent / 10)
            }
        }
    }
}
