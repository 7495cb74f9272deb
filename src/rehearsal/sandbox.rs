//! The sandbox process: builds the incident, keeps its world alive, ends when nobody uses it.
//!
//! Owns the order of all that and the files of its folder that are written once: `sandbox.json` (where everything is)
//! and `truth.json` (for the scoring). Never sees the run: to it, the operator is somebody on the database, on the
//! cluster and at a stand-in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::bus::Bus;
use super::control;
use super::history::{self, History};
use super::life::Life;
use super::postgres::Server;
use super::scenario::Scenario;
use super::shop::{Shop, failed};
use super::{On, declare, write_atomically};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::Environment;

const SESSION: &str = "backout-sandbox";
pub const FILE: &str = "sandbox.json";
/// Locked, shared, by whoever plays.
pub const USERS: &str = "users";
pub const TRUTH: &str = "truth.json";

/// What the sandbox is asked to be.
#[derive(Debug, Clone)]
pub struct Setup {
    pub dir: PathBuf,
    pub scenario: PathBuf,
    pub on: On,
    /// A given database, which is empty or declares itself a rehearsal.
    pub postgres_url: Option<String>,
    /// Given brokers, likewise.
    pub kafka: Option<String>,
    /// Ends this long after its last user left; never where there is none.
    pub linger: Option<Duration>,
    /// The program, and the verb, that stand-ins call.
    pub program: Vec<String>,
}

/// `sandbox.json`: written once, when all is ready. Holds the throw-away password: readable by its owner only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: a reused pid is not this process.
    pub start_time: u64,
    pub nonce: String,
    pub on: On,
    pub database_url: String,
    pub brokers: String,
    pub export: PathBuf,
    pub stand_ins: PathBuf,
    /// Group states come from `groups.json`: the mock cluster does not tell them.
    pub simulated: bool,
    pub words: String,
    /// For the runbook's `${NAME}`s.
    pub env: BTreeMap<String, String>,
    /// For the runbook's vars.
    pub vars: BTreeMap<String, String>,
    pub t0: Timestamp,
    /// To be removed where the sandbox could not do so itself.
    pub postgres_data: Option<PathBuf>,
    pub scenario: PathBuf,
}

/// Builds the incident and lives until it is told to end, or until nobody has used it for long enough.
///
/// # Errors
/// Whatever part of the world cannot be built, in the words of its server.
pub async fn serve(setup: Setup) -> Result<()> {
    // A session of its own: a closed terminal is not its end. Fails where it has one already.
    let _ = rustix::process::setsid();
    let here = |e: std::io::Error| {
        Failure::new(Kind::Target, format!("the sandbox's folder {}", setup.dir.display())).cause(e)
    };
    // The control socket is bound by a short name.
    std::env::set_current_dir(&setup.dir).map_err(here)?;
    let scenario = Scenario::read(&setup.scenario)?;
    let declared = admit(&setup, &scenario).await?;
    let nonce = format!("{:016x}", rand::random::<u64>());
    let history = history::build(&scenario, Timestamp::now());

    let server = match (&setup.postgres_url, setup.on) {
        (None, On::Postgres) => Some(Server::start(&setup.dir, &format!("{:032x}", rand::random::<u128>())).await?),
        _ => None,
    };
    let url = match (&setup.postgres_url, &server) {
        (Some(given), _) => given.clone(),
        (None, Some(server)) => server.url.clone(),
        (None, None) => format!("sqlite://{}", setup.dir.join("shop.db").display()),
    };
    let version = build_shop(&setup, &scenario, &history, &url, &nonce).await?;
    let bus = build_bus(&setup, &scenario, &history, &nonce, declared).await?;

    let export = setup.dir.join("psp-export.csv");
    write_atomically(&export, history::export_csv(&history.charges).as_bytes()).map_err(here)?;
    let truth = serde_json::to_vec(&history.truth).unwrap_or_default();
    write_atomically(&setup.dir.join(TRUTH), &truth).map_err(here)?;
    control::install_stand_ins(&setup.dir, &scenario.stand_ins, &setup.program).map_err(here)?;

    let _ = std::fs::remove_file(control::SOCKET);
    let socket = UnixListener::bind(control::SOCKET).map_err(here)?;
    let mut life = Life::begin(&setup, &scenario, &history, &url, bus).await?;
    life.tick().await;

    let supplies = &scenario.supplies;
    let place = if setup.postgres_url.is_some() { "given" } else { "throw-away" };
    let cluster =
        if life.bus.mock { "librdkafka's mock cluster, group states simulated" } else { "the given Kafka cluster" };
    let sandbox = Sandbox {
        pid: std::process::id(),
        start_time: super::start_time(std::process::id()).unwrap_or_default(),
        nonce,
        on: setup.on,
        database_url: url.clone(),
        brokers: life.bus.brokers.clone(),
        stand_ins: setup.dir.join(control::BIN),
        simulated: life.bus.mock,
        words: format!("{version} ({place}) and {cluster}"),
        env: [
            (supplies.env.database.clone(), url),
            (supplies.env.brokers.clone(), life.bus.brokers.clone()),
            (supplies.env.export.clone(), export.display().to_string()),
            (crate::check::kafka::SANDBOX.to_owned(), setup.dir.display().to_string()),
        ]
        .into(),
        export,
        vars: [
            (supplies.vars.deployed.clone(), history.deployed.to_string()),
            (supplies.vars.rolled_back.clone(), history.rolled_back.to_string()),
        ]
        .into(),
        t0: history.now,
        postgres_data: server.as_ref().map(|s| s.data().to_owned()),
        scenario: setup.scenario.clone(),
    };
    let text = serde_json::to_vec_pretty(&sandbox).unwrap_or_default();
    write_atomically(&setup.dir.join(FILE), &text).map_err(here)?;

    let ended = life.run(&setup, &socket).await;
    let _ = std::fs::remove_file(setup.dir.join(FILE));
    let _ = std::fs::remove_file(control::SOCKET);
    drop(server);
    ended
}

