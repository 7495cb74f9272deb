//! Changing rows: counted beforehand, saved as they were in the same transaction, undone from what was saved.
//!
//! Owns the order: read and lock, change, compare, save. Never touches a row that it has not read and locked first.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rows as kept;
use super::table::{self as rows, SetTable};
use super::transaction::{Back, Effect};
use super::{marker, sets};
use crate::check::{Context, Names};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::Offer;
use crate::runbook::template::{Bind, RenderedSql};
use crate::runbook::{Change, SetRef, SetSource};
use crate::sql::{self, Class, Dialect};
use crate::target::db::{Handle, Row, text_bind};
use crate::text::counted;

mod anatomy;
mod image;
mod undo;

pub use anatomy::Anatomy;
pub use undo::UndoPlan;

use image::{Image, Standing, Table, save};

/// A change, rendered.
#[derive(Debug, Clone)]
pub struct Plan {
    pub real: RenderedSql,
    /// A read of the rows that it would touch.
    preview: RenderedSql,
    pub anatomy: Anatomy,
    table: Table,
    pub set: Option<(SetRef, SetTable)>,
    set_name: String,
    pub number: u64,
    pub sample: Vec<String>,
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
        let table = Table::of(handle, &anatomy.table).await.map_err(failed)?;
        let found = distinct(handle.rows(&preview, None).await.map_err(failed)?, &table.key);
        Ok(Self {
            real,
            preview,
            number: found.len() as u64,
            sample: found.iter().take(5).map(rows::line).collect(),
            anatomy,
            table,
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
    let of = |row: &Row| key.iter().map(|name| row.get(name).cloned().unwrap_or_default().to_string()).collect();
    let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
    found.into_iter().filter(|row| seen.insert(of(row))).collect()
}

/// The change inside its transaction: save, change, compare, write the images.
pub(super) async fn run(handle: &mut Handle, plan: &Plan, offer: &Offer, ctx: &Context) -> Result<Effect, Back> {
    let table = &plan.table;
    if let Some((_, set)) = &plan.set {
        set.write(handle, &plan.set_name).await?;
    }
    let mut locking = plan.preview.clone();
    if handle.dialect() == Some(Dialect::Postgres) {
        locking.sql = format!("{} for update of {}", locking.sql, plan.anatomy.alias);
    }
    let keys = table.keys(handle, &locking).await?;
    if plan.set.is_none() && keys.len() as u64 != plan.number {
        return Err(Back::Because(format!(
            "rolled back: {} would change, agreed to were {}",
            counted(keys.len(), "row"),
            plan.number
        )));
    }
    let before = table.read(handle, &keys, false).await?;
    let affected = handle.execute(&plan.real).await?;
    if affected != before.len() as u64 {
        return Err(Back::Because(format!(
            "rolled back: the statement touched {affected} rows, and {} were read and saved before it",
            before.len()
        )));
    }
    let after = table.read(handle, before.keys(), false).await?;
    let gone = before.keys().find(|pk| !after.contains_key(*pk)).filter(|_| !plan.anatomy.deletes);
    if let Some(pk) = gone {
        let row = table.words(pk, handle.dialect());
        return Err(Back::Because(format!(
            "rolled back: after the statement there is no row {row} any more: a key that changes cannot be undone"
        )));
    }
    let images: Vec<Image> = before
        .iter()
        .map(|(pk, row)| Image {
            table: table.name.clone(),
            pk: pk.clone(),
            old: row.exact.clone(),
            new: after.get(pk).map(|row| row.exact.clone()),
        })
        .collect();
    if offer.epoch.is_some() {
        save(handle, &images, offer).await?;
    }
    let lines = images
        .iter()
        .filter_map(|image| Some(line(table, image, before.get(&image.pk)?, after.get(&image.pk), handle.dialect())));
    let file = keep(&offer.step, lines.collect(), ctx)?;
    let met = before.values().map(|row| &row.row);
    Ok(Effect {
        changed: Some(affected),
        changed_since: changed_since(plan, met, ctx),
        before_image: Some(file),
        note: None,
    })
}

/// A line of the run's own file: what `changed by` reads, and what the undo reads where the database holds no images.
fn line(table: &Table, image: &Image, before: &Standing, after: Option<&Standing>, dialect: Option<Dialect>) -> Value {
    let key = table.words(&image.pk, dialect);
    let mut line = json!({ "key": key, "before": before.row, "after": after.map(|row| &row.row) });
    if let (Value::Object(line), Ok(Value::Object(image))) = (&mut line, serde_json::to_value(image)) {
        line.extend(image);
    }
    line
}

/// Rows of the frozen set that the statement did not meet any more.
fn changed_since<'a>(plan: &Plan, met: impl Iterator<Item = &'a Row>, ctx: &Context) -> Vec<String> {
    let Some((set, table)) = &plan.set else { return Vec::new() };
    let (SetRef::Set(name) | SetRef::Class { set: name, .. }) = set else { return Vec::new() };
    let key = sets::key_column(name, ctx);
    let text = |row: &Row| row.get(&key).map(crate::runbook::template::as_text);
    let Some(met) = met.map(text).collect::<Option<BTreeSet<_>>>() else { return Vec::new() };
    table.rows.iter().filter_map(text).filter(|row| !met.contains(row)).collect()
}

/// On disk before COMMIT.
fn keep(name: &str, lines: Vec<Value>, ctx: &Context) -> Result<String, Back> {
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
