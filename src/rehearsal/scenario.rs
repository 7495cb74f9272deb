//! The scenario: how to build the incident, as `scenario.yaml` says it.
//!
//! Owns the file's form and its numbers' coherence. Never builds anything. Unknown keys are refused; every field is
//! required but where it says otherwise, so that a scenario says everything that shapes the world.
//!
//! ```yaml
//! scenario: 1                       # version of this form
//! name: checkout-v2                 # of the sandbox; as the runbook's
//! seed: 340                         # same seed, same world at t = 0
//! tick_ms: 250                      # real milliseconds of one simulated tick
//! sql: { v1: { postgres: FILE, sqlite: FILE }, up: { … } }        # relative to the scenario
//! history:                          # minutes before t = 0
//!   deployed_minutes: 22
//!   rolled_back_minutes: 2
//!   v1_orders: { count: 1200, within_minutes: 180 }               # before the release
//!   v2_orders: { confirmed: 560, stuck: 340 }                     # while v2 was live
//!   v1_events_since: 60             # events of the old shape since the rollback
//! export: { captured, authorised, not_charged, charged_twice, other_amount }   # of the stuck orders; adds up to them
//! topic: { name: order-events, partitions: 3 }
//! actors:                           # all numbers in ticks
//!   checkout-v1: { order_every: 2, event_every: 6 }
//!   checkout-v2: { session: checkout-v2-canary-7d9f }             # application name of the straggler
//!   fulfillment: { group: fulfillment }
//!   loyalty: { group: loyalty, requires: FIELD, back_after: 6, tolerant_image: "loyalty:tolerant" }
//! stand_ins: [kubectl, psp]         # the programs that `command` finds
//! supplies:                         # under which names the runbook asks for the sandbox's addresses and times
//!   env: { database: NAME, brokers: NAME, export: NAME }
//!   vars: { deployed: NAME, rolled_back: NAME }
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{Failure, Kind, Result};

/// The name of the file in a runbook's folder.
pub const FILE: &str = "scenario.yaml";

/// What the sandbox knows how to stand in for.
pub const STAND_INS: [&str; 2] = ["kubectl", "psp"];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Version of the form: 1.
    pub scenario: u32,
    pub name: String,
    pub seed: u64,
    /// Real milliseconds of a simulated tick.
    pub tick_ms: u64,
    pub sql: Sql,
    pub history: History,
    pub export: Export,
    pub topic: Topic,
    pub actors: Actors,
    pub stand_ins: Vec<String>,
    pub supplies: Supplies,
    /// The folder that its files are relative to.
    #[serde(skip)]
    pub base: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    pub v1: Files,
    pub up: Files,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    pub postgres: PathBuf,
    pub sqlite: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    pub deployed_minutes: u32,
    pub rolled_back_minutes: u32,
    pub v1_orders: V1Orders,
    pub v2_orders: V2Orders,
    pub v1_events_since: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V1Orders {
    pub count: u32,
    pub within_minutes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2Orders {
    pub confirmed: u32,
    pub stuck: u32,
}

/// Stuck orders by what the provider knows of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    pub captured: u32,
    pub authorised: u32,
    pub not_charged: u32,
    pub charged_twice: u32,
    pub other_amount: u32,
}

impl Export {
    pub fn total(&self) -> u32 {
        self.captured + self.authorised + self.not_charged + self.charged_twice + self.other_amount
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Actors {
    pub checkout_v1: CheckoutV1,
    pub checkout_v2: CheckoutV2,
    pub fulfillment: Fulfillment,
    pub loyalty: Loyalty,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutV1 {
    /// Ticks between two orders.
    pub order_every: u64,
    /// Ticks between two events about an old order.
    pub event_every: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutV2 {
    pub session: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fulfillment {
    pub group: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loyalty {
    pub group: String,
    /// The field without which it dies.
    pub requires: String,
    /// Ticks from its death to its next try.
    pub back_after: u64,
    /// The image that needs no such field.
    pub tolerant_image: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplies {
    pub env: SuppliedEnv,
    pub vars: SuppliedVars,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuppliedEnv {
    pub database: String,
    pub brokers: String,
    pub export: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuppliedVars {
    pub deployed: String,
    pub rolled_back: String,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// A file that cannot be read, is not of this form, or whose numbers contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |message: String| Failure::new(Kind::Runbook, message);
        let text = std::fs::read_to_string(path).map_err(|e| {
            bad(format!("cannot read the scenario {}", path.display()))
                .cause(e)
                .hint("a runbook that can be rehearsed has a scenario.yaml beside it")
        })?;
        let mut scenario: Self =
            serde_yaml::from_str(&text).map_err(|e| bad(format!("{} is not a scenario", path.display())).cause(e))?;
        scenario.base = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        scenario.coherent().map_err(|why| bad(format!("{}: {why}", path.display())))?;
        Ok(scenario)
    }

    fn coherent(&self) -> Result<(), String> {
        let history = &self.history;
        let stuck = history.v2_orders.stuck;
        if self.scenario != 1 {
            return Err(format!("scenario: {} is not known, only 1 is", self.scenario));
        }
        if self.export.total() != stuck {
            return Err(format!("export speaks of {} orders, but history leaves {stuck} stuck", self.export.total()));
        }
        if history.rolled_back_minutes == 0 || history.deployed_minutes <= history.rolled_back_minutes {
            return Err("the release must come before the rollback, and the rollback before now".to_owned());
        }
        if history.v1_orders.within_minutes <= history.deployed_minutes {
            return Err("v1_orders: within_minutes must reach back to before the release".to_owned());
        }
        if !(10..=60_000).contains(&self.tick_ms) {
            return Err("tick_ms must lie between 10 and 60000".to_owned());
        }
        let ticks =
            [self.actors.checkout_v1.order_every, self.actors.checkout_v1.event_every, self.actors.loyalty.back_after];
        if ticks.contains(&0) || self.topic.partitions < 1 || history.v1_orders.count == 0 {
            return Err("counts of ticks, partitions and v1 orders begin at 1".to_owned());
        }
        if let Some(unknown) = self.stand_ins.iter().find(|s| !STAND_INS.contains(&s.as_str())) {
            return Err(format!("no stand-in for `{unknown}` is known; there are {}", STAND_INS.join(" and ")));
        }
        Ok(())
    }
}
