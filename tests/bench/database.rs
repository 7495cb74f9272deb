//! Databases of a bench's own on the server that was given, and a runbook's view of one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use backout::check::Context;
use backout::runbook::load_str;
use backout::target::Access;

/// Dropped with it.
pub struct Database {
    server: String,
    name: String,
    pub url: String,
    run_dir: tempfile::TempDir,
}

impl Database {
    /// `None` where no server was given.
    pub fn create(purpose: &str) -> Option<Self> {
        let server = std::env::var("BACKOUT_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())?;
        let name = format!("bench_{purpose}_{}", std::process::id());
        psql(&server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        Some(Self { server, name, url, run_dir: tempfile::tempdir().unwrap() })
    }

    /// 5,000 tables `t1` … with 20,000 indexes.
    pub fn crowded(purpose: &str) -> Option<Self> {
        let database = Self::create(purpose)?;
        database.sql(TABLES);
        database.sql("analyze pg_class");
        Some(database)
    }

    pub fn sql(&self, statement: &str) -> String {
        psql(&self.url, statement)
    }

    /// What a step of `runbook` is done with; the runbook's address is `${BENCH_URL}`.
    pub fn context(&self, runbook: &str) -> Context {
        let loaded = load_str("bench.yaml", runbook, Path::new(".")).unwrap_or_else(|wrong| panic!("{wrong}"));
        let runbook = Arc::new(loaded.runbook);
        let access = Arc::new(Access {
            env: BTreeMap::from([("BENCH_URL".to_owned(), self.url.clone())]),
            run: "bench".into(),
            runbook: runbook.name.clone(),
            incident: None,
            run_dir: self.run_dir.path().to_owned(),
            insecure_tls: false,
            stand_ins: None,
        });
        Context::new(runbook, access)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// In parts: one transaction would need more locks than the server has.
const TABLES: &str = "do $$ begin for n in 1..5000 loop
    execute format('create table t%s (id int primary key, a int, b int)', n);
    execute format('create index on t%s (a); create index on t%s (b); create index on t%s (a, b)', n, n, n);
    if n % 100 = 0 then commit; end if;
  end loop; end $$";

/// What psql prints, with the time that it took.
pub fn psql(url: &str, statement: &str) -> String {
    let output = Command::new("psql").args([url, "-XqAtc", "\\timing on", "-c", statement]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
