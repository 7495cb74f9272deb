//! Facts of a catalog: is that column there, is that index valid.
//!
//! Owns what the facts say together: a verdict, or where a change stands. How each is read stands beside it, by dialect.
//! Never guesses: what cannot be read is unknown, and so is a fact that a dialect does not have.

use serde_json::Value;

use crate::run::record::{Found, Position};
use crate::runbook::CheckKind;
use crate::runbook::expect::Verdict;
use crate::sql::{Dialect, Fact};
use crate::target::db::{Handle, SqlError, text_bind};

use super::sql::{Asked, NoAnswer};
use super::{Answer, Context};

mod catalog;
mod mysql;
mod postgres;
pub mod release;
mod rights;
mod sqlite;
pub mod touched;

pub use catalog::{VERSION, catalog, differences, fingerprint, said, unseen};
pub use postgres::quoted;

/// All facts together: passes when every one holds; the words name those that do not.
async fn judged(facts: &[Fact], handle: &mut Handle) -> Answer {
    let mut red = Vec::new();
    for fact in facts {
        match holds_on(fact, handle).await {
            Ok(true) => {}
            Ok(false) => red.push(fact.not_done().to_string()),
            Err(none) => return Answer::unknown(none.words()),
        }
    }
    Answer {
        verdict: if red.is_empty() { Verdict::Pass } else { Verdict::Fail },
        value: Some(Value::Bool(red.is_empty())),
        words: (!red.is_empty()).then(|| red.join("; ")),
        took_ms: 0,
    }
}

/// What the catalog answers to a check of its kind.
pub async fn asked(kind: &CheckKind, handle: &mut Handle, ctx: &Context) -> Answer {
    match kind {
        CheckKind::Schema(facts) => judged(facts, handle).await,
        CheckKind::Grants(grants) => rights::judged(grants, handle).await,
        CheckKind::Migration { applied } => release::judged(*applied, handle, ctx).await,
        CheckKind::Like { fingerprint, except } => catalog::like(fingerprint, except, handle, ctx).await,
        _ => Answer::unknown("this is no question to a catalog"),
    }
}

/// Whether a fact holds on a target now; `None` where that cannot be told.
pub async fn holds(fact: &Fact, target: &str, ctx: &Context) -> Option<bool> {
    let mut handle = ctx.targets.monitor(target).await.ok()?;
    holds_on(fact, &mut handle).await.ok()
}

/// Whether one fact holds now, as this connection sees it.
pub async fn holds_on(fact: &Fact, handle: &mut Handle) -> Asked<bool> {
    match handle.dialect() {
        Some(Dialect::Postgres) => postgres::holds(fact, handle).await,
        Some(Dialect::Sqlite) => sqlite::holds(fact, handle).await,
        Some(Dialect::Mysql) => mysql::holds(fact, handle).await,
        _ => Err(NoAnswer::Unknown("the catalog of this target cannot be read".to_owned())),
    }
}

async fn there(handle: &mut Handle, sql: &str, binds: &[&str]) -> Result<bool, SqlError> {
    let binds = binds.iter().map(|text| text_bind(*text)).collect();
    let found = handle.one(format!("select exists ({sql}) as found"), binds).await?;
    Ok(match found {
        Some(Value::Bool(found)) => found,
        Some(Value::Number(n)) => n.as_i64() == Some(1),
        _ => false,
    })
}

