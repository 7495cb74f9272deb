//! Steps and what they do.

use serde_json::{Value, json};

use super::checks::layer;
use super::{conduct, described, flag, list, named, object, object_of, one_of, reference, text_field, word};
use crate::runbook::step::WORDS;

pub fn defs() -> Vec<(&'static str, Value)> {
    vec![("step", step()), ("ddl", ddl()), ("change", change()), ("manual", manual())]
}

fn step() -> Value {
    let refs = |description: &str| list(description, reference("check-ref"));
    let after = object(
        "A step that must be finished.",
        &["step"],
        vec![("step", named("The step.")), ("hard", flag("No jump over it, only break-glass."))],
    );
    let leaves = object_of(
        "leaves",
        "Something temporary.",
        &["what"],
        vec![
            ("what", text_field("What stays behind.")),
            ("owner", text_field("Who removes it.")),
            ("remove_by", json!({ "type": "string", "format": "date", "description": "Until when." })),
            ("remove", named("The step that removes it.")),
        ],
    );
    let publish = object_of(
        "publish",
        "One event for each row.",
        &["topic", "from", "key", "value"],
        vec![
            ("topic", text_field("Where to.")),
            ("from", set_ref("The rows.")),
            ("key", text_field("The column whose value is the record's key.")),
            ("value", json!({ "description": "The event: `{{ item.FIELD }}` stands for a column of the row." })),
            (
                "headers",
                json!({ "type": "object", "additionalProperties": reference("template"), "description": "Headers by name." }),
            ),
            (
                "schema_id",
                json!({ "type": "integer", "minimum": 1, "description": "The schema that it is encoded with." }),
            ),
            (
                "partition",
                json!({ "description": "Where in the topic: a number, or where the key was found.", "anyOf": [{ "const": "as_found" }, { "type": "integer", "minimum": 0 }] }),
            ),
        ],
    );
    let decide = object(
        "A choice, with a reason.",
        &["ask", "options"],
        vec![
            ("ask", text_field("The question.")),
            (
                "options",
                json!({ "type": "array", "minItems": 2, "uniqueItems": true, "items": { "type": "string" }, "description": "The words to choose from." }),
            ),
            ("within", described("duration", "In what time it is wanted.")),
        ],
    );
    let undo = object_of(
        "undo",
        "How the step is taken back, in exactly one way.",
        &[],
        vec![
            ("ddl", reference("ddl")),
            ("change", reference("change")),
            ("command", reference("argv")),
            ("http", reference("http")),
            ("manual", reference("manual")),
            ("valid_while", list("It counts only while these are green.", reference("check-ref"))),
        ],
    );
    let redeclares = object(
        "What it reads from now on.",
        &["reads"],
        vec![("reads", reads("Replaces what stands under `services`."))],
    );
    let mut fields = vec![
        ("id", named("The step's name.")),
        ("phase", word("Default: that of the step before.", &["contain", "repair", "release", "close"])),
        ("layer", layer()),
        ("on", conduct::on()),
        ("title", text_field("One line. Default: the action.")),
        ("why", text_field("Why it is done, for somebody who was woken up.")),
        (
            "freeze",
            list(
                "Readings, sets, `offsets of TARGET`, `catalog of TARGET`: into the log.",
                json!({ "type": "string" }),
            ),
        ),
        ("ddl", described("ddl", "One statement, or a list in one transaction.")),
        ("change", described("change", "An INSERT, UPDATE or DELETE, over a frozen set or by itself.")),
        ("reconcile", named("A compared set: every row is put into a class.")),
        ("restore", described("restore", "Writes rows back from where they were kept.")),
        ("offsets", described("offsets", "Moves a consumer group.")),
        ("publish", publish),
        ("replay", described("replay", "Publishes a window of records again.")),
        ("tombstones", described("tombstones", "One record without a value for each row.")),
        ("topic", described("topic-config", "Settings of a topic.")),
        ("registry", described("registry-act", "An act on a subject of the registry.")),
        (
            "session",
            object("Ends database sessions.", &["end"], vec![("end", text_field("A glob on the application name."))]),
        ),
        ("command", described("argv", "A program with its arguments.")),
        ("http", described("http", "A request.")),
        ("manual", described("manual", "Something that a person does.")),
        ("decide", decide),
        ("undo_of", named("The step that is undone here.")),
        ("each", set_ref("`command`, `http`, `manual`: once for each row.")),
        ("pause", described("duration", "Between two rows.")),
        ("needs", list("What must hold before it.", reference("check-ref"))),
        ("verify", refs("What must hold after it; of a contain step, until its release.")),
        ("undo", one_of(undo, &["ddl", "change", "command", "http", "manual"])),
        (
            "after",
            list(
                "Steps that must be finished. Default: the one before in its phase; `[]` waits for nothing.",
                json!({ "anyOf": [{ "type": "string" }, after] }),
            ),
        ),
        (
            "when",
            json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": "Decisions and the option each must have taken." }),
        ),
        (
            "level",
            word(
                "Raises what the gate asks for; it cannot lower it.",
                &["none", "choice", "seen", "number", "object", "step", "irreversible"],
            ),
        ),
        (
            "within",
            described(
                "duration",
                "The limit of a statement, a program or a request; of what a person does, in what time it is wanted.",
            ),
        ),
        ("leaves", list("What is temporary, and whose it is.", leaves)),
        (
            "redeclares",
            json!({ "type": "object", "additionalProperties": redeclares, "description": "What services need from its done until it is undone." }),
        ),
        ("done_when", refs("How it is told that it was done. Default: derived from the action.")),
    ];
    fields.extend(conduct::fields());
    one_of(object_of("step", "One action, what must hold around it, and how it is undone.", &["id"], fields), &WORDS)
}

