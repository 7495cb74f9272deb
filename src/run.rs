//! The run: its record vocabulary, its state, and every decision about it.
//!
//! Owns `decide`, `evolve` and `effects`: pure, no I/O, no clock. State is computed from records and from nothing
//! else, so a replayed log *is* the state.

pub mod decide;
pub mod effect;
pub mod gate;
pub mod left;
pub mod legal;
pub mod next;
pub mod record;
pub mod settle;
pub mod state;
pub mod summary;
pub mod words;

pub use decide::{Draft, Facts, Input, Refusal, decide};
pub use effect::{Effect, effects};
pub use record::{Event, Now, Record};
pub use state::{State, Status};
pub use words::words;
