//! The suites that need a real server. `tests/run` starts the servers; without them each suite says that it is skipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod answers;
mod bad_input;
mod canary;
mod founding;
mod kafka;
mod knowledge;
mod postgres;
mod rehearsal;
mod shop;
mod sqlite;
mod support;
