//! Each form of SQLite's table run for real: whether it keeps other writers waiting, what it writes anew, whether its
//! done-facts turn, whether a rollback and its reverse bring the catalog back.

use std::collections::BTreeSet;
use std::path::Path;

use backout::check::schema::{catalog, holds_on};
use backout::sql::{self, Class, Cost, Dialect, Fact, Lock, Reverse, Server, Statement};
use backout::target::db::Handle;
use backout::target::sqlite;

/// One statement each. The table `orders` fills far more pages than its index.
const FIXTURE: [&str; 10] = [
    "PRAGMA journal_mode = wal",
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INT, note TEXT, wide INT, code INT)",
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
     INSERT INTO orders SELECT i, i, hex(zeroblob(100)), i, i FROM n",
    "CREATE TABLE empty (a INT, b INT)",
    "CREATE INDEX orders_amount ON orders (amount)",
    "CREATE UNIQUE INDEX orders_code ON orders (code)",
    "CREATE VIEW orders_v AS SELECT id, amount FROM orders",
    "CREATE TABLE filled (a INT, b INT)",
    "CREATE TRIGGER fill AFTER INSERT ON filled BEGIN UPDATE filled SET b = 1 WHERE b IS NULL; END",
];

const OLD_READS: [&str; 2] = [
    "SELECT o.id, o.amount, o.note, v.id FROM orders o, filled, orders_v v",
    "SELECT id FROM orders INDEXED BY orders_amount WHERE amount = 1",
];
const OLD_WRITES: [&str; 3] = [
    "INSERT INTO orders (amount, note, code) VALUES (1, 'x', 1) ON CONFLICT (code) DO NOTHING",
    "INSERT INTO empty (a) VALUES (1), (2)",
    "INSERT INTO filled (a) VALUES (1)",
];

/// A leading `<` marks a statement that is cheaper than its form at worst.
const INSIDE: &str = "
ALTER TABLE orders ADD COLUMN extra TEXT
ALTER TABLE orders ADD COLUMN extra INT NOT NULL DEFAULT 5
ALTER TABLE empty ADD COLUMN extra TEXT DEFAULT CURRENT_TIMESTAMP NOT NULL
ALTER TABLE empty ADD COLUMN extra INT NOT NULL
ALTER TABLE orders ADD COLUMN extra INT CHECK (extra > 0)
ALTER TABLE empty ADD COLUMN extra INT CHECK (extra IS NOT NULL)
ALTER TABLE orders ADD COLUMN extra INT REFERENCES customers (id)
ALTER TABLE orders ADD COLUMN extra INT AS (amount * 2)
ALTER TABLE orders ADD COLUMN extra INT GENERATED ALWAYS AS (amount * 2) VIRTUAL
ALTER TABLE orders DROP COLUMN wide
ALTER TABLE orders RENAME COLUMN note TO remark
ALTER TABLE main.orders RENAME note TO [Remark of it]
ALTER TABLE orders RENAME TO orders_base
ALTER TABLE orders RENAME TO \"Orders of old\"
CREATE TABLE fresh (a INTEGER PRIMARY KEY, b TEXT) STRICT
CREATE TABLE IF NOT EXISTS fresh (a INT)
CREATE TABLE fresh (a INT REFERENCES customers (id))
CREATE TABLE fresh AS SELECT * FROM orders
CREATE TEMP TABLE fresh (a INT)
CREATE INDEX orders_wide ON orders (wide)
CREATE UNIQUE INDEX main.orders_wide ON orders (wide)
CREATE INDEX empty_x ON empty (a) WHERE b > 0
CREATE INDEX empty_x ON empty (abs(a))
CREATE VIEW fresh_v AS SELECT id FROM orders
CREATE TEMP VIEW fresh_v AS SELECT id FROM orders
CREATE TRIGGER again AFTER UPDATE ON orders BEGIN DELETE FROM empty WHERE a = new.id; END
CREATE TRIGGER refuses BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'refused'); END
CREATE TEMP TRIGGER again AFTER UPDATE ON orders BEGIN DELETE FROM empty; END
CREATE VIRTUAL TABLE fresh USING fts5(a)
DROP TABLE empty
DROP TABLE orders
DROP INDEX orders_amount
DROP INDEX IF EXISTS main.orders_code
DROP VIEW orders_v
DROP TRIGGER fill
REINDEX orders
REINDEX orders_amount
ANALYZE orders
ANALYZE
INSERT INTO empty VALUES (1, 1)
INSERT OR REPLACE INTO orders (id) VALUES (1)
REPLACE INTO orders (id) VALUES (1)
UPDATE orders SET wide = 1 WHERE id = 1
DELETE FROM orders WHERE id = 1
WITH x AS (SELECT 1 AS id) DELETE FROM orders WHERE id IN (SELECT id FROM x)
SELECT count(*) FROM orders
VALUES (1)
EXPLAIN SELECT * FROM orders
EXPLAIN QUERY PLAN DELETE FROM orders
PRAGMA table_info(orders)";

