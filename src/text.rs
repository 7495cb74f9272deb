//! The bottom of the house: text that is safe to show, and text that must never be shown.
//!
//! Owns [`Shown`] (the only form in which outside text reaches a terminal, a report or a CSV), the test that SQL is
//! what it looks like ([`is_clean`]), [`Secret`], and the digest of text. Never does I/O, never decides what is shown where.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One line of text in which every character is visible and stands for itself.
///
/// Control characters become their pictures (`ESC` is `␛`), invisible and direction-changing ones `<U+202E>`, bytes
/// that are not UTF-8 `<FF>`. Sanitising a `Shown` again changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Shown(String);

impl Shown {
    pub fn new(text: &str) -> Self {
        let mut line = String::with_capacity(text.len());
        text.chars().for_each(|c| push_visible(&mut line, c));
        Self(line)
    }

    /// Bytes of unknown encoding, read as UTF-8; each byte that is not becomes `<FF>`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut line = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| push_visible(&mut line, c));
            chunk.invalid().iter().for_each(|b| line.push_str(&format!("<{b:02X}>")));
        }
        Self(line)
    }

    /// At most `max` characters of the result, the last of them `…` where something was cut off.
    pub fn capped(text: &str, max: usize) -> Self {
        // One source character gives at least one shown character, so no more than `max` + 1 need to be looked at.
        let mut line = String::new();
        text.chars().take(max.saturating_add(1)).for_each(|c| push_visible(&mut line, c));
        Self(line).cap(max)
    }

    /// The same line with at most `max` characters, the last of them `…` where something was cut off.
    pub fn cap(self, max: usize) -> Self {
        if self.0.chars().nth(max).is_none() {
            return self;
        }
        let mut line: String = self.0.chars().take(max.saturating_sub(1)).collect();
        if max > 0 {
            line.push('…');
        }
        Self(line)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Shown {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        if text.chars().any(|c| !is_visible(c)) { Self::new(&text) } else { Self(text) }
    }
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        shown.0
    }
}

impl PartialEq<str> for Shown {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Shown {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// Text of several lines: one [`Shown`] per line, a tab becomes four spaces, `CR LF` is one line end.
pub fn multiline(text: &str) -> Vec<Shown> {
    text.split('\n').map(|line| Shown::new(&line.strip_suffix('\r').unwrap_or(line).replace('\t', "    "))).collect()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// The SHA-256 of the bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A number and what it counts: `1 row`, `2 rows`.
pub fn counted(n: impl TryInto<u64>, one: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Text of several lines in one: line ends, and the spaces around them, become ` · `.
pub fn in_one_line(text: &str) -> Shown {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Shown::new(&lines.join(" · "))
}

/// Is this text exactly what it looks like? `LF` and `TAB` are allowed.
///
/// For SQL, which is refused and never escaped: what is shown must be what runs.
///
/// # Errors
/// The byte offset of the first character that would not show, and the character.
pub fn is_clean(text: &str) -> Result<(), (usize, char)> {
    match text.char_indices().find(|&(_, c)| c != '\n' && c != '\t' && !is_visible(c)) {
        Some(found) => Err(found),
        None => Ok(()),
    }
}

fn push_visible(line: &mut String, c: char) {
    match c {
        '\0'..='\x1f' => line.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\x7f' => line.push('\u{2421}'),
        c if !is_visible(c) => line.push_str(&format!("<U+{:04X}>", u32::from(c))),
        c => line.push(c),
    }
}

/// Has a glyph and moves nothing around it. Not so: controls, soft hyphen, joiners, bidi controls, line and paragraph
/// separators, fillers, the byte order mark, annotation marks, tags.
pub fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
}

/// A value that must not reach a screen, a log or a file: it has no `Display`, no `Serialize`, and its `Debug` is `•••`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands where a secret stood.
pub const HIDDEN: &str = "•••";

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Drop for Secret {
    /// Best effort: copies that the allocator or a driver made earlier are out of reach.
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// `text` with every occurrence of a secret, plain or percent-encoded as in a URL, replaced by `•••`.
pub fn scrub(text: &str, secrets: &[Secret]) -> String {
    let mut forms: Vec<String> = Vec::new();
    for secret in secrets.iter().map(Secret::expose).filter(|s| !s.is_empty()) {
        let upper = percent_encoded(secret);
        if upper != secret {
            forms.extend([upper.clone(), lowercase_escapes(&upper)]);
        }
        forms.push(secret.to_owned());
    }
    // Longest first: a secret may be a part of another one, and its rest must not stay behind.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.iter().fold(text.to_owned(), |text, form| if text.contains(form) { text.replace(form, HIDDEN) } else { text })
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

fn lowercase_escapes(encoded: &str) -> String {
    let mut digits_left = 0;
    let lower = |c: char| {
        let escape = digits_left > 0;
        digits_left = if c == '%' { 2 } else { i32::max(digits_left - 1, 0) };
        if escape { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}
