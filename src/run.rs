//! The run: its record vocabulary, its state, and every decision about it.
//!
//! Owns `decide`, `evolve` and `effects`: pure, no I/O, no clock. State is computed from records and from nothing
//! else, so a replayed log *is* the state.

pub mod record;

pub use record::{Event, Now, Record};
