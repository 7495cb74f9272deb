//! What the chain alone detects, and what it cannot.

use super::{Memory, RUN, check, draft, drafts, judge, lines, rechain, rehash, stamp, twenty};
use backout::audit::line::{Envelope, LineError, MAX_LINE, check_payload};
use backout::audit::log::Log;
use backout::audit::verify::{Anchor, Anchored, Fault, Options, Tail, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

#[test]
fn a_log_reads_back_as_it_was_written() {
    let log = twenty();
    let mut seen = Vec::new();
    let walk = backout::audit::verify::walk(&Memory::of(&[&log]), &Options::default(), &mut |record| {
        seen.push(record.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(walk.report.verdict, Verdict::Whole);
    assert_eq!((walk.report.exit_code(), walk.report.chained, walk.report.unprotected), (0, 20, 20));
    for (record, draft) in seen.iter().zip(drafts()) {
        assert_eq!(
            (&record.kind, &record.payload, record.ts, record.mono),
            (&draft.kind, &draft.payload, draft.ts, draft.mono)
        );
        assert_eq!((&record.step, record.att, &record.by), (&draft.step, draft.att, &draft.by));
    }
    assert!(log.iter().all(|&b| b == b'\n' || (b >= 0x20 && b != 0x7f)), "nothing in the file moves a terminal");
    assert!(!String::from_utf8(log).unwrap().contains('\u{202e}'));
}

#[test]
fn every_single_bit_flip_is_detected() {
    let log = twenty();
    let all = lines(&log);
    let mut flips = 0;
    for line in &all {
        let mut flipped = line.to_vec();
        for bit in 0..flipped.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::parse(&flipped).is_err(), "bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
    }
    // The same through the whole verifier, on the last two records and every 97th bit of the others.
    let short: Vec<u8> = all[..2].concat();
    let mut flipped = short.clone();
    for bit in 0..flipped.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let report = judge(&flipped);
        let torn = bit / 8 == short.len() - 1 || (report.verdict == Verdict::Torn && flipped.contains(&0));
        assert_eq!(report.verdict, if torn { Verdict::Torn } else { Verdict::Broken }, "bit {bit}: {report}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    let mut flipped = log.clone();
    for bit in (0..log.len() * 8).step_by(97) {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let report = judge(&flipped);
        let line = log[..bit / 8].iter().filter(|&&b| b == b'\n').count() as u64;
        assert_eq!(report.exit_code(), 9, "bit {bit}");
        assert!(report.chained <= line + 1 && report.chained >= line.min(19), "bit {bit}: {report}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    println!("{flips} flips");
}

#[test]
fn every_cut_is_torn_or_a_clean_prefix_that_an_anchor_catches() {
    let log = twenty();
    let all = lines(&log);
    let mut clean = vec![0];
    all.iter().for_each(|line| clean.push(clean.last().unwrap() + line.len()));
    let last = Envelope::parse(all[19]).unwrap();
    let options =
        Options { anchors: vec![Anchor { seq: 19, head: last.hash, from: String::new() }], ..Options::default() };
    for cut in 0..log.len() {
        let records = clean.iter().filter(|&&end| end <= cut).count() as u64 - 1;
        if let Ok(i) = clean.binary_search(&cut) {
            let report = judge(&log[..cut]);
            let expected = if i == 0 { Verdict::Broken } else { Verdict::Whole };
            assert_eq!((report.verdict, report.chained), (expected, records), "cut {cut}");
            assert_eq!(report.unprotected, records);
            let report = check(&Memory::of(&[&log[..cut]]), &options);
            assert_ne!(report.verdict, Verdict::Whole, "cut {cut}");
            assert_eq!(report.anchors[0].1, Anchored::Beyond);
        } else {
            let report = judge(&log[..cut]);
            if records > 0 {
                assert_eq!((report.verdict, report.chained), (Verdict::Torn, records), "cut {cut}: {report}");
            }
            let Tail::Torn { offset, len, .. } = report.segments[0].tail else { panic!("cut {cut}: {report}") };
            assert_eq!((offset + len) as usize, cut);
            assert_eq!(offset as usize, clean[records as usize]);
        }
    }
}

#[test]
fn records_deleted_doubled_swapped_or_edited() {
    let log = twenty();
    let all = lines(&log);
    for i in 0..20 {
        let mut deleted = all.clone();
        deleted.remove(i);
        let report = judge(&deleted.concat());
        if i == 19 {
            assert_eq!((report.verdict, report.unprotected), (Verdict::Whole, 19), "needs an anchor");
        } else {
            assert_eq!((report.verdict, report.chained), (Verdict::Broken, i as u64));
            assert_eq!((report.findings[0].fault, report.faults), (Fault::Missing, 1));
            assert_eq!((report.spans.last().unwrap().from, report.spans.last().unwrap().to), (i as u64 + 1, 19));
        }
        let mut doubled = all.clone();
        doubled.insert(i, all[i]);
        let report = judge(&doubled.concat());
        assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Duplicate));
        if i < 19 {
            let mut swapped = all.clone();
            swapped.swap(i, i + 1);
            let report = judge(&swapped.concat());
            assert_eq!((report.verdict, report.chained), (Verdict::Broken, i as u64));
        }
        // Edited, with its own hash made right.
        let edited = rehash(String::from_utf8(all[i].to_vec()).unwrap().replace("\"a1\"", "\"a2\"").as_bytes());
        let mut with = all.clone();
        with[i] = &edited;
        let report = judge(&with.concat());
        let expected = if i == 19 { Verdict::Whole } else { Verdict::Broken };
        assert_eq!(report.verdict, expected, "{report}");
        if i < 19 {
            assert_eq!((report.findings[0].fault, report.findings[0].seq), (Fault::Link, Some(i as u64 + 1)));
        }
        // Edited, with everything after it made right: only an anchor tells.
        let rewritten = rechain(&with, i);
        assert_eq!(judge(&rewritten).verdict, Verdict::Whole, "record {i}");
        let head = Envelope::parse(all[19]).unwrap().hash;
        let anchored = Options { anchors: vec![Anchor { seq: 19, head, from: String::new() }], ..Options::default() };
        let report = check(&Memory::of(&[&rewritten]), &anchored);
        assert_eq!((report.verdict, report.anchors[0].1), (Verdict::Contradicted, Anchored::Contradicts));
    }
}

#[test]
fn random_damage_is_never_whole_and_never_a_panic() {
    let (log, mut rng) = (twenty(), StdRng::seed_from_u64(11));
    for round in 0..400 {
        let mut bad = log.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bad.len());
            let end = rng.random_range(at..bad.len().min(at + 900));
            match rng.random_range(0..5) {
                0 => bad[at] = rng.random(),
                1 => drop(bad.drain(at..end)),
                2 => bad[at..end].fill(0),
                3 => bad.insert(at, b'\n'),
                _ => bad.extend_from_within(at..end),
            }
        }
        let report = judge(&bad);
        assert!(log.starts_with(&bad) || report.verdict != Verdict::Whole, "round {round}: {report}");
        assert!(report.to_string().chars().all(|c| c == '\n' || backout::text::is_visible(c)));
    }
}

#[test]
fn anchors_protect_what_is_before_them() {
    let log = twenty();
    let at12 = Envelope::parse(lines(&log)[12]).unwrap();
    let mut options = Options { anchors: vec![format!("12:{}", at12.hash).parse().unwrap()], ..Options::default() };
    let report = check(&Memory::of(&[&log]), &options);
    assert_eq!((report.verdict, report.unprotected, report.exit_code()), (Verdict::Whole, 7, 0));
    assert!(report.to_string().contains("records 13..19 (7) are NOT protected"), "{report}");
    options.require_anchor = true;
    assert_eq!(check(&Memory::of(&[&log]), &options).exit_code(), 9);
    options.anchors.push(format!("19:{}", Envelope::parse(lines(&log)[19]).unwrap().hash).parse().unwrap());
    let report = check(&Memory::of(&[&log]), &options);
    assert_eq!((report.exit_code(), report.unprotected), (0, 0), "{report}");
    let line = Anchor { seq: 12, head: at12.hash.clone(), from: String::new() }.channel_line(RUN);
    assert_eq!(line.parse::<Anchor>().unwrap(), Anchor { seq: 12, head: at12.hash.clone(), from: String::new() });
    for wrong in ["", "12", "x:00", "12:zz", &format!("12:{}", at12.hash.to_uppercase()), "-1:00"] {
        assert!(wrong.parse::<Anchor>().is_err(), "{wrong}");
    }
}

#[test]
fn lines_that_nobody_should_have_written() {
    let log = twenty();
    let all = lines(&log);
    let text = String::from_utf8(all[5].to_vec()).unwrap();
    let form = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        Envelope::parse(&rehash(text.replacen(from, to, 1).as_bytes()))
    };
    for (from, to) in [
        ("\"kind\":\"intent\"", "\"kind\":\"note\",\"kind\":\"intent\""),
        ("\"kind\":\"intent\"", "\"kind\":\"intent\",\"kind\":\"intent\""),
        ("{\"key\":\"k\"", "{\"key\":\"x\",\"key\":\"k\""),
        ("\"seq\":5,", "\"seq\": 5,"),
        ("\"seq\":5,", "\"seq\":05,"),
        ("\"seq\":5,", "\"seq\":5.0,"),
        ("\"by\":\"a1\"", "\"by\":\"\\u0061\\u0031\""),
        ("\"by\":\"a1\",", ""),
        ("\"by\":\"a1\"", "\"by\":\"a1\",\"on\":\"x\""),
        ("123456Z", "123456+00:00"),
        ("123456Z", "123456000Z"),
        ("\"att\":1", "\"att\":\"1\""),
        ("{\"v\":1", " {\"v\":1"),
        ("{\"v\":1", "\u{feff}{\"v\":1"),
        ("\"key\":\"k\"", "\"key\":\"\u{1b}\""),
        ("\"key\":\"k\"", "\"key\":\"\u{202e}\""),
    ] {
        let parsed = form(&from.replace("123456Z", &text[text.find("ts\":\"").unwrap() + 25..][..7]), to);
        assert!(matches!(parsed, Err(LineError::Form(_))), "{from} -> {to}: {parsed:?}");
    }
    assert_eq!(form("{\"v\":1,", "{\"v\":2,"), Err(LineError::Version("2".to_owned())));
    let upper = text[..text.len() - 67].to_owned() + &text[text.len() - 67..].to_uppercase();
    assert_eq!(Envelope::parse(upper.as_bytes()), Err(LineError::Frame));
    let short = text[..text.len() - 4].to_owned() + "\"}\n";
    assert_eq!(Envelope::parse(short.as_bytes()), Err(LineError::Frame));
    for (from, to) in [("\n", "\r\n"), ("\n", " \n"), ("{\"v\"", "{ \"v\"")] {
        let report = judge(String::from_utf8(log.clone()).unwrap().replace(from, to).as_bytes());
        assert_eq!((report.verdict, report.chained), (Verdict::Broken, 0), "{from:?}");
    }
    let bom = [b"\xef\xbb\xbf".as_slice(), &log].concat();
    assert_eq!((judge(&bom).verdict, judge(&bom).chained), (Verdict::Broken, 0));
    assert_eq!(judge(&[0x1f, 0x8b, 8, 0, 10, 0]).verdict, Verdict::Broken);
    assert_eq!(judge(b"").findings[0].fault, Fault::Empty);
}

#[test]
fn zeros_are_torn_at_the_end_and_broken_in_the_middle() {
    let log = twenty();
    let all = lines(&log);
    let zeros = vec![0; 5000];
    assert_eq!(judge(&[&log[..], &zeros].concat()).verdict, Verdict::Torn);
    assert_eq!(judge(&[&log[..], &vec![0; 2 * MAX_LINE]].concat()).verdict, Verdict::Torn);
    assert_eq!(judge(&[&log[..log.len() - 40], &zeros].concat()).verdict, Verdict::Torn);
    let zeroed = |i: usize| {
        let mut log = log.clone();
        let start: usize = all[..i].iter().map(|line| line.len()).sum();
        log[start + 10..start + 60].fill(0);
        judge(&log)
    };
    assert_eq!((zeroed(19).verdict, zeroed(19).chained), (Verdict::Torn, 19));
    assert_eq!((zeroed(7).verdict, zeroed(7).chained), (Verdict::Broken, 7));
    let garbage = judge(&[&log[..], &vec![b'x'; 2 * MAX_LINE]].concat());
    assert_eq!((garbage.verdict, garbage.chained), (Verdict::Broken, 20));
    let mut middle = log.clone();
    middle.splice(all[0].len()..all[0].len(), *b"garbage\n");
    assert_eq!((judge(&middle).verdict, judge(&middle).findings[0].line), (Verdict::Broken, 2));
}

#[test]
fn a_line_without_end_is_read_in_little_memory() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = buffer.len().min(self.0 as usize);
            buffer[..n].fill(b'a');
            self.0 -= n as u64;
            Ok(n)
        }
    }
    let mut lines = backout::audit::reader::Lines::new(Endless(8 << 20));
    assert_eq!(lines.next_piece().unwrap(), Some(backout::audit::reader::Piece::Tail));
    assert_eq!(lines.next_piece().unwrap(), None);
    let (len, damage) = lines.finish();
    assert_eq!(len, 8 << 20);
    assert_eq!(damage.map(|d| (d.offset, d.len, d.torn)), Some((0, 8 << 20, false)));
}

