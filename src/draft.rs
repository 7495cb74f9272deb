//! Steps that a runbook does not have yet, written out to be put into it.
//!
//! Owns the YAML of compatibility forms: what they do stands in [`crate::sql::shim`], what they are filled in with comes
//! from the live catalog. Read-only; never changes a runbook.

use std::fmt::Write as _;

use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Action, CheckRef, Need, Runbook, Service, Step};
use crate::sql::shim::{self, Beside, Form, Rename, Shim};
use crate::sql::{self, Dialect, Statement};
use crate::target::{Monitor, Targets};

mod catalog;
mod value;
mod yaml;

pub use value::{Wish, value};

use yaml::{line, list, quoted};

/// Whose what is left behind is, where the runbook's services do not say it.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    pub owner: Option<String>,
    pub remove_by: Option<String>,
}

/// A step's rename with both names kept; of the forms there are the wanted one, else the first that can be made.
///
/// # Errors
/// The step is no rename, its target does not answer, or every form is refused: with every reason.
pub async fn shim(
    runbook: &Runbook,
    step: &str,
    wanted: Option<Form>,
    owned: &Owned,
    targets: &Targets,
) -> Result<String> {
    let usage = |words: String| Failure::new(Kind::Usage, words);
    let step = runbook.steps.get(step).ok_or_else(|| usage(format!("the runbook has no step {step}")))?;
    let (dialect, statement) = renaming(runbook, step).ok_or_else(|| {
        usage(format!("{} is not one statement that renames a column or a table", step.id))
            .hint("a shim keeps both names of a rename; for a value of an enum: --value TYPE.VALUE --to VALUE")
    })?;
    let rename = Rename::of(&statement).ok_or_else(|| usage(format!("{} renames nothing", step.id)))?;
    let forms = shim::forms(dialect, &rename).map_err(|why| {
        usage(format!("there is no form that keeps both names on {dialect}")).cause(why).hint(shim::by_hand(dialect))
    })?;
    if runbook.steps.contains_key(&end(step)) {
        return Err(usage(format!("the runbook has {} already: the shim is in", end(step))));
    }
    let mut handle = open(step.on.as_deref().unwrap_or_default(), targets).await?;
    let table = catalog::table(&rename, &mut handle).await?;
    let mut refused = Vec::new();
    for form in shim::by_cost(forms, &table).into_iter().filter(|form| wanted.is_none_or(|wanted| wanted == *form)) {
        match shim::make(form, &rename, &table) {
            Ok(shim) => {
                let first = table.columns.first().map(|column| column.name.as_str()).unwrap_or_default();
                return Ok(written(runbook, step, &statement, &rename, &shim, first, &refused, owned));
            }
            Err(why) => refused.extend(why.into_iter().map(|why| format!("{}: {why}", form.word()))),
        }
    }
    if refused.is_empty() {
        refused.push(format!("{}: not for this rename", wanted.map_or("", Form::word)));
    }
    Err(usage(format!("no form keeps both names of {}", step.id)).cause(refused.join("; ")))
}

async fn open(target: &str, targets: &Targets) -> Result<Monitor> {
    targets.monitor(target).await.map_err(|failure| {
        failure.hint("the steps are filled in from the live catalog: column types, grants, triggers and indexes")
    })
}

fn renaming(runbook: &Runbook, step: &Step) -> Option<(Dialect, Statement)> {
    let Action::Ddl(forms) = &step.action else { return None };
    let dialect = runbook.targets.get(step.on.as_ref()?)?.kind.dialect()?;
    let [text] = forms.get(dialect)?.as_slice() else { return None };
    let statement = sql::judge(dialect, &text.text);
    Rename::of(&statement).map(|_| (dialect, statement))
}

/// The checks that a step's wanted name is there, and that both names say the same.
fn names(step: &str) -> (String, String) {
    (yaml::named(&format!("{step}-name")), yaml::named(&format!("{step}-both-names")))
}

/// The step that takes the second name away.
fn end(step: &Step) -> String {
    yaml::named(&format!("{}-one-name", step.id))
}

