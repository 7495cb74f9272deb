//! All but `ALTER TABLE`.

use super::super::form::{Form, On};
use super::super::statement::{Cost, Lock};

use Cost::{CatalogOnly, IndexBuild, Rewrite, Scan, Unknown};

type Locks = &'static [(On, Lock)];

const NONE: Locks = &[];
const TABLE_AX: Locks = &[(On::Table, Lock::ACCESS_EXCLUSIVE)];
const TABLE_AX_DOWN: Locks = &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Heirs, Lock::ACCESS_EXCLUSIVE)];
const TABLES_AX: Locks = &[(On::Tables, Lock::ACCESS_EXCLUSIVE)];
const TABLES_AX_DOWN: Locks = &[(On::Tables, Lock::ACCESS_EXCLUSIVE), (On::Heirs, Lock::ACCESS_EXCLUSIVE)];
const VIEW_AX: Locks = &[(On::View, Lock::ACCESS_EXCLUSIVE)];
const TABLES_SUX: Locks = &[(On::Tables, Lock::SHARE_UPDATE_EXCLUSIVE)];
const TABLES_SUX_DOWN: Locks = &[(On::Tables, Lock::SHARE_UPDATE_EXCLUSIVE), (On::Heirs, Lock::SHARE_UPDATE_EXCLUSIVE)];
const VIEW_SUX: Locks = &[(On::View, Lock::SHARE_UPDATE_EXCLUSIVE)];
const INDEX_SUX: Locks = &[(On::Index, Lock::SHARE_UPDATE_EXCLUSIVE)];
const READ: Locks = &[(On::Tables, Lock::ACCESS_SHARE)];
const ROWS: Locks = &[(On::Tables, Lock::ROW_EXCLUSIVE), (On::Heirs, Lock::ROW_EXCLUSIVE)];
const ROWS_LOCKED: Locks = &[(On::Tables, Lock::ROW_SHARE), (On::Heirs, Lock::ROW_SHARE)];
/// What is done to one table after another, without a name.
const EACH: &str = "every table of the database, one after another";
const ATTRIBUTE: Locks = &[(On::Unnamed("the type, and with CASCADE every table of it"), Lock::ACCESS_EXCLUSIVE)];

const fn lock_table(kind: &'static str, locks: Locks) -> Form {
    Form::new(kind, locks, CatalogOnly)
}

