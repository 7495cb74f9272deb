//! The founding incident, headless, on every combination of servers: the same runbook, the same end state.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use backout::rehearsal::{self, sandbox::Sandbox};

use crate::rehearsal::lifetime;
use crate::support;

mod wrong;

/// The topic's and the groups' names are the runbook's, so plays on one real cluster take turns.
static CLUSTER: Mutex<()> = Mutex::new(());

struct Play {
    state: tempfile::TempDir,
    folder: PathBuf,
    place: Vec<String>,
}

impl Play {
    fn on(place: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/checkout-v2");
        Self { state: support::state_dir(), folder, place: place.iter().map(|s| (*s).to_owned()).collect() }
    }

    fn sandbox(&self) -> Option<Sandbox> {
        rehearsal::alive(&self.dir())
    }

    fn dir(&self) -> PathBuf {
        self.state.path().join("rehearsals").join("checkout-v2")
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
        command.arg("rehearse").arg(&self.folder).args(&self.place);
        if let Some(fault) = fault {
            command.env("BACKOUT_FAULT", fault);
        }
        self.drive(&mut command, answers)
    }

    fn resume(&self, answers: &Path, fault: Option<&str>) -> Output {
        let mut command = self.backout();
        command.arg("resume");
        if let Some(fault) = fault {
            command.env("BACKOUT_FAULT", fault);
        }
        self.drive(&mut command, answers)
    }

    fn verify(&self) -> Output {
        self.backout().args(["audit", "verify", "--state-dir"]).arg(self.state.path()).output().unwrap()
    }

    fn show(&self) -> String {
        let output =
            self.backout().args(["audit", "show", "--long", "--state-dir"]).arg(self.state.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The scoring's assertions that did not hold.
    fn failures(&self) -> Vec<String> {
        let dir = self.dir();
        let assertions = support::blocking(async move { backout::rehearsal::score::assess(&dir).await }).unwrap();
        assert!(assertions.len() >= 7, "{assertions:?}");
        assertions.into_iter().filter(|a| !a.passed).map(|a| format!("{}: {}", a.what, a.found)).collect()
    }
}

impl Drop for Play {
    /// Ends the sandbox, and sees that no process and no folder of it is left.
    fn drop(&mut self) {
        let sandbox = self.sandbox();
        let mut end = self.backout();
        end.arg("rehearse").arg(&self.folder).args(["--end", "--state-dir"]).arg(self.state.path());
        let ended = end.output();
        if std::thread::panicking() {
            return;
        }
        assert!(ended.is_ok_and(|output| output.status.success()));
        if let Some(sandbox) = sandbox {
            lifetime::gone(self.state.path(), &sandbox);
            assert!(sandbox.postgres_data.is_none_or(|data| !data.exists()));
        }
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
        let _turn = given(&brokers);
        recovers(&Play::on(&["--on", "sqlite", "--kafka", &brokers]));
    }
}

#[test]
fn a_given_postgres_and_apache_kafka() {
    let database = support::postgres_database("founding");
    let brokers = support::server("founding", support::KAFKA);
    if let (Some(database), Some(brokers)) = (database, brokers) {
        let _turn = given(&brokers);
        // Not empty: it is played on because it says what it is.
        let url = database.url.clone();
        support::blocking(async move {
            let mut shop = rehearsal::shop::Shop::open(&url, "test").await.unwrap();
            shop.script("CREATE TABLE orders (of_an_earlier text)".to_owned()).await.unwrap();
            rehearsal::declare::database(&url, "tests").await.unwrap();
        });
        recovers(&Play::on(&["--postgres-url", &database.url, "--kafka", &brokers]));
    }
}

/// A turn on the shared cluster, which says of itself that it is for rehearsals.
fn given(brokers: &str) -> (std::sync::MutexGuard<'static, ()>, std::fs::File) {
    let turn = CLUSTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Other runs of these tests may share the cluster too.
    let place = std::env::temp_dir().join(format!("backout-tests.{}.lock", brokers.replace([':', ','], "-")));
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(place).unwrap();
    file.lock().unwrap();
    let brokers = brokers.to_owned();
    support::blocking(async move { backout::target::kafka::declare_rehearsal(&brokers, "tests").await }).unwrap();
    (turn, file)
}

/// Killed at these moments, one process after the other, and taken up again each time: the end is the same, and nothing
/// happened twice.
fn killed_at(on: &str, moments: &[&str]) -> Result<(), String> {
    let play = Play::on(&["--on", on]);
    let mut output = play.rehearse(&answers(), moments.first().copied());
    for n in 0..moments.len() {
        if output.status.code().is_some() {
            return Err(format!("{moments:?}: process {n} was to be killed: {}", said(&output)));
        }
        output = play.resume(&answers(), moments.get(n + 1).copied());
    }
    if output.status.code() != Some(0) {
        return Err(format!("{moments:?} ended with {:?}: {}", output.status.code(), said(&output)));
    }
    let failures = play.failures();
    if !failures.is_empty() {
        return Err(format!("{moments:?}: {failures:?}"));
    }
    let verified = play.verify();
    if verified.status.code() != Some(0) {
        return Err(format!("{moments:?}: {}", said(&verified)));
    }
    twice(&play.show()).map_err(|words| format!("{moments:?}: {words}"))
}

/// A step that was recorded as applied more often than once.
fn twice(log: &str) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let (step, kind) = (words.nth(2).unwrap_or_default(), line);
        if kind.contains(" applied: ") && !seen.insert(step.to_owned()) {
            return Err(format!("{step} was applied twice:\n{log}"));
        }
    }
    Ok(())
}

