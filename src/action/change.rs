//! Changing rows: counted beforehand, saved as they were in the same transaction, undone from what was saved.
//!
//! Owns the before-image. Never touches a row that it has not read and locked first, and never undoes one that somebody
//! changed since.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rows as kept;
use super::table::{self as rows, SetTable, key_of, key_text, quoted};
use super::transaction::{Back, Effect};
use super::{marker, sets};
use crate::check::{Context, Names};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::Offer;
use crate::runbook::template::{Bind, RenderedSql};
use crate::runbook::{Change, SetRef, SetSource};
use crate::sql::{self, Class, Dialect};
use crate::target::db::{Handle, Row, bind, text_bind};
use crate::text::counted;

mod anatomy;

pub use anatomy::Anatomy;

/// A change, rendered.
#[derive(Debug, Clone)]
pub struct Plan {
    pub real: RenderedSql,
    /// A read of the rows that it would touch.
    preview: RenderedSql,
    pub anatomy: Anatomy,
    pub key: Vec<String>,
    pub set: Option<(SetRef, SetTable)>,
    set_name: String,
    pub number: u64,
    pub sample: Vec<String>,
}

/// A row as it was and as it was left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub table: String,
    pub key: String,
    pub pk: Row,
    pub before: Row,
    /// None: deleted.
    pub after: Option<Row>,
}

impl Plan {
    /// Renders it and reads what it would touch; changes nothing.
    ///
    /// # Errors
    /// A statement that is not what it must be, a set that is not frozen, the server's words.
    pub async fn of(change: &Change, step: &str, handle: &mut Handle, ctx: &Context) -> Result<Self> {
        let Some(dialect) = handle.dialect() else {
            return Err(Failure::new(Kind::Runbook, format!("step {step}: its target is not a database")));
        };
        let target = handle.target().to_owned();
        let Some(text) = change.sql.get(dialect) else {
            return Err(Failure::new(
                Kind::Runbook,
                format!("step {step} has no form for {dialect}, which {target} is"),
            ));
        };
        let refuse = |why: String| {
            Failure::new(Kind::Runbook, format!("step {step}: the change is refused"))
                .cause(why)
                .hint("write it as one UPDATE … or DELETE FROM …, so that the rows can be saved as they were")
        };
        let names = Names::new(ctx);
        let mut set = match &change.set {
            Some(set) => {
                Some((set.clone(), SetTable::new(sets::frozen_rows(set, ctx)?, typed(set, ctx, handle).await)))
            }
            None => None,
        };
        let set_name = set.as_ref().map(|(set, _)| marker::frozen_table(dialect, &set_word(set))).unwrap_or_default();
        let table = set.is_some().then_some(set_name.as_str());
        let real = text.render(dialect, &names, table).map_err(|missing| refuse(missing.to_string()))?;
        let class = sql::parse_one(dialect, &real.sql).map_err(|refused| refuse(refused.to_string()))?.class;
        if class != Class::Write {
            return Err(refuse(format!("a change writes rows, and this {class}")));
        }
        let shown = set.is_some().then_some("backout_set");
        let shown = text.render(dialect, &names, shown).map_err(|missing| refuse(missing.to_string()))?;
        let anatomy = Anatomy::of(dialect, &shown.sql).map_err(refuse)?;
        if let Some((_, table)) = &mut set {
            let sql = RenderedSql { sql: format!("select * from {}", anatomy.table), binds: Vec::new() };
            table.retype(&rows::columns(handle, &sql).await);
        }
        let preview = preview(&anatomy, &shown, set.as_ref().map(|(_, table)| table), dialect);
        let failed = |error: crate::target::SqlError| error.failure(&format!("step {step}: the preview"), &target);
        let key = rows::primary_key(handle, &anatomy.table).await.map_err(failed)?;
        let found = distinct(handle.rows(&preview, None).await.map_err(failed)?, &key);
        Ok(Self {
            real,
            preview,
            number: found.len() as u64,
            sample: found.iter().take(5).map(rows::line).collect(),
            anatomy,
            key,
            set,
            set_name,
        })
    }
}