/// Looks at every given server before anything is changed in one of them: whether the cluster declares itself already.
async fn admit(setup: &Setup, scenario: &Scenario) -> Result<bool> {
    if let Some(url) = &setup.postgres_url {
        let mut shop = Shop::open(url, SESSION).await.map_err(|e| failed("cannot be opened", &e))?;
        let tables = shop.tables().await.map_err(|e| failed("look", &e));
        shop.close(SESSION).await;
        declare::admit(&declare::given_database(url).await?, tables? == 0)?;
    }
    let Some(brokers) = &setup.kafka else { return Ok(false) };
    let identity = declare::given_cluster(brokers).await?;
    declare::admit(&identity, super::bus::topics(brokers).await?.is_empty())?;
    declare::nobody_reads(brokers, &groups(scenario)).await?;
    Ok(identity.environment == Environment::Rehearsal)
}

/// v1, its orders, the migration, v2's orders, and the declaration. Says which server it is on.
async fn build_shop(setup: &Setup, scenario: &Scenario, history: &History, url: &str, nonce: &str) -> Result<String> {
    let mut shop = Shop::open(url, SESSION).await.map_err(|e| failed("cannot be opened", &e))?;
    if setup.postgres_url.is_some() {
        shop.sweep().await.map_err(|e| failed("cannot be swept", &e))?;
    }
    let script = |path: &Path| {
        let path = scenario.base.join(path);
        std::fs::read_to_string(&path)
            .map_err(|e| Failure::new(Kind::Runbook, format!("cannot read {}", path.display())).cause(e))
    };
    let (v1, up) = match setup.on {
        On::Postgres => (script(&scenario.sql.v1.postgres)?, script(&scenario.sql.up.postgres)?),
        On::Sqlite => (script(&scenario.sql.v1.sqlite)?, script(&scenario.sql.up.sqlite)?),
    };
    let (v2_orders, v1_orders): (Vec<_>, Vec<_>) = history.orders.iter().partition(|o| o.v2);
    shop.script(v1).await.map_err(|e| failed("the schema of v1", &e))?;
    shop.seed(&v1_orders, false).await.map_err(|e| failed("the orders of v1", &e))?;
    shop.script(up).await.map_err(|e| failed("the migration to v2", &e))?;
    shop.seed(&v2_orders, true).await.map_err(|e| failed("the orders of v2", &e))?;
    shop.continue_ids().await.map_err(|e| failed("the ids", &e))?;
    let version = shop.version().await.map_err(|e| failed("its version", &e))?;
    shop.close(SESSION).await;
    declare::database(url, nonce).await?;
    Ok(version)
}

fn groups(scenario: &Scenario) -> [&str; 2] {
    [&scenario.actors.fulfillment.group, &scenario.actors.loyalty.group]
}

async fn build_bus(setup: &Setup, scenario: &Scenario, history: &History, nonce: &str, declared: bool) -> Result<Bus> {
    let topic = &scenario.topic;
    let groups = groups(scenario);
    let bus = match &setup.kafka {
        None => Bus::mock(topic)?,
        Some(given) => Bus::given(given, topic, &groups).await?,
    };
    // A cluster that says already what it is, is believed: others may be playing on it.
    if !declared {
        declare::cluster(&bus.brokers, nonce).await?;
    }
    bus.fill(&topic.name, &history.events)?;
    for group in groups {
        super::bus::begin_at(&bus.brokers, group, &topic.name, &history.read_until).await?;
    }
    Ok(bus)
}
