//! The judgement of a rehearsal by its end state.
//!
//! Owns `expectations.yaml` and the assertions: what the database, the topic and the provider's ledger say after the
//! end, not which steps were ticked. Read-only but for one order that is rolled back. The run never reads this.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::history::{Class, Truth};
use super::scenario::Scenario;
use super::shop::{Shop, failed};
use super::{Sandbox, bus, sandbox, world};
use crate::failure::{Failure, Kind, Result};

/// The name of the file in a runbook's folder.
pub const FILE: &str = "expectations.yaml";

const SESSION: &str = "backout-score";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Version of the form: 1.
    pub expectations: u32,
    /// The status that each class of stuck orders must have in the end.
    pub ends_as: BTreeMap<Class, String>,
    pub loyalty_group: String,
    /// The value of `event` in what tells consumers of a changed status.
    pub compensating_event: String,
}

/// One thing that must be true in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assertion {
    pub what: String,
    pub passed: bool,
    pub found: String,
}

impl Expectations {
    /// # Errors
    /// No such file, or not of this form.
    pub fn read(path: &Path) -> Result<Self> {
        let bad =
            |e: &dyn std::fmt::Display| Failure::new(Kind::Runbook, format!("cannot read {}", path.display())).cause(e);
        let text = std::fs::read_to_string(path).map_err(|e| bad(&e))?;
        let read: Self = serde_yaml::from_str(&text).map_err(|e| bad(&e))?;
        if read.expectations != 1 {
            return Err(bad(&format!("expectations: {} is not known, only 1 is", read.expectations)));
        }
        Ok(read)
    }
}

/// Judges the world of the sandbox in `dir`, which must still live.
///
/// # Errors
/// The sandbox has ended, or a question has no answer: that is no verdict.
pub async fn assess(dir: &Path) -> Result<Vec<Assertion>> {
    let sandbox = super::alive(dir)
        .ok_or_else(|| Failure::new(Kind::Target, format!("no sandbox lives in {}", dir.display())))?;
    let scenario = Scenario::read(&sandbox.scenario)?;
    let expected = Expectations::read(&scenario.base.join(FILE))?;
    let truth = std::fs::read(dir.join(sandbox::TRUTH)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let truth: Truth = truth.ok_or_else(|| Failure::new(Kind::Target, "the sandbox's truth.json cannot be read"))?;

    let mut assertions = Vec::new();
    let mut shop = Shop::open(&sandbox.database_url, SESSION).await.map_err(|e| failed("cannot be opened", &e))?;
    let judged = judge_shop(&mut shop, &truth, &expected, &mut assertions).await;
    shop.close(SESSION).await;
    judged.map_err(|e| failed("a question of the score", &e))?;
    judge_refunds(dir, &truth, &mut assertions);
    judge_events(&sandbox, &scenario, &truth, &expected, &mut assertions).await?;
    Ok(assertions)
}

async fn judge_shop(
    shop: &mut Shop,
    truth: &Truth,
    expected: &Expectations,
    out: &mut Vec<Assertion>,
) -> Result<(), sqlx::Error> {
    let unreadable = shop.unreadable().await?;
    out.push(equal("no order is in a status that the old code cannot read", &0, &unreadable));
    let late = shop.since(truth.last_order, true).await?;
    out.push(equal("v2 wrote no order after the rollback", &0, &late));
    for (class, status) in &expected.ends_as {
        let of = truth.stuck.iter().filter(|s| s.class == *class);
        let ids: Vec<i64> = of.clone().map(|s| s.id).collect();
        let wanted = (i64::try_from(ids.len()).unwrap_or_default(), of.map(|s| s.amount_cents).sum::<i64>());
        let found = shop.with_status(&ids, status).await?;
        let words = |(count, sum): (i64, i64)| format!("{count} orders, {sum} cents");
        out.push(equal(&format!("{class:?} orders are {status}"), &words(wanted), &words(found)));
    }
    out.push(equal("the revenue is what it was", &truth.revenue, &shop.revenue(truth.last_order).await?));
    let tried = shop.try_v1().await;
    out.push(Assertion {
        what: "the old code can take an order".to_owned(),
        passed: tried.is_ok(),
        found: tried.map_or_else(|e| failed("", &e).causes.join("; "), |()| "taken, and rolled back".to_owned()),
    });
    let taken = shop.since(truth.last_order, false).await?;
    out.push(Assertion { what: "customers order again".to_owned(), passed: taken > 0, found: taken.to_string() });
    Ok(())
}

fn judge_refunds(dir: &Path, truth: &Truth, out: &mut Vec<Assertion>) {
    let mut wanted: Vec<String> = truth.stuck.iter().filter_map(|s| s.surplus.clone()).collect();
    let mut refunded: Vec<String> = world::ledger(dir).into_iter().map(|r| r.charge_id).collect();
    wanted.sort();
    refunded.sort();
    out.push(equal(
        "no order is charged twice: each surplus charge went back once, and no other",
        &wanted.join(" "),
        &refunded.join(" "),
    ));
}

async fn judge_events(
    sandbox: &Sandbox,
    scenario: &Scenario,
    truth: &Truth,
    expected: &Expectations,
    out: &mut Vec<Assertion>,
) -> Result<()> {
    // Events still come in: caught up is a lag that returns to zero.
    let until = Instant::now() + Duration::from_secs(10);
    let mut lag = bus::lag(&sandbox.brokers, &expected.loyalty_group, &scenario.topic).await?;
    while lag > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lag = bus::lag(&sandbox.brokers, &expected.loyalty_group, &scenario.topic).await?;
    }
    out.push(equal("loyalty has caught up", &0, &lag));

    let told = bus::count_events(&sandbox.brokers, &scenario.topic, &expected.compensating_event).await?;
    let missing = truth.stuck.iter().filter(|s| !told.contains_key(&s.id)).count();
    let twice = told.values().filter(|n| **n > 1).count();
    let others = told.keys().filter(|id| !truth.stuck.iter().any(|s| s.id == **id)).count();
    out.push(Assertion {
        what: "each changed order was told downstream exactly once".to_owned(),
        passed: missing + twice + others == 0,
        found: format!("{} orders told; {missing} missing, {twice} more than once, {others} others", told.len()),
    });
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Display>(what: &str, wanted: &T, found: &T) -> Assertion {
    Assertion {
        what: what.to_owned(),
        passed: wanted == found,
        found: if wanted == found { found.to_string() } else { format!("{found}, not {wanted}") },
    }
}
