//! Each form as printed: what both programs do through it, its undo, and its end.

use super::*;

/// What the old code and the new one say; `{c}` is the name that each knows, `{k}` a key of its own.
const STATEMENTS: [&str; 7] = [
    "INSERT INTO orders ({c}, note) VALUES ('{k}', 'n') RETURNING {c}",
    "INSERT INTO orders ({c}) VALUES ('{k}') ON CONFLICT ({c}) DO UPDATE SET note = 'twice' RETURNING note",
    "INSERT INTO orders ({c}) VALUES ('{k}') ON CONFLICT ({c}) DO UPDATE SET {c} = excluded.{c} || 'x' RETURNING {c}",
    "UPDATE orders SET {c} = '{k}' WHERE {c} = '{k}x' RETURNING {c}",
    "UPDATE orders SET {c} = NULL WHERE {c} = '{k}' RETURNING coalesce({c}, 'none')",
    "UPDATE orders SET {c} = '{k}' WHERE id = (SELECT max(id) FROM orders WHERE {c} IS NULL) RETURNING {c}",
    "DELETE FROM orders WHERE {c} = '{k}' RETURNING {c}",
];

const ANSWERS: [&str; 7] = ["{k}", "twice", "{k}x", "{k}", "none", "{k}", "{k}"];

async fn writes(mut handle: PgConnection, column: &'static str, rounds: u32) {
    for n in 0..rounds {
        let key = format!("{column}-{n}");
        for (sql, answer) in STATEMENTS.iter().zip(ANSWERS) {
            // Two programs change NULLs to values of their own: only one finds it.
            let sql = sql.replace(
                "max(id) FROM orders WHERE {c} IS NULL",
                "max(id) FROM orders WHERE note = 'twice' AND {c} IS NULL AND amount = {a}",
            );
            let sql = sql
                .replace("{c}", column)
                .replace("{k}", &key)
                .replace("{a}", if column == "payment_ref" { "1" } else { "2" });
            let sql = match column {
                "payment_ref" => sql,
                _ => sql.replace(", note) VALUES (", ", note, amount) VALUES (").replace("', 'n')", "', 'n', 2)"),
            };
            let found = asked(&mut handle, &sql).await.unwrap_or_else(|words| panic!("{sql}: {words}"));
            assert_eq!(found, answer.replace("{k}", &key), "{sql}");
        }
        let kept = format!("INSERT INTO orders ({column}) VALUES ('{key}-kept') RETURNING {column}");
        asked(&mut handle, &kept).await.unwrap();
    }
}

