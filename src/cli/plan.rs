//! `backout plan`: the runbook as it would run, as Markdown.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::lint::quiet;
use crate::failure::{Kind, Result};
use crate::runbook::expect::duration_text;
use crate::runbook::{
    self, Action, CheckRef, Conduct, Partition, PerDialect, Phase, Runbook, SqlText, Step, level, undo, words,
};
use crate::sql::{self, Dialect};
use crate::text::Shown;

mod surroundings;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The runbook, or the folder that holds runbook.yaml
    #[arg(value_name = "RUNBOOK")]
    pub file: PathBuf,
}

/// Prints the plan; warnings, and what this release does not run, go to standard error. 0, or 3 where the runbook can
/// be shown and not run.
///
/// # Errors
/// The runbook is invalid, or standard output cannot be written.
pub fn run(args: &Args) -> Result<u8> {
    let (shown, diagnostics) = runbook::load_to_show(&super::runbook_file(&args.file));
    let Some(runbook) = shown else {
        return Err(diagnostics.into());
    };
    if !diagnostics.is_empty() {
        // Nobody may be there to read them.
        let _ = writeln!(io::stderr(), "{diagnostics}");
    }
    let code = if diagnostics.has_errors() { Kind::Runbook.exit_code() } else { 0 };
    let mut out = io::stdout().lock();
    quiet(out.write_all(markdown(&runbook).as_bytes()).and_then(|()| out.flush()).map(|()| code))
}

/// The whole plan. Every text from the file is sanitised.
pub fn markdown(runbook: &Runbook) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = plan(&mut out, runbook);
    out
}

fn plan(out: &mut String, runbook: &Runbook) -> std::fmt::Result {
    writeln!(out, "# {}\n", shown(&runbook.title))?;
    writeln!(out, "`{}`, sha256 `{}`\n", runbook.name, &runbook.digest[..16])?;
    for line in runbook.summary.lines() {
        writeln!(out, "> {}", shown(line))?;
    }
    surroundings::write(out, runbook)?;
    for phase in [Phase::Contain, Phase::Repair, Phase::Release, Phase::Close] {
        let steps: Vec<&Step> = runbook.steps.values().filter(|s| s.phase == phase).collect();
        if steps.is_empty() {
            continue;
        }
        writeln!(out, "\n## {}", word(phase))?;
        for step in steps {
            self::step(out, runbook, step)?;
        }
    }
    Ok(())
}

fn step(out: &mut String, runbook: &Runbook, step: &Step) -> std::fmt::Result {
    let on = step.on.as_deref().map(|t| format!(" on `{t}`")).unwrap_or_default();
    writeln!(out, "\n### {}: {}\n", step.id, shown(&step.title))?;
    if let Some(why) = &step.why {
        writeln!(out, "{}\n", shown(why))?;
    }
    writeln!(out, "- does: {}{on} ({})", step.action.word(), word(step.layer))?;
    if let Some(each) = &step.each {
        let pause =
            if each.pause.is_zero() { String::new() } else { format!(", {} between two", duration_text(each.pause)) };
        writeln!(out, "- once for each row of: {}{pause}", each.set)?;
    }
    let level = level::of(runbook, step);
    writeln!(out, "- gate: {}; typed: {}", word(level), shown(&level::token_form(runbook, step)))?;
    let dialect = step.on.as_ref().and_then(|t| runbook.targets.get(t)).and_then(|t| t.kind.dialect());
    facts(out, &step.action, dialect)?;
    let hard = |hard: bool| if hard { " (hard)" } else { "" };
    let after: Vec<_> = step.after.iter().map(|a| format!("`{}`{}", a.step, hard(a.hard))).collect();
    writeln!(
        out,
        "- waits for: {}",
        if after.is_empty() { "nothing in its phase".to_owned() } else { after.join(", ") }
    )?;
    if !step.when.is_empty() {
        let when: Vec<_> = step.when.iter().map(|(s, o)| format!("`{s}` decided `{}`", shown(o))).collect();
        writeln!(out, "- only when: {}", when.join(" and "))?;
    }
    if !step.needs.is_empty() {
        let needs: Vec<_> = step.needs.iter().map(|n| format!("`{}`{}", n.check, hard(n.hard))).collect();
        writeln!(out, "- needs: {}", needs.join(", "))?;
    }
    refs(out, "- verified by", &step.verify)?;
    refs(out, "- done when", &step.done_when)?;
    writeln!(out, "- undo: {}", shown(&undo(runbook, step)))?;
    if let Some(within) = step.within {
        writeln!(out, "- within: {}", duration_text(within))?;
    }
    terms(out, &step.action)?;
    conduct(out, &step.conduct)?;
    for left in &step.leaves {
        let owner = left.owner.as_deref().unwrap_or("an owner to be named");
        let by = left.remove_by.as_deref().unwrap_or("a date to be named");
        let with = left.remove.as_ref().map(|s| format!(", removed by `{s}`")).unwrap_or_default();
        writeln!(out, "- leaves: {}, {} until {by}{with}", shown(&left.what), shown(owner))?;
    }
    body(out, &step.action)
}

