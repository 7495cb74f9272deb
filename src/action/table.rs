//! A frozen set as a table for a statement, and rows in words.
//!
//! Never decides which rows: it brings those it is given.

use serde_json::Value;

use crate::check::plain;
use crate::runbook::template::{RenderedSql, as_text};
use crate::sql::Dialect;
use crate::target::db::{Handle, Row, SqlError, text_bind};

/// A name as an identifier that means exactly itself.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A frozen set's rows with a type for each column.
#[derive(Debug, Clone, Default)]
pub struct SetTable {
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Row>,
}

impl SetTable {
    /// Columns that nobody has typed get what their values are.
    pub fn new(rows: Vec<Row>, typed: Vec<(String, String)>) -> Self {
        let mut columns = typed;
        for row in &rows {
            for (name, value) in row {
                if columns.iter().any(|(known, _)| known == name) {
                    continue;
                }
                let kind = match value {
                    Value::Number(_) => "numeric",
                    Value::Bool(_) => "boolean",
                    Value::Object(_) | Value::Array(_) => "jsonb",
                    _ => "text",
                };
                columns.push((name.clone(), kind.to_owned()));
            }
        }
        Self { columns, rows }
    }

    /// Columns whose type is a guess take that of the column of the same name in the table that is changed.
    pub fn retype(&mut self, known: &[(String, String)]) {
        for (name, kind) in &mut self.columns {
            if matches!(kind.as_str(), "text" | "numeric")
                && let Some((_, better)) = known.iter().find(|(other, _)| other == name)
            {
                kind.clone_from(better);
            }
        }
    }

    /// `with backout_set as (…)`, bound to the rows: a read needs no table.
    pub fn with(&self, dialect: Dialect, bind: &str) -> String {
        match dialect {
            Dialect::Postgres => {
                format!(
                    "with backout_set as (select * from jsonb_to_recordset({bind}::jsonb) as x({}))\n",
                    self.definition()
                )
            }
            _ => format!("with backout_set as (select {} from json_each({bind}))\n", self.extracts()),
        }
    }

    fn definition(&self) -> String {
        self.columns.iter().map(|(name, kind)| format!("{} {kind}", quoted(name))).collect::<Vec<_>>().join(", ")
    }

    fn extracts(&self) -> String {
        let one = |(name, _): &(String, String)| {
            format!("json_extract(value, '$.{}') as {}", quoted(name).replace('\'', "''"), quoted(name))
        };
        self.columns.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    pub fn json(&self) -> String {
        serde_json::to_string(&self.rows).unwrap_or_default()
    }

    /// Writes the set as a table, in the transaction that uses it.
    ///
    /// # Errors
    /// The server's words.
    pub async fn write(&self, handle: &mut Handle, table: &str) -> Result<(), SqlError> {
        let postgres = handle.dialect() == Some(Dialect::Postgres);
        handle.run(format!("drop table if exists {table}"), vec![]).await?;
        let bind = vec![text_bind(self.json())];
        if postgres {
            handle.run(format!("create table {table} ({})", self.definition()), vec![]).await?;
            let sql = format!("insert into {table} select * from jsonb_populate_recordset(null::{table}, $1::jsonb)");
            handle.run(sql, bind).await?;
        } else {
            let names = self.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
            handle.run(format!("create table {table} ({names})"), vec![]).await?;
            let sql = format!("insert into {table} select {} from json_each($1)", self.extracts());
            handle.run(sql, bind).await?;
        }
        Ok(())
    }
}

/// The columns of a query with their types, where the dialect has types.
pub async fn columns(handle: &mut Handle, sql: &RenderedSql) -> Vec<(String, String)> {
    match handle {
        Handle::Postgres(connection) => connection.column_types(&sql.sql).await.unwrap_or_default(),
        Handle::Sqlite(_) | Handle::Mysql(_) | Handle::Kafka(_) => Vec::new(),
    }
}

/// One row in one line, for a gate's sample.
pub fn line(row: &Row) -> String {
    row.iter().map(|(name, value)| format!("{name} {}", as_text(&plain(value.clone())))).collect::<Vec<_>>().join(" · ")
}
