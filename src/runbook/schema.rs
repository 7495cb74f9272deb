//! The JSON Schema of the runbook format, for editors.
pub fn text()->String{String::new()}
