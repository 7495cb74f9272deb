//! What a step leaves for a while: listed until the step that removes it was run, and owned at the end.

use std::path::Path;
use std::sync::Arc;

use backout::run::decide::{Facts, Input, decide};
use backout::run::left::temporary;
use backout::run::next::Readings;
use backout::run::record::*;
use backout::run::state::{State, Status};
use backout::run::summary::Summary;
use backout::runbook::{Runbook, load_str};
use backout::tui::model::Model;
use backout::tui::view::{self, Page};

use crate::fixture;

const RUNBOOK: &str = r#"
backout: 1
name: little
steps:
  - id: shim
    manual: Put the view there
    leaves: [{ what: the view, owner: data team, remove_by: "2026-12-24", remove: end }, { what: a flag }]
  - { id: end, manual: Take the view away }
"#;

fn runbook() -> Runbook {
    load_str("little.yaml", RUNBOOK, Path::new(".")).unwrap_or_else(|e| panic!("{e}")).runbook
}

/// A run in which these steps were done by other hands, and then these records.
fn log(done: &[&str], more: Vec<(&str, Record)>) -> Vec<Event> {
    let Record::RunStarted(started) = fixture::contained().remove(0).record else { panic!() };
    let steps = vec!["shim".to_owned(), "end".to_owned()];
    let surveyed = fixture::survey(6).record();
    let found = done.iter().map(|id| ((*id).to_owned(), Found { position: Position::Done, because: "seen".into() }));
    let surveyed = Surveyed { steps: found.collect(), ..surveyed };
    let mut events = vec![
        fixture::event(1, None, None, Record::RunStarted(RunStarted { steps, ..started })),
        fixture::event(2, None, None, Record::Surveyed(surveyed)),
        fixture::event(3, None, None, Record::Entered { done: done.iter().map(ToString::to_string).collect() }),
    ];
    events.extend(more.into_iter().map(|(step, record)| fixture::event(4, Some(step), None, record)));
    events
}

fn left(events: &[Event]) -> Vec<String> {
    let state = State::replay(events).unwrap();
    temporary(&runbook(), &state).into_iter().map(|(step, left)| format!("{}: {}", step.id, left.what)).collect()
}

fn skipped() -> Vec<(&'static str, Record)> {
    vec![("end", Record::Skipped { reason: "reports needs it until January".into(), hard: false })]
}

#[test]
fn it_stays_until_its_end_was_run() {
    assert!(left(&log(&[], vec![])).is_empty(), "nothing was put there yet");
    assert_eq!(left(&log(&["shim"], vec![])), ["shim: the view", "shim: a flag"]);
    assert_eq!(left(&log(&["shim"], skipped())), ["shim: the view", "shim: a flag"], "skipped is not removed");
    assert_eq!(left(&log(&["shim", "end"], vec![])), ["shim: a flag"]);
    let summary = Summary::of(&runbook(), &log(&["shim"], skipped())).unwrap();
    let item = OpenItem { what: "the view".into(), owner: "data team".into(), by: "2026-12-24".into() };
    assert_eq!(summary.temporary[0], ("shim".into(), item));
}

/// Killed between its intent and its outcome, or undone without being as before: it may be there.
#[test]
fn what_may_be_there_is_listed() {
    use backout::run::left::{declared, recorded};

    let begun = |record: &dyn Fn(&mut RunStarted)| {
        let mut events = log(&[], vec![]);
        let Record::RunStarted(started) = &mut events[0].record else { panic!() };
        record(started);
        State::replay(&events).unwrap()
    };
    let mut state = begun(&|started| started.leaves = declared(&runbook()));
    for (status, there) in [
        (Status::Waiting, false),
        (Status::Gate, false),
        (Status::Running, true),
        (Status::Unknown, true),
        (Status::Failed, false),
        (Status::Applied, true),
        (Status::Done, true),
        (Status::Undone, false),
        (Status::NotExact, true),
    ] {
        state.steps.get_mut("shim").unwrap().status = status;
        let both = [recorded(&state).len(), temporary(&runbook(), &state).len()];
        assert_eq!(both, if there { [2, 2] } else { [0, 0] }, "{status:?}");
    }
    // Whether it was taken away nobody knows.
    state.steps.get_mut("end").unwrap().status = Status::Unknown;
    assert_eq!(recorded(&state).len(), 2);
    state.steps.get_mut("end").unwrap().status = Status::Done;
    assert_eq!(recorded(&state)[0].what, "a flag");
}

#[test]
fn the_end_asks_for_an_owner_and_a_date_and_lists_them() {
    let item = |what: &str| OpenItem { what: what.into(), owner: "me".into(), by: "2026-12-31".into() };
    let finish = |done: &[&str], more, open: &[OpenItem]| {
        let state = State::replay(&log(done, more)).unwrap();
        let (now, readings) = (fixture::at(9), Readings::new());
        let facts = Facts { now: &now, by: "a1", readings: &readings };
        decide(&runbook(), &state, &Input::Finish { end: End::Recovered, open: open.to_vec() }, &facts)
    };
    let refused = finish(&["shim"], skipped(), &[item("a flag")]).unwrap_err();
    assert!(refused.because.contains("the view is still temporary"), "{refused:?}");
    assert!(refused.instead.unwrap().contains("end removes it"));
    finish(&["shim"], skipped(), &[item("a flag"), item("the view")]).unwrap();
    finish(&["shim", "end"], vec![], &[item("a flag")]).unwrap();

    let page = |events: Vec<Event>| {
        let mut snapshot = fixture::snapshot(fixture::contained(), 1387);
        snapshot.state = Arc::new(State::replay(&events).unwrap());
        snapshot.runbook = Arc::new(runbook());
        view::text(&Model::default(), &snapshot, Page::End, 80).join("\n")
    };
    let before = page(log(&["shim"], skipped()));
    for words in [
        "still temporary, and whose",
        "! the view",
        "data team by 2026-12-24",
        "end removes it",
        "owner wanted by a date",
    ] {
        assert!(before.contains(words), "{words}: {before}");
    }
    let mut ended = log(&["shim", "end"], vec![]);
    let open = vec![item("a flag"), item("a ticket")];
    ended.push(fixture::event(9, None, None, Record::RunFinished { end: End::Recovered, open: open.clone() }));
    let after = page(ended);
    assert!(!after.contains("the view") && after.contains("open, and whose"), "{after}");
    assert!(after.contains("! a flag") && after.contains("me by 2026-12-31"), "{after}");
    let words = backout::run::words(&Record::RunFinished { end: End::Recovered, open });
    assert_eq!(words, "finished: recovered, 2 open items; a flag: me by 2026-12-31; a ticket: me by 2026-12-31");
}
