//! What the screen remembers: where the operator looks, and what is half typed.
//!
//! Owns nothing of the run: none of this is in the log, and a new terminal starts without it.

use std::time::Duration;

use tui_textarea::TextArea;

use crate::engine::Snapshot;
use crate::run::gate;
use crate::run::record::{End, Now, OutcomeResult};
use crate::run::state::Status;
use crate::runbook::{Action, Level};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    Survey,
    Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Steps,
    Detail,
    Checks,
    Log,
}

impl Pane {
    pub const ALL: [Pane; 4] = [Pane::Steps, Pane::Detail, Pane::Checks, Pane::Log];

    pub fn word(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Detail => "detail",
            Self::Checks => "checks",
            Self::Log => "log",
        }
    }
}

/// One line of text being typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    pub text: String,
    /// In characters.
    pub cursor: usize,
}

impl Field {
    fn at(&self) -> usize {
        self.text.char_indices().nth(self.cursor).map_or(self.text.len(), |(i, _)| i)
    }

    pub fn insert(&mut self, text: &str) {
        let at = self.at();
        // A line end would submit, a tab would move: neither belongs into one line.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text.insert_str(at, &text);
        self.cursor += text.chars().count();
    }

    pub fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            let at = self.at();
            self.text.remove(at);
        }
    }

    pub fn delete(&mut self) {
        let at = self.at();
        if at < self.text.len() {
            self.text.remove(at);
        }
    }

    pub fn to(&mut self, cursor: usize) {
        self.cursor = cursor.min(self.text.chars().count());
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What is typed at the open gate; belongs to one offer and goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct AtGate {
    pub offer_digest: String,
    pub shown: Duration,
    /// Keys before this moment are swallowed; `None` while the terminal has lost focus.
    pub arms: Option<Duration>,
    pub token: Field,
    /// Break-glass: alone, with a reason.
    pub reason: Field,
    pub in_reason: bool,
    pub scroll: usize,
    pub says: Option<String>,
    /// Answered; the engine has not said anything yet.
    pub sent: bool,
}

/// Where the operator stands in the table of a compared set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AtRows {
    pub row: usize,
    pub class: Option<String>,
    pub reason: Field,
    pub hidden: bool,
}

/// A line to be typed, and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    Skip {
        step: String,
    },
    Jump {
        to: String,
    },
    Override {
        step: String,
    },
    /// Past the hard needs of the step that is next.
    BreakGlass,
    Elsewhere {
        step: String,
    },
    /// What was done by hand, and seen.
    Seen {
        step: String,
    },
    Settle {
        step: String,
        result: OutcomeResult,
    },
    Hold,
    /// The word `cancel`.
    Cancel {
        target: String,
    },
    EndSession {
        target: String,
    },
    /// The word `try`.
    Trial {
        step: String,
        copy: bool,
        reason: Option<String>,
    },
    /// Why a trial at full size, although it would hurt.
    TrialReason {
        step: String,
    },
    Var {
        name: String,
    },
    Find,
}

