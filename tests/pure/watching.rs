//! A statement under way, told in lines: news once, and what only took longer not at all.

use backout::action::live::Progress;
use backout::driver::watching::Watching;
use backout::engine::Snapshot;

use crate::fixture;

fn told(watching: &mut Watching, now: &Snapshot) -> Vec<String> {
    watching.news(now).into_iter().map(|(step, words)| format!("{step} {words}")).collect()
}

#[test]
fn what_is_new_is_told_once() {
    let mut watching = Watching::default();
    let mut now = fixture::waiting();
    let first = told(&mut watching, &now);
    let starts = [
        "rename-back live: tries: try 2 of 6",
        "rename-back live: waits: for a lock on a table (Lock relation) for 1 s",
        "rename-back live: in way: ! bi-extract, pid 4121 (etl), idle in transaction for 41 min: SELECT",
        "rename-back live: behind: ! 3 sessions wait behind it, the longest for 1 s: api, checkout-v1 (2)",
    ];
    assert_eq!(first.len(), starts.len(), "{first:#?}");
    for (line, start) in first.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }

    let seen = |now: &mut Snapshot, change: &dyn Fn(&mut backout::action::live::Sight)| {
        change(now.watched.as_mut().unwrap().sight.as_mut().unwrap());
    };
    seen(&mut now, &|sight| {
        sight.runs = Some(9);
        sight.blockers[0].age = Some(4000);
    });
    assert_eq!(told(&mut watching, &now), [""; 0], "seconds that pass are no news");
    seen(&mut now, &|sight| sight.blockers[0].state = "active".into());
    assert!(told(&mut watching, &now)[0].contains("bi-extract, pid 4121 (etl), active"));

    seen(&mut now, &|sight| {
        (sight.waits_for, sight.runs) = (None, Some(0));
        sight.blockers.clear();
        sight.queue.clear();
        let (what, phase) = ("create index".to_owned(), "building index".to_owned());
        sight.progress = vec![Progress { what, phase, done: Some((120, 1000)), unit: "blocks" }];
    });
    let works = told(&mut watching, &now);
    assert_eq!(works[0], "rename-back live: works: on the server for 0 s");
    assert!(works[1].ends_with("phase: create index: building index, 120 of 1000 blocks (12 %)"), "{works:?}");
    seen(&mut now, &|sight| sight.progress[0].done = Some((190, 1000)));
    assert_eq!(told(&mut watching, &now), [""; 0], "a tenth is a step worth a line");
    seen(&mut now, &|sight| sight.progress[0].done = Some((210, 1000)));
    assert_eq!(told(&mut watching, &now).len(), 1);
}

#[test]
fn what_cannot_be_seen_is_told_and_is_never_nobody() {
    let mut now = fixture::waiting();
    let sight = now.watched.as_mut().unwrap().sight.as_mut().unwrap();
    sight.blockers[0].state = String::new();
    sight.blockers[0].since = String::new();
    sight.cannot = Some("cannot see other sessions' states: the role lacks pg_read_all_stats".into());
    let lines = told(&mut Watching::default(), &now);
    assert!(
        lines.iter().any(|line| line.contains("pid 4121 (etl): cannot see since when or what it does")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("the role lacks pg_read_all_stats")), "{lines:?}");
}