fn set_word(set: &SetRef) -> String {
    set.to_string().replace(['[', ' ', ','], "_").replace(']', "")
}

fn preview(anatomy: &Anatomy, shown: &RenderedSql, set: Option<&SetTable>, dialect: Dialect) -> RenderedSql {
    let mut binds: Vec<Bind> = shown.binds.iter().skip(anatomy.binds_before).cloned().collect();
    let mut with = String::new();
    if let Some(set) = set {
        if dialect == Dialect::Postgres {
            binds.push(text_bind(set.json()));
            with = set.with(dialect, &format!("${}", binds.len()));
        } else {
            binds.insert(0, text_bind(set.json()));
            with = set.with(dialect, "?");
        }
    }
    RenderedSql { sql: anatomy.select(&with), binds }
}

fn distinct(found: Vec<Row>, key: &[String]) -> Vec<Row> {
    let mut seen = BTreeSet::new();
    found.into_iter().filter(|row| seen.insert(key_text(row, key))).collect()
}

/// The change inside its transaction: save, change, compare, write the images.
pub(super) async fn run(handle: &mut Handle, plan: &Plan, offer: &Offer, ctx: &Context) -> Result<Effect, Back> {
    let table = &plan.anatomy.table;
    if let Some((_, set)) = &plan.set {
        set.write(handle, &plan.set_name).await?;
    }
    let mut locking = plan.preview.clone();
    if handle.dialect() == Some(Dialect::Postgres) {
        locking.sql = format!("{} for update of {}", locking.sql, plan.anatomy.alias);
    }
    let before = distinct(handle.rows(&locking, None).await?, &plan.key);
    if plan.set.is_none() && before.len() as u64 != plan.number {
        return Err(Back::Because(format!(
            "rolled back: {} would change, agreed to were {}",
            counted(before.len(), "row"),
            plan.number
        )));
    }
    let affected = handle.execute(&plan.real).await?;
    if affected != before.len() as u64 {
        return Err(Back::Because(format!(
            "rolled back: the statement touched {affected} rows, and {} were read and saved before it",
            before.len()
        )));
    }
    let keys: Vec<Row> = before.iter().map(|row| key_of(row, &plan.key)).collect();
    let after = rows::by_key(handle, table, &plan.key, &keys, false).await?;
    let images: Vec<Image> = before
        .into_iter()
        .map(|row| {
            let key = key_text(&row, &plan.key);
            let after = after.iter().find(|now| key_text(now, &plan.key) == key).cloned();
            Image { table: table.clone(), pk: key_of(&row, &plan.key), key, before: row, after }
        })
        .collect();
    if offer.epoch.is_some() {
        save(handle, &images, offer).await?;
    }
    let file = keep(&offer.step, &images, ctx)?;
    Ok(Effect { changed: Some(affected), changed_since: changed_since(plan, &images, ctx), before_image: Some(file) })
}

/// Rows of the frozen set that the statement did not meet any more.
fn changed_since(plan: &Plan, images: &[Image], ctx: &Context) -> Vec<String> {
    let Some((set, table)) = &plan.set else { return Vec::new() };
    let (SetRef::Set(name) | SetRef::Class { set: name, .. }) = set else { return Vec::new() };
    let key = sets::key_column(name, ctx);
    let text = |row: &Row| row.get(&key).map(crate::runbook::template::as_text);
    let met: BTreeSet<_> = images.iter().filter_map(|image| text(&image.before)).collect();
    if images.iter().any(|image| !image.before.contains_key(&key)) {
        return Vec::new();
    }
    table.rows.iter().filter_map(text).filter(|row| !met.contains(row)).collect()
}

/// On disk before COMMIT: what `changed by` and the undo rest on.
fn keep(name: &str, images: &[Image], ctx: &Context) -> Result<String, Back> {
    let lines: Vec<Value> = images.iter().map(|image| serde_json::to_value(image).unwrap_or_default()).collect();
    match kept::write(&ctx.access.run_dir, "changed", name, &lines) {
        Ok((file, _)) => Ok(file),
        Err(failure) => Err(Back::Because(failure.to_string())),
    }
}

