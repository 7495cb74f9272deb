//! Statements on the schema: what a gate says of them, and running them one by one.
//!
//! Never puts two statements into one message, and never changes what the author wrote.

use serde_json::json;

use super::transaction::{Back, Effect, claimed, not_applied, outcome, tell_lost};
use super::{Go, Port, committing, marker};
use crate::check::{Context, Names, schema, sessions};
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::run::record::{Offer, Outcome, OutcomeResult, Point, Position, Undoing};
use crate::runbook::template::{RenderedSql, SqlText, as_text};
use crate::runbook::{Scoped, Step};
use crate::sql::{self, Class, Dialect, Fact, ObjectKind, Reverse, Statement};
use crate::target::db::{Handle, text_bind};
use crate::text::counted;

/// Statements in their order, with what is known of each.
#[derive(Debug, Clone)]
pub struct Plan {
    pub statements: Vec<(String, Statement)>,
}

impl Plan {
    /// # Errors
    /// A name without a value, and a statement that is no DDL.
    pub fn of(texts: &[SqlText], dialect: Dialect, ctx: &Context, step: &str) -> Result<Self> {
        let names = Names::new(ctx);
        let mut statements = Vec::new();
        for text in texts {
            let RenderedSql { sql, .. } = text.render(dialect, &names, None).map_err(|missing| {
                Failure::new(Kind::Runbook, format!("step {step}: the statement cannot be rendered")).cause(missing)
            })?;
            statements.push(sql);
        }
        Self::of_text(statements, dialect, step)
    }

    /// # Errors
    /// As [`Plan::of`].
    pub fn of_text(statements: Vec<String>, dialect: Dialect, step: &str) -> Result<Self> {
        let mut planned = Vec::new();
        for sql in statements {
            let statement = sql::parse_one(dialect, &sql).map_err(|refused| {
                Failure::new(Kind::Runbook, format!("step {step}: the statement is refused")).cause(refused)
            })?;
            if matches!(statement.class, Class::Transaction | Class::Session | Class::Read) {
                return Err(Failure::new(
                    Kind::Runbook,
                    format!("step {step}: {} is no change of the schema: it {}", statement.kind, statement.class),
                ));
            }
            planned.push((sql, statement));
        }
        Ok(Self { statements: planned })
    }

    pub fn transactional(&self) -> bool {
        self.statements.iter().all(|(_, statement)| statement.transactional)
    }

    pub fn irreversible(&self) -> bool {
        self.statements.iter().any(|(_, statement)| statement.class == Class::Irreversible)
    }

    /// What the token names: the first object; of a column, constraint or index its table where that is known.
    pub fn object(&self) -> Option<String> {
        let object = self.statements.first()?.1.object()?;
        Some(object.table.clone().unwrap_or_else(|| object.name.clone()))
    }

    pub fn rendered(&self) -> Vec<String> {
        self.statements.iter().map(|(sql, _)| sql.clone()).collect()
    }

    /// The reverse statements, last first.
    pub fn undoing(&self) -> Undoing {
        let mut rendered = Vec::new();
        let mut limits = Vec::new();
        for (_, statement) in self.statements.iter().rev() {
            match &statement.reverse {
                Reverse::Exact(sql) => rendered.push(sql.clone()),
                Reverse::NeedsSaved { what, sql: Some(sql) } => {
                    rendered.push(sql.clone());
                    limits.push(format!("not brought back: {what}"));
                }
                Reverse::NeedsSaved { what, sql: None } => {
                    return Undoing::None { because: format!("it needs {what}") };
                }
                Reverse::None { because } => return Undoing::None { because: because.clone() },
            }
        }
        Undoing::By { rendered, derived: true, limits: (!limits.is_empty()).then(|| limits.join("; ")) }
    }

