//! What the facts of a gate cost on a database of many tables, indexes and sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout::action;
use backout::check::Context;
use backout::run::record::Environment;
use backout::runbook::resolve;
use backout::target::{Access, Targets};

use crate::Figure;

const SESSIONS: usize = 200;
const ROUNDS: usize = 20;

const RUNBOOK: &str = r#"
backout: 1
name: facts
title: One of many tables
targets:
  db: { postgres: "${BENCH_URL}" }
steps:
  - id: rename
    on: db
    title: Another name for the column
    ddl: |
      ALTER TABLE t2500 RENAME COLUMN b TO c
"#;

/// In parts: one transaction would need more locks than the server has.
const TABLES: &str = "do $$ begin for n in 1..5000 loop
    execute format('create table t%s (id int primary key, a int, b int)', n);
    execute format('create index on t%s (a); create index on t%s (b); create index on t%s (a, b)', n, n, n);
    if n % 100 = 0 then commit; end if;
  end loop; end $$";

pub fn gate() -> Figure {
    let Some(server) = std::env::var("BACKOUT_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty()) else {
        return Figure::Skipped("no server given");
    };
    let name = format!("bench_facts_{}", std::process::id());
    let psql = |url: &str, statement: &str| {
        let output = Command::new("psql").args([url, "-Xqc", statement]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    psql(&server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    psql(&url, TABLES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let figure = runtime.block_on(measured(&url));
    psql(&server, &format!("DROP DATABASE {name} WITH (FORCE)"));
    figure
}

async fn measured(url: &str) -> Figure {
    let loaded = resolve::load_str("facts.yaml", RUNBOOK, std::path::Path::new(".")).unwrap_or_else(|e| panic!("{e}"));
    let runbook = Arc::new(loaded.runbook);
    let access = Arc::new(Access {
        env: BTreeMap::from([("BENCH_URL".to_owned(), url.to_owned())]),
        run: "bench".into(),
        runbook: runbook.name.clone(),
        incident: None,
        run_dir: PathBuf::new(),
        insecure_tls: false,
        stand_ins: None,
    });
    let context = Context {
        targets: Arc::new(Targets::new(runbook.clone(), access.clone())),
        runbook,
        access,
        vars: BTreeMap::new(),
        frozen: BTreeMap::new(),
        changed: BTreeMap::new(),
        reads: BTreeMap::new(),
        decided: BTreeMap::new(),
        items: BTreeMap::new(),
        begun: BTreeMap::new(),
        took: BTreeMap::new(),
        head: None,
    };
    // Half of them in a transaction, with locks.
    let mut sessions = Vec::new();
    for n in 0..SESSIONS {
        let mut session = context.targets.dedicated("db", "app").await.unwrap();
        if n % 2 == 0 {
            session.run("begin", vec![]).await.unwrap();
            session.one(format!("select count(*) from t{}", n + 1), vec![]).await.unwrap();
        }
        sessions.push(session);
    }
    let step = &context.runbook.steps["rename"];
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let prepared = action::prepare(step, 1, false, Environment::Production, &context).await;
        let prepared = prepared.unwrap_or_else(|e| panic!("{e}"));
        // The first opens the monitor.
        if round > 0 {
            times.push(begun.elapsed());
        }
        assert!(!prepared.evidence.facts.iter().any(|(_, words)| words.contains("cannot")), "{:?}", prepared.evidence);
    }
    Figure::worst(times, Duration::from_millis(300))
}
