//! What is wrong with an address, a right or a disk is said in plain words, with the exit code that means it, without
//! its secrets, and nothing has changed after it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use backout::target::{Access, Handle, Targets};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{self, Database};

const RUNBOOK: &str = r#"
backout: 1
name: bad-input
title: The old code wants its column back
targets:
  shop: { postgres: "${SHOP_DATABASE_URL}" }
checks:
  orders: { layer: data, on: shop, title: The orders are there, query: "SELECT count(*) FROM orders", expect: 1 }
steps:
  - id: rename-back
    phase: repair
    on: shop
    ddl: |
      ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref
"#;

const EVENTS: &str = r#"
backout: 1
name: bad-input
title: The old code wants its events back
targets:
  bus: { kafka: "${KAFKA_BROKERS}" }
services:
  loyalty: { group: loyalty, reads: { no-such-topic: { requires: [order_id] } } }
checks:
  readable:
    layer: events
    on: bus
    title: Every shape can be read
    shapes: { topic: no-such-topic }
    expect: readable
steps:
  - id: told
    phase: repair
    layer: service
    title: Tell the loyalty team
    manual: { what: "Call them", by: on-call }
"#;

const PASSWORD: &str = "hunter2-7f3a";
const REFERENCE: &str = "payment_reference_id";

struct Bench {
    dir: tempfile::TempDir,
    runbook: PathBuf,
}

impl Bench {
    fn new(runbook: &str) -> Self {
        let dir = support::state_dir();
        let path = dir.path().join("runbook.yaml");
        std::fs::write(&path, runbook).unwrap();
        std::fs::write(
            dir.path().join("answers.yaml"),
            "answers: 1\nsteps:\n  rename-back: { token: \"orders@shop\" }\n",
        )
        .unwrap();
        Self { dir, runbook: path }
    }

