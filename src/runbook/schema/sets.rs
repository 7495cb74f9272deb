//! Sets.

use serde_json::{Value, json};

use super::{described, flag, named, object, object_of, text_field, word};

pub fn defs() -> Vec<(&'static str, Value)> {
    vec![("set", set())]
}

fn set() -> Value {
    let compare = object(
        "Every row of `ours` in a class, by what `theirs` says of it.",
        &["ours", "theirs", "by"],
        vec![
            ("ours", named("The set whose rows are put into classes.")),
            ("theirs", named("The set that tells.")),
            (
                "by",
                json!({ "description": "Our column, and theirs that holds the same value.", "anyOf": [{ "type": "string" }, { "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": { "type": "string" } }] }),
            ),
        ],
    );
    let class = json!({
        "type": "object",
        "description": "Rules that must all hold: `column: equal`, `theirs.column: value`, `ours.column: value`.",
        "properties": { "found": word("How many of their records match.", &["none", "once", "many"]) },
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    let classes = json!({
        "type": "object",
        "description": "In order: the first class that fits wins.",
        "properties": { "else": text_field("Where the rest goes: `ask`, one row at a time, or a class.") },
        "additionalProperties": class,
    });
    let fields = vec![
        ("on", named("The target that is asked.")),
        ("key", text_field("The column that names a row.")),
        ("query", described("sql-forms", "A SELECT.")),
        ("records", named("A target with outside records.")),
        ("compare", compare),
        ("classes", classes),
        ("topic", text_field("The records of a topic's window.")),
        ("since", described("template", "`topic`: the beginning of the window.")),
        (
            "fields",
            json!({
                "type": "object",
                "additionalProperties": {
                    "type": "string",
                    "pattern": "^(key|offset|partition|timestamp|(value|key|header)\\..+)$",
                },
                "description": "`topic`: columns, and where each stands in a record.",
            }),
        ),
        ("latest_per_key", flag("`topic`: of the records with one key only the last counts.")),
        ("http", described("http", "A GET whose answer is a list, or JSON Lines.")),
        ("command", described("argv", "JSON Lines on its standard output.")),
        ("in", named("The rows of this set; with `not_in` or `more_than`.")),
        ("not_in", named("With `in`: but for those of this set.")),
        (
            "more_than",
            json!({ "type": "integer", "minimum": 1, "description": "With `in`: keys that stand in it more often than this." }),
        ),
        (
            "both",
            json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": { "type": "string" }, "description": "The rows of the first set that are in the second." }),
        ),
    ];
    object_of("set", "Named rows, from exactly one source, or made of other sets.", &[], fields)
}
