//! A probe: statements that the old code would send, prepared or tried, and always taken back.

use serde_json::Value;

use super::walls::{Scratch, Where};
use super::{Asked, NoAnswer, one_rendered, plain, unknown};
use crate::check::{Depth, Names};
use crate::runbook::template::{RenderedSql, SqlText};
use crate::sql::{self, Class, Dialect};
use crate::target::db::{Handle, SqlError};

/// What a probe found.
pub async fn probe(
    handle: &mut Handle,
    place: Where,
    statements: &[SqlText],
    role: Option<&str>,
    depth: Depth,
    names: &Names<'_>,
) -> Asked<Value> {
    let Some(dialect) = handle.dialect() else { return unknown("this target is not a database") };
    let mut texts = Vec::new();
    for text in statements {
        let sql = one_rendered(text, dialect, names, None)?;
        let class = sql::parse_one(dialect, &sql.sql).map_err(|refused| NoAnswer::Unknown(refused.to_string()))?.class;
        if !matches!(class, Class::Read | Class::Write) {
            return unknown(format!("a probe reads and writes rows, and this {class}"));
        }
        texts.push((sql, class));
    }
    let role = match role {
        Some(role) => Some(sql::quote_ident(dialect, role).map_err(|e| NoAnswer::Unknown(e.to_string()))?),
        None => None,
    };
    let busy_before = place == Where::Inside;
    handle.set_busy(true);
    let found = match depth {
        // Where a statement on the schema commits by itself there is no step's transaction to try one in.
        _ if dialect == Dialect::Mysql => parse_only(handle, place, &texts, role).await,
        Depth::Parse => parse_only(handle, place, &texts, role).await,
        Depth::Try => tried(handle, place, &texts, role).await,
    };
    handle.set_busy(busy_before);
    found
}

async fn parse_only(
    handle: &mut Handle,
    place: Where,
    texts: &[(RenderedSql, Class)],
    role: Option<String>,
) -> Asked<Value> {
    if handle.dialect() != Some(Dialect::Postgres) {
        for (sql, _) in texts {
            handle.parse(&sql.sql).await?;
        }
        return Ok(Value::from("prepared"));
    }
    let scratch = Scratch::open(handle, place, "begin read only").await?;
    let found = async {
        limited(handle, &[("lock_timeout", 100)], role).await?;
        for (sql, _) in texts {
            handle.parse(&sql.sql).await?;
        }
        Ok::<_, SqlError>(Value::from("prepared"))
    }
    .await;
    scratch.close(handle, found).await
}

async fn tried(
    handle: &mut Handle,
    place: Where,
    texts: &[(RenderedSql, Class)],
    role: Option<String>,
) -> Asked<Value> {
    let postgres = handle.dialect() == Some(Dialect::Postgres);
    let scratch = Scratch::open(handle, place, if postgres { "begin" } else { "begin immediate" }).await?;
    let found = async {
        if postgres {
            limited(handle, &[("lock_timeout", 200), ("statement_timeout", 2_000)], role).await?;
        }
        let mut last = Value::Null;
        for (sql, class) in texts {
            last = match class {
                Class::Read => {
                    let row = handle.rows(sql, Some(1)).await?.into_iter().next();
                    row.and_then(|row| row.into_iter().next()).map_or(Value::Null, |(_, value)| plain(value))
                }
                _ => Value::from(handle.execute(sql).await?),
            };
        }
        Ok::<_, SqlError>(last)
    }
    .await;
    scratch.close(handle, found).await
}

/// Time limits in milliseconds, and the role, for as long as the scratch lasts.
async fn limited(handle: &mut Handle, limits: &[(&str, u32)], role: Option<String>) -> Result<(), SqlError> {
    for (name, ms) in limits {
        handle.run(format!("set local {name} = {ms}"), vec![]).await?;
    }
    if let Some(role) = role {
        handle.run(format!("set local role {role}"), vec![]).await?;
    }
    Ok(())
}
