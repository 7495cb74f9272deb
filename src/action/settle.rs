//! After a crash: did it happen?
//!
//! Owns the order in which evidence is gathered: who answers, what is still at work, the marker, the world. Never
//! decides (the table in `run::settle` does), never runs anything again, and never asks further where the server may
//! still be at work.

use std::time::Duration;

use serde_json::Value;

use crate::check::Context;
use crate::run::record::{Found, Offer, Outcome, OutcomeResult, Point};
use crate::run::settle::{Evidence, Way, settle as judge};
use crate::runbook::{Action, Step};

mod database;
mod done;
mod outside;

/// How long what is still at work of a crashed attempt is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found, in order, and what it means.
pub struct Settlement {
    pub evidence: Vec<(String, String)>,
    pub result: OutcomeResult,
    pub reason: String,
    pub outcome: Outcome,
}

/// Evidence in the making: for the table, and in words for the log.
struct Gathered {
    evidence: Evidence,
    words: Vec<(String, String)>,
    /// What the log or the world tells beyond the result.
    changed: Option<u64>,
    before_image: Option<String>,
}

impl Gathered {
    fn say(&mut self, what: &str, finding: impl Into<String>) {
        self.words.push((what.to_owned(), finding.into()));
    }

    fn done(&mut self, found: &Found) {
        self.say("done-check", format!("{}: {}", found.position.word(), found.because));
        self.evidence.done = Some(found.position);
    }
}

/// Settles the open intent of a step from what the world shows. `reached`: the points that are in the log.
pub async fn settle(step: &Step, offer: Option<&Offer>, reached: &[(Point, Value)], ctx: &Context) -> Settlement {
    let found = gather(step, offer, reached, ctx).await;
    let (result, reason) = judge(&found.evidence);
    let outcome = Outcome { changed: found.changed, before_image: found.before_image, ..Outcome::new(result, reason) };
    Settlement { evidence: found.words, result, reason: reason.to_owned(), outcome }
}

async fn gather(step: &Step, offer: Option<&Offer>, reached: &[(Point, Value)], ctx: &Context) -> Gathered {
    let points: Vec<Point> = reached.iter().map(|(point, _)| *point).collect();
    let last = points
        .last()
        .map_or("no point was reached".into(), |point| format!("the last point reached is {}", point.word()));
    let mut found = Gathered {
        evidence: Evidence::of(way(step, offer, &points, ctx), points),
        words: vec![("log".to_owned(), last)],
        changed: None,
        before_image: None,
    };
    let Some(offer) = offer else { return found };
    match found.evidence.way {
        Way::Reads | Way::Word | Way::Unrecorded => {}
        Way::Transaction | Way::Plain => database::gather(step, offer, reached, &mut found, ctx).await,
        Way::Events | Way::Outside => outside::gather(step, offer, reached, &mut found, ctx).await,
    }
    found
}

fn way(step: &Step, offer: Option<&Offer>, points: &[Point], ctx: &Context) -> Way {
    match (&step.action, offer) {
        (Action::Freeze(_) | Action::Reconcile { .. }, _) => Way::Reads,
        (Action::Manual(_) | Action::Decide(_), _) => Way::Word,
        (_, None) => Way::Unrecorded,
        (_, Some(offer)) if offer.target.as_ref().is_some_and(|target| super::is_sql(ctx, &target.name)) => {
            // Only what has no transaction begins.
            if points.contains(&Point::Begun) { Way::Plain } else { Way::Transaction }
        }
        (Action::Publish(_), Some(offer)) if offer.undoes.is_none() => Way::Events,
        _ => Way::Outside,
    }
}
