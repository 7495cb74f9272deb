//! The undo of a change, from the rows that it saved.
//!
//! Owns where they are read (the database; the run's own file only where the database holds none or may not be asked)
//! and what is refused. Never touches a row that is not exactly as the change left it.

use serde_json::Value;

use super::image::{Exact, Image, Standing, Table, saved, spend};
use super::{keep, kept, line};
use crate::action::transaction::{Back, Effect};
use crate::check::Context;
use crate::failure::{Failure, Kind, Result};
use crate::target::db::{Handle, SqlError};

/// Rows to put back.
#[derive(Debug, Clone)]
pub struct UndoPlan {
    pub of: String,
    images: Vec<Image>,
    table: Option<Table>,
    /// The attempt that saved them in the database. None: they come from the run's own file.
    att: Option<u32>,
    /// Why they come from the file.
    pub because: Option<String>,
    /// Rows that are still as the change left them.
    pub number: u64,
    pub changed_since: Vec<String>,
}

impl UndoPlan {
    /// Reads the images and the rows as they are now. `tables`: whether backout has its tables in that database.
    ///
    /// # Errors
    /// No images, columns that are not there any more, or the server's words.
    pub async fn of(step: &str, tables: bool, handle: &mut Handle, ctx: &Context) -> Result<Self> {
        let (att, images, because) = Self::images(step, tables, handle, ctx).await?;
        let target = handle.target().to_owned();
        let failed = |error: SqlError| error.failure(&format!("reading the rows that {step} changed"), &target);
        let mut plan =
            Self { of: step.to_owned(), images, table: None, att, because, number: 0, changed_since: Vec::new() };
        if let Some(first) = plan.images.first() {
            let table = Table::of(handle, &first.table).await.map_err(failed)?;
            let lacks = table.lacks(&first.old);
            if !lacks.is_empty() {
                let words = format!("{step} cannot be undone now: {} has no {} any more", table.name, lacks.join(", "));
                return Err(Failure::new(Kind::Refused, words)
                    .hint("the saved rows have them: undo first what took or renamed them"));
            }
            let (same, others) = plan.standing(&table, handle, false).await.map_err(failed)?;
            (plan.number, plan.changed_since) = (same.len() as u64, others);
            plan.table = Some(table);
        }
        Ok(plan)
    }

    async fn images(
        step: &str,
        tables: bool,
        handle: &mut Handle,
        ctx: &Context,
    ) -> Result<(Option<u32>, Vec<Image>, Option<String>)> {
        let mut because = "the database has no tables of backout".to_owned();
        if tables {
            match saved(handle, &ctx.access.run, step).await {
                Ok(Some((_, images))) if images.is_empty() => {
                    let words = format!("the rows that {step} changed have been put back already");
                    return Err(Failure::new(Kind::Refused, words));
                }
                Ok(Some((att, images))) => return Ok((Some(att), images, None)),
                Ok(None) => because = "the database holds none of this step".to_owned(),
                Err(error) if error.code.as_deref() == Some("42501") => because = error.words(),
                Err(error) => {
                    return Err(error.failure(&format!("reading the rows that {step} saved"), handle.target()));
                }
            }
        }
        let Some(file) = ctx.changed.get(step) else {
            let words = format!("{step} has changed no rows in this run: nothing to undo");
            return Err(Failure::new(Kind::Refused, words));
        };
        let read = |line| serde_json::from_value(Value::Object(line));
        let images: Vec<Image> =
            kept::read(&ctx.access.run_dir, file)?.into_iter().map(read).collect::<Result<_, _>>().map_err(
                |error| Failure::new(Kind::Defect, format!("the rows that {step} changed cannot be read")).cause(error),
            )?;
        Ok((None, images, Some(because)))
    }

    /// Images whose rows are exactly as the change left them, with those rows, and the keys of the others.
    async fn standing(
        &self,
        table: &Table,
        handle: &mut Handle,
        lock: bool,
    ) -> Result<(Vec<(&Image, Option<Standing>)>, Vec<String>), SqlError> {
        let mut now = table.read(handle, self.images.iter().map(|image| &image.pk), lock).await?;
        let (mut same, mut others) = (Vec::new(), Vec::new());
        for image in &self.images {
            let row = now.remove(&image.pk);
            // A column that came since is nobody's change of this row.
            let known = row.as_ref().map(|row| known(&row.exact, &image.old));
            match known == image.new {
                true => same.push((image, row)),
                false => others.push(table.words(&image.pk, handle.dialect())),
            }
        }
        Ok((same, others))
    }

    /// Puts the rows back, in the undo's transaction.
    pub(in crate::action) async fn run(&self, handle: &mut Handle, ctx: &Context) -> Result<Effect, Back> {
        let Some(table) = &self.table else { return Ok(Effect { changed: Some(0), ..Effect::default() }) };
        let (same, changed_since) = self.standing(table, handle, true).await?;
        if same.len() as u64 > self.number {
            let words =
                format!("rolled back: {} rows would be put back and {} were agreed to", same.len(), self.number);
            return Err(Back::Because(words));
        }
        let images: Vec<&Image> = same.iter().map(|(image, _)| *image).collect();
        let (deleted, changed): (Vec<&Image>, Vec<&Image>) = images.iter().partition(|image| image.new.is_none());
        let undone = table.restore(handle, &changed).await? + table.put_back(handle, &deleted).await?;
        if undone != images.len() as u64 {
            let words = format!("rolled back: {undone} rows were touched, and {} were to be put back", images.len());
            return Err(Back::Because(words));
        }
        if let Some(att) = self.att {
            let spent = spend(handle, &ctx.access.run, &self.of, att, &images).await?;
            if spent != undone {
                let words =
                    format!("rolled back: {} of {undone} rows were put back before", undone.saturating_sub(spent));
                return Err(Back::Because(words));
            }
        }
        let now = table.read(handle, images.iter().map(|image| &image.pk), false).await?;
        let lines = same.iter().filter_map(|(image, before)| {
            let back = Image { new: Some(image.old.clone()), old: image.new.clone()?, ..(*image).clone() };
            Some(line(table, &back, before.as_ref()?, now.get(&image.pk), handle.dialect()))
        });
        let file = keep(&format!("{}.undone", self.of), lines.collect(), ctx)?;
        let other =
            |image: &&&Image| now.get(&image.pk).map(|row| known(&row.exact, &image.old)).as_ref() != Some(&image.old);
        let differ = images.iter().filter(other).count();
        let note = (differ > 0).then(|| {
            format!(
                "{differ} rows are not quite as they were: the database set a column of them itself, as a trigger does"
            )
        });
        Ok(Effect { changed: Some(undone), changed_since, before_image: Some(file), note })
    }

    /// What the offer covers: every row that may be put back, as it was.
    pub fn digest_of(&self) -> String {
        serde_json::to_string(&self.images).unwrap_or_default()
    }
}

/// The columns of a row that were there when it was saved.
fn known(row: &Exact, saved: &Exact) -> Exact {
    row.iter()
        .filter(|(name, _)| saved.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
