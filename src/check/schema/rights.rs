//! Who may do what: rights as the server itself judges them, with every role that one is a member of.

use serde_json::Value;

use crate::check::Answer;
use crate::check::sql::{Asked, NoAnswer};
use crate::runbook::Grant;
use crate::runbook::expect::Verdict;
use crate::sql::Dialect;
use crate::target::db::{Handle, text_bind};

use super::{postgres::quoted, there};

/// Passes when every role has its right, or has it not, as wanted; the words name those that do not fit.
pub async fn judged(grants: &[Grant], handle: &mut Handle) -> Answer {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Answer::unknown("this target does not tell who has which right");
    }
    let mut red = Vec::new();
    for grant in grants {
        match held(grant, handle).await {
            Ok(Held::Yes) if grant.present => {}
            Ok(Held::No(_)) if !grant.present => {}
            Ok(Held::Yes) => red.push(Grant { present: true, ..grant.clone() }.to_string()),
            Ok(Held::No(because)) => red.push(because),
            Err(none) => return Answer::unknown(format!("{}: {}", grant, none.words())),
        }
    }
    Answer {
        verdict: if red.is_empty() { Verdict::Pass } else { Verdict::Fail },
        value: Some(Value::Bool(red.is_empty())),
        words: (!red.is_empty()).then(|| red.join("; ")),
        took_ms: 0,
    }
}

enum Held {
    Yes,
    No(String),
}

async fn held(grant: &Grant, handle: &mut Handle) -> Asked<Held> {
    let Grant { right, object, role, .. } = grant;
    if role != "public" && !there(handle, "select 1 from pg_roles where rolname = $1::text", &[role]).await? {
        return Ok(Held::No(format!("there is no role {role}")));
    }
    let regclass = "select 1 where to_regclass($1::text) is not null";
    let column = object.rsplit_once('.');
    let (sql, binds) = if object.ends_with(')') {
        if !there(handle, "select 1 where to_regprocedure($1::text) is not null", &[object]).await? {
            return Ok(Held::No(format!("there is no function {object}")));
        }
        ("select has_function_privilege($1::text, $2::text, $3::text)", vec![role.clone(), object.clone(), right.clone()])
    } else if let Some(schema) = object.strip_prefix("schema ") {
        if !there(handle, "select 1 from pg_namespace where nspname = $1::text", &[schema]).await? {
            return Ok(Held::No(format!("there is no {object}")));
        }
        ("select has_schema_privilege($1::text, $2::text, $3::text)", vec![role.clone(), schema.to_owned(), right.clone()])
    } else if there(handle, regclass, &[&quoted(object)]).await? {
        ("select has_table_privilege($1::text, $2::text, $3::text)", vec![role.clone(), quoted(object), right.clone()])
    } else if let Some((table, column)) = column
        && there(
            handle,
            "select 1 from pg_attribute where attrelid = to_regclass($1::text) and attname = $2::text and not attisdropped",
            &[&quoted(table), column],
        )
        .await?
    {
        let binds = vec![role.clone(), quoted(table), column.to_owned(), right.clone()];
        ("select has_column_privilege($1::text, $2::text, $3::text, $4::text)", binds)
    } else {
        return Ok(Held::No(format!("{object} is not there")));
    };
    match handle.one(sql, binds.into_iter().map(text_bind).collect()).await? {
        Some(Value::Bool(true)) => Ok(Held::Yes),
        Some(Value::Bool(false)) => Ok(Held::No(Grant { present: false, ..grant.clone() }.to_string())),
        _ => Err(NoAnswer::Unknown("the server did not say".to_owned())),
    }
}
