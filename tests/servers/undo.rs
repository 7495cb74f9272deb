//! An undo on real databases: what it brings back exactly, what it does not and how that is told, and what follows when
//! the server refuses it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use backout::audit::Writer;
use backout::engine::{self, Ask, Handle, Setup, Snapshot};
use backout::run::decide::Input;
use backout::run::record::{Actor, HoldReason, Kept, Restored, RunStarted, Undoing};
use backout::run::state::Status;
use backout::runbook::Level;
use backout::target::{self, postgres};
use tokio::task::JoinHandle;

use crate::shop::Shop;
use crate::support::{self, Database};

const RUN: &str = "01JH8Q3V5K6M7N8P9QRSTVWXZ0";
const PATIENCE: Duration = Duration::from_secs(30);

const HEAD: &str = r#"
backout: 1
name: shop
title: The shop
targets:
  shop: { KIND: "${SHOP}" }
steps:
"#;

/// One step on the schema: no step waits for it.
fn ddl(id: &str, statements: &[&str], undo: &[&str]) -> String {
    let list = |statements: &[&str], indent: &str| {
        let one = |sql: &&str| format!("\n{indent}  - |\n{indent}    {sql}");
        statements.iter().map(one).collect::<String>()
    };
    let undo = if undo.is_empty() { String::new() } else { format!("\n    undo:\n      ddl:{}", list(undo, "      ")) };
    format!(
        "  - id: {id}\n    phase: repair\n    after: []\n    on: shop\n    title: t\n    ddl:{}{undo}\n",
        list(statements, "    ")
    )
}

/// A person at a run of their own, without a screen.
struct Person {
    shop: Shop,
    handle: Handle,
    engine: JoinHandle<backout::failure::Result<u8>>,
    _home: Option<Database>,
    dir: tempfile::TempDir,
}

impl Person {
    /// On a database of its own, with ten orders and what `more` adds.
    async fn at(kind: &str, steps: &str, more: &[&str]) -> Option<Self> {
        let dir = support::state_dir();
        let (address, home) = match kind {
            "sqlite" => {
                let file = dir.path().join("shop.db");
                std::fs::File::create(&file).unwrap();
                (file.display().to_string(), None)
            }
            "postgres" => support::postgres_database("undo").map(|d| (d.url.clone(), Some(d)))?,
            _ => support::mysql_database("undo").map(|d| (d.url.clone(), Some(d)))?,
        };
        let shop = Shop::with(&format!("{}{steps}", HEAD.replace("KIND", kind)), &address, RUN);
        shop.sql("CREATE TABLE orders (id int PRIMARY KEY, note varchar(40), ref varchar(40) NOT NULL, amount int)")
            .await;
        for id in 1..=3 {
            shop.sql(&format!("INSERT INTO orders VALUES ({id}, 'n', 'ref-{id}', {id})")).await;
        }
        for sql in more {
            shop.sql(sql).await;
        }
        shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
        let run_dir = shop.context.access.run_dir.clone();
        let started = RunStarted {
            run: RUN.into(),
            runbook: "shop".into(),
            runbook_digest: String::new(),
            incident: None,
            version: String::new(),
            steps: shop.context.runbook.steps.keys().cloned().collect(),
            headless: false,
            leaves: Vec::new(),
        };
        let (id, user, host) = ("a1".to_owned(), "alice".to_owned(), "here".to_owned());
        let actor = Actor { id, user, uid: 1, host, tty: None, claimed_ssh: None, pid: 1 };
        let setup = Setup {
            runbook: shop.context.runbook.clone(),
            access: shop.context.access.clone(),
            writer: Writer::create(&dir.path().join(RUN), RUN).unwrap(),
            run_dir,
            events: Vec::new(),
            first: Input::Start { started, actor },
            actor: "a1".into(),
            vars: Vec::new(),
            log_deadline: engine::LOG_DEADLINE,
        };
        let (handle, engine) = engine::start(setup).unwrap();
        let person = Self { shop, handle, engine, _home: home, dir };
        person.sees("a survey", |now| now.state.survey.is_some()).await;
        person.asks(Ask::Enter { done: Vec::new() }).await;
        Some(person)
    }

    async fn asks(&self, ask: Ask) -> Arc<Snapshot> {
        let before = self.handle.snapshots.borrow().taken;
        self.handle.asks.send(ask).await.unwrap();
        self.sees("an answer", |now| now.taken > before).await
    }

