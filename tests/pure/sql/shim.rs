//! The forms that keep two names of one thing: what each consists of, what it claims, and when it is refused.

use backout::sql::shim::{
    BYTES_AT_ONCE, Column, Form, Grant, Index, ROWS_AT_ONCE, Rename, Shim, Table, Trigger, TypeFacts, Use, by_cost,
    by_hand, forms, instead, make, value,
};
use backout::sql::{Class, Dialect, Statement, judge, leaves, parse_one, together};

const RENAME: &str = "ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref";

fn rename(sql: &str) -> Option<Rename> {
    Rename::of(&judge(Dialect::Postgres, sql))
}

fn column(name: &str, type_name: &str) -> Column {
    Column { name: name.into(), type_name: type_name.into(), ..Column::default() }
}

fn table() -> Table {
    Table {
        kind: "r".into(),
        major: 15,
        schema: "public".into(),
        rows: 10,
        columns: vec![column("id", "bigint"), column("payment_reference_id", "character varying(64)")],
        grants: vec![
            Grant { right: "SELECT".into(), column: None, role: Some("app".into()), grantable: true },
            Grant { right: "UPDATE".into(), column: Some("payment_reference_id".into()), role: None, grantable: false },
        ],
        indexes: vec![Index {
            name: "orders_ref".into(),
            unique: true,
            method: "btree".into(),
            columns: vec!["id".into(), "payment_reference_id".into()],
            plain: true,
        }],
        ..Table::default()
    }
}

fn made(form: Form, sql: &str, table: &Table) -> Shim {
    make(form, &rename(sql).unwrap(), table).unwrap()
}

/// Every statement is one that the parser knows.
fn parsed(list: &[String]) -> Vec<Statement> {
    list.iter().map(|sql| parse_one(Dialect::Postgres, sql).unwrap_or_else(|no| panic!("{sql}: {no}"))).collect()
}

#[test]
fn a_rename_is_told_from_its_statement() {
    let column = Rename::Column { table: "orders".into(), from: "a".into(), to: "b".into() };
    let there = [
        ("ALTER TABLE orders RENAME COLUMN a TO b", Some(column.clone())),
        ("ALTER TABLE public.orders RENAME a TO b", Some(column)),
        ("ALTER TABLE shop.a RENAME TO b", Some(Rename::Table { from: "shop.a".into(), to: "shop.b".into() })),
        ("ALTER TABLE a RENAME CONSTRAINT b TO c", None),
        ("ALTER INDEX a RENAME TO b", None),
        ("ALTER TABLE a DROP COLUMN b", None),
        ("ALTER VIEW a RENAME TO b", None),
        ("no SQL", None),
    ];
    for (sql, wanted) in there {
        assert_eq!(rename(sql), wanted, "{sql}");
    }
}

#[test]
fn a_dialect_without_a_form_says_why() {
    let rename = rename(RENAME).unwrap();
    assert_eq!(forms(Dialect::Postgres, &rename), Ok([Form::Column, Form::View].as_slice()));
    let (mysql, sqlite) = (forms(Dialect::Mysql, &rename).unwrap_err(), forms(Dialect::Sqlite, &rename).unwrap_err());
    assert!(mysql.contains("commit every statement") && sqlite.contains("cannot set the row"), "{mysql} {sqlite}");
    assert!(by_hand(Dialect::Mysql).contains("LOCK TABLES t WRITE") && by_hand(Dialect::Sqlite).contains("both names"));
    let table = self::rename("ALTER TABLE orders_v2 RENAME TO orders").unwrap();
    assert_eq!(forms(Dialect::Postgres, &table), Ok([Form::View].as_slice()));
    assert!(forms(Dialect::Mysql, &table).is_err());

    let told = |dialect, sql: &[&str]| {
        let statements: Vec<_> = sql.iter().map(|sql| judge(dialect, sql)).collect();
        instead(dialect, &statements, "rename-back")
    };
    let words = told(Dialect::Postgres, &[RENAME]).unwrap();
    assert!(words.contains("--shim rename-back` (a second column with a trigger, or a view)"), "{words}");
    assert_eq!(told(Dialect::Sqlite, &[RENAME]), None);
    assert_eq!(told(Dialect::Postgres, &["DROP TABLE orders"]), None);
    assert_eq!(
        told(Dialect::Postgres, &[RENAME, "ALTER TABLE orders ADD COLUMN b int"]),
        None,
        "a list has its own way"
    );
}

