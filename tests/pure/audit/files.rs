//! The log on a real file system: modes, links, locks, files that vanish.

use super::{draft, drafts, stamp};
use backout::audit::log::Log;
use backout::audit::store::{Dir, Lock, LogSink, Store};
use backout::audit::verify::{Fault, Verdict};
use backout::audit::{Copier, Follow, Options, RunId, Writer, list_runs, run_dir, show, state_dir, verify};
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn new_run(state: &Path) -> (RunId, PathBuf) {
    let run = RunId::generate(Timestamp::now());
    let dir = run_dir(state, &run);
    (run, dir)
}

fn whole(dir: &Path) -> backout::audit::Report {
    verify(dir, &Options::default(), &mut |_| Ok(())).unwrap()
}

#[tokio::test]
async fn a_run_is_written_resumed_and_verified() {
    let state = tempfile::tempdir().unwrap();
    let (run, dir) = new_run(state.path());
    let writer = Writer::create(&dir, run.as_str()).unwrap();
    let records = writer.append(drafts(), true).await.unwrap().unwrap();
    assert_eq!((records.len(), records[19].seq), (20, 19));
    let held = Writer::resume(&dir, "a1", stamp(30), &mut |_| Ok(())).unwrap_err();
    assert!(held.to_string().contains(&format!("held by process {}", std::process::id())), "{held}");
    writer.append(vec![draft(20, "heartbeat", json!({}))], false).await.unwrap().unwrap();
    writer.close().unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("audit-000001.jsonl")), mode(&dir.join("lock"))), (0o700, 0o600, 0o600));
    let before = fs::read(dir.join("audit-000001.jsonl")).unwrap();
    let mut seen = 0;
    let (writer, report) = Writer::resume(&dir, "a1", stamp(30), &mut |_| {
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((seen, report.chained), (21, 21));
    let record = writer.append(vec![draft(31, "note", json!({ "a": "\u{1b}[2J" }))], true).await.unwrap().unwrap();
    assert_eq!(record[0].seq, 22);
    assert!(show(&record[0]).as_str().ends_with("a=\"\\u{1b}[2J\""), "{}", show(&record[0]));
    writer.close().unwrap();
    assert_eq!(fs::read(dir.join("audit-000001.jsonl")).unwrap(), before, "the old segment is untouched");
    let report = whole(&dir);
    assert_eq!((report.verdict, report.segments.len(), report.run.as_deref()), (Verdict::Whole, 2, Some(run.as_str())));
    assert_eq!(list_runs(state.path()).unwrap(), [run]);
    assert!(list_runs(&state.path().join("none")).unwrap().is_empty());
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let state = tempfile::tempdir().unwrap();
    let (run, dir) = new_run(state.path());
    let writer = Writer::create(&dir, run.as_str()).unwrap();
    let mut follow = Follow::new(&dir).unwrap();
    assert!(follow.poll().unwrap().is_empty());
    let written = writer.append(drafts(), false).await.unwrap().unwrap();
    assert_eq!(follow.poll().unwrap(), written);
    assert!(follow.poll().unwrap().is_empty());
    writer.close().unwrap();
    let first = dir.join("audit-000001.jsonl");
    let mut torn = fs::read(&first).unwrap();
    torn.extend_from_slice(b"{\"v\":1,");
    fs::write(&first, &torn).unwrap();
    assert!(follow.poll().unwrap().is_empty(), "a record that is being written is left alone");
    let (writer, _) = Writer::resume(&dir, "a1", stamp(30), &mut |_| Ok(())).unwrap();
    for n in 0..1200 {
        writer.append(vec![draft(n, "note", json!({}))], n == 1199).await.unwrap().unwrap();
    }
    assert_eq!(follow.poll().unwrap().len(), 1000);
    assert_eq!(follow.poll().unwrap().last().map(|record| record.seq), Some(1220));
    let mut late = Follow::new(&dir).unwrap();
    assert_eq!((late.poll().unwrap().len(), late.poll().unwrap().len()), (1000, 221));
    let second = dir.join("audit-000002.jsonl");
    let mut bad = fs::read(&second).unwrap();
    bad[300] ^= 1;
    fs::write(&second, &bad).unwrap();
    assert_eq!(Follow::new(&dir).unwrap().poll().unwrap_err().exit_code(), 9);
}

#[tokio::test]
async fn a_second_copy_is_kept_and_caught_up() {
    let state = tempfile::tempdir().unwrap();
    let (run, dir) = new_run(state.path());
    let copy = state.path().join("share");
    let writer = Writer::create(&dir, run.as_str()).unwrap();
    writer.append(drafts(), true).await.unwrap().unwrap();
    assert_eq!(Copier::start(&dir, &copy).unwrap().close(), None);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&copy), mode(&copy.join("audit-000001.jsonl"))), (0o750, 0o640));
    writer.append(drafts(), true).await.unwrap().unwrap();
    writer.close().unwrap();
    let copier = Copier::start(&dir, &copy).unwrap();
    let (writer, _) = Writer::resume(&dir, "a1", stamp(30), &mut |_| Ok(())).unwrap();
    writer.close().unwrap();
    assert_eq!(copier.close(), None);
    assert_eq!((whole(&copy).verdict, whole(&copy).head), (Verdict::Whole, whole(&dir).head));
    assert_eq!(whole(&copy).records, 41);
    // A copy that somebody changed is left as the evidence it is.
    let first = copy.join("audit-000001.jsonl");
    let mut bytes = fs::read(&first).unwrap();
    bytes[100] ^= 1;
    fs::write(&first, &bytes).unwrap();
    let said = Copier::start(&dir, &copy).unwrap().close();
    assert_eq!(said.as_deref(), Some("audit-000001.jsonl and its copy are not the same"));
    assert_eq!(fs::read(&first).unwrap(), bytes);
    assert!(Copier::start(&dir, &state.path().join("no/such")).is_err());
}