/// The types of a set's columns, by its own query; without one that still runs they follow from the values.
async fn typed(set: &SetRef, ctx: &Context, handle: &mut Handle) -> Vec<(String, String)> {
    let (SetRef::Set(name) | SetRef::Class { set: name, .. }) = set else { return Vec::new() };
    let mut source = ctx.runbook.sets.get(name).map(|set| &set.source);
    if let Some(SetSource::Compare(compare)) = source {
        source = ctx.runbook.sets.get(&compare.ours).map(|set| &set.source);
    }
    let Some(SetSource::Query { on, sql: text }) = source else { return Vec::new() };
    match handle.dialect() {
        Some(dialect) if on == handle.target() => match crate::check::sql::rendered(text, dialect, &Names::new(ctx)) {
            Ok(text) => rows::columns(handle, &text).await,
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

async fn save(handle: &mut Handle, images: &[Image], offer: &Offer) -> Result<(), Back> {
    let Some(dialect) = handle.dialect() else { return Ok(()) };
    let rows: Vec<Value> = images
        .iter()
        .map(|image| {
            let pk = Value::Object(image.pk.clone()).to_string();
            json!({ "tbl": image.table, "pk": pk, "old": image.before, "new": image.after })
        })
        .collect();
    let from = match dialect {
        Dialect::Postgres => {
            "x.tbl, x.pk, x.old, x.new from jsonb_to_recordset($4::jsonb) as x(tbl text, pk text, old jsonb, new jsonb)"
        }
        _ => {
            "json_extract(value, '$.tbl'), json_extract(value, '$.pk'), json_extract(value, '$.old'), json_extract(value, '$.new') from json_each($4)"
        }
    };
    let sql = marker::portable(
        dialect,
        "insert into {b}before_image (run_id, step, n, tbl, pk, old_row, new_row) select $1::text, $2::text, $3::bigint, ",
    );
    let binds = vec![
        text_bind(&offer.run),
        text_bind(&offer.step),
        bind(json!(offer.att)),
        text_bind(Value::Array(rows).to_string()),
    ];
    handle.run(format!("{sql}{from}"), binds).await?;
    Ok(())
}

/// The undo of a change, from its images.
#[derive(Debug, Clone)]
pub struct UndoPlan {
    pub of: String,
    pub images: Vec<Image>,
    /// Rows that are still as the change left them.
    pub number: u64,
    pub changed_since: Vec<String>,
    pub key: Vec<String>,
}

impl UndoPlan {
    /// Reads the images and the rows as they are now.
    ///
    /// # Errors
    /// No images, or the server's words.
    pub async fn of(step: &str, handle: &mut Handle, ctx: &Context) -> Result<Self> {
        let Some(file) = ctx.changed.get(step) else {
            return Err(Failure::new(
                Kind::Refused,
                format!("{step} has changed no rows in this run: nothing to undo"),
            ));
        };
        let images: Vec<Image> = kept::read(&ctx.access.run_dir, file)?
            .into_iter()
            .map(|line| serde_json::from_value(Value::Object(line)))
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Failure::new(Kind::Defect, format!("the rows that {step} changed cannot be read")).cause(error)
            })?;
        let key: Vec<String> = images.first().map(|image| image.pk.keys().cloned().collect()).unwrap_or_default();
        let target = handle.target().to_owned();
        let (still, changed_since) = still(handle, &images, &key, false)
            .await
            .map_err(|error| error.failure(&format!("reading the rows that {step} changed"), &target))?;
        Ok(Self { of: step.to_owned(), number: still.len() as u64, images, changed_since, key })
    }
}

/// Images whose rows are exactly as the change left them, and the keys of the others.
async fn still(
    handle: &mut Handle,
    images: &[Image],
    key: &[String],
    lock: bool,
) -> Result<(Vec<Image>, Vec<String>), crate::target::SqlError> {
    let Some(first) = images.first() else { return Ok((Vec::new(), Vec::new())) };
    let keys: Vec<Row> = images.iter().map(|image| image.pk.clone()).collect();
    let now = rows::by_key(handle, &first.table, key, &keys, lock).await?;
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for image in images {
        let row = now.iter().find(|row| key_text(row, key) == image.key);
        if row == image.after.as_ref() { same.push(image.clone()) } else { others.push(image.key.clone()) }
    }
    Ok((same, others))
}

pub(super) async fn run_undo(
    handle: &mut Handle,
    plan: &UndoPlan,
    offer: &Offer,
    ctx: &Context,
) -> Result<Effect, Back> {
    let (same, changed_since) = still(handle, &plan.images, &plan.key, true).await?;
    let mut undone = 0;
    for image in &same {
        let n = match &image.after {
            None => put_back(handle, image).await?,
            Some(after) => restore(handle, image, after, &plan.key).await?,
        };
        if n != 1 {
            return Err(Back::Because(format!("rolled back: row {} was touched {n} times", image.key)));
        }
        undone += n;
    }
    let images: Vec<Image> = same
        .iter()
        .filter_map(|image| {
            Some(Image { before: image.after.clone()?, after: Some(image.before.clone()), ..image.clone() })
        })
        .collect();
    if offer.epoch.is_some() {
        save(handle, &images, offer).await?;
    }
    let name = format!("{}.undone", plan.of);
    let file = keep(&name, &images, ctx)?;
    Ok(Effect { changed: Some(undone), changed_since, before_image: Some(file) })
}

/// Only the columns that the change had changed are set back.
async fn restore(handle: &mut Handle, image: &Image, after: &Row, key: &[String]) -> Result<u64, Back> {
    let changed: Vec<&String> =
        image.before.iter().filter(|(name, was)| after.get(*name) != Some(was)).map(|(name, _)| name).collect();
    if changed.is_empty() {
        return Ok(1);
    }
    let table = &image.table;
    let row = |of: &Row| text_bind(Value::Object(of.clone()).to_string());
    if handle.dialect() == Some(Dialect::Postgres) {
        let sets: Vec<String> = changed.iter().map(|c| format!("{0} = r.{0}", quoted(c))).collect();
        let same: Vec<String> = key.iter().map(|c| format!("t.{0} = r.{0}", quoted(c))).collect();
        let sql = format!(
            "update {table} as t set {} from jsonb_populate_record(null::{table}, $1::jsonb) r where {}",
            sets.join(", "),
            same.join(" and ")
        );
        return Ok(handle.run(sql, vec![row(&image.before)]).await?);
    }
    let value = |c: &str| bind(image.before.get(c).cloned().unwrap_or(Value::Null));
    let sets: Vec<String> = changed.iter().map(|c| format!("{} = ?", quoted(c))).collect();
    let same: Vec<String> = key.iter().map(|c| format!("{} = ?", quoted(c))).collect();
    let binds = changed.iter().map(|c| value(c)).chain(key.iter().map(|c| value(c))).collect();
    let sql = format!("update {table} set {} where {}", sets.join(", "), same.join(" and "));
    Ok(handle.run(sql, binds).await?)
}

/// A deleted row comes back whole.
async fn put_back(handle: &mut Handle, image: &Image) -> Result<u64, Back> {
    let table = &image.table;
    let names: Vec<String> = image.before.keys().map(|name| quoted(name)).collect();
    let names = names.join(", ");
    if handle.dialect() == Some(Dialect::Postgres) {
        let sql = format!(
            "insert into {table} ({names}) select {names} from jsonb_populate_record(null::{table}, $1::jsonb)"
        );
        return Ok(handle.run(sql, vec![text_bind(Value::Object(image.before.clone()).to_string())]).await?);
    }
    let marks = vec!["?"; image.before.len()].join(", ");
    let binds = image.before.values().cloned().map(bind).collect();
    Ok(handle.run(format!("insert into {table} ({names}) values ({marks})"), binds).await?)
}
