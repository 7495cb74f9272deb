//! Statements: what is said of each, what a check must never contain, and where a text is cut.

mod corpus;
mod hostile;
mod read_only;
mod shim;
mod statements;
mod ways;

use Dialect::{Mysql, Postgres, Sqlite};
use backout::sql::{Dialect, Refused, Reverse, is_relative_update, parse_one, quote_ident, split, tables_and_columns};

#[test]
fn locks_costs_and_old_code() {
    let of = |sql: &str| parse_one(Postgres, sql).unwrap();
    let cost = |sql: &str| format!("{:?}", of(sql).cost);
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c varchar(9) NOT NULL DEFAULT 'x'"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()"), "Rewrite");
    assert_eq!(cost("ALTER TABLE t ADD COLUMN c bigserial"), "Rewrite");
    assert_eq!(cost("ALTER TABLE t ALTER COLUMN c SET NOT NULL"), "Scan");
    assert_eq!(cost("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)"), "Scan");
    assert_eq!(cost("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID"), "CatalogOnly");
    assert_eq!(cost("ALTER TABLE t ADD UNIQUE (a)"), "IndexBuild");
    assert_eq!(cost("ALTER TABLE t ALTER c TYPE bigint"), "Rewrite");
    assert!(!of("CREATE INDEX CONCURRENTLY i ON t (a)").transactional);
    assert!(!of("VACUUM t").transactional);
    assert!(of("ALTER TABLE t DROP COLUMN c").transactional);
    let rename = of("ALTER TABLE orders RENAME COLUMN a TO b");
    assert!(rename.old_code.reads_broken && rename.old_code.writes_broken);
    assert_eq!(rename.lock.unwrap().words(), "ACCESS EXCLUSIVE lock: blocks reads, writes and schema changes");
    let required = of("ALTER TABLE t ADD COLUMN c int NOT NULL").old_code;
    assert!(!required.reads_broken && required.writes_broken);
    assert!(!of("ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 1").old_code.breaks());
    let value = of("ALTER TYPE s ADD VALUE 'x'").old_code;
    assert!(value.reads_broken && !value.writes_broken);
    for fact in of("ALTER TABLE t RENAME a TO b").done {
        assert_ne!(fact, fact.not_done());
        assert_eq!(fact, fact.not_done().not_done());
    }
}

#[test]
fn exact_reverses_undo_themselves() {
    for sql in [
        "ALTER TABLE orders RENAME COLUMN a TO b",
        "ALTER TABLE shop.a RENAME TO b",
        "ALTER TYPE s RENAME VALUE 'a' TO 'b'",
        "ALTER TABLE t RENAME CONSTRAINT a TO b",
        "ALTER INDEX a RENAME TO b",
        "ALTER TYPE s.a RENAME TO b",
    ] {
        let there = parse_one(Postgres, sql).unwrap();
        let back = parse_one(Postgres, there.reverse.sql().unwrap()).unwrap();
        assert_eq!(back.reverse, Reverse::Exact(sql.to_owned()));
        assert!(back.done.iter().all(|fact| there.done.contains(&fact.not_done())), "{sql}");
    }
}

#[test]
fn a_change_is_cut_at_its_table_also_where_that_is_quoted() {
    let of = |sql: &str| backout::action::change::Anatomy::of(Postgres, sql).map(|cut| (cut.table, cut.alias));
    let pair = |table: &str, alias: &str| Ok((table.to_owned(), alias.to_owned()));
    assert_eq!(of("UPDATE orders AS o SET a = 1 FROM s WHERE o.id = s.id"), pair("orders", "o"));
    assert_eq!(of("UPDATE \"orders\" AS o SET \"a\" = 'SET' FROM s WHERE o.id = s.id"), pair("\"orders\"", "o"));
    assert_eq!(of("UPDATE \"orders\" SET a = 1"), pair("\"orders\"", "\"orders\""));
    assert_eq!(of("UPDATE ONLY \"shop\".\"orders\" o SET a = 1"), pair("\"shop\".\"orders\"", "o"));
    assert_eq!(of("/* UPDATE x */ UPDATE /* y */ orders SET \"a\" = 1"), pair("orders", "orders"));
    assert_eq!(of("DELETE FROM \"orders\" WHERE id = 1"), pair("\"orders\"", "\"orders\""));
}

