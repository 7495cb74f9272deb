//! What a catalog shows after an undo, beside what it was before the step.

use serde::{Deserialize, Serialize};

use crate::runbook::expect::Verdict;

/// Where the catalog of what a step touches lies as it was before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// A file of the run's directory, and its SHA-256.
    In { file: String, digest: String },
    /// It could not be read or written, in whose words.
    Not(String),
}

/// Whether an undo brought back what was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    Compared {
        /// Object by object, what is not as it was.
        differs: Vec<String>,
        /// What later steps of the run changed on the same objects: no failure of the undo.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        meanwhile: Vec<String>,
        /// What no comparison of the catalog sees.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        unseen: String,
    },
    /// There is something to compare with, and it could not be compared.
    Unknown { because: String },
    /// Nothing was kept before the step.
    NotKept { because: String },
}

impl Restored {
    /// Nothing kept is nothing to judge; it is never called exact.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Compared { differs, .. } if !differs.is_empty() => Verdict::Fail,
            Self::Compared { .. } | Self::NotKept { .. } => Verdict::Pass,
            Self::Unknown { because } => Verdict::unknown(because.clone()),
        }
    }

    /// The finding, and what it consists of, an object a line.
    pub fn lines(&self) -> (String, Vec<String>) {
        match self {
            Self::Compared { differs, meanwhile, unseen } => {
                let words = match (differs.is_empty(), meanwhile.is_empty()) {
                    (true, true) => "restored exactly: the catalog of what it touched is as before the step.",
                    (true, false) => "restored, but for what later steps changed on the same objects:",
                    (false, _) => "undone, and NOT as before:",
                };
                let unseen = (!unseen.is_empty()).then(|| format!("not compared: {unseen}"));
                (words.to_owned(), differs.iter().chain(meanwhile).cloned().chain(unseen).collect())
            }
            Self::Unknown { because } => {
                (format!("nobody can tell whether all of it is restored: {because}"), Vec::new())
            }
            Self::NotKept { because } => (format!("not compared: {because}"), Vec::new()),
        }
    }

    /// On one line.
    pub fn words(&self) -> String {
        let (words, lines) = self.lines();
        if lines.is_empty() { words } else { format!("{words} {}", lines.join("; ")) }
    }
}