    async fn sees(&self, what: &str, seen: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.handle.snapshots.clone();
        let found = tokio::time::timeout(PATIENCE, snapshots.wait_for(seen)).await;
        let now = || self.handle.snapshots.borrow().clone();
        found
            .unwrap_or_else(|_| panic!("no {what}: {:?}, {:?}", now().message, now().state.steps))
            .unwrap_or_else(|_| panic!("ended before {what}"))
            .clone()
    }

    /// The gate, read and answered; then whatever is not under way any more.
    async fn passes(&self, gate: Ask, step: &str) -> Arc<Snapshot> {
        self.asks(gate).await;
        let shown = self.sees("a gate", |now| now.state.gate.is_some()).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        let offer = &shown.state.gate.as_ref().unwrap().shown.offer;
        if offer.level == Level::Irreversible {
            self.asks(Ask::BreakGlass { reason: "there is nobody else tonight".into() }).await;
        }
        let typed = offer.token.clone();
        self.asks(Ask::Answer { typed, reason: None, looked_ms: 5000, from_file: false }).await;
        self.rests(step).await
    }

    async fn rests(&self, step: &str) -> Arc<Snapshot> {
        self.sees("an end", |now| {
            let under_way = matches!(now.state.status(step), Status::Gate | Status::Running | Status::Applied);
            !under_way && now.state.open.is_none()
        })
        .await
    }

    async fn does(&self, step: &str) {
        let now = self.passes(Ask::Open { step: step.into() }, step).await;
        assert_eq!(now.state.status(step), Status::Done, "{:?}", now.state.steps[step]);
    }

    async fn undoes(&self, step: &str) -> Arc<Snapshot> {
        self.passes(Ask::Undo { step: step.into() }, step).await
    }

    async fn leaves(self) -> u8 {
        self.asks(Ask::Leave { why: "the test is over".into() }).await;
        tokio::time::timeout(PATIENCE, self.engine).await.expect("it ends").unwrap().unwrap()
    }
}

fn compared(now: &Snapshot, step: &str) -> (Vec<String>, Vec<String>) {
    match &now.state.steps[step].restored {
        Some(Restored::Compared { differs, meanwhile, .. }) => (differs.clone(), meanwhile.clone()),
        other => panic!("{step} was not compared: {other:?}"),
    }
}

fn exact() -> (Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new())
}

