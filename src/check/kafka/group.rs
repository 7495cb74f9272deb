//! A group's lag, state and members.
//!
//! Never joins a group; a missing committed offset is unknown, never zero.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::check::finding::Finding;
use crate::failure::Result;
use crate::run::record::Environment;
use crate::runbook::GroupCheck;
use crate::runbook::expect::Verdict;
use crate::target::Access;
use crate::target::kafka::{Connection, GroupState, Member};

/// Says that the sandbox answered in the broker's place.
pub const SIMULATED: &str = "simulated";

/// Names the sandbox's directory in the environment of a rehearsal.
pub const SANDBOX: &str = "BACKOUT_SANDBOX";

/// State and members of a group, and whether the sandbox said so because the broker cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub state: GroupState,
    pub simulated: bool,
}

/// Asks for what the check names: the lag on a topic (its value is the number of records), a state, or both.
pub async fn ask(check: &GroupCheck, connection: &Connection, access: &Access) -> Finding {
    let state = match &check.state {
        None => None,
        Some(wanted) => match describe(&check.group, connection, access).await {
            Ok(group) => Some((wanted, group)),
            Err(failure) => return Finding::failed(&failure),
        },
    };
    let lag = match &check.lag {
        None => None,
        Some(topic) => match lag(&check.group, topic, connection).await {
            Ok(lag) => Some(lag),
            Err(failure) => return Finding::failed(&failure),
        },
    };
    match (lag, state) {
        (Some(lag), None) => lag,
        (lag, Some((wanted, group))) => {
            let fits = in_state(wanted, &group.state);
            let words = group.to_string();
            match lag {
                Some(lag) if fits => lag,
                Some(lag) => Finding { words: Some(words), verdict: Some(Verdict::Fail), ..lag },
                None => Finding {
                    value: Some(Value::String(group.state.state.clone())),
                    words: Some(words),
                    verdict: Some(if fits { Verdict::Pass } else { Verdict::Fail }),
                },
            }
        }
        (None, None) => Finding::unknown("the check names neither a lag nor a state"),
    }
}

impl Group {
    /// Its members, each in words.
    pub fn members(&self) -> Vec<String> {
        let simulated = if self.simulated { format!(" ({SIMULATED})") } else { String::new() };
        self.state.members.iter().map(|member| format!("{}{simulated}", member_words(member))).collect()
    }
}

fn in_state(wanted: &str, found: &GroupState) -> bool {
    match wanted {
        "empty" => found.is_empty(),
        wanted => found.state == wanted.replace(['_', '-'], " "),
    }
}

impl fmt::Display for Group {
    /// `stable, loyalty-1 on 10.0.0.7 (simulated)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state.state)?;
        match self.state.members.as_slice() {
            [] => f.write_str(", no member")?,
            members => {
                for member in members.iter().take(3) {
                    write!(f, ", {}", member_words(member))?;
                }
                if members.len() > 3 {
                    write!(f, " and {} more", members.len() - 3)?;
                }
            }
        }
        if self.simulated { write!(f, " ({SIMULATED})") } else { Ok(()) }
    }
}

fn member_words(member: &Member) -> String {
    match member.host.trim_start_matches('/') {
        "" => member.client_id.clone(),
        host => format!("{} on {host}", member.client_id),
    }
}

/// State and members of a group.
///
/// # Errors
/// Neither the broker nor, in a rehearsal, the sandbox can tell.
pub async fn describe(group: &str, connection: &Connection, access: &Access) -> Result<Group> {
    let failure = match connection.describe_group(group).await? {
        Some(state) => {
            return Ok(Group { state, simulated: false });
        }
        None => connection.cannot_describe(group),
    };
    let Some(sandbox) = access.env.get(SANDBOX) else {
        return Err(failure);
    };
    // Only of a cluster that itself declares a rehearsal may somebody else tell.
    if connection.environment().await? != Environment::Rehearsal {
        return Err(failure);
    }
    let path = Path::new(sandbox).join("groups.json");
    let text = tokio::fs::read(&path)
        .await
        .map_err(|e| failure.clone().cause(format!("the sandbox's {} cannot be read: {e}", path.display())))?;
    let groups: BTreeMap<String, Simulated> = serde_json::from_slice(&text).map_err(|e| {
        failure.clone().cause(format!("the sandbox's {} is not what it should be: {e}", path.display()))
    })?;
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
async fn lag(group: &str, topic: &str, connection: &Connection) -> Result<Finding> {
    let committed = connection.committed(group, topic).await?;
    // Ends after commits: a group that moves in between shows as behind, never as ahead.
    let marks = connection.marks(topic).await?;
    let (mut lag, mut worst, mut lost) = (0, (0, 0), 0);
    for (partition, marks) in &marks {
        match committed.get(partition).copied().flatten() {
            None if marks.end > marks.low => {
                return Ok(Finding::unknown(format!(
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
    Ok(Finding::value(lag, (!words.is_empty()).then(|| words.join("; "))))
}
