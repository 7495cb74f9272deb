//! The catalog of what a schema step touches: kept before it, and compared after its undo.
//!
//! Owns the file that it is kept in, and what later steps of the same run are to be held to account for. Read-only on
//! the target; takes no lock that anybody waits for. A step is not stopped for want of it: the undo then says so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ddl::Plan;
use super::rows;
use crate::check::schema::touched::{self, Objects, Scope};
use crate::check::{Context, schema};
use crate::run::record::{Kept, Offer, Restored};
use crate::runbook::Action;
use crate::target::db::Handle;
use crate::text::sha256;

/// The folder of the run's directory.
const FOLDER: &str = "undo";

#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// Of the reading: another one says nothing of this one.
    #[serde(default)]
    version: u32,
    target: String,
    scope: Scope,
    objects: Objects,
}

/// What a point's data says of the catalog before the statements; nothing of an undo, which is compared itself.
pub(super) async fn keep(plan: &Plan, handle: &mut Handle, offer: &Offer, ctx: &Context) -> Option<Value> {
    if offer.undoes.is_some() {
        return None;
    }
    let kept = match write(plan, handle, offer, ctx).await {
        Ok((file, digest)) => Kept::In { file, digest },
        Err(words) => Kept::Not(words),
    };
    serde_json::to_value(kept).ok()
}

async fn write(plan: &Plan, handle: &mut Handle, offer: &Offer, ctx: &Context) -> Result<(String, String), String> {
    let scope = Scope::of(plan.statements.iter().map(|(_, statement)| statement));
    let objects = touched::read(&scope, handle).await.map_err(|none| none.words())?;
    let before = Before { version: schema::VERSION, target: handle.target().to_owned(), scope, objects };
    let line = serde_json::to_value(&before).map_err(|error| error.to_string())?;
    rows::write(&ctx.access.run_dir, FOLDER, &offer.step, &[line]).map_err(|failure| failure.to_string())
}

fn read(kept: &Kept, ctx: &Context) -> Result<Before, String> {
    let (file, digest) = match kept {
        Kept::In { file, digest } => (file, digest),
        Kept::Not(words) => return Err(words.clone()),
    };
    let bytes = std::fs::read(ctx.access.run_dir.join(file)).map_err(|error| format!("{file}: {error}"))?;
    if sha256(&bytes) != *digest {
        return Err(format!("{file} is not what was kept: its digest is another"));
    }
    let before: Before = serde_json::from_slice(&bytes).map_err(|error| format!("{file}: {error}"))?;
    if before.version != schema::VERSION {
        return Err(format!("{file} was read by another version of backout, which sees other things in a catalog"));
    }
    Ok(before)
}

/// What a gate says of it before the undo.
pub(super) fn promise(undone: &str, ctx: &Context) -> Option<String> {
    match ctx.before.get(undone) {
        None => unkept(undone, ctx).map(|because| format!("cannot be compared afterwards: {because}")),
        Some((kept, _)) => Some(match read(kept, ctx) {
            Ok(before) => format!(
                "kept before the step, {}: compared object by object after the undo",
                crate::text::counted(before.objects.len(), "object")
            ),
            Err(words) => format!("cannot be compared afterwards: {words}"),
        }),
    }
}

/// Of a schema step that this run keeps nothing of.
fn unkept(undone: &str, ctx: &Context) -> Option<String> {
    let ddl = ctx.runbook.steps.get(undone).is_some_and(|step| matches!(step.action, Action::Ddl(_)));
    ddl.then(|| "this run kept nothing from before the step".to_owned())
}

/// The catalog now beside what it was before the step; `None` where the step touched none.
pub async fn compare(undone: &str, ctx: &Context) -> Option<Restored> {
    let Some((kept, at)) = ctx.before.get(undone) else {
        return unkept(undone, ctx).map(|because| Restored::NotKept { because });
    };
    if let Kept::Not(because) = kept {
        return Some(Restored::NotKept { because: because.clone() });
    }
    let compared = async {
        let mut before = read(kept, ctx)?;
        let mut handle = ctx.targets.monitor(&before.target).await.map_err(|failure| failure.to_string())?;
        let mut now = touched::read(&before.scope, &mut handle).await.map_err(|none| none.words())?;
        let mut meanwhile = Vec::new();
        for step in ctx.runbook.steps.keys().filter(|step| *step != undone && ctx.standing.contains(*step)) {
            let Some((kept, _)) = ctx.before.get(step).filter(|(_, later)| later.wall > at.wall) else { continue };
            let Ok(later) = read(kept, ctx) else { continue };
            if later.target != before.target {
                continue;
            }
            let seen = touched::read(&later.scope, &mut handle).await.map_err(|none| none.words())?;
            let theirs: BTreeSet<String> = seen
                .keys()
                .chain(later.objects.keys())
                // As it was before the undone step until this one began, and other since.
                .filter(|object| before.objects.get(*object) == later.objects.get(*object))
                .filter(|object| before.objects.get(*object) != now.get(*object))
                .cloned()
                .collect();
            let (was, is) = (taken(&mut before.objects, &theirs), taken(&mut now, &theirs));
            meanwhile.extend(touched::differences(&was, &is).into_iter().map(|line| format!("{line} (since {step})")));
        }
        let mut differs = touched::differences(&before.objects, &now);
        differs.extend(touched::another(&before.scope, &before.objects, &now));
        let unseen = handle.dialect().map(schema::unseen).unwrap_or_default().to_owned();
        Ok(Restored::Compared { differs, meanwhile, unseen })
    };
    Some(compared.await.unwrap_or_else(|because: String| Restored::Unknown { because }))
}

fn taken(objects: &mut Objects, names: &BTreeSet<String>) -> Objects {
    objects.extract_if(.., |name, _| names.contains(name)).collect()
}
