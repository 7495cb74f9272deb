//! The offer of undoing a step: what is declared, else what is derived from the statement or the saved rows.

use super::{Draft, action, database, refused};
use crate::action::transaction::Body;
use crate::action::{Work, change, ddl, restored};
use crate::check::Context;
use crate::check::schema::touched::Scope;
use crate::failure::Result;
use crate::run::record::Undoing;
use crate::runbook::undo::{self, Undo};
use crate::runbook::words::said;
use crate::runbook::{Action, Level, Step};
use crate::target::Identity;
use crate::text::{counted, sha256};

/// Says on the offer of a step how it is undone: as its author declares it, else as it was derived; or why it cannot be.
pub fn announce(draft: &mut Draft, step: &Step, on: Option<&str>, ctx: &Context) {
    if let Some(declared) = step.undo.as_deref() {
        let dialect = on.and_then(|on| ctx.runbook.targets.get(on)).and_then(|target| target.kind.dialect());
        let plan = |action: &Action| match (action, dialect) {
            (Action::Ddl(forms), Some(dialect)) => {
                forms.get(dialect).and_then(|texts| ddl::Plan::of(texts, dialect, ctx, &step.id).ok())
            }
            _ => None,
        };
        let rendered = plan(declared).map_or_else(|| vec![said(declared)], |plan| plan.rendered());
        let dropped = plan(&step.action).map(|plan| Scope::of(plan.statements.iter().map(|(_, of)| of)).dropped);
        let limits = dropped.filter(|dropped| !dropped.is_empty()).map(|dropped| {
            format!("NOT brought back, unless these statements do it: what {} held", dropped.join(", "))
        });
        draft.undo = Undoing::By { rendered, derived: false, limits };
    } else if let (Undoing::None { because }, Undo::Cannot(why)) = (&mut draft.undo, undo::of(&ctx.runbook, step)) {
        *because = why;
    }
}

/// What undoes `undone`, and what is known of the catalog to compare it with.
pub async fn draft(
    step: &Step,
    undone: &Step,
    on: Option<&str>,
    identity: Option<&Identity>,
    ctx: &Context,
) -> Result<Draft> {
    let mut draft = back(step, undone, on, identity, ctx).await?;
    draft.facts.extend(restored::promise(&undone.id, ctx).map(|words| ("catalog".to_owned(), words)));
    Ok(draft)
}

async fn back(
    step: &Step,
    undone: &Step,
    on: Option<&str>,
    identity: Option<&Identity>,
    ctx: &Context,
) -> Result<Draft> {
    if let Some(declared) = undone.undo.as_deref() {
        // Rendered as the undo it is: what it may cost is judged by what it does.
        let as_step = Step { id: step.id.clone(), undo: None, each: None, ..undone.clone() };
        let mut draft = Box::pin(action(declared, &as_step, on, identity, ctx)).await?;
        if matches!(declared, Action::Command { .. } | Action::Http(_)) {
            draft.level = Level::Step;
        }
        draft.undo = Undoing::By { rendered: vec![format!("{} again", undone.id)], derived: true, limits: None };
        return Ok(draft);
    }
    match &undone.action {
        Action::Ddl(forms) => {
            let mut handle = database::handle(on, &step.id, ctx).await?;
            let dialect = handle.dialect();
            let Some((dialect, texts)) = dialect.and_then(|dialect| Some((dialect, forms.get(dialect)?))) else {
                return Err(refused(&step.id, "the runbook has no form of it for this target"));
            };
            let forward = ddl::Plan::of(texts, dialect, ctx, &undone.id)?;
            match forward.undoing() {
                Undoing::By { rendered, limits, .. } => {
                    let back = ddl::Plan::of_text(rendered, dialect, &step.id)?;
                    let mut draft = database::ddl(back, "ddl", &mut handle, identity, ctx).await?;
                    draft.undo = Undoing::By { rendered: forward.rendered(), derived: true, limits: None };
                    draft.facts.extend(limits.map(|limits| ("limits".to_owned(), limits)));
                    Ok(draft)
                }
                Undoing::None { because } => {
                    Err(refused(&step.id, format!("{} cannot be undone: {because}", undone.id)))
                }
                Undoing::BeforeImage => Err(refused(&step.id, format!("{} saved no rows", undone.id))),
            }
        }
        Action::Change(_) => {
            let mut handle = database::handle(on, &step.id, ctx).await?;
            let tables = identity.is_some_and(|identity| identity.has_marker);
            let plan = change::UndoPlan::of(&undone.id, tables, &mut handle, ctx).await?;
            let digest = sha256(plan.digest_of().as_bytes());
            let words = format!("put back {} that {} changed, digest {digest}", counted(plan.number, "row"), undone.id);
            let (number, since, because) = (plan.number, plan.changed_since.clone(), plan.because.clone());
            let mut draft = Draft::new(Work::Transaction(Body::Undo(plan)), "change", vec![words], Level::Number);
            draft.number = Some(number);
            draft.undo = Undoing::By { rendered: vec![format!("{} again", undone.id)], derived: true, limits: None };
            draft.facts.extend(because.map(|why| ("saved rows".to_owned(), format!("from the run's own file: {why}"))));
            if !since.is_empty() {
                draft.facts.push((
                    "changed since".to_owned(),
                    format!("{} left as they are now: {}", counted(since.len(), "row"), since.join(", ")),
                ));
            }
            database::fence(&mut draft, &mut handle, identity, ctx, &step.id, true).await?;
            Ok(draft)
        }
        other => Err(refused(&step.id, format!("{} is a {} step without an undo", undone.id, other.word()))),
    }
}