pub fn set_ref(description: &str) -> Value {
    json!({
        "type": "string",
        "description": format!("{description} A set, `set[class]`, or `changed by STEP, STEP`."),
    })
}

/// `{ topic: { requires: [field] } }`
pub fn reads(description: &str) -> Value {
    let topic = object(
        "What it needs of the events.",
        &[],
        vec![("requires", list("Fields without which it fails.", json!({ "type": "string" })))],
    );
    json!({ "type": "object", "additionalProperties": topic, "description": description })
}

fn ddl() -> Value {
    let statements = json!({ "description": "One statement, or a list.", "anyOf": [reference("sql"), list("One statement each, in order.", reference("sql"))] });
    let each = object(
        "Statements for each dialect.",
        &[],
        vec![("postgres", statements.clone()), ("mysql", statements.clone()), ("sqlite", statements.clone())],
    );
    json!({ "description": "Statements that change the schema. `{{ ident x }}` is a checked and quoted identifier.", "anyOf": [statements, each] })
}

fn change() -> Value {
    let until = object_of(
        "rows",
        "In batches, until a check is green.",
        &["until", "at_most"],
        vec![
            ("until", described("check-ref", "The check.")),
            ("at_most", described("expect", "The most rows that may change.")),
        ],
    );
    let saved = object(
        "Rows are saved before they change, unless it is off.",
        &["off"],
        vec![("off", text_field("Why they are not saved."))],
    );
    let over = object_of(
        "change",
        "A statement over frozen rows.",
        &["sql"],
        vec![
            ("set", set_ref("The rows.")),
            ("sql", described("sql-forms", "`{{ set }}` is the table of the frozen rows.")),
            (
                "rows",
                json!({ "description": "The author's bound. Default: the previewed number.", "anyOf": [reference("expect"), until] }),
            ),
            ("batch", conduct::batch("Rows at a time.")),
            ("before_image", saved),
        ],
    );
    json!({ "anyOf": [reference("sql-forms"), over] })
}

fn manual() -> Value {
    let kinds = ["text", "integer", "number", "boolean", "timestamp"];
    let map = object(
        "Something that a person does.",
        &[],
        vec![
            ("what", described("template", "What is to be done. Default: the step's title.")),
            ("by", text_field("Who does it.")),
            (
                "ask",
                json!({ "type": "object", "additionalProperties": { "enum": kinds }, "description": "What to answer, by field." }),
            ),
            ("within", described("duration", "In what time it is wanted.")),
        ],
    );
    json!({ "anyOf": [{ "type": "string", "description": "What is to be done." }, map] })
}
