//! PostgreSQL's type names as `format_type` spells them. Knows only the built-in aliases.

/// `varchar(64)` → `character varying(64)`, `int[]` → `integer[]`; others as written, in lower case, single-spaced.
pub(super) fn canonical(written: &str) -> String {
    let mut text = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.contains('"') {
        text = text.to_ascii_lowercase();
    }
    let text = text.replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(", ", ",");
    let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    let (text, array) = match text.find('[') {
        Some(at) => (text[..at].trim_end(), "[]"),
        None => (text, ""),
    };
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
        "char" | "character" | "bpchar" => ("character", ""),
        "decimal" | "dec" | "numeric" => ("numeric", ""),
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
        ("character", "") => "(1)",
        // `float(53)` is a choice between two types, not a precision that is kept.
        ("double precision", _) => "",
        (_, args) => args,
    };
    format!("{name}{args}{zone}{array}")
}
