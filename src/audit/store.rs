//! Where segments live: a directory of the run in production, memory in the model of crashes.
//!
//! Owns file modes, the flags every file is opened with, and the look at whether our file is still our file. Knows
//! nothing of records.

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open segment. After the first error of any call nothing more is asked of it, and above all no sync is tried
/// again: the kernel may have dropped the pages and would answer yes.
pub trait LogSink: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Is this still the file that was created, under its name, with what was appended and nothing else?
    fn health(&self) -> io::Result<()>;
}

/// A set of segments.
pub trait Store: Send {
    /// Names of everything that claims to be a segment (`audit-…`), sorted.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The bytes that stand in a segment now, and how many they are.
    fn open(&self, name: &str) -> io::Result<(Box<dyn Read + '_>, u64)>;
    /// A new, empty segment whose name survives a power loss. Never opens one that exists.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogSink>>;
}

/// `audit-000001.jsonl` for 1.
pub fn segment_name(number: u32) -> String {
    format!("audit-{number:06}.jsonl")
}

/// The number in a segment's name, if it is one.
pub fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok()?;
    (segment_name(number) == name && number > 0).then_some(number)
}

/// The directory of one run, held open: what happens to its path later does not redirect us.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Creates the directory, 0700; fails if it exists.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            private_dirs(parent)?;
        }
        rustix::fs::mkdir(path, Mode::RWXU)?;
        let dir = Self::open(path)?;
        rustix::fs::fchmod(&dir.fd, Mode::RWXU)?;
        if let Some(parent) = path.parent() {
            rustix::fs::fsync(File::open(parent)?)?;
        }
        Ok(dir)
    }

    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens a directory that a group may read, and creates it, 0750, if it is not there. A set-group-id parent hands
    /// its group down.
    pub fn shared(path: &Path) -> io::Result<Self> {
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP;
        match rustix::fs::mkdir(path, mode) {
            Err(rustix::io::Errno::EXIST) => Self::open(path),
            Err(e) => Err(e.into()),
            Ok(()) => {
                let dir = Self::open(path)?;
                let inherited = Mode::from_raw_mode(rustix::fs::fstat(&dir.fd)?.st_mode) & Mode::SGID;
                rustix::fs::fchmod(&dir.fd, mode | inherited)?;
                Ok(dir)
            }
        }
    }

    /// Opens a file that the group may read, 0640, for reading and appending; creates it if it is not there.
    pub fn shared_file(&self, name: &str) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags | OFlags::NONBLOCK, mode)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        rustix::fs::fchmod(&file, mode)?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file of the run, 0600, that did not exist, and makes its name durable.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fsync(&fd)?;
        rustix::fs::fsync(&self.fd)?;
        Ok(File::from(fd))
    }

    /// Opens a regular file of the run for reading; a link, a pipe or a device is an error.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }
}

impl Store for Dir {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("audit-") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let file = self.open_file(name)?;
        let len = file.metadata()?.len();
        // A file that grows while it is read is read to where it stood.
        Ok((Box::new(file.take(len)), len))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogSink>> {
        let file = self.create_file(name)?;
        let dir = self.fd.try_clone()?;
        Ok(Box::new(FileSink { file, dir, name: name.to_owned(), len: 0 }))
    }
}

struct FileSink {
    file: File,
    dir: OwnedFd,
    name: String,
    len: u64,
}

impl LogSink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn health(&self) -> io::Result<()> {
        let ours = rustix::fs::fstat(&self.file)?;
        if ours.st_nlink == 0 {
            return Err(io::Error::other("the log file was deleted while it was open"));
        }
        let named = rustix::fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino) {
            return Err(io::Error::other("another file took the log file's name"));
        }
        match u64::try_from(ours.st_size) {
            Ok(len) if len == self.len => Ok(()),
            _ => Err(io::Error::other(format!(
                "the log file has {} bytes, {} were written: another process changed it",
                ours.st_size, self.len
            ))),
        }
    }
}

/// The right to write a run, held by one process at a time and let go by the kernel when it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the run, or says which process holds it.
    ///
    /// # Errors
    /// The outer error is the file system's; the inner is the process id in the lock file, when it can be read.
    pub fn take(dir: &Dir) -> io::Result<Result<Self, Option<u32>>> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&dir.fd, "lock", flags, Mode::RUSR | Mode::WUSR)?);
        match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.take(20).read_to_string(&mut holder)?;
                return Ok(Err(holder.trim().parse().ok()));
            }
            Err(e) => return Err(e.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Ok(Self { _file: file }))
    }
}

/// Creates what is missing of a path, each directory 0700.
fn private_dirs(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
