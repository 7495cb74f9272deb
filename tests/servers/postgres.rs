//! PostgreSQL: the whole way of a step, identity, locks, and what is left after a kill.

use backout::action::{self, Go};
use backout::run::record::{Environment, OutcomeResult, Point};
use backout::target::{Handle, postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
async fn a_role_named_as_our_schema_makes_its_tables_where_others_find_them() {
    let Some(database) = support::postgres_database("path") else { return };
    let shop = Shop::run("postgres", &database.url, "run-path");
    shop.fill("order_status").await;
    assert_eq!(shop.one("SELECT current_user").await, "backout");
    shop.sql("CREATE TABLE made (id int)").await;
    assert_eq!(
        shop.one("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'made'").await,
        "public"
    );
}

/// In front of `server`, as a pooler is: it opens its own sessions, whatever its clients ask for theirs.
async fn pooler(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                // The question for TLS, and what the session is to be.
                client.read_exact(&mut [0; 8]).await.unwrap();
                client.write_all(b"N").await.unwrap();
                let length = usize::try_from(client.read_u32().await.unwrap()).unwrap();
                let mut body = vec![0; length - 4];
                client.read_exact(&mut body).await.unwrap();
                let words: Vec<&[u8]> = body[4..].split(|byte| *byte == 0).collect();
                let kept =
                    words.chunks(2).filter(|pair| pair.len() == 2 && !pair[0].is_empty() && pair[0] != b"options");
                let mut said = body[..4].to_vec();
                kept.for_each(|pair| said.extend([pair[0], b"\0", pair[1], b"\0"].concat()));
                said.push(0);
                server.write_u32(u32::try_from(said.len() + 4).unwrap()).await.unwrap();
                server.write_all(&said).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_told_before_a_session_of_others_is_touched() {
    let Some(database) = support::postgres_database("pooler") else { return };
    let (head, rest) = database.url.split_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let address = pooler(host.to_owned()).await;
    let shop = Shop::run("postgres", &format!("{head}@{address}/{name}"), "run-pooler");
    for failure in [
        shop.context.targets.identity("shop").await.unwrap_err(),
        shop.context.targets.dedicated("shop", "test").await.err().unwrap(),
    ] {
        let text = failure.to_string();
        assert!(text.contains("is a pooler") && failure.exit_code() == 8, "{text}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("the server itself")));
    }
    // The same server without one in between.
    let shop = Shop::run("postgres", &database.url, "run-direct");
    shop.context.targets.identity("shop").await.unwrap();
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
