//! Actions and checks in words: titles that were left out, the plan, the screen.

use super::{Action, CheckKind, Combined, NeverMatch, Position, SetRef, SetSource, Template};

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
        Action::Command { argv } => line(argv),
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

/// Where the rows of a set come from, in one line.
pub fn come_from(source: &SetSource) -> String {
    match source {
        SetSource::Query { on, .. } => format!("a query on {on}"),
        SetSource::Records { target } => format!("the records of {target}"),
        SetSource::Compare(compare) => {
            let classes: Vec<_> = compare.classes.keys().map(String::as_str).collect();
            format!("{} beside {}, in the classes {}", compare.ours, compare.theirs, classes.join(", "))
        }
        SetSource::Topic(source) => {
            let since = source.since.as_ref().map(|s| format!(" since {s}")).unwrap_or_default();
            let latest = if source.latest_per_key { ", the last of each key" } else { "" };
            format!("the records of {} on {}{since}{latest}", source.topic, source.on)
        }
        SetSource::Http { request, .. } => format!("{} {}", request.method, request.url),
        SetSource::Command { argv } => line(argv),
        SetSource::Combined(Combined::InNotIn { rows, not_in }) => format!("{rows} without {not_in}"),
        SetSource::Combined(Combined::Both(first, second)) => format!("{first} that are in {second}, too"),
        SetSource::Combined(Combined::MoreThan { rows, times }) => format!("{rows} more than {times} times"),
    }
}

/// The words of a command, as they stand in the file.
pub fn line(argv: &[Template]) -> String {
    argv.iter().map(|t| t.source.as_str()).collect::<Vec<_>>().join(" ")
}

/// What a `never` is recognised by, in one line.
pub fn matched(matched: &NeverMatch) -> String {
    match matched {
        NeverMatch::Offsets { group, to } => match to {
            Some(to) => format!("offsets of {group} to {to}"),
            None => format!("offsets of {group}"),
        },
        NeverMatch::Ddl { statement, object } => match object {
            Some(object) => format!("{statement} of {object}"),
            None => statement.clone(),
        },
        NeverMatch::Change { object } => format!("a change of {object}"),
        NeverMatch::Publish { topic } => format!("anything published to {topic}"),
        NeverMatch::Command { argv } => argv.join(" "),
        NeverMatch::Restore { table } => format!("a restore of {table}"),
        NeverMatch::Replay { topic } => format!("a replay of {topic}"),
        NeverMatch::Tombstones { topic } => format!("tombstones in {topic}"),
        NeverMatch::Topic { name } => format!("settings of {name}"),
        NeverMatch::Registry { act, subject } => match subject {
            Some(subject) => format!("registry: {act} of {subject}"),
            None => format!("registry: {act}"),
        },
    }
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
        CheckKind::Migration { applied } => format!("the migration is {}", if *applied { "in" } else { "out" }),
        CheckKind::Like { fingerprint, except } => {
            let except = if except.is_empty() { String::new() } else { format!(", but for {}", except.join(", ")) };
            format!("the schema is like {}{except}", fingerprint.display())
        }
        CheckKind::Explain { uses, .. } => format!("the plan uses {uses}"),
        CheckKind::Registry(check) => format!("{} {}", check.subject, check.question),
        CheckKind::Sessions { matching, older_than: None } => format!("sessions of {matching}"),
        CheckKind::Sessions { matching, older_than: Some(step) } => format!("sessions of {matching} older than {step}"),
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
        CheckKind::Command { argv } => line(argv),
        CheckKind::ServiceGone { service } => format!("{service} is gone"),
    }
}
