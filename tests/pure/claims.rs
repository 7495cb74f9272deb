//! What each migration tool's table says of one migration, row by row as the tool leaves it.

use std::sync::Arc;

use backout::check::schema::release::{Claim, Mark, Says, says};
use backout::runbook::Recorded;
use backout::tui::model::Model;
use backout::tui::view::{self, Page};
use serde_json::{Map, Value};

use crate::fixture;

#[derive(Debug, PartialEq)]
enum Told {
    In,
    Out,
    Stopped,
    Unclear,
}
use Told::{In, Out, Stopped, Unclear};

/// Columns in one line, a row in each other; `-` is NULL. The first column that is `*`-marked is the looked-for one.
fn rows(table: &str) -> Vec<Map<String, Value>> {
    let mut lines = table.split(';').map(|line| line.split_whitespace().collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    let value = |text: &str| match text {
        "-" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
    };
    let row = |cells: Vec<&str>| {
        let mut row = Map::new();
        for (column, cell) in columns.iter().zip(cells) {
            if let Some(column) = column.strip_prefix('*') {
                row.insert("backout_key".into(), value(cell));
                row.insert(column.into(), value(cell));
            } else {
                row.insert((*column).into(), value(cell));
            }
        }
        row
    };
    lines.filter(|cells| !cells.is_empty()).map(row).collect()
}

#[test]
fn a_row_alone_is_not_applied() {
    let flyway = "installed_rank *version type success";
    let liquibase = "*ID AUTHOR FILENAME ORDEREXECUTED EXECTYPE";
    let prisma = "*migration_name started_at finished_at rolled_back_at";
    let goose = "id *version_id is_applied";
    let alembic = "*version_num";
    let (golang, django, sqlx) = ("*version dirty", "id app *name applied", "*version success checksum");
    let atlas = "*version applied total";
    let cases: Vec<(&str, String, Told, &str)> = vec![
        ("42", format!("{flyway}; 1 41 SQL true; 2 42 SQL true"), In, "is there"),
        ("42", format!("{flyway}; 1 41 SQL true"), Out, ""),
        ("42", format!("{flyway}; 1 42 SQL false"), Stopped, "FAILED"),
        ("42", format!("{flyway}; 1 42 SQL 0"), Stopped, "FAILED"),
        ("42", format!("{flyway}; 9 42 SQL true; 10 42 UNDO_SQL true"), Out, "UNDO_SQL"),
        ("42", format!("{flyway}; 9 42 SQL true; 10 42 UNDO_SQL false"), Stopped, "UNDO_SQL"),
        ("42", format!("{flyway}; 9 42 UNDO_SQL true; 10 42 SQL true"), In, "is there"),
        ("42", format!("{flyway}; 1 42 SQL true; 2 42 DELETE true"), Out, "DELETE"),
        ("42", format!("{flyway}; 1 42 BASELINE true"), In, "never run"),
        ("1.9", format!("{flyway}; 1 1.10 BASELINE true"), In, "below the baseline 1.10"),
        ("1.10", format!("{flyway}; 1 1.9 BASELINE true"), Out, ""),
        ("42", format!("{flyway}; 1 42 SQL -"), Unclear, "cannot be read"),
        ("42", format!("{liquibase}; 42 ann a.xml 7 EXECUTED"), In, ""),
        ("42", format!("{liquibase}; 42 ann a.xml 7 MARK_RAN"), In, "without having been run"),
        ("42", format!("{liquibase}; 42 ann a.xml 7 FAILED"), Stopped, ""),
        ("42", format!("{liquibase}; 42 ann a.xml 7 SKIPPED"), Out, ""),
        ("42", format!("{liquibase}; 42 ann a.xml 7 EXECUTED; 42 bob b.xml 8 EXECUTED"), Unclear, "several changesets"),
        ("42", format!("{liquibase}; 41 ann a.xml 7 EXECUTED"), Out, ""),
        // One row: where the table stands.
        ("42", format!("{golang}; 42 false"), In, ""),
        ("000042", format!("{golang}; 42 false"), In, ""),
        ("42", format!("{golang}; 43 false"), In, "at 43"),
        ("42", format!("{golang}; 43 true"), In, "at 43"),
        ("42", format!("{golang}; 42 true"), Stopped, "dirty at 42"),
        // A way down is recorded under the version below before it begins.
        ("42", format!("{golang}; 41 true"), Stopped, "dirty at 41"),
        ("42", format!("{golang}; 41 false"), Out, "at 41"),
        ("9", format!("{golang}; 10 false"), In, ""),
        ("42", format!("{golang}; 41 false; 42 false"), Unclear, "2 rows"),
        ("42", golang.into(), Out, ""),
        ("42", "*version; 41; 42".into(), In, ""),
        ("20261124", "*version; 20261123".into(), Out, ""),
        ("0042_ref", format!("{django}; 1 orders 0042_ref now"), In, ""),
        (
            "0001_initial",
            format!("{django}; 1 auth 0001_initial now; 2 orders 0001_initial now"),
            Unclear,
            "as: app.name",
        ),
        ("orders.0001_initial", format!("{django}; 1 auth 0001_initial now; 2 orders 0001_initial now"), In, ""),
        ("orders.0001_initial", format!("{django}; 1 auth 0001_initial now"), Out, ""),
        ("ae12", format!("{alembic}; ae12"), In, ""),
        ("ae12", format!("{alembic}; bc34"), Unclear, "alembic history"),
        ("ae12", alembic.into(), Out, ""),
        ("x", format!("{prisma}; x 2026-01-01 2026-01-02 -"), In, ""),
        ("x", format!("{prisma}; x 2026-01-01 - -"), Stopped, "no end"),
        ("x", format!("{prisma}; x 2026-01-01 - 2026-01-03"), Out, "rolled back"),
        ("x", format!("{prisma}; x 2026-01-04 2026-01-05 -; x 2026-01-01 - 2026-01-03"), In, ""),
        ("42", format!("{sqlx}; 42 true ab"), In, ""),
        ("42", format!("{sqlx}; 42 false ab"), Stopped, ""),
        ("42", format!("{goose}; 1 42 true; 2 42 false"), Out, "taken out again"),
        ("42", format!("{goose}; 9 42 false; 10 42 1"), In, ""),
        ("00042", format!("{goose}; 1 42 true"), In, ""),
        ("42", format!("{atlas}; 42 1 3"), Stopped, "1 of 3"),
        ("42", format!("{atlas}; 42 3 3"), In, ""),
        ("20261124_ref.js", "id *name batch; 1 20261124_ref.js 3".into(), In, ""),
        ("20261124_Ref", "*MigrationId ProductVersion; 20261124_ref 8".into(), Out, "not there"),
    ];
    for (wanted, table, told, words) in cases {
        let recorded = Recorded { table: "t".into(), column: "c".into(), value: wanted.into() };
        let (found, said) = match says(&recorded, &rows(&table)) {
            Says::In(words) => (In, words),
            Says::Out(words) => (Out, words),
            Says::Stopped(words) => (Stopped, words),
            Says::Unclear(words) => (Unclear, words),
        };
        assert!(found == told && said.contains(words), "{wanted} in {table}: {found:?}, {said}");
    }
}

/// Where the tool's table is wrong, its claim stands before the statements: a small screen shows it first.
#[test]
fn a_claim_stands_before_the_statements_and_names_its_target() {
    let mut snapshot = fixture::surveyed();
    let mut survey = snapshot.survey.as_deref().unwrap().clone();
    survey.statements[1].target = "other".into();
    let claim =
        |target: &str, mark| Claim { target: target.into(), applied: Some(true), mark, words: "is there".into() };
    survey.claims = vec![claim("shop", Mark::Stopped), claim("other", Mark::Agrees)];
    snapshot.survey = Some(Arc::new(survey));
    let page = view::text(&Model::default(), &snapshot, Page::Survey, 80).join("\n");
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words}:\n{page}"));
    assert!(at("STOPPED: shop: is there") < at("agrees: other: is there"));
    assert!(at("agrees: other") < at("1 shop: ALTER TABLE"), "{page}");
}
