//! What a change of columns does to sessions that were there before it: their prepared statements may fail from now on.
//!
//! Owns which forms change what a query gives, and how those sessions are told after the commit. Never ends one.

use super::Plan;
use crate::check::sessions::{self, Bound};
use crate::check::{Context, NoAnswer};
use crate::run::record::Offer;
use crate::runbook::{CheckKind, Scoped};
use crate::sql::{Dialect, Statement};
use crate::target::db::Handle;
use crate::text::counted;

/// The server's clock, read as soon as a commit has been answered: every session that began later knows the change.
pub async fn now(handle: &mut Handle) -> Option<String> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return None;
    }
    let now = handle.one("select clock_timestamp()::text as now", vec![]).await.ok().flatten()?;
    now.as_str().map(str::to_owned)
}

/// Whether rows of a query that was prepared before come with other columns, names or types after it.
fn reshapes(statement: &Statement, plan: &Plan) -> bool {
    let own = [statement.kind];
    let forms = if statement.parts.is_empty() { &own[..] } else { &statement.parts[..] };
    forms.iter().any(|form| match *form {
        "ALTER TABLE … DROP COLUMN"
        | "ALTER TABLE … RENAME COLUMN"
        | "ALTER TABLE … ALTER COLUMN … TYPE"
        | "ALTER TYPE … RENAME ATTRIBUTE"
        | "CREATE OR REPLACE VIEW" => true,
        // In the place of a table or view that goes in the same step.
        "CREATE VIEW" | "CREATE TABLE" => {
            let name = statement.object().map(|object| &object.name);
            plan.statements
                .iter()
                .any(|(_, other)| other != statement && other.objects.iter().any(|object| Some(&object.name) == name))
        }
        form => form.starts_with("ALTER TABLE … ADD COLUMN"),
    })
}

/// After the commit at `at`: which sessions are older, and what to do about them. Nothing where no session can be hit.
pub async fn told(plan: &Plan, offer: &Offer, at: &str, ctx: &Context) -> Option<String> {
    if !plan.statements.iter().any(|(_, statement)| reshapes(statement, plan)) {
        return None;
    }
    let target = offer.target.as_ref()?.name.as_str();
    let what = "statements that sessions prepared before it may fail now (0A000, cached plan)";
    let found = async {
        let mut handle = ctx.targets.monitor(target).await?;
        sessions::older(&mut handle, &Bound::At(at.to_owned()), |_| true).await
    };
    let older = match found.await {
        Ok(older) => older,
        Err::<_, NoAnswer>(none) => {
            return Some(format!(
                "{what}; which sessions are older cannot be seen: {}: recycle every pool",
                none.words()
            ));
        }
    };
    if older.is_empty() {
        return Some("no session is older than this change: no prepared statement is stale (0A000)".to_owned());
    }
    let here = |scoped: &&Scoped| scoped.target.as_deref().is_none_or(|on| on == target);
    let tables = plan.tables();
    let table = |uses: &Scoped| uses.name.rsplit_once('.').map_or(uses.name.clone(), |(table, _)| table.to_owned());
    let mut declared = vec![false; older.len()];
    let mut pools = Vec::new();
    let mut first = None;
    for service in ctx.runbook.services.values() {
        let globs: Vec<&Scoped> = service.sessions.iter().filter(here).collect();
        let fits = |app: &str| globs.iter().any(|glob| sessions::fits(&glob.name, app));
        let mut n = 0;
        for (session, declared) in older.iter().zip(&mut declared) {
            if fits(&session.application_name) {
                *declared = true;
                n += 1;
            }
        }
        let uses: Vec<&Scoped> = service.uses.iter().filter(here).collect();
        if n > 0 && (uses.is_empty() || uses.iter().any(|uses| tables.contains(&table(uses)))) {
            first = first.or_else(|| globs.first().map(|glob| glob.name.clone()));
            pools.push(format!("{} of {}", counted(n, "session"), service.name));
        }
    }
    let others = declared.iter().filter(|declared| !**declared).count();
    if others > 0 {
        pools.push(format!("{} of no declared service", counted(others, "session")));
    }
    if pools.is_empty() {
        return Some("no session of a service that uses it is older than this change (0A000)".to_owned());
    }
    let step = offer.step.as_str();
    let asks = ctx
        .runbook
        .checks
        .values()
        .find(|check| matches!(&check.kind, CheckKind::Sessions { older_than: Some(than), .. } if than == step));
    let check = match (asks, first) {
        (Some(check), _) => format!("; {} tells when it is done", check.name),
        (None, Some(glob)) => format!("; a check tells when it is done: `sessions: \"{glob}\", older_than: {step}`"),
        (None, None) => String::new(),
    };
    let are = if older.len() == 1 { "is" } else { "are" };
    Some(format!("{} {are} older than this change: {what}: recycle their pools{check}", pools.join(", ")))
}
