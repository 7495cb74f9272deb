//! Puts every row of a compared set in one class, against an outside truth.
//!
//! Owns the comparison. The first class from the top that fits wins; a row that fits none goes where `else` says.
//! Never guesses: what cannot be compared is asked.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{rows, sets};
use crate::check::{Context, sql};
use crate::failure::{Failure, Kind, Result};
use crate::run::record::{Frozen, FrozenContent, Outcome, OutcomeResult};
use crate::runbook::expect::{Decimal, Verdict, same};
use crate::runbook::template::as_text;
use crate::runbook::{ClassRule, Compare, Found, FreezeItem, Otherwise, SetSource, Side};
use crate::text::counted;

type Row = Map<String, Value>;

/// A compared set at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classified {
    pub set: String,
    /// In the runbook's order; a class without rows stands too.
    pub classes: Vec<ClassTotal>,
    /// Rows that fit no class; `class` is what a person decided, if somebody has.
    pub asked: Vec<AskedRow>,
    /// Records that match none of our rows: counted, in no class.
    pub theirs_only: u64,
    rows: Vec<Sorted>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassTotal {
    pub name: String,
    pub rows: u64,
    /// Of the first column that both sides are compared on, exact; `None` where it is no number.
    pub sum: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskedRow {
    pub key: String,
    pub ours: Row,
    pub theirs: Vec<Row>,
    pub because: String,
    pub class: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Sorted {
    key: String,
    class: String,
    ours: Row,
    theirs: Vec<Row>,
    /// Under `found: many`: all records but the one that is kept.
    surplus: Vec<Row>,
}

/// Reads both sides again and sorts every row.
///
/// # Errors
/// A side cannot be read, or a row has no key.
pub async fn classify(set: &str, ctx: &Context) -> Result<Classified> {
    let Some(SetSource::Compare(compare)) = ctx.runbook.sets.get(set).map(|set| &set.source) else {
        return Err(Failure::new(Kind::Runbook, format!("{set} is not a compared set")));
    };
    let read = async |name: &str| {
        let words =
            |none: sql::NoAnswer| Failure::new(Kind::Unknown, format!("{name} cannot be read")).cause(none.words());
        sql::set_rows(name, ctx).await.map_err(words)
    };
    let (ours, theirs) = tokio::join!(read(&compare.ours), read(&compare.theirs));
    let decided = ctx.decided.get(set).cloned().unwrap_or_default();
    sort(set, compare, &sets::key_column(&compare.ours, ctx), ours?, theirs?, &decided)
}

/// Every row of `ours` in exactly one class or asked: pure, from rows that were read.
///
/// # Errors
/// A row has no key.
pub fn sort(
    set: &str,
    compare: &Compare,
    key: &str,
    ours: Vec<Row>,
    theirs: Vec<Row>,
    decided: &BTreeMap<String, String>,
) -> Result<Classified> {
    let mut records: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for record in theirs {
        let matched = record.get(&compare.by.1).map(as_text).unwrap_or_default();
        records.entry(matched).or_default().push(record);
    }
    let (mut sorted, mut asked) = (Vec::new(), Vec::new());
    for row in ours {
        let Some(row_key) = row.get(key).map(as_text) else {
            return Err(Failure::new(Kind::Runbook, format!("a row of {} has no {key}", compare.ours)));
        };
        let matching = row.get(&compare.by.0).map(as_text).unwrap_or_default();
        let found = records.remove(&matching).unwrap_or_default();
        match place(compare, &row, &found) {
            Placed::In { class, surplus } => {
                sorted.push(Sorted { key: row_key, class, ours: row, theirs: found, surplus });
            }
            Placed::Asked { because } => {
                let class = decided.get(&row_key).cloned();
                if let Some(class) = class.clone().filter(|class| class != "open") {
                    sorted.push(Sorted {
                        key: row_key.clone(),
                        class,
                        ours: row.clone(),
                        theirs: found.clone(),
                        surplus: Vec::new(),
                    });
                }
                asked.push(AskedRow { key: row_key, ours: row, theirs: found, because, class });
            }
        }
    }
    let theirs_only = records.values().map(|records| records.len() as u64).sum();
    let amount = compare.classes.values().flatten().find_map(|rule| match rule {
        ClassRule::Equal { column } => Some(column.as_str()),
        _ => None,
    });
    let total = |name: &String| {
        let of: Vec<_> = sorted.iter().filter(|row| &row.class == name).collect();
        ClassTotal { name: name.clone(), rows: of.len() as u64, sum: amount.and_then(|column| sum(&of, column)) }
    };
    let classes = compare.classes.keys().map(total).collect();
    Ok(Classified { set: set.to_owned(), classes, asked, theirs_only, rows: sorted })
}

enum Placed {
    In { class: String, surplus: Vec<Row> },
    Asked { because: String },
}

fn place(compare: &Compare, row: &Row, found: &[Row]) -> Placed {
    let mut because = match found.len() {
        0 => "no record matches".to_owned(),
        1 => "it fits no class".to_owned(),
        n => format!("{n} records match"),
    };
    for (class, rules) in &compare.classes {
        if let Some(why) = rules.iter().find_map(|rule| misfit(rule, row, found)) {
            // The class that was nearest says best why none fits.
            if rules.iter().any(|rule| matches!(rule, ClassRule::Equal { .. })) && misfits(rules, row, found) == 1 {
                because = format!("not {class}: {why}");
            }
            continue;
        }
        let many = rules.contains(&ClassRule::Found(Found::Many));
        if !many {
            return Placed::In { class: class.clone(), surplus: Vec::new() };
        }
        return match kept(row, found) {
            Some(kept) => {
                let rest = found.iter().enumerate().filter(|(i, _)| *i != kept).map(|(_, record)| record.clone());
                Placed::In { class: class.clone(), surplus: rest.collect() }
            }
            None => otherwise(compare, format!("{} records match and none equals ours", found.len())),
        };
    }
    otherwise(compare, because)
}

fn otherwise(compare: &Compare, because: String) -> Placed {
    match &compare.otherwise {
        Otherwise::Ask => Placed::Asked { because },
        Otherwise::Class(class) => Placed::In { class: class.clone(), surplus: Vec::new() },
    }
}

fn misfits(rules: &[ClassRule], row: &Row, found: &[Row]) -> usize {
    rules.iter().filter(|rule| misfit(rule, row, found).is_some()).count()
}

/// Why the rule does not hold; `None` where it does.
fn misfit(rule: &ClassRule, row: &Row, found: &[Row]) -> Option<String> {
    match rule {
        ClassRule::Found(wanted) => {
            let fits = match wanted {
                Found::None => found.is_empty(),
                Found::Once => found.len() == 1,
                Found::Many => found.len() > 1,
            };
            (!fits).then(|| format!("{} found", counted(found.len(), "record")))
        }
        ClassRule::Equal { column } => {
            let mine = row.get(column);
            let theirs = found.first().and_then(|record| record.get(column));
            (!equal(mine, theirs)).then(|| format!("{column} is {} here and {} there", words(mine), words(theirs)))
        }
        ClassRule::Is { side, column, value } => {
            let of = match side {
                Side::Ours => row.get(column),
                Side::Theirs => found.first().and_then(|record| record.get(column)),
            };
            (!equal(of, Some(value))).then(|| format!("{column} is {}", words(of)))
        }
    }
}

fn words(value: Option<&Value>) -> String {
    value.map_or("not there".to_owned(), as_text)
}

/// Numbers by value, whichever side wrote them as text; NULL equals nothing.
fn equal(mine: Option<&Value>, theirs: Option<&Value>) -> bool {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) if !mine.is_null() && !theirs.is_null() => {
            same(mine, theirs) == Verdict::Pass || as_text(mine) == as_text(theirs)
        }
        _ => false,
    }
}

