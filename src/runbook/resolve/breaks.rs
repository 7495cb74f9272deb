//! The services that a step's DDL breaks: none of them may live, short of break-glass.
//!
//! Owns a need that nobody has to write: it follows from the statement and from what a service says that it uses.

use indexmap::IndexMap;

use crate::runbook::{Action, CheckRef, Need, Service, Step, Target};
use crate::sql::{self, shim};

/// Adds the hard need that a service is gone to each `ddl` step that takes away what it uses.
pub fn needs(
    steps: &mut IndexMap<String, Step>,
    targets: &IndexMap<String, Target>,
    services: &IndexMap<String, Service>,
) {
    for step in steps.values_mut() {
        let Action::Ddl(forms) = &step.action else { continue };
        let Some(target) = step.on.as_ref().and_then(|on| targets.get(on)) else { continue };
        let Some(dialect) = target.kind.dialect() else { continue };
        let texts = forms.get(dialect).into_iter().flatten();
        let statements: Vec<_> = texts.map(|text| sql::judge(dialect, &text.text)).collect();
        let instead = shim::instead(dialect, &statements, &step.id).map(|way| format!("; {way}")).unwrap_or_default();
        for service in services.values() {
            let here = service.uses.iter().filter(|used| used.target.as_ref().is_none_or(|on| on == &target.name));
            let mut used = here.map(|used| used.name.as_str());
            let Some(broken) = used.find(|used| sql::leaves(&statements, used) == Some(false)) else { continue };
            let check = CheckRef::ServiceGone(service.name.clone());
            let because = Some(format!("{} uses {broken}, which this takes away{instead}", service.name));
            match step.needs.iter_mut().find(|need| need.check == check) {
                Some(need) => (need.hard, need.because) = (true, because),
                None => step.needs.push(Need { check, hard: true, written: false, because }),
            }
        }
    }
}
