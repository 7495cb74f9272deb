//! The keys: one table for the handler, the footer, the help and the palette.
//!
//! Owns which key asks for what, and where it works. No single key changes the world: what does is typed at a gate.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Dialog, Model, View};
use crate::action::live::Sight;
use crate::engine::Snapshot;
use crate::run::next::{Blocked, has_statements, next_step, target_of};
use crate::run::state::Status;
use crate::runbook::{Action, Step, TargetKind};
use crate::sql::{self, Dialect};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Open,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    NextPane,
    PreviousPane,
    Follow,
    Survey,
    Checks,
    Log,
    Note,
    Skip,
    Jump,
    Override,
    BreakGlass,
    Undo,
    Verify,
    Recheck,
    Elsewhere,
    Happened,
    DidNotHappen,
    Hold,
    Lift,
    EndSession,
    Trial,
    Cancel,
    Var,
    Finish,
    Copy,
    Zoom,
    Find,
    FindNext,
    Help,
    Palette,
    Redraw,
    Back,
    Interrupt,
    Leave,
}

pub struct Binding {
    /// As it is written in footer and help.
    pub key: &'static str,
    codes: &'static [(KeyCode, KeyModifiers)],
    pub command: Command,
    /// In the palette.
    pub name: &'static str,
    /// In the footer; empty: never there.
    pub label: &'static str,
    pub help: &'static str,
}

impl Binding {
    /// The key, pressed.
    pub fn press(&self) -> Option<KeyEvent> {
        self.codes.first().map(|(code, modifiers)| KeyEvent::new(*code, *modifiers))
    }

    /// What is typed where there are words instead of keys: the name, or the key as it is written.
    pub fn said(word: &str) -> Option<&'static Self> {
        let word = word.trim();
        BINDINGS.iter().find(|b| b.key == word || b.name.eq_ignore_ascii_case(word))
    }
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;
const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

macro_rules! bind {
    ($key:literal, [$($code:expr),*], $command:ident, $name:literal, $label:literal, $help:literal) => {
        Binding { key: $key, codes: &[$($code),*], command: Command::$command, name: $name, label: $label, help: $help }
    };
}

const fn ch(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), NONE)
}

const fn ctrl(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), CTRL)
}

const fn code(code: KeyCode) -> (KeyCode, KeyModifiers) {
    (code, NONE)
}