#[test]
fn segments_missing_foreign_or_lying() {
    let memory = Memory::default();
    let mut log = Log::create(memory.clone(), RUN).unwrap();
    log.append(drafts(), true).unwrap();
    drop(log);
    let mut one = memory.bytes(1);
    one.extend_from_slice(b"{\"v\":1,\"se");
    memory.put("audit-000001.jsonl", &one);
    let (mut log, report) = Log::resume(memory.clone(), "a1", stamp(30), &mut |_| Ok(())).unwrap();
    assert_eq!(report.verdict, Verdict::Torn);
    log.append(vec![draft(31, "note", json!({}))], true).unwrap();
    drop(log);
    let (_, report) = Log::resume(memory.clone(), "a1", stamp(40), &mut |_| Ok(())).unwrap();
    assert_eq!((report.verdict, report.records), (Verdict::Whole, 22), "the torn end is declared");
    let (one, two, three) = (memory.bytes(1), memory.bytes(2), memory.bytes(3));
    assert_eq!(check(&memory, &Options::default()).exit_code(), 0);

    // The torn bytes were changed, or cut off: the declaration tells.
    let mut changed = one.clone();
    *changed.last_mut().unwrap() = b'x';
    for bad in [&changed[..], &one[..one.len() - 10], &one[..one.len() - 1]] {
        let report = check(&Memory::of(&[bad, &two, &three]), &Options::default());
        assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Declaration), "{report}");
        assert_eq!(report.findings[0].file, "audit-000002.jsonl");
    }
    let gap = Memory::of(&[&one, &two, &three]);
    gap.0.lock().unwrap().files.remove("audit-000002.jsonl");
    let report = check(&gap, &Options::default());
    assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Missing));
    let report = check(&Memory::of(&[&two, &three]), &Options::default());
    assert_eq!(report.verdict, Verdict::Broken);

    let other = Memory::default();
    Log::create(other.clone(), "01JH8Q3V5K6M7N8P9QRSTVWXY0").unwrap().append(drafts(), true).unwrap();
    let report = check(&Memory::of(&[&one, &other.bytes(1)]), &Options::default());
    assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Foreign));
    let options = Options { run: Some("01JH8Q3V5K6M7N8P9QRSTVWXY0".to_owned()), ..Options::default() };
    assert_eq!(check(&memory, &options).findings[0].fault, Fault::Foreign);
    memory.put("audit-000002.jsonl.gz", b"\x1f\x8b");
    let report = check(&memory, &Options::default());
    assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Foreign));

    // Two segments glued into one.
    let report = check(&Memory::of(&[&[&one[..one.len() - 10], &two[..]].concat()]), &Options::default());
    assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Declaration));
}

