//! The shop's database in the sandbox, as its actors and the scoring see it.
//!
//! Owns every statement that the sandbox sends, for PostgreSQL and SQLite. Never decides when. All values are bound;
//! only the scenario's own SQL files are sent as they are.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use super::history::Order;
use crate::failure::{Failure, Kind, Result};

/// One session on the shop's database.
pub enum Shop {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Binds nothing, or one JSON text, and answers with one number.
macro_rules! number {
    ($self:expr, $postgres:expr, $sqlite:expr $(, $bind:expr)*) => {
        match $self {
            Shop::Postgres(c) => sqlx::query_scalar::<_, i64>($postgres)$(.bind($bind))*.fetch_one(c).await,
            Shop::Sqlite(c) => sqlx::query_scalar::<_, i64>($sqlite)$(.bind($bind))*.fetch_one(c).await,
        }
    };
}

macro_rules! run {
    ($self:expr, $postgres:expr, $sqlite:expr $(, $bind:expr)*) => {
        match $self {
            Shop::Postgres(c) => sqlx::query($postgres)$(.bind($bind))*.execute(c).await.map(|_| ()),
            Shop::Sqlite(c) => sqlx::query($sqlite)$(.bind($bind))*.execute(c).await.map(|_| ()),
        }
    };
}

impl Shop {
    /// Opens a session of its own under `application_name`. On SQLite, which has no sessions to list, it is entered in
    /// `backout_sessions` where that table exists.
    pub async fn open(url: &str, application_name: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .busy_timeout(Duration::from_secs(5));
            let mut shop = Self::Sqlite(options.connect().await?);
            shop.enter(application_name).await?;
            return Ok(shop);
        }
        let options = PgConnectOptions::from_str(url)?
            .application_name(application_name)
            .ssl_mode(PgSslMode::Prefer)
            // A statement prepared before the rename would fail for ever after it (0A000).
            .statement_cache_capacity(0);
        let connecting = options.connect();
        match tokio::time::timeout(Duration::from_secs(10), connecting).await {
            Ok(connection) => Ok(Self::Postgres(connection?)),
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// Ends the session; the entry in `backout_sessions` goes with it.
    pub async fn close(self, application_name: &str) {
        match self {
            Self::Postgres(c) => drop(c.close().await),
            Self::Sqlite(mut c) => {
                let _ = sqlx::query("DELETE FROM backout_sessions WHERE application_name = ?")
                    .bind(application_name)
                    .execute(&mut c)
                    .await;
                drop(c.close().await);
            }
        }
    }

    async fn enter(&mut self, application_name: &str) -> Result<(), sqlx::Error> {
        let Self::Sqlite(c) = self else { return Ok(()) };
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS backout_sessions (application_name TEXT PRIMARY KEY, pid INTEGER NOT NULL, since TEXT NOT NULL)",
        )
        .execute(&mut *c)
        .await?;
        sqlx::query("INSERT OR REPLACE INTO backout_sessions VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))")
            .bind(application_name)
            .bind(i64::from(std::process::id()))
            .execute(c)
            .await
            .map(|_| ())
    }

    /// Runs a file of the scenario as it is.
    pub async fn script(&mut self, sql: String) -> Result<(), sqlx::Error> {
        // The text is a file that the operator chose to rehearse with, on a database that exists for it.
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Postgres(c) => sqlx::raw_sql(sql).execute(c).await.map(|_| ()),
            Self::Sqlite(c) => sqlx::raw_sql(sql).execute(c).await.map(|_| ()),
        }
    }

    /// `PostgreSQL 15` or `SQLite 3.51`.
    pub async fn version(&mut self) -> Result<String, sqlx::Error> {
        match self {
            Self::Postgres(c) => {
                let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(c).await?;
                let major = version.split(['.', ' ']).next().unwrap_or(&version);
                Ok(format!("PostgreSQL {major}"))
            }
            Self::Sqlite(c) => {
                let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(c).await?;
                let short: Vec<&str> = version.split('.').take(2).collect();
                Ok(format!("SQLite {}", short.join(".")))
            }
        }
    }