/// In the order of the footer and of the help.
pub const BINDINGS: &[Binding] = &[
    bind!(
        "Enter",
        [code(KeyCode::Enter)],
        Open,
        "open",
        "open",
        "Open what NEXT names, or the selected step: its gate is shown, nothing is done"
    ),
    bind!(
        "+",
        [ch('+')],
        Happened,
        "it happened",
        "it happened",
        "Settle an unknown outcome: it took effect, with a reason"
    ),
    bind!(
        "-",
        [ch('-')],
        DidNotHappen,
        "it did not happen",
        "it did not",
        "Settle an unknown outcome: it did not take effect, with a reason"
    ),
    bind!("v", [ch('v')], Verify, "verify again", "verify", "Judge again what must hold after the step"),
    bind!("u", [ch('u')], Undo, "undo", "undo", "Open the gate of the step's undo"),
    bind!(
        "t",
        [ch('t'), ctrl('t')],
        Trial,
        "try it first",
        "trial",
        "Run the step's statements, its checks and its undo, and roll all of it back; asks for the word. At a gate: ^T"
    ),
    bind!(
        "x",
        [ch('x')],
        Cancel,
        "cancel the statement",
        "cancel",
        "Cancel what runs, on the server; asks for the word"
    ),
    bind!("r", [ch('r')], Lift, "lift the hold", "lift hold", "Lift the hold when its cause is gone"),
    bind!("p", [ch('p')], Hold, "hold", "hold", "Hold the run: nothing new begins, what runs is followed to its end"),
    bind!(
        "E",
        [ch('E'), ctrl('k')],
        EndSession,
        "end a session",
        "end session",
        "End another session that is in the way, or cancel its statement; asks for its pid. At a gate: ^K"
    ),
    bind!("c", [ch('c')], Checks, "checks", "checks", "The live checks"),
    bind!("l", [ch('l')], Log, "log", "log", "The log of this run"),
    bind!("n", [ch('n')], Note, "note", "note", "Write a note into the log"),
    bind!("s", [ch('s')], Skip, "skip", "skip", "Skip the selected step, with a reason"),
    bind!("w", [ch('w')], Survey, "survey", "survey", "Where the world stands: the first screen"),
    bind!("?", [ch('?')], Help, "help", "help", "All keys"),
    bind!("q", [ch('q')], Leave, "leave", "leave", "Leave: the run is held, resume comes back to it"),
    bind!(
        "a",
        [ch('a')],
        Recheck,
        "ask a check now",
        "",
        "Ask the checks of the selected step now, at their full depth"
    ),
    bind!(
        "J",
        [ch('J')],
        Jump,
        "jump to a step",
        "",
        "Go on at the selected step; those between are skipped, with a reason"
    ),
    bind!(
        "o",
        [ch('o')],
        Override,
        "override a need",
        "",
        "Pass over a soft need of the selected step; go forward where it is not verified or its undo failed; with a reason"
    ),
    bind!(
        "B",
        [ch('B')],
        BreakGlass,
        "break the glass",
        "",
        "Pass over the hard needs of the step that is next, alone and with a reason; its gate still asks"
    ),
    bind!(
        "e",
        [ch('e')],
        Elsewhere,
        "done by other hands",
        "",
        "The selected step was done elsewhere; with the evidence"
    ),
    bind!("=", [ch('=')], Var, "set a variable", "", "Answer a variable that a step or check needs"),
    bind!("F", [ch('F')], Finish, "finish the run", "", "End the run: recovered, degraded with owners, or stopped"),
    bind!("Up", [code(KeyCode::Up), ch('k')], Up, "up", "", "One up"),
    bind!("Down", [code(KeyCode::Down), ch('j')], Down, "down", "", "One down"),
    bind!("PgUp", [code(KeyCode::PageUp), ctrl('b')], PageUp, "page up", "", "One page up"),
    bind!("PgDn", [code(KeyCode::PageDown), ctrl('f'), ch(' ')], PageDown, "page down", "", "One page down"),
    bind!("g", [ch('g'), code(KeyCode::Home)], Top, "to the top", "", "To the first"),
    bind!("G", [ch('G'), code(KeyCode::End)], Bottom, "to the end", "", "To the last"),
    bind!("Tab", [code(KeyCode::Tab)], NextPane, "next pane", "", "The next pane: steps, detail, checks, log"),
    bind!("S-Tab", [code(KeyCode::BackTab)], PreviousPane, "previous pane", "", "The pane before"),
    bind!(".", [ch('.')], Follow, "follow", "", "Back to the step that is next"),
    bind!("/", [ch('/')], Find, "find", "", "Find a step by its words"),
    bind!("N", [ch('N')], FindNext, "find next", "", "The next one found"),
    bind!("y", [ch('y')], Copy, "copy", "", "Copy the selected step's text, and write it to a file of the run"),
    bind!("z", [ch('z')], Zoom, "zoom", "", "The pane over the whole width, to select from"),
    bind!(":", [ch(':')], Palette, "commands", "", "Every command by its name"),
    bind!("^L", [ctrl('l')], Redraw, "draw again", "", "Draw the whole screen again"),
    bind!("Esc", [code(KeyCode::Esc)], Back, "back", "", "Close what is innermost: a dialog, a gate, a message"),
    bind!("^C", [ctrl('c')], Interrupt, "interrupt", "", "The same; where nothing is open, hold; twice, leave"),
];

/// What a key asks for, wherever text is not being typed.
pub fn command(key: &KeyEvent) -> Option<Command> {
    // Terminals disagree whether a capital comes with shift.
    let modifiers = match key.code {
        KeyCode::Char(_) | KeyCode::BackTab => key.modifiers.difference(SHIFT),
        _ => key.modifiers,
    };
    BINDINGS.iter().find(|b| b.codes.contains(&(key.code, modifiers))).map(|b| b.command)
}

pub fn key_of(command: Command) -> &'static str {
    BINDINGS.iter().find(|b| b.command == command).map_or("", |b| b.key)
}

/// Whether the command does anything at this moment.
pub fn works(command: Command, model: &Model, snapshot: &Snapshot) -> bool {
    let state = &snapshot.state;
    let step = model.step(snapshot);
    let status = step.map(|id| state.status(id));
    let idle = state.open.is_none() && state.gate.is_none() && !state.closed();
    match command {
        Command::Happened | Command::DidNotHappen => state.open.as_ref().is_some_and(|open| open.unknown),
        Command::Verify => status.is_some_and(|status| status == Status::Applied || status.is_red()) && !state.closed(),
        Command::Undo => idle && status.is_some_and(Status::stands),
        Command::Cancel => state.open.as_ref().is_some_and(|open| !open.unknown && open.intent.on.is_some()),
        Command::Trial => trial_of(model, snapshot).is_some(),
        Command::Lift => !state.holds.is_empty() && !state.closed(),
        Command::Hold => state.holds.is_empty() && !state.closed() && state.started.is_some(),
        Command::EndSession => {
            !state.closed() && snapshot.targets.iter().any(|(_, link)| matches!(link, crate::engine::Link::Up(_)))
        }
        Command::Elsewhere => {
            idle && status.is_some_and(|status| status.open_to_attempt() || status == Status::UndoFailed)
        }
        Command::Override if status.is_some_and(|status| status.is_red() || status.undo_failed()) => idle,
        Command::Skip | Command::Override | Command::Jump => {
            idle && status.is_some_and(|status| status.open_to_attempt() && !status.finished())
        }
        Command::BreakGlass => idle && glass(snapshot),
        Command::Open => !state.closed() || snapshot.exit.is_some(),
        Command::Survey => model.view == View::Run,
        Command::Var => !snapshot.runbook.vars.is_empty() && !state.closed(),
        Command::Note | Command::Recheck | Command::Finish => !state.closed() && state.started.is_some(),
        Command::Zoom => model.view == View::Run,
        Command::FindNext => !model.find.is_empty(),
        _ => true,
    }
}

