//! The engine: the one loop that owns the run and its log.
//!
//! Owns the order of things: an input is decided, its records are on disk, the state takes them in, and only then do
//! their effects begin. Never draws, never opens a connection itself: probes and workers do, and report back.

mod clock;
mod core;
mod fault;
mod probe;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, watch};

use crate::action::ATTEMPTS;
use crate::action::live::{Line, Sight};
use crate::run::gate::elapsed;
use crate::run::record::{Act, Checked, End, Event, Now, OpenItem, OutcomeResult};
use crate::run::state::State;
use crate::runbook::{CheckRef, Runbook};
use crate::survey::Survey;
use crate::target::Identity;

/// What a driver may ask of the engine. Every one is answered by a changed snapshot: a new state, or a refusal.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Accept the proposed entry point: these steps are done already.
    Enter {
        done: Vec<String>,
    },
    /// Prepare the step and show its gate; a step that asks for nothing begins at once.
    Open {
        step: String,
    },
    /// The same for undoing it.
    Undo {
        step: String,
    },
    /// What was typed at the open gate.
    Answer {
        typed: String,
        reason: Option<String>,
        looked_ms: u64,
        from_file: bool,
    },
    /// Alone at night: instead of the second person, for the open gate only.
    BreakGlass {
        reason: String,
    },
    /// Leave the gate: nothing happens.
    Close,
    /// A soft need is passed over, with a reason.
    Override {
        step: String,
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
    SetVar {
        name: String,
        value: String,
    },
    /// A `decide` step's option.
    Decide {
        step: String,
        option: String,
        reason: String,
    },
    /// What was done by hand, and seen.
    Seen {
        step: String,
        seen: String,
    },
    /// An asked row of a `reconcile` step.
    Classify {
        step: String,
        row: String,
        class: String,
        reason: String,
    },
    /// Judge again what must hold after the step.
    Verify {
        step: String,
    },
    /// The operator's word where evidence could not tell.
    Settle {
        step: String,
        result: OutcomeResult,
        reason: String,
    },
    /// Done by other hands, with evidence.
    Elsewhere {
        step: String,
        evidence: String,
    },
    Hold {
        why: String,
    },
    Lift,
    Act {
        act: Act,
        typed: String,
    },
    /// Run a check now, at its full depth.
    Recheck {
        check: CheckRef,
    },
    Finish {
        end: End,
        open: Vec<OpenItem>,
    },
    /// Hold, follow what is open to its end, then end the engine.
    Leave {
        why: String,
    },
    /// SIGTERM: as `Leave`, and cancel what is open on the server.
    Terminate,
}

/// What drivers render: a picture of the run at one moment. Latest wins.
#[derive(Clone)]
pub struct Snapshot {
    pub runbook: Arc<Runbook>,
    pub state: Arc<State>,
    pub now: Now,
    /// By target name, in the runbook's order.
    pub targets: Vec<(String, Link)>,
    pub checks: BTreeMap<CheckRef, Live>,
    pub survey: Option<Arc<Survey>>,
    /// A survey is under way.
    pub surveying: bool,
    /// Being prepared for its gate, since.
    pub preparing: Option<(String, Now)>,
    /// Asked rows of the `reconcile` step that stands open, and its classes.
    pub classified: Option<Arc<crate::action::Classified>>,
    /// The latest events, oldest first, at most 500.
    pub log: VecDeque<Arc<Event>>,
    /// The last thing that was turned down or failed, with when and what to do; stays until the next accepted ask.
    pub message: Option<Message>,
    /// What is seen of the open intent's statement on its server.
    pub watched: Option<Watched>,
    /// Done and how many of the open action's items or rows.
    pub progress: Option<(u64, Option<u64>)>,
    pub run_dir: std::path::PathBuf,
    /// How many asks have been taken in: who sent one knows when it has its answer.
    pub taken: u64,
    /// The log is being written; nothing is decided until it is on the disk.
    pub log_wait: Option<LogWait>,
    /// The loop has ended; the code that the process should exit with.
    pub exit: Option<u8>,
}