#[tokio::test]
async fn a_file_that_vanishes_is_noticed() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 4] = [
        (|file| fs::remove_file(file).unwrap(), "deleted"),
        (
            |file| {
                fs::rename(file, file.with_extension("old")).unwrap();
                fs::write(file, "").unwrap();
            },
            "another file",
        ),
        (|file| fs::OpenOptions::new().write(true).open(file).unwrap().set_len(10).unwrap(), "has 10 bytes"),
        (|file| fs::write(file, vec![b'x'; 9000]).unwrap(), "another process changed it"),
    ];
    for (harm, words) in harms {
        let state = tempfile::tempdir().unwrap();
        let (run, dir) = new_run(state.path());
        let writer = Writer::create(&dir, run.as_str()).unwrap();
        writer.append(drafts(), true).await.unwrap().unwrap();
        harm(&dir.join("audit-000001.jsonl"));
        for _ in 0..2 {
            let failure = writer.append(vec![draft(21, "intent", json!({}))], true).await.unwrap().unwrap_err();
            assert!(failure.exit_code() == 74 && failure.to_string().contains(words), "{failure}");
        }
        assert!(writer.close().is_err());
    }
}

/// Alone in its process, since it looks at the high-water mark of the whole of it.
#[test]
#[ignore = "long"]
fn a_big_log_is_verified_in_little_memory() {
    let peak = || -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let state = tempfile::tempdir().unwrap();
    let (run, dir) = new_run(state.path());
    let mut log = Log::create(Dir::create(&dir).unwrap(), run.as_str()).unwrap();
    for n in 0..5_000 {
        log.append(vec![draft(n, "note", json!({ "x": "y".repeat(20_000) }))], false).unwrap();
    }
    log.sync().unwrap();
    let before = peak();
    let start = std::time::Instant::now();
    let report = whole(&dir);
    let (bytes, used) = (report.segments.iter().map(|s| s.bytes).sum::<u64>(), peak() - before);
    println!("{} MiB in {:?}, {used} KiB more, {before} KiB before", bytes >> 20, start.elapsed());
    assert_eq!((report.verdict, report.segments.len()), (Verdict::Whole, 2));
    assert!(peak() < 32 * 1024 && bytes > 64 << 20);
}

