//! The house keeps its shape: dependencies point one way, the pure modules know no client library, no file grows past
//! one sitting, and the top level holds what it is meant to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use self::source::{code_only, uses, words};

mod source;

/// From the top of the house to its ground. An edge leads to a lower floor, or between rooms of one floor without a cycle.
const FLOORS: &[&[&str]] = &[
    &["cli"],
    &["tui", "driver", "rehearsal", "report", "draft"],
    &["engine"],
    &["action", "survey"],
    &["check"],
    &["shapes"],
    &["target", "audit"],
    &["run"],
    &["runbook"],
    &["sql"],
    &["failure", "telemetry", "names"],
    &["text"],
];

/// These decide and describe; they never connect, draw or wait.
const PURE: &[&str] = &["text", "sql", "runbook", "run"];
const NOT_IN_PURE: &[&str] = &["tokio", "sqlx", "rdkafka", "ratatui", "crossterm", "reqwest"];

/// `run` reads no clock and touches no file: a replay of the log gives the same state anywhere.
const NOT_IN_RUN: &[&str] = &["SystemTime", "Instant", "now", "fs", "env"];

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".gitattributes",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "runbooks",
    "src",
    "tests",
];

const MOST_LINES: usize = 600;

#[test]
fn dependencies_point_one_way() {
    let files = sources("src");
    let modules: BTreeSet<String> = files.iter().filter_map(|file| home(file)).collect();
    let homeless: Vec<_> = modules.iter().filter(|module| floor(module).is_none()).collect();
    assert!(homeless.is_empty(), "modules without a floor in this test and in the design: {homeless:?}");

    let mut wrong = Vec::new();
    let mut beside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let Some(from) = home(file) else { continue };
        for to in uses(&read(file), depth(file), &modules).into_iter().filter(|to| *to != from) {
            match (floor(&from), floor(&to)) {
                (Some(here), Some(there)) if here < there => {}
                (Some(here), Some(there)) if here == there => {
                    beside.entry(from.clone()).or_default().insert(to);
                }
                _ => wrong.push(format!("{}: {from} uses {to}, which stands above it", file.display())),
            }
        }
    }
    wrong.extend(cycle(&beside).map(|path| format!("a cycle on one floor: {}", path.join(" → "))));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_modules_know_no_client_library() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(module) = home(&file).filter(|module| PURE.contains(&module.as_str())) else {
            continue;
        };
        let code = code_only(&read(&file));
        let found = words(&code).filter(|word| NOT_IN_PURE.contains(word)).collect::<BTreeSet<_>>();
        wrong.extend(found.iter().map(|word| format!("{}: names {word}", file.display())));
        if module == "run" {
            let paths = code.replace(char::is_whitespace, "");
            let reached = NOT_IN_RUN.iter().filter(|word| {
                paths.contains(&format!("::{word}("))
                    || paths.contains(&format!("std::{word}::"))
                    || words(&code).any(|found| found == **word && word.starts_with(char::is_uppercase))
            });
            wrong.extend(reached.map(|word| format!("{}: reaches for {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let mut wrong = Vec::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let lines = read(&file).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines, of {MOST_LINES} at most", file.display()));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{}: a module x stands in x.rs", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_what_it_is_meant_to_hold() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    // An unpacked archive has no index to ask.
    let Some(listed) = listed.ok().filter(|output| output.status.success()) else {
        return;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = listed.split('\0').filter_map(|path| path.split('/').next()).collect();
    let strange: Vec<_> = top.iter().filter(|name| !name.is_empty() && !TOP_LEVEL.contains(name)).collect();
    assert!(strange.is_empty(), "not meant for the top level: {strange:?}");
}

#[test]
fn this_test_sees_an_upward_edge() {
    let modules = ["cli", "engine", "run", "sql", "text"].map(String::from).into();
    let seen = |source: &str, depth| uses(source, depth, &modules).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(seen("use crate::engine::Engine;", 1), "engine");
    assert_eq!(seen("use crate::{\n    engine::{self, worker::Go},\n    sql, text::Shown,\n};", 1), "engine sql text");
    assert_eq!(seen("fn f() -> crate::run::State { crate::sql::parse(x) }", 1), "run sql");
    assert_eq!(seen("use super::super::cli::Verb;", 2), "cli");
    assert_eq!(seen("mod tests { use super::super::cli; use super::Own; }", 1), "cli");
    assert_eq!(seen("// crate::cli\n/* crate::cli /* */ crate::engine */ /// [`crate::cli`]\n", 1), "");
    assert_eq!(seen(r###"let s = "crate::cli"; let r = r#"" crate::cli "#; let c = '"'; crate::run::x()"###, 1), "run");
    assert_eq!(seen("fn f<'a>(x: &'a str) { crate::text::shown(x) } // it's", 1), "text");
    assert_eq!(seen("pub(crate) fn f() {} use some_crate::cli; use backout::cli;", 1), "");

    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry((*from).into()).or_default().insert((*to).into());
        }
        cycle(&graph)
    };
    assert_eq!(graph(&[("tui", "driver"), ("rehearsal", "driver"), ("tui", "rehearsal")]), None);
    let ring = graph(&[("tui", "driver"), ("driver", "report"), ("report", "tui")]).unwrap();
    assert_eq!(ring.len(), 4, "{ring:?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// Every `.rs` file under a folder of the crate, from the crate's own directory.
fn sources(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The top-level module that a file under `src` belongs to. `main.rs` and `lib.rs` belong to none: they see the whole.
fn home(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?.to_owned();
    (name != "main" && name != "lib").then_some(name)
}

/// How many modules stand between a file and the crate's root, its own among them.
fn depth(file: &Path) -> usize {
    file.components().count() - 1
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&module))
}

/// A path that ends where it begins, if the graph has one.
fn cycle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn follow(graph: &BTreeMap<String, BTreeSet<String>>, path: &mut Vec<String>) -> bool {
        let here = path[path.len() - 1].clone();
        for next in graph.get(&here).into_iter().flatten() {
            let closes = path[0] == *next;
            if !closes && path.contains(next) {
                continue;
            }
            path.push(next.clone());
            if closes || follow(graph, path) {
                return true;
            }
            path.pop();
        }
        false
    }
    graph.keys().find_map(|start| {
        let mut path = vec![start.clone()];
        follow(graph, &mut path).then_some(path)
    })
}
