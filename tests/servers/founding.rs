//! The founding incident, headless, on every combination of servers: the same runbook, the same end state.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::support;

/// The topic's and the groups' names are the runbook's, so plays on one real cluster take turns.
static CLUSTER: Mutex<()> = Mutex::new(());

struct Play {
    state: tempfile::TempDir,
    place: Vec<String>,
}

impl Play {
    fn on(place: &[&str]) -> Self {
        Self { state: support::state_dir(), place: place.iter().map(|s| (*s).to_owned()).collect() }
    }

    fn backout(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("BACKOUT_FAULT");
        command
    }

    fn drive(&self, command: &mut Command, answers: &Path) -> Output {
        command.arg("--headless").arg("--answers").arg(answers).arg("--state-dir").arg(self.state.path());
        command.output().unwrap()
    }

    fn rehearse(&self, answers: &Path, fault: Option<&str>) -> Output {
        let mut command = self.backout();
        command.arg("rehearse").arg("runbooks/checkout-v2").args(&self.place);
        if let Some(fault) = fault {
            command.env("BACKOUT_FAULT", fault);
        }
        self.drive(&mut command, answers)
    }

    fn resume(&self, answers: &Path) -> Output {
        let mut command = self.backout();
        command.arg("resume");
        self.drive(&mut command, answers)
    }

    fn verify(&self) -> Output {
        self.backout().args(["audit", "verify", "--state-dir"]).arg(self.state.path()).output().unwrap()
    }

    fn show(&self) -> String {
        let output = self.backout().args(["audit", "show", "--state-dir"]).arg(self.state.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The scoring's assertions that did not hold.
    fn failures(&self) -> Vec<String> {
        let dir = self.state.path().join("rehearsals").join("checkout-v2");
        let assertions = support::blocking(async move { backout::rehearsal::score::assess(&dir).await }).unwrap();
        assert!(assertions.len() >= 7, "{assertions:?}");
        assertions.into_iter().filter(|a| !a.passed).map(|a| format!("{}: {}", a.what, a.found)).collect()
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let ended = self
            .backout()
            .args(["rehearse", "runbooks/checkout-v2", "--end", "--state-dir"])
            .arg(self.state.path())
            .output();
        assert!(ended.is_ok_and(|output| output.status.success()) || std::thread::panicking());
    }
}

fn answers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/checkout-v2/answers.yaml")
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// To the end, and everything that the issue of the story promises about the end.
fn recovers(play: &Play) {
    let output = play.rehearse(&answers(), None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    whole(play);
}

fn whole(play: &Play) {
    assert_eq!(play.failures(), Vec::<String>::new());
    let verified = play.verify();
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
}

#[test]
fn sqlite_and_the_mock_cluster() {
    recovers(&Play::on(&["--on", "sqlite"]));
}

#[test]
fn postgres_and_the_mock_cluster() {
    if support::server("founding", support::POSTGRES).is_some() {
        recovers(&Play::on(&["--on", "postgres"]));
    }
}

#[test]
fn sqlite_and_apache_kafka() {
    if let Some(brokers) = support::server("founding", support::KAFKA) {
        let _turn = CLUSTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recovers(&Play::on(&["--on", "sqlite", "--kafka", &brokers]));
    }
}

#[test]
fn a_given_postgres_and_apache_kafka() {
    let database = support::postgres_database("founding");
    let brokers = support::server("founding", support::KAFKA);
    if let (Some(database), Some(brokers)) = (database, brokers) {
        let _turn = CLUSTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recovers(&Play::on(&["--postgres-url", &database.url, "--kafka", &brokers]));
    }
}

/// The answers file with one line in another form.
fn with(play: &Play, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(answers()).unwrap();
    assert!(text.contains(from), "the answers file has no {from}");
    let path = play.state.path().join("answers.yaml");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path
}

#[test]
fn repair_with_the_straggler_alive_is_refused() {
    let play = Play::on(&["--on", "sqlite"]);
    let skip = r#"stop-straggler: { skip: true, reason: "it looks idle to me" }"#;
    let answers = with(&play, r#"stop-straggler: { token: "stop-straggler@rehearsal" }"#, skip);
    let output = play.rehearse(&answers, None);
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("checkout-v2 gone is fail"), "{}", said(&output));
    assert!(!play.show().contains(" tx_open"), "the rename must not have begun");
}

#[test]
fn a_wrong_token_changes_nothing() {
    let play = Play::on(&["--on", "sqlite"]);
    let answers = with(&play, r#"token: "orders@shop""#, r#"token: "orders@production""#);
    let output = play.rehearse(&answers, None);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
}

/// Killed at a point, taken up again: the end is the same, and nothing happened twice.
fn killed_at(point: &str) {
    let play = Play::on(&["--on", "sqlite"]);
    let killed = play.rehearse(&answers(), Some(point));
    assert_eq!(killed.status.code(), None, "it was to be killed at {point}: {}", said(&killed));
    let resumed = play.resume(&answers());
    assert_eq!(resumed.status.code(), Some(0), "{point}: {}", said(&resumed));
    whole(&play);
}

#[test]
fn killed_before_a_command_begins() {
    killed_at("begun");
}

#[test]
fn killed_with_the_transaction_open() {
    killed_at("tx_open");
}

#[test]
fn killed_before_commit() {
    killed_at("ready");
}

#[test]
fn killed_before_the_bytes_leave() {
    killed_at("sent");
}
