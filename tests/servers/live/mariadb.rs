//! The same on MariaDB: who holds, or may hold, the metadata lock that a statement waits for.

use backout::action::{self, live::Sight};
use backout::run::record::{Act, OutcomeResult};
use backout::runbook::TargetKind;
use backout::target::Handle;
use tokio::sync::watch;

use super::{UnderWay, session, shop, words};
use crate::faults::server::{Server, Stop};
use crate::shop::Shop;
use crate::support::{self, Database};

/// A session on no database, that reads the orders in a transaction; its number.
async fn reader(shop: &Shop, database: &Database) -> (Handle, String) {
    let elsewhere = shop.context.access.env["SHOP"].replace(&database.name, "information_schema");
    let other = Shop::with(
        "backout: 1\nname: x\ntitle: x\ntargets: { shop: { mysql: \"${SHOP}\" } }\nsteps: [{ id: a, manual: { what: x } }]\n",
        &elsewhere,
        "run-other",
    );
    let mut handle = session(&other, "", &["begin"]).await;
    handle.read(format!("SELECT * FROM {}.orders", database.name), vec![]).await.unwrap();
    let Handle::Mysql(connection) = &handle else { panic!("not MariaDB") };
    let id = connection.id.to_string();
    (handle, id)
}

async fn gate(shop: &Shop) -> (Vec<String>, Vec<(String, String)>) {
    let evidence = shop.prepare("rename", 1, false).await.unwrap_or_else(|e| panic!("{e}")).evidence;
    let in_way = evidence.facts.into_iter().filter(|(label, _)| label == "in way").map(|(_, words)| words).collect();
    (in_way, evidence.blockers)
}

