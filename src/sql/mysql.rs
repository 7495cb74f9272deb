//! How MariaDB 10.11 and MySQL 8 run each form: by which algorithm at best, and whether it commits what came before.
//! Every DDL takes an exclusive metadata lock at its begin and its end, whatever the algorithm, and commits implicitly.

mod mariadb;
mod mysql8;
mod ways;

use super::form::{Algorithm, Form, On};
use super::statement::{Cost, Lock};

pub(super) use mariadb::FORMS as MARIADB;
pub(super) use mysql8::FORMS as MYSQL;
pub use ways::{Way, Ways, ways};

type Locks = &'static [(On, Lock)];

const METADATA: Locks = &[(On::Tables, Lock::METADATA)];
/// `DROP TRIGGER g` does not name the table.
const TRIGGERED: Locks = &[(On::Unnamed("the table of the trigger"), Lock::METADATA)];
const VIEW: Locks = &[(On::View, Lock::METADATA)];
const ROWS: Locks = &[(On::Tables, Lock::SHARED_METADATA)];
const NONE: Locks = &[];

/// An `ALTER TABLE` and its algorithm.
const fn alter(kind: &'static str, algorithm: Algorithm, cost: Cost) -> Form {
    Form::new(kind, METADATA, cost).by(algorithm)
}

/// DDL without an algorithm to choose.
const fn ddl(kind: &'static str, locks: Locks, cost: Cost) -> Form {
    Form::new(kind, locks, cost).outside()
}

/// The forms that are the same in both, but for how they are known.
const fn row(kind: &'static str) -> Form {
    Form::new(kind, ROWS, Cost::Unknown)
}