#[expect(clippy::too_many_arguments, reason = "everything that is known of the shim meets here")]
fn written(
    runbook: &Runbook,
    step: &Step,
    statement: &Statement,
    rename: &Rename,
    shim: &Shim,
    first: &str,
    refused: &[String],
    owned: &Owned,
) -> String {
    let on = step.on.as_deref().unwrap_or_default();
    let needing: Vec<&Service> = runbook
        .services
        .values()
        .filter(|service| {
            let here = service.uses.iter().filter(|used| used.target.as_deref().is_none_or(|name| name == on));
            here.map(|used| &used.name).any(|used| sql::leaves([statement], used) == Some(false))
        })
        .collect();
    let (id, end) = (&step.id, end(step));
    let (named, agree) = names(id);
    let what = match rename {
        Rename::Column { table, from, to } => format!("{table}.{from} beside {table}.{to}"),
        Rename::Table { from, to } => format!("{from} beside {to}"),
    };
    let mut out = format!("# {id} with both names kept: {}.\n", shim.form.words());
    for limit in &shim.limits {
        let _ = writeln!(out, "# - {}", line(limit));
    }
    for why in refused {
        let _ = writeln!(out, "# Not as {}", line(why));
    }
    let _ = writeln!(
        out,
        "# It stands in the place of {id}: what else that says (why, when, after, leaves) stays with it."
    );
    checks(&mut out, id, on, rename, shim, first);
    let gone = |need: &&Need| matches!(&need.check, CheckRef::ServiceGone(name) if needing.iter().any(|service| &service.name == name));
    let mut needs: Vec<_> = step.needs.iter().filter(|need| !gone(need)).map(need).collect();
    let verify = step.verify.iter().map(check).chain([named.clone(), agree.clone()]).collect::<Vec<_>>().join(", ");
    out.push_str("steps:\n");
    if let Some(before) = &shim.beside {
        beside(&mut out, step, on, before, &agree, owned, rename.table());
        needs.push(format!("{{ check: {agree}, hard: true }}"));
    }
    let _ = write!(out, "  - id: {id}\n    phase: {}\n    on: {on}\n", yaml::phase(step.phase));
    let _ = writeln!(out, "    title: {}", quoted(&step.title));
    if !needs.is_empty() {
        let _ = writeln!(out, "    needs: [{}]", needs.join(", "));
    }
    list(&mut out, 4, "ddl", &shim.ddl);
    let _ = writeln!(out, "    undo:");
    list(&mut out, 6, "ddl", &shim.undo);
    let _ = write!(out, "    verify: [{verify}]\n    done_when: [{named}]\n");
    let owner = owned.owner.clone().or_else(|| needing.iter().find_map(|service| service.owner.clone()));
    leaves(&mut out, &format!("{what}, as {}", shim.form.words()), owner.as_deref(), owned.remove_by.as_deref(), &end);
    let hard: Vec<_> =
        needing.iter().map(|service| format!("{{ service: {}, gone: true, hard: true }}", service.name)).collect();
    let _ = write!(
        out,
        "  # At the end. Skipped, it stays under \"still temporary\" with its owner and date.\n  - id: {end}\n    phase: close\n    on: {on}\n"
    );
    let _ = writeln!(out, "    title: One name again, once nobody needs the other");
    if !hard.is_empty() {
        let _ = writeln!(out, "    needs: [{}]", hard.join(", "));
    }
    list(&mut out, 4, "ddl", &shim.remove);
    let _ = writeln!(out, "    undo:");
    list(&mut out, 6, "ddl", &shim.restore);
    let _ = writeln!(out, "    verify: [{named}, {agree}]");
    out
}

