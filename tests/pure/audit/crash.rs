//! A log on a disk that dies at any call, in every way a disk can, again and again.

use super::{Memory, RUN, draft, stamp};
use backout::audit::line::Envelope;
use backout::audit::log::Log;
use backout::audit::verify::{Options, Verdict, walk};
use backout::text::Secret;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::BTreeMap;

/// What is left of the disk after a crash.
fn crash(disk: &Memory, rng: &mut StdRng) -> (Memory, bool) {
    let (mode, after) = (rng.random_range(0..4), Memory::default());
    for (name, (issued, synced)) in &disk.0.lock().unwrap().files {
        let mut left = issued.clone();
        match mode {
            0 => {}
            1 => left.truncate(*synced),
            2 => left.truncate(rng.random_range(*synced..=issued.len())),
            _ => {
                for page in (synced / 4096)..=(issued.len() / 4096) {
                    if rng.random() {
                        let end = left.len().min((page + 1) * 4096);
                        left[end.min((page * 4096).max(*synced))..end].fill(0);
                    }
                }
            }
        }
        after.put(name, &left);
    }
    (after, mode == 0)
}

fn records(disk: &Memory) -> (Verdict, Vec<Envelope>) {
    let mut found = Vec::new();
    let report = walk(disk, &Options::default(), &mut |record| {
        found.push(record.clone());
        Ok(())
    })
    .unwrap()
    .report;
    (report.verdict, found)
}

#[test]
fn acknowledged_records_survive_any_crash_and_none_is_invented() {
    let (mut crashes, mut holes, mut dead_resumes) = (0u64, 0u64, 0u64);
    // More of them: BACKOUT_SEEDS=100000.
    let seeds = std::env::var("BACKOUT_SEEDS").map_or(2_000, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut disk = Memory::default();
        let mut log = Log::create(disk.clone(), RUN).unwrap();
        log.append(vec![draft(0, "run_started", json!({}))], true).unwrap();
        let mut synced: BTreeMap<u64, Envelope> = BTreeMap::new();
        for _ in 0..rng.random_range(1..if seed % 4 == 0 { 4 } else { 3 }) {
            {
                let mut disk = disk.0.lock().unwrap();
                disk.fuse = rng.random_bool(0.6).then(|| rng.random_range(0..8));
                disk.partial = rng.random_range(0..700);
            }
            let mut written = Vec::new();
            for _ in 0..rng.random_range(1..5) {
                let (batch, sync) = (rng.random_range(1..3), rng.random_bool(0.8));
                let big = if rng.random_bool(0.1) { 5000 } else { rng.random_range(0..60) };
                let drafts = (0..batch).map(|n| draft(n, "note", json!({ "x": "y".repeat(big) }))).collect();
                match log.append(drafts, sync) {
                    Ok(records) => {
                        written.extend(records);
                        if sync {
                            synced.extend(written.drain(..).map(|record| (record.seq, record)));
                        }
                    }
                    Err(failure) => {
                        assert_eq!(failure.exit_code(), 74);
                        let again = log.append(vec![draft(0, "note", json!({}))], false);
                        assert_eq!(again.unwrap_err().exit_code(), 74, "poisoned for good");
                    }
                }
            }
            drop(log);
            crashes += 1;
            let process_only;
            (disk, process_only) = crash(&disk, rng);
            let (verdict, found) = records(&disk);
            for (seq, record) in &synced {
                assert_eq!(found.get(*seq as usize), Some(record), "seed {seed}: record {seq} is lost");
            }
            for record in written.iter().filter(|_| process_only) {
                assert_eq!(found.get(record.seq as usize), Some(record), "seed {seed}: written and lost");
            }
            let extra = found.len() - found.iter().filter(|r| synced.contains_key(&r.seq)).count();
            assert!(extra <= 14, "seed {seed}: {extra} records from nowhere");

            // A resume that dies in turn, then one that does not; both see the same.
            disk.0.lock().unwrap().fuse = rng.random_bool(0.5).then(|| rng.random_range(0..3));
            if let Err(failure) = Log::resume(disk.clone(), "a1", stamp(50), &mut |_| Ok(())) {
                if verdict == Verdict::Broken {
                    // A page in the middle of what was never synced came back as zeros, with a later record whole:
                    // nobody can tell that from tampering, and it is refused.
                    assert_eq!(failure.exit_code(), 9);
                    holes += 1;
                    break;
                }
                assert_eq!(failure.exit_code(), 74);
                dead_resumes += 1;
                (disk, _) = crash(&disk, rng);
            } else {
                (disk, _) = crash(&disk, rng);
            }
            disk.0.lock().unwrap().fuse = None;
            let mut again = Vec::new();
            let resumed = Log::resume(disk.clone(), "a1", stamp(60), &mut |record| {
                again.push(record.clone());
                Ok(())
            });
            let (next, _) = resumed.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
            assert_eq!(again[..found.len()], found, "seed {seed}: the second recovery differs");
            assert!(again.len() <= found.len() + 1, "seed {seed}");
            let (verdict, found) = records(&disk);
            assert_eq!(verdict, Verdict::Whole, "seed {seed}: what was torn is declared");
            synced = found.into_iter().map(|record| (record.seq, record)).collect();
            log = next;
        }
    }
    println!("{crashes} crashes, {holes} refused for a hole, {dead_resumes} resumes died");
    assert!(crashes >= 5 * seeds / 4 && dead_resumes > seeds / 20 && holes < crashes / 20);
}

