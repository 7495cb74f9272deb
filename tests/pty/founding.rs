//! The founding incident from the first screen to "recovered", typed as an operator types.

use crate::play::{PATIENCE, Play};

/// The gates from the entry to the first step that is not one.
const CONTAIN: &[(&str, &str)] = &[
    ("stop-straggler", "stop-straggler@rehearsal"),
    ("pause-loyalty", "pause-loyalty@rehearsal"),
    ("rename-back", "orders@shop"),
];
const REPAIR: &[(&str, &str)] =
    &[("confirm-captured", "302"), ("confirm-doubles", "1"), ("hold-authorised", "10"), ("reopen-unpaid", "27")];

fn recovers(mut play: Play) {
    play.evidence_kept();
    for (step, token) in CONTAIN {
        play.gate(step);
        play.answer(token);
    }

    play.sees(&["NEXT Sort the rows of decide-orders", "Enter open"]);
    play.enter();
    play.sees(&["NEXT 1 row wants your decision", "[1] captured"]);
    play.screen.press("1");
    play.sees(&["captured, because >"]);
    play.screen.press("Paid; the five more are settled by the payments team.");
    play.sees(&["settled by the payments team."]);
    play.enter();
    play.sees(&["NEXT Every row has a class", "Enter freeze them"]);
    play.enter();

    for (step, token) in REPAIR {
        play.gate(step);
        play.answer(token);
    }

    play.gate("refund-doubles");
    play.sees(&["CANNOT BE UNDONE", "then Tab, and say why it cannot wait"]);
    play.screen.press("\t");
    play.sees(&["why >"]);
    play.screen.press("The export shows two captures of one order; the second goes back.");
    play.enter();
    play.sees(&["BREAK-GLASS: The export shows two captures"]);
    play.answer("1 refund-doubles@rehearsal");

    play.gate("tolerant-loyalty");
    play.answer("tolerant-loyalty@rehearsal");
    play.gate("tell-downstream");
    play.answer("340");
    play.sees(&["NEXT Open the gate of resume-loyalty"]);
    play.enter();
    play.sees(&["UNDO", "resume-loyalty", " armed "]);
    play.answer("resume-loyalty@rehearsal");

    play.sees(&["NEXT Do hand-over by hand", "Enter say what you saw"]);
    play.enter();
    play.sees(&["hand-over: say what you saw", "seen >"]);
    play.screen.press("Order page reads every status; a test order went through.");
    play.enter();

    play.sees(&["NEXT Close the run: every step is finished and every check is green", "Enter close the run"]);
    play.enter();
    play.sees(&["end the run", "checkout-v2-canary"]);
    play.screen.press("\u{1b}OQ");
    play.sees(&["▶ F2 recovered"]);
    play.screen.press("\u{13}");
    play.ended("RECOVERED");

    assert_eq!(play.screen.code(PATIENCE), 0);
    play.restored();
    play.verified();
    let dir = play.sandbox();
    let assess = async move { backout::rehearsal::score::assess(&dir).await };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let assertions = runtime.block_on(assess).unwrap();
    assert!(assertions.len() >= 7, "{assertions:?}");
    let failed: Vec<_> = assertions.iter().filter(|a| !a.passed).map(|a| format!("{}: {}", a.what, a.found)).collect();
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn sqlite_and_the_mock_cluster() {
    recovers(Play::on("sqlite"));
}

#[test]
fn postgres_and_the_mock_cluster() {
    recovers(Play::on("postgres"));
}
