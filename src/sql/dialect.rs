//! Asks the dialect's parser whether a text is exactly one statement. Decides nothing about what the statement does.

use sqlparser::dialect::{MySqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;
use squawk_syntax::ast::{AstNode, Stmt};
use squawk_syntax::{SourceFile, SyntaxNode};

use super::lex::Kind;
use super::words::Words;
use super::{Dialect, Refused, lex};

/// Deeper nesting than anybody writes, and far from what would exhaust a thread's stack.
const DEPTH: usize = 64;
/// Links of a chain such as `1 + 1 + 1 …`, which parsers keep as one branch.
const LENGTH: usize = 20_000;

/// Words that any thread's stack is enough for.
const SHORT: usize = 400;

/// Parsers build a chain as one deep branch and walk it recursively, also when they drop it: on the stack of a thread
/// made for it, of which only the touched part is ever real memory.
fn roomy(parse: impl FnOnce() -> Result<(), Refused> + Send) -> Result<(), Refused> {
    let refused = Refused::TooDeep { limit: SHORT };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(512 << 20).spawn_scoped(scope, parse);
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(Err(refused))
    })
}

/// The words of the one statement in `sql`.
pub(super) fn one(dialect: Dialect, sql: &str) -> Result<Words<'_>, Refused> {
    let words = Words::read(dialect, sql)?;
    shallow(&words)?;
    // sqlparser does not know these; their words are all that is read, and none of them is milder than Utility.
    let alone = dialect == Dialect::Sqlite && sqlite_only(&words);
    let parse = || match dialect {
        _ if alone => balanced(&words),
        Dialect::Postgres => postgres(sql),
        Dialect::Mysql => sqlparser(&MySqlDialect {}, sql),
        Dialect::Sqlite => sqlparser(&SQLiteDialect {}, sql),
    };
    if words.all.len() <= SHORT {
        parse()?
    } else {
        roomy(parse)?
    }
    Ok(words)
}

/// What no parser looks at may not hide its end in a parenthesis that is never closed.
fn balanced(words: &Words<'_>) -> Result<(), Refused> {
    let mut depth = 0i64;
    for word in words.all.iter() {
        depth += i64::from(word.punct("(")) - i64::from(word.punct(")"));
    }
    let offset = words.all.last().map_or(0, |word| word.token.span.start);
    let message = "a parenthesis is not closed".to_owned();
    if depth == 0 { Ok(()) } else { Err(Refused::Unparsable { message, offset }) }
}

fn shallow(words: &Words<'_>) -> Result<(), Refused> {
    let (mut depth, mut chain) = (0usize, 0usize);
    for word in words.all.iter() {
        let prefix = ["not", "case", "explain", "prepare"].iter().any(|w| word.is(w));
        let operator =
            word.token.kind == Kind::Punct && !matches!(word.text.as_str(), "," | "(" | ")" | "[" | "]" | ".");
        if word.punct("(") || word.punct("[") || word.is("case") {
            depth += 1;
        } else if word.punct(")") || word.punct("]") || word.is("end") {
            depth = depth.saturating_sub(1);
        }
        chain = if prefix || operator { chain + 1 } else { 0 };
        if depth > DEPTH || chain > DEPTH {
            return Err(Refused::TooDeep { limit: DEPTH });
        }
    }
    if words.all.len() > LENGTH {
        return Err(Refused::TooDeep { limit: LENGTH });
    }
    Ok(())
}

fn postgres(sql: &str) -> Result<(), Refused> {
    let parse = SourceFile::parse(sql);
    if let Some(error) = parse.errors().first() {
        let offset = usize::from(error.range().start());
        return Err(Refused::Unparsable { message: error.message().to_owned(), offset });
    }
    same_words(sql, &parse.syntax_node())?;
    let statements = parse.syntax_node().children().filter_map(Stmt::cast);
    match statements.filter(|s| !matches!(s, Stmt::EmptyStmt(_))).count() {
        1 => Ok(()),
        0 => Err(Refused::Empty),
        count => Err(Refused::Many { count }),
    }
}

/// Two scanners that disagree on where a string ends are a way in: what one takes for text, the other runs.
fn same_words(sql: &str, tree: &SyntaxNode) -> Result<(), Refused> {
    let ours = lex::tokens(Dialect::Postgres, sql);
    let theirs = tree.descendants_with_tokens().filter_map(|element| element.into_token());
    let mut at = 0;
    for token in theirs {
        let (start, end) = (usize::from(token.text_range().start()), usize::from(token.text_range().end()));
        while ours.get(at).is_some_and(|own| own.span.end <= start) {
            at += 1;
        }
        let Some(own) = ours.get(at) else { break };
        let inside = own.span.start < start && !matches!(own.kind, Kind::Word | Kind::Number | Kind::Param);
        let swallowed = ours[at..].iter().take_while(|own| own.span.start < end);
        let hidden = swallowed.filter(|own| own.kind == Kind::Word && own.span.start > start).count() > 0;
        if inside && own.kind != Kind::Space || hidden && own.kind != Kind::Number {
            let message = "where strings and comments end here can be read in two ways".to_owned();
            return Err(Refused::Unparsable { message, offset: start });
        }
    }
    Ok(())
}

fn sqlparser(dialect: &dyn sqlparser::dialect::Dialect, sql: &str) -> Result<(), Refused> {
    match Parser::parse_sql(dialect, sql) {
        Ok(statements) if statements.len() == 1 => Ok(()),
        Ok(statements) if statements.is_empty() => Err(Refused::Empty),
        Ok(statements) => Err(Refused::Many { count: statements.len() }),
        Err(error) => {
            let message = error.to_string();
            Err(Refused::Unparsable { offset: offset(sql, &message), message })
        }
    }
}

/// sqlparser tells places as `at Line: 1, Column: 8`, both from 1, the column in characters.
fn offset(sql: &str, message: &str) -> usize {
    let number = |after: &str| {
        let text = message.rsplit_once(after)?.1;
        text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse::<usize>().ok()
    };
    let (Some(line), Some(column)) = (number("Line: "), number("Column: ")) else {
        return 0;
    };
    let start: usize = sql.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let inside = sql[start..].char_indices().nth(column.saturating_sub(1));
    inside.map_or(sql.len(), |(at, _)| start + at)
}

fn sqlite_only(words: &Words<'_>) -> bool {
    let heads: [&[&str]; 12] = [
        &["create", "trigger"],
        &["create", "temp", "trigger"],
        &["create", "temporary", "trigger"],
        &["create", "virtual", "table"],
        &["alter", "table"],
        &["drop"],
        &["reindex"],
        &["attach"],
        &["detach"],
        &["analyze"],
        &["vacuum"],
        &["pragma"],
    ];
    heads.iter().any(|head| words.ahead(head))
}
