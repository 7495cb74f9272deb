//! Who is connected, by application name.
//!
//! Never ends a session, and never says *none* where it cannot see.

use serde_json::Value;

use crate::runbook::template::as_text;
use crate::runbook::{Check, Scoped, Service};
use crate::sql::Dialect;
use crate::target::db::{Handle, Row};

use super::Context;
use super::sql::{Asked, NoAnswer};

/// Where SQLite stands in for a server, in a rehearsal, its clients say here that they are there.
const REGISTERED: &str = "backout_sessions";

/// A session of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub application_name: String,
    pub pid: String,
    /// When it began; on MySQL and MariaDB, who it is and where it came from.
    pub since: String,
    /// `active`, `idle in transaction` … ; empty where nobody tells.
    pub state: String,
}

impl Session {
    /// What makes it this one, in words.
    pub fn known(&self) -> String {
        if self.since.contains('@') { format!("that is {}", self.since) } else { format!("there since {}", self.since) }
    }
}

/// Whether `name` fits `glob`: `*` any text, `?` any one character.
pub fn fits(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    g = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// Every session of this database that is not ours.
///
/// # Errors
/// Unknown where the server does not tell.
pub async fn all(handle: &mut Handle) -> Asked<Vec<Session>> {
    let rows = match handle.dialect() {
        Some(Dialect::Postgres) => {
            // The name of others is readable by everyone; their state is not, and is left empty.
            handle
                .read(
                    "select coalesce(application_name, '') as application_name, pid::text as pid,
                     coalesce(backend_start::text, '') as since, coalesce(state, '') as state
                     from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                     and coalesce(application_name, '') not like 'backout/%' order by backend_start",
                    vec![],
                )
                .await?
        }
        Some(Dialect::Sqlite) => {
            let there = format!("select count(*) as n from sqlite_master where name = '{REGISTERED}'");
            if handle.one(there, vec![]).await?.and_then(|n| n.as_i64()) != Some(1) {
                return Err(NoAnswer::Unknown("SQLite has no sessions that could be asked for".to_owned()));
            }
            let sql = format!("select application_name, pid, since, '' as state from {REGISTERED} order by since");
            handle.read(sql, vec![]).await?
        }
        Some(Dialect::Mysql) => mysql(handle).await?,
        _ => return Err(NoAnswer::Unknown("sessions of this target cannot be asked for".to_owned())),
    };
    Ok(rows.iter().map(session).collect())
}

/// A connection names no program here: its user stands for it. When it came is not told, but from where.
async fn mysql(handle: &mut Handle) -> Asked<Vec<Row>> {
    if handle.one(crate::target::mysql::SEES_ALL, vec![]).await?.is_none_or(|sees| as_text(&sees) != "1") {
        let words = "cannot see other users' sessions: the user lacks PROCESS";
        return Err(NoAnswer::Unknown(words.to_owned()));
    }
    let sql = "select user as application_name, id as pid, concat(user, '@', host) as since, lower(command) as state
        from information_schema.processlist where db = database() and id <> connection_id() order by id";
    Ok(handle.read(sql, vec![]).await?)
}

fn session(row: &Row) -> Session {
    let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
    Session { application_name: text("application_name"), pid: text("pid"), since: text("since"), state: text("state") }
}

/// The sessions of one target that fit a glob.
pub async fn matching(target: &str, glob: &str, ctx: &Context) -> Asked<Vec<Session>> {
    let mut handle = ctx.targets.monitor(target).await?;
    let sessions = all(&mut handle).await?;
    Ok(sessions.into_iter().filter(|s| fits(glob, &s.application_name)).collect())
}

/// How many sessions fit, on the check's target, or on every SQL target where it names none.
pub async fn count_on(check: &Check, ctx: &Context, glob: &str) -> Asked<Value> {
    let mut n = 0;
    for target in targets(ctx, check.on.as_deref()) {
        n += matching(&target, glob, ctx).await?.len();
    }
    Ok(Value::from(n))
}

/// How many sessions of a service are connected; `None` where a target does not tell.
pub async fn connected(service: &Service, ctx: &Context) -> Option<u64> {
    of_service(&service.sessions, ctx).await.ok().map(|found| found.len() as u64)
}

/// The sessions that a service may have, by target.
pub async fn of_service(scopes: &[Scoped], ctx: &Context) -> Asked<Vec<(String, Session)>> {
    let mut found = Vec::new();
    for scope in scopes {
        for target in targets(ctx, scope.target.as_deref()) {
            for session in matching(&target, &scope.name, ctx).await? {
                found.push((target.clone(), session));
            }
        }
    }
    Ok(found)
}

fn targets(ctx: &Context, only: Option<&str>) -> Vec<String> {
    match only {
        Some(only) => vec![only.to_owned()],
        None => ctx
            .runbook
            .targets
            .values()
            .filter(|target| target.kind.dialect().is_some())
            .map(|target| target.name.clone())
            .collect(),
    }
}
