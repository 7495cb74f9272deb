//! What the evidence says about an intent whose end nobody saw.
//!
//! Pure: one truth table, and the only one. Never guesses: without a marker or the step's own evidence nothing counts as
//! applied, and where two pieces of evidence disagree the operator decides.

use super::record::{OutcomeResult, Point, Position};

/// How an action takes effect: what can be evidence of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It only reads.
    Reads,
    /// A person's word, which stands in the log before the intent.
    Word,
    /// One transaction of a database, with its marker in it.
    Transaction,
    /// A database without a transaction: only its state tells.
    Plain,
    /// Events in a topic, looked for after their producer was fenced.
    Events,
    /// A program or a request.
    Outside,
    /// The log does not say what was agreed to.
    Unrecorded,
}

/// Who answers where the intent acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Same,
    Another,
    Standby,
    Silent,
    /// It acts on nothing that has an identity.
    None,
}

/// What is left at work of the attempt: a session, a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Something,
    Unseen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Ours,
    /// There, with the digest of another offer.
    Anothers,
    Missing,
    Unreadable,
    /// There is no table for it.
    None,
}

/// What the log says of the items of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    Done,
    Open,
    /// One had begun. `repeatable`: it carries the key by which the receiver knows a repetition.
    UnderWay {
        repeatable: bool,
    },
    Unreadable,
}

/// What could be read after the crash. What the table would not look at need not be gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub way: Way,
    /// The points that the log holds.
    pub reached: Vec<Point>,
    pub server: Server,
    pub left: Left,
    pub marker: Marker,
    /// Something that commits with the marker alone is there: its before-image, or the transaction by its number.
    pub trace: bool,
    /// How it stood before the first statement without a transaction, as the attempt said of itself.
    pub stood: Option<Position>,
    /// What the step's done-check (catalog, checks, header scan) says.
    pub done: Option<Position>,
    /// None: not a batch.
    pub items: Option<Items>,
}

impl Evidence {
    /// Nothing is known yet but the log.
    pub fn of(way: Way, reached: Vec<Point>) -> Self {
        Self {
            way,
            reached,
            server: Server::None,
            left: Left::Unseen,
            marker: Marker::None,
            trace: false,
            stood: None,
            done: None,
            items: None,
        }
    }

    /// Every point of no return is on disk before it is passed: a COMMIT may have been sent only after `ready`.
    fn may_have_committed(&self) -> bool {
        self.reached.iter().any(|point| *point != Point::TxOpen)
    }

    fn began(&self) -> bool {
        !self.reached.is_empty()
    }
}

