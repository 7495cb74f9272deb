//! Actions and checks in words: titles that were left out, the plan, the screen.

use super::{Action, CheckKind, Position, SetRef};

/// What an action does, in one line: the title of a step that has none.
pub fn said(action: &Action) -> String {
    match action {
        Action::Freeze(items) => {
            format!("Freeze {}", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Action::Ddl(forms) => match forms.forms().first().and_then(|f| f.first()) {
            Some(sql) => one_line(&sql.text),
            None => "Change the schema".to_owned(),
        },
        Action::Change(change) => match &change.set {
            Some(set) => format!("Change the rows of {set}"),
            None => change.sql.forms().first().map(|sql| one_line(&sql.text)).unwrap_or_default(),
        },
        Action::Reconcile { set } => format!("Decide every row of {set}"),
        Action::Restore(restore) => format!("Restore {} from {}", restore.table, sets(&restore.sources)),
        Action::Offsets(offsets) => format!("Move {} on {} {}", offsets.group, offsets.topic, place(&offsets.to)),
        Action::Replay(replay) => format!("Replay {} to {}", replay.topic, replay.to),
        Action::Tombstones(marks) => format!("Publish tombstones for {} to {}", marks.from, marks.topic),
        Action::Topic(topic) => {
            let settings: Vec<_> = topic.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("Set {} of {}", settings.join(", "), topic.name)
        }
        Action::Registry(act) => format!("Registry: {} of {}", act.change, act.subject),
        Action::Publish(publish) => format!("Publish {} to {}", publish.from, publish.topic),
        Action::Session { end } => format!("End the sessions {end}"),
        Action::Command { argv } => argv.iter().map(|t| t.source.clone()).collect::<Vec<_>>().join(" "),
        Action::Http(request) => format!("{} {}", request.method, request.url),
        Action::Manual(manual) => manual.what.source.clone(),
        Action::Decide(decide) => decide.ask.clone(),
        Action::UndoOf { step } => format!("Undo {step}"),
    }
}

fn sets(sets: &[SetRef]) -> String {
    sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then ")
}

fn place(to: &Position) -> String {
    match to {
        Position::At(moment) => format!("to {moment}"),
        Position::Over { set, park } => format!("past {set}, kept in {park}"),
        Position::Frozen => "to where it was frozen".to_owned(),
        Position::Earliest | Position::Latest => format!("to {}", to.word()),
    }
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a check asks, in one line.
pub fn asked(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Query(_) => "query".to_owned(),
        CheckKind::Count { set } => format!("count of {set}"),
        CheckKind::Reading { reading } => format!("reading {reading}"),
        CheckKind::Probe { .. } => "probe".to_owned(),
        CheckKind::Schema(facts) => facts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        CheckKind::Grants(grants) => grants.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        CheckKind::Like { fingerprint, except } => {
            let except = if except.is_empty() { String::new() } else { format!(", but for {}", except.join(", ")) };
            format!("the schema is like {}{except}", fingerprint.display())
        }
        CheckKind::Explain { uses, .. } => format!("the plan uses {uses}"),
        CheckKind::Registry(check) => format!("{} {}", check.subject, check.question),
        CheckKind::Sessions { matching } => format!("sessions of {matching}"),
        CheckKind::Group(group) => match (&group.lag, &group.state) {
            (Some(topic), _) => format!("lag of {} on {topic}", group.group),
            (None, Some(state)) => format!("{} is {state}", group.group),
            (None, None) => format!("group {}", group.group),
        },
        CheckKind::GroupOffsets { group, topic } => format!("offsets of {group} on {topic}"),
        CheckKind::Shapes { topic, since } => match since {
            Some(since) => format!("shapes in {topic} since {since}"),
            None => format!("shapes in {topic}"),
        },
        CheckKind::Http(request) => format!("{} {}", request.method, request.url),
        CheckKind::Command { argv } => argv.iter().map(|t| t.source.clone()).collect::<Vec<_>>().join(" "),
        CheckKind::ServiceGone { service } => format!("{service} is gone"),
    }
}
