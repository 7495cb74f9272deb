//! What is seen of a statement under way, as lines: what is new, once, and never what only took longer.

use std::collections::BTreeSet;

use crate::engine::Snapshot;

/// Seconds.
const LONG: i64 = 5;

#[derive(Default)]
pub struct Watching {
    /// Step and attempt.
    of: Option<(String, u32)>,
    /// Whether it works or waits, and for what.
    does: String,
    told: BTreeSet<String>,
}

impl Watching {
    /// What is to be told, and of which step.
    pub fn news(&mut self, snapshot: &Snapshot) -> Vec<(String, String)> {
        let Some(watched) = &snapshot.watched else { return Vec::new() };
        let of = Some((watched.step.clone(), watched.att));
        if self.of != of {
            *self = Self { of, ..Self::default() };
        }
        let mut news = Vec::new();
        for line in watched.lines(&snapshot.now) {
            let fresh = match line.label {
                // Between two tries nothing is done on purpose.
                "server" => false,
                // That it works is news after a wait, and of what takes its time.
                "works" if self.does.is_empty() && watched.sight.as_ref().and_then(|s| s.runs) < Some(LONG) => false,
                "waits" | "works" => std::mem::replace(&mut self.does, line.key.clone()) != line.key,
                _ => self.told.insert(line.key),
            };
            if fresh {
                let label = if line.label.is_empty() { String::new() } else { format!("{}: ", line.label) };
                news.push((watched.step.clone(), format!("live: {label}{}", line.words)));
            }
        }
        news
    }
}
