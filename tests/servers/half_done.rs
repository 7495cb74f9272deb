//! What is half done, and says so with the way out: an index that failed, a constraint that skipped the old rows, a list
//! of statements that stopped in the middle, a release that its own table claims to be in.

use backout::action;
use backout::engine;
use backout::run::record::{OutcomeResult, Position};
use backout::runbook::CheckRef;
use backout::survey;
use tempfile::TempDir;

use crate::shop::Shop;
use crate::support;

const RUN: &str = "run-hhhhhhhh";

const RUNBOOK: &str = r#"
backout: 1
name: shop
migration: { up: [up.sql], recorded: { in: schema_migrations.version, as: "42" } }
targets:
  shop: { KIND: "${SHOP}" }
services:
  checkout: { runs: v1, sessions: "checkout-v1*", uses: [orders.note] }
steps:
  - id: evidence
    freeze: [catalog of shop]
  - id: build
    phase: repair
    on: shop
    ddl: |
      CREATE UNIQUE INDEX CONCURRENTLY orders_total ON orders (total)
  - id: clean
    on: shop
    ddl: |
      VACUUM orders
  - id: guarded
    on: shop
    ddl: |
      ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)
  - id: rename
    on: shop
    ddl:
      - "ALTER TABLE orders RENAME COLUMN note TO remark"
      - "ALTER TABLE orders ADD COLUMN psp text"
  - id: label
    on: shop
    ddl: |
      ALTER TYPE order_status ADD VALUE 'held'
"#;

const UP: &str = "ALTER TABLE orders ADD COLUMN psp text;\nALTER TABLE orders RENAME COLUMN note TO remark;\nUPDATE orders SET total = 1;\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("up.sql"), UP).unwrap();
    std::fs::write(folder.path().join("shop.db"), "").unwrap();
    folder
}

async fn shop(folder: &TempDir, kind: &str, address: &str) -> Shop {
    let text = match kind {
        // SQLite builds no index beside its writers, and has no types.
        "sqlite" => {
            let (head, rest) = RUNBOOK.split_once("  - id: build").unwrap();
            let (_, rest) = rest.split_once("  - id: rename").unwrap();
            let (rename, _) = rest.split_once("  - id: label").unwrap();
            format!("{head}  - id: rename{rename}")
        }
        _ => RUNBOOK.to_owned(),
    };
    let shop = Shop::beside(folder.path(), &text.replace("KIND", kind), address, RUN);
    if kind == "postgres" {
        shop.sql("CREATE TYPE order_status AS ENUM ('new', 'paid')").await;
    }
    shop.sql("CREATE TABLE orders (id int PRIMARY KEY, total int, note text)").await;
    shop.sql("INSERT INTO orders VALUES (1, 5, 'a'), (2, 5, 'b')").await;
    shop.sql("CREATE TABLE schema_migrations (version text)").await;
    shop.context.targets.install("shop").await.unwrap();
    shop
}

async fn stands(shop: &Shop, step: &str, position: Position, words: &[&str]) {
    let found = action::position(&shop.context.runbook.steps[step], &shop.context).await;
    assert_eq!(found.position, position, "{step}: {found:?}");
    for words in words {
        assert!(found.because.contains(words), "{words}: {found:?}");
    }
}

