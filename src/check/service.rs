//! Whether a service is gone: none of its sessions, none of its group members is left.
//!
//! Never stops anything.

use serde_json::Value;

use crate::runbook::expect::Verdict;

use super::{Answer, Context, kafka, sessions};

/// Passes when nothing of the service is left; the value is how many are. One place that cannot be seen is unknown,
/// unless another shows that it lives.
pub async fn gone(service: &str, ctx: &Context) -> Answer {
    let Some(service) = ctx.runbook.services.get(service) else {
        return Answer::unknown(format!("there is no service {service}"));
    };
    let mut left = Vec::new();
    let mut unseen = Vec::new();
    if service.sessions.is_empty() && service.group.is_none() {
        let name = &service.name;
        unseen.push(format!(
            "{name} is declared with neither `sessions` nor `group`, so nobody can prove it gone and only break-glass goes \
             past it: say under `services` how it is seen, as in `{name}: {{ sessions: \"{name}*\" }}`"
        ));
    }
    match sessions::of_service(&service.sessions, ctx).await {
        Ok(found) => left.extend(
            found
                .iter()
                .map(|(target, s)| format!("{} (pid {}) on {target} since {}", s.application_name, s.pid, s.since)),
        ),
        Err(none) => unseen.push(none.words()),
    }
    if let Some(group) = &service.group {
        match kafka::members(group, ctx).await {
            Ok(members) => left.extend(members),
            Err(failure) => unseen.push(super::NoAnswer::from(failure).words()),
        }
    }
    let value = Some(Value::from(left.len()));
    if !left.is_empty() {
        return Answer { verdict: Verdict::Fail, value, words: Some(left.join("; ")), took_ms: 0 };
    }
    if !unseen.is_empty() {
        return Answer::unknown(unseen.join("; "));
    }
    Answer { verdict: Verdict::Pass, value, words: None, took_ms: 0 }
}
