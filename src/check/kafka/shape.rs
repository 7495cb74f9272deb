//! Whether every service can read every shape of a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::Value;

use crate::check::finding::Finding;
use crate::runbook::{Reads, Runbook};
use crate::shapes::{self, Limits, Readable, ShapeTable};
use crate::target::kafka::Connection;

/// What every service that still runs reads of `topic`; `redeclared` replaces the file's line (service, topic).
pub fn readers(
    runbook: &Runbook,
    redeclared: &BTreeMap<String, BTreeMap<String, Reads>>,
    topic: &str,
) -> BTreeMap<String, Reads> {
    (runbook.services.iter())
        .filter(|(_, service)| !service.gone)
        .filter_map(|(name, service)| {
            let now = redeclared.get(name).and_then(|topics| topics.get(topic));
            now.or_else(|| service.reads.get(topic)).map(|reads| (name.clone(), reads.clone()))
        })
        .collect()
}

/// Scans the topic and judges it. The value is the number of records that some service cannot read.
pub async fn ask(
    connection: &Connection,
    topic: &str,
    since: Option<Timestamp>,
    limits: Limits,
    services: &BTreeMap<String, Reads>,
) -> (Finding, Option<(ShapeTable, Readable)>) {
    let table = match shapes::scan(connection, topic, since, limits, |_| ControlFlow::Continue(())).await {
        Ok(table) => table,
        Err(failure) => return (Finding::failed(&failure), None),
    };
    let readable = shapes::readable(&table, services);
    let asked = Finding {
        value: Some(Value::from(readable.unreadable)),
        words: Some(shape_words(&table, &readable)),
        verdict: Some(readable.verdict.clone()),
    };
    (asked, Some((table, readable)))
}

fn shape_words(table: &ShapeTable, readable: &Readable) -> String {
    let mut services: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for broken in &readable.breaks {
        let (records, missing) = services.entry(&broken.service).or_default();
        *records += broken.records;
        missing.extend(broken.missing.iter().map(String::as_str));
    }
    let mut words: Vec<String> = (services.iter())
        .map(|(service, (records, missing))| {
            let missing = missing.iter().copied().collect::<Vec<_>>().join(", ");
            format!("{service} cannot read {records} of {}: without {missing}", table.records)
        })
        .collect();
    if words.is_empty() {
        words.push(format!("{} records in {} shapes", table.records, table.shapes.len()));
    }
    if table.undecodable > 0 {
        words.push(format!("{} are not JSON", table.undecodable));
    }
    if table.tombstones > 0 {
        words.push(format!("{} tombstones", table.tombstones));
    }
    words.extend(table.partial.iter().map(|why| format!("partial: {why}")));
    words.join("; ")
}
