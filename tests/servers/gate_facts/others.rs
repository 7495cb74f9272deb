//! Who else is there: transactions that nobody has open any more, workers of others, sessions that our role may not end,
//! names that are no plain text.

use backout::run::record::Act;
use backout::runbook::template::as_text;

use super::{Shop, lines, of, one, session, told};
use crate::support::{self, Database};

const TABLES: [&str; 2] = [
    "CREATE TABLE orders (id bigint, status text)",
    "INSERT INTO orders SELECT n, 'paid' FROM generate_series(1, 2000) n",
];
const RENAME: &str = "ALTER TABLE orders RENAME COLUMN status TO state";
const INDEX: &str = "CREATE INDEX CONCURRENTLY orders_status ON orders (status)";

async fn shop(database: &Database, run: &str) -> Shop {
    of(&database.url, run, &[RENAME, INDEX], &TABLES).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_build_is_told_of_what_was_prepared() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-left").await;
    assert!(!lines(&shop, "s1").await.iter().any(|line| line.starts_with("prepared") || line.starts_with("oldest")));
    let gid = format!("it's \u{1b}[31m{}", support::unique("gid"));
    let literal = gid.replace('\'', "''");
    let prepare = format!("PREPARE TRANSACTION '{literal}'");
    let mut other = session(&shop, "two-phase", &["begin", "INSERT INTO orders VALUES (1)", &prepare]).await;
    let (index, rename) = (lines(&shop, "s1").await, lines(&shop, "s0").await);
    other.run(format!("ROLLBACK PREPARED '{literal}'"), vec![]).await.unwrap();
    // It waits for whoever has written, though no lock of theirs conflicts with its own.
    let shown = literal.replace('\u{1b}', "␛");
    assert!(one(&index, "prepared").starts_with(&format!("prepared: ! transaction '{shown}' of ")), "{index:#?}");
    assert!(one(&rename, "in way").contains(&format!("ROLLBACK PREPARED '{shown}'")), "{rename:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tracked_is_not_said_to_be_none() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-dark").await;
    let reads = ["set track_activities = off", "begin", "LOCK TABLE orders IN ACCESS SHARE MODE"];
    let _reader = session(&shop, "reader", &reads).await;
    let index = lines(&shop, "s1").await;
    assert_eq!(one(&index, "sessions"), "sessions: cannot see the transactions of 1 session: track_activities is off");
    let way = lines(&shop, "s0").await;
    assert!(one(&way, "in way").contains("what it does is not tracked, holds ACCESS SHARE on orders"), "{way:#?}");
}

