//! One step, whole: why, what it would do, where it stands, what it needs, how it is undone.

use ratatui::text::Line;

use super::Scene;
use super::checks;
use super::line::{labelled, wrap};
use crate::action::live::Sight;
use crate::run::next;
use crate::run::record::{Offer, Point, Position, Undoing};
use crate::run::state::{Status, StepState};
use crate::runbook::template::as_text;
use crate::runbook::undo::{self, Undo};
use crate::runbook::{Action, CheckRef, PerDialect, SqlText, Step, level};
use crate::tui::keymap::{Command, is_blocked, key_of};
use crate::tui::theme::{self, Role};

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let snapshot = scene.snapshot;
    let Some(step) = scene.model.step(snapshot).and_then(|id| snapshot.runbook.steps.get(id)) else {
        return vec![Line::styled(" No step is selected.", theme.style(Role::Muted))];
    };
    let state = snapshot.state.steps.get(&step.id);
    let status = state.map_or(Status::Waiting, StepState::now);
    let muted = theme.style(Role::Muted);
    let plain = theme.style(Role::Plain);
    let mut out: Vec<Line<'static>> = Vec::new();
    let open = snapshot.state.open.as_ref();
    let undoing = status == Status::Running && open.is_some_and(|open| open.intent.undoes.as_ref() == Some(&step.id));
    let head = format!(
        " {} {}   {} · {}",
        super::steps::place(scene, &step.id),
        step.id,
        theme::layer_word(step.layer),
        if undoing { "undoing" } else { status.word() }
    );
    out.push(super::line::Row::new().put(head, theme.style(Role::Title)).fit(columns));
    let runs = snapshot.state.open.as_ref().is_some_and(|open| open.step == step.id);
    if runs {
        // What goes on stands above what was known before.
        running(scene, step, &mut |label: &str, words: &str, role: Role| {
            out.extend(labelled(label, words, columns, muted, theme.style(role)));
        });
    }
    for text in step.why.iter().flat_map(|why| wrap(why, columns.saturating_sub(2))) {
        out.push(Line::styled(format!(" {text}"), plain));
    }
    for text in action(scene, step).iter().flat_map(|text| wrap(text, columns.saturating_sub(4))) {
        out.push(Line::styled(format!("   {text}"), theme.style(Role::Title)));
    }
    let mut add = |label: &str, words: &str, role: Role| {
        out.extend(labelled(label, words, columns, muted, theme.style(role)));
    };
    if let Some(on) = &step.on {
        let seen = snapshot.targets.iter().find(|(name, _)| name == on).map(|(_, link)| match link {
            crate::engine::Link::Connecting => "connecting".to_owned(),
            crate::engine::Link::Up(identity) => format!("{} · {}", identity.seen.words, identity.seen.server),
            crate::engine::Link::Down { words, .. } => format!("does not answer: {words}"),
        });
        add("on", &format!("{on} · {}", seen.unwrap_or_default()), Role::Plain);
    }
    if !runs {
        found(scene, step, &mut add);
    }
    if let Some(outcome) = state.and_then(|s| s.outcome.as_ref()) {
        let changed = outcome.changed.map(|n| format!(" · {n} changed")).unwrap_or_default();
        add("outcome", &format!("{}{changed}", outcome.evidence), Role::Plain);
        for since in &outcome.changed_since {
            add("", &format!("changed since by others: {since}"), Role::Warn);
        }
    }
    if let Some(words) = state.and_then(|s| s.undo_failed.as_ref()) {
        let undone = match &step.action {
            Action::UndoOf { step: undone } => undone,
            _ => &step.id,
        };
        add("undoing", &format!("FAILED: {words}"), Role::Bad);
        add("", &format!("What {undone} did still stands."), Role::Warn);
    }
    if let Some(restored) = state.and_then(|s| s.restored.as_ref()) {
        let role = if restored.verdict().is_pass() { Role::Plain } else { Role::Bad };
        let (words, lines) = restored.lines();
        add("undone", &words, role);
        lines.iter().for_each(|line| add("", line, role));
    }
    if let Some(reason) = state.and_then(|s| s.reason.as_ref()) {
        add("because", reason, Role::Plain);
    }
    for after in step.after.iter().filter(|after| !snapshot.state.status(&after.step).finished()) {
        add("after", &format!("{}{}", after.step, if after.hard { " · hard" } else { "" }), Role::Plain);
    }
    for (decision, option) in &step.when {
        add("when", &format!("{decision} is {option}"), Role::Plain);
    }
    for (i, need) in step.needs.iter().enumerate() {
        let label = if i == 0 { "needs" } else { "" };
        let (words, role) = judged(scene, &need.check);
        add(label, &format!("{words}{}", if need.hard { " · hard" } else { "" }), role);
    }
    for (i, check) in step.verify.iter().enumerate() {
        let (words, role) = judged(scene, check);
        add(if i == 0 { "then" } else { "" }, &words, role);
    }
    let (words, role) = undo(scene, step, own_offer(scene, step).map(|offer| &offer.undo));
    add("undo", &words, role);
    let built = if status.stands() { next::built_on(&snapshot.runbook, &snapshot.state, step) } else { Vec::new() };
    if !built.is_empty() {
        let last_first: Vec<&str> = built.into_iter().rev().collect();
        add("", &format!("only after the undo of {}", last_first.join(", then ")), Role::Warn);
    }
    for left in &step.leaves {
        let removed = left.remove.as_ref().map(|step| format!(" · removed by {step}")).unwrap_or_default();
        let owner = left.owner.as_deref().unwrap_or("wanted");
        add("leaves", &format!("{} · owner {owner}{removed}", left.what), Role::Plain);
    }
    if let Some((asked, within)) = next::asked_for(&snapshot.state, step, &scene.now) {
        let (asked, role) = (super::line::clock(asked), if asked > within { Role::Warn } else { Role::Plain });
        add("within", &format!("{}, asked {asked} ago", super::line::clock(within)), role);
    }
    add("asks", super::gate::asks(level::of(&snapshot.runbook, step)), Role::Plain);
    out
}

