//! The sandbox of a rehearsal: what it builds, how its actors suffer and recover, the trap, and that it goes away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use backout::rehearsal::history::{self, Class};
use backout::rehearsal::scenario::Scenario;
use backout::rehearsal::shop::Shop;
use backout::rehearsal::{self, On, Options, Rehearsal, bus, score};
use serde_json::Value;

use crate::support;

mod declared;
pub mod lifetime;

const PATIENCE: Duration = Duration::from_secs(30);

fn checkout_v2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/checkout-v2")
}

fn options(home: &Path, on: On) -> Options {
    Options {
        runbook: checkout_v2(),
        on: Some(on),
        postgres_url: None,
        kafka: None,
        home: home.to_owned(),
        keep: false,
        program: vec![env!("CARGO_BIN_EXE_backout").to_owned(), "sandbox".to_owned()],
    }
}

/// A sandbox that is ended with the test, whatever becomes of it.
struct Stage {
    played: Option<Rehearsal>,
    home: tempfile::TempDir,
}

impl Stage {
    async fn set(home: tempfile::TempDir, options: &Options) -> Self {
        let played = Some(rehearsal::start(options).await.unwrap());
        Self { played, home }
    }

    async fn on(on: On) -> Self {
        let home = support::state_dir();
        let options = options(home.path(), on);
        Self::set(home, &options).await
    }

    fn dir(&self) -> PathBuf {
        self.played.as_ref().unwrap().dir.clone()
    }

    fn env(&self, name: &str) -> String {
        self.played.as_ref().unwrap().env[name].clone()
    }

    async fn shop(&self) -> Shop {
        Shop::open(&self.env("SHOP_DATABASE_URL"), "test").await.unwrap()
    }

    /// As a step of the run does it: an empty environment, a path of stand-ins.
    fn stand_in(&self, argv: &[&str]) -> Output {
        let bin = self.played.as_ref().unwrap().stand_ins.clone();
        Command::new(bin.join(argv[0])).args(&argv[1..]).env_clear().env("PATH", bin).output().unwrap()
    }

    fn kubectl(&self, argv: &[&str]) {
        let output = self.stand_in(&[&["kubectl"], argv].concat());
        assert!(output.status.success(), "{output:?}");
    }

    fn read(&self, file: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.dir().join(file)).unwrap()).unwrap()
    }

    /// Waits until the world is as `wanted` says, by what the actors say of themselves.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(&self.read("actors.json")) {
            assert!(Instant::now() < until, "{what} did not happen: {}", self.read("actors.json"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn failures(&self) -> BTreeMap<String, String> {
        let assertions = score::assess(&self.dir()).await.unwrap();
        assertions.into_iter().filter(|a| !a.passed).map(|a| (a.what, a.found)).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.played.take());
        let dir = rehearsal::sandbox_dir(self.home.path(), "checkout-v2");
        let _ = support::blocking(async move { rehearsal::end(&dir).await });
    }
}

fn rename() -> String {
    "ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref".to_owned()
}

/// The numbers of the story, at t = 0 and while it stands as it is.
async fn stands_as_told(stage: &Stage, scenario: &Scenario) {
    let mut shop = stage.shop().await;
    let truth: history::Truth = serde_json::from_value(stage.read("truth.json")).unwrap();
    let ids: Vec<i64> = truth.stuck.iter().map(|s| s.id).collect();
    assert_eq!(shop.with_status(&ids, "awaiting_confirmation").await.unwrap().0, 340);
    assert_eq!(shop.unreadable().await.unwrap(), 340);
    assert!(shop.try_v1().await.is_err(), "the old code must not be able to take an order");
    shop.close("test").await;

    let export = std::fs::read_to_string(stage.env("PSP_EXPORT")).unwrap();
    let mut charges: BTreeMap<i64, Vec<(String, i64)>> = BTreeMap::new();
    for line in export.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (order, amount) = (fields[1].parse().unwrap(), fields[3].parse().unwrap());
        charges.entry(order).or_default().push((fields[2].to_owned(), amount));
    }
    let mut found: BTreeMap<Class, u32> = BTreeMap::new();
    for stuck in &truth.stuck {
        let charges = charges.get(&stuck.id).cloned().unwrap_or_default();
        let class = match charges.as_slice() {
            [] => Class::NotCharged,
            [(state, _)] if state == "authorised" => Class::Authorised,
            [(_, amount)] if *amount == stuck.amount_cents => Class::Captured,
            [_] => Class::OtherAmount,
            _ => Class::ChargedTwice,
        };
        assert_eq!(class, stuck.class, "order {}", stuck.id);
        *found.entry(class).or_default() += 1;
    }
    let told = [
        (Class::Captured, 301),
        (Class::Authorised, 10),
        (Class::NotCharged, 27),
        (Class::ChargedTwice, 1),
        (Class::OtherAmount, 1),
    ];
    assert_eq!(found, told.into());

    let created = bus::count_events(&stage.env("KAFKA_BROKERS"), &scenario.topic, "order_created").await.unwrap();
    assert_eq!(created.len(), 2100);
    stage.until("an order failed", |a| a["checkout-v1"]["failed"].as_u64() >= Some(1)).await;
    stage.until("loyalty died", |a| a["loyalty"]["deaths"].as_u64() >= Some(1)).await;
    let actors = stage.read("actors.json");
    assert_eq!((&actors["checkout-v1"]["taken"], &actors["checkout-v2"]["wrote"]), (&0.into(), &Value::Null));
}

