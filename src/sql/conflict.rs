//! Which table locks of PostgreSQL keep each other waiting.
//!
//! Owns the server's conflict table. Never says that two locks agree where it does not know them.

use super::statement::Lock;

/// By strength, each with the modes that it waits for, as bits in this order.
const CONFLICTS: [(&str, u8); 8] = [
    ("ACCESS SHARE", 0b1000_0000),
    ("ROW SHARE", 0b1100_0000),
    ("ROW EXCLUSIVE", 0b1111_0000),
    ("SHARE UPDATE EXCLUSIVE", 0b1111_1000),
    ("SHARE", 0b1110_1100),
    ("SHARE ROW EXCLUSIVE", 0b1111_1100),
    ("EXCLUSIVE", 0b1111_1110),
    ("ACCESS EXCLUSIVE", 0b1111_1111),
];

impl Lock {
    /// Whether a lock in `mode`, as `pg_locks` writes it (`AccessShareLock`), keeps this one waiting.
    pub fn waits_for(&self, mode: &str) -> bool {
        let ours = CONFLICTS.iter().find(|(name, _)| *name == self.mode);
        let theirs = CONFLICTS.iter().position(|(name, _)| same(name, mode));
        match (ours, theirs) {
            (Some((_, bits)), Some(nth)) => bits & (1 << nth) != 0,
            _ => true,
        }
    }

    /// A mode as `pg_locks` writes it, as the manual does: `ACCESS SHARE`.
    pub fn manual_name(mode: &str) -> &str {
        CONFLICTS.iter().find(|(name, _)| same(name, mode)).map_or(mode, |(name, _)| name)
    }
}

fn same(name: &str, mode: &str) -> bool {
    let squeezed = mode.strip_suffix("Lock").unwrap_or(mode);
    name.chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_ascii_lowercase())
        .eq(squeezed.chars().map(|c| c.to_ascii_lowercase()))
}