/// All rows, a few at a time; every row that went wrong is named.
fn matrix(on: &str, rows: Vec<Vec<String>>) {
    let (left, wrong) = (Mutex::new(rows), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(row) = left.lock().unwrap().pop() else { return };
                    let moments: Vec<&str> = row.iter().map(String::as_str).collect();
                    if let Err(words) = killed_at(on, &moments) {
                        wrong.lock().unwrap().push(words);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Every step of the runbook with the moments at which its process may die.
const MOMENTS: [(&str, &[&str]); 13] = [
    ("evidence", &["intent", "finished", "outcome"]),
    ("stop-straggler", &["intent", "begun", "finished", "outcome"]),
    ("pause-loyalty", &["intent", "begun", "finished", "outcome"]),
    ("rename-back", &["intent", "tx_open", "ready", "finished", "outcome"]),
    ("decide-orders", &["intent", "finished", "outcome"]),
    ("confirm-captured", &["intent", "tx_open", "ready", "finished", "outcome"]),
    ("confirm-doubles", &["intent", "tx_open", "ready", "finished", "outcome"]),
    ("hold-authorised", &["intent", "tx_open", "ready", "finished", "outcome"]),
    ("reopen-unpaid", &["intent", "tx_open", "ready", "finished", "outcome"]),
    ("refund-doubles", &["intent", "begun", "item", "finished", "outcome"]),
    ("tolerant-loyalty", &["intent", "begun", "finished", "outcome"]),
    ("tell-downstream", &["intent", "sent", "finished", "outcome"]),
    ("resume-loyalty", &["intent", "begun", "finished", "outcome"]),
];

#[test]
fn killed_once_in_each_kind_of_action() {
    let rows = [
        "evidence:intent",
        "stop-straggler:begun",
        "pause-loyalty:finished",
        "rename-back:ready",
        "decide-orders:finished",
        "confirm-captured:finished",
        "refund-doubles:begun",
        "tell-downstream:sent",
        "tell-downstream:finished",
        "resume-loyalty:outcome",
        "hand-over:intent",
    ];
    matrix("sqlite", rows.iter().map(|row| vec![(*row).to_owned()]).collect());
}

#[test]
fn killed_again_while_it_resumes() {
    let rows = [
        ["rename-back:ready", "rename-back:settled", "rename-back:ready"],
        ["confirm-captured:finished", "confirm-captured:settled", "reopen-unpaid:tx_open"],
        ["refund-doubles:begun", "refund-doubles:begun", "refund-doubles:finished"],
        ["tell-downstream:sent", "tell-downstream:sent", "tell-downstream:finished"],
    ];
    matrix("sqlite", rows.iter().map(|row| row.iter().map(|moment| (*moment).to_owned()).collect()).collect());
}

#[test]
fn a_cluster_on_which_somebody_plays_is_left_to_him() {
    let Some(brokers) = support::server("founding", support::KAFKA) else { return };
    let _turn = given(&brokers);
    let first = Play::on(&["--on", "sqlite", "--kafka", &brokers]);
    let killed = first.rehearse(&answers(), Some("evidence:intent"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    let second = Play::on(&["--on", "sqlite", "--kafka", &brokers]).rehearse(&answers(), None);
    assert_eq!(second.status.code(), Some(8), "{}", said(&second));
    assert!(said(&second).contains("is in use: group "), "{}", said(&second));
    let resumed = first.resume(&answers(), None);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    whole(&first);
}

#[test]
fn a_sandbox_outlives_the_run_that_was_killed_and_is_found_again() {
    let play = Play::on(&["--on", "sqlite"]);
    let killed = play.rehearse(&answers(), Some("pause-loyalty:outcome"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    let before = play.sandbox().expect("the sandbox lives on");
    let resumed = play.resume(&answers(), None);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(play.sandbox(), Some(before));
    whole(&play);
}

#[test]
fn of_two_that_resume_one_run_the_second_is_told_who_holds_it() {
    let play = Play::on(&["--on", "sqlite"]);
    let killed = play.rehearse(&answers(), Some("pause-loyalty:outcome"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    let (one, other) = std::thread::scope(|scope| {
        let [one, other] = [(); 2].map(|()| scope.spawn(|| play.resume(&answers(), None)));
        (one.join().unwrap(), other.join().unwrap())
    });
    let (ended, refused) = if one.status.code() == Some(5) { (other, one) } else { (one, other) };
    assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
    assert!(said(&refused).contains("this run is held by "), "{}", said(&refused));
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    whole(&play);
}

#[test]
#[ignore = "long: one play of half a minute for each step and moment"]
fn killed_at_every_moment_of_every_step() {
    let rows = MOMENTS.iter().flat_map(|(step, moments)| moments.iter().map(move |m| vec![format!("{step}:{m}")]));
    matrix("sqlite", rows.collect());
}

#[test]
#[ignore = "long: as the one above, where the server ends what the killed process had begun"]
fn killed_at_every_moment_of_every_step_on_postgres() {
    if support::server("founding", support::POSTGRES).is_some() {
        let rows = MOMENTS.iter().flat_map(|(step, moments)| moments.iter().map(move |m| vec![format!("{step}:{m}")]));
        matrix("postgres", rows.collect());
    }
}
