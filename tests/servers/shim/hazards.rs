//! What a form must not do in silence: each hazard made real, and refused or carried.

use super::*;
use backout::check::Depth;

/// Why the second column, and why the view, is refused after these statements; `None`: it is printed.
async fn why(statements: &[&str]) -> Option<(Option<String>, Option<String>)> {
    let database = support::postgres_database("shim")?;
    let shop = filled(RUNBOOK, &database, "run-shim-0").await;
    for sql in statements {
        shop.sql(sql).await;
    }
    let of = async |form| printed(&shop, Some(form)).await.err().map(|failure| failure.to_string());
    Some((of(Form::Column).await, of(Form::View).await))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_tells_what_would_lose_a_write() {
    let trigger = |when: &str| format!("CREATE TRIGGER early {when} ON orders FOR EACH ROW EXECUTE FUNCTION early()");
    let reads = "CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS 'begin new.payment_reference_id := upper(new.payment_reference_id); return new; end'";
    let quiet = "CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS 'begin new.note := 1; return new; end'";
    let (before, after_of) = (trigger("BEFORE INSERT"), trigger("AFTER UPDATE OF payment_reference_id"));
    let update_of = trigger("BEFORE UPDATE OF note");
    let hidden = "CREATE TRIGGER hidden BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    let column = |what: &str| format!("ALTER TABLE orders ALTER COLUMN payment_reference_id {what}");
    let (volatile, constant) = (column("SET DEFAULT gen_random_uuid()::text"), column("SET DEFAULT 'none'"));
    let required = column("SET NOT NULL");
    let cases: [(Vec<&str>, &str, &str); 12] = [
        (vec![], "", ""),
        (vec![reads, &before], "trigger early", ""),
        (vec![quiet, &after_of], "updates of this column alone", ""),
        (vec![quiet, &update_of], "", ""),
        (vec![hidden], "cannot be read", ""),
        (vec![&volatile], "new for each row", ""),
        (vec![&constant], "takes NULL", ""),
        (vec![&constant, &required], "", ""),
        (vec!["CREATE RULE quiet AS ON DELETE TO orders DO ALSO NOTIFY gone"], "has rules", "has rules"),
        (vec!["CREATE TABLE more () INHERITS (orders)"], "inherit", ""),
        (vec!["ALTER TABLE orders ADD COLUMN payment_ref text"], "already", "already"),
        (vec!["CREATE TABLE public.orders_base (id int)"], "", "there already"),
    ];
    for (statements, no_column, no_view) in &cases {
        let Some((column, view)) = why(statements).await else { return };
        for (found, wanted) in [(column, no_column), (view, no_view)] {
            match wanted.is_empty() {
                true => assert_eq!(found, None, "{statements:?}"),
                false => assert!(found.as_ref().is_some_and(|why| why.contains(wanted)), "{statements:?}: {found:?}"),
            }
        }
    }
    // Without a word which, the first form that can be made, and why not the other.
    let database = support::postgres_database("shim").unwrap();
    let shop = filled(RUNBOOK, &database, "run-shim-0").await;
    shop.sql(reads).await;
    shop.sql(&before).await;
    let text = printed(&shop, None).await.unwrap();
    assert!(text.contains("# Not as column: trigger early") && text.contains("CREATE VIEW"), "{text}");
    // It is made from the catalog as it is before the step.
    shop.sql("ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref").await;
    assert!(printed(&shop, None).await.unwrap_err().to_string().contains("has no column payment_reference_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_replication_partitions_and_defaults_keep_both_columns_equal() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = filled(RUNBOOK, &database, "run-shim-0").await;
    first.sql("ALTER TABLE orders ALTER COLUMN payment_reference_id SET DEFAULT 'none'").await;
    first.sql("ALTER TABLE orders ALTER COLUMN payment_reference_id SET NOT NULL").await;
    first.sql("ALTER TABLE payments DROP CONSTRAINT payments_ref_fkey").await;
    first.sql("ALTER TABLE orders DROP CONSTRAINT orders_payment_reference_id_key").await;
    let text = pasted(RUNBOOK, &printed(&first, Some(Form::Column)).await.unwrap(), true);
    let shop = Shop::with(&text, &database.url, "run-shim-1");
    applied(&shop, "rename-back", 1, false).await;
    let mut connection = program(&database).await;
    let mut copy = connection.copy_in_raw("COPY orders (amount, payment_ref) FROM STDIN").await.unwrap();
    copy.send("7\tcopied\n".as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    for sql in [
        "INSERT INTO orders (payment_ref) VALUES ('by-old')",
        "INSERT INTO orders (payment_reference_id) VALUES ('by-new')",
        "INSERT INTO orders (amount) VALUES (3)",
        "INSERT INTO orders VALUES (900, 4, 'by-position')",
        "BEGIN",
        "SET LOCAL session_replication_role = replica",
        "INSERT INTO orders (payment_reference_id) VALUES ('replicated')",
        "UPDATE orders SET payment_reference_id = 'again' WHERE payment_ref = 'replicated'",
        "COMMIT",
        "MERGE INTO orders USING (VALUES ('by-new')) v (r) ON payment_ref = r WHEN MATCHED THEN UPDATE SET payment_ref = 'merged'",
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT payment_ref::text FROM orders WHERE payment_ref = payment_reference_id AND id > 10 ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(found, ["again", "by-old", "by-position", "copied", "merged", "none"]);
    assert!(shop.check("rename-back-both-names", Depth::Try).await.verdict.is_pass());
    let null = sqlx::raw_sql("UPDATE orders SET payment_ref = NULL WHERE id = 1").execute(&mut connection).await;
    assert!(null.unwrap_err().to_string().contains("payment_reference_id"), "NOT NULL holds by either name");

    // Partitions: those that are there and those that come.
    let other = support::postgres_database("shim").unwrap();
    let parts = Shop::with(RUNBOOK, &other.url, "run-shim-2");
    for sql in [
        "CREATE TABLE orders (id bigint, payment_reference_id text, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (100)",
        "INSERT INTO orders SELECT n, 'ref-' || n FROM generate_series(1, 10) n",
    ] {
        parts.sql(sql).await;
    }
    parts.context.targets.install("shop").await.unwrap();
    let text = pasted(RUNBOOK, &printed(&parts, Some(Form::Column)).await.unwrap(), true);
    let parts = Shop::with(&text, &other.url, "run-shim-3");
    applied(&parts, "rename-back", 1, false).await;
    parts.sql("CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (100) TO (200)").await;
    parts.sql("INSERT INTO orders (id, payment_ref) VALUES (11, 'a'), (150, 'b')").await;
    parts.sql("INSERT INTO orders_2 (id, payment_reference_id) VALUES (151, 'c')").await;
    let equal = "SELECT count(*) FROM orders WHERE payment_ref = payment_reference_id";
    assert_eq!(parts.one(equal).await, 13);
    applied(&parts, "rename-back", 2, true).await;
    assert_eq!(parts.one("SELECT count(payment_reference_id) FROM orders").await, 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_hides_what_row_security_hides() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = filled(RUNBOOK, &database, "run-shim-0").await;
    let role = support::unique("shim");
    for sql in [
        format!("CREATE ROLE {role}"),
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY".into(),
        "CREATE POLICY few ON orders USING (payment_reference_id IN ('ref-1', 'ref-2'))".into(),
        "GRANT INSERT ON audit TO PUBLIC".into(),
        format!("GRANT USAGE ON SEQUENCE orders_id_seq TO {role}"),
    ] {
        first.sql(&sql).await;
    }
    let text = pasted(RUNBOOK, &printed(&first, Some(Form::View)).await.unwrap(), true);
    let shop = Shop::with(&text, &database.url, "run-shim-1");
    applied(&shop, "rename-back", 1, false).await;
    let mut handle = program(&database).await;
    asked(&mut handle, &format!("SET ROLE {role}")).await.unwrap();
    assert_eq!(asked(&mut handle, "SELECT count(*) FROM orders").await.unwrap(), "2");
    let refused = asked(&mut handle, "INSERT INTO orders (payment_ref) VALUES ('ref-3-of-mine')").await.unwrap_err();
    assert!(refused.contains("row-level security"), "{refused}");
    let update = "UPDATE orders SET note = 'seen' WHERE payment_ref = 'ref-1' RETURNING note";
    assert_eq!(asked(&mut handle, update).await.unwrap(), "seen");
    assert!(asked(&mut handle, "DELETE FROM orders").await.is_err(), "a right that nobody gave");
    drop(handle);
    shop.sql(&format!("DROP OWNED BY {role}")).await;
    shop.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_filled_by_hand_in_batches() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = filled(RUNBOOK, &database, "run-shim-0").await;
    first.sql("ALTER TABLE orders DISABLE TRIGGER kept").await;
    first.sql("INSERT INTO orders (payment_reference_id) SELECT 'more-' || n FROM generate_series(1, 100000) n").await;
    let yaml = printed(&first, Some(Form::Column)).await.unwrap();
    assert!(!yaml.contains("STORED") || yaml.contains("-fill"), "{yaml}");
    let text = pasted(RUNBOOK, &yaml, true);
    let shop = Shop::with(&text, &database.url, "run-shim-1");
    applied(&shop, "rename-back", 1, false).await;
    let drift = async || shop.check("rename-back-both-names", Depth::Try).await;
    assert!(drift().await.verdict.is_fail(), "old rows are not filled yet");
    let backout::runbook::Action::Manual(manual) = &shop.context.runbook.steps["rename-back-fill"].action else {
        panic!()
    };
    let what = manual.what.to_string();
    let batch = what.split_once("UPDATE 0: ").unwrap().1.replace("LIMIT 1000", "LIMIT 60000");
    for _ in 0..2 {
        shop.sql(&batch).await;
        shop.sql("UPDATE orders SET payment_ref = 'met-' || id WHERE id = 1").await;
    }
    assert!(drift().await.verdict.is_pass(), "{:?}", drift().await);
    assert_eq!(shop.one("SELECT payment_reference_id FROM orders WHERE id = 1").await, "met-1");
    for step in ["rename-back-index-1", "rename-back-index-2"] {
        applied(&shop, step, 1, false).await;
    }
    applied(&shop, "rename-back-one-name", 1, false).await;
    assert_eq!(shop.one("SELECT count(payment_ref) FROM orders").await, 100_010);
}
