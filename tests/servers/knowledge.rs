//! What the tables of `sql` say, compared with what servers do.

mod catalog;
mod mariadb;
mod postgres;
mod postgres_cases;
mod sqlite;
