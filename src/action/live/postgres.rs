//! PostgreSQL: the worker's backend by its process id and start, its blockers, its queue, its progress.

use serde_json::{Value, json};

use super::{Blocker, Progress, Queued, Sight};
use crate::action::facts::blockers::{SINCE, autovacuum};
use crate::action::facts::lane::{Lane, number, text};
use crate::target::db::Row;
use crate::text::in_one_line;

const OWN: &str = "select a.state, a.wait_event_type as kind, a.wait_event as event,
      extract(epoch from clock_timestamp() - a.query_start)::bigint as runs
    from pg_stat_activity a where a.pid = $1::text::int and a.backend_start = $2::text::timestamptz";

/// `{who}` gives process ids, each with the start that it must have, or none. A lock of a prepared transaction is held
/// by number 0.
const BLOCKERS: &str = "select nullif(b.pid, 0)::text as pid, {since} as since,
      coalesce(nullif(a.application_name, ''), 'no name') as app, a.usename as usr, a.state, a.backend_type as kind,
      extract(epoch from clock_timestamp() - a.xact_start)::bigint as age, left(a.query, 200) as query,
      (extract(epoch from current_setting('deadlock_timeout')::interval) * 1000)::bigint as patience,
      exists (select from pg_locks l where l.pid = b.pid and not l.granted) as waits,
      case b.pid when 0 then (select string_agg(gid, ', ' order by prepared) from pg_prepared_xacts
        where database = current_database()) end as gids
    from ({who}) b left join pg_stat_activity a on a.pid = b.pid
    where b.pid = 0 or (a.pid is not null and (b.since is null or {since} is not distinct from b.since))
    order by a.xact_start, b.pid";

const IN_THE_WAY: &str = "select distinct unnest(pg_blocking_pids($1::text::int)) as pid, null as since";

/// Those that were in the way a moment ago and have not ended their transaction.
const WERE: &str = "select r.pid, r.since from jsonb_to_recordset($1::text::jsonb) as r(pid int, since text)
    join pg_stat_activity w on w.pid = r.pid where w.xact_start is not null or w.backend_start is null";

/// Before version 14 nobody says since when a lock is waited for.
const QUEUE: &str = "select l.pid::text as pid, coalesce(nullif(a.application_name, ''), 'no name') as app,
      extract(epoch from clock_timestamp()
        - coalesce(min((to_jsonb(l) ->> 'waitstart')::timestamptz), a.query_start))::bigint as stalled
    from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where not l.granted and coalesce(a.application_name, '') not like 'backout/%' and l.pid <> $1::text::int and $1::text::int = any (pg_blocking_pids(l.pid))
    group by l.pid, a.application_name, a.query_start order by 3 desc nulls last, 1";

const VIEWS: &str = "select relname as name from pg_class where relnamespace = 'pg_catalog'::regnamespace
      and relkind = 'v' and relname like 'pg\\_stat\\_progress\\_%' order by 1";

pub struct Eye {
    pid: String,
    since: String,
    /// One question for all progress views of this server, once it is known which there are.
    progress: Option<String>,
    were: Vec<(String, String)>,
}

impl Eye {
    pub fn new(pid: String, since: String) -> Self {
        Self { pid, since, progress: None, were: Vec::new() }
    }

