//! MySQL and MariaDB: the worker's connection in the process list, and who holds, or may hold, the lock that it waits for.

use super::{Blocker, Progress, Queued, Sight};
use crate::action::facts::lane::{Lane, lasting, number, text};
use crate::action::facts::metadata::{self, For, Lists};
use crate::target::db::Row;
use crate::target::mysql::SEES_ALL;
use crate::text::in_one_line;

const OWN: &str = "select p.command as state, coalesce(p.state, '') as doing, p.time as runs
    from information_schema.processlist p where p.id = $1 and $2 in ('', {known_by})";

/// MariaDB tells how far an ALTER is; MySQL has no such columns.
const STAGE: &str = "select stage, max_stage, cast(progress as signed) as percent
    from information_schema.processlist where id = $1 and max_stage > 0";

const QUEUE: &str = "select id as pid, user as app, time as stalled from information_schema.processlist
    where id <> $1 and db = database() and state like 'Waiting for table%lock' order by time desc";

pub struct Eye {
    id: String,
    since: String,
    lists: Option<Lists>,
}

impl Eye {
    pub fn new(id: String, since: String) -> Self {
        Self { id, since, lists: None }
    }

    pub async fn read(&mut self, lane: &mut Lane) -> Result<Sight, String> {
        let id = self.id.as_str();
        let own = OWN.replace("{known_by}", &lane.known_by());
        let rows = lane.ask(&own, &[id, &self.since]).await?;
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
            let lists = match self.lists {
                Some(lists) => lists,
                None => *self.lists.insert(metadata::lists(lane).await),
            };
            let mut holders = metadata::holders(lane, lists, For::Connection(id)).await?;
            if holders.is_empty() && lists != Lists::Nobody {
                holders = metadata::holders(lane, Lists::Nobody, For::Connection(id)).await?;
            }
            sight.blockers = holders.iter().filter(|row| text(row, "id") != id).map(blocker).collect();
            if sight.blockers.is_empty() {
                sight.cannot = Some("cannot see who holds the lock: no list here has it".to_owned());
            }
            sight.queue = lane.ask(QUEUE, &[id]).await?.iter().map(Queued::of).collect();
        }
        sight.progress = lane.ask(STAGE, &[id]).await.unwrap_or_default().iter().map(progressed).collect();
        Ok(sight)
    }
}

fn blocker(row: &Row) -> Blocker {
    let query = in_one_line(&text(row, "query")).into_string();
    let age = number(row, "age");
    let may = "its transaction is open: it may be the one that holds the lock";
    Blocker {
        pid: text(row, "id"),
        since: text(row, "came"),
        app: text(row, "usr"),
        user: text(row, "usr"),
        state: text(row, "command"),
        age,
        query: query.chars().take(80).collect(),
        note: text(row, "mode").is_empty().then(|| match age {
            Some(age) => format!("{may}, for {}", lasting(age)),
            None => may.to_owned(),
        }),
        ..Blocker::default()
    }
}

fn progressed(row: &Row) -> Progress {
    Progress {
        what: "alter".to_owned(),
        phase: format!("stage {} of {}", text(row, "stage"), text(row, "max_stage")),
        done: number(row, "percent").map(|percent| (percent, 100)),
        unit: "percent",
    }
}
