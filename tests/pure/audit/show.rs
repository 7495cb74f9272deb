//! `audit show` where the output is no terminal: a line for each record, and whole.

use std::path::Path;
use std::process::Command;

use backout::audit::log::Log;
use backout::audit::store::Dir;
use backout::run::record::{Event, Record, Temporary};
use backout::runbook::expect::Verdict;
use serde_json::Value;

use super::{Draft, RUN};
use crate::fixture;

fn written(events: Vec<Event>) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut log = Log::create(Dir::create(&home.path().join(RUN)).unwrap(), RUN).unwrap();
    let draft = |event: Event| {
        let (kind, payload) = event.record.parts();
        let (ts, mono, boot) = (event.at.wall, event.at.boottime, event.at.boot);
        Draft { by: event.by, step: event.step, att: event.att, kind, payload, ts, mono, boot }
    };
    log.append(events.into_iter().map(draft).collect(), true).unwrap();
    home
}

fn show(home: &Path, flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_backout"))
        .args(["audit", "show"])
        .arg(home.join(RUN))
        .args(flags)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn events() -> Vec<Event> {
    let mut events = fixture::held();
    let hostile =
        "\u{1b}]0;owned\u{7}zażółć \u{202e}gnp.exe\r\nsecond line, and on it goes far beyond the edge of the page";
    events.push(fixture::event(86_500, Some("rename-back"), None, Record::Note { text: hostile.into() }));
    events
}

#[test]
fn a_reason_is_read_to_its_end() {
    let home = written(events());
    let shown = show(home.path(), &[]);
    assert!(shown.contains("far beyond the edge of the page"), "{shown}");
    insta::assert_snapshot!("show", shown);
}

#[test]
fn checks_that_say_nothing_new_do_not_drown_the_rest() {
    let mut events = events();
    let checks = |n: usize| {
        let green = (0..n).map(|_| fixture::checked("stuck-orders", Verdict::Pass, None, None, 90_000));
        Record::Checked { checks: green.collect(), flaps: Default::default() }
    };
    for (at, n) in [(90_000, 1), (90_005, 1), (90_010, 2), (90_015, 2), (90_020, 1)] {
        events.push(fixture::event(at, None, None, checks(n)));
    }
    let home = written(events);
    assert_eq!(show(home.path(), &[]).lines().filter(|line| line.contains("checks: ")).count(), 3);
    assert_eq!(show(home.path(), &["--json"]).lines().filter(|line| line.contains("\"checked\"")).count(), 5);
}

#[test]
fn nothing_in_a_log_reaches_the_terminal_as_a_command() {
    let home = written(events());
    for flags in [&[][..], &["--long"], &["--json"]] {
        let shown = show(home.path(), flags);
        let bad = shown.chars().find(|&c| c != '\n' && (c.is_control() || c == '\u{202e}'));
        assert_eq!(bad, None, "{flags:?}");
        // A line for each record, and one for each of the two days.
        let days = if flags.is_empty() { 2 } else { 0 };
        assert_eq!(shown.lines().count(), events().len() + days, "{flags:?}");
    }
}

#[test]
fn json_holds_every_field_as_the_log_does() {
    let home = written(events());
    let log = std::fs::read_to_string(home.path().join(RUN).join("audit-000001.jsonl")).unwrap();
    let parsed = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    assert_eq!(parsed(&show(home.path(), &["--json"])), parsed(&log));
}

/// A run that was killed, left or handed over has no end that names them: its log does, for whoever has nothing else.
#[test]
fn what_is_temporary_is_named_without_an_end() {
    let mut events = events();
    let Record::RunStarted(started) = &mut events[0].record else { panic!() };
    let left = |step: &str, what: &str, owner: Option<&str>| Temporary {
        step: step.into(),
        what: what.into(),
        owner: owner.map(str::to_owned),
        by: owner.map(|_| "2026-12-24".into()),
        remove: owner.map(|_| "confirm-captured".into()),
    };
    let standing = started.steps.iter().find(|id| id.as_str() == "pause-loyalty").unwrap().clone();
    started.leaves = vec![
        left(&standing, "loyalty \u{1b}[2Jstopped", Some("loyalty team")),
        left(&standing, "a flag", None),
        left("resume-loyalty", "not there yet", None),
    ];
    let home = written(events);
    for flags in [&[][..], &["--long"]] {
        let shown = show(home.path(), flags);
        let told: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("still temporary")).collect();
        assert_eq!(told.len(), 3, "{shown}");
        assert!(
            told[1].ends_with("stopped: loyalty team by 2026-12-24 (left by pause-loyalty, confirm-captured ends it)"),
            "{shown}"
        );
        assert_eq!(told[2], "  a flag: nobody's yet, no date yet (left by pause-loyalty)");
        assert!(!shown.contains('\u{1b}'));
    }
    assert!(!show(home.path(), &["--json"]).contains("still temporary:"));
    assert!(!show(home.path(), &["--step", "pause-loyalty"]).contains("still temporary:"));
}

#[test]
fn a_step_alone() {
    let home = written(events());
    let shown = show(home.path(), &["--step", "rename-back"]);
    let of_others = shown.lines().filter(|line| !line.contains("rename-back") && !line.ends_with("UTC"));
    assert_eq!(of_others.count(), 0, "{shown}");
    assert!(shown.contains("note: "), "{shown}");
}