#[test]
fn tables_columns_and_relative_updates() {
    let of = |sql: &str| tables_and_columns(Postgres, sql).unwrap();
    let touched = of(
        "UPDATE orders AS o SET status = 'x', (a, b) = (1, 2) FROM frozen s JOIN lines l ON l.id = s.id WHERE o.id = s.id",
    );
    assert_eq!(touched.writes, ["orders"]);
    assert_eq!(touched.reads, ["frozen", "lines"]);
    assert_eq!(touched.columns, ["status", "a", "b"]);
    assert_eq!(of("SELECT extract(epoch FROM t.x) FROM a, shop.b JOIN (c JOIN d ON true) ON a.x IS DISTINCT FROM b.x WHERE e IN (SELECT 1 FROM f)").reads,
               ["a", "shop.b", "c", "d", "f"]);
    assert_eq!(of("INSERT INTO t (a, b) SELECT x, y FROM s").columns, ["a", "b"]);
    let relative = |sql: &str| is_relative_update(Postgres, sql).unwrap();
    for sql in [
        "UPDATE t SET x = x + 1",
        "UPDATE t a SET x = 1, y = a.y || 'z'",
        "UPDATE shop.t SET x = (t.x * 2)",
        "INSERT INTO t (k, x) VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET x = t.x + excluded.x",
        "WITH u AS (UPDATE t SET x = x + 1 RETURNING 1) SELECT 1",
    ] {
        assert!(relative(sql), "{sql}");
    }
    for sql in [
        "UPDATE t SET x = 1 WHERE x = 2",
        "UPDATE t SET x = s.x FROM s WHERE t.id = s.id",
        "UPDATE t SET x = 'x'",
        "INSERT INTO t (k, x) VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET x = excluded.x",
    ] {
        assert!(!relative(sql), "{sql}");
    }
}

#[test]
fn a_reverse_is_whole_and_says_what_it_does_not_bring_back() {
    let reverse = |sql: &str| parse_one(Postgres, sql).unwrap().reverse;
    let back = |sql: &str| reverse(sql).sql().unwrap_or_default().to_owned();
    // A comment in what is repeated may not hide what stands behind it.
    let function = "CREATE FUNCTION f(a int, b text -- the note\n) RETURNS int LANGUAGE sql AS 'select 1'";
    assert_eq!(back(function), "DROP FUNCTION f(a int, b text)");
    assert_eq!(back("ALTER FUNCTION f(a int -- id\n) RENAME TO g"), "ALTER FUNCTION g(a int) RENAME TO f");
    assert_eq!(back("CREATE SCHEMA AUTHORIZATION joe"), "DROP SCHEMA joe");
    assert_eq!(back("CREATE STATISTICS ON a, b FROM t"), "");
    assert_eq!(back("REVOKE GRANT OPTION FOR SELECT ON t FROM app"), "GRANT SELECT ON t TO app WITH GRANT OPTION");
    assert_eq!(back("REVOKE ADMIN OPTION FOR app FROM bob"), "GRANT app TO bob WITH ADMIN OPTION");
    for sql in [
        // Four states, and two words.
        "ALTER TABLE t DISABLE TRIGGER g",
        "ALTER TABLE t ENABLE TRIGGER g",
        "ALTER TABLE t NO INHERIT p",
        "CREATE EXTENSION cube CASCADE",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    ] {
        assert!(matches!(reverse(sql), Reverse::NeedsSaved { .. }), "{sql}: {:?}", reverse(sql));
    }
    for sql in [
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
    ] {
        assert!(reverse(sql).cannot().unwrap().contains("the rows as they were"), "{sql}");
    }
    assert!(
        parse_one(Mysql, "REPLACE INTO t VALUES (1)")
            .unwrap()
            .reverse
            .cannot()
            .unwrap()
            .contains("the rows as they were")
    );
}

