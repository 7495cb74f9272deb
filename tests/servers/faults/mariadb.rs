//! A statement that commits by itself, on MariaDB: its connection, line, process or server ends before it, in it, or
//! after it, and the catalog tells what became of it.

use std::process::Child;

use backout::run::record::{OutcomeResult, Point, Record};
use backout::target::{Handle, mysql};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use super::proxy::{Moment, Proxy, Side, Wire};
use super::server::{Server, Stop};
use super::{each_of, ends, eventually, said_of};
use crate::shop::Shop;
use crate::support::{self, Database};
use crate::takeover::{Operator, said};

const RUNBOOK: &str = r#"
backout: 1
name: committing
title: A column
targets:
  shop: { mysql: "${SHOP}" }
steps:
  - id: rename
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN reference TO payment_ref
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    /// It waits for another's transaction.
    In,
    After,
}

const MOMENTS: [When; 3] = [When::Before, When::In, When::After];

struct Play {
    when: When,
    operator: Operator,
    proxy: Proxy,
    run: Option<Child>,
    /// The other's transaction.
    other: Option<MySqlConnection>,
    database: Database,
}

impl Play {
    async fn at(when: When, server: &str) -> Self {
        let database = Database::create("committing", server.to_owned()).unwrap();
        let shop = Shop::with(RUNBOOK, &database.url, "run-setup");
        shop.sql("CREATE TABLE orders (id int PRIMARY KEY, reference varchar(64))").await;
        shop.sql("INSERT INTO orders VALUES (1, 'a')").await;
        shop.context.targets.install("shop").await.unwrap_or_else(|error| panic!("{error}"));
        let Handle::Mysql(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
        mysql::declare_rehearsal(&mut own, "faults").await.unwrap();
        let mut other = None;
        if when == When::In {
            let mut holds = MySqlConnection::connect(&database.url).await.unwrap();
            sqlx::raw_sql("START TRANSACTION").execute(&mut holds).await.unwrap();
            sqlx::raw_sql("SELECT * FROM orders").execute(&mut holds).await.unwrap();
            other = Some(holds);
        }
        let side = match when {
            When::Before => Some(Side::Before),
            When::In => None,
            When::After => Some(Side::After),
        };
        let moment = side.map(|side| Moment { session: "", statement: "alter table", side });
        let (login, rest) = database.url.rsplit_once('@').unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let proxy = Proxy::to(host, Wire::Mysql, moment).await;
        let url = format!("{login}@{}/{name}?ssl-mode=disabled", proxy.address);
        let mut operator = Operator::new("ada", &url, "", "");
        std::fs::write(operator.file("runbook.yaml"), RUNBOOK).unwrap();
        std::fs::write(operator.file("answers.yaml"), "answers: 1\nsteps:\n  rename: { token: \"orders@shop\" }\n")
            .unwrap();
        let run = Some(operator.starts("run"));
        operator.url = database.url.clone();
        let play = Self { when, operator, proxy, run, other, database };
        match side {
            Some(_) => play.proxy.stands().await,
            None => eventually("a wait for the lock", async || play.number(WAITS).await == 1).await,
        }
        play
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut own = MySqlConnection::connect(&self.database.url).await.unwrap();
        let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut own).await.unwrap();
        own.close().await.unwrap();
        number
    }

    /// The server's number of the attempt's connection.
    fn connection(&self) -> u64 {
        let mut number = 0;
        each_of(&self.operator, |event| {
            if let Record::Reached { point: Point::Begun, data } = &event.record {
                number = data["pid"].as_u64().unwrap();
            }
        });
        number
    }

    async fn connected(&self) -> bool {
        let sql = format!("SELECT count(*) FROM information_schema.processlist WHERE id = {}", self.connection());
        self.number(&sql).await == 1
    }

    /// The other's transaction ends.
    async fn released(&mut self) {
        if let Some(other) = self.other.take() {
            // After a restart its server does not know of it.
            let _ = other.close().await;
        }
    }

    fn killed(&mut self) {
        let mut run = self.run.take().unwrap();
        run.kill().unwrap();
        run.wait().unwrap();
    }

    async fn ends(&mut self) -> std::process::Output {
        ends(self.run.take().unwrap()).await
    }

    async fn there(&self) -> bool {
        self.number("SELECT count(*) FROM information_schema.columns WHERE table_schema = database() AND column_name = 'payment_ref'").await == 1
    }

    fn says(&self, att: u32) -> Option<OutcomeResult> {
        said_of(&self.operator, "rename", att)
    }