    pub(super) fn tables(&self) -> Vec<String> {
        let mut tables = Vec::new();
        for (_, statement) in &self.statements {
            for object in &statement.objects {
                let table = match object.kind {
                    ObjectKind::Table | ObjectKind::View => Some(object.name.clone()),
                    _ => object.table.clone(),
                };
                tables.extend(table.filter(|table| !tables.contains(table)));
            }
        }
        tables
    }
}

/// Lines for the gate: locks, size, who holds them now, which services it breaks.
pub async fn facts(plan: &Plan, handle: &mut Handle, ctx: &Context, sees_sessions: bool) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for (_, statement) in &plan.statements {
        let lock = statement.lock.map_or_else(|| "no table lock known".to_owned(), |lock| lock.words());
        facts.push(("locks".to_owned(), format!("{lock}; {}", statement.cost)));
    }
    if !plan.transactional() {
        facts.push((
            "not atomic".to_owned(),
            "runs outside a transaction: only the catalog can tell how far it came".into(),
        ));
    }
    for table in plan.tables() {
        if let Some(size) = size(handle, &table).await {
            facts.push(("table".to_owned(), format!("{table}: {size}")));
        }
        if handle.dialect() == Some(Dialect::Postgres) {
            facts.push(("in way".to_owned(), in_the_way(handle, &table, sees_sessions).await));
        }
    }
    facts.extend(breaks(plan, handle, ctx).await);
    facts
}

async fn size(handle: &mut Handle, table: &str) -> Option<String> {
    if handle.dialect() == Some(Dialect::Postgres) {
        let sql =
            "select pg_size_pretty(pg_total_relation_size(c.oid)) || case when c.reltuples < 0 then ', never analysed'
                   else ', about ' || c.reltuples::bigint || ' rows' end as size
                   from pg_class c where c.oid = to_regclass($1::text)";
        return handle.one(sql, vec![text_bind(table)]).await.ok().flatten().map(|value| as_text(&value));
    }
    let name = sql::quote_ident(Dialect::Sqlite, table).ok()?;
    let rows = handle.one(format!("select count(*) from {name}"), vec![]).await.ok().flatten()?;
    Some(rows.as_u64().map_or_else(|| as_text(&rows), |n| counted(n, "row")))
}

async fn in_the_way(handle: &mut Handle, table: &str, sees_sessions: bool) -> String {
    let sql = "select coalesce(string_agg(distinct coalesce(nullif(a.application_name, ''), 'pid ' || l.pid) || ' ' || l.mode
                 || coalesce(' since ' || date_trunc('second', clock_timestamp() - a.xact_start)::text, ''), '; '), '') as held
               from pg_locks l left join pg_stat_activity a using (pid)
               where l.locktype = 'relation' and l.relation = to_regclass($1::text) and l.pid is distinct from pg_backend_pid()
                 and l.database = (select oid from pg_database where datname = current_database())";
    match handle.one(sql, vec![text_bind(table)]).await {
        Ok(Some(held)) if as_text(&held).is_empty() => format!("nobody holds a lock on {table} now"),
        Ok(held) => {
            let held = held.as_ref().map(as_text).unwrap_or_default();
            let unseen =
                if sees_sessions { "" } else { " (cannot see for how long: the role lacks pg_read_all_stats)" };
            format!("{held}{unseen}")
        }
        Err(error) => format!("cannot see: {}", error.words()),
    }
}

impl Plan {
    /// Whether a `table.column` is there once all statements are applied; `None` where they do not say.
    fn leaves(&self, used: &str) -> Option<bool> {
        let (table, column) = used.rsplit_once('.')?;
        let facts = self.statements.iter().flat_map(|(_, statement)| &statement.done);
        facts.rev().find_map(|fact| match fact {
            Fact::Column { table: t, column: c, present } if t == table && c == column => Some(*present),
            Fact::Table { name, present: false } if name == table => Some(false),
            _ => None,
        })
    }
}

