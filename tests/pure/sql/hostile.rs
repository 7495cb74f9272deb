//! Text made of what trips scanners: nothing panics, and the scanner sees what the parser sees.

use Class::Irreversible;
use Dialect::{Mysql, Postgres, Sqlite};
use backout::sql::{Class, Dialect, check_read_only, judge, parse_one, split, zones};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use squawk_syntax::{SourceFile, SyntaxKind};

/// Random text made of what trips scanners.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("`"),
        Just("$$"),
        Just("$a$"),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("\\"),
        Just(";"),
        Just("\n"),
        Just(" "),
        Just("E'"),
        Just("U&\""),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("select "),
        Just("alter table "),
        Just("rename "),
        Just("to "),
        Just("t "),
        Just("add "),
        Just("drop "),
        Just("column "),
        Just("begin "),
        Just("end "),
        Just("case "),
        Just("1.e"),
        Just("{{ x }}"),
        Just("é"),
        Just("\u{200b}"),
        Just(","),
        Just("."),
        Just("="),
        Just("create "),
        Just("index "),
        Just("on "),
        Just("update "),
        Just("set "),
        Just("from "),
        Just("with "),
        Just("as "),
        Just("grant "),
        Just("type "),
        Just("value "),
        Just("'v' "),
        Just("#"),
        Just("$1"),
        Just("?"),
        Just(":x"),
        Just("explain "),
        Just("analyze "),
        Just("table "),
        Just("trigger "),
        Just("into "),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_zones_cover(text in nasty()) {
        for dialect in [Postgres, Mysql, Sqlite] {
            let statement = judge(dialect, &text);
            prop_assert!(statement.class != Irreversible || statement.object().is_some() || !statement.kind.is_empty());
            let _ = check_read_only(dialect, &text);
            let mut end = 0;
            for (range, _) in zones(dialect, &text) {
                prop_assert_eq!(range.start, end);
                prop_assert!(range.end > range.start && text.is_char_boundary(range.end));
                end = range.end;
            }
            prop_assert_eq!(end, text.len());
            if let Ok(pieces) = split(dialect, &text) {
                // A comment ends with its line; MySQL's two dashes become one where a line ends behind them.
                let ended = |piece: &String| format!("{piece}{}", if piece.ends_with("--") { "" } else { "\n" });
                let joined = pieces.iter().map(ended).collect::<Vec<_>>().join(";");
                prop_assert_eq!(split(dialect, &joined).ok(), Some(pieces));
            }
        }
    }

    /// Two scanners that disagree are a way in: what one takes for a string the other runs.
    #[test]
    fn zones_agree_with_the_parser(text in nasty()) {
        let parse = SourceFile::parse(&text);
        if !parse.errors().is_empty() || parse_one(Postgres, &text).is_err() {
            return Ok(());
        }
        let ours = zones(Postgres, &text);
        for token in parse.syntax_node().descendants_with_tokens().filter_map(|element| element.into_token()) {
            let start = usize::from(token.text_range().start());
            if token.kind() == SyntaxKind::COMMENT || token.text().starts_with(['\'', '"', '$']) && token.text().len() > 2 {
                prop_assert!(ours.iter().any(|(range, _)| range.start == start), "{:?} at {start}", token.text());
            }
        }
    }
}

#[test]
fn deep_and_long_text_is_refused_or_read_but_never_fatal() {
    for text in [
        format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}true", "NOT ".repeat(50_000)),
        format!("SELECT {}1", "- ".repeat(50_000)),
        format!("SELECT 1{}", " + 1".repeat(9_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(5_000)),
        format!("SELECT a{}", "::int".repeat(4_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(5_000), " END".repeat(5_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(5_000)),
    ] {
        for dialect in [Postgres, Mysql, Sqlite] {
            let _ = judge(dialect, &text);
        }
    }
}
