//! What the operator sees: whole frames, at the sizes and in the dress that they are seen in.

use std::sync::Arc;
use std::time::Duration;

use backout::engine::{Ask, Snapshot};
use backout::run::record::{Act, Record};
use backout::runbook::Level;
use backout::tui::input::Input;
use backout::tui::model::{Model, Pane};
use backout::tui::theme::Theme;
use backout::tui::update::{Effect, update};
use backout::tui::{keymap, view};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fixture;

pub const COLOR: Theme = Theme { color: true, ascii: false };

pub fn model(snapshot: &Snapshot) -> Model {
    let mut model = Model::default();
    model.receive(snapshot, Duration::ZERO);
    model
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
}

pub fn frame(model: &Model, snapshot: &Snapshot, theme: Theme, size: (u16, u16)) -> String {
    text(&view::paint(model, snapshot, theme, Rect::new(0, 0, size.0, size.1)).buffer)
}

pub fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

pub fn ctrl(c: char) -> Input {
    Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

/// Presses one after the other, each at its moment; what was asked, in order.
pub fn press(mut model: Model, snapshot: &Snapshot, keys: &[Input], at: Duration) -> (Model, Vec<Effect>) {
    let mut effects = Vec::new();
    for input in keys {
        let (next, effect) = update(model, snapshot, input, at);
        model = next;
        effects.extend(effect);
    }
    (model, effects)
}

pub fn typed(text: &str) -> Vec<Input> {
    text.chars().map(|c| key(KeyCode::Char(c))).collect()
}

pub const ARMED: Duration = Duration::from_millis(900);

fn scenes() -> Vec<(&'static str, Model, Snapshot)> {
    let mut scenes = Vec::new();
    let mut add = |name, snapshot: Snapshot| {
        let model = model(&snapshot);
        scenes.push((name, model, snapshot));
    };
    add("first", fixture::first());
    add("survey", fixture::surveyed());
    add("run", fixture::snapshot(fixture::contained(), 1387));
    add("gate", fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387));
    add("gate-irreversible", fixture::snapshot(fixture::gate(Level::Irreversible, "orders@shop"), 1387));
    add("rows", fixture::rows());
    add("held", fixture::snapshot(fixture::held(), 1390));
    add("unknown", fixture::snapshot(fixture::unknown(), 1420));
    add("undo-failed", fixture::snapshot(fixture::undo_failed(), 1530));
    add("not-exact", fixture::snapshot(fixture::not_exact(), 1530));
    add("waiting", fixture::waiting());
    let mut refused = fixture::snapshot(fixture::contained(), 1387);
    refused.message = Some(fixture::message());
    add("refused", refused);
    let mut left = fixture::snapshot(fixture::contained(), 1387);
    left.exit = Some(5);
    add("end", left);
    let base = fixture::snapshot(fixture::contained(), 1387);
    for (name, keys) in [
        ("help", vec![key(KeyCode::Char('?'))]),
        ("palette", [vec![key(KeyCode::Char(':'))], typed("h")].concat()),
        ("skip", [vec![key(KeyCode::Char('s'))], typed("it is not")].concat()),
        ("note", [vec![key(KeyCode::Char('n'))], typed("paged the loyalty team")].concat()),
        ("finish", vec![key(KeyCode::Char('F')), key(KeyCode::F(3))]),
        ("leave", vec![key(KeyCode::Char('q'))]),
        ("log", vec![key(KeyCode::Char('l'))]),
        ("checks", vec![key(KeyCode::Char('c'))]),
    ] {
        let (model, _) = press(model(&base), &base, &keys, Duration::ZERO);
        scenes.push((name, model, base.clone()));
    }
    let failed = fixture::snapshot(fixture::undo_failed(), 1530);
    for (name, keys) in [("undone-by-hand", "e"), ("undo-forward", "o")] {
        let (model, _) = press(model(&failed), &failed, &typed(keys), Duration::ZERO);
        scenes.push((name, model, failed.clone()));
    }
    let gate = fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387);
    let wrong = [typed("orders@shpo"), vec![key(KeyCode::Enter)]].concat();
    let (mistyped, asked) = press(model(&gate), &gate, &wrong, ARMED);
    assert_eq!(asked, [], "a mistyped token was sent");
    scenes.push(("gate-mistyped", mistyped, gate));
    let rows = fixture::rows();
    let (deciding, _) = press(model(&rows), &rows, &[typed("1"), typed("shipping was")].concat(), Duration::ZERO);
    scenes.push(("rows-deciding", deciding, rows));
    scenes
}

