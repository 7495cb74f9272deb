//! One statement as its words: a cursor over the tokens that matter, and names as the catalog knows them.

use std::sync::Arc;

use super::lex::{self, Kind, Token};
use super::{Dialect, Refused};

/// One token that is neither blank nor comment.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub token: Token,
    /// Words in lower case, quoted names without their quotes, everything else as written.
    pub text: String,
}

impl Word {
    pub fn is(&self, word: &str) -> bool {
        self.token.kind == Kind::Word && self.text == word
    }

    pub fn punct(&self, punct: &str) -> bool {
        self.token.kind == Kind::Punct && self.text == punct
    }

    pub fn named(&self) -> bool {
        matches!(self.token.kind, Kind::Word | Kind::Quoted)
    }
}

/// A name, perhaps with its schema before it, as written and as the catalog spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    parts: Vec<(String, String)>,
    dialect: Dialect,
}

impl Name {
    /// The catalog's spelling, with the schema unless it is the default one.
    pub fn key(&self) -> String {
        let default = match self.dialect {
            Dialect::Postgres => "public",
            Dialect::Sqlite => "main",
            Dialect::Mysql => "",
        };
        let skip = usize::from(self.parts.len() > 1 && self.parts[0].0 == default);
        self.parts[skip..].iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(".")
    }

    pub fn source(&self) -> String {
        self.parts.iter().map(|(_, source)| source.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Another name in the same schema.
    pub fn sibling(&self, other: &Name) -> Name {
        let mut parts = self.parts.clone();
        parts.pop();
        parts.extend(other.parts.last().cloned());
        Name { parts, dialect: self.dialect }
    }

    /// The last part alone, as a name of its own.
    pub fn last_part(&self) -> Name {
        Name { parts: self.parts.last().cloned().into_iter().collect(), dialect: self.dialect }
    }

    /// The catalog's spelling of the thing and of its last part: `shop.orders` and `status` of `shop.orders.status`.
    pub fn split_last(&self) -> Option<(String, String)> {
        let (last, head) = self.parts.split_last()?;
        let owner = Name { parts: head.to_vec(), dialect: self.dialect };
        (!head.is_empty()).then(|| (owner.key(), last.0.clone()))
    }

    pub fn qualified(&self) -> bool {
        self.parts.len() > 1
    }
}

/// The words of one statement and a place among them.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    pub dialect: Dialect,
    pub sql: &'a str,
    /// Shared, so that a cursor is cheap to copy.
    pub all: Arc<[Word]>,
    pub at: usize,
}

impl<'a> Words<'a> {
    /// The one statement in `sql`, without its semicolon.
    pub fn read(dialect: Dialect, sql: &'a str) -> Result<Words<'a>, Refused> {
        let tokens = lex::tokens(dialect, sql);
        lex::refuse_hidden(dialect, sql, &tokens)?;
        let range = match lex::cuts(dialect, sql, &tokens).as_slice() {
            [] => return Err(Refused::Empty),
            [one] => one.clone(),
            many => return Err(Refused::Many { count: many.len() }),
        };
        let all = tokens
            .into_iter()
            .filter(|t| !matches!(t.kind, Kind::Space | Kind::Comment) && range.contains(&t.span.start))
            .map(|token| Word { text: spelled(dialect, token.kind, &sql[token.span.clone()]), token })
            .collect();
        Ok(Words { dialect, sql, all, at: 0 })
    }

    pub fn peek(&self) -> Option<&Word> {
        self.all.get(self.at)
    }

    pub fn done(&self) -> bool {
        self.at >= self.all.len()
    }

    /// Whether the next words are these.
    pub fn ahead(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.all.get(self.at + i).is_some_and(|w| w.is(word)))
    }

    /// Takes these words, if they are next.
    pub fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.ahead(words);
        if found {
            self.at += words.len();
        }
        found
    }

