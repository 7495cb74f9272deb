//! What a trial costs beside the bare BEGIN, statement, ROLLBACK on the same connection's server.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout::action::trial::{self, Wanted};
use backout::check::Context;
use backout::runbook::load_str;
use backout::target::{Access, Targets};

use crate::Figure;

const STATEMENT: &str = "ALTER TABLE t RENAME COLUMN a TO b";
const TIMES: usize = 30;

pub fn overhead() -> Figure {
    let Some(server) = std::env::var("BACKOUT_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty()) else {
        return Figure::Skipped("no server given");
    };
    let name = format!("bench_trial_{}", std::process::id());
    let sql = |url: &str, statement: &str| {
        assert!(Command::new("psql").args([url, "-XqAtc", statement]).status().unwrap().success(), "{statement}");
    };
    sql(&server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    sql(&url, "CREATE TABLE t (id integer PRIMARY KEY, a text)");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let figure = runtime.block_on(measured(&url));
    sql(&server, &format!("DROP DATABASE {name} WITH (FORCE)"));
    figure
}

async fn measured(url: &str) -> Figure {
    let text = format!(
        "backout: 1\nname: bench\ntitle: Bench\ntargets:\n  db: {{ postgres: \"${{DB}}\" }}\nsteps:\n  - id: rename\n    phase: repair\n    on: db\n    ddl: |\n      {STATEMENT}\n"
    );
    let runbook = match load_str("bench.yaml", &text, Path::new(".")) {
        Ok(loaded) => Arc::new(loaded.runbook),
        Err(diagnostics) => panic!("{diagnostics}"),
    };
    let access = Arc::new(Access {
        env: [("DB".to_owned(), url.to_owned())].into(),
        run: "bench".into(),
        runbook: runbook.name.clone(),
        incident: None,
        run_dir: std::path::PathBuf::new(),
        insecure_tls: false,
        stand_ins: None,
    });
    let context = Context {
        targets: Arc::new(Targets::new(runbook.clone(), access.clone())),
        runbook: runbook.clone(),
        access,
        vars: Default::default(),
        frozen: Default::default(),
        changed: Default::default(),
        reads: Default::default(),
        decided: Default::default(),
        items: Default::default(),
        begun: Default::default(),
        took: Default::default(),
        head: None,
    };
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let mut bare = context.targets.dedicated("db", "bench").await.unwrap();
        let begun = Instant::now();
        for statement in ["begin", STATEMENT, "rollback"] {
            bare.run(statement, vec![]).await.unwrap();
        }
        let alone = begun.elapsed();
        let (_stop, cancel) = tokio::sync::watch::channel(false);
        let tried = trial::attempt(&runbook.steps["rename"], &Wanted::default(), &context, cancel).await.unwrap();
        // What others feel: from the first lock to the end of the rollback.
        times.push(Duration::from_micros(tried.held_us).saturating_sub(alone));
    }
    Figure::worst(times, Duration::from_millis(50))
}