#[test]
fn a_full_disk_stops_the_log_at_every_call() {
    for calls in 0..6 {
        let disk = Memory::default();
        disk.0.lock().unwrap().fuse = Some(calls);
        let Ok(mut log) = Log::create(disk.clone(), RUN) else {
            assert_eq!(calls, 0);
            continue;
        };
        let outcomes: Vec<bool> =
            (0..4).map(|n| log.append(vec![draft(n, "intent", json!({}))], true).is_ok()).collect();
        let good = outcomes.iter().filter(|ok| **ok).count();
        assert_eq!(good as u32, (calls - 1) / 2);
        assert!(outcomes[..good].iter().all(|ok| *ok), "no record after a failed one");
        // Lifting the fault does not bring the log back.
        disk.0.lock().unwrap().fuse = None;
        let failure = log.append(vec![draft(9, "intent", json!({}))], true).unwrap_err();
        assert!(failure.to_string().contains("No space left on device"), "{failure}");
        assert_eq!(failure.exit_code(), 74);
    }
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let disk = Memory::default();
    let mut log = Log::create(disk.clone(), RUN).unwrap();
    log.rotate_after(2_000);
    for n in 0..40 {
        log.append(vec![draft(n, "note", json!({}))], n % 2 == 0).unwrap();
    }
    let (verdict, found) = records(&disk);
    let segments = disk.0.lock().unwrap().files.len();
    assert_eq!((verdict, found.len()), (Verdict::Whole, 40 + segments - 1));
    assert!(segments > 4);
    assert!(disk.0.lock().unwrap().files.values().rev().skip(1).all(|(bytes, synced)| bytes.len() == *synced));
    // A disk that is full just then.
    let disk = Memory::default();
    let mut log = Log::create(disk.clone(), RUN).unwrap();
    log.rotate_after(1);
    log.append(vec![draft(0, "note", json!({}))], true).unwrap();
    disk.0.lock().unwrap().fuse = Some(0);
    assert_eq!(log.append(vec![draft(1, "note", json!({}))], true).unwrap_err().exit_code(), 74);
    disk.0.lock().unwrap().fuse = None;
    assert_eq!(log.append(vec![draft(1, "note", json!({}))], true).unwrap_err().exit_code(), 74);
}

#[test]
fn secrets_do_not_reach_the_disk() {
    let disk = Memory::default();
    let mut log = Log::create(disk.clone(), RUN).unwrap();
    log.hide(vec![Secret::new("CANARY-7f3a/\"é")]);
    let payload = json!({ "dsn": "pg://u:CANARY-7f3a%2F%22%C3%A9@h", "CANARY-7f3a/\"é": [{ "x": "CANARY-7f3a/\"é" }] });
    let record = log.append(vec![draft(0, "note", payload)], true).unwrap().remove(0);
    let text = String::from_utf8(disk.bytes(1)).unwrap();
    assert!(!text.contains("CANARY") && text.contains("pg://u:•••@h"), "{text}");
    assert_eq!(record.payload["•••"][0]["x"], "•••");
}
