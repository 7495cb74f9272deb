//! A gate's questions to PostgreSQL: on connections of their own, side by side, each about the touched objects alone.
//!
//! Owns which relations the statements touch and lock, by their oids.

use std::collections::BTreeMap;

use serde_json::json;

use super::lane::{Lane, number, text};
use super::{Facts, blockers, dependents, line, server, services};
use crate::action::ddl::Plan;
use crate::check::{Context, schema};
use crate::names;
use crate::sql::{Lock, ObjectKind, Place, Statement};
use crate::target::db::{Handle, Row, text_bind};

/// A relation of the catalog, and the locks that the statements take on it.
pub struct Touched {
    pub oid: i64,
    /// As the server writes it here.
    pub name: String,
    /// `r`, `p`, `v`, `m`, `i` …
    pub kind: String,
    pub locks: Vec<Lock>,
    /// Its columns that the statements name.
    pub columns: Vec<String>,
}

/// Names that the catalog knows, in the order asked, each with its table and the tables that its foreign keys point to.
const NAMED: &str = "select n.name, c.oid::bigint as oid, c.oid::regclass::text as shown, c.relkind::text as kind,
      i.indrelid::bigint as table_oid, i.indrelid::regclass::text as table_shown,
      (select jsonb_agg(jsonb_build_object('oid', f.confrelid::bigint, 'shown', f.confrelid::regclass::text))
         from pg_constraint f where f.conrelid = c.oid and f.contype = 'f') as points_to
    from jsonb_array_elements($1::text::jsonb) with ordinality as w(pair, at)
    cross join lateral (select pair->>0 as name, pair->>1 as quoted) n
    join pg_class c on c.oid = to_regclass(n.quoted)
    left join pg_index i on i.indexrelid = c.oid
    order by w.at";

/// What the server lists the gate's own connections as.
const GATE: &str = "gate";

pub async fn gather(plan: &Plan, handle: &mut Handle, ctx: &Context, sees: bool) -> Facts {
    let target = handle.target().to_owned();
    let open = || Lane::open(&target, GATE, ctx);
    let own = names::application_name(ctx.access.run8(), GATE, 0);
    let (touched, mut first, mut second, mut third) = tokio::join!(touched(plan, handle), open(), open(), open());
    let mut lines = Vec::new();
    let touched = touched.unwrap_or_else(|words| {
        lines.push(line("objects", format!("cannot be read: {words}")));
        Vec::new()
    });
    let oids = array(&touched);
    let (on_it, in_way, around, services) = tokio::join!(
        async {
            let tables = dependents::tables(&mut first, &oids).await;
            (tables, dependents::hanging(&mut first, plan, &touched).await)
        },
        async {
            let holders = blockers::holders(&mut second, &touched, &oids, &own, sees).await;
            (holders, server::oldest(&mut second, plan.transactional(), sees).await)
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
    lines.extend(services);
    lines.extend(on_it.1);
    lines.extend(bodies);
    lines.extend(oldest);
    lines.extend(replication);
    Facts { lines, blockers }
}

fn array(touched: &[Touched]) -> String {
    format!("{{{}}}", touched.iter().map(|one| one.oid.to_string()).collect::<Vec<_>>().join(","))
}

async fn touched(plan: &Plan, handle: &mut Handle) -> Result<Vec<Touched>, String> {
    let mut wanted: BTreeMap<String, Vec<Lock>> = BTreeMap::new();
    for (_, statement) in &plan.statements {
        for (name, lock) in locked(statement) {
            wanted.entry(name).or_default().push(lock);
        }
    }
    let pairs: Vec<_> = wanted.keys().map(|name| json!([name, schema::quoted(name)])).collect();
    let rows = handle.read(NAMED, vec![text_bind(json!(pairs).to_string())]).await.map_err(|error| error.words())?;
    let mut found: Vec<Touched> = Vec::new();
    for row in &rows {
        let name = text(row, "name");
        let locks = wanted.get(&name).cloned().unwrap_or_default();
        add(&mut found, number(row, "oid"), text(row, "shown"), &text(row, "kind"), &locks);
        for (_, statement) in &plan.statements {
            unnamed(&mut found, row, &name, statement);
        }
        let columns = columns(plan, &name);
        if let Some(own) = found.iter_mut().find(|one| Some(one.oid) == number(row, "oid")) {
            own.columns.extend(columns);
        }
    }
    Ok(found)
}

/// What a statement locks and names; where its locks are not known, the strongest on all that it touches.
fn locked(statement: &Statement) -> Vec<(String, Lock)> {
    let relation = |object: &crate::sql::Object| match object.kind {
        ObjectKind::Table
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Index
        | ObjectKind::Sequence => Some(object.name.clone()),
        _ => object.table.clone(),
    };
    let named = statement.locks.iter().filter_map(|held| match &held.on {
        Place::Object(object) => Some((relation(object)?, held.lock)),
        Place::Unnamed(_) => None,
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let lock = statement.lock.unwrap_or(Lock::ACCESS_EXCLUSIVE);
    statement.objects.iter().filter_map(|object| Some((relation(object)?, lock))).collect()
}

/// What a statement locks without naming it: the table of an index, the table that a foreign key points to.
fn unnamed(found: &mut Vec<Touched>, row: &Row, name: &str, statement: &Statement) {
    if !locked(statement).iter().any(|(locked, _)| locked == name) {
        return;
    }
    let drops_index = statement.kind.starts_with("DROP INDEX") || statement.kind.starts_with("REINDEX");
    if drops_index && let (Some(oid), Some(lock)) = (number(row, "table_oid"), statement.lock) {
        add(found, Some(oid), text(row, "table_shown"), "r", &[lock]);
    }
    let pointed =
        statement.locks.iter().find(|held| matches!(held.on, Place::Unnamed(what) if what.contains("foreign key")));
    let Some(held) = pointed else { return };
    for to in row.get("points_to").and_then(|to| to.as_array()).into_iter().flatten().filter_map(|to| to.as_object()) {
        add(found, number(to, "oid"), text(to, "shown"), "r", &[held.lock]);
    }
}

fn add(found: &mut Vec<Touched>, oid: Option<i64>, name: String, kind: &str, locks: &[Lock]) {
    let Some(oid) = oid else { return };
    match found.iter_mut().find(|one| one.oid == oid) {
        Some(one) => one.locks.extend(locks),
        None => {
            let (kind, locks) = (kind.to_owned(), locks.to_vec());
            found.push(Touched { oid, name, kind, locks, columns: Vec::new() });
        }
    }
}

fn columns(plan: &Plan, table: &str) -> Vec<String> {
    let objects = plan.statements.iter().flat_map(|(_, statement)| &statement.objects);
    let of = objects.filter(|object| object.kind == ObjectKind::Column && object.table.as_deref() == Some(table));
    let mut names: Vec<String> = of.map(|object| object.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}
