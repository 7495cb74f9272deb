//! The event layer's own actions, what writes rows back, and what is asked of a registry.

use serde_json::{Value, json};

use super::steps::set_ref;
use super::{described, flag, list, object, one_of, text_field, word};

pub fn defs() -> Vec<(&'static str, Value)> {
    vec![
        ("restore", restore()),
        ("offsets", offsets()),
        ("replay", replay()),
        ("tombstones", tombstones()),
        ("topic-config", topic()),
        ("registry-act", registry()),
        ("registry-check", registry_check()),
    ]
}

fn restore() -> Value {
    let into = object(
        "The table that is written.",
        &["table", "key"],
        vec![
            ("table", text_field("The table.")),
            ("key", text_field("The column that names a row.")),
            ("columns", list("Columns that are written. Default: all of the source.", json!({ "type": "string" }))),
        ],
    );
    let mut sources = list("In order: the first that has the key wins.", set_ref("Kept rows."));
    sources["minItems"] = json!(1);
    let fields = vec![
        ("into", into),
        ("sources", sources),
        ("exclude", set_ref("Rows that are never written.")),
        ("insert", flag("Whether rows that are gone are written anew. Default: no.")),
        ("never_over", word("Rows that stay as they are: changed since the source was kept.", &["newer"])),
    ];
    object("Writes rows back from where they were kept.", &["into", "sources"], fields)
}

fn offsets() -> Value {
    let at = object(
        "The first record at or after a moment.",
        &["at"],
        vec![("at", described("template", "The moment, with an offset."))],
    );
    let to = json!({
        "description": "Where to: the beginning, the end, where it was frozen, or a moment.",
        "anyOf": [{ "enum": ["earliest", "latest", "frozen"] }, at],
    });
    let fields = vec![
        ("group", text_field("The consumer group; it has no member while it is moved.")),
        ("topic", text_field("The topic.")),
        ("to", to),
        ("over", set_ref("Past these records; with `park`.")),
        ("park", text_field("With `over`: the topic that keeps them.")),
    ];
    one_of(object("Moves a consumer group.", &["group", "topic"], fields), &["to", "over"])
}

fn replay() -> Value {
    let fields = vec![
        ("topic", text_field("Where the records are.")),
        ("to", text_field("Where to.")),
        ("since", described("template", "The beginning of the window.")),
        ("until", described("template", "The end of the window. Default: the end when the step begins.")),
        ("only", set_ref("These records alone.")),
        ("except", set_ref("All but these.")),
        (
            "value",
            json!({ "description": "The new value; `{{ item.FIELD }}` stands for a field of the record. Default: as found." }),
        ),
    ];
    object("Publishes a window of records again.", &["topic", "to", "since"], fields)
}

fn tombstones() -> Value {
    let fields = vec![
        ("topic", text_field("A compacted topic.")),
        ("from", set_ref("The rows.")),
        ("key", text_field("The column whose value is the record's key.")),
    ];
    object("One record without a value for each row.", &["topic", "from", "key"], fields)
}

fn topic() -> Value {
    let config = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": { "type": ["string", "number", "boolean"] },
        "description": "Settings by name, as in `retention.ms`; the others stay as they are.",
    });
    object("Settings of a topic.", &["name", "config"], vec![("name", text_field("The topic.")), ("config", config)])
}

fn level() -> Value {
    let levels =
        ["none", "backward", "backward_transitive", "forward", "forward_transitive", "full", "full_transitive"];
    word("The compatibility level.", &levels)
}

fn mode() -> Value {
    word("The mode.", &["readwrite", "readonly", "import"])
}

fn version(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "description": description })
}

fn registry() -> Value {
    let fields = vec![
        ("subject", text_field("The subject.")),
        ("level", level()),
        ("mode", mode()),
        ("delete", version("The version that is deleted, by its number; never for ever.")),
    ];
    one_of(object("An act on a subject of the registry.", &["subject"], fields), &["level", "mode", "delete"])
}

fn registry_check() -> Value {
    let fields = vec![
        ("subject", text_field("The subject.")),
        ("level", level()),
        ("mode", mode()),
        ("reader", version("With `writer`: the version that the reading code has.")),
        ("writer", version("With `reader`: the version that the records were written with.")),
    ];
    one_of(object("What a subject of the registry must be.", &["subject"], fields), &["level", "mode", "reader"])
}
