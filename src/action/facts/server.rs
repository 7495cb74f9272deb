//! What goes on around the touched objects: the oldest transaction, standbys, slots.

use super::lane::{Lane, lasting, number, text};
use super::{Line, line};
use crate::sql::Lock;
use crate::target::db::Row;
use crate::text::counted;

/// A younger transaction is daily business, unless the statement waits for every transaction to end.
const OLD_SECONDS: i64 = 60;

/// The oldest transaction of a session, and the oldest that was prepared and left. What is not tracked has no start.
const OLDEST: &str = "(select coalesce(nullif(application_name, ''), 'no name') as app, pid, usename as usr, state,
      extract(epoch from clock_timestamp() - xact_start)::bigint as age, null as gid, 0 as untold
    from pg_stat_activity
    where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
      and application_name is distinct from $1::text
    order by xact_start limit 1)
    union all (select null, null, owner, null, extract(epoch from clock_timestamp() - prepared)::bigint, gid, 0
    from pg_prepared_xacts where database = current_database() order by prepared limit 1)
    union all (select null, null, null, null, null, null, count(*) from pg_stat_activity
    where datname = current_database() and state = 'disabled' having count(*) > 0)";

/// The oldest transactions of the database: an index that is built concurrently waits for them. `own`: the name of the
/// connections that the gate itself asks on.
pub async fn oldest(lane: &mut Lane, transactional: bool, own: &str, sees: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    if !sees {
        let words = "cannot see other sessions' states, transactions and queries: the role lacks pg_read_all_stats";
        lines.push(line("sessions", words));
    }
    let rows = match lane.ask(OLDEST, &[own]).await {
        Ok(rows) => rows,
        Err(words) => {
            lines.push(line("oldest", format!("transaction cannot be seen: {words}")));
            return lines;
        }
    };
    for row in &rows {
        let untold = number(row, "untold").unwrap_or(0);
        if untold > 0 {
            let words =
                format!("cannot see the transactions of {}: track_activities is off", counted(untold, "session"));
            lines.push(line("sessions", words));
        }
        let Some(age) = number(row, "age").filter(|age| !transactional || *age >= OLD_SECONDS) else { continue };
        let (age, usr, gid) = (lasting(age), text(row, "usr"), text(row, "gid"));
        if gid.is_empty() {
            let (app, pid, state) = (text(row, "app"), text(row, "pid"), text(row, "state"));
            lines.push(line("oldest", format!("transaction of {app}, pid {pid} ({usr}), {state}: for {age}")));
        } else {
            let gid = gid.replace('\'', "''");
            let words = format!("! transaction '{gid}' of {usr}, for {age}: no session holds it, its owner ends it");
            lines.push(line("prepared", words));
        }
    }
    lines
}

const STANDBYS: &str = "select coalesce(nullif(application_name, ''), 'standby') as name, state, sync_state as sync,
      extract(epoch from replay_lag)::bigint as behind,
      pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, write_lsn))) as bytes
    from pg_stat_replication order by 1, pid";

const SLOTS: &str = "select slot_name as name, slot_type as kind, active, wal_status as wal,
      pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) as bytes
    from pg_replication_slots where not active or wal_status is distinct from 'reserved' order by 1";

/// Standbys, and the slots that are not as they should be.
pub async fn replication(lane: &mut Lane, sees: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    match lane.ask(STANDBYS, &[]).await {
        Ok(rows) => lines.extend(rows.iter().map(|row| line("standby", standby(row, sees)))),
        Err(words) => lines.push(line("standby", format!("cannot be seen: {words}"))),
    }
    match lane.ask(SLOTS, &[]).await {
        Ok(rows) => lines.extend(rows.iter().map(|row| {
            let active = if row.get("active").is_some_and(|active| active == true) { "active" } else { "! inactive" };
            let (wal, bytes) = (or(text(row, "wal"), "nothing"), or(text(row, "bytes"), "no WAL"));
            line("slot", format!("{} ({}) {active}, WAL {wal}, holds {bytes}", text(row, "name"), text(row, "kind")))
        })),
        Err(words) => lines.push(line("slot", format!("cannot be seen: {words}"))),
    }
    lines
}

fn standby(row: &Row, sees: bool) -> String {
    let name = text(row, "name");
    if !sees {
        return format!("{name}: cannot see how far behind: the role lacks pg_read_all_stats");
    }
    let behind = number(row, "behind").map(|behind| format!(", {} behind", lasting(behind))).unwrap_or_default();
    let bytes = or(text(row, "bytes"), "an unknown amount");
    format!("{name}: {}, {}, {bytes} to replay{behind}", text(row, "state"), text(row, "sync"))
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// `ACCESS SHARE`, `waits for EXCLUSIVE`.
pub fn mode(mode: &str, granted: bool) -> String {
    let name = Lock::manual_name(mode);
    if granted { format!("holds {name}") } else { format!("waits for {name}") }
}
