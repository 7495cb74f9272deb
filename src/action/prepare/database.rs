//! Offers on a database: a schema change, a change of rows, and the claim that either takes.

use super::{Draft, refused};
use crate::action::transaction::Body;
use crate::action::{Work, change, ddl, facts, is_sql, marker};
use crate::check::Context;
use crate::failure::Result;
use crate::run::record::{Environment, Undoing};
use crate::runbook::Level;
use crate::sql::is_relative_update;
use crate::target::Identity;
use crate::target::db::{Handle, text_bind};
use crate::text::{counted, sha256};

pub async fn handle(on: Option<&str>, step: &str, ctx: &Context) -> Result<crate::target::Monitor> {
    match on.filter(|on| is_sql(ctx, on)) {
        Some(on) => ctx.targets.monitor(on).await,
        None => Err(refused(step, "it is on no database")),
    }
}

pub async fn ddl(
    plan: ddl::Plan,
    word: &str,
    handle: &mut Handle,
    identity: Option<&Identity>,
    ctx: &Context,
) -> Result<Draft> {
    let plan = plan.on(handle);
    let level = if plan.irreversible() { Level::Irreversible } else { Level::Object };
    let facts = Box::pin(facts::gather(&plan, handle, ctx, identity)).await;
    let (rendered, object, undo, tries) = (plan.rendered(), plan.object(), plan.undoing(), plan.tries());
    let transactional = plan.transactional();
    let half = if transactional { None } else { ddl::half_done(&plan, handle).await };
    let work = if transactional { Work::Transaction(Body::Ddl(plan)) } else { Work::Plain(plan) };
    let mut draft = Draft::new(work, word, rendered, level);
    draft.rendered.extend(tries);
    draft.object = object;
    draft.undo = undo;
    (draft.facts, draft.blockers) = (facts.lines, facts.blockers);
    draft.facts.extend(half.map(|because| ("half done".to_owned(), format!("! {because}"))));
    fence(&mut draft, handle, identity, ctx, "ddl", false).await?;
    Ok(draft)
}

pub async fn change(
    plan: change::Plan,
    change: &crate::runbook::Change,
    word: &str,
    step: &str,
    handle: &mut Handle,
    identity: Option<&Identity>,
    ctx: &Context,
) -> Result<Draft> {
    let has_marker = identity.is_some_and(|identity| identity.has_marker);
    if let Some(dialect) = handle.dialect()
        && !has_marker
        && is_relative_update(dialect, &plan.real.sql).unwrap_or(true)
    {
        return Err(refused(
            step,
            "it sets a column from its own old value, and there is no marker table to prevent a second time",
        )
        .hint("have the tables of backout created there, or write the new values out"));
    }
    if let Some(bound) = &change.rows {
        let value = serde_json::Value::from(plan.number);
        if !bound.judge(Some(&value), &|name| ctx.frozen_value(name)).is_pass() {
            return Err(refused(
                step,
                format!("{} would change, and the runbook says {bound}", counted(plan.number, "row")),
            ));
        }
    }
    let mut rendered = vec![plan.real.sql.clone()];
    if let Some((set, table)) = &plan.set {
        let digest = sha256(table.json().as_bytes());
        rendered.push(format!("{set}: {}, digest {digest}", counted(table.rows.len(), "row")));
    }
    let mut draft = Draft::new(Work::Freeze(Vec::new()), word, rendered, Level::Number);
    draft.binds = plan.real.binds.iter().map(|bind| bind.value.clone()).collect();
    draft.number = Some(plan.number);
    draft.object = Some(plan.anatomy.table.clone());
    draft.sample = plan.sample.clone();
    draft.undo = Undoing::BeforeImage;
    if let Some((set, table)) = &plan.set {
        let since = (table.rows.len() as u64).saturating_sub(plan.number);
        let now = match since {
            0 => "all of them still as they were".to_owned(),
            _ => format!("{since} of them changed since, and left alone"),
        };
        draft.facts.push(("set".to_owned(), format!("{set}: {} frozen, {now}", counted(table.rows.len(), "row"))));
    }
    draft.work = Work::Transaction(Body::Change(Box::new(plan)));
    fence(&mut draft, handle, identity, ctx, step, true).await?;
    Ok(draft)
}

/// The claim that the offer takes; and what is lost where there are no tables for it.
pub async fn fence(
    draft: &mut Draft,
    handle: &mut Handle,
    identity: Option<&Identity>,
    ctx: &Context,
    step: &str,
    data: bool,
) -> Result<()> {
    let Some(identity) = identity else { return Ok(()) };
    if !identity.has_marker {
        let name = &identity.seen.name;
        let (why, hint) = match &identity.lacks {
            Some(lacks) => (lacks.clone(), format!("have the administrator of {name} grant it")),
            None => (
                format!("{name} has no marker table"),
                "have the tables of backout created by the database's administrator".to_owned(),
            ),
        };
        if data && identity.environment == Environment::Production {
            return Err(refused(step, format!("{why}: rows are not changed there without a marker")).hint(hint));
        }
        let lost =
            "after a crash only the catalog can tell what happened, and nothing keeps a second run out of this target";
        draft.facts.push(("marker".to_owned(), format!("! {why}: {lost}")));
        return Ok(());
    }
    let claim = marker::claim(handle, &ctx.access.runbook)
        .await
        .map_err(|error| error.failure("reading the claim", &identity.seen.name))?;
    draft.epoch = Some(marker::next_epoch(claim.as_ref(), &ctx.access.run));
    let place = match draft.work {
        Work::Plain(_) => "before the statement, in a transaction of its own: after a crash the catalog decides",
        _ => "in the same transaction",
    };
    draft.facts.push(("marker".to_owned(), place.to_owned()));
    if let Some(claim) = claim.filter(|claim| claim.run != ctx.access.run) {
        let sql = handle.dialect().map(|dialect| {
            marker::portable(dialect, "select step, n from {b}marker where run_id = $1::text order by at")
        });
        let left = handle.read(sql.unwrap_or_default(), vec![text_bind(&claim.run)]).await.unwrap_or_default();
        let left: Vec<String> =
            left.iter().filter_map(|row| row.get("step")).map(crate::runbook::template::as_text).collect();
        let left = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
        let words =
            format!("run {} of {} holds this target; going on takes it over. It did: {left}", claim.run, claim.holder);
        draft.takes_over = true;
        draft.facts.push(("takes over".to_owned(), words));
    }
    Ok(())
}