async fn both_names(form: Form) {
    let Some(database) = support::postgres_database("shim") else { return };
    let first = filled(RUNBOOK, &database, "run-shim-0").await;
    let before = catalog(&first).await;
    let text = pasted(RUNBOOK, &printed(&first, Some(form)).await.unwrap(), true);
    assert_eq!(catalog(&first).await, before, "printing changes nothing");

    let shop = Shop::with(&text, &database.url, "run-shim-1");
    stands(&shop, "rename-back", Position::NotDone).await;
    applied(&shop, "rename-back", 1, false).await;
    stands(&shop, "rename-back", Position::Done).await;
    stands(&shop, "rename-back-one-name", Position::NotDone).await;
    let with = catalog(&shop).await;

    // Both at the same time.
    let mut programs = Vec::new();
    for column in ["payment_ref", "payment_reference_id"] {
        programs.push(tokio::spawn(writes(program(&database).await, column, 12)));
    }
    for program in programs {
        program.await.unwrap();
    }
    let drift = shop.check("rename-back-both-names", backout::check::Depth::Try).await;
    assert!(drift.verdict.is_pass(), "{drift:?}");
    let kept = "SELECT count(*) FROM orders WHERE payment_ref = payment_reference_id AND payment_ref LIKE '%kept'";
    assert_eq!(shop.one(kept).await, 24);

    // Two values for one is never chosen between.
    let mut handle = program(&database).await;
    let refused = [
        "INSERT INTO orders (payment_ref, payment_reference_id) VALUES ('one', 'two')",
        "UPDATE orders SET payment_ref = 'one', payment_reference_id = 'two' WHERE id = 1",
    ];
    for sql in refused {
        let words = asked(&mut handle, sql).await.unwrap_err();
        assert!(words.contains("two names of one value") || words.contains("multiple assignments"), "{words}");
    }
    // A key that points there follows whoever writes.
    asked(&mut handle, "INSERT INTO payments VALUES ('ref-1')").await.unwrap();
    asked(&mut handle, "UPDATE orders SET payment_ref = 'moved' WHERE payment_reference_id = 'ref-1'").await.unwrap();
    assert_eq!(asked(&mut handle, "SELECT ref FROM payments").await.unwrap(), "moved");
    asked(&mut handle, "DELETE FROM payments").await.unwrap();

    let rows = shop.one("SELECT count(*) FROM orders").await;
    applied(&shop, "rename-back", 2, true).await;
    assert_eq!(catalog(&shop).await, before, "the undo brings back what was");
    assert_eq!(shop.one("SELECT count(*) FROM orders").await, rows);
    assert_eq!(shop.one("SELECT count(*) FROM orders WHERE payment_reference_id = 'moved'").await, 1);

    applied(&shop, "rename-back", 3, false).await;
    assert_eq!(catalog(&shop).await, with);
    applied(&shop, "rename-back-one-name", 1, false).await;
    stands(&shop, "rename-back-one-name", Position::Done).await;
    let other = support::postgres_database("shim").unwrap();
    let plain = filled(RUNBOOK, &other, "run-shim-2").await;
    plain.sql("ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref").await;
    assert_eq!(catalog(&shop).await, catalog(&plain).await, "the end is what the rename would have left");
    for check in ["rename-back-name", "rename-back-both-names"] {
        assert!(shop.check(check, backout::check::Depth::Try).await.verdict.is_pass(), "{check}");
    }
    applied(&shop, "rename-back-one-name", 2, true).await;
    assert_eq!(catalog(&shop).await, with, "the end undone is the shim again");
    let drift = shop.check("rename-back-both-names", backout::check::Depth::Try).await;
    assert!(drift.verdict.is_pass(), "{drift:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_column_carries_both_programs() {
    both_names(Form::Column).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_carries_both_programs() {
    both_names(Form::View).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_its_new_name_beside_the_old_one() {
    let Some(database) = support::postgres_database("shim") else { return };
    let runbook = RUNBOOK
        .replace("RENAME COLUMN payment_reference_id TO payment_ref", "RENAME TO orders")
        .replace("ALTER TABLE orders RENAME", "ALTER TABLE orders_v2 RENAME")
        .replace("uses: [orders.payment_ref]", "uses: [orders.id]")
        .replace("uses: [orders.payment_reference_id]", "uses: [orders_v2.id]");
    let first = filled(&runbook, &database, "run-shim-0").await;
    let after = catalog(&first).await;
    first.sql("ALTER TABLE orders RENAME TO orders_v2").await;
    let before = catalog(&first).await;
    assert!(printed(&first, Some(Form::Column)).await.unwrap_err().to_string().contains("not for this rename"));
    let text = pasted(&runbook, &printed(&first, None).await.unwrap(), true);
    let shop = Shop::with(&text, &database.url, "run-shim-1");
    stands(&shop, "rename-back", Position::NotDone).await;
    applied(&shop, "rename-back", 1, false).await;
    stands(&shop, "rename-back", Position::Done).await;
    let mut handle = program(&database).await;
    for name in ["orders", "orders_v2"] {
        let insert = format!(
            "INSERT INTO {name} (payment_reference_id) VALUES ('k') ON CONFLICT (payment_reference_id) DO UPDATE SET note = '{name}' RETURNING amount"
        );
        assert_eq!(asked(&mut handle, &insert).await.unwrap(), "1");
    }
    assert_eq!(shop.one("SELECT note FROM orders WHERE payment_reference_id = 'k'").await, "orders_v2");
    applied(&shop, "rename-back", 2, true).await;
    assert_eq!(catalog(&shop).await, before);
    applied(&shop, "rename-back", 3, false).await;
    applied(&shop, "rename-back-one-name", 1, false).await;
    assert_eq!(catalog(&shop).await, after, "as it was before the release renamed it");
}

/// The whole way: printed, pasted, run by the program, the end skipped and owned, or done.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_steps_run_to_the_end() {
    for (form, skipped) in [(Form::Column, true), (Form::View, false), (Form::Column, false)] {
        let Some(database) = support::postgres_database("shim") else { return };
        let shop = filled(RUNBOOK, &database, "run-shim-0").await;
        let text = pasted(RUNBOOK, &printed(&shop, Some(form)).await.unwrap(), true);
        let end = match skipped {
            true => "{ skip: true, reason: reports needs the present name until January }",
            false => "{ token: orders@shop, reason: nobody needs the other name any more }",
        };
        let answers = format!("  rename-back: {{ token: orders@shop }}\n  rename-back-one-name: {end}\n");
        let (output, dir) = headless(&shop, &database, &text, &answers).await;
        assert_eq!(output.status.code(), Some(0), "{form:?}: {}", said(&output));
        let told = said(&output);
        let left = "orders.payment_reference_id beside orders.payment_ref";
        assert_eq!(told.contains("data team by 2026-12-24"), skipped, "{told}");
        assert_eq!(shop.one("SELECT count(*) FROM orders WHERE payment_ref IS NOT NULL").await, 10);
        let mut show = Command::new(env!("CARGO_BIN_EXE_backout"));
        let shown =
            show.args(["audit", "show", "--long", "--state-dir"]).arg(dir.path().join("state")).output().unwrap();
        assert_eq!(said(&shown).rsplit_once("run_finished").unwrap().1.contains(left), skipped, "{}", said(&shown));
    }
}

/// The answers end before the run does: nobody was asked whose it is, and the log says it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_its_end_still_names_what_is_temporary() {
    let Some(database) = support::postgres_database("shim") else { return };
    let shop = filled(RUNBOOK, &database, "run-shim-0").await;
    let text = pasted(RUNBOOK, &printed(&shop, Some(Form::Column)).await.unwrap(), true);
    let (output, dir) = headless(&shop, &database, &text, "  rename-back: { token: orders@shop }\n").await;
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    let mut show = Command::new(env!("CARGO_BIN_EXE_backout"));
    let shown = said(&show.args(["audit", "show", "--state-dir"]).arg(dir.path().join("state")).output().unwrap());
    let left = "orders.payment_reference_id beside orders.payment_ref, as a second column with a trigger: data team by \
        2026-12-24 (left by rename-back, rename-back-one-name ends it)";
    assert!(!shown.contains("finished") && shown.contains(left), "{shown}");
}
