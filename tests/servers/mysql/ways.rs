//! The cheapest way first: what the gate says, what the server takes, and that a copy never comes unannounced. On
//! MariaDB; the ladders of MySQL 8 are not measured, their source stands at the rows of `sql`.

use backout::action::{Go, Prepared};
use backout::run::record::{Outcome, OutcomeResult};
use backout::sql::{Dialect, Server, Ways, parse_one, ways};
use backout::target::Handle;

use crate::shop::Shop;
use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: shop
title: The shop
targets:
  shop: { mysql: "${SHOP}" }
steps:
  - id: rename-back
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref -- the old name
  - id: index
    on: shop
    ddl: |
      CREATE INDEX by_ref ON orders (payment_reference_id)
  - id: widen
    on: shop
    ddl: |
      ALTER TABLE orders MODIFY amount_cents bigint NOT NULL
  - id: chosen
    on: shop
    ddl: |
      ALTER TABLE orders ADD COLUMN note text, ALGORITHM=COPY, LOCK=EXCLUSIVE
  - id: of-another-engine
    on: shop
    ddl: |
      CREATE INDEX by_what ON heap (what)
"#;

async fn shop(run: &str) -> Option<(Database, Shop)> {
    let database = support::mysql_database("mysql")?;
    let shop = Shop::with(RUNBOOK, &database.url, run);
    shop.sql(
        "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents int NOT NULL, payment_reference_id varchar(64))",
    )
    .await;
    shop.sql("INSERT INTO orders VALUES (1, 100, 'ref-1'), (2, 200, 'ref-2')").await;
    shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
    Some((database, shop))
}

async fn prepared(shop: &Shop, step: &str, undoing: bool) -> Prepared {
    let att = if undoing { 2 } else { 1 };
    shop.prepare(step, att, undoing).await.unwrap_or_else(|e| panic!("{e}"))
}