/// The step that a trial would be of, and its target: statements on a schema that are not applied, where nothing runs.
pub fn trial_of<'a>(model: &'a Model, snapshot: &'a Snapshot) -> Option<(&'a str, &'a str)> {
    let (state, runbook) = (&snapshot.state, &snapshot.runbook);
    let id = state.gate.as_ref().map(|gate| gate.step.as_str()).or_else(|| model.step(snapshot))?;
    let step = runbook.steps.get(id).filter(|step| has_statements(runbook, step))?;
    let target = target_of(runbook, step)?;
    let status = state.status(id);
    let kind = runbook.targets.get(target)?.kind;
    let takes_back =
        kind != TargetKind::Mysql && kind.dialect().is_some_and(|dialect| can_be_taken_back(step, dialect));
    let undoes_itself = state.gate.as_ref().is_some_and(|gate| gate.shown.offer.undoes.as_deref() == Some(id));
    let open = status.open_to_attempt() || (status == Status::Gate && !undoes_itself);
    let idle = state.open.is_none() && state.act.is_none() && !state.closed();
    (takes_back && open && idle).then_some((id, target))
}

/// Whether the step's own statements run in a transaction.
fn can_be_taken_back(step: &Step, dialect: Dialect) -> bool {
    let Action::Ddl(forms) = &step.action else { return true };
    let statements = forms.get(dialect).map(Vec::as_slice).unwrap_or_default();
    statements.iter().all(|sql| sql::judge(dialect, &sql.parseable(dialect)).transactional)
}

/// The next step waits for nothing but needs.
fn glass(snapshot: &Snapshot) -> bool {
    let next = next_step(&snapshot.runbook, &snapshot.state, &snapshot.readings());
    next.is_some_and(|(_, why)| !why.is_empty() && why.iter().all(|why| matches!(why, Blocked::Need { .. })))
}

/// Why a command that does not work now does not, and what would help.
pub fn why_not(command: Command, model: &Model, snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    if state.closed() {
        return "The run has ended: it can be read, and nothing in it changes any more.".into();
    }
    if state.started.is_none() {
        return "The run has not begun yet.".into();
    }
    let step = model.step(snapshot);
    let here = |what: &str| match (step, &state.open) {
        (_, Some(open)) => format!("{} runs: {what} when it has ended.", open.step),
        (Some(id), None) => format!("{id} is {}: {what}.", state.status(id).word()),
        (None, None) => "No step is selected.".into(),
    };
    match command {
        Command::Happened | Command::DidNotHappen => "Nothing is unknown: there is no outcome to settle.".into(),
        Command::Verify => here("it can be verified only after it was applied"),
        Command::Undo => here("there is nothing to undo"),
        Command::Trial if state.act.is_some() => "Another act is under way: wait until it has ended.".into(),
        Command::Trial => here("only statements on a schema that can be taken back are tried, before they are applied"),
        Command::Cancel if state.open.is_some() => {
            "What runs is no statement on a server: there is none to cancel. p holds the run.".into()
        }
        Command::Cancel => "Nothing runs: there is nothing to cancel.".into(),
        Command::Lift => "The run is not held.".into(),
        Command::Hold => "The run is held already; r lifts the hold.".into(),
        Command::EndSession => "No target answers: there is no session to end.".into(),
        Command::Skip => here("it cannot be skipped"),
        Command::Elsewhere => here("it cannot be done by other hands"),
        Command::Override => here("no need of it can be overridden"),
        Command::Jump => here("it cannot be jumped to"),
        Command::BreakGlass => "No need stands in the way of the next step: there is nothing to break.".into(),
        Command::Survey => "This is the survey; Enter leads on.".into(),
        Command::Zoom => "The survey has the whole width already.".into(),
        Command::Var => "The runbook has no variables.".into(),
        Command::FindNext => "Nothing was looked for yet: / finds a step.".into(),
        _ => "That is not possible at this moment.".into(),
    }
}

