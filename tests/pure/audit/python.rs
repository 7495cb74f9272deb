//! Another verifier, in another language, says the same of every log.

use super::{Memory, RUN, draft, drafts, judge, lines, rechain, rehash, stamp, twenty};
use backout::audit::line::Envelope;
use backout::audit::log::Log;
use backout::audit::verify::{Options, verify};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Logs good and bad: name, segments, anchor.
fn corpus() -> Vec<(String, Vec<Vec<u8>>, Option<String>)> {
    let log = twenty();
    let all = lines(&log);
    let mut logs: Vec<(String, Vec<Vec<u8>>, Option<String>)> = Vec::new();
    let mut add = |name: &str, segments: Vec<Vec<u8>>| logs.push((name.to_owned(), segments, None));
    add("good", vec![log.clone()]);
    add("empty", vec![Vec::new()]);
    for i in 0..20 {
        let mut edit = all.clone();
        edit.remove(i);
        add(&format!("deleted {i}"), vec![edit.concat()]);
        let mut edit = all.clone();
        edit.insert(i, all[i]);
        add(&format!("doubled {i}"), vec![edit.concat()]);
        let edited = rehash(String::from_utf8(all[i].to_vec()).unwrap().replace("\"a1\"", "\"a2\"").as_bytes());
        let mut edit = all.clone();
        edit[i] = &edited;
        add(&format!("edited {i}"), vec![edit.concat()]);
        add(&format!("rewritten {i}"), vec![rechain(&edit, i)]);
        add(&format!("cut in {i}"), vec![[&all[..i].concat(), &all[i][..40 + i]].concat()]);
        add(&format!("cut after {i}"), vec![all[..=i].concat()]);
        let mut flip = log.clone();
        flip[i * log.len() / 20 + i] ^= 1 << (i % 8);
        add(&format!("flip {i}"), vec![flip]);
    }
    for (from, to) in [
        ("\"kind\":\"note\"", "\"kind\":\"note\",\"kind\":\"note\""),
        ("\"n\":9007199254740992", "\"n\":1,\"n\":9007199254740992"),
        ("\"seq\":4,", "\"seq\": 4,"),
        ("\"by\":\"a1\"", "\"by\":\"\\u0061\\u0031\""),
        ("\"by\":\"a1\",", ""),
        ("\\u202e", "\u{202e}"),
        ("\\u001b", "\\u001B"),
        ("{\"v\":1,", "{\"v\":2,"),
        ("}", " }"),
    ] {
        let text = String::from_utf8(all[4].to_vec()).unwrap();
        assert!(text.contains(from), "{from}");
        let edited = rehash(text.replacen(from, to, 1).as_bytes());
        add(&format!("{from} as {to}"), vec![[&all[..4].concat(), &edited[..], &all[5..].concat()].concat()]);
        add(&format!("{from} as {to}, last"), vec![[&all[..4].concat(), &edited[..]].concat()]);
    }
    add("crlf", vec![String::from_utf8(log.clone()).unwrap().replace('\n', "\r\n").into_bytes()]);
    add("bom", vec![[b"\xef\xbb\xbf", &log[..]].concat()]);
    add("zeros after", vec![[&log[..], &[0; 9000]].concat()]);
    add("zeros for the end", vec![[&log[..log.len() - 50], &[0; 50]].concat()]);
    for at in [3, 19] {
        let mut zeros = log.clone();
        let start = all[..at].concat().len();
        zeros[start + 5..start + 90].fill(0);
        add(&format!("zeros in {at}"), vec![zeros]);
    }
    add("garbage inside", vec![[&all[..9].concat(), &b"garbage\n"[..], &all[9..].concat()].concat()]);
    add("garbage after", vec![[&log[..], b"garbage\n"].concat()]);
    add("endless", vec![[&log[..], &vec![b'x'; 300_000]].concat()]);

    // Resumed twice, the first time without getting to write its first record whole.
    let memory = Memory::of(&[&log[..log.len() - 30]]);
    let second = memory.clone();
    drop(Log::resume(memory, "a1", stamp(30), &mut |_| Ok(())).unwrap());
    let torn = second.bytes(2)[..100].to_vec();
    second.put("audit-000002.jsonl", &torn);
    let (mut resumed, _) = Log::resume(second.clone(), "a1", stamp(31), &mut |_| Ok(())).unwrap();
    resumed.append(vec![draft(32, "note", json!({}))], true).unwrap();
    let segments = [1, 2, 3].map(|n| second.bytes(n));
    add("resumed twice", segments.to_vec());
    add("second gone", vec![segments[0].clone(), segments[2].clone()]);
    add("torn twice", segments[..2].to_vec());
    for i in 0..3 {
        let mut other = segments.clone();
        let last = other[i].len() - 5;
        other[i][last] ^= 1;
        add(&format!("segment {i} changed"), other.to_vec());
        let mut other = segments.clone();
        other[i].truncate(last);
        add(&format!("segment {i} shortened"), other.to_vec());
    }
    let other = Memory::default();
    Log::create(other.clone(), "01JH8Q3V5K6M7N8P9QRSTVWXY0").unwrap().append(drafts(), true).unwrap();
    add("of another run", vec![log.clone(), other.bytes(1)]);

    let anchor = format!("19:{}", Envelope::parse(all[19]).unwrap().hash);
    let anchored: Vec<_> = logs
        .iter()
        .filter(|(name, ..)| name.starts_with("rewritten") || name.starts_with("cut after") || name == "good")
        .cloned()
        .collect();
    logs.extend(anchored.into_iter().map(|(name, log, _)| (format!("{name}, anchored"), log, Some(anchor.clone()))));
    logs
}

