//! The checks that tell whether an action took effect, asked for as long as it may take to show.
//!
//! Never concludes from a first red: a world that was just changed needs a moment.

use std::time::Duration;

use tokio::time::Instant;

use crate::action::position;
use crate::check::{self, Answer, Context, Depth};
use crate::run::record::{Found, Offer, Position};
use crate::runbook::expect::Verdict;
use crate::runbook::{Action, CheckKind, CheckRef, Step};

/// As long as `verify` waits, beside the checks' own `for`.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// What must be green, or must have ceased to be, once an action has taken effect.
struct Wanted<'a> {
    green: &'a [CheckRef],
    /// Of the step that is undone.
    ceased: &'a [CheckRef],
}

/// What the step's own checks show, or else its position in the world.
pub(super) async fn of(step: &Step, offer: &Offer, ctx: &Context) -> Found {
    if let Some(wanted) = wanted(step, offer, ctx) {
        return wanted.wait(ctx).await;
    }
    in_world(step, offer, ctx).await
}

/// Where the world shows the attempt to stand, its checks apart.
pub(super) async fn in_world(step: &Step, offer: &Offer, ctx: &Context) -> Found {
    match offer.undoes.as_deref().and_then(|undone| ctx.runbook.steps.get(undone)) {
        Some(undone) => turned(position(undone, ctx).await),
        None => position(step, ctx).await,
    }
}

/// The checks of a step, or of its undo; none where they tell nothing of their own.
fn wanted<'a>(step: &'a Step, offer: &Offer, ctx: &'a Context) -> Option<Wanted<'a>> {
    let by_checks = |step: &'a Step| match &step.action {
        _ if !step.done_when.is_empty() => Some(step.done_when.as_slice()),
        Action::Command { .. } | Action::Http(_) | Action::Session { .. } if !step.verify.is_empty() => {
            Some(step.verify.as_slice())
        }
        _ => None,
    };
    let Some(undone) = offer.undoes.as_deref() else {
        return by_checks(step).map(|green| Wanted { green, ceased: &[] });
    };
    let ceased = ctx.runbook.steps.get(undone).and_then(by_checks).unwrap_or_default();
    // Undoing a step promises nothing of what it was for.
    let green = if undone == step.id { &[] } else { step.verify.as_slice() };
    (!green.is_empty() || !ceased.is_empty()).then_some(Wanted { green, ceased })
}

/// What a done-check says of the undo.
fn turned(found: Found) -> Found {
    let position = match found.position {
        Position::Done => Position::NotDone,
        Position::NotDone => Position::Done,
        other => other,
    };
    Found { position, because: format!("what was to be undone: {}", found.because) }
}

impl Wanted<'_> {
    /// Done as soon as everything shows it for as long as the checks ask for; else what the last look said.
    async fn wait(&self, ctx: &Context) -> Found {
        let hold = self.green.iter().filter_map(|check| known(check, ctx)?.hold).max().unwrap_or_default();
        let began = Instant::now();
        let mut since = None;
        loop {
            let (not_done, unknown) = self.look(ctx).await;
            let over = began.elapsed() >= PATIENCE + hold;
            if not_done.is_empty() && unknown.is_empty() {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= hold {
                    let names: Vec<String> = self.green.iter().map(ToString::to_string).collect();
                    let ceased: Vec<String> = self.ceased.iter().map(|check| format!("no more {check}")).collect();
                    return Found {
                        position: Position::Done,
                        because: format!("green: {}", [names, ceased].concat().join(", ")),
                    };
                }
            } else {
                since = None;
                if over || not_done.iter().any(|(at_once, _)| *at_once) {
                    let words = not_done.into_iter().map(|(_, words)| words).collect::<Vec<_>>();
                    let position = if words.is_empty() { Position::Unknown } else { Position::NotDone };
                    return Found { position, because: [words, unknown].concat().join("; ") };
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What shows that it is not done, each with whether it cannot change by itself, and what cannot be told.
    async fn look(&self, ctx: &Context) -> (Vec<(bool, String)>, Vec<String>) {
        let (mut not_done, mut unknown) = (Vec::new(), Vec::new());
        for check in self.green {
            match ask(check, ctx).await.verdict {
                Verdict::Pass => {}
                Verdict::Fail => not_done.push((at_once(check, ctx), format!("{check} is red"))),
                Verdict::Unknown { because } => unknown.push(format!("{check}: {because}")),
            }
        }
        let mut ceased = Vec::new();
        for check in self.ceased {
            ceased.push((check, ask(check, ctx).await.verdict));
        }
        // One that is red is enough: what the step was for does not hold any more.
        if !ceased.is_empty() && !ceased.iter().any(|(_, verdict)| verdict == &Verdict::Fail) {
            for (check, verdict) in ceased {
                match verdict {
                    Verdict::Unknown { because } => unknown.push(format!("{check}: {because}")),
                    _ => not_done.push((false, format!("{check} is still green"))),
                }
            }
        }
        (not_done, unknown)
    }
}

async fn ask(check: &CheckRef, ctx: &Context) -> Answer {
    match check {
        CheckRef::ServiceGone(service) => check::service::gone(service, ctx).await,
        CheckRef::Check(_) => match known(check, ctx) {
            Some(check) => check::ask(check, ctx, Depth::Parse).await,
            None => Answer::unknown("no such check"),
        },
    }
}

fn known<'a>(check: &CheckRef, ctx: &'a Context) -> Option<&'a crate::runbook::Check> {
    match check {
        CheckRef::Check(name) => ctx.runbook.checks.get(name),
        CheckRef::ServiceGone(_) => None,
    }
}

/// A database's answer does not change by waiting, unless somebody else changes it.
fn at_once(check: &CheckRef, ctx: &Context) -> bool {
    known(check, ctx).is_some_and(|check| {
        check.hold.is_none()
            && matches!(
                check.kind,
                CheckKind::Query(_) | CheckKind::Probe { .. } | CheckKind::Schema(_) | CheckKind::Count { .. }
            )
    })
}