#[derive(Debug, Clone)]
pub enum Dialog {
    Help {
        scroll: usize,
    },
    Palette {
        field: Field,
        pick: usize,
    },
    Prompt {
        purpose: Purpose,
        field: Field,
        says: Option<String>,
    },
    Note {
        step: Option<String>,
        area: Box<TextArea<'static>>,
    },
    Decide {
        step: String,
        word: Field,
        reason: Field,
        in_reason: bool,
        says: Option<String>,
    },
    Leave,
    /// The result of a step's latest trial.
    Trial {
        step: String,
        scroll: usize,
    },
    Finish {
        end: Option<End>,
        area: Box<TextArea<'static>>,
        says: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub struct Model {
    pub view: View,
    /// Picked by the operator; `None` follows what is next.
    pub picked: Option<String>,
    pub pane: Pane,
    pub zoom: bool,
    /// Of the pane that is not `Steps`, and of the survey; of the log from its end.
    pub scroll: usize,
    pub dialogs: Vec<Dialog>,
    pub gate: Option<AtGate>,
    pub rows: AtRows,
    /// Said by the screen itself; stays until dismissed.
    pub says: Option<String>,
    /// Trials that ended up to this moment were shown, or were over when the screen was opened.
    pub tried: Option<Now>,
    /// The engine's message up to this moment was read.
    pub read: Option<Now>,
    pub find: String,
    pub focused: bool,
    /// The last interrupt.
    pub interrupted: Option<Duration>,
    /// Leaving was asked for: what is open is followed to its end, then the last page says how it stands.
    pub leaving: bool,
    /// Nobody reads a last page: the terminal is gone, or the process is told to end.
    pub unread: bool,
    /// When the last page came up: a key that was meant for the page before does not close it.
    pub ended: Option<Duration>,
    /// The clock of the screen, since it was opened.
    pub at: Duration,
    /// When the present snapshot came.
    pub snapshot_at: Duration,
    pub size: (u16, u16),
}

impl Default for Model {
    fn default() -> Self {
        Self {
            view: View::Survey,
            picked: None,
            pane: Pane::Steps,
            zoom: false,
            scroll: 0,
            dialogs: Vec::new(),
            gate: None,
            rows: AtRows::default(),
            says: None,
            tried: None,
            read: None,
            find: String::new(),
            focused: true,
            interrupted: None,
            leaving: false,
            unread: false,
            ended: None,
            at: Duration::ZERO,
            snapshot_at: Duration::ZERO,
            size: (80, 24),
        }
    }
}

impl Model {
    /// The clock of the run at this moment: the snapshot's, and what has passed since it came.
    pub fn now(&self, snapshot: &Snapshot) -> Now {
        let drift = self.at.saturating_sub(self.snapshot_at);
        let mut now = snapshot.now.clone();
        now.boottime = now.boottime.saturating_add(u64::try_from(drift.as_nanos()).unwrap_or(0));
        now.wall = now.wall.checked_add(jiff::SignedDuration::try_from(drift).unwrap_or_default()).unwrap_or(now.wall);
        now
    }

    /// The page cannot be read at this size, so nothing on it is answered.
    pub fn too_small(&self) -> bool {
        self.size.0 < super::view::LEAST.0 || self.size.1 < super::view::LEAST.1
    }

    pub fn armed(&self) -> bool {
        self.gate.as_ref().is_some_and(|g| g.arms.is_some_and(|arms| self.at >= arms))
    }

    /// The last page has been there for as long as a gate takes to arm.
    pub fn may_close(&self) -> bool {
        self.ended.is_some_and(|ended| self.at >= ended + gate::ARM)
    }

    /// The table of a compared set covers the page.
    pub fn at_rows(&self, snapshot: &Snapshot) -> bool {
        snapshot.classified.is_some() && !self.rows.hidden && self.gate.is_none() && snapshot.exit.is_none()
    }

    /// The step that the detail is about.
    pub fn step<'a>(&'a self, snapshot: &'a Snapshot) -> Option<&'a str> {
        let picked = self.picked.as_deref().filter(|id| snapshot.runbook.steps.contains_key(*id));
        picked.or_else(|| current(snapshot))
    }

    /// When the screen must be looked at again although nothing came in: an arming gate, a counted second.
    pub fn wakes(&self, snapshot: &Snapshot) -> Duration {
        let second = self.at + Duration::from_secs(1);
        match self.gate.as_ref().and_then(|g| g.arms).filter(|arms| *arms > self.at) {
            Some(arms) => arms.min(second),
            None if snapshot.state.gate.is_some() || snapshot.state.open.is_some() => second,
            // Ages are coarse: they are looked at once a second and written only where their words change.
            None => second,
        }
    }

    /// Nothing stays scrolled beyond its last line: the key back would seem dead.
    pub fn scroll_within(&mut self, reach: usize) {
        let scroll = match (self.dialogs.last_mut(), self.gate.as_mut()) {
            (Some(Dialog::Help { scroll } | Dialog::Trial { scroll, .. }), _) => scroll,
            (Some(_), _) => return,
            (None, Some(gate)) => &mut gate.scroll,
            (None, None) => &mut self.scroll,
        };
        *scroll = (*scroll).min(reach);
    }

    /// Brings what is typed in line with a new snapshot.
    pub fn receive(&mut self, snapshot: &Snapshot, at: Duration) {
        self.at = self.at.max(at);
        self.snapshot_at = self.at;
        if snapshot.exit.is_some() && self.ended.is_none() {
            self.ended = Some(self.at);
            self.scroll = 0;
        }
        let open = snapshot.state.gate.as_ref();
        match (open, self.gate.as_mut()) {
            (None, _) => self.gate = None,
            (Some(open), Some(mine)) if mine.offer_digest == open.shown.offer_digest => {
                if open.broken.is_some() || open.approved_by.is_some() {
                    mine.in_reason = false;
                }
                if snapshot.message.is_some() {
                    mine.sent = false;
                }
            }
            (Some(open), _) => {
                self.dialogs.clear();
                self.gate = Some(AtGate {
                    offer_digest: open.shown.offer_digest.clone(),
                    shown: self.at,
                    arms: self.focused.then(|| self.at + gate::ARM),
                    token: Field::default(),
                    reason: Field::default(),
                    in_reason: false,
                    scroll: 0,
                    says: None,
                    sent: false,
                });
            }
        }
        self.show_trial(snapshot);
        if snapshot.classified.is_none() {
            self.rows = AtRows::default();
        } else if let Some(classified) = &snapshot.classified {
            self.rows.row = self.rows.row.min(classified.asked.len().saturating_sub(1));
        }
        if snapshot.state.entered && self.view == View::Survey {
            self.view = View::Run;
            self.scroll = 0;
        }
    }
}

impl Model {
    /// A trial that has just ended lays its result over the page.
    fn show_trial(&mut self, snapshot: &Snapshot) {
        let trials = snapshot.state.steps.iter().filter_map(|(id, s)| Some((id, &s.tried.as_ref()?.at)));
        let latest = trials.max_by_key(|(_, at)| at.wall);
        let since = self.tried.get_or_insert_with(|| snapshot.now.clone()).clone();
        if let Some((id, at)) = latest.filter(|(_, at)| at.wall > since.wall)
            && self.dialogs.is_empty()
        {
            self.tried = Some(at.clone());
            self.dialogs.push(Dialog::Trial { step: id.clone(), scroll: 0 });
        }
    }
}

/// The step that the run is at.
pub fn current(snapshot: &Snapshot) -> Option<&str> {
    let state = &snapshot.state;
    if let Some(open) = &state.open {
        return Some(&open.step);
    }
    if let Some(open) = &state.gate {
        return Some(&open.step);
    }
    let at = |wanted: &[Status]| state.steps.iter().find(|(_, s)| wanted.contains(&s.now())).map(|(id, _)| id.as_str());
    at(&[Status::Unknown, Status::Answered])
        .or_else(|| state.undo_failed())
        .or_else(|| at(&[Status::Applied, Status::Unverified, Status::NotExact]))
        .or_else(|| at(&[Status::Enabled, Status::Failed]))
        .or_else(|| at(&[Status::Waiting]))
}

/// The latest trial of a step was refused or stopped.
pub fn was_not_tried(snapshot: &Snapshot, step: &str) -> bool {
    snapshot.state.steps.get(step).and_then(|s| s.tried.as_ref()).is_some_and(|trial| trial.tried.is_none())
}

/// Whether a second person, or break-glass, must come first.
pub fn wants_second(snapshot: &Snapshot) -> bool {
    snapshot.state.gate.as_ref().is_some_and(|open| {
        open.shown.offer.level == Level::Irreversible && open.approved_by.is_none() && open.broken.is_none()
    })
}

/// Classes that an asked row may be put into, in the runbook's order.
pub fn classes(snapshot: &Snapshot) -> Vec<String> {
    use crate::runbook::SetSource;
    let Some(classified) = &snapshot.classified else { return Vec::new() };
    match snapshot.runbook.sets.get(&classified.set).map(|set| &set.source) {
        // `open` leaves the row as it is, with an owner named in the reason.
        Some(SetSource::Compare(compare)) => compare.classes.keys().cloned().chain(["open".into()]).collect(),
        _ => classified.classes.iter().map(|class| class.name.clone()).collect(),
    }
}

/// The `reconcile` step whose table is shown.
pub fn reconciling(snapshot: &Snapshot) -> Option<&str> {
    let set = &snapshot.classified.as_ref()?.set;
    let of_set = |id: &str| matches!(snapshot.runbook.steps.get(id).map(|s| &s.action), Some(Action::Reconcile { set: of }) if of == set);
    let open = snapshot.state.open.as_ref().map(|open| open.step.as_str()).filter(|id| of_set(id));
    open.or_else(|| {
        let steps = &snapshot.state.steps;
        steps.iter().find(|(id, s)| of_set(id) && !s.status.finished()).map(|(id, _)| id.as_str())
    })
}

/// Asked rows that nobody has given a class yet.
pub fn undecided(snapshot: &Snapshot) -> usize {
    let Some(classified) = &snapshot.classified else { return 0 };
    let recorded = reconciling(snapshot).and_then(|id| snapshot.state.steps.get(id)).map(|step| &step.rows);
    let open = |key: &String| recorded.is_none_or(|rows| !rows.contains_key(key));
    classified.asked.iter().filter(|row| row.class.is_none() && open(&row.key)).count()
}
