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

/// What a trigger cannot keep equal is refused aloud, and never parts.
#[tokio::test(flavor = "multi_thread")]
async fn two_columns_never_part_in_silence() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = filled(RUNBOOK, &database, "run-shim-0").await;
    // Swapped in one statement, as its author may: a second index that holds at once would refuse it.
    first.sql("ALTER TABLE orders DROP CONSTRAINT orders_payment_reference_id_key CASCADE").await;
    first.sql("ALTER TABLE orders ADD UNIQUE (payment_reference_id) DEFERRABLE INITIALLY DEFERRED").await;
    for sql in [
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'begin return jsonb_populate_record(new, late_too(to_jsonb(new))); end'",
        "CREATE FUNCTION late_too(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 || coalesce(nullif(current_setting('test.late', true), '')::jsonb, '{}') $$",
        "CREATE TRIGGER late BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION late()",
    ] {
        first.sql(sql).await;
    }
    let text = printed(&first, Some(Form::Column)).await.unwrap();
    assert!(text.contains("no second index for orders_payment_reference_id_key"), "{text}");
    let shop = Shop::with(&pasted(RUNBOOK, &text, true), &database.url, "run-shim-1");
    applied(&shop, "rename-back", 1, false).await;
    let mut connection = program(&database).await;
    let swap = "UPDATE orders SET payment_ref = CASE id WHEN 1 THEN 'ref-2' ELSE 'ref-1' END WHERE id < 3";
    asked(&mut connection, swap).await.unwrap();
    for sql in [
        "SET test.late = '{\"payment_ref\": \"other\"}'",
        "UPDATE orders SET note = 'x' WHERE id = 3",
        "RESET test.late",
        "ALTER TABLE orders DISABLE TRIGGER USER",
        "UPDATE orders SET payment_ref = 'other' WHERE id = 3",
        "INSERT INTO orders (payment_ref) VALUES ('other')",
        "ALTER TABLE orders ENABLE TRIGGER kept",
    ] {
        let answer = asked(&mut connection, sql).await;
        match sql.contains("orders SET") || sql.contains("INTO orders") {
            true => {
                assert!(answer.as_ref().is_err_and(|no| no.contains("both_names_payment_ref")), "{sql}: {answer:?}")
            }
            false => drop(answer.unwrap()),
        }
    }
    assert!(shop.check("rename-back-both-names", Depth::Try).await.verdict.is_pass());
    // Without the constraint they can part, and the check says so.
    for sql in [
        "ALTER TABLE orders DROP CONSTRAINT both_names_payment_ref",
        "UPDATE orders SET payment_ref = 'other' WHERE id = 3",
    ] {
        asked(&mut connection, sql).await.unwrap();
    }
    let drift = shop.check("rename-back-both-names", Depth::Try).await;
    assert!(drift.verdict.is_fail() && drift.value == Some(serde_json::json!(1)), "{drift:?}");
}

/// How a value reads is a setting of the session; whether it was written is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_whatever_the_session_prints() {
    for (kind, one, other, session) in [
        ("float8", "0.1", "0.10000000000000003", "SET extra_float_digits = -5"),
        ("numeric", "1.0", "1.00", "SELECT 1"),
        ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "SELECT 1"),
        ("json", "'{\"a\":1}'", "'{\"a\": 1}'", "SELECT 1"),
        ("text", "repeat('long', 500000)", "repeat('long', 500000) || 'er'", "SELECT 1"),
        ("point", "'(1,1)'", "'(1,1.0000000001)'", "SELECT 1"),
        ("timestamptz", "'2026-11-01 01:30+00'", "'2026-11-01 00:30+00'", "SET timezone = 'America/New_York'"),
    ] {
        let Some(database) = support::postgres_database("shim") else { return };
        let first = Shop::with(RUNBOOK, &database.url, "run-shim-0");
        first.sql(&format!("CREATE TABLE orders (id bigserial PRIMARY KEY, payment_reference_id {kind})")).await;
        first.sql(&format!("INSERT INTO orders (payment_reference_id) SELECT {one} FROM generate_series(1, 10)")).await;
        first.context.targets.install("shop").await.unwrap();
        let text = pasted(RUNBOOK, &printed(&first, Some(Form::Column)).await.unwrap(), true);
        let shop = Shop::with(&text, &database.url, "run-shim-1");
        applied(&shop, "rename-back", 1, false).await;
        let mut connection = program(&database).await;
        asked(&mut connection, session).await.unwrap();
        asked(&mut connection, &format!("UPDATE orders SET payment_ref = {other} WHERE id = 1")).await.unwrap();
        asked(&mut connection, &format!("INSERT INTO orders (payment_ref) VALUES ({other})")).await.unwrap();
        asked(&mut connection, "SET extra_float_digits = 1").await.unwrap();
        let kept = format!(
            "SELECT count(*) FROM orders WHERE record_image_eq(ROW(payment_reference_id), ROW({other}::{kind}))"
        );
        assert_eq!(asked(&mut connection, &kept).await.unwrap(), "2", "{kind}");
        applied(&shop, "rename-back", 2, true).await;
    }
}

