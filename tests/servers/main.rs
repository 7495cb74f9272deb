//! The suites that need a real server. `tests/run` starts the servers; without them each suite says that it is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops, with what it saw"
)]

mod anchors;
mod answers;
mod bad_input;
mod canary;
mod cluster;
mod desk;
mod doctor;
mod down;
mod faults;
mod founding;
mod gate_facts;
mod half_done;
mod kafka;
mod kinds;
mod knowledge;
mod mysql;
mod postgres;
mod rehearsal;
mod rows;
mod schema_checks;
mod settling;
mod shim;
mod shop;
mod slow_log;
mod sqlite;
mod support;
mod survey;
mod takeover;
mod trial;
mod undo;
mod walls;
