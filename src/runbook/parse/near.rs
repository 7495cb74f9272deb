//! What was probably meant, and where exactly: names near a name, places inside a scalar.

use std::ops::Range;

/// Whether a plain text would be something else to another reader of YAML.
pub fn looks_typed(text: &str) -> bool {
    let number = text.trim_start_matches(['-', '+', '.']);
    number.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
        || matches!(
            text.to_ascii_lowercase().as_str(),
            "yes" | "no" | "on" | "off" | "y" | "n" | "true" | "false" | "null" | ".nan" | ".inf" | "-.inf"
        )
}

/// The bytes of the file at which the text of a scalar goes on after `before`.
///
/// Exact for blocks and for quoted texts without escapes; else the scalar as a whole.
pub fn locate(source: &str, scalar: &Range<usize>, before: &str, len: usize) -> Range<usize> {
    let raw = &source[scalar.clone()];
    let line = before.matches('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1);
    let quoted = raw.starts_with(['"', '\'']);
    let found = if quoted && line == 0 && !raw[..raw.len().min(column + 2)].contains('\\') {
        Some(scalar.start + 1 + column)
    } else if quoted {
        None
    } else if line == 0 {
        Some(scalar.start + column)
    } else {
        // A block begins at its first word, and every line has the indent of that one.
        let indent = scalar.start - source[..scalar.start].rfind('\n').map_or(0, |i| i + 1);
        let offset: usize = raw.split_inclusive('\n').take(line).map(str::len).sum();
        Some(scalar.start + offset + indent + column)
    };
    match found {
        Some(start) if start + len <= scalar.end && source.is_char_boundary(start) => start..start + len,
        _ => scalar.clone(),
    }
}

/// `a`, `b` and `c`; at most forty.
pub fn listed(names: &[&str]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let name = format!("`{name}`");
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    let more = seen.len().saturating_sub(40);
    seen.truncate(40);
    match seen.split_last() {
        Some((last, [])) => last.clone(),
        Some((_, _)) if more > 0 => format!("{} and {more} more", seen.join(", ")),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The name that was most likely meant.
pub fn nearest<'s>(name: &str, names: &[&'s str]) -> Option<&'s str> {
    names
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| {
            let shorter = candidate.len().min(name.len());
            *distance <= (shorter / 3).max(1) && *distance < shorter
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
