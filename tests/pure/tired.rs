//! A tired hand at the screen: keys too many, terminals too small, and what must be in sight all the same.

use std::sync::Arc;
use std::time::Duration;

use backout::engine::{Message, Snapshot, UNTOLD};
use backout::run::record::*;
use backout::runbook::{Action, Level, PerDialect, SqlText};
use backout::tui::input::Input;
use backout::tui::model::{Dialog, Field, Model, Pane, Purpose};
use backout::tui::update::Effect;
use backout::tui::{keymap, view};
use crossterm::event::KeyCode;
use ratatui::layout::Rect;

use crate::fixture;
use crate::frames::{ARMED, COLOR, ctrl, frame, key, model, press, typed};

const SMALL: (u16, u16) = (80, 24);

/// Each key, and the frame that follows it, as at the terminal: the last one.
fn hand(mut model: Model, snapshot: &Snapshot, keys: &[KeyCode]) -> (Model, String) {
    model.at = ARMED;
    for code in keys {
        model = press(model, snapshot, &[key(*code)], ARMED).0;
        let drawn = view::paint(&model, snapshot, COLOR, Rect::new(0, 0, SMALL.0, SMALL.1));
        model.scroll_within(drawn.reach);
    }
    let shown = frame(&model, snapshot, COLOR, SMALL);
    (model, shown)
}

fn with_runbook(mut snapshot: Snapshot, change: impl FnOnce(&mut backout::runbook::Runbook)) -> Snapshot {
    change(Arc::make_mut(&mut snapshot.runbook));
    snapshot
}

#[test]
fn the_key_back_works_at_once_after_too_many_keys() {
    let run = fixture::snapshot(fixture::contained(), 1387);
    let gate = fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387);
    let failed = fixture::snapshot(fixture::undo_failed(), 1530);
    let mut ended = run.clone();
    ended.exit = Some(5);
    let at = |snapshot: &Snapshot, first: &[KeyCode]| hand(model(snapshot), snapshot, first).0;
    let places = [
        ("survey", at(&fixture::surveyed(), &[]), fixture::surveyed()),
        ("detail", at(&failed, &[KeyCode::Tab]), failed),
        ("log", at(&run, &[KeyCode::Char('l'), KeyCode::Char('g')]), run.clone()),
        ("checks", at(&run, &[KeyCode::Char('c')]), run.clone()),
        ("help", at(&run, &[KeyCode::Char('?')]), run.clone()),
        ("gate", at(&gate, &[]), gate),
        ("end", at(&ended, &[]), ended),
    ];
    for (name, model, snapshot) in places {
        let (top, first) = hand(model, &snapshot, &[]);
        let (bottom, last) = hand(top, &snapshot, &[KeyCode::PageDown; 30]);
        assert_ne!(first, last, "{name} does not scroll");
        let (up, one) = hand(bottom, &snapshot, &[KeyCode::Up]);
        assert_ne!(last, one, "{name}: the key back is dead");
        let (_, back) = hand(up, &snapshot, &[KeyCode::PageUp; 30]);
        assert_eq!(first, back, "{name}");
    }
}

#[test]
fn the_log_goes_back_with_the_keys_that_go_up_and_is_read_to_its_end() {
    let mut snapshot = fixture::snapshot(fixture::contained(), 1387);
    let why = "the canary is idle, and the night shift of the payments team has said that nobody needs it before noon";
    let note = Record::Note { text: why.into() };
    snapshot.log.push_back(Arc::new(fixture::event(1386, None, None, note)));
    let (log, newest) = hand(model(&snapshot), &snapshot, &[KeyCode::Char('l')]);
    for part in why.split(' ') {
        assert!(newest.contains(part), "{part} is cut:\n{newest}");
    }
    let (up, older) = hand(log, &snapshot, &[KeyCode::PageUp; 3]);
    assert!(older.contains("run 20261124T021800Z-7f3a of checkout-v2 begins"), "{older}");
    assert!(!older.contains("before noon"), "{older}");
    let (_, down) = hand(up, &snapshot, &[KeyCode::PageDown; 3]);
    assert_eq!(down, newest);
    let (_, first) = hand(model(&snapshot), &snapshot, &[KeyCode::Char('l'), KeyCode::Char('g')]);
    assert!(first.contains("of checkout-v2 begins"), "{first}");
}

