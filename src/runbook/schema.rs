//! The JSON Schema of the runbook format, for editors: completion, hovers, errors while typing.
//!
//! Owns the description of the whole format; what this release does not run is marked from the table of it. Never
//! decides anything: `resolve` is the reader, and says more than a schema can.

use serde_json::{Map, Value, json};

use super::later;

mod checks;
mod conduct;
mod events;
mod sets;
mod steps;

/// The schema as it is committed: pretty, with a line end at its end.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

pub fn schema() -> Value {
    let mut root = object_of(
        "runbook",
        "How one incident is brought back: what is there, what must hold, what is done.",
        &["backout", "name", "steps"],
        vec![
            ("backout", json!({ "const": 1, "description": "The version of this format." })),
            ("name", named("The runbook's name: letters, digits, `-` and `_`. One run is open per name and target.")),
            ("title", text_field("One line for the first screen.")),
            ("summary", text_field("What is wrong, in the words of those who see it.")),
            ("migration", migration()),
            ("targets", map("Databases, clusters, services and files that the run reads or changes.", "target")),
            ("services", map("Who else runs, and what each needs.", "service")),
            ("vars", map("Values that are asked for when a step first needs them.", "var")),
            ("readings", map("Checks without an expectation: values to keep.", "check")),
            ("sets", map("Named rows, by key.", "set")),
            ("checks", map("Read-only questions with an expected answer.", "check")),
            ("guards", list("Checks that must stay green from one step to another.", reference("guard"))),
            ("never", list("Actions that make it worse.", reference("never"))),
            (
                "steps",
                json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" }, "description": "What is done, in order." }),
            ),
            ("deadlines", conduct::deadlines()),
            ("fragments", conduct::fragments()),
            ("trust", conduct::trust()),
        ],
    );
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("backout runbook");
    let mut defs = Map::new();
    for (name, def) in [target(), service(), var(), never(), guard(), sql(), per_dialect(), template(), duration()] {
        defs.insert(name.to_owned(), def);
    }
    let parts = [checks::defs(), sets::defs(), steps::defs(), events::defs(), conduct::defs()];
    for (name, def) in parts.into_iter().flatten() {
        defs.insert(name.to_owned(), def);
    }
    root["$defs"] = Value::Object(defs);
    root
}

fn object(description: &str, required: &[&str], fields: Vec<(&str, Value)>) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    json!({
        "type": "object",
        "description": description,
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

/// The same for a map that the table of what does not run yet may name.
fn object_of(part: &str, description: &str, required: &[&str], fields: Vec<(&str, Value)>) -> Value {
    let told = |(key, mut field): (_, Value)| {
        if later::is_later(part, key) {
            let text = field["description"].as_str().unwrap_or_default();
            field["description"] = json!(format!("{text} Not supported yet.").trim_start());
        }
        (key, field)
    };
    object(description, required, fields.into_iter().map(told).collect())
}

/// Exactly one of the keys.
fn one_of(mut schema: Value, keys: &[&str]) -> Value {
    schema["oneOf"] = keys.iter().map(|key| json!({ "required": [key] })).collect();
    schema
}

fn text_field(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn named(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,47}$", "description": description })
}

fn word(description: &str, words: &[&str]) -> Value {
    json!({ "enum": words, "description": description })
}

fn list(description: &str, items: Value) -> Value {
    json!({ "type": "array", "items": items, "description": description })
}

fn map(description: &str, def: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,47}$" },
        "additionalProperties": { "$ref": format!("#/$defs/{def}") },
    })
}

fn reference(def: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{def}") })
}

fn described(def: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{def}"), "description": description })
}

fn migration() -> Value {
    let files = json!({ "type": "array", "items": { "type": "string" } });
    let forms = json!({ "anyOf": [files, object("A list for each dialect.", &[], vec![
        ("postgres", list("Files for PostgreSQL.", json!({ "type": "string" }))),
        ("mysql", list("Files for MySQL and MariaDB.", json!({ "type": "string" }))),
        ("sqlite", list("Files for SQLite.", json!({ "type": "string" }))),
    ])] });
    let side = |description: &str| {
        let mut side = forms.clone();
        side["description"] = json!(description);
        side
    };
    object(
        "The release's own statements, beside the runbook: survey tells which of them are in.",
        &[],
        vec![
            ("up", side("Files that bring the release in.")),
            ("down", side("Files that take it out.")),
            (
                "recorded",
                object(
                    "The row that the migration's own tool writes: survey lays it beside what the catalog shows.",
                    &["in", "as"],
                    vec![
                        ("in", text_field("`table.column` of the tool's table.")),
                        ("as", text_field("What stands there.")),
                    ],
                ),
            ),
        ],
    )
}

