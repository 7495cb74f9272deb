//! Cuts SQL into tokens, as each server's own scanner does: where code, literals, quoted names and comments lie, and
//! where one statement ends. Never fails: what is not closed reaches to the end and is marked so.

use std::ops::Range;

use super::{Dialect, Refused};

/// What a stretch of SQL is to the server's scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    Code,
    /// A string, in whichever quotes, dollar quotes among them.
    Literal,
    QuotedIdent,
    Comment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment,
    Word,
    Number,
    Literal,
    Quoted,
    /// A placeholder for a bind: `$1`, `?`, `:name`.
    Param,
    Punct,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
    pub closed: bool,
}

impl Token {
    fn zone(&self) -> Zone {
        match self.kind {
            Kind::Comment => Zone::Comment,
            Kind::Literal => Zone::Literal,
            Kind::Quoted => Zone::QuotedIdent,
            _ => Zone::Code,
        }
    }
}

/// The stretches of `sql` in order, without gaps; neighbours of one kind are one stretch unless both are quoted.
pub fn zones(dialect: Dialect, sql: &str) -> Vec<(Range<usize>, Zone)> {
    let mut out: Vec<(Range<usize>, Zone)> = Vec::new();
    for token in tokens(dialect, sql) {
        let zone = token.zone();
        match out.last_mut() {
            Some((range, Zone::Code)) if zone == Zone::Code => range.end = token.span.end,
            _ => out.push((token.span, zone)),
        }
    }
    out
}

/// The statements of a migration file, trimmed, without their semicolons and without pieces that hold only comments.
/// Bodies of functions and triggers stay whole.
///
/// # Errors
/// [`Refused::Unterminated`], [`Refused::MetaCommand`], [`Refused::VersionComment`].
pub fn split(dialect: Dialect, sql: &str) -> Result<Vec<String>, Refused> {
    let tokens = tokens(dialect, sql);
    refuse_hidden(dialect, sql, &tokens)?;
    Ok(cuts(dialect, sql, &tokens).into_iter().map(|range| sql[range].trim().to_owned()).collect())
}

/// The ranges between top-level semicolons that hold code.
pub(super) fn cuts(dialect: Dialect, sql: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut code) = (0, false);
    let new = || Block { nests: dialect != Dialect::Sqlite, ..Block::default() };
    let mut block = new();
    for token in tokens {
        let text = &sql[token.span.clone()];
        if token.kind == Kind::Punct && text == ";" && !block.inside() {
            if code {
                out.push(start..token.span.start);
            }
            (start, code, block) = (token.span.end, false, new());
            continue;
        }
        if !matches!(token.kind, Kind::Space | Kind::Comment) {
            code = true;
            block.feed(token.kind, text);
        }
    }
    if code {
        out.push(start..sql.len());
    }
    out
}

/// Knows whether a semicolon ends the statement: not in parentheses (`CREATE RULE … DO (…; …)`), not in the body of a
/// trigger or a routine (`BEGIN … END`), where `CASE … END` counts as well.
#[derive(Default)]
struct Block {
    words: Vec<String>,
    parens: usize,
    depth: usize,
    routine: bool,
    after_end: bool,
    /// SQLite's triggers hold no blocks, and BEGIN and IF may be names there.
    nests: bool,
}