/// The old code meets the name only with every value under it; rows that somebody holds are waited for by nobody.
async fn many_rows(make: &[&str], indexes: usize) {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = Shop::with(RUNBOOK, &database.url, "run-shim-0");
    for sql in make {
        first.sql(sql).await;
    }
    first.sql("CREATE TABLE audit (line jsonb)").await;
    first.context.targets.install("shop").await.unwrap();
    let before = catalog(&first).await;
    assert!(printed(&first, None).await.unwrap().contains("CREATE VIEW"), "what copies nothing comes first");
    let text = pasted(RUNBOOK, &printed(&first, Some(Form::Column)).await.unwrap(), true);
    let shop = Shop::with(&text, &database.url, "run-shim-1");
    applied(&shop, "rename-back-beside", 1, false).await;
    let mut old = program(&database).await;
    asked(&mut old, "SELECT payment_ref FROM orders LIMIT 1").await.unwrap_err();
    let agree = async || shop.check("rename-back-both-names", Depth::Try).await.verdict;
    let proved = async |att| shop.done("rename-back-proved", att, false).await;
    assert!(agree().await.is_fail(), "nothing is proved yet");

    let backout::runbook::Action::Manual(manual) = &shop.context.runbook.steps["rename-back-fill"].action else {
        panic!()
    };
    let fill = manual.what.to_string().split_once("filled: ").unwrap().1.to_owned();
    let mut holder = program(&database).await;
    asked(&mut holder, "BEGIN").await.unwrap();
    asked(&mut holder, "UPDATE orders SET note = 'held' WHERE id = 7").await.unwrap();
    let mut writer = program(&database).await;
    asked(&mut writer, "INSERT INTO orders (id, payment_reference_id) VALUES (200001, 'meanwhile')").await.unwrap();
    asked(&mut writer, "SET statement_timeout = '30s'").await.unwrap();
    asked(&mut writer, &fill).await.unwrap();
    asked(&mut holder, "ROLLBACK").await.unwrap();
    let refused = proved(1).await;
    assert!(refused.result == OutcomeResult::NotApplied && refused.evidence.contains("23514"), "{refused:?}");
    assert!(agree().await.is_fail());
    asked(&mut writer, &fill).await.unwrap();
    for n in 1..=indexes {
        applied(&shop, &format!("rename-back-index-{n}"), 1, false).await;
    }
    assert_eq!(proved(2).await.result, OutcomeResult::Applied);
    assert!(agree().await.is_pass());
    stands(&shop, "rename-back", Position::NotDone).await;
    applied(&shop, "rename-back", 1, false).await;
    stands(&shop, "rename-back", Position::Done).await;
    assert!(agree().await.is_pass());
    asked(&mut old, "INSERT INTO orders (id, payment_ref) VALUES (200002, 'old')").await.unwrap();
    asked(&mut writer, "UPDATE orders SET payment_reference_id = 'new' WHERE id = 1").await.unwrap();
    let equal = "SELECT count(*) FROM orders WHERE payment_ref = payment_reference_id";
    assert_eq!(shop.one(equal).await, 100_003);
    applied(&shop, "rename-back", 2, true).await;
    asked(&mut writer, "UPDATE orders SET payment_reference_id = 'newer' WHERE id = 1").await.unwrap();
    applied(&shop, "rename-back", 3, false).await;
    assert_eq!(asked(&mut old, "SELECT payment_ref FROM orders WHERE id = 1").await.unwrap(), "newer");
    let with = catalog(&shop).await;
    applied(&shop, "rename-back-one-name", 1, false).await;
    assert_eq!(shop.one("SELECT count(payment_ref) FROM orders").await, 100_003);
    assert!(agree().await.is_pass(), "one name is left");
    applied(&shop, "rename-back-one-name", 2, true).await;
    assert_eq!(catalog(&shop).await, with);
    assert!(agree().await.is_pass());
    shop.sql("ALTER TABLE orders RENAME COLUMN payment_ref TO payment_ref_filling").await;
    applied(&shop, "rename-back-beside", 2, true).await;
    assert_eq!(catalog(&shop).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_filled_before_the_old_code_can_read_one() {
    let many = "INSERT INTO orders SELECT n, 'ref-' || n FROM generate_series(1, 100001) n";
    many_rows(
        &[
            "CREATE TABLE orders (id bigint PRIMARY KEY, payment_reference_id text UNIQUE, note text)",
            "CREATE INDEX orders_both ON orders (id, payment_reference_id)",
            many,
        ],
        2,
    )
    .await;
    many_rows(
        &[
            "CREATE TABLE orders (id bigint, payment_reference_id text, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
            "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (50000)",
            "CREATE TABLE orders_2 PARTITION OF orders DEFAULT",
            many,
        ],
        0,
    )
    .await;
}
