//! What is wrong: one line what, the next what it means, the next what can be done. Nothing vanishes by itself.

use ratatui::text::{Line, Span};

use super::line::wrap;
use super::{Scene, detail};
use crate::engine::{Link, Message};
use crate::run::next::hold_words;
use crate::run::record::{Act, HoldReason};
use crate::run::state::Status;
use crate::tui::keymap::{Command, key_of};
use crate::tui::theme::Role;

/// Told object by object in a banner; the rest is told in the step's detail.
const DIFFERENCES: usize = 3;

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    if scene.snapshot.exit.is_some() {
        // The last page says how it stands; nothing can be done about it here.
        return out;
    }
    let state = &scene.snapshot.state;
    if let Some(open) = state.open.as_ref().filter(|open| open.unknown) {
        let outcome = state.steps.get(&open.step).and_then(|step| step.outcome.as_ref());
        let seen = outcome.map_or("its end was not seen", |outcome| outcome.evidence.as_str());
        let because = scene.snapshot.message.as_ref().and_then(|message| message.means.as_deref());
        let found = match because.filter(|_| scene.snapshot.untold().is_some()) {
            Some(because) => format!("Evidence does not tell: {because}. Look yourself; what was read is in the log."),
            None if open.settling => "It may have happened. Looking for evidence: marker, catalog, offsets.".into(),
            None => "It may have happened. What was seen stands in the log (l).".into(),
        };
        let can = format!(
            "{} it happened · {} it did not, each with a reason, where evidence cannot tell",
            key_of(Command::Happened),
            key_of(Command::DidNotHappen)
        );
        banner(
            scene,
            columns,
            "UNKNOWN",
            &format!("{} attempt {}: {seen}", open.step, open.att),
            &[&found, &can],
            &mut out,
        );
    }
    if let Some(Act::Trial { step, target, .. }) = &state.act {
        let means = "It holds real locks, and all of it is rolled back. Its result comes up here by itself.";
        banner(scene, columns, "TRYING", &format!("{step} on {target}"), &[means], &mut out);
    }
    let wants = decision(scene, columns, &mut out);
    // Why that holds the run has just been said.
    let told = |hold: &&HoldReason| matches!(hold, HoldReason::Step { step } if Some(step.as_str()) == wants);
    let holds: Vec<&HoldReason> = state.holds.iter().filter(|hold| !told(hold)).collect();
    if !holds.is_empty() && !state.closed() {
        let reasons: Vec<String> = holds.iter().map(|hold| hold_words(hold)).collect();
        let guard_alone = holds.iter().all(|hold| matches!(hold, HoldReason::Guard { .. }));
        let means = if guard_alone {
            "Repair steps wait. Containing, undo, reading and notes work."
        } else {
            "Nothing new begins; what runs is followed to its end. Reading and notes work."
        };
        let can = format!(
            "{} lift it when its cause is gone · {} checks · {} note",
            key_of(Command::Lift),
            key_of(Command::Checks),
            key_of(Command::Note)
        );
        banner(scene, columns, "HELD", &reasons.join("; "), &[means, &can], &mut out);
    }
    for (name, link) in &scene.snapshot.targets {
        if let Link::Down { words, since } = link {
            let what = format!("{name} does not answer since {}: {words}", since.wall.strftime("%H:%M:%SZ"));
            banner(
                scene,
                columns,
                "LOST",
                &what,
                &["Its checks are unknown, its steps wait. It is tried again by itself."],
                &mut out,
            );
        }
    }
    let unread = |m: &&Message| scene.model.read.as_ref() != Some(&m.at) && scene.snapshot.untold().is_none();
    if let Some(message) = scene.snapshot.message.as_ref().filter(unread) {
        let more: Vec<&str> = message.means.as_deref().into_iter().chain(message.can.as_deref()).collect();
        banner(
            scene,
            columns,
            "!",
            &format!("{} {}", message.at.wall.strftime("%H:%M:%SZ"), message.what),
            &more,
            &mut out,
        );
    }
    if let Some(says) = &scene.model.says {
        banner(scene, columns, "-", says, &[], &mut out);
    }
    out
}

/// What somebody must decide before the run goes on: about which step.
fn decision<'a>(scene: &'a Scene<'_>, columns: usize, out: &mut Vec<Line<'static>>) -> Option<&'a str> {
    let state = &scene.snapshot.state;
    if state.closed() || state.open.is_some() || state.gate.is_some() {
        return None;
    }
    if let Some(id) = state.undo_failed() {
        let words = state.steps.get(id).and_then(|step| step.undo_failed.as_deref()).unwrap_or_default();
        let means = "What was to be taken back still stands.";
        banner(scene, columns, "UNDO FAILED", &format!("{id}: {words}"), &[means, &detail::choices(scene, id)], out);
        return Some(id);
    }
    let (id, step) = state.steps.iter().find(|(_, step)| step.status.is_red() && !step.forward)?;
    let restored = step.restored.as_ref().filter(|restored| !restored.verdict().is_pass());
    let (what, lines) = match restored {
        Some(restored) => restored.lines(),
        None => {
            let red = step.verified.iter().filter(|checked| !checked.verdict.is_pass());
            let red: Vec<String> = red.map(|c| format!("{} is {}", c.check, c.verdict.word())).collect();
            (format!("applied, and {}", red.join(", ")), Vec::new())
        }
    };
    let more = (lines.len() > DIFFERENCES).then(|| format!("and {} more, in its detail", lines.len() - DIFFERENCES));
    let lines: Vec<&str> = lines.iter().take(DIFFERENCES).chain(&more).map(String::as_str).collect();
    let can = detail::red_choices(step.status);
    let word = if step.status == Status::NotExact { "NOT EXACT" } else { "NOT VERIFIED" };
    banner(scene, columns, word, &format!("{id}: {what}"), &[lines.as_slice(), &[&can]].concat(), out);
    Some(id)
}

fn banner(scene: &Scene<'_>, columns: usize, word: &str, what: &str, more: &[&str], out: &mut Vec<Line<'static>>) {
    let theme = scene.theme;
    if out.is_empty() {
        out.push(scene.rule(u16::try_from(columns).unwrap_or(u16::MAX)));
    }
    let indent = word.len() + 2;
    for (i, text) in wrap(what, columns.saturating_sub(indent + 1)).into_iter().enumerate() {
        let label = if i == 0 { format!(" {word} ") } else { " ".repeat(indent) };
        out.push(Line::from(vec![
            Span::styled(label, theme.style(Role::Warn)),
            Span::styled(text, theme.style(Role::Title)),
        ]));
    }
    for text in more.iter().flat_map(|text| wrap(text, columns.saturating_sub(indent + 1))) {
        out.push(Line::styled(format!("{}{text}", " ".repeat(indent)), theme.style(Role::Plain)));
    }
}
