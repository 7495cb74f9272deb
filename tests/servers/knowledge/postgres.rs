//! Each form of PostgreSQL's table run for real: its locks, what it rewrites, builds and scans, what older code sees,
//! whether its done-facts turn, and whether its reverse brings the catalog back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backout::check::schema::holds_on;
use backout::sql::{self, Class, Cost, Dialect, Fact, Lock, ObjectKind, Place, Reverse, Server, Statement};
use backout::target::db::Handle;
use serde_json::Value;

use super::catalog::{FINGERPRINT, FIXTURE};
use super::postgres_cases::{INSIDE, OUTSIDE};
use crate::shop::Shop;
use crate::support::{self, Database};

const SERVER: Server = Server::Postgres(15);

/// What code written for the fixture says.
const OLD_READS: [&str; 2] = [
    "SELECT count(*) FROM (SELECT id, customer_id, amount, note, status, code FROM orders) o, lines l, (SELECT a, b FROM plain) p, part, parent, pairs, orders_v, orders_m",
    "SELECT id, name FROM customers GROUP BY id",
];
const OLD_WRITES: [&str; 12] = [
    "INSERT INTO orders (customer_id, amount, note) VALUES (1, 1, 'x')",
    "INSERT INTO orders (code) VALUES ('code1') ON CONFLICT (code) DO NOTHING",
    "INSERT INTO orders (code) VALUES ('code1') ON CONFLICT ON CONSTRAINT code_once DO NOTHING",
    "INSERT INTO plain (a, b) VALUES (1000, 'x')",
    "UPDATE plain SET b = 'y' WHERE a = 1",
    "INSERT INTO part (k, v) VALUES (1, 1)",
    "INSERT INTO part_2 (k, v) VALUES (50, 1)",
    "INSERT INTO lines (id, order_id) VALUES (1000, 1)",
    "UPDATE lines SET qty = 2 WHERE id = 1",
    "INSERT INTO nothing (a) VALUES (1), (2)",
    "INSERT INTO nokey (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
    "INSERT INTO filled (a) VALUES (1)",
];

/// The table `plain` cannot stand for its forms where these make a new file without a rewrite of rows.
const NEW_FILE: [&str; 2] = ["TRUNCATE", "TRUNCATE … CASCADE"];

struct World {
    hand: Handle,
    role: String,
    database: Database,
    shop: Shop,
    /// Relations that were there, by oid: name, kind, file.
    before: BTreeMap<i64, (String, String, i64)>,
    fingerprint: String,
}

async fn text(hand: &mut Handle, sql: &str) -> String {
    match hand.one(sql, vec![]).await.unwrap() {
        Some(Value::String(text)) => text,
        other => panic!("{sql}: {other:?}"),
    }
}

