//! PostgreSQL: the whole way of a step, identity, locks, and what is left after a kill.

use backout::action::{self, Go};
use backout::run::record::{Environment, OutcomeResult, Point};
use backout::target::{Handle, postgres};

use crate::shop::{self, Shop};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_applied_once_and_undone_row_by_row() {
    let Some(database) = support::postgres_database("dbs") else { return };
    shop::story("postgres", &database.url, "order_status").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_this_very_database_declares_itself() {
    let Some(database) = support::postgres_database("identity") else { return };
    let shop = Shop::run("postgres", &database.url, "run-identity");
    shop.fill("order_status").await;
    let seen = shop.context.targets.identity("shop").await.unwrap();
    assert_eq!(seen.environment, Environment::Production);
    assert!(seen.has_marker && !seen.standby && seen.sees_sessions, "{seen:?}");
    shop.sql("INSERT INTO backout.environment VALUES ('rehearsal', 'another/server', 'n')").await;
    assert_eq!(shop.context.targets.identity("shop").await.unwrap().environment, Environment::Production);
    let Handle::Postgres(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
    postgres::declare_rehearsal(&mut own, "nonce-1").await.unwrap();
    assert_eq!(shop.context.targets.identity("shop").await.unwrap().nonce.as_deref(), Some("nonce-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_said_without_the_secret() {
    let Some(database) = support::postgres_database("refused") else { return };
    let (user, rest) = database.url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    let (host, _) = rest.split_once('/').unwrap();
    let canary = "canary-6f1d";
    let (name, _) = host.split_once(':').unwrap();
    for (address, words) in [
        (format!("postgres://{user}:{canary}@{name}:1/{}", database.name), "host and port"),
        (format!("postgres://{user}:{canary}@db.example.invalid:5432/x?sslmode=disable"), "verify-full"),
        (format!("mysql://{user}:{canary}@{host}/x"), "postgres://"),
        (format!("{}_missing?application_name={canary}", database.url), "database name"),
    ] {
        let shop = Shop::run("postgres", &address, "run-refused");
        let failure = shop.context.targets.identity("shop").await.unwrap_err();
        let text = failure.to_string();
        assert!(text.contains(words), "{text}");
        assert!(!text.contains(canary), "{text}");
        assert_eq!(failure.exit_code(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_in_attempts() {
    let Some(database) = support::postgres_database("locks") else { return };
    let shop = Shop::run("postgres", &database.url, "run-locks");
    shop.fill("order_status").await;
    let mut holder = shop.context.targets.dedicated("shop", "reader").await.unwrap();
    holder.run("begin", vec![]).await.unwrap();
    holder.one("select count(*) from orders", vec![]).await.unwrap();
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap();
    let release = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        holder.run("rollback", vec![]).await.unwrap();
    });
    let (outcome, _, failed) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    release.await.unwrap();
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    assert!(failed.iter().all(|code| code == "55P03") && !failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_is_settled_by_its_marker() {
    let Some(database) = support::postgres_database("killed") else { return };
    let shop = Shop::run("postgres", &database.url, "run-killed");
    shop.fill("order_status").await;
    let prepared = shop.prepare("rename-back", 1, false).await.unwrap();
    let offer = prepared.offer.clone();
    let kill = async |point: Point, data: &serde_json::Value| {
        if point == Point::TxOpen {
            shop.sql(&format!("SELECT pg_terminate_backend({})", data["pid"])).await;
        }
        Go::Go
    };
    let (outcome, reached, _) = shop.perform(prepared.job, kill).await;
    assert_eq!(outcome.result, OutcomeResult::NotApplied, "{outcome:?}");
    let step = &shop.context.runbook.steps["rename-back"];
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::NotApplied, "{:?}", settled.evidence);
    // And after a commit that nobody heard of.
    let prepared = shop.prepare("rename-back", 2, false).await.unwrap();
    let offer = prepared.offer.clone();
    let (_, reached, _) = shop.perform(prepared.job, async |_, _| Go::Go).await;
    let settled = action::settle(step, Some(&offer), &reached, &shop.context).await;
    assert_eq!(settled.result, OutcomeResult::Applied, "{:?}", settled.evidence);
}
