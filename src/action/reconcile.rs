//! Every row of ours in a class, by what an outside truth says of it.
//!
//! Owns the rules of classes. Never guesses: a row that fits none is asked for, one at a time, and what only they have
//! is counted and in no class.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sets::{self, Placed};
use super::transaction::{not_applied, outcome};
use super::{Port, Report, files, rows};
use crate::check::sql::set_rows;
use crate::check::{Context, Names, sql};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Frozen, FrozenContent, Outcome, OutcomeResult};
use crate::runbook::expect::same;
use crate::runbook::template::as_text;
use crate::runbook::{ClassRule, Compare, Found, FreezeItem, Otherwise, SetSource, Side};
use crate::target::db::Row;

/// Rows of a class, with the sum of the column that is compared, where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassTotal {
    pub name: String,
    pub rows: u64,
    pub sum: Option<String>,
}

/// A row that fits no class, and what a person has said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedRow {
    pub key: String,
    pub ours: Row,
    pub theirs: Vec<Row>,
    pub because: String,
    pub class: Option<String>,
}

/// A compared set, read now.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    pub set: String,
    pub classes: Vec<ClassTotal>,
    pub asked: Vec<AskedRow>,
    /// Records that no row of ours matches.
    pub theirs_only: u64,
    /// Every row that has a class.
    pub placed: Vec<Placed>,
}

/// Reads both sides again and puts every row in its class.
///
/// # Errors
/// No such comparison, or one side that cannot be read.
pub async fn classify(set: &str, ctx: &Context) -> Result<Classified> {
    let Some(compare) = sets::compare(ctx, set) else {
        return Err(Failure::new(Kind::Runbook, format!("{set} compares nothing")));
    };
    let unread = |name: &str, why: String| {
        Failure::new(Kind::Target, format!("{name} cannot be read, so {set} cannot be decided")).cause(why)
    };
    let ours = set_rows(&compare.ours, ctx).await.map_err(|none| unread(&compare.ours, none.words()))?;
    let theirs = set_rows(&compare.theirs, ctx).await.map_err(|none| unread(&compare.theirs, none.words()))?;
    let key = sets::key_column(ctx, &compare.ours).unwrap_or_default();
    let none = BTreeMap::new();
    Ok(place(set, compare, &key, ours, &theirs, ctx.decided.get(set).unwrap_or(&none)))
}

/// The pure part: rows, records and decisions to classes.
pub fn place(
    set: &str,
    compare: &Compare,
    key: &str,
    ours: Vec<Row>,
    theirs: &[Row],
    decided: &BTreeMap<String, String>,
) -> Classified {
    let mut by: HashMap<String, Vec<&Row>> = HashMap::new();
    for record in theirs {
        by.entry(record.get(&compare.by.1).map(as_text).unwrap_or_default()).or_default().push(record);
    }
    let mut met = HashSet::new();
    let (mut placed, mut asked) = (Vec::new(), Vec::new());
    for row in ours {
        let matched = row.get(&compare.by.0).map(as_text).unwrap_or_default();
        let records = by.get(&matched).cloned().unwrap_or_default();
        met.insert(matched);
        let row_key = row.get(key).map(as_text).unwrap_or_default();
        let found = compare.classes.iter().find(|(_, rules)| rules.iter().all(|rule| fits(rule, &row, &records)));
        let fitted = found.and_then(|(class, rules)| Some((class.clone(), surplus(rules, compare, &row, &records)?)));
        let all = || records.iter().map(|record| (*record).clone()).collect::<Vec<Row>>();
        match (fitted, &compare.otherwise) {
            (Some((class, (theirs, many))), _) => placed.push(Placed { class, key: row_key, ours: row, theirs, many }),
            (None, Otherwise::Class(class)) => {
                placed.push(Placed { class: class.clone(), key: row_key, theirs: all(), ours: row, many: false });
            }
            (None, Otherwise::Ask) => {
                let class = decided.get(&row_key).cloned();
                let because = match (records.len(), found) {
                    (_, Some((class, _))) => format!("{class} would fit, but none of the records is ours"),
                    (0, None) => "no class fits: they have no record of it".to_owned(),
                    (1, None) => "no class fits the record".to_owned(),
                    (n, None) => format!("no class fits the {n} records"),
                };
                if let Some(class) = &class {
                    placed.push(Placed {
                        class: class.clone(),
                        key: row_key.clone(),
                        ours: row.clone(),
                        theirs: all(),
                        many: false,
                    });
                }
                asked.push(AskedRow { key: row_key, theirs: all(), ours: row, because, class });
            }
        }
    }
    let summed = compared_column(compare);
    let mut names: Vec<String> = compare.classes.keys().cloned().collect();
    for row in &placed {
        if !names.contains(&row.class) {
            names.push(row.class.clone());
        }
    }
    let classes = names
        .into_iter()
        .map(|name| {
            let of: Vec<&Row> = placed.iter().filter(|row| row.class == name).map(|row| &row.ours).collect();
            ClassTotal { rows: of.len() as u64, sum: summed.and_then(|column| sum(&of, column)), name }
        })
        .collect();
    let theirs_only = by.iter().filter(|(key, _)| !met.contains(*key)).map(|(_, records)| records.len() as u64).sum();
    Classified { set: set.to_owned(), classes, asked, theirs_only, placed }
}

