//! Keeping what was found, for later steps and for the end.
//!
//! Owns the reading of each item. Changes no target; what cannot be read is frozen as unknown and says so.

use serde_json::json;

use super::reconcile::typed;
use super::transaction::outcome;
use super::{Port, Report, files, sets};
use crate::check::sql::set_rows;
use crate::check::{self, Context, Depth, NoAnswer, kafka, schema};
use crate::run::record::{Frozen, FrozenContent, Outcome, OutcomeResult};
use crate::runbook::FreezeItem;

pub(super) async fn perform(items: &[FreezeItem], ctx: &Context, port: &Port) -> Outcome {
    let mut frozen = Vec::new();
    for item in items {
        let content = read(item, ctx).await.unwrap_or_else(|none| FrozenContent::Unknown { because: none.words() });
        frozen.push(Frozen { item: item.clone(), content });
    }
    let unknown: Vec<String> = frozen
        .iter()
        .filter(|frozen| matches!(frozen.content, FrozenContent::Unknown { .. }))
        .map(|frozen| frozen.item.to_string())
        .collect();
    let words = match unknown.len() {
        0 => format!("{} read and kept", frozen.len()),
        _ => format!("{} of {} read and kept; unknown: {}", frozen.len() - unknown.len(), frozen.len(), unknown.join(", ")),
    };
    port.tell(Report::Frozen(frozen)).await;
    outcome(OutcomeResult::Applied, words)
}

async fn read(item: &FreezeItem, ctx: &Context) -> Result<FrozenContent, NoAnswer> {
    let unknown = |words: String| NoAnswer::Unknown(words);
    Ok(match item {
        FreezeItem::Reading(name) => {
            let reading = ctx.runbook.readings.get(name).ok_or_else(|| unknown(format!("there is no reading {name}")))?;
            let answer = check::ask(reading, ctx, Depth::Parse).await;
            FrozenContent::Value(answer.value.ok_or_else(|| unknown(answer.words.unwrap_or_default()))?)
        }
        FreezeItem::Set(name) if sets::compare(ctx, name).is_some() => {
            return Err(unknown("a compared set is frozen by its reconcile step".to_owned()));
        }
        FreezeItem::Set(name) => {
            let rows = set_rows(name, ctx).await?;
            let (file, digest) = files::write(ctx, "frozen", name, &rows)?;
            files::write(ctx, "frozen", &format!("{name}.columns"), &typed(name, ctx).await)?;
            FrozenContent::Rows { count: rows.len() as u64, digest, file, classes: None }
        }
        FreezeItem::Offsets { target } => FrozenContent::Snapshot(kafka::offsets_snapshot(target, ctx).await?),
        FreezeItem::Catalog { target } => {
            let mut handle = ctx.targets.monitor(target).await?;
            FrozenContent::Snapshot(json!(schema::catalog(&mut handle).await?))
        }
    })
}
