//! Rows exactly as they are: read by their keys, saved in the database, put back.
//!
//! Owns the before-image and the form in which it is exact: each column as the database itself writes it (on PostgreSQL
//! the output of its type, on SQLite a literal), by name. Never decides which rows, and never brings one to a row that
//! is not there any more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::marker;
use crate::action::table::quoted;
use crate::run::record::Offer;
use crate::runbook::template::{Bind, RenderedSql, as_text};
use crate::sql::Dialect;
use crate::target::db::{Handle, Row, SqlError, bind, text_bind};
use crate::target::sqlite::Literal;

/// Keys in one statement to SQLite.
const CHUNK: usize = 400;

/// A row or its key, each column as the database writes it; NULL is `None`.
pub type Exact = BTreeMap<String, Option<String>>;

/// A row as it was and as it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub table: String,
    pub pk: Exact,
    pub old: Exact,
    /// None: deleted.
    pub new: Option<Exact>,
}

/// A row as it stands now.
#[derive(Debug, Clone)]
pub struct Standing {
    pub exact: Exact,
    pub row: Row,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// As SQL writes the type; PostgreSQL only.
    kind: String,
    /// The database computes it from other columns.
    computed: bool,
    /// The database alone gives it its value, once.
    identity: bool,
}

/// A table as its rows are read and written.
#[derive(Debug, Clone)]
pub struct Table {
    /// As the statement writes it.
    pub name: String,
    columns: Vec<Column>,
    /// The primary key, in its order.
    pub key: Vec<String>,
}

const POSTGRES: &str = "select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as kind,
      a.attgenerated <> '' as computed, a.attidentity = 'a' as identity, array_position(i.indkey::int2[], a.attnum) as pk
    from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped order by a.attnum";

const SQLITE: &str = "select name, '' as kind, hidden > 1 as computed, false as identity, nullif(pk, 0) as pk from pragma_table_xinfo($1)";