const OUTSIDE: [&str; 2] = ["VACUUM", "DETACH other"];

const WRITTEN_ANEW: u64 = 100;
const BUILT: u64 = 7;

async fn open(path: &Path) -> Handle {
    Handle::Sqlite(sqlite::Connection::open_path("shop", path, false).await.unwrap())
}

async fn text(hand: &mut Handle) -> Vec<String> {
    let lines = catalog(hand).await.unwrap_or_else(|none| panic!("{}", none.words()));
    // The library quotes names when it alters a table.
    lines.into_iter().map(|line| line.replace('"', "")).collect()
}

/// Those that do not hold.
async fn open_of(facts: &[Fact], hand: &mut Handle) -> Vec<String> {
    let mut out = Vec::new();
    for fact in facts {
        if !holds_on(fact, hand).await.unwrap_or_else(|none| panic!("{fact}: {}", none.words())) {
            out.push(fact.to_string());
        }
    }
    out
}

async fn fails(hand: &mut Handle, sql: &str) -> bool {
    hand.run("SAVEPOINT try", vec![]).await.unwrap();
    let failed = hand.run(sql, vec![]).await.is_err();
    hand.run("ROLLBACK TO try", vec![]).await.unwrap();
    hand.run("RELEASE try", vec![]).await.unwrap();
    failed
}

/// What a statement commits, in pages of the log.
async fn written(path: &Path, hand: &mut Handle, sql: &str) -> Result<u64, String> {
    hand.run("PRAGMA wal_checkpoint(TRUNCATE)", vec![]).await.unwrap();
    hand.run(sql, vec![]).await.map_err(|error| error.to_string())?;
    let log = path.with_extension("db-wal");
    Ok(std::fs::metadata(log).map_or(0, |log| log.len() / 4096))
}