pub(super) const FORMS: &[Form] = &[
    // What CASCADE adds to any DROP.
    Form::new(
        "DROP … CASCADE",
        &[(On::Unnamed("everything that hangs on it, columns of other tables too"), Lock::ACCESS_EXCLUSIVE)],
        CatalogOnly,
    ),
    // Types and domains.
    Form::new("ALTER TYPE … ADD VALUE", NONE, CatalogOnly).since(12),
    Form::new("ALTER TYPE … ADD VALUE", NONE, CatalogOnly)
        .outside()
        .until(11)
        .read_in("release notes of PostgreSQL 12"),
    Form::new("ALTER TYPE … RENAME VALUE", NONE, CatalogOnly),
    Form::new("ALTER TYPE … RENAME TO", NONE, CatalogOnly),
    Form::new("ALTER TYPE … OWNER TO", NONE, CatalogOnly),
    Form::new("ALTER TYPE … SET SCHEMA", NONE, CatalogOnly),
    Form::new("ALTER TYPE … RENAME ATTRIBUTE", ATTRIBUTE, CatalogOnly),
    Form::new("ALTER TYPE … ADD ATTRIBUTE", ATTRIBUTE, CatalogOnly),
    Form::new("ALTER TYPE … DROP ATTRIBUTE", ATTRIBUTE, CatalogOnly),
    Form::new("ALTER TYPE … ALTER ATTRIBUTE", ATTRIBUTE, Rewrite),
    Form::new("ALTER TYPE", NONE, Unknown).read_in("manual, ALTER TYPE"),
    Form::new("ALTER DOMAIN … RENAME TO", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … SET DEFAULT", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … DROP", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … NOT VALID", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … RENAME CONSTRAINT", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … OWNER TO", NONE, CatalogOnly),
    Form::new("ALTER DOMAIN … SET SCHEMA", NONE, CatalogOnly),
    Form::new(
        "ALTER DOMAIN … constraint",
        &[(On::Unnamed("every table with a column of the domain"), Lock::SHARE)],
        Scan,
    ),
    Form::new("ALTER DOMAIN", &[(On::Unnamed("every table with a column of the domain"), Lock::SHARE)], Scan)
        .read_in("the strongest of all ALTER DOMAIN, for a form that is not listed"),
    Form::new("CREATE TYPE", NONE, CatalogOnly),
    Form::new("CREATE DOMAIN", NONE, CatalogOnly),
    Form::new("DROP TYPE", NONE, CatalogOnly),
    Form::new("DROP DOMAIN", NONE, CatalogOnly),
    // Indexes and statistics.
    Form::new("CREATE INDEX", &[(On::Table, Lock::SHARE), (On::Heirs, Lock::SHARE)], IndexBuild),
    Form::new("CREATE INDEX CONCURRENTLY", &[(On::Table, Lock::SHARE_UPDATE_EXCLUSIVE)], IndexBuild).outside(),
    Form::new(
        "DROP INDEX",
        &[
            (On::Index, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the table of the index"), Lock::ACCESS_EXCLUSIVE),
            (On::Heirs, Lock::ACCESS_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    Form::new(
        "DROP INDEX CONCURRENTLY",
        &[(On::Unnamed("the table of the index"), Lock::SHARE_UPDATE_EXCLUSIVE)],
        CatalogOnly,
    )
    .outside(),
    Form::new("ALTER INDEX … RENAME TO", INDEX_SUX, CatalogOnly).since(12),
    Form::new("ALTER INDEX … SET (…)", INDEX_SUX, CatalogOnly),
    Form::new("ALTER INDEX … SET STATISTICS", INDEX_SUX, CatalogOnly),
    Form::new("ALTER INDEX … SET TABLESPACE", &[(On::Index, Lock::ACCESS_EXCLUSIVE)], IndexBuild)
        .read_in("manual, ALTER INDEX"),
    Form::new("ALTER INDEX", &[(On::Index, Lock::ACCESS_EXCLUSIVE)], Unknown)
        .read_in("the strongest of all ALTER INDEX, for a form that is not listed"),
    Form::new("CREATE STATISTICS", TABLES_SUX, CatalogOnly),
    Form::new("ALTER STATISTICS", NONE, CatalogOnly),
    Form::new(
        "DROP STATISTICS",
        &[(On::Unnamed("the table of the statistics"), Lock::SHARE_UPDATE_EXCLUSIVE)],
        CatalogOnly,
    ),
    // Tables.
    Form::new("CREATE TABLE", NONE, CatalogOnly),
    Form::new("CREATE TABLE … REFERENCES", &[(On::Others, Lock::SHARE_ROW_EXCLUSIVE)], CatalogOnly),
    Form::new(
        "CREATE TABLE … PARTITION OF",
        &[
            (On::Others, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the default partition, where there is one"), Lock::ACCESS_EXCLUSIVE),
        ],
        Scan,
    ),
    Form::new("CREATE TABLE … INHERITS", &[(On::Others, Lock::SHARE_UPDATE_EXCLUSIVE)], CatalogOnly),
    Form::new("CREATE TABLE … LIKE", &[(On::Others, Lock::ACCESS_SHARE)], CatalogOnly),
    Form::new("CREATE TABLE AS", &[(On::Others, Lock::ACCESS_SHARE)], Scan),
    Form::new("SELECT INTO", &[(On::Others, Lock::ACCESS_SHARE)], Scan),
    Form::new("CREATE FOREIGN TABLE", NONE, CatalogOnly).read_in("manual, CREATE FOREIGN TABLE"),
    Form::new(
        "DROP TABLE",
        &[
            (On::Tables, Lock::ACCESS_EXCLUSIVE),
            (On::Heirs, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the tables that its foreign keys point to"), Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the table that it is a partition of"), Lock::ACCESS_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    Form::new("DROP FOREIGN TABLE", TABLES_AX, CatalogOnly).read_in("manual, DROP FOREIGN TABLE"),
    Form::new("TRUNCATE", TABLES_AX_DOWN, CatalogOnly),
    Form::new(
        "TRUNCATE … RESTART IDENTITY",
        &[(On::Unnamed("the sequences of its columns"), Lock::ACCESS_EXCLUSIVE)],
        CatalogOnly,
    ),
    Form::new(
        "TRUNCATE … CASCADE",
        &[
            (On::Tables, Lock::ACCESS_EXCLUSIVE),
            (On::Heirs, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("every table whose foreign keys lead to it, which is emptied too"), Lock::ACCESS_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    // Views.
    Form::new("CREATE VIEW", &[(On::Others, Lock::ACCESS_SHARE), (On::Tables, Lock::ACCESS_SHARE)], CatalogOnly),
    Form::new(
        "CREATE OR REPLACE VIEW",
        &[(On::View, Lock::ACCESS_EXCLUSIVE), (On::Tables, Lock::ACCESS_SHARE)],
        CatalogOnly,
    ),
    Form::new("CREATE MATERIALIZED VIEW", READ, Scan),
    Form::new("ALTER VIEW … RENAME TO", VIEW_AX, CatalogOnly),
    Form::new("ALTER VIEW", VIEW_AX, CatalogOnly),
    Form::new("ALTER MATERIALIZED VIEW … RENAME TO", VIEW_AX, CatalogOnly),
    Form::new("ALTER MATERIALIZED VIEW … SET (…)", VIEW_SUX, CatalogOnly),
    Form::new("ALTER MATERIALIZED VIEW … SET STATISTICS", VIEW_SUX, CatalogOnly),
    Form::new("ALTER MATERIALIZED VIEW", VIEW_AX, Unknown)
        .read_in("the strongest of all ALTER MATERIALIZED VIEW, for a form that is not listed"),
    Form::new("DROP VIEW", VIEW_AX, CatalogOnly),
    Form::new("DROP MATERIALIZED VIEW", VIEW_AX, CatalogOnly),
    Form::new("REFRESH MATERIALIZED VIEW", VIEW_AX, Rewrite),
    Form::new("REFRESH MATERIALIZED VIEW CONCURRENTLY", &[(On::View, Lock::EXCLUSIVE)], Scan),
    // Triggers, rules, policies.
    Form::new(
        "CREATE TRIGGER",
        &[(On::Table, Lock::SHARE_ROW_EXCLUSIVE), (On::Heirs, Lock::SHARE_ROW_EXCLUSIVE)],
        CatalogOnly,
    ),
    Form::new("ALTER TRIGGER … RENAME TO", TABLE_AX_DOWN, CatalogOnly),
    Form::new("DROP TRIGGER", TABLE_AX_DOWN, CatalogOnly),
    Form::new("CREATE RULE", TABLE_AX, CatalogOnly),
    Form::new("ALTER RULE … RENAME TO", TABLE_AX, CatalogOnly),
    Form::new("DROP RULE", TABLE_AX, CatalogOnly),
    Form::new("CREATE POLICY", TABLE_AX, CatalogOnly),
    Form::new("ALTER POLICY", TABLE_AX, CatalogOnly),
    Form::new("DROP POLICY", TABLE_AX, CatalogOnly),
    Form::new("CREATE EVENT TRIGGER", NONE, CatalogOnly),
    Form::new("ALTER EVENT TRIGGER", NONE, CatalogOnly),
    Form::new("DROP EVENT TRIGGER", NONE, CatalogOnly),
    // Functions and the like.
    Form::new("CREATE FUNCTION", NONE, CatalogOnly),
    Form::new("CREATE OR REPLACE FUNCTION", NONE, CatalogOnly),
    Form::new("CREATE PROCEDURE", NONE, CatalogOnly),
    Form::new("CREATE OR REPLACE PROCEDURE", NONE, CatalogOnly),
    Form::new("CREATE AGGREGATE", NONE, CatalogOnly),
    Form::new("CREATE CAST", NONE, CatalogOnly),
    Form::new("CREATE OPERATOR", NONE, CatalogOnly),
    Form::new("CREATE COLLATION", NONE, CatalogOnly),
    Form::new("ALTER FUNCTION … RENAME TO", NONE, CatalogOnly),
    Form::new("ALTER FUNCTION", NONE, CatalogOnly),
    Form::new("ALTER PROCEDURE", NONE, CatalogOnly),
    Form::new("DROP FUNCTION", NONE, CatalogOnly),
    Form::new("DROP PROCEDURE", NONE, CatalogOnly),
    Form::new("DROP ROUTINE", NONE, CatalogOnly),
    Form::new("DROP AGGREGATE", NONE, CatalogOnly),
    // Schemas, sequences, extensions.
    Form::new("CREATE SCHEMA", NONE, CatalogOnly),
    Form::new("ALTER SCHEMA … RENAME TO", NONE, CatalogOnly),
    Form::new("ALTER SCHEMA", NONE, CatalogOnly),
    Form::new("DROP SCHEMA", NONE, CatalogOnly),
    Form::new("CREATE SEQUENCE", NONE, CatalogOnly),
    Form::new("ALTER SEQUENCE … RENAME TO", &[(On::Sequence, Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("ALTER SEQUENCE … OWNER TO", &[(On::Sequence, Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("ALTER SEQUENCE … SET SCHEMA", &[(On::Sequence, Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("ALTER SEQUENCE … SET LOGGED", &[(On::Sequence, Lock::ACCESS_EXCLUSIVE)], Rewrite)
        .since(15)
        .read_in("manual, ALTER SEQUENCE"),
    Form::new("ALTER SEQUENCE", &[(On::Sequence, Lock::SHARE_ROW_EXCLUSIVE)], CatalogOnly),
    Form::new("DROP SEQUENCE", &[(On::Sequence, Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("CREATE EXTENSION", NONE, Unknown),
    Form::new("ALTER EXTENSION", NONE, Unknown).read_in("its script, which can do anything"),
    Form::new("DROP EXTENSION", NONE, CatalogOnly),
    // Rights and comments.
    Form::new("GRANT", NONE, CatalogOnly),
    Form::new("REVOKE", NONE, CatalogOnly),
    Form::new("ALTER DEFAULT PRIVILEGES", NONE, CatalogOnly),
    Form::new(
        "COMMENT",
        &[
            (On::Tables, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::View, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Index, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Sequence, Lock::SHARE_UPDATE_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    // Of what hangs on a table only the name is looked up.
    Form::new("COMMENT … ON", READ, CatalogOnly),
    Form::new("SECURITY LABEL", TABLES_SUX, CatalogOnly).read_in("manual, SECURITY LABEL; needs a provider"),
    Form::new("CREATE ROLE", NONE, CatalogOnly),
    Form::new("CREATE USER", NONE, CatalogOnly),
    Form::new("ALTER ROLE", NONE, CatalogOnly),
    Form::new("DROP ROLE", NONE, CatalogOnly),
    Form::new("DROP USER", NONE, CatalogOnly),
    Form::new("DROP OWNED", &[(On::Unnamed("everything that the role owns"), Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("REASSIGN OWNED", &[(On::Unnamed("everything that the role owns"), Lock::ACCESS_EXCLUSIVE)], CatalogOnly),
    Form::new("IMPORT FOREIGN SCHEMA", NONE, Unknown).read_in("manual, IMPORT FOREIGN SCHEMA"),
    // Replication.
    Form::new("CREATE PUBLICATION", TABLES_SUX, CatalogOnly),
    Form::new(
        "ALTER PUBLICATION",
        &[
            (On::Tables, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Unnamed("the tables that it publishes no more"), Lock::SHARE_UPDATE_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    Form::new("DROP PUBLICATION", NONE, CatalogOnly),
    Form::new("CREATE SUBSCRIPTION", NONE, Unknown).outside().read_in("manual, CREATE SUBSCRIPTION"),
    Form::new("ALTER SUBSCRIPTION", NONE, Unknown).outside().read_in("manual, ALTER SUBSCRIPTION"),
    Form::new("DROP SUBSCRIPTION", NONE, Unknown).outside().read_in("manual, DROP SUBSCRIPTION"),
    // The server.
    Form::new("CREATE DATABASE", NONE, Unknown).outside(),
    Form::new("ALTER DATABASE", NONE, CatalogOnly),
    Form::new("ALTER DATABASE … SET TABLESPACE", NONE, Rewrite).outside().read_in("manual, ALTER DATABASE"),
    Form::new("DROP DATABASE", NONE, CatalogOnly).outside(),
    Form::new("CREATE TABLESPACE", NONE, CatalogOnly).outside(),
    Form::new("ALTER TABLESPACE", NONE, CatalogOnly).read_in("manual, ALTER TABLESPACE"),
    Form::new("DROP TABLESPACE", NONE, CatalogOnly).outside(),
    Form::new("ALTER SYSTEM", NONE, CatalogOnly).outside(),
    // Maintenance.
    Form::new("VACUUM", TABLES_SUX_DOWN, Scan).outside(),
    Form::new("VACUUM FULL", TABLES_AX_DOWN, Rewrite).outside(),
    Form::new("VACUUM (every table)", &[(On::Unnamed(EACH), Lock::SHARE_UPDATE_EXCLUSIVE)], Scan).outside(),
    Form::new("VACUUM FULL (every table)", &[(On::Unnamed(EACH), Lock::ACCESS_EXCLUSIVE)], Rewrite).outside(),
    Form::new("ANALYZE", TABLES_SUX_DOWN, Unknown),
    Form::new("ANALYZE (every table)", &[(On::Unnamed(EACH), Lock::SHARE_UPDATE_EXCLUSIVE)], Unknown),
    Form::new("CLUSTER", TABLE_AX, Rewrite),
    Form::new(
        "CLUSTER (every table)",
        &[(On::Unnamed("every table that was clustered before, one after another"), Lock::ACCESS_EXCLUSIVE)],
        Rewrite,
    )
    .outside(),
    Form::new(
        "REINDEX INDEX",
        &[(On::Index, Lock::ACCESS_EXCLUSIVE), (On::Unnamed("the table of the index"), Lock::SHARE)],
        IndexBuild,
    ),
    // A reader takes a lock on each index of the table as well, so that it waits too.
    Form::new(
        "REINDEX TABLE",
        &[(On::Table, Lock::SHARE), (On::Unnamed("every index of the table"), Lock::ACCESS_EXCLUSIVE)],
        IndexBuild,
    ),
    Form::new(
        "REINDEX CONCURRENTLY",
        &[(On::Tables, Lock::SHARE_UPDATE_EXCLUSIVE), (On::Index, Lock::SHARE_UPDATE_EXCLUSIVE)],
        IndexBuild,
    )
    .outside(),
    Form::new("REINDEX SCHEMA CONCURRENTLY", &[(On::Unnamed(EACH), Lock::SHARE_UPDATE_EXCLUSIVE)], IndexBuild)
        .outside(),
    Form::new(
        "REINDEX SCHEMA",
        &[
            (On::Unnamed("each of its tables in turn"), Lock::SHARE),
            (On::Unnamed("every index of them"), Lock::ACCESS_EXCLUSIVE),
        ],
        IndexBuild,
    )
    .outside(),
    Form::new("CHECKPOINT", NONE, Unknown),
    Form::new("NOTIFY", NONE, CatalogOnly),
    Form::new("LOAD", NONE, Unknown).read_in("manual, LOAD; it runs code from a file"),
    lock_table("LOCK TABLE", TABLES_AX_DOWN),
    lock_table("LOCK TABLE … ACCESS SHARE", READ),
    lock_table("LOCK TABLE … ROW SHARE", ROWS_LOCKED),
    lock_table("LOCK TABLE … ROW EXCLUSIVE", ROWS),
    lock_table("LOCK TABLE … SHARE UPDATE EXCLUSIVE", TABLES_SUX_DOWN),
    lock_table("LOCK TABLE … SHARE", &[(On::Tables, Lock::SHARE), (On::Heirs, Lock::SHARE)]),
    lock_table(
        "LOCK TABLE … SHARE ROW EXCLUSIVE",
        &[(On::Tables, Lock::SHARE_ROW_EXCLUSIVE), (On::Heirs, Lock::SHARE_ROW_EXCLUSIVE)],
    ),
    lock_table("LOCK TABLE … EXCLUSIVE", &[(On::Tables, Lock::EXCLUSIVE), (On::Heirs, Lock::EXCLUSIVE)]),
    // Rows.
    Form::new("SELECT", READ, Unknown),
    Form::new("VALUES", READ, Unknown),
    Form::new("TABLE", READ, Unknown),
    Form::new("SELECT … FOR UPDATE", ROWS_LOCKED, Unknown),
    Form::new("WITH … data-modifying", ROWS, Unknown),
    Form::new(
        "INSERT",
        &[
            (On::Table, Lock::ROW_EXCLUSIVE),
            (On::Heirs, Lock::ROW_EXCLUSIVE),
            (On::Others, Lock::ACCESS_SHARE),
            (On::Unnamed("the tables that its foreign keys point to"), Lock::ROW_SHARE),
        ],
        Unknown,
    ),
    Form::new(
        "UPDATE",
        &[
            (On::Table, Lock::ROW_EXCLUSIVE),
            (On::Heirs, Lock::ROW_EXCLUSIVE),
            (On::Others, Lock::ACCESS_SHARE),
            (On::Unnamed("the tables that its foreign keys point to"), Lock::ROW_SHARE),
        ],
        Unknown,
    ),
    Form::new(
        "DELETE",
        &[
            (On::Table, Lock::ROW_EXCLUSIVE),
            (On::Heirs, Lock::ROW_EXCLUSIVE),
            (On::Others, Lock::ACCESS_SHARE),
            (On::Unnamed("the tables whose foreign keys point to it"), Lock::ROW_EXCLUSIVE),
        ],
        Unknown,
    ),
    Form::new(
        "MERGE",
        &[(On::Table, Lock::ROW_EXCLUSIVE), (On::Heirs, Lock::ROW_EXCLUSIVE), (On::Others, Lock::ACCESS_SHARE)],
        Unknown,
    )
    .since(15),
    Form::new("COPY FROM", ROWS, Unknown),
    Form::new("COPY TO", READ, Scan),
    Form::new("EXPLAIN", READ, CatalogOnly),
    Form::new("SHOW", NONE, CatalogOnly),
    // What runs is not in the statement.
    Form::new("DO", &[(On::Unnamed("whatever its body touches"), Lock::ACCESS_EXCLUSIVE)], Unknown)
        .read_in("nowhere: what runs is not in the statement"),
    Form::new("CALL", &[(On::Unnamed("whatever the procedure touches"), Lock::ACCESS_EXCLUSIVE)], Unknown)
        .read_in("nowhere: what runs is not in the statement"),
    Form::new("EXECUTE", &[(On::Unnamed("whatever was prepared"), Lock::ACCESS_EXCLUSIVE)], Unknown)
        .read_in("nowhere: what runs is not in the statement"),
    // The session and the transaction.
    Form::new("SET", NONE, CatalogOnly),
    // What was deferred is looked up at once.
    Form::new("SET CONSTRAINTS", NONE, Unknown),
    Form::new("RESET", NONE, CatalogOnly),
    Form::new("DISCARD", NONE, CatalogOnly).outside(),
    Form::new("LISTEN", NONE, CatalogOnly),
    Form::new("UNLISTEN", NONE, CatalogOnly),
    Form::new("DECLARE", READ, Unknown),
    Form::new("FETCH", NONE, Unknown).read_in("manual, FETCH"),
    Form::new("MOVE", NONE, Unknown).read_in("manual, MOVE"),
    Form::new("CLOSE", NONE, CatalogOnly).read_in("manual, CLOSE"),
    Form::new("PREPARE", READ, CatalogOnly),
    Form::new("DEALLOCATE", NONE, CatalogOnly),
];
