//! Statements on the schema in all their forms, each killed at each moment of its life and taken up by a new process: the
//! log says what the server shows, and nothing is done twice.

use std::process::Output;
use std::sync::Mutex;

use backout::run::record::OutcomeResult;
use backout::target::{Handle, mysql};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

use super::{prepared, said_of};
use crate::shop::Shop;
use crate::support::{self, Database};
use crate::takeover::{Operator, said};

/// A step, and how its change is counted: 0 before it, 1 after it, and anything else is wrong.
struct Form {
    name: &'static str,
    ddl: &'static [&'static str],
    token: &'static str,
    count: &'static str,
    life: &'static [&'static str],
    /// No catalog shows whether it ran: once it may have been sent, a person says.
    silent: bool,
}

const TRANSACTION: &[&str] = &["intent", "tx_open", "ready", "finished", "outcome"];
const PLAIN: &[&str] = &["intent", "begun", "sent", "finished", "outcome"];

const fn form(name: &'static str, ddl: &'static [&'static str], count: &'static str) -> Form {
    Form { name, ddl, token: "orders@shop", count, life: TRANSACTION, silent: false }
}

const fn plain(name: &'static str, ddl: &'static [&'static str], count: &'static str) -> Form {
    Form { life: PLAIN, ..form(name, ddl, count) }
}

static POSTGRES: [Form; 9] = [
    form(
        "list",
        &[
            "ALTER TABLE orders RENAME COLUMN reference TO payment_ref",
            "ALTER TABLE orders ADD COLUMN psp text",
            "CREATE INDEX orders_psp ON orders (psp)",
        ],
        "SELECT count(*) / 2 FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname IN ('payment_ref', 'psp')
           AND EXISTS (SELECT FROM pg_class WHERE relname = 'orders_psp')",
    ),
    Form {
        token: "order_status@shop",
        ..form(
            "label",
            &["ALTER TYPE order_status ADD VALUE 'held'"],
            "SELECT count(*) FROM pg_enum WHERE enumlabel = 'held'",
        )
    },
    Form {
        token: "audit_entries@shop",
        ..form(
            "table",
            &["CREATE TABLE audit_entries (id int)", "COMMENT ON TABLE audit_entries IS 'kept'"],
            "SELECT count(obj_description(to_regclass('audit_entries'), 'pg_class'))",
        )
    },
    form("cluster", &["CLUSTER orders USING orders_pkey"], "SELECT count(*) FROM pg_index WHERE indisclustered"),
    plain(
        "build",
        &["CREATE INDEX CONCURRENTLY orders_cents ON orders (amount_cents)"],
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('orders_cents') AND indisvalid",
    ),
    Form {
        token: "orders_reference@shop",
        ..plain(
            "removal",
            &["DROP INDEX CONCURRENTLY orders_reference"],
            "SELECT 1 - count(*) FROM pg_class WHERE relname = 'orders_reference'",
        )
    },
    plain(
        "mixed",
        &[
            "ALTER TABLE orders ADD COLUMN psp text",
            "CREATE INDEX CONCURRENTLY orders_psp ON orders (psp)",
        ],
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('orders_psp') AND indisvalid",
    ),
    Form {
        silent: true,
        ..plain(
            "vacuum",
            &["VACUUM (FULL) orders"],
            "SELECT (pg_relation_filenode('orders') <> (SELECT file FROM was))::int::bigint",
        )
    },
    Form {
        silent: true,
        ..plain(
            "rebuild",
            &["REINDEX TABLE CONCURRENTLY orders"],
            "SELECT (pg_relation_filenode('orders_pkey') <> (SELECT pkey FROM was))::int::bigint",
        )
    },
];

static MARIADB: [Form; 3] = [
    plain(
        "rename",
        &["ALTER TABLE orders RENAME COLUMN reference TO payment_ref"],
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = database() AND column_name = 'payment_ref'",
    ),
    plain(
        "list",
        &["ALTER TABLE orders ADD COLUMN psp text", "CREATE INDEX orders_cents ON orders (amount_cents)"],
        "SELECT count(*) FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'orders_cents'",
    ),
    Form { silent: true, ..plain("analyze", &["ANALYZE TABLE orders"], "SELECT 1") },
];

const TABLES: [&str; 6] = [
    "CREATE TYPE order_status AS ENUM ('new', 'paid')",
    "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL, reference text, status order_status)",
    "INSERT INTO orders SELECT id, id * 100, 'r', 'new' FROM generate_series(1, 10) id",
    "CREATE INDEX orders_reference ON orders (reference)",
    "CREATE TABLE was (file bigint, pkey bigint)",
    "INSERT INTO was VALUES (pg_relation_filenode('orders'), pg_relation_filenode('orders_pkey'))",
];

const MARIADB_TABLES: [&str; 2] = [
    "CREATE TABLE orders (id bigint PRIMARY KEY, amount_cents bigint NOT NULL, reference varchar(64))",
    "INSERT INTO orders VALUES (1, 100, 'r'), (2, 200, 'r')",
];

const ANSWERS: &str =
    "answers: 1\nsteps:\n  change: { token: \"TOKEN\", reason: \"It was decided before the night began.\" }\n";

/// One form on a database of its own.
struct Play<'a> {
    form: &'a Form,
    moment: &'static str,
    operator: Operator,
    database: Database,
}

impl<'a> Play<'a> {
    fn on(server: &str, form: &'a Form, moment: &'static str) -> Self {
        let database = Database::create("sweep", server.to_owned()).unwrap();
        let kind = if server.starts_with("postgres") { "postgres" } else { "mysql" };
        let mut runbook = format!(
            "backout: 1\nname: sweep\ntargets:\n  shop: {{ {kind}: \"${{SHOP}}\" }}\nsteps:\n  - id: change\n    phase: repair\n    on: shop\n    ddl:\n"
        );
        for sql in form.ddl {
            runbook.push_str(&format!("      - {sql:?}\n"));
        }
        let (url, text) = (database.url.clone(), runbook.clone());
        support::blocking(async move {
            match url.starts_with("postgres") {
                true => prepared(&url, &text, &TABLES).await,
                false => prepared_on_mariadb(&url, &text).await,
            }
        });
        let operator = Operator::new("ada", &database.url, "", "");
        std::fs::write(operator.file("runbook.yaml"), runbook).unwrap();
        std::fs::write(operator.file("answers.yaml"), ANSWERS.replace("TOKEN", form.token)).unwrap();
        Self { form, moment, operator, database }
    }

    fn count(&self) -> i64 {
        let (url, sql) = (self.database.url.clone(), AssertSqlSafe(self.form.count.to_owned()));
        support::blocking(async move {
            if url.starts_with("postgres") {
                let mut own = PgConnection::connect(&url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut own).await.unwrap()
            } else {
                let mut own = MySqlConnection::connect(&url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut own).await.unwrap()
            }
        })
    }

    fn ended(&self, output: &Output, code: Option<i32>) -> Result<(), String> {
        match output.status.code() == code {
            true => Ok(()),
            false => Err(self.wrong(&format!("ended with {:?}, not {code:?}: {}", output.status.code(), said(output)))),
        }
    }

    fn wrong(&self, words: &str) -> String {
        format!("{} killed at {}: {words}\n{}", self.form.name, self.moment, self.operator.log())
    }

    fn result(&self) -> Result<(), String> {
        let killed = self.operator.does("run", Some(&format!("change:{}", self.moment)));
        self.ended(&killed, None)?;
        let was = self.count();
        let sent = matches!(self.moment, "sent" | "finished");
        if self.form.silent && sent {
            for _ in 0..2 {
                self.ended(&self.operator.does("resume", None), Some(7))?;
                if self.count() != was {
                    return Err(self.wrong("it was sent again"));
                }
            }
            return Ok(());
        }
        self.ended(&self.operator.does("resume", None), Some(0))?;
        let says = [1, 2, 3].map(|att| said_of(&self.operator, "change", att));
        let (count, times) = (self.count(), says.iter().filter(|said| **said == Some(OutcomeResult::Applied)).count());
        if (count, times) != (1, 1) {
            return Err(
                self.wrong(&format!("it is there {count} times, and said to be applied {times} times: {says:?}"))
            );
        }
        let first = if was == 1 { OutcomeResult::Applied } else { OutcomeResult::NotApplied };
        if says[0] != Some(first) && self.form.life == TRANSACTION {
            return Err(self.wrong(&format!("it was there {was} times, and the log says {says:?}")));
        }
        self.operator.audit(&["verify"]);
        Ok(())
    }
}

async fn prepared_on_mariadb(url: &str, runbook: &str) {
    let shop = Shop::with(runbook, url, "run-setup");
    for table in MARIADB_TABLES {
        shop.sql(table).await;
    }
    shop.context.targets.install("shop").await.unwrap_or_else(|error| panic!("{error}"));
    let Handle::Mysql(mut own) = shop.context.targets.dedicated("shop", "test").await.unwrap() else { panic!() };
    mysql::declare_rehearsal(&mut own, "faults").await.unwrap();
}

/// All rows, a few at a time; every one that went wrong is named.
fn swept(server: &str, rows: Vec<(&Form, &'static str)>) {
    let (left, wrong) = (Mutex::new(rows), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((form, moment)) = left.lock().unwrap().pop() else { return };
                    if let Err(words) = Play::on(server, form, moment).result() {
                        wrong.lock().unwrap().push(words);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Each form, killed when all is done and nobody has heard of it.
fn finished(forms: &'static [Form]) -> Vec<(&'static Form, &'static str)> {
    forms.iter().map(|form| (form, "finished")).collect()
}

fn every(forms: &'static [Form]) -> Vec<(&'static Form, &'static str)> {
    forms.iter().flat_map(|form| form.life.iter().map(move |moment| (form, *moment))).collect()
}

#[test]
fn each_form_killed_before_its_outcome_is_known() {
    let Some(server) = support::server("sweep", support::POSTGRES) else { return };
    swept(&server, finished(&POSTGRES));
}

#[test]
fn each_form_killed_before_its_outcome_is_known_on_mariadb() {
    let Some(server) = support::server("sweep", support::MYSQL) else { return };
    swept(&server, finished(&MARIADB));
}

#[test]
#[ignore = "long: two processes for each form and moment"]
fn each_form_killed_at_every_moment() {
    let Some(server) = support::server("sweep", support::POSTGRES) else { return };
    swept(&server, every(&POSTGRES));
}

#[test]
#[ignore = "long: two processes for each form and moment"]
fn each_form_killed_at_every_moment_on_mariadb() {
    let Some(server) = support::server("sweep", support::MYSQL) else { return };
    swept(&server, every(&MARIADB));
}
