//! A gate's questions to PostgreSQL: on connections of their own, side by side, each about the touched objects alone.
//!
//! Owns which question goes on which connection.

use super::lane::Lane;
use super::touched::{self, By, Found, Touched};
use super::{Facts, blockers, dependents, line, server, services};
use crate::action::ddl::Plan;
use crate::check::Context;
use crate::names;
use crate::target::db::Handle;

/// What the server lists the gate's own connections as.
const GATE: &str = "gate";

pub async fn gather(plan: &Plan, handle: &mut Handle, ctx: &Context, sees: bool) -> Facts {
    let target = handle.target().to_owned();
    let open = || Lane::open(&target, GATE, ctx);
    let own = names::application_name(ctx.access.run8(), GATE, 0);
    let (found, mut first, mut second, mut third) = tokio::join!(touched::find(plan, handle), open(), open(), open());
    let mut lines = Vec::new();
    let Found { touched, elsewhere, missing } = found.unwrap_or_else(|words| {
        let words = format!("! cannot be read, nor who is in the way: {}", words);
        lines.push(line("objects", words));
        Found::default()
    });
    lines.extend(missing.into_iter().map(|name| {
        let why = "no such name in this role's search_path, or no right to its schema";
        line("in way", format!("! cannot see who holds {name}: {why}"))
    }));
    let oids = array(touched.iter().filter(|one| one.by != By::Descent));
    let all = array(touched.iter());
    let (on_it, in_way, around, services) = tokio::join!(
        async {
            let tables = dependents::tables(&mut first, &oids).await;
            (tables, dependents::hanging(&mut first, plan, &touched).await)
        },
        async {
            let holders = blockers::holders(&mut second, &touched, &all, &own, sees).await;
            (holders, server::oldest(&mut second, plan.transactional(), &own, sees).await)
        },
        async {
            let sizes = dependents::sizes(&mut third, &oids).await;
            let bodies = dependents::bodies(&mut third, plan, &touched).await;
            (sizes, bodies, server::replication(&mut third, sees).await)
        },
        services::touched(plan, handle, ctx),
    );
    let (sizes, bodies, replication) = around;
    let ((in_way, blockers), oldest) = in_way;
    lines.extend(dependents::told(&touched, on_it.0, sizes));
    lines.extend(in_way);
    lines.extend(
        elsewhere
            .into_iter()
            .map(|(what, lock)| line("in way", format!("! {} on {what}: who holds that is not looked for", lock.mode))),
    );
    lines.extend(services);
    lines.extend(on_it.1);
    lines.extend(bodies);
    lines.extend(oldest);
    lines.extend(replication);
    Facts { lines, blockers }
}

fn array<'a>(touched: impl Iterator<Item = &'a Touched>) -> String {
    format!("{{{}}}", touched.map(|one| one.oid.to_string()).collect::<Vec<_>>().join(","))
}