    pub fn eat_punct(&mut self, punct: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.punct(punct));
        self.at += usize::from(found);
        found
    }

    /// Whether the words stand anywhere from here on, outside parentheses.
    pub fn later(&self, words: &[&str]) -> bool {
        let mut depth = 0usize;
        (self.at..self.all.len()).any(|i| {
            let word = &self.all[i];
            depth = if word.punct("(") { depth + 1 } else { depth.saturating_sub(usize::from(word.punct(")"))) };
            depth == 0 && words.iter().enumerate().all(|(n, w)| self.all.get(i + n).is_some_and(|x| x.is(w)))
        })
    }

    /// Behind the first place where the words stand, outside parentheses.
    pub fn seek(mut self, words: &[&str]) -> Option<Words<'a>> {
        while !self.done() {
            if self.eat(words) {
                return Some(self);
            }
            if self.parens().is_none() {
                self.at += 1;
            }
        }
        None
    }

    pub fn contains(&self, word: &str) -> bool {
        self.all[self.at.min(self.all.len())..].iter().any(|w| w.is(word))
    }

    /// `a`, `"A"`, `s.a`: one to three parts.
    pub fn name(&mut self) -> Option<Name> {
        let mut parts = vec![self.part()?];
        while parts.len() < 3 && self.peek().is_some_and(|w| w.punct(".")) {
            self.at += 1;
            parts.push(self.part()?);
        }
        Some(Name { parts, dialect: self.dialect })
    }

    /// One identifier.
    pub fn ident(&mut self) -> Option<Name> {
        Some(Name { parts: vec![self.part()?], dialect: self.dialect })
    }

    fn part(&mut self) -> Option<(String, String)> {
        let word = self.all.get(self.at)?;
        // SQLite and MySQL take a string where a name must stand.
        let text = self.dialect != Dialect::Postgres && word.token.kind == Kind::Literal;
        if !word.named() && !text {
            return None;
        }
        let source = self.sql[word.token.span.clone()].to_owned();
        let key = match (self.dialect, word.token.kind) {
            (Dialect::Mysql, Kind::Word) => source.clone(),
            (_, Kind::Literal) => self.literal().unwrap_or_default(),
            _ => word.text.clone(),
        };
        self.at += 1;
        Some((key, source))
    }

    /// The value of a plain string literal that stands here.
    pub fn literal(&self) -> Option<String> {
        let word = self.peek().filter(|w| w.token.kind == Kind::Literal)?;
        let inner = word.text.strip_prefix('\'')?.strip_suffix('\'')?;
        Some(inner.replace("''", "'"))
    }

    /// Past the matching parenthesis, if one opens here; the text between.
    pub fn parens(&mut self) -> Option<&'a str> {
        if !self.peek()?.punct("(") {
            return None;
        }
        let from = self.all[self.at].token.span.end;
        let mut depth = 0usize;
        while let Some(word) = self.all.get(self.at) {
            depth = if word.punct("(") { depth + 1 } else { depth - usize::from(word.punct(")")) };
            let to = word.token.span.start;
            self.at += 1;
            if depth == 0 {
                return Some(&self.sql[from..to]);
            }
        }
        None
    }

    /// As [`Words::parens`], from the first word to the last: without a comment that would hide what is put behind it.
    pub fn arguments(&mut self) -> Option<&'a str> {
        let from = self.at + 1;
        self.parens()?;
        Some(self.text(from, self.at - 1))
    }

    /// Cuts what follows at top-level commas; each piece is a cursor of its own.
    pub fn pieces(&self) -> Vec<Words<'a>> {
        let mut out = Vec::new();
        let (mut depth, mut from) = (0usize, self.at);
        for i in self.at..self.all.len() {
            let word = &self.all[i];
            if word.punct("(") || word.punct("[") {
                depth += 1;
            } else if word.punct(")") || word.punct("]") {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && word.punct(",") {
                out.push(self.part_of(from..i));
                from = i + 1;
            }
        }
        if from < self.all.len() {
            out.push(self.part_of(from..self.all.len()));
        }
        out
    }

    fn part_of(&self, range: std::ops::Range<usize>) -> Words<'a> {
        Words { dialect: self.dialect, sql: self.sql, all: self.all[range].into(), at: 0 }
    }

    /// The source from here to the end, or to before word `end`.
    pub fn text(&self, from: usize, end: usize) -> &'a str {
        match (self.all.get(from), end.checked_sub(1).and_then(|i| self.all.get(i))) {
            (Some(a), Some(b)) if a.token.span.start <= b.token.span.end => {
                &self.sql[a.token.span.start..b.token.span.end]
            }
            _ => "",
        }
    }

    /// The source from here to the end.
    pub fn remains(&self) -> &'a str {
        self.text(self.at, self.all.len())
    }
}

fn spelled(dialect: Dialect, kind: Kind, text: &str) -> String {
    match kind {
        Kind::Word => text.to_ascii_lowercase(),
        Kind::Quoted => {
            let inner = |open: usize| text.get(open..text.len().saturating_sub(1)).unwrap_or_default();
            match text.chars().next() {
                Some('"') => inner(1).replace("\"\"", "\""),
                Some('`') => inner(1).replace("``", "`"),
                Some('[') if dialect == Dialect::Sqlite => inner(1).to_owned(),
                // U&"…": its escapes are left as they stand, so that it equals no plain name.
                _ => text.to_owned(),
            }
        }
        _ => text.to_owned(),
    }
}
