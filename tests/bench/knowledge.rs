//! What it costs to know a statement.

use std::hint::black_box;
use std::time::{Duration, Instant};

use backout::sql::{Dialect, judge};

use crate::Figure;

const STATEMENTS: usize = 10_000;

const CORPUS: [(Dialect, &str); 3] = [
    (Dialect::Postgres, include_str!("../corpus/sql/postgres.txt")),
    (Dialect::Mysql, include_str!("../corpus/sql/mysql.txt")),
    (Dialect::Sqlite, include_str!("../corpus/sql/sqlite.txt")),
];

/// The statements of the corpus, plain and hostile, and the incident's own, as often as it takes.
pub fn classification() -> Figure {
    let lines = CORPUS.into_iter().flat_map(|(dialect, text)| text.lines().map(move |line| (dialect, line)));
    let corpus = lines.filter_map(|(dialect, line)| Some((dialect, line.split_once(['|', '!'])?.1.trim())));
    let release = include_str!("../../runbooks/checkout-v2/sql/v2.up.postgres.sql").split(';').map(str::trim);
    let release = release.filter(|sql| !sql.is_empty()).map(|sql| (Dialect::Postgres, sql));
    let all: Vec<_> = corpus.chain(release).collect();
    let once = || {
        let begun = Instant::now();
        for (dialect, sql) in all.iter().cycle().take(STATEMENTS) {
            black_box(judge(*dialect, sql));
        }
        begun.elapsed()
    };
    Figure::worst((0..5).map(|_| once()).collect(), Duration::from_secs(1))
}
