//! The core under random hands: whatever comes, the log is legal, replays to the live state, and nothing acts without
//! a recorded answer.

use std::path::Path;

use backout::audit::line::{Draft as Line, Envelope, check_payload};
use backout::run::decide::{Draft, Facts, Input, decide};
use backout::run::effect::{Effect, effects, resume};
use backout::run::gate::offer_digest;
use backout::run::legal::Legality;
use backout::run::next::{Readings, reads_only};
use backout::run::record::*;
use backout::run::state::State;
use backout::runbook::expect::Verdict;
use backout::runbook::{Action, CheckRef, Level, Phase, Runbook, level, load_str};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

mod golden;
mod left;
mod settle;
mod trial;
mod undo;

fn runbook(random: &mut StdRng) -> Runbook {
    let mut text = String::from(
        "backout: 1\nname: little\ntitle: Little\nsummary: s\ntargets:\n  shop: { postgres: \"${SHOP}\" }\nchecks:\n",
    );
    for check in ["c0", "c1", "c2"] {
        text += &format!("  {check}: {{ layer: data, on: shop, title: t, query: \"SELECT 1\", expect: 1 }}\n");
    }
    text += "guards:\n  - { check: c2, from: pause, until: last }\nsteps:\n";
    text += "  - { id: pause, phase: contain, after: [], command: [stop], verify: [c0], undo: { command: [start] } }\n";
    for n in 0..random.random_range(2..6) {
        let needs = ["", ", needs: [c1]", ", needs: [{ check: c1, hard: true }]"][random.random_range(0..3)];
        let verify = ["", ", verify: [c1]"][random.random_range(0..2)];
        let action = [
            "command: [go]",
            "command: [go], undo: { command: [back] }",
            "manual: { by: team, ask: { seen: text } }",
            "http: { method: GET, url: \"http://x/\" }",
        ][random.random_range(0..4)];
        text += &format!("  - {{ id: s{n}, phase: repair, title: t, layer: service, {action}{needs}{verify} }}\n");
    }
    text += "  - { id: choose, phase: repair, title: t, decide: { ask: which, options: [left, right] } }\n";
    text += "  - { id: left, phase: repair, title: t, when: { choose: left }, command: [l], undo: { command: [m] } }\n";
    text +=
        "  - { id: right, phase: repair, title: t, when: { choose: right }, command: [r], undo: { command: [m] } }\n";
    text += "  - { id: resume, phase: release, undo_of: pause }\n";
    text += "  - { id: last, phase: close, title: t, http: { method: GET, url: \"http://x/\" } }\n";
    match load_str("little.yaml", &text, Path::new(".")) {
        Ok(loaded) => loaded.runbook,
        Err(why) => panic!("{text}\n{why:?}"),
    }
}

struct Hands {
    random: StdRng,
    boottime: u64,
    readings: Readings,
}

