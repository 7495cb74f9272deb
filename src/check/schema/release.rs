//! Where the release's own statements stand on a target, and what the row of its migration tool claims beside that.
//!
//! Never takes the row's word for it: what is in is what the catalog shows.

use serde_json::Value;

use crate::check::sql::{Asked, NoAnswer};
use crate::check::{Answer, Context};
use crate::run::record::{Found, Position};
use crate::runbook::Recorded;
use crate::runbook::expect::Verdict;
use crate::sql::shim::Rename;
use crate::sql::{self, Dialect, Fact, Zone, zones};
use crate::target::db::Handle;
use crate::text::counted;

use super::{holds_on, position_on};

mod tools;

pub use tools::{Says, says};

/// A statement of the release.
#[derive(Debug, Clone)]
pub struct Statement {
    /// On one line, without its comments.
    pub line: String,
    /// What is known of it; or why nothing is.
    pub read: Result<sql::Statement, String>,
}

/// The statements of `migration.up` for a dialect, in their order. A file that cannot be read stands for its statements.
pub async fn statements(dialect: Dialect, ctx: &Context) -> Vec<Statement> {
    let files = ctx.runbook.migration.as_ref().and_then(|migration| migration.up.get(dialect));
    let mut statements = Vec::new();
    for file in files.into_iter().flatten() {
        let name = file.display().to_string();
        let unknown = |because: String| Statement { line: name.clone(), read: Err(because) };
        match tokio::fs::read_to_string(ctx.runbook.base.join(file)).await {
            Err(error) => statements.push(unknown(format!("{name} cannot be read: {error}"))),
            Ok(text) => match sql::split(dialect, &text) {
                Err(refused) => statements.push(unknown(refused.to_string())),
                Ok(pieces) => statements.extend(
                    pieces
                        .iter()
                        .map(|piece| Statement { line: line(dialect, piece), read: Ok(sql::judge(dialect, piece)) }),
                ),
            },
        }
    }
    statements
}

fn line(dialect: Dialect, sql: &str) -> String {
    let code = zones(dialect, sql).into_iter().filter(|(_, zone)| *zone != Zone::Comment);
    let code: Vec<&str> = code.map(|(range, _)| &sql[range]).collect();
    code.concat().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether one statement is in. Its facts may have been undone by a later statement of the same release: those that a
/// later one turns round are not asked.
pub async fn position(statements: &[Statement], at: usize, handle: &mut Handle) -> Found {
    let Some(statement) = statements.get(at) else {
        return Found { position: Position::Unknown, because: "there is no such statement".to_owned() };
    };
    match &statement.read {
        Err(because) => Found { position: Position::Unknown, because: because.clone() },
        Ok(read) => {
            let later = statements[at + 1..].iter().filter_map(|later| later.read.as_ref().ok());
            let turned: Vec<Fact> = later.flat_map(|later| &later.done).map(Fact::not_done).collect();
            let (gone, asked): (Vec<Fact>, Vec<Fact>) =
                read.done.iter().cloned().partition(|fact| turned.contains(fact));
            if asked.is_empty() && !gone.is_empty() {
                let because = "a later statement takes it out again".to_owned();
                return Found { position: Position::Unknown, because };
            }
            // By the name that its table has now: a later statement may have given it another.
            let mut asked = asked;
            let renamed = statements[at + 1..].iter().filter_map(|later| Rename::of(later.read.as_ref().ok()?));
            for rename in renamed {
                let Rename::Table { from, to } = rename else { continue };
                let there = Fact::Table { name: to.clone(), present: true };
                if asked.iter().any(|fact| fact.table().as_ref() == Some(&from))
                    && holds_on(&there, handle).await == Ok(true)
                {
                    asked = asked.iter().map(|fact| fact.of_table(&from, &to)).collect();
                }
            }
            position_on(&asked, handle).await
        }
    }
}

/// More rows than a migration table has.
const ROWS: usize = 10_000;

/// What the tool's table says of the release.
pub async fn claimed(recorded: &Recorded, handle: &mut Handle) -> Asked<Says> {
    let dialect = handle.dialect().ok_or_else(|| NoAnswer::Unknown("this target is not a database".to_owned()))?;
    let name = |text: &str| sql::quote_ident(dialect, text).map_err(|refused| NoAnswer::Unknown(refused.to_string()));
    let table = recorded.table.split('.').map(name).collect::<Result<Vec<_>, _>>()?.join(".");
    // Qualified: SQLite would take a name that is not there for a text.
    let sql = format!("select r.*, r.{} as {} from {table} r limit {}", name(&recorded.column)?, tools::KEY, ROWS + 1);
    let rows = handle.read(sql, vec![]).await?;
    if rows.len() > ROWS {
        return Err(NoAnswer::Unknown(format!(
            "{} has more than {ROWS} rows: is it a migration table?",
            recorded.table
        )));
    }
    Ok(tools::says(recorded, &rows))
}

/// What the row claims, and whether the catalog bears it out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Claim {
    pub target: String,
    /// `None`: the row cannot be read, or does not tell.
    pub applied: Option<bool>,
    pub mark: Mark,
    pub words: String,
}

