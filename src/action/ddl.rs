//! Statements on the schema: what is known of them, and running them one by one.
//!
//! Never puts two statements into one message, and never changes what the author wrote: how the server is to run it may
//! be asked for behind it, and is then shown.

use super::transaction::{Back, Effect, LOCK_MS};
use crate::check::{Context, Names, schema};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Position, Undoing};
use crate::runbook::template::{RenderedSql, SqlText};
use crate::sql::{self, Class, Dialect, ObjectKind, Server, Statement, Ways};
use crate::target::db::Handle;

mod left;
mod plain;
pub(super) mod stale;

pub use plain::{half_done, perform_plain, position, stood};

/// Statements in their order, with what is known of each.
#[derive(Debug, Clone)]
pub struct Plan {
    pub statements: Vec<(String, Statement)>,
    /// Where what a statement costs, and how it is asked for, depends on the server.
    pub server: Option<Server>,
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
        Ok(Self { statements: planned, server: None })
    }

    /// As the server of this connection runs it, where that is told from its version.
    pub fn on(mut self, handle: &Handle) -> Self {
        let server = match handle {
            Handle::Mysql(connection) => connection.server,
            Handle::Postgres(connection) => connection.server,
            Handle::Sqlite(_) | Handle::Kafka(_) => return self,
        };
        self.server = Some(server);
        let known = |(sql, statement): (String, Statement)| (sql, statement.on(server));
        self.statements = self.statements.into_iter().map(known).collect();
        self
    }

    /// How the server is sent each statement.
    pub fn ways(&self, sql: &str, statement: &Statement) -> Ways {
        self.server.map_or(Ways::Written(None), |server| sql::ways(sql, statement, server))
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

    /// Every way in which it may be run and no other: what is agreed to at the gate.
    pub fn tries(&self) -> Vec<String> {
        let told = |(n, (sql, statement)): (usize, &(String, Statement))| {
            let Ways::Tried(ways) = self.ways(sql, statement) else { return None };
            let asks: Vec<&str> = ways.iter().map(|way| way.asks.as_str()).collect();
            let of = if self.statements.len() > 1 { format!("{}: ", n + 1) } else { String::new() };
            Some(format!("{of}with {}", asks.join("; if refused: ")))
        };
        self.statements.iter().enumerate().filter_map(told).collect()
    }

    /// The reverse statements, last first.
    pub fn undoing(&self) -> Undoing {
        let mut rendered = Vec::new();
        let mut limits = Vec::new();
        for (_, statement) in self.statements.iter().rev() {
            if let Some(because) = statement.reverse.cannot() {
                return Undoing::None { because };
            }
            rendered.extend(statement.reverse.sql().map(str::to_owned));
            limits.extend(statement.reverse.limit());
        }
        Undoing::By { rendered, derived: true, limits: (!limits.is_empty()).then(|| limits.join("; ")) }
    }

    /// What the statements stand on, each once.
    pub fn tables(&self) -> Vec<String> {
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

/// The statements, one message each.
pub(super) async fn run(handle: &mut Handle, plan: &Plan) -> Result<Effect, Back> {
    for (sql, _) in &plan.statements {
        handle.run(sql.as_str(), vec![]).await?;
    }
    Ok(Effect::default())
}

/// What the catalog denies of the statements in the transaction that ran them: an `IF NOT EXISTS` passes over what is
/// there and something else, as an index that is not valid. Only what must be there by its name: a name that went may be
/// another schema's, too.
pub(super) async fn not_shown(handle: &mut Handle, plan: &Plan) -> Result<Option<String>, Back> {
    let standing = facts_of(plan);
    let guarded = plan.statements.iter().filter(|(sql, _)| sql.to_lowercase().contains("exists"));
    let facts: Vec<_> = guarded
        .flat_map(|(_, statement)| &statement.done)
        .filter(|fact| fact.is_there() && standing.contains(fact))
        .cloned()
        .collect();
    if facts.is_empty() {
        return Ok(None);
    }
    // A question that fails must not take the transaction along.
    handle.run("savepoint backout_shown", vec![]).await?;
    let found = schema::position_on(&facts, handle).await;
    handle.run("rollback to savepoint backout_shown", vec![]).await?;
    handle.run("release savepoint backout_shown", vec![]).await?;
    Ok(matches!(found.position, Position::NotDone | Position::HalfDone).then_some(found.because))
}

/// All facts that hold once every statement is applied, and not before.
pub fn facts_of(plan: &Plan) -> Vec<sql::Fact> {
    sql::together(plan.statements.iter().map(|(_, statement)| statement))
}