#[test]
fn an_independent_verifier_agrees() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is needed here");
        println!("skipped: no python3");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let corpus = corpus();
    let (mut arguments, mut ours) = (Vec::new(), Vec::new());
    for (i, (_, segments, anchor)) in corpus.iter().enumerate() {
        let dir = place.path().join(i.to_string());
        std::fs::create_dir(&dir).unwrap();
        for (n, bytes) in segments.iter().enumerate() {
            std::fs::write(dir.join(format!("audit-{:06}.jsonl", n + 1)), bytes).unwrap();
        }
        let anchors = anchor.iter().map(|a| a.parse().unwrap()).collect();
        let report = verify(&dir, &Options { anchors, ..Options::default() }, &mut |_| Ok(())).unwrap();
        let verdict = serde_json::to_value(report.verdict).unwrap();
        ours.push(format!("{} {} {}", verdict.as_str().unwrap(), report.chained, report.head));
        let anchor = anchor.as_ref().map_or(String::new(), |a| format!("={a}"));
        arguments.push(format!("{}{anchor}", dir.display()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/verify_log.py");
    let output = Command::new("python3").arg(script).args(&arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = said.lines().collect();
    assert_eq!(theirs.len(), ours.len(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut whole = 0;
    for (((name, ..), ours), theirs) in corpus.iter().zip(&ours).zip(theirs) {
        assert_eq!(ours, theirs, "{name}");
        whole += usize::from(ours.starts_with("whole"));
    }
    assert!(corpus.len() >= 200 && whole >= 40, "{} logs, {whole} whole", corpus.len());
    assert_eq!(output.status.code(), Some(9));
    println!("{} logs, {whole} whole", corpus.len());
}

#[test]
fn one_record_can_be_checked_with_coreutils() {
    let log = twenty();
    let line = String::from_utf8(lines(&log)[4].to_vec()).unwrap();
    let (body, hash) = line.split_at(line.rfind(",\"hash\":").unwrap());
    assert_eq!(backout::text::sha256(body.as_bytes()), hash[9..73]);
    assert_eq!(judge(&log).run.as_deref(), Some(RUN));
}