#[tokio::test]
async fn an_index_that_failed_is_named_with_its_repair() {
    let Some(database) = support::postgres_database("half_done") else { return };
    let folder = folder();
    let shop = shop(&folder, "postgres", &database.url).await;
    stands(&shop, "build", Position::NotDone, &["index orders_total is not there"]).await;
    let outcome = shop.done("build", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::Unknown, "{outcome:?}");
    let repair = ["index orders_total is INVALID", "DROP INDEX CONCURRENTLY orders_total"];
    for words in ["statement 1 of 1", "(23505)"].iter().chain(&repair) {
        assert!(outcome.evidence.contains(words), "{words}: {outcome:?}");
    }
    stands(&shop, "build", Position::HalfDone, &repair).await;

    // By its state alone: half done is for a person, and mended it is not applied.
    let prepared = shop.prepare("build", 2, false).await.unwrap();
    let reached = [(backout::run::record::Point::Begun, serde_json::json!({}))];
    let step = &shop.context.runbook.steps["build"];
    let settled = action::settle(step, Some(&prepared.offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Unknown, "{:?}", settled.evidence);
    assert!(settled.evidence.iter().any(|(_, words)| words.contains(repair[1])), "{:?}", settled.evidence);
    shop.sql("DROP INDEX CONCURRENTLY orders_total").await;
    stands(&shop, "build", Position::NotDone, &[]).await;
    shop.sql("UPDATE orders SET total = 6 WHERE id = 2").await;
    let outcome = shop.done("build", 3, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    stands(&shop, "build", Position::Done, &["index orders_total is valid"]).await;
    // A second time is refused by the server, and changes nothing.
    let outcome = shop.done("build", 4, false).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
}

#[tokio::test]
async fn what_no_catalog_shows_is_applied_when_the_server_says_so() {
    let Some(database) = support::postgres_database("half_done") else { return };
    let folder = folder();
    let shop = shop(&folder, "postgres", &database.url).await;
    let outcome = shop.done("clean", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
}

#[tokio::test]
async fn a_constraint_that_skipped_the_old_rows_is_half_done() {
    let Some(database) = support::postgres_database("half_done") else { return };
    let folder = folder();
    let shop = shop(&folder, "postgres", &database.url).await;
    shop.sql("ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID").await;
    let words = ["constraint positive is NOT VALID", "ALTER TABLE orders VALIDATE CONSTRAINT positive"];
    stands(&shop, "guarded", Position::HalfDone, &words).await;
    shop.sql("ALTER TABLE orders VALIDATE CONSTRAINT positive").await;
    stands(&shop, "guarded", Position::Done, &[]).await;
}

#[tokio::test]
async fn a_label_is_added_in_a_transaction() {
    let Some(database) = support::postgres_database("half_done") else { return };
    let folder = folder();
    let shop = shop(&folder, "postgres", &database.url).await;
    let outcome = shop.done("label", 1, false).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert!(outcome.evidence.starts_with("marker read back"), "{outcome:?}");
    stands(&shop, "label", Position::Done, &[]).await;
}

/// On every database.
async fn a_list_and_a_release(folder: &TempDir, kind: &str, address: &str) {
    let mut shop = shop(folder, kind, address).await;
    shop.freeze().await;
    stands(&shop, "rename", Position::NotDone, &[]).await;
    shop.sql("INSERT INTO schema_migrations VALUES ('42')").await;
    shop.sql("ALTER TABLE orders RENAME COLUMN note TO remark").await;
    let words = ["1 of 2, ALTER TABLE … RENAME COLUMN, is in", "2 of 2, ALTER TABLE … ADD COLUMN, is not in"];
    stands(&shop, "rename", Position::HalfDone, &words).await;

    let map = survey::take(&shop.context, engine::now, |_, _| {}).await;
    let positions: Vec<_> = map.statements.iter().map(|seen| seen.found.position).collect();
    assert_eq!(positions, [Position::NotDone, Position::Done, Position::Unknown], "{:?}", map.statements);
    assert!(map.statements.iter().all(|seen| seen.target == "shop"), "{:?}", map.statements);
    let broken: Vec<_> = map.statements[1].breaks.iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("breaks checkout, ") && broken[0].ends_with("it uses orders.note"), "{broken:?}");
    assert!(map.statements[0].breaks.is_empty(), "{:?}", map.statements);
    assert!(map.claims[0].mark == backout::check::schema::release::Mark::Disagrees, "{:?}", map.claims);
    assert!(map.claims[0].words.contains("1 of 2 statements in"), "{:?}", map.claims);

    // What a live service uses is a hard need that nobody wrote.
    let needs = &shop.context.runbook.steps["rename"].needs;
    assert!(needs.iter().any(|need| need.hard && need.check == CheckRef::ServiceGone("checkout".into())), "{needs:?}");

    // Frozen again, it says what became of it.
    let step = &shop.context.runbook.steps["evidence"];
    let backout::runbook::Action::Freeze(items) = &step.action else { panic!("evidence freezes") };
    let (_, outcome) = action::freeze::perform(items, &shop.context).await;
    for words in ["column orders.note was there and is not", "column orders.remark is there and was not"] {
        assert!(outcome.evidence.contains(words), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_list_and_a_release_are_told_statement_by_statement_on_postgres() {
    let Some(database) = support::postgres_database("half_done") else { return };
    a_list_and_a_release(&folder(), "postgres", &database.url).await;
}

#[tokio::test]
async fn a_list_and_a_release_are_told_statement_by_statement_on_sqlite() {
    let folder = folder();
    let address = folder.path().join("shop.db").display().to_string();
    a_list_and_a_release(&folder, "sqlite", &address).await;
}
