//! Every combination of evidence: nothing counts as applied without a marker or the step's own check.

use backout::run::record::{OutcomeResult, Point, Position};
use backout::run::settle::{Evidence, settle};

const MAYBE: [Option<bool>; 3] = [None, Some(false), Some(true)];

fn every() -> Vec<Evidence> {
    let positions =
        [None, Some(Position::Done), Some(Position::NotDone), Some(Position::HalfDone), Some(Position::Unknown)];
    let reached = [
        vec![],
        vec![Point::TxOpen],
        vec![Point::TxOpen, Point::Ready],
        vec![Point::Begun],
        vec![Point::Begun, Point::Sent],
    ];
    let mut all = Vec::new();
    for same_server in MAYBE {
        for orphan in MAYBE {
            for marker in MAYBE {
                for done in positions {
                    for transactional in [false, true] {
                        for reached in reached.clone() {
                            all.push(Evidence { same_server, orphan, marker, done, transactional, reached });
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn nothing_is_applied_without_evidence_and_unknown_stays_unknown() {
    for evidence in every() {
        let (result, words) = settle(&evidence);
        assert!(!words.is_empty());
        let marked = evidence.marker == Some(true);
        let done = evidence.done == Some(Position::Done);
        if result == OutcomeResult::Applied {
            assert!(marked || done, "{evidence:?}");
            assert!(!matches!(evidence.done, Some(Position::NotDone | Position::HalfDone)), "{evidence:?}");
        }
        if result == OutcomeResult::NotApplied {
            assert!(!marked && !done && evidence.done != Some(Position::HalfDone), "{evidence:?}");
            assert_ne!(evidence.orphan, Some(true), "{evidence:?}");
        }
        if evidence.same_server != Some(true) || evidence.orphan == Some(true) {
            assert_eq!(result, OutcomeResult::Unknown, "{evidence:?}");
        }
        let silent = evidence.marker.is_none() && matches!(evidence.done, None | Some(Position::Unknown));
        if silent && evidence.reached.iter().any(|point| *point != Point::TxOpen) {
            assert_eq!(result, OutcomeResult::Unknown, "{evidence:?}");
        }
    }
}
