//! The runbook: templates, expectations, the model that comes out of a file.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use backout::runbook::expect::{Decimal, Verdict, duration, duration_text};
use backout::runbook::template::{Place, Scope, SqlText, Template, render_value};
use backout::runbook::vars::read_value;
use backout::runbook::*;
use backout::sql::Dialect;
use serde_json::{Value, json};

mod digest;
mod later;

struct Values(HashMap<&'static str, Value>);

impl Scope for Values {
    fn get(&self, path: &str) -> Option<Value> {
        self.0.get(path).cloned()
    }

    fn kind(&self, path: &str) -> Option<VarKind> {
        (path == "at").then_some(VarKind::Timestamp)
    }
}

fn values() -> Values {
    Values(HashMap::from([
        ("at", json!("2026-11-24T02:07:00Z")),
        ("n", json!(7)),
        ("name", json!("orders")),
        ("evil", json!("x'; DROP TABLE x; --")),
        ("braces", json!("{{ n }}")),
        ("item.id", json!(5)),
    ]))
}

fn example() -> Runbook {
    load(Path::new("tests/corpus/runbook/101-checkout-v2.yaml")).unwrap().runbook
}

fn everything() -> Runbook {
    load(Path::new("tests/corpus/runbook/102-everything-else.yaml")).unwrap().runbook
}

#[test]
fn a_name_alone_keeps_its_type_and_one_pass_is_all() {
    let render = |text: &str| Template::parse(text).unwrap().render(&values()).unwrap();
    assert_eq!(render("{{ n }}"), json!(7));
    assert_eq!(render("--n={{n}}"), json!("--n=7"));
    assert_eq!(render("{{ braces }}!"), json!("{{ n }}!"));
    assert_eq!(render("no } braces { here"), json!("no } braces { here"));
    let missing = Template::parse("{{ nobody }}").unwrap().render(&values()).unwrap_err();
    assert_eq!(missing.name, "nobody");
    let value = json!({ "id": "{{ item.id }}", "tags": ["{{ name }}-x", true], "none": null });
    let rendered = render_value(&value, &values()).unwrap();
    assert_eq!(rendered, json!({ "id": 5, "tags": ["orders-x", true], "none": null }));
}

#[test]
fn values_are_bound_and_identifiers_are_checked() {
    let sql =
        SqlText::parse("SELECT {{ evil }} WHERE a > {{ at }} AND b = {{ n }} AND c = {{ at }}\n", Place::default());
    let sql = sql.unwrap();
    let rendered = sql.render(Dialect::Postgres, &values(), None).unwrap();
    assert_eq!(rendered.sql, "SELECT $1::text WHERE a > $2::timestamptz AND b = $3::bigint AND c = $4::timestamptz");
    assert_eq!(rendered.binds[0].value, json!("x'; DROP TABLE x; --"));
    assert_eq!(rendered.binds[1].kind, VarKind::Timestamp);
    let rendered = sql.render(Dialect::Sqlite, &values(), None).unwrap();
    assert_eq!(rendered.sql, "SELECT ? WHERE a > ? AND b = ? AND c = ?");
    assert_eq!(sql.names(), ["evil", "at", "n"]);

    let ddl = SqlText::parse("DROP TABLE {{ ident name }}", Place::default()).unwrap();
    assert_eq!(ddl.render(Dialect::Postgres, &values(), None).unwrap().sql, "DROP TABLE \"orders\"");
    let ddl = SqlText::parse("DROP TABLE {{ ident evil }}", Place::default()).unwrap();
    let refused = ddl.render(Dialect::Postgres, &values(), None).unwrap_err();
    assert!(refused.to_string().contains("an identifier has letters"), "{refused}");

    let set = SqlText::parse("SELECT * FROM {{ set }}", Place::default()).unwrap();
    let table = "\"backout\".\"frozen_stuck\"";
    assert_eq!(set.render(Dialect::Postgres, &values(), Some(table)).unwrap().sql, format!("SELECT * FROM {table}"));
    assert!(set.render(Dialect::Postgres, &values(), None).is_err());
}

#[test]
fn unknown_is_never_a_pass() {
    let frozen = |name: &str| match name {
        "sum" => Some(json!("1250.50")),
        "lost" => Some(Value::Null),
        _ => None,
    };
    let judge = |text: &str, value: Option<Value>| Expect::from_text(text).unwrap().judge(value.as_ref(), &frozen);
    assert_eq!(judge("<= 50", Some(json!(50))), Verdict::Pass);
    assert_eq!(judge("<= 50", Some(json!(51))), Verdict::Fail);
    assert!(judge("<= 50", Some(Value::Null)).is_unknown());
    assert!(judge("<= 50", None).is_unknown());
    assert!(judge("<= 50", Some(json!(true))).is_unknown());
    assert!(judge("<= 50", Some(json!("many"))).is_unknown());
    assert_eq!(judge("> 0.1", Some(json!("0.10000000000000000000000001"))), Verdict::Pass);
    assert_eq!(judge("!= 9007199254740993", Some(json!(9_007_199_254_740_992_u64))), Verdict::Pass);
    let literal = |value: Value, found: Value| Expect::Literal(value).judge(Some(&found), &frozen);
    assert_eq!(literal(json!(0), json!("0.00")), Verdict::Pass);
    assert_eq!(literal(json!("confirmed"), json!("pending")), Verdict::Fail);
    assert!(literal(json!(true), json!(1)).is_unknown());
    let same = |name: &str, found: Value| Expect::SameAs(name.into()).judge(Some(&found), &frozen);
    assert_eq!(same("sum", json!("1250.5")), Verdict::Pass);
    assert_eq!(same("sum", json!("1250.49")), Verdict::Fail);
    assert!(same("lost", json!(1)).is_unknown());
    assert!(same("never-frozen", json!(0)).is_unknown());
    let error = Expect::Error("23505".into());
    assert_eq!(error.judge(Some(&json!({ "error": "23505" })), &frozen), Verdict::Pass);
    assert_eq!(error.judge(Some(&json!(1)), &frozen), Verdict::Fail);
    assert!(Expect::from_text("<= many").is_err());
}

#[test]
fn decimals_compare_by_value_at_any_length() {
    let d = |text: &str| Decimal::parse(text).unwrap();
    assert_eq!(d("-0.0"), d("0"));
    assert_eq!(d("1e3"), d("1000.00"));
    assert_eq!(d("12.5e-3"), d("0.0125"));
    assert!(d("-2") < d("-1.5") && d("-1.5") < d("0") && d("9") < d("10") && d("0.09") < d("0.1"));
    assert!(d("18446744073709551616") > d("18446744073709551615"));
    for text in ["", "-", ".5", "5.", "1_000", "0x10", "NaN", "1e999999"] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn durations_read_and_write() {
    for text in ["200ms", "30s", "2m", "1h", "7d"] {
        assert_eq!(duration_text(duration(text).unwrap()), text);
    }
    for text in ["30", "s", "1.5s", "30 s", "-1s", "9999999d", "1w"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn variables_are_read_strictly() {
    assert_eq!(read_value(VarKind::Integer, "340\n"), Ok(json!(340)));
    assert_eq!(read_value(VarKind::Number, "12.50").unwrap().to_string(), "12.50");
    assert_eq!(read_value(VarKind::Timestamp, "2026-11-24T03:07:00+01:00"), Ok(json!("2026-11-24T02:07:00Z")));
    let long = "x".repeat(1024 * 1024);
    for (kind, text) in [
        (VarKind::Integer, "1e3"),
        (VarKind::Integer, "+1"),
        (VarKind::Integer, "9223372036854775808"),
        (VarKind::Number, "1,5"),
        (VarKind::Boolean, "yes"),
        (VarKind::Timestamp, "2026-11-24T03:07:00"),
        (VarKind::Text, "a\u{1b}[2J"),
        (VarKind::Text, "two\n\u{202e}lines"),
        (VarKind::Text, &long),
    ] {
        assert!(read_value(kind, text).is_err(), "{kind:?} {:.20}", text);
    }
}

#[test]
fn the_example_resolves_as_it_reads() {
    let runbook = example();
    assert_eq!(runbook.name, "checkout-v2");
    assert_eq!(runbook.digest.len(), 64);
    assert_eq!(runbook.targets.keys().collect::<Vec<_>>(), ["shop", "bus", "psp"]);
    assert!(matches!(&runbook.sets["psp"].source, SetSource::Records { target } if target == "psp"));
    assert_eq!(runbook.sets["psp"].key, "charge_id");
    assert_eq!(runbook.sets["verdict"].key, "id");
    let SetSource::Compare(compare) = &runbook.sets["verdict"].source else { panic!() };
    assert_eq!(compare.by, ("id".into(), "order_id".into()));
    assert_eq!(compare.otherwise, Otherwise::Ask);
    assert_eq!(compare.classes.keys().collect::<Vec<_>>(), ["captured", "authorised", "not-charged", "charged-twice"]);
    assert_eq!(compare.classes["captured"][2], ClassRule::Equal { column: "amount_cents".into() });

    let step = |id: &str| &runbook.steps[id];
    assert_eq!(step("evidence").phase, Phase::Contain);
    assert_eq!(step("evidence").title, "Freeze revenue, stuck, offsets of bus, catalog of shop");
    assert!(step("pause-loyalty").after.is_empty());
    assert!(step("rename-back").after.is_empty(), "the first of its phase");
    assert_eq!(step("decide-orders").after[0].step, "rename-back");
    assert_eq!(step("decide-orders").phase, Phase::Repair);
    assert_eq!(step("rename-back").layer, Layer::Schema);
    assert_eq!(step("tell-downstream").layer, Layer::Events);
    assert_eq!(step("resume-loyalty").layer, Layer::Service);
    let [need] = step("rename-back").needs.as_slice() else { panic!() };
    assert_eq!((&need.check, need.hard), (&CheckRef::ServiceGone("checkout-v2".into()), true));
    let because = need.because.as_deref().unwrap();
    assert!(because.contains("orders.payment_reference_id") && because.contains("--shim rename-back"), "{because}");
    let guard = Guard {
        check: CheckRef::Check("loyalty-stopped".into()),
        from: Some("pause-loyalty".into()),
        until: Some("resume-loyalty".into()),
    };
    assert_eq!(runbook.guards, [guard]);
    assert_eq!(step("refund-doubles").each.as_ref().unwrap().set.to_string(), "verdict[charged-twice]");
    assert_eq!(step("tolerant-loyalty").redeclares["loyalty"]["order-events"].requires, ["order_id"]);
    assert_eq!(runbook.checks["loyalty-lag"].hold, Some(Duration::from_secs(30)));
    assert_eq!(runbook.checks["loyalty-lag"].expect.as_ref().unwrap().to_string(), "<= 50");
    assert_eq!(runbook.checks["both-shapes-read"].expect, Some(Expect::Readable));
    let Action::Publish(publish) = &step("tell-downstream").action else { panic!() };
    assert_eq!(publish.from, SetRef::ChangedBy { steps: vec!["confirm-captured".into()] });
    assert_eq!(publish.value["status"], json!("{{ item.status }}"));
}

#[test]
fn the_runbook_that_is_shipped_has_nothing_to_look_at() {
    let loaded = load(Path::new("runbooks/checkout-v2/runbook.yaml")).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn what_the_example_leaves_out_resolves_too() {
    let runbook = everything();
    let CheckKind::Schema(facts) = &runbook.checks["shape"].kind else { panic!() };
    assert_eq!(facts.len(), 8);
    assert_eq!(facts[1].to_string(), "column orders.ref is not there");
    assert_eq!(runbook.checks["refused"].expect, Some(Expect::Error("23505".into())));
    assert_eq!(runbook.steps["one"].after, [After { step: "mark".into(), hard: true }]);
    assert_eq!(runbook.steps["columns"].when, [("which".into(), "back".into())]);
    assert_eq!(runbook.guards.len(), 3);
    let Action::Change(change) = &runbook.steps["mark"].action else { panic!() };
    assert_eq!(change.rows, Some(Expect::SameAs("stuck".into())));
    let Action::Manual(manual) = &runbook.steps["ask"].action else { panic!() };
    assert_eq!(manual.ask["at"], VarKind::Timestamp);
}

#[test]
fn levels_follow_the_action_and_rise_by_its_author() {
    let (example, more) = (example(), everything());
    let level = |runbook: &Runbook, id: &str| level::of(runbook, &runbook.steps[id]);
    assert_eq!(level(&example, "evidence"), Level::None);
    assert_eq!(level(&example, "decide-orders"), Level::None);
    assert_eq!(level(&example, "rename-back"), Level::Object);
    assert_eq!(level(&example, "confirm-captured"), Level::Number);
    assert_eq!(level(&example, "pause-loyalty"), Level::Step);
    assert_eq!(level(&example, "resume-loyalty"), Level::Step);
    assert_eq!(level(&example, "refund-doubles"), Level::Irreversible, "a command without undo");
    assert_eq!(level(&more, "which"), Level::Choice);
    assert_eq!(level(&more, "ask"), Level::Seen);
    assert_eq!(level(&more, "columns"), Level::Irreversible, "raised");
    assert_eq!(level::token_form(&example, &example.steps["rename-back"]), "orders@shop");
}

#[test]
fn a_moved_target_is_judged_by_its_new_dialect() {
    let file = Path::new("tests/corpus/runbook/101-checkout-v2.yaml");
    let moved = |kind| Moved { target: "shop".into(), kind, address: "shop.db".into() };
    let loaded = load_moved(file, &[moved(TargetKind::Sqlite)]).unwrap();
    assert_eq!(loaded.runbook.targets["shop"].kind, TargetKind::Sqlite);
    assert_eq!(loaded.runbook.targets["shop"].address, "shop.db");
    let file = Path::new("tests/corpus/runbook/075-no-form.yaml");
    assert!(load_moved(file, &[]).is_err());
    assert!(load_moved(file, &[moved(TargetKind::Sqlite)]).is_ok());
}

#[test]
fn places_in_sql_are_exact() {
    let text = "backout: 1\nname: x\ntargets:\n  shop: { postgres: \"${A}\" }\nvars: { a: { type: text } }\nchecks:\n  c:\n    on: shop\n    expect: 0\n    query: |\n      SELECT count(*)\n        FROM orders\n        WHERE a = '{{ a }}'\nsteps:\n  - { id: s, manual: Look }\n";
    let diagnostics = load_str("x.yaml", text, Path::new(".")).unwrap_err();
    let places: Vec<_> = diagnostics.iter().map(|d| diagnostics.place(d).unwrap()).collect();
    assert_eq!(places, [(13, 20)]);
    assert_eq!(diagnostics.to_json()[0]["line"], json!(13));
}

#[test]
fn the_committed_schema_is_current() {
    let path = "runbooks/runbook.schema.json";
    let now = schema::text();
    if std::env::var_os("BACKOUT_BLESS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == now, "run `backout schema > {path}`");
}

#[test]
fn every_field_of_the_schema_is_described_and_every_reference_leads_somewhere() {
    fn walk(value: &Value, defs: &Value) {
        if let Some(name) = value["$ref"].as_str() {
            assert!(defs.get(name.trim_start_matches("#/$defs/")).is_some(), "{name}");
        }
        if let Some(fields) = value["properties"].as_object() {
            for (name, field) in fields {
                let said = field["description"].is_string() || field["$ref"].is_string();
                assert!(said, "{name} has no description: {field}");
            }
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|v| walk(v, defs)),
            Value::Array(items) => items.iter().for_each(|v| walk(v, defs)),
            _ => {}
        }
    }
    let schema = schema::schema();
    walk(&schema, &schema["$defs"]);
    assert_eq!(schema["$defs"]["step"]["oneOf"].as_array().unwrap().len(), 17);
}

#[test]
fn the_plan_says_what_would_happen() {
    let plan = backout::cli::plan::markdown(&example());
    for line in [
        "# Checkout v2 is gone, its state is not",
        "## contain",
        "### rename-back: Give the old code its column name back",
        "- gate: object; typed: orders@shop",
        "- needs: `checkout-v2 gone` (hard)",
        "- undo: ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id",
        "- `loyalty-stopped` from when `pause-loyalty` is done until `resume-loyalty` begins",
        "- **Jump loyalty to the end of the topic**: The skipped orders would never earn their points, and nobody could tell which.",
    ] {
        assert!(plan.lines().any(|l| l == line), "{line}\n{plan}");
    }
    assert!(!plan.contains("SHOP_DATABASE_URL"));
}

/// Before anything runs: every kind of step says how it is undone, or why it cannot be.
#[test]
fn what_cannot_be_undone_says_so_in_the_plan() {
    let text = r#"
backout: 1
name: ways
title: Ways back
summary: s
targets:
  shop: { postgres: "${SHOP}" }
  bus: { kafka: "${BUS}" }
  api: { http: "http://x/" }
sets:
  all: { on: shop, key: id, query: "SELECT id FROM orders" }
steps:
  - { id: keep, phase: contain, freeze: [all] }
  - { id: rename, phase: repair, on: shop, title: t, ddl: "ALTER TABLE orders RENAME COLUMN a TO b" }
  - { id: strict, on: shop, title: t, ddl: "ALTER TABLE orders ALTER COLUMN a DROP NOT NULL" }
  - { id: drop, on: shop, title: t, ddl: "DROP TABLE old" }
  - { id: back, on: shop, title: t, ddl: "DROP TABLE older", undo: { ddl: "CREATE TABLE older (id int)" } }
  - { id: rows, on: shop, title: t, change: { sql: "UPDATE orders SET a = 'x' WHERE id = 1" } }
  - { id: tell, on: bus, title: t, publish: { topic: t, from: changed by rows, key: id, value: { id: "{{ item.id }}" } } }
  - { id: run, title: t, command: [go] }
  - { id: ask, on: api, title: t, http: { method: GET, url: "/" } }
  - { id: post, on: api, title: t, http: { method: POST, url: "/" } }
  - { id: hand, title: t, manual: { by: team, ask: { seen: text } } }
  - { id: cut, on: shop, title: t, session: { end: "v2*" } }
  - { id: rename-back, title: t, undo_of: rename }
"#;
    let loaded = load_str("ways.yaml", text, Path::new(".")).unwrap_or_else(|why| panic!("{why}"));
    let plan = backout::cli::plan::markdown(&loaded.runbook);
    for (step, undo) in [
        ("keep", "nothing to undo"),
        ("rename", "ALTER TABLE orders RENAME COLUMN b TO a, at `rename-back`"),
        (
            "strict",
            "ALTER TABLE orders ALTER COLUMN a SET NOT NULL; rows where orders.a is NULL by then must be filled first",
        ),
        ("drop", "CANNOT BE UNDONE: it needs a copy of the table: definition and every row of old"),
        ("back", "ddl CREATE TABLE older (id int)"),
        ("rows", "from the before-image of each row"),
        ("tell", "CANNOT BE UNDONE: an event that somebody has read cannot be unread"),
        ("run", "CANNOT BE UNDONE: the runbook declares no undo"),
        ("ask", "nothing to undo"),
        ("post", "CANNOT BE UNDONE: the runbook declares no undo"),
        ("hand", "CANNOT BE UNDONE: the runbook declares no undo"),
        ("cut", "CANNOT BE UNDONE: an ended session does not come back; its client may connect again"),
        ("rename-back", "do `rename` again"),
    ] {
        let part = plan.split(&format!("### {step}: ")).nth(1).unwrap_or_else(|| panic!("no {step} in\n{plan}"));
        let line = part.lines().find_map(|line| line.strip_prefix("- undo: "));
        assert_eq!(line, Some(undo), "{step}");
    }
}

/// The gate may raise what the runbook alone tells, and what a statement's kind alone tells is the least.
#[test]
fn a_level_is_raised_by_what_is_lost_and_not_by_what_cannot_be_derived() {
    let text = r#"
backout: 1
name: levels
title: Levels
summary: s
targets:
  shop: { postgres: "${SHOP}" }
steps:
  - { id: rename, phase: repair, on: shop, title: t, ddl: "ALTER TABLE orders RENAME COLUMN a TO b" }
  - { id: maybe, on: shop, title: t, ddl: "CREATE INDEX IF NOT EXISTS i ON orders (a)" }
  - { id: drop, on: shop, title: t, ddl: "DROP TABLE old" }
  - { id: loss, on: shop, title: t, ddl: "DROP TABLE old", undo: { ddl: "CREATE TABLE old (id int)" } }
"#;
    let runbook = load_str("levels.yaml", text, Path::new(".")).unwrap_or_else(|why| panic!("{why}")).runbook;
    for (step, by_kind, of) in [
        ("rename", Level::Object, Level::Object),
        ("maybe", Level::Object, Level::Object),
        ("drop", Level::Object, Level::Irreversible),
        ("loss", Level::Object, Level::Irreversible),
    ] {
        let step = &runbook.steps[step];
        assert_eq!((level::by_kind(&runbook, step), level::of(&runbook, step)), (by_kind, of), "{}", step.id);
    }
}