impl Block {
    fn feed(&mut self, kind: Kind, text: &str) {
        let after_end = std::mem::take(&mut self.after_end);
        match (kind, text) {
            (Kind::Punct, "(") => self.parens += 1,
            (Kind::Punct, ")") => self.parens = self.parens.saturating_sub(1),
            (Kind::Word, word) => {
                let word = word.to_ascii_lowercase();
                if self.words.len() < 12 {
                    let routine = ["trigger", "function", "procedure", "event"].contains(&word.as_str());
                    self.routine |= routine && self.words.first().is_some_and(|first| first == "create");
                    self.words.push(word.clone());
                }
                match word.as_str() {
                    "begin" if self.routine && self.nests => self.depth += 1,
                    "begin" if self.routine => self.depth = self.depth.max(1),
                    "case" if self.depth > 0 && !after_end => self.depth += 1,
                    "end" => {
                        self.depth = self.depth.saturating_sub(1);
                        self.after_end = true;
                    }
                    // `END IF`, `END LOOP` close what was not counted.
                    "if" | "loop" | "while" | "repeat" if after_end && self.routine && self.nests => self.depth += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn inside(&self) -> bool {
        self.parens > 0 || self.depth > 0
    }
}

/// What no statement may carry: unclosed quotes, version comments, client commands, characters that deceive.
pub(super) fn refuse_hidden(dialect: Dialect, sql: &str, tokens: &[Token]) -> Result<(), Refused> {
    let mut fresh = true;
    for token in tokens {
        let (text, offset) = (&sql[token.span.clone()], token.span.start);
        if let Some((at, char)) = text.char_indices().find(|(_, c)| deceives(*c, token.zone())) {
            return Err(Refused::Lookalike { char, offset: offset + at });
        }
        if !token.closed {
            let what = match token.kind {
                Kind::Comment => "a comment",
                Kind::Quoted => "a quoted name",
                _ => "a string",
            };
            return Err(Refused::Unterminated { what, offset });
        }
        if token.kind == Kind::Number && !number(text) {
            return Err(Refused::Unparsable { message: format!("the number in {text} runs into a word"), offset });
        }
        if token.kind == Kind::Quoted && text.starts_with(['u', 'U']) {
            let message = "U&\"…\" spells a name in escapes: write the name itself".to_owned();
            return Err(Refused::Unparsable { message, offset });
        }
        if ends_otherwise(dialect, sql, token) {
            let message = "a backslash before a quote ends this string on some servers and not on others".to_owned();
            return Err(Refused::Unparsable { message, offset });
        }
        let version = text.starts_with("/*!") || text.starts_with("/*M!") || text.starts_with("/*m!");
        if dialect == Dialect::Mysql && token.kind == Kind::Comment && version {
            return Err(Refused::VersionComment { offset });
        }
        if dialect == Dialect::Mysql && token.kind == Kind::Comment && text.starts_with("/*+") {
            let lower = text.to_ascii_lowercase();
            if ["set_var", "max_execution_time", "resource_group"].iter().any(|hint| lower.contains(hint)) {
                let message = "a hint in a comment changes how the server runs it: say it with SET".to_owned();
                return Err(Refused::Unparsable { message, offset });
            }
        }
        let word = text.to_ascii_lowercase();
        let client = match (dialect, token.kind) {
            (_, Kind::Punct) if text == "\\" => true,
            (Dialect::Sqlite, Kind::Punct) => fresh && text == ".",
            (Dialect::Mysql, Kind::Word) => fresh && ["delimiter", "source", "system"].contains(&word.as_str()),
            _ => false,
        };
        if client {
            let command = sql[offset..].split_whitespace().next().unwrap_or("\\").chars().take(20).collect();
            return Err(Refused::MetaCommand { command, offset });
        }
        if !matches!(token.kind, Kind::Space | Kind::Comment) {
            fresh = text == ";";
        }
    }
    Ok(())
}

/// Whether a setting of the server (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`) moves the end of a string.
/// `E'…'` reads the same everywhere; a continuation of it on the next line is not told from a plain string.
fn ends_otherwise(dialect: Dialect, sql: &str, token: &Token) -> bool {
    let text = &sql[token.span.clone()];
    let Some(open) = text.find(['\'', '"']).filter(|_| token.kind == Kind::Literal && text.contains('\\')) else {
        return false;
    };
    let quote = if text[open..].starts_with('"') { '"' } else { '\'' };
    let fixed = dialect == Dialect::Sqlite || text.starts_with(['$', 'e', 'E']);
    let end = |escapes| {
        let mut scanner = Scanner { dialect, sql, at: token.span.start + open };
        (scanner.quoted(quote, escapes), scanner.at)
    };
    !fixed && end(true) != end(false)
}

/// Outside quotes and comments every character is ASCII; nowhere may one turn the direction of the text or hide.
fn deceives(c: char, zone: Zone) -> bool {
    let hidden = matches!(u32::from(c),
        0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
        | 0xE0000..=0xE0FFF);
    let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    hidden || control || (zone == Zone::Code && !c.is_ascii())
}

/// A whole number, decimal or hexadecimal. MySQL reads `1.into` as two tokens, which would hide the word.
fn number(text: &str) -> bool {
    let lower = text.to_ascii_lowercase().replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return digits.chars().all(|c| c.is_digit(radix));
        }
    }
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    mantissa.matches('.').count() <= 1 && digits(&mantissa.replace('.', "")) && !exponent.is_empty() && digits(exponent)
}

/// All tokens; their spans follow each other without gaps from 0 to the end.
pub(super) fn tokens(dialect: Dialect, sql: &str) -> Vec<Token> {
    let mut scanner = Scanner { dialect, sql, at: 0 };
    let mut out: Vec<Token> = Vec::new();
    // A PostgreSQL string goes on after a line break with the escapes of its first part.
    let mut escapes = false;
    while scanner.at < sql.len() {
        let start = scanner.at;
        let continued = escapes && continues(sql, &out);
        let (kind, closed) = if continued && scanner.rest().starts_with('\'') {
            (Kind::Literal, scanner.quoted('\'', true))
        } else {
            scanner.next()
        };
        if scanner.at == start {
            scanner.bump();
        }
        let text = &sql[start..scanner.at];
        match kind {
            Kind::Space | Kind::Comment => {}
            Kind::Literal => escapes = continued || text.starts_with(['e', 'E']),
            _ => escapes = false,
        }
        out.push(Token { kind, span: start..scanner.at, closed });
    }
    out
}

/// Between here and the last string lies nothing but blanks and `--` comments, with a line break.
fn continues(sql: &str, out: &[Token]) -> bool {
    let mut newline = false;
    for token in out.iter().rev() {
        match token.kind {
            Kind::Space | Kind::Comment => newline |= sql[token.span.clone()].contains(['\n', '\r']),
            Kind::Literal => return newline,
            _ => return false,
        }
    }
    false
}

struct Scanner<'a> {
    dialect: Dialect,
    sql: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, accept: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !accept(c)).unwrap_or(rest.len());
    }

    fn next(&mut self) -> (Kind, bool) {
        let rest = self.rest();
        let mut chars = rest.chars();
        let (Some(c), second) = (chars.next(), chars.next()) else {
            return (Kind::Space, true);
        };
        let (pg, my, lite) =
            (self.dialect == Dialect::Postgres, self.dialect == Dialect::Mysql, self.dialect == Dialect::Sqlite);
        match c {
            _ if c.is_ascii_whitespace() || c == '\x0b' => {
                self.take(|c| c.is_ascii_whitespace() || c == '\x0b');
                (Kind::Space, true)
            }
            '-' if second == Some('-') && (!my || rest[2..].chars().next().is_some_and(|c| c <= ' ')) => {
                self.take(|c| c != '\n' && (!pg || c != '\r'));
                (Kind::Comment, true)
            }
            '#' if my => {
                self.take(|c| c != '\n');
                (Kind::Comment, true)
            }
            '/' if second == Some('*') => (Kind::Comment, self.comment(pg)),
            '\'' => (Kind::Literal, self.quoted('\'', my)),
            '"' if my => (Kind::Literal, self.quoted('"', true)),
            '"' => (Kind::Quoted, self.quoted('"', false)),
            '`' if !pg => (Kind::Quoted, self.quoted('`', false)),
            '[' if lite => {
                self.take(|c| c != ']');
                (Kind::Quoted, self.bump().is_some())
            }
            '$' if pg && second.is_some_and(|c| c.is_ascii_digit()) => {
                self.bump();
                self.take(|c| c.is_ascii_digit());
                (Kind::Param, true)
            }
            '$' if pg => self.dollar(),
            '?' if !pg => {
                self.bump();
                self.take(|c| c.is_ascii_digit());
                (Kind::Param, true)
            }
            ':' | '@' | '$' if lite && second.is_some_and(word_start) => {
                self.bump();
                self.take(word_part);
                (Kind::Param, true)
            }
            _ if c.is_ascii_digit() || (c == '.' && second.is_some_and(|c| c.is_ascii_digit())) => {
                self.number();
                (Kind::Number, true)
            }
            _ if word_start(c) => self.word(pg, my),
            _ => {
                self.bump();
                (Kind::Punct, true)
            }
        }
    }

    /// A word, or a literal or name with a prefix: `E'…'`, `X'…'`, `U&"…"`.
    fn word(&mut self, pg: bool, my: bool) -> (Kind, bool) {
        let start = self.at;
        let rest = self.rest();
        let unicode =
            pg && rest.len() > 2 && rest.as_bytes()[0].eq_ignore_ascii_case(&b'u') && rest.as_bytes()[1] == b'&';
        if unicode && matches!(rest.as_bytes()[2], b'\'' | b'"') {
            self.at += 2;
            let (kind, quote) = if rest.as_bytes()[2] == b'"' { (Kind::Quoted, '"') } else { (Kind::Literal, '\'') };
            return (kind, self.quoted(quote, false));
        }
        self.take(word_part);
        let prefix = &self.sql[start..self.at];
        let quote = self.rest().starts_with('\'');
        let known = match self.dialect {
            Dialect::Postgres => prefix.len() == 1 && "eEbBxXnN".contains(prefix),
            Dialect::Mysql => (prefix.len() == 1 && "bBxXnN".contains(prefix)) || prefix.starts_with('_'),
            Dialect::Sqlite => prefix.eq_ignore_ascii_case("x"),
        };
        if quote && known {
            let escapes = (pg && prefix.eq_ignore_ascii_case("e")) || my;
            return (Kind::Literal, self.quoted('\'', escapes));
        }
        (Kind::Word, true)
    }

    fn number(&mut self) {
        self.take(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        let exponent = self.sql[..self.at].ends_with(['e', 'E']) && self.rest().starts_with(['+', '-']);
        if exponent && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.bump();
            self.take(|c| c.is_ascii_digit() || c == '_');
        }
    }

    /// From the opening quote to behind the closing one; whether there was one.
    fn quoted(&mut self, quote: char, escapes: bool) -> bool {
        self.bump();
        while let Some(c) = self.bump() {
            if c == '\\' && escapes {
                self.bump();
            } else if c == quote {
                if !self.rest().starts_with(quote) {
                    return true;
                }
                self.bump();
            }
        }
        false
    }

    fn comment(&mut self, nested: bool) -> bool {
        self.at += 2;
        let mut depth = 1;
        while self.at < self.sql.len() {
            if self.rest().starts_with("*/") {
                self.at += 2;
                depth -= 1;
                if depth == 0 {
                    return true;
                }
            } else if nested && self.rest().starts_with("/*") {
                self.at += 2;
                depth += 1;
            } else {
                self.bump();
            }
        }
        false
    }

    fn dollar(&mut self) -> (Kind, bool) {
        let rest = self.rest();
        let tag = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()));
        let Some(tag) = tag.filter(|end| rest[1 + end..].starts_with('$')) else {
            self.bump();
            return (Kind::Punct, true);
        };
        let mark = &rest[..tag + 2];
        match rest[mark.len()..].find(mark) {
            Some(end) => {
                self.at += mark.len() * 2 + end;
                (Kind::Literal, true)
            }
            None => {
                self.at = self.sql.len();
                (Kind::Literal, false)
            }
        }
    }
}

fn word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn word_part(c: char) -> bool {
    word_start(c) || c.is_ascii_digit() || c == '$'
}