fn column_list(names: &[String], prefix: &str) -> String {
    names.iter().map(|name| format!("{prefix}{}", quoted(name))).collect::<Vec<_>>().join(", ")
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Table {
    /// # Errors
    /// The server's words; a table without a primary key.
    pub async fn of(handle: &mut Handle, name: &str) -> Result<Self, SqlError> {
        let (sql, wanted) = match handle.dialect() {
            Some(Dialect::Postgres) => (POSTGRES, name.to_owned()),
            _ => (SQLITE, name.replace('"', "")),
        };
        let (mut columns, mut key) = (Vec::new(), BTreeMap::new());
        for row in handle.read(sql, vec![text_bind(wanted)]).await? {
            let text = |name: &str| row.get(name).map(as_text).unwrap_or_default();
            if let Some(place) = row.get("pk").and_then(Value::as_i64) {
                key.insert(place, text("name"));
            }
            let is = |name: &str| matches!(text(name).as_str(), "true" | "1");
            let (computed, identity) = (is("computed"), is("identity"));
            columns.push(Column { name: text("name"), kind: text("kind"), computed, identity });
        }
        if key.is_empty() {
            return Err(SqlError::new(format!("table {name} has no primary key: its rows cannot be told apart")));
        }
        Ok(Self { name: name.to_owned(), columns, key: key.into_values().collect() })
    }

    /// The columns that are not there any more since these rows were saved.
    pub fn lacks(&self, saved: &Exact) -> Vec<String> {
        saved.keys().filter(|name| self.column(name).is_none()).cloned().collect()
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A key in words: `42`, or `42/7`.
    pub fn words(&self, pk: &Exact, dialect: Option<Dialect>) -> String {
        let plain = |name: &String| match (pk.get(name).cloned().flatten(), dialect) {
            (text, Some(Dialect::Sqlite)) => {
                Literal::read(text.as_deref()).map_or(String::new(), |v| as_text(&v.json()))
            }
            (text, _) => text.unwrap_or_default(),
        };
        self.key.iter().map(plain).collect::<Vec<_>>().join("/")
    }

    fn key_of(&self, row: &Exact) -> Exact {
        self.key.iter().map(|name| (name.clone(), row.get(name).cloned().flatten())).collect()
    }

    /// The keys of the rows that a read of whole rows gives, each once.
    ///
    /// # Errors
    /// The server's words.
    pub async fn keys(&self, handle: &mut Handle, read: &RenderedSql) -> Result<BTreeSet<Exact>, SqlError> {
        if let Handle::Sqlite(connection) = handle {
            let rows = connection.literals(read).await?;
            return Ok(rows.into_iter().map(|row| self.key_of(&written(row))).collect());
        }
        let text = |row: &Row, name: &String| row.get(name).filter(|value| !value.is_null()).map(as_text);
        let key = |row: Row| self.key.iter().map(|name| (name.clone(), text(&row, name))).collect();
        Ok(handle.rows(read, None).await?.into_iter().map(key).collect())
    }

    /// The rows with these keys, by key, as they stand now.
    ///
    /// # Errors
    /// The server's words.
    pub async fn read(
        &self,
        handle: &mut Handle,
        keys: impl IntoIterator<Item = &Exact>,
        lock: bool,
    ) -> Result<BTreeMap<Exact, Standing>, SqlError> {
        let keys: Vec<&Exact> = keys.into_iter().collect();
        let mut found = BTreeMap::new();
        if let Handle::Sqlite(connection) = handle {
            for keys in keys.chunks(CHUNK) {
                let (places, binds) = expressions(keys.iter().flat_map(|pk| self.key.iter().map(|name| pk.get(name))))?;
                let rows: Vec<String> =
                    places.chunks(self.key.len()).map(|row| format!("({})", row.join(", "))).collect();
                let sql = format!(
                    "select * from {} as backout_t where ({}) in (values {})",
                    self.name,
                    column_list(&self.key, "backout_t."),
                    rows.join(", ")
                );
                for row in connection.literals(&RenderedSql { sql, binds }).await? {
                    let exact = written(row.clone());
                    let row = row.into_iter().map(|(name, value)| (name, value.json())).collect();
                    found.insert(self.key_of(&exact), Standing { exact, row });
                }
            }
            return Ok(found);
        }
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let labels: Vec<String> = names.iter().map(|name| string(name)).collect();
        let texts: Vec<String> = names.iter().map(|name| format!("backout_t.{}::text", quoted(name))).collect();
        let sql = format!(
            "select to_jsonb(backout_t.*) as row, jsonb_object(array[{}], array[{}]) as exact
             from jsonb_array_elements($1::jsonb) as backout_k(pk) join {} as backout_t on {}{}",
            labels.join(", "),
            texts.join(", "),
            self.name,
            self.same_key("backout_k.pk"),
            if lock { " for update of backout_t" } else { "" }
        );
        for row in handle.read(sql, vec![text_bind(json!(keys).to_string())]).await? {
            let part = |name: &str| row.get(name).cloned().unwrap_or_default();
            let exact: Exact = serde_json::from_value(part("exact")).map_err(unreadable)?;
            let row = serde_json::from_value(part("row")).map_err(unreadable)?;
            found.insert(self.key_of(&exact), Standing { exact, row });
        }
        Ok(found)
    }

    /// PostgreSQL: `backout_t` has the key that stands in a JSON object.
    fn same_key(&self, object: &str) -> String {
        let one = |name: &String| format!("backout_t.{} = {}", quoted(name), self.exactly(object, name));
        self.key.iter().map(one).collect::<Vec<_>>().join(" and ")
    }

    /// PostgreSQL: the value of a column out of a JSON object of texts, read by the column's own type.
    fn exactly(&self, object: &str, name: &str) -> String {
        let kind = self.column(name).map_or("text", |column| column.kind.as_str());
        format!("({object} ->> {})::{kind}", string(name))
    }

    /// Sets the columns that the change had changed back; gives the number of rows.
    ///
    /// # Errors
    /// The server's words.
    pub async fn restore(&self, handle: &mut Handle, images: &[&Image]) -> Result<u64, SqlError> {
        let mut groups: BTreeMap<Vec<&String>, Vec<&Image>> = BTreeMap::new();
        for image in images {
            let differs = |name: &String| image.new.as_ref().is_some_and(|new| new.get(name) != image.old.get(name));
            let ours = |name: &String| self.column(name).is_some_and(|column| !column.computed && !column.identity);
            groups
                .entry(image.old.keys().filter(|name| differs(name) && ours(name)).collect())
                .or_default()
                .push(image);
        }
        let mut done = 0;
        for (changed, images) in groups {
            if changed.is_empty() {
                done += images.len() as u64;
            } else if handle.dialect() == Some(Dialect::Postgres) {
                let set =
                    |name: &&String| format!("{} = {}", quoted(name), self.exactly("backout_k.image -> 'old'", name));
                let sql = format!(
                    "update {} as backout_t set {} from jsonb_array_elements($1::jsonb) as backout_k(image) where {}",
                    self.name,
                    changed.iter().map(set).collect::<Vec<_>>().join(", "),
                    self.same_key("(backout_k.image -> 'pk')")
                );
                done += handle.run(sql, vec![text_bind(json!(images).to_string())]).await?;
            } else {
                for image in images {
                    let (values, mut binds) = expressions(changed.iter().map(|name| image.old.get(*name)))?;
                    let (keys, more) = expressions(self.key.iter().map(|name| image.pk.get(name)))?;
                    let pairs = |names: &[&String], values: &[&str], word: &str| {
                        let one = |(name, value): (&&String, &&str)| format!("{} = {value}", quoted(name));
                        names.iter().zip(values).map(one).collect::<Vec<_>>().join(word)
                    };
                    let sql = format!(
                        "update {} set {} where {}",
                        self.name,
                        pairs(&changed, &values, ", "),
                        pairs(&self.key.iter().collect::<Vec<_>>(), &keys, " and ")
                    );
                    binds.extend(more);
                    done += handle.run(sql, binds).await?;
                }
            }
        }
        Ok(done)
    }

    /// Deleted rows come back whole; gives their number.
    ///
    /// # Errors
    /// The server's words.
    pub async fn put_back(&self, handle: &mut Handle, images: &[&Image]) -> Result<u64, SqlError> {
        let Some(first) = images.first() else { return Ok(0) };
        let computed = |name: &String| self.column(name).is_some_and(|column| column.computed);
        let names: Vec<String> = first.old.keys().filter(|name| !computed(name)).cloned().collect();
        let into = format!("insert into {} ({})", self.name, column_list(&names, ""));
        if handle.dialect() == Some(Dialect::Postgres) {
            let values: Vec<String> = names.iter().map(|name| self.exactly("backout_k.image -> 'old'", name)).collect();
            let sql = format!(
                "{into} overriding system value select {} from jsonb_array_elements($1::jsonb) as backout_k(image)",
                values.join(", ")
            );
            return handle.run(sql, vec![text_bind(json!(images).to_string())]).await;
        }
        let mut done = 0;
        for image in images {
            let (values, binds) = expressions(names.iter().map(|name| image.old.get(name)))?;
            done += handle.run(format!("{into} values ({})", values.join(", ")), binds).await?;
        }
        Ok(done)
    }
}

fn written(row: BTreeMap<String, Literal>) -> Exact {
    row.into_iter().map(|(name, value)| (name, value.written())).collect()
}

fn unreadable(error: serde_json::Error) -> SqlError {
    SqlError::new(format!("a row cannot be read: {error}"))
}

/// SQLite: an expression for each value, and all that they bind.
fn expressions<'a>(
    values: impl Iterator<Item = Option<&'a Option<String>>>,
) -> Result<(Vec<&'static str>, Vec<Bind>), SqlError> {
    let (mut places, mut binds) = (Vec::new(), Vec::new());
    for value in values {
        let written = value.and_then(Option::as_deref);
        let literal = Literal::read(written)
            .ok_or_else(|| SqlError::new("a saved value is no literal of SQLite: somebody changed the saved rows"))?;
        let (place, bind) = literal.expression();
        places.push(place);
        binds.extend(bind);
    }
    Ok((places, binds))
}

/// Saves the images in the transaction that makes them.
///
/// # Errors
/// The server's words.
pub async fn save(handle: &mut Handle, images: &[Image], offer: &Offer) -> Result<(), SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(()) };
    let into = "insert into {b}before_image (run_id, step, n, tbl, pk, old_row, new_row)";
    let of = [text_bind(&offer.run), text_bind(&offer.step), bind(json!(offer.att))];
    if dialect == Dialect::Postgres {
        let rows: Vec<Value> = images
            .iter()
            .map(|image| json!({ "tbl": image.table, "pk": json!(image.pk).to_string(), "old": image.old, "new": image.new }))
            .collect();
        let from = "select $1::text, $2::text, $3::bigint, x.tbl, x.pk, x.old, x.new
                    from jsonb_to_recordset($4::jsonb) as x(tbl text, pk text, old jsonb, new jsonb)";
        let sql = marker::portable(dialect, &format!("{into} {from}"));
        let mut binds = of.to_vec();
        binds.push(text_bind(Value::Array(rows).to_string()));
        handle.run(sql, binds).await?;
        return Ok(());
    }
    for image in images {
        let sql = marker::portable(dialect, &format!("{into} values (?, ?, ?, ?, ?, ?, ?)"));
        let mut binds = of.to_vec();
        let row = |row: Option<&Exact>| bind(row.map_or(Value::Null, |row| Value::String(json!(row).to_string())));
        binds.extend([text_bind(&image.table), row(Some(&image.pk)), row(Some(&image.old)), row(image.new.as_ref())]);
        handle.run(sql, binds).await?;
    }
    Ok(())
}

