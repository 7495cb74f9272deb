//! What went wrong, said to an operator: what failed, on which target, in whose words, and what to do next.
//!
//! Owns the one error type that crosses module borders and its exit code. Never prints and never ends the process.

use crate::text::multiline;
use std::fmt;

/// What a failure means for the caller; one exit code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The command line asks for something that does not exist or does not go together.
    Usage,
    /// The runbook or scenario is invalid.
    Runbook,
    /// A gate was refused, denied or expired.
    Refused,
    /// Held, stopped, or ended degraded, safe and owned.
    Held,
    /// Ended with a failed step or a red check.
    RedCheck,
    UndoFailed,
    /// Nobody knows whether it happened.
    Unknown,
    /// A target could not be reached or is not what it should be.
    Target,
    /// The audit log is torn, broken or contradicts an anchor.
    AuditBroken,
    AuditUnwritable,
    /// A defect in backout itself.
    Defect,
    /// Interrupted where no run is open.
    Interrupted,
    Terminated,
}

impl Kind {
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::RedCheck => 1,
            Kind::Usage => 2,
            Kind::Runbook => 3,
            Kind::Refused => 4,
            Kind::Held => 5,
            Kind::UndoFailed => 6,
            Kind::Unknown => 7,
            Kind::Target => 8,
            Kind::AuditBroken => 9,
            Kind::Defect => 70,
            Kind::AuditUnwritable => 74,
            Kind::Interrupted => 130,
            Kind::Terminated => 143,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence: what failed, on what.
    pub message: String,
    /// Why, from the nearest to the farthest, the server's own words last.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }
}

impl fmt::Display for Failure {
    /// The message, then a line `because: …` for each cause and a line `hint: …`; all of it sanitised, since most of
    /// it came from a server or a file. Lines after the first of one part are indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        part(f, "", &self.message)?;
        for cause in &self.causes {
            part(f, "\nbecause: ", cause)?;
        }
        if let Some(hint) = &self.hint {
            part(f, "\nhint: ", hint)?;
        }
        Ok(())
    }
}

fn part(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    f.write_str(label)?;
    for (i, line) in multiline(text.trim_end()).iter().enumerate() {
        f.write_str(if i == 0 { "" } else { "\n    " })?;
        f.write_str(line.as_str())?;
    }
    Ok(())
}

impl std::error::Error for Failure {}