/// Services whose names stand among the objects, and whether they are there now.
async fn breaks(plan: &Plan, handle: &mut Handle, ctx: &Context) -> Vec<(String, String)> {
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
    let mut found = Vec::new();
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
        let (label, words) = match plan.leaves(&hit.name) {
            Some(true) => ("mends", "it will be there"),
            Some(false) => ("breaks", "it will NOT be there any more"),
            None => ("touches", "it stays there"),
        };
        found.push((label.to_owned(), format!("{} uses {}, {now}: {words}", service.name, hit.name)));
    }
    found
}

/// The statements, one message each.
pub(super) async fn run(handle: &mut Handle, plan: &Plan) -> Result<Effect, Back> {
    for (sql, _) in &plan.statements {
        handle.run(sql.as_str(), vec![]).await?;
    }
    Ok(Effect::default())
}

/// The path of statements that no transaction can hold: the catalog alone tells what became of them.
pub async fn perform_plain(plan: &Plan, _step: &Step, offer: &Offer, ctx: &Context, port: &Port) -> Outcome {
    let Some(target) = offer.target.as_ref().map(|seen| seen.name.clone()) else {
        return not_applied("the step names no target");
    };
    let app = names::application_name(ctx.access.run8(), &offer.step, offer.att);
    let mut handle = match ctx.targets.dedicated(&target, &app).await {
        Ok(handle) => handle,
        Err(failure) => return not_applied(failure.to_string()),
    };
    if let Err(outcome) = claimed(&mut handle, offer, ctx, port).await {
        return outcome;
    }
    let mut data = json!({ "statements": plan.statements.len() });
    if let Some(epoch) = offer.epoch {
        data["claim"] = json!({ "target": target, "epoch": epoch });
    }
    if let Handle::Mysql(connection) = &handle {
        data["pid"] = json!(connection.id);
    }
    if let Handle::Postgres(connection) = &handle {
        data["pid"] = json!(connection.pid);
        data["backend_start"] = json!(connection.backend_start);
    }
    if port.reached(Point::Begun, data).await == Go::Stop {
        return not_applied("stopped before the first statement");
    }
    if handle.dialect() == Some(Dialect::Postgres) {
        // A lock timeout fires on the harmless waits of a concurrent build and leaves an invalid index.
        for sql in ["set lock_timeout = 0", "set statement_timeout = 0"] {
            if let Err(error) = handle.run(sql, vec![]).await {
                return not_applied(error.words());
            }
        }
    }
    if let Some(epoch) = offer.epoch {
        match marker::write(&mut handle, ctx, offer, epoch).await {
            Ok(true) => {}
            Ok(false) => {
                tell_lost(&mut handle, ctx, port).await;
                return not_applied("taken over: another run holds the claim on this target; nothing was sent");
            }
            Err(error) => return not_applied(format!("the marker cannot be written: {}", error.words())),
        }
    }
    for (n, (sql, _)) in plan.statements.iter().enumerate() {
        let ran = match &handle {
            Handle::Mysql(_) => committing::run(&mut handle, sql, ctx, port).await,
            _ => handle.run(sql.as_str(), vec![]).await.map(|_| ()),
        };
        if let Err(error) = ran {
            let result = if n == 0 && !error.lost { OutcomeResult::NotApplied } else { OutcomeResult::Unknown };
            return outcome(result, format!("statement {} of {}: {}", n + 1, plan.statements.len(), error.words()));
        }
    }
    let found = schema::position_on(&facts_of(plan), &mut handle).await;
    match found.position {
        Position::Done => outcome(OutcomeResult::Applied, format!("the catalog shows it: {}", found.because)),
        _ => outcome(OutcomeResult::Unknown, found.because),
    }
}

/// All facts that hold once every statement is applied.
pub fn facts_of(plan: &Plan) -> Vec<sql::Fact> {
    plan.statements.iter().flat_map(|(_, statement)| statement.done.clone()).collect()
}
