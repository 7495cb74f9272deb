//! (module)

pub mod lint;
pub mod plan;
pub mod schema;
