//! Checks, readings and expectations.

use serde_json::{Value, json};

use super::{described, flag, list, named, object, object_of, one_of, reference, text_field, word};

pub fn defs() -> Vec<(&'static str, Value)> {
    vec![
        ("check", check()),
        ("expect", expect()),
        ("check-ref", check_ref()),
        ("fact", fact()),
        ("http", http()),
        ("argv", list("A program and its arguments: never a line for a shell.", reference("template"))),
    ]
}

fn check() -> Value {
    let kinds = [
        "query", "count", "reading", "probe", "schema", "sessions", "group", "shapes", "http", "command", "explain",
        "registry",
    ];
    let one_or_more = |def: &str, description: &str| {
        json!({
            "description": description,
            "anyOf": [reference(def), { "type": "array", "items": reference(def) }],
        })
    };
    let probe = json!({
        "description": "What the code does that it stands for, in a transaction that is always rolled back; `expect` is on the last.",
        "anyOf": [one_or_more("sql", "One statement, or a list."), object("A form for each dialect.", &[], vec![
            ("postgres", one_or_more("sql", "One statement, or a list.")), ("mysql", one_or_more("sql", "One statement, or a list.")), ("sqlite", one_or_more("sql", "One statement, or a list.")),
        ])],
    });
    let schema = one_or_more("fact", "Facts of the catalog.");
    let group = object_of(
        "group",
        "A consumer group: exactly one of `lag` and `state`.",
        &["name"],
        vec![
            ("name", text_field("The group.")),
            ("lag", text_field("The topic whose lag is the value.")),
            (
                "state",
                word(
                    "The state that it must be in.",
                    &["empty", "stable", "dead", "preparing_rebalance", "completing_rebalance"],
                ),
            ),
            ("offsets", text_field("The topic whose committed offsets are the value.")),
        ],
    );
    let shapes = object(
        "The shapes of the events in a topic's window.",
        &["topic"],
        vec![("topic", text_field("The topic.")), ("since", described("template", "The beginning of the window."))],
    );
    let explain = object(
        "The plan of a query.",
        &["query", "uses"],
        vec![
            ("query", described("sql-forms", "The query.")),
            ("uses", text_field("What its plan must use, as an index.")),
        ],
    );
    let fields = vec![
        ("layer", layer()),
        ("title", text_field("What a tired person reads. Default: the name.")),
        ("on", named("The target that is asked.")),
        ("query", described("sql-forms", "One value from one SELECT.")),
        ("count", named("A set, counted again.")),
        ("reading", named("A reading, asked again.")),
        ("probe", probe),
        ("as", text_field("`probe` only: the role that it runs as.")),
        ("schema", schema),
        ("sessions", text_field("How many live sessions have an application name that this glob matches.")),
        (
            "older_than",
            named(
                "`sessions` only: a step. Counted are those that began before it took effect: what they prepared may be stale.",
            ),
        ),
        ("group", group),
        ("shapes", shapes),
        ("http", described("http", "A GET or HEAD.")),
        ("command", described("argv", "Passes when it ends with 0. On production it runs on request only.")),
        ("explain", explain),
        ("registry", described("registry-check", "What the schema registry says.")),
        (
            "across",
            word("On a fleet: how its members' values are judged. Default: each by itself.", &["all", "sum", "max"]),
        ),
        ("expect", described("expect", "What the answer must be.")),
        ("for", described("duration", "It must have held for this long, observed.")),
        ("every", described("duration", "Between two looks.")),
        ("fresh", described("duration", "Older than this it is stale at a gate.")),
    ];
    one_of(object_of("check", "A read-only question, of exactly one kind.", &[], fields), &kinds)
}

pub fn layer() -> Value {
    word("What it belongs to. Default: by its kind.", &["schema", "data", "events", "service"])
}

fn expect() -> Value {
    json!({
        "description": "A literal, a quoted comparison (`\"<= 50\"`), `readable`, what was frozen, or an error.",
        "anyOf": [
            { "type": ["string", "number", "boolean"] },
            object("The value that was frozen last under this name.", &["same_as"], vec![("same_as", named("A reading or a set."))]),
            object("The statement must be refused.", &["error"], vec![("error", text_field("An SQLSTATE, as in \"23505\"."))]),
        ],
    })
}

fn check_ref() -> Value {
    let one = object(
        "A check, or a service that must be gone.",
        &[],
        vec![
            ("check", named("A check.")),
            ("service", named("A service.")),
            ("gone", json!({ "const": true, "description": "None of the service's sessions and members is left." })),
            ("hard", flag("`needs` only: no skip and no override, only break-glass.")),
        ],
    );
    json!({ "anyOf": [{ "type": "string", "description": "A check." }, one_of(one, &["check", "service"])] })
}

fn fact() -> Value {
    let fact = object_of(
        "fact",
        "One fact of the catalog, of exactly one kind.",
        &[],
        vec![
            ("table", text_field("A table.")),
            ("column", text_field("`table.column`")),
            ("type", text_field("With `column`: its type.")),
            ("not_null", flag("With `column`: whether it refuses NULL.")),
            ("enum", text_field("An enum type, with `value` or `values`.")),
            ("value", text_field("With `enum`: a label that it has.")),
            ("values", list("With `enum`: all its labels, in their order.", json!({ "type": "string" }))),
            ("index", text_field("A valid index.")),
            ("constraint", text_field("`table.constraint`")),
            ("valid", flag("With `constraint`: whether every row was checked.")),
            ("trigger", text_field("`table.trigger`")),
            ("enabled", flag("With `trigger`: whether it fires.")),
            ("view", text_field("A view.")),
            ("function", text_field("A function with its argument types: `sync_ref()`.")),
            ("digest", text_field("With `function`: the SHA-256 of its body.")),
            ("absent", flag("It must not be there.")),
            ("grant", text_field("A right, as in `SELECT`; with `object` and `role`.")),
            ("object", text_field("With `grant`: what it is a right on.")),
            ("role", text_field("With `grant`: who has it.")),
            ("migration", word("Where the migration stands, by the catalog and by its own row.", &["in", "out"])),
            ("like", text_field("A fingerprint of the whole schema, beside the runbook.")),
            (
                "except",
                list(
                    "With `like`: globs on the objects that are left out, as in `audit_*` or `orders.note`.",
                    json!({ "type": "string" }),
                ),
            ),
        ],
    );
    one_of(
        fact,
        &[
            "table",
            "column",
            "enum",
            "index",
            "constraint",
            "trigger",
            "view",
            "function",
            "grant",
            "migration",
            "like",
        ],
    )
}

fn http() -> Value {
    let fields = vec![
        ("method", word("Default: GET.", &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])),
        ("url", described("template", "Where to.")),
        (
            "headers",
            json!({ "type": "object", "additionalProperties": reference("template"), "description": "Headers by name." }),
        ),
        ("body", described("template", "What is sent.")),
        (
            "status",
            json!({ "type": "integer", "minimum": 100, "maximum": 599, "description": "The expected status. Default: any 2xx." }),
        ),
    ];
    json!({ "anyOf": [{ "type": "string", "description": "GET this." }, object("A request.", &["url"], fields)] })
}
