//! Every combination of evidence: nothing counts as applied without a marker or the step's own check.

use backout::run::record::{OutcomeResult, Point, Position};
use backout::run::settle::{Evidence, Items, Left, Marker, Server, Way, settle};

const WAYS: [Way; 7] =
    [Way::Reads, Way::Word, Way::Transaction, Way::Plain, Way::Events, Way::Outside, Way::Unrecorded];

fn every() -> Vec<Evidence> {
    let positions =
        [None, Some(Position::Done), Some(Position::NotDone), Some(Position::HalfDone), Some(Position::Unknown)];
    let items = [
        None,
        Some(Items::Done),
        Some(Items::Open),
        Some(Items::UnderWay { repeatable: true }),
        Some(Items::UnderWay { repeatable: false }),
        Some(Items::Unreadable),
    ];
    let reached = [
        vec![],
        vec![Point::TxOpen],
        vec![Point::TxOpen, Point::Ready],
        vec![Point::Begun],
        vec![Point::Begun, Point::Sent],
    ];
    let servers = [Server::Same, Server::Another, Server::Standby, Server::Silent, Server::None];
    let markers = [Marker::Ours, Marker::Anothers, Marker::Missing, Marker::Unreadable, Marker::None];
    let traces = [(false, None), (true, None), (false, Some(Position::Done)), (false, Some(Position::NotDone))];
    let mut all = Vec::new();
    for way in WAYS {
        for reached in &reached {
            for server in servers {
                for left in [Left::Nothing, Left::Something, Left::Unseen] {
                    for marker in markers {
                        for done in positions {
                            for items in items {
                                for (trace, stood) in traces {
                                    let reached = reached.clone();
                                    all.push(Evidence {
                                        way,
                                        reached,
                                        server,
                                        left,
                                        marker,
                                        trace,
                                        stood,
                                        done,
                                        items,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// The ways that are judged by evidence at all.
fn acts(evidence: &Evidence) -> bool {
    !matches!(evidence.way, Way::Reads | Way::Word | Way::Unrecorded)
}

#[test]
fn nothing_is_applied_without_evidence_and_unknown_stays_unknown() {
    for evidence in every().into_iter().filter(acts) {
        let (result, words) = settle(&evidence);
        assert!(!words.is_empty());
        let transaction = evidence.way == Way::Transaction;
        let batch = evidence.items.filter(|_| !transaction);
        let marked = transaction && evidence.marker == Marker::Ours;
        let done = evidence.done == Some(Position::Done);
        let half = matches!(evidence.done, Some(Position::HalfDone));
        match result {
            OutcomeResult::Applied => {
                assert!(!evidence.reached.is_empty() || marked || batch == Some(Items::Done), "{evidence:?}");
                match batch {
                    Some(items) => assert_eq!(items, Items::Done, "{evidence:?}"),
                    None => {
                        let numbered = transaction && evidence.trace && evidence.marker == Marker::None;
                        assert!(marked || done || numbered, "{evidence:?}");
                        assert!(!half && evidence.done != Some(Position::NotDone), "{evidence:?}");
                    }
                }
            }
            OutcomeResult::NotApplied => {
                assert!(!marked, "{evidence:?}");
                assert!(!transaction || !evidence.trace || evidence.left != Left::Nothing, "{evidence:?}");
                let never_began = evidence.reached.is_empty();
                let unsent =
                    evidence.way == Way::Plain && evidence.stood.is_some() && !evidence.reached.contains(&Point::Sent);
                assert!(never_began || unsent || batch.is_some() || !done && !half, "{evidence:?}");
                let outside = matches!(evidence.way, Way::Outside | Way::Events);
                assert!(evidence.left != Left::Something || outside && never_began, "{evidence:?}");
                let doubtful = batch == Some(Items::UnderWay { repeatable: false });
                assert!(never_began || !doubtful, "{evidence:?}");
            }
            OutcomeResult::Unknown => {}
        }
    }
}

#[test]
fn no_verdict_comes_from_another_server_or_over_the_head_of_what_still_works() {
    for evidence in every().into_iter().filter(acts).filter(|e| !e.reached.is_empty()) {
        let strange = matches!(evidence.server, Server::Another | Server::Standby | Server::Silent);
        if strange || evidence.left == Left::Something {
            assert_eq!(settle(&evidence).0, OutcomeResult::Unknown, "{evidence:?}");
        }
    }
}

#[test]
fn after_ready_only_a_marker_or_a_check_tells() {
    for evidence in every().into_iter().filter(|e| e.way == Way::Transaction && e.reached.contains(&Point::Ready)) {
        let silent = matches!(evidence.done, None | Some(Position::Unknown)) && !evidence.trace;
        if silent && matches!(evidence.marker, Marker::None | Marker::Unreadable) {
            assert_eq!(settle(&evidence).0, OutcomeResult::Unknown, "{evidence:?}");
        }
    }
}

#[test]
fn before_ready_nothing_that_looks_done_is_ours() {
    let before = |e: &Evidence| e.way == Way::Transaction && !e.reached.iter().any(|p| *p != Point::TxOpen);
    for evidence in every().into_iter().filter(before).filter(|e| e.marker != Marker::Ours) {
        assert_ne!(settle(&evidence).0, OutcomeResult::Applied, "{evidence:?}");
    }
}

/// The lines of the table, each said once.
#[test]
fn the_table_says_what_it_promises() {
    use OutcomeResult::{Applied, NotApplied, Unknown};
    let base = |way, reached: &[Point]| Evidence {
        server: Server::Same,
        left: Left::Nothing,
        ..Evidence::of(way, reached.to_vec())
    };
    let (ready, sent) = ([Point::TxOpen, Point::Ready], [Point::Begun, Point::Sent]);
    let done = |mut e: Evidence, position| {
        e.done = Some(position);
        e
    };
    let marked = |mut e: Evidence, marker| {
        e.marker = marker;
        e
    };
    let batch = |items| Evidence { items: Some(items), ..base(Way::Outside, &[Point::Begun]) };
    let transaction = |marker| marked(base(Way::Transaction, &ready), marker);
    for (evidence, wanted, words) in [
        (Evidence::of(Way::Reads, vec![]), NotApplied, "only reads"),
        (Evidence::of(Way::Word, vec![]), Applied, "person's word"),
        (Evidence::of(Way::Unrecorded, vec![]), Unknown, "no offer"),
        (transaction(Marker::Ours), Applied, "marker is committed"),
        (done(transaction(Marker::Ours), Position::NotDone), Unknown, "changed it since"),
        (transaction(Marker::Anothers), Unknown, "another intent"),
        (transaction(Marker::Missing), NotApplied, "rolled it back"),
        (done(transaction(Marker::Missing), Position::Done), Unknown, "other hands"),
        (transaction(Marker::Unreadable), Unknown, "cannot be read"),
        (done(transaction(Marker::None), Position::Done), Applied, "no marker to read"),
        (done(transaction(Marker::None), Position::NotDone), NotApplied, "not done"),
        (Evidence { trace: true, ..transaction(Marker::Missing) }, Unknown, "took it away"),
        (Evidence { trace: true, ..transaction(Marker::None) }, Applied, "is committed"),
        (Evidence { trace: true, ..done(transaction(Marker::None), Position::NotDone) }, Unknown, "changed it since"),
        (base(Way::Transaction, &[Point::TxOpen]), NotApplied, "no COMMIT was sent"),
        (done(base(Way::Plain, &[Point::Begun]), Position::HalfDone), Unknown, "half"),
        (done(base(Way::Plain, &[Point::Begun]), Position::Done), Applied, "shows it done"),
        (
            Evidence { stood: Some(Position::Done), ..done(base(Way::Plain, &sent), Position::Done) },
            Unknown,
            "so it did before",
        ),
        (
            Evidence { stood: Some(Position::NotDone), ..done(base(Way::Plain, &sent[..1]), Position::Unknown) },
            NotApplied,
            "was not sent",
        ),
        (
            Evidence { stood: Some(Position::NotDone), ..done(base(Way::Plain, &sent[..1]), Position::Done) },
            Unknown,
            "was not sent: by other hands",
        ),
        (
            done(marked(base(Way::Plain, &[Point::Begun]), Marker::Missing), Position::Done),
            Unknown,
            "goes before it is not there",
        ),
        (base(Way::Plain, &[]), NotApplied, "not begun"),
        (done(base(Way::Events, &[Point::Sent]), Position::HalfDone), Unknown, "send the rest"),
        (base(Way::Outside, &[]), NotApplied, "nothing was sent"),
        (base(Way::Outside, &[Point::Sent]), Unknown, "look, and say"),
        (batch(Items::Open), NotApplied, "what is open"),
        (batch(Items::UnderWay { repeatable: true }), NotApplied, "repetition"),
        (batch(Items::UnderWay { repeatable: false }), Unknown, "no key"),
    ] {
        let (result, said) = settle(&evidence);
        assert_eq!(result, wanted, "{evidence:?}: {said}");
        assert!(said.contains(words), "{evidence:?}: {said}");
    }
}
