//! What a terminal can do to the program, and what the program leaves of a terminal.

use std::process::Command;

use crate::play::{PATIENCE, Play};
use crate::screen::Screen;

fn signal(play: &Play, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &play.screen.pid().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn terminated() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    signal(&play, "TERM");
    assert_eq!(play.screen.code(PATIENCE), 143);
    play.restored();
    assert!(play.log().contains(" held "), "{}", play.log());
    play.verified();
}

#[test]
fn terminated_at_a_gate() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    play.gate("stop-straggler");
    play.screen.press("stop-stragg");
    play.sees(&["> stop-stragg"]);
    signal(&play, "TERM");
    assert_eq!(play.screen.code(PATIENCE), 143);
    play.restored();
    assert!(!play.began("stop-straggler"), "{}", play.log());
}

#[test]
fn hung_up_and_taken_up_again() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    play.screen.hang_up();
    play.screen.code(PATIENCE);
    assert!(play.log().contains(" held "), "{}", play.log());
    play.verified();

    play.resume();
    play.sees(&["HELD the terminal was lost", "r lift hold"]);
    play.screen.press("r");
    play.sees(&["not held", "NEXT Open the gate of stop-straggler"]);
    assert_ne!(play.leave(), 0, "a run that has not ended is not a success");
    play.restored();
}

#[test]
fn ctrl_c_holds_and_twice_leaves() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    play.screen.press("\u{3}");
    play.sees(&["HELD", "by the operator"]);
    play.screen.press("r");
    play.sees(&["not held"]);
    play.screen.press("\u{3}\u{3}");
    play.ended("LEFT, not ended");
    assert_ne!(play.screen.code(PATIENCE), 0);
    play.restored();
}

#[test]
fn a_gate_takes_nothing_but_typing() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();

    // What was typed ahead, for another screen, is gone: the gate arms only after it has been shown.
    play.sees(&["Enter open"]);
    play.screen.press("\r\r\r");
    play.sees(&["GATE", "stop-straggler", " armed "]);

    play.screen.seen(|screen| {
        assert!(screen.bracketed_paste(), "a paste could not be told from typing");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is taken away");
    });
    play.screen.press("\u{1b}[200~stop-straggler@rehearsal\r\u{1b}[201~");
    play.sees(&["A paste is refused here"]);
    play.enter();
    play.sees(&["Enter alone does nothing"]);
    play.screen.press("stop-stragglr@rehearsal\r");
    play.sees(&["Not it: character 13"]);

    play.screen.press("\u{1b}[O");
    play.sees(&["DISARMED, no focus"]);
    play.screen.press("\r");
    play.screen.press("\u{1b}[I");
    play.sees(&[" armed "]);

    play.screen.press("\u{3}");
    play.sees(&["NEXT Open the gate of stop-straggler", "not held"]);
    assert!(!play.began("stop-straggler"), "{}", play.log());
    play.leave();
}

#[test]
fn without_colours_there_is_weight() {
    let mut play = Play::with("sqlite", &[("NO_COLOR", "1")]);
    play.surveyed();
    play.screen.press(":");
    play.sees(&["commands", "Up Down choose"]);
    play.screen.seen(|screen| {
        let (rows, columns) = screen.size();
        let places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let cells: Vec<_> = places.filter_map(|(row, column)| screen.cell(row, column)).collect();
        let plain =
            |cell: &&vt100::Cell| cell.fgcolor() == vt100::Color::Default && cell.bgcolor() == vt100::Color::Default;
        assert!(cells.iter().all(plain), "a colour is on the screen");
        assert!(cells.iter().any(|cell| cell.bold()), "nothing is bold");
        assert!(cells.iter().any(|cell| cell.inverse()), "nothing is reversed");
    });
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let mut play = Play::on("sqlite");
    play.surveyed();
    play.screen.resize(59, 17);
    play.sees(&["Too small: 59x17, wanted 60x18."]);
    play.screen.resize(60, 18);
    play.sees(&["NEXT Read the map"]);
    play.leave();
}