async fn applied(shop: &Shop, prepared: Prepared) -> Outcome {
    let (outcome, _, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    outcome
}

fn runs(prepared: &Prepared) -> &str {
    &prepared.evidence.facts.iter().find(|(label, _)| label == "runs").unwrap().1
}

#[tokio::test]
async fn what_is_instant_is_asked_for_as_instant_and_so_is_its_undo() {
    let Some((_database, shop)) = shop("run-waysaaaa").await else { return };
    let gate = prepared(&shop, "rename-back", false).await;
    let ladder =
        "with ALGORITHM=INSTANT; if refused: ALGORITHM=NOCOPY, LOCK=NONE; if refused: ALGORITHM=INPLACE, LOCK=NONE";
    assert_eq!(gate.offer.rendered[1], ladder);
    assert!(runs(&gate).contains("never a copy of the table"), "{}", runs(&gate));
    let outcome = applied(&shop, gate).await;
    assert!(outcome.evidence.ends_with("; by ALGORITHM=INSTANT"), "{outcome:?}");
    let back = prepared(&shop, "rename-back", true).await;
    assert_eq!(back.offer.rendered[1], ladder);
    assert!(applied(&shop, back).await.evidence.ends_with("; by ALGORITHM=INSTANT"));
}

#[tokio::test]
async fn an_index_is_built_without_a_copy_and_dropped_as_written() {
    let Some((_database, shop)) = shop("run-waysaaab").await else { return };
    let outcome = {
        let gate = prepared(&shop, "index", false).await;
        applied(&shop, gate).await
    };
    assert!(outcome.evidence.ends_with("; by ALGORITHM=NOCOPY, LOCK=NONE"), "{outcome:?}");
    let back = prepared(&shop, "index", true).await;
    assert!(runs(&back).starts_with("as written: MariaDB takes no ALGORITHM"), "{}", runs(&back));
    applied(&shop, back).await;
}

#[tokio::test]
async fn a_copy_is_said_before_and_told_after_with_the_reason() {
    let Some((_database, shop)) = shop("run-waysaaac").await else { return };
    let gate = prepared(&shop, "widen", false).await;
    assert!(runs(&gate).starts_with("! ") && runs(&gate).contains("COPY of the table"), "{}", runs(&gate));
    assert!(gate.offer.rendered[1].ends_with("if refused: ALGORITHM=COPY, LOCK=SHARED"), "{:?}", gate.offer.rendered);
    let outcome = applied(&shop, gate).await;
    assert!(outcome.evidence.contains("; by ALGORITHM=COPY, LOCK=SHARED; ALGORITHM=INSTANT refused: "), "{outcome:?}");
    assert!(outcome.evidence.contains("Cannot change column type"), "{outcome:?}");
}

#[tokio::test]
async fn a_copy_that_the_gate_did_not_name_is_not_made() {
    let Some((_database, shop)) = shop("run-waysaaad").await else { return };
    shop.sql("CREATE TABLE heap (what int) ENGINE=MyISAM").await;
    let gate = prepared(&shop, "of-another-engine", false).await;
    assert!(runs(&gate).contains("never a copy"), "{}", runs(&gate));
    let (outcome, _, _) = shop.perform(gate.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("none of the ways that were agreed to"), "{outcome:?}");
    assert!(outcome.evidence.contains("ALGORITHM=INPLACE, LOCK=NONE refused: "), "{outcome:?}");
    let indexes = "SELECT count(*) AS n FROM information_schema.statistics WHERE table_schema = database() AND table_name = 'heap'";
    assert_eq!(shop.one(indexes).await, 0);
}

#[tokio::test]
async fn what_the_author_chose_is_sent_as_he_wrote_it() {
    let Some((_database, shop)) = shop("run-waysaaae").await else { return };
    let gate = prepared(&shop, "chosen", false).await;
    assert_eq!(gate.offer.rendered.len(), 1, "{:?}", gate.offer.rendered);
    assert!(runs(&gate).starts_with("as written: it names ALGORITHM or LOCK itself"), "{}", runs(&gate));
    let outcome = applied(&shop, gate).await;
    assert!(!outcome.evidence.contains("; by "), "{outcome:?}");
}

/// Each form that the parser knows, as an action on `t`.
const ALTERS: [&str; 25] = [
    "ADD COLUMN c2 int CHECK (c2 > 0)",
    "ADD COLUMN c2 int",
    "ADD COLUMN c2 int DEFAULT 5 AFTER id",
    "ADD COLUMN c2 int NOT NULL",
    "ADD COLUMN c2 int AS (a + 1) VIRTUAL",
    "ADD COLUMN c2 int AS (a + 1) STORED",
    "ADD COLUMN c2 varchar(40) DEFAULT (uuid())",
    "ADD COLUMN c2 int UNIQUE",
    "DROP COLUMN b",
    "RENAME COLUMN b TO b2",
    "RENAME TO t2",
    "MODIFY a bigint",
    "CHANGE a a2 bigint",
    "ALTER COLUMN a SET DEFAULT 3",
    "ALTER COLUMN a DROP DEFAULT",
    "ADD INDEX i (a)",
    "ADD FULLTEXT INDEX i (b)",
    "ADD UNIQUE u (b)",
    "DROP PRIMARY KEY",
    "DROP INDEX k",
    "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p (id)",
    "ADD CONSTRAINT c2 CHECK (n > 0)",
    "DROP CONSTRAINT c",
    "AUTO_INCREMENT = 50",
    "DROP FOREIGN KEY g",
];

/// The row of each form is compared with what the server takes: dearer than said it never is, and cheaper only where
/// the words of the statement do not tell.
#[tokio::test]
async fn the_table_of_forms_says_what_the_server_does() {
    let Some((_database, shop)) = shop("run-waysaaaf").await else { return };
    let mut handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    let Handle::Mysql(connection) = &handle else { panic!("it is a MySQL target") };
    let server = connection.server;
    if !matches!(server, Server::MariaDb(n) if n / 100 == 1011) {
        return;
    }
    handle.run("CREATE TABLE p (id int PRIMARY KEY)", vec![]).await.unwrap();
    handle.run("INSERT INTO p VALUES (1)", vec![]).await.unwrap();
    let mut wrong = Vec::new();
    let statements = ALTERS.iter().map(|action| format!("ALTER TABLE t {action}"));
    let more = ["ALTER TABLE bare ADD PRIMARY KEY (id)", "CREATE INDEX i ON t (a)"];
    for sql in statements.chain(more.map(str::to_owned)) {
        for table in ["t", "t2", "bare"] {
            handle.run(format!("DROP TABLE IF EXISTS {table}"), vec![]).await.unwrap();
        }
        let columns =
            "id int NOT NULL, a int, b varchar(20), n int NOT NULL, q int, KEY k (n), CONSTRAINT c CHECK (a < 9)";
        let key = "PRIMARY KEY (id), CONSTRAINT g FOREIGN KEY (q) REFERENCES p (id)";
        handle.run(format!("CREATE TABLE t ({columns}, {key})"), vec![]).await.unwrap();
        handle.run(format!("CREATE TABLE bare ({columns})"), vec![]).await.unwrap();
        // Where there are no rows more is instant.
        for table in ["t", "bare"] {
            handle
                .run(format!("INSERT INTO {table} VALUES (1, 1, 'b', 1, 1), (2, 1, 'c', 2, 1)"), vec![])
                .await
                .unwrap();
        }
        let statement = parse_one(Dialect::Mysql, &sql).unwrap_or_else(|refused| panic!("{sql}: {refused}")).on(server);
        let Ways::Tried(ways) = ways(&sql, &statement, server) else { panic!("{sql} has ways") };
        let mut taken = None;
        let mut said = Vec::new();
        for way in ways {
            match handle.run(way.sql.as_str(), vec![]).await {
                Ok(_) => {
                    taken = Some(way.algorithm);
                    break;
                }
                Err(error) => said.push(format!("{}: {error}", way.asks)),
            }
        }
        if taken != statement.algorithm(server) {
            wrong.push(format!("{sql}: {taken:?}, and the table says {:?}; {said:?}", statement.algorithm(server)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
