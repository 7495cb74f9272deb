//! How a step is carried out, and the sections about time and trust.

use serde_json::{Value, json};

use super::{described, flag, list, named, object, one_of, reference, text_field};

pub fn defs() -> Vec<(&'static str, Value)> {
    vec![("watch", watch()), ("members", members())]
}

/// The fields of a step.
pub fn fields() -> Vec<(&'static str, Value)> {
    let stages = object(
        "One value of `{{ stage }}` after the other.",
        &["steps"],
        vec![
            (
                "steps",
                json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": ["string", "number", "boolean"] }, "description": "The values." }),
            ),
            ("between", described("watch", "What must hold between two.")),
        ],
    );
    let lock = object(
        "How a lock is waited for.",
        &[],
        vec![
            ("timeout", described("duration", "How long one attempt waits.")),
            ("retry", json!({ "type": "integer", "minimum": 0, "maximum": 100, "description": "Further attempts." })),
        ],
    );
    vec![
        ("stages", stages),
        ("then_watch", described("watch", "What is looked at afterwards; a red one proposes the undo.")),
        ("batch", batch("`each`: rows at a time.")),
        ("stop_when", list("`each`: a red one stops between two rows.", reference("check-ref"))),
        ("may_stay_open", flag("`manual`: the run may end while it is open, with an owner and a date.")),
        (
            "reverses",
            json!({ "type": "string", "pattern": "^(up|down)#[1-9][0-9]*$", "description": "`ddl`: the statement of the migration that it takes back; not needed where that one never ran." }),
        ),
        ("lock", lock),
    ]
}

pub fn batch(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000, "description": description })
}

/// `on` of a step: a target, or a fleet member by member.
pub fn on() -> Value {
    let each = super::object_of(
        "on",
        "Member by member of a fleet.",
        &["each"],
        vec![
            ("each", named("A target with `members`.")),
            ("first", list("The members that come first, each alone.", json!({ "type": "string" }))),
            ("stop", json!({ "const": "first mismatch", "description": "When the rest is left alone." })),
        ],
    );
    json!({ "description": "The target that it acts on.", "anyOf": [{ "type": "string" }, each] })
}

pub fn deadlines() -> Value {
    let deadline = object(
        "A moment at which something begins by itself.",
        &["at", "what"],
        vec![
            ("at", text_field("As in `04:30Z`, or a time with its date and offset.")),
            ("what", text_field("What begins.")),
            ("off_when", described("check-ref", "It does not come while this is green.")),
        ],
    );
    list("Moments that something happens at.", deadline)
}

pub fn fragments() -> Value {
    json!({ "type": "object", "additionalProperties": reference("sql"), "description": "Pieces of SQL by name." })
}

pub fn trust() -> Value {
    let one = object(
        "A function whose body somebody has read.",
        &["function", "digest"],
        vec![
            ("function", text_field("Its name, as in `shop.total(int)`.")),
            (
                "digest",
                json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The SHA-256 of its body." }),
            ),
        ],
    );
    list("Functions that checks may call besides the harmless built-ins.", one)
}

fn watch() -> Value {
    let checks = list("The checks.", reference("check-ref"));
    let timed = object(
        "Checks, for a while.",
        &["checks"],
        vec![("checks", checks.clone()), ("for", described("duration", "For how long."))],
    );
    json!({ "description": "Checks, for a while.", "anyOf": [checks, timed] })
}

fn members() -> Value {
    let member = object(
        "A member with a database of its own.",
        &["name", "address"],
        vec![
            ("name", text_field("Its name.")),
            ("address", text_field("Its address; `${NAME}` is read from the environment.")),
        ],
    );
    let found = object(
        "Where the members are found.",
        &[],
        vec![
            ("each_schema", text_field("Every schema whose name this glob matches.")),
            ("from_env", text_field("The environment variable that lists their addresses.")),
        ],
    );
    let named = json!({ "type": "array", "minItems": 1, "items": { "anyOf": [{ "type": "string", "description": "A schema." }, member] } });
    json!({ "description": "A fleet of one shape.", "anyOf": [named, one_of(found, &["each_schema", "from_env"])] })
}
