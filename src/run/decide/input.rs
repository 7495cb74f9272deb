//! What may come to a decision: said by a person, reported by a worker, seen by the engine.

use serde_json::Value;

use crate::run::record::{
    Act, Actor, Checked, CloseReason, End, Evidence, Frozen, HoldReason, ItemDone, Offer, OpenItem, Outcome,
    OutcomeResult, Point, Restored, RunStarted, Surveyed, Tried,
};
use crate::runbook::CheckRef;
use crate::runbook::expect::Verdict;

/// What may come to the engine.
// As for records: a box around the evidence would cost every reader more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Start {
        started: RunStarted,
        actor: Actor,
    },
    Join(Actor),
    SetVar {
        name: String,
        value: Value,
    },
    Survey(Surveyed),
    Enter {
        done: Vec<String>,
    },
    /// The step was prepared: show its gate.
    Show {
        step: String,
        offer: Offer,
        evidence: Evidence,
    },
    /// The step was prepared and asks for nothing: begin.
    Begin {
        step: String,
        on: Option<String>,
    },
    /// The preview was 0.
    NotNeeded {
        step: String,
        because: String,
    },
    Answer {
        typed: String,
        reason: Option<String>,
        looked_ms: u64,
        from_file: bool,
        transactional: bool,
    },
    BreakGlass {
        reason: String,
    },
    Close {
        reason: CloseReason,
        detail: String,
    },
    Override {
        step: String,
        reason: String,
    },
    Reached {
        step: String,
        att: u32,
        point: Point,
        data: Value,
    },
    AttemptFailed {
        step: String,
        att: u32,
        code: String,
        message: String,
        again_in_ms: Option<u64>,
    },
    Progressed {
        step: String,
        att: u32,
        done: u64,
        of: Option<u64>,
    },
    Item {
        step: String,
        att: u32,
        item: ItemDone,
    },
    Froze {
        step: String,
        att: u32,
        items: Vec<Frozen>,
    },
    Finished {
        step: String,
        att: u32,
        outcome: Outcome,
    },
    Verified {
        step: String,
        checks: Vec<Checked>,
        /// Of an undo.
        restored: Option<Restored>,
    },
    Decide {
        step: String,
        option: String,
        reason: String,
    },
    /// What a person did by hand, and saw.
    Seen {
        step: String,
        seen: String,
    },
    Classify {
        step: String,
        row: String,
        class: String,
        reason: String,
    },
    Skip {
        step: String,
        reason: String,
    },
    Jump {
        to: String,
        reason: String,
    },
    Note {
        step: Option<String>,
        text: String,
    },
    Elsewhere {
        step: String,
        evidence: String,
    },
    SettleStart,
    SettleEvidence {
        what: String,
        finding: String,
    },
    Settle {
        result: OutcomeResult,
        reason: String,
        outcome: Option<Outcome>,
    },
    GuardChecked {
        check: CheckRef,
        verdict: Verdict,
        value: Option<Value>,
    },
    Hold {
        reason: HoldReason,
        detail: String,
    },
    Lift,
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
    Act {
        act: Act,
        token: String,
        typed: String,
    },
    ActDone {
        act: Act,
        applied: bool,
        detail: String,
        tried: Option<Tried>,
        found: Option<String>,
    },
    Finish {
        end: End,
        open: Vec<OpenItem>,
    },
}
