//! The program as a person has it: in a terminal, with keys.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod founding;
mod hangup;
mod picture;
mod play;
#[allow(dead_code)]
#[path = "../picture/screen.rs"]
mod screen;
mod terminal;
