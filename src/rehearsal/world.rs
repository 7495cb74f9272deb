//! What the sandbox's stand-ins act on: deployments, and the payment provider's refunds.
//!
//! Owns `world.json` and `psp-ledger.jsonl`. Never touches a database or a broker: the actors follow this state.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::history::Charge;

/// The consumer that dies on the old shape.
pub const LOYALTY: &str = "loyalty";
/// The deployment that the rollback forgot.
pub const CANARY: &str = "checkout-v2-canary";
pub const LEDGER: &str = "psp-ledger.jsonl";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub image: String,
    pub replicas: u32,
    /// What `rollout undo` goes back to.
    pub before: Option<String>,
}

/// One refund, as a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub refund_id: String,
    pub charge_id: String,
    pub order_id: i64,
    pub amount_cents: i64,
    pub idempotency_key: String,
    pub at: Timestamp,
}

/// What a stand-in answers: as a program does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    fn said(words: impl Into<String>) -> Self {
        Self { code: 0, stdout: words.into() + "\n", stderr: String::new() }
    }

    pub fn error(words: impl Into<String>) -> Self {
        Self { code: 1, stdout: String::new(), stderr: words.into() + "\n" }
    }
}

pub struct World {
    dir: PathBuf,
    deployments: BTreeMap<String, Deployment>,
    charges: BTreeMap<String, Charge>,
    refunds: Vec<Refund>,
}

impl World {
    pub fn new(dir: &Path, charges: &[Charge]) -> Self {
        let deployment = |image: &str| Deployment { image: image.to_owned(), replicas: 1, before: None };
        let names = [("checkout", "checkout:v1"), (CANARY, "checkout:v2"), ("fulfillment", "fulfillment:v1")];
        let mut deployments: BTreeMap<String, Deployment> =
            names.into_iter().map(|(name, image)| (name.to_owned(), deployment(image))).collect();
        deployments.insert(LOYALTY.to_owned(), deployment("loyalty:v2"));
        Self {
            dir: dir.to_owned(),
            deployments,
            charges: charges.iter().map(|c| (c.charge_id.clone(), c.clone())).collect(),
            refunds: Vec::new(),
        }
    }

    /// Whether it should run, and from which image.
    pub fn deployment(&self, name: &str) -> Option<&Deployment> {
        self.deployments.get(name)
    }

    /// Does what the command line asks.
    pub fn act(&mut self, argv: &[String], now: Timestamp) -> Answer {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let answer = match words.as_slice() {
            ["kubectl", "scale", name, replicas] => self.scale(name, replicas),
            ["kubectl", "set", "image", name, image] => self.set_image(name, image),
            ["kubectl", "rollout", "undo", name] => self.rollout_undo(name),
            ["kubectl", "get", name, "-o", format] if format.starts_with("jsonpath=") => {
                self.with(name, |d| if format.contains("replicas") { d.replicas.to_string() } else { d.image.clone() })
            }
            ["kubectl", "get", name] => {
                self.with(name, |d| format!("{name}\t{}/{}\t{}", d.replicas, d.replicas, d.image))
            }
            ["psp", "refund", charge, key] => self.refund(charge, key, now),
            _ => Answer::error(format!("this stand-in does not know: {}", words.join(" "))),
        };
        self.save();
        answer
    }

    fn find(&mut self, name: &str) -> Result<(String, &mut Deployment), Answer> {
        let short = name.strip_prefix("deploy/").or_else(|| name.strip_prefix("deployment/")).unwrap_or(name);
        match self.deployments.get_mut(short) {
            Some(deployment) => Ok((short.to_owned(), deployment)),
            None => Err(Answer::error(format!("Error from server (NotFound): deployments.apps \"{short}\" not found"))),
        }
    }

    fn with(&mut self, name: &str, say: impl FnOnce(&Deployment) -> String) -> Answer {
        match self.find(name) {
            Ok((_, deployment)) => Answer::said(say(deployment)),
            Err(answer) => answer,
        }
    }

    fn scale(&mut self, name: &str, replicas: &str) -> Answer {
        let Some(replicas) = replicas.strip_prefix("--replicas=").and_then(|n| n.parse().ok()) else {
            return Answer::error("error: required flag --replicas=N");
        };
        match self.find(name) {
            Ok((name, deployment)) => {
                deployment.replicas = replicas;
                Answer::said(format!("deployment.apps/{name} scaled"))
            }
            Err(answer) => answer,
        }
    }

    fn set_image(&mut self, name: &str, image: &str) -> Answer {
        let Some((_, image)) = image.split_once('=') else {
            return Answer::error("error: CONTAINER=IMAGE is required");
        };
        match self.find(name) {
            Ok((name, deployment)) => {
                if deployment.image != image {
                    deployment.before = Some(std::mem::replace(&mut deployment.image, image.to_owned()));
                }
                Answer::said(format!("deployment.apps/{name} image updated"))
            }
            Err(answer) => answer,
        }
    }

    fn rollout_undo(&mut self, name: &str) -> Answer {
        match self.find(name) {
            Ok((name, deployment)) => match deployment.before.take() {
                Some(before) => {
                    deployment.before = Some(std::mem::replace(&mut deployment.image, before));
                    Answer::said(format!("deployment.apps/{name} rolled back"))
                }
                None => Answer::error(format!("error: no rollout history found for deployment \"{name}\"")),
            },
            Err(answer) => answer,
        }
    }

    /// Once per key; never above what was captured.
    fn refund(&mut self, charge: &str, key: &str, now: Timestamp) -> Answer {
        let Some(key) = key.strip_prefix("--idempotency-key=").filter(|key| !key.is_empty()) else {
            return Answer::error("psp: --idempotency-key=KEY is required");
        };
        if let Some(done) = self.refunds.iter().find(|r| r.idempotency_key == key) {
            return if done.charge_id == charge {
                Answer::said(&done.refund_id)
            } else {
                Answer::error(format!("psp: this key belongs to the refund of {}", done.charge_id))
            };
        }
        let Some(found) = self.charges.get(charge).filter(|c| c.state == "captured") else {
            return Answer::error(format!("psp: {charge} is not a captured charge"));
        };
        if self.refunds.iter().any(|r| r.charge_id == charge) {
            return Answer::error(format!("psp: {charge} was refunded before, under another key"));
        }
        let refund = Refund {
            refund_id: format!("re_{}", charge.trim_start_matches("ch_")),
            charge_id: charge.to_owned(),
            order_id: found.order_id,
            amount_cents: found.amount_cents,
            idempotency_key: key.to_owned(),
            at: now,
        };
        let line = serde_json::to_string(&refund).unwrap_or_default() + "\n";
        let ledger = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join(LEDGER));
        if let Err(e) = ledger.and_then(|mut file| file.write_all(line.as_bytes())) {
            return Answer::error(format!("psp: the ledger cannot be written: {e}"));
        }
        self.refunds.push(refund.clone());
        Answer::said(refund.refund_id)
    }

    fn save(&self) {
        let text = serde_json::to_vec_pretty(&self.deployments).unwrap_or_default();
        // Shown to whoever looks; the state is in memory.
        let _ = super::write_atomically(&self.dir.join("world.json"), &text);
    }
}

/// The refunds that were made in a sandbox.
pub fn ledger(dir: &Path) -> Vec<Refund> {
    let text = std::fs::read_to_string(dir.join(LEDGER)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
