//! The program as a person has it: in a terminal, with keys.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops, with what it saw"
)]

mod founding;
mod hangup;
mod picture;
mod plain;
mod play;
#[allow(dead_code, reason = "shared with the benches, which look at other parts of it")]
#[path = "../picture/screen.rs"]
mod screen;
mod terminal;
