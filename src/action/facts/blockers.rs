//! Who holds, or waits for, a lock that keeps the statements waiting.
//!
//! Owns how each is said. Never lists a lock that does not conflict, and never says *nobody* of what it cannot see.

use super::lane::{Lane, lasting, number, text};
use super::touched::{By, Touched};
use super::{Line, Said, line, server};
use crate::action::LOCK_MS;
use crate::target::db::Row;
use crate::text::in_one_line;

/// What makes a session `a` this one, and its transaction the one that was shown.
pub const SINCE: &str = "a.backend_start::text || coalesce(', in a transaction since ' || a.xact_start::text, '')";
pub const IN_TX: &str = ", in a transaction since ";

/// A prepared transaction has no backend: what holds its locks holds the lock on its number, too. What a parallel worker
/// holds its leader holds. `ends`: whom the server lets end the session, where that is not our role.
const HOLDERS: &str = "with l as materialized (select * from pg_locks where locktype in ('relation', 'transactionid')),
    s as materialized (select * from pg_stat_activity)
    select l.relation::bigint as relation, coalesce(w.leader_pid, l.pid) as pid, l.mode, l.granted,
      coalesce(nullif(a.application_name, ''), 'no name') as app, a.usename as usr, a.state, a.backend_type as kind,
      {since} as since, left(a.query, 200) as query,
      extract(epoch from clock_timestamp() - a.xact_start)::bigint as age,
      (extract(epoch from current_setting('deadlock_timeout')::interval) * 1000)::bigint as patience,
      case when me.rolsuper then null when a.usesysid is null or r.rolsuper then 'superuser'
        when not pg_has_role(a.usesysid, 'usage') and not pg_has_role('pg_signal_backend', 'usage') then 'right' end as ends,
      p.gid, p.owner, extract(epoch from clock_timestamp() - p.prepared)::bigint as prepared
    from l left join s w on w.pid = l.pid left join s a on a.pid = coalesce(w.leader_pid, l.pid)
    left join pg_roles me on me.rolname = current_user left join pg_roles r on r.oid = a.usesysid
    left join l x on l.pid is null and x.pid is null and x.locktype = 'transactionid' and x.mode = 'ExclusiveLock'
      and x.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts p on p.transaction = x.transactionid
    where l.locktype = 'relation' and l.relation = any($1::text::oid[]) and l.pid is distinct from pg_backend_pid()
      and l.database = (select oid from pg_database where datname = current_database())
      and a.application_name is distinct from $2::text
    order by l.granted desc, coalesce(a.xact_start, p.prepared), l.pid";

/// `own`: the name of the connections that the gate itself asks on.
pub async fn holders(
    lane: &mut Lane,
    touched: &[Touched],
    oids: &str,
    own: &str,
    sees: bool,
) -> (Vec<Line>, Vec<(String, String)>) {
    if touched.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let rows = match lane.ask(&HOLDERS.replace("{since}", SINCE), &[oids, own]).await {
        Ok(rows) => rows,
        Err(words) => return (vec![line("in way", format!("! cannot see who: {words}"))], Vec::new()),
    };
    let mut said: Vec<Said> = Vec::new();
    let mut sessions = Vec::new();
    for row in &rows {
        let Some(on) = touched.iter().find(|one| Some(one.oid) == number(row, "relation")) else { continue };
        if !on.locks.iter().any(|lock| lock.waits_for(&text(row, "mode"))) {
            continue;
        }
        // One session is one blocker, however many locks it holds.
        let who = format!("{}{}", text(row, "pid"), text(row, "gid"));
        if !said.iter().any(|other| other.who == who) {
            let short = format!("{} {who}", text(row, "app"));
            said.push(Said { who, short, words: words(row, &on.name, sees) });
            let (pid, since) = (text(row, "pid"), text(row, "since"));
            if !pid.is_empty() && !since.is_empty() {
                sessions.push((pid, since));
            }
        }
    }
    if said.is_empty() {
        let names = names(touched);
        let words = match sees {
            true => format!("nobody holds a conflicting lock on {names} now"),
            false => format!("cannot see other sessions; pg_locks lists no conflicting lock on {names}"),
        };
        return (vec![line("in way", words)], Vec::new());
    }
    (super::in_the_way(said), sessions)
}

/// `orders, payments and 12 below them`.
fn names(touched: &[Touched]) -> String {
    let by_descent = |one: &&Touched| one.by == By::Descent;
    let names: Vec<&str> = touched.iter().filter(|one| !by_descent(one)).map(|one| one.name.as_str()).collect();
    match touched.iter().filter(by_descent).count() {
        0 => names.join(", "),
        below => format!("{} and {below} below", names.join(", ")),
    }
}

/// What an autovacuum does for whoever waits for it; `patience`: after how many milliseconds the server looks for that.
pub fn autovacuum(query: &str, patience: Option<i64>) -> String {
    let wait = i64::try_from(LOCK_MS).unwrap_or(i64::MAX);
    match patience.filter(|patience| *patience >= wait) {
        _ if query.contains("to prevent wraparound") => "it is to prevent wraparound and does NOT give way".to_owned(),
        Some(patience) => format!(
            "it gives way to who waits for {patience} ms (deadlock_timeout), a step waits for {wait}: it does NOT give way; \
             a superuser may end it, or say ALTER ROLE … SET deadlock_timeout = '1s' for this role"
        ),
        None => "it gives way by itself once it is waited for".to_owned(),
    }
}

fn words(row: &Row, on: &str, sees: bool) -> String {
    let lock = server::mode(&text(row, "mode"), row.get("granted").is_none_or(|granted| granted == true));
    let gid = text(row, "gid");
    if !gid.is_empty() {
        let (owner, age) = (text(row, "owner"), number(row, "prepared").map(lasting).unwrap_or_default());
        let literal = gid.replace('\'', "''");
        return format!(
            "! prepared transaction '{literal}' of {owner}, for {age}, {lock} on {on}: no session holds it, so none can be \
             ended; its owner says ROLLBACK PREPARED '{literal}' or COMMIT PREPARED '{literal}' in this database"
        );
    }
    let (app, pid) = (text(row, "app"), text(row, "pid"));
    if pid.is_empty() {
        return format!("! a transaction without a session {lock} on {on}: see pg_prepared_xacts");
    }
    let age = number(row, "age").map(|age| format!(" for {}", lasting(age))).unwrap_or_default();
    let query = in_one_line(&text(row, "query"));
    let kind = text(row, "kind");
    if kind == "autovacuum worker" {
        let way = autovacuum(query.as_str(), number(row, "patience"));
        return format!("! autovacuum, pid {pid}{age}, {lock} on {on}: {way}");
    }
    let ends = match text(row, "ends").as_str() {
        "superuser" => "; only a superuser may end it",
        "right" => "; this role may not end it: it lacks pg_signal_backend",
        _ => "",
    };
    let usr = text(row, "usr");
    let kind = if kind.is_empty() || kind == "client backend" { String::new() } else { format!(", {kind}") };
    let who = format!("! {app}, pid {pid}{kind}{}", if usr.is_empty() { String::new() } else { format!(" ({usr})") });
    let state = text(row, "state");
    if !sees && state.is_empty() {
        return format!("{who}, {lock} on {on}; cannot see for how long or what it does{ends}");
    }
    let state = match state.as_str() {
        "" => String::new(),
        "disabled" => ", what it does is not tracked".to_owned(),
        state => format!(", {state}"),
    };
    let query = query.cap(80);
    let query = if query == "" { String::new() } else { format!(": {query}") };
    format!("{who}{state}{age}, {lock} on {on}{ends}{query}")
}