/// The second column made, filled, indexed and proved while nobody knows it.
fn beside(out: &mut String, step: &Step, on: &str, made: &Beside, agree: &str, owned: &Owned, table: &str) {
    let name = |end: &str| yaml::named(&format!("{}-{end}", step.id));
    let _ = write!(out, "  - id: {}\n    phase: {}\n    on: {on}\n", name("beside"), yaml::phase(step.phase));
    let _ =
        writeln!(out, "    title: {}", quoted(&format!("Add {} to {table}, for the rows to be filled", made.column)));
    list(out, 4, "ddl", &made.ddl);
    out.push_str("    undo:\n");
    list(out, 6, "ddl", &made.undo);
    let there = yaml::named(&format!("{}-second", step.id));
    let _ = write!(out, "    verify: [{there}]\n    done_when: [{there}]\n");
    let what = format!("{table}.{}, until it has its name", made.column);
    leaves(out, &what, owned.owner.as_deref(), owned.remove_by.as_deref(), &step.id);
    let _ = writeln!(out, "  # By hand: {}.", line(&made.why));
    let what = format!("In psql, again until it says 0 rows filled: {}", made.fill);
    let _ = writeln!(out, "  - id: {}\n    layer: data\n    title: Fill the second column", name("fill"));
    let _ = writeln!(out, "    manual: {{ what: {} }}", quoted(&what));
    for (n, index) in made.indexes.iter().enumerate() {
        let id = name(&format!("index-{}", n + 1));
        let _ = writeln!(out, "  - id: {id}\n    on: {on}\n    ddl: |\n{}", yaml::block(6, index));
    }
    let _ = writeln!(
        out,
        "  - id: {}\n    on: {on}\n    title: Let the server prove that every row is filled",
        name("proved")
    );
    let _ = writeln!(out, "    ddl: |\n{}\n    undo:", yaml::block(6, &made.prove));
    list(out, 6, "ddl", &made.unprove);
    let _ = writeln!(out, "    verify: [{agree}]");
}

fn checks(out: &mut String, id: &str, on: &str, rename: &Rename, shim: &Shim, first: &str) {
    let (named, agree) = names(id);
    let (column, title) = match rename {
        Rename::Column { table, to, .. } => (format!("{table}.{to}"), format!("{table}.{to} is there")),
        Rename::Table { to, .. } => (format!("{to}.{first}"), format!("{to} is there")),
    };
    // It reads every row, each time it is asked.
    let every = match (&shim.beside, shim.form) {
        (None, Form::Column) => "    every: 1m\n    fresh: 2m\n",
        _ => "",
    };
    let _ = write!(
        out,
        "checks:\n  {named}:\n    layer: schema\n    on: {on}\n    title: {}\n    schema: {{ column: {} }}\n  {agree}:\n    layer: data\n    on: {on}\n    title: Both names say the same\n    query: |\n{}\n    expect: 0\n{every}",
        quoted(&title),
        quoted(&column),
        yaml::block(6, &shim.drift),
    );
    if let Some(made) = &shim.beside {
        let second = yaml::named(&format!("{id}-second"));
        let _ = write!(
            out,
            "  {second}:\n    layer: schema\n    on: {on}\n    title: The second column is there\n    query: |\n{}\n    expect: 1\n",
            yaml::block(6, &made.there),
        );
    }
}

fn need(need: &Need) -> String {
    match (&need.check, need.hard) {
        (CheckRef::Check(name), false) => name.clone(),
        (CheckRef::Check(name), true) => format!("{{ check: {name}, hard: true }}"),
        (CheckRef::ServiceGone(name), hard) => {
            format!("{{ service: {name}, gone: true{} }}", if hard { ", hard: true" } else { "" })
        }
    }
}

fn check(check: &CheckRef) -> String {
    need(&Need { check: check.clone(), hard: false, written: true, because: None })
}

/// What stays for a while, and the step that ends it.
fn leaves(out: &mut String, what: &str, owner: Option<&str>, by: Option<&str>, remove: &str) {
    let owner = owner.map(|owner| format!(", owner: {}", quoted(owner))).unwrap_or_default();
    let by = by.map(|by| format!(", remove_by: {}", quoted(by))).unwrap_or_default();
    let _ = write!(out, "    leaves:\n      - {{ what: {}{owner}{by}, remove: {remove} }}\n", quoted(what));
}