#[test]
fn as_drawn() {
    for (name, model, snapshot) in scenes() {
        insta::assert_snapshot!(format!("{name}-80x24"), frame(&model, &snapshot, COLOR, (80, 24)));
        if matches!(name, "survey" | "run" | "gate" | "rows") {
            insta::assert_snapshot!(format!("{name}-120x40"), frame(&model, &snapshot, COLOR, (120, 40)));
            insta::assert_snapshot!(format!("{name}-200x50"), frame(&model, &snapshot, COLOR, (200, 50)));
            let ascii = Theme { color: false, ascii: true };
            let plain = frame(&model, &snapshot, ascii, (80, 24));
            assert!(plain.is_ascii(), "{name}: {plain}");
            insta::assert_snapshot!(format!("{name}-ascii-80x24"), plain);
        }
        if name == "waiting" {
            insta::assert_snapshot!(format!("{name}-60x18"), frame(&model, &snapshot, COLOR, (60, 18)));
            insta::assert_snapshot!(format!("{name}-120x40"), frame(&model, &snapshot, COLOR, (120, 40)));
        }
        let small = frame(&model, &snapshot, COLOR, (50, 12));
        if matches!(name, "unknown" | "gate" | "run") {
            insta::assert_snapshot!(format!("{name}-too-small"), small);
        }
    }
}

#[test]
fn without_colour_nothing_is_lost_but_colour() {
    for (name, model, snapshot) in scenes() {
        let area = Rect::new(0, 0, 80, 24);
        let mono = view::paint(&model, &snapshot, Theme { color: false, ascii: false }, area).buffer;
        let plain = |cell: &ratatui::buffer::Cell| {
            use ratatui::style::Color::Reset;
            cell.fg == Reset && cell.bg == Reset
        };
        assert!(mono.content.iter().all(plain), "{name} has a colour");
        assert_eq!(text(&mono), frame(&model, &snapshot, COLOR, (80, 24)), "{name}");
    }
}

#[test]
fn every_size_draws() {
    let scenes = scenes();
    for width in 0..=120 {
        for height in 0..=60 {
            // One scene a size, in turn: all of them see all kinds of sizes.
            let (_, model, snapshot) = &scenes[(usize::from(width) * 61 + usize::from(height)) % scenes.len()];
            view::paint(model, snapshot, COLOR, Rect::new(0, 0, width, height));
        }
    }
}

#[test]
fn a_gate_shows_all_of_its_statement() {
    let long = format!("UPDATE orders SET note = '{}' WHERE id = 1", "abcdefghij".repeat(40));
    let mut events = fixture::contained();
    let mut offer = fixture::offer("rename-back", Level::Object, "orders@shop");
    offer.rendered = vec![long.clone()];
    let shown = fixture::shown(offer);
    events.push(fixture::event(1380, Some("rename-back"), Some(1), backout::run::Record::GateShown(shown)));
    let snapshot = fixture::snapshot(events, 1387);
    let mut model = model(&snapshot);
    let mut seen = String::new();
    for _ in 0..60 {
        seen.push_str(&frame(&model, &snapshot, COLOR, (80, 24)));
        assert!(frame(&model, &snapshot, COLOR, (80, 24)).contains("\n >"), "the token's line is out of sight");
        model = press(model, &snapshot, &[key(KeyCode::Down)], ARMED).0;
    }
    for part in ["UPDATE orders SET note", "WHERE id = 1", "exact, as long as no v2 process writes"] {
        assert!(seen.contains(part), "{part:?} was never on screen");
    }
    let letters: usize = "abcdefghij".len() * 40;
    let first = frame(&self::model(&snapshot), &snapshot, COLOR, (80, 200));
    let run: usize = first
        .lines()
        .filter(|l| l.contains("abcdefghij"))
        .map(|l| l.chars().filter(|c| ('a'..='j').contains(c)).count())
        .sum();
    assert!(run >= letters, "{run} of {letters} letters");
}

