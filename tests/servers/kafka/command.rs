//! Programs: stand-ins, batches, and their end.

use backout::action::command::{self, Call, Earlier};

use super::*;

fn stand_in(name: &str, script: &str) -> (TempDir, Access) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut access = access(&[("SHOP_PASSWORD", "hunter22")]);
    access.stand_ins = Some(dir.path().to_owned());
    (dir, access)
}

fn calls(argv: &[&str], items: &[&str], idempotent: bool) -> Vec<Call<Vec<String>>> {
    items
        .iter()
        .map(|key| Call {
            key: (*key).to_owned(),
            what: argv.iter().map(|a| (*a).to_owned()).chain([(*key).to_owned()]).collect(),
            idempotent,
        })
        .collect()
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn in_a_rehearsal_only_stand_ins_start() {
    let (_dir, access) = stand_in("psp", "echo hunter22 \"$1\" \"$HOME\" \"$PATH\" 1>&2; exit 3");
    for program in ["sh", "/bin/sh", "../psp"] {
        let (port_, _cancel, engine, _) = port(9);
        let outcome = command::perform(&port_, &access, &[program.to_owned()], SOON).await;
        assert_eq!(outcome.result, OutcomeResult::NotApplied);
        assert!(outcome.evidence.starts_with(&format!("{program} has no stand-in")), "{}", outcome.evidence);
        drop(port_);
        assert!(engine.await.unwrap().is_empty(), "it is refused before anything begins");
    }
    let (port_, _cancel, _engine, _) = port(9);
    let outcome = command::perform(&port_, &access, &["psp".to_owned(), "a;b $(c)".to_owned()], SOON).await;
    let path = access.stand_ins.as_ref().unwrap().display();
    assert_eq!(outcome.evidence, format!("exit 3: ••• a;b $(c)  {path}"));
    assert_eq!(outcome.result, OutcomeResult::NotApplied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_end_is_ended_with_all_it_started() {
    let (dir, access) = stand_in("psp", "/bin/sleep 60 & echo $! > \"$1\"; wait");
    let file = dir.path().join("pid");
    let (port_, cancel, _engine, _) = port(9);
    let argv = ["psp".to_owned(), file.display().to_string()];
    let canceller = {
        let file = file.clone();
        tokio::spawn(async move {
            while std::fs::read_to_string(&file).map_or(true, |t| t.trim().is_empty()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cancel.send(true).unwrap();
            cancel
        })
    };
    let began = Instant::now();
    let outcome = command::perform(&port_, &access, &argv, Duration::from_secs(30)).await;
    let _cancel = canceller.await.unwrap();
    assert_eq!((outcome.result, outcome.evidence.as_str()), (OutcomeResult::Unknown, "cancelled"));
    assert!(began.elapsed() < Duration::from_secs(10));
    let pid = std::fs::read_to_string(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_with_what_is_open() {
    let (dir, access) = stand_in("psp", "echo \"$1 $BACKOUT_ITEM_KEY\" >> \"${0%/*}/log\"; [ \"$1\" != i2 ]");
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    let batch = calls(&["psp"], &["i1", "i2", "i3"], false);
    let none = Duration::ZERO;

    let (port_, _cancel, engine, mut items) = port(9);
    let outcome = command::perform_each(&port_, &access, &batch, &Earlier::default(), none, SOON).await;
    assert_eq!((outcome.result, outcome.changed), (OutcomeResult::NotApplied, Some(2)), "{}", outcome.evidence);
    assert_eq!(log(), "i1 i1\ni2 i2\ni3 i3\n");
    drop(port_);
    let begun = engine.await.unwrap();
    assert!(begun.iter().all(|(point, _)| *point == Point::Begun) && begun.len() == 3);
    let mut done = BTreeMap::new();
    while let Ok(item) = items.try_recv() {
        done.insert(item.key.clone(), item);
    }
    assert_eq!(done.values().map(|i| i.ok).collect::<Vec<_>>(), [true, false, true]);

    // Again: only the one that failed.
    let (port_, _cancel, _engine, _items) = port(9);
    let earlier = Earlier { done: done.clone(), begun: Some(&begun[2].1) };
    command::perform_each(&port_, &access, &batch, &earlier, none, SOON).await;
    assert_eq!(log(), "i1 i1\ni2 i2\ni3 i3\ni2 i2\n");

    // Died while i3 was under way: nobody knows, unless its key makes a repetition safe.
    done.remove("i3");
    let earlier = Earlier { done, begun: Some(&begun[2].1) };
    let (port_, _cancel, _engine, _items) = port(9);
    let outcome = command::perform_each(&port_, &access, &batch, &earlier, none, SOON).await;
    assert_eq!(outcome.result, OutcomeResult::Unknown);
    assert_eq!(log().lines().count(), 4);
    let safe = calls(&["psp"], &["i1", "i2", "i3"], true);
    let (port_, _cancel, _engine, _items) = port(9);
    command::perform_each(&port_, &access, &safe, &earlier, none, SOON).await;
    assert_eq!(log().lines().filter(|line| *line == "i3 i3").count(), 2);
}