fn refs(out: &mut String, what: &str, checks: &[CheckRef]) -> std::fmt::Result {
    if checks.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = checks.iter().map(|c| format!("`{c}`")).collect();
    writeln!(out, "{what}: {}", names.join(", "))
}

/// The bounds and settings of an action that its body does not show.
fn terms(out: &mut String, action: &Action) -> std::fmt::Result {
    match action {
        Action::Change(change) => {
            if let Some(rows) = &change.rows {
                writeln!(out, "- rows: {}", shown(&rows.to_string()))?;
            }
            if let Some(until) = &change.until {
                writeln!(out, "- again and again until `{until}` is green")?;
            }
            if let Some(rows) = change.batch {
                writeln!(out, "- in batches of {rows}")?;
            }
            if let Some(because) = &change.unsaved_because {
                writeln!(out, "- its rows are not saved: {}", shown(because))?;
            }
        }
        Action::Restore(restore) => {
            let columns = if restore.columns.is_empty() { "all".to_owned() } else { restore.columns.join(", ") };
            writeln!(out, "- by `{}`, columns: {}", shown(&restore.key), shown(&columns))?;
            let exclude = restore.exclude.as_ref().map(|e| format!(", never those of {e}")).unwrap_or_default();
            let insert = if restore.insert { "are written anew" } else { "stay gone" };
            let newer = if restore.never_over.is_some() { ", newer ones stay" } else { "" };
            writeln!(out, "- rows that are gone {insert}{newer}{}", shown(&exclude))?;
        }
        Action::Publish(publish) => {
            if let Some(id) = publish.schema_id {
                writeln!(out, "- encoded with the schema {id}")?;
            }
            match publish.partition {
                Some(Partition::AsFound) => writeln!(out, "- into the partition where the key was found")?,
                Some(Partition::Number(n)) => writeln!(out, "- into the partition {n}")?,
                None => {}
            }
        }
        _ => {}
    }
    Ok(())
}

fn conduct(out: &mut String, conduct: &Conduct) -> std::fmt::Result {
    let hold = |hold: Option<Duration>| hold.map(|h| format!(", for {}", duration_text(h))).unwrap_or_default();
    let names = |checks: &[CheckRef]| checks.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
    if let Some(first) = &conduct.members_first {
        let first = if first.is_empty() { "the first member".to_owned() } else { first.join(", ") };
        writeln!(out, "- member by member: {} alone, then the rest; stops at the first mismatch", shown(&first))?;
    }
    if let Some(stages) = &conduct.stages {
        let steps: Vec<_> = stages.steps.iter().map(crate::runbook::template::as_text).collect();
        write!(out, "- in stages: {}", shown(&steps.join(", ")))?;
        if !stages.between.is_empty() {
            write!(out, "; between two: {}{}", names(&stages.between), hold(stages.hold))?;
        }
        writeln!(out)?;
    }
    if let Some(rows) = conduct.batch {
        writeln!(out, "- in batches of {rows}")?;
    }
    refs(out, "- stops between two when not green", &conduct.stop_when)?;
    if conduct.may_stay_open {
        writeln!(out, "- may stay open at the end, with an owner and a date")?;
    }
    if let Some(statement) = &conduct.reverses {
        writeln!(out, "- reverses: {}", shown(statement))?;
    }
    if let Some(lock) = &conduct.lock {
        let timeout = lock.timeout.map(|t| format!(" {}", duration_text(t))).unwrap_or_default();
        writeln!(out, "- lock: waits{timeout}, tries again {} times", lock.retry.unwrap_or(0))?;
    }
    refs(out, "- undo only while", &conduct.undo_valid_while)?;
    if let Some(watch) = &conduct.then_watch {
        writeln!(out, "- watched afterwards: {}{}", names(&watch.checks), hold(watch.hold))?;
    }
    Ok(())
}

