//! Named rows by key: where they come from, and how two of them are compared or combined.
//!
//! Owns the model alone. Reading rows is for others.

use indexmap::IndexMap;

use super::{HttpRequest, PerDialect, SqlText, Template};

#[derive(Debug, Clone)]
pub struct Set {
    pub name: String,
    pub source: SetSource,
    /// The column that names a row.
    pub key: String,
}

#[derive(Debug, Clone)]
pub enum SetSource {
    Query {
        on: String,
        sql: PerDialect<SqlText>,
    },
    /// The records of a `records` target.
    Records {
        target: String,
    },
    Compare(Compare),
    Topic(TopicSource),
    Http {
        on: Option<String>,
        request: HttpRequest,
    },
    /// JSON Lines on its standard output.
    Command {
        argv: Vec<Template>,
    },
    Combined(Combined),
}

/// The records of a topic's window.
#[derive(Debug, Clone)]
pub struct TopicSource {
    pub on: String,
    pub topic: String,
    pub since: Option<Template>,
    /// A column, and where it stands in a record: `key`, `offset`, `value.order_id`, `header.source`.
    pub fields: IndexMap<String, String>,
    /// Of the records with one key only the last counts.
    pub latest_per_key: bool,
}

/// Sets combined by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Combined {
    InNotIn {
        rows: String,
        not_in: String,
    },
    Both(String, String),
    /// Keys that stand in it more often than this.
    MoreThan {
        rows: String,
        times: u64,
    },
}

impl Combined {
    /// The sets it is made of; the rows and the key are those of the first.
    pub fn of(&self) -> Vec<&str> {
        match self {
            Self::InNotIn { rows, not_in } => vec![rows, not_in],
            Self::Both(first, second) => vec![first, second],
            Self::MoreThan { rows, .. } => vec![rows],
        }
    }
}

/// Every row of `ours` in a class, by what `theirs` says of it.
#[derive(Debug, Clone)]
pub struct Compare {
    pub ours: String,
    pub theirs: String,
    /// Our column, and theirs that holds the same value.
    pub by: (String, String),
    /// In order: the first that fits wins.
    pub classes: IndexMap<String, Vec<ClassRule>>,
    /// Where a row goes that fits none: to the operator, or to a class.
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    Ask,
    Class(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum ClassRule {
    /// How many of their records match.
    Found(Found),
    /// A column on both sides is equal (numbers by value).
    Equal { column: String },
    /// A column of one side has this value.
    Is { side: Side, column: String, value: serde_json::Value },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    None,
    Once,
    Many,
}
