//! Freezes what is found now for later steps: values, sets, offsets, catalogs. Changes no target.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::rows;
use crate::check::{self, Context, Depth, sql};
use crate::run::record::{Frozen, FrozenContent, Outcome, OutcomeResult};
use crate::runbook::FreezeItem;
use crate::text::counted;

/// Reads everything at once. What cannot be read is frozen as unknown: it never blocks containing.
pub async fn perform(items: &[FreezeItem], ctx: &Context) -> (Vec<Frozen>, Outcome) {
    let frozen = join_all(items.iter().map(|item| async {
        let content = read(item, ctx).await.unwrap_or_else(|because| FrozenContent::Unknown { because });
        Frozen { item: item.clone(), content }
    }))
    .await;
    let unknown: Vec<_> = frozen
        .iter()
        .filter(|frozen| matches!(frozen.content, FrozenContent::Unknown { .. }))
        .map(|frozen| frozen.item.to_string())
        .collect();
    let evidence = match unknown.is_empty() {
        true => format!("{} frozen", counted(frozen.len(), "item")),
        false => {
            let known = counted(frozen.len() - unknown.len(), "item");
            format!("{known} frozen; unknown, freeze again: {}", unknown.join(", "))
        }
    };
    let changed: Vec<String> = frozen.iter().filter_map(|frozen| changed(frozen, ctx)).collect();
    let evidence = [vec![evidence], changed].concat().join("; ");
    let outcome = Outcome::new(OutcomeResult::Applied, evidence);
    (frozen, outcome)
}

async fn read(item: &FreezeItem, ctx: &Context) -> Result<FrozenContent, String> {
    match item {
        FreezeItem::Reading(name) => {
            let reading = ctx.runbook.readings.get(name).ok_or_else(|| format!("there is no reading {name}"))?;
            let answer = check::ask(reading, ctx, Depth::Parse).await;
            match answer.value {
                Some(value) => Ok(FrozenContent::Value(value)),
                None => Err(answer.words.unwrap_or_else(|| "it gave no value".into())),
            }
        }
        FreezeItem::Set(name) => {
            let found = sql::set_rows(name, ctx).await.map_err(|none| none.words())?;
            let lines: Vec<Value> = found.into_iter().map(Value::Object).collect();
            let (file, digest) = rows::write(&ctx.access.run_dir, "frozen", name, &lines).map_err(|f| f.to_string())?;
            Ok(FrozenContent::Rows { count: lines.len() as u64, digest, file, classes: None })
        }
        FreezeItem::Offsets { target } => check::kafka::offsets_snapshot(target, ctx)
            .await
            .map(FrozenContent::Snapshot)
            .map_err(|failure| failure.to_string()),
        FreezeItem::Catalog { target } => {
            let mut handle = ctx.targets.monitor(target).await.map_err(|failure| failure.to_string())?;
            let lines = check::schema::catalog(&mut handle).await.map_err(|none| none.words())?;
            let text: Vec<Value> = lines.into_iter().map(|line| json!({ "line": line })).collect();
            let (file, digest) = rows::write(&ctx.access.run_dir, "frozen", &format!("catalog-{target}"), &text)
                .map_err(|failure| failure.to_string())?;
            Ok(FrozenContent::Rows { count: text.len() as u64, digest, file, classes: None })
        }
    }
}

/// What a catalog has become since it was frozen last in this run.
fn changed(frozen: &Frozen, ctx: &Context) -> Option<String> {
    let FreezeItem::Catalog { .. } = &frozen.item else { return None };
    let item = frozen.item.to_string();
    let lines = |content: &FrozenContent| match content {
        FrozenContent::Rows { file, .. } => {
            let rows = rows::read(&ctx.access.run_dir, file).ok()?;
            Some(rows.iter().filter_map(|row| Some(row.get("line")?.as_str()?.to_owned())).collect::<Vec<_>>())
        }
        _ => None,
    };
    let (before, now) = (lines(ctx.frozen.get(&item)?)?, lines(&frozen.content)?);
    let found = check::schema::differences(&before, &now, &[]);
    (!found.is_empty()).then(|| format!("{item} since it was frozen last: {}", check::schema::said(&found)))
}
