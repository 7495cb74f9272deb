//! A trial: the statements of a step for real, what must hold after them, their undo, and all of it taken back.
//!
//! Owns the order and the way back. Writes no marker, takes no claim and never commits: it ends in a rollback on every
//! path, and where its process or its connection is lost the server rolls back by itself. It does hold real locks while
//! it runs, for no longer than its time limits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use super::cancel::{Canceller, asked, watched};
use super::ddl::Plan;
use super::prepare::prepare;
use super::transaction::Body;
use super::{Work, copied};
use crate::check::schema::touched::{self, Objects, Reach, Scope};
use crate::check::{self, Context, Depth, Where, schema};
use crate::names;
use crate::run::next::target_of;
use crate::run::record::{Environment, Tried, TriedCheck, TriedStatement, TriedUndo, Undoing};
use crate::runbook::template::{Scope as Names, as_text};
use crate::runbook::{Action, CheckRef, Runbook, Step, VarKind};
use crate::sql::{Cost, Dialect};
use crate::target::db::{Handle, SqlError, text_bind};

/// The longest stall that a trial imposes on everybody behind it while it waits.
pub const LOCK_MS: u64 = 500;
/// Of one statement of a trial that should be short; with a reason, the step's own limit.
const STATEMENT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);
/// Beyond its statements' limit: the checks and the way back.
const BESIDE: Duration = Duration::from_secs(10);

/// How a trial is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// On an empty copy of the tables.
    pub copy: bool,
    /// Why at full size although the trial itself would hurt.
    pub reason: Option<&'a str>,
    /// A table beyond these is scanned or rewritten only with a reason.
    pub most_bytes: u64,
    pub most_rows: u64,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { copy: false, reason: None, most_bytes: 100_000_000, most_rows: 1_000_000 }
    }
}

/// What a trial of a step costs, in words, before anything is asked of its target; `None` where its statements are not
/// known yet. `offered`: as its gate shows them.
pub fn costs(
    step: &Step,
    offered: Option<Vec<String>>,
    runbook: &Runbook,
    vars: &BTreeMap<String, Value>,
) -> Option<String> {
    let dialect = runbook.targets.get(target_of(runbook, step)?)?.kind.dialect()?;
    let texts = match (offered, &step.action) {
        (Some(texts), _) => texts,
        (None, Action::Ddl(forms)) => {
            let names = Vars { runbook, vars };
            let rendered = forms.get(dialect)?.iter().map(|text| Some(text.render(dialect, &names, None).ok()?.sql));
            rendered.collect::<Option<_>>()?
        }
        _ => return None,
    };
    let plan = Plan::of_text(texts, dialect, &step.id).ok()?;
    let mut told: Vec<String> = Vec::new();
    for (_, statement) in &plan.statements {
        let lock = statement.lock.map_or_else(|| "no table lock known".to_owned(), |lock| lock.words());
        told.push(format!("{lock}; {}.", statement.cost));
    }
    told.dedup();
    let most = (STATEMENT + BESIDE).as_secs();
    told.push(format!("Real locks: waited for {LOCK_MS} ms at most, held for {most} s at most."));
    Some(told.join(" "))
}

struct Vars<'a> {
    runbook: &'a Runbook,
    vars: &'a BTreeMap<String, Value>,
}

impl Names for Vars<'_> {
    fn get(&self, path: &str) -> Option<Value> {
        self.vars.get(path).cloned()
    }

    fn kind(&self, path: &str) -> Option<VarKind> {
        self.runbook.vars.get(path).map(|var| var.kind)
    }
}

