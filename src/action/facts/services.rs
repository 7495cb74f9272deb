//! Which services of the runbook use what the statements change.

use super::{Line, line};
use crate::action::ddl::Plan;
use crate::check::{Context, sessions};
use crate::runbook::{Action, Scoped, Step};
use crate::sql::{self, ObjectKind, shim};
use crate::target::db::Handle;
use crate::text::counted;

/// Services whose names stand among the objects, and whether they are there now.
pub async fn touched(plan: &Plan, handle: &mut Handle, ctx: &Context) -> Vec<Line> {
    let target = handle.target().to_owned();
    let tables = plan.tables();
    let columns: Vec<(String, String)> = plan
        .statements
        .iter()
        .flat_map(|(_, statement)| &statement.objects)
        .filter(|object| object.kind == ObjectKind::Column)
        .filter_map(|object| Some((object.table.clone()?, object.name.clone())))
        .collect();
    let live = sessions::all(handle).await;
    let (mut found, mut broken) = (Vec::new(), false);
    for service in ctx.runbook.services.values() {
        let here = |scoped: &&Scoped| scoped.target.as_deref().is_none_or(|on| on == target);
        let hit = service.uses.iter().filter(here).find(|uses| match uses.name.rsplit_once('.') {
            Some((table, column)) if !columns.is_empty() => columns.iter().any(|(t, c)| t == table && c == column),
            Some((table, _)) => tables.iter().any(|t| t == table),
            None => tables.contains(&uses.name),
        });
        let Some(hit) = hit else { continue };
        let now = match &live {
            Ok(live) => {
                let fits = |s: &&sessions::Session| {
                    service.sessions.iter().filter(here).any(|glob| sessions::fits(&glob.name, &s.application_name))
                };
                format!("{} now", counted(live.iter().filter(fits).count(), "session"))
            }
            Err(_) => "cannot see its sessions".to_owned(),
        };
        let (label, words) = match sql::leaves(plan.statements.iter().map(|(_, statement)| statement), &hit.name) {
            Some(true) => ("mends", "it will be there"),
            Some(false) => ("breaks", "it will NOT be there any more"),
            None => ("touches", "it stays there"),
        };
        found.push(line(label, format!("{} uses {}, {now}: {words}", service.name, hit.name)));
        broken |= label == "breaks" && !service.gone;
    }
    if broken {
        found.extend(instead(plan, handle, ctx).map(|way| line("instead", way)));
    }
    found
}

/// The way for both to live: of a step's own statement, not of its undo.
fn instead(plan: &Plan, handle: &Handle, ctx: &Context) -> Option<String> {
    let dialect = handle.dialect()?;
    let own = |step: &&Step| match &step.action {
        Action::Ddl(forms) => forms.get(dialect).is_some_and(|texts| {
            texts.iter().map(|text| text.text.trim()).eq(plan.statements.iter().map(|(sql, _)| sql.trim()))
        }),
        _ => false,
    };
    let step = ctx.runbook.steps.values().find(own)?;
    shim::instead(dialect, plan.statements.iter().map(|(_, statement)| statement), &step.id)
}
