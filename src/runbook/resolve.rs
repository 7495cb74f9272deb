//! From the tree to the model: every key, every name, every shape, with all that is wrong said at once.
//!
//! Owns the defaults (layer, phase, title, `after`) and the links between steps. Sections are read by `parts`, `never`,
//! `checks`, `sets` with `sources`, and `steps` with `actions`, `events` and `conduct`; the graph is closed by `links`, and
//! `written` keeps what the author wrote. Never judges SQL: `lint` does, on the finished model.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::parse::{self, Node, fields::Reader, tree::Value};
use super::{Runbook, Severity, TargetKind, lint};
use crate::text::sha256;

mod actions;
mod answers;
mod bound;
mod breaks;
mod checks;
mod conduct;
mod events;
mod links;
mod names;
mod never;
mod parts;
mod sets;
mod sources;
mod steps;
mod written;

use names::Names;

/// A runbook that may run, and what its author should look at.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub runbook: Runbook,
    pub warnings: Diagnostics,
}

/// A target that is opened elsewhere than the file says: a rehearsal's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub target: String,
    pub kind: TargetKind,
    pub address: String,
}

/// Reads, resolves and lints a file. Paths in it are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it, at once, warnings among them.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    load_moved(path, &[])
}

/// The same with some targets elsewhere: the SQL of each is judged by the dialect that it will meet, so a runbook
/// without a form for that dialect is refused here.
///
/// # Errors
/// Everything that is wrong with it, at once. A `moved` target that the runbook does not have is ignored.
pub fn load_moved(path: &Path, moved: &[Moved]) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = parse::read(path).map_err(|d| Diagnostics::new(&*name, "", vec![d]))?;
    load_text(&name, &text, folder(path), moved)
}

/// A runbook to look at, not to run: the model is there also where its only errors are parts of the format that this
/// release does not run.
pub fn load_to_show(path: &Path) -> (Option<Runbook>, Diagnostics) {
    let name = path.display().to_string();
    match parse::read(path) {
        Ok(text) => {
            let (runbook, diagnostics) = examine(&name, &text, folder(path), &[]);
            (runbook.filter(|_| diagnostics.only_later()), diagnostics)
        }
        Err(wrong) => (None, Diagnostics::new(&*name, "", vec![wrong])),
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The same for a text; `base` is the folder that paths in it are relative to.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_str(name: &str, text: &str, base: &Path) -> Result<Loaded, Diagnostics> {
    load_text(name, text, base, &[])
}

fn load_text(name: &str, text: &str, base: &Path, moved: &[Moved]) -> Result<Loaded, Diagnostics> {
    match examine(name, text, base, moved) {
        (Some(runbook), diagnostics) if !diagnostics.has_errors() => Ok(Loaded { runbook, warnings: diagnostics }),
        (_, diagnostics) => Err(diagnostics),
    }
}

fn examine(name: &str, text: &str, base: &Path, moved: &[Moved]) -> (Option<Runbook>, Diagnostics) {
    let (root, mut found) = parse::tree(text);
    let Some(root) = root else {
        return (None, Diagnostics::new(name, text, found));
    };
    let cx = Cx {
        r: Reader::new(text),
        names: Names::default(),
        base: base.to_owned(),
        used: RefCell::default(),
        places: RefCell::default(),
    };
    let (mut runbook, cx) = read(&root, cx);
    let Cx { r, used, places, .. } = cx;
    found.extend(r.into_found());
    let whole = found.iter().all(|d| d.later || d.severity != Severity::Error);
    if let Some(runbook) = &mut runbook {
        for moved in moved {
            if let Some(target) = runbook.targets.get_mut(&moved.target) {
                target.kind = moved.kind;
                target.address.clone_from(&moved.address);
            }
        }
        let (places, used) = (&places.into_inner(), &used.into_inner());
        found.extend(lint::judge(runbook, &lint::Known { source: text, places, used, whole }));
    }
    (runbook, Diagnostics::new(name, text, found))
}

/// What stands in the file under which place: `step x`, `step x action`, `check x`, `var x`, …
pub type Places = HashMap<String, Range<usize>>;

/// Everything that a section needs while it is read.
struct Cx<'a> {
    r: Reader<'a>,
    names: Names,
    base: PathBuf,
    /// `var x`, `check x`, `set x`, `reading x`: what something refers to.
    used: RefCell<HashSet<String>>,
    places: RefCell<Places>,
}

impl Cx<'_> {
    fn place(&self, what: impl Into<String>, span: &Range<usize>) {
        self.places.borrow_mut().insert(what.into(), span.clone());
    }

    fn used(&self, what: &str, name: &str) {
        self.used.borrow_mut().insert(format!("{what} {name}"));
    }
}