fn changes_the_world(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Ask(
            Ask::Answer { .. }
                | Ask::BreakGlass { .. }
                | Ask::Act { .. }
                | Ask::Settle { .. }
                | Ask::Finish { .. }
                | Ask::Skip { .. }
                | Ask::Jump { .. }
                | Ask::Override { .. }
                | Ask::Elsewhere { .. }
                | Ask::Decide { .. }
                | Ask::Classify { .. }
        )
    )
}

#[test]
fn no_single_key_changes_the_world() {
    let mut keys: Vec<KeyCode> = (0x20u8..0x7f).map(|c| KeyCode::Char(char::from(c))).collect();
    keys.extend([KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace, KeyCode::Delete]);
    keys.extend([KeyCode::Up, KeyCode::Down, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End]);
    keys.extend((1..=12).map(KeyCode::F));
    for (name, model, snapshot) in scenes() {
        // Half typed already: their next key is not a single one.
        if matches!(name, "skip" | "rows-deciding" | "finish" | "note" | "palette") {
            continue;
        }
        for code in &keys {
            for modifiers in [KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT, KeyModifiers::SHIFT] {
                let input = Input::Key(KeyEvent::new(*code, modifiers));
                let (_, effect) = update(model.clone(), &snapshot, &input, ARMED);
                let harmless = effect.as_ref().is_none_or(|effect| !changes_the_world(effect));
                assert!(harmless, "{name}: {code:?} {modifiers:?} asks {effect:?}");
            }
        }
    }
}

#[test]
fn a_key_without_a_meaning_is_answered() {
    let snapshot = fixture::snapshot(fixture::contained(), 1387);
    let (model, asked) = press(model(&snapshot), &snapshot, &[key(KeyCode::Char('Z'))], ARMED);
    assert_eq!(asked, []);
    assert!(frame(&model, &snapshot, COLOR, (80, 24)).contains("Z does nothing here"));
}

#[test]
fn a_gate_is_answered_by_typing_alone() {
    let snapshot = fixture::snapshot(fixture::gate(Level::Object, "orders@shop"), 1387);
    let answer = [typed("orders@shop"), vec![key(KeyCode::Enter)]].concat();

    let (early, asked) = press(model(&snapshot), &snapshot, &answer, Duration::from_millis(799));
    assert_eq!(asked, [], "a gate that is not armed yet");
    assert_eq!(early.gate.as_ref().unwrap().token.text, "", "keys before the gate is armed are swallowed");

    let (_, asked) = press(model(&snapshot), &snapshot, &answer, ARMED);
    let [Effect::Ask(Ask::Answer { typed: sent, looked_ms, from_file: false, .. })] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!((sent.as_str(), *looked_ms), ("orders@shop", 900));

    let (pasted, asked) =
        press(model(&snapshot), &snapshot, &[Input::Paste("orders@shop".into()), key(KeyCode::Enter)], ARMED);
    assert_eq!(asked, [], "a paste is no answer");
    assert_eq!(pasted.gate.unwrap().token.text, "");

    let blurred = [vec![Input::FocusLost], answer.clone()].concat();
    let (blurred, asked) = press(model(&snapshot), &snapshot, &blurred, ARMED);
    assert_eq!(asked, [], "a terminal without focus answers nothing");
    let back = [vec![Input::FocusGained], answer.clone()].concat();
    let (back, asked) = press(blurred, &snapshot, &back, ARMED);
    assert_eq!(asked, [], "focus that has just come back answers nothing");
    let (_, asked) = press(back, &snapshot, &answer, ARMED + ARMED);
    assert_eq!(asked.len(), 1);

    let twice = [answer, vec![key(KeyCode::Enter)]].concat();
    let (_, asked) = press(model(&snapshot), &snapshot, &twice, ARMED);
    assert_eq!(asked.len(), 1, "a held Enter answers once");
    for out in [key(KeyCode::Esc), ctrl('c')] {
        let (_, asked) = press(model(&snapshot), &snapshot, &[out], Duration::ZERO);
        assert_eq!(asked, [Effect::Ask(Ask::Close)], "the way out is never locked");
    }
}

