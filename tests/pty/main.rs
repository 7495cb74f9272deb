#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod picture;
#[allow(dead_code)]
#[path = "../picture/screen.rs"]
mod screen;
