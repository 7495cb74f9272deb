//! Files of outside records: what is taken, and where the others are wrong.

use std::fs;
use std::path::PathBuf;

use backout::target::records::read_file;
use serde_json::{Value, json};
use tempfile::TempDir;

fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn rows(name: &str, bytes: impl AsRef<[u8]>, key: Option<&str>) -> Vec<Value> {
    let (_dir, path) = file(name, bytes);
    read_file(&path, key).unwrap().into_iter().map(Value::Object).collect()
}

/// The message after the file's name.
fn refusal(name: &str, bytes: impl AsRef<[u8]>, key: Option<&str>) -> String {
    let (_dir, path) = file(name, bytes);
    let failure = read_file(&path, key).unwrap_err();
    assert_eq!(failure.exit_code(), 8);
    failure.message.split_once("cannot be used: ").unwrap().1.to_owned()
}

#[test]
fn csv_values_stay_text() {
    let found =
        rows("psp.csv", "charge_id,amount_cents,note\nch_1,0010,\nch_2,25,\"a, \"\"b\"\"\nc\"\n", Some("charge_id"));
    assert_eq!(
        found,
        [
            json!({"charge_id": "ch_1", "amount_cents": "0010", "note": ""}),
            json!({"charge_id": "ch_2", "amount_cents": "25", "note": "a, \"b\"\nc"}),
        ]
    );
}

#[test]
fn a_byte_order_mark_and_crlf_are_no_part_of_a_name() {
    assert_eq!(rows("x.csv", "\u{feff}id,s\r\n1,a\r\n", Some("id")), [json!({"id": "1", "s": "a"})]);
    assert_eq!(rows("x.jsonl", "\u{feff}{\"id\":1}\r\n\r\n", Some("id")), [json!({"id": 1})]);
}

#[test]
fn json_lines_keep_numbers_as_they_are_written() {
    let found = rows(
        "x.ndjson",
        "{\"id\":\"a\",\"n\":0.10,\"in\":{\"x\":[1]}}\n\n{\"id\":12345678901234567890123}\n",
        Some("id"),
    );
    assert_eq!(found[0]["n"].to_string(), "0.10");
    assert_eq!(found[0]["in"]["x"], json!([1]));
    assert_eq!(found[1]["id"].to_string(), "12345678901234567890123");
}

#[test]
fn a_header_alone_is_an_empty_set() {
    assert!(rows("x.csv", "id,s\n", Some("id")).is_empty());
    assert!(rows("x.jsonl", "", Some("id")).is_empty());
}

#[test]
fn wrong_csv_is_refused_with_its_line() {
    let cases: [(&str, &[u8], &str); 12] = [
        ("ragged", b"id,s\n1,a\n2\n", "line 3: 1 values where the header names 2 columns"),
        ("longer", b"id,s\n1,a,b\n", "line 2: 3 values where the header names 2 columns"),
        ("twice", b"id,s,id\n1,a,2\n", "line 1: column id stands there twice"),
        ("nameless", b"id,,s\n1,a,2\n", "line 1: column 2 has no name"),
        ("spaced", b"id, s\n1,a\n", "line 1: column \" s\" has white space around its name"),
        ("empty", b"", "it is empty: the first line names the columns"),
        ("latin1", b"id,s\n1,caf\xe9\n", "line 2: a byte (0xE9) that is not UTF-8"),
        ("utf16", b"\xff\xfei\0d\0", "it is UTF-16; save it as UTF-8"),
        ("zero", b"id,s\n1,a\n2,\0\n", "line 3: a zero byte"),
        ("semicolons", b"id;s\n1;a\n", "line 1: columns are separated by something other than a comma"),
        (
            "open quote",
            b"id,s\n1,a\n2,\"b\n3,c\n",
            "line 3: a quote is opened here and never closed, or one stands alone in the file",
        ),
        ("no key", b"ID,s\n1,a\n", "line 2: no column id, the key; there are ID, s"),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(refusal("x.csv", bytes, Some("id")), expected, "{name}");
    }
    assert_eq!(refusal("x.csv", "id,s\n1,a\n,b\n", Some("id")), "line 3: column id, the key, is empty");
    assert_eq!(refusal("x.csv", "id,s\n1,a\n2,b\n1,c\n", Some("id")), "line 4: id 1 stands on line 2 already");
}

#[test]
fn wrong_json_lines_are_refused_with_their_line() {
    let cases: [(&str, &str, &str); 7] = [
        ("cut", "{\"id\":1}\n{\"id\":\n", "line 2: EOF while parsing a value (column 6)"),
        ("list", "[1]\n", "line 1: invalid type: sequence, expected an object (column 0)"),
        ("pretty", "{\n\"id\":1\n}\n", "line 1: EOF while parsing an object (column 1)"),
        ("two", "{\"id\":1}{\"id\":2}\n", "line 1: trailing characters (column 9)"),
        ("twice", "{\"id\":1,\"s\":1,\"s\":2}\n", "line 1: field s stands there twice (column 20)"),
        ("null key", "{\"id\":null}\n", "line 1: column id, the key, is empty"),
        ("key of a kind", "{\"id\":{}}\n", "line 1: column id, the key, is neither text nor number"),
    ];
    for (name, text, expected) in cases {
        assert_eq!(refusal("x.jsonl", text, Some("id")), expected, "{name}");
    }
}

#[test]
fn what_is_no_file_of_records_is_refused() {
    let (dir, path) = file("x.xlsx", "PK");
    let failure = read_file(&path, None).unwrap_err();
    assert!(failure.message.ends_with("its name says neither CSV nor JSON Lines"), "{failure}");

    let missing = read_file(&dir.path().join("y.csv"), None).unwrap_err();
    assert!(missing.message.contains("it cannot be opened: No such file"), "{missing}");

    let folder = dir.path().join("d.csv");
    fs::create_dir(&folder).unwrap();
    assert!(read_file(&folder, None).unwrap_err().message.ends_with("it is no regular file"));

    let pipe = dir.path().join("p.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(read_file(&pipe, None).unwrap_err().message.ends_with("it is no regular file"));

    let long = dir.path().join("long.csv");
    fs::File::create(&long).unwrap().set_len((256 << 20) + 1).unwrap();
    assert!(read_file(&long, None).unwrap_err().message.ends_with("it is longer than 256 MiB"));
}

#[test]
fn what_a_file_says_is_shown_safely() {
    let message = refusal("x.csv", "id,\u{1b}[2J,\u{1b}[2J\n", None);
    assert_eq!(message, "line 1: column ␛[2J stands there twice");
}