#[test]
fn an_irreversible_gate_wants_break_glass_first() {
    let snapshot = fixture::snapshot(fixture::gate(Level::Irreversible, "orders@shop"), 1387);
    let answer = [typed("orders@shop"), vec![key(KeyCode::Enter)]].concat();
    let (refused, asked) = press(model(&snapshot), &snapshot, &answer, ARMED);
    assert_eq!(asked, []);
    let why = [vec![key(KeyCode::Tab)], typed("nobody answers the pager"), vec![key(KeyCode::Enter)]].concat();
    let (_, asked) = press(refused, &snapshot, &why, ARMED);
    assert_eq!(asked, [Effect::Ask(Ask::BreakGlass { reason: "nobody answers the pager".into() })]);
}

#[test]
fn a_row_takes_a_class_and_a_reason() {
    let snapshot = fixture::rows();
    let keys = [typed("1"), typed("v2 added shipping"), vec![key(KeyCode::Enter)]].concat();
    let (_, asked) = press(model(&snapshot), &snapshot, &keys, Duration::ZERO);
    let wanted = Ask::Classify {
        step: "decide-orders".into(),
        row: "50313".into(),
        class: "captured".into(),
        reason: "v2 added shipping".into(),
    };
    assert_eq!(asked, [Effect::Ask(wanted)]);
}

#[test]
fn who_is_in_the_way_is_ended_and_our_own_statement_cancelled_while_it_waits() {
    let mut snapshot = fixture::waiting();
    let end = [vec![ctrl('k')], typed("4121"), vec![key(KeyCode::Enter)]].concat();
    let (_, asked) = press(model(&snapshot), &snapshot, &end, Duration::ZERO);
    let since = Some("2026-11-24 01:59:02.5+00".to_owned());
    let act = Act::EndSession { target: "shop".into(), pid: "4121".into(), since };
    assert_eq!(asked, [Effect::Ask(Ask::Act { act, typed: "4121".into() })], "with the start that was shown");

    // A number that was not shown goes without one; typed again, with that of whom it was said to be.
    let slip = [vec![ctrl('k')], typed("4112"), vec![key(KeyCode::Enter)]].concat();
    for since in [None, Some("2026-11-24 01:00:00+00".to_owned())] {
        let act = |since| Act::EndSession { target: "shop".into(), pid: "4112".into(), since };
        let found = since.clone();
        let told = Record::ActOutcome { act: act(None), applied: false, detail: String::new(), tried: None, found };
        snapshot.log.push_back(Arc::new(fixture::event(1386, None, None, told)));
        let (_, asked) = press(model(&snapshot), &snapshot, &slip, Duration::ZERO);
        assert_eq!(asked, [Effect::Ask(Ask::Act { act: act(since), typed: "4112".into() })]);
    }

    let wrong = [typed("x"), typed("cancle"), vec![key(KeyCode::Enter)]].concat();
    let (wrong, asked) = press(model(&snapshot), &snapshot, &wrong, Duration::ZERO);
    assert_eq!(asked, []);
    let shown = frame(&wrong, &snapshot, COLOR, (80, 24));
    assert!(shown.contains("\"cancle\" is not it, and nothing was sent. Type cancel to do it"), "{shown}");
    let right = [vec![ctrl('u')], typed("cancel"), vec![key(KeyCode::Enter)]].concat();
    let (_, asked) = press(wrong, &snapshot, &right, Duration::ZERO);
    assert!(matches!(asked.as_slice(), [Effect::Ask(Ask::Act { act: Act::Cancel { .. }, .. })]), "{asked:?}");
}

