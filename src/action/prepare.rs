//! What a gate shows: the action rendered and counted, what it would do, how it is undone, what must be typed.
//!
//! Owns the offer. Read-only: nothing here changes a target, and nothing here lowers a level.

mod database;
mod never;
mod undo;

use std::collections::BTreeSet;

use super::{Job, Prepared, Work, change, command, ddl, http, items, publish, session};
use crate::check::{Context, Names, http as http_check};
use crate::failure::{Failure, Kind, Result};
use crate::run::gate;
use crate::run::record::{Environment, Evidence, Offer, Undoing};
use crate::runbook::{Action, Level, Step, TargetKind, level};
use crate::sql::Dialect;
use crate::target::Identity;
use crate::target::db::Handle;
use crate::text::counted;

pub fn refused(step: &str, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Refused, format!("step {step}: {}", why.into()))
}

/// An offer in the making.
struct Draft {
    work: Work,
    word: String,
    rendered: Vec<String>,
    binds: Vec<serde_json::Value>,
    level: Level,
    object: Option<String>,
    number: Option<u64>,
    undo: Undoing,
    epoch: Option<u64>,
    takes_over: bool,
    facts: Vec<(String, String)>,
    sample: Vec<String>,
    blockers: Vec<(String, String)>,
}

impl Draft {
    fn new(work: Work, action: &str, rendered: Vec<String>, level: Level) -> Self {
        Self {
            work,
            word: action.to_owned(),
            rendered,
            binds: Vec::new(),
            level,
            object: None,
            number: None,
            undo: Undoing::None { because: "nothing undoes it".to_owned() },
            epoch: None,
            takes_over: false,
            facts: Vec::new(),
            sample: Vec::new(),
            blockers: Vec::new(),
        }
    }
}

/// Renders a step, or with `undoing` what undoes it, as attempt `att`. Changes nothing.
///
/// # Errors
/// A name without a value, a set that is not frozen, an action of `never`, a target that cannot be asked: with what
/// to do about it.
pub async fn prepare(
    step: &Step,
    att: u32,
    undoing: bool,
    environment: Environment,
    ctx: &Context,
) -> Result<Prepared> {
    let undone = match (&step.action, undoing) {
        (_, true) => Some(step),
        (Action::UndoOf { step: undone }, false) => {
            Some(ctx.runbook.steps.get(undone).ok_or_else(|| refused(&step.id, format!("there is no step {undone}")))?)
        }
        _ => None,
    };
    // An undo acts where the step it undoes acted.
    let on = step.on.as_deref().or(undone.and_then(|undone| undone.on.as_deref()));
    let identity = match on {
        Some(on) if connects(ctx, on) => Some(ctx.targets.identity(on).await?),
        _ => None,
    };
    let mut draft = match undone {
        Some(undone) => Box::pin(undo::draft(step, undone, on, identity.as_ref(), ctx)).await?,
        None => Box::pin(action(&step.action, step, on, identity.as_ref(), ctx)).await?,
    };
    if undone.is_none() {
        undo::announce(&mut draft, step, on, ctx);
    }
    never::refuse(&draft, step, ctx)?;
    if let Some(identity) = identity.as_ref().filter(|identity| identity.standby) {
        let is = match identity.kind {
            TargetKind::Mysql if identity.seen.words.contains(", read_only, ") => "is read_only",
            TargetKind::Mysql => "is a replica",
            _ => "is a standby",
        };
        let why = format!("{} {is} and cannot be written to", identity.seen.name);
        return Err(refused(&step.id, why).cause(&identity.seen.words));
    }
    if let Some(identity) = identity.as_ref().filter(|identity| identity.read_only) {
        let why = format!(
            "{} opens every session of this role read-only (default_transaction_read_only)",
            identity.seen.name
        );
        return Err(refused(&step.id, why)
            .cause(&identity.seen.words)
            .hint("ask who keeps writers out and why; ALTER ROLE or ALTER DATABASE … RESET default_transaction_read_only lifts it"));
    }
    let environment = match &identity {
        Some(identity) => identity.environment,
        None => environment,
    };
    let mut level = draft.level.max(step.level.unwrap_or(Level::None));
    if !undoing {
        level = level.max(level::by_kind(&ctx.runbook, step));
    }
    let target = identity.as_ref().map(|identity| identity.seen.clone());
    let name = target.as_ref().map(|seen| seen.name.as_str());
    let token = if matches!(draft.work, Work::Sessions(_)) {
        draft.object.clone().unwrap_or_default()
    } else {
        gate::token(level, &step.id, draft.object.as_deref(), name, draft.number, step.each.is_some(), environment)
    };
    // Taking a target from another run is said in so many words.
    let token = if draft.takes_over { format!("take over {token}") } else { token };
    let needed = draft.number != Some(0) || matches!(draft.work, Work::Freeze(_) | Work::Reconcile(_));
    let offer = Offer {
        run: ctx.access.run.clone(),
        step: step.id.clone(),
        att,
        action: draft.word,
        rendered: draft.rendered,
        binds: draft.binds,
        target,
        environment,
        level,
        token,
        number: draft.number,
        undo: draft.undo,
        undoes: undone.map(|undone| undone.id.clone()),
        epoch: draft.epoch,
        step_digest: step.digest.clone(),
    };
    draft.facts.extend(programs(&draft.work, ctx));
    let evidence = Evidence { needs: Vec::new(), facts: draft.facts, sample: draft.sample, blockers: draft.blockers };
    let job = Job { step: step.clone(), offer: offer.clone(), work: draft.work };
    Ok(Prepared { offer, evidence, job, needed })
}