fn fits(rule: &ClassRule, ours: &Row, records: &[&Row]) -> bool {
    let equal = |a: Option<&serde_json::Value>, b: Option<&serde_json::Value>| match (a, b) {
        (Some(a), Some(b)) => same(a, b).is_pass(),
        _ => false,
    };
    match rule {
        ClassRule::Found(Found::None) => records.is_empty(),
        ClassRule::Found(Found::Once) => records.len() == 1,
        ClassRule::Found(Found::Many) => records.len() > 1,
        ClassRule::Equal { column } => records.iter().any(|record| equal(record.get(column), ours.get(column))),
        ClassRule::Is { side: Side::Ours, column, value } => equal(ours.get(column), Some(value)),
        ClassRule::Is { side: Side::Theirs, column, value } => {
            !records.is_empty() && records.iter().all(|record| equal(record.get(column), Some(value)))
        }
    }
}

/// The records of a placed row: of more than one, those beside the earliest that equals ours. None: none equals ours.
fn surplus(rules: &[ClassRule], compare: &Compare, ours: &Row, records: &[&Row]) -> Option<(Vec<Row>, bool)> {
    let all = || records.iter().map(|record| (*record).clone()).collect();
    if !rules.contains(&ClassRule::Found(Found::Many)) {
        return Some((all(), false));
    }
    let named: Vec<&str> = rules
        .iter()
        .filter_map(|rule| match rule {
            ClassRule::Equal { column } => Some(column.as_str()),
            _ => None,
        })
        .collect();
    // Without a rule of their own, every column that both sides name alike, but the one they are matched by.
    let columns: Vec<&str> = if named.is_empty() {
        let shared = compared_column(compare);
        shared.into_iter().filter(|column| ours.contains_key(*column)).collect()
    } else {
        named
    };
    let equals = |record: &&Row| {
        columns.iter().all(|column| match (ours.get(*column), record.get(*column)) {
            (Some(ours), Some(theirs)) => same(theirs, ours).is_pass(),
            _ => false,
        })
    };
    let kept = records.iter().position(equals)?;
    Some((records.iter().enumerate().filter(|(n, _)| *n != kept).map(|(_, record)| (*record).clone()).collect(), true))
}

/// The column that some class compares on both sides: an amount, as a rule.
fn compared_column(compare: &Compare) -> Option<&str> {
    compare.classes.values().flatten().find_map(|rule| match rule {
        ClassRule::Equal { column } => Some(column.as_str()),
        _ => None,
    })
}

fn sum(of: &[&Row], column: &str) -> Option<String> {
    let mut total: i128 = 0;
    for row in of {
        total = total.checked_add(as_text(row.get(column)?).parse().ok()?)?;
    }
    Some(total.to_string())
}

/// Classifies, and freezes the result when every row has a class.
pub(super) async fn perform(set: &str, ctx: &Context, port: &Port) -> Outcome {
    let classified = match classify(set, ctx).await {
        Ok(classified) => classified,
        Err(failure) => return not_applied(failure.to_string()),
    };
    let open = classified.asked.iter().filter(|row| row.class.is_none()).count();
    if open > 0 {
        return not_applied(format!("{open} rows want a decision"));
    }
    let content = match write(set, &classified.placed, ctx).await {
        Ok(content) => content,
        Err(failure) => return not_applied(failure.to_string()),
    };
    port.tell(Report::Frozen(vec![Frozen { item: FreezeItem::Set(set.to_owned()), content }])).await;
    let words: Vec<String> = classified
        .classes
        .iter()
        .map(|class| match &class.sum {
            Some(sum) => format!("{} {} (sum {sum})", class.name, class.rows),
            None => format!("{} {}", class.name, class.rows),
        })
        .collect();
    outcome(OutcomeResult::Applied, format!("{}; only theirs {}", words.join(", "), classified.theirs_only))
}

async fn write(set: &str, placed: &[Placed], ctx: &Context) -> Result<FrozenContent> {
    let (file, digest) = files::write(ctx, "frozen", set, placed)?;
    let ours = sets::compare(ctx, set).map(|compare| compare.ours.clone()).unwrap_or_default();
    let typed = typed(&ours, ctx).await;
    files::write(ctx, "frozen", &format!("{set}.columns"), &typed)?;
    let mut classes = BTreeMap::new();
    for row in placed {
        *classes.entry(row.class.clone()).or_insert(0) += 1;
    }
    Ok(FrozenContent::Rows { count: placed.len() as u64, digest, file, classes: Some(classes) })
}

/// The columns of a query set with their types, as its database knows them.
pub(super) async fn typed(set: &str, ctx: &Context) -> Vec<(String, String)> {
    let Some(SetSource::Query { on, sql: text }) = ctx.runbook.sets.get(set).map(|set| &set.source) else {
        return Vec::new();
    };
    let Ok(mut handle) = ctx.targets.monitor(on).await else { return Vec::new() };
    let Some(dialect) = handle.dialect() else { return Vec::new() };
    match sql::rendered(text, dialect, &Names::new(ctx)) {
        Ok(text) => rows::columns(&mut handle, &text).await,
        Err(_) => Vec::new(),
    }
}