/// The earliest record that equals ours in every column that both have: the one that stays. Records stand in the order
/// of their source unless they carry a time.
fn kept(row: &Row, found: &[Row]) -> Option<usize> {
    let equals = |record: &Row| {
        row.iter().all(|(column, mine)| !comparable(column, record) || equal(Some(mine), record.get(column)))
    };
    let time = |record: &Row| record.iter().find(|(name, _)| name.ends_with("_at")).map(|(_, at)| as_text(at));
    found
        .iter()
        .enumerate()
        .filter(|(_, record)| equals(record))
        .min_by_key(|(i, record)| (time(record), *i))
        .map(|(i, _)| i)
}

/// A status or a state is each side's own word.
fn comparable(column: &str, record: &Row) -> bool {
    record.contains_key(column) && !matches!(column, "status" | "state" | "id")
}

fn sum(rows: &[&Sorted], column: &str) -> Option<String> {
    let amounts: Option<Vec<i128>> = rows.iter().map(|row| as_text(row.ours.get(column)?).parse().ok()).collect();
    if let Some(amounts) = amounts {
        return Some(amounts.iter().sum::<i128>().to_string());
    }
    // Amounts with a fraction: exact to nine places, as text.
    let nanos: Option<Vec<i128>> = rows.iter().map(|row| nanos(&as_text(row.ours.get(column)?))).collect();
    let total: i128 = nanos?.iter().sum();
    let sign = if total < 0 { "-" } else { "" };
    let (whole, part) = (total.abs() / 1_000_000_000, total.abs() % 1_000_000_000);
    Some(format!("{sign}{whole}.{part:09}").trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn nanos(text: &str) -> Option<i128> {
    Decimal::parse(text)?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.get(..9).unwrap_or(part);
    let negative = whole.starts_with('-');
    let whole: i128 = whole.parse::<i128>().ok()?.abs() * 1_000_000_000;
    let part: i128 = format!("{digits:0<9}").parse().ok()?;
    Some(if negative { -(whole + part) } else { whole + part })
}

/// Sorts, and freezes the result for the steps that act on it.
pub async fn perform(set: &str, ctx: &Context) -> (Vec<Frozen>, Outcome) {
    let not = |evidence: String| Outcome::new(OutcomeResult::NotApplied, evidence);
    let classified = match classify(set, ctx).await {
        Ok(classified) => classified,
        Err(failure) => return (Vec::new(), not(failure.to_string())),
    };
    let open: Vec<_> = classified.asked.iter().filter(|row| row.class.is_none()).collect();
    if !open.is_empty() {
        let keys = open.iter().take(5).map(|row| row.key.as_str()).collect::<Vec<_>>().join(", ");
        return (Vec::new(), not(format!("{} undecided: {keys}", counted(open.len(), "row"))));
    }
    let lines: Vec<Value> = classified
        .rows
        .iter()
        .map(|row| json!({ "key": row.key, "class": row.class, "ours": row.ours, "theirs": row.theirs, "surplus": row.surplus }))
        .collect();
    let (file, digest) = match rows::write(&ctx.access.run_dir, "frozen", set, &lines) {
        Ok(written) => written,
        Err(failure) => return (Vec::new(), not(failure.to_string())),
    };
    let classes: BTreeMap<String, u64> =
        classified.classes.iter().map(|class| (class.name.clone(), class.rows)).collect();
    let evidence = classes.iter().map(|(class, rows)| format!("{class} {rows}")).collect::<Vec<_>>().join(", ");
    let count = lines.len() as u64;
    let content = FrozenContent::Rows { count, digest, file, classes: Some(classes) };
    let frozen = Frozen { item: FreezeItem::Set(set.to_owned()), content };
    let outcome = Outcome { result: OutcomeResult::Applied, ..not(format!("every row is in one class: {evidence}")) };
    (vec![frozen], outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;

    fn compare() -> Compare {
        let theirs = |state: &str| ClassRule::Is { side: Side::Theirs, column: "state".into(), value: json!(state) };
        let classes = IndexMap::from([
            (
                "captured".to_owned(),
                vec![
                    ClassRule::Found(Found::Once),
                    theirs("captured"),
                    ClassRule::Equal { column: "amount_cents".into() },
                ],
            ),
            ("authorised".to_owned(), vec![ClassRule::Found(Found::Once), theirs("authorised")]),
            ("not-charged".to_owned(), vec![ClassRule::Found(Found::None)]),
            ("charged-twice".to_owned(), vec![ClassRule::Found(Found::Many)]),
        ]);
        let by = ("id".to_owned(), "order_id".to_owned());
        Compare { ours: "stuck".into(), theirs: "psp".into(), by, classes, otherwise: Otherwise::Ask }
    }

    fn row(value: Value) -> Row {
        value.as_object().cloned().unwrap()
    }

    fn sorted(theirs: &[Value], decided: &BTreeMap<String, String>) -> Classified {
        let ours = (1..=5).map(|id| row(json!({ "id": id, "amount_cents": 100 * id, "status": "stuck" }))).collect();
        sort("verdict", &compare(), "id", ours, theirs.iter().cloned().map(row).collect(), decided).unwrap()
    }

    fn export() -> Vec<Value> {
        let charge = |id: &str, order: &str, amount: &str, state: &str, at: &str| json!({ "charge_id": id, "order_id": order, "amount_cents": amount, "state": state, "captured_at": at });
        vec![
            charge("a", "1", "100", "captured", "1"),
            charge("b", "2", "200", "authorised", "1"),
            charge("d", "4", "400", "captured", "2"),
            charge("c", "4", "400", "captured", "1"),
            charge("e", "5", "450", "captured", "1"),
            charge("x", "99", "1", "captured", "1"),
        ]
    }

    #[test]
    fn every_row_is_in_one_class_or_asked() {
        let found = sorted(&export(), &BTreeMap::new());
        let counts: Vec<_> =
            found.classes.iter().map(|class| (class.name.as_str(), class.rows, class.sum.as_deref())).collect();
        let expected = [
            ("captured", 1, Some("100")),
            ("authorised", 1, Some("200")),
            ("not-charged", 1, Some("300")),
            ("charged-twice", 1, Some("400")),
        ];
        assert_eq!(counts, expected);
        assert_eq!(found.theirs_only, 1);
        assert_eq!(found.asked.len(), 1);
        assert_eq!(found.asked[0].because, "not captured: amount_cents is 500 here and 450 there");
    }

    #[test]
    fn of_two_charges_the_earlier_is_kept() {
        let found = sorted(&export(), &BTreeMap::new());
        let twice = found.rows.iter().find(|row| row.class == "charged-twice").unwrap();
        assert_eq!(twice.surplus.len(), 1);
        assert_eq!(twice.surplus[0]["charge_id"], "d");
    }

    #[test]
    fn charges_of_which_none_is_ours_are_asked() {
        let mut export = export();
        export[2]["amount_cents"] = json!("1");
        export[3]["amount_cents"] = json!("2");
        let found = sorted(&export, &BTreeMap::new());
        assert!(found.asked.iter().any(|row| row.because == "2 records match and none equals ours"));
    }

    #[test]
    fn a_decided_row_is_in_its_class() {
        let decided = BTreeMap::from([("5".to_owned(), "captured".to_owned())]);
        let found = sorted(&export(), &decided);
        assert_eq!(found.classes[0].rows, 2);
        assert_eq!(found.asked[0].class.as_deref(), Some("captured"));
    }
}
