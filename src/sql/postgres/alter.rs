//! `ALTER TABLE`.

use super::super::form::{Form, On};
use super::super::statement::{Cost, Lock};

const AX: &[(On, Lock)] = &[(On::Table, Lock::ACCESS_EXCLUSIVE)];
const SUX: &[(On, Lock)] = &[(On::Table, Lock::SHARE_UPDATE_EXCLUSIVE)];
const SRX_BOTH: &[(On, Lock)] = &[(On::Table, Lock::SHARE_ROW_EXCLUSIVE), (On::Others, Lock::SHARE_ROW_EXCLUSIVE)];
/// Down to what inherits, and so for all that follow with this ending.
const AX_DOWN: &[(On, Lock)] = &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Heirs, Lock::ACCESS_EXCLUSIVE)];
const SRX_DOWN: &[(On, Lock)] = &[(On::Table, Lock::SHARE_ROW_EXCLUSIVE), (On::Heirs, Lock::SHARE_ROW_EXCLUSIVE)];
const SUX_DOWN: &[(On, Lock)] = &[(On::Table, Lock::SHARE_UPDATE_EXCLUSIVE), (On::Heirs, Lock::SHARE_UPDATE_EXCLUSIVE)];
const KEY_DOWN: &[(On, Lock)] = &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Heirs, Lock::SHARE)];
const SRX_BOTH_DOWN: &[(On, Lock)] = &[
    (On::Table, Lock::SHARE_ROW_EXCLUSIVE),
    (On::Others, Lock::SHARE_ROW_EXCLUSIVE),
    (On::Heirs, Lock::SHARE_ROW_EXCLUSIVE),
];
const AX_AND_SRX_DOWN: &[(On, Lock)] = &[
    (On::Table, Lock::ACCESS_EXCLUSIVE),
    (On::Others, Lock::SHARE_ROW_EXCLUSIVE),
    (On::Heirs, Lock::ACCESS_EXCLUSIVE),
];
const AX_AND_TARGET: &[(On, Lock)] = &[
    (On::Table, Lock::ACCESS_EXCLUSIVE),
    (On::Heirs, Lock::ACCESS_EXCLUSIVE),
    (On::Unnamed("the table that a dropped foreign key points to"), Lock::ACCESS_EXCLUSIVE),
];

use Cost::{CatalogOnly, IndexBuild, Rewrite, Scan, Unknown};

const NOTES_18: &str = "release notes of PostgreSQL 18";