#[test]
fn an_illegal_record_is_named_and_refuses_resume() {
    let memory = Memory::of(&[&twenty()]);
    let mut rule = |record: &Envelope| match (record.seq, record.kind.as_str()) {
        (7, kind) => Err(format!("{kind} without an intent")),
        _ => Ok(()),
    };
    let report = backout::audit::verify::walk(&memory, &Options::default(), &mut rule).unwrap().report;
    assert_eq!((report.verdict, report.chained, report.faults), (Verdict::Broken, 20, 1));
    assert_eq!((report.findings[0].seq, report.findings[0].fault), (Some(7), Fault::Transition));
    let refused = Log::resume(memory.clone(), "a1", stamp(30), &mut rule).err().unwrap();
    assert_eq!(refused.exit_code(), 9);
    assert_eq!(memory.0.lock().unwrap().files.len(), 1, "no segment was opened");
}

#[test]
fn numbers_that_readers_would_round_are_refused() {
    for bad in [json!(1.5), json!({ "a": [1, { "b": 9_007_199_254_740_993_u64 }] }), json!([u64::MAX]), json!(1e300)] {
        assert!(check_payload(&bad).is_err(), "{bad}");
    }
    assert_eq!(check_payload(&json!({ "a": [0, -9_007_199_254_740_992_i64, "1.5"] })), Ok(()));
    let why = check_payload(&json!({ "a": [1, { "b": 1.5 }] })).unwrap_err();
    assert!(why.starts_with(".a[1].b: 1.5"), "{why}");
    let mut log = Log::create(Memory::default(), RUN).unwrap();
    assert_eq!(log.append(vec![draft(0, "note", json!(1.5))], true).unwrap_err().exit_code(), 70);
    let long = "x".repeat(MAX_LINE);
    assert_eq!(log.append(vec![draft(0, "note", json!(long))], true).unwrap_err().exit_code(), 70);
    assert_eq!(log.append(vec![draft(0, "note", json!(1))], true).unwrap()[0].seq, 0, "the log is still usable");
}
