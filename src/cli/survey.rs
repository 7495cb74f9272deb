//! `survey`: where are we? Read-only; writes nothing anywhere.
//!
//! Owns the page: what answers at once stands in the runbook's order, what does not follows line by line as it comes.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::check::Context;
use crate::engine;
use crate::failure::Result;
use crate::run::record::{Checked, Position};
use crate::runbook::Runbook;
use crate::runbook::expect::Verdict;
use crate::survey::{self, Red, Seen, ServiceSeen, StatementSeen, Survey};
use crate::text::{Shown, in_one_line, multiline};

use super::session::{Open, Session};

/// Longer than a survey of targets that answer takes.
const AT_ONCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    open: Open,
    /// The whole survey as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Result<u8> {
    let session = Session::open(&args.open)?;
    let mut vars = std::collections::BTreeMap::new();
    for (name, text) in &session.vars {
        if let Some(var) = session.runbook.vars.get(name) {
            let value = crate::runbook::vars::read_value(var.kind, text).map_err(|why| {
                crate::failure::Failure::new(crate::failure::Kind::Usage, format!("--var {name}: {why}"))
            })?;
            vars.insert(name.clone(), value);
        }
    }
    let access = Arc::new(session.access("survey", std::path::Path::new("")));
    let runbook = Arc::new(session.runbook);
    let context = Context { vars, ..Context::new(runbook, access) };
    if args.json {
        let survey = survey::take(&context, engine::now, |_, _| {}).await;
        let text = serde_json::to_string_pretty(&survey).map_err(io::Error::from);
        let written = text.and_then(|text| writeln!(io::stdout().lock(), "{text}"));
        return super::lint::quiet(written.map(|()| code(&survey)));
    }
    let (told, mut lines) = mpsc::unbounded_channel();
    let taking = survey::take(&context, engine::now, move |place, seen| drop(told.send((place, seen))));
    let page = page(&context.runbook, &mut lines);
    let (survey, written) = tokio::join!(taking, page);
    super::lint::quiet(written.and_then(|()| last(&context.runbook, &survey)).map(|()| code(&survey)))
}

/// 1: a check is red; 8: a target did not answer; 7: none red, one unknown.
fn code(survey: &Survey) -> u8 {
    let any = |wanted: fn(&Verdict) -> bool| survey.checks.iter().any(|checked| wanted(&checked.verdict));
    if any(Verdict::is_fail) {
        1
    } else if survey.targets.values().any(Result::is_err) {
        8
    } else if any(Verdict::is_unknown) {
        7
    } else {
        0
    }
}

/// What has answered within [`AT_ONCE`] in the runbook's order, then the rest as it comes.
async fn page(runbook: &Runbook, lines: &mut mpsc::UnboundedReceiver<(usize, Seen)>) -> io::Result<()> {
    let mut seen = Vec::new();
    let gathering = async {
        while let Some(line) = lines.recv().await {
            seen.push(line);
        }
    };
    let _ = tokio::time::timeout(AT_ONCE, gathering).await;
    seen.sort_by_key(|(place, seen)| (section(seen), *place));
    let mut out = io::stdout();
    let identities = seen.iter().filter_map(|(_, seen)| match seen {
        Seen::Target(name, identity) => Some((name.clone(), identity.clone())),
        _ => None,
    });
    let identities = identities.collect::<std::collections::BTreeMap<_, _>>();
    let environment = survey::environment(runbook, &identities).word().to_uppercase();
    let asked = runbook.targets.values().filter(|target| survey::has_identity(target.kind)).count();
    let until = if identities.len() < asked { ", until every target has said what it is" } else { "" };
    writeln!(out, "{environment}{until}  {}", Shown::new(&runbook.title))?;
    let mut heading = "";
    for (_, seen) in &seen {
        if heading != section(seen).1 {
            heading = section(seen).1;
            writeln!(out, "{heading}")?;
        }
        writeln!(out, "  {}", line(runbook, seen))?;
    }
    let mut late = false;
    while let Some((_, seen)) = lines.recv().await {
        if !late {
            writeln!(out, "\nstill asked, line by line as it answers")?;
            late = true;
        }
        writeln!(out, "  {}", line(runbook, &seen))?;
        out.flush()?;
    }
    Ok(())
}

/// Where a line stands on the page, and under which heading.
fn section(seen: &Seen) -> (u8, &'static str) {
    match seen {
        Seen::Target(..) => (0, ""),
        Seen::Check(_) => (1, "\nchecks"),
        Seen::Service(_) => (2, "\nwho runs"),
        Seen::Statement(_) => (3, "\nthe release, as the database has it"),
        Seen::Claim(_) => (4, "\nwhat the migration table claims"),
        Seen::Step(..) => (5, "\nsteps"),
    }
}