#[test]
fn outside_text_reaches_the_terminal_as_text() {
    use ratatui::backend::{Backend, CrosstermBackend};
    let hostile = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\u{202e}evil\u{9b}31m\r\n\u{0}";
    let mut snapshot = fixture::snapshot(fixture::held(), 1390);
    let mut message = fixture::message();
    message.what = hostile.into();
    message.means = Some(hostile.into());
    snapshot.message = Some(message);
    let name = snapshot.targets[0].0.clone();
    snapshot.targets[0].1 = backout::engine::Link::Down { words: hostile.into(), since: fixture::at(1300) };
    let note = backout::run::Record::Note { text: format!("{name} {hostile}") };
    snapshot.log.push_back(std::sync::Arc::new(fixture::event(1380, None, None, note)));
    let mut model = model(&snapshot);
    model.pane = Pane::Log;
    for size in [(80, 24), (120, 40), (40, 10)] {
        let buffer = view::paint(&model, &snapshot, COLOR, Rect::new(0, 0, size.0, size.1)).buffer;
        let mut bytes = Vec::new();
        let cells = buffer.content.iter().enumerate().map(|(i, cell)| {
            let (x, y) = buffer.pos_of(i);
            (x, y, cell)
        });
        CrosstermBackend::new(&mut bytes).draw(cells).unwrap();
        let written = String::from_utf8(bytes).unwrap();
        for bad in ["\u{1b}]", "\u{1b}[2J", "\u{202e}", "\u{9b}", "\u{7}", "\u{0}"] {
            assert!(!written.contains(bad), "{bad:?} at {size:?}");
        }
    }
}

#[test]
fn one_table_of_keys() {
    let mut seen = std::collections::BTreeMap::new();
    for binding in keymap::BINDINGS {
        assert!(!binding.help.is_empty() && !binding.name.is_empty());
        assert_eq!(seen.insert(binding.key, binding.name), None, "{} twice", binding.key);
    }
    let press = |code, modifiers| keymap::command(&KeyEvent::new(code, modifiers));
    assert_eq!(press(KeyCode::Char('F'), KeyModifiers::SHIFT), Some(keymap::Command::Finish));
    assert_eq!(press(KeyCode::Char('x'), KeyModifiers::ALT), None);
}

#[test]
fn the_loop_writes_only_what_changed_and_ends_with_the_engine() {
    use backout::engine::Handle;
    use backout::tui::Tui;
    use futures_util::stream::{self, StreamExt};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use tokio::sync::{broadcast, mpsc, watch};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shown = fixture::snapshot(fixture::contained(), 1390);
        let (asks, mut asked) = mpsc::channel(4);
        let (snapshots, seen) = watch::channel(std::sync::Arc::new(shown.clone()));
        let handle = Handle { asks, snapshots: seen, events: broadcast::channel(4).0 };
        let mut tui = Tui::new(Terminal::new(TestBackend::new(80, 24)).unwrap(), COLOR, handle);
        let keys = stream::iter([key(KeyCode::Char('?'))]).chain(stream::pending());
        let quiet = tui.drive(Box::pin(keys), stream::pending());
        assert!(tokio::time::timeout(Duration::from_millis(2500), quiet).await.is_err(), "nobody ended it");
        assert_eq!(tui.frames, 2, "the first frame, the help, and nothing while nothing changes");

        let (more, late) = mpsc::unbounded_channel();
        let late = stream::unfold(late, |mut late| async { Some((late.recv().await?, late)) });
        let keys = stream::iter([key(KeyCode::Esc), key(KeyCode::Char('q')), key(KeyCode::Enter)])
            .chain(late)
            .chain(stream::pending());
        let engine = async {
            assert!(matches!(asked.recv().await, Some(Ask::Leave { .. })));
            let mut left = shown;
            left.exit = Some(5);
            snapshots.send(std::sync::Arc::new(left)).unwrap();
            // The last page stays until it has been read.
            tokio::time::sleep(Duration::from_millis(200)).await;
            more.send(key(KeyCode::Enter)).unwrap();
            tokio::time::sleep(Duration::from_millis(800)).await;
            assert!(!more.is_closed(), "an Enter too early closed the last page");
            more.send(key(KeyCode::Enter)).unwrap();
        };
        let (code, ()) = tokio::join!(tui.drive(Box::pin(keys), stream::pending()), engine);
        assert_eq!(code.unwrap(), 5);
    });
}
