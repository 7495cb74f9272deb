//! In which ways MySQL and MariaDB are asked to run a statement, the cheapest first: `ALGORITHM=…` and `LOCK=…` behind
//! what the author wrote. The server refuses at once what it cannot do that way, and has then done nothing.
//!
//! Owns which ways may be tried at all: a copy of the table, or a lock that keeps writes waiting, only where the tables
//! of the forms say that the statement may need it. Never rewrites a word of the statement.

use super::super::form::{Algorithm, Server};
use super::super::statement::Statement;
use super::super::words::{Word, Words};
use super::super::{Dialect, dialect};

/// One way to run a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// `ALGORITHM=INPLACE, LOCK=NONE`
    pub asks: String,
    pub algorithm: Algorithm,
    pub sql: String,
}

/// What a server of that version is sent for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ways {
    /// As it is written, and why: words for a gate. None: there is no choice to make.
    Written(Option<&'static str>),
    /// One after the other until the server takes one; never another one.
    Tried(Vec<Way>),
}

/// From where on a server knows each word. Not measured: MariaDB's release notes of 10.3 and 11.2, MySQL's of 8.0.12.
const MARIADB_ALGORITHMS: u32 = 100_300;
const MARIADB_ONLINE_COPY: u32 = 110_200;
const MYSQL_INSTANT: u32 = 80_012;

/// How `sql`, which is `statement`, is sent to that server.
pub fn ways(sql: &str, statement: &Statement, server: Server) -> Ways {
    let alters = statement.kind.starts_with("ALTER TABLE");
    let indexes = matches!(statement.kind, "CREATE INDEX" | "DROP INDEX");
    if server.dialect() != Dialect::Mysql || !(alters || indexes) {
        return Ways::Written(None);
    }
    let Ok(words) = dialect::one(Dialect::Mysql, sql) else { return Ways::Written(None) };
    if words.all.windows(2).any(chosen) {
        return Ways::Written(Some("it names ALGORITHM or LOCK itself; what it leaves open the server chooses"));
    }
    if statement.kind == "DROP INDEX" && matches!(server, Server::MariaDb(_)) {
        return Ways::Written(Some("MariaDB takes no ALGORITHM in DROP INDEX: it takes the cheapest by itself"));
    }
    let Some(needs) = statement.algorithm(server) else {
        return Ways::Written(Some("! what it costs is not known here: the server chooses, and may copy the table"));
    };
    let rungs = rungs(server, needs, alters);
    Ways::Tried(rungs.into_iter().map(|(algorithm, lock)| way(&words, alters, algorithm, lock)).collect())
}

/// What is tried for a statement that needs `needs` at most, in this order.
fn rungs(server: Server, needs: Algorithm, alters: bool) -> Vec<(Algorithm, Option<&'static str>)> {
    let (instant, no_copy, online_copy) = match server {
        Server::MariaDb(n) => (n >= MARIADB_ALGORITHMS, n >= MARIADB_ALGORITHMS, n >= MARIADB_ONLINE_COPY),
        Server::Mysql(n) => (n >= MYSQL_INSTANT, false, false),
        _ => (false, false, false),
    };
    // What is instant holds no lock that it could be asked to do without. No index is built or dropped that way.
    let all = [
        (instant && alters, (Algorithm::Instant, None)),
        (no_copy, (Algorithm::NoCopy, Some("NONE"))),
        (true, (Algorithm::Inplace, Some("NONE"))),
        (needs >= Algorithm::Locking, (Algorithm::Locking, Some("SHARED"))),
        (needs == Algorithm::Copy && online_copy, (Algorithm::Copy, Some("NONE"))),
        (needs == Algorithm::Copy, (Algorithm::Copy, Some("SHARED"))),
    ];
    all.into_iter().filter(|(wanted, _)| *wanted).map(|(_, rung)| rung).collect()
}

fn way(words: &Words<'_>, alters: bool, algorithm: Algorithm, lock: Option<&str>) -> Way {
    let asks: Vec<String> =
        std::iter::once(algorithm.clause().to_owned()).chain(lock.map(|lock| format!("LOCK={lock}"))).collect();
    let (first, between) = if alters { (", ", ", ") } else { (" ", " ") };
    let end = words.all.last().map_or(0, |word| word.token.span.end);
    // Before a comment at the end, which may hide the rest of its line.
    let sql = format!("{}{first}{}{}", &words.sql[..end], asks.join(between), &words.sql[end..]);
    Way { asks: asks.join(", "), algorithm, sql }
}

/// Whether the author says how: not a column that has the word for its name.
fn chosen(pair: &[Word]) -> bool {
    const WAYS: [&str; 9] = ["default", "instant", "nocopy", "inplace", "copy", "none", "shared", "exclusive", "="];
    let [word, next] = pair else { return false };
    (word.is("algorithm") || word.is("lock")) && WAYS.contains(&next.text.as_str())
}
