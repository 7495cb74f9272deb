//! The sections of a plan that stand before its steps: what is there, what must never be done, what is asked.

use std::fmt::Write as _;

use super::{refs, shown, word};
use crate::runbook::expect::duration_text;
use crate::runbook::{Across, Check, Runbook, words};

/// Everything that stands before the steps.
pub fn write(out: &mut String, runbook: &Runbook) -> std::fmt::Result {
    writeln!(out, "\n## Targets\n")?;
    for target in runbook.targets.values() {
        // The address may name where a secret comes from, and never is one; it is left out all the same.
        let members = runbook.fleets.get(&target.name).map(|m| format!(", members: {m}")).unwrap_or_default();
        writeln!(out, "- `{}`: {}{}", target.name, format!("{:?}", target.kind).to_lowercase(), shown(&members))?;
    }
    if !runbook.services.is_empty() {
        writeln!(out, "\n## Services\n")?;
    }
    for service in runbook.services.values() {
        let mut facts = Vec::new();
        if service.gone {
            facts.push("must be gone".to_owned());
        }
        if service.stays {
            facts.push("stays as it is".to_owned());
        }
        facts.extend(service.runs.iter().map(|v| format!("runs {v}")));
        facts.extend(service.version.iter().map(|v| {
            let expect = v.expect.as_ref().map(|e| format!(", expected {e}")).unwrap_or_default();
            format!("its version by `{}`{expect}", words::line(&v.command))
        }));
        facts.extend(service.group.iter().map(|g| format!("group {g}")));
        if !service.uses.is_empty() {
            let uses: Vec<_> = service.uses.iter().map(|u| u.name.as_str()).collect();
            facts.push(format!("uses {}", uses.join(", ")));
        }
        facts.extend(
            service.reads.iter().map(|(topic, r)| format!("reads {topic} and needs {}", r.requires.join(", "))),
        );
        facts.extend(service.owner.iter().map(|o| format!("owner {o}")));
        writeln!(out, "- `{}`: {}", service.name, shown(&facts.join("; ")))?;
    }
    if !runbook.never.is_empty() {
        writeln!(out, "\n## Never\n")?;
    }
    for never in &runbook.never {
        let advice = if never.matches.is_none() { " (advice: nothing matches it)" } else { "" };
        writeln!(out, "- **{}**{advice}: {}", shown(&never.what), shown(&never.because))?;
        if let Some(matched) = &never.matches {
            writeln!(out, "  - refused: {}", shown(&words::matched(matched)))?;
        }
        refs(out, "  - until", &never.until)?;
        refs(out, "  - while", &never.during)?;
    }
    if !runbook.deadlines.is_empty() {
        writeln!(out, "\n## Deadlines\n")?;
    }
    for deadline in &runbook.deadlines {
        let off = deadline.off_when.as_ref().map(|c| format!(", not while `{c}` is green")).unwrap_or_default();
        writeln!(out, "- {}: {}{off}", shown(&deadline.at), shown(&deadline.what))?;
    }
    // A target that is a set by itself stands among the targets.
    let sets: Vec<_> = runbook.sets.values().filter(|s| !runbook.targets.contains_key(&s.name)).collect();
    if !sets.is_empty() {
        writeln!(out, "\n## Sets\n")?;
    }
    for set in sets {
        writeln!(out, "- `{}`, by `{}`: {}", set.name, shown(&set.key), shown(&words::come_from(&set.source)))?;
    }
    if !runbook.fragments.is_empty() {
        writeln!(out, "\n## Fragments\n")?;
    }
    for (name, sql) in &runbook.fragments {
        writeln!(out, "- `{name}`: {}", shown(sql))?;
    }
    if !runbook.trust.is_empty() {
        writeln!(out, "\n## Trusted functions\n")?;
    }
    for trust in &runbook.trust {
        writeln!(out, "- {}, with the body `{}`", shown(&trust.function), &trust.digest[..16])?;
    }
    if !runbook.checks.is_empty() {
        writeln!(out, "\n## Checks\n")?;
    }
    for check in runbook.checks.values() {
        writeln!(out, "- `{}` ({}): {}", check.name, word(check.layer), said(check))?;
    }
    if !runbook.guards.is_empty() {
        writeln!(out, "\n## Guards\n")?;
    }
    for guard in &runbook.guards {
        let from = guard.from.as_deref().map_or("the start".to_owned(), |s| format!("when `{s}` is done"));
        let until = guard.until.as_deref().map_or("the end".to_owned(), |s| format!("`{s}` begins"));
        writeln!(out, "- `{}` from {from} until {until}", guard.check)?;
    }
    Ok(())
}

fn said(check: &Check) -> String {
    let mut text = format!("{}. {}", check.title, words::asked(&check.kind));
    if let Some(expect) = &check.expect {
        let _ = write!(text, ", expected {expect}");
    }
    if let Some(across) = check.across {
        let how = match across {
            Across::All => "each of its members",
            Across::Sum => "the sum of its members",
            Across::Max => "the most of its members",
        };
        let _ = write!(text, ", {how}");
    }
    if let Some(hold) = check.hold {
        let _ = write!(text, ", for {}", duration_text(hold));
    }
    shown(&text)
}