#[test]
fn what_a_right_or_a_comment_is_on_is_named() {
    let of = |sql: &str| {
        let objects = parse_one(Postgres, sql).unwrap().objects;
        objects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(of("GRANT SELECT ON ALL TABLES IN SCHEMA shop, annex TO app"), "schema shop, schema annex");
    assert_eq!(of("GRANT EXECUTE ON PROCEDURE p(int) TO app"), "procedure p");
    assert_eq!(of("GRANT USAGE ON LANGUAGE plpgsql TO app"), "object plpgsql");
    assert_eq!(of("GRANT USAGE ON FOREIGN SERVER s TO app"), "object s");
    assert_eq!(of("GRANT SET ON PARAMETER work_mem TO app"), "");
    assert_eq!(of("REVOKE GRANT OPTION FOR SELECT ON t FROM app"), "table t");
    assert_eq!(of("COMMENT ON CONSTRAINT c ON shop.t IS 'x'"), "table shop.t, constraint c on shop.t");
    assert_eq!(of("COMMENT ON MATERIALIZED VIEW v IS 'x'"), "materialized view v");
    assert_eq!(of("VACUUM ONLY t"), "table t");
    assert_eq!(of("CREATE STATISTICS ON a, b FROM t"), "table t");
}

#[test]
fn what_runs_over_every_table_locks_every_table() {
    for (sql, mode) in [
        ("VACUUM", "SHARE UPDATE EXCLUSIVE"),
        ("VACUUM FULL", "ACCESS EXCLUSIVE"),
        ("VACUUM (FULL, VERBOSE)", "ACCESS EXCLUSIVE"),
        ("CLUSTER", "ACCESS EXCLUSIVE"),
        ("REINDEX DATABASE CONCURRENTLY d", "SHARE UPDATE EXCLUSIVE"),
        ("ANALYZE", "SHARE UPDATE EXCLUSIVE"),
    ] {
        assert_eq!(parse_one(Postgres, sql).unwrap().lock.map(|lock| lock.mode), Some(mode), "{sql}");
    }
    // The author asks for more than the server needs.
    let copied = parse_one(Mysql, "ALTER TABLE t ADD COLUMN c int, ALGORITHM=COPY").unwrap();
    assert_eq!(format!("{:?}", copied.cost), "Rewrite");
    let with = |sql: &str| parse_one(Postgres, sql).unwrap();
    assert_eq!(with("ALTER TABLE t ADD COLUMN c int DEFAULT evil()").calls, ["evil"]);
    assert_eq!(with("CREATE INDEX i ON t USING gin (evil(a) gin_ops) WHERE worse(b)").calls, ["evil", "worse"]);
    assert!(with("ALTER TABLE t ADD COLUMN c geometry(Point, 4326), ADD PRIMARY KEY (a)").calls.is_empty());
}

#[test]
fn names_are_quoted_or_refused() {
    assert_eq!(quote_ident(Postgres, "orders").unwrap(), "\"orders\"");
    assert_eq!(quote_ident(Mysql, "a$1").unwrap(), "`a$1`");
    for name in ["", "1a", "a b", "a\"b", "a;b", "größe", &"a".repeat(64), "$a"] {
        assert!(quote_ident(Postgres, name).is_err(), "{name}");
    }
}

#[test]
fn files_are_split_where_statements_end() {
    let file = "-- up\nALTER TABLE a RENAME b TO c; /* ; */ CREATE FUNCTION f() RETURNS int AS $x$ select 1; $x$ LANGUAGE sql;\n\
        INSERT INTO t VALUES (';'), (E'\\';'); CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\n\
        CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT \";\" FROM t;;\n-- end\n";
    let pieces = split(Postgres, file).unwrap();
    assert_eq!(pieces.len(), 6, "{pieces:#?}");
    for piece in &pieces {
        parse_one(Postgres, piece).unwrap_or_else(|refused| panic!("{piece}: {refused}"));
    }
    let file = "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = CASE WHEN 1 THEN 2 END; SELECT 1; END; DELETE FROM t";
    assert_eq!(split(Sqlite, file).unwrap().len(), 2);
    assert!(matches!(split(Postgres, "SELECT 'x"), Err(Refused::Unterminated { .. })));
}
