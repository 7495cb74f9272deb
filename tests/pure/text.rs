//! The sanitiser, secrets, and the names and failures built on them.

use backout::failure::{Failure, Kind};
use backout::names;
use backout::text::{Secret, Shown, is_clean, is_visible, multiline, scrub};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[test]
fn every_hostile_character_becomes_visible() {
    for (hostile, shown) in [
        ("\x1b]0;pwned\x07", "␛]0;pwned␇"),
        ("a\rb\nc\td\0", "a␍b␊c␉d␀"),
        ("\x7f\u{9b}2J", "␡<U+009B>2J"),
        ("drop\u{202e}elbat", "drop<U+202E>elbat"),
        ("a\u{200b}b\u{feff}\u{ad}\u{2028}", "a<U+200B>b<U+FEFF><U+00AD><U+2028>"),
        ("\u{3164}\u{e0041}", "<U+3164><U+E0041>"),
        ("zażółć 日本 👍", "zażółć 日本 👍"),
    ] {
        assert_eq!(Shown::new(hostile), shown);
        assert_eq!(Shown::from_bytes(hostile.as_bytes()), shown);
        assert_eq!(Shown::from(hostile.to_owned()), shown);
    }
    assert_eq!(Shown::from_bytes(b"ok \xff\xc3( \xe2\x82"), "ok <FF><C3>( <E2><82>");
    let json: Shown = serde_json::from_str("\"\\u001b[2J\"").unwrap();
    assert_eq!(json, "␛[2J");
}

#[test]
fn caps_count_characters_and_say_so() {
    assert_eq!(Shown::capped("abcdef", 6), "abcdef");
    assert_eq!(Shown::capped("abcdefg", 6), "abcde…");
    assert_eq!(Shown::capped("日本日本", 3), "日本…");
    assert_eq!(Shown::capped("\u{202e}\u{202e}", 10), "<U+202E><…");
    assert_eq!(Shown::capped("a", 0), "");
    assert_eq!(Shown::capped("", 0), "");
}

#[test]
fn random_bytes_never_leak() {
    let mut rng = StdRng::seed_from_u64(7);
    let spice = ["\x1b[2J", "\u{202e}", "\r", "\u{9b}", "\u{200d}", "\0", "\n", "é", "\u{e0020}"];
    for _ in 0..5_000 {
        let mut bytes: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random()).collect();
        let at = rng.random_range(0..=bytes.len());
        bytes.splice(at..at, spice[rng.random_range(0..spice.len())].bytes());
        let shown = Shown::from_bytes(&bytes);
        assert!(shown.as_str().chars().all(is_visible), "{bytes:?} gave {shown:?}");
        assert_eq!(Shown::new(shown.as_str()), shown, "sanitising twice changes nothing");
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(Shown::new(&text).as_str().chars().take(5).collect::<String>(), {
            let capped = Shown::capped(&text, 6).into_string();
            capped.chars().take(5).collect::<String>()
        });
    }
}

#[test]
fn several_lines_and_clean_sql() {
    assert_eq!(multiline("a\tb\r\nc\x1b\n"), ["a    b", "c␛", ""]);
    assert_eq!(is_clean("SELECT 1\n\t, 'ż'"), Ok(()));
    assert_eq!(is_clean("ż\u{202e}"), Err((2, '\u{202e}')));
    assert_eq!(is_clean("SELECT 1\r"), Err((8, '\r')));
}

#[test]
fn secrets_are_hidden_everywhere() {
    let secrets = [Secret::new("p@ss/wörd"), Secret::new("p@ss"), Secret::new("")];
    let text = "dsn postgres://u:p%40ss%2Fw%C3%B6rd@h and p%40ss%2fw%c3%b6rd and p@ss/wörd and p@ss";
    let clean = scrub(text, &secrets);
    assert_eq!(clean, "dsn postgres://u:•••@h and ••• and ••• and •••");
    assert_eq!(format!("{:?}", secrets[0]), "•••");
    assert_eq!(secrets[0].expose(), "p@ss/wörd");
}

#[test]
fn a_failure_reads_as_sentences() {
    let failure = Failure::new(Kind::Target, "cannot connect to shop")
        .cause("FATAL: \x1b[31mno\nDETAIL: more")
        .hint("check SHOP_DATABASE_URL");
    assert_eq!(
        failure.to_string(),
        "cannot connect to shop\nbecause: FATAL: ␛[31mno\n    DETAIL: more\nhint: check SHOP_DATABASE_URL"
    );
    let codes = [Kind::RedCheck, Kind::Usage, Kind::Runbook, Kind::Refused, Kind::Held, Kind::UndoFailed];
    assert_eq!(codes.map(Kind::exit_code), [1, 2, 3, 4, 5, 6]);
    let codes = [Kind::Unknown, Kind::Target, Kind::AuditBroken, Kind::Defect, Kind::AuditUnwritable];
    assert_eq!(codes.map(Kind::exit_code), [7, 8, 9, 70, 74]);
    assert_eq!([Kind::Interrupted, Kind::Terminated].map(Kind::exit_code), [130, 143]);
}

#[test]
fn names_fit_where_they_go() {
    assert_eq!(names::application_name("01JH8ABC", "rename-back", 2), "backout/01JH8ABC/rename-back/2");
    let long = names::application_name("01JH8ABCDEFG", &"żółw-".repeat(40), u32::MAX);
    assert!(long.len() <= 63 && long.is_ascii() && long.ends_with("~/4294967295"), "{long}");
    assert_eq!(names::Place::Schema.table(names::CLAIM), "backout.claim");
    assert_eq!(names::Place::Prefix.table(&names::frozen("stuck")), "backout_frozen_stuck");
    let (a, b) = (names::frozen(&format!("{}a", "x".repeat(80))), names::frozen(&format!("{}b", "x".repeat(80))));
    assert!(a != b && names::Place::Prefix.table(&a).len() <= 63);
}