/// Runs a trial of a step to its end.
///
/// # Errors
/// In words for the operator: why it is refused, or what stopped it. Nothing is left in either case.
pub async fn attempt(
    step: &Step,
    wanted: &Wanted<'_>,
    ctx: &Context,
    cancel: watch::Receiver<bool>,
) -> Result<Tried, String> {
    // What a gate would offer is what is tried, with everything that refuses it there.
    let prepared = prepare(step, 1, false, Environment::Production, ctx).await.map_err(|failure| whole(&failure))?;
    let target = prepared.offer.target.as_ref().map(|seen| seen.name.clone()).unwrap_or_default();
    let plan = match prepared.job.work {
        Work::Transaction(Body::Ddl(plan)) => plan,
        Work::Plain(plan) => return Err(not_transactional(&plan, &target, ctx)),
        _ => return Err(format!("{} is no statement on a schema: there is nothing to try", step.id)),
    };
    let app = names::application_name(ctx.access.run8(), "trial", 0);
    let mut handle = ctx.targets.dedicated(&target, &app).await.map_err(|failure| whole(&failure))?;
    let undo = Back::of(step, &prepared.offer.undo, &handle, ctx);
    if let (Some(why), None) = (beside(&plan), wanted.reason) {
        return Err(format!("refused: {why}, and no rollback would take that back; try it with a reason"));
    }
    if wanted.copy {
        copied::admits(&plan, &mut handle).await?;
    } else if let (Some(big), None) = (too_big(&plan, wanted, &mut handle).await?, wanted.reason) {
        return Err(format!(
            "refused: {big}, and the trial would hold its locks for as long as that takes; try it on an empty copy, \
             or at full size with a reason"
        ));
    }
    let limit = if wanted.reason.is_some() { step.within.unwrap_or(LONG) } else { STATEMENT };
    let mut trial = Trial { step, plan, undo, copy: wanted.copy, limit, scope: Scope::default(), ctx };
    trial.scope = Scope::of(trial.plan.statements.iter().map(|(_, statement)| statement));
    trial.run(&mut handle, cancel).await
}

fn whole(failure: &crate::failure::Failure) -> String {
    std::iter::once(&failure.message)
        .chain(&failure.causes)
        .chain(&failure.hint)
        .cloned()
        .collect::<Vec<_>>()
        .join(": ")
}

fn not_transactional(plan: &Plan, target: &str, ctx: &Context) -> String {
    let dialect = ctx.runbook.targets.get(target).and_then(|target| target.kind.dialect());
    if dialect == Some(Dialect::Mysql) {
        return "refused: MySQL and MariaDB commit schema changes by themselves, so none can be taken back".to_owned();
    }
    let first = plan.statements.iter().find(|(_, statement)| !statement.transactional);
    let kind = first.map_or("it", |(_, statement)| statement.kind);
    format!("refused: {kind} runs outside a transaction, so it cannot be taken back")
}

/// What a statement may do that is no part of its transaction, in words: a call elsewhere, a program, a number drawn.
fn beside(plan: &Plan) -> Option<String> {
    plan.statements.iter().find_map(|(_, statement)| match statement.kind {
        kind @ ("DO" | "CALL" | "unknown statement") => {
            Some(format!("nobody knows what {kind} does outside the transaction"))
        }
        kind if kind.starts_with("COPY") => {
            Some(format!("{kind} may read, write or start something outside the transaction"))
        }
        _ if !statement.calls.is_empty() => {
            let calls = statement.calls.join(", ");
            Some(format!("it calls {calls}, which may do something outside the transaction"))
        }
        _ => None,
    })
}

/// What is scanned or rewritten and is too much for a trial, in words.
async fn too_big(plan: &Plan, wanted: &Wanted<'_>, handle: &mut Handle) -> Result<Option<String>, String> {
    for one in &plan.statements {
        if one.1.cost == Cost::CatalogOnly {
            continue;
        }
        for table in (Plan { statements: vec![one.clone()], server: None }).tables() {
            let (bytes, rows) = size(&table, handle).await.map_err(|error| {
                format!("refused: it {}, and the size of {table} cannot be seen: {}", one.1.cost, error.words())
            })?;
            if bytes > wanted.most_bytes || rows > wanted.most_rows {
                let mb = bytes / 1_000_000;
                return Ok(Some(format!("it {}, and {table} has about {rows} rows, {mb} MB", one.1.cost)));
            }
        }
    }
    Ok(None)
}

/// Bytes and rows as the server estimates them, with the tables below.
async fn size(table: &str, handle: &mut Handle) -> Result<(u64, u64), SqlError> {
    let number = |value: Option<Value>| value.and_then(|v| as_text(&v).parse::<u64>().ok()).unwrap_or(0);
    if handle.dialect() == Some(Dialect::Postgres) {
        let from = "with recursive t(oid) as (select to_regclass($1::text)::oid
              union select inhrelid from pg_inherits join t on inhparent = t.oid)
            select coalesce(sum(pg_table_size(c.oid)), 0)::bigint as bytes, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as rows
            from t join pg_class c using (oid) where c.relkind in ('r', 'm')";
        let row = handle.read(from, vec![text_bind(check::schema::quoted(table))]).await?.into_iter().next();
        let row = row.unwrap_or_default();
        return Ok((number(row.get("bytes").cloned()), number(row.get("rows").cloned())));
    }
    let quoted = check::schema::quoted(table);
    // A table that is not there yet, or one without row numbers, has nothing to estimate by.
    let rows = handle.one(format!("select max(rowid) as n from {quoted}"), vec![]).await.ok().flatten();
    Ok((0, number(rows)))
}

