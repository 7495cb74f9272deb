//! Questions to a catalog on real databases: each kind green, red once the thing is changed, green again, and unknown
//! where it cannot be seen.

use std::path::Path;
use std::process::Command;

use backout::check::{Answer, Depth};
use backout::runbook::expect::Verdict;
use tempfile::TempDir;

use crate::shop::Shop;
use crate::support;

mod seen;

const RUN: &str = "run-cccccccc";

/// A runbook with these checks, each `name: facts`.
fn runbook(kind: &str, migration: &str, checks: &[(&str, &str)]) -> String {
    let checks: String =
        checks.iter().map(|(name, facts)| format!("  {name}: {{ on: shop, schema: {facts} }}\n")).collect();
    format!(
        "backout: 1\nname: shop\n{migration}targets:\n  shop: {{ {kind}: \"${{SHOP}}\" }}\nchecks:\n{checks}steps:\n  - {{ id: look, manual: Look }}\n"
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

async fn ask(shop: &Shop, check: &str) -> Answer {
    shop.check(check, Depth::Parse).await
}

async fn green(shop: &Shop, check: &str) {
    let answer = ask(shop, check).await;
    assert!(answer.verdict.is_pass(), "{check}: {answer:?}");
}

async fn red(shop: &Shop, check: &str, words: &str) {
    let answer = ask(shop, check).await;
    assert_eq!(answer.verdict, Verdict::Fail, "{check}: {answer:?}");
    assert!(answer.words.as_deref().is_some_and(|said| said.contains(words)), "{check}: {words}: {answer:?}");
}

async fn unknown(shop: &Shop, check: &str, words: &str) {
    let answer = ask(shop, check).await;
    assert!(answer.verdict.is_unknown(), "{check}: {answer:?}");
    assert!(answer.words.as_deref().is_some_and(|said| said.contains(words)), "{check}: {words}: {answer:?}");
}

const POSTGRES: &[&str] = &[
    "CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped')",
    "CREATE TABLE orders (id bigint PRIMARY KEY, status order_status NOT NULL DEFAULT 'new', total int, note text)",
    "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)",
    "CREATE INDEX orders_total ON orders (total)",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ begin return new; end $$",
    "CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE VIEW open_orders AS SELECT id FROM orders WHERE status = 'new'",
    "CREATE POLICY mine ON orders USING (total > 0)",
];

#[tokio::test]
async fn each_kind_on_postgres_turns_red_and_green_again() {
    let Some(database) = support::postgres_database("schema_checks") else { return };
    let setup = Shop::run("postgres", &database.url, RUN);
    for sql in POSTGRES {
        setup.sql(sql).await;
    }
    let digest = setup
        .one("SELECT encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') FROM pg_proc WHERE proname = 'touch'")
        .await;
    let digest = digest.as_str().unwrap();
    let body = format!("{{ function: touch(), digest: {digest} }}");
    let of_public = "{ grant: SELECT, object: orders, role: public, absent: true }";
    // Check, facts, what breaks it, what the check says then, what mends it.
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        (
            "type",
            "{ column: orders.note, type: text }",
            "ALTER TABLE orders ALTER note TYPE varchar(9)",
            "is not text",
            "ALTER TABLE orders ALTER note TYPE text",
        ),
        (
            "null",
            "{ column: orders.note, not_null: false }",
            "ALTER TABLE orders ALTER note SET NOT NULL",
            "refuses NULL",
            "ALTER TABLE orders ALTER note DROP NOT NULL",
        ),
        (
            "label",
            "{ enum: order_status, value: paid }",
            "ALTER TYPE order_status RENAME VALUE 'paid' TO 'settled'",
            "value 'paid' of order_status is not there",
            "ALTER TYPE order_status RENAME VALUE 'settled' TO 'paid'",
        ),
        (
            "labels",
            "{ enum: order_status, values: [new, paid, shipped] }",
            "ALTER TYPE order_status RENAME VALUE 'paid' TO 'settled'",
            "are not new, paid, shipped",
            "ALTER TYPE order_status RENAME VALUE 'settled' TO 'paid'",
        ),
        (
            "valid",
            "{ constraint: orders.positive, valid: true }",
            "ALTER TABLE orders DROP CONSTRAINT positive",
            "is not validated",
            "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)",
        ),
        (
            "enabled",
            "{ trigger: orders.touched, enabled: true }",
            "ALTER TABLE orders DISABLE TRIGGER touched",
            "is disabled",
            "ALTER TABLE orders ENABLE TRIGGER touched",
        ),
        (
            "body",
            &body,
            "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ begin return null; end $$",
            "the body of touch() is not",
            "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ begin return new; end $$",
        ),
        (
            "right",
            of_public,
            "GRANT SELECT ON orders TO public",
            "public has SELECT on orders",
            "REVOKE SELECT ON orders FROM public",
        ),
        (
            "right-on-column",
            "{ grant: UPDATE, object: orders.note, role: public, absent: true }",
            "GRANT UPDATE (note) ON orders TO public",
            "public has UPDATE on orders.note",
            "REVOKE UPDATE (note) ON orders FROM public",
        ),
        (
            "right-on-function",
            "{ grant: EXECUTE, object: touch(), role: public }",
            "REVOKE EXECUTE ON FUNCTION touch() FROM public",
            "public has not EXECUTE on touch()",
            "GRANT EXECUTE ON FUNCTION touch() TO public",
        ),
        (
            "view",
            "{ view: open_orders }",
            "DROP VIEW open_orders",
            "view open_orders is not there",
            "CREATE VIEW open_orders AS SELECT id FROM orders WHERE status = 'new'",
        ),
    ];
    let checks: Vec<_> = cases.iter().map(|case| (case.0, case.1)).collect();
    let shop = Shop::with(&runbook("postgres", "", &checks), &database.url, RUN);
    for (check, _, breaks, words, mends) in cases {
        green(&shop, check).await;
        shop.sql(breaks).await;
        red(&shop, check, words).await;
        shop.sql(mends).await;
        green(&shop, check).await;
    }
}

#[tokio::test]
async fn a_constraint_that_skipped_the_old_rows_and_an_index_that_failed_are_red() {
    let Some(database) = support::postgres_database("schema_checks") else { return };
    let checks = [
        ("valid", "{ constraint: orders.positive, valid: true }"),
        ("there", "{ constraint: orders.positive }"),
        ("index", "{ index: orders_note }"),
        ("nobody", "{ grant: SELECT, object: orders, role: nobody_of_this_name }"),
    ];
    let shop = Shop::with(&runbook("postgres", "", &checks), &database.url, RUN);
    for sql in POSTGRES {
        shop.sql(sql).await;
    }
    shop.sql("INSERT INTO orders (id, total, note) VALUES (1, 5, 'same'), (2, 5, 'same')").await;
    shop.sql("ALTER TABLE orders DROP CONSTRAINT positive").await;
    shop.sql("ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 6) NOT VALID").await;
    green(&shop, "there").await;
    red(&shop, "valid", "constraint positive on orders is not validated").await;
    let mut own = shop.context.targets.dedicated("shop", "test").await.unwrap();
    own.run("CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note)", vec![]).await.unwrap_err();
    red(&shop, "index", "index orders_note is not valid").await;
    shop.sql("DROP INDEX orders_note").await;
    shop.sql("CREATE INDEX orders_note ON orders (note)").await;
    green(&shop, "index").await;
    red(&shop, "nobody", "there is no role nobody_of_this_name").await;
}

#[tokio::test]
async fn what_a_role_may_not_see_is_unknown() {
    let Some(database) = support::postgres_database("schema_checks") else { return };
    let owner = Shop::run("postgres", &database.url, RUN);
    let role = support::unique("schema_checks");
    owner.sql("CREATE SCHEMA vault").await;
    owner.sql("CREATE TABLE vault.keys (id int)").await;
    owner.sql("CREATE TABLE schema_migrations (version text)").await;
    owner.sql("CREATE TABLE orders (id int, psp text)").await;
    owner.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'rows'")).await;
    let rest = database.url.split_once('@').unwrap().1;
    let url = format!("postgres://{role}:rows@{rest}");
    let folder = folder(&[("up.sql", "ALTER TABLE orders ADD COLUMN psp text;\n")]);
    let migration = "migration: { up: [up.sql], recorded: { in: schema_migrations.version, as: \"42\" } }\n";
    let checks = [
        ("hidden", "{ table: vault.keys }"),
        ("right", "{ grant: SELECT, object: vault.keys, role: public }"),
        ("release", "{ migration: in }"),
    ];
    let shop = Shop::beside(folder.path(), &runbook("postgres", migration, &checks), &url, RUN);
    unknown(&shop, "hidden", "permission denied").await;
    unknown(&shop, "right", "permission denied").await;
    unknown(&shop, "release", "cannot be read: permission denied").await;
    owner.sql(&format!("DROP ROLE {role}")).await;
}

/// Its own row against the catalog.
async fn migration_row(kind: &str, address: &str) {
    let folder = folder(&[(
        "up.sql",
        "ALTER TABLE orders ADD COLUMN psp text;\nALTER TABLE orders RENAME COLUMN note TO remark;\n",
    )]);
    let migration = "migration: { up: [up.sql], recorded: { in: schema_migrations.version, as: \"42\" } }\n";
    let checks = [("in", "{ migration: in }"), ("out", "{ migration: out }")];
    let shop = Shop::beside(folder.path(), &runbook(kind, migration, &checks), address, RUN);
    shop.sql("CREATE TABLE orders (id int, note text)").await;
    shop.sql("CREATE TABLE schema_migrations (version text)").await;
    green(&shop, "out").await;
    red(&shop, "in", "none of it in").await;
    shop.sql("INSERT INTO schema_migrations VALUES ('42')").await;
    red(&shop, "in", "says applied, but the catalog shows none of it in").await;
    red(&shop, "out", "says applied, but the catalog shows none of it in").await;
    shop.sql("ALTER TABLE orders ADD COLUMN psp text").await;
    red(&shop, "in", "1 of 2 statements in").await;
    shop.sql("ALTER TABLE orders RENAME COLUMN note TO remark").await;
    green(&shop, "in").await;
    shop.sql("DELETE FROM schema_migrations").await;
    red(&shop, "out", "is not there, but the catalog shows all of it in").await;
}

#[tokio::test]
async fn the_row_of_the_migration_is_not_believed_on_postgres() {
    let Some(database) = support::postgres_database("schema_checks") else { return };
    migration_row("postgres", &database.url).await;
}

#[tokio::test]
async fn the_row_of_the_migration_is_not_believed_on_sqlite() {
    let file = sqlite();
    migration_row("sqlite", &address(&file)).await;
}

fn sqlite() -> TempDir {
    folder(&[("shop.db", "")])
}

fn address(folder: &TempDir) -> String {
    folder.path().join("shop.db").display().to_string()
}

#[tokio::test]
async fn sqlite_has_its_own_facts_and_no_rights() {
    let file = sqlite();
    let checks = [
        ("type", "{ column: orders.note, type: text }"),
        ("enabled", "{ trigger: orders.touched, enabled: true }"),
        ("right", "{ grant: SELECT, object: orders, role: app }"),
        ("labels", "{ enum: order_status, values: [new] }"),
    ];
    let shop = Shop::with(&runbook("sqlite", "", &checks), &address(&file), RUN);
    shop.sql("CREATE TABLE orders (id int, note text)").await;
    green(&shop, "type").await;
    red(&shop, "enabled", "is disabled or not there").await;
    shop.sql("CREATE TRIGGER touched AFTER UPDATE ON orders BEGIN SELECT 1; END").await;
    green(&shop, "enabled").await;
    unknown(&shop, "right", "does not tell who has which right").await;
    unknown(&shop, "labels", "SQLite's catalog does not tell").await;
}

/// What `doctor --fingerprint` prints.
fn fingerprint(folder: &Path, runbook: &str, address: &str) -> String {
    std::fs::write(folder.join("runbook.yaml"), runbook).unwrap();
    std::fs::write(folder.join("v1.fingerprint"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
    command.arg("doctor").arg(folder).args(["--fingerprint", "shop"]).env("SHOP", address);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const LIKE: [(&str, &str); 2] =
    [("like", "{ like: v1.fingerprint }"), ("but", "{ like: v1.fingerprint, except: [orders.psp, audit_*] }")];

#[tokio::test]
async fn a_fingerprint_is_kept_told_apart_and_found_again_on_postgres() {
    let Some(database) = support::postgres_database("schema_checks") else { return };
    let folder = folder(&[("v1.fingerprint", "")]);
    let text = runbook("postgres", "", &LIKE);
    let shop = Shop::beside(folder.path(), &text, &database.url, RUN);
    for sql in POSTGRES {
        shop.sql(sql).await;
    }
    unknown(&shop, "like", "v1.fingerprint is empty").await;
    let kept = fingerprint(folder.path(), &text, &database.url);
    let lines: Vec<&str> = kept.lines().collect();
    assert!(lines.is_sorted(), "{kept}");
    for kind in ["column ", "constraint ", "enum ", "function ", "index ", "policy ", "table ", "trigger ", "view "] {
        assert!(lines.iter().any(|line| line.starts_with(kind)), "{kind}: {kept}");
    }
    std::fs::write(folder.path().join("v1.fingerprint"), kept).unwrap();
    green(&shop, "like").await;

    shop.sql("ALTER TABLE orders ADD COLUMN psp text").await;
    red(&shop, "like", "column orders.psp is there and was not").await;
    green(&shop, "but").await;
    shop.sql("CREATE TABLE audit_log (id int PRIMARY KEY)").await;
    green(&shop, "but").await;
    shop.sql("ALTER TABLE orders DISABLE TRIGGER touched").await;
    red(&shop, "but", "trigger orders.touched is disabled").await;
    shop.sql("ALTER TABLE orders ENABLE TRIGGER touched").await;
    shop.sql("ALTER TABLE orders DROP CONSTRAINT positive").await;
    red(&shop, "but", "constraint orders.positive was there and is not").await;
    shop.sql("ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID").await;
    red(&shop, "but", "constraint orders.positive is not validated").await;
    shop.sql("ALTER TABLE orders VALIDATE CONSTRAINT positive").await;
    shop.sql("GRANT SELECT ON orders TO public").await;
    red(&shop, "but", "grant orders to public is there and was not").await;
    shop.sql("REVOKE SELECT ON orders FROM public").await;
    green(&shop, "but").await;
    // Its index is not valid: the same name and definition.
    shop.sql("INSERT INTO orders (id, total) VALUES (1, 5)").await;
    shop.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_total'::regclass").await;
    red(&shop, "but", "index orders.orders_total is not valid").await;
    shop.sql("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'orders_total'::regclass").await;

    // A column that was dropped and added again is the same column.
    shop.sql("DROP TABLE audit_log").await;
    shop.sql("ALTER TABLE orders DROP COLUMN psp").await;
    green(&shop, "like").await;
    shop.sql("ALTER TABLE orders DROP COLUMN note").await;
    red(&shop, "like", "column orders.note was there and is not").await;
    shop.sql("ALTER TABLE orders ADD COLUMN note text").await;
    green(&shop, "like").await;
}

#[tokio::test]
async fn a_fingerprint_is_kept_told_apart_and_found_again_on_sqlite() {
    let file = sqlite();
    let folder = folder(&[("v1.fingerprint", "")]);
    let text = runbook("sqlite", "", &LIKE);
    let shop = Shop::beside(folder.path(), &text, &address(&file), RUN);
    shop.sql("CREATE TABLE orders (id integer PRIMARY KEY, note text NOT NULL DEFAULT '')").await;
    shop.sql("CREATE INDEX orders_note ON orders (note)").await;
    let kept = fingerprint(folder.path(), &text, &address(&file));
    std::fs::write(folder.path().join("v1.fingerprint"), kept).unwrap();
    green(&shop, "like").await;
    shop.sql("ALTER TABLE orders ADD COLUMN psp text").await;
    red(&shop, "like", "column orders.psp is there and was not").await;
    green(&shop, "but").await;
    shop.sql("DROP INDEX orders_note").await;
    red(&shop, "but", "index orders.orders_note was there and is not").await;
    shop.sql("CREATE INDEX orders_note ON orders (note)").await;
    shop.sql("ALTER TABLE orders DROP COLUMN psp").await;
    green(&shop, "like").await;
}
