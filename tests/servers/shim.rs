//! Both names of a column or a table, kept by the steps that `backout draft` prints: pasted into the runbook, run, undone
//! and taken away again, while the old code and the new one write side by side.

use std::process::{Command, Output};

use backout::check::schema;
use backout::draft::{self, Owned, Wish};
use backout::failure::Result;
use backout::run::record::{OutcomeResult, Position};
use backout::runbook::resolve;
use backout::sql::shim::Form;
use backout::target::{Handle, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::shop::Shop;
use crate::support::{self, Database};

mod forms;
mod gate;
mod hazards;
mod values;

const RUNBOOK: &str = r#"
backout: 1
name: shop
targets:
  shop: { postgres: "${SHOP}" }
services:
  checkout: { runs: v1, sessions: "checkout-v1*", uses: [orders.payment_ref] }
  reports: { sessions: "reports*", uses: [orders.payment_reference_id], owner: data team }
checks:
  orders-there: { layer: data, on: shop, query: "SELECT count(*) FROM orders", expect: ">= 10" }
steps:
  - id: evidence
    phase: contain
    freeze: [catalog of shop]
  - id: rename-back
    phase: repair
    on: shop
    title: Give the old code its name back
    needs: [{ service: reports, gone: true, hard: true }]
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
    verify: [orders-there]
"#;

/// A shop with what stands on a table: defaults, keys, a trigger, a view, rights.
const TABLES: [&str; 9] = [
    "CREATE TABLE orders (id bigserial PRIMARY KEY, amount int NOT NULL DEFAULT 1, payment_reference_id varchar(64) UNIQUE, note text)",
    "CREATE TABLE payments (ref varchar(64) REFERENCES orders (payment_reference_id) ON UPDATE CASCADE)",
    "CREATE TABLE audit (line jsonb)",
    "CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS 'begin insert into audit values (to_jsonb(new)); return new; end'",
    "CREATE TRIGGER kept AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION kept()",
    "CREATE VIEW report AS SELECT id, payment_reference_id FROM orders",
    "CREATE INDEX orders_amount ON orders (amount, payment_reference_id)",
    "GRANT SELECT, INSERT, UPDATE ON orders TO PUBLIC",
    "INSERT INTO orders (payment_reference_id) SELECT 'ref-' || n FROM generate_series(1, 10) n",
];

async fn filled(runbook: &str, database: &Database, run: &str) -> Shop {
    let shop = Shop::with(runbook, &database.url, run);
    for sql in TABLES {
        shop.sql(sql).await;
    }
    shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
    shop
}

/// The printed steps of `rename-back`.
async fn printed(shop: &Shop, form: Option<Form>) -> Result<String> {
    let owned = Owned { owner: None, remove_by: Some("2026-12-24".into()) };
    draft::shim(&shop.context.runbook, "rename-back", form, &owned, &shop.context.targets).await
}

/// A runbook with printed steps in the place of its last one, or behind it; lint has nothing to say of it.
fn pasted(runbook: &str, printed: &str, in_place: bool) -> String {
    let (head, steps) = printed.split_once("steps:\n").unwrap_or_else(|| panic!("{printed}"));
    let kept = match in_place {
        true => runbook.split_once("  - id: rename-back").unwrap().0,
        false => runbook,
    };
    let mut text = kept.to_owned();
    let (sets, checks) = head.split_once("checks:\n").unwrap_or((head, ""));
    text = match text.contains("checks:\n") {
        true => text.replacen("checks:\n", &format!("checks:\n{checks}"), 1),
        false => text.replacen("steps:\n", &format!("checks:\n{checks}steps:\n"), 1),
    };
    if let Some((_, sets)) = sets.split_once("sets:\n") {
        text = text.replacen("checks:\n", &format!("sets:\n{sets}checks:\n"), 1);
    }
    text.push_str(steps);
    let loaded =
        resolve::load_str("shop.yaml", &text, std::path::Path::new(".")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(!loaded.warnings.to_string().contains("warning"), "{}\n{text}", loaded.warnings);
    text
}

/// The catalog but for backout's own tables.
async fn catalog(shop: &Shop) -> Vec<String> {
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    schema::catalog(&mut handle).await.unwrap()
}

async fn applied(shop: &Shop, step: &str, att: u32, undoing: bool) {
    let outcome = shop.done(step, att, undoing).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{step}: {outcome:?}");
}

async fn stands(shop: &Shop, step: &str, wanted: Position) {
    let found = backout::action::position(&shop.context.runbook.steps[step], &shop.context).await;
    assert_eq!(found.position, wanted, "{step}: {found:?}");
}

async fn session(shop: &Shop, app: &str) -> Handle {
    shop.context.targets.dedicated("shop", app).await.unwrap()
}

/// A program's own connection.
async fn program(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

/// What a server answers to one statement: the first value as text, or its words.
async fn asked(program: &mut PgConnection, sql: &str) -> std::result::Result<String, String> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_optional(program).await {
        Ok(row) => Ok(row.map(|row| row.try_get_raw(0).unwrap().as_str().unwrap().to_owned()).unwrap_or_default()),
        Err(error) => Err(error.to_string()),
    }
}

/// The program itself, on a database that declares itself a rehearsal.
async fn headless(shop: &Shop, database: &Database, runbook: &str, answers: &str) -> (Output, tempfile::TempDir) {
    let Handle::Postgres(mut own) = session(shop, "test").await else { panic!() };
    postgres::declare_rehearsal(&mut own, "shim").await.unwrap();
    let dir = support::state_dir();
    std::fs::write(dir.path().join("runbook.yaml"), runbook).unwrap();
    std::fs::write(dir.path().join("answers.yaml"), format!("answers: 1\nsteps:\n{answers}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.arg("run").arg(dir.path().join("runbook.yaml")).arg("--headless");
    command.arg("--answers").arg(dir.path().join("answers.yaml")).arg("--state-dir").arg(dir.path().join("state"));
    let output = command.env("SHOP", &database.url).env_remove("BACKOUT_FAULT").output().unwrap();
    (output, dir)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
