//! Just enough of Rust's lexical grammar to tell which modules a file names, and not what its comments and strings say.

use std::collections::BTreeSet;

/// The top-level modules that a source file names, by `crate::…` or by as many `super::` as lead to the root.
pub fn uses(source: &str, depth: usize, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let code = code_only(source);
    let tokens = tokens(&code);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let climbed = tokens[at..].chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
        // One `super` more leads to the root out of an inline module, so more than enough is enough.
        let after = match tokens[at..] {
            ["crate", "::", ..] => at + 2,
            _ if climbed > 0 => at + 2 * climbed,
            _ => {
                at += 1;
                continue;
            }
        };
        if climbed == 0 || climbed >= depth {
            found.extend(first_names(&tokens[after..]).filter(|name| modules.contains(*name)).map(String::from));
        }
        at = after;
    }
    found
}

/// What stands after `crate::`: one name, or the first name of every path in a group.
fn first_names<'a>(tokens: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let (mut names, mut open, mut begins) = (Vec::new(), 0, true);
    for token in tokens {
        match *token {
            "{" => open += 1,
            "}" => open -= 1,
            "," => begins = open == 1,
            name if begins => {
                names.push(name);
                begins = false;
            }
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    names.into_iter()
}

pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The source without its comments and without what stands in quotes.
pub fn code_only(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            // A quote is a character's when another closes it, and a lifetime's when none does.
            '\'' => match rest.as_bytes() {
                [_, b'\\', _, ..] => 3 + rest[3..].find('\'').map_or(0, |end| end + 1),
                _ => rest[1..]
                    .chars()
                    .next()
                    .map_or(1, |c| 1 + c.len_utf8() + usize::from(rest[1 + c.len_utf8()..].starts_with('\''))),
            },
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() && c != 'b' && c != 'c' || c == '_') => {
                raw(rest).unwrap_or(0)
            }
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[length..];
        }
    }
    code
}

fn block_comment(rest: &str) -> usize {
    let (mut open, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (open, at) = (open + 1, at + 2),
            [b'*', b'/', ..] => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
        if open == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str) -> usize {
    let mut escaped = true; // the opening quote closes nothing
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let inside = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inside.find(&end).map_or(rest.len(), |at| 2 + hashes + at + end.len()))
}
