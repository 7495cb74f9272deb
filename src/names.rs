//! Every name that backout leaves in somebody else's system, once: tables, headers, topics, application names.
//!
//! Never quotes, never connects.

use crate::text::sha256;

/// PostgreSQL schema, and prefix where there are no schemas of our own.
pub const SCHEMA: &str = "backout";

pub const CLAIM: &str = "claim";
pub const MARKER: &str = "marker";
pub const ANCHOR: &str = "anchor";
pub const PROGRESS: &str = "progress";
pub const BEFORE_IMAGE: &str = "before_image";
pub const ENVIRONMENT: &str = "environment";

/// All tables but the frozen sets.
pub const TABLES: [&str; 6] = [CLAIM, MARKER, ANCHOR, PROGRESS, BEFORE_IMAGE, ENVIRONMENT];

pub const HEADER_RUN: &str = "backout-run";
pub const HEADER_STEP: &str = "backout-step";
pub const HEADER_ITEM: &str = "backout-item";

/// Holds the cluster id of a rehearsal cluster; absent means production.
pub const TOPIC_ENVIRONMENT: &str = "backout.environment";

/// PostgreSQL cuts identifiers and `application_name` at 63 bytes, without a word.
pub const PG_NAME_BYTES: usize = 63;

/// Where our tables stand in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `backout.claim`: PostgreSQL.
    Schema,
    /// `backout_claim`: SQLite, MySQL, MariaDB.
    Prefix,
}

impl Place {
    /// The unquoted full name, e.g. `backout.claim` or `backout_claim`.
    pub fn table(self, name: &str) -> String {
        match self {
            Place::Schema => format!("{SCHEMA}.{name}"),
            Place::Prefix => format!("{SCHEMA}_{name}"),
        }
    }
}

/// The table of a frozen set, `frozen_<set>`: short enough for every dialect with the prefix in front, unquoted.
pub fn frozen(set: &str) -> String {
    format!("frozen_{}", fit(set, PG_NAME_BYTES - SCHEMA.len() - "_frozen_".len()))
}

/// A name of at most `room` bytes: a longer one ends in a digest of the whole, so that no two become one.
pub fn fit(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    format!("{}_{}", cut(name, room - 9), &sha256(name.as_bytes())[..8])
}

/// `backout/<run8>/<step>/<n>` in at most 63 bytes of printable ASCII; a step id that does not fit ends in `~`.
pub fn application_name(run8: &str, step: &str, n: u32) -> String {
    let (own, step, n) = (prefix(run8), ascii(step), n.to_string());
    let room = PG_NAME_BYTES - own.len() - n.len() - 1;
    let step = if step.len() <= room { step } else { format!("{}~", cut(&step, room - 1)) };
    format!("{own}{step}/{n}")
}

/// What the connections of one run begin with: `backout/RUN8/`.
pub fn prefix(run8: &str) -> String {
    format!("{SCHEMA}/{}/", ascii(cut(run8, 8)))
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
