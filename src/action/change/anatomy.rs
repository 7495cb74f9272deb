//! An UPDATE or DELETE taken apart, so that the rows it would touch can be read before it touches them.
//!
//! Owns the cut, never the meaning: what it cannot cut is refused, not guessed.

use crate::sql::{Dialect, Zone, zones};

/// The parts of one statement, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anatomy {
    /// The table and its alias: `orders AS o`.
    pub target: String,
    /// The name that the statement calls it by: `o`.
    pub alias: String,
    /// The table itself: `orders`, as written.
    pub table: String,
    /// Other tables: after FROM or USING.
    pub others: Option<String>,
    pub condition: Option<String>,
    /// Binds that stand before `others` and `condition`: in the assignments.
    pub binds_before: usize,
    pub deletes: bool,
}

impl Anatomy {
    /// # Errors
    /// Words on what it should look like.
    pub fn of(dialect: Dialect, sql: &str) -> Result<Self, String> {
        let words = words(dialect, sql);
        let is = |n: usize, word: &str| words.get(n).is_some_and(|w| w.text.eq_ignore_ascii_case(word));
        let find = |word: &str, from: usize| (from..words.len()).find(|n| is(*n, word));
        let end = find("RETURNING", 1).map_or(sql.len(), |n| words[n].at);
        let (deletes, first, others_word) = if is(0, "UPDATE") {
            (false, 1, "FROM")
        } else if is(0, "DELETE") && is(1, "FROM") {
            (true, 2, "USING")
        } else {
            return Err("it begins with neither UPDATE nor DELETE FROM, so its rows cannot be read beforehand".into());
        };
        let set = if deletes { None } else { find("SET", first) };
        if !deletes && set.is_none() {
            return Err("it has no SET".into());
        }
        let after = set.map_or(first, |n| n + 1);
        let condition = find("WHERE", after);
        // `IS DISTINCT FROM` is no list of tables.
        let others = (after..condition.unwrap_or(words.len()))
            .find(|n| is(*n, others_word) && !is(n.wrapping_sub(1), "DISTINCT"));
        let bare = words.get(first).map(|w| w.at).ok_or("it names no table")?;
        // A quoted name is none of the words.
        let keyword = words[first - 1].at;
        let quoted =
            |(range, zone): &(std::ops::Range<usize>, Zone)| *zone == Zone::QuotedIdent && range.start > keyword;
        let start =
            zones(dialect, sql).iter().find(|zone| quoted(zone)).map_or(bare, |(range, _)| range.start.min(bare));
        let target_end = set.or(others).or(condition).map_or(end, |n| words[n].at);
        let target = sql[start..target_end].trim().trim_end_matches(';').trim().to_owned();
        let mut parts: Vec<&str> = target.split_whitespace().collect();
        if parts.first().is_some_and(|word| word.eq_ignore_ascii_case("only")) {
            parts.remove(0);
        }
        let table = parts.first().ok_or("it names no table")?.trim_end_matches('*').to_owned();
        let alias = match parts.as_slice() {
            [_] => table.clone(),
            [_, alias] => (*alias).to_owned(),
            [_, word, alias] if word.eq_ignore_ascii_case("as") => (*alias).to_owned(),
            _ => return Err(format!("the table and its alias cannot be read in `{target}`")),
        };
        let between = |from: Option<usize>, to: usize| {
            from.map(|n| sql[words[n].at + words[n].text.len()..to].trim().trim_end_matches(';').trim().to_owned())
        };
        let before = others.or(condition).map_or(end, |n| words[n].at);
        Ok(Self {
            binds_before: binds(dialect, &sql[..before]),
            others: between(others, condition.map_or(end, |n| words[n].at)),
            condition: between(condition, end),
            target,
            alias,
            table,
            deletes,
        })
    }

    /// A read of the rows it would touch, whole; `with` stands before it.
    pub fn select(&self, with: &str) -> String {
        let others = self.others.as_ref().map(|others| format!(", {others}")).unwrap_or_default();
        let condition = self.condition.as_ref().map(|c| format!("\nwhere {c}")).unwrap_or_default();
        format!("{with}select {}.* from {}{others}{condition}", self.alias, self.target)
    }
}

struct Word<'a> {
    at: usize,
    text: &'a str,
}

/// Bare words outside parentheses, quotes and comments.
fn words(dialect: Dialect, sql: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    for (range, zone) in zones(dialect, sql) {
        if zone != Zone::Code {
            continue;
        }
        let text = &sql[range.clone()];
        let mut start = None;
        for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
            if c.is_alphanumeric() || c == '_' {
                start.get_or_insert(i);
                continue;
            }
            if let Some(from) = start.take()
                && depth == 0
            {
                found.push(Word { at: range.start + from, text: &text[from..i] });
            }
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    found
}

/// `?` of SQLite in a piece; PostgreSQL's are numbered and need no counting.
fn binds(dialect: Dialect, piece: &str) -> usize {
    if dialect == Dialect::Postgres {
        return 0;
    }
    zones(dialect, piece)
        .into_iter()
        .filter(|(_, zone)| *zone == Zone::Code)
        .map(|(range, _)| piece[range].matches('?').count())
        .sum()
}
