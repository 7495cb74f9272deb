//! What PostgreSQL 13 to 18 locks, rewrites and scans, form by form. Every row that is not marked otherwise was compared
//! with a PostgreSQL 15: its locks with `pg_locks`, rewrites with `relfilenode`, scans with the table's statistics.

mod alter;
mod rest;

use super::form::Form;

pub(super) const FORMS: [&[Form]; 2] = [alter::FORMS, rest::FORMS];