async fn fresh(dir: &Path, name: &str) -> (std::path::PathBuf, Handle) {
    let path = dir.join(format!("{name}.db"));
    std::fs::File::create(&path).unwrap();
    let mut hand = open(&path).await;
    for sql in FIXTURE {
        hand.run(sql, vec![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    (path, hand)
}

async fn inside(path: &Path, hand: &mut Handle, statement: &Statement, sql: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let before = text(hand).await;
    let still: Vec<Fact> = statement.done.iter().map(Fact::not_done).collect();
    wrong.extend(open_of(&still, hand).await.into_iter().map(|fact| format!("before it, already done: not {fact}")));
    hand.run("BEGIN", vec![]).await.unwrap();
    if let Err(error) = hand.run(sql, vec![]).await {
        hand.run("ROLLBACK", vec![]).await.unwrap();
        return vec![error.to_string()];
    }
    let mut other = open(path).await;
    other.run("PRAGMA busy_timeout = 0", vec![]).await.unwrap();
    let waits = other.run("BEGIN IMMEDIATE", vec![]).await.is_err();
    if !waits {
        other.run("ROLLBACK", vec![]).await.unwrap();
    }
    let told = statement.lock == Some(Lock::DATABASE_WRITE);
    // What is temporary lies in a file of its own.
    if waits != told && !sql.contains(" TEMP ") && !sql.starts_with("EXPLAIN") {
        wrong.push(format!("others wait: {waits}, told {:?}", statement.lock));
    }
    if other.run("SELECT count(*) FROM orders", vec![]).await.is_err() {
        wrong.push("others cannot read".to_owned());
    }
    drop(other);
    let open = open_of(&statement.done, hand).await;
    wrong.extend(open.into_iter().map(|fact| format!("after it, not so: {fact}")));
    if statement.class >= Class::Ddl {
        for (broken, old) in OLD_READS
            .iter()
            .map(|sql| (statement.old_code.reads_broken, sql))
            .chain(OLD_WRITES.iter().map(|sql| (statement.old_code.writes_broken, sql)))
        {
            if !broken && fails(hand, old).await {
                wrong.push(format!("older code fails, and that is not told: {old}"));
            }
        }
    }
    if let Some(back) = statement.reverse.sql() {
        if let Err(error) = hand.run(back, vec![]).await {
            wrong.push(format!("{back}: {error}"));
        }
        wrong.extend(open_of(&still, hand).await.into_iter().map(|fact| format!("after {back}, not so: {fact}")));
        if matches!(statement.reverse, Reverse::Exact(_)) && text(hand).await != before {
            wrong.push(format!("{back} leaves another catalog"));
        }
    }
    hand.run("ROLLBACK", vec![]).await.unwrap();
    if text(hand).await != before {
        wrong.push("a rollback does not take it back".to_owned());
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_what_sqlite_does() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut hand) = fresh(dir.path(), "shop").await;
    let version = hand.one("SELECT sqlite_version()", vec![]).await.unwrap().unwrap();
    let parts: Vec<u32> = version.as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
    let server = Server::Sqlite(parts[0] * 1_000_000 + parts[1] * 1000 + parts[2]);
    let (mut wrong, mut measured) = (Vec::new(), BTreeSet::new());
    for (at, line) in INSIDE.trim().lines().enumerate() {
        let (cheaper, sql) = (line.starts_with('<'), line.trim_start_matches('<'));
        let statement = sql::parse_one(Dialect::Sqlite, sql).unwrap_or_else(|refused| panic!("{sql}: {refused}"));
        let statement = statement.on(server);
        assert!(statement.evidence(server).iter().all(|line| !line.contains("nothing is known")), "{sql}");
        measured.insert(statement.kind);
        measured.extend(statement.parts.iter().copied());
        let mut bad = inside(&path, &mut hand, &statement, sql).await;
        let pragma = statement.kind == "PRAGMA";
        if !statement.transactional && !pragma {
            bad.push("told not to be for a transaction".to_owned());
        }
        let (path, mut own) = fresh(dir.path(), &at.to_string()).await;
        let pages = match written(&path, &mut own, sql).await {
            Ok(pages) => pages,
            Err(error) => {
                wrong.push(format!("{sql}: {error}"));
                continue;
            }
        };
        let seen = match pages {
            WRITTEN_ANEW.. => Cost::Rewrite,
            BUILT.. => Cost::IndexBuild,
            _ => Cost::CatalogOnly,
        };
        // What only reads leaves no trace in the log.
        let told = if statement.cost == Cost::Scan { Cost::CatalogOnly } else { statement.cost };
        if told != Cost::Unknown && (seen > told || (seen < told && !cheaper && !sql.contains("empty"))) {
            bad.push(format!("{pages} pages written, {:?} told", statement.cost));
        }
        wrong.extend(bad.into_iter().map(|what| format!("{sql}  [{}]\n    {what}", statement.kind)));
    }
    let attach = "ATTACH ':memory:' AS other";
    hand.run("BEGIN", vec![]).await.unwrap();
    hand.run(attach, vec![]).await.unwrap();
    hand.run("ROLLBACK", vec![]).await.unwrap();
    let stays = hand.run("DETACH other", vec![]).await.is_ok();
    let attached = sql::parse_one(Dialect::Sqlite, attach).unwrap().on(server);
    assert!(stays && !attached.transactional && measured.insert(attached.kind));
    for sql in OUTSIDE {
        let statement = sql::parse_one(Dialect::Sqlite, sql).unwrap().on(server);
        measured.insert(statement.kind);
        hand.run(attach, vec![]).await.unwrap();
        hand.run("BEGIN", vec![]).await.unwrap();
        hand.run("CREATE TABLE other.x (a)", vec![]).await.unwrap();
        if hand.run(sql, vec![]).await.is_ok() || statement.transactional {
            wrong.push(format!("{sql}: a transaction takes it, or is told to"));
        }
        hand.run("ROLLBACK", vec![]).await.unwrap();
        let pages = written(&path, &mut hand, sql).await.unwrap();
        if (statement.cost == Cost::Rewrite) != (pages >= WRITTEN_ANEW) {
            wrong.push(format!("{sql}: {pages} pages written, {:?} told", statement.cost));
        }
        if sql != "DETACH other" {
            hand.run("DETACH other", vec![]).await.unwrap();
        }
    }
    let unmeasured = sql::forms(Dialect::Sqlite, None).filter(|form| form.measured && !measured.contains(form.kind));
    wrong.extend(unmeasured.map(|form| format!("{}: told as measured, and no statement measures it", form.kind)));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
