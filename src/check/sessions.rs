//! Who is connected, by application name.
//!
//! Never ends a session, and never says *none* where it cannot see.

use std::time::Duration;

use serde_json::Value;

use crate::runbook::template::as_text;
use crate::runbook::{Check, Scoped, Service};
use crate::sql::Dialect;
use crate::target::db::{Handle, Row, text_bind};

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
            registered(handle).await?;
            let sql = format!("select application_name, pid, since, '' as state from {REGISTERED} order by since");
            handle.read(sql, vec![]).await?
        }
        Some(Dialect::Mysql) => mysql(handle).await?,
        _ => return Err(NoAnswer::Unknown("sessions of this target cannot be asked for".to_owned())),
    };
    Ok(rows.iter().map(session).collect())
}

async fn registered(handle: &mut Handle) -> Asked<()> {
    let there = format!("select count(*) as n from sqlite_master where name = '{REGISTERED}'");
    match handle.one(there, vec![]).await?.and_then(|n| n.as_i64()) {
        Some(1) => Ok(()),
        _ => Err(NoAnswer::Unknown("SQLite has no sessions that could be asked for".to_owned())),
    }
}

/// A connection names no program here: its user stands for it. When it came is not told, but from where.
async fn mysql(handle: &mut Handle) -> Asked<Vec<Row>> {
    if handle.one(crate::target::mysql::SEES_ALL, vec![]).await?.is_none_or(|sees| as_text(&sees) != "1") {
        let words = "cannot see other users' sessions: the user lacks PROCESS";
        return Err(NoAnswer::Unknown(words.to_owned()));
    }
    let Handle::Mysql(connection) = &*handle else { return Ok(Vec::new()) };
    let known_by = connection.known_by();
    let sql = format!(
        "select p.user as application_name, p.id as pid, {known_by} as since, lower(p.command) as state
         from information_schema.processlist p where p.db = database() and p.id <> connection_id() order by p.id"
    );
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

/// Up to when a session must have begun to count as older.
pub enum Bound {
    /// By the server's own clock.
    At(String),
    /// So long ago.
    Ago(Duration),
}

/// The sessions of other clients that began before then and whose application name fits.
///
/// # Errors
/// Unknown where the server does not tell since when a session is there.
pub async fn older(handle: &mut Handle, bound: &Bound, fits: impl Fn(&str) -> bool) -> Asked<Vec<Session>> {
    let (at, ago) = match bound {
        Bound::At(at) => (at.clone(), 0.0),
        Bound::Ago(ago) => (String::new(), ago.as_secs_f64()),
    };
    let binds = vec![text_bind(at), text_bind(ago.to_string())];
    let rows = match handle.dialect() {
        Some(Dialect::Postgres) => handle.read(OLDER, binds).await?,
        Some(Dialect::Sqlite) => {
            let sql = format!(
                "select application_name, pid, since, '' as state from {REGISTERED}
                 where julianday(since) < coalesce(julianday(nullif($1, '')), julianday('now') - $2 / 86400.0)"
            );
            registered(handle).await?;
            handle.read(sql, binds).await?
        }
        _ => return Err(NoAnswer::Unknown("this server does not tell since when a session is there".to_owned())),
    };
    let sessions: Vec<_> = rows.iter().map(session).filter(|session| fits(&session.application_name)).collect();
    match sessions.iter().filter(|session| session.since.is_empty()).count() {
        0 => Ok(sessions),
        n => Err(NoAnswer::Unknown(format!(
            "cannot see since when {} there: the role lacks pg_read_all_stats",
            if n == 1 { "1 session is".to_owned() } else { format!("{n} sessions are") }
        ))),
    }
}

/// Whose start is not told is listed too, and has none.
const OLDER: &str = "select coalesce(application_name, '') as application_name, pid::text as pid,
      coalesce(backend_start::text, '') as since, coalesce(state, '') as state
    from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
      and coalesce(backend_type, 'client backend') = 'client backend'
      and coalesce(application_name, '') not like 'backout/%'
      and (backend_start is null or backend_start < coalesce(nullif($1::text, '')::timestamptz,
        clock_timestamp() - make_interval(secs => $2::text::float8)))
    order by backend_start";

/// How many sessions that fit began before a step took effect.
pub async fn count_older(check: &Check, ctx: &Context, glob: &str, step: &str) -> Asked<Value> {
    let took = match ctx.took.get(step) {
        Some(Some(took)) => took,
        // Nothing was changed: no session is older than that.
        Some(None) => return Ok(Value::from(0)),
        None => return Err(NoAnswer::Unknown(format!("{step} is not done yet"))),
    };
    let mut n = 0;
    for target in targets(ctx, check.on.as_deref()) {
        // Another server has another clock.
        let bound = match &took.committed {
            Some((on, at)) if *on == target => Bound::At(at.clone()),
            _ => Bound::Ago(took.ago),
        };
        let mut handle = ctx.targets.monitor(&target).await?;
        n += older(&mut handle, &bound, |app| fits(glob, app)).await?.len();
    }
    Ok(Value::from(n))
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