/// The keys of the present place, most wanted first: what the last row shows.
pub fn footer(model: &Model, snapshot: &Snapshot) -> Vec<(&'static str, &'static str)> {
    match model.dialogs.last() {
        Some(Dialog::Help { .. }) => return vec![("PgDn", "more"), ("Esc", "close")],
        Some(Dialog::Palette { .. }) => return vec![("Enter", "do it"), ("Up Down", "choose"), ("Esc", "close")],
        Some(Dialog::Prompt { .. }) => return vec![("Enter", "send"), ("Esc", "nothing happens")],
        Some(Dialog::Note { .. }) => {
            return vec![("^S", "write it"), ("Enter", "new line"), ("Esc", "nothing happens")];
        }
        Some(Dialog::Decide { .. }) => {
            return vec![("Tab", "word, reason"), ("Enter", "decide"), ("Esc", "nothing happens")];
        }
        Some(Dialog::Trial { step, .. }) => {
            let mut keys = vec![("PgDn", "more"), ("Esc", "close")];
            if super::model::was_not_tried(snapshot, step) {
                keys.splice(0..0, [("e", "empty copy"), ("b", "full size")]);
            }
            return keys;
        }
        Some(Dialog::Leave) => return vec![("Enter", "leave"), ("Esc", "stay")],
        Some(Dialog::Finish { .. }) => {
            return vec![("F2 F3 F4", "how it ends"), ("^S", "end the run"), ("Esc", "nothing happens")];
        }
        None => {}
    }
    if snapshot.exit.is_some() {
        return vec![("Enter", "close"), ("PgDn", "more")];
    }
    if model.gate.is_some() {
        let mut keys = vec![("Enter", "answer"), ("PgUp PgDn", "read"), ("Esc", "nothing happens")];
        if super::model::wants_second(snapshot) {
            keys.insert(2, ("Tab", "break-glass"));
        }
        if trial_of(model, snapshot).is_some() {
            keys.insert(1, ("^T", "trial"));
        }
        if snapshot.state.gate.as_ref().is_some_and(|open| !open.shown.evidence.blockers.is_empty()) {
            keys.insert(1, ("^K", "end who is in the way"));
        }
        return keys;
    }
    if model.at_rows(snapshot) {
        return match model.rows.class {
            Some(_) => vec![("Enter", "decide this row"), ("Esc", "another class")],
            None if super::model::undecided(snapshot) == 0 => {
                vec![("Enter", "freeze them"), ("1-9", "class"), ("Up Down", "row"), ("Esc", "back to the steps")]
            }
            None => vec![("1-9", "class"), ("Up Down", "row"), ("Esc", "back to the steps")],
        };
    }
    let mut keys = Vec::new();
    for binding in BINDINGS {
        let in_the_way = binding.command == Command::EndSession && is_blocked(snapshot);
        let routine = !matches!(binding.command, Command::EndSession | Command::Hold) || in_the_way;
        let of_a_step = matches!(binding.command, Command::Verify | Command::Undo | Command::Trial | Command::Skip);
        // No step is selected on the map.
        let in_sight = !of_a_step || model.view == View::Run;
        if !binding.label.is_empty() && routine && in_sight && works(binding.command, model, snapshot) {
            let label = if binding.command == Command::Open { open_label(model, snapshot) } else { binding.label };
            if !label.is_empty() {
                keys.push((binding.key, label));
            }
        }
    }
    keys
}

/// Sessions that keep the open statement waiting, and that could be ended.
pub fn is_blocked(snapshot: &Snapshot) -> bool {
    let sight = snapshot.watched.as_ref().and_then(|watched| watched.sight.as_ref());
    sight.is_some_and(Sight::is_blocked)
}

/// What Enter leads to; nothing while a step runs.
fn open_label(model: &Model, snapshot: &Snapshot) -> &'static str {
    let state = &snapshot.state;
    if model.view == View::Survey {
        return match (state.entered, &snapshot.survey) {
            (false, Some(_)) if !snapshot.surveying => "accept",
            (true, _) => "to the steps",
            _ => "open",
        };
    }
    let Some(step) = model.step(snapshot).and_then(|id| snapshot.runbook.steps.get(id)) else { return "close the run" };
    if state.open.is_some() && snapshot.classified.is_none() {
        return "";
    }
    match (state.status(&step.id), &step.action) {
        (Status::Unverified | Status::NotExact, _) => "verify",
        (Status::UndoFailed | Status::NotUndone, _) => "try again",
        (_, Action::Manual(_)) => "say what you saw",
        (_, Action::Decide(_)) => "decide",
        _ => "open",
    }
}
