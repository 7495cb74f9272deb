//! Rows that a change saved come back exactly, whatever their types; what somebody touched since stays and is named.

use std::fmt::Write as _;

use backout::action::Go;
use backout::failure::Kind;
use backout::run::record::{Outcome, OutcomeResult};
use backout::target::{Handle, postgres};

use crate::shop::Shop;
use crate::support;

const RUNBOOK: &str = r#"
backout: 1
name: rows
title: Rows of every type
targets:
  shop: { KIND: "${SHOP}" }
steps:
  - id: overwrite
    phase: repair
    on: shop
    title: Overwrite every column
    change:
      sql: |
        UPDATE things AS t SET ASSIGNMENTS FROM others o WHERE o.id = t.id AND t.id <> 1
  - id: delete
    on: shop
    title: Delete
    change: { sql: "DELETE FROM things WHERE id > 2" }
  - id: rekey
    on: shop
    title: Change a key
    change: { sql: "UPDATE things SET id = id + 1000 WHERE id = 2" }
"#;

/// Columns with their types, and for each the values that are hard to keep.
type Types = &'static [(&'static str, &'static str, &'static [&'static str])];

const POSTGRES: Types = &[
    ("a_text", "text", &["''", "'null'", "'it''s'", "E'a\\nb\\t\\\\x'", "'ünï ☃'", "'\"{}\"'"]),
    ("a_varchar", "varchar(8)", &["'x'", "'  y '"]),
    ("a_char", "char(5)", &["'ab'", "'abcde'"]),
    ("\"Odd 'name\"", "text", &["'1'", "'two'"]),
    ("a_bytea", "bytea", &["''", "'\\x00ff10'", "'\\xdeadbeef'"]),
    (
        "a_numeric",
        "numeric",
        &["'NaN'", "1.50", "1e40", "-0.00000000000000000000000001", "123456789012345678901234567890.120"],
    ),
    ("a_money", "numeric(12,2)", &["0.10", "-99999.99"]),
    ("a_small", "int2", &["-32768", "7"]),
    ("a_big", "int8", &["9223372036854775807", "-9223372036854775808", "9007199254740993"]),
    ("a_real", "float4", &["0.1", "'NaN'", "3.4028235e38"]),
    ("a_double", "float8", &["0.1", "'-Infinity'", "5e-324", "'-0'", "0.30000000000000004"]),
    ("a_bool", "boolean", &["true", "false"]),
    ("a_date", "date", &["'infinity'", "'2024-02-29'", "'0044-03-15 BC'"]),
    ("a_moment", "timestamptz", &["'2024-10-27 02:30:00.123456+02'", "'-infinity'", "'0044-03-15 12:00:00+00 BC'"]),
    ("a_stamp", "timestamp(3)", &["'2024-10-27 02:30:00.123'", "'infinity'"]),
    ("a_time", "timetz", &["'23:59:59.999999+05:30'", "'00:00-08'"]),
    ("a_span", "interval", &["'1 mon -3 days 04:05:06.7'", "'-1 year -2 mons +3 days -04:05:06'"]),
    ("a_uuid", "uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("a_net", "inet", &["'192.168.0.1/24'", "'::1'", "'10.0.0.1'"]),
    ("a_json", "json", &["'{\"b\": 1,  \"a\":2, \"a\":3}'", "'null'", "'1.10'", "'[]'"]),
    ("a_jsonb", "jsonb", &["'null'", "'{\"n\": 1.10, \"s\": \"null\"}'", "'\"text\"'", "'[1, null]'"]),
    ("some_ints", "int[]", &["'{}'", "'{1,NULL,3}'", "'[0:1]={7,8}'", "'{{1,2},{3,4}}'"]),
    ("some_texts", "text[]", &["'{\"a,b\",NULL,\"NULL\",\"\\\\\"}'", "'{}'"]),
    ("a_mood", "mood", &["'so so'", "'fine'"]),
    ("some_moods", "mood[]", &["'{fine,\"so so\"}'"]),
    ("a_positive", "positive", &["1", "2147483647"]),
    ("a_pair", "pair", &["row(1, 'x,\"y')", "row(null, null)", "row(2, '')"]),
    ("a_range", "int4range", &["'[1,5)'", "'empty'", "'(,3)'"]),
    ("a_vector", "tsvector", &["'''it''''s'':1 cat:2B'"]),
    ("some_bits", "bit(3)", &["B'101'", "B'000'"]),
    ("more_bits", "varbit", &["B''", "B'1100101'"]),
    ("a_point", "point", &["'(0.1,-2)'"]),
    ("a_name", "name", &["'Name'"]),
];

const SQLITE: Types = &[
    ("free", "", &["5", "5.0", "'5'", "x'35'", "''", "x''", "'x''41'''", "-9223372036854775808", "9e999"]),
    ("a_text", "TEXT", &["'a' || char(0) || 'b'", "'ünï ☃'", "x'00ff'", "'it''s'", "'null'"]),
    ("a_number", "NUMERIC", &["0.1", "12.30", "'not a number'", "x'61'", "9223372036854775807", "1e300"]),
    ("an_integer", "INTEGER", &["0", "'seven'", "1.5", "x'07'", "-1"]),
    ("a_real", "REAL", &["5e-324", "-9e999", "0.30000000000000004", "1", "'text'", "-0.0"]),
    ("a_blob", "BLOB", &["zeroblob(3)", "1", "1.0", "'1'", "x'ffd8'"]),
    ("\"Odd 'name\"", "TEXT", &["'1'", "'two'"]),
];

/// The same numbers in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// A value of the type, or now and then none.
    fn value(&mut self, values: &[&str]) -> String {
        if self.below(5) == 0 { "NULL".to_owned() } else { values[self.below(values.len())].to_owned() }
    }

    fn rows(&mut self, table: &str, types: Types, count: usize) -> String {
        let names: Vec<_> = types.iter().map(|(name, _, _)| *name).collect();
        let mut sql = format!("INSERT INTO {table} (id, {}) VALUES ", names.join(", "));
        for id in 1..=count {
            let values: Vec<_> = types.iter().map(|(_, _, values)| self.value(values)).collect();
            write!(sql, "{}({id}, {})", if id == 1 { "" } else { ", " }, values.join(", ")).unwrap();
        }
        sql
    }
}

fn runbook(kind: &str, types: Types) -> String {
    let assignments: Vec<_> = types.iter().map(|(name, _, _)| format!("{name} = o.{name}")).collect();
    RUNBOOK.replace("KIND", kind).replace("ASSIGNMENTS", &assignments.join(", "))
}

fn columns(types: Types) -> String {
    types.iter().map(|(name, kind, _)| format!(", {name} {kind}")).collect()
}

async fn on_postgres(url: &str, run: &str, seed: u64) -> Shop {
    let shop = Shop::with(&runbook("postgres", POSTGRES), url, run);
    for sql in [
        "CREATE TYPE mood AS ENUM ('sad', 'so so', 'fine')",
        "CREATE DOMAIN positive AS int CHECK (value > 0)",
        "CREATE TYPE pair AS (n int, t text)",
        &format!(
            "CREATE TABLE things (id bigint PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, twice bigint GENERATED ALWAYS AS (a_small * 2) STORED{})",
            columns(POSTGRES)
        ),
        &format!("CREATE TABLE others (id bigint PRIMARY KEY{})", columns(POSTGRES)),
    ] {
        shop.sql(sql).await;
    }
    let mut dice = Dice(seed);
    shop.sql(&dice.rows("things", POSTGRES, 40)).await;
    shop.sql(&dice.rows("others", POSTGRES, 30)).await;
    shop
}

async fn on_sqlite(path: &str, run: &str, seed: u64) -> Shop {
    let shop = Shop::with(&runbook("sqlite", SQLITE), path, run);
    // The key has a blob in it, and a column is computed from another.
    for sql in [
        format!(
            "CREATE TABLE things (k BLOB NOT NULL DEFAULT (randomblob(4)), id INT NOT NULL{}, kind TEXT AS (typeof(free)) STORED, PRIMARY KEY (k, id)) WITHOUT ROWID",
            columns(SQLITE)
        ),
        format!("CREATE TABLE others (id INTEGER PRIMARY KEY{})", columns(SQLITE)),
    ] {
        shop.sql(&sql).await;
    }
    let mut dice = Dice(seed);
    shop.sql(&dice.rows("things", SQLITE, 40)).await;
    shop.sql(&dice.rows("others", SQLITE, 30)).await;
    shop.sql(&format!("CREATE TABLE kept (k BLOB, id INT{}, kind TEXT)", columns(SQLITE))).await;
    shop.sql("INSERT INTO kept SELECT * FROM things").await;
    shop
}

/// Every row of the table, each value as its type writes it.
async fn dump(shop: &Shop) -> String {
    shop.one("SELECT string_agg(t::text, E'\\n' ORDER BY id) FROM things t").await.as_str().unwrap().to_owned()
}

/// Rows of the SQLite table that are not what they were, in value or in type.
async fn differ(shop: &Shop) -> u64 {
    let mut conditions = "t.kind IS NOT o.kind".to_owned();
    for (name, _, _) in SQLITE {
        write!(conditions, " OR t.{name} IS NOT o.{name} OR typeof(t.{name}) <> typeof(o.{name})").unwrap();
    }
    let sql = format!(
        "SELECT (SELECT count(*) FROM kept o LEFT JOIN things t ON t.k = o.k AND t.id = o.id WHERE t.id IS NULL OR {conditions})
           + abs((SELECT count(*) FROM kept) - (SELECT count(*) FROM things))"
    );
    shop.one(&sql).await.as_u64().unwrap()
}

/// Does a step; its rows can be undone after it.
async fn does(shop: &mut Shop, step: &str, att: u32) -> Outcome {
    let outcome = shop.done(step, att, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    shop.context.changed.insert(step.to_owned(), outcome.before_image.clone().unwrap());
    outcome
}

async fn undoes(shop: &Shop, step: &str, att: u32) -> Outcome {
    let outcome = shop.done(step, att, true).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    outcome
}

/// Nothing of the rows is left in the run's own directory.
fn forget(shop: &Shop) {
    std::fs::remove_dir_all(shop.context.access.run_dir.join("changed")).unwrap();
}

fn file() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    std::fs::File::create(&path).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_postgres_comes_back_exactly() {
    for seed in [1, 20, 300, 4000] {
        let Some(database) = support::postgres_database("rows") else { return };
        let mut shop = on_postgres(&database.url, "run-rows", seed).await;
        shop.context.targets.install("shop").await.unwrap();
        let was = dump(&shop).await;
        let changed = does(&mut shop, "overwrite", 1).await.changed;
        assert_eq!(changed, Some(29));
        assert_ne!(dump(&shop).await, was);
        forget(&shop);
        assert_eq!(undoes(&shop, "overwrite", 2).await.changed, changed, "seed {seed}");
        assert_eq!(dump(&shop).await, was, "seed {seed}");
        let deleted = does(&mut shop, "delete", 1).await;
        assert_eq!((deleted.changed, shop.one("SELECT count(*) FROM things").await), (Some(38), 2.into()));
        forget(&shop);
        undoes(&shop, "delete", 2).await;
        assert_eq!(dump(&shop).await, was, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_sqlite_comes_back_exactly() {
    for seed in [1, 20, 300, 4000, 50000, 600000] {
        let (_dir, path) = file();
        let mut shop = on_sqlite(&path, "run-rows", seed).await;
        shop.context.targets.install("shop").await.unwrap();
        assert_eq!(differ(&shop).await, 0);
        let changed = does(&mut shop, "overwrite", 1).await.changed;
        assert_eq!(changed, Some(29));
        assert!(differ(&shop).await > 20, "seed {seed}");
        forget(&shop);
        assert_eq!(undoes(&shop, "overwrite", 2).await.changed, changed, "seed {seed}");
        assert_eq!(differ(&shop).await, 0, "seed {seed}");
        does(&mut shop, "delete", 1).await;
        assert_eq!(shop.one("SELECT count(*) FROM things").await, 2);
        forget(&shop);
        undoes(&shop, "delete", 2).await;
        assert_eq!(differ(&shop).await, 0, "seed {seed}");
    }
}

/// What everybody would call the same value is another one to whoever wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_somebody_touched_since_stay_and_are_named() {
    let Some(database) = support::postgres_database("rows") else { return };
    let mut shop = on_postgres(&database.url, "run-rows", 7).await;
    shop.context.targets.install("shop").await.unwrap();
    shop.sql("UPDATE others SET a_json = '{\"a\": 1}', a_numeric = 1.5, a_jsonb = 'null' WHERE id IN (3, 4, 5)").await;
    does(&mut shop, "overwrite", 1).await;
    for sql in [
        "UPDATE things SET a_json = '{\"a\":1}' WHERE id = 3",
        "UPDATE things SET a_numeric = 1.50 WHERE id = 4",
        "UPDATE things SET a_jsonb = NULL WHERE id = 5",
        "DELETE FROM things WHERE id = 6",
    ] {
        shop.sql(sql).await;
    }
    let prepared = shop.prepare("overwrite", 2, true).await.unwrap();
    assert_eq!(prepared.offer.number, Some(25));
    let since = prepared.evidence.facts.iter().find(|(label, _)| label == "changed since").unwrap();
    let mut named: Vec<_> = since.1.rsplit(": ").next().unwrap().split(", ").collect();
    named.sort_unstable();
    assert_eq!(named, ["3", "4", "5", "6"], "{since:?}");
    // One more is touched between the gate and the undo.
    shop.sql("UPDATE things SET a_small = -1 WHERE id = 7").await;
    let (outcome, _, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!((outcome.result, outcome.changed), (OutcomeResult::Applied, Some(24)), "{outcome:?}");
    let mut since = outcome.changed_since.clone();
    since.sort_unstable();
    assert_eq!(since, ["3", "4", "5", "6", "7"]);
    assert_eq!(shop.one("SELECT a_small FROM things WHERE id = 7").await, -1);
    let spent = shop.one("SELECT count(*) FROM backout.before_image WHERE undone_at IS NOT NULL").await;
    assert_eq!(spent, 24);
    // What was put back is not put back again, and what was left alone still waits.
    let again = shop.prepare("overwrite", 3, true).await.unwrap();
    assert_eq!((again.offer.number, again.needed), (Some(0), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_another_type_is_another_value() {
    let (_dir, path) = file();
    let mut shop = on_sqlite(&path, "run-rows", 7).await;
    shop.context.targets.install("shop").await.unwrap();
    shop.sql("UPDATE others SET free = 5 WHERE id IN (3, 4)").await;
    does(&mut shop, "overwrite", 1).await;
    shop.sql("UPDATE things SET free = '5' WHERE id = 3").await;
    shop.sql("UPDATE things SET free = 5.0 WHERE id = 4").await;
    let outcome = undoes(&shop, "overwrite", 2).await;
    assert_eq!(outcome.changed, Some(27));
    let ids: Vec<_> = outcome.changed_since.iter().map(|key| key.rsplit('/').next().unwrap()).collect();
    assert!(ids.len() == 2 && ids.contains(&"3") && ids.contains(&"4"), "{outcome:?}");
    assert_eq!(shop.one("SELECT typeof(free) FROM things WHERE id = 4").await, "real");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_is_rolled_back() {
    let (_dir, path) = file();
    let shop = on_sqlite(&path, "run-rows", 9).await;
    shop.context.targets.install("shop").await.unwrap();
    let outcome = shop.done("rekey", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("a key that changes cannot be undone"), "{outcome:?}");
    assert_eq!(differ(&shop).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_of_the_table_may_have_changed_since() {
    let Some(database) = support::postgres_database("rows") else { return };
    let mut shop = on_postgres(&database.url, "run-rows", 11).await;
    shop.context.targets.install("shop").await.unwrap();
    let was = dump(&shop).await;
    does(&mut shop, "overwrite", 1).await;
    shop.sql("ALTER TABLE things RENAME COLUMN a_uuid TO b_uuid").await;
    let refused = shop.prepare("overwrite", 2, true).await.err().unwrap();
    assert_eq!(refused.kind, Kind::Refused);
    assert!(refused.to_string().contains("things has no a_uuid any more"), "{refused}");
    shop.sql("ALTER TABLE things RENAME COLUMN b_uuid TO a_uuid").await;
    // A column that came since is no change of a row.
    shop.sql("ALTER TABLE things ADD COLUMN later text DEFAULT 'x'").await;
    assert_eq!(undoes(&shop, "overwrite", 2).await.changed, Some(29));
    shop.sql("ALTER TABLE things DROP COLUMN later").await;
    assert_eq!(dump(&shop).await, was);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_writes_is_said() {
    let Some(database) = support::postgres_database("rows") else { return };
    let mut shop = on_postgres(&database.url, "run-rows", 13).await;
    shop.context.targets.install("shop").await.unwrap();
    shop.sql("CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a_text := clock_timestamp()::text; RETURN NEW; END'").await;
    shop.sql("CREATE TRIGGER stamp BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION stamp()").await;
    does(&mut shop, "overwrite", 1).await;
    let outcome = undoes(&shop, "overwrite", 2).await;
    assert!(outcome.evidence.contains("29 rows are not quite as they were"), "{outcome:?}");
}

/// The run's own file is what is left where the database may hold no rows, or may not show them.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_the_saved_rows_the_file_serves() {
    let Some(database) = support::postgres_database("rows") else { return };
    let owner = on_postgres(&database.url, "run-owner", 17).await;
    owner.context.targets.install("shop").await.unwrap();
    let was = dump(&owner).await;
    let role = support::unique("rows_role");
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'rows'"),
        format!("GRANT ALL ON things, others TO {role}"),
        format!("GRANT USAGE ON SCHEMA backout TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE ON backout.claim, backout.marker TO {role}"),
        format!("GRANT INSERT ON backout.before_image TO {role}"),
        format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA backout TO {role}"),
    ] {
        owner.sql(&sql).await;
    }
    let url = database.url.replace("//backout:backout@", &format!("//{role}:rows@"));
    let mut shop = Shop::with(&runbook("postgres", POSTGRES), &url, "run-rows");
    does(&mut shop, "overwrite", 1).await;
    let prepared = shop.prepare("overwrite", 2, true).await.unwrap();
    let told = prepared.evidence.facts.iter().find(|(label, _)| label == "saved rows").unwrap();
    assert!(told.1.contains("permission denied for table before_image"), "{told:?}");
    undoes(&shop, "overwrite", 2).await;
    assert_eq!(dump(&owner).await, was);
    owner.sql(&format!("DROP OWNED BY {role}")).await;
    owner.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tables_the_file_serves_a_rehearsal_and_production_is_refused() {
    let Some(database) = support::postgres_database("rows") else { return };
    let mut shop = on_postgres(&database.url, "run-rows", 19).await;
    let refused = shop.prepare("overwrite", 1, false).await.err().unwrap();
    assert!(refused.to_string().contains("no marker table"), "{refused}");
    let Handle::Postgres(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
    postgres::declare_rehearsal(&mut own, "rows").await.unwrap();
    let was = dump(&shop).await;
    does(&mut shop, "overwrite", 1).await;
    undoes(&shop, "overwrite", 2).await;
    assert_eq!(dump(&shop).await, was);
}