/// How the statements are undone.
enum Back {
    By(Plan),
    None(String),
}

impl Back {
    /// Declared, else derived.
    fn of(step: &Step, offered: &Undoing, handle: &Handle, ctx: &Context) -> Self {
        let Some(dialect) = handle.dialect() else { return Self::None("no database".to_owned()) };
        let plan = match (step.undo.as_deref(), offered) {
            (Some(Action::Ddl(forms)), _) => match forms.get(dialect) {
                Some(texts) => Plan::of(texts, dialect, ctx, &step.id),
                None => return Self::None(format!("its undo has no form for {dialect}")),
            },
            (Some(other), _) => return Self::None(format!("its undo is a {}, no statement", other.word())),
            (None, Undoing::By { rendered, .. }) => Plan::of_text(rendered.clone(), dialect, &step.id),
            (None, Undoing::None { because }) => return Self::None(because.clone()),
            (None, Undoing::BeforeImage) => return Self::None("it is undone from saved rows".to_owned()),
        };
        match plan.map(|plan| plan.on(handle)) {
            Ok(plan) if plan.transactional() => Self::By(plan),
            Ok(_) => Self::None("its undo runs outside a transaction".to_owned()),
            Err(failure) => Self::None(whole(&failure)),
        }
    }
}

/// What was found, and the catalog as it was and as the undo left it.
type Inside = (Tried, Option<(Objects, Objects)>);

struct Trial<'a> {
    step: &'a Step,
    plan: Plan,
    undo: Back,
    copy: bool,
    /// Of one statement.
    limit: Duration,
    scope: Scope,
    ctx: &'a Context,
}