/// The images of a step's last attempt, those that are spent left out, and that attempt; `None`: it saved no rows here.
///
/// # Errors
/// The server's words.
pub async fn saved(handle: &mut Handle, run: &str, step: &str) -> Result<Option<(u32, Vec<Image>)>, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(None) };
    let sql = marker::portable(
        dialect,
        "select n, tbl, pk, old_row, new_row, undone_at from {b}before_image where run_id = $1::text and step = $2::text
           and n = (select max(n) from {b}before_image where run_id = $1::text and step = $2::text)",
    );
    let mut images = Vec::new();
    let mut att = None;
    for row in handle.read(sql, vec![text_bind(run), text_bind(step)]).await? {
        let part = |name: &str| match row.get(name) {
            Some(Value::String(text)) => serde_json::from_str(text).map_err(unreadable),
            other => Ok(other.cloned().unwrap_or_default()),
        };
        let exact = |value: Value| serde_json::from_value(value).map_err(unreadable);
        att = row.get("n").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        if row.get("undone_at").is_some_and(|at| !at.is_null()) {
            continue;
        }
        images.push(Image {
            table: row.get("tbl").map(as_text).unwrap_or_default(),
            pk: exact(part("pk")?)?,
            old: exact(part("old_row")?)?,
            new: serde_json::from_value(part("new_row")?).map_err(unreadable)?,
        });
    }
    Ok(att.map(|att| (att, images)))
}

/// Marks images as undone, in the transaction that undoes them; gives their number.
///
/// # Errors
/// The server's words.
pub async fn spend(handle: &mut Handle, run: &str, step: &str, att: u32, images: &[&Image]) -> Result<u64, SqlError> {
    let Some(dialect) = handle.dialect() else { return Ok(0) };
    let keys = if dialect == Dialect::Postgres { "jsonb_array_elements_text($4::jsonb)" } else { "json_each($4)" };
    let sql = marker::portable(
        dialect,
        "update {b}before_image set undone_at = current_timestamp::text
         where run_id = $1::text and step = $2::text and n = $3::bigint and undone_at is null",
    );
    let pks: Vec<String> = images.iter().map(|image| json!(image.pk).to_string()).collect();
    let binds = vec![text_bind(run), text_bind(step), bind(json!(att)), text_bind(json!(pks).to_string())];
    handle.run(format!("{sql} and pk in (select value from {keys})"), binds).await
}
