//! The actions that the runbook's `never` names.

use super::{Draft, refused};
use crate::action::Work;
use crate::action::transaction::Body;
use crate::check::Context;
use crate::failure::Result;
use crate::runbook::{NeverMatch, Step};
use crate::sql::Class;

/// An action that the runbook says makes it worse is refused, with the runbook's reason.
pub fn refuse(draft: &Draft, step: &Step, ctx: &Context) -> Result<()> {
    for never in &ctx.runbook.never {
        let Some(wanted) = &never.matches else { continue };
        let hit = match (wanted, &draft.work) {
            (NeverMatch::Ddl { statement, object }, Work::Transaction(Body::Ddl(plan)) | Work::Plain(plan)) => {
                plan.statements.iter().any(|(_, known)| {
                    let kind = known.kind.to_ascii_lowercase().replace("… ", "");
                    let wanted = statement.to_ascii_lowercase();
                    let of =
                        |name: &String| known.objects.iter().any(|o| o.name == *name || o.table.as_ref() == Some(name));
                    (kind == wanted || kind.contains(&wanted) || known.class == Class::Irreversible && kind.is_empty())
                        && object.as_ref().is_none_or(of)
                })
            }
            (NeverMatch::Change { object }, Work::Transaction(Body::Change(plan))) => {
                plan.anatomy.table.replace('"', "") == *object
            }
            (NeverMatch::Publish { topic }, Work::Publish(job)) => job.topic == *topic,
            (NeverMatch::Command { argv }, Work::Command(found)) => found.starts_with(argv),
            (NeverMatch::Command { argv }, Work::CommandEach(calls)) => {
                calls.iter().any(|call| call.what.starts_with(argv))
            }
            _ => false,
        };
        if hit {
            return Err(refused(&step.id, format!("never: {}", never.what)).cause(&never.because));
        }
    }
    Ok(())
}
