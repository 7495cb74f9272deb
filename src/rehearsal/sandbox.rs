//! The sandbox process: builds the incident, keeps its world alive, ends when nobody uses it.
//!
//! Owns the order of all that, the ticks, and the files of its folder: `sandbox.json` (where everything is),
//! `groups.json` (groups as a coordinator would describe them), `actors.json`, `sandbox.log`, `truth.json` (for the
//! scoring). Never sees the run: to it, the operator is somebody on the database, on the cluster and at a stand-in.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::actor::{CheckoutV1, Habits, Reader, Straggler};
use super::bus::Bus;
use super::control::{self, Request};
use super::history::{self, History};
use super::postgres::Server;
use super::scenario::Scenario;
use super::shop::{Shop, failed};
use super::world::{Answer, CANARY, LOYALTY, World};
use super::{On, declare, write_atomically};
use crate::failure::{Failure, Kind, Result};

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
        Failure::new(
            Kind::Target,
            format!("the sandbox's folder {}", setup.dir.display()),
        )
        .cause(e)
    };
    // The control socket is bound by a short name.
    std::env::set_current_dir(&setup.dir).map_err(here)?;
    let scenario = Scenario::read(&setup.scenario)?;
    let nonce = format!("{:016x}", rand::random::<u64>());
    let history = history::build(&scenario, Timestamp::now());

    let server = match (&setup.postgres_url, setup.on) {
        (None, On::Postgres) => {
            Some(Server::start(&setup.dir, &format!("{:032x}", rand::random::<u128>())).await?)
        }
        _ => None,
    };
    let url = match (&setup.postgres_url, &server) {
        (Some(given), _) => given.clone(),
        (None, Some(server)) => server.url.clone(),
        (None, None) => format!("sqlite://{}", setup.dir.join("shop.db").display()),
    };
    let version = build_shop(&setup, &scenario, &history, &url, &nonce).await?;
    let bus = build_bus(&setup, &scenario, &history, &nonce).await?;

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
    let place = if setup.postgres_url.is_some() {
        "given"
    } else {
        "throw-away"
    };
    let cluster = if life.bus.mock {
        "librdkafka's mock cluster, group states simulated"
    } else {
        "the given Kafka cluster"
    };
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
            (
                crate::check::kafka::SANDBOX.to_owned(),
                setup.dir.display().to_string(),
            ),
        ]
        .into(),
        export,
        vars: [
            (supplies.vars.deployed.clone(), history.deployed.to_string()),
            (
                supplies.vars.rolled_back.clone(),
                history.rolled_back.to_string(),
            ),
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

/// v1, its orders, the migration, v2's orders, and the declaration. Says which server it is on.
async fn build_shop(
    setup: &Setup,
    scenario: &Scenario,
    history: &History,
    url: &str,
    nonce: &str,
) -> Result<String> {
    const SESSION: &str = "backout-sandbox";
    let mut shop = Shop::open(url, SESSION)
        .await
        .map_err(|e| failed("cannot be opened", &e))?;
    if setup.postgres_url.is_some() {
        if !declare::database_is_rehearsal(url).await?
            && shop.tables().await.map_err(|e| failed("look", &e))? > 0
        {
            return Err(Failure::new(
                Kind::Target,
                "the given database is neither empty nor declares itself a rehearsal",
            )
            .hint("give an empty database that exists for this rehearsal; nothing was changed"));
        }
        shop.sweep()
            .await
            .map_err(|e| failed("cannot be swept", &e))?;
    }
    let script = |path: &Path| {
        let path = scenario.base.join(path);
        std::fs::read_to_string(&path).map_err(|e| {
            Failure::new(Kind::Runbook, format!("cannot read {}", path.display())).cause(e)
        })
    };
    let (v1, up) = match setup.on {
        On::Postgres => (
            script(&scenario.sql.v1.postgres)?,
            script(&scenario.sql.up.postgres)?,
        ),
        On::Sqlite => (
            script(&scenario.sql.v1.sqlite)?,
            script(&scenario.sql.up.sqlite)?,
        ),
    };
    let (v2_orders, v1_orders): (Vec<_>, Vec<_>) = history.orders.iter().partition(|o| o.v2);
    shop.script(v1)
        .await
        .map_err(|e| failed("the schema of v1", &e))?;
    shop.seed(&v1_orders, false)
        .await
        .map_err(|e| failed("the orders of v1", &e))?;
    shop.script(up)
        .await
        .map_err(|e| failed("the migration to v2", &e))?;
    shop.seed(&v2_orders, true)
        .await
        .map_err(|e| failed("the orders of v2", &e))?;
    shop.continue_ids()
        .await
        .map_err(|e| failed("the ids", &e))?;
    let version = shop
        .version()
        .await
        .map_err(|e| failed("its version", &e))?;
    shop.close(SESSION).await;
    declare::database(url, nonce).await?;
    Ok(version)
}

async fn build_bus(
    setup: &Setup,
    scenario: &Scenario,
    history: &History,
    nonce: &str,
) -> Result<Bus> {
    let topic = &scenario.topic;
    let groups = [
        scenario.actors.fulfillment.group.as_str(),
        scenario.actors.loyalty.group.as_str(),
    ];
    let declared = match &setup.kafka {
        None => false,
        Some(given) => declare::cluster_is_rehearsal(given).await?,
    };
    if let (Some(given), false) = (&setup.kafka, declared)
        && !super::bus::topics(given).await?.is_empty()
    {
        return Err(Failure::new(
            Kind::Target,
            "the given cluster is neither empty nor declares itself a rehearsal",
        )
        .hint("give an empty cluster that exists for this rehearsal; nothing was changed"));
    }
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

/// The living world.
struct Life {
    dir: PathBuf,
    tick_ms: u64,
    n: u64,
    world: World,
    bus: Bus,
    checkout: CheckoutV1,
    straggler: Straggler,
    fulfillment: Reader,
    loyalty: Reader,
    tolerant_image: String,
    /// Stand-ins whose effect is not there yet.
    waiting: Vec<(UnixStream, Answer, Instant)>,
    said: (Option<i64>, bool),
}

impl Life {
    async fn begin(
        setup: &Setup,
        scenario: &Scenario,
        history: &History,
        url: &str,
        bus: Bus,
    ) -> Result<Self> {
        let actors = &scenario.actors;
        let tick = Duration::from_millis(scenario.tick_ms);
        let read = |group: &str, requires: Option<String>| {
            Reader::start(Habits {
                brokers: bus.brokers.clone(),
                group: group.to_owned(),
                topic: scenario.topic.name.clone(),
                requires,
                back_after: tick * u32::try_from(actors.loyalty.back_after).unwrap_or(1),
                tick,
            })
            .map_err(|e| Failure::new(Kind::Defect, "cannot start a consumer").cause(e))
        };
        Ok(Self {
            dir: setup.dir.clone(),
            tick_ms: scenario.tick_ms,
            n: 0,
            world: World::new(&setup.dir, &history.charges),
            checkout: CheckoutV1::new(url, &scenario.topic, &actors.checkout_v1),
            straggler: Straggler::start(url, &actors.checkout_v2.session)
                .await
                .map_err(|e| failed("the pod of v2 cannot connect", &e))?,
            fulfillment: read(&actors.fulfillment.group, None)?,
            loyalty: read(&actors.loyalty.group, Some(actors.loyalty.requires.clone()))?,
            tolerant_image: actors.loyalty.tolerant_image.clone(),
            bus,
            waiting: Vec::new(),
            said: (None, true),
        })
    }

    async fn run(mut self, setup: &Setup, socket: &UnixListener) -> Result<()> {
        let handler = |kind| {
            signal(kind)
                .map_err(|e| Failure::new(Kind::Defect, "cannot listen for signals").cause(e))
        };
        let mut terminate = handler(SignalKind::terminate())?;
        let mut hang_up = handler(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(Duration::from_millis(self.tick_ms));
        let users = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(setup.dir.join(USERS));
        let users = users.map_err(|e| Failure::new(Kind::Target, "the sandbox's lock").cause(e))?;
        let mut used = Instant::now();
        let mut ending = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.tick().await;
                    // An exclusive lock is to be had only when nobody holds a shared one.
                    match users.try_lock() {
                        Ok(()) => drop(users.unlock()),
                        Err(_) => used = Instant::now(),
                    }
                    if setup.linger.is_some_and(|linger| used.elapsed() > linger) {
                        break;
                    }
                }
                Ok((stream, _)) = socket.accept() => {
                    if let Some(stream) = self.hear(stream).await {
                        ending = Some(stream);
                        break;
                    }
                }
                _ = terminate.recv() => break,
                _ = hang_up.recv() => {}
            }
        }
        self.end().await;
        if let Some(mut stream) = ending {
            reply(
                &mut stream,
                &Answer {
                    code: 0,
                    stdout: String::new(),
                    stderr: String::new(),
                },
            )
            .await;
        }
        Ok(())
    }

    async fn tick(&mut self) {
        self.n += 1;
        self.follow().await;
        self.checkout.tick(self.n, &self.bus).await;
        self.note();
        self.show();
        self.answer_waiting().await;
    }

    /// Says what is so now. Before a stand-in returns: a check asks right after it.
    fn show(&self) {
        let groups = json!({
            self.fulfillment.group.as_str(): self.fulfillment.state(),
            self.loyalty.group.as_str(): self.loyalty.state(),
        });
        // A tick that cannot be written is told by the age of the file.
        let _ = write_atomically(&self.dir.join("groups.json"), groups.to_string().as_bytes());
        let actors = json!({
            "tick": self.n,
            "checkout-v1": { "taken": self.checkout.taken, "failed": self.checkout.failed, "last_error": self.checkout.last_error },
            "checkout-v2": { "alive": self.straggler.alive(), "wrote": self.straggler.wrote },
            "loyalty": {
                "deaths": self.loyalty.switches.deaths.load(Ordering::Acquire),
                "killer": self.loyalty.switches.killer.lock().ok().and_then(|k| *k),
            },
        });
        let _ = write_atomically(&self.dir.join("actors.json"), actors.to_string().as_bytes());
    }

    /// The actors follow what their deployments want.
    async fn follow(&mut self) {
        let wants = |name: &str| self.world.deployment(name).is_some_and(|d| d.replicas > 0);
        let tolerant = self
            .world
            .deployment(LOYALTY)
            .is_some_and(|d| d.image == self.tolerant_image);
        self.loyalty
            .switches
            .wanted
            .store(wants(LOYALTY), Ordering::Release);
        self.loyalty
            .switches
            .tolerant
            .store(tolerant, Ordering::Release);
        self.fulfillment
            .switches
            .wanted
            .store(wants("fulfillment"), Ordering::Release);
        let canary = wants(CANARY);
        self.straggler.tick(canary).await;
    }

    /// One line from a stand-in, or the word to end.
    async fn hear(&mut self, mut stream: UnixStream) -> Option<UnixStream> {
        let mut line = String::new();
        let heard = tokio::time::timeout(
            Duration::from_secs(1),
            BufReader::new(&mut stream).read_line(&mut line),
        )
        .await;
        match heard.ok().and_then(|_| serde_json::from_str(&line).ok()) {
            Some(Request::End) => return Some(stream),
            Some(Request::Act(argv)) => {
                let answer = self.world.act(&argv, Timestamp::now());
                self.log(&json!({ "stand_in": argv, "code": answer.code }));
                self.follow().await;
                self.show();
                self.waiting
                    .push((stream, answer, Instant::now() + Duration::from_secs(15)));
                self.answer_waiting().await;
            }
            None => reply(&mut stream, &Answer::error("not a request")).await,
        }
        None
    }

    async fn answer_waiting(&mut self) {
        let late = Instant::now();
        for (mut stream, answer, until) in std::mem::take(&mut self.waiting) {
            if self.settled() || until < late {
                reply(&mut stream, &answer).await;
            } else {
                self.waiting.push((stream, answer, until));
            }
        }
    }

    /// Whether every scaled-down deployment has really ended.
    fn settled(&self) -> bool {
        let wants = |name: &str| self.world.deployment(name).is_some_and(|d| d.replicas > 0);
        (wants(LOYALTY) || !self.loyalty.is_member())
            && (wants("fulfillment") || !self.fulfillment.is_member())
            && wants(CANARY) == self.straggler.alive()
    }

    /// What a score or a review wants to lay beside the run.
    fn note(&mut self) {
        let now = (self.straggler.wrote, self.checkout.last_error.is_none());
        if now.0 != self.said.0 {
            self.log(&json!({ "checkout-v2": "wrote a v2 order", "order_id": now.0 }));
        }
        if now.1 != self.said.1 {
            let words = if now.1 {
                "takes orders"
            } else {
                "fails on every order"
            };
            self.log(&json!({ "checkout-v1": words, "because": self.checkout.last_error }));
        }
        self.said = now;
    }

    fn log(&self, what: &serde_json::Value) {
        let line =
            json!({ "at": Timestamp::now(), "tick": self.n, "what": what }).to_string() + "\n";
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("sandbox.log"));
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }

    async fn end(mut self) {
        self.straggler.tick(false).await;
        self.checkout.stop().await;
        let (fulfillment, loyalty, bus) = (self.fulfillment, self.loyalty, self.bus);
        // Leaving a group, and the end of a client, may each take their time limit.
        let _ = tokio::task::spawn_blocking(move || {
            fulfillment.stop();
            loyalty.stop();
            drop(bus);
        })
        .await;
    }
}

async fn reply(stream: &mut UnixStream, answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap_or_default() + "\n";
    // Whoever asked may have gone.
    let _ = stream.write_all(line.as_bytes()).await;
}
