//! The suites that need a real server. `tests/run` starts the servers; without them each suite says that it is skipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod answers;
mod kafka;
mod founding;
mod postgres;
mod shop;
mod sqlite;
mod rehearsal;
mod support;
