//! Checks of the event layer: a group's lag, state and members, and whether every service can read every shape.
//!
//! Owns how these are asked and put in words. Never joins a group; a missing committed offset is unknown, never zero.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::run::record::Environment;
use crate::runbook::expect::Verdict;
use crate::runbook::{GroupCheck, Reads, Runbook};
use crate::shapes::{self, Limits, Readable, ShapeTable};
use crate::target::Access;
use crate::target::kafka::{Connection, GroupState, Member};

/// Says that the sandbox answered in the broker's place.
pub const SIMULATED: &str = "simulated";

/// Names the sandbox's directory in the environment of a rehearsal.
pub const SANDBOX: &str = "BACKOUT_SANDBOX";

/// A check's answer before the verdict of its `expect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub value: Option<Value>,
    pub words: Option<String>,
    /// Set where the kind itself says what passes; otherwise `expect` judges the value.
    pub verdict: Option<Verdict>,
}

impl Asked {
    fn value(value: impl Into<Value>, words: Option<String>) -> Self {
        Self { value: Some(value.into()), words, verdict: None }
    }

    /// Without a value, and therefore unknown.
    pub fn unknown(because: impl Into<String>) -> Self {
        let because = because.into();
        Self {
            value: None,
            words: Some(because.clone()),
            verdict: Some(Verdict::unknown(because)),
        }
    }

    fn failed(failure: &Failure) -> Self {
        Self::unknown(failure.to_string().replace('\n', "; "))
    }
}

/// State and members of a group, and whether the sandbox said so because the broker cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub state: GroupState,
    pub simulated: bool,
}

/// Asks for what the check names: the lag on a topic (its value is the number of records), a state, or both.
///
/// `environment` is the target's own, as its identity says it: only a rehearsal's sandbox may answer for its broker.
pub async fn group(check: &GroupCheck, connection: &Connection, access: &Access, environment: Environment) -> Asked {
    let state = match &check.state {
        None => None,
        Some(wanted) => match describe(&check.group, connection, access, environment).await {
            Ok(group) => Some((wanted, group)),
            Err(failure) => return Asked::failed(&failure),
        },
    };
    let lag = match &check.lag {
        None => None,
        Some(topic) => match lag(&check.group, topic, connection).await {
            Ok(lag) => Some(lag),
            Err(failure) => return Asked::failed(&failure),
        },
    };
    match (lag, state) {
        (Some(lag), None) => lag,
        (lag, Some((wanted, group))) => {
            let fits = in_state(wanted, &group.state);
            let words = state_words(&group);
            match lag {
                Some(lag) if fits => lag,
                Some(lag) => Asked { words: Some(words), verdict: Some(Verdict::Fail), ..lag },
                None => Asked {
                    value: Some(Value::String(group.state.state.clone())),
                    words: Some(words),
                    verdict: Some(if fits { Verdict::Pass } else { Verdict::Fail }),
                },
            }
        }
        (None, None) => Asked::unknown("the check names neither a lag nor a state"),
    }
}

fn in_state(wanted: &str, found: &GroupState) -> bool {
    match wanted {
        "empty" => found.is_empty(),
        wanted => found.state == wanted.replace(['_', '-'], " "),
    }
}

fn state_words(group: &Group) -> String {
    let members = match group.state.members.as_slice() {
        [] => "no member".to_owned(),
        members => {
            let mut names: Vec<String> = members.iter().take(3).map(member_words).collect();
            if members.len() > 3 {
                names.push(format!("and {} more", members.len() - 3));
            }
            names.join(", ")
        }
    };
    let simulated = if group.simulated { format!(" ({SIMULATED})") } else { String::new() };
    format!("{}, {members}{simulated}", group.state.state)
}

fn member_words(member: &Member) -> String {
    match member.host.trim_start_matches('/') {
        "" => member.client_id.clone(),
        host => format!("{} on {host}", member.client_id),
    }
}

/// The members of a group: none of them left is what `gone` means.
///
/// # Errors
/// Neither the broker nor, in a rehearsal, the sandbox can tell.
pub async fn members(
    group: &str,
    connection: &Connection,
    access: &Access,
    environment: Environment,
) -> Result<Vec<Member>> {
    Ok(describe(group, connection, access, environment).await?.state.members)
}

