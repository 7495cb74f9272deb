//! How MySQL and MariaDB are asked for the cheapest way to run a statement.

use backout::sql::{Dialect, Server, Ways, parse_one, ways};

const MARIADB: Server = Server::MariaDb(101_119);
const MYSQL: Server = Server::Mysql(80_036);

fn of(server: Server, sql: &str) -> Ways {
    let statement = parse_one(Dialect::Mysql, sql).unwrap_or_else(|refused| panic!("{sql}: {refused}")).on(server);
    ways(sql, &statement, server)
}

fn asks(server: Server, sql: &str) -> Vec<String> {
    match of(server, sql) {
        Ways::Tried(ways) => ways.into_iter().map(|way| way.asks).collect(),
        Ways::Written(why) => vec![why.unwrap_or("as written").to_owned()],
    }
}

const INSTANT: &str = "ALGORITHM=INSTANT";
const NOCOPY: &str = "ALGORITHM=NOCOPY, LOCK=NONE";
const INPLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE";
const LOCKING: &str = "ALGORITHM=INPLACE, LOCK=SHARED";
const COPY: &str = "ALGORITHM=COPY, LOCK=SHARED";

#[test]
fn the_cheapest_comes_first_and_a_copy_only_where_the_form_may_need_one() {
    let rename = "ALTER TABLE orders RENAME COLUMN a TO b";
    assert_eq!(asks(MARIADB, rename), [INSTANT, NOCOPY, INPLACE]);
    assert_eq!(asks(MYSQL, rename), [INSTANT, INPLACE]);
    assert_eq!(asks(Server::Mysql(50_744), rename), [INPLACE]);
    assert_eq!(asks(Server::MariaDb(100_244), rename), [INPLACE]);
    let modify = "ALTER TABLE orders MODIFY a bigint";
    assert_eq!(asks(MARIADB, modify), [INSTANT, NOCOPY, INPLACE, LOCKING, COPY]);
    assert_eq!(asks(Server::MariaDb(110_200), modify)[4..], ["ALGORITHM=COPY, LOCK=NONE", COPY]);
    // The dearest of several actions counts.
    assert_eq!(asks(MYSQL, "ALTER TABLE o ADD COLUMN c int, ADD CHECK (c > 0), DROP INDEX i").len(), 1);
    assert_eq!(asks(MARIADB, "ALTER TABLE o ADD COLUMN c int, ADD CHECK (c > 0)").last().unwrap(), COPY);
    assert_eq!(asks(MARIADB, "ALTER TABLE o ADD FULLTEXT INDEX i (a)"), [INSTANT, NOCOPY, INPLACE, LOCKING]);
    assert_eq!(asks(MARIADB, "CREATE INDEX i ON o (a)"), [NOCOPY, INPLACE]);
    assert_eq!(asks(MYSQL, "DROP INDEX i ON o"), [INPLACE]);
}

#[test]
fn what_has_no_choice_or_makes_its_own_is_sent_as_written() {
    assert_eq!(asks(MARIADB, "CREATE TABLE t (a int)"), ["as written"]);
    assert_eq!(asks(MARIADB, "RENAME TABLE a TO b"), ["as written"]);
    assert!(asks(MARIADB, "DROP INDEX i ON o")[0].contains("takes no ALGORITHM in DROP INDEX"));
    for chosen in ["ALGORITHM=COPY", "ALGORITHM INPLACE", "LOCK = EXCLUSIVE", "lock none"] {
        assert!(asks(MARIADB, &format!("ALTER TABLE o ADD c int, {chosen}"))[0].contains("itself"), "{chosen}");
    }
    assert_eq!(asks(MARIADB, "ALTER TABLE o RENAME COLUMN `lock` TO algorithm").len(), 3);
    let unknown = asks(MYSQL, "ALTER TABLE o ADD CONSTRAINT c CHECK (a > 0)");
    assert!(unknown[0].starts_with("! ") && unknown[0].contains("may copy the table"), "{unknown:?}");
}

#[test]
fn nothing_of_the_statement_is_changed() {
    let sent = |sql: &str| match of(MARIADB, sql) {
        Ways::Tried(ways) => ways[0].sql.clone(),
        Ways::Written(_) => panic!("{sql} has ways"),
    };
    assert_eq!(sent("ALTER TABLE o DROP COLUMN c"), "ALTER TABLE o DROP COLUMN c, ALGORITHM=INSTANT");
    assert_eq!(sent("ALTER TABLE o DROP c ; -- gone, \n"), "ALTER TABLE o DROP c, ALGORITHM=INSTANT ; -- gone, \n");
    assert_eq!(
        sent("ALTER TABLE o ADD c int COMMENT 'a; b' # end"),
        "ALTER TABLE o ADD c int COMMENT 'a; b', ALGORITHM=INSTANT # end"
    );
    assert_eq!(sent("CREATE INDEX i ON o (a)"), "CREATE INDEX i ON o (a) ALGORITHM=NOCOPY LOCK=NONE");
}