/// A rename, and a default: the same objects as before.
async fn restores_exactly(kind: &str) {
    let steps = ddl("rename", &["ALTER TABLE orders RENAME COLUMN ref TO payment_ref"], &[])
        + &ddl("add", &["ALTER TABLE orders ADD COLUMN more int"], &[]);
    let more = ["CREATE INDEX by_ref ON orders (ref)", "CREATE VIEW refs AS SELECT id, ref FROM orders"];
    // MariaDB does not write a view again when its column gets another name.
    let more = if kind == "mysql" { &more[..1] } else { &more[..] };
    let Some(person) = Person::at(kind, &steps, more).await else { return };
    for step in ["rename", "add"] {
        person.does(step).await;
        let state = &person.handle.snapshots.borrow().state.clone();
        let Some((Kept::In { file, .. }, _)) = &state.steps[step].before else { panic!("{:?}", state.steps[step]) };
        let kept = person.shop.context.access.run_dir.join(file);
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let now = person.undoes(step).await;
        assert_eq!(compared(&now, step), exact(), "{kind}");
        assert_eq!(now.state.status(step), Status::Undone);
        let shown = now.state.steps[step].shown.as_ref().unwrap();
        let told = shown.evidence.facts.iter().find(|(label, _)| label == "catalog");
        assert!(told.is_some_and(|(_, words)| words.contains("compared object by object")), "{:?}", shown.evidence);
        let said = now.log.iter().map(|event| backout::run::words(&event.record)).collect::<Vec<_>>().join("\n");
        assert!(said.contains("restored exactly"), "{said}");
    }
    assert_eq!(person.leaves().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restores_exactly() {
    restores_exactly("postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_restores_exactly() {
    restores_exactly("sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_restores_exactly() {
    restores_exactly("mysql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_index_that_is_dropped_and_built_again_is_the_same() {
    let steps = ddl("drop", &["DROP INDEX CONCURRENTLY by_ref"], &["CREATE INDEX CONCURRENTLY by_ref ON orders (ref)"]);
    let more = ["CREATE INDEX by_ref ON orders (ref)"];
    let Some(person) = Person::at("postgres", &steps, &more).await else { return };
    // As its author says, though a statement could be derived.
    let offer = person.shop.prepare("drop", 1, false).await.unwrap().offer;
    let rendered = vec!["CREATE INDEX CONCURRENTLY by_ref ON orders (ref)".to_owned()];
    let written = |undo: Undoing| match undo {
        Undoing::By { rendered, .. } => rendered.iter().map(|sql| sql.trim_end().to_owned()).collect(),
        other => vec![format!("{other:?}")],
    };
    assert_eq!(written(offer.undo), rendered);
    person.does("drop").await;
    let now = person.undoes("drop").await;
    assert_eq!((compared(&now, "drop"), now.state.status("drop")), (exact(), Status::Undone));
}

/// What is lost is told object by object; mended by hand, it is judged again.
async fn tells_what_is_lost(kind: &str, more: &[&str], lost: &[&str], mend: &[&str]) {
    let drop = match kind {
        "sqlite" => &["DROP INDEX by_note", "ALTER TABLE orders DROP COLUMN note"][..],
        _ => &["ALTER TABLE orders DROP COLUMN note"][..],
    };
    let steps = ddl("drop", drop, &["ALTER TABLE orders ADD COLUMN note varchar(40)"])
        + &ddl("more", &["ALTER TABLE orders ADD COLUMN more int"], &[]);
    let Some(person) = Person::at(kind, &steps, more).await else { return };
    let offer = person.shop.prepare("drop", 1, false).await.unwrap().offer;
    let Undoing::By { limits: Some(limits), derived: false, .. } = offer.undo else { panic!("{:?}", offer.undo) };
    assert!(limits.starts_with("NOT brought back") && limits.contains("what column orders.note held"), "{limits}");
    person.does("drop").await;
    let now = person.undoes("drop").await;
    assert_eq!(now.state.status("drop"), Status::NotExact, "{:?}", now.state.steps["drop"]);
    let (differs, meanwhile) = compared(&now, "drop");
    // The column has the name, the type and the place of none: what it held is gone, and it stands last.
    let whatever = ["the columns of orders come in another order: id, ref, amount, note", "orders.note is another one"];
    let lost: Vec<&str> = lost.iter().chain(&whatever).copied().collect();
    assert_eq!((differs.len(), meanwhile.len()), (lost.len(), 0), "{differs:?}");
    for (told, lost) in differs.iter().zip(&lost) {
        assert!(told.contains(lost), "{told} does not say {lost}");
    }
    assert!(now.state.holds.contains(&HoldReason::Step { step: "drop".into() }), "{:?}", now.state.holds);
    if !mend.is_empty() {
        for sql in mend {
            person.shop.sql(sql).await;
        }
        // What can be mended by hand is not told again; the values are still not those that were.
        person.asks(Ask::Verify { step: "drop".into() }).await;
        let now = person.sees("fewer differences", |now| compared(now, "drop").0.len() == whatever.len()).await;
        assert_eq!(now.state.status("drop"), Status::NotExact);
    }
    // Left as it is, with a reason: it is undone.
    let now = person.asks(Ask::Override { step: "drop".into(), reason: "nobody asks by the note".into() }).await;
    assert_eq!(now.state.status("drop"), Status::Undone);
    assert!(now.state.holds.is_empty());
    person.does("more").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_tells_a_lost_index_and_a_lost_grant() {
    let more = ["CREATE INDEX by_note ON orders (note)", "GRANT SELECT (note) ON orders TO public"];
    let lost = ["grant orders.note to public is gone", "index orders.by_note is gone"];
    tells_what_is_lost("postgres", &more, &lost, &more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_tells_a_lost_index() {
    let more = ["CREATE INDEX by_note ON orders (note)"];
    tells_what_is_lost("sqlite", &more, &["index orders.by_note is gone"], &more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_tells_a_lost_index_and_goes_on_without_it() {
    let more = ["CREATE INDEX by_note ON orders (note)"];
    tells_what_is_lost("mysql", &more, &["index orders.by_note is gone"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_later_steps_changed_is_no_failure_of_the_undo() {
    let steps = ddl("rename", &["ALTER TABLE orders RENAME COLUMN ref TO payment_ref"], &[])
        + &ddl("extra", &["ALTER TABLE orders ADD COLUMN extra int"], &[]);
    let more = ["CREATE INDEX by_ref ON orders (ref)"];
    for kind in ["postgres", "sqlite"] {
        let Some(person) = Person::at(kind, &steps, &more).await else { return };
        person.does("rename").await;
        person.does("extra").await;
        // By hands that are not this run's: that is told as it is.
        person.shop.sql("DROP INDEX by_ref").await;
        let now = person.undoes("rename").await;
        let (differs, meanwhile) = compared(&now, "rename");
        assert!(meanwhile.iter().all(|line| line.ends_with("(since extra)")), "{kind}: {meanwhile:?}");
        assert!(meanwhile.iter().any(|line| line.starts_with("column orders.extra is there")), "{kind}: {meanwhile:?}");
        assert_eq!((differs.len(), now.state.status("rename")), (1, Status::NotExact), "{kind}: {differs:?}");
        assert!(differs[0].contains("by_ref is gone"), "{kind}: {differs:?}");
        person.shop.sql(more[0]).await;
        person.asks(Ask::Verify { step: "rename".into() }).await;
        person.sees("the end", |now| now.state.status("rename") == Status::Undone).await;
    }
}

const STRICT: (&str, &str) = ("loosen", "ALTER TABLE orders ALTER COLUMN ref DROP NOT NULL");

/// At the failed undo of a step: a row prevents it.
async fn prevented() -> Option<Person> {
    let steps = ddl(STRICT.0, &[STRICT.1], &[]) + &ddl("extra", &["ALTER TABLE orders ADD COLUMN extra int"], &[]);
    let person = Person::at("postgres", &steps, &[]).await?;
    person.does("loosen").await;
    person.shop.sql("UPDATE orders SET ref = NULL WHERE id = 2").await;
    let now = person.undoes("loosen").await;
    assert_eq!(now.state.status("loosen"), Status::UndoFailed, "{:?}", now.state.steps["loosen"]);
    let words = now.state.steps["loosen"].undo_failed.clone().unwrap();
    assert!(words.contains("contains null values") && words.contains("(23502)"), "{words}");
    let refused = person.asks(Ask::Lift).await;
    assert!(refused.message.as_ref().is_some_and(|m| m.what.contains("undo FAILED")), "{:?}", refused.message);
    Some(person)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_the_server_refuses_is_tried_again_when_its_cause_is_mended() {
    let Some(person) = prevented().await else { return };
    assert_eq!(person.undoes("loosen").await.state.status("loosen"), Status::UndoFailed);
    person.shop.sql("UPDATE orders SET ref = 'again' WHERE ref IS NULL").await;
    let now = person.undoes("loosen").await;
    assert_eq!((now.state.status("loosen"), compared(&now, "loosen")), (Status::Undone, exact()));
    assert!(now.state.holds.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_done_by_hand_is_compared_like_ones_own() {
    let Some(person) = prevented().await else { return };
    let by_hand = |evidence: &str| Ask::Elsewhere { step: "loosen".into(), evidence: evidence.into() };
    let refused = person.asks(by_hand("yes")).await;
    assert!(refused.message.is_some() && refused.state.status("loosen") == Status::UndoFailed);
    // A word without the deed.
    person.asks(by_hand("the DBA says that it is done")).await;
    let now = person.rests("loosen").await;
    assert_eq!(now.state.status("loosen"), Status::NotExact);
    let (differs, _) = compared(&now, "loosen");
    assert!(
        differs.len() == 1 && differs[0].starts_with("column orders.ref is character varying(40) (it was"),
        "{differs:?}"
    );
    person.shop.sql("UPDATE orders SET ref = 'again' WHERE ref IS NULL").await;
    person.shop.sql("ALTER TABLE orders ALTER COLUMN ref SET NOT NULL").await;
    person.asks(Ask::Verify { step: "loosen".into() }).await;
    person.sees("the end", |now| now.state.status("loosen") == Status::Undone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_undo_is_left_standing_with_a_reason_or_the_run_is_left_with_6() {
    let Some(person) = prevented().await else { return };
    person.asks(Ask::Override { step: "loosen".into(), reason: "v2 writes no ref tonight".into() }).await;
    person.does("extra").await;
    let now = person.handle.snapshots.borrow().clone();
    assert_eq!(now.state.status("loosen"), Status::Done);
    assert_eq!(person.leaves().await, 5);
    let Some(person) = prevented().await else { return };
    assert_eq!(person.leaves().await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_and_is_not_whole_any_more_proves_nothing() {
    let steps = ddl("rename", &["ALTER TABLE orders RENAME COLUMN ref TO payment_ref"], &[]);
    let Some(person) = Person::at("sqlite", &steps, &[]).await else { return };
    person.does("rename").await;
    let Some((Kept::In { file, .. }, _)) = person.handle.snapshots.borrow().state.steps["rename"].before.clone() else {
        panic!("nothing was kept")
    };
    let file = person.shop.context.access.run_dir.join(file);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("varchar", "text")).unwrap();
    let now = person.undoes("rename").await;
    assert_eq!(now.state.status("rename"), Status::NotExact);
    let Some(Restored::Unknown { because }) = &now.state.steps["rename"].restored else {
        panic!("{:?}", now.state.steps)
    };
    assert!(because.contains("its digest is another"), "{because}");
    assert!(person.dir.path().exists());
}

const HEADLESS: &str = r#"
  - id: empty-one
    phase: repair
    on: shop
    title: What v2 did
    change: { sql: "UPDATE orders SET ref = NULL WHERE id = 2" }
  - id: back
    on: shop
    undo_of: loosen
"#;

/// A run of the real binary on a rehearsal, without a person.
struct Alone {
    dir: tempfile::TempDir,
    shop: Shop,
    database: Database,
}

impl Alone {
    async fn on_postgres(steps: &str) -> Option<Self> {
        let (dir, database) = (support::state_dir(), support::postgres_database("undo")?);
        let text = format!("{}{steps}", HEAD.replace("KIND", "postgres"));
        std::fs::write(dir.path().join("runbook.yaml"), &text).unwrap();
        let answers = "answers: 1\nsteps:\n  loosen: { token: \"orders@shop\" }\n  empty-one: { token: \"1\" }\n  back: { token: \"orders@shop\" }\n";
        std::fs::write(dir.path().join("answers.yaml"), answers).unwrap();
        let shop = Shop::with(&text, &database.url, RUN);
        shop.sql("CREATE TABLE orders (id int PRIMARY KEY, ref text NOT NULL)").await;
        shop.sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')").await;
        shop.context.targets.install("shop").await.unwrap_or_else(|e| panic!("{e}"));
        let handle = shop.context.targets.dedicated("shop", "test").await.unwrap();
        let target::Handle::Postgres(mut own) = handle else { panic!("it is PostgreSQL") };
        postgres::declare_rehearsal(&mut own, "undo").await.unwrap();
        Some(Self { dir, shop, database })
    }

    fn does(&self, verb: &str, fault: Option<&str>) -> Output {
        let path = |name: &str| self.dir.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg(verb);
        if verb == "run" {
            command.arg(path("runbook.yaml"));
        }
        command.arg("--headless").arg("--answers").arg(path("answers.yaml"));
        command.arg("--state-dir").arg(path("state")).env("SHOP", &self.database.url);
        match fault {
            Some(fault) => command.env("BACKOUT_FAULT", fault),
            None => command.env_remove("BACKOUT_FAULT"),
        };
        command.output().unwrap()
    }

    fn audit(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backout"));
        command.arg("audit").args(words).arg("--state-dir").arg(self.dir.path().join("state"));
        let output = command.output().unwrap();
        ends(&output, Some(0), &[]);
        said(&output)
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn ends(output: &Output, code: Option<i32>, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), code, "{said}");
    for words in words {
        assert!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headless_a_failed_undo_ends_with_6_and_the_resumed_run_tries_again() {
    let steps = ddl(STRICT.0, &[STRICT.1], &[]) + HEADLESS.trim_start_matches('\n');
    let Some(alone) = Alone::on_postgres(&steps).await else { return };
    let words = ["contains null values", "What it did still stands", "by hand", "go forward"];
    ends(&alone.does("run", None), Some(6), &words);
    // Nothing was mended: the same again.
    ends(&alone.does("resume", None), Some(6), &["contains null values"]);
    alone.shop.sql("UPDATE orders SET ref = 'b' WHERE ref IS NULL").await;
    ends(&alone.does("resume", None), Some(0), &["restored exactly"]);
    alone.audit(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_within_the_undo_it_is_settled_and_compared() {
    let back = "  - id: back\n    phase: repair\n    on: shop\n    undo_of: loosen\n";
    let steps = ddl(STRICT.0, &[STRICT.1], &[]) + back;
    for moment in ["intent", "tx_open", "ready", "finished", "outcome"] {
        let Some(alone) = Alone::on_postgres(&steps).await else { return };
        ends(&alone.does("run", Some(&format!("back:{moment}"))), None, &[]);
        ends(&alone.does("resume", None), Some(0), &["restored exactly"]);
        let settled = alone.audit(&["show", "--long"]);
        assert!(settled.contains("restored") && (moment == "outcome" || settled.contains("settled")), "{settled}");
        alone.audit(&["verify"]);
    }
}