#[test]
fn a_gate_takes_nothing_in_a_terminal_that_is_too_small() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    play.gate("stop-straggler");
    play.screen.resize(59, 17);
    play.sees(&["Too small: 59x17", "at the gate: stop-straggler", "Keys do nothing here but Esc and ^C"]);
    play.screen.press("stop-straggler@rehearsal\r");
    play.screen.resize(80, 24);
    play.sees(&["GATE", "stop-straggler", " armed "]);
    assert!(!play.screen.text().contains("> stop"), "{}", play.screen.text());
    assert!(!play.began("stop-straggler"), "{}", play.log());
    play.screen.resize(59, 17);
    play.sees(&["Too small: 59x17"]);
    play.screen.press("\u{1b}");
    play.sees(&["nothing runs"]);
    play.screen.resize(80, 24);
    play.sees(&["NEXT Open the gate of stop-straggler", "Enter open"]);
    play.leave();
}

#[test]
fn a_reason_in_the_log_is_read_to_its_end() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    let why = "The canary is idle, and the night shift of the payments team has said that nobody needs it before noon.";
    play.screen.press("n");
    play.sees(&["NEXT Write it down, then ^S"]);
    play.screen.press(why);
    play.screen.press("\u{13}");
    play.screen.press("l");
    play.sees(&["log", why]);
    play.leave();
    let dir = play.state.path().to_str().unwrap().to_owned();
    play.screen = Screen::start(&["audit", "show", "--state-dir", &dir], &[], 80, 24);
    play.screen.code(PATIENCE);
    play.sees(&["note: ", why]);
}

#[test]
fn a_storm_of_sizes() {
    let mut play = Play::on("sqlite");
    play.surveyed();
    for step in 0..200_u16 {
        play.screen.resize(20 + (step * 37) % 180, 5 + (step * 13) % 55);
        if step % 5 == 0 {
            // Some of them are painted, most are passed over.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    play.screen.resize(80, 24);
    // Whatever the terminal made of the sizes between: the last of them is painted whole.
    play.sees(&["REHEARSAL checkout-v2", "NEXT Read the map, then accept where to enter: 1 evidence (Enter)"]);
    play.sees(&["what holds, by layer", "who runs", "enter at 1 evidence", "Enter accept", "q leave"]);
    signal(&play, "TERM");
    assert_eq!(play.screen.code(PATIENCE), 143);
    play.verified();
}

#[test]
fn what_was_skipped_may_be_done_after_all_and_the_glass_be_broken() {
    let mut play = Play::on("sqlite");
    play.evidence_kept();
    play.screen.press("s");
    play.sees(&["skip stop-straggler", "why >"]);
    play.screen.press("The pod is idle, it can wait.\r");
    play.gate("pause-loyalty");
    play.answer("pause-loyalty@rehearsal");
    play.sees(&["NEXT rename-back waits: checkout-v2 gone is red. stop-straggler makes it hold and was skipped"]);
    play.enter();
    play.sees(&["! ", "checkout-v2 gone is red", "Enter open"]);

    play.screen.press("B");
    play.sees(&["break the glass for rename-back", "why >"]);
    play.screen.press("Nobody can stop the pod, and every order fails.\r");
    play.gate("rename-back");
    // The need that was passed over by name does not close it.
    std::thread::sleep(std::time::Duration::from_secs(3));
    play.sees(&["GATE", "PASSED OVER", " armed "]);
    play.screen.press("\u{1b}");

    play.sees(&["NEXT", "rename-back", "Enter open"]);
    play.screen.press("kk");
    play.sees(&["2 stop-straggler service · skipped"]);
    play.enter();
    play.sees(&["GATE 2 stop-straggler", " armed "]);
    play.answer("stop-straggler@rehearsal");
    play.sees(&["✓ 2 guards hold"]);
    play.leave();
    play.verified();
}
