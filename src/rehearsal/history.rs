//! The world at t = 0, from the scenario and its seed: every order, charge and event.
//!
//! Owns what is in the world and in which class each stuck order is. Pure: the same seed gives the same ids, amounts,
//! charges and classes at any time and on any machine; only the times move with t = 0. Never writes to a target.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scenario::Scenario;

/// SplitMix64, spelled out: a library's generator may change its sequence, and a seed is a promise.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `0..bound`; the bias of the remainder is of no account here.
    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, usize::try_from(self.below(i as u64 + 1)).unwrap_or(i));
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        format!("{prefix}{:012x}", self.roll() >> 16)
    }
}

/// What the provider knows of a stuck order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Captured,
    Authorised,
    NotCharged,
    ChargedTwice,
    OtherAmount,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    pub id: i64,
    pub customer_id: i64,
    pub amount_cents: i64,
    pub payment: Option<String>,
    pub status: &'static str,
    pub created_at: Timestamp,
    /// Of v2 alone: it wrote the three new columns.
    pub v2: bool,
}

/// One line of the provider's export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub charge_id: String,
    pub order_id: i64,
    pub state: &'static str,
    pub amount_cents: i64,
    /// Not for one that is only authorised.
    pub captured_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub partition: i32,
    pub key: String,
    pub value: Value,
    pub at: Timestamp,
}

/// What only the scoring may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Highest order id at t = 0.
    pub last_order: i64,
    /// Sum of the amounts of all orders at t = 0, in cents.
    pub revenue: i64,
    pub stuck: Vec<Stuck>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    pub id: i64,
    pub amount_cents: i64,
    pub class: Class,
    /// The charge that must be given back, of an order charged twice.
    pub surplus: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// t = 0.
    pub now: Timestamp,
    pub deployed: Timestamp,
    pub rolled_back: Timestamp,
    pub orders: Vec<Order>,
    pub charges: Vec<Charge>,
    pub events: Vec<Event>,
    /// Events per partition until the rollback: what every group has read at t = 0.
    pub read_until: Vec<i64>,
    pub truth: Truth,
}

/// Whole seconds: SQLite keeps times as text of that form.
pub fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Builds the world as it stands at `now`.
pub fn build(scenario: &Scenario, now: Timestamp) -> History {
    let history = &scenario.history;
    let now = second(now);
    let before = |minutes: u32| now - SignedDuration::from_mins(i64::from(minutes));
    let (begin, deployed, rolled_back) = (
        before(history.v1_orders.within_minutes),
        before(history.deployed_minutes),
        before(history.rolled_back_minutes),
    );
    let mut dice = Dice(scenario.seed);

    let mut orders = Vec::new();
    let v1 = u64::from(history.v1_orders.count);
    for i in 0..v1 {
        let status = match dice.below(20) {
            0 => "cancelled",
            1 | 2 => "pending",
            3..=9 => "confirmed",
            _ => "shipped",
        };
        let payment = (status != "pending").then(|| dice.name("pay_"));
        orders.push(order(&mut dice, i, payment, status, between(begin, deployed, i, v1), false));
    }

    let stuck = u64::from(history.v2_orders.stuck);
    let v2 = u64::from(history.v2_orders.confirmed) + stuck;
    let mut fates: Vec<Option<Class>> = classes(scenario).into_iter().map(Some).collect();
    fates.resize(usize::try_from(v2).unwrap_or_default(), None);
    dice.shuffle(&mut fates);
    let (mut charges, mut known) = (Vec::new(), Vec::new());
    for (i, fate) in (0..v2).zip(fates) {
        let at = between(deployed, rolled_back, i, v2);
        let paid = fate != Some(Class::NotCharged);
        let payment = paid.then(|| dice.name("pay_"));
        let status = fate.map_or("confirmed", |_| "awaiting_confirmation");
        let order = order(&mut dice, v1 + i, payment, status, at, true);
        let surplus = charge(&mut dice, &order, fate, &mut charges);
        if let Some(class) = fate {
            known.push(Stuck { id: order.id, amount_cents: order.amount_cents, class, surplus });
        }
        orders.push(order);
    }

    let mut events = Vec::new();
    let partitions = scenario.topic.partitions;
    let mut read_until = vec![0; usize::try_from(partitions).unwrap_or_default()];
    for order in &orders {
        let event = event(order, "order_created", partitions, order.created_at);
        read_until[usize::try_from(event.partition).unwrap_or_default()] += 1;
        events.push(event);
    }
    let pending: Vec<&Order> = orders.iter().filter(|o| !o.v2 && o.status == "pending").collect();
    let since = u64::from(history.v1_events_since);
    for i in (0..since).filter(|_| !pending.is_empty()) {
        let order = pending[usize::try_from(dice.below(pending.len() as u64)).unwrap_or_default()];
        events.push(event(order, "order_reminder", partitions, between(rolled_back, now, i, since)));
    }

    let truth = Truth {
        last_order: orders.last().map_or(0, |o| o.id),
        revenue: orders.iter().map(|o| o.amount_cents).sum(),
        stuck: known,
    };
    History { now, deployed, rolled_back, orders, charges, events, read_until, truth }
}

