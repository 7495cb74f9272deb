//! The suites that need nothing: no server, no network, no clock.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod audit;
mod corpus;
mod fixture;
mod frames;
mod house;
mod records;
mod shapes;
mod audit;
mod text;
mod sql;
mod corpus;
mod runbook;
mod corpus;
mod runbook;
mod sql;
mod audit;
mod audit;
mod corpus;
mod runbook;
mod sql;
mod text;