/// Lock and cost of each statement.
fn facts(out: &mut String, action: &Action, dialect: Option<Dialect>) -> std::fmt::Result {
    let (Action::Ddl(forms), Some(dialect)) = (action, dialect) else {
        return Ok(());
    };
    for sql in forms.get(dialect).into_iter().flatten() {
        let statement = sql::judge(dialect, &sql.parseable(dialect));
        let lock = statement.lock.map_or("no table lock".to_owned(), |l| l.words());
        writeln!(out, "- {}: {lock}; {}", statement.kind, statement.cost)?;
    }
    Ok(())
}

fn undo(runbook: &Runbook, step: &Step) -> String {
    let place = runbook.steps.values().find(|s| matches!(&s.action, Action::UndoOf { step: of } if *of == step.id));
    let at = place.map(|s| format!(", at `{}`", s.id)).unwrap_or_default();
    format!("{}{at}", undo::of(runbook, step))
}

fn body(out: &mut String, action: &Action) -> std::fmt::Result {
    match action {
        Action::Ddl(forms) => forms_body(out, forms),
        Action::Change(change) => {
            let one = |f: &Option<SqlText>| f.clone().map(|f| vec![f]);
            let forms = match &change.sql {
                PerDialect::Any(f) => PerDialect::Any(vec![f.clone()]),
                PerDialect::Each { postgres, mysql, sqlite } => {
                    PerDialect::Each { postgres: one(postgres), mysql: one(mysql), sqlite: one(sqlite) }
                }
            };
            forms_body(out, &forms)
        }
        Action::Publish(publish) => fence(out, "json", &publish.value.to_string()),
        Action::Command { argv } => {
            let words: Vec<_> = argv.iter().map(|t| t.source.as_str()).collect();
            fence(out, "text", &serde_json::json!(words).to_string())
        }
        Action::Manual(manual) => fence(out, "text", &manual.what.source),
        Action::Restore(_) | Action::Offsets(_) | Action::Tombstones(_) | Action::Topic(_) | Action::Registry(_) => {
            fence(out, "text", &words::said(action))
        }
        Action::Replay(replay) => {
            let text = |sets: &Option<crate::runbook::SetRef>, word: &str| {
                sets.as_ref().map(|s| format!("\n{word} {s}")).unwrap_or_default()
            };
            let until = replay.until.as_ref().map_or("the end".to_owned(), ToString::to_string);
            let value = replay.value.as_ref().map(|v| format!("\nas {v}")).unwrap_or_default();
            let (only, except) = (text(&replay.only, "only"), text(&replay.except, "except"));
            fence(
                out,
                "text",
                &format!("{}\nfrom {} to {until}{only}{except}{value}", words::said(action), replay.since),
            )
        }
        _ => Ok(()),
    }
}

fn forms_body(out: &mut String, forms: &PerDialect<Vec<SqlText>>) -> std::fmt::Result {
    let mut one = |label: &str, sql: &[SqlText]| {
        let text: Vec<_> = sql.iter().map(|s| format!("{label}{}", s.text.trim_end())).collect();
        fence(out, "sql", &text.join(";\n"))
    };
    match forms {
        PerDialect::Any(sql) => one("", sql),
        PerDialect::Each { postgres, mysql, sqlite } => {
            for (label, form) in [("-- PostgreSQL\n", postgres), ("-- MySQL\n", mysql), ("-- SQLite\n", sqlite)] {
                if let Some(sql) = form {
                    one(label, sql)?;
                }
            }
            Ok(())
        }
    }
}

fn fence(out: &mut String, language: &str, text: &str) -> std::fmt::Result {
    // Longer than any run of backticks in the text, so that the text cannot end it.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let marks = "`".repeat(longest.max(2) + 1);
    writeln!(out, "\n{marks}{language}")?;
    for line in crate::text::multiline(text) {
        writeln!(out, "{}", line.as_str())?;
    }
    writeln!(out, "{marks}")
}

fn shown(text: &str) -> String {
    Shown::new(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_string()
}

fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