/// The statement of the open intent, as it is seen beside its worker. Latest wins; none of it is in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    pub step: String,
    pub att: u32,
    /// None: not looked yet.
    pub sight: Option<Sight>,
    /// Tries that found no lock.
    pub failed: u32,
    /// When the next one begins, while none is under way.
    pub again: Option<Now>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogWait {
    pub since: Now,
    /// Asks that came meanwhile and are decided afterwards, in order.
    pub kept: usize,
}

/// What is said where evidence ends.
pub const UNTOLD: &str = "Nobody can tell whether it happened";

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub at: Now,
    pub what: String,
    pub means: Option<String>,
    pub can: Option<String>,
}

/// Whether a target answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    Connecting,
    Up(Box<Identity>),
    /// In the server's words.
    Down {
        words: String,
        since: Now,
    },
}

/// A check with its recent past.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub latest: Option<Checked>,
    /// Oldest first, at most 60.
    pub history: VecDeque<Checked>,
    pub asking: bool,
}

/// A driver's hold on a running engine.
#[derive(Clone)]
pub struct Handle {
    pub asks: mpsc::Sender<Ask>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub events: broadcast::Sender<Arc<Event>>,
}

impl Watched {
    /// How often it was tried, then what was seen last.
    pub fn lines(&self, now: &Now) -> Vec<Line> {
        let tries = self.tries(now).map(|words| {
            let key = format!("tries {}", self.failed);
            Line { label: "tries", words, warns: false, key }
        });
        tries.into_iter().chain(self.sight.iter().flat_map(Sight::lines)).collect()
    }

    /// Which try is under way, or begins in how many seconds; none while it is the first or after the last.
    pub fn tries(&self, now: &Now) -> Option<String> {
        if self.failed == 0 || self.failed >= ATTEMPTS {
            return None;
        }
        let left = self.again.as_ref().map(|at| format!(" in {} s", elapsed(now, at).as_secs_f64().round()));
        Some(format!("try {} of {ATTEMPTS}{}", self.failed + 1, left.unwrap_or_default()))
    }

    /// Who is in the way first, and how many more.
    pub fn behind(&self) -> Option<String> {
        let blockers = &self.sight.as_ref()?.blockers;
        let first = blockers.iter().find(|blocker| !blocker.pid.is_empty())?;
        let more = match blockers.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Some(format!("{}, pid {}{more}", first.app, first.pid))
    }

    pub fn new(step: &str, att: u32) -> Self {
        Self { step: step.to_owned(), att, sight: None, failed: 0, again: None }
    }

    pub fn is_of(&self, step: &str, att: u32) -> bool {
        self.step == step && self.att == att
    }
}

impl Snapshot {
    /// How this run is taken up again, as it is typed.
    pub fn resume_words(&self) -> String {
        let state_dir = self.run_dir.ancestors().nth(2).filter(|dir| **dir != crate::audit::state_dir(None));
        let kept = state_dir.map(|dir| format!(" --state-dir {}", dir.display())).unwrap_or_default();
        format!("backout resume {}{kept}", self.state.run())
    }

    /// Evidence was looked for and does not tell what became of the open step: a person must.
    pub fn untold(&self) -> Option<&Message> {
        let unknown = self.state.open.as_ref().is_some_and(|open| open.unknown);
        self.message.as_ref().filter(|message| unknown && message.what == UNTOLD)
    }

    /// The latest answer of every check that has one.
    pub fn readings(&self) -> crate::run::next::Readings {
        self.checks.iter().filter_map(|(check, live)| Some((check.clone(), live.latest.clone()?))).collect()
    }
}

pub use clock::now;
pub use core::{ENGINE, LOG_DEADLINE, Setup, event_of, start};
