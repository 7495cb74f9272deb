//! One JSON object for each record: for CI and for programs.

use std::io::{self, Write};

use super::Printer;
use crate::run::record::Event;

pub struct Json;

impl Printer for Json {
    fn event(&mut self, out: &mut dyn Write, event: &Event) -> io::Result<()> {
        let (kind, payload) = event.record.parts();
        let line = serde_json::json!({
            "at": event.at.wall, "by": event.by, "step": event.step, "att": event.att, "kind": kind, "payload": payload,
        });
        writeln!(out, "{line}")
    }

    fn message(&mut self, out: &mut dyn Write, what: &str) -> io::Result<()> {
        writeln!(out, "{}", serde_json::json!({ "kind": "message", "what": what }))
    }
}