fn target() -> (&'static str, Value) {
    let address = |what: &str| {
        text_field(&format!(
            "{what} `${{NAME}}` is read from the environment when it is opened; no password stands here."
        ))
    };
    let kinds = ["postgres", "mysql", "sqlite", "kafka", "registry", "http", "records"];
    let target = object_of(
        "target",
        "One thing outside, of exactly one kind.",
        &[],
        vec![
            ("postgres", address("A PostgreSQL database.")),
            ("mysql", address("A MySQL or MariaDB database.")),
            ("sqlite", address("An SQLite file.")),
            ("kafka", address("Kafka bootstrap servers.")),
            ("registry", address("A schema registry.")),
            ("http", address("An HTTP service.")),
            ("records", address("A file of outside records, CSV or JSON Lines.")),
            ("key", text_field("`records` only: the field that names a record. With it, the target is a set.")),
            ("members", described("members", "A fleet of one shape.")),
        ],
    );
    ("target", one_of(target, &kinds))
}

fn service() -> (&'static str, Value) {
    let names = |description: &str| json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }], "description": description });
    let version = object(
        "How its version is read.",
        &["command"],
        vec![
            ("command", described("argv", "Prints the version.")),
            ("expect", described("expect", "What it must be.")),
        ],
    );
    let fields = vec![
        ("runs", text_field("The version that runs.")),
        ("gone", flag("It must not run: proved by 0 sessions and no group member.")),
        ("sessions", names("Globs on the application name of its database sessions; `target:` before one limits it.")),
        ("uses", names("`table.column`s that it reads or writes; `target:` before one limits it.")),
        ("group", text_field("Its consumer group.")),
        ("owner", text_field("Who answers for it.")),
        ("reads", steps::reads("What it needs of each topic's events.")),
        ("stays", flag("It stays on its version by design.")),
        ("version", version),
    ];
    ("service", object_of("service", "Another program, and what it needs.", &[], fields))
}

fn var() -> (&'static str, Value) {
    let kinds = ["text", "integer", "number", "boolean", "timestamp"];
    let fields = vec![
        ("type", word("The type of the value, and of its bind parameter. A timestamp has an offset.", &kinds)),
        ("ask", text_field("The question, when a step first needs it.")),
        (
            "default",
            json!({ "type": ["string", "number", "boolean"], "description": "Proposed, or taken without a terminal." }),
        ),
    ];
    ("var", object("A value that the operator gives.", &["type"], fields))
}

fn never() -> (&'static str, Value) {
    let kinds =
        ["offsets", "ddl", "change", "publish", "command", "restore", "replay", "tombstones", "topic", "registry"];
    let matched = object_of(
        "match",
        "By parsed class and object, not by text: exactly one of these.",
        &[],
        vec![
            ("offsets", text_field("A reset of this consumer group.")),
            ("to", word("With `offsets`: to where.", &["earliest", "latest", "frozen", "at", "over"])),
            ("ddl", text_field("A statement by its words, as in `drop table`.")),
            ("object", text_field("With `ddl`: the `table`, or `table.column`.")),
            ("change", text_field("Any change of rows of this table.")),
            ("publish", text_field("Anything published to this topic.")),
            ("command", list("A command that begins with these words.", json!({ "type": "string" }))),
            ("restore", text_field("A restore of this table.")),
            ("replay", text_field("A replay of this topic, or into it.")),
            ("tombstones", text_field("Tombstones in this topic.")),
            ("topic", text_field("Settings of this topic.")),
            ("registry", word("An act on the registry.", &["level", "mode", "delete"])),
            ("subject", text_field("With `registry`: of this subject only.")),
        ],
    );
    let fields = vec![
        ("what", text_field("The action that makes it worse.")),
        ("match", one_of(matched, &kinds)),
        ("because", text_field("One sentence that a tired person believes.")),
        ("until", list("It ends when all of them are green.", reference("check-ref"))),
        ("while", list("It holds only while all of them are green.", reference("check-ref"))),
    ];
    (
        "never",
        object_of(
            "never",
            "An action that makes it worse. Without `match` it is advice.",
            &["what", "because"],
            fields,
        ),
    )
}

fn guard() -> (&'static str, Value) {
    let fields = vec![
        ("check", described("check-ref", "What must stay green.")),
        ("from", named("The step after which it binds; left out: from the start.")),
        ("until", named("The step whose intent releases it; left out: never.")),
    ];
    (
        "guard",
        json!({ "anyOf": [{ "type": "string", "description": "A check that must be green all the time." }, object("A guard with a beginning and an end.", &["check"], fields)] }),
    )
}

fn sql() -> (&'static str, Value) {
    (
        "sql",
        text_field(
            "One statement, as a literal block (`|`) or quoted. `{{ x }}` is a bind parameter; it never stands in quotes.",
        ),
    )
}

fn per_dialect() -> (&'static str, Value) {
    let one = |dialect: &str| described("sql", &format!("The form for {dialect}."));
    let each = object(
        "A form for each dialect.",
        &[],
        vec![("postgres", one("PostgreSQL")), ("mysql", one("MySQL and MariaDB")), ("sqlite", one("SQLite"))],
    );
    ("sql-forms", json!({ "anyOf": [reference("sql"), each] }))
}

fn template() -> (&'static str, Value) {
    ("template", text_field("Text; `{{ x }}` stands for the value of x, and alone keeps its type."))
}

fn duration() -> (&'static str, Value) {
    (
        "duration",
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "description": "As in `200ms`, `30s`, `2m`, `1h`, `7d`." }),
    )
}
