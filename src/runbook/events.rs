//! What is done to topics, consumer groups and schemas, and what is asked of a registry.
//!
//! Owns the model of the event layer's own actions; `publish`, which works on rows, stands with the steps.

use indexmap::IndexMap;
use serde_json::Value;

use super::{SetRef, Template};

/// Moves a consumer group. Its undo is the offsets it had.
#[derive(Debug, Clone)]
pub struct Offsets {
    pub group: String,
    pub topic: String,
    pub to: Position,
}

#[derive(Debug, Clone)]
pub enum Position {
    Earliest,
    Latest,
    /// Where it was frozen last.
    Frozen,
    /// The first record at or after a moment.
    At(Template),
    /// Past the records of a set, which are kept in the topic `park` first.
    Over {
        set: SetRef,
        park: String,
    },
}

impl Position {
    /// The word that the file uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::Frozen => "frozen",
            Self::At(_) => "at",
            Self::Over { .. } => "over",
        }
    }
}

/// Publishes a window of one topic to another, transformed or as it is.
#[derive(Debug, Clone)]
pub struct Replay {
    pub topic: String,
    pub to: String,
    pub since: Template,
    /// `None`: to the end as it stands when the step begins.
    pub until: Option<Template>,
    /// Only records of this set.
    pub only: Option<SetRef>,
    pub except: Option<SetRef>,
    /// Rendered per record into one JSON value; `None`: as found.
    pub value: Option<Value>,
}

/// One record without a value for each row.
#[derive(Debug, Clone)]
pub struct Tombstones {
    pub topic: String,
    pub from: SetRef,
    /// The column whose value is the record's key.
    pub key: String,
}

/// Settings of a topic, one by one. Its undo is the settings it had.
#[derive(Debug, Clone)]
pub struct TopicConfig {
    pub name: String,
    pub config: IndexMap<String, String>,
}

/// An act on one subject of a schema registry. Its undo is what stood there.
#[derive(Debug, Clone)]
pub struct RegistryAct {
    pub subject: String,
    pub change: RegistryChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChange {
    Level(String),
    Mode(String),
    /// A version by its number, never for ever: what carries its id stays readable.
    Delete(u64),
}

impl RegistryChange {
    /// The word that the file uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Level(_) => "level",
            Self::Mode(_) => "mode",
            Self::Delete(_) => "delete",
        }
    }
}

impl std::fmt::Display for RegistryChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Level(value) | Self::Mode(value) => write!(f, "{} {value}", self.word()),
            Self::Delete(version) => write!(f, "delete version {version}"),
        }
    }
}

/// What is asked of one subject of a schema registry.
#[derive(Debug, Clone)]
pub struct RegistryCheck {
    pub subject: String,
    pub question: RegistryQuestion,
}

#[derive(Debug, Clone)]
pub enum RegistryQuestion {
    Level(String),
    Mode(String),
    /// Whether code with the schema `reader` can read what was written with `writer`: versions by number.
    Readable {
        reader: u64,
        writer: u64,
    },
}

impl std::fmt::Display for RegistryQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Level(level) => write!(f, "has the level {level}"),
            Self::Mode(mode) => write!(f, "is in the mode {mode}"),
            Self::Readable { reader, writer } => write!(f, "version {reader} reads what version {writer} wrote"),
        }
    }
}
