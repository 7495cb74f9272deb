//! A gate's questions to MySQL and MariaDB: how a statement will be run, the tables, who is in the way, who copies the
//! server.
//!
//! Owns how each is said. Never says *nobody* of what it cannot see.

use super::lane::{Lane, lasting, number, text};
use super::metadata::{self, For, Lists};
use super::{Facts, Line, SHOWN, Said, line, services};
use crate::action::ddl::Plan;
use crate::check::Context;
use crate::sql::{Algorithm, Statement, Way, Ways};
use crate::target::db::{Handle, Row};
use crate::text::{counted, hex, in_one_line};

pub async fn gather(plan: &Plan, handle: &mut Handle, ctx: &Context, sees: bool) -> Facts {
    let alone = "not atomic: commits by itself, and what went before it; no trial, for nothing takes it back";
    let mut lines = vec![line("commits", alone)];
    lines.extend(how(plan));
    let tables = plan.tables();
    let target = handle.target().to_owned();
    let open = || Lane::open(&target, "gate", ctx);
    let (mut first, mut second) = tokio::join!(open(), open());
    let ((sizes, prepared, copies), (in_way, blockers), services) = tokio::join!(
        async {
            let mut sizes = Vec::new();
            for table in &tables {
                sizes.extend(size(&mut first, table).await);
            }
            (sizes, prepared(&mut first).await, copies(&mut first, sees).await)
        },
        in_the_way(&mut second, &tables, sees),
        services::touched(plan, handle, ctx),
    );
    lines.extend(sizes);
    lines.extend(in_way);
    lines.extend(prepared);
    lines.extend(services);
    lines.extend(copies);
    Facts { lines, blockers }
}

/// What the server will be asked for, and what that lets others do.
fn how(plan: &Plan) -> Vec<Line> {
    let several = plan.statements.len() > 1;
    let told = |(n, (sql, statement)): (usize, &(String, Statement))| {
        let of = if several { format!("{}: ", n + 1) } else { String::new() };
        match plan.ways(sql, statement) {
            Ways::Written(why) => why.map(|why| line("runs", format!("{of}as written: {why}"))),
            Ways::Tried(ways) => Some(line("runs", format!("{of}{}", worst(&ways)))),
        }
    };
    plan.statements.iter().enumerate().filter_map(told).collect()
}

fn worst(ways: &[Way]) -> &'static str {
    match ways.iter().map(|way| way.algorithm).max() {
        Some(Algorithm::Copy) => {
            "! the cheapest way first; it may come to a COPY of the table: writes wait for as long as that takes"
        }
        Some(Algorithm::Locking) => "! the cheapest way first; it may keep writes waiting for as long as it takes",
        _ => "the cheapest way first, and only ways in which reads and writes go on; never a copy of the table",
    }
}

async fn size(lane: &mut Lane, table: &str) -> Option<Line> {
    let sql = "select engine, table_rows as found, round((data_length + index_length) / 1048576) as size
        from information_schema.tables where table_schema = coalesce(nullif($1, ''), database()) and table_name = $2";
    let (schema, name) = table.rsplit_once('.').unwrap_or(("", table));
    let row = match lane.ask(sql, &[schema, name]).await {
        Ok(rows) => rows.into_iter().next()?,
        Err(words) => return Some(line("table", format!("{table}: cannot be read: {words}"))),
    };
    let (engine, rows, size) = (text(&row, "engine"), text(&row, "found"), text(&row, "size"));
    let words = match (engine.is_empty(), rows.is_empty()) {
        // A view, or a table that somebody locks.
        (true, _) | (_, true) => "its size is not told".to_owned(),
        _ => format!("{engine}, about {rows} rows, {size} MiB"),
    };
    Some(line("table", format!("{table}: {words}")))
}

fn waiters(lane: &Lane) -> String {
    format!(
        "select p.id, p.user as usr, {} as came, p.host, lower(p.command) as command, left(p.info, 200) as query
         from information_schema.processlist p
         where p.id <> connection_id() and p.db = database() and p.state like 'Waiting for table%' order by p.id",
        lane.known_by()
    )
}