#[test]
fn each_form_says_what_it_leaves_and_comes_back_from() {
    for form in [Form::Column, Form::View] {
        let shim = made(form, RENAME, &table());
        let (ddl, undo, remove) = (parsed(&shim.ddl), parsed(&shim.undo), parsed(&shim.remove));
        let restore = parsed(&shim.restore);
        for list in [&ddl, &undo, &remove, &restore] {
            assert!(list.iter().all(|statement| statement.transactional), "{form:?}");
        }
        let [old, new, other] = ["orders.payment_ref", "orders.payment_reference_id", "orders.id"];
        assert_ne!(leaves(&ddl, old), Some(false), "{form:?}");
        assert_ne!(leaves(&ddl, new), Some(false), "{form:?}: whoever needs the present name keeps it");
        assert_ne!(leaves(&ddl, other), Some(false), "{form:?}");
        assert_eq!(leaves(&ddl, old), Some(true), "{form:?}");
        assert_eq!((leaves(&remove, new), leaves(&remove, old)), (Some(false), Some(true)), "{form:?}");
        assert_eq!(leaves(&remove, other), None, "{form:?}");
        // What the catalog shows only once it is applied: neither name of a column that was there before.
        for list in [&ddl, &remove] {
            let facts = together(list);
            assert!(!facts.is_empty(), "{form:?}");
            assert!(!facts.iter().any(|fact| facts.contains(&fact.not_done())), "{form:?}: {facts:?}");
        }
        assert!(
            together(&remove).iter().all(|fact| fact.to_string() != "column orders.payment_ref is there"),
            "{form:?}"
        );
        let drift = parse_one(Dialect::Postgres, &shim.drift).unwrap();
        assert_eq!(drift.class, Class::Read);
    }
}