impl Trial<'_> {
    async fn run(&self, handle: &mut Handle, mut cancel: watch::Receiver<bool>) -> Result<Tried, String> {
        let (stop, stopped) = watch::channel(false);
        let canceller = Canceller::of(handle, self.ctx);
        // All that can be read before the first lock is read before it.
        let outside = schema::catalog(handle).await.map_err(|none| none.words())?;
        let before = touched::read(&self.scope, handle).await.map_err(|none| none.words())?;
        let reach = touched::reach(&self.scope, handle).await.map_err(|none| none.words())?;
        let fired = fired(handle).await.map_err(|error| error.words())?;
        // A server plans a connection's first readings slowly: they are not to be made under the lock.
        touched::files(&reach, handle).await.map_err(|none| none.words())?;
        // Copies are there only inside.
        let seen = (!self.copy).then_some((before, reach));
        locks(handle).await.map_err(|error| error.words())?;
        let began = Instant::now();
        let worked = {
            let work = watched(&stopped, &canceller, self.inside(seen, handle));
            let over = async {
                let long = self.limit + BESIDE;
                // Nobody can cancel any more: then only time ends it.
                let cancelled = async {
                    if !asked(&mut cancel).await {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! { () = tokio::time::sleep(long) => {}, () = cancelled => {} }
                stop.send_replace(true);
                std::future::pending::<()>().await
            };
            tokio::select! { out = work => out, () = over => Err("cancelled".to_owned()) }
        };
        let back = handle.run("rollback", vec![]).await;
        let held_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (mut tried, undone) = match (worked, &back) {
            (Err(words), _) if *cancel.borrow() => return Err(format!("cancelled and rolled back ({words})")),
            (Err(words), Ok(_)) => return Err(format!("{words}; rolled back, nothing is left")),
            (Err(words), Err(_)) => {
                return Err(format!("{words}; the connection is gone, and the server rolls back by itself"));
            }
            (Ok(_), Err(error)) => {
                return Err(format!("the rollback got no answer ({}): the server does it by itself", error.words()));
            }
            (Ok(found), Ok(_)) => found,
        };
        tried.held_us = held_us;
        tried.not_tried.extend(fired);
        let unread = |words: String| format!("tried and rolled back, but what is there now cannot be read: {words}");
        if let Some((before, undone)) = undone {
            let really = match self.copy {
                true => before.clone(),
                false => touched::read(&self.scope, handle).await.map_err(|none| unread(none.words()))?,
            };
            tried.undo = self.judged(&before, &undone, &really);
        }
        let after = schema::catalog(handle).await.map_err(|none| unread(none.words()))?;
        tried.outside = schema::differences(&outside, &after, &[]);
        tried.unseen = handle.dialect().map(schema::unseen).unwrap_or_default().to_owned();
        Ok(tried)
    }

    /// What the undo left other than it was. What is so outside, too, was changed by others meanwhile.
    fn judged(&self, before: &Objects, undone: &Objects, really: &Objects) -> TriedUndo {
        let of_others = |object: &String| undone.get(object) == really.get(object);
        let ours = |objects: &Objects| -> Objects {
            objects.iter().filter(|(object, _)| !of_others(object)).map(|(o, is)| (o.clone(), is.clone())).collect()
        };
        let mut told = touched::differences(&ours(before), &ours(undone));
        told.extend(touched::another(&self.scope, before, undone));
        if told.is_empty() { TriedUndo::Exact } else { TriedUndo::Differs(told) }
    }

    /// Everything between BEGIN and ROLLBACK; with it the catalog before it and after the undo, where that could be run.
    async fn inside(&self, seen: Option<(Objects, Reach)>, handle: &mut Handle) -> Result<Inside, String> {
        self.open(handle).await.map_err(|error| refused(&error))?;
        let (before, reach) = match seen {
            Some(seen) => seen,
            None => {
                let before = touched::read(&self.scope, handle).await.map_err(|none| none.words())?;
                (before, touched::reach(&self.scope, handle).await.map_err(|none| none.words())?)
            }
        };
        let mut files = touched::files(&reach, handle).await.map_err(|none| none.words())?;
        let mut statements = Vec::new();
        for (n, (sql, _)) in self.plan.statements.iter().enumerate() {
            let began = Instant::now();
            let ran = handle.run(sql.as_str(), vec![]).await;
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            ran.map_err(|error| format!("statement {} of {}: {}", n + 1, self.plan.statements.len(), refused(&error)))?;
            let now = touched::files(&reach, handle).await.map_err(|none| none.words())?;
            let rewrote = rewritten(&files, &now);
            files = now;
            statements.push(TriedStatement { sql: sql.clone(), took_us, rewrote });
        }
        let locks = locks(handle).await.map_err(|error| error.words())?;
        let (checks, mut not_tried) = self.checks(handle).await;
        let (undo, undone) = self.undo(handle).await?;
        if self.copy {
            not_tried.extend(copied::unseen());
        }
        let tried = Tried {
            statements,
            copy: self.copy,
            locks,
            held_us: 0,
            checks,
            not_tried,
            undo,
            outside: Vec::new(),
            unseen: String::new(),
        };
        Ok((tried, undone.map(|undone| (before, undone))))
    }

    /// BEGIN, the limits, and where it is wanted, the copies.
    async fn open(&self, handle: &mut Handle) -> Result<(), SqlError> {
        if handle.dialect() != Some(Dialect::Postgres) {
            handle.run(format!("pragma busy_timeout = {LOCK_MS}"), vec![]).await?;
            return handle.run("begin immediate", vec![]).await.map(|_| ());
        }
        handle.run("begin", vec![]).await?;
        handle.run(format!("set local lock_timeout = {LOCK_MS}"), vec![]).await?;
        handle.run(format!("set local statement_timeout = {}", self.limit.as_millis()), vec![]).await?;
        if self.copy {
            return copied::make(&self.plan, handle).await;
        }
        Ok(())
    }

    /// What must hold after the step, as far as this transaction can tell; and what it cannot.
    async fn checks(&self, handle: &mut Handle) -> (Vec<TriedCheck>, Vec<(String, String)>) {
        let (mut checks, mut not) = (Vec::new(), Vec::new());
        for named in &self.step.verify {
            let why = match named {
                CheckRef::ServiceGone(_) => "it looks at other sessions".to_owned(),
                CheckRef::Check(name) => match self.ctx.runbook.checks.get(name) {
                    None => "the runbook has no such check".to_owned(),
                    Some(_) if self.copy => "an empty copy says nothing of it".to_owned(),
                    Some(check) if !check::inside(check, handle.target(), self.ctx) => match check.hold {
                        Some(_) => "it must hold for a while".to_owned(),
                        None => "it cannot be asked inside this transaction".to_owned(),
                    },
                    Some(check) => {
                        let answer = check::on(check, self.ctx, handle, Where::Inside, Depth::Try).await;
                        let value = answer.value.map(|value| format!(", value {}", as_text(&value)));
                        let said = answer.words.map(|words| format!(": {words}"));
                        let words = format!(
                            "{}{}{}",
                            answer.verdict.word(),
                            value.unwrap_or_default(),
                            said.unwrap_or_default()
                        );
                        checks.push(TriedCheck { check: name.clone(), passed: answer.verdict.is_pass(), words });
                        continue;
                    }
                },
            };
            not.push((named.to_string(), why));
        }
        (checks, not)
    }

    /// What came of the undo, and the catalog after it where it ran.
    async fn undo(&self, handle: &mut Handle) -> Result<(TriedUndo, Option<Objects>), String> {
        let plan = match &self.undo {
            Back::None(because) => return Ok((TriedUndo::None(because.clone()), None)),
            Back::By(plan) => plan,
        };
        // After a failed statement PostgreSQL answers nothing until a savepoint is rolled back to.
        handle.run("savepoint backout_undo", vec![]).await.map_err(|error| error.words())?;
        for (sql, _) in &plan.statements {
            match handle.run(sql.as_str(), vec![]).await {
                Ok(_) => {}
                Err(error) if error.lost => return Err(error.words()),
                Err(error) => return Ok((TriedUndo::Failed(error.words()), None)),
            }
        }
        let undone = touched::read(&self.scope, handle).await.map_err(|none| none.words())?;
        Ok((TriedUndo::Exact, Some(undone)))
    }
}

/// The server's words; of a lock, what they mean.
fn refused(error: &SqlError) -> String {
    match error.is_lock() {
        true => format!("no lock within {LOCK_MS} ms, others hold it: {}", error.words()),
        false => error.words(),
    }
}

/// What runs for real beside the statements, and can do what no rollback takes back.
async fn fired(handle: &mut Handle) -> Result<Option<(String, String)>, SqlError> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Ok(None);
    }
    let sql = "select string_agg(quote_ident(evtname), ', ' order by evtname) from pg_event_trigger where evtenabled in ('O', 'A')";
    let names = handle.one(sql, vec![]).await?.filter(|names| !names.is_null()).map(|names| as_text(&names));
    Ok(names.map(|names| {
        (format!("event triggers {names}"), "they ran, and what they do outside the transaction stays".to_owned())
    }))
}

