//! The event vocabulary of a run, which is also the format of the audit log.
//!
//! Owns every record that a log may hold. `kind` and `payload` of a line are this enum; `step` and `att` stand beside
//! them. Never decides anything: what may follow what is the transition table in `state`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runbook::CheckRef;
use crate::runbook::expect::Verdict;

mod gate;
mod now;
mod parts;
mod restored;
mod run;
mod tried;
mod work;
mod world;

pub use gate::{CloseReason, Evidence, GateAnswered, GateShown, Offer, TargetSeen, Undoing};
pub use now::Now;
pub use parts::exact;
pub use restored::{Kept, Restored};
pub use run::{Actor, End, HoldReason, OpenItem, RunStarted, Temporary};
pub use tried::{Tone, Tried, TriedCheck, TriedStatement, TriedUndo};
pub use work::{Act, Intent, ItemDone, Outcome, OutcomeResult, Point, Settled};
pub use world::{Checked, Environment, Found, Frozen, FrozenContent, Position, Surveyed};
/// A record with what it is about and when it was decided: the unit of the fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Now,
    /// Who: an actor of the actor table (`a1`), or `engine`.
    pub by: String,
    pub step: Option<String>,
    pub att: Option<u32>,
    pub record: Record,
}

// Records are few and short-lived: a box around the offer would cost every reader more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Record {
    // Class run: folded.
    RunStarted(RunStarted),
    VarSet {
        name: String,
        value: Value,
    },
    OperatorJoined(Actor),
    HandedOver {
        from: String,
        to: String,
    },
    Surveyed(Surveyed),
    Frozen(Frozen),
    /// The entry point was accepted; `done` are the steps that the world shows as done already.
    Entered {
        done: Vec<String>,
    },
    /// A `decide` step's option; with `row`, the class of one asked row of a `reconcile`.
    Decided {
        option: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<String>,
    },
    Enabled {},
    NotNeeded {
        because: String,
    },
    Jumped {
        to: String,
        reason: String,
    },
    Skipped {
        reason: String,
        hard: bool,
    },
    Note {
        text: String,
    },
    /// An input that `decide` turned down.
    Refused {
        input: String,
        because: String,
    },
    Amended {
        old_digest: String,
        new_digest: String,
        diff: String,
    },
    Deviation {
        what: String,
        because: String,
    },
    GateShown(GateShown),
    GateClosed {
        reason: CloseReason,
        detail: String,
    },
    GateAnswered(GateAnswered),
    Approval {
        by: String,
        offer: String,
        key: String,
    },
    /// Break-glass, or a soft need passed over: what, and the operator's reason.
    Override {
        what: String,
        reason: String,
    },
    Intent(Intent),
    Reached {
        point: Point,
        data: Value,
    },
    AttemptFailed {
        code: String,
        message: String,
        again_in_ms: Option<u64>,
    },
    Progressed {
        done: u64,
        of: Option<u64>,
    },
    ItemDone(ItemDone),
    Outcome(Outcome),
    Verified {
        checks: Vec<Checked>,
        verdict: Verdict,
        /// Of an undo: what the catalog shows beside what it was before the step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restored: Option<Restored>,
    },
    StepDone {
        verified: bool,
    },
    ActShown {
        act: Act,
        token: String,
    },
    ActAnswered {
        act: Act,
        yes: bool,
        typed: String,
    },
    ActIntent {
        act: Act,
    },
    ActOutcome {
        act: Act,
        applied: bool,
        detail: String,
        /// Of a trial that ran to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tried: Option<Tried>,
        /// Of a session that had not been shown: what makes it the one that is named in the words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    SettleStarted {
        open_intent: u32,
    },
    SettleEvidence {
        what: String,
        finding: String,
    },
    Settled(Settled),
    GuardBound {
        check: CheckRef,
        /// Ends with the intent of this step, or with that of an undo of the step that bound it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    GuardBroken {
        check: CheckRef,
        verdict: Verdict,
        value: Option<Value>,
    },
    Held {
        reason: HoldReason,
        detail: String,
    },
    HoldLifted {
        reason: HoldReason,
    },
    Claimed {
        target: String,
        epoch: u64,
    },
    ClaimLost {
        target: String,
        holder: String,
    },
    TargetLost {
        target: String,
        why: String,
    },
    TargetFound {
        target: String,
        identity: Value,
    },
    RunFinished {
        end: End,
        open: Vec<OpenItem>,
    },
    RunAbandoned {
        because: String,
    },

    // Class log: legal anywhere, changes no run state.
    SegmentOpened(Value),
    LockTaken {
        path: String,
    },
    LockLost {
        path: String,
    },
    Checked {
        checks: Vec<Checked>,
        flaps: u32,
    },
    ClockStep {
        by_ms: i64,
    },
    Signal {
        name: String,
    },
    SessionLost {
        why: String,
    },
    AuditDegraded {
        why: String,
    },
    Checkpoint(Value),
    Anchored {
        where_to: String,
        seq: u64,
        head: String,
    },
    Heartbeat {},
    Read {
        by: String,
    },
    Exported {
        what: String,
        to: String,
    },
}