fn line(runbook: &Runbook, seen: &Seen) -> String {
    match seen {
        Seen::Target(name, Ok(identity)) => {
            format!("{name:<10} {} · {}", Shown::new(&identity.seen.server), Shown::new(&identity.seen.words))
        }
        Seen::Target(name, Err(words)) => {
            // Why, and what to do, each on a line of its own.
            let words: Vec<_> = multiline(words.trim_end()).iter().map(ToString::to_string).collect();
            let words = words.join("\n                   ");
            format!("{name:<10} DOWN: {words}")
        }
        Seen::Check(checked) => check_line(runbook, checked),
        Seen::Service(service) => service_line(service),
        Seen::Statement(seen) => statement_line(runbook, seen),
        Seen::Claim(claim) => {
            format!("{:<10} {}: {}", claim.mark.word(), claim.target, in_one_line(&claim.words))
        }
        Seen::Step(step, found) => {
            let position = word(found.position, "done", "not done");
            format!("{position:<10} {step:<20} {}", in_one_line(&found.because).cap(100))
        }
    }
}

fn statement_line(runbook: &Runbook, seen: &StatementSeen) -> String {
    let position = match seen.found.position {
        Position::Unknown => "not told",
        position => word(position, "in", "not in"),
    };
    let databases = runbook.targets.values().filter(|target| target.kind.dialect().is_some()).count();
    let on = if databases > 1 { format!("{}: ", seen.target) } else { String::new() };
    let mut line = format!("{position:<10} {on}{}", in_one_line(&seen.statement).cap(100));
    if matches!(seen.found.position, Position::HalfDone | Position::Unknown) {
        line.push_str(&format!("\n             {}", in_one_line(&seen.found.because)));
    }
    for broken in &seen.breaks {
        line.push_str(&format!("\n             {}", in_one_line(&broken.to_string())));
    }
    line
}

fn service_line(service: &ServiceSeen) -> String {
    let connected = service.connected.map_or("cannot see".to_owned(), |n| n.to_string());
    let gone = if service.gone && service.connected != Some(0) { "  ! should be gone" } else { "" };
    let group = service.group_state.as_deref().unwrap_or("-");
    let needs = service.needs.iter().map(|(need, there)| match there {
        Some(true) => format!("{need} is there"),
        Some(false) => format!("{need} MISSING"),
        None => need.clone(),
    });
    let needs = needs.collect::<Vec<_>>().join(", ");
    let runs = service.runs.as_deref().unwrap_or("-");
    format!("{:<14} {runs:<4} sessions {connected:<10} group {group:<10} {}{gone}", service.name, Shown::new(&needs))
}

/// What only the whole survey can say.
fn last(runbook: &Runbook, survey: &Survey) -> io::Result<()> {
    let mut out = io::stdout();
    if !runbook.never.is_empty() {
        writeln!(out, "\nnever")?;
        for never in &runbook.never {
            let advice = if never.matches.is_none() { " (advice)" } else { "" };
            writeln!(out, "  {}{advice}: {}", Shown::new(&never.what), Shown::new(&never.because))?;
        }
    }
    match &survey.entry {
        Some(step) => writeln!(out, "\nenter at {step}"),
        None => writeln!(out, "\nevery step is done"),
    }
}

fn check_line(runbook: &Runbook, checked: &Checked) -> String {
    let name = checked.check.to_string();
    let title = runbook.checks.get(&name).map_or(name.as_str(), |check| check.title.as_str());
    let value = match (&checked.words, &checked.value, &checked.verdict) {
        (Some(words), _, _) => words.clone(),
        (None, _, Verdict::Unknown { because }) => because.clone(),
        (None, Some(value), _) => value.to_string(),
        (None, None, _) => String::new(),
    };
    let red = match survey::red(runbook, checked) {
        Some(Red::MendedBy { step }) => format!("  (mended by {step})"),
        Some(Red::NobodyMends) => "  (no step mends it)".into(),
        Some(Red::Broke) => "  (was green)".into(),
        None => String::new(),
    };
    let mark = match checked.verdict {
        Verdict::Pass => "✓ pass   ",
        Verdict::Fail => "✗ FAIL   ",
        Verdict::Unknown { .. } => "? unknown",
    };
    format!("{mark} {:<48} {} {} ms{red}", Shown::capped(title, 48), in_one_line(&value).cap(120), checked.took_ms)
}

fn word(position: Position, done: &'static str, not: &'static str) -> &'static str {
    match position {
        Position::Done => done,
        Position::NotDone => not,
        Position::HalfDone => "HALF",
        Position::Unknown => "unknown",
    }
}