/// What may be done about an undo that failed, by its keys.
pub fn choices(scene: &Scene<'_>, step: &str) -> String {
    let again = match scene.snapshot.state.status(step) {
        Status::UndoFailed => key_of(Command::Undo),
        _ => key_of(Command::Open),
    };
    format!(
        "{again} try again · {} done by hand, with evidence · {} forward, with a reason · {} leave it held",
        key_of(Command::Elsewhere),
        key_of(Command::Override),
        key_of(Command::Leave)
    )
}

/// The same where what must hold afterwards does not.
pub fn red_choices(status: Status) -> String {
    let (again, undo) = match status {
        Status::NotExact => ("compare again, once mended", String::new()),
        _ => ("verify again", format!(" · {} undo", key_of(Command::Undo))),
    };
    let (verify, forward) = (key_of(Command::Verify), key_of(Command::Override));
    format!("{verify} {again}{undo} · {forward} forward, with a reason · {} leave it held", key_of(Command::Leave))
}

/// How far the open step is, what its statement does on the server, and what can be done about it.
fn running(scene: &Scene<'_>, step: &Step, add: &mut dyn FnMut(&str, &str, Role)) {
    let snapshot = scene.snapshot;
    let Some(open) = &snapshot.state.open else { return };
    let elapsed = super::line::clock(scene.now.seconds_since(&open.at));
    let progress = match snapshot.progress {
        Some((done, Some(of))) => format!(" · {done} of {of}"),
        Some((done, None)) => format!(" · {done} done"),
        None => String::new(),
    };
    let point = match open.reached.last() {
        None => "begun",
        Some((Point::Begun, _)) => "under way, outside a transaction",
        Some((Point::TxOpen, _)) => "in a transaction, not committed",
        Some((Point::Ready, _)) => "committing",
        Some((Point::Sent, _)) => "sent",
    };
    if let Some(undone) = open.intent.undoes.as_ref().filter(|undone| **undone == step.id) {
        let shown = snapshot.state.steps.get(undone).and_then(|s| s.shown.as_ref());
        let by = shown.map(|shown| shown.offer.rendered.join("\n")).unwrap_or_default();
        add("undoing", &by, Role::Running);
    }
    let watched = snapshot.watched.as_ref().filter(|watched| watched.is_of(&step.id, open.att));
    let tries = watched.and_then(|watched| watched.tries(&scene.now)).map(|tries| format!(" · {tries}"));
    let tries = tries.unwrap_or_default();
    add("now", &format!("attempt {}, {elapsed}, {point}{progress}{tries}", open.att), Role::Running);
    let Some(watched) = watched else { return };
    for line in watched.sight.iter().flat_map(Sight::lines) {
        add(line.label, &line.words, if line.warns { Role::Warn } else { Role::Plain });
    }
    let cancel = key_of(Command::Cancel);
    let end = if is_blocked(snapshot) {
        format!(" · {} end who is in the way", key_of(Command::EndSession))
    } else {
        String::new()
    };
    add("can", &format!("wait · {cancel} cancel it{end}"), Role::Plain);
}

/// Where the step stands as the world shows it, or what stands in its way.
fn found(scene: &Scene<'_>, step: &Step, add: &mut dyn FnMut(&str, &str, Role)) {
    let snapshot = scene.snapshot;
    let found = snapshot.survey.as_ref().and_then(|survey| survey.steps.iter().find(|(id, _)| *id == step.id));
    if let Some((_, found)) = found.filter(|_| snapshot.state.status(&step.id).open_to_attempt()) {
        let role = match found.position {
            Position::Done => Role::Ok,
            Position::NotDone => Role::Plain,
            Position::HalfDone | Position::Unknown => Role::Warn,
        };
        add("found", &format!("{}: {}", found.position.word(), found.because), role);
    }
    if snapshot.state.status(&step.id).open_to_attempt() && scene.next.step.as_deref() == Some(&step.id) {
        for blocked in next::blocked(&snapshot.runbook, &snapshot.state, step, false, &snapshot.readings()) {
            add("waits", &blocked.to_string(), Role::Warn);
        }
    }
}