#[test]
fn nothing_is_typed_into_a_page_that_cannot_be_read() {
    let gate = fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387);
    let answer = [typed("orders@shop"), vec![key(KeyCode::Enter)]].concat();
    let small = [vec![Input::Resized(59, 24)], answer.clone()].concat();
    let (shrunk, asked) = press(model(&gate), &gate, &small, ARMED);
    assert_eq!(shrunk.gate.as_ref().unwrap().token.text, "");
    assert!(!asked.iter().any(|effect| matches!(effect, Effect::Ask(_))), "{asked:?}");
    let (_, asked) = press(shrunk.clone(), &gate, &[key(KeyCode::Esc)], ARMED);
    assert!(matches!(asked.as_slice(), [Effect::Ask(_)]), "the way out is never locked");

    // Readable again: it arms as a gate does that has just come up.
    let whole = [vec![Input::Resized(80, 24)], answer.clone()].concat();
    let (whole, asked) = press(shrunk, &gate, &whole, ARMED);
    assert!(!asked.iter().any(|effect| matches!(effect, Effect::Ask(_))), "{asked:?}");
    let (_, asked) = press(whole, &gate, &answer, ARMED + ARMED);
    assert_eq!(asked.len(), 1);

    let run = fixture::snapshot(fixture::contained(), 1387);
    let keys = [vec![Input::Resized(60, 17)], typed("sthe"), vec![key(KeyCode::Enter), ctrl('s')]].concat();
    let (blind, asked) = press(model(&run), &run, &keys, ARMED);
    assert!(blind.dialogs.is_empty() && !asked.iter().any(|effect| matches!(effect, Effect::Ask(_))), "{asked:?}");
}

#[test]
fn who_is_in_the_way_stands_where_the_pid_is_typed() {
    let waiting = fixture::waiting();
    let (_, shown) = hand(model(&waiting), &waiting, &[KeyCode::Char('E')]);
    assert!(shown.contains("bi-extract, pid 4121") && shown.contains("Type its pid"), "{shown}");
    assert!(shown.contains("behind bi-extract, pid 4121"), "what is waited for stays on the second row:\n{shown}");

    let gate = fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387);
    let way = gate.state.gate.as_ref().unwrap().shown.evidence.facts.iter().find(|(label, _)| label == "in way");
    let pid = way.unwrap().1.split("pid ").nth(1).unwrap().split(&[' ', ','][..]).next().unwrap();
    let (asking, _) = press(model(&gate), &gate, &[ctrl('k')], ARMED);
    let sheet = view::text(&asking, &gate, view::Page::Dialog, 78).join("\n");
    assert!(sheet.contains(&format!("pid {pid}")), "{sheet}");
    insta::assert_snapshot!("end-session-80x24", frame(&asking, &gate, COLOR, SMALL));
}

#[test]
fn what_is_typed_stays_in_sight_under_a_long_question() {
    let long = "Call the payments team and read them every one of the orders below. ".repeat(20);
    let snapshot = with_runbook(fixture::snapshot(fixture::contained(), 1387), |runbook| {
        let need = &mut runbook.steps.get_mut("rename-back").unwrap().needs[0];
        need.because = Some(long.clone());
    });
    let mut asking = model(&snapshot);
    asking.dialogs.push(Dialog::Prompt { purpose: Purpose::BreakGlass, field: Field::default(), says: None });
    let (typing, _) = press(asking, &snapshot, &typed("nobody can wait"), ARMED);
    let drawn = view::paint(&typing, &snapshot, COLOR, Rect::new(0, 0, SMALL.0, SMALL.1));
    let shown = frame(&typing, &snapshot, COLOR, SMALL);
    assert!(shown.contains("why > nobody can wait"), "{shown}");
    assert!(shown.contains("more lines: Esc, and read them in the step's detail"), "{shown}");
    let row = shown.lines().position(|line| line.contains("why > nobody")).unwrap();
    assert_eq!(usize::from(drawn.cursor.unwrap().y), row, "{shown}");
}