/// Whether statements with these facts are in: all facts hold, none does, or some do, and what mends that.
pub async fn position_on(facts: &[Fact], handle: &mut Handle) -> Found {
    if facts.is_empty() {
        let because = "the catalog cannot tell whether it has been applied".to_owned();
        return Found { position: Position::Unknown, because };
    }
    let (mut done, mut open) = (Vec::new(), Vec::new());
    for fact in facts {
        match holds_on(fact, handle).await {
            Ok(true) => done.push(fact),
            Ok(false) => open.push(fact),
            Err(none) => return Found { position: Position::Unknown, because: none.words() },
        }
    }
    match out_of_sight(facts, &done, handle).await {
        Ok(None) => {}
        Ok(Some(because)) => return Found { position: Position::Unknown, because },
        Err(none) => return Found { position: Position::Unknown, because: none.words() },
    }
    let in_words = done.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let (position, because) = match (done.is_empty(), open.is_empty()) {
        (_, true) => (Position::Done, in_words),
        (true, false) => {
            let words: Vec<_> = open.iter().map(|fact| fact.not_done().to_string()).collect();
            (Position::NotDone, words.join("; "))
        }
        (false, false) => {
            let words: Vec<_> = open.iter().map(|fact| left(fact, &done)).collect();
            (Position::HalfDone, format!("{in_words}; but {}", words.join("; ")))
        }
    };
    Found { position, because }
}

/// Why what is not there says nothing: its table is not there either, or stands where this connection does not look.
async fn out_of_sight(facts: &[Fact], done: &[&Fact], handle: &mut Handle) -> Asked<Option<String>> {
    let goes =
        |table: &str| facts.iter().any(|fact| matches!(fact, Fact::Table { name, present: false } if name == table));
    let mut asked = Vec::new();
    for fact in facts {
        let (table, absent) = match (fact, fact.table()) {
            (Fact::Table { name, present: false }, _) => (name.clone(), false),
            (_, Some(table)) => {
                let absent = fact.is_absence() && done.contains(&fact) && !goes(&table);
                (table, absent)
            }
            _ => continue,
        };
        match asked.iter_mut().find(|(name, _)| *name == table) {
            Some((_, says)) => *says |= absent,
            None => asked.push((table, absent)),
        }
    }
    for (table, absent) in asked {
        let there = holds_on(&Fact::Table { name: table.clone(), present: true }, handle).await?
            || holds_on(&Fact::View { name: table.clone(), present: true }, handle).await?;
        if there {
            continue;
        }
        if let Some(schemas) = postgres::elsewhere(&table, handle).await? {
            return Ok(Some(format!(
                "{table} is not on this connection's search path, but in {schemas}: write the schema before its name"
            )));
        }
        if absent {
            return Ok(Some(format!(
                "there is no table {table} here, so that something of it is not there says nothing"
            )));
        }
    }
    Ok(None)
}

/// What is open beside what is done, and the steps that mend it where a server leaves such things behind.
fn left(open: &Fact, done: &[&Fact]) -> String {
    match open {
        Fact::Index { name, valid: true, present: true }
            if done.contains(&&Fact::Index { name: name.clone(), valid: false, present: true }) =>
        {
            format!(
                "index {name} is INVALID: it costs every write and answers no query. To repair: \
                 DROP INDEX CONCURRENTLY {name}, see that no row stands against it, then this step again"
            )
        }
        Fact::Index { name, valid: false, present: false }
            if done.contains(&&Fact::Index { name: name.clone(), valid: true, present: false }) =>
        {
            format!(
                "index {name} is there and INVALID: its removal was broken off, or its build had been; it costs every \
                 write and answers no query. To repair: DROP INDEX CONCURRENTLY {name}, as in this step"
            )
        }
        Fact::Partition { table, partition, whole: false, present: false }
            if done.contains(&&Fact::Partition {
                table: table.clone(),
                partition: partition.clone(),
                whole: true,
                present: false,
            }) =>
        {
            format!(
                "{partition} is half detached from {table}: new statements do not read it there, and it can be neither \
                 attached nor detached again. To repair: ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE"
            )
        }
        Fact::Validated { table, name, validated: true }
            if done.contains(&&Fact::Constraint { table: table.clone(), name: name.clone(), present: true }) =>
        {
            format!(
                "constraint {name} is NOT VALID: it holds for new rows only. To repair: mend the rows against it, then \
                 ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
            )
        }
        other => other.not_done().to_string(),
    }
}
