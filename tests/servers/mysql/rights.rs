//! What a user may not do or see is said, and nobody writes where only reading was asked for.

use std::time::Duration;

use backout::action::Go;
use backout::check::Depth;
use backout::run::record::OutcomeResult;
use backout::target::mysql::role;
use backout::target::{Handle, SqlError};
use serde_json::json;

use super::{RUNBOOK, shop};
use crate::shop::Shop;

/// A user of this name with these rights, and a run as that user.
async fn as_user(shop: &Shop, url: &str, name: &str, grants: &[&str]) -> Shop {
    shop.sql(&format!("CREATE OR REPLACE USER {name}@'127.0.0.1' IDENTIFIED BY 'backout'")).await;
    for grant in grants {
        shop.sql(&format!("GRANT {grant} TO {name}@'127.0.0.1'")).await;
    }
    Shop::with(RUNBOOK, &url.replace("//backout:", &format!("//{name}:")), "run-cccccccc")
}

#[tokio::test]
async fn which_right_is_missing_and_what_is_lost_without_it_is_said() {
    let Some((database, shop)) = shop("run-rghtaaaa").await else { return };
    let name = format!("u{}", &database.name[database.name.len().saturating_sub(30)..]);
    let on = |right: &str, table: &str| format!("{right} ON {}.{table}", database.name);
    let grants =
        [on("SELECT", "*"), on("ALTER, CREATE, INSERT, DROP", "orders"), on("INSERT, UPDATE", "backout_claim")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let poor = as_user(&shop, &database.url, &name, &grants).await;
    let identity = poor.context.targets.identity("shop").await.unwrap_or_else(|e| panic!("{e}"));
    assert!(!identity.has_marker && !identity.sees_sessions, "{identity:?}");
    let lacks = identity.lacks.clone().unwrap_or_default();
    assert!(lacks.contains("INSERT command denied") && lacks.contains("backout_marker"), "{lacks}");
    assert!(identity.seen.words.contains("cannot see whether it is a replica"), "{}", identity.seen.words);

    let prepared = poor.prepare("rename-back", 1, false).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(prepared.offer.epoch, None);
    let fact = |label: &str| &prepared.evidence.facts.iter().find(|(found, _)| found == label).unwrap().1;
    assert!(fact("marker").contains(&lacks) && fact("marker").contains("nothing keeps a second run out"));
    assert!(fact("in way").starts_with("cannot see other sessions"), "{}", fact("in way"));
    assert!(fact("replicas").starts_with("cannot see"), "{}", fact("replicas"));
    let (outcome, _, _) = poor.perform(prepared.job, async |_, _| Go::Go).await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");

    shop.sql(&format!("GRANT INSERT ON {}.backout_marker TO {name}@'127.0.0.1'", database.name)).await;
    let richer = Shop::with(RUNBOOK, &database.url.replace("//backout:", &format!("//{name}:")), "run-dddddddd");
    let identity = richer.context.targets.identity("shop").await.unwrap();
    assert!(identity.has_marker && identity.lacks.is_none(), "{identity:?}");
    shop.sql(&format!("DROP USER {name}@'127.0.0.1'")).await;
}

#[tokio::test]
async fn nothing_rides_on_the_moment_in_which_a_probe_lifts_the_wall() {
    let Some((_database, shop)) = shop("run-rghtaaab").await else { return };
    shop.sql(
        "CREATE FUNCTION bump() RETURNS int BEGIN UPDATE orders SET amount_cents = amount_cents + 1; RETURN 1; END",
    )
    .await;
    let sum = "SELECT sum(amount_cents) AS n FROM orders";
    assert_eq!(shop.one(sum).await, 600);
    let mut handle = shop.context.targets.monitor("shop").await.unwrap();
    for sql in [
        "INSERT INTO orders (id, amount_cents, status) VALUES (bump(), bump(), 'x')",
        "SELECT bump()",
        "SELECT * FROM orders WHERE id = bump() LIMIT 1",
        "UPDATE orders SET amount_cents = 0",
        "DELETE FROM orders WHERE id = bump()",
    ] {
        handle.parse(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    assert!(handle.parse("SELECT 1; UPDATE orders SET amount_cents = 0").await.is_err());
    assert!(handle.parse("UPDATE orders SET no_such_column = 0").await.is_err());
    let refused = handle.run("UPDATE orders SET amount_cents = 0", vec![]).await.unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("1792"), "the wall is up again after each: {refused}");
    assert_eq!(shop.one(sum).await, 600);

    // Stopped at any moment of it, the connection is nobody's any more.
    for micros in (0..4_000).step_by(250) {
        let parsed =
            tokio::time::timeout(Duration::from_micros(micros), handle.parse("UPDATE orders SET amount_cents = 0"));
        if parsed.await.is_err() {
            assert!(handle.unusable());
        }
        drop(handle);
        handle = shop.context.targets.monitor("shop").await.unwrap();
        let refused = handle.run("UPDATE orders SET amount_cents = 0", vec![]).await.unwrap_err();
        assert_eq!(refused.code.as_deref(), Some("1792"), "{refused}");
    }
    drop(handle);
    assert!(shop.check("insert-works", Depth::Try).await.verdict.is_fail(), "it is prepared and not tried");
    assert_eq!(shop.one(sum).await, 600);
}

/// The words alone: a replica is not among the servers that tests have.
#[test]
fn a_replica_is_told_by_its_source_and_by_what_halts() {
    let row = |value: serde_json::Value| value.as_object().unwrap().clone();
    let mariadb = row(json!({ "Connection_name": "", "Master_Host": "db-1", "Slave_IO_Running": "Yes",
        "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": 5 }));
    let mysql = row(json!({ "Source_Host": "db-2", "Replica_IO_Running": "Yes", "Replica_SQL_Running": "No",
        "Seconds_Behind_Source": null }));
    assert_eq!(role(&Ok(vec![mariadb.clone()])), (true, "replica of db-1, 5 s behind".to_owned()));
    let both = "replica of db-1, 5 s behind; replica of db-2, how far behind is not known, NOT applying";
    assert_eq!(role(&Ok(vec![mariadb, mysql])), (true, both.to_owned()));
    assert_eq!(role(&Ok(vec![])), (false, "primary".to_owned()));
    let denied = SqlError { code: Some("1227".to_owned()), ..SqlError::new("Access denied") };
    assert_eq!(role(&Err(denied)), (false, "cannot see whether it is a replica: Access denied (1227)".to_owned()));
}

#[tokio::test]
async fn the_role_of_the_server_is_in_its_words() {
    let Some((_database, shop)) = shop("run-rghtaaac").await else { return };
    let identity = shop.context.targets.identity("shop").await.unwrap_or_else(|e| panic!("{e}"));
    assert!(identity.seen.words.contains(", primary, server_id "), "{}", identity.seen.words);
    let handle = shop.context.targets.monitor("shop").await.unwrap();
    let Handle::Mysql(connection) = &*handle else { panic!("it is a MySQL target") };
    assert_eq!(identity.seen.server, connection.server.to_string());
}
