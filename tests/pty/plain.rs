//! A person without a screen: lines that are only added, and answers typed line by line.

use crate::play::{PATIENCE, Play};

const TOKEN: &str = "stop-straggler@rehearsal";

/// Nothing but text, and the marks around a paste that the terminal was asked for.
fn append_only(play: &Play) {
    play.screen.seen(|screen| {
        assert!(!screen.alternate_screen(), "the alternate screen is on");
        let (rows, columns) = screen.size();
        let places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let coloured = |cell: &vt100::Cell| {
            cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default || cell.bold()
        };
        assert!(!places.filter_map(|(row, column)| screen.cell(row, column)).any(coloured), "something is dressed up");
    });
}

#[test]
fn a_gate_line_by_line_and_a_run_taken_up_again() {
    let mut play = Play::plain("sqlite");
    play.sees(&["REHEARSAL checkout-v2", "RED The old code can take an order", "NEXT Read the map", "(open)"]);
    play.line("frobnicate");
    play.sees(&["!! \"frobnicate\" is no command and no step"]);
    play.line("help");
    play.sees(&["undo (u): Open the gate of the step's undo", "A gate takes nothing in its first 0.8 s"]);
    play.line("cancel the statement");
    play.sees(&["!! Nothing runs: there is nothing to cancel."]);
    play.line("open");
    play.sees(&["entered at the first step"]);
    play.line("open");
    play.sees(&["evidence done", "NEXT Open the gate of stop-straggler"]);

    // Typed ahead: it reaches the gate before it can have been read.
    play.screen.press(&format!("open\r{TOKEN}\r"));
    play.sees(&["REHEARSAL GATE 2 stop-straggler", "kubectl scale deploy/checkout-v2-canary --replicas=0"]);
    play.sees(&["on the sandbox's stand-in for kubectl", &format!("TYPE {TOKEN} (back: nothing happens")]);
    assert!(!play.began("stop-straggler"), "{}", play.log());

    play.line("");
    play.sees(&["!! Enter alone does nothing."]);
    play.line(&format!("\u{1b}[200~{TOKEN}\u{1b}[201~"));
    play.sees(&["!! A paste is refused here"]);
    play.line("stop-stragglr@rehearsal");
    play.sees(&["!! Not it: character 13"]);
    assert!(!play.began("stop-straggler"), "{}", play.log());
    append_only(&play);
    play.line(TOKEN);
    play.sees(&["stop-straggler done", "guard: checkout-v2 gone", "NEXT Open the gate of pause-loyalty"]);

    play.screen.press("\u{3}");
    play.sees(&["HELD: interrupted from the keyboard", "NEXT Held: by the operator"]);
    play.line("lift the hold");
    play.sees(&["hold lifted"]);
    play.line("note");
    play.line("paged the loyalty team");
    play.sees(&["note: paged the loyalty team"]);
    // The end of the input leaves.
    play.screen.press("\u{4}");
    play.sees(&["LEFT, not ended", "go on backout resume"]);
    assert_eq!(play.screen.code(PATIENCE), 5);
    play.screen.seen(|screen| assert!(!screen.bracketed_paste(), "bracketed paste is on"));
    play.verified();

    play.resume_plain();
    play.sees(&["joined as a2", "NEXT Open the gate of pause-loyalty"]);
    let text = play.screen.text();
    assert!(!text.contains("begins: freeze"), "told again what was told before:\n{text}");
    play.line("pause-loyalty");
    play.sees(&["3 pause-loyalty service", "undo declared: kubectl scale"]);
    play.line("skip pause-loyalty");
    play.sees(&["skip pause-loyalty", "TYPE it, and Enter"]);
    play.line("too short");
    play.sees(&["!! Say why in 10 characters or more"]);
    play.line("back");
    play.line("leave");
    play.sees(&["LEFT, not ended"]);
    assert_eq!(play.screen.code(PATIENCE), 5);
    append_only(&play);
    play.verified();
}

#[test]
fn without_a_terminal_no_gate_passes() {
    let play = Play::plain("sqlite");
    let refused = play.backout(&["run", "runbooks/checkout-v2", "--plain"]);
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("no gate passes by itself"), "{words}");
}
