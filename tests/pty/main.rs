#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[allow(dead_code)]
#[path = "../picture/screen.rs"]

mod picture;
mod screen;
