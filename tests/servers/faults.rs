//! What happens to a run from outside, at a moment that the test chooses: its session is ended, its server restarts, its
//! line is cut, its process is killed, another session stands in its way. Afterwards the log says of every attempt what
//! the server shows, and the change is there exactly once.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use backout::audit;
use backout::engine;
use backout::run::record::{Event, OutcomeResult, Record};
use backout::target::{Handle, postgres};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;

use crate::shop::Shop;
use crate::support::Database;
use crate::takeover::{Operator, said};

use proxy::{Moment, Proxy, Side, Wire};

mod ended;
mod halves;
mod index;
mod mariadb;
mod outside;
mod proxy;
pub mod queue;
mod restart;
pub mod server;
mod silence;
mod standby;
mod sweep;
mod witness;

const PATIENCE: Duration = Duration::from_secs(40);

const RUNBOOK: &str = r#"
backout: 1
name: faults
title: A constraint, and a cent for each of three
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - id: constrain
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders ADD CONSTRAINT counted CHECK (waits('statement'))
  - id: credit
    on: shop
    title: Give one cent to each
    change: { sql: "UPDATE orders SET amount_cents = amount_cents + 1 WHERE id <= 3" }
"#;

const ANSWERS: &str = r#"
answers: 1
steps:
  constrain: { token: "orders@shop" }
  credit: { token: "3" }
"#;

/// A statement, and a COMMIT, each wait as long as their word stands in `held`, and the COMMIT then for the standbys that
/// the server is told to wait for; `altered` has a row for each time that
/// `orders` was altered, in that very transaction.
const TABLES: [&str; 9] = [
    "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL)",
    "INSERT INTO orders SELECT id, id * 100 FROM generate_series(1, 10) id",
    "CREATE TABLE held (what text)",
    "CREATE TABLE altered (what text)",
    "CREATE FUNCTION waits(word text) RETURNS boolean LANGUAGE plpgsql AS
       'BEGIN WHILE EXISTS (SELECT FROM held WHERE what = word) LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN true; END'",
    "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN IF NEW.step = ''constrain'' THEN
          PERFORM waits(''commit''), set_config(''synchronous_commit'', ''on'', true);
        END IF; RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON backout.marker DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION at_commit()",
    "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS
       'BEGIN INSERT INTO altered SELECT object_identity FROM pg_event_trigger_ddl_commands(); END'",
    "CREATE EVENT TRIGGER note ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION note()",
];

/// What the server has of the first attempt at `constrain`.
const SESSIONS: &str =
    "FROM pg_stat_activity WHERE application_name LIKE 'backout/%/constrain/1' AND datname = current_database()";

/// Runs that look for what is left of an attempt.
const LOOKS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backout/%/checks/%'
    AND datname = current_database() AND query LIKE '%state not visible%'";

/// The moments in the life of `constrain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforeTheStatement,
    InTheStatement,
    AfterTheStatement,
    BeforeTheCommit,
    InTheCommit,
    AfterTheCommit,
    /// The run knows that the server has committed, and has not read its marker yet.
    CommitHeard,
}

const MOMENTS: [When; 7] = [
    When::BeforeTheStatement,
    When::InTheStatement,
    When::AfterTheStatement,
    When::BeforeTheCommit,
    When::InTheCommit,
    When::AfterTheCommit,
    When::CommitHeard,
];

impl When {
    fn moment(self) -> Option<Moment> {
        let (statement, side) = match self {
            Self::BeforeTheStatement => ("alter table", Side::Before),
            Self::AfterTheStatement => ("alter table", Side::After),
            Self::BeforeTheCommit => ("commit", Side::Before),
            Self::AfterTheCommit => ("commit", Side::After),
            Self::CommitHeard => ("commit", Side::Heard),
            Self::InTheStatement | Self::InTheCommit => return None,
        };
        Some(Moment { session: "/constrain/", statement, side })
    }

    /// What makes the server wait at this moment, where the line does not.
    fn held(self) -> Option<&'static str> {
        match self {
            Self::InTheStatement => Some("statement"),
            Self::InTheCommit => Some("commit"),
            _ => None,
        }
    }

    /// Whether the server has committed by then, and nothing can take it back.
    fn committed(self) -> bool {
        matches!(self, Self::AfterTheCommit | Self::CommitHeard)
    }
}

/// A run on a database of its own, through a proxy, that stands still at a moment of its first step.
struct Play {
    when: When,
    database: Database,
    operator: Operator,
    proxy: Proxy,
    run: Option<Child>,
    /// The test's own, straight to the server; opened again after a restart.
    own: Mutex<PgConnection>,
}

impl Play {
    /// On the server at this address.
    async fn at(when: When, server: &str) -> Self {
        let database = Database::create("faults", server.to_owned()).unwrap();
        prepared(&database.url, RUNBOOK, &TABLES).await;
        if let Some(held) = when.held() {
            sql(&database.url, &format!("INSERT INTO held VALUES ('{held}')")).await;
        }
        let (login, rest) = database.url.rsplit_once('@').unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let proxy = Proxy::to(host, Wire::Postgres, when.moment()).await;
        let mut operator = Operator::new("ada", &format!("{login}@{}/{name}", proxy.address), "", "");
        std::fs::write(operator.file("runbook.yaml"), RUNBOOK).unwrap();
        std::fs::write(operator.file("answers.yaml"), ANSWERS).unwrap();
        let run = Some(operator.starts("run"));
        operator.url = database.url.clone();
        let own = Mutex::new(PgConnection::connect(&database.url).await.unwrap());
        let play = Self { when, database, operator, proxy, run, own };
        match when.held() {
            None => play.proxy.stands().await,
            Some(_) => eventually("a wait", async || play.waiting().await == 1).await,
        }
        play
    }

