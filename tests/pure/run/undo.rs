//! An undo at the desk: what it leaves when it fails, who decides and how, and what its catalog says.

use std::path::Path;

use backout::run::decide::{Draft, Facts, Input, decide};
use backout::run::effect::{Effect, effects};
use backout::run::gate::offer_digest;
use backout::run::next::{Readings, next};
use backout::run::record::*;
use backout::run::state::{State, Status};
use backout::runbook::{Level, Runbook, load_str};

use crate::fixture;

const RUNBOOK: &str = "
backout: 1
name: little
title: Little
summary: s
targets:
  shop: { postgres: \"${SHOP}\" }
steps:
  - { id: one, phase: repair, on: shop, title: t, ddl: \"ALTER TABLE orders RENAME COLUMN a TO b\" }
  - { id: look, title: t, http: { method: GET, url: \"http://x/\" } }
  - { id: two, on: shop, title: t, ddl: \"ALTER TABLE orders ADD COLUMN c text\" }
  - { id: three, on: shop, title: t, ddl: \"ALTER TABLE orders ADD COLUMN d text\" }
  - { id: one-back, title: t, undo_of: one }
";

const EVIDENCE: &str = "the DBA renamed it back at 03:12";

struct Desk {
    book: Runbook,
    log: Vec<Event>,
    state: State,
    seconds: u64,
}

impl Desk {
    fn open() -> Self {
        let book = load_str("little.yaml", RUNBOOK, Path::new(".")).unwrap_or_else(|why| panic!("{why:?}")).runbook;
        let steps = book.steps.keys().cloned().collect();
        let (run, runbook, runbook_digest) = ("r1".to_owned(), "little".to_owned(), "d".to_owned());
        let started = RunStarted {
            run,
            runbook,
            runbook_digest,
            incident: None,
            version: "0".into(),
            steps,
            headless: false,
            leaves: Vec::new(),
        };
        let (id, user, host) = ("a1".to_owned(), "u".to_owned(), "h".to_owned());
        let actor = Actor { id, user, uid: 1, host, tty: None, claimed_ssh: None, pid: 1 };
        let mut desk = Self { book, log: Vec::new(), state: State::default(), seconds: 0 };
        desk.takes(Input::Start { started, actor });
        let survey = Surveyed {
            steps: Default::default(),
            checks: vec![],
            environment: Environment::Production,
            targets: Default::default(),
        };
        desk.takes(Input::Survey(survey));
        desk.takes(Input::Enter { done: vec![] });
        desk
    }

    fn decides(&self, input: &Input) -> Result<Vec<Draft>, String> {
        let (now, readings) = (fixture::at(self.seconds), Readings::new());
        let facts = Facts { now: &now, by: "a1", readings: &readings };
        decide(&self.book, &self.state, input, &facts).map_err(|refused| {
            [Some(refused.because), refused.instead].into_iter().flatten().collect::<Vec<_>>().join(": ")
        })
    }

    fn refuses(&self, input: &Input) -> String {
        self.decides(input).expect_err("it is allowed")
    }

    /// What it sets going.
    fn takes(&mut self, input: Input) -> Vec<Effect> {
        self.seconds += 2;
        let drafts = self.decides(&input).unwrap_or_else(|why| panic!("{input:?}: {why}"));
        let mut going = Vec::new();
        for draft in drafts {
            let (at, by) = (fixture::at(self.seconds), "a1".to_owned());
            let event = Event { at, by, step: draft.step, att: draft.att, record: draft.record };
            self.state.evolve(&event).unwrap();
            going.extend(effects(&self.state, event.step.as_deref(), event.att, &event.record));
            self.log.push(event);
        }
        assert_eq!(State::replay(&self.log).unwrap(), self.state, "the log is not the state");
        going
    }

    fn show(&self, step: &str, undoes: Option<&str>) -> Input {
        let att = self.state.steps[step].att + 1;
        let offer = Offer {
            run: "r1".into(),
            att,
            undoes: undoes.map(str::to_owned),
            ..fixture::offer(step, Level::Object, "orders@shop")
        };
        Input::Show { step: step.into(), offer, evidence: Evidence::default() }
    }

    /// Gate, answer, outcome.
    fn attempt(&mut self, step: &str, undoes: Option<&str>, result: OutcomeResult) -> Vec<Effect> {
        let show = self.show(step, undoes);
        self.takes(show);
        let gate = self.state.gate.as_ref().unwrap();
        assert_eq!(offer_digest(&gate.shown.offer), gate.shown.offer_digest);
        let typed = "orders@shop".to_owned();
        self.takes(Input::Answer { typed, reason: None, looked_ms: 900, from_file: false, transactional: true });
        let outcome = Outcome::new(result, "column b is needed by view v (2BP01)");
        let att = self.state.steps[step].att;
        self.takes(Input::Finished { step: step.into(), att, outcome })
    }

    fn verified(&mut self, step: &str, restored: Option<Restored>) {
        self.takes(Input::Verified { step: step.into(), checks: vec![], restored });
    }

    /// Steps that are done, in this order.
    fn done(&mut self, steps: &[&str]) {
        for step in steps {
            match *step {
                "look" => {
                    self.takes(Input::Begin { step: "look".into(), on: None });
                    let outcome = Outcome::new(OutcomeResult::Applied, "200");
                    self.takes(Input::Finished { step: "look".into(), att: 1, outcome });
                }
                step => drop(self.attempt(step, None, OutcomeResult::Applied)),
            }
            self.verified(step, None);
            assert_eq!(self.state.status(step), Status::Done);
        }
    }

    fn held(&self, step: &str) -> bool {
        self.state.holds.contains(&HoldReason::Step { step: step.into() })
    }

    fn status(&self, step: &str) -> Status {
        self.state.status(step)
    }
}

fn exactly() -> Option<Restored> {
    Some(Restored::Compared { differs: vec![], meanwhile: vec![], unseen: String::new() })
}

fn differs() -> Option<Restored> {
    Some(Restored::Compared { differs: vec!["index by_ref is gone".into()], meanwhile: vec![], unseen: String::new() })
}

fn forward(step: &str) -> Input {
    Input::Override { step: step.into(), reason: "v2 stays for tonight".into() }
}

#[test]
fn an_undo_that_fails_is_a_state_of_its_own_and_holds_the_run() {
    let mut desk = Desk::open();
    desk.done(&["one"]);
    desk.attempt("one", Some("one"), OutcomeResult::NotApplied);
    assert_eq!(desk.status("one"), Status::UndoFailed);
    assert!(desk.status("one").stands() && !desk.status("one").finished() && desk.held("one"));
    assert_eq!(desk.state.undo_failed(), Some("one"));
    assert_eq!(desk.state.steps["one"].undo_failed.as_deref(), Some("column b is needed by view v (2BP01)"));
    let told = desk.log.iter().find_map(|event| match &event.record {
        Record::Held { detail, .. } => Some(detail.clone()),
        _ => None,
    });
    let told = told.unwrap();
    for words in ["undoing one failed: column b is needed", "still stands", "again", "by hand", "forward", "held"] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    let now = next(&desk.book, &desk.state, &Readings::new());
    assert!(now.sentence.contains("its undo failed, it still stands"), "{}", now.sentence);
    assert_eq!((now.step.as_deref(), now.enter), (Some("one"), true));
    // Nothing goes on, and nobody calls it recovered.
    assert!(desk.refuses(&Input::Begin { step: "look".into(), on: None }).contains("one"));
    assert!(desk.refuses(&Input::Lift).contains("undo FAILED"));
    assert!(desk.refuses(&Input::Finish { end: End::Recovered, open: vec![] }).contains("held"));
    assert!(desk.refuses(&Input::Skip { step: "one".into(), reason: "because it is so".into() }).contains("undo"));

    // Its gate again: left, it is where it was; failed again, too.
    let show = desk.show("one", Some("one"));
    desk.takes(show);
    desk.takes(Input::Close { reason: CloseReason::Left, detail: String::new() });
    assert_eq!(desk.status("one"), Status::UndoFailed);
    desk.attempt("one", Some("one"), OutcomeResult::NotApplied);
    assert_eq!(desk.status("one"), Status::UndoFailed);
    let going = desk.attempt("one", Some("one"), OutcomeResult::Applied);
    assert_eq!(going, [Effect::Verify { step: "one".into(), att: 5 }]);
    assert_eq!(desk.state.undo_failed(), None);
    desk.verified("one", exactly());
    assert_eq!(desk.status("one"), Status::Undone);
    assert!(desk.state.holds.is_empty());
}

#[test]
fn undone_by_hand_wants_evidence_and_is_compared() {
    let mut desk = Desk::open();
    desk.done(&["one"]);
    let by_hand = |evidence: &str| Input::Elsewhere { step: "one".into(), evidence: evidence.into() };
    assert!(desk.refuses(&by_hand(EVIDENCE)).contains("done"), "it was not undone at all");
    desk.attempt("one", Some("one"), OutcomeResult::NotApplied);
    assert!(desk.refuses(&by_hand("yes")).contains("say what shows"));
    let going = desk.takes(by_hand(EVIDENCE));
    assert_eq!(going, [Effect::Verify { step: "one".into(), att: 2 }]);
    desk.verified("one", differs());
    assert_eq!(desk.status("one"), Status::NotExact);
    assert!(desk.held("one") && !desk.status("one").stands());
    let now = next(&desk.book, &desk.state, &Readings::new());
    assert!(now.sentence.contains("undone, but not all is as before"), "{}", now.sentence);
    assert!(desk.refuses(&Input::Finish { end: End::Recovered, open: vec![] }).contains("held"));
    // Not to be known is not to be exact.
    desk.verified("one", Some(Restored::Unknown { because: "no answer".into() }));
    assert_eq!(desk.status("one"), Status::NotExact);
    desk.verified("one", exactly());
    assert_eq!(desk.status("one"), Status::Undone);
    assert!(desk.state.holds.is_empty());
}

#[test]
fn going_forward_is_recorded_with_its_reason() {
    let mut desk = Desk::open();
    desk.done(&["one"]);
    desk.attempt("one", Some("one"), OutcomeResult::NotApplied);
    assert!(desk.refuses(&Input::Override { step: "one".into(), reason: "no".into() }).contains("10 characters"));
    desk.takes(forward("one"));
    assert_eq!(desk.status("one"), Status::Done);
    assert!(desk.state.holds.is_empty() && desk.state.undo_failed().is_none());
    assert_eq!(desk.state.overrides, [(Some("one".into()), "undo".into(), "v2 stays for tonight".into())]);
    desk.takes(Input::Begin { step: "look".into(), on: None });

    // Undone, not exactly, and left so.
    let mut desk = Desk::open();
    desk.done(&["one"]);
    desk.attempt("one", Some("one"), OutcomeResult::Applied);
    desk.verified("one", differs());
    assert!(desk.held("one"));
    desk.takes(forward("one"));
    assert_eq!(desk.status("one"), Status::Undone);
    assert!(desk.state.holds.is_empty());
}

#[test]
fn an_undo_of_step_fails_in_the_same_way() {
    for choice in ["again", "by hand", "forward", "skip", "its own undo"] {
        let mut desk = Desk::open();
        desk.done(&["one", "look", "two", "three"]);
        desk.attempt("one-back", Some("one"), OutcomeResult::NotApplied);
        assert_eq!((desk.status("one-back"), desk.status("one")), (Status::NotUndone, Status::Done));
        assert!(desk.held("one-back") && desk.state.undo_failed() == Some("one-back"), "{choice}");
        let now = next(&desk.book, &desk.state, &Readings::new());
        assert!(now.sentence.contains("it failed, and one still stands"), "{}", now.sentence);
        let (back, one) = match choice {
            "again" => {
                desk.attempt("one-back", Some("one"), OutcomeResult::Applied);
                desk.verified("one-back", exactly());
                (Status::Done, Status::Undone)
            }
            "by hand" => {
                desk.takes(Input::Elsewhere { step: "one-back".into(), evidence: EVIDENCE.into() });
                assert_eq!(desk.status("one-back"), Status::Applied);
                desk.verified("one-back", exactly());
                (Status::Done, Status::Undone)
            }
            "forward" => {
                desk.takes(forward("one-back"));
                (Status::Skipped, Status::Done)
            }
            "skip" => {
                desk.takes(Input::Skip { step: "one-back".into(), reason: "v2 stays for tonight".into() });
                (Status::Skipped, Status::Done)
            }
            _ => {
                desk.attempt("three", Some("three"), OutcomeResult::Applied);
                desk.verified("three", exactly());
                assert!(desk.held("one-back"), "another step's undo decides nothing here");
                desk.takes(forward("one-back"));
                (Status::Skipped, Status::Done)
            }
        };
        assert_eq!((desk.status("one-back"), desk.status("one")), (back, one), "{choice}");
        assert!(desk.state.holds.is_empty() && desk.state.undo_failed().is_none(), "{choice}");
    }
}

#[test]
fn an_undo_of_step_that_is_red_afterwards_has_undone_all_the_same() {
    let mut desk = Desk::open();
    desk.done(&["one", "look", "two", "three"]);
    desk.attempt("one-back", Some("one"), OutcomeResult::Applied);
    desk.verified("one-back", differs());
    assert_eq!((desk.status("one-back"), desk.status("one")), (Status::Unverified, Status::Undone));
    assert!(desk.held("one-back"));
    desk.takes(forward("one-back"));
    assert!(desk.state.behind("one-back") && desk.state.holds.is_empty());
}

#[test]
fn what_stands_on_a_step_is_undone_first() {
    let mut desk = Desk::open();
    desk.done(&["one", "look", "two", "three"]);
    // Over a step that only reads, and by name, the last first.
    let refused = desk.refuses(&desk.show("one", Some("one")));
    assert_eq!(refused, "two, three build on it and stand: undo three, then two first");
    desk.attempt("three", Some("three"), OutcomeResult::Applied);
    desk.verified("three", exactly());
    assert_eq!(desk.refuses(&desk.show("one", Some("one"))), "two builds on it and stands: undo two first");
    desk.attempt("two", Some("two"), OutcomeResult::Applied);
    desk.verified("two", differs());
    assert_eq!(desk.status("two"), Status::NotExact);
    desk.attempt("one", Some("one"), OutcomeResult::Applied);
    desk.verified("one", exactly());
    assert_eq!(desk.status("one"), Status::Undone);
}

#[test]
fn a_catalog_is_kept_of_the_attempt_that_took_effect() {
    let mut desk = Desk::open();
    let kept = |n: u32| Kept::In { file: format!("undo/one-{n}.jsonl"), digest: n.to_string() };
    for (n, result) in [(1, OutcomeResult::Applied), (2, OutcomeResult::Applied), (3, OutcomeResult::NotApplied)] {
        let undoes = (n == 2).then_some("one");
        let show = desk.show("one", undoes);
        desk.takes(show);
        let typed = "orders@shop".to_owned();
        desk.takes(Input::Answer { typed, reason: None, looked_ms: 900, from_file: false, transactional: true });
        let data = serde_json::json!({ "pid": 7, "catalog": kept(n) });
        desk.takes(Input::Reached { step: "one".into(), att: n, point: Point::TxOpen, data });
        desk.takes(Input::Finished { step: "one".into(), att: n, outcome: Outcome::new(result, "e") });
        if result == OutcomeResult::Applied {
            desk.verified("one", None);
        }
        assert_eq!(desk.state.steps["one"].before.as_ref().map(|(kept, _)| kept), Some(&kept(1)), "attempt {n}");
    }
    assert_eq!(desk.status("one"), Status::Undone, "an attempt forward that fails is no failed undo");
}

/// As earlier versions wrote them: an undo without effect left no trace but its outcome.
#[test]
fn older_logs_still_read() {
    let mut desk = Desk::open();
    desk.done(&["one"]);
    desk.attempt("one", Some("one"), OutcomeResult::NotApplied);
    let old: Vec<Event> = desk.log.iter().filter(|event| event.record.kind() != "held").cloned().collect();
    let mut state = State::replay(&old).unwrap();
    assert_eq!(state.status("one"), Status::UndoFailed);
    let verified = "{\"checks\":[],\"verdict\":\"pass\"}";
    let record = Record::from_parts("verified", &serde_json::from_str(verified).unwrap()).unwrap();
    assert_eq!(record.parts().1, serde_json::from_str::<serde_json::Value>(verified).unwrap());
    let intent = Intent { action: "http".into(), offer_digest: None, undoes: None, transactional: false, on: None };
    state.evolve(&fixture::event(401, Some("look"), Some(1), Record::Intent(intent))).unwrap();
}
