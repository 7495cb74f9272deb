//! `survey`: where are we? Read-only; writes nothing anywhere.

use std::io::{self, Write};
use std::sync::Arc;

use crate::check::Context;
use crate::engine;
use crate::failure::Result;
use crate::run::record::{Checked, Position};
use crate::runbook::expect::Verdict;
use crate::survey::{self, Red, Survey};
use crate::target::Targets;
use crate::text::{Shown, in_one_line, multiline};

use super::session::{Open, Session};

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
    let context = Context {
        targets: Arc::new(Targets::new(runbook.clone(), access.clone())),
        runbook,
        access,
        vars,
        frozen: Default::default(),
        changed: Default::default(),
        reads: Default::default(),
        decided: Default::default(),
        items: Default::default(),
        begun: Default::default(),
    };
    let survey = survey::take(&context, engine::now, |_| {}).await;
    let mut out = io::stdout().lock();
    let written = match args.json {
        true => serde_json::to_string_pretty(&survey).map_err(io::Error::from).and_then(|text| writeln!(out, "{text}")),
        false => print(&mut out, &context, &survey),
    };
    super::lint::quiet(written.map(|()| code(&survey)))
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

fn print(out: &mut dyn Write, context: &Context, survey: &Survey) -> io::Result<()> {
    writeln!(out, "{}  {}", survey.environment.word().to_uppercase(), Shown::new(&context.runbook.title))?;
    for (name, identity) in &survey.targets {
        match identity {
            Ok(identity) => writeln!(
                out,
                "  {name:<10} {} · {}",
                Shown::new(&identity.seen.server),
                Shown::new(&identity.seen.words)
            )?,
            Err(words) => {
                // Why, and what to do, each on a line of its own.
                for (i, line) in multiline(words.trim_end()).iter().enumerate() {
                    let label = if i == 0 { "DOWN:" } else { "     " };
                    writeln!(out, "  {:<10} {label} {line}", if i == 0 { name.as_str() } else { "" })?;
                }
            }
        }
    }
    writeln!(out, "\nchecks")?;
    for checked in &survey.checks {
        writeln!(out, "  {}", check_line(context, survey, checked))?;
    }
    writeln!(out, "\nwho runs")?;
    for service in &survey.services {
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
        writeln!(
            out,
            "  {:<14} {runs:<4} sessions {connected:<10} group {group:<10} {}{gone}",
            service.name,
            Shown::new(&needs)
        )?;
    }
    if !survey.statements.is_empty() {
        writeln!(out, "\nthe release, as the database has it")?;
        for (statement, found) in &survey.statements {
            writeln!(out, "  {:<10} {}", word(found.position, "in", "not in"), in_one_line(statement).cap(100))?;
        }
    }
    writeln!(out, "\nsteps")?;
    for (step, found) in &survey.steps {
        writeln!(
            out,
            "  {:<10} {step:<20} {}",
            word(found.position, "done", "not done"),
            in_one_line(&found.because).cap(100)
        )?;
    }
    if !context.runbook.never.is_empty() {
        writeln!(out, "\nnever")?;
        for never in &context.runbook.never {
            let advice = if never.matches.is_none() { " (advice)" } else { "" };
            writeln!(out, "  {}{advice}: {}", Shown::new(&never.what), Shown::new(&never.because))?;
        }
    }
    match &survey.entry {
        Some(step) => writeln!(out, "\nenter at {step}"),
        None => writeln!(out, "\nevery step is done"),
    }
}

fn check_line(context: &Context, survey: &Survey, checked: &Checked) -> String {
    let name = checked.check.to_string();
    let title = context.runbook.checks.get(&name).map_or(name.as_str(), |check| check.title.as_str());
    let value = match (&checked.words, &checked.value, &checked.verdict) {
        (Some(words), _, _) => words.clone(),
        (None, _, Verdict::Unknown { because }) => because.clone(),
        (None, Some(value), _) => value.to_string(),
        (None, None, _) => String::new(),
    };
    let red = match survey.redness.get(&checked.check) {
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
