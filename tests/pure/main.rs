#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod corpus;
mod runbook;
mod sql;
mod audit;
mod text;