/// Sessions in the way, in words, and each by its number and what makes it this one.
async fn in_the_way(lane: &mut Lane, tables: &[String], sees: bool) -> (Vec<Line>, Vec<(String, String)>) {
    if !sees {
        return (vec![line("in way", "cannot see other sessions or their locks: the user lacks PROCESS")], Vec::new());
    }
    let lists = metadata::lists(lane).await;
    let mut found: Vec<(Row, String)> = Vec::new();
    for table in tables {
        match metadata::holders(lane, lists, For::Table(table)).await {
            Ok(rows) => found.extend(rows.into_iter().map(|row| {
                let what = holds(&row, table);
                (row, what)
            })),
            Err(words) => return (vec![line("in way", format!("! cannot see who: {words}"))], Vec::new()),
        }
    }
    match lane.ask(&waiters(lane), &[]).await {
        Ok(rows) => {
            found.extend(rows.into_iter().map(|row| (row, "waits for a metadata lock on a table here".to_owned())));
        }
        Err(words) => return (vec![line("in way", format!("! cannot see who: {words}"))], Vec::new()),
    }
    let (mut said, mut sessions): (Vec<Said>, _) = (Vec::new(), Vec::new());
    for (row, what) in &found {
        // One session is one blocker, however many locks it holds.
        let who = text(row, "id");
        if !said.iter().any(|known| known.who == who) {
            sessions.push((who.clone(), text(row, "came")));
            let short = format!("{} {who}", text(row, "usr"));
            said.push(Said { who, short, words: words(row, what) });
        }
    }
    if said.is_empty() {
        return (vec![line("in way", nobody(lists, tables))], Vec::new());
    }
    (super::in_the_way(said), sessions)
}

fn holds(row: &Row, table: &str) -> String {
    match (text(row, "mode"), number(row, "on_it")) {
        (mode, _) if mode.is_empty() => format!("may hold a metadata lock on {table}: nothing here lists them"),
        (mode, Some(1)) => format!("holds a {mode} metadata lock on {table}"),
        (mode, _) => format!("holds {mode}: every change of a schema waits for it"),
    }
}

/// Transactions that somebody prepared and left: they outlive their session, and no list of locks has theirs.
async fn prepared(lane: &mut Lane) -> Vec<Line> {
    match lane.told("xa recover").await {
        Ok(rows) => {
            let told = |row: &Row| {
                let (name, xid) = xid(row);
                let words = "may hold locks on any table, and no session can be ended for it: its owner says";
                line("prepared", format!("! transaction {name} {words} XA COMMIT or XA ROLLBACK {xid}"))
            };
            let mut lines: Vec<Line> = rows.iter().take(SHOWN).map(told).collect();
            if rows.len() > SHOWN {
                lines.push(line("prepared", format!("! and {} more", rows.len() - SHOWN)));
            }
            lines
        }
        Err(words) => vec![line("prepared", format!("transactions cannot be seen: {words}"))],
    }
}

/// A transaction's name as it can be read, and as SQL writes it, whatever its bytes are.
fn xid(row: &Row) -> (String, String) {
    let data = text(row, "data");
    let bytes = match data.strip_prefix("\\x") {
        Some(digits) => digits
            .as_bytes()
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect(),
        None => data.into_bytes(),
    };
    let length = number(row, "gtrid_length").and_then(|n| usize::try_from(n).ok()).unwrap_or(bytes.len());
    let (global, branch) = bytes.split_at(length.min(bytes.len()));
    let sql = format!("X'{}',X'{}',{}", hex(global), hex(branch), text(row, "formatID"));
    (String::from_utf8_lossy(&bytes).into_owned(), sql)
}

fn nobody(lists: Lists, tables: &[String]) -> String {
    let tables = tables.join(", ");
    match lists {
        Lists::Nobody => format!(
            "no transaction is open now; who holds a metadata lock on {tables} cannot be seen: performance_schema does \
             not list them, and the plugin metadata_lock_info is not loaded"
        ),
        _ => format!("nobody holds a metadata lock on {tables} now"),
    }
}

fn words(row: &Row, what: &str) -> String {
    let age = number(row, "age").map(|age| format!(", in a transaction for {}", lasting(age))).unwrap_or_default();
    let query = in_one_line(&text(row, "query")).cap(80);
    let query = if query == "" { String::new() } else { format!(": {query}") };
    let who = format!("{}@{}", text(row, "usr"), text(row, "host"));
    format!("! {who}, id {}, {}{age}, {what}{query}", text(row, "id"), text(row, "command"))
}

/// Who reads this server's log to copy it: how far behind they are only they can tell.
async fn copies(lane: &mut Lane, sees: bool) -> Option<Line> {
    if !sees {
        return Some(line("replicas", "cannot see whether any server copies this one: the user lacks PROCESS"));
    }
    let sql = "select count(*) as n from information_schema.processlist where command like 'Binlog Dump%'";
    match lane.ask(sql, &[]).await {
        Ok(rows) => match rows.first().and_then(|row| number(row, "n")).unwrap_or(0) {
            0 => None,
            n => Some(line(
                "replicas",
                format!(
                    "{} of this server: each runs the statement after this one has, and falls behind by as long; how far \
                     behind they are cannot be seen from here",
                    counted(n, "replica")
                ),
            )),
        },
        Err(words) => Some(line("replicas", format!("cannot be seen: {words}"))),
    }
}
