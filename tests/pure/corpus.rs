//! Every runbook in `tests/corpus/runbook` against what `backout lint` says of it, exactly.
//!
//! `BACKOUT_BLESS=1` writes what it says now.

use std::path::{Path, PathBuf};

use backout::cli::lint::{Args, lint};

fn said(file: &Path) -> String {
    let mut out = Vec::new();
    let args = Args { files: vec![file.to_owned()], json: false };
    let code = lint(&args, &mut out).unwrap();
    format!("exit {code}\n{}", String::from_utf8(out).unwrap())
}

#[test]
fn every_bad_runbook_says_what_is_wrong() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("tests/corpus/runbook").unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 60, "{} files", files.len());
    let bless = std::env::var_os("BACKOUT_BLESS").is_some();
    let mut differ = Vec::new();
    for file in &files {
        let found = said(file);
        let kept = file.with_extension("expected");
        if bless {
            std::fs::write(&kept, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&kept).unwrap_or_default();
        if found != expected {
            differ.push(format!("{}\n--- expected\n{expected}\n--- found\n{found}", file.display()));
        }
        for line in found.lines() {
            assert!(backout::text::is_clean(line).is_ok(), "{}: {line:?}", file.display());
        }
        assert!(!found.contains("hunter2"), "{}", file.display());
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}

#[test]
fn what_is_no_file_is_refused() {
    for (path, said_of) in [
        ("tests/corpus/runbook", "error: cannot be read: there is no such file"),
        ("tests/corpus/no-such.yaml", "error: cannot be read: there is no such file"),
        ("/dev/zero", "error: is not a regular file"),
    ] {
        let found = said(Path::new(path));
        assert!(found.starts_with("exit 3\n") && found.contains(said_of), "{found}");
    }
}

#[test]
fn a_pipe_and_a_link_out_of_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(said(&pipe).contains("is not a regular file"));

    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("up.sql")).unwrap();
    let file = folder.path().join("runbook.yaml");
    let text = "backout: 1\nname: x\nmigration: { up: [up.sql] }\nsteps: [{ id: s, manual: Look }]\n";
    std::fs::write(&file, text).unwrap();
    assert!(said(&file).contains("`up.sql` is a link that leads out of the runbook's folder"));
}

#[test]
fn a_long_file_is_refused_without_being_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.yaml");
    std::fs::File::create(&file).unwrap().set_len(16 * 1024 * 1024).unwrap();
    assert!(said(&file).contains("is longer than 1 MiB"));
}

#[test]
fn ten_thousand_steps_are_refused_or_read_but_never_hang() {
    let mut text = String::from("backout: 1\nname: many\nsteps:\n");
    for i in 0..10_000 {
        text.push_str(&format!("  - {{ id: s{i}, manual: Look }}\n"));
    }
    let start = std::time::Instant::now();
    let loaded = backout::runbook::load_str("many.yaml", &text, Path::new("."));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    assert!(loaded.is_ok() || loaded.unwrap_err().has_errors());
}