/// Which programs would be started, and where.
fn programs(work: &Work, ctx: &Context) -> Option<(String, String)> {
    let argvs: Vec<&Vec<String>> = match work {
        Work::Command(argv) => vec![argv],
        Work::CommandEach(calls) => calls.iter().map(|call| &call.what).collect(),
        _ => return None,
    };
    let names: BTreeSet<&str> = argvs.iter().filter_map(|argv| argv.first()).map(String::as_str).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let words = match &ctx.access.stand_ins {
        Some(dir) => format!("the sandbox's stand-in for {names}, in {}: nothing real is reached", dir.display()),
        None => format!("this machine: {names}, as its PATH finds it"),
    };
    Some(("on".to_owned(), words))
}

fn connects(ctx: &Context, on: &str) -> bool {
    use TargetKind::{Http, Records};
    ctx.runbook.targets.get(on).is_some_and(|target| !matches!(target.kind, Http | Records))
}

async fn action(
    action: &Action,
    step: &Step,
    on: Option<&str>,
    identity: Option<&Identity>,
    ctx: &Context,
) -> Result<Draft> {
    let id = &step.id;
    let names = Names::new(ctx);
    let word = action.word();
    let by_program =
        |draft: Draft| Draft { level: if step.undo.is_some() { Level::Step } else { Level::Irreversible }, ..draft };
    Ok(match action {
        Action::Freeze(wanted) => {
            let rendered = wanted.iter().map(ToString::to_string).collect();
            Draft::new(Work::Freeze(wanted.clone()), word, rendered, Level::None)
        }
        Action::Reconcile { set } => Draft::new(Work::Reconcile(set.clone()), word, vec![set.clone()], Level::None),
        Action::Ddl(forms) => {
            let mut handle = database::handle(on, id, ctx).await?;
            let Some(dialect) = handle.dialect() else { return Err(refused(id, "its target is not a database")) };
            let Some(texts) = forms.get(dialect) else {
                return Err(refused(id, format!("the runbook has no form of it for {dialect}")));
            };
            let plan = ddl::Plan::of(texts, dialect, ctx, id)?;
            database::ddl(plan, word, &mut handle, identity, ctx).await?
        }
        Action::Change(change) => {
            let mut handle = database::handle(on, id, ctx).await?;
            if handle.dialect() == Some(Dialect::Mysql) {
                return Err(refused(id, "`change` is not supported on MySQL and MariaDB yet")
                    .hint("change the rows by hand in a `manual` step, with a check of what must hold after it"));
            }
            let plan = change::Plan::of(change, id, &mut handle, ctx).await?;
            database::change(plan, change, word, id, &mut handle, identity, ctx).await?
        }
        Action::Publish(publish) => {
            let events = publish::prepare_events(id, publish, &items(id, &publish.from, ctx)?, &names)?;
            let handle = ctx.targets.monitor(on.unwrap_or_default()).await?;
            let Handle::Kafka(connection) = &*handle else {
                return Err(refused(id, "its target is not a Kafka cluster"));
            };
            let connection = connection.clone();
            drop(handle);
            let wanted = events.iter().map(|event| event.item.clone()).collect();
            let there = publish::scan(&connection, &publish.topic, id, None, wanted).await?;
            let all = events.len();
            let events: Vec<_> = events.into_iter().filter(|event| !there.contains(&event.item)).collect();
            let digest = publish::digest(&events);
            let sample =
                events.iter().take(5).map(|e| format!("{}: {}", e.key, String::from_utf8_lossy(&e.value))).collect();
            let mut draft = Draft::new(
                Work::Publish(publish::Job {
                    run: ctx.access.run.clone(),
                    step: id.clone(),
                    topic: publish.topic.clone(),
                    events: events.clone(),
                }),
                word,
                vec![format!("{} to {}, digest {digest}", counted(events.len(), "event"), publish.topic)],
                Level::Number,
            );
            draft.number = Some(events.len() as u64);
            draft.sample = sample;
            if all != events.len() {
                draft.facts.push(("there already".to_owned(), format!("{} of {all}", all - events.len())));
            }
            draft
        }
        Action::Session { end } => {
            let found = session::find(end, on, ctx).await?;
            let rendered = found
                .iter()
                .map(|(on, s)| format!("end {} (pid {}) on {on}, {}", s.application_name, s.pid, s.known()))
                .collect();
            let pids: Vec<String> = found.iter().map(|(_, session)| session.pid.clone()).collect();
            let mut draft = Draft::new(Work::Sessions(found), word, rendered, Level::Step);
            draft.number = Some(pids.len() as u64);
            draft.object = Some(pids.join(" "));
            draft
        }
        Action::Command { argv } => match &step.each {
            Some(each) => {
                let calls = command::render_each(argv, &open_items(ctx, step, each)?, &names)?;
                let rendered = calls.iter().map(|call| shell_line(&call.what)).collect();
                let number = calls.len() as u64;
                let draft = Draft::new(Work::CommandEach(calls), word, rendered, Level::Step);
                Draft { number: Some(number), ..by_program(draft) }
            }
            None => {
                let argv = command::render(argv, &names)?;
                crate::check::command::admit(&argv, &ctx.access)?;
                let line = shell_line(&argv);
                by_program(Draft::new(Work::Command(argv), word, vec![line], Level::Step))
            }
        },
        Action::Http(request) => {
            let base = http_check::base(on, ctx)?;
            let base = base.as_ref().map(crate::text::Secret::expose);
            match &step.each {
                Some(each) => {
                    let calls = http::render_each(request, base, &open_items(ctx, step, each)?, &names, &ctx.access)?;
                    let rendered = calls.iter().flat_map(|call| call.what.rendered()).collect();
                    let number = calls.len() as u64;
                    let draft = Draft::new(Work::HttpEach(calls, request.status), word, rendered, Level::Step);
                    Draft { number: Some(number), ..by_program(draft) }
                }
                None => {
                    let rendered = http_check::render(request, base, &names, &ctx.access)?;
                    let (reads, lines) = (rendered.reads(), rendered.rendered());
                    let draft = by_program(Draft::new(Work::Http(rendered, request.status), word, lines, Level::Step));
                    if reads { Draft { level: Level::None, ..draft } } else { draft }
                }
            }
        }
        Action::Manual(manual) => {
            let what = manual.what.render_text(&names).map_err(|missing| refused(id, missing.to_string()))?;
            Draft::new(Work::Person, word, vec![what], Level::Seen)
        }
        Action::Decide(decide) => {
            let mut rendered = vec![decide.ask.clone()];
            rendered.extend(decide.options.clone());
            Draft::new(Work::Person, word, rendered, Level::Choice)
        }
        Action::UndoOf { step: undone } => return Err(refused(id, format!("{undone} is itself an undo"))),
        Action::Restore(_)
        | Action::Offsets(_)
        | Action::Replay(_)
        | Action::Tombstones(_)
        | Action::Topic(_)
        | Action::Registry(_) => return Err(refused(id, format!("`{word}` is not supported yet"))),
    })
}

/// Items that the log does not hold as done.
fn open_items(ctx: &Context, step: &Step, each: &crate::runbook::Each) -> Result<Vec<super::Item>> {
    let done = ctx.items.get(&step.id);
    let all = items(&step.id, &each.set, ctx)?;
    Ok(all.into_iter().filter(|item| done.and_then(|done| done.get(&item.key)).is_none_or(|item| !item.ok)).collect())
}

/// An argv as a shell would have to be told it, so that one argument cannot look like two.
fn shell_line(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quoted = |arg: &String| match !arg.is_empty() && arg.chars().all(plain) {
        true => arg.clone(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