    /// Tables outside the system's own schemas.
    pub async fn tables(&mut self) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> 'backout_sessions' AND name NOT LIKE 'sqlite_%'"
        )
    }

    /// Takes away what an earlier rehearsal left in a given database.
    pub async fn sweep(&mut self) -> Result<(), sqlx::Error> {
        let Self::Postgres(c) = self else {
            return Ok(());
        };
        for statement in [
            "DROP TABLE IF EXISTS orders CASCADE",
            "DROP TYPE IF EXISTS order_status CASCADE",
            "DROP SCHEMA IF EXISTS backout CASCADE",
        ] {
            sqlx::query(statement).execute(&mut *c).await?;
        }
        Ok(())
    }

    /// Writes orders of one version, all in one statement.
    pub async fn seed(&mut self, orders: &[&Order], v2: bool) -> Result<(), sqlx::Error> {
        let rows = serde_json::to_string(orders).unwrap_or_default();
        if v2 {
            run!(
                self,
                "INSERT INTO orders (id, customer_id, amount_cents, payment_reference_id, status, created_at, psp, currency, channel)
                 SELECT id, customer_id, amount_cents, payment, status::order_status, created_at, 'northpay', 'EUR', 'web'
                 FROM json_to_recordset($1::json) AS r (id bigint, customer_id bigint, amount_cents bigint, payment text, status text, created_at timestamptz)",
                "INSERT INTO orders (id, customer_id, amount_cents, payment_reference_id, status, created_at, psp, currency, channel)
                 SELECT value ->> 'id', value ->> 'customer_id', value ->> 'amount_cents', value ->> 'payment', value ->> 'status', value ->> 'created_at', 'northpay', 'EUR', 'web'
                 FROM json_each(?)",
                rows
            )
        } else {
            run!(
                self,
                "INSERT INTO orders (id, customer_id, amount_cents, payment_ref, status, created_at)
                 SELECT id, customer_id, amount_cents, payment, status::order_status, created_at
                 FROM json_to_recordset($1::json) AS r (id bigint, customer_id bigint, amount_cents bigint, payment text, status text, created_at timestamptz)",
                "INSERT INTO orders (id, customer_id, amount_cents, payment_ref, status, created_at)
                 SELECT value ->> 'id', value ->> 'customer_id', value ->> 'amount_cents', value ->> 'payment', value ->> 'status', value ->> 'created_at'
                 FROM json_each(?)",
                rows
            )
        }
    }

    /// New orders get ids after the seeded ones. SQLite does so by itself.
    pub async fn continue_ids(&mut self) -> Result<(), sqlx::Error> {
        let Self::Postgres(c) = self else {
            return Ok(());
        };
        sqlx::query("SELECT setval(pg_get_serial_sequence('orders', 'id'), (SELECT max(id) FROM orders))")
            .execute(c)
            .await
            .map(|_| ())
    }

    /// As v1 takes an order: its new id.
    pub async fn order_v1(&mut self, customer_id: i64, amount_cents: i64, payment: &str) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "INSERT INTO orders (customer_id, amount_cents, payment_ref) VALUES ($1, $2, $3) RETURNING id",
            "INSERT INTO orders (customer_id, amount_cents, payment_ref) VALUES (?, ?, ?) RETURNING id",
            customer_id,
            amount_cents,
            payment
        )
    }

    /// As v2 takes an order: the row first, the payment reference when the provider answers. So it does not notice
    /// that the column has another name.
    pub async fn order_v2(&mut self, customer_id: i64, amount_cents: i64) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "INSERT INTO orders (customer_id, amount_cents, status, psp, currency, channel)
             VALUES ($1, $2, 'awaiting_confirmation', 'northpay', 'EUR', 'web') RETURNING id",
            "INSERT INTO orders (customer_id, amount_cents, status, psp, currency, channel)
             VALUES (?, ?, 'awaiting_confirmation', 'northpay', 'EUR', 'web') RETURNING id",
            customer_id,
            amount_cents
        )
    }

    /// Whether somebody has begun to repair: the old column is back, or a step has left its marker.
    pub async fn repair_began(&mut self) -> Result<bool, sqlx::Error> {
        let renamed = number!(
            self,
            "SELECT count(*) FROM pg_catalog.pg_attribute
             WHERE attrelid = to_regclass('orders') AND attname = 'payment_ref' AND NOT attisdropped",
            "SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'payment_ref'"
        )?;
        // No marker table, no marker.
        let marked =
            number!(self, "SELECT count(*) FROM backout.marker", "SELECT count(*) FROM backout_marker").unwrap_or(0);
        Ok(renamed > 0 || marked > 0)
    }

    /// Of `ids`: how many have this status, and the sum of their amounts in cents.
    pub async fn with_status(&mut self, ids: &[i64], status: &str) -> Result<(i64, i64), sqlx::Error> {
        let ids = serde_json::to_string(ids).unwrap_or_default();
        let count = number!(
            self,
            "SELECT count(*) FROM orders WHERE status::text = $2 AND id IN (SELECT value::bigint FROM json_array_elements_text($1::json))",
            "SELECT count(*) FROM orders WHERE status = ?2 AND id IN (SELECT value FROM json_each(?1))",
            ids.as_str(),
            status
        )?;
        let sum = number!(
            self,
            "SELECT coalesce(sum(amount_cents), 0)::bigint FROM orders WHERE status::text = $2 AND id IN (SELECT value::bigint FROM json_array_elements_text($1::json))",
            "SELECT coalesce(sum(amount_cents), 0) FROM orders WHERE status = ?2 AND id IN (SELECT value FROM json_each(?1))",
            ids,
            status
        )?;
        Ok((count, sum))
    }

    /// Orders in a status that v1 cannot read.
    pub async fn unreadable(&mut self) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "SELECT count(*) FROM orders WHERE status::text NOT IN ('pending', 'confirmed', 'shipped', 'cancelled')",
            "SELECT count(*) FROM orders WHERE status NOT IN ('pending', 'confirmed', 'shipped', 'cancelled')"
        )
    }

    /// Orders that v2 wrote, or v1, with an id above `last`.
    pub async fn since(&mut self, last: i64, v2: bool) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "SELECT count(*) FROM orders WHERE id > $1 AND (channel IS NOT NULL) = $2",
            "SELECT count(*) FROM orders WHERE id > ? AND (channel IS NOT NULL) = ?",
            last,
            v2
        )
    }

    /// Sum of the amounts of the orders up to this id, in cents.
    pub async fn revenue(&mut self, last: i64) -> Result<i64, sqlx::Error> {
        number!(
            self,
            "SELECT coalesce(sum(amount_cents), 0)::bigint FROM orders WHERE id <= $1",
            "SELECT coalesce(sum(amount_cents), 0) FROM orders WHERE id <= ?",
            last
        )
    }

    /// Takes an order as v1 does and gives it back: nothing stays.
    pub async fn try_v1(&mut self) -> Result<(), sqlx::Error> {
        run!(self, "BEGIN", "BEGIN")?;
        let tried = self.order_v1(1, 100, "score").await;
        run!(self, "ROLLBACK", "ROLLBACK")?;
        tried.map(|_| ())
    }
}

/// A failure of the sandbox's database, in the server's words.
pub fn failed(what: &str, error: &sqlx::Error) -> Failure {
    let words = match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    };
    Failure::new(Kind::Target, format!("the sandbox's database: {what}")).cause(words)
}
