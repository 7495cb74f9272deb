//! Whether each record of a log may follow those before it: the fold, for whoever verifies.
//!
//! Pure. Goes on after an illegal record as if it were not there, so that one fault is named once.

use serde_json::Value;

use super::record::{Event, Now, Record};
use super::state::State;

#[derive(Debug, Default)]
pub struct Legality {
    state: State,
}

impl Legality {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// Why it is illegal here, as a sentence for the reader of the report. The state is as it was before.
    pub fn take(&mut self, event: Event) -> Result<(), String> {
        self.state.evolve(&event).map_err(|illegal| illegal.to_string())
    }

    /// Takes the next line by its parts.
    ///
    /// # Errors
    /// Why it is illegal; that its kind is unknown, where another version of backout wrote it; that its payload is not
    /// of its kind. The state is as it was before, and the next line may be taken.
    pub fn line(
        &mut self,
        at: Now,
        by: &str,
        step: Option<&str>,
        att: Option<u32>,
        kind: &str,
        payload: &Value,
    ) -> Result<(), String> {
        if !Record::knows(kind) {
            return Err(format!("this backout does not know records of kind `{kind}`: not judged"));
        }
        let record = Record::from_parts(kind, payload).map_err(|why| format!("not a `{kind}` record: {why}"))?;
        self.take(Event { at, by: by.to_owned(), step: step.map(str::to_owned), att, record })
    }

    /// What the records so far amount to.
    pub fn state(&self) -> &State {
        &self.state
    }
}
