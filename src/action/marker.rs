//! The claim and the marker: which run may act in a database, and the row that a step's own transaction leaves there.
//!
//! Owns our tables in a target. Never creates them on the way: that is asked for.

use serde_json::{Value, json};

use crate::audit::Anchor;
use crate::check::Context;
use crate::names::{self, Place};
use crate::run::gate::offer_digest;
use crate::run::record::Offer;
use crate::sql::Dialect;
use crate::target::db::{Handle, SqlError, bind, text_bind};
pub use crate::target::tables::{install, portable};

/// Who may act here now, if anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub run: String,
    pub epoch: u64,
    pub holder: String,
}

/// # Errors
/// The server's words.
pub async fn claim(handle: &mut Handle, runbook: &str) -> Result<Option<Claim>, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(None) };
    let sql = portable(dialect, "select run_id, epoch, holder from {b}claim where runbook = $1::text");
    let row = handle.read(sql, vec![text_bind(runbook)]).await?.into_iter().next();
    Ok(row.map(|row| {
        let text = |name: &str| row.get(name).map(crate::runbook::template::as_text).unwrap_or_default();
        Claim {
            run: text("run_id"),
            epoch: row.get("epoch").and_then(Value::as_u64).unwrap_or(0),
            holder: text("holder"),
        }
    }))
}

/// The epoch that this run would take: its own, or the one after another run's.
pub fn next_epoch(claim: Option<&Claim>, run: &str) -> u64 {
    match claim {
        None => 1,
        Some(claim) if claim.run == run => claim.epoch,
        Some(claim) => claim.epoch + 1,
    }
}

/// Takes the claim with the epoch of the offer, in a transaction of its own. False: somebody else was there first.
///
/// # Errors
/// The server's words.
pub async fn take(handle: &mut Handle, ctx: &Context, epoch: u64) -> Result<bool, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(false) };
    let binds =
        vec![text_bind(&ctx.access.runbook), text_bind(&ctx.access.run), bind(json!(epoch)), text_bind(holder(ctx))];
    if dialect == Dialect::Mysql {
        let first = "insert ignore into backout_claim (runbook, run_id, epoch, holder) values ($1, $2, $3, $4)";
        let next = "update backout_claim c join (select $2 as run_id, $3 as epoch) o
            set c.run_id = o.run_id, c.epoch = o.epoch, c.holder = $4
            where c.runbook = $1 and ((c.run_id = o.run_id and c.epoch = o.epoch) or c.epoch = o.epoch - 1)";
        return Ok(handle.run(first, binds.clone()).await? == 1 || handle.run(next, binds).await? == 1);
    }
    let sql = portable(
        dialect,
        "insert into {b}claim as c (runbook, run_id, epoch, holder)
         values ($1::text, $2::text, $3::bigint, $4::text)
         on conflict (runbook) do update set run_id = excluded.run_id, epoch = excluded.epoch, holder = excluded.holder
         where (c.run_id = excluded.run_id and c.epoch = excluded.epoch) or c.epoch = excluded.epoch - 1",
    );
    Ok(handle.run(sql, binds).await? == 1)
}

fn holder(ctx: &Context) -> String {
    ctx.access.env.get("USER").cloned().unwrap_or_else(|| "operator".to_owned())
}

/// Writes the marker of this attempt, if the claim is still ours and no later attempt of this very run, in another
/// process over a copy of its log, has come before. The first statement of a step's transaction. It carries the head of
/// the audit log: who changes the log up to there has to change this database too.
///
/// # Errors
/// The server's words: [`SqlError::is_twin`] where that other process has made this attempt.
pub async fn write(handle: &mut Handle, ctx: &Context, offer: &Offer, epoch: u64) -> Result<bool, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(false) };
    let sql = portable(
        dialect,
        "insert into {b}marker (run_id, step, n, runbook, intent, holder, audit_seq, audit_head)
         select $1::text, $2::text, $3::bigint, $4::text, $5::text, $6::text, $8::bigint, $9::text from {b}claim c
         where c.runbook = $4::text and c.run_id = $1::text and c.epoch = $7::bigint
           and not exists (select 1 from {b}marker m where m.run_id = $1::text and m.step = $2::text and m.n > $3::bigint)
         for share of c",
    );
    let binds = vec![
        text_bind(&ctx.access.run),
        text_bind(&offer.step),
        bind(json!(offer.att)),
        text_bind(&ctx.access.runbook),
        text_bind(offer_digest(offer)),
        text_bind(holder(ctx)),
        bind(json!(epoch)),
        bind(json!(ctx.head.as_ref().map(|head| head.seq))),
        bind(json!(ctx.head.as_ref().map(|head| head.head.as_str()))),
    ];
    Ok(handle.run(sql, binds).await? == 1)
}

/// The heads of the audit log that this run's markers carry, oldest first.
///
/// # Errors
/// The server's words.
pub async fn heads(handle: &mut Handle, run: &str) -> Result<Vec<Anchor>, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(Vec::new()) };
    let sql = portable(
        dialect,
        "select step, n, audit_seq, audit_head from {b}marker
         where run_id = $1::text and audit_head is not null order by audit_seq",
    );
    let rows = handle.read(sql, vec![text_bind(run)]).await?;
    let anchor = |row: &crate::target::db::Row| {
        let text = |name: &str| row.get(name).map(crate::runbook::template::as_text).unwrap_or_default();
        let from = format!("marker of {}/{} in {}", text("step"), text("n"), handle.target());
        // A number that is none counts as one that lies beyond every log: it is said, not dropped.
        let seq = text("audit_seq").parse().unwrap_or(u64::MAX);
        Anchor { seq, head: text("audit_head"), from }
    };
    Ok(rows.iter().map(anchor).collect())
}

/// The digest that the marker of an attempt carries, if it is there.
///
/// # Errors
/// The server's words.
pub async fn read(handle: &mut Handle, run: &str, step: &str, att: u32) -> Result<Option<String>, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(None) };
    let sql = portable(
        dialect,
        "select intent from {b}marker where run_id = $1::text and step = $2::text and n = $3::bigint",
    );
    let found = handle.one(sql, vec![text_bind(run), text_bind(step), bind(json!(att))]).await?;
    Ok(found.as_ref().map(crate::runbook::template::as_text))
}

/// The quoted table of a frozen set.
pub fn frozen_table(dialect: Dialect, set: &str) -> String {
    let name = names::frozen(set);
    match dialect {
        Dialect::Postgres => format!("\"backout\".\"{name}\""),
        _ => format!("\"{}\"", Place::Prefix.table(&name)),
    }
}
