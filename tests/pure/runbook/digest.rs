//! The step digest: of what the author wrote, and of nothing else.

use std::path::Path;

use backout::runbook::load_str;

const WRITTEN: &str = r#"
backout: 1
name: x
targets: { shop: { postgres: "${A}" } }
checks:
  c: { on: shop, query: "SELECT 1", expect: 1 }
  d: { on: shop, query: "SELECT 2", expect: 2 }
steps:
  - id: a
    on: shop
    title: Rename it
    needs: [c]
    ddl: |
      ALTER TABLE orders RENAME COLUMN a TO b
    verify: [d]
    undo:
      ddl: |
        ALTER TABLE orders RENAME COLUMN b TO a
  - { id: b, phase: release, undo_of: a }
"#;

fn digest(text: &str, step: &str) -> String {
    load_str("x.yaml", text, Path::new(".")).unwrap_or_else(|d| panic!("{d}")).runbook.steps[step].digest.clone()
}

#[test]
fn a_step_digest_is_of_what_the_author_wrote() {
    // Fixed: a rehearsal of last month is compared with this one, whatever this program calls its fields.
    assert_eq!(digest(WRITTEN, "a"), "946533e7cf13204a81f256bcdcdc0308f451c22c251ad9e42ff3cc643ff94472");
    assert_eq!(digest(WRITTEN, "b"), "9156119f45348e0e217cc9a5bdb2e6076092ae9187758dd88b5ec3c8f36a3e4e");
    let same = |from: &str, to: &str| {
        assert!(WRITTEN.contains(from), "{from}");
        assert_eq!(digest(&WRITTEN.replace(from, to), "a"), digest(WRITTEN, "a"), "{from} -> {to}");
    };
    same("    needs: [c]\n", "    # A comment.\n    needs: [ c ]   # And one more.\n");
    same("    needs: [c]\n", "    needs:\n      - \"c\"\n");
    same("    title: Rename it\n", "");
    same("{ on: shop, query: \"SELECT 2\", expect: 2 }", "{ expect: 2, query: \"SELECT 2\", on: shop }");
    same("|\n      ALTER TABLE orders RENAME COLUMN a TO b\n", "\"ALTER TABLE orders RENAME COLUMN a TO b\"\n");
    let text =
        WRITTEN.replace("    verify: [d]\n", "").replace("    needs: [c]\n", "    verify: [d]\n    needs: [c]\n");
    assert_eq!(digest(&text, "a"), digest(WRITTEN, "a"));
}

#[test]
fn a_step_digest_tells_what_was_changed() {
    let mut seen = vec![digest(WRITTEN, "a")];
    for (from, to) in [
        ("RENAME COLUMN a TO b", "RENAME COLUMN a TO c"),
        ("RENAME COLUMN b TO a", "RENAME COLUMN c TO a"),
        ("SELECT 1", "SELECT 1 + 0"),
        ("expect: 2", "expect: \"2\""),
        ("needs: [c]", "needs: [{ check: c, hard: true }]"),
        ("verify: [d]", "verify: [d, c]"),
        ("    needs: [c]\n", ""),
    ] {
        assert!(WRITTEN.contains(from), "{from}");
        let found = digest(&WRITTEN.replacen(from, to, 1), "a");
        assert!(!seen.contains(&found), "{from} -> {to}");
        seen.push(found);
    }
    // What undoes a step says what it undoes.
    assert_ne!(digest(&WRITTEN.replace("COLUMN b TO a", "COLUMN c TO a"), "b"), digest(WRITTEN, "b"));
    assert_eq!(
        digest(&WRITTEN.replace("    needs: [c]\n", "    why: So\n    needs: [c]\n"), "b"),
        digest(WRITTEN, "b")
    );
}
