//! Two runs of one runbook on one database, each a process of its own: the claim fences the second, who is told so, and
//! nothing is applied twice.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use backout::action::marker;
use backout::target::{Handle, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::shop::Shop;
use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: two-runs
title: Two runs on one shop
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: rename-back
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
  - id: credit
    on: shop
    title: Give one cent to each
    change: { sql: "UPDATE orders SET amount_cents = amount_cents + 1 WHERE id <= 3" }
"#;

/// A database that declares itself a rehearsal, with ten orders of which three are to be changed.
async fn database() -> Option<(Database, Shop)> {
    let database = support::postgres_database("takeover")?;
    let shop = Shop::with(RUNBOOK, &database.url, "run-setup");
    shop.fill("order_status").await;
    let Handle::Postgres(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
    postgres::declare_rehearsal(&mut own, "takeover").await.unwrap();
    Some((database, shop))
}

/// One operator, with a state directory and answers of their own.
pub struct Operator {
    name: &'static str,
    dir: tempfile::TempDir,
    pub url: String,
}

impl Operator {
    pub fn new(name: &'static str, url: &str, rename: &str, credit: &str) -> Self {
        let operator = Self { name, dir: support::state_dir(), url: url.to_owned() };
        std::fs::write(operator.file("runbook.yaml"), RUNBOOK).unwrap();
        operator.answers(rename, credit);
        operator
    }

    fn answers(&self, rename: &str, credit: &str) {
        let text = format!(
            "answers: 1\nsteps:\n  rename-back: {{ token: \"{rename}\" }}\n  credit: {{ token: \"{credit}\" }}\n"
        );
        std::fs::write(self.file("answers.yaml"), text).unwrap();
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, verb: &str, fault: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb);
        if verb == "run" {
            command.arg(self.file("runbook.yaml"));
        }
        command.arg("--headless").arg("--answers").arg(self.file("answers.yaml"));
        command.arg("--state-dir").arg(self.file("state")).env("SHOP", &self.url).env("USER", self.name);
        match fault {
            Some(fault) => command.env("BACKOUT_FAULT", fault),
            None => command.env_remove("BACKOUT_FAULT"),
        };
        command
    }

    pub fn does(&self, verb: &str, fault: Option<&str>) -> Output {
        self.command(verb, fault).output().unwrap()
    }

    pub fn starts(&self, verb: &str) -> Child {
        self.command(verb, None).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn log(&self) -> String {
        self.audit(&["show", "--long"])
    }

    pub fn audit(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        let output = command.arg("audit").args(words).arg("--state-dir").arg(self.file("state")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    }

    /// The run's id: the name of its directory.
    pub fn run(&self) -> String {
        let runs = std::fs::read_dir(self.file("state").join("runs")).unwrap();
        let mut names: Vec<_> = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names.remove(0)
    }
}

pub fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn ends(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(40), "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn one(url: &str, sql: &str) -> i64 {
    let (url, sql) = (url.to_owned(), AssertSqlSafe(sql.to_owned()));
    support::blocking(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    })
}

/// How often the three orders got their cent: 0 or 1 for all, or it is wrong.
fn credited(url: &str) -> i64 {
    let sum = one(url, "SELECT sum(amount_cents - id * 100)::bigint FROM orders");
    assert_eq!(sum % 3, 0, "half of a change is there");
    sum / 3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_holds_its_claim_until_somebody_takes_over() {
    let Some((database, _shop)) = database().await else { return };
    let ada = Operator::new("ada", &database.url, "orders@shop", "3");
    let killed = ada.does("run", Some("credit:ready"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    assert_eq!(credited(&database.url), 0);

    // The second is told who holds the target, what they did there, and what to type.
    let grace = Operator::new("grace", &database.url, "orders@shop", "3");
    let holder = format!("run {} of ada holds this target; going on takes it over. It did: rename-back", ada.run());
    let told = grace.does("run", None);
    ends(&told, 4, &["credit asks for take over 3, the file has 3"]);
    assert!(said(&told).contains(&holder), "{}", said(&told));
    assert_eq!(credited(&database.url), 0);
    assert_eq!(one(&database.url, "SELECT epoch FROM backout.claim"), 1, "a refusal takes nothing");

    grace.answers("orders@shop", "take over 3");
    ends(&grace.does("resume", None), 0, &[]);
    assert_eq!(credited(&database.url), 1);
    assert_eq!(one(&database.url, "SELECT epoch FROM backout.claim"), 2);

    // The first comes back: what its killed process left open is settled as not applied, and it holds nothing any more.
    let back = ada.does("resume", None);
    ends(&back, 4, &["credit asks for take over 3, the file has 3"]);
    assert!(said(&back).contains(&format!("run {} of grace holds this target", grace.run())), "{}", said(&back));
    assert!(ada.log().contains("result=\"not_applied\" reason=\"no marker"), "{}", ada.log());
    assert_eq!(credited(&database.url), 1);
    assert_eq!(one(&database.url, "SELECT count(*) FROM backout.marker WHERE step = 'credit'"), 1);
    for operator in [&ada, &grace] {
        operator.audit(&["verify"]);
    }
}

/// Both live: the first is between two attempts at a lock when the second takes over, and learns it from the claim.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_live_runs_the_one_that_was_taken_over_stops() {
    let Some((database, shop)) = database().await else { return };
    let mut reader = shop.context.targets.dedicated("shop", "somebody").await.unwrap();
    reader.run("begin", vec![]).await.unwrap();
    reader.one("select id from orders where id = 2 for update", vec![]).await.unwrap();

    let ada = Operator::new("ada", &database.url, "orders@shop", "3");
    let first = ada.starts("run");
    let state = ada.file("state");
    until("an attempt that found the row locked", || state.join("runs").is_dir() && ada.log().contains("55P03"));
    let grace = Operator::new("grace", &database.url, "take over orders@shop", "3");
    let second = grace.starts("run");
    until("the second claim", || one(&database.url, "SELECT epoch FROM backout.claim") == 2);

    let first = first.wait_with_output().unwrap();
    let words = format!("run {} of grace", grace.run());
    ends(&first, 5, &[words.as_str(), "taken over: another run holds the claim on this target"]);
    reader.run("rollback", vec![]).await.unwrap();
    ends(&second.wait_with_output().unwrap(), 0, &[]);
    assert_eq!(credited(&database.url), 1);

    // Going on does not get round the hold.
    ends(&ada.does("resume", None), 5, &["another run took over shop"]);
    assert_eq!(credited(&database.url), 1);
    for operator in [&ada, &grace] {
        operator.audit(&["verify"]);
    }
}

/// In the middle of the first one's transaction nobody can take over: its marker holds the claim's row.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_over_in_the_middle_of_a_transaction() {
    let Some((database, shop)) = database().await else { return };
    shop.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END'",
    )
    .await;
    shop.sql("CREATE TRIGGER slow AFTER UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION slow()").await;
    let ada = Operator::new("ada", &database.url, "orders@shop", "3");
    let first = ada.starts("run");
    let working = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backout/%/credit/%' AND query LIKE 'UPDATE%'
                   AND datname = current_database()";
    until("the first one's statement", || one(&database.url, working) == 1);
    let mut intruder = shop.context.targets.dedicated("shop", "intruder").await.unwrap();
    let mut context = shop.context.clone();
    let mut access = (*context.access).clone();
    (access.run, access.runbook) = ("run-intruder".to_owned(), "two-runs".to_owned());
    context.access = access.into();
    let refused = marker::take(&mut intruder, &context, 2).await.unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("55P03"), "{refused}");
    ends(&first.wait_with_output().unwrap(), 0, &[]);
    assert_eq!((credited(&database.url), one(&database.url, "SELECT epoch FROM backout.claim")), (1, 1));
}

/// The same on two runbooks is no concern of the claim: each has a row of its own.
#[tokio::test(flavor = "multi_thread")]
async fn another_runbook_has_a_claim_of_its_own() {
    let Some((database, _shop)) = database().await else { return };
    let ada = Operator::new("ada", &database.url, "orders@shop", "3");
    assert_eq!(ada.does("run", Some("rename-back:outcome")).status.code(), None);
    let grace = Operator::new("grace", &database.url, "orders@shop", "3");
    let other = RUNBOOK.replace("name: two-runs", "name: another");
    std::fs::write(Path::new(&grace.file("runbook.yaml")), other).unwrap();
    ends(&grace.does("run", None), 0, &[]);
    assert_eq!(one(&database.url, "SELECT count(*) FROM backout.claim WHERE epoch = 1"), 2);
    assert_eq!(credited(&database.url), 1);
}
