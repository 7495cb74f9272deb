//! The parts of the format that do not run yet: read, resolved, shown, and refused by name.

use std::path::Path;
use std::time::Duration;

use backout::runbook::*;
use serde_json::json;

#[test]
fn what_does_not_run_yet_is_read_to_the_end_and_shown() {
    let file = Path::new("tests/corpus/runbook/103-later-in-full.yaml");
    assert!(load(file).is_err(), "it is refused");
    let (shown, diagnostics) = load_to_show(file);
    assert!(diagnostics.has_errors() && diagnostics.only_later());
    let runbook = shown.unwrap();
    let step = |id: &str| &runbook.steps[id];
    let level = |id: &str| (step(id).layer, level::of(&runbook, step(id)), level::token_form(&runbook, step(id)));
    let number = "the number that will change, as previewed".to_owned();
    assert_eq!(level("rewind"), (Layer::Events, Level::Object, "loyalty@bus".into()));
    assert_eq!(level("step-over"), (Layer::Events, Level::Object, "loyalty@bus".into()));
    assert_eq!(level("back"), (Layer::Events, Level::Object, "loyalty@bus".into()));
    assert_eq!(level("stop-new"), (Layer::Events, Level::Object, "order-events-value@names".into()));
    assert_eq!(level("hold-evidence"), (Layer::Events, Level::Object, "order-events@bus".into()));
    assert_eq!(level("rows"), (Layer::Data, Level::Number, number.clone()));
    assert_eq!(level("again"), (Layer::Events, Level::Number, number.clone()));
    assert_eq!(level("forget"), (Layer::Events, Level::Number, number));
    assert_eq!(level("fill").1, Level::Irreversible, "its rows are not saved");
    assert_eq!(step("rows").phase, Phase::Repair);
    let Action::Restore(restore) = &step("rows").action else { panic!() };
    assert_eq!((restore.table.as_str(), restore.key.as_str(), restore.insert), ("orders", "id", true));
    assert_eq!(restore.sources[1], SetRef::ChangedBy { steps: vec!["fill".into()] });
    let Action::Offsets(Offsets { to: Position::Over { set, park }, .. }) = &step("step-over").action else { panic!() };
    assert_eq!((set, park.as_str()), (&SetRef::Set("missing".into()), "order-events-parked"));
    let stages = step("resume").conduct.stages.as_ref().unwrap();
    assert_eq!(
        (stages.steps.as_slice(), stages.hold),
        ([json!(1), json!(3), json!(12)].as_slice(), Some(Duration::from_secs(120)))
    );
    assert_eq!(step("columns").conduct.members_first, Some(vec!["eu".into()]));
    assert_eq!(runbook.fleets["shop"].to_string(), "eu, us");
    assert_eq!(runbook.deadlines.len(), 2);
    assert_eq!(runbook.sets["shared"].key, "id", "the key of the first set that it is made of");
    let Action::Change(change) = &step("fill").action else { panic!() };
    assert_eq!(change.until, Some(CheckRef::Check("few".into())));

    let plan = backout::cli::plan::markdown(&runbook);
    for line in [
        "- `shop`: postgres, members: eu, us",
        "- 04:30Z: The billing job starts, not while `few` is green",
        "- `missing`, by `id`: kept without seen",
        "  - refused: registry: delete of order-events-value",
        "- gate: object; typed: loyalty@bus",
        "- undo: to the offsets it had",
        "- in stages: 1, 3, 12; between two: `few`, for 2m",
        "- watched afterwards: `moved`, for 30m",
        "- rows: <= 340",
        "- again and again until `few` is green",
        "- its rows are not saved: The column is new",
        "- rows that are gone are written anew, newer ones stay, never those of erased",
        "- into the partition where the key was found",
        "- `open`: status = 'awaiting_confirmation'",
        "- member by member: eu alone, then the rest; stops at the first mismatch",
        "Move loyalty on order-events past missing, kept in order-events-parked",
    ] {
        assert!(plan.lines().any(|l| l == line), "{line}\n{plan}");
    }
    assert!(!plan.contains("US_DATABASE_URL"));
}

#[test]
fn what_is_wrong_inside_a_later_part_hides_the_runbook() {
    let (shown, diagnostics) = load_to_show(Path::new("tests/corpus/runbook/110-offsets-shape.yaml"));
    assert!(shown.is_none() && !diagnostics.only_later());
}

#[test]
fn no_value_in_any_place_is_more_than_an_error() {
    let text = std::fs::read_to_string("tests/corpus/runbook/103-later-in-full.yaml").unwrap();
    let base = Path::new("tests/corpus/runbook");
    for (at, _) in text.match_indices(": ") {
        let rest = &text[at + 2..];
        let end = rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
        for value in ["[]", "{ a: [1] }", "\"{{ é\""] {
            let changed = format!("{}: {value}{}", &text[..at], &rest[end..]);
            if let Err(wrong) = load_str("changed.yaml", &changed, base) {
                assert!(!wrong.to_string().is_empty());
            }
        }
    }
}

#[test]
fn every_row_of_the_table_is_a_key_of_the_schema_and_refused_somewhere() {
    let schema = schema::text();
    let mut refused = String::new();
    for entry in std::fs::read_dir("tests/corpus/runbook").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "expected") {
            refused.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    for (part, key) in later::LATER {
        assert!(refused.contains(&format!("`{key}` is not supported yet")), "{part} {key}");
    }
    assert_eq!(schema.matches("Not supported yet.").count(), later::LATER.len(), "each row marks one field");
}
