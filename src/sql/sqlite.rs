//! SQLite: one writer for the whole file, and readers that go on with WAL. Rewrites were told by the size of the WAL that
//! a statement leaves, compared with the table's.

use super::form::{Form, On};
use super::statement::{Cost, Lock};

use Cost::{CatalogOnly, IndexBuild, Rewrite, Scan, Unknown};

type Locks = &'static [(On, Lock)];

const FILE: Locks = &[(On::Unnamed("the whole file"), Lock::DATABASE_WRITE)];
const NONE: Locks = &[];

pub(super) const FORMS: &[Form] = &[
    Form::new("ALTER TABLE … ADD COLUMN", FILE, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … DEFAULT", FILE, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … NOT NULL", FILE, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … CHECK", FILE, Scan),
    Form::new("ALTER TABLE … ADD COLUMN … REFERENCES", FILE, CatalogOnly),
    Form::new("ALTER TABLE … ADD COLUMN … VIRTUAL", FILE, Scan),
    Form::new("ALTER TABLE … DROP COLUMN", FILE, Rewrite),
    Form::new("ALTER TABLE … RENAME COLUMN", FILE, CatalogOnly),
    Form::new("ALTER TABLE … RENAME TO", FILE, CatalogOnly),
    Form::new("CREATE TABLE", FILE, CatalogOnly),
    Form::new("CREATE TABLE … REFERENCES", FILE, CatalogOnly),
    Form::new("CREATE TABLE AS", FILE, Rewrite),
    Form::new("CREATE VIRTUAL TABLE", FILE, Unknown),
    Form::new("CREATE INDEX", FILE, IndexBuild),
    Form::new("CREATE VIEW", FILE, CatalogOnly),
    Form::new("CREATE TRIGGER", FILE, CatalogOnly),
    Form::new("DROP TABLE", FILE, Scan),
    Form::new("DROP INDEX", FILE, Scan),
    Form::new("DROP VIEW", FILE, CatalogOnly),
    Form::new("DROP TRIGGER", FILE, CatalogOnly),
    Form::new("REINDEX", FILE, IndexBuild),
    Form::new("ANALYZE", FILE, Scan),
    Form::new("VACUUM", FILE, Rewrite).outside(),
    // A transaction takes it, and its rollback leaves the file attached.
    Form::new("ATTACH", NONE, CatalogOnly).outside(),
    Form::new("DETACH", NONE, CatalogOnly).outside(),
    // Some settings are refused in a transaction, others are ignored there.
    Form::new("PRAGMA", NONE, Unknown).outside(),
    Form::new("INSERT", FILE, Unknown),
    Form::new("REPLACE", FILE, Unknown),
    Form::new("UPDATE", FILE, Unknown),
    Form::new("DELETE", FILE, Unknown),
    Form::new("WITH … data-modifying", FILE, Unknown).read_in("manual, WITH: it has no such form"),
    Form::new("SELECT", NONE, Unknown),
    Form::new("VALUES", NONE, Unknown),
    Form::new("EXPLAIN", NONE, CatalogOnly),
];