async fn acted(act: Act, shop: &Shop) -> (bool, String) {
    let (_keep, never) = watch::channel(false);
    let acted = action::act(&act, &shop.context, never).await;
    (acted.applied, acted.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_up_a_statement_is_named_and_nobody_else() {
    let Some(database) = support::mysql_database("live") else { return };
    let shop = shop(&database, "mysql", "run-live").await;
    shop.sql("CREATE TABLE others (id int PRIMARY KEY)").await;
    let mut innocent = session(&shop, "", &["begin"]).await;
    innocent.read("SELECT * FROM others", vec![]).await.unwrap();
    let (mut holder, id) = reader(&shop, &database).await;
    let mut rename = UnderWay::begin(&shop, "rename", TargetKind::Mysql).await;
    let seen = rename.sees("a blocker", Sight::is_blocked).await;
    let told = words(&seen);
    assert!(told.contains("Waiting for table metadata lock"), "{told}");
    let pids: Vec<_> = seen.blockers.iter().map(|blocker| &blocker.pid).collect();
    assert_eq!(pids, [&id], "{told}");
    assert!(!told.contains("may be"), "{told}");
    holder.run("rollback", vec![]).await.unwrap();
    let outcome = rename.worker.await.unwrap();
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_cancelled_statement_is_read_again() {
    let Some(database) = support::mysql_database("live") else { return };
    let shop = shop(&database, "mysql", "run-cancel").await;
    let (_holder, _) = reader(&shop, &database).await;
    let mut rename = UnderWay::begin(&shop, "rename", TargetKind::Mysql).await;
    rename.sees("a blocker", Sight::is_blocked).await;
    let Act::Cancel { target, pid, since } = rename.act() else { panic!() };
    assert!(since.as_ref().is_some_and(|since| since.contains(", server up since 2")), "{since:?}");
    // Not told, it goes on, and that is said; and no other session of that number is taken for it.
    let (took, words) = acted(rename.act(), &shop).await;
    assert!(!took && words.contains("was told and goes on: is at "), "{words}");
    let another = since.as_ref().map(|since| since.replace("up since 2", "up since 1"));
    let (took, words) = acted(Act::Cancel { target, pid: pid.clone(), since: another }, &shop).await;
    assert!(took && words.contains("is gone"), "{words}");
    rename.cancel.send_replace(true);
    let (took, words) = acted(rename.act(), &shop).await;
    assert!(took && words.contains(&format!("read again, pid {} of this step is gone", pid.unwrap())), "{words}");
    let outcome = rename.worker.await.unwrap();
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    assert!(outcome.evidence.contains("(1317)"), "{outcome:?}");
    assert_eq!(shop.one("SELECT count(payment_ref) AS n FROM orders").await, 1);
}

/// What else keeps every change of a schema waiting, whatever its table; `modes`: as the list has them.
async fn backups(shop: &Shop, modes: [&str; 3]) {
    let ddl = "BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL";
    let commit = format!("{ddl}; BACKUP STAGE BLOCK_COMMIT");
    for (stages, mode) in ["FLUSH TABLES WITH READ LOCK", ddl, &commit].into_iter().zip(modes) {
        let stages: Vec<&str> = stages.split("; ").collect();
        let mut backup = session(shop, "", &stages).await;
        let (in_way, _) = gate(shop).await;
        assert!(
            in_way.iter().any(|words| words.contains(&format!("holds {mode}: every change of a schema waits for it"))),
            "{in_way:?}"
        );
        if stages.len() == 3 {
            let mut rename = UnderWay::begin(shop, "rename", TargetKind::Mysql).await;
            let seen = rename.sees("a blocker", Sight::is_blocked).await;
            let Handle::Mysql(own) = &backup else { panic!("not MariaDB") };
            let pids: Vec<_> = seen.blockers.iter().map(|blocker| blocker.pid.clone()).collect();
            assert_eq!(pids, [own.id.to_string()], "{}", words(&seen));
            backup.run("BACKUP STAGE END", vec![]).await.unwrap();
            let outcome = rename.worker.await.unwrap();
            assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
            shop.sql("ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref").await;
        }
    }
}

/// A server of the test's own, with a shop on it.
async fn own(settings: &[&str], run: &str) -> Option<(Server, Database, Shop)> {
    let server = Server::mariadb(settings).await?;
    let database = Database::create("live", server.first()).unwrap();
    let shop = shop(&database, "mysql", run).await;
    Some((server, database, shop))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_tells_of_backups() {
    let Some((_server, _database, shop)) = own(&["plugin-load-add=metadata_lock_info"], "run-plugin").await else {
        return;
    };
    backups(&shop, ["BACKUP_FTWRL2", "BACKUP_WAIT_DDL", "BACKUP_WAIT_COMMIT"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_performance_schema_tells_of_holders_and_of_backups() {
    let settings = ["performance-schema=ON", "performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"];
    let Some((_server, database, shop)) = own(&settings, "run-schema").await else { return };
    backups(&shop, ["BACKUP_FTWRL1", "BACKUP_BLOCK_DDL", "BACKUP_BLOCK_DDL"]).await;
    let mut innocent = session(&shop, "", &["CREATE TABLE others (id int PRIMARY KEY)", "begin"]).await;
    innocent.read("SELECT * FROM others", vec![]).await.unwrap();
    let (mut holder, id) = reader(&shop, &database).await;
    let (in_way, blockers) = gate(&shop).await;
    assert!(in_way.len() == 1 && in_way[0].contains("holds a SHARED_READ metadata lock on orders"), "{in_way:?}");
    assert_eq!(blockers[0].0, id);
    let mut rename = UnderWay::begin(&shop, "rename", TargetKind::Mysql).await;
    let seen = rename.sees("a blocker", Sight::is_blocked).await;
    assert!(seen.blockers.len() == 1 && seen.blockers[0].pid == id && seen.blockers[0].note.is_none(), "{seen:?}");
    holder.run("rollback", vec![]).await.unwrap();
    assert_eq!(rename.worker.await.unwrap().result, OutcomeResult::Applied);
}

/// Nothing lists metadata locks: the open transactions are all there is, and their list may be an old one.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_locks_transactions_are_told_as_they_are_now() {
    let Some((mut server, database, shop)) = own(&[], "run-plain").await else { return };
    let (in_way, _) = gate(&shop).await;
    assert!(
        in_way[0].contains("no transaction is open now; who holds a metadata lock on orders cannot be seen"),
        "{in_way:?}"
    );
    let mut polls = Vec::new();
    for _ in 0..3 {
        let mut poller = session(&shop, "", &[]).await;
        polls.push(tokio::spawn(async move {
            while poller.read("SELECT count(*) FROM information_schema.innodb_trx", vec![]).await.is_ok() {}
        }));
    }
    let (mut holder, id) = reader(&shop, &database).await;
    let (in_way, _) = gate(&shop).await;
    let old = in_way[0].starts_with("! cannot see who: the server's list of transactions is an old one");
    assert!(old || in_way[0].contains(&format!("id {id}, ")), "{in_way:?}");
    polls.iter().for_each(tokio::task::JoinHandle::abort);
    let (in_way, blockers) = gate(&shop).await;
    assert!(in_way.len() == 1 && in_way[0].contains("may hold a metadata lock on orders"), "{in_way:?}");
    assert_eq!(blockers[0].0, id);
    let mut rename = UnderWay::begin(&shop, "rename", TargetKind::Mysql).await;
    let seen = rename.sees("a blocker", Sight::is_blocked).await;
    assert!(seen.blockers.len() == 1 && seen.blockers[0].pid == id, "{seen:?}");
    assert!(words(&seen).contains("it may be the one that holds the lock"), "{}", words(&seen));
    holder.run("rollback", vec![]).await.unwrap();
    assert_eq!(rename.worker.await.unwrap().result, OutcomeResult::Applied);

    // A number is given again after a restart, and the same user may come from the same port.
    let old = blockers[0].1.split_once(", server up since ").unwrap().1.to_owned();
    server.restarts(Stop::Fast).await;
    let after = session(&shop, "", &[]).await;
    let Handle::Mysql(after) = &after else { panic!("not MariaDB") };
    let (who, now) = after.came.split_once(", server up since ").unwrap();
    assert_ne!(now, old);
    let end = |since: String| Act::EndSession { target: "shop".into(), pid: after.id.to_string(), since: Some(since) };
    let (took, words) = acted(end(format!("{who}, server up since {old}")), &shop).await;
    assert!(!took && words.contains("nothing was sent"), "{words}");
    let (took, words) = acted(end(after.came.clone()), &shop).await;
    assert!(took && words.contains("read again, it is gone"), "{words}");
}