fn classes(scenario: &Scenario) -> Vec<Class> {
    let export = &scenario.export;
    [
        (Class::Captured, export.captured),
        (Class::Authorised, export.authorised),
        (Class::NotCharged, export.not_charged),
        (Class::ChargedTwice, export.charged_twice),
        (Class::OtherAmount, export.other_amount),
    ]
    .into_iter()
    .flat_map(|(class, count)| std::iter::repeat_n(class, count as usize))
    .collect()
}

/// The `i`-th of `count` moments, evenly, from `from` on and before `to`, in whole seconds.
fn between(from: Timestamp, to: Timestamp, i: u64, count: u64) -> Timestamp {
    let span = to.as_second() - from.as_second();
    let offset = i128::from(span) * i128::from(i) / i128::from(count.max(1));
    from + SignedDuration::from_secs(i64::try_from(offset).unwrap_or_default())
}

fn order(
    dice: &mut Dice,
    index: u64,
    payment: Option<String>,
    status: &'static str,
    created_at: Timestamp,
    v2: bool,
) -> Order {
    Order {
        id: i64::try_from(index + 1).unwrap_or(i64::MAX),
        customer_id: i64::try_from(1 + dice.below(800)).unwrap_or(1),
        amount_cents: i64::try_from(500 + dice.below(24_500)).unwrap_or(500),
        payment,
        status,
        created_at,
        v2,
    }
}

/// What the provider has of an order of v2; the surplus charge of one charged twice.
fn charge(dice: &mut Dice, order: &Order, fate: Option<Class>, charges: &mut Vec<Charge>) -> Option<String> {
    let seconds = |s: i64| order.created_at + SignedDuration::from_secs(s);
    let mut add = |state, amount_cents, captured_at| {
        let charge_id = dice.name("ch_");
        charges.push(Charge { charge_id: charge_id.clone(), order_id: order.id, state, amount_cents, captured_at });
        charge_id
    };
    match fate {
        None | Some(Class::Captured) => drop(add("captured", order.amount_cents, Some(seconds(2)))),
        Some(Class::Authorised) => drop(add("authorised", order.amount_cents, None)),
        Some(Class::NotCharged) => {}
        Some(Class::OtherAmount) => drop(add("captured", order.amount_cents + 500, Some(seconds(2)))),
        Some(Class::ChargedTwice) => {
            add("captured", order.amount_cents, Some(seconds(2)));
            return Some(add("captured", order.amount_cents, Some(seconds(10))));
        }
    }
    None
}

/// An event about an order, in the shape of the version that wrote the order.
fn event(order: &Order, what: &str, partitions: i32, at: Timestamp) -> Event {
    let mut value = json!({
        "event": what,
        "order_id": order.id,
        "customer_id": order.customer_id,
        "amount_cents": order.amount_cents,
        "status": order.status,
    });
    if order.v2 {
        value["payment_reference_id"] = order.payment.clone().map_or_else(|| json!(""), Value::from);
        value["psp"] = json!("northpay");
        value["currency"] = json!("EUR");
        value["channel"] = json!("web");
    } else {
        value["payment_ref"] = order.payment.clone().map_or_else(|| json!(""), Value::from);
    }
    Event { partition: partition_of(order.id, partitions), key: order.id.to_string(), value, at }
}

/// Where events about an order go.
pub fn partition_of(order_id: i64, partitions: i32) -> i32 {
    i32::try_from(order_id.rem_euclid(i64::from(partitions))).unwrap_or_default()
}

/// The provider's export, as CSV.
pub fn export_csv(charges: &[Charge]) -> String {
    let mut csv = String::from("charge_id,order_id,state,amount_cents,captured_at\n");
    for charge in charges {
        let at = charge.captured_at.map(|at| at.to_string()).unwrap_or_default();
        let Charge { charge_id, order_id, state, amount_cents, .. } = charge;
        let _ = writeln!(csv, "{charge_id},{order_id},{state},{amount_cents},{at}");
    }
    csv
}