/// A check with its verdict, value and age.
pub fn judged(scene: &Scene<'_>, check: &CheckRef) -> (String, Role) {
    let live = scene.snapshot.checks.get(check);
    let latest = live.and_then(|l| l.latest.as_ref());
    let (glyph, role) = theme::verdict(latest.map(|c| &c.verdict));
    let age = latest.map(|c| format!(" · {}", scene.age(&c.at))).unwrap_or_default();
    (format!("{glyph} {check}: {}{age}", checks::answer(live)), role)
}

fn undo(scene: &Scene<'_>, step: &Step, offered: Option<&Undoing>) -> (String, Role) {
    if let Some(undoing) = offered {
        return undo_words(undoing);
    }
    let known = undo::of(&scene.snapshot.runbook, step);
    match &known {
        Undo::Declared(_) => (format!("declared: {known}"), Role::Plain),
        Undo::Derived { limits, .. } if !limits.is_empty() => (known.to_string(), Role::Warn),
        Undo::Of(step) => (format!("it undoes {step} itself"), Role::Plain),
        Undo::Nothing => (known.to_string(), Role::Muted),
        Undo::Cannot(_) => (known.to_string(), Role::Bad),
        Undo::Derived { .. } | Undo::Saved(_) | Undo::Later(_) => (known.to_string(), Role::Plain),
    }
}

pub fn undo_words(undoing: &Undoing) -> (String, Role) {
    match undoing {
        Undoing::By { rendered, derived, limits } => {
            let origin = if *derived { "derived" } else { "declared" };
            let limits = limits.as_ref().map(|l| format!("\n{l}")).unwrap_or_default();
            (format!("{}\n{origin}{limits}", rendered.join("\n")), Role::Plain)
        }
        Undoing::BeforeImage => {
            ("from the rows as they were before, saved in the same transaction".into(), Role::Plain)
        }
        Undoing::None { because } => (format!("CANNOT BE UNDONE: {because}"), Role::Bad),
    }
}

/// The step as its gate showed it last; not its undo.
fn own_offer<'a>(scene: &Scene<'a>, step: &Step) -> Option<&'a Offer> {
    let offer = &scene.snapshot.state.steps.get(&step.id)?.shown.as_ref()?.offer;
    (offer.undoes.as_ref() != Some(&step.id)).then_some(offer)
}

fn brief(action: &Action) -> String {
    match action {
        Action::Command { argv } => argv.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        other => other.word().to_owned(),
    }
}

/// What the step does, as far as it is known before its gate; after that, as it was rendered.
fn action(scene: &Scene<'_>, step: &Step) -> Vec<String> {
    if let Some(offer) = own_offer(scene, step).filter(|offer| !offer.rendered.is_empty()) {
        return offer.rendered.clone();
    }
    let dialect = step.on.as_ref().and_then(|on| scene.snapshot.runbook.targets.get(on)).and_then(|t| t.kind.dialect());
    let sql = |form: &PerDialect<SqlText>| match dialect {
        Some(dialect) => form.get(dialect).map_or_else(|| "no form for this database".into(), ToString::to_string),
        None => form.forms().first().map(ToString::to_string).unwrap_or_default(),
    };
    match &step.action {
        Action::Freeze(items) => {
            vec![format!("freeze {}", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
        }
        Action::Ddl(statements) => {
            let form = dialect.and_then(|d| statements.get(d)).or_else(|| statements.forms().first().copied());
            form.map(|list| list.iter().map(ToString::to_string).collect()).unwrap_or_default()
        }
        Action::Change(change) => {
            let over = change.set.as_ref().map(|set| format!("over {set}"));
            over.into_iter().chain([sql(&change.sql)]).collect()
        }
        Action::Reconcile { set } => vec![format!("sort the rows of {set} into classes")],
        Action::Publish(publish) => {
            vec![format!("publish to {} from {}: {}", publish.topic, publish.from, as_text(&publish.value))]
        }
        Action::Restore(_)
        | Action::Offsets(_)
        | Action::Replay(_)
        | Action::Tombstones(_)
        | Action::Topic(_)
        | Action::Registry(_) => vec![crate::runbook::words::said(&step.action)],
        Action::Session { end } => vec![format!("end session {end}")],
        Action::Command { .. } => vec![brief(&step.action)],
        Action::Http(request) => vec![format!("{} {}", request.method, request.url)],
        Action::Manual(manual) => vec![manual.what.to_string()],
        Action::Decide(decide) => vec![decide.ask.clone(), format!("options: {}", decide.options.join(", "))],
        Action::UndoOf { step } => vec![format!("undo {step}")],
    }
}
