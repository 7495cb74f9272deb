//! What is not there may be where nobody looked: it is never told as done, nor as not done.

use backout::check::schema::{position_on, release};
use backout::run::record::Position::{self, Done, HalfDone, NotDone, Unknown};
use backout::sql::{Dialect, judge, together};
use backout::target::Handle;

use crate::shop::Shop;
use crate::support;

const RUNBOOK: &str = "backout: 1\nname: shop\nmigration: { up: [up.sql] }\ntargets:\n  shop: { KIND: \"${SHOP}\" }\nsteps:\n  - { id: look, manual: Look }\n";

const ABSENT: [&str; 5] = [
    "ALTER TABLE orders DROP COLUMN note",
    "ALTER TABLE orders ALTER COLUMN total DROP NOT NULL",
    "ALTER TABLE orders ALTER COLUMN total DROP DEFAULT",
    "ALTER TABLE orders DROP CONSTRAINT positive",
    "DROP TRIGGER kept ON orders",
];

fn shop(kind: &str, address: &str, up: &str) -> (tempfile::TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("up.sql"), up).unwrap();
    std::fs::write(folder.path().join("shop.db"), "").unwrap();
    let address = address.replace("FOLDER", &folder.path().display().to_string());
    let shop = Shop::beside(folder.path(), &RUNBOOK.replace("KIND", kind), &address, "run-unseen00");
    (folder, shop)
}

async fn stands(handle: &mut Handle, sql: &str, wanted: Position, words: &str) {
    let facts = together([&judge(Dialect::Postgres, sql)]);
    let found = position_on(&facts, handle).await;
    assert!(found.position == wanted && found.because.contains(words), "{sql}: {found:?}");
}

#[tokio::test]
async fn a_table_that_is_not_there_tells_nothing_of_its_columns() {
    let Some(database) = support::postgres_database("unseen") else { return };
    let (_folder, shop) = shop("postgres", &database.url, "");
    let mut handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
    for sql in ABSENT {
        stands(&mut handle, sql, Unknown, "there is no table orders").await;
    }
    stands(&mut handle, "ALTER TABLE orders ADD COLUMN psp text", NotDone, "").await;
    stands(&mut handle, "DROP TABLE orders", Done, "").await;

    // There, but not where this connection looks.
    let role = support::unique("unseen");
    for sql in [
        "CREATE SCHEMA app",
        "CREATE TABLE app.orders (id int, total int, note text)",
        "CREATE TABLE app.\"Orders\" (\"Note\" text)",
        &format!("CREATE ROLE {role}"),
    ] {
        shop.sql(sql).await;
    }
    let away =
        ["ALTER TABLE orders ADD COLUMN psp text", "DROP TABLE orders", "ALTER TABLE \"Orders\" DROP COLUMN \"Note\""];
    for sql in ABSENT.iter().chain(&away) {
        stands(&mut handle, sql, Unknown, "in app: write the schema").await;
    }
    stands(&mut handle, "ALTER TABLE app.orders DROP COLUMN note", NotDone, "").await;
    stands(&mut handle, "ALTER TABLE app.orders DROP COLUMN gone", Done, "").await;
    handle.run("SET search_path = app", vec![]).await.unwrap();
    stands(&mut handle, "ALTER TABLE orders DROP COLUMN note", NotDone, "").await;
    stands(&mut handle, "ALTER TABLE \"Orders\" DROP COLUMN \"Note\"", NotDone, "").await;
    // The right to look into the schema is missing, which leaves it out of the path without a word.
    handle.run(format!("SET ROLE {role}"), vec![]).await.unwrap();
    stands(&mut handle, "DROP TABLE orders", Unknown, "in app").await;
    stands(&mut handle, "ALTER TABLE orders DROP COLUMN note", Unknown, "in app").await;
    handle.run("RESET ROLE", vec![]).await.unwrap();
    shop.sql(&format!("DROP ROLE {role}")).await;
    // The same name in two schemas: the path decides, as it does for the program.
    shop.sql("CREATE TABLE public.orders (id int)").await;
    handle.run("SET search_path = public", vec![]).await.unwrap();
    stands(&mut handle, "ALTER TABLE orders DROP COLUMN note", Done, "").await;
}

#[tokio::test]
async fn a_column_is_looked_for_under_its_tables_present_name() {
    let up = "ALTER TABLE orders ADD COLUMN psp text;\nALTER TABLE orders RENAME COLUMN note TO remark;\nALTER TABLE orders RENAME TO purchases;\nALTER TABLE purchases ADD COLUMN late text;\n";
    let Some(database) = support::postgres_database("unseen") else { return };
    for (kind, dialect, address) in
        [("postgres", Dialect::Postgres, database.url.as_str()), ("sqlite", Dialect::Sqlite, "FOLDER/shop.db")]
    {
        let (_folder, shop) = shop(kind, address, up);
        shop.sql("CREATE TABLE orders (id int, note text)").await;
        let mut handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
        let statements = release::statements(dialect, &shop.context).await;
        let mut wanted = [NotDone; 4];
        for (at, sql) in up.trim().lines().enumerate() {
            for (n, wanted) in wanted.iter().enumerate() {
                let found = release::position(&statements, n, &mut handle).await;
                assert_ne!(found.position, HalfDone, "{kind}, {at} in, {n}: {found:?}");
                assert_eq!(found.position, *wanted, "{kind}, {at} in, {n}: {found:?}");
            }
            shop.sql(sql.trim_end_matches(';')).await;
            wanted[at] = Done;
        }
        assert_eq!(release::position(&statements, 0, &mut handle).await.position, Done, "{kind}");
    }
}
