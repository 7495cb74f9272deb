//! What commits statement by statement, on MariaDB, and stops in the middle: a list between two of its statements, a
//! copy of a table when its server dies. It is told object by object, and mended without doing anything twice.

use std::process::Child;

use backout::action::Go;
use backout::run::record::{OutcomeResult, Point};
use backout::target::{Handle, mysql};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use super::server::{Server, Stop};
use super::{ends, eventually, said_of};
use crate::shop::Shop;
use crate::support::{self, Database};
use crate::takeover::{Operator, said};

const LIST: &str = r#"
backout: 1
name: halves
title: Two columns
targets:
  shop: { mysql: "${SHOP}" }
steps:
  - id: change
    phase: repair
    on: shop
    ddl: ["ALTER TABLE orders ADD COLUMN psp text", "ALTER TABLE payments ADD COLUMN note text"]
"#;

const COPY: &str = r#"
backout: 1
name: halves
title: A column that is computed for each row
targets:
  shop: { mysql: "${SHOP}" }
steps:
  - id: change
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders ADD COLUMN doubled bigint AS (amount * 2) STORED
"#;

/// A run on a database of its own, in the middle of its step.
struct Play {
    database: Database,
    operator: Operator,
    run: Child,
}

impl Play {
    async fn at(server: &str, runbook: &str, tables: &[&str], held: Option<&mut Option<MySqlConnection>>) -> Self {
        let database = Database::create("halves", server.to_owned()).unwrap();
        let shop = Shop::with(runbook, &database.url, "run-setup");
        for table in tables {
            shop.sql(table).await;
        }
        shop.context.targets.install("shop").await.unwrap_or_else(|error| panic!("{error}"));
        let Handle::Mysql(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
        mysql::declare_rehearsal(&mut own, "halves").await.unwrap();
        if let Some(held) = held {
            let mut other = MySqlConnection::connect(&database.url).await.unwrap();
            for sql in ["START TRANSACTION", "SELECT * FROM payments"] {
                sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
            }
            *held = Some(other);
        }
        let operator = Operator::new("ada", &database.url, "", "");
        std::fs::write(operator.file("runbook.yaml"), runbook).unwrap();
        let answers =
            "answers: 1\nsteps:\n  change: { token: \"orders@shop\", reason: \"The amounts do not fit any more.\" }\n";
        std::fs::write(operator.file("answers.yaml"), answers).unwrap();
        let run = operator.starts("run");
        Self { database, operator, run }
    }

    async fn one(&self, sql: &str) -> String {
        let mut own = MySqlConnection::connect(&self.database.url).await.unwrap();
        let one = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut own).await.unwrap();
        own.close().await.unwrap();
        one
    }

    async fn sql(&self, sql: &str) {
        let mut own = MySqlConnection::connect(&self.database.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut own).await.unwrap();
        own.close().await.unwrap();
    }

    /// Sessions at the step's own statement, in such a state.
    async fn at_work(&self, statement: &str, state: &str) -> bool {
        let sql = format!(
            "SELECT cast(count(*) AS char) FROM information_schema.processlist
             WHERE db = database() AND info LIKE '{statement}%' AND state LIKE '{state}'"
        );
        self.one(&sql).await == "1"
    }

    fn says(&self, att: u32) -> Option<OutcomeResult> {
        said_of(&self.operator, "change", att)
    }