#[test]
fn the_second_column_carries_grants_and_indexes() {
    let shim = made(Form::Column, RENAME, &table());
    let all = shim.ddl.join("\n");
    assert!(all.contains(r#"GRANT UPDATE ("payment_ref") ON "public"."orders" TO PUBLIC"#), "{all}");
    assert!(!all.contains("GRANT SELECT"), "a right on the table is one on the column");
    assert!(
        all.contains(
            r#"CREATE UNIQUE INDEX "orders_ref_payment_ref" ON "public"."orders" USING btree ("id", "payment_ref")"#
        ),
        "{all}"
    );
    assert!(all.contains("STORED") && all.contains("DROP EXPRESSION") && shim.beside.is_none());
    // Whatever writes past the trigger is refused where the two would part.
    let held = r#"CHECK (pg_catalog.record_image_eq(ROW("payment_reference_id"), ROW("payment_ref")))"#;
    assert!(all.contains(held) && !all.contains("NOT VALID"), "{all}");

    let mut odd = table();
    odd.indexes[0].plain = false;
    odd.triggers = vec![Trigger { name: "!first".into(), before: true, names_it: Some(false), of_column: false }];
    odd.publications = vec!["cdc".into()];
    let limits = made(Form::Column, RENAME, &odd).limits.join("\n");
    for said in ["no second index for orders_ref", "trigger !first fires before it", "publication cdc"] {
        assert!(limits.contains(said), "{said}: {limits}");
    }
}

/// Nobody can read or write the wanted name before every row has its value under it.
#[test]
fn many_rows_are_filled_under_a_name_that_nobody_knows() {
    let (many, wide) = (Table { rows: ROWS_AT_ONCE + 1, ..table() }, Table { bytes: BYTES_AT_ONCE + 1, ..table() });
    for table in [&many, &wide] {
        let big = made(Form::Column, RENAME, table);
        let beside = big.beside.unwrap();
        let (ddl, undo) = (parsed(&beside.ddl), parsed(&beside.undo));
        assert_eq!(beside.column, "payment_ref_filling");
        assert_eq!(leaves(&ddl, "orders.payment_ref"), None, "{ddl:?}");
        assert_eq!(leaves(&undo, "orders.payment_ref_filling"), Some(false));
        let all = beside.ddl.join("\n");
        assert!(
            !all.contains("STORED") && all.contains("NOT VALID") && all.contains(r#"UPDATE ("payment_ref_filling")"#),
            "{all}"
        );
        assert!(beside.why.contains("would wait"), "{}", beside.why);
        assert!(beside.fill.contains("SKIP LOCKED") && !beside.fill.contains('\n'), "{}", beside.fill);
        let index = r#"CREATE UNIQUE INDEX CONCURRENTLY "orders_ref_payment_ref" ON "public"."orders" USING btree ("id", "payment_ref_filling")"#;
        assert_eq!(beside.indexes, [index]);
        assert!(beside.prove.ends_with(r#"VALIDATE CONSTRAINT "both_names_payment_ref""#), "{}", beside.prove);
        let named = parsed(&big.ddl);
        assert_eq!(
            (leaves(&named, "orders.payment_ref"), leaves(&named, "orders.payment_reference_id")),
            (Some(true), None)
        );
        assert!(
            big.ddl[1].starts_with("CREATE OR REPLACE FUNCTION") && !big.ddl[1].contains("_filling"),
            "{:?}",
            big.ddl
        );
        assert!(big.undo[1].contains("_filling"), "{:?}", big.undo);
        // The view copies nothing, so it comes first.
        assert_eq!(by_cost(&[Form::Column, Form::View], table), [Form::View, Form::Column]);
    }
    assert_eq!(by_cost(&[Form::Column, Form::View], &table()), [Form::Column, Form::View]);
    let parts = made(Form::Column, RENAME, &Table { kind: "p".into(), ..many });
    assert!(parts.limits.join("").contains("writers wait while a second index"), "{:?}", parts.limits);
    assert!(!parts.beside.unwrap().indexes[0].contains("CONCURRENTLY"), "no such build there");
}

#[test]
fn a_view_acts_for_whoever_asks_and_repeats_the_grants() {
    let shim = made(Form::View, RENAME, &Table { owner: Some("shop".into()), ..table() });
    let all = shim.ddl.join("\n");
    for part in [
        r#"ALTER TABLE "public"."orders" RENAME TO "orders_base""#,
        r#"CREATE VIEW "public"."orders" WITH (security_invoker = true) AS SELECT "id", "payment_reference_id", "payment_reference_id" AS "payment_ref" FROM "public"."orders_base""#,
        r#"ALTER VIEW "public"."orders" OWNER TO "shop""#,
        r#"GRANT SELECT ON "public"."orders" TO "app" WITH GRANT OPTION"#,
        r#"GRANT UPDATE ("payment_ref") ON "public"."orders" TO PUBLIC"#,
        r#"GRANT UPDATE ("payment_reference_id") ON "public"."orders" TO PUBLIC"#,
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let old = made(Form::View, RENAME, &Table { major: 14, ..table() });
    assert!(!old.ddl.join("").contains("security_invoker") && old.limits.join("").contains("rights of its owner"));

    let table =
        made(Form::View, "ALTER TABLE shop.orders_v2 RENAME TO orders", &Table { schema: "shop".into(), ..table() });
    assert!(table.ddl[0].starts_with(r#"CREATE VIEW "shop"."orders""#), "{:?}", table.ddl);
    assert_eq!(table.undo, [r#"DROP VIEW "shop"."orders""#]);
    assert_eq!(table.remove[1], r#"ALTER TABLE "shop"."orders_v2" RENAME TO "orders""#);
    let ddl = parsed(&table.ddl);
    assert_eq!((leaves(&ddl, "shop.orders.id"), leaves(&ddl, "shop.orders_v2.id")), (Some(true), None));
    let end = parsed(&table.remove);
    assert_eq!((leaves(&end, "shop.orders.id"), leaves(&end, "shop.orders_v2.id")), (None, Some(false)));
}

fn trigger(before: bool, names_it: Option<bool>, of_column: bool) -> Trigger {
    Trigger { name: "t".into(), before, names_it, of_column }
}

#[test]
fn what_could_lose_a_write_is_refused() {
    let of = |change: &dyn Fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        let why = |form| make(form, &rename(RENAME).unwrap(), &table).err().map(|why| why.join("; "));
        (why(Form::Column), why(Form::View))
    };
    type Change<'a> = &'a dyn Fn(&mut Table);
    // What is changed, why there is no second column, why there is no view; empty: there is.
    let cases: Vec<(Change<'_>, &str, &str)> = vec![
        (&|_| {}, "", ""),
        (&|t| t.kind = "v".into(), "is a view", "is a view"),
        (&|t| t.kind = "f".into(), "no plain table", "no plain table"),
        (&|t| t.kind = "p".into(), "", ""),
        (&|t| t.schema = "shop".into(), "in the schema shop", "in the schema shop"),
        (
            &|t| t.columns.push(column("payment_ref", "text")),
            "has a column payment_ref already",
            "has a column payment_ref already",
        ),
        (
            &|t| {
                t.columns.pop();
            },
            "has no column",
            "has no column",
        ),
        (&|t| t.columns[1].generated = true, "computed by the server", ""),
        (&|t| t.columns[1].identity = true, "computed by the server", ""),
        (&|t| t.columns[1].default = Some("gen_random_uuid()".into()), "new for each row", ""),
        (&|t| t.columns[1].default = Some("'a'::text || 'b'::text".into()), "new for each row", ""),
        (&|t| t.columns[1].default = Some("'none'::character varying".into()), "takes NULL", ""),
        (&|t| (t.columns[1].default, t.columns[1].not_null) = (Some("'it''s'::text".into()), true), "", ""),
        (&|t| (t.columns[1].default, t.columns[1].not_null) = (Some("'-1'::integer".into()), true), "", ""),
        (&|t| (t.columns[1].default, t.columns[1].not_null) = (Some("now()".into()), true), "new for each row", ""),
        (&|t| t.child = true, "is a partition", "is a partition"),
        (&|t| t.parent = true, "inherited from", ""),
        (&|t| t.partition_key = vec!["payment_reference_id".into()], "in which partition", ""),
        (&|t| t.rules = true, "has rules", "has rules"),
        (&|t| t.triggers = vec![trigger(true, Some(true), false)], "knows one name only", ""),
        (&|t| t.triggers = vec![trigger(true, None, false)], "cannot be read", ""),
        (&|t| t.triggers = vec![trigger(false, Some(true), false)], "", ""),
        (&|t| t.triggers = vec![trigger(false, Some(false), true)], "updates of this column alone", ""),
        (&|t| t.row_security = true, "", ""),
        (&|t| (t.row_security, t.major) = (true, 14), "", "row security"),
        (&|t| t.taken = vec!["orders_base".into()], "", "orders_base is there already"),
    ];
    for (n, (change, no_column, no_view)) in cases.iter().enumerate() {
        let (column, view) = of(*change);
        for (found, wanted) in [(column, no_column), (view, no_view)] {
            match wanted.is_empty() {
                true => assert_eq!(found, None, "case {n}"),
                false => {
                    assert!(found.as_ref().is_some_and(|why| why.contains(wanted)), "case {n}: {wanted}: {found:?}")
                }
            }
        }
    }
}

#[test]
fn a_constant_default_counts_as_not_written() {
    let mut table = table();
    (table.columns[1].default, table.columns[1].not_null) = (Some("'none'::text".into()), true);
    let all = made(Form::Column, RENAME, &table).ddl.join("\n");
    let unwritten = r#"NEW."payment_reference_id" IS NULL OR NOT pg_catalog.record_image_ne(ROW(NEW."payment_reference_id"), ROW(('none'::text)::character varying(64)))"#;
    assert!(all.contains(unwritten), "{all}");
}

#[test]
fn long_names_stay_apart() {
    let column = format!("{}_a", "c".repeat(61));
    let mut table = table();
    table.columns[1].name.clone_from(&column);
    let shim = |to: &str| {
        let rename = Rename::Column { table: "orders".into(), from: column.clone(), to: to.into() };
        make(Form::Column, &rename, &table).unwrap().ddl
    };
    let (one, two) = (shim(&format!("{}x", "d".repeat(62))), shim(&format!("{}y", "d".repeat(62))));
    let names = |ddl: &[String]| {
        ddl.iter().find(|sql| sql.starts_with("CREATE TRIGGER")).unwrap().split('"').nth(1).unwrap().to_owned()
    };
    assert!(names(&one).len() <= 63 && names(&one) != names(&two), "{one:?}");
}

#[test]
fn a_value_of_an_enum_is_moved_stopped_and_only_then_left_out() {
    let used = Use {
        table: "orders".into(),
        column: "status".into(),
        key: Some("id".into()),
        array: false,
        default: Some("'new'::order_status".into()),
    };
    let facts = TypeFacts {
        schema: "public".into(),
        labels: ["new", "paid", "awaiting"].map(String::from).to_vec(),
        owner: Some("shop".into()),
        granted: vec![Some("app".into())],
        uses: vec![used.clone()],
        hinders: vec![],
    };
    let made = value("order_status", "awaiting", "new", &facts).unwrap();
    let part = &made.parts[0];
    assert_eq!(
        part.rows,
        r#"SELECT "id", "status"::text AS "status_as_text" FROM "public"."orders" WHERE "status"::text = 'awaiting'"#
    );
    let stop = parse_one(Dialect::Postgres, &part.stop).unwrap();
    assert!(stop.reverse.sql() == Some(part.go_on.as_str()), "{:?}", stop.reverse);
    let rebuild = made.rebuild.unwrap();
    parsed(&rebuild.ddl);
    assert_eq!(rebuild.undo, [r#"ALTER TYPE "public"."order_status" ADD VALUE 'awaiting' AFTER 'paid'"#]);
    assert_eq!(rebuild.ddl[0], r#"CREATE TYPE "public"."order_status_new" AS ENUM ('new', 'paid')"#);
    assert_eq!(rebuild.ddl.last().unwrap(), r#"GRANT USAGE ON TYPE "public"."order_status" TO "app""#);

    let of = |change: &dyn Fn(&mut TypeFacts)| {
        let mut facts = facts.clone();
        change(&mut facts);
        value("order_status", "awaiting", "new", &facts)
    };
    type Change<'a> = &'a dyn Fn(&mut TypeFacts);
    let refused: Vec<(Change<'_>, &str)> = vec![
        (&|f| f.labels.retain(|label| label != "awaiting"), "has no value 'awaiting'"),
        (&|f| f.labels.retain(|label| label != "new"), "has no value 'new'"),
        (&|f| f.uses[0].array = true, "holds lists of it"),
        (&|f| f.uses[0].key = None, "no primary key of one column"),
        (&|f| f.uses[0].default = Some("'awaiting'::order_status".into()), "is the default of"),
        (&|f| f.uses.clear(), "no column"),
        (&|f| f.schema = "shop".into(), "in the schema shop"),
    ];
    for (change, wanted) in refused {
        let why = of(change).unwrap_err().join("; ");
        assert!(why.contains(wanted), "{wanted}: {why}");
    }
    assert!(value("order_status", "new", "new", &facts).is_err());
    let hindered = of(&|f| f.hinders.push("rule _RETURN on view report".into())).unwrap();
    assert!(hindered.rebuild.unwrap_err().join("").contains("view report"));
    let computed = of(&|f| f.uses[0].default = Some("first_status()".into())).unwrap();
    assert!(computed.rebuild.unwrap_err().join("").contains("no plain value"));
    let first =
        value("order_status", "new", "paid", &TypeFacts { uses: vec![Use { default: None, ..used }], ..facts.clone() })
            .unwrap();
    assert_eq!(first.rebuild.unwrap().undo, [r#"ALTER TYPE "public"."order_status" ADD VALUE 'new' BEFORE 'paid'"#]);
}
