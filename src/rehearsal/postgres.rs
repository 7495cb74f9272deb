//! A throw-away PostgreSQL server from the binaries of this machine.
//!
//! Owns its data folder and its process, and ends both when dropped. Never touches a server that it did not start.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::shop::Shop;
use crate::failure::{Failure, Kind, Result};

/// The user of the throw-away server.
const USER: &str = "rehearsal";

/// A running server.
pub struct Server {
    child: Child,
    data: PathBuf,
    pub url: String,
}

/// The folder of `initdb` and `postgres`: in PATH, else the highest version where Debian puts them.
pub fn binaries() -> Option<PathBuf> {
    let complete = |dir: &Path| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(dir) = std::env::split_paths(&path).find(|dir| complete(dir)) {
        return Some(dir);
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, dir)| complete(dir))
        .collect();
    found.sort();
    found.pop().map(|(_, dir)| dir)
}

impl Server {
    /// Makes a data folder and starts a server on a free loopback port, with a password known to the sandbox alone.
    ///
    /// `home` holds the data folder, unless this is root: the server refuses to run as root, and its user cannot enter
    /// root's folders, so the data then stands in the folder for temporary files.
    pub async fn start(home: &Path, password: &str) -> Result<Self> {
        let failed = |what: &str| Failure::new(Kind::Target, format!("the throw-away PostgreSQL: {what}"));
        let bin = binaries().ok_or_else(|| {
            failed("no initdb and postgres on this machine")
                .hint("install the PostgreSQL server package, or rehearse with --on sqlite")
        })?;
        let user = user_for_server();
        let data = match user {
            Some(_) => std::env::temp_dir().join(format!("backout-postgres-{}", std::process::id())),
            None => home.join("postgres"),
        };
        let log = data.join("server.log");
        make_folder(&data, user).map_err(|e| failed("cannot make its folder").cause(e))?;
        // From here on, whatever fails, the folder goes away again.
        let mut folder = Folder(Some(data.clone()));

        let secret = data.join("password");
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&secret)
            .and_then(|mut file| file.write_all(password.as_bytes()))
            .and_then(|()| user.map_or(Ok(()), |(uid, gid)| chown(&secret, Some(uid), Some(gid))))
            .map_err(|e| failed("cannot write its password file").cause(e))?;

        let cluster = data.join("cluster");
        let made = as_user(Command::new(bin.join("initdb")), user)
            .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .arg("--pwfile")
            .arg(&secret)
            .arg("--pgdata")
            .arg(&cluster)
            .current_dir(&data)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| failed("cannot start initdb").cause(e))?;
        let _ = std::fs::remove_file(&secret);
        if !made.status.success() {
            return Err(failed("initdb failed").cause(String::from_utf8_lossy(&made.stderr).trim()));
        }

        let mut last = String::new();
        // The port is free when asked, and may be taken a moment later.
        for _ in 0..3 {
            let port = free_port().map_err(|e| failed("no free port").cause(e))?;
            let child = start_server(&bin, &cluster, &log, port, user).map_err(|e| failed("cannot start").cause(e))?;
            let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
            let mut server = Self { child, data: data.clone(), url };
            match server.wait_until_up().await {
                Ok(()) => {
                    folder.0 = None;
                    return Ok(server);
                }
                Err(why) => {
                    server.stop();
                    last = format!("{why}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
                }
            }
        }
        Err(failed("it does not come up").cause(last.trim()))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    async fn wait_until_up(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at once: {status}"));
            }
            let why = match Shop::open(&self.url, "backout-sandbox").await {
                Ok(shop) => {
                    shop.close("backout-sandbox").await;
                    return Ok(());
                }
                Err(e) => e.to_string(),
            };
            if Instant::now() > until {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Immediate shutdown: nothing in it is worth a checkpoint.
    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

struct Folder(Option<PathBuf>);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn make_folder(data: &Path, user: Option<(u32, u32)>) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(data);
    std::fs::create_dir_all(data)?;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))?;
    match user {
        Some((uid, gid)) => chown(data, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn start_server(bin: &Path, cluster: &Path, log: &Path, port: u16, user: Option<(u32, u32)>) -> std::io::Result<Child> {
    let out = File::create(log)?;
    let mut command = as_user(Command::new(bin.join("postgres")), user);
    command
        .arg("-D")
        .arg(cluster)
        .arg("-p")
        .arg(port.to_string())
        .args(["-h", "127.0.0.1", "-k", "", "-F"])
        .args(["-c", "max_connections=40", "-c", "shared_buffers=16MB", "-c", "autovacuum=off"])
        .args(["-c", "full_page_writes=off", "-c", "synchronous_commit=off"])
        .current_dir(cluster)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    die_with_parent(&mut command);
    command.spawn()
}

/// A sandbox that is killed takes its server with it.
#[allow(unsafe_code)]
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes one system call; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| rustix::process::set_parent_process_death_signal(Some(Signal::QUIT)).map_err(Into::into));
    }
}

/// `None`: as ourselves.
pub fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom the server runs as where this is root: `postgres` if there is such a user, else `nobody`.
pub fn user_for_server() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, fields.next()?.parse().ok()?))
        })
    };
    find("postgres").or_else(|| find("nobody")).or(Some((65534, 65534)))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
