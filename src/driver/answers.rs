//! The answers file: what a person would type, step by step. For rehearsals only; the engine refuses it elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{Failure, Kind, Result};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The format's version: 1.
    pub answers: u32,
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    #[serde(default)]
    pub steps: BTreeMap<String, Answer>,
}

/// Exact, no wildcard.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What is typed at the gate; for a manual step, what was seen.
    pub token: Option<String>,
    /// For break-glass, a decision, a skip.
    pub reason: Option<String>,
    pub option: Option<String>,
    /// Skip the step; `reason` says why.
    #[serde(default)]
    pub skip: bool,
    /// Asked rows of a compared set, by key.
    #[serde(default)]
    pub rows: BTreeMap<String, Row>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub class: String,
    pub reason: String,
}

impl Answers {
    /// # Errors
    /// The file cannot be read, is not of this form, or is of another version.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(Kind::Usage, format!("{} cannot be read", path.display())).cause(error))?;
        let answers: Self = serde_yaml::from_str(&text).map_err(|error| {
            Failure::new(Kind::Usage, format!("{} is not an answers file", path.display()))
                .cause(error)
                .hint("it holds `answers: 1` and, under `steps`, what is typed at each gate")
        })?;
        if answers.answers != 1 {
            return Err(Failure::new(Kind::Usage, format!("answers: {} is not a version known here", answers.answers))
                .hint("this version reads answers: 1"));
        }
        Ok(answers)
    }
}
