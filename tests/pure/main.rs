//! The suites that need nothing: no server, no network, no clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops, with what it saw"
)]

mod audit;
mod claims;
mod corpus;
mod fixture;
mod frames;
mod house;
mod records;
mod run;
mod runbook;
mod shapes;
mod sql;
mod text;
mod tired;
mod watching;