/// By hand, in the right order: the world recovers, and the number stays 340.
async fn recovers(stage: &Stage, scenario: &Scenario) {
    stage.kubectl(&["scale", "deploy/checkout-v2-canary", "--replicas=0"]);
    assert_eq!(stage.read("actors.json")["checkout-v2"]["alive"].as_bool(), Some(false));
    stage.kubectl(&["scale", "deploy/loyalty", "--replicas=0"]);

    let mut shop = stage.shop().await;
    shop.script(rename()).await.unwrap();
    stage.until("orders flow", |a| a["checkout-v1"]["taken"].as_u64() >= Some(2)).await;
    let truth: history::Truth = serde_json::from_value(stage.read("truth.json")).unwrap();
    assert_eq!(shop.unreadable().await.unwrap(), 340);
    assert_eq!(shop.since(truth.last_order, true).await.unwrap(), 0);
    assert_eq!(shop.revenue(truth.last_order).await.unwrap(), truth.revenue);
    shop.close("test").await;

    stage.kubectl(&["set", "image", "deploy/loyalty", "loyalty=loyalty:tolerant"]);
    stage.kubectl(&["scale", "deploy/loyalty", "--replicas=1"]);
    let until = Instant::now() + PATIENCE;
    while bus::lag(&stage.env("KAFKA_BROKERS"), &scenario.actors.loyalty.group, &scenario.topic).await.unwrap() > 0 {
        assert!(Instant::now() < until, "loyalty does not catch up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let failures = stage.failures().await;
    for mended in [
        "the old code can take an order",
        "customers order again",
        "loyalty has caught up",
        "the revenue is what it was",
    ] {
        assert!(!failures.contains_key(mended), "{failures:?}");
    }
    assert!(failures.contains_key("no order is in a status that the old code cannot read"), "{failures:?}");
}

fn told() -> Scenario {
    Scenario::read(&checkout_v2().join("scenario.yaml")).unwrap()
}

#[tokio::test]
async fn sqlite_and_the_mock_cluster_suffer_and_recover() {
    let began = Instant::now();
    let stage = Stage::on(On::Sqlite).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    stands_as_told(&stage, &told()).await;
    recovers(&stage, &told()).await;
}

#[tokio::test]
async fn throw_away_postgres_suffers_and_recovers() {
    if rehearsal::postgres::binaries().is_none() {
        return;
    }
    let stage = Stage::on(On::Postgres).await;
    assert!(stage.played.as_ref().unwrap().words.starts_with("PostgreSQL "));
    stands_as_told(&stage, &told()).await;
    recovers(&stage, &told()).await;
}

#[tokio::test]
async fn a_given_postgres_and_apache_kafka_suffer_and_recover() {
    let (Some(database), Some(broker)) = (support::postgres_database("rehearsal"), support::kafka("rehearsal")) else {
        return;
    };
    backout::target::kafka::declare_rehearsal(&broker.brokers, "tests").await.unwrap();
    // The topic and the groups of a shared cluster are this test's own.
    let home = support::state_dir();
    let folder = home.path().join("checkout-v2-here");
    std::fs::create_dir_all(&folder).unwrap();
    let text = std::fs::read_to_string(checkout_v2().join("scenario.yaml")).unwrap();
    let text = text
        .replace("name: order-events", &format!("name: {}", broker.name("order-events")))
        .replace("group: fulfillment", &format!("group: {}", broker.name("fulfillment")))
        .replace("group: loyalty", &format!("group: {}", broker.name("loyalty")));
    std::fs::write(folder.join("scenario.yaml"), text).unwrap();
    let scenario = Scenario::read(&folder.join("scenario.yaml")).unwrap();
    let expectations = std::fs::read_to_string(checkout_v2().join("expectations.yaml")).unwrap();
    let expectations =
        expectations.replace("loyalty_group: loyalty", &format!("loyalty_group: {}", broker.name("loyalty")));
    std::fs::write(folder.join("expectations.yaml"), expectations).unwrap();
    std::os::unix::fs::symlink(checkout_v2().join("sql"), folder.join("sql")).unwrap();

    let mut options = options(home.path(), On::Postgres);
    options.runbook = folder.clone();
    options.postgres_url = Some(database.url.clone());
    options.kafka = Some(broker.brokers.clone());
    let stage = Stage::set(home, &options).await;
    stands_as_told(&stage, &scenario).await;
    recovers(&stage, &scenario).await;
}

#[tokio::test]
async fn a_given_database_with_tables_is_left_alone() {
    let Some(database) = support::postgres_database("rehearsal") else {
        return;
    };
    let mut shop = Shop::open(&database.url, "test").await.unwrap();
    shop.script("CREATE TABLE orders (precious text); INSERT INTO orders VALUES ('yes')".to_owned()).await.unwrap();
    let home = support::state_dir();
    let mut options = options(home.path(), On::Postgres);
    options.postgres_url = Some(database.url.clone());
    let refused = rehearsal::start(&options).await.unwrap_err();
    assert!(refused.to_string().contains("neither empty nor declares itself a rehearsal"), "{refused}");
    assert_eq!(refused.exit_code(), 8);
    assert_eq!(shop.tables().await.unwrap(), 1);
}

#[tokio::test]
async fn repairing_under_the_straggler_makes_it_341() {
    let stage = Stage::on(On::Sqlite).await;
    let mut shop = stage.shop().await;
    shop.script(rename()).await.unwrap();
    stage.until("the trap", |a| a["checkout-v2"]["wrote"].is_i64()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.unreadable().await.unwrap(), 341);
    assert_eq!(stage.failures().await["v2 wrote no order after the rollback"], "1, not 0");
}

#[tokio::test]
async fn a_refund_happens_once_for_a_key_and_never_twice_for_a_charge() {
    let stage = Stage::on(On::Sqlite).await;
    let truth: history::Truth = serde_json::from_value(stage.read("truth.json")).unwrap();
    let charge = truth.stuck.iter().find_map(|s| s.surplus.clone()).unwrap();
    let first = stage.stand_in(&["psp", "refund", &charge, "--idempotency-key=k1"]);
    let again = stage.stand_in(&["psp", "refund", &charge, "--idempotency-key=k1"]);
    assert!(first.status.success() && first.stdout == again.stdout, "{first:?} {again:?}");
    let other = stage.stand_in(&["psp", "refund", &charge, "--idempotency-key=k2"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert_eq!(rehearsal::world::ledger(&stage.dir()).len(), 1);
    assert!(!stage.failures().await.keys().any(|what| what.starts_with("no order is charged twice")));
}

#[tokio::test]
async fn the_end_leaves_no_process_and_is_refused_while_somebody_plays() {
    let mut stage = Stage::on(if rehearsal::postgres::binaries().is_some() { On::Postgres } else { On::Sqlite }).await;
    let (dir, pid) = (stage.dir(), stage.played.as_ref().unwrap().pid);
    let refused = rehearsal::end(&dir).await.unwrap_err();
    assert!(refused.to_string().contains("is being played"), "{refused}");
    let sandbox = rehearsal::alive(&dir).unwrap();
    // The terminal has gone, and its run is about to leave.
    let played = stage.played.take();
    let leaves = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(played);
    });
    assert!(rehearsal::end(&dir).await.unwrap());
    leaves.join().unwrap();
    assert!(rehearsal::alive(&dir).is_none());
    assert!(!rehearsal::end(&dir).await.unwrap());
    lifetime::gone(&dir, &sandbox);
    assert!(sandbox.postgres_data.is_none_or(|data| !data.exists()));
    // The child of this test is a zombie until it is waited for; of a life there is no sign.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn the_same_seed_builds_the_same_world() {
    let scenario = told();
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let (one, two) = (history::build(&scenario, at(1_800_000_000)), history::build(&scenario, at(1_900_000_000)));
    assert_eq!(one.truth, two.truth);
    let charges =
        |h: &history::History| h.charges.iter().map(|c| (c.charge_id.clone(), c.amount_cents)).collect::<Vec<_>>();
    assert_eq!(charges(&one), charges(&two));
    assert_eq!(one.read_until.iter().sum::<i64>(), 2100);
    let shapes = one.events.iter().filter(|e| e.value.get("payment_reference_id").is_some()).count();
    assert_eq!((one.events.len(), shapes), (2160, 900));
    // The order that the operator must decide is named in the answers.
    let asked = one.truth.stuck.iter().find(|s| s.class == Class::OtherAmount).unwrap();
    let answers = std::fs::read_to_string(checkout_v2().join("answers.yaml")).unwrap();
    assert!(answers.contains(&asked.id.to_string()), "order {} is not answered", asked.id);
}
