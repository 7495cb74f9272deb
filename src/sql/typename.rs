//! PostgreSQL's type names as `format_type` spells them. Knows only the built-in types.

/// Types that `format_type` spells as they are written.
const PLAIN: &str = "text uuid json jsonb bytea date interval money inet cidr macaddr macaddr8 xml point line lseg box \
    path polygon circle tsvector tsquery pg_lsn oid name regclass regtype regproc hstore citext int4range int8range \
    numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange datemultirange tsmultirange \
    tstzmultirange bit bpchar jsonpath txid_snapshot pg_snapshot";

/// Whether a column of the type has no check of its own: the server's types, and those of hstore and citext.
pub(super) fn built_in(written: &str) -> bool {
    let canonical = canonical(written);
    let base = canonical.trim_end_matches("[]");
    let base = base.split('(').next().unwrap_or(base);
    let aliased = [
        "integer",
        "bigint",
        "smallint",
        "boolean",
        "character varying",
        "character",
        "numeric",
        "double precision",
        "real",
        "timestamp with time zone",
        "timestamp without time zone",
        "timestamp",
        "time with time zone",
        "time without time zone",
        "time",
        "bit varying",
    ];
    aliased.contains(&base) || PLAIN.split_whitespace().any(|plain| plain == base)
}

/// `varchar(64)` → `character varying(64)`, `int[]` → `integer[]`; others as written, in lower case, single-spaced.
pub(super) fn canonical(written: &str) -> String {
    let mut text = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.contains('"') {
        text = text.to_ascii_lowercase();
    }
    let text = text.replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(", ", ",");
    // A quoted name that would read the same without its quotes; `"char"` is a type of its own.
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let plain = !inner.is_empty() && inner != "char" && inner.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let text = if plain { inner } else { &text };
    let text = text.strip_prefix("pg_catalog.").or_else(|| text.strip_prefix("public.")).unwrap_or(text);
    let (text, array) = match text.find('[') {
        Some(at) => (text[..at].trim_end(), "[]"),
        None => (text, ""),
    };
    let (text, array) = text.strip_suffix(" array").map_or((text, array), |text| (text, "[]"));
    // `timestamp(3) with time zone` keeps its precision in the middle.
    let (base, args, tail) = match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => (&text[..open], &text[open..=close], text[close + 1..].trim()),
        _ => (text, "", ""),
    };
    let full = if tail.is_empty() { base.to_owned() } else { format!("{base} {tail}") };
    let (name, zone) = match full.as_str() {
        "int" | "int4" | "integer" => ("integer", ""),
        "int8" | "bigint" => ("bigint", ""),
        "int2" | "smallint" => ("smallint", ""),
        "bool" | "boolean" => ("boolean", ""),
        "varchar" | "character varying" | "char varying" => ("character varying", ""),
        "national character varying" | "national char varying" | "nchar varying" => ("character varying", ""),
        "char" | "character" | "national character" | "national char" | "nchar" => ("character", ""),
        // Without a length it is a type without one.
        "bpchar" if args.is_empty() => ("bpchar", ""),
        "bpchar" => ("character", ""),
        "decimal" | "dec" | "numeric" => ("numeric", ""),
        "float" if short_float(args) => ("real", ""),
        "float8" | "float" | "double precision" => ("double precision", ""),
        "float4" | "real" => ("real", ""),
        "timestamptz" | "timestamp with time zone" => ("timestamp", " with time zone"),
        "timestamp" | "timestamp without time zone" => ("timestamp", " without time zone"),
        "timetz" | "time with time zone" => ("time", " with time zone"),
        "time" | "time without time zone" => ("time", " without time zone"),
        "varbit" | "bit varying" => ("bit varying", ""),
        other => (other, ""),
    };
    let args = match (name, args) {
        ("character" | "bit", "") => "(1)",
        // `float(53)` is a choice between two types, not a precision that is kept.
        ("double precision" | "real", _) => "",
        ("numeric", args) if !args.is_empty() && !args.contains(',') => &format!("{},0)", args.trim_end_matches(')')),
        (_, args) => args,
    };
    format!("{name}{args}{zone}{array}")
}

/// Up to 24 binary digits a float is the shorter one.
fn short_float(args: &str) -> bool {
    args.trim_matches(['(', ')']).parse::<u32>().is_ok_and(|digits| digits <= 24)
}
