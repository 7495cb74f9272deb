//! What the evidence says about an intent whose end nobody saw.
//!
//! Pure: one truth table. Never guesses: without a marker or the step's own evidence nothing counts as applied, and
//! where two pieces of evidence disagree the operator decides.

use super::record::{OutcomeResult, Point, Position};

/// What could be read after the crash. `None`: it could not be read, or the target has no such thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The target answers as the one that the intent named, and is no standby.
    pub same_server: Option<bool>,
    /// A session of the attempt is still alive, or a prepared transaction of it is left.
    pub orphan: Option<bool>,
    /// The marker row of this attempt is there.
    pub marker: Option<bool>,
    /// What the step's done-check (catalog, offsets, header scan) says.
    pub done: Option<Position>,
    pub transactional: bool,
    /// The points that the log holds.
    pub reached: Vec<Point>,
}

/// The result, and the sentence that says what it rests on.
pub fn settle(evidence: &Evidence) -> (OutcomeResult, String) {
    use OutcomeResult::Unknown;
    let say = |result, words: &str| (result, words.to_owned());
    match evidence.same_server {
        Some(true) => {}
        Some(false) => {
            return say(Unknown, "another server answers: what is missing here may have been lost by a failover");
        }
        None => {
            return say(Unknown, "the target cannot be told apart from another: it does not answer");
        }
    }
    if evidence.orphan == Some(true) {
        return say(Unknown, "a session of this attempt is still alive: wait for it, or end it");
    }
    if evidence.transactional { transactional(evidence) } else { by_state(evidence) }
}

/// Marker and effect commit together, so the marker tells; the done-check may only contradict it.
fn transactional(evidence: &Evidence) -> (OutcomeResult, String) {
    use OutcomeResult::{Applied, NotApplied, Unknown};
    let say = |result, words: &str| (result, words.to_owned());
    match (evidence.marker, evidence.done) {
        (Some(true), Some(Position::NotDone)) => {
            say(Unknown, "the marker is there, but its effect is not: somebody changed it since")
        }
        (Some(true), Some(Position::HalfDone)) => {
            say(Unknown, "the marker is there, but half of its effect is missing")
        }
        (Some(true), _) => say(Applied, "its marker was committed"),
        // A session that cannot be seen may still commit.
        (_, _) if evidence.orphan.is_none() => {
            say(Unknown, "nobody can see whether a session of this attempt still lives")
        }
        (Some(false), Some(Position::Done)) => {
            say(Unknown, "it looks done, but its marker is missing: by other hands?")
        }
        (Some(false), Some(Position::HalfDone)) => say(Unknown, "half of it is there, and its marker is not"),
        (Some(false), _) => say(NotApplied, "no marker, and no session of it is left"),
        // Without a marker table only the step's own evidence tells.
        (None, Some(Position::Done)) => say(Applied, "its own check shows it done; there is no marker to read"),
        (None, Some(Position::NotDone)) => {
            say(NotApplied, "its own check shows it not done, and no session of it is left")
        }
        (None, Some(Position::HalfDone)) => say(Unknown, "half of it is there, and no marker can be read"),
        (None, Some(Position::Unknown) | None) => never_sent(evidence),
    }
}

/// No transaction: only the state of the world tells, and bytes that never left changed nothing.
fn by_state(evidence: &Evidence) -> (OutcomeResult, String) {
    use OutcomeResult::{Applied, NotApplied, Unknown};
    let say = |result, words: &str| (result, words.to_owned());
    match (evidence.marker, evidence.done) {
        (_, Some(Position::HalfDone)) => say(Unknown, "half of it is there"),
        (Some(true), Some(Position::NotDone)) => say(Unknown, "its marker is there, but its effect is not"),
        (Some(true), _) => say(Applied, "its marker is there"),
        (_, Some(Position::Done)) if nothing_left(evidence) => {
            say(Unknown, "it looks done, but this attempt had not begun: by other hands?")
        }
        (_, Some(Position::Done)) => say(Applied, "its own check shows it done"),
        (_, Some(Position::NotDone)) if evidence.orphan == Some(false) => {
            say(NotApplied, "its own check shows it not done, and nothing of it is left running")
        }
        (_, Some(Position::NotDone)) if !nothing_left(evidence) => {
            say(Unknown, "it is not done, but nobody can see whether it is still under way")
        }
        (_, _) => never_sent(evidence),
    }
}

/// The engine had not let it go past any point.
fn nothing_left(evidence: &Evidence) -> bool {
    evidence.reached.is_empty()
}

fn never_sent(evidence: &Evidence) -> (OutcomeResult, String) {
    let committable = evidence.reached.iter().any(|point| *point != Point::TxOpen);
    let harmless = if evidence.transactional { !committable } else { nothing_left(evidence) };
    // Only the log speaks here, and it is enough: every point of no return is on disk before it is passed.
    if harmless && (evidence.orphan == Some(false) || nothing_left(evidence)) {
        (OutcomeResult::NotApplied, "the log shows that it never came to its point of no return".to_owned())
    } else {
        (OutcomeResult::Unknown, "the evidence cannot tell".to_owned())
    }
}