    pub async fn read(&mut self, lane: &mut Lane) -> Result<Sight, String> {
        let (pid, since) = (self.pid.as_str(), self.since.as_str());
        let rows = lane.ask(OWN, &[pid, since]).await?;
        let Some(own) = rows.first() else {
            return Ok(Sight::blind(format!("its server process, pid {pid}, is not there any more")));
        };
        let state = text(own, "state");
        // Where nobody tracks what a session does, what it waits for is told all the same.
        let active = matches!(state.as_str(), "active" | "disabled");
        let waits_for = Some(format!("{} {}", text(own, "kind"), text(own, "event")));
        let waits_for = waits_for.filter(|_| active && !text(own, "kind").is_empty());
        let locked = waits_for.as_ref().is_some_and(|what| what.starts_with("Lock "));
        let blockers = if locked {
            lane.ask(&blockers(IN_THE_WAY), &[pid]).await?
        } else if !active && !self.were.is_empty() {
            let were: Vec<_> = self.were.iter().map(|(pid, since)| json!({ "pid": pid, "since": since })).collect();
            lane.ask(&blockers(WERE), &[&json!(were).to_string()]).await?
        } else {
            Vec::new()
        };
        let blockers: Vec<Blocker> = blockers.iter().map(blocker).collect();
        self.were = blockers
            .iter()
            .filter(|blocker| !blocker.pid.is_empty())
            .map(|blocker| (blocker.pid.clone(), blocker.since.clone()))
            .collect();
        let queue = lane.ask(QUEUE, &[pid]).await?.iter().map(Queued::of).collect();
        let views = match &self.progress {
            Some(views) => views,
            None => self.progress.insert(all_of(&lane.ask(VIEWS, &[]).await?)),
        };
        let progress = if views.is_empty() { Vec::new() } else { lane.ask(views, &[pid]).await? };
        let progress = progress.iter().filter_map(progressed).collect();
        let cannot = blockers
            .iter()
            .any(|blocker| !blocker.pid.is_empty() && blocker.since.is_empty())
            .then_some("cannot see other sessions' states, transactions and queries: the role lacks pg_read_all_stats");
        let cannot = cannot.map(str::to_owned);
        Ok(Sight { state, runs: number(own, "runs"), waits_for, blockers, queue, progress, cannot })
    }
}

fn blockers(who: &str) -> String {
    BLOCKERS.replace("{since}", SINCE).replace("{who}", who)
}

fn blocker(row: &Row) -> Blocker {
    let pid = text(row, "pid");
    let query = in_one_line(&text(row, "query")).into_string();
    let seen = !text(row, "since").is_empty();
    let note = if pid.is_empty() {
        let gids = text(row, "gids");
        let gids = if gids.is_empty() { "of another database".to_owned() } else { format!("one of {gids}") };
        Some(format!(
            "a prepared transaction ({gids}): no session holds it, so none can be ended; its owner says ROLLBACK PREPARED"
        ))
    } else if text(row, "kind") == "autovacuum worker" {
        Some(format!("autovacuum: {}", autovacuum(&query, number(row, "patience"))))
    } else {
        None
    };
    Blocker {
        pid,
        since: text(row, "since"),
        app: text(row, "app"),
        user: text(row, "usr"),
        state: if seen { text(row, "state") } else { String::new() },
        age: number(row, "age"),
        query: if seen { query.chars().take(80).collect() } else { String::new() },
        waits: row.get("waits") == Some(&Value::Bool(true)),
        note,
    }
}

/// Every view has a process id; whatever else it has comes as one object, so that no version matters.
fn all_of(views: &[Row]) -> String {
    let one = |row: &Row| {
        let view = text(row, "name");
        let what = view.trim_start_matches("pg_stat_progress_").replace('_', " ");
        format!("select '{what}' as what, to_jsonb(p) as told from {view} p where p.pid = $1::text::int")
    };
    views.iter().map(one).collect::<Vec<_>>().join(" union all ")
}

/// Done, total and their unit, the most telling first. What was counted in an earlier phase may still stand there.
const COUNTS: [(&str, &str, &str); 9] = [
    ("blocks_done", "blocks_total", "blocks"),
    ("heap_blks_scanned", "heap_blks_total", "blocks"),
    ("sample_blks_scanned", "sample_blks_total", "blocks"),
    ("bytes_processed", "bytes_total", "bytes"),
    ("backup_streamed", "backup_total", "bytes"),
    ("tuples_done", "tuples_total", "rows"),
    ("tuples_processed", "tuples_total", "rows"),
    ("partitions_done", "partitions_total", "partitions"),
    ("child_tables_done", "child_tables_total", "tables"),
];
const LOCKERS: (&str, &str, &str) = ("lockers_done", "lockers_total", "transactions waited for");

fn progressed(row: &Row) -> Option<Progress> {
    let told = row.get("told")?.as_object()?;
    let phase = text(told, "phase");
    let counted = |(done, of, unit): &(&str, &str, &'static str)| {
        let total = number(told, of).filter(|total| *total > 0)?;
        Some(((number(told, done)?, total), *unit))
    };
    let found = match phase.starts_with("waiting") {
        true => counted(&LOCKERS),
        false => COUNTS.iter().find_map(counted),
    };
    let (done, unit) = found.map_or((None, ""), |(done, unit)| (Some(done), unit));
    Some(Progress { what: text(row, "what"), phase, done, unit })
}