    /// The log says of the first attempt what was so, and it is there once.
    async fn whole(&self, there: bool) {
        let result = if there { OutcomeResult::Applied } else { OutcomeResult::NotApplied };
        assert_eq!(self.says(1), Some(result), "{:?}: {}", self.when, self.operator.log());
        let again = (!there).then_some(OutcomeResult::Applied);
        assert_eq!(self.says(2), again, "{:?}: {}", self.when, self.operator.log());
        assert!(self.there().await, "{:?}", self.when);
        self.operator.audit(&["verify"]);
    }

    async fn is_resumed(&self, there: bool) {
        let output = ends(self.operator.starts("resume")).await;
        assert_eq!(output.status.code(), Some(0), "{:?}: {}", self.when, said(&output));
        self.whole(there).await;
    }

    /// What a run that could go on says of its own attempt: it ends there, or is through.
    async fn goes_on_knowing(mut self) {
        let output = self.ends().await;
        match output.status.code() {
            // What waits on the server hears at once that it goes, and asks while it is away.
            Some(7) if self.when == When::In => {}
            Some(1) if self.when != When::After => {
                assert!(!self.there().await && self.says(1) == Some(OutcomeResult::NotApplied), "{:?}", self.when);
            }
            code => {
                assert!(code == Some(0) && self.when == When::After, "{:?}: {}", self.when, said(&output));
                return self.whole(true).await;
            }
        }
        self.released().await;
        self.is_resumed(false).await;
    }
}

const WAITS: &str = "SELECT count(*) FROM information_schema.processlist
    WHERE db = database() AND state LIKE 'Waiting for table%lock' AND info LIKE 'ALTER TABLE%'";

async fn plays(server: &str) -> Vec<Play> {
    join_all(MOMENTS.iter().map(|when| Play::at(*when, server))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_told_by_the_catalog() {
    let Some(server) = support::server("faults", support::MYSQL) else { return };
    let killed = plays(&server).await.into_iter().map(async |play| {
        let mut own = MySqlConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("KILL {}", play.connection()))).execute(&mut own).await.unwrap();
        eventually("the end of its connection", async || !play.connected().await).await;
        play.proxy.goes_on();
        play.goes_on_knowing().await;
    });
    join_all(killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_is_told_by_the_catalog() {
    let Some(server) = support::server("faults", support::MYSQL) else { return };
    let cut = [When::Before, When::After].into_iter().map(async |when| {
        let play = Play::at(when, &server).await;
        play.proxy.cuts();
        play.goes_on_knowing().await;
    });
    join_all(cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_gone_leaves_it_to_whoever_takes_it_up() {
    let Some(server) = support::server("faults", support::MYSQL) else { return };
    let gone = plays(&server).await.into_iter().map(async |mut play| {
        play.proxy.goes_down();
        let output = play.ends().await;
        assert_eq!(output.status.code(), Some(7), "{:?}: {}", play.when, said(&output));
        eventually("the end of its connection", async || !play.connected().await).await;
        play.released().await;
        assert_eq!(play.there().await, play.when == When::After, "{:?}", play.when);
        play.is_resumed(play.when == When::After).await;
    });
    join_all(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_what_its_server_has() {
    let Some(server) = support::server("faults", support::MYSQL) else { return };
    let killed = plays(&server).await.into_iter().map(async |mut play| {
        play.killed();
        play.proxy.cuts();
        // Taken up at once: the server may not have noticed yet that nobody is there.
        let resumed = play.operator.starts("resume");
        eventually("the end of its connection", async || !play.connected().await).await;
        play.released().await;
        let output = ends(resumed).await;
        assert_eq!(output.status.code(), Some(0), "{:?}: {}", play.when, said(&output));
        play.whole(play.when == When::After).await;
    });
    join_all(killed).await;
}

/// The server does not learn that its client is gone: the statement gets its lock, and commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_outlives_its_process_is_waited_for() {
    let Some(server) = support::server("faults", support::MYSQL) else { return };
    let mut play = Play::at(When::In, &server).await;
    play.proxy.keeps_the_server_in_the_dark();
    play.killed();
    play.released().await;
    eventually("the column", async || play.there().await).await;
    let mut resumed = play.operator.starts("resume");
    eventually("a look for it", async || {
        let mut looks = false;
        each_of(&play.operator, |event| looks |= event.record.kind() == "settle_started");
        looks
    })
    .await;
    assert!(resumed.try_wait().unwrap().is_none() && play.says(1).is_none());
    play.proxy.tells_the_server();
    let output = ends(resumed).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    play.whole(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_crashes_is_believed_by_its_catalog() {
    let Some(mut server) = Server::mariadb(&[]).await else { return };
    for stop in [Stop::Fast, Stop::Crash] {
        let plays = plays(&server.first()).await;
        server.restarts(stop).await;
        let ended = plays.into_iter().map(async |play| {
            play.proxy.goes_on();
            play.goes_on_knowing().await;
        });
        join_all(ended).await;
    }
}