impl World {
    async fn new(suite: &str) -> Option<Self> {
        let database = support::postgres_database(suite)?;
        let role = format!("r_{}", database.name);
        let shop = Shop::run("postgres", &database.url, "run-knowledge");
        let mut hand = shop.context.targets.dedicated("shop", "knowledge").await.unwrap();
        for statement in FIXTURE.replace("{role}", &role).trim().split(";\n") {
            hand.run(statement, vec![]).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        for table in ["orders", "plain", "lines"] {
            hand.run(format!("ANALYZE {table}"), vec![]).await.unwrap();
        }
        let mut world = Self { hand, role, database, shop, before: BTreeMap::new(), fingerprint: String::new() };
        world.before = world.relations().await;
        world.fingerprint = world.catalog().await;
        Some(world)
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{role}", &self.role).replace("{database}", &self.database.name)
    }

    async fn catalog(&mut self) -> String {
        text(&mut self.hand, &FINGERPRINT.replace("{role}", &self.role)).await
    }

    async fn relations(&mut self) -> BTreeMap<i64, (String, String, i64)> {
        let sql = "select c.oid::int8 as oid, case when nspname = 'public' then '' else nspname || '.' end || relname as name,
            relkind::text as kind, coalesce(pg_relation_filenode(c.oid), 0)::int8 as file
            from pg_class c join pg_namespace n on n.oid = relnamespace
            where nspname in ('public', 'annex', 'attic') and relkind <> 't'";
        let rows = self.hand.read(sql, vec![]).await.unwrap();
        let number = |row: &backout::target::db::Row, name: &str| row[name].as_i64().unwrap();
        let string = |row: &backout::target::db::Row, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter().map(|r| (number(r, "oid"), (string(r, "name"), string(r, "kind"), number(r, "file")))).collect()
    }

    /// The strongest lock of this session on each relation that was there.
    async fn locks(&mut self) -> BTreeMap<String, (String, Lock)> {
        let sql = "select relation::int8 as oid, mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation'
            and granted and relation >= 16384 and database = (select oid from pg_database where datname = current_database())";
        let mut out: BTreeMap<String, (String, Lock)> = BTreeMap::new();
        for row in self.hand.read(sql, vec![]).await.unwrap() {
            let Some((name, kind, _)) = self.before.get(&row["oid"].as_i64().unwrap()) else { continue };
            let lock = lock(row["mode"].as_str().unwrap());
            let held = out.entry(name.clone()).or_insert((kind.clone(), lock));
            if rank(held.1) < rank(lock) {
                held.1 = lock;
            }
        }
        out
    }

    /// What the statement did to files and rows, of the tables that were there.
    async fn cost(&mut self, scans: i64) -> Cost {
        let after = self.relations().await;
        let heap = |kind: &str| ["r", "m"].contains(&kind);
        let moved = |kinds: fn(&str) -> bool| {
            self.before
                .iter()
                .any(|(oid, (_, kind, file))| kinds(kind) && after.get(oid).is_some_and(|(_, _, now)| now != file))
        };
        if moved(|kind| ["r", "m"].contains(&kind)) {
            return Cost::Rewrite;
        }
        let built = "select count(*) from pg_index i join pg_class c on c.oid = i.indrelid where c.relkind in ('r', 'm')
            and i.indrelid::int8 = any(string_to_array($1, ',')::int8[]) and not i.indexrelid::int8 = any(string_to_array($2, ',')::int8[])";
        let list = |wanted: &dyn Fn(&str) -> bool| {
            let oids = self.before.iter().filter(|(_, (_, kind, _))| wanted(kind));
            oids.map(|(oid, _)| oid.to_string()).collect::<Vec<_>>().join(",")
        };
        let binds = [list(&heap), list(&|kind| kind == "i")].map(backout::target::db::text_bind).to_vec();
        let new = self.hand.one(built, binds).await.unwrap().and_then(|n| n.as_i64()).unwrap();
        if new > 0 || moved(|kind| kind == "i") {
            return Cost::IndexBuild;
        }
        if self.scans().await > scans { Cost::Scan } else { Cost::CatalogOnly }
    }

    /// Full scans, of tables that were there, that this session has not reported yet: what grows in a transaction is its own.
    async fn scans(&mut self) -> i64 {
        let sql = "select coalesce(sum(seq_scan), 0)::int8 from pg_stat_xact_user_tables
            where relid::int8 = any(string_to_array($1, ',')::int8[])";
        let there = self.before.keys().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.hand.one(sql, vec![backout::target::db::text_bind(there)]).await.unwrap().and_then(|n| n.as_i64()).unwrap()
    }

    async fn holding(&mut self, facts: &[Fact]) -> Vec<String> {
        let mut out = Vec::new();
        for fact in facts {
            if !holds_on(fact, &mut self.hand).await.unwrap() {
                out.push(fact.to_string());
            }
        }
        out
    }

    /// Whether the statement fails now, without leaving a trace.
    async fn fails(&mut self, sql: &str) -> bool {
        self.hand.run("SAVEPOINT try", vec![]).await.unwrap();
        let failed = self.hand.run(sql, vec![]).await.is_err();
        self.hand.run("ROLLBACK TO try", vec![]).await.unwrap();
        failed
    }
}

fn lock(mode: &str) -> Lock {
    match mode {
        "AccessShareLock" => Lock::ACCESS_SHARE,
        "RowShareLock" => Lock::ROW_SHARE,
        "RowExclusiveLock" => Lock::ROW_EXCLUSIVE,
        "ShareUpdateExclusiveLock" => Lock::SHARE_UPDATE_EXCLUSIVE,
        "ShareLock" => Lock::SHARE,
        "ShareRowExclusiveLock" => Lock::SHARE_ROW_EXCLUSIVE,
        "ExclusiveLock" => Lock::EXCLUSIVE,
        "AccessExclusiveLock" => Lock::ACCESS_EXCLUSIVE,
        other => panic!("{other} is no lock of a table"),
    }
}

fn rank(lock: Lock) -> usize {
    [
        Lock::ACCESS_SHARE,
        Lock::ROW_SHARE,
        Lock::ROW_EXCLUSIVE,
        Lock::SHARE_UPDATE_EXCLUSIVE,
        Lock::SHARE,
        Lock::SHARE_ROW_EXCLUSIVE,
        Lock::EXCLUSIVE,
        Lock::ACCESS_EXCLUSIVE,
    ]
    .iter()
    .position(|known| *known == lock)
    .unwrap_or(usize::MAX)
}

/// What was seen of one form over all its cases.
#[derive(Default)]
struct Seen {
    /// Costs that were reached, and locks on what the statement does not name.
    cost: BTreeSet<Cost>,
    unnamed: Vec<Lock>,
}

/// Locks as the table tells them and as the server held them; what differs, in words.
fn compare_locks(statement: &Statement, held: &BTreeMap<String, (String, Lock)>, seen: &mut Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let unnamed: Vec<Lock> =
        statement.locks.iter().filter(|held| matches!(held.on, Place::Unnamed(_))).map(|held| held.lock).collect();
    let mut named = BTreeSet::new();
    for claim in &statement.locks {
        let Place::Object(object) = &claim.on else { continue };
        named.insert(object.name.clone());
        match held.get(&object.name) {
            Some((_, lock)) if *lock == claim.lock => {}
            Some((_, lock)) => wrong.push(format!("{object}: {} held, {} told", lock.mode, claim.lock.mode)),
            None => wrong.push(format!("{object}: nothing held, {} told", claim.lock.mode)),
        }
    }
    for (name, (kind, lock)) in held {
        // ACCESS SHARE stands in nobody's way; what a table is made of is locked with it.
        if named.contains(name) || *lock == Lock::ACCESS_SHARE {
            continue;
        }
        let part = ["i", "I"].contains(&kind.as_str());
        if unnamed.iter().any(|told| rank(*told) >= rank(*lock)) {
            seen.unnamed.push(*lock);
        } else if !part {
            wrong.push(format!("{name}: {} held, nothing told", lock.mode));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_what_a_transaction_does() {
    let Some(mut world) = World::new("knowledge").await else { return };
    let (mut wrong, mut all) = (Vec::new(), BTreeMap::<&'static str, Seen>::new());
    for line in INSIDE.trim().lines() {
        let (cheaper, line) = (line.starts_with('<'), line.trim_start_matches('<'));
        let sql = world.filled(line);
        let statement = match sql::parse_one(Dialect::Postgres, &sql) {
            Ok(statement) => statement.on(SERVER),
            Err(refused) => {
                wrong.push(format!("{sql}\n    {refused}"));
                continue;
            }
        };
        let mut seen = Seen::default();
        let mut bad = one(&mut world, &sql, &statement, cheaper, &mut seen).await;
        let parts = if statement.parts.is_empty() { vec![statement.kind] } else { statement.parts.clone() };
        for part in parts {
            let whole = all.entry(part).or_default();
            whole.cost.extend(&seen.cost);
            whole.unnamed.extend(&seen.unnamed);
        }
        if !statement.transactional {
            bad.push("told not to be for a transaction".to_owned());
        }
        wrong.extend(bad.into_iter().map(|what| format!("{sql}  [{}]\n    {what}", statement.kind)));
    }
    let now = world.catalog().await;
    assert_eq!(difference(&world.fingerprint, &now), None, "something did not roll back");
    world.hand.run(format!("DROP EVENT TRIGGER {}_ddl", world.role), vec![]).await.unwrap();
    let role = world.role.clone();
    for sql in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}"), format!("DROP ROLE {role}_idle")] {
        world.hand.run(sql, vec![]).await.unwrap();
    }
    wrong.extend(unproven(&all));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

async fn one(world: &mut World, sql: &str, statement: &Statement, cheaper: bool, seen: &mut Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let still: Vec<Fact> = statement.done.iter().map(Fact::not_done).collect();
    wrong.extend(world.holding(&still).await.into_iter().map(|fact| format!("before it, already done: not {fact}")));
    world.hand.run("BEGIN", vec![]).await.unwrap();
    let scans = world.scans().await;
    if let Err(error) = world.hand.run(sql, vec![]).await {
        world.hand.run("ROLLBACK", vec![]).await.unwrap();
        return vec![format!("{error}")];
    }
    let held = world.locks().await;
    wrong.extend(compare_locks(statement, &held, seen));
    let cost = world.cost(scans).await;
    let cost = if NEW_FILE.contains(&statement.kind) { Cost::CatalogOnly } else { cost };
    seen.cost.insert(cost);
    let milder = cost > statement.cost && statement.cost != Cost::Unknown;
    if milder || (cost < statement.cost && !cheaper && statement.cost != Cost::Unknown && statement.parts.is_empty()) {
        wrong.push(format!("{cost:?} seen, {:?} told", statement.cost));
    }
    wrong.extend(world.holding(&statement.done).await.into_iter().map(|fact| format!("after it, not so: {fact}")));
    // Locks on rows are not the schema's doing.
    if statement.class >= Class::Ddl {
        for read in OLD_READS {
            if !statement.old_code.reads_broken && world.fails(read).await {
                wrong.push(format!("older code no longer reads, and that is not told: {read}"));
            }
        }
        for write in OLD_WRITES {
            if !statement.old_code.writes_broken && world.fails(write).await {
                wrong.push(format!("older code no longer writes, and that is not told: {write}"));
            }
        }
    }
    if let Some(back) = statement.reverse.sql() {
        wrong.extend(reversed(world, back, statement, &still).await);
    }
    world.hand.run("ROLLBACK", vec![]).await.unwrap();
    wrong
}

async fn reversed(world: &mut World, back: &str, statement: &Statement, still: &[Fact]) -> Vec<String> {
    if let Err(refused) = sql::parse_one(Dialect::Postgres, back) {
        return vec![format!("reverse {back}: {refused}")];
    }
    if let Err(error) = world.hand.run(back, vec![]).await {
        return vec![format!("reverse {back}: {error}")];
    }
    let undone = world.holding(still).await;
    let mut wrong: Vec<String> = undone.into_iter().map(|fact| format!("after {back}, not so: {fact}")).collect();
    if matches!(statement.reverse, Reverse::Exact(_)) {
        let now = world.catalog().await;
        wrong.extend(difference(&world.fingerprint, &now).map(|lines| format!("{back} leaves\n{lines}")));
    }
    wrong
}

fn difference(before: &str, after: &str) -> Option<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), after.lines().collect());
    let gone = old.difference(&new).map(|line| format!("      - {line}"));
    let come = new.difference(&old).map(|line| format!("      + {line}"));
    let lines: Vec<String> = gone.chain(come).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Rows that say they were measured and were not, or that tell more than was ever seen.
fn unproven(all: &BTreeMap<&'static str, Seen>) -> Vec<String> {
    let outside: BTreeSet<&'static str> = OUTSIDE
        .trim()
        .lines()
        .filter_map(|line| sql::parse_one(Dialect::Postgres, &line.split(" | ").next()?.replace("{role}", "r")).ok())
        .map(|statement| statement.kind)
        .collect();
    let mut wrong = Vec::new();
    let mut forms = 0;
    for form in sql::forms(Dialect::Postgres, Some(SERVER)).filter(|form| form.covers(SERVER)) {
        let found = all.get(form.kind);
        if !form.measured {
            continue;
        }
        if found.is_none() && !outside.contains(form.kind) {
            wrong.push(format!("{}: told as measured, and no statement measures it", form.kind));
        }
        let Some(seen) = found else { continue };
        forms += 1;
        if form.cost != Cost::Unknown && !seen.cost.contains(&form.cost) {
            wrong.push(format!("{}: {:?} told and never seen", form.kind, form.cost));
        }
        for (on, lock) in form.locks {
            if matches!(on, sql::On::Unnamed(_)) && !seen.unnamed.contains(lock) {
                wrong.push(format!("{}: {} on {on:?} told and never seen", form.kind, lock.mode));
            }
        }
    }
    assert!(forms >= 80, "only {forms} forms were measured");
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_what_no_transaction_holds() {
    let Some(mut world) = World::new("knowledge_out").await else { return };
    let mut wrong = Vec::new();
    for line in OUTSIDE.trim().lines() {
        let (sql, table) = line.split_once(" | ").unwrap();
        let (sql, table) = (world.filled(sql.trim()), table.trim());
        let statement = sql::parse_one(Dialect::Postgres, &sql).unwrap().on(SERVER);
        if statement.transactional {
            wrong.push(format!("{sql}: told to be for a transaction"));
        }
        world.hand.run("BEGIN", vec![]).await.unwrap();
        let refused = world.hand.run(sql.clone(), vec![]).await;
        world.hand.run("ROLLBACK", vec![]).await.unwrap();
        if refused.as_ref().err().and_then(|error| error.code.as_deref()) != Some("25001") {
            wrong.push(format!("{sql}: a transaction took it: {refused:?}"));
        }
        if table == "!" {
            continue;
        }
        let still: Vec<Fact> = statement.done.iter().map(Fact::not_done).collect();
        wrong.extend(world.holding(&still).await.into_iter().map(|fact| format!("{sql}: already done: not {fact}")));
        if table == "-" {
            world.hand.run(sql.clone(), vec![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        } else {
            let awaited = awaited(&mut world, &sql, table).await;
            let told = statement.locks.iter().any(|held| held.lock == awaited);
            if !told {
                wrong.push(format!("{sql}: waited for {} on {table}, told {:?}", awaited.mode, statement.locks));
            }
        }
        wrong.extend(world.holding(&statement.done).await.into_iter().map(|fact| format!("{sql}: not so: {fact}")));
        if let (Some(back), Some(object)) = (statement.reverse.sql(), statement.object())
            && object.kind == ObjectKind::Index
        {
            sql::parse_one(Dialect::Postgres, back).unwrap();
        }
    }
    let role = world.role.clone();
    for sql in [
        format!("DROP EVENT TRIGGER {role}_ddl"),
        format!("DROP OWNED BY {role}"),
        format!("DROP ROLE {role}"),
        format!("DROP ROLE {role}_idle"),
    ] {
        world.hand.run(sql, vec![]).await.unwrap();
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs the statement against a table that another session has locked, and tells which lock on it it waits for.
async fn awaited(world: &mut World, sql: &str, table: &str) -> Lock {
    let targets = world.shop.context.targets.clone();
    let mut other = targets.dedicated("shop", "holder").await.unwrap();
    let mut runner = targets.dedicated("shop", "runner").await.unwrap();
    let pid = runner.one("select pg_backend_pid()", vec![]).await.unwrap().and_then(|n| n.as_i64()).unwrap();
    runner.run("SET lock_timeout = 0", vec![]).await.unwrap();
    other.run("BEGIN", vec![]).await.unwrap();
    other.run(format!("LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"), vec![]).await.unwrap();
    let statement = sql.to_owned();
    let running = tokio::spawn(async move { runner.run(statement, vec![]).await });
    let mut mode = None;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let sql =
            format!("select mode from pg_locks where pid = {pid} and not granted and relation = '{table}'::regclass");
        mode = world.hand.one(sql, vec![]).await.unwrap();
        if mode.is_some() {
            break;
        }
    }
    other.run("ROLLBACK", vec![]).await.unwrap();
    running.await.unwrap().unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mode = mode.unwrap_or_else(|| panic!("{sql} did not wait for {table}"));
    lock(mode.as_str().unwrap())
}
