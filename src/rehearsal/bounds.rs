//! What of a runbook a sandbox can play: programs that have a stand-in, addresses that it supplies, files.
//!
//! Owns the refusal before the start. Never connects and never starts anything; what is known only when a step is
//! rendered is refused then, by the same rules.

use reqwest::Url;

use super::scenario::Scenario;
use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Action, CheckKind, HttpRequest, Runbook, Target, TargetKind, Template};
use crate::target::wire::is_loopback;

/// # Errors
/// Everything that the rehearsal could not play, each by the name of its step, check or target.
pub fn admit(runbook: &Runbook, scenario: &Scenario) -> Result<()> {
    let targets = runbook
        .targets
        .values()
        .filter_map(|target| Some((format!("target {}", target.name), address(target, scenario)?)));
    let steps = runbook.steps.values().flat_map(|step| {
        let undo = step.undo.as_deref().map(|undo| (format!("the undo of step {}", step.id), undo));
        [Some((format!("step {}", step.id), &step.action)), undo]
    });
    let steps = steps.flatten().filter_map(|(who, action)| {
        let why = match action {
            Action::Command { argv } => program(argv, scenario),
            Action::Http(request) => leaves(request),
            _ => None,
        };
        Some((who, why?))
    });
    let checks = runbook.checks.values().chain(runbook.readings.values()).filter_map(|check| {
        let why = match &check.kind {
            CheckKind::Command { argv } => program(argv, scenario),
            CheckKind::Http(request) => leaves(request),
            _ => None,
        };
        Some((format!("check {}", check.name), why?))
    });
    let refused: Vec<String> = targets.chain(steps).chain(checks).map(|(who, why)| format!("{who}: {why}")).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let whole = Failure::new(Kind::Runbook, format!("{} cannot be rehearsed: nothing was started", runbook.name));
    let whole = refused.into_iter().fold(whole, Failure::cause);
    Err(whole.hint(format!(
        "the scenario has stand-ins for {}; it supplies {}; requests go to this machine only",
        scenario.stand_ins.join(", "),
        supplied(scenario).join(", ")
    )))
}

fn supplied(scenario: &Scenario) -> [&str; 3] {
    let env = &scenario.supplies.env;
    [&env.database, &env.brokers, &env.export]
}

/// Why the program could not be started; none where it has a stand-in.
fn program(argv: &[Template], scenario: &Scenario) -> Option<String> {
    let name = argv.first()?;
    match name.names().as_slice() {
        [] if scenario.stand_ins.contains(&name.source) => None,
        [] => Some(format!("{} has no stand-in", name.source)),
        _ => Some(format!("which program {} is, is known only when it runs", name.source)),
    }
}

/// Why the request would go elsewhere; none where it stays here, or where only its rendering tells.
fn leaves(request: &HttpRequest) -> Option<String> {
    let url = Url::parse(&request.url.source).ok()?;
    let host = url.host_str().filter(|host| !host.contains(['{', '%']) && !is_loopback(host))?;
    Some(format!("its request to {host} would leave this machine"))
}

/// Why a target would be one of the real world; none where the sandbox supplies it, or it is a file.
fn address(target: &Target, scenario: &Scenario) -> Option<String> {
    let supplied = supplied(scenario).map(|name| format!("${{{name}}}"));
    match target.kind {
        _ if supplied.contains(&target.address) => None,
        TargetKind::Http | TargetKind::Records if !target.address.contains("${") => {
            let url = Url::parse(&target.address).ok()?;
            let host = url.host_str().filter(|host| !is_loopback(host))?;
            Some(format!("{host} is not the sandbox"))
        }
        _ => Some("the sandbox does not supply its address".to_owned()),
    }
}
