//! The suites that need nothing: no server, no network, no clock.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod audit;
mod corpus;
mod fixture;
mod frames;
mod house;
mod records;
mod runbook;
mod shapes;
mod sql;
mod text;
