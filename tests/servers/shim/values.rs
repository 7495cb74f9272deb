//! A value of an enum: its rows moved, nobody writes it any more, and the type without it.

use backout::check::Depth;

use super::*;

const RUNBOOK: &str = r#"
backout: 1
name: shop
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: evidence
    phase: contain
    freeze: [catalog of shop]
"#;

async fn shop(database: &Database) -> Shop {
    let shop = Shop::with(RUNBOOK, &database.url, "run-value-0");
    for sql in [
        "CREATE TYPE order_status AS ENUM ('new', 'paid', 'awaiting', 'shipped')",
        "CREATE TABLE orders (id bigint PRIMARY KEY, status order_status NOT NULL DEFAULT 'new', was order_status)",
        "CREATE INDEX orders_status ON orders (status)",
        "INSERT INTO orders SELECT n, CASE WHEN n <= 4 THEN 'awaiting' ELSE 'paid' END::order_status, 'shipped' FROM generate_series(1, 10) n",
    ] {
        shop.sql(sql).await;
    }
    shop.context.targets.install("shop").await.unwrap();
    shop
}

fn wish(rebuild: bool) -> Wish {
    Wish { on: None, type_name: "order_status".into(), value: "awaiting".into(), to: "new".into(), rebuild }
}

async fn yaml(shop: &Shop, wish: &Wish) -> Result<String> {
    let owned = Owned { owner: Some("checkout team".into()), remove_by: Some("2026-12-24".into()) };
    draft::value(&shop.context.runbook, wish, &owned, &shop.context.targets).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_move_the_value_stays_and_nobody_writes_it() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = shop(&database).await;
    let before = catalog(&first).await;
    let printed = yaml(&first, &wish(false)).await.unwrap();
    assert!(!printed.contains("CREATE TYPE") && printed.contains("--rebuild, for a quiet hour only"), "{printed}");
    let text = pasted(RUNBOOK, &printed, false);
    let answers = "  orders-status-awaiting-stop: { token: orders@shop }\n  orders-was-awaiting-stop: { token: orders@shop }\n  \
        orders-status-awaiting-move: { token: \"4\" }\n  \
        orders-status-awaiting-go-on: { skip: true, reason: until v2 is taken out of the registry }\n  \
        orders-was-awaiting-go-on: { token: orders@shop }\n";
    let (output, _dir) = headless(&first, &database, &text, answers).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("orders.status refuses 'awaiting': checkout team by 2026-12-24"), "{told}");
    assert!(!told.contains("orders.was refuses 'awaiting': checkout team"), "{told}");
    assert_eq!(first.one("SELECT count(*) FROM orders WHERE status = 'new'").await, 4);
    let mut handle = session(&first, "test").await;
    let refused = handle.run("INSERT INTO orders VALUES (11, 'awaiting')", vec![]).await.unwrap_err().words();
    assert!(refused.contains("orders_status_not_awaiting"), "{refused}");
    let left: Vec<_> = catalog(&first).await.into_iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(left.len(), 1, "the stop-gap alone: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_without_the_value_and_back() {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = shop(&database).await;
    let text = pasted(RUNBOOK, &yaml(&first, &wish(true)).await.unwrap(), false);
    let mut shop = Shop::with(&text, &database.url, "run-value-1");
    let (before, rebuilt) = (catalog(&shop).await, "order_status-without-awaiting");
    stands(&shop, rebuilt, Position::NotDone).await;
    // A row that has the value stops it, and nothing is left of it.
    let stopped = shop.done(rebuilt, 1, false).await;
    assert_eq!(stopped.result, OutcomeResult::NotApplied, "{stopped:?}");
    assert!(stopped.evidence.contains("22P02"), "{stopped:?}");
    assert_eq!(catalog(&shop).await, before);

    applied(&shop, "orders-status-awaiting-stop", 1, false).await;
    let items = match &shop.context.runbook.steps["order_status-awaiting-rows"].action {
        backout::runbook::Action::Freeze(items) => items.clone(),
        _ => panic!(),
    };
    for frozen in backout::action::freeze::perform(&items, &shop.context).await.0 {
        shop.context.frozen.insert(frozen.item.to_string(), frozen.content);
    }
    let moved = shop.done("orders-status-awaiting-move", 1, false).await;
    assert_eq!((moved.result, moved.changed), (OutcomeResult::Applied, Some(4)), "{moved:?}");
    applied(&shop, "orders-status-awaiting-go-on", 1, false).await;
    assert_eq!(catalog(&shop).await, before);
    applied(&shop, rebuilt, 2, false).await;
    stands(&shop, rebuilt, Position::Done).await;
    assert!(
        shop.check("orders-status-awaiting-none", Depth::Try).await.verdict.is_pass(),
        "asked of the new type, too"
    );
    assert_eq!(shop.one("SELECT status::text FROM orders WHERE id = 1").await, "new");
    applied(&shop, rebuilt, 3, true).await;
    assert_eq!(catalog(&shop).await, before, "the value stands where it stood");

    // The rows as they were, from the before-images, while the stop-gap is out of the way.
    shop.context.changed.insert("orders-status-awaiting-move".into(), moved.before_image.unwrap());
    applied(&shop, "orders-status-awaiting-move", 2, true).await;
    assert_eq!(shop.one("SELECT count(*) FROM orders WHERE status = 'awaiting'").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_made_of_the_type_is_named() {
    let Some(database) = support::postgres_database("shim") else { return };
    let shop = shop(&database).await;
    for (sql, undo, named) in [
        ("CREATE VIEW open AS SELECT id FROM orders WHERE status = 'new'", "DROP VIEW open", "view open"),
        ("CREATE FUNCTION f(order_status) RETURNS int LANGUAGE sql AS 'select 1'", "DROP FUNCTION f", "function f"),
        ("CREATE DOMAIN d AS order_status", "DROP DOMAIN d", "type d"),
        ("CREATE INDEX part ON orders (id) WHERE status = 'new'", "DROP INDEX part", "index part"),
        (
            "ALTER TABLE orders ADD CONSTRAINT known CHECK (status <> 'shipped')",
            "ALTER TABLE orders DROP CONSTRAINT known",
            "constraint known",
        ),
        ("CREATE POLICY p ON orders USING (status = 'new')", "DROP POLICY p ON orders", "policy p"),
    ] {
        shop.sql(sql).await;
        let why = yaml(&shop, &wish(true)).await.unwrap_err().to_string();
        assert!(why.contains(named), "{named}: {why}");
        assert!(yaml(&shop, &wish(false)).await.unwrap().contains("no type without it"), "{sql}");
        shop.sql(undo).await;
    }
    yaml(&shop, &wish(true)).await.unwrap();
    shop.sql("CREATE TABLE public.lists (id int PRIMARY KEY, all_of order_status[])").await;
    assert!(yaml(&shop, &wish(false)).await.unwrap_err().to_string().contains("holds lists of it"));
    let other = Wish { type_name: "nothing".into(), ..wish(false) };
    assert!(yaml(&shop, &other).await.unwrap_err().to_string().contains("there is no enum nothing"));
}