#[test]
fn an_undo_says_that_it_takes_back_and_what_runs_then() {
    let mut events = fixture::undo_failed();
    events.truncate(events.iter().rposition(|e| matches!(e.record, Record::GateAnswered(_))).unwrap());
    let gate = fixture::snapshot(events, 1530);
    assert!(frame(&model(&gate), &gate, COLOR, SMALL).contains(" Take back: Give the old code its column name back"));

    let mut events = fixture::undo_failed();
    events.truncate(events.iter().rposition(|e| matches!(e.record, Record::Outcome(_))).unwrap());
    let running = fixture::snapshot(events, 1530);
    let shown = frame(&model(&running), &running, COLOR, SMALL);
    assert!(shown.contains("undoing 0:") && shown.contains("schema · undoing"), "{shown}");
    assert!(!shown.contains("Enter "), "a key that does nothing now is offered:\n{shown}");
}

#[test]
fn what_cannot_be_undone_is_said_beside_what_is_typed() {
    for (level, undo, wanted) in [
        (Level::Object, true, "\n CANNOT BE UNDONE\n >"),
        (Level::Object, false, "───\n >"),
        (Level::Irreversible, true, "\n IRREVERSIBLE: Tab, then why"),
    ] {
        let mut offer = fixture::offer("rename-back", level, "orders@shop");
        if undo {
            offer.undo = Undoing::None { because: "it needs a copy of every row".into() };
        }
        let mut events = fixture::contained();
        events.push(fixture::event(1380, Some("rename-back"), Some(1), Record::GateShown(fixture::shown(offer))));
        let snapshot = fixture::snapshot(events, 1387);
        let shown = frame(&model(&snapshot), &snapshot, COLOR, SMALL);
        assert!(shown.contains(wanted), "{wanted:?}:\n{shown}");
        assert!(shown.lines().last().unwrap().contains("Esc nothing happens"), "{shown}");
    }
}

#[test]
fn a_broken_glass_is_still_irreversible() {
    let mut events = fixture::gate(Level::Irreversible, "orders@shop");
    let glass = Record::Override { what: "second person".into(), reason: "nobody answers the pager".into() };
    events.push(fixture::event(1385, Some("rename-back"), Some(1), glass));
    let snapshot = fixture::snapshot(events, 1387);
    let shown = frame(&model(&snapshot), &snapshot, COLOR, SMALL);
    assert!(shown.contains(" IRREVERSIBLE · BREAK-GLASS: nobody answers the pager"), "{shown}");
}

#[test]
fn a_label_that_is_too_long_is_not_cut() {
    let mut events = fixture::contained();
    let mut shown = fixture::shown(fixture::offer("rename-back", Level::Object, "orders@shop"));
    shown.evidence.facts.insert(0, ("not atomic".into(), "only the catalog can tell how far it came".into()));
    events.push(fixture::event(1380, Some("rename-back"), Some(1), Record::GateShown(shown)));
    let snapshot = fixture::snapshot(events, 1387);
    let shown = frame(&model(&snapshot), &snapshot, COLOR, SMALL);
    assert!(shown.contains(" not atomic\n          only the catalog can tell how far it came"), "{shown}");
}

