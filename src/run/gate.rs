//! The gate's rules: what must be typed, how long an answer is worth something, when evidence is too old.
//!
//! Pure. Levels come from the action's kind and are only ever raised; nothing here lowers one.

use std::time::Duration;

use super::record::{Act, Checked, CloseReason, Environment, Now, Offer};
use crate::runbook::expect::Verdict;
use crate::runbook::{Check, Level};
use crate::text::sha256;

/// A gate ignores keys for this long after it is shown.
pub const ARM: Duration = Duration::from_millis(800);
/// A shown offer may be answered for this long.
pub const TOKEN_VALID: Duration = Duration::from_secs(120);
/// Shorter reasons say nothing to a reviewer.
pub const REASON_LEAST: usize = 10;

/// The digest that consent is given to: SHA-256 of the offer as JSON in declaration order, lower-case hex.
pub fn offer_digest(offer: &Offer) -> String {
    sha256(&serde_json::to_vec(offer).unwrap_or_default())
}

/// What must be typed for a step of this level; `object` is what the statement touches first.
pub fn token(
    level: Level,
    step: &str,
    object: Option<&str>,
    target: Option<&str>,
    number: Option<u64>,
    each: bool,
    environment: Environment,
) -> String {
    let place = match (each, number) {
        (true, Some(count)) => format!("{count} {step}@{}", environment.word()),
        _ => format!("{step}@{}", environment.word()),
    };
    match level {
        Level::None | Level::Choice | Level::Seen => String::new(),
        Level::Number => number.map_or(place, |n| n.to_string()),
        Level::Object => match (object, target) {
            (Some(object), Some(target)) => format!("{object}@{target}"),
            _ => place,
        },
        // "The same": what its kind would ask, and a second person beside it.
        Level::Irreversible => match (object, target) {
            (Some(object), Some(target)) => format!("{object}@{target}"),
            _ => place,
        },
        Level::Step => place,
    }
}

/// Whether a reason says anything.
pub fn reason_is_enough(reason: &str) -> bool {
    reason.trim().chars().count() >= REASON_LEAST
}

/// How old a check's value may be at a gate: its own freshness, or three times what it takes to ask, if that is longer.
pub fn freshness(check: Option<&Check>, checked: &Checked) -> Duration {
    let declared = check.map_or(Duration::from_secs(30), |check| check.fresh);
    declared.max(Duration::from_millis(checked.took_ms.saturating_mul(3)))
}

/// Why the open gate must close now, if it must.
pub fn must_close(needs: &[(&Checked, Duration)], shown_at: &Now, now: &Now) -> Option<(CloseReason, String)> {
    if elapsed(shown_at, now) > TOKEN_VALID {
        let limit = TOKEN_VALID.as_secs();
        return Some((CloseReason::Expired, format!("not answered within {limit} s")));
    }
    for (checked, fresh) in needs {
        match &checked.verdict {
            Verdict::Pass => {}
            Verdict::Fail => {
                return Some((CloseReason::Red, format!("{} turned red", checked.check)));
            }
            Verdict::Unknown { because } => {
                return Some((CloseReason::Red, format!("{} is unknown: {because}", checked.check)));
            }
        }
        let age = elapsed(&checked.at, now);
        if age > *fresh {
            let (age, fresh) = (age.as_secs(), fresh.as_secs());
            return Some((CloseReason::Stale, format!("{} is {age} s old, more than {fresh} s", checked.check)));
        }
    }
    None
}

/// By the boot clock; another boot counts as for ever.
pub fn elapsed(from: &Now, to: &Now) -> Duration {
    if from.boot == to.boot { Duration::from_nanos(to.boottime.saturating_sub(from.boottime)) } else { Duration::MAX }
}

/// What must be typed for an act.
pub fn act_token(act: &Act) -> String {
    match act {
        Act::Cancel { .. } => "cancel".into(),
        Act::EndSession { pid, .. } => pid.clone(),
        Act::CancelSession { pid, .. } => format!("cancel {pid}"),
        Act::Trial { .. } => "try".into(),
    }
}
