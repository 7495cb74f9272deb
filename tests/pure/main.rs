//! The suites that need nothing: no server, no network, no clock.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod house;
mod run;
