//! MySQL and MariaDB: the worker's connection in the process list, and who may hold the lock that it waits for.
//!
//! Only the performance schema knows who holds a metadata lock; where it does not tell, every open transaction may.

use super::{Blocker, Progress, Queued, Sight};
use crate::action::facts::lane::{Lane, number, text};
use crate::check::Context;
use crate::target::db::Row;
use crate::target::mysql::SEES_ALL;
use crate::text::in_one_line;

const OWN: &str = "select command as state, coalesce(state, '') as doing, time as runs
    from information_schema.processlist where id = $1";

/// MariaDB tells how far an ALTER is; MySQL has no such columns.
const STAGE: &str = "select stage, max_stage, cast(progress as signed) as percent
    from information_schema.processlist where id = $1 and max_stage > 0";

const HOLDERS: &str =
    "select p.id as pid, p.user as usr, concat(p.user, '@', p.host) as came, lower(p.command) as state,
      left(coalesce(p.info, ''), 200) as query, timestampdiff(second, t.trx_started, now()) as age
    from performance_schema.threads me
    join performance_schema.metadata_locks w on w.owner_thread_id = me.thread_id and w.lock_status = 'PENDING'
    join performance_schema.metadata_locks h on h.lock_status = 'GRANTED' and h.owner_thread_id <> w.owner_thread_id
      and h.object_type = w.object_type and h.object_schema = w.object_schema and h.object_name = w.object_name
    join performance_schema.threads o on o.thread_id = h.owner_thread_id
    join information_schema.processlist p on p.id = o.processlist_id
    left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id
    where me.processlist_id = $1 group by 1, 2, 3, 4, 5, 6 order by 1";

const OPEN: &str = "select p.id as pid, p.user as usr, concat(p.user, '@', p.host) as came, lower(p.command) as state,
      left(coalesce(p.info, ''), 200) as query, timestampdiff(second, t.trx_started, now()) as age
    from information_schema.innodb_trx t join information_schema.processlist p on p.id = t.trx_mysql_thread_id
    where p.id <> $1 and p.id <> connection_id() and p.db = database() order by t.trx_started";

const QUEUE: &str = "select id as pid, user as app, time as stalled from information_schema.processlist
    where id <> $1 and db = database() and state like 'Waiting for table%lock' order by time desc";

pub struct Eye {
    target: String,
    ctx: Context,
    id: String,
    lane: Option<Lane>,
}

impl Eye {
    pub fn new(target: String, ctx: Context, id: String) -> Self {
        Self { target, ctx, id, lane: None }
    }

    pub async fn look(&mut self) -> Sight {
        match self.read().await {
            Ok(sight) => sight,
            Err(words) => {
                self.lane = None;
                Sight::blind(format!("cannot see what it does: {words}"))
            }
        }
    }

    async fn read(&mut self) -> Result<Sight, String> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            none => none.insert(Lane::open(&self.target, "watch", &self.ctx).await),
        };
        let id = self.id.as_str();
        let rows = lane.ask(OWN, &[id]).await?;
        let Some(own) = rows.first() else {
            return Ok(Sight::blind(format!("its connection, {id}, is not there any more")));
        };
        let idle = text(own, "state") == "Sleep";
        let doing = text(own, "doing");
        let waits_for = (!idle && doing.starts_with("Waiting for")).then_some(doing);
        let state = if idle { "idle" } else { "active" }.to_owned();
        let mut sight = Sight { state, runs: number(own, "runs"), waits_for, ..Sight::default() };
        let sees = lane.ask(SEES_ALL, &[]).await?;
        if sees.first().is_none_or(|row| text(row, "sees_all") != "1") {
            sight.cannot = Some("cannot see who is in the way or waits: the user lacks PROCESS".to_owned());
        } else if sight.waits_for.is_some() {
            let known = lane.ask(HOLDERS, &[id]).await.unwrap_or_default();
            let exact = !known.is_empty();
            let rows = if exact { known } else { lane.ask(OPEN, &[id]).await? };
            sight.blockers = rows.iter().map(|row| blocker(row, exact)).collect();
            sight.queue = lane.ask(QUEUE, &[id]).await?.iter().map(queued).collect();
        }
        sight.progress = lane.ask(STAGE, &[id]).await.unwrap_or_default().iter().map(progressed).collect();
        Ok(sight)
    }
}

fn blocker(row: &Row, exact: bool) -> Blocker {
    let query = in_one_line(&text(row, "query")).into_string();
    let age = number(row, "age");
    let may = "its transaction is open: it may be the one that holds the lock";
    Blocker {
        pid: text(row, "pid"),
        since: text(row, "came"),
        app: text(row, "usr"),
        user: text(row, "usr"),
        state: text(row, "state"),
        age,
        query: query.chars().take(80).collect(),
        note: (!exact).then(|| match age {
            Some(age) => format!("{may}, for {}", crate::action::facts::lane::lasting(age)),
            None => may.to_owned(),
        }),
        ..Blocker::default()
    }
}

fn queued(row: &Row) -> Queued {
    Queued { pid: text(row, "pid"), app: text(row, "app"), stalled: number(row, "stalled") }
}

fn progressed(row: &Row) -> Progress {
    Progress {
        what: "alter".to_owned(),
        phase: format!("stage {} of {}", text(row, "stage"), text(row, "max_stage")),
        done: number(row, "percent").map(|percent| (percent, 100)),
        unit: "percent",
    }
}
