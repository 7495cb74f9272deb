//! The life of the sandbox: ticks, stand-ins, and what it says of itself while it lives.
//!
//! Owns the actors and the world that they follow, `groups.json` (groups as a coordinator would describe them),
//! `actors.json` and `sandbox.log`. Never builds anything: what it needs is there when it begins.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::actor::{CheckoutV1, Habits, Reader, Straggler};
use super::bus::Bus;
use super::control::Request;
use super::history::History;
use super::sandbox::{Setup, USERS};
use super::scenario::Scenario;
use super::shop::failed;
use super::world::{Answer, CANARY, LOYALTY, World};
use super::write_atomically;
use crate::failure::{Failure, Kind, Result};

/// The living world.
pub(super) struct Life {
    dir: PathBuf,
    tick_ms: u64,
    n: u64,
    world: World,
    pub(super) bus: Bus,
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
    pub(super) async fn begin(
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

    pub(super) async fn run(mut self, setup: &Setup, socket: &UnixListener) -> Result<()> {
        let handler = |kind| signal(kind).map_err(|e| Failure::new(Kind::Defect, "cannot listen for signals").cause(e));
        let mut terminate = handler(SignalKind::terminate())?;
        let mut hang_up = handler(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(Duration::from_millis(self.tick_ms));
        let users = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(setup.dir.join(USERS));
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
            reply(&mut stream, &Answer { code: 0, stdout: String::new(), stderr: String::new() }).await;
        }
        Ok(())
    }

    pub(super) async fn tick(&mut self) {
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
        let tolerant = self.world.deployment(LOYALTY).is_some_and(|d| d.image == self.tolerant_image);
        self.loyalty.switches.wanted.store(wants(LOYALTY), Ordering::Release);
        self.loyalty.switches.tolerant.store(tolerant, Ordering::Release);
        self.fulfillment.switches.wanted.store(wants("fulfillment"), Ordering::Release);
        let canary = wants(CANARY);
        self.straggler.tick(canary).await;
    }

    /// One line from a stand-in, or the word to end.
    async fn hear(&mut self, mut stream: UnixStream) -> Option<UnixStream> {
        let mut line = String::new();
        let heard =
            tokio::time::timeout(Duration::from_secs(1), BufReader::new(&mut stream).read_line(&mut line)).await;
        match heard.ok().and_then(|_| serde_json::from_str(&line).ok()) {
            Some(Request::End) => return Some(stream),
            Some(Request::Act(argv)) => {
                let answer = self.world.act(&argv, Timestamp::now());
                self.log(&json!({ "stand_in": argv, "code": answer.code }));
                self.follow().await;
                self.show();
                self.waiting.push((stream, answer, Instant::now() + Duration::from_secs(15)));
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
            let words = if now.1 { "takes orders" } else { "fails on every order" };
            self.log(&json!({ "checkout-v1": words, "because": self.checkout.last_error }));
        }
        self.said = now;
    }

    fn log(&self, what: &serde_json::Value) {
        let line = json!({ "at": Timestamp::now(), "tick": self.n, "what": what }).to_string() + "\n";
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("sandbox.log"));
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
