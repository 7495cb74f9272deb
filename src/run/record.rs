//! The event vocabulary of a run, which is also the format of the audit log.
//!
//! Owns every record that a log may hold. `kind` and `payload` of a line are this enum; `step` and `att` stand beside
//! them. Never decides anything: what may follow what is the transition table in `state`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runbook::expect::Verdict;
use crate::runbook::{CheckRef, FreezeItem, Level};

mod parts;

pub use parts::exact;

/// One moment, read from one clock by the engine; nobody else reads time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    pub wall: jiff::Timestamp,
    /// CLOCK_BOOTTIME, nanoseconds: order and durations come from this, never from `wall`. A text in the log: past 104
    /// days it is more than every JSON reader keeps exactly.
    #[serde(with = "as_text")]
    pub boottime: u64,
    /// First eight characters of the kernel's boot id; two boot times compare only within one boot.
    pub boot: String,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Now {
    /// As the log keeps it: the wall clock in whole microseconds.
    #[must_use]
    pub fn logged(&self) -> Self {
        let wall = jiff::Timestamp::from_microsecond(self.wall.as_microsecond()).unwrap_or(self.wall);
        Self { wall, ..self.clone() }
    }

    /// Seconds since `earlier`; by wall clock, never below zero, where the machine has booted in between.
    pub fn seconds_since(&self, earlier: &Now) -> u64 {
        if self.boot == earlier.boot {
            self.boottime.saturating_sub(earlier.boottime) / 1_000_000_000
        } else {
            u64::try_from(self.wall.as_second() - earlier.wall.as_second()).unwrap_or(0)
        }
    }
}

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    pub run: String,
    pub runbook: String,
    pub runbook_digest: String,
    pub incident: Option<String>,
    pub version: String,
    /// Steps of the runbook in order: the fold needs no other file.
    pub steps: Vec<String>,
    pub headless: bool,
}

/// Fields named `claimed_*` come from the environment; the others were observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub id: String,
    pub user: String,
    pub uid: u32,
    pub host: String,
    pub tty: Option<String>,
    pub claimed_ssh: Option<String>,
    pub pid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Done,
    NotDone,
    HalfDone,
    Unknown,
}

/// What survey found, whole: the entry is proposed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surveyed {
    pub steps: BTreeMap<String, Found>,
    pub checks: Vec<Checked>,
    pub environment: Environment,
    pub targets: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub position: Position,
    pub because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    Production,
    Rehearsal,
}

impl Environment {
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// A check's answer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub check: CheckRef,
    pub verdict: Verdict,
    pub value: Option<Value>,
    /// The server's own words, where it did not answer with a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    pub at: Now,
    pub took_ms: u64,
}

/// One item of a `freeze` or of a `reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub item: FreezeItem,
    pub content: FrozenContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenContent {
    Value(Value),
    /// The rows themselves lie in `file` of the run's directory.
    Rows {
        count: u64,
        digest: String,
        file: String,
        /// Of a compared set: rows per class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classes: Option<BTreeMap<String, u64>>,
    },
    /// Offsets, or a catalog: small enough to stand in the log.
    Snapshot(Value),
    Unknown {
        because: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    Expired,
    Red,
    Stale,
    Changed,
    Left,
}

/// What a gate asks consent to. Its digest covers exactly these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub run: String,
    pub step: String,
    pub att: u32,
    pub action: String,
    /// Rendered: statements, argv, request, or the events to publish (a sample and the digest of all).
    pub rendered: Vec<String>,
    pub binds: Vec<Value>,
    pub target: Option<TargetSeen>,
    pub environment: Environment,
    pub level: Level,
    /// What must be typed.
    pub token: String,
    /// Rows, events, items: the number that will change.
    pub number: Option<u64>,
    pub undo: Undoing,
    pub undoes: Option<String>,
    pub epoch: Option<u64>,
    /// Digest of action, checks and undo as written: the same in every run.
    pub step_digest: String,
}

/// A target as the server itself names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSeen {
    pub name: String,
    /// `PostgreSQL 15.4`, `Apache Kafka`, `SQLite 3.51`.
    pub server: String,
    /// `orders_prod @ db-eu-1:5432 as oncall, primary`.
    pub words: String,
    /// System identifier, cluster id, file id: what makes it this one and no other.
    pub identity: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// Declared by the author or derived from the statement.
    By {
        rendered: Vec<String>,
        derived: bool,
        limits: Option<String>,
    },
    /// From the rows as they were before.
    BeforeImage,
    None {
        because: String,
    },
}

/// What the decision rests on: recorded beside the offer, judged again at the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub needs: Vec<Checked>,
    /// Lines shown on the gate: label and words (`locks`, `table`, `breaks`, `in way` …).
    pub facts: Vec<(String, String)>,
    /// First rows of what will change.
    pub sample: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateShown {
    pub offer: Offer,
    pub offer_digest: String,
    pub evidence: Evidence,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswered {
    pub yes: bool,
    pub offer_digest: String,
    pub typed: String,
    pub reason: Option<String>,
    pub looked_ms: u64,
    /// From an answers file: never on production.
    pub from_file: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub action: String,
    /// None for an action that no gate asks for.
    pub offer_digest: Option<String>,
    pub undoes: Option<String>,
    pub transactional: bool,
    pub on: Option<String>,
}

/// Where a worker waits for the engine before it goes past a point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the first effect without a transaction.
    Begun,
    /// The marker is written.
    TxOpen,
    /// Before COMMIT.
    Ready,
    /// Before the bytes of a request leave.
    Sent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemDone {
    pub key: String,
    pub ok: bool,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub result: OutcomeResult,
    /// What it rests on: `marker read back`, the server's words, exit status.
    pub evidence: String,
    pub changed: Option<u64>,
    /// Rows of the frozen set that somebody changed since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_since: Vec<String>,
    /// Where the rows as they were before lie, for `changed by` and the undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_image: Option<String>,
}

impl Outcome {
    /// With no rows to tell of.
    pub fn new(result: OutcomeResult, evidence: impl Into<String>) -> Self {
        Self { result, evidence: evidence.into(), changed: None, changed_since: Vec::new(), before_image: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    Applied,
    NotApplied,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub result: OutcomeResult,
    /// `engine` by evidence, or the operator with a typed reason.
    pub reason: String,
    /// What the evidence tells beyond the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The step that this one, done by other hands, undid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Cancel { target: String },
    EndSession { target: String, pid: String },
    Trial { target: String },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    Operator,
    Terminal,
    Signal,
    Suspended,
    Target {
        name: String,
    },
    Guard {
        check: CheckRef,
    },
    Claim {
        target: String,
    },
    /// A step's outcome is unknown, or its verify is red.
    Step {
        step: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Recovered,
    Degraded,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenItem {
    pub what: String,
    pub owner: String,
    pub by: String,
}