impl Hands {
    fn now(&self) -> Now {
        let wall = jiff::Timestamp::from_nanosecond(1_790_000_000_000_000_123 + i128::from(self.boottime)).unwrap();
        Now { wall, boottime: self.boottime, boot: "0a1b2c3d".into() }
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.random.random_range(0..of.len())]
    }

    fn verdict(&mut self) -> Verdict {
        match self.random.random_range(0..8) {
            0 => Verdict::Fail,
            1 => Verdict::unknown("no answer"),
            _ => Verdict::Pass,
        }
    }

    fn checked(&mut self, name: &str) -> Checked {
        let check = CheckRef::Check(name.into());
        Checked { check, verdict: self.verdict(), value: Some(json!(0.5)), words: None, at: self.now(), took_ms: 1 }
    }

    /// The step most often that something can happen to, else any.
    fn step(&mut self, runbook: &Runbook, state: &State) -> String {
        let ids: Vec<_> = runbook.steps.keys().cloned().collect();
        if let (Some(open), true) = (&state.open, self.random.random_bool(0.8)) {
            return open.step.clone();
        }
        match backout::run::next::next_step(runbook, state, &self.readings) {
            Some((step, _)) if self.random.random_bool(0.6) => step.id.clone(),
            _ => self.one(&ids).clone(),
        }
    }

    fn offer(&mut self, runbook: &Runbook, state: &State, step: &str) -> Offer {
        let s = &runbook.steps[step];
        let undoes = match &s.action {
            Action::UndoOf { step } => Some(step.clone()),
            _ if state.status(step).stands() || self.random.random_bool(0.05) => Some(step.to_owned()),
            _ => None,
        };
        let level =
            if self.random.random_bool(0.05) { Level::Number } else { level::by_kind(runbook, s).max(Level::Step) };
        Offer {
            run: "r1".into(),
            step: step.to_owned(),
            att: state.steps.get(step).map_or(0, |s| s.att) + u32::from(self.random.random_bool(0.97)),
            action: "command".into(),
            rendered: vec!["go".into()],
            binds: vec![json!(1.25), json!(u64::MAX)],
            target: None,
            environment: Environment::Production,
            level,
            token: "go@production".into(),
            number: None,
            undo: Undoing::None { because: "none".into() },
            undoes,
            epoch: None,
            step_digest: "d".into(),
        }
    }

    fn input(&mut self, runbook: &Runbook, state: &State) -> Input {
        let step = self.step(runbook, state);
        let att = state.steps.get(&step).map_or(0, |s| s.att) + u32::from(self.random.random_bool(0.05));
        let reason = self.one(&["because it is so", "no"]).to_string();
        let result = *self.one(&[
            OutcomeResult::Applied,
            OutcomeResult::Applied,
            OutcomeResult::NotApplied,
            OutcomeResult::Unknown,
        ]);
        let outcome = Outcome { changed: Some(1), ..Outcome::new(result, "e") };
        match self.random.random_range(0..36) {
            0..4 => Input::Show { offer: self.offer(runbook, state, &step), step, evidence: Evidence::default() },
            4..9 => Input::Answer {
                typed: self.one(&["go@production", "go@production", "go@production", "y"]).to_string(),
                reason: None,
                looked_ms: 900,
                from_file: self.random.random_bool(0.05),
                transactional: self.random.random_bool(0.5),
            },
            9..12 => Input::Finished { step, att, outcome },
            12..15 => {
                let names: Vec<_> = runbook.steps[&step].verify.iter().map(ToString::to_string).collect();
                let differs: Vec<String> =
                    vec!["index by_ref is gone".into()].split_off(self.random.random_range(0..2));
                let restored = [
                    None,
                    Some(Restored::Compared { differs, meanwhile: vec![], unseen: String::new() }),
                    Some(Restored::Unknown { because: "no answer".into() }),
                ];
                let undoes = state.steps[&step].undoes.is_some();
                let restored = if undoes { self.one(&restored).clone() } else { None };
                Input::Verified { checks: names.iter().map(|name| self.checked(name)).collect(), step, restored }
            }
            15 => Input::Begin { step, on: None },
            16 => Input::BreakGlass { reason },
            17 => Input::Close { reason: CloseReason::Left, detail: String::new() },
            18 => Input::Override { step, reason },
            19 => Input::Reached { step, att, point: Point::Begun, data: json!({ "xid": 7.5 }) },
            20 => Input::Item { step, att, item: ItemDone { key: "k".into(), ok: true, detail: String::new() } },
            21 => {
                Input::Decide { step: "choose".into(), option: self.one(&["left", "right", "up"]).to_string(), reason }
            }
            22 => Input::Seen { step, seen: reason },
            23 if self.random.random_bool(0.2) => Input::Skip { step, reason },
            24 if self.random.random_bool(0.1) => Input::Jump { to: step, reason },
            25 if self.random.random_bool(0.2) => Input::Elsewhere { step, evidence: reason },
            26 => Input::SettleStart,
            27 => Input::Settle { result, reason, outcome: None },
            28 => {
                let check = CheckRef::Check(self.one(&["c0", "c1", "c2"]).to_string());
                Input::GuardChecked { check, verdict: self.verdict(), value: None }
            }
            29 => Input::Hold {
                reason: self.one(&[HoldReason::Operator, HoldReason::Terminal]).clone(),
                detail: String::new(),
            },
            30 | 31 => Input::Lift,
            32 => match self.random.random_bool(0.5) {
                true => Input::TargetLost { target: "shop".into(), why: "gone".into() },
                false => Input::TargetFound { target: "shop".into(), identity: json!({}) },
            },
            33 => {
                let act = Act::EndSession { target: "shop".into(), pid: "7".into(), since: None };
                Input::Act { act, token: "7".into(), typed: self.one(&["7", "8"]).to_string() }
            }
            34 => Input::ActDone {
                act: Act::EndSession { target: "shop".into(), pid: "7".into(), since: None },
                applied: true,
                detail: String::new(),
                tried: None,
                found: None,
            },
            35 if self.random.random_bool(0.05) => Input::Finish { end: End::Stopped, open: vec![] },
            _ => match self.random.random_bool(0.3) {
                true => Input::Enter { done: vec![] },
                false => Input::NotNeeded { step, because: "0 rows".into() },
            },
        }
    }
}

fn draft_event(draft: Draft, now: &Now) -> Event {
    Event { at: now.clone(), by: "a1".into(), step: draft.step, att: draft.att, record: draft.record }
}

/// Through the bytes of a log line and back.
fn through_the_log(event: &Event, seq: u64) -> Event {
    let (kind, payload) = event.record.parts();
    check_payload(&payload).unwrap();
    let Now { wall: ts, boottime: mono, boot } = event.at.clone();
    let (by, step, att) = (event.by.clone(), event.step.clone(), event.att);
    let line = Line { by, step, att, kind, payload, ts, mono, boot };
    let (_, bytes) = Envelope::seal(seq, "", "r1", line).unwrap();
    let back = Envelope::parse(&bytes).unwrap();
    let at = Now { wall: back.ts, boottime: back.mono, boot: back.boot };
    let record = Record::from_parts(&back.kind, &back.payload).unwrap();
    Event { at, by: back.by, step: back.step, att: back.att, record }
}

