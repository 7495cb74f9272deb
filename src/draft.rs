//! Steps that a runbook does not have yet, written out to be put into it.
//!
//! Owns the YAML of compatibility forms: what they do stands in [`crate::sql::shim`], what they are filled in with comes
//! from the live catalog. Read-only; never changes a runbook.

use std::fmt::Write as _;

use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Action, CheckRef, Need, Runbook, Service, Step};
use crate::sql::shim::{self, Form, Rename, Shim};
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
    let forms = shim::forms(dialect, &rename)
        .map_err(|why| usage(format!("there is no form that keeps both names on {dialect}")).cause(why))?;
    if runbook.steps.contains_key(&end(step)) {
        return Err(usage(format!("the runbook has {} already: the shim is in", end(step))));
    }
    let mut handle = open(step.on.as_deref().unwrap_or_default(), targets).await?;
    let table = catalog::table(&rename, &mut handle).await?;
    let mut refused = Vec::new();
    for form in forms.iter().filter(|form| wanted.is_none_or(|wanted| wanted == **form)) {
        match shim::make(*form, &rename, &table) {
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
    let (named, agree) = (yaml::named(&format!("{id}-name")), yaml::named(&format!("{id}-both-names")));
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
        "# The first step stands in the place of {id}: what else that says (why, when, after, leaves) stays with it."
    );
    checks(&mut out, on, &named, &agree, rename, shim, first);
    let gone = |need: &&Need| matches!(&need.check, CheckRef::ServiceGone(name) if needing.iter().any(|service| &service.name == name));
    let kept: Vec<_> = step.needs.iter().filter(|need| !gone(need)).map(need).collect();
    let mut verify: Vec<_> = step.verify.iter().map(check).collect();
    verify.push(named.clone());
    if shim.batches.is_none() {
        verify.push(agree.clone());
    }
    let _ = write!(out, "steps:\n  - id: {id}\n    phase: {}\n    on: {on}\n", yaml::phase(step.phase));
    let _ = writeln!(out, "    title: {}", quoted(&step.title));
    if !kept.is_empty() {
        let _ = writeln!(out, "    needs: [{}]", kept.join(", "));
    }
    list(&mut out, 4, "ddl", &shim.ddl);
    let _ = writeln!(out, "    undo:");
    list(&mut out, 6, "ddl", &shim.undo);
    let _ = write!(out, "    verify: [{}]\n    done_when: [{named}]\n", verify.join(", "));
    let owner = owned.owner.clone().or_else(|| needing.iter().find_map(|service| service.owner.clone()));
    leaves(&mut out, &format!("{what}, as {}", shim.form.words()), owner.as_deref(), owned.remove_by.as_deref(), &end);
    if let Some((batch, why)) = &shim.batches {
        let what = format!("In psql, until it says UPDATE 0: {}", line(batch));
        let _ = write!(out, "  # By hand, batch by batch: {}.\n", line(why));
        let _ = writeln!(
            out,
            "  - id: {}\n    layer: data\n    title: Fill the second column in batches",
            yaml::named(&format!("{id}-fill"))
        );
        let _ = write!(out, "    manual: {{ what: {} }}\n    verify: [{agree}]\n", quoted(&what));
    }
    for (n, index) in shim.indexes.iter().enumerate() {
        let _ = writeln!(
            out,
            "  - id: {}\n    on: {on}\n    ddl: |\n{}",
            yaml::named(&format!("{id}-index-{}", n + 1)),
            yaml::block(6, index)
        );
    }
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

fn checks(out: &mut String, on: &str, named: &str, agree: &str, rename: &Rename, shim: &Shim, first: &str) {
    let (column, title) = match rename {
        Rename::Column { table, to, .. } => (format!("{table}.{to}"), format!("{table}.{to} is there")),
        Rename::Table { to, .. } => (format!("{to}.{first}"), format!("{to} is there")),
    };
    // It reads rows, each time it is asked.
    let every = match (&shim.batches, shim.form) {
        (Some(_), _) => "    every: 10m\n    fresh: 20m\n",
        (None, Form::Column) => "    every: 1m\n    fresh: 2m\n",
        (None, Form::View) => "",
    };
    let _ = write!(
        out,
        "checks:\n  {named}:\n    layer: schema\n    on: {on}\n    title: {}\n    schema: {{ column: {} }}\n  {agree}:\n    layer: data\n    on: {on}\n    title: Both names say the same\n    query: |\n{}\n    expect: 0\n{every}",
        quoted(&title),
        quoted(&column),
        yaml::block(6, &shim.drift),
    );
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
