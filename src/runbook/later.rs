//! What the format has and this release does not run.
//!
//! Owns the one table of it. Everything named here is read, resolved and shown like the rest, and then refused by name:
//! a release that runs one removes its row.

/// The map that a key stands in, and the key.
pub const LATER: [(&str, &str); 43] = [
    ("runbook", "deadlines"),
    ("runbook", "fragments"),
    ("runbook", "trust"),
    ("target", "registry"),
    ("target", "members"),
    ("service", "stays"),
    ("service", "version"),
    ("check", "explain"),
    ("check", "registry"),
    ("check", "across"),
    ("group", "offsets"),
    ("set", "topic"),
    ("set", "http"),
    ("set", "command"),
    ("set", "in"),
    ("set", "both"),
    ("never", "until"),
    ("never", "while"),
    ("match", "restore"),
    ("match", "replay"),
    ("match", "tombstones"),
    ("match", "topic"),
    ("match", "registry"),
    ("step", "restore"),
    ("step", "offsets"),
    ("step", "replay"),
    ("step", "tombstones"),
    ("step", "topic"),
    ("step", "registry"),
    ("step", "stages"),
    ("step", "then_watch"),
    ("step", "batch"),
    ("step", "stop_when"),
    ("step", "may_stay_open"),
    ("step", "reverses"),
    ("step", "lock"),
    ("on", "each"),
    ("undo", "valid_while"),
    ("change", "batch"),
    ("change", "before_image"),
    ("rows", "until"),
    ("publish", "schema_id"),
    ("publish", "partition"),
];

/// Whether `key` of the map `part` is read and not run.
pub fn is_later(part: &str, key: &str) -> bool {
    LATER.contains(&(part, key))
}