fn judge(runbook: &Runbook, before: &State, event: &Event, work: bool, yes: &[String]) {
    let Record::Intent(intent) = &event.record else { return assert!(!work, "work without an intent") };
    let step = &runbook.steps[event.step.as_ref().unwrap()];
    assert!(before.open.is_none(), "a second intent");
    let undo = intent.undoes.is_some();
    if work && (level::by_kind(runbook, step) != Level::None || undo) {
        let digest = intent.offer_digest.as_ref().expect("an intent of a gated step names its offer");
        assert!(yes.contains(digest), "no recorded yes to this offer");
    }
    if step.phase == Phase::Repair && !undo && !reads_only(&step.action) {
        assert!(
            before.guards.values().all(|guard| guard.broken.is_none()),
            "{} begins though a guard is broken",
            step.id
        );
        assert!(before.holds.is_empty(), "{} begins though the run is held", step.id);
    }
}

#[test]
fn whatever_comes_the_log_is_legal_and_is_the_state() {
    let (mut inputs, mut refused, mut records, mut works) = (0_u32, 0_u32, 0_u32, 0_u32);
    for seed in 0..350 {
        let mut random = StdRng::seed_from_u64(seed);
        let runbook = runbook(&mut random);
        let mut hands = Hands { random, boottime: 1 << 54, readings: Readings::new() };
        let (mut live, mut replayed, mut log) = (State::default(), State::default(), Vec::new());
        let (mut legality, mut yes) = (Legality::new(), Vec::new());
        let started = RunStarted {
            run: "r1".into(),
            runbook: "little".into(),
            runbook_digest: "d".into(),
            incident: None,
            version: "0".into(),
            steps: runbook.steps.keys().cloned().collect(),
            headless: false,
            leaves: Vec::new(),
        };
        let actor =
            Actor { id: "a1".into(), user: "u".into(), uid: 1, host: "h".into(), tty: None, claimed_ssh: None, pid: 1 };
        let survey = Surveyed {
            steps: Default::default(),
            checks: vec![],
            environment: Environment::Production,
            targets: Default::default(),
        };
        let mut first = vec![Input::Enter { done: vec![] }, Input::Survey(survey), Input::Start { started, actor }];
        for _ in 0..300 {
            inputs += 1;
            hands.boottime += 1_000_000 * hands.random.random_range(1..3_000);
            for name in ["c0", "c1", "c2"] {
                if hands.random.random_bool(0.5) {
                    let checked = hands.checked(name);
                    hands.readings.insert(checked.check.clone(), checked);
                }
            }
            let input = first.pop().unwrap_or_else(|| hands.input(&runbook, &live));
            let now = hands.now();
            let readings = hands.readings.clone();
            let Ok(drafts) = decide(&runbook, &live, &input, &Facts { now: &now, by: "a1", readings: &readings })
            else {
                refused += 1;
                continue;
            };
            for draft in drafts {
                let event = draft_event(draft, &now);
                let before = live.clone();
                live.evolve(&event).unwrap_or_else(|why| panic!("seed {seed}: {why} after {input:?}"));
                let acts = effects(&live, event.step.as_deref(), event.att, &event.record);
                let work = acts.iter().any(|effect| matches!(effect, Effect::Work { .. }));
                works += u32::from(work);
                judge(&runbook, &before, &event, work, &yes);
                if let Record::GateAnswered(answer) = &event.record {
                    let gate = before.gate.as_ref().unwrap();
                    assert_eq!(offer_digest(&gate.shown.offer), answer.offer_digest);
                    let irreversible = gate.shown.offer.level == Level::Irreversible;
                    assert!(!irreversible || gate.approved_by.is_some() || gate.broken.is_some());
                    yes.push(answer.offer_digest.clone());
                }
                records += 1;
                let back = through_the_log(&event, u64::from(records));
                replayed.evolve(&back).unwrap();
                legality.take(back.clone()).unwrap();
                assert_eq!(live, replayed, "seed {seed}: the log is not the state after {event:?}");
                // A crash here: an open intent is settled before anything else.
                if replayed.open.is_some() {
                    assert_eq!(resume(&replayed), [Effect::Unsettled]);
                }
                // The same record again, of a step that has none of it open, is an error and changes nothing.
                if records % 8 == 0 {
                    let mut twice = live.clone();
                    if twice.evolve(&event).is_err() {
                        assert_eq!(twice, live);
                    }
                }
                log.push(back);
            }
        }
        // Records of this log in places where they do not belong.
        for _ in 0..20 {
            let (cut, stray) = (hands.random.random_range(0..=log.len()), hands.random.random_range(0..log.len()));
            let mut state = State::replay(&log[..cut]).unwrap();
            let before = state.clone();
            if state.evolve(&log[stray]).is_err() {
                assert_eq!(state, before, "an illegal record changed the state");
            }
        }
        serde_json::to_string(&live).unwrap();
    }
    println!("{inputs} inputs, {refused} refused, {records} records, {works} started work");
    assert!(inputs >= 100_000 && works > 200, "{inputs} inputs, {works} works");
}
