//! The audit log under every bit flip, cut, crash and hostile file that could be thought of.

mod crash;
mod files;
mod python;
mod show;
mod tamper;

use backout::audit::line::{Draft, Envelope, Stamp};
use backout::audit::log::Log;
use backout::audit::store::{LogSink, Store, segment_name};
use backout::audit::verify::{Options, Report, walk};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

pub const RUN: &str = "01JH8Q3V5K6M7N8P9QRSTVWXYZ";

pub fn draft(n: u64, kind: &str, payload: Value) -> Draft {
    let Stamp { ts, mono, boot } = stamp(n);
    let step = (!n.is_multiple_of(3)).then(|| format!("step-{n}"));
    let att = step.is_some().then_some(1);
    Draft { by: "a1".to_owned(), step, att, kind: kind.to_owned(), payload, ts, mono, boot }
}

pub fn stamp(n: u64) -> Stamp {
    let ts = Timestamp::from_microsecond(1_767_579_069_123_456 + i64::try_from(n).unwrap() * 1_000_003).unwrap();
    Stamp { ts, mono: 81_234_567_890 + n * 1_000, boot: "3f2a91c0".to_owned() }
}

/// Twenty records of the sizes and characters that occur.
pub fn drafts() -> Vec<Draft> {
    (0..20)
        .map(|n| match n % 4 {
            0 => draft(
                n,
                "note",
                json!({ "text": "zażółć \u{1b}[2J \"q\" \\ \u{202e}\u{7f}\n", "n": 9_007_199_254_740_992_u64 }),
            ),
            1 => draft(
                n,
                "intent",
                json!({ "key": "k", "offset": "18446744073709551615", "deep": [{ "a": null }, [-1, true]] }),
            ),
            2 => draft(n, "checked", json!({})),
            _ => draft(n, "outcome", json!({ "result": "ok", "marker": true, "ts": 12 })),
        })
        .collect()
}

/// Segments in memory: what was written, and how much of it was synced.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Disk>>);

#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<String, (Vec<u8>, usize)>,
    /// Calls until one fails, and from then on all do.
    pub fuse: Option<u32>,
    /// How much of an append that fails reaches the file.
    pub partial: usize,
}

impl Disk {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::from_raw_os_error(28)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Memory {
    pub fn of(segments: &[&[u8]]) -> Self {
        let memory = Self::default();
        for (i, bytes) in segments.iter().enumerate() {
            memory.put(&segment_name(u32::try_from(i).unwrap() + 1), bytes);
        }
        memory
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.0.lock().unwrap().files.insert(name.to_owned(), (bytes.to_vec(), bytes.len()));
    }

    pub fn bytes(&self, segment: u32) -> Vec<u8> {
        self.0.lock().unwrap().files[&segment_name(segment)].0.clone()
    }
}

impl Store for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let bytes = self.0.lock().unwrap().files[name].0.clone();
        let len = bytes.len() as u64;
        Ok((Box::new(io::Cursor::new(bytes)), len))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogSink>> {
        let mut disk = self.0.lock().unwrap();
        disk.burn()?;
        assert!(disk.files.insert(name.to_owned(), (Vec::new(), 0)).is_none(), "{name} was created twice");
        drop(disk);
        Ok(Box::new(MemorySink { disk: self.0.clone(), name: name.to_owned(), dead: false }))
    }
}

struct MemorySink {
    disk: Arc<Mutex<Disk>>,
    name: String,
    dead: bool,
}

impl LogSink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!self.dead, "a sink that failed was used again");
        let mut disk = self.disk.lock().unwrap();
        let burnt = disk.burn();
        let taken = if burnt.is_ok() { bytes.len() } else { disk.partial.min(bytes.len()) };
        disk.files.get_mut(&self.name).unwrap().0.extend_from_slice(&bytes[..taken]);
        self.dead = burnt.is_err();
        burnt
    }

    fn sync(&mut self) -> io::Result<()> {
        assert!(!self.dead, "a failed sync was tried again");
        let mut disk = self.disk.lock().unwrap();
        let burnt = disk.burn();
        if burnt.is_ok() {
            let file = disk.files.get_mut(&self.name).unwrap();
            file.1 = file.0.len();
        }
        self.dead = burnt.is_err();
        burnt
    }

    fn health(&self) -> io::Result<()> {
        Ok(())
    }
}

pub fn twenty() -> Vec<u8> {
    let memory = Memory::default();
    let mut log = Log::create(memory.clone(), RUN).unwrap();
    log.append(drafts(), true).unwrap();
    memory.bytes(1)
}

pub fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|&b| b == b'\n').collect()
}

pub fn check(store: &Memory, options: &Options) -> Report {
    walk(store, options, &mut |_| Ok(())).unwrap().report
}

pub fn judge(log: &[u8]) -> Report {
    check(&Memory::of(&[log]), &Options::default())
}

/// The line with its hash made right again, as somebody with the source of this program would.
pub fn rehash(line: &[u8]) -> Vec<u8> {
    let body = &line[..line.len() - 76];
    let mut out = body.to_vec();
    out.extend_from_slice(format!(",\"hash\":\"{}\"}}\n", backout::text::sha256(body)).as_bytes());
    out
}

/// Every record after `from` chained anew: what an attacker with the files can do.
pub fn rechain(lines: &[&[u8]], from: usize) -> Vec<u8> {
    let mut out: Vec<u8> = lines[..from].concat();
    let mut prev = from.checked_sub(1).map(|i| Envelope::parse(lines[i]).unwrap().hash);
    for line in &lines[from..] {
        let record = Envelope::parse(line).unwrap_or_else(|_| Envelope::parse(&rehash(line)).unwrap());
        let prev_now = prev.take().unwrap_or_else(|| record.prev.clone());
        let text = String::from_utf8(line.to_vec()).unwrap().replacen(&record.prev, &prev_now, 1);
        let line = rehash(text.as_bytes());
        prev = Some(Envelope::parse(&line).unwrap().hash);
        out.extend_from_slice(&line);
    }
    out
}