    /// Sessions of the step that the server keeps waiting.
    async fn waiting(&self) -> i64 {
        self.number(&format!("SELECT count(*) {SESSIONS} AND wait_event = 'PgSleep'")).await
    }

    /// The server ends what it has of the step.
    async fn terminated(&self) {
        let ended = self.number(&format!("SELECT count(pg_terminate_backend(pid, 5000)) {SESSIONS}")).await;
        assert_eq!(ended, 1, "{:?}", self.when);
    }

    /// As by kill -9.
    fn killed(&mut self) {
        let mut run = self.run.take().unwrap();
        run.kill().unwrap();
        run.wait().unwrap();
    }

    /// The server does not wait any more.
    async fn released(&self) {
        self.number("WITH gone AS (DELETE FROM held) SELECT 0::bigint").await;
    }

    /// Waits for the end of the run.
    async fn ends(&mut self) -> Output {
        ends(self.run.take().unwrap()).await
    }

    /// Whether the change is there: never half of it, and never twice.
    async fn there(&self) -> bool {
        let times = self.number("SELECT count(*) FROM altered").await;
        let marked = self.number("SELECT count(*) FROM backout.marker WHERE step = 'constrain'").await;
        let constraint = self.number("SELECT count(*) FROM pg_constraint WHERE conname = 'counted'").await;
        assert!(times == marked && marked == constraint && times < 2, "{:?}: {times} {marked} {constraint}", self.when);
        times == 1
    }

    /// What the log says in the end of an attempt at a step; none: nothing yet.
    fn says(&self, step: &str, att: u32) -> Option<OutcomeResult> {
        said_of(&self.operator, step, att)
    }

    /// Takes the run up, and sees that everything is there once.
    async fn is_resumed(&self, there: bool) {
        let output = ends(self.operator.starts("resume")).await;
        assert_eq!(output.status.code(), Some(0), "{:?}: {}\n{}", self.when, said(&output), self.operator.log());
        self.whole(there).await;
    }

    /// The log says of the first attempt what was so, and everything is there once.
    async fn whole(&self, there: bool) {
        let result = if there { OutcomeResult::Applied } else { OutcomeResult::NotApplied };
        assert_eq!(self.says("constrain", 1), Some(result), "{:?}: {}", self.when, self.operator.log());
        let again = (!there).then_some(OutcomeResult::Applied);
        assert_eq!(self.says("constrain", 2), again, "{:?}: {}", self.when, self.operator.log());
        assert!(self.there().await, "{:?}", self.when);
        assert_eq!(self.number("SELECT sum(amount_cents - id * 100)::bigint FROM orders").await, 3, "{:?}", self.when);
        self.operator.audit(&["verify"]);
    }

    /// Sessions that the server has of the attempt.
    async fn sessions(&self) -> i64 {
        self.number(&format!("SELECT count(*) {SESSIONS}")).await
    }

    /// Waits until a run that was taken up looks for what is left of the attempt.
    async fn is_looked_for(&self) {
        eventually("a look for sessions", async || self.number(LOOKS).await == 1).await;
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut own = self.own.lock().await;
        let sql = || sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        match sql().fetch_one(&mut *own).await {
            Err(error)
                if error
                    .as_database_error()
                    .is_none_or(|error| error.code().is_some_and(|code| code.starts_with("57P"))) =>
            {
                *own = PgConnection::connect(&self.database.url).await.unwrap();
                sql().fetch_one(&mut *own).await.unwrap()
            }
            number => number.unwrap(),
        }
    }
}

/// A play for each of the moments, side by side.
async fn plays(moments: &[When], server: &str) -> Vec<Play> {
    join_all(moments.iter().map(|when| Play::at(*when, server))).await
}

async fn ends(run: Child) -> Output {
    tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap()
}

/// Makes the tables, after those of backout, and declares the database a rehearsal.
async fn prepared(url: &str, runbook: &str, tables: &[&str]) {
    let shop = Shop::with(runbook, url, "run-setup");
    shop.context.targets.install("shop").await.unwrap_or_else(|error| panic!("{error}"));
    for table in tables {
        shop.sql(table).await;
    }
    let Handle::Postgres(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
    postgres::declare_rehearsal(&mut own, "faults").await.unwrap();
}

/// What the log says in the end of an attempt at a step; none: nothing yet.
fn said_of(operator: &Operator, step: &str, att: u32) -> Option<OutcomeResult> {
    let mut said = None;
    each_of(operator, |event| {
        if (event.step.as_deref(), event.att) == (Some(step), Some(att)) {
            match event.record {
                Record::Outcome(outcome) => said = Some(outcome.result),
                Record::Settled(settled) => said = Some(settled.result),
                _ => {}
            }
        }
    });
    said.filter(|said| *said != OutcomeResult::Unknown)
}

/// Every event of the log.
fn each_of(operator: &Operator, mut what: impl FnMut(Event)) {
    let run_dir = operator.file("state").join("runs").join(operator.run());
    let mut each = |envelope: &audit::Envelope| engine::event_of(envelope).map(&mut what);
    audit::verify(&run_dir, &audit::Options::default(), &mut each).unwrap();
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