#[test]
fn planted_links_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let victim = state.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let (run, dir) = new_run(state.path());
    // The directory itself.
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    symlink(state.path(), &dir).unwrap();
    assert_eq!(Writer::create(&dir, run.as_str()).unwrap_err().exit_code(), 74);
    assert!(Dir::open(&dir).is_err());
    fs::remove_file(&dir).unwrap();
    // A segment, and the lock.
    let open = Dir::create(&dir).unwrap();
    symlink(&victim, dir.join("audit-000001.jsonl")).unwrap();
    assert!(Store::create(&open, "audit-000001.jsonl").is_err());
    let report = whole(&dir);
    assert_eq!((report.verdict, report.findings[0].fault), (Verdict::Broken, Fault::Unreadable), "{report}");
    symlink(&victim, dir.join("lock")).unwrap();
    assert!(Lock::take(&open).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn what_is_not_a_file_is_not_read() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path();
    assert_eq!(whole(dir).findings[0].fault, Fault::Empty);
    fs::write(dir.join("audit-000001.jsonl"), "").unwrap();
    assert_eq!(whole(dir).exit_code(), 9);
    fs::remove_file(dir.join("audit-000001.jsonl")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(dir.join("audit-000001.jsonl")).status().unwrap();
    assert!(fifo.success());
    let report = whole(dir);
    assert!(report.to_string().contains("not a regular file"), "{report}");
    assert!(verify(&dir.join("gone"), &Options::default(), &mut |_| Ok(())).is_err());
}

/// Every segment of it is `/dev/full`.
struct Full;

impl Store for Full {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn open(&self, _: &str) -> io::Result<(Box<dyn io::Read + '_>, u64)> {
        Err(io::Error::other("nothing can be read from it"))
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn LogSink>> {
        Ok(Box::new(FullSink(fs::OpenOptions::new().write(true).open("/dev/full")?)))
    }
}

struct FullSink(fs::File);

impl LogSink for FullSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.0, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        panic!("nothing was written")
    }

    fn health(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_device_poisons() {
    let writer = Writer::over(Log::create(Full, "01JH8Q3V5K6M7N8P9QRSTVWXYZ").unwrap(), None);
    for sync in [true, false, true] {
        let failure = writer.append(drafts(), sync).await.unwrap().unwrap_err();
        assert!(failure.exit_code() == 74 && failure.to_string().contains("No space left"), "{failure}");
    }
    assert_eq!(writer.close().unwrap_err().exit_code(), 74);
}

#[test]
fn the_debug_log_is_private_and_started_once() {
    let dir = tempfile::tempdir().unwrap();
    let guard = backout::telemetry::start(dir.path()).unwrap();
    tracing::debug!(target: "backout", seq = 7, "told");
    tracing::debug!(target: "sqlx", "not told");
    assert_eq!(backout::telemetry::start(dir.path()).err().map(|failure| failure.exit_code()), Some(70));
    drop(guard);
    let path = dir.path().join("debug.log");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("told seq=7") && !text.contains("not told") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn run_ids_sort_by_time() {
    let at = |millis| RunId::generate(Timestamp::from_millisecond(millis).unwrap());
    let (a, b, c) = (at(1_767_579_069_123), at(1_767_579_069_124), at(1_900_000_000_000));
    assert!(a < b && b < c && a.as_str().len() == 26 && a.run8().len() == 8);
    assert_eq!(a.as_str()[..10], at(1_767_579_069_123).as_str()[..10]);
    assert_ne!(at(1), at(1));
    assert_eq!(a.as_str().parse::<RunId>().unwrap(), a);
    for wrong in ["", "..", "01JH8Q3V5K6M7N8P9QRSTVWXY", "01jh8q3v5k6m7n8p9qrstvwxyz", "81JH8Q3V5K6M7N8P9QRSTVWXYZ"] {
        assert_eq!(wrong.parse::<RunId>().unwrap_err().exit_code(), 2);
    }
    assert_eq!(state_dir(Some(Path::new("/x"))), Path::new("/x"));
    assert!(state_dir(None).ends_with("backout"));
}
