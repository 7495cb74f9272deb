//! Fields of documents, and what services can read of them.

use std::collections::{BTreeMap, BTreeSet};

use backout::runbook::Reads;
use backout::runbook::expect::Verdict;
use backout::shapes::{FieldKind, Fields, Shape, ShapeTable, readable};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;

fn fields(document: &str) -> Vec<(String, FieldKind)> {
    let mut fields = Fields::default();
    let hashes = fields.read(document.as_bytes()).unwrap().to_vec();
    fields.names(&hashes)
}

/// The same by a tree: what the streaming reader is held against.
fn by_tree(path: &str, value: &Value, found: &mut BTreeSet<(String, FieldKind)>) {
    let kind = match value {
        Value::Null => FieldKind::Null,
        Value::Bool(_) => FieldKind::Boolean,
        Value::Number(_) => FieldKind::Number,
        Value::String(_) => FieldKind::String,
        Value::Array(items) => {
            items.iter().for_each(|item| by_tree(&format!("{path}[]"), item, found));
            FieldKind::Array
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                by_tree(&inner, value, found);
            }
            FieldKind::Object
        }
    };
    if !path.is_empty() || kind != FieldKind::Object || value.as_object().is_some_and(serde_json::Map::is_empty) {
        found.insert((path.to_owned(), kind));
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[a-z\"\\\\\u{e9}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e\"\u{e9}]{1,2}", inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn the_stream_finds_what_a_tree_finds(document in documents()) {
        let mut expected = BTreeSet::new();
        by_tree("", &document, &mut expected);
        prop_assert_eq!(fields(&document.to_string()), expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn presence_null_and_type_make_a_shape() {
    let name = |kind| vec![("order_id".to_owned(), FieldKind::Number), ("ref".to_owned(), kind)];
    assert_eq!(fields(r#"{"ref":"a","order_id":1}"#), name(FieldKind::String));
    assert_eq!(fields(r#"{"order_id":1e400,"ref":null}"#), name(FieldKind::Null));
    assert_eq!(fields(r#"{"order_id":-0.5}"#).len(), 1);
    assert_eq!(
        fields(r#"{"items":[{"sku":"a"},{"sku":1},{}]}"#),
        [
            ("items".to_owned(), FieldKind::Array),
            ("items[]".to_owned(), FieldKind::Object),
            ("items[].sku".to_owned(), FieldKind::Number),
            ("items[].sku".to_owned(), FieldKind::String),
        ]
    );
}

#[test]
fn what_is_no_document_is_an_error() {
    let deep = "[".repeat(5000);
    for text in ["", "{", "{\"a\":1}x", "nul", "{\"a\":01}", "\u{1}", deep.as_str()] {
        assert!(Fields::default().read(text.as_bytes()).is_err(), "{text:.20}");
    }
    assert!(Fields::default().read(b"{\"a\":\"\xff\"}").is_err());
}

fn shape(count: u64, fields: &[(&str, FieldKind)]) -> Shape {
    Shape {
        fields: fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        count,
        seen: BTreeMap::new(),
        producers: BTreeMap::new(),
    }
}

fn services(requires: &[(&str, &[&str])]) -> BTreeMap<String, Reads> {
    (requires.iter())
        .map(|(service, requires)| {
            ((*service).to_owned(), Reads { requires: requires.iter().map(|r| (*r).to_owned()).collect() })
        })
        .collect()
}

fn both_shapes() -> ShapeTable {
    ShapeTable {
        topic: "order-events".to_owned(),
        shapes: vec![
            shape(340, &[("order_id", FieldKind::Number), ("payment_reference_id", FieldKind::String)]),
            shape(20, &[("order_id", FieldKind::Number)]),
            shape(2, &[("order_id", FieldKind::Number), ("payment_reference_id", FieldKind::Null)]),
        ],
        records: 362,
        ..ShapeTable::default()
    }
}

#[test]
fn a_service_breaks_on_the_shapes_without_its_field() {
    let strict = services(&[("fulfillment", &["order_id"]), ("loyalty", &["order_id", "payment_reference_id"])]);
    let judged = readable(&both_shapes(), &strict);
    assert_eq!((judged.verdict, judged.unreadable), (Verdict::Fail, 22));
    let breaks: Vec<_> = judged.breaks.iter().map(|b| (b.service.as_str(), b.shape, b.records)).collect();
    assert_eq!(breaks, [("loyalty", 1, 20), ("loyalty", 2, 2)]);
    assert_eq!(judged.breaks[0].missing, ["payment_reference_id"]);

    let tolerant = services(&[("fulfillment", &["order_id"]), ("loyalty", &["order_id"])]);
    let judged = readable(&both_shapes(), &tolerant);
    assert_eq!((judged.verdict, judged.unreadable), (Verdict::Pass, 0));
}

#[test]
fn part_of_a_window_proves_a_break_and_nothing_else() {
    let partial = ShapeTable { partial: Some("stopped after 5 s".to_owned()), ..both_shapes() };
    assert!(readable(&partial, &services(&[("loyalty", &["order_id"])])).verdict.is_unknown());
    assert!(readable(&partial, &services(&[("loyalty", &["payment_reference_id"])])).verdict.is_fail());
    let strange = ShapeTable { undecodable: 1, ..both_shapes() };
    assert!(readable(&strange, &services(&[("loyalty", &["order_id"])])).verdict.is_unknown());
    assert!(readable(&both_shapes(), &BTreeMap::new()).verdict.is_unknown());
}

#[test]
fn fields_that_only_some_shapes_have_differ() {
    assert_eq!(both_shapes().differing(), ["payment_reference_id"]);
}