    fn backout(&self, verb: &str, env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb).arg(&self.runbook).env_remove("SHOP_DATABASE_URL").env_remove("KAFKA_BROKERS");
        command.envs(env.iter().copied());
        command
    }

    fn survey(&self, env: &[(&str, &str)]) -> Output {
        self.backout("survey", env).output().unwrap()
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn run(&self, env: &[(&str, &str)], state: &Path) -> Output {
        let mut command = self.backout("run", env);
        command.arg("--headless").arg("--answers").arg(self.dir.path().join("answers.yaml"));
        command.arg("--state-dir").arg(state).output().unwrap()
    }

    fn verify(&self) {
        let output = Command::new(env!("CARGO_BIN_EXE_backout"))
            .args(["audit", "verify", "--state-dir"])
            .arg(self.state())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn tells(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
    for secret in [PASSWORD, ":backout@"] {
        assert!(!said.contains(secret), "it says {secret:?}:\n{said}");
    }
}

fn sql(url: &str, statements: &[&str]) {
    let (url, statements) = (url.to_owned(), statements.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    support::blocking(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
    });
}

/// The name of the column that the step would rename.
fn column(url: &str) -> String {
    let url = url.to_owned();
    support::blocking(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let names = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'orders' AND column_name LIKE 'payment%'";
        sqlx::query_scalar(names).fetch_one(&mut connection).await.unwrap()
    })
}

/// A database with one order, and backout's tables; a rehearsal if it is to be one.
fn shop(suite: &str, rehearsal: bool) -> Option<Database> {
    let database = support::postgres_database(suite)?;
    sql(
        &database.url,
        &["CREATE TABLE orders (id bigint, payment_reference_id text)", "INSERT INTO orders VALUES (1, 'p')"],
    );
    let loaded = backout::runbook::load_str("runbook.yaml", RUNBOOK, Path::new("."));
    let runbook = Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")).runbook);
    let access = Access {
        env: [("SHOP_DATABASE_URL".to_owned(), database.url.clone())].into(),
        run: "bad-input".into(),
        runbook: runbook.name.clone(),
        incident: None,
        run_dir: PathBuf::new(),
        insecure_tls: false,
        stand_ins: None,
    };
    support::blocking(async move {
        let targets = Targets::new(runbook, Arc::new(access));
        targets.install("shop").await.unwrap();
        let Handle::Postgres(mut connection) = targets.dedicated("shop", "backout/test").await.unwrap() else {
            panic!()
        };
        if rehearsal {
            backout::target::postgres::declare_rehearsal(&mut connection, "bad-input").await.unwrap();
        }
    });
    Some(database)
}

/// A role that may read and write backout's own tables, and nothing else but what `more` grants.
struct Role {
    name: String,
    url: String,
    server: String,
}

impl Role {
    fn new(database: &Database, suite: &str, more: &[&str]) -> Self {
        let name = support::unique(suite);
        let url = database.url.replace("//backout:backout@", &format!("//{name}:{PASSWORD}@"));
        let mut statements = vec![format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")];
        statements.push(format!("GRANT USAGE ON SCHEMA backout TO {name}"));
        statements.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA backout TO {name}"));
        statements.extend(more.iter().map(|grant| format!("GRANT {grant} TO {name}")));
        statements.insert(0, "SET default_transaction_read_only = off".to_owned());
        sql(&database.url, &statements.iter().map(String::as_str).collect::<Vec<_>>());
        Self { name, url, server: database.url.clone() }
    }

    /// One that may do what the server's own user may.
    fn owner(database: &Database) -> Self {
        Self::new(database, "bad_owner", &["backout"])
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let name = &self.name;
        let drop = [format!("DROP OWNED BY {name}"), format!("DROP ROLE {name}")];
        sql(&self.server, &["SET default_transaction_read_only = off", &drop[0], &drop[1]]);
    }
}

#[test]
fn an_address_that_is_not_there() {
    let bench = Bench::new(RUNBOOK);
    let words = [
        "target shop cannot be reached: SHOP_DATABASE_URL is not set",
        "set SHOP_DATABASE_URL in the environment or in the file given with --env-file",
    ];
    tells(&bench.survey(&[]), 8, &words);
    let output = bench.run(&[], &bench.state());
    tells(&output, 8, &words[..1]);
    bench.verify();
}

#[test]
fn an_address_that_is_none() {
    let bench = Bench::new(RUNBOOK);
    let address = format!("db-1 user=oncall password={PASSWORD}");
    let words = ["the address of target shop is not a PostgreSQL address"];
    tells(&bench.survey(&[("SHOP_DATABASE_URL", &address)]), 8, &words);
    tells(&bench.run(&[("SHOP_DATABASE_URL", &address)], &bench.state()), 8, &words);
}

#[test]
fn an_address_off_this_machine_without_proof_of_the_server() {
    let bench = Bench::new(RUNBOOK);
    let address = format!("postgres://oncall:{PASSWORD}@192.0.2.1/shop?sslmode=require");
    let words = [
        "target shop is off this machine and asks for sslmode=require, which proves nothing about the server",
        "--insecure-tls",
    ];
    tells(&bench.survey(&[("SHOP_DATABASE_URL", &address)]), 8, &words);
}

#[test]
fn a_wrong_password() {
    let Some(database) = shop("bad_input", true) else { return };
    let bench = Bench::new(RUNBOOK);
    let address = database.url.replace(":backout@", &format!(":{PASSWORD}@"));
    let words = ["password authentication failed for user \"backout\" (28P01)"];
    let hint = ["look at the user and the password in the address"];
    tells(&bench.survey(&[("SHOP_DATABASE_URL", &address)]), 8, &[words, hint].concat());
    tells(&bench.run(&[("SHOP_DATABASE_URL", &address)], &bench.state()), 8, &words);
    bench.verify();
    assert_eq!(column(&database.url), REFERENCE);
}

#[test]
fn a_wrong_port() {
    let bench = Bench::new(RUNBOOK);
    let address = format!("postgres://oncall:{PASSWORD}@127.0.0.1:1/shop");
    let words = ["target shop at 127.0.0.1:1 cannot be opened", "Connection refused"];
    tells(&bench.survey(&[("SHOP_DATABASE_URL", &address)]), 8, &[words, ["look at host and port", "DOWN"]].concat());
    tells(&bench.run(&[("SHOP_DATABASE_URL", &address)], &bench.state()), 8, &words);
    bench.verify();
}

#[test]
fn a_database_that_does_not_exist() {
    let Some(server) = support::server("bad_input", support::POSTGRES) else { return };
    let bench = Bench::new(RUNBOOK);
    let address = format!("{}/nowhere", server.rsplit_once('/').unwrap().0);
    let words = ["database \"nowhere\" does not exist (3D000)", "look at the database name in the address"];
    tells(&bench.survey(&[("SHOP_DATABASE_URL", &address)]), 8, &words);
    tells(&bench.run(&[("SHOP_DATABASE_URL", &address)], &bench.state()), 8, &words[..1]);
}

#[test]
fn a_broker_that_is_not_there() {
    let bench = Bench::new(EVENTS);
    let words = ["Kafka bus (127.0.0.1:1)", "cannot reach it", "Connection refused"];
    tells(&bench.survey(&[("KAFKA_BROKERS", "127.0.0.1:1")]), 8, &words);
}

#[test]
fn a_broker_off_this_machine_in_the_clear() {
    let bench = Bench::new(EVENTS);
    let address = format!("192.0.2.1:9092?sasl.username=oncall&sasl.password={PASSWORD}");
    let words = ["Kafka bus: 192.0.2.1 is another machine, and the connection would not be encrypted"];
    tells(&bench.survey(&[("KAFKA_BROKERS", &address)]), 8, &words);
}

#[test]
fn a_topic_that_does_not_exist() {
    let Some(brokers) = support::server("bad_input", support::KAFKA) else { return };
    let bench = Bench::new(EVENTS);
    let words = ["? unknown Every shape can be read", "topic no-such-topic", "UnknownTopicOrPartition"];
    tells(&bench.survey(&[("KAFKA_BROKERS", &brokers)]), 7, &words);
}

#[test]
fn no_right_to_read_the_table() {
    let Some(database) = shop("bad_input", true) else { return };
    let role = Role::new(&database, "bad_reader", &[]);
    let bench = Bench::new(RUNBOOK);
    let env = [("SHOP_DATABASE_URL", role.url.as_str())];
    tells(&bench.survey(&env), 7, &["permission denied for table orders (42501)"]);
}

#[test]
fn no_right_to_alter_the_table() {
    let Some(database) = shop("bad_input", true) else { return };
    let role = Role::new(&database, "bad_writer", &["SELECT ON orders"]);
    let bench = Bench::new(RUNBOOK);
    let env = [("SHOP_DATABASE_URL", role.url.as_str())];
    tells(&bench.survey(&env), 0, &["✓ pass    The orders are there"]);
    tells(&bench.run(&env, &bench.state()), 1, &["must be owner of table orders (42501)"]);
    bench.verify();
    assert_eq!(column(&database.url), REFERENCE);
}

#[test]
fn a_target_that_cannot_be_written() {
    let Some(database) = shop("bad_input", true) else { return };
    let name = &database.name;
    sql(&database.url, &[&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")]);
    let owner = Role::owner(&database);
    let bench = Bench::new(RUNBOOK);
    let output = bench.run(&[("SHOP_DATABASE_URL", &owner.url)], &bench.state());
    let lifts = "ALTER ROLE or ALTER DATABASE … RESET default_transaction_read_only";
    tells(&output, 8, &["opens every session of this role read-only", lifts]);
    bench.verify();
    assert_eq!(column(&database.url), REFERENCE);
}

#[test]
fn production_takes_no_answers_from_a_file() {
    let Some(database) = shop("bad_input", false) else { return };
    let owner = Role::owner(&database);
    let bench = Bench::new(RUNBOOK);
    let output = bench.run(&[("SHOP_DATABASE_URL", &owner.url)], &bench.state());
    tells(&output, 4, &["production"]);
    bench.verify();
    assert_eq!(column(&database.url), REFERENCE);
}

#[test]
fn a_log_that_cannot_be_written() {
    let Some(database) = shop("bad_input", true) else { return };
    let bench = Bench::new(RUNBOOK);
    let env = [("SHOP_DATABASE_URL", database.url.as_str())];
    let in_the_way = bench.dir.path().join("answers.yaml");
    for (place, why) in
        [(in_the_way.as_path(), "Not a directory"), (Path::new("/proc/nowhere"), "No such file or directory")]
    {
        let output = bench.run(&env, place);
        tells(&output, 74, &["the run directory", why, "choose another place with --state-dir"]);
    }
    assert_eq!(column(&database.url), REFERENCE);
}

#[test]
fn a_file_system_that_is_read_only() {
    let Some(database) = shop("bad_input", true) else { return };
    let bench = Bench::new(RUNBOOK);
    let state = bench.state();
    std::fs::create_dir(&state).unwrap();
    // A mount of its own, in a namespace of its own; not every machine lets a test have one.
    let mounted = |command: &[&str]| {
        let script = "mount -t tmpfs -o ro,size=64k none \"$1\" && shift && exec \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&state).args(command);
        unshare.env("SHOP_DATABASE_URL", &database.url).output()
    };
    if !mounted(&["true"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: bad_input: no file system can be mounted here");
        return;
    }
    let answers = bench.dir.path().join("answers.yaml");
    let words = ["run", bench.runbook.to_str().unwrap(), "--headless", "--answers", answers.to_str().unwrap()];
    let place = ["--state-dir", state.to_str().unwrap()];
    let output = mounted(&[&[env!("CARGO_BIN_EXE_backout")][..], &words, &place].concat()).unwrap();
    tells(&output, 74, &["Read-only file system", "choose another place with --state-dir"]);
    assert_eq!(column(&database.url), REFERENCE);
}
