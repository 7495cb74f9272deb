//! `backout`: an interactive terminal runbook for the rollback that does not roll back.
//!
//! ```text
//!  keys · argv · signals                       live readings (latest wins, may be dropped)
//!         │                                             ▲
//!      driver (tui | line | json)                       │
//!         │ Input                             probes and workers ──────────┐
//!         ▼                                             ▲                  │
//!      engine: the only owner of the run                │ Effect           │ Input (Reached, Finished, Lost …)
//!         decide(runbook, state, input, facts)          │                  │
//!               → records | refusal                     │                  │
//!         audit.append(records); fdatasync              │                  │
//!         state.evolve(record)           ◄──────────────┘◄─────────────────┘
//!         effects(record)
//!         └─► snapshot of state (drivers render it)  +  stream of records (observers follow it)
//! ```
//!
//! Dependencies point one way:
//! cli → {tui, driver, rehearsal, draft} → engine → {action, survey} → check → shapes → {target, audit} → run → runbook → sql
//! → {failure, telemetry, names} → text. A test reads the `use crate::` lines and fails on an upward edge.

pub mod action;
pub mod audit;
pub mod check;
pub mod cli;
pub mod draft;
pub mod driver;
pub mod engine;
pub mod failure;
pub mod names;
pub mod rehearsal;
pub mod run;
pub mod runbook;
pub mod shapes;
pub mod sql;
pub mod survey;
pub mod target;
pub mod telemetry;
pub mod text;
pub mod tui;