/// State and members of a group.
///
/// # Errors
/// Neither the broker nor, in a rehearsal, the sandbox can tell.
pub async fn describe(
    group: &str,
    connection: &Connection,
    access: &Access,
    environment: Environment,
) -> Result<Group> {
    let failure = match connection.describe_group(group).await? {
        Some(state) => return Ok(Group { state, simulated: false }),
        None => connection.cannot_describe(group),
    };
    let sandbox = access.env.get(SANDBOX).filter(|_| environment == Environment::Rehearsal);
    let Some(sandbox) = sandbox else { return Err(failure) };
    let path = Path::new(sandbox).join("groups.json");
    let text = tokio::fs::read(&path)
        .await
        .map_err(|e| failure.clone().cause(format!("the sandbox's {} cannot be read: {e}", path.display())))?;
    let groups: BTreeMap<String, Simulated> = serde_json::from_slice(&text)
        .map_err(|e| failure.clone().cause(format!("the sandbox's {} is not what it should be: {e}", path.display())))?;
    let found = groups.into_iter().find(|(name, _)| name == group).map(|(_, found)| found);
    let state = match found {
        Some(found) => GroupState {
            state: found.state,
            members: found.members.into_iter().map(SimulatedMember::into_member).collect(),
        },
        None => GroupState { state: "dead".to_owned(), members: Vec::new() },
    };
    Ok(Group { state, simulated: true })
}

#[derive(Deserialize)]
struct Simulated {
    state: String,
    #[serde(default)]
    members: Vec<SimulatedMember>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SimulatedMember {
    Name(String),
    Member(Member),
}

impl SimulatedMember {
    fn into_member(self) -> Member {
        match self {
            Self::Name(client_id) => Member { client_id, host: String::new() },
            Self::Member(member) => member,
        }
    }
}

/// Records after the committed offset, over all partitions, as a reader of committed records counts them.
async fn lag(group: &str, topic: &str, connection: &Connection) -> Result<Asked> {
    let committed = connection.committed(group, topic).await?;
    // Ends after commits: a group that moves in between shows as behind, never as ahead.
    let marks = connection.marks(topic).await?;
    let (mut lag, mut worst, mut lost) = (0, (0, 0), 0);
    for (partition, marks) in &marks {
        match committed.get(partition).copied().flatten() {
            None if marks.end > marks.low => {
                return Ok(Asked::unknown(format!(
                    "group {group} has committed no offset for partition {partition} of {topic}, which holds {} records",
                    marks.end - marks.low
                )));
            }
            None => {}
            Some(offset) => {
                let behind = (marks.end - offset.max(marks.low)).max(0);
                lost += (marks.low - offset).max(0);
                lag += behind;
                if behind > worst.1 {
                    worst = (*partition, behind);
                }
            }
        }
    }
    let mut words = Vec::new();
    if worst.1 > 0 && marks.len() > 1 {
        words.push(format!("partition {} is {} behind", worst.0, worst.1));
    }
    if lost > 0 {
        words.push(format!("{lost} offsets were deleted before the group read them"));
    }
    Ok(Asked::value(lag, (!words.is_empty()).then(|| words.join("; "))))
}

/// Groups of the runbook's services with the topics that each reads: what an offsets snapshot covers.
pub fn groups(runbook: &Runbook) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for service in runbook.services.values() {
        if let Some(group) = &service.group {
            groups.entry(group.clone()).or_default().extend(service.reads.keys().cloned());
        }
    }
    for check in runbook.checks.values().chain(runbook.readings.values()) {
        if let crate::runbook::CheckKind::Group(check) = &check.kind {
            groups.entry(check.group.clone()).or_default().extend(check.lag.clone());
        }
    }
    groups.into_iter().map(|(group, topics)| (group, topics.into_iter().collect())).collect()
}

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
pub async fn shapes(
    connection: &Connection,
    topic: &str,
    since: Option<Timestamp>,
    limits: Limits,
    services: &BTreeMap<String, Reads>,
) -> (Asked, Option<(ShapeTable, Readable)>) {
    let table = match shapes::scan(connection, topic, since, limits, |_| ControlFlow::Continue(())).await {
        Ok(table) => table,
        Err(failure) => return (Asked::failed(&failure), None),
    };
    let readable = shapes::readable(&table, services);
    let asked = Asked {
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
