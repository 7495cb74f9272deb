//! A legal run by hand, as a log: contain, gate, DDL, a guard breaks, hold, lift, undo, a crash settled, the end.

use backout::run::effect::{Effect, resume};
use backout::run::gate::offer_digest;
use backout::run::legal::Legality;
use backout::run::record::{Event, Now, Offer, Record};
use backout::run::state::{State, Status};
use serde_json::{Value, json};

fn offer(step: &str, att: u32, undoes: Option<&str>) -> Value {
    json!({"run": "r1", "step": step, "att": att, "action": "ddl", "rendered": ["ALTER …"], "binds": [], "target": null,
        "environment": "production", "level": "object", "token": "orders@shop", "number": null,
        "undo": {"none": {"because": "x"}}, "undoes": undoes, "epoch": null, "step_digest": "d"})
}

fn event(second: u64, step: Value, att: Value, kind: &str, payload: &Value) -> Event {
    let at = Now {
        wall: jiff::Timestamp::from_second(1_790_000_000 + i64::try_from(second).unwrap()).unwrap(),
        boottime: second * 1_000_000_000,
        boot: "0a1b2c3d".into(),
    };
    let record = Record::from_parts(kind, payload).unwrap_or_else(|why| panic!("{kind}: {why}"));
    let att = att.as_u64().map(|att| u32::try_from(att).unwrap());
    Event { at, by: "a1".into(), step: step.as_str().map(str::to_owned), att, record }
}

/// The gate of an attempt, answered, and its intent.
fn gated(log: &mut Vec<Event>, step: &str, att: u32, undoes: Option<&str>) {
    let offer = offer(step, att, undoes);
    let digest = offer_digest(&serde_json::from_value::<Offer>(offer.clone()).unwrap());
    let lines = [
        (
            "gate_shown",
            json!({"offer": offer, "offer_digest": digest, "evidence": {"needs": [], "facts": [], "sample": []}}),
        ),
        (
            "gate_answered",
            json!({"yes": true, "offer_digest": digest, "typed": "orders@shop", "reason": null, "looked_ms": 900, "from_file": false}),
        ),
        (
            "intent",
            json!({"action": "ddl", "offer_digest": digest, "undoes": undoes, "transactional": true, "on": "shop"}),
        ),
    ];
    for (kind, payload) in &lines {
        log.push(event(log.len() as u64, json!(step), json!(att), kind, payload));
    }
}

fn lines(log: &mut Vec<Event>, text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        let (kind, payload) = (line["kind"].as_str().unwrap(), &line["payload"]);
        log.push(event(log.len() as u64, line["step"].clone(), line["att"].clone(), kind, payload));
    }
}

const APPLIED: &str = r#"{"result":"applied","evidence":"marker read back","changed":null}"#;

fn the_run() -> (Vec<Event>, usize) {
    let mut log = Vec::new();
    lines(
        &mut log,
        r#"
{"kind":"run_started","payload":{"run":"r1","runbook":"b","runbook_digest":"d","incident":null,"version":"1","steps":["pause","rename","resume"],"headless":false}}
{"kind":"operator_joined","payload":{"id":"a1","user":"u","uid":1,"host":"h","tty":null,"claimed_ssh":null,"pid":1}}"#,
    );
    gated(&mut log, "pause", 1, None);
    let done = |step: &str, att: u32| {
        format!(
            r#"{{"kind":"outcome","step":"{step}","att":{att},"payload":{APPLIED}}}
{{"kind":"verified","step":"{step}","payload":{{"checks":[],"verdict":"pass"}}}}
{{"kind":"step_done","step":"{step}","payload":{{"verified":true}}}}"#
        )
    };
    lines(&mut log, &done("pause", 1));
    lines(
        &mut log,
        r#"
{"kind":"guard_bound","step":"pause","payload":{"check":{"check":"stopped"},"until":"resume"}}
{"kind":"entered","payload":{"done":[]}}
{"kind":"guard_broken","payload":{"check":{"check":"stopped"},"verdict":"fail","value":3}}
{"kind":"held","payload":{"reason":{"guard":{"check":{"check":"stopped"}}},"detail":"x"}}
{"kind":"hold_lifted","payload":{"reason":{"guard":{"check":{"check":"stopped"}}}}}"#,
    );
    gated(&mut log, "rename", 1, None);
    lines(&mut log, r#"{"kind":"reached","step":"rename","att":1,"payload":{"point":"ready","data":{}}}"#);
    let crash = log.len();
    lines(
        &mut log,
        r#"
{"kind":"settle_started","step":"rename","att":1,"payload":{"open_intent":1}}
{"kind":"settle_evidence","step":"rename","att":1,"payload":{"what":"marker","finding":"there"}}
{"kind":"settled","step":"rename","att":1,"payload":{"result":"applied","reason":"its marker was committed"}}
{"kind":"verified","step":"rename","payload":{"checks":[],"verdict":"pass"}}
{"kind":"step_done","step":"rename","payload":{"verified":true}}"#,
    );
    gated(&mut log, "rename", 2, Some("rename"));
    lines(&mut log, &done("rename", 2));
    gated(&mut log, "resume", 1, Some("pause"));
    lines(&mut log, &done("resume", 1));
    lines(
        &mut log,
        r#"{"kind":"run_finished","payload":{"end":"degraded","open":[{"what":"w","owner":"o","by":"2026-10-01"}]}}"#,
    );
    (log, crash)
}

#[test]
fn a_run_by_hand_is_legal_to_its_end() {
    let (log, crash) = the_run();
    for cut in 0..=log.len() {
        State::replay(&log[..cut]).unwrap();
    }
    let at_crash = State::replay(&log[..crash]).unwrap();
    assert_eq!(resume(&at_crash), [Effect::Unsettled]);
    let state = State::replay(&log).unwrap();
    let statuses: Vec<_> = state.steps.values().map(|step| step.status).collect();
    assert_eq!(statuses, [Status::Undone, Status::Undone, Status::Done]);
    assert!(state.closed() && state.guards.is_empty() && state.holds.is_empty());
}

#[test]
fn every_record_left_out_is_noticed_or_harmless_and_an_unknown_kind_is_named() {
    let (log, _) = the_run();
    let must = ["intent", "gate_shown", "gate_answered", "outcome", "settle_started", "settled", "held"];
    for (at, left_out) in log.iter().enumerate().filter(|(_, event)| must.contains(&event.record.kind().as_str())) {
        let mut legality = Legality::new();
        let rest = log.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, event)| event.clone());
        let faults = rest.filter_map(|event| legality.take(event).err()).count();
        assert!(faults > 0, "{} {at} left out and nobody noticed", left_out.record.kind());
    }
    let why = Legality::new().line(log[0].at.clone(), "a1", None, None, "teleported", &json!({})).unwrap_err();
    assert!(why.contains("`teleported`"), "{why}");
}
