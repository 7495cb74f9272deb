//! What a check may never contain, and what it may.

use Dialect::{Mysql, Postgres, Sqlite};
use backout::sql::{Dialect, Refused, check_read_only, parse_one};

#[test]
fn checks_refuse_everything_that_is_not_a_read() {
    let postgres = [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
        "WITH u AS (UPDATE t SET a = 1 RETURNING 1) SELECT 1",
        "WITH i AS (INSERT INTO t VALUES (1) RETURNING *) TABLE i",
        "SELECT * FROM (WITH d AS (DELETE FROM t RETURNING 1) SELECT 1) x",
        "SELECT * INTO t2 FROM t",
        "SELECT 1 INTO TEMP x",
        "CREATE TABLE x AS SELECT 1",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR SHARE",
        "SELECT * FROM t FOR NO KEY UPDATE NOWAIT",
        "SELECT * FROM t FOR KEY SHARE",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (ANALYZE) DELETE FROM t",
        "EXPLAIN (VERBOSE, ANALYZE on) UPDATE t SET a = 1",
        "DO $$ begin delete from t; end $$",
        "CALL p()",
        "SELECT evil()",
        "SELECT public.lower('x')",
        "SELECT \"Evil\"(1)",
        "SELECT * FROM evil()",
        "SELECT * FROM t, evil() AS (values int)",
        "SELECT * FROM t, LATERAL evil(t.a) x",
        "SELECT DISTINCT ON (a) evil(a) FROM t",
        "SELECT a FROM t ORDER BY evil(a)",
        "SELECT 1 WHERE evil()",
        "SELECT ALL evil()",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_cancel_backend(1)",
        "SELECT pg_reload_conf()",
        "SELECT pg_switch_wal()",
        "SELECT pg_drop_replication_slot('x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT lo_create(0)",
        "SELECT lo_unlink(1)",
        "SELECT pg_logical_emit_message(true, 'a', 'b')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT dblink_exec('create table t ()')",
        "SELECT * FROM ext.dblink('x', 'y') AS t(a int)",
        "SELECT query_to_xml('delete from t', true, true, '')",
        "SELECT nextval('s')",
        "SELECT setval('s', 1)",
        "SELECT set_config('a.b', 'c', false)",
        "SELECT pg_catalog.set_config('a', 'b', true)",
        "SELECT \"pg_sleep\"(10)",
        "SELECT pg_sleep(10)",
        "SELECT pg_notify('a', 'b')",
        "SELECT txid_current()",
        "SELECT pg_promote()",
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_file('x')",
        "SELECT pg_export_snapshot()",
        "COPY t TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'touch x'",
        "COPY t FROM STDIN",
        "COPY t TO '/tmp/x'",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
        "SAVEPOINT a",
        "PREPARE TRANSACTION 'x'",
        "SET TRANSACTION READ WRITE",
        "COMMIT AND CHAIN",
        "SET default_transaction_read_only = off",
        "SET ROLE postgres",
        "RESET ALL",
        "DISCARD ALL",
        "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
        "REINDEX TABLE t",
        "CLUSTER t",
        "ANALYZE t",
        "VACUUM t",
        "CHECKPOINT",
        "NOTIFY x",
        "LISTEN x",
        "TRUNCATE t",
        "GRANT SELECT ON t TO u",
        "REFRESH MATERIALIZED VIEW v",
        "LOAD 'x'",
        "PREPARE p AS DELETE FROM t",
        "EXECUTE p",
        "DECLARE c CURSOR FOR SELECT 1",
        "ALTER SYSTEM SET a = 1",
        "CREATE TEMP TABLE x (a int)",
        "SELECT 1; DROP TABLE t",
        "SELECT 1;; COMMIT",
        "",
        "   ",
        "-- only a comment",
        "/* nothing */",
        ";",
        "\\d t",
        "SELECT 1 \\gexec",
        "\\! rm x",
        "SELECT 1 /* open",
        "SELECT 'open",
        "SELECT $x$ open",
        "SEL\u{435}CT 1",
        "SELECT 1 AS \u{430}",
        "SELECT '\u{202e}x'",
        "SELECT 1 -- \u{200b}",
        "SELECT\u{a0}1",
        "TABLE t; SELECT 1",
        "VALUES (evil())",
        "SELECT CASE WHEN evil() THEN 1 END",
        "SELECT count(*) FILTER (WHERE evil()) FROM t",
        "WITH x AS (SELECT evil()) SELECT * FROM x",
        "WITH x(a) AS (VALUES (evil())) SELECT * FROM x",
        "SELECT (SELECT evil())",
        "SELECT ARRAY[evil()]",
    ];
    assert!(postgres.len() >= 60);
    let missed: Vec<_> = postgres.iter().filter(|sql| check_read_only(Postgres, sql).is_ok()).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
    let sqlite = [
        "INSERT INTO t VALUES (1)",
        "REPLACE INTO t VALUES (1)",
        "ATTACH 'x' AS y",
        "DETACH y",
        "BEGIN",
        "COMMIT",
        "PRAGMA query_only = off",
        "PRAGMA query_only(off)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = 1",
        "REINDEX",
        "VACUUM",
        "VACUUM INTO 'x'",
        "ANALYZE",
        "SELECT load_extension('x')",
        "SELECT writefile('a', 'b')",
        "SELECT edit('x')",
        "SELECT fts3_tokenizer('a', 'b')",
        "CREATE TABLE t (a)",
        "WITH d AS (SELECT 1) DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
        "SELECT 1 AS evil, evil(1)",
        "SELECT [evil](1)",
        "SELECT `evil`(1)",
        ".read x",
        "SELECT readfile('x')",
    ];
    let missed: Vec<_> = sqlite.iter().filter(|sql| check_read_only(Sqlite, sql).is_ok()).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
    let mysql = [
        "/*! DROP TABLE t */",
        "/*M! DROP TABLE t */",
        "/*!50000 DELETE FROM t */",
        "SELECT 1 /*!, sleep(9) */",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO @x",
        "SELECT @x := 1",
        "SELECT sleep(9)",
        "SELECT get_lock('a', 1)",
        "SELECT benchmark(9, 1)",
        "SELECT load_file('x')",
        "SELECT * FROM t LOCK IN SHARE MODE",
        "SELECT * FROM t FOR UPDATE",
        "SET @x = 1",
        "SET GLOBAL read_only = 0",
        "CALL p()",
        "DO sleep(1)",
        "HANDLER t OPEN",
        "EXECUTE IMMEDIATE 'DROP TABLE t'",
        "PREPARE s FROM 'DROP TABLE t'",
        "SELECT 1.into @x",
        "KILL 5",
        "FLUSH TABLES",
        "SELECT '\\'; DROP TABLE t; -- '",
        "delimiter //",
        "SELECT sys_exec('x')",
        "SELECT 1 --9; DROP TABLE t",
    ];
    let missed: Vec<_> =
        mysql.iter().filter(|sql| check_read_only(Mysql, sql).is_ok() && !sql.starts_with("SELECT '\\'")).collect();
    assert!(missed.is_empty(), "taken as reads: {missed:#?}");
}

