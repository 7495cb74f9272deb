//! Who holds, or waits for, a lock that keeps the statements waiting.
//!
//! Owns how each is said. Never lists a lock that does not conflict, and never says *nobody* of what it cannot see.

use super::lane::{Lane, lasting, number, text};
use super::postgres::Touched;
use super::{Line, line, server};
use crate::target::db::Row;
use crate::text::in_one_line;

/// On a gate; the rest is counted.
const SHOWN: usize = 4;

/// A prepared transaction has no backend: what holds its locks holds the lock on its number, too.
const HOLDERS: &str = "with l as materialized (select * from pg_locks where locktype in ('relation', 'transactionid'))
    select l.relation::bigint as relation, l.pid, l.mode, l.granted,
      coalesce(nullif(a.application_name, ''), 'no name') as app, a.usename as usr, a.state, a.backend_type as kind,
      a.backend_start::text as since, left(a.query, 200) as query,
      extract(epoch from clock_timestamp() - a.xact_start)::bigint as age,
      p.gid, p.owner, extract(epoch from clock_timestamp() - p.prepared)::bigint as prepared
    from l left join pg_stat_activity a on a.pid = l.pid
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
    let names: Vec<&str> = touched.iter().map(|one| one.name.as_str()).collect();
    if names.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let rows = match lane.ask(HOLDERS, &[oids, own]).await {
        Ok(rows) => rows,
        Err(words) => return (vec![line("in way", format!("! cannot see who: {words}"))], Vec::new()),
    };
    let mut said: Vec<(String, String)> = Vec::new();
    let mut sessions = Vec::new();
    for row in &rows {
        let Some(on) = touched.iter().find(|one| Some(one.oid) == number(row, "relation")) else { continue };
        if !on.locks.iter().any(|lock| lock.waits_for(&text(row, "mode"))) {
            continue;
        }
        // One session is one blocker, however many locks it holds.
        let who = format!("{}{}", text(row, "pid"), text(row, "gid"));
        if !said.iter().any(|(other, _)| *other == who) {
            said.push((who, words(row, &on.name, sees)));
            let (pid, since) = (text(row, "pid"), text(row, "since"));
            if !pid.is_empty() && !since.is_empty() {
                sessions.push((pid, since));
            }
        }
    }
    if said.is_empty() {
        let names = names.join(", ");
        let words = match sees {
            true => format!("nobody holds a conflicting lock on {names} now"),
            false => format!("cannot see other sessions; pg_locks lists no conflicting lock on {names}"),
        };
        return (vec![line("in way", words)], Vec::new());
    }
    let more = said.len().saturating_sub(SHOWN);
    let mut lines: Vec<Line> = said.into_iter().take(SHOWN).map(|(_, words)| line("in way", words)).collect();
    if more > 0 {
        lines.push(line("in way", format!("! and {more} more")));
    }
    (lines, sessions)
}

fn words(row: &Row, on: &str, sees: bool) -> String {
    let lock = server::mode(&text(row, "mode"), row.get("granted").is_none_or(|granted| granted == true));
    let gid = text(row, "gid");
    if !gid.is_empty() {
        let (owner, age) = (text(row, "owner"), number(row, "prepared").map(lasting).unwrap_or_default());
        return format!(
            "! prepared transaction '{gid}' of {owner}, for {age}, {lock} on {on}: no session holds it, so none can be ended; \
             its owner says ROLLBACK PREPARED '{gid}' or COMMIT PREPARED '{gid}' in this database"
        );
    }
    let (app, pid) = (text(row, "app"), text(row, "pid"));
    if pid.is_empty() {
        return format!("! a transaction without a session {lock} on {on}: see pg_prepared_xacts");
    }
    let age = number(row, "age").map(|age| format!(" for {}", lasting(age))).unwrap_or_default();
    let query = in_one_line(&text(row, "query")).into_string();
    if text(row, "kind") == "autovacuum worker" {
        let way = match query.contains("to prevent wraparound") {
            true => "it is to prevent wraparound and does NOT give way",
            false => "it gives way by itself once it is waited for",
        };
        return format!("! autovacuum, pid {pid}{age}, {lock} on {on}: {way}");
    }
    if !sees && text(row, "state").is_empty() {
        return format!(
            "! {app}, pid {pid} ({}), {lock} on {on}; cannot see for how long or what it does",
            text(row, "usr")
        );
    }
    let query: String = query.chars().take(80).collect();
    format!("! {app}, pid {pid} ({}), {}{age}, {lock} on {on}: {query}", text(row, "usr"), text(row, "state"))
}