type Verdict = (OutcomeResult, &'static str);

fn applied(words: &'static str) -> Verdict {
    (OutcomeResult::Applied, words)
}

fn not_applied(words: &'static str) -> Verdict {
    (OutcomeResult::NotApplied, words)
}

fn unknown(words: &'static str) -> Verdict {
    (OutcomeResult::Unknown, words)
}

/// The result, and the sentence that says what it rests on.
pub fn settle(evidence: &Evidence) -> Verdict {
    match evidence.way {
        Way::Reads => return not_applied("it only reads: read again"),
        Way::Word => return applied("the person's word stands in the log before its intent"),
        Way::Unrecorded => return unknown("the log holds no offer to compare with"),
        Way::Outside | Way::Events if !evidence.began() => {
            return not_applied("nothing was sent: no point was reached");
        }
        _ => {}
    }
    match evidence.server {
        Server::Same | Server::None => {}
        Server::Another => {
            return unknown(
                "another server, or an older state of it, answers: what is missing here may have been lost by a failover \
                 or a restore",
            );
        }
        Server::Standby => return unknown("a standby may lag: what is missing there proves nothing"),
        Server::Silent => return unknown("the target does not answer, or cannot be told apart from another"),
    }
    match (evidence.left, evidence.way) {
        (Left::Something, _) => unknown("something of this attempt is still at work: wait for it, or end it"),
        (_, Way::Transaction) => transaction(evidence),
        (Left::Unseen, Way::Outside) => unknown("nobody can tell whether its program still runs"),
        _ => match evidence.items {
            Some(items) => batch(items),
            None => by_state(evidence),
        },
    }
}

/// Marker and effect commit together, so the marker tells; the done-check may only contradict it.
fn transaction(evidence: &Evidence) -> Verdict {
    match (evidence.marker, evidence.done) {
        (Marker::Ours, Some(Position::NotDone)) => {
            unknown("the marker is there, but its effect is not: somebody changed it since")
        }
        (Marker::Ours, Some(Position::HalfDone)) => unknown("the marker is there, but half of its effect is missing"),
        (Marker::Ours, _) => applied("its marker is committed"),
        (Marker::Anothers, _) => unknown("the marker belongs to another intent"),
        (Marker::None, Some(Position::NotDone | Position::HalfDone)) if evidence.trace => {
            unknown("its transaction is committed, but its effect is not there: somebody changed it since")
        }
        (Marker::None, _) if evidence.trace && evidence.may_have_committed() => {
            applied("the server says that its transaction is committed; there is no marker to read")
        }
        // A session that cannot be seen may still commit.
        _ if evidence.left == Left::Unseen => unknown("nobody can see whether a session of this attempt still lives"),
        (Marker::Missing, _) if evidence.trace => {
            unknown("what commits with its marker is there, and the marker is not: somebody took it away since")
        }
        (Marker::Missing, Some(Position::Done)) => unknown("it looks done, but its marker is missing: by other hands?"),
        _ if evidence.trace => {
            unknown("something of it is committed, and nothing tells how: look, and say what happened")
        }
        (_, Some(Position::HalfDone)) => unknown("half of it is there, without a marker"),
        (Marker::Missing, _) => not_applied("no marker, and no session of it is left: the server has rolled it back"),
        // Without a marker only the log and the step's own evidence tell.
        (_, Some(Position::Done)) if !evidence.may_have_committed() => {
            unknown("it looks done, but this attempt never came to its COMMIT: by other hands?")
        }
        (Marker::None, Some(Position::Done)) => applied("its own check shows it done; there is no marker to read"),
        (Marker::None, Some(Position::NotDone)) => {
            not_applied("its own check shows it not done, and no session of it is left")
        }
        _ if !evidence.may_have_committed() => not_applied("no COMMIT was sent, and no session of it is left"),
        (Marker::Unreadable, _) => unknown("the marker cannot be read"),
        _ => unknown("what is there does not tell: look, and say what happened"),
    }
}

/// No transaction: only the state of the world tells, and what never began changed nothing.
fn by_state(evidence: &Evidence) -> Verdict {
    // Who says how it stood says before its first statement that it is sent.
    if evidence.way == Way::Plain && evidence.stood.is_some() && !evidence.reached.contains(&Point::Sent) {
        return match evidence.done {
            Some(Position::Done) if evidence.stood != Some(Position::Done) => {
                unknown("it looks done, but its first statement was not sent: by other hands?")
            }
            _ => not_applied("its first statement was not sent: that point was not reached"),
        };
    }
    match evidence.done {
        Some(Position::HalfDone) if evidence.way == Way::Events => {
            unknown("some of it stands in the topic: say that it was not applied to send the rest")
        }
        Some(Position::HalfDone) => unknown("half of it is there"),
        Some(Position::Done) if !evidence.began() => {
            unknown("it looks done, but this attempt had not begun: by other hands?")
        }
        Some(Position::Done) if evidence.stood == Some(Position::Done) => {
            unknown("it looks done, but so it did before this attempt: by other hands?")
        }
        Some(Position::Done) if matches!(evidence.marker, Marker::Missing | Marker::Anothers) => {
            unknown("it looks done, but the marker that goes before it is not there: by other hands?")
        }
        Some(Position::Done) => applied("its own check shows it done"),
        Some(Position::NotDone) if evidence.left == Left::Nothing => {
            not_applied("its own check shows it not done, and nothing of it is left at work")
        }
        _ if !evidence.began() => not_applied("it had not begun: no point was reached"),
        Some(Position::NotDone) => unknown("it is not done, but nobody can see whether it is still under way"),
        _ => unknown("what is there does not tell: look, and say what happened"),
    }
}

/// What is done of a batch stands item by item in the log; only the one under way is open to doubt.
fn batch(items: Items) -> Verdict {
    match items {
        Items::Done => applied("every item is done"),
        Items::Open => not_applied("what is done stands: going on does what is open"),
        Items::UnderWay { repeatable: true } => {
            not_applied("the receiver knows a repetition by its key: going on does what is open")
        }
        Items::UnderWay { repeatable: false } => {
            unknown("one item may have happened, and carries no key: look, and say whether it did")
        }
        Items::Unreadable => unknown("the items cannot be read"),
    }
}
