//! Actions and checks in words: titles that were left out, the plan, the screen.

use super::{Action, CheckKind};

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
        Action::Publish(publish) => format!("Publish {} to {}", publish.from, publish.topic),
        Action::Session { end } => format!("End the sessions {end}"),
        Action::Command { argv } => argv.iter().map(|t| t.source.clone()).collect::<Vec<_>>().join(" "),
        Action::Http(request) => format!("{} {}", request.method, request.url),
        Action::Manual(manual) => manual.what.source.clone(),
        Action::Decide(decide) => decide.ask.clone(),
        Action::UndoOf { step } => format!("Undo {step}"),
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
        CheckKind::Sessions { matching } => format!("sessions of {matching}"),
        CheckKind::Group(group) => match (&group.lag, &group.state) {
            (Some(topic), _) => format!("lag of {} on {topic}", group.group),
            (None, Some(state)) => format!("{} is {state}", group.group),
            (None, None) => format!("group {}", group.group),
        },
        CheckKind::Shapes { topic, since } => match since {
            Some(since) => format!("shapes in {topic} since {since}"),
            None => format!("shapes in {topic}"),
        },
        CheckKind::Http(request) => format!("{} {}", request.method, request.url),
        CheckKind::Command { argv } => argv.iter().map(|t| t.source.clone()).collect::<Vec<_>>().join(" "),
        CheckKind::ServiceGone { service } => format!("{service} is gone"),
    }
}