#[test]
fn a_small_survey_has_the_steps_too_and_says_why_one_is_in_doubt() {
    let mut snapshot = fixture::surveyed();
    let why = "the index is there, and INVALID: it costs every write and answers no query; drop it and build it again";
    let survey = Arc::make_mut(snapshot.survey.as_mut().unwrap());
    survey.steps[2].1 = Found { position: Position::HalfDone, because: why.into() };
    let needs: Vec<_> = (1..=6).map(|n| (format!("orders.a_long_column_name_{n}"), Some(false))).collect();
    survey.services[0].needs.clone_from(&needs);
    let mut model = model(&snapshot);
    let mut seen = frame(&model, &snapshot, COLOR, SMALL);
    for _ in 0..6 {
        let (next, shown) = hand(model, &snapshot, &[KeyCode::PageDown]);
        model = next;
        seen.push_str(&shown);
    }
    assert!(seen.contains("the steps, as the world shows them") && seen.contains("half done"), "{seen}");
    for word in why.split(' ').chain(needs.iter().map(|(need, _)| need.as_str())) {
        assert!(seen.contains(word), "{word} is never in sight");
    }
}

#[test]
fn a_trial_is_offered_only_of_what_can_be_taken_back() {
    let offered = |sql: &str| {
        let snapshot = with_runbook(fixture::snapshot(fixture::contained(), 1387), |runbook| {
            let step = runbook.steps.get_mut("rename-back").unwrap();
            let Action::Ddl(PerDialect::Any(list)) = &mut step.action else { panic!("{:?}", step.action) };
            *list = vec![SqlText::parse(sql, list[0].span).unwrap()];
        });
        keymap::trial_of(&model(&snapshot), &snapshot).is_some()
    };
    assert!(offered("ALTER TABLE orders ADD COLUMN note text"));
    assert!(!offered("CREATE INDEX CONCURRENTLY i ON orders (id)"));
    assert!(!offered("VACUUM orders"));
}

#[test]
fn where_evidence_ends_the_banner_says_what_was_seen_and_what_to_do() {
    let mut snapshot = fixture::snapshot(fixture::unknown(), 1420);
    assert!(!frame(&model(&snapshot), &snapshot, COLOR, SMALL).contains("Evidence does not tell"));
    snapshot.message = Some(Message {
        at: fixture::at(1419),
        what: UNTOLD.into(),
        means: Some("half of it is there".into()),
        can: Some("look yourself, then settle it with a reason".into()),
    });
    let shown = frame(&model(&snapshot), &snapshot, COLOR, SMALL);
    assert!(!shown.contains("Looking for evidence"), "{shown}");
    insta::assert_snapshot!("untold-80x24", shown);
}

#[test]
fn most_keys_leave_the_list_of_steps_where_it_is() {
    let snapshot = with_runbook(fixture::snapshot(fixture::contained(), 1387), |runbook| {
        let step = runbook.steps["refund-doubles"].clone();
        for n in 0..300 {
            let id = format!("step-{n:03}");
            let mut step = step.clone();
            step.id.clone_from(&id);
            runbook.steps.insert(id, step);
        }
    });
    let area = Rect::new(0, 0, 200, 50);
    let list = |model: &Model| {
        let text = frame(model, &snapshot, COLOR, (200, 50));
        let rows: Vec<String> = text.lines().skip(4).map(|line| line.chars().skip(1).take(40).collect()).collect();
        rows
    };
    let mut model = model(&snapshot);
    model.pane = Pane::Steps;
    let (mut moved, mut before) = (0, list(&model));
    for _ in 0..150 {
        model = press(model, &snapshot, &[key(KeyCode::Down)], Duration::ZERO).0;
        let now = list(&model);
        moved += usize::from(now != before);
        before = now;
        let selected = view::paint(&model, &snapshot, COLOR, area);
        assert!(frame(&model, &snapshot, COLOR, (200, 50)).contains('›'), "the selected step is out of sight");
        assert_eq!(selected.reach, 0, "the list follows the selection alone");
    }
    assert!(moved <= 15, "the list moved {moved} times in 150 keys");
}