fn rewritten(was: &BTreeMap<String, (String, String)>, now: &BTreeMap<String, (String, String)>) -> Vec<String> {
    let other = |(oid, (_, file)): &(&String, &(String, String))| now.get(*oid).is_some_and(|(_, now)| now != file);
    was.iter().filter(other).map(|(_, (name, _))| name.clone()).collect()
}

/// What this transaction holds that others wait for: of each relation the strongest.
async fn locks(handle: &mut Handle) -> Result<Vec<(String, String)>, SqlError> {
    if handle.dialect() != Some(Dialect::Postgres) {
        return Ok(vec![("the whole file".to_owned(), "the one write lock".to_owned())]);
    }
    let rows = handle.read(LOCKS, vec![]).await?;
    let text = |row: &crate::target::db::Row, name: &str| row.get(name).map(as_text).unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, "place"), text(row, "lock"))).collect())
}

// Relations below 16384 are the server's own.
const LOCKS: &str = "select distinct on (l.relation) l.relation::regclass::text as place,
    upper(regexp_replace(regexp_replace(l.mode, 'Lock$', ''), '([a-z])([A-Z])', '\\1 \\2', 'g')) as lock
  from pg_locks l join pg_class c on c.oid = l.relation
  where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.granted and l.relation >= 16384
    and c.relpersistence <> 't' and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
  order by l.relation, array_position(array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
    'ShareLock', 'ShareUpdateExclusiveLock'], l.mode)";