pub(super) const FORMS: &[Form] = &[
    // Columns.
    Form::new("ALTER TABLE … ADD COLUMN", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … DEFAULT", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … DEFAULT (volatile)", AX_DOWN, Rewrite),
    Form::new("ALTER TABLE … ADD COLUMN … NOT NULL", AX_DOWN, Scan),
    Form::new("ALTER TABLE … ADD COLUMN … CHECK", AX_DOWN, Scan),
    Form::new("ALTER TABLE … ADD COLUMN … UNIQUE", AX_DOWN, IndexBuild),
    // Without a default every value is NULL, and there is nothing to look up.
    Form::new("ALTER TABLE … ADD COLUMN … REFERENCES", AX_AND_SRX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … DEFAULT … REFERENCES", AX_AND_SRX_DOWN, Scan),
    Form::new("ALTER TABLE … ADD COLUMN … IDENTITY", AX, Rewrite),
    Form::new("ALTER TABLE … ADD COLUMN … SERIAL", AX_DOWN, Rewrite),
    Form::new("ALTER TABLE … ADD COLUMN … STORED", AX_DOWN, Rewrite),
    Form::new("ALTER TABLE … ADD COLUMN … VIRTUAL", AX_DOWN, CatalogOnly).since(18).read_in(NOTES_18),
    // A domain with a constraint makes it a rewrite, and the words do not tell a domain from any other type.
    Form::new("ALTER TABLE … ADD COLUMN (own type)", AX_DOWN, Unknown),
    Form::new("ALTER TABLE … DROP COLUMN", AX_AND_TARGET, CatalogOnly),
    Form::new("ALTER TABLE … RENAME COLUMN", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … TYPE", AX_DOWN, Rewrite),
    Form::new("ALTER TABLE … ALTER COLUMN … SET DEFAULT", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … DROP DEFAULT", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … SET NOT NULL", AX_DOWN, Scan),
    Form::new("ALTER TABLE … ALTER COLUMN … DROP NOT NULL", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … SET STATISTICS", SUX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … SET (…)", SUX, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … RESET (…)", SUX, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … SET STORAGE", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER COLUMN … SET COMPRESSION", AX, CatalogOnly).since(14),
    Form::new("ALTER TABLE … ALTER COLUMN … ADD GENERATED", AX, CatalogOnly),
    Form::new(
        "ALTER TABLE … ALTER COLUMN … SET GENERATED",
        &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Unnamed("the sequence of the column"), Lock::SHARE_ROW_EXCLUSIVE)],
        CatalogOnly,
    ),
    Form::new(
        "ALTER TABLE … ALTER COLUMN … DROP IDENTITY",
        &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Unnamed("the sequence of the column"), Lock::ACCESS_EXCLUSIVE)],
        CatalogOnly,
    ),
    Form::new("ALTER TABLE … ALTER COLUMN … DROP EXPRESSION", AX_DOWN, CatalogOnly).since(13),
    Form::new("ALTER TABLE … ALTER COLUMN … SET EXPRESSION", AX_DOWN, Rewrite)
        .since(17)
        .read_in("release notes of PostgreSQL 17"),
    // Constraints.
    Form::new("ALTER TABLE … ADD CHECK", AX_DOWN, Scan),
    Form::new("ALTER TABLE … ADD CHECK … NOT VALID", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ADD CHECK … NOT ENFORCED", AX_DOWN, CatalogOnly).since(18).read_in(NOTES_18),
    Form::new("ALTER TABLE … ADD NOT NULL", AX_DOWN, Scan).since(18).read_in(NOTES_18),
    Form::new("ALTER TABLE … ADD NOT NULL … NOT VALID", AX_DOWN, CatalogOnly).since(18).read_in(NOTES_18),
    Form::new("ALTER TABLE … ADD FOREIGN KEY", SRX_BOTH_DOWN, Scan),
    Form::new("ALTER TABLE … ADD FOREIGN KEY … NOT VALID", SRX_BOTH, CatalogOnly),
    Form::new("ALTER TABLE … ADD FOREIGN KEY … NOT ENFORCED", SRX_BOTH, CatalogOnly).since(18).read_in(NOTES_18),
    Form::new("ALTER TABLE … ADD UNIQUE", KEY_DOWN, IndexBuild),
    Form::new("ALTER TABLE … ADD UNIQUE USING INDEX", AX, CatalogOnly),
    Form::new("ALTER TABLE … ADD PRIMARY KEY", AX_DOWN, IndexBuild),
    // Its columns become NOT NULL, and that is looked up in every row unless they were.
    Form::new("ALTER TABLE … ADD PRIMARY KEY USING INDEX", AX, Scan),
    Form::new("ALTER TABLE … ADD EXCLUDE", AX, IndexBuild),
    Form::new(
        "ALTER TABLE … VALIDATE CONSTRAINT",
        &[
            (On::Table, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Heirs, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Unnamed("the table that a validated foreign key points to"), Lock::ROW_SHARE),
        ],
        Scan,
    ),
    Form::new("ALTER TABLE … DROP CONSTRAINT", AX_AND_TARGET, CatalogOnly),
    Form::new("ALTER TABLE … RENAME CONSTRAINT", AX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ALTER CONSTRAINT", AX, CatalogOnly),
    // The table.
    Form::new("ALTER TABLE … RENAME TO", AX, CatalogOnly),
    Form::new("ALTER TABLE … SET SCHEMA", AX, CatalogOnly),
    Form::new("ALTER TABLE … OWNER TO", AX, CatalogOnly),
    Form::new("ALTER TABLE … SET (…)", SUX, CatalogOnly),
    Form::new("ALTER TABLE … RESET (…)", SUX, CatalogOnly),
    Form::new("ALTER TABLE … SET LOGGED", AX, Rewrite),
    Form::new("ALTER TABLE … SET UNLOGGED", AX, Rewrite),
    Form::new("ALTER TABLE … SET TABLESPACE", AX, Rewrite)
        .read_in("manual, ALTER TABLE; the lock was measured, the copy was not"),
    Form::new("ALTER TABLE … SET ACCESS METHOD", AX, Rewrite)
        .since(15)
        .read_in("manual, ALTER TABLE; the lock was measured, the rewrite was not"),
    Form::new("ALTER TABLE … CLUSTER ON", SUX, CatalogOnly),
    Form::new("ALTER TABLE … SET WITHOUT CLUSTER", SUX, CatalogOnly),
    Form::new("ALTER TABLE … SET WITHOUT OIDS", AX, CatalogOnly),
    Form::new("ALTER TABLE … REPLICA IDENTITY", AX, CatalogOnly),
    Form::new("ALTER TABLE … ENABLE ROW LEVEL SECURITY", AX, CatalogOnly),
    Form::new("ALTER TABLE … DISABLE ROW LEVEL SECURITY", AX, CatalogOnly),
    Form::new("ALTER TABLE … FORCE ROW LEVEL SECURITY", AX, CatalogOnly),
    Form::new("ALTER TABLE … NO FORCE ROW LEVEL SECURITY", AX, CatalogOnly),
    Form::new("ALTER TABLE … ENABLE RULE", AX, CatalogOnly),
    Form::new("ALTER TABLE … DISABLE RULE", AX, CatalogOnly),
    Form::new("ALTER TABLE … ENABLE TRIGGER", SRX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … DISABLE TRIGGER", SRX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ENABLE REPLICA TRIGGER", SRX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … ENABLE ALWAYS TRIGGER", SRX_DOWN, CatalogOnly),
    Form::new("ALTER TABLE … OF", AX, CatalogOnly),
    Form::new("ALTER TABLE … NOT OF", AX, CatalogOnly),
    Form::new("ALTER TABLE … OPTIONS", AX, CatalogOnly).read_in("manual, ALTER FOREIGN TABLE"),
    // Parents and partitions.
    Form::new(
        "ALTER TABLE … INHERIT",
        &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Others, Lock::SHARE_UPDATE_EXCLUSIVE)],
        CatalogOnly,
    ),
    Form::new(
        "ALTER TABLE … NO INHERIT",
        &[(On::Table, Lock::ACCESS_EXCLUSIVE), (On::Others, Lock::ACCESS_SHARE)],
        CatalogOnly,
    ),
    Form::new(
        "ALTER TABLE … ATTACH PARTITION",
        &[
            (On::Table, Lock::SHARE_UPDATE_EXCLUSIVE),
            (On::Others, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the default partition, where there is one"), Lock::ACCESS_EXCLUSIVE),
        ],
        // It gets the indexes of its table, and its rows are looked at.
        IndexBuild,
    ),
    Form::new(
        "ALTER TABLE … DETACH PARTITION",
        &[
            (On::Table, Lock::ACCESS_EXCLUSIVE),
            (On::Others, Lock::ACCESS_EXCLUSIVE),
            (On::Unnamed("the default partition, where there is one"), Lock::ACCESS_EXCLUSIVE),
        ],
        CatalogOnly,
    ),
    Form::new(
        "ALTER TABLE … DETACH PARTITION CONCURRENTLY",
        &[(On::Table, Lock::SHARE_UPDATE_EXCLUSIVE), (On::Others, Lock::ACCESS_EXCLUSIVE)],
        CatalogOnly,
    )
    .outside()
    .since(14),
    Form::new(
        "ALTER TABLE … DETACH PARTITION FINALIZE",
        &[(On::Table, Lock::SHARE_UPDATE_EXCLUSIVE), (On::Others, Lock::ACCESS_EXCLUSIVE)],
        CatalogOnly,
    )
    .since(14)
    .read_in("manual, ALTER TABLE, and the code of PostgreSQL 14"),
    Form::new(
        "ALTER TABLE ALL IN TABLESPACE",
        &[(On::Unnamed("every table of the tablespace"), Lock::ACCESS_EXCLUSIVE)],
        Rewrite,
    )
    .read_in("manual, ALTER TABLE"),
    Form::new("ALTER FOREIGN TABLE", AX, CatalogOnly).read_in("manual, ALTER FOREIGN TABLE"),
    Form::new("ALTER TABLE", AX_DOWN, Unknown)
        .read_in("the strongest of all ALTER TABLE, for a form that is not listed"),
];