/// Its workers hold locks, too; one session is one blocker, and the one that can be ended is its leader.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_workers_are_their_leader() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-parallel").await;
    shop.sql("ALTER TABLE orders SET (parallel_workers = 2)").await;
    shop.sql("CREATE FUNCTION slow(bigint) RETURNS bigint PARALLEL SAFE LANGUAGE plpgsql AS 'begin perform pg_sleep(60); return $1; end'").await;
    let eager = ["set parallel_setup_cost = 0", "set parallel_tuple_cost = 0", "set min_parallel_table_scan_size = 0"];
    let mut reader = session(&shop, "reader", &eager).await;
    let pid = as_text(&reader.one("SELECT pg_backend_pid()", vec![]).await.unwrap().unwrap());
    let slow = tokio::spawn(async move { reader.one("SELECT sum(slow(id))::text FROM orders", vec![]).await });
    let workers = "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE relation = 'orders'::regclass AND backend_type = 'parallel worker'";
    while as_text(&shop.one(workers).await) == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let prepared = shop.prepare("s0", 1, false).await.unwrap();
    let pids: Vec<_> = prepared.evidence.blockers.iter().map(|(pid, _)| pid.clone()).collect();
    assert_eq!(pids, std::slice::from_ref(&pid), "{:?}", prepared.evidence.facts);
    let since = Some(prepared.evidence.blockers[0].1.clone());
    let (took, words) = told(&Act::CancelSession { target: "shop".into(), pid, since }, &shop.context).await;
    assert!(took, "{words}");
    assert_eq!(slow.await.unwrap().unwrap_err().code.as_deref(), Some("57014"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_our_role_may_not_end_is_said_before_and_after() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-mighty").await;
    let (role, other) = (support::unique("op"), support::unique("app"));
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'op' IN ROLE pg_monitor"),
        format!("CREATE ROLE {other} LOGIN PASSWORD 'app'"),
        format!("GRANT SELECT ON orders TO {other}"),
    ] {
        shop.sql(&sql).await;
    }
    let (_, host) = database.url.rsplit_once('@').unwrap();
    let op = of(&format!("postgres://{role}:op@{host}"), "run-op", &[RENAME], &[]).await;
    let app = of(&format!("postgres://{other}:app@{host}"), "run-app", &[RENAME], &[]).await;
    let reads = ["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"];
    let superuser = session(&shop, "nightly", &reads).await;
    let ends = async |who: &str| {
        let prepared = op.prepare("s0", 1, false).await.unwrap();
        let facts: Vec<_> = prepared.evidence.facts.iter().filter(|(label, _)| label == "in way").collect();
        assert!(facts.len() == 1 && facts[0].1.contains(who), "{facts:?}");
        let (pid, since) = prepared.evidence.blockers[0].clone();
        let act = Act::EndSession { target: "shop".into(), pid: pid.clone(), since: Some(since) };
        let (took, words) = told(&act, &op.context).await;
        (facts[0].1.clone(), took, words, format!("SELECT pg_terminate_backend({pid})"))
    };
    let (way, took, words, by_hand) = ends("nightly").await;
    assert!(way.contains("; only a superuser may end it"), "{way}");
    assert!(!took && words.contains("(42501)") && words.contains(&by_hand), "{words}");
    drop(superuser);
    while !one(&lines(&op, "s0").await, "in way").contains("nobody") {}

    let plain = session(&app, "web", &reads).await;
    let (way, took, words, by_hand) = ends("web").await;
    assert!(way.contains("; this role may not end it: it lacks pg_signal_backend"), "{way}");
    assert!(!took && words.contains("(42501)") && words.contains(&by_hand), "{words}");
    shop.sql(&format!("GRANT pg_signal_backend TO {role}")).await;
    let (way, took, words, _) = ends("web").await;
    assert!(!way.contains("may not end") && took, "{way} {words}");
    drop((plain, app, op));
    shop.sql(&format!("DROP OWNED BY {other}")).await;
    shop.sql(&format!("DROP ROLE {role}, {other}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_are_in_the_way_each_can_be_ended_by_what_the_gate_says() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-many").await;
    let mut readers = Vec::new();
    for n in 0..6 {
        let app = format!("extract-{n}");
        readers.push(session(&shop, &app, &["begin", "LOCK TABLE orders IN ACCESS SHARE MODE"]).await);
    }
    let evidence = shop.prepare("s0", 1, false).await.unwrap().evidence;
    let ways: Vec<_> = evidence.facts.iter().filter(|(label, _)| label == "in way").map(|(_, words)| words).collect();
    assert_eq!((ways.len(), evidence.blockers.len()), (5, 6));
    assert!(ways[4].starts_with("! and 2 more: extract-4 ") && ways[4].contains(", extract-5 "), "{ways:#?}");
    for (pid, _) in &evidence.blockers {
        assert!(ways.iter().any(|words| words.contains(pid.as_str())), "{pid}: {ways:#?}");
    }
}

/// A user may be called anything, and a query is anything; a terminal obeys none of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_reaches_the_screen_as_more_than_text() {
    let Some(database) = support::postgres_database("facts") else { return };
    let tables = ["CREATE TABLE \"or'\u{1b}[2J\nders\" (id int, status text)"];
    let rename = "ALTER TABLE \"or'\u{1b}[2J\nders\" RENAME COLUMN status TO state";
    assert!(backout::sql::parse_one(backout::sql::Dialect::Postgres, rename).is_err(), "what does not show never runs");
    let shop = of(&database.url, "run-names", &[RENAME], &[tables[0], TABLES[0]]).await;
    let role = support::unique("r");
    shop.sql(&format!("CREATE ROLE \"{role}'\u{1b}[31m\n\" SUPERUSER")).await;
    shop.sql("CREATE VIEW \"of'\u{1b}[31m\norders\" AS SELECT status FROM orders").await;
    let become_it = format!("SET SESSION AUTHORIZATION \"{role}'\u{1b}[31m\n\"");
    let hidden = "LOCK TABLE orders IN ACCESS SHARE MODE -- \u{1b}]0;x\u{7}\u{202e}\n";
    let _reader = session(&shop, "na\u{1b}[1mme'", &[&become_it, "begin", hidden]).await;
    let told = lines(&shop, "s0").await;
    let way = one(&told, "in way").to_owned();
    assert!(way.contains("holds ACCESS SHARE on orders: LOCK TABLE"), "{way}");
    assert!(one(&told, "follows").contains("view"), "{told:#?}");
    for line in &told {
        assert!(backout::text::is_clean(line).is_ok() && !line.contains('\n'), "{line:?}");
    }
    drop(_reader);
    shop.sql(&format!("DROP ROLE \"{role}'\u{1b}[31m\n\"")).await;
}

/// The same name is another table, or none, to another role.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_our_role_does_not_find_is_not_said_to_be_free() {
    let Some(database) = support::postgres_database("facts") else { return };
    let lost = of(&database.url, "run-lost", &["ALTER TABLE hidden.orders ADD COLUMN more int", RENAME], &[]).await;
    assert!(
        one(&lines(&lost, "s0").await, "in way")
            .starts_with("in way: ! cannot see who holds hidden.orders: no such name")
    );
    assert!(
        one(&lines(&lost, "s1").await, "in way").starts_with("in way: ! cannot see who holds orders: no such name")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_not_answered_leaves_the_others() {
    let Some(database) = support::postgres_database("facts") else { return };
    let shop = shop(&database, "run-silent").await;
    // Whoever reads this catalog waits, and only the question for function bodies does.
    let _holder = session(&shop, "migration", &["begin", "LOCK TABLE pg_policy IN ACCESS EXCLUSIVE MODE"]).await;
    let told = lines(&shop, "s0").await;
    assert!(
        one(&told, "depends").contains("cannot see what stands on it: canceling statement due to lock timeout (55P03)")
    );
    assert!(one(&told, "table: orders").contains("rows not known, 0 indexes"), "{told:#?}");
    assert!(one(&told, "in way").starts_with("in way: nobody"), "{told:#?}");
}
