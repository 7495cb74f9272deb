#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod audit;
mod corpus;
mod runbook;
mod sql;
mod text;
