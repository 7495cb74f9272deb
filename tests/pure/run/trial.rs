//! A trial at the desk: who may ask for it and when, what the log keeps of it, and how its result reads.

use std::time::Duration;

use backout::run::decide::{Draft, Facts, Input, decide};
use backout::run::next::Readings;
use backout::run::record::*;
use backout::run::state::State;
use backout::tui::model::{Dialog, Model};
use backout::tui::view::{self, Page};

use crate::fixture;

fn act(step: &str, copy: bool, reason: Option<&str>) -> Act {
    Act::Trial { target: "shop".into(), step: step.into(), copy, reason: reason.map(str::to_owned) }
}

fn asked(state: &State, act: &Act, typed: &str) -> Result<Vec<Draft>, String> {
    let (now, readings) = (fixture::at(400), Readings::new());
    let facts = Facts { now: &now, by: "a1", readings: &readings };
    let input = Input::Act { act: act.clone(), token: "try".into(), typed: typed.into() };
    decide(&fixture::runbook(), state, &input, &facts).map_err(|refusal| refusal.because)
}

fn tried() -> Tried {
    Tried {
        statements: vec![TriedStatement { sql: "ALTER …".into(), took_us: 1400, rewrote: Vec::new() }],
        copy: false,
        locks: vec![("orders".into(), "ACCESS EXCLUSIVE".into())],
        held_us: 9300,
        checks: vec![TriedCheck { check: "v1-insert-works".into(), passed: true, words: "pass".into() }],
        not_tried: vec![("loyalty-lag".into(), "it must hold for a while".into())],
        undo: TriedUndo::Exact,
        outside: Vec::new(),
        unseen: String::new(),
    }
}

#[test]
fn a_trial_is_typed_and_is_of_statements_that_have_not_been_applied() {
    let state = State::replay(&fixture::contained()).unwrap();
    let kinds = |drafts: Vec<Draft>| drafts.into_iter().map(|draft| draft.record.kind()).collect::<Vec<_>>();
    assert_eq!(
        kinds(asked(&state, &act("rename-back", false, None), "try").unwrap()),
        ["act_shown", "act_answered", "act_intent"]
    );
    let drafts = asked(&state, &act("rename-back", false, None), "try").unwrap();
    assert!(drafts.iter().all(|draft| draft.step.as_deref() == Some("rename-back")), "{drafts:?}");
    assert!(asked(&state, &act("rename-back", false, None), "").unwrap_err().contains("try"));
    assert!(asked(&state, &act("no-such", false, None), "try").is_err());
    assert!(asked(&state, &act("pause-loyalty", false, None), "try").unwrap_err().contains("nothing to try"));
    // At full size although it hurts: the reason is a record of its own.
    assert!(asked(&state, &act("rename-back", false, Some("no")), "try").unwrap_err().contains("10 characters"));
    let forced = asked(&state, &act("rename-back", false, Some("nobody is on it tonight")), "try").unwrap();
    assert!(matches!(&forced[0].record, Record::Override { what, .. } if what == "trial at full size"), "{forced:?}");
    assert!(asked(&state, &act("rename-back", true, Some("nobody is on it tonight")), "try").is_err());
}

#[test]
fn its_result_settles_nothing_and_is_shown() {
    let mut events = fixture::contained();
    let before = State::replay(&events).unwrap();
    let of = act("rename-back", false, None);
    for draft in asked(&before, &of, "try").unwrap() {
        events.push(fixture::event(400, None, None, draft.record));
    }
    let during = State::replay(&events).unwrap();
    assert!(asked(&during, &of, "try").unwrap_err().contains("another act"));
    let outcome =
        Record::ActOutcome { act: of, applied: true, detail: tried().words(), tried: Some(tried()), found: None };
    events.push(fixture::event(401, None, None, outcome));
    let after = State::replay(&events).unwrap();
    assert_eq!(after.status("rename-back"), before.status("rename-back"));
    let trial = after.steps["rename-back"].tried.as_ref().unwrap();
    let line = trial.of(&["ALTER …".into()]).unwrap();
    assert!(line.contains("v1-insert-works passes") && line.contains("catalog identical"), "{line}");
    assert_eq!(trial.of(&["ALTER … else".into()]), None, "another offer was not tried");

    let mut model = Model::default();
    model.receive(&fixture::snapshot(fixture::contained(), 399), Duration::ZERO);
    let snapshot = fixture::snapshot(events, 402);
    model.receive(&snapshot, Duration::from_secs(1));
    assert!(matches!(model.dialogs.last(), Some(Dialog::Trial { .. })));
    let lines = view::text(&model, &snapshot, Page::Dialog, 80);
    assert!(lines.len() <= 20 && lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    let page = lines.join("\n");
    for words in ["v1-insert-works passes", "exactly as before", "ACCESS EXCLUSIVE on orders, 9.3 ms", "loyalty-lag"] {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
}