/// The row and the catalog, beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    Agrees,
    Disagrees,
    /// Begun and not ended: the tool refuses to go on until somebody has mended it.
    Stopped,
    /// One of the two does not tell.
    NotTold,
}

impl Mark {
    pub fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "DISAGREES",
            Self::Stopped => "STOPPED",
            Self::NotTold => "not told",
        }
    }
}

/// The row laid beside the positions of the statements.
pub async fn claim(recorded: &Recorded, found: &[Found], handle: &mut Handle) -> Claim {
    let target = handle.target().to_owned();
    let row = format!("{}.{} '{}'", recorded.table, recorded.column, recorded.value);
    let (position, catalog) = together(found);
    let (applied, claims) = match claimed(recorded, handle).await {
        Ok(Says::In(claims)) => (Some(true), claims),
        Ok(Says::Out(claims)) => (Some(false), claims),
        Ok(Says::Stopped(claims)) => {
            let words = format!("{row} {claims}; the catalog shows {catalog}");
            return Claim { target, applied: None, mark: Mark::Stopped, words };
        }
        Ok(Says::Unclear(claims)) => (None, claims),
        Err(none) => (None, format!("cannot be read: {}", none.words())),
    };
    let mark = match (position, applied) {
        (_, None) | (Position::Unknown, _) => Mark::NotTold,
        (Position::Done, Some(true)) | (Position::NotDone, Some(false)) => Mark::Agrees,
        (Position::Done | Position::NotDone | Position::HalfDone, Some(_)) => Mark::Disagrees,
    };
    let words = match (mark, position) {
        (Mark::Disagrees, _) => format!("{row} {claims}, but the catalog shows {catalog}"),
        (Mark::Agrees, _) => format!("{row} {claims}, and the catalog shows {catalog}"),
        (_, Position::Unknown) => format!("{row} {claims}; the catalog cannot tell"),
        _ => format!("{row} {claims}; the catalog shows {catalog}"),
    };
    Claim { target, applied, mark, words }
}

/// All statements as one: those that the catalog cannot tell of do not count beside those that it can.
fn together(found: &[Found]) -> (Position, String) {
    let told: Vec<&Found> = found.iter().filter(|found| found.position != Position::Unknown).collect();
    let done = told.iter().filter(|found| found.position == Position::Done).count();
    let none = told.iter().filter(|found| found.position == Position::NotDone).count();
    let position = match told.len() {
        0 => Position::Unknown,
        all if all == done => Position::Done,
        all if all == none => Position::NotDone,
        _ => Position::HalfDone,
    };
    let missing: Vec<&str> =
        told.iter().filter(|found| found.position != Position::Done).map(|found| found.because.as_str()).collect();
    let words = match position {
        Position::Done => "all of it in".to_owned(),
        Position::NotDone => "none of it in".to_owned(),
        Position::Unknown => "nothing of it".to_owned(),
        Position::HalfDone => {
            format!("{done} of {} in: {}", counted(told.len(), "statement"), missing.join("; "))
        }
    };
    (position, words)
}

/// `{ migration: in }` and `{ migration: out }`: the catalog and the row both say so.
pub(super) async fn judged(applied: bool, handle: &mut Handle, ctx: &Context) -> Answer {
    let Some(dialect) = handle.dialect() else { return Answer::unknown("this target is not a database") };
    let statements = statements(dialect, ctx).await;
    let mut found = Vec::new();
    for at in 0..statements.len() {
        found.push(position(&statements, at, handle).await);
    }
    let (position, catalog) = together(&found);
    let recorded = ctx.runbook.migration.as_ref().and_then(|migration| migration.recorded.as_ref());
    let claim = match recorded {
        Some(recorded) => Some(claim(recorded, &found, handle).await),
        None => None,
    };
    let wanted = if applied { Position::Done } else { Position::NotDone };
    let verdict = match (&claim, position) {
        (_, Position::Unknown) => return Answer::unknown("the catalog cannot tell of any of its statements"),
        (Some(Claim { mark: Mark::Stopped | Mark::Disagrees, .. }), _) => Verdict::Fail,
        (Some(Claim { applied: None, words, .. }), _) => return Answer::unknown(words.clone()),
        (_, position) if position == wanted => Verdict::Pass,
        _ => Verdict::Fail,
    };
    let words = claim.map_or_else(|| format!("the catalog shows {catalog}"), |claim| claim.words);
    let value = Some(Value::Bool(verdict.is_pass()));
    Answer { words: (!verdict.is_pass()).then_some(words), verdict, value, took_ms: 0 }
}