    async fn resumes(&self, code: i32) -> String {
        let output = ends(self.operator.starts("resume")).await;
        assert_eq!(output.status.code(), Some(code), "{}\n{}", said(&output), self.operator.log());
        said(&output)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_stopped_in_the_middle_is_told_and_goes_on_either_way() {
    let Some(server) = support::server("halves", support::MYSQL) else { return };
    let tables = ["CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE payments (id int PRIMARY KEY)"];
    for by_hand in ["ALTER TABLE payments ADD COLUMN note text", "ALTER TABLE orders DROP COLUMN psp"] {
        let mut other = None;
        let mut play = Play::at(&server, LIST, &tables, Some(&mut other)).await;
        eventually("a wait for the second table", async || {
            play.at_work("ALTER TABLE payments", "Waiting for table%lock").await
        })
        .await;
        play.run.kill().unwrap();
        play.run.wait().unwrap();
        eventually("the end of its session", async || !play.at_work("ALTER TABLE payments", "%").await).await;
        // Once and again: neither of them is run a second time on top of the half.
        for _ in 0..2 {
            let said = play.resumes(7).await;
            for words in [
                "half of it is there",
                "1 of 2, ALTER TABLE … ADD COLUMN, is in",
                "2 of 2, ALTER TABLE … ADD COLUMN, is not in",
            ] {
                assert!(said.contains(words), "{words}: {said}");
            }
            assert_eq!(play.says(1), None);
        }
        other.take().unwrap().close().await.unwrap();
        play.sql(by_hand).await;
        play.resumes(0).await;
        let forward = by_hand.contains("ADD");
        let (first, second) = match forward {
            true => (OutcomeResult::Applied, None),
            false => (OutcomeResult::NotApplied, Some(OutcomeResult::Applied)),
        };
        assert_eq!((play.says(1), play.says(2)), (Some(first), second), "{}", play.operator.log());
        assert_eq!(play.one("SELECT cast(count(*) AS char) FROM information_schema.columns WHERE table_schema = database() AND column_name IN ('psp', 'note')").await, "2");
        play.operator.audit(&["verify"]);
    }
}

/// The server dies while it copies the table. What it left of the copy goes with its recovery, and the step is not in.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_server_dies_is_not_applied() {
    let Some(mut server) = Server::mariadb(&[]).await else { return };
    let tables = [
        "CREATE TABLE orders (id int PRIMARY KEY, amount int NOT NULL, note varchar(250))",
        "INSERT INTO orders SELECT seq, seq, repeat('x', 250) FROM seq_1_to_200000",
    ];
    let play = Play::at(&server.first(), COPY, &tables, None).await;
    eventually("a copy under way", async || play.at_work("ALTER TABLE orders", "copy to tmp table").await).await;
    server.restarts(Stop::Crash).await;
    let there = "SELECT cast(count(*) AS char) FROM information_schema.columns WHERE table_schema = database() AND column_name = 'doubled'";
    assert_eq!(play.one(there).await, "0", "it was through before the server died");
    let Play { database, operator, run } = play;
    let output = ends(run).await;
    assert!(matches!(output.status.code(), Some(1 | 7)), "{}", said(&output));
    let left = server.files("#sql");
    assert!(left.is_empty(), "{left:?}");
    let again = ends(operator.starts("resume")).await;
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let says = [1, 2].map(|att| said_of(&operator, "change", att));
    assert_eq!(says, [Some(OutcomeResult::NotApplied), Some(OutcomeResult::Applied)], "{}", operator.log());
    let mut own = MySqlConnection::connect(&database.url).await.unwrap();
    let now: String = sqlx::query_scalar(there).fetch_one(&mut own).await.unwrap();
    assert_eq!(now, "1");
    operator.audit(&["verify"]);
}

/// Sessions that begin in a transaction which nobody ends: claim and marker are there for others all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_commits_nothing_by_itself_keeps_no_marker_back() {
    let Some(server) = Server::mariadb(&[]).await else { return };
    let shop = Shop::with(COPY, &server.first(), "run-autocommit");
    shop.sql("CREATE TABLE orders (id int PRIMARY KEY, amount int NOT NULL)").await;
    shop.context.targets.install("shop").await.unwrap();
    let mut own = MySqlConnection::connect(&server.first()).await.unwrap();
    sqlx::raw_sql("SET GLOBAL autocommit = 0").execute(&mut own).await.unwrap();
    let shop = Shop::with(COPY, &server.first(), "run-autocommit");
    let prepared = shop.prepare("change", 1, false).await.unwrap_or_else(|error| panic!("{error}"));
    let mut seen = Vec::new();
    let (outcome, ..) = shop
        .perform(prepared.job, async |point, _| {
            for table in ["backout_claim", "backout_marker"] {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let n: i64 = sqlx::query_scalar(sql).fetch_one(&mut own).await.unwrap();
                seen.push((point, table, n));
            }
            Go::Go
        })
        .await;
    assert_eq!(outcome.result, OutcomeResult::Applied, "{outcome:?}");
    let (begun, sent) = (Point::Begun, Point::Sent);
    let (claim, marker) = ("backout_claim", "backout_marker");
    assert_eq!(seen, [(begun, claim, 1), (begun, marker, 0), (sent, claim, 1), (sent, marker, 1)]);
}
