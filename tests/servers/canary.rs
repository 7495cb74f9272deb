//! A password in an address reaches neither an output, nor a file, nor the list of processes, whatever goes wrong.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{self, Database};

const CANARY: &str = "CANARY-7f3a";
const RUNBOOK: &str = "runbooks/checkout-v2";

/// A superuser of this test alone, whose password is the canary.
struct Bird {
    database: Database,
    name: String,
    url: String,
}

impl Bird {
    fn hatch() -> Option<Self> {
        let database = support::postgres_database("canary")?;
        let name = support::unique("canary_role");
        let url = database.url.replace("//backout:backout@", &format!("//{name}:{CANARY}@"));
        assert_ne!(url, database.url, "the server's user has another name or password");
        sql(&database.url, format!("CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{CANARY}'"));
        Some(Self { database, name, url })
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let name = &self.name;
        sql(&self.database.url, format!("REASSIGN OWNED BY {name} TO backout; DROP OWNED BY {name}; DROP ROLE {name}"));
    }
}

fn sql(url: &str, statement: String) {
    let url = url.to_owned();
    support::blocking(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    });
}

/// Everything that can be seen of the runs of one test.
struct Cage {
    state: tempfile::TempDir,
}

impl Cage {
    fn new() -> Self {
        Self { state: support::state_dir() }
    }

    fn backout(&self, words: &[&str], env: &[(&str, &str)]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_backout"))
            .args(words)
            .envs(env.iter().copied())
            .env("BACKOUT_LOG", "trace")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            assert!(!holds(bytes), "{words:?} says the password:\n{}", String::from_utf8_lossy(bytes));
        }
        output
    }

    /// With the state directory, and the headless driver's answers.
    fn driven(&self, words: &[&str], env: &[(&str, &str)]) -> Output {
        let answers = format!("{RUNBOOK}/answers.yaml");
        let state = self.state.path().to_str().unwrap();
        self.backout(&[words, &["--headless", "--answers", &answers, "--state-dir", state]].concat(), env)
    }

    /// No file below the state directory holds it, and there are files.
    fn files_are_clean(&self) {
        let mut files = Vec::new();
        walk(self.state.path(), &mut files);
        assert!(files.iter().any(|file| file.ends_with("audit-000001.jsonl")), "{files:?}");
        for file in files {
            // How resume finds the sandbox's world again: for its owner's eyes, and no part of any run.
            if file.ends_with("sandbox.json") {
                assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o077, 0, "{} is readable", file.display());
                continue;
            }
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!holds(&bytes), "{} holds the password", file.display());
        }
    }
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// Looks at the command lines of all processes until it is dropped.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn begin() -> Self {
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (until, found) = (over.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                    if holds(&line) {
                        found.lock().unwrap().push(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { over, seen, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()));
            assert_eq!(*self.seen.lock().unwrap(), Vec::<String>::new(), "a command line holds the password");
        }
    }
}

#[test]
fn a_rehearsal_on_a_given_database_keeps_its_password() {
    let Some(bird) = Bird::hatch() else { return };
    let cage = Cage::new();
    {
        let _watch = Watch::begin();
        let env = [("BACKOUT_SANDBOX_POSTGRES_URL", bird.url.as_str())];
        let output = cage.driven(&["rehearse", RUNBOOK], &env);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("given"), "it was not played on the given database:\n{said}");
        let state = cage.state.path().to_str().unwrap();
        cage.backout(&["audit", "show", "--long", "--state-dir", state], &[]);
        let verified = cage.backout(&["audit", "verify", "--state-dir", state], &[]);
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    }
    cage.files_are_clean();
    let ended = cage.backout(&["rehearse", RUNBOOK, "--end", "--state-dir", cage.state.path().to_str().unwrap()], &[]);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn what_fails_keeps_the_password() {
    let Some(bird) = Bird::hatch() else { return };
    let cage = Cage::new();
    let addresses = [
        bird.url.clone(),
        bird.url.replace(CANARY, &format!("{CANARY}-wrong")),
        bird.url.replace(&bird.database.name, "no_such_database"),
        format!("postgres://oncall:{CANARY}@127.0.0.1:1/shop"),
        format!("postgres://oncall:{CANARY}@127.0.0.1:notaport/shop"),
        format!("postgres://oncall:{CANARY}@192.0.2.1/shop?sslmode=disable"),
        format!("oncall:{CANARY}@127.0.0.1/shop"),
    ];
    let runbook = cage.state.path().join("runbook.yaml");
    let text = "backout: 1\nname: canary\ntitle: A bird\ntargets: { shop: { postgres: \"${SHOP_DATABASE_URL}\" } }\n\
        checks:\n  there: { layer: data, on: shop, title: There, query: \"SELECT count(*) FROM orders\", expect: 1 }\n\
        steps:\n  - id: rename-back\n    phase: repair\n    on: shop\n    ddl: |\n      ALTER TABLE orders RENAME COLUMN b TO a\n";
    std::fs::write(&runbook, text).unwrap();
    let runbook = runbook.to_str().unwrap();
    {
        let _watch = Watch::begin();
        for address in &addresses {
            let env = [("SHOP_DATABASE_URL", address.as_str())];
            assert_ne!(cage.backout(&["survey", runbook], &env).status.code(), Some(0));
            cage.backout(&["survey", runbook, "--json"], &env);
            cage.backout(&["doctor", runbook], &env);
            let output = cage.driven(&["run", runbook], &env);
            assert_ne!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let brokers = "127.0.0.1:1?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=oncall&sasl.password=";
        let env = [
            ("SHOP_DATABASE_URL", addresses[3].as_str()),
            ("KAFKA_BROKERS", &format!("{brokers}{CANARY}")),
            ("PSP_EXPORT", "/nowhere"),
        ];
        assert_eq!(cage.backout(&["survey", RUNBOOK], &env).status.code(), Some(8));
        cage.backout(&["doctor", RUNBOOK], &env);
    }
    cage.files_are_clean();
}

/// An address that is put together in the runbook has its password in a variable of its own.
#[test]
fn a_password_of_its_own_reaches_no_file() {
    let Some(bird) = Bird::hatch() else { return };
    let cage = Cage::new();
    let runbook = cage.state.path().join("runbook.yaml");
    let address = bird.url.replace(CANARY, "${BIRD_PASSWORD}");
    // What a server says may hold it: here it is made to.
    let text = format!(
        "backout: 1\nname: canary\ntitle: A bird\ntargets:\n  shop: {{ postgres: \"{address}\" }}\n\
         checks:\n  echo: {{ layer: data, on: shop, title: Echo, query: \"SELECT 'CANARY' || '-7f3a'\", expect: none }}\n\
         steps:\n  - id: look\n    phase: repair\n    layer: service\n    title: Look\n    manual: {{ what: Look, by: on-call }}\n"
    );
    std::fs::write(&runbook, text).unwrap();
    let answers = cage.state.path().join("answers.yaml");
    std::fs::write(&answers, "answers: 1\nsteps: {}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_backout"))
        .args(["run", runbook.to_str().unwrap(), "--headless", "--answers", answers.to_str().unwrap(), "--state-dir"])
        .arg(cage.state.path())
        .env("BIRD_PASSWORD", CANARY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    cage.files_are_clean();
}
