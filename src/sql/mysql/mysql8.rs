//! MySQL 8. No row was measured: they are read in the manual, "Online DDL Operations" and "Statements That Cause an
//! Implicit Commit".

use super::super::form::{Algorithm, Form};
use super::super::statement::Cost;
use super::{METADATA, NONE, ROWS, TRIGGERED, VIEW, alter, ddl, row};

use Algorithm::{Copy, Inplace, Instant, Locking};
use Cost::{CatalogOnly, IndexBuild, Rewrite, Scan, Unknown};

const ONLINE: &str = "manual of MySQL 8.0, Online DDL Operations";
const IMPLICIT: &str = "manual of MySQL 8.0, Statements That Cause an Implicit Commit";
const MANUAL: &str = "manual of MySQL 8.0, Metadata Locking";

const fn online(kind: &'static str, algorithm: Algorithm, cost: Cost) -> Form {
    alter(kind, algorithm, cost).read_in(ONLINE)
}

pub(in super::super) const FORMS: &[Form] = &[
    // At the end of the table from 8.0.12 on, anywhere from 8.0.29 on; 64 times, then the table must be rebuilt.
    online("ALTER TABLE … ADD COLUMN", Instant, CatalogOnly).since(80029),
    online("ALTER TABLE … ADD COLUMN", Inplace, Rewrite).until(80028),
    online("ALTER TABLE … ADD COLUMN … DEFAULT", Instant, CatalogOnly).since(80029),
    online("ALTER TABLE … ADD COLUMN … DEFAULT", Inplace, Rewrite).until(80028),
    online("ALTER TABLE … ADD COLUMN … DEFAULT (volatile)", Copy, Rewrite),
    online("ALTER TABLE … ADD COLUMN … NOT NULL", Instant, CatalogOnly).since(80029),
    online("ALTER TABLE … ADD COLUMN … NOT NULL", Inplace, Rewrite).until(80028),
    online("ALTER TABLE … ADD COLUMN … VIRTUAL", Instant, CatalogOnly),
    online("ALTER TABLE … ADD COLUMN … STORED", Copy, Rewrite),
    online("ALTER TABLE … ADD COLUMN … UNIQUE", Inplace, Rewrite),
    online("ALTER TABLE … DROP COLUMN", Instant, CatalogOnly).since(80029),
    online("ALTER TABLE … DROP COLUMN", Inplace, Rewrite).until(80028),
    online("ALTER TABLE … RENAME COLUMN", Instant, CatalogOnly).since(80028),
    online("ALTER TABLE … RENAME COLUMN", Inplace, CatalogOnly).until(80027),
    online("ALTER TABLE … RENAME TO", Instant, CatalogOnly),
    online("ALTER TABLE … RENAME INDEX", Inplace, CatalogOnly),
    online("ALTER TABLE … MODIFY COLUMN", Copy, Rewrite),
    online("ALTER TABLE … CHANGE COLUMN", Copy, Rewrite),
    online("ALTER TABLE … ALTER COLUMN … SET DEFAULT", Instant, CatalogOnly),
    online("ALTER TABLE … ALTER COLUMN … DROP DEFAULT", Instant, CatalogOnly),
    online("ALTER TABLE … ADD INDEX", Inplace, IndexBuild),
    online("ALTER TABLE … ADD FULLTEXT INDEX", Locking, Rewrite),
    online("ALTER TABLE … ADD UNIQUE", Inplace, IndexBuild),
    online("ALTER TABLE … ADD PRIMARY KEY", Inplace, Rewrite),
    online("ALTER TABLE … DROP PRIMARY KEY", Copy, Rewrite),
    online("ALTER TABLE … DROP INDEX", Inplace, CatalogOnly),
    online("ALTER TABLE … ADD FOREIGN KEY", Copy, Rewrite),
    online("ALTER TABLE … DROP FOREIGN KEY", Inplace, CatalogOnly),
    online("ALTER TABLE … AUTO_INCREMENT", Inplace, CatalogOnly),
    online("ALTER TABLE … DEFAULT CHARACTER SET", Inplace, CatalogOnly),
    online("ALTER TABLE … CONVERT TO CHARACTER SET", Copy, Rewrite),
    online("ALTER TABLE … ROW_FORMAT", Inplace, Rewrite),
    online("ALTER TABLE … ENGINE", Inplace, Rewrite),
    online("ALTER TABLE … FORCE", Inplace, Rewrite),
    online("ALTER TABLE … ALGORITHM=COPY", Copy, Rewrite),
    online("CREATE INDEX", Inplace, IndexBuild),
    online("DROP INDEX", Inplace, CatalogOnly),
    ddl("RENAME TABLE", METADATA, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE TABLE", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE TABLE … LIKE", ROWS, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE TABLE AS", ROWS, Scan).read_in(IMPLICIT),
    ddl("CREATE TABLE … REFERENCES", METADATA, CatalogOnly).read_in(IMPLICIT),
    ddl("DROP TABLE", METADATA, CatalogOnly).read_in(IMPLICIT),
    ddl("TRUNCATE", METADATA, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE VIEW", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE OR REPLACE VIEW", VIEW, CatalogOnly).read_in(IMPLICIT),
    ddl("DROP VIEW", VIEW, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE TRIGGER", METADATA, CatalogOnly).read_in(IMPLICIT),
    ddl("DROP TRIGGER", TRIGGERED, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE FUNCTION", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("CREATE PROCEDURE", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("DROP FUNCTION", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("DROP PROCEDURE", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("GRANT", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("REVOKE", NONE, CatalogOnly).read_in(IMPLICIT),
    ddl("ANALYZE", ROWS, Scan).read_in(IMPLICIT),
    ddl("OPTIMIZE TABLE", METADATA, Rewrite).read_in(IMPLICIT),
    ddl("LOCK TABLE", METADATA, CatalogOnly).read_in(IMPLICIT),
    row("SELECT").read_in(MANUAL),
    row("SELECT … FOR UPDATE").read_in(MANUAL),
    row("INSERT").read_in(MANUAL),
    row("REPLACE").read_in(MANUAL),
    row("UPDATE").read_in(MANUAL),
    row("DELETE").read_in(MANUAL),
    row("WITH … data-modifying").read_in(MANUAL),
    row("VALUES").read_in(MANUAL),
    row("EXPLAIN").read_in(MANUAL),
    Form::new("SHOW", NONE, Unknown).read_in(MANUAL),
    Form::new("SET", NONE, CatalogOnly).read_in(MANUAL),
];
