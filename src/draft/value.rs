//! The steps for an enum's value that the old code does not know.

use std::fmt::Write as _;

use super::yaml::{self, block, line, list, quoted};
use super::{Owned, catalog, leaves, open};
use crate::failure::{Failure, Kind, Result};
use crate::runbook::{Runbook, TargetKind};
use crate::sql::shim::{self, Part, ValueShim};
use crate::target::Targets;

/// A value to get rid of.
#[derive(Debug, Clone)]
pub struct Wish {
    pub on: Option<String>,
    pub type_name: String,
    pub value: String,
    /// What its rows become.
    pub to: String,
    /// Also a type without the value.
    pub rebuild: bool,
}

/// Rows moved off the value, a stop-gap against new ones, and on request the type without it.
///
/// # Errors
/// The target is not PostgreSQL or does not answer; the steps are refused: with every reason.
pub async fn value(runbook: &Runbook, wish: &Wish, owned: &Owned, targets: &Targets) -> Result<String> {
    let usage = |words: String| Failure::new(Kind::Usage, words);
    let mut known = runbook.targets.values().filter(|target| target.kind == TargetKind::Postgres);
    let on = match (&wish.on, known.next(), known.next()) {
        (Some(on), ..) => match runbook.targets.get(on) {
            Some(target) if target.kind == TargetKind::Postgres => on.clone(),
            Some(_) => {
                return Err(usage(format!("{on} is not PostgreSQL: no other database here has types with values")));
            }
            None => return Err(usage(format!("the runbook has no target {on}"))),
        },
        (None, Some(target), None) => target.name.clone(),
        (None, None, _) => return Err(usage("the runbook has no PostgreSQL target".to_owned())),
        (None, Some(_), Some(_)) => {
            return Err(usage("the runbook has several PostgreSQL targets".to_owned()).hint("--on TARGET"));
        }
    };
    let mut handle = open(&on, targets).await?;
    let facts = catalog::enumeration(&wish.type_name, &mut handle).await?;
    let made = shim::value(&wish.type_name, &wish.value, &wish.to, &facts).map_err(|why| {
        usage(format!("no steps take the value '{}' out of {}", wish.value, wish.type_name)).cause(why.join("; "))
    })?;
    if let (true, Err(why)) = (wish.rebuild, &made.rebuild) {
        return Err(usage(format!("{} cannot be built without '{}'", wish.type_name, wish.value))
            .cause(why.join("; "))
            .hint("without --rebuild the rows are moved and the value is left in the type"));
    }
    Ok(written(&on, wish, &made, owned))
}

fn written(on: &str, wish: &Wish, made: &ValueShim, owned: &Owned) -> String {
    let (kind, value) = (&wish.type_name, &wish.value);
    let mut out =
        format!("# Rows of {kind} '{}' become '{}'; the value is left in the type.\n", line(value), line(&wish.to));
    for limit in &made.limits {
        let _ = writeln!(out, "# - {}", line(limit));
    }
    match (&made.rebuild, wish.rebuild) {
        (Ok(_), false) => out.push_str("# - a type without it: --rebuild, for a quiet hour only\n"),
        (Err(why), _) => drop(writeln!(out, "# - no type without it: {}", line(&why.join("; ")))),
        (Ok(_), true) => {}
    }
    let name = |part: &Part, end: &str| yaml::named(&format!("{}-{}-{value}{end}", part.table, part.column));
    out.push_str("sets:\n");
    for part in &made.parts {
        let _ = writeln!(
            out,
            "  {}:\n    on: {on}\n    key: {}\n    query: |\n{}",
            name(part, ""),
            quoted(&part.key),
            block(6, &part.rows)
        );
    }
    out.push_str("checks:\n");
    for part in &made.parts {
        let title = quoted(&format!("Rows of {}.{} that are '{value}'", part.table, part.column));
        let _ = write!(
            out,
            "  {}:\n    layer: data\n    on: {on}\n    title: {title}\n    count: {}\n    expect: 0\n    every: 1m\n    fresh: 2m\n",
            name(part, "-none"),
            name(part, ""),
        );
    }
    let gone = yaml::named(&format!("{kind}-{value}-gone"));
    if wish.rebuild {
        let _ = writeln!(
            out,
            "  {gone}:\n    layer: schema\n    on: {on}\n    title: {}",
            quoted(&format!("{kind} has no '{value}'"))
        );
        let _ = writeln!(out, "    schema: {{ enum: {}, value: {}, absent: true }}", quoted(kind), quoted(value));
    }
    out.push_str("steps:\n");
    for part in &made.parts {
        let place = format!("{}.{}", part.table, part.column);
        let _ = writeln!(out, "  - id: {}\n    phase: repair\n    on: {on}", name(part, "-stop"));
        let _ = writeln!(out, "    title: {}", quoted(&format!("Let nobody write '{value}' to {place} any more")));
        let _ = writeln!(out, "    ddl: |\n{}", block(6, &part.stop));
        let what = format!("{place} refuses '{value}'");
        leaves(&mut out, &what, owned.owner.as_deref(), owned.remove_by.as_deref(), &name(part, "-go-on"));
    }
    let sets: Vec<_> = made.parts.iter().map(|part| name(part, "")).collect();
    let _ =
        writeln!(out, "  - id: {}\n    freeze: [{}]", yaml::named(&format!("{kind}-{value}-rows")), sets.join(", "));
    for part in &made.parts {
        let title = quoted(&format!("Make '{value}' of {}.{} '{}'", part.table, part.column, wish.to));
        let _ = writeln!(out, "  - id: {}\n    on: {on}\n    title: {title}\n    change:", name(part, "-move"));
        let _ = writeln!(out, "      set: {}\n      sql: |\n{}", name(part, ""), block(8, &part.change));
        let _ = writeln!(out, "    verify: [{}]", name(part, "-none"));
    }
    out.push_str("  # At the end, once no program writes the value.\n");
    for part in &made.parts {
        let _ = writeln!(out, "  - id: {}\n    phase: close\n    on: {on}", name(part, "-go-on"));
        let _ = writeln!(
            out,
            "    title: {}",
            quoted(&format!("Take the stop-gap of {}.{} away", part.table, part.column))
        );
        list(&mut out, 4, "ddl", std::slice::from_ref(&part.go_on));
        out.push_str("    undo:\n");
        list(&mut out, 6, "ddl", std::slice::from_ref(&part.stop));
    }
    if let (Ok(rebuild), true) = (&made.rebuild, wish.rebuild) {
        out.push_str("  # In a quiet hour only: every table above is written anew under a lock that stops its readers (a million\n");
        out.push_str("  # rows took 1.9 s), and a row that still has the value stops it (22P02). As long as this step stands here, the\n");
        out.push_str("  # run is not recovered before it: better a runbook of its own.\n");
        let _ = writeln!(
            out,
            "  - id: {}\n    phase: close\n    on: {on}",
            yaml::named(&format!("{kind}-without-{value}"))
        );
        let _ = writeln!(out, "    title: {}", quoted(&format!("Build {kind} anew without '{value}'")));
        let none: Vec<_> = made.parts.iter().map(|part| name(part, "-none")).collect();
        let _ = writeln!(out, "    needs: [{}]", none.join(", "));
        list(&mut out, 4, "ddl", &rebuild.ddl);
        out.push_str("    undo:\n");
        list(&mut out, 6, "ddl", &rebuild.undo);
        let _ = write!(out, "    verify: [{gone}]\n    done_when: [{gone}]\n");
    }
    out
}