#[test]
fn checks_take_reads() {
    let postgres = [
        "SELECT 1",
        "TABLE orders",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT count(*) FROM orders WHERE status = 'x';",
        "SELECT coalesce(sum(amount_cents), 0) FROM orders WHERE created_at < $1::timestamptz",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        "WITH a AS (SELECT 1 AS x), b(y) AS (SELECT 2) SELECT x, y FROM a, b",
        "SELECT a.x FROM (VALUES (1)) a(x) JOIN orders o ON o.id = a.x",
        "SELECT g FROM generate_series(1, 3) g(i)",
        "SELECT id, row_number() OVER (PARTITION BY status ORDER BY id) FROM orders",
        "SELECT count(*) FILTER (WHERE status IN ('a', 'b')) FROM orders GROUP BY GROUPING SETS ((status), ())",
        "SELECT cast(a AS numeric(12, 2)), extract(epoch FROM now()), substring(s from 1 for 2) FROM t",
        "SELECT 'delete from t' AS \"update\", t.insert FROM t",
        "SELECT $$commit;$$, E'it\\'s', U&'x' FROM t -- drop",
        "SELECT EXISTS (SELECT 1 FROM t WHERE x = ANY (ARRAY[1, 2]))",
        "SELECT pg_catalog.now(), version()",
        "EXPLAIN SELECT 1",
        "SHOW lock_timeout",
        // One string, and one comment in another.
        "SELECT E'\\'; DROP TABLE t; --'",
        "SELECT 1 /* /* */; DROP TABLE t; -- */",
        "SELECT x.a FROM jsonb_to_recordset('[]'::jsonb) AS x(a int)",
        "SELECT 'Ünïcode' AS \"Größe\" -- ärger",
    ];
    let refused: Vec<_> =
        postgres.iter().filter_map(|sql| Some((sql, check_read_only(Postgres, sql).err()?))).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    for sql in [
        "SELECT count(*) FROM orders",
        "SELECT strftime('%s', 'now'), \"a\" FROM t WHERE x = ?1",
        "PRAGMA table_info(t)",
        "SELECT value FROM json_each('[1]')",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "EXPLAIN QUERY PLAN SELECT 1",
    ] {
        assert_eq!(check_read_only(Sqlite, sql), Ok(()), "{sql}");
    }
    for sql in
        ["SELECT count(*) FROM `orders` WHERE a = \"x\" # note", "SELECT date_format(now(), '%Y') FROM t LIMIT 1"]
    {
        assert_eq!(check_read_only(Mysql, sql), Ok(()), "{sql}");
    }
}

#[test]
fn refusals_say_what_and_what_to_do() {
    let said = |sql: &str| check_read_only(Postgres, sql).unwrap_err().to_string();
    assert!(said("SELECT shop.evil()").contains("shop.evil"));
    assert!(said("SELECT pg_terminate_backend(1)").contains("ends another session"));
    assert!(said("SELECT 1; SELECT 2").starts_with("2 statements"));
    assert!(said("SELECT 1 \\gexec").contains("\\gexec at byte 9"));
    assert!(matches!(parse_one(Postgres, "SELECT \u{200b}1"), Err(Refused::Lookalike { offset: 7, .. })));
    assert!(matches!(parse_one(Postgres, "SELECT 1 FROM"), Err(Refused::Unparsable { .. })));
    assert!(matches!(parse_one(Mysql, "SELECT 1 /*!x*/"), Err(Refused::VersionComment { offset: 9 })));
}