fn read<'a>(root: &Node, mut cx: Cx<'a>) -> (Option<Runbook>, Cx<'a>) {
    cx.names = Names::collect(root, &cx.r);
    let runbook = document(root, &cx);
    (runbook, cx)
}

fn document(root: &Node, cx: &Cx) -> Option<Runbook> {
    let r = &cx.r;
    let fields = r.fields(root)?;
    match fields.get("backout") {
        None => r.error_help(
            &fields.head(),
            "`backout` is missing",
            "a runbook begins with `backout: 1`, the version of its format",
        ),
        Some(Node { value: Value::Number(n), .. }) if n == "1" => {}
        Some(Node { value: Value::Number(n), span }) => {
            r.error(span, format!("the file has format {n}, and this program reads format 1"));
        }
        Some(node) => r.error_help(&node.span, "expected the number of a format", "write `backout: 1`"),
    }
    let name = fields.need("name").and_then(|n| r.text(n).filter(|t| r.is_name(t, &n.span)));
    let title = fields.get("title").and_then(|n| r.text(n));
    let summary = fields.get("summary").and_then(|n| r.text(n));
    let section = |key| fields.get(key);
    let migration = section("migration").and_then(|n| parts::migration(cx, n));
    let (targets, fleets) = section("targets").map(|n| parts::targets(cx, n)).unwrap_or_default();
    let services = section("services").map(|n| parts::services(cx, n)).unwrap_or_default();
    let vars = section("vars").map(|n| parts::vars(cx, n)).unwrap_or_default();
    let readings = section("readings").map(|n| checks::all(cx, n, true)).unwrap_or_default();
    let sets = sets::all(cx, section("sets"), &targets);
    let checks = section("checks").map(|n| checks::all(cx, n, false)).unwrap_or_default();
    let mut guards = section("guards").map(|n| checks::guards(cx, n)).unwrap_or_default();
    let never = section("never").map(|n| never::all(cx, n)).unwrap_or_default();
    let deadlines = section("deadlines").map(|n| conduct::deadlines(cx, n)).unwrap_or_default();
    let fragments = section("fragments").map(|n| conduct::fragments(cx, n)).unwrap_or_default();
    let trust = section("trust").map(|n| conduct::trust(cx, n)).unwrap_or_default();
    let drafts = match section("steps") {
        Some(node) => steps::all(cx, node),
        None => {
            r.error(&fields.head(), "`steps` is missing");
            IndexMap::new()
        }
    };
    fields.finish_as("runbook");
    let mut steps = links::close(cx, drafts, &mut guards);
    breaks::needs(&mut steps, &targets, &services);
    let name = name?;
    Some(Runbook {
        title: title.unwrap_or_else(|| name.clone()),
        name,
        summary: summary.unwrap_or_default(),
        digest: sha256(r.source.as_bytes()),
        source: r.source.to_owned(),
        base: cx.base.clone(),
        migration,
        targets,
        fleets,
        services,
        vars,
        readings,
        sets,
        checks,
        guards,
        never,
        deadlines,
        fragments,
        trust,
        steps,
    })
}

/// Whether a kind of target takes SQL.
fn takes_sql(kind: TargetKind) -> bool {
    kind.dialect().is_some()
}

fn warn(cx: &Cx, span: &Range<usize>, message: impl Into<String>, help: &str) {
    cx.r.say(Diagnostic::warning(span.clone(), message).help(help));
}
