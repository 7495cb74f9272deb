//! Judges a runbook that is whole: whether each statement is what its action says, and what its author should look at.
//!
//! Owns the rules about SQL, `never` and what nobody uses. Works on the model and the text alone: no server is asked,
//! so an object that does not exist is found by survey, not here.

use std::collections::HashSet;
use std::ops::Range;

use super::diagnostic::{Diagnostic, Severity};
use super::parse::near::locate;
use super::resolve::Places;
use super::template::{SqlText, braces};
use super::{Action, CheckKind, CheckRef, FreezeItem, PerDialect, Phase, Runbook, Scoped, SetSource, Step};
use crate::sql::{self, Dialect, Refused, Statement, Zone, shim};
use crate::text;

pub mod never;
mod statement;

use statement::Role;

/// The file, and what was found while it was read.
pub struct Known<'a> {
    pub source: &'a str,
    pub places: &'a Places,
    /// `var x`, `set x`, `reading x`.
    pub used: &'a HashSet<String>,
    /// Nothing was wrong until now.
    pub whole: bool,
}

struct Lint<'a> {
    runbook: &'a Runbook,
    known: &'a Known<'a>,
    found: Vec<Diagnostic>,
}

pub fn judge(runbook: &Runbook, known: &Known) -> Vec<Diagnostic> {
    let mut lint = Lint { runbook, known, found: Vec::new() };
    lint.sources();
    for step in runbook.steps.values() {
        lint.action(step, &step.action);
        if let Some(undo) = &step.undo {
            lint.action(step, undo);
        }
        lint.release(step);
        lint.never(step);
    }
    // Where something is wrong, what refers to what is not known.
    if known.whole && lint.found.iter().all(|d| d.severity != Severity::Error) {
        lint.unused();
        lint.frozen();
    }
    lint.found
}

impl Lint<'_> {
    fn place(&self, what: &str) -> Option<Range<usize>> {
        self.known.places.get(what).cloned()
    }

    fn error(&mut self, span: Option<Range<usize>>, message: impl Into<String>, help: &str) {
        self.found.push(Diagnostic::error(span, message).help(help));
    }

    fn warn(&mut self, span: Option<Range<usize>>, message: impl Into<String>, help: &str) {
        self.found.push(Diagnostic::warning(span, message).help(help));
    }

    fn dialect(&self, target: Option<&String>) -> Option<Dialect> {
        self.runbook.targets.get(target?)?.kind.dialect()
    }

    /// Checks, readings and sets.
    fn sources(&mut self) {
        let runbook = self.runbook;
        let checks = runbook.checks.values().map(|c| ("check", c));
        for (what, check) in checks.chain(runbook.readings.values().map(|c| ("reading", c))) {
            let place = format!("{what} {}", check.name);
            match &check.kind {
                CheckKind::Query(forms) => {
                    let forms = one_each(forms);
                    self.forms(&forms, check.on.as_ref(), &place, Role::Query);
                }
                CheckKind::Explain { query, .. } => {
                    self.forms(&one_each(query), check.on.as_ref(), &place, Role::Query);
                }
                CheckKind::Probe { statements, .. } => {
                    self.forms(statements, check.on.as_ref(), &place, Role::Probe);
                }
                _ => {}
            }
        }
        for set in runbook.sets.values() {
            if let SetSource::Query { on, sql } = &set.source {
                self.forms(&one_each(sql), Some(on), &format!("set {}", set.name), Role::Query);
            }
        }
    }

    fn action(&mut self, step: &Step, action: &Action) {
        let place = format!("step {} action", step.id);
        match action {
            Action::Ddl(forms) => {
                let statements = self.forms(forms, step.on.as_ref(), &place, Role::Ddl);
                if std::ptr::eq(action, &step.action) {
                    self.schema(step, &statements);
                }
            }
            Action::Change(change) => {
                self.forms(&one_each(&change.sql), step.on.as_ref(), &place, Role::Change);
            }
            _ => {}
        }
    }

    /// Every form under its dialect, and a form for the target's dialect. Gives the target's statements.
    fn forms(
        &mut self,
        forms: &PerDialect<Vec<SqlText>>,
        on: Option<&String>,
        place: &str,
        role: Role,
    ) -> Vec<(Statement, SqlText)> {
        let target = self.dialect(on);
        let mut statements = Vec::new();
        let dialects = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite];
        for dialect in dialects {
            let wanted = target == Some(dialect);
            let form = match forms {
                PerDialect::Any(form) if wanted => Some(form),
                PerDialect::Any(_) => None,
                PerDialect::Each { .. } => forms.get(dialect),
            };
            match form {
                Some(form) => {
                    for sql in form {
                        let read = self.sql(sql, dialect, role);
                        statements.extend(read.filter(|_| wanted).map(|s| (s, sql.clone())));
                    }
                }
                None if wanted => {
                    let name = on.map(String::as_str).unwrap_or_default();
                    let message = format!("there is no form for {dialect}, the dialect of `{name}`");
                    let word = dialect.to_string().to_lowercase().replace("postgresql", "postgres");
                    self.error(self.place(place), message, &format!("add `{word}: |`"));
                }
                None => {}
            }
        }
        statements
    }

    /// One statement: nothing hidden in quotes, one only, and what its place says it is.
    fn sql(&mut self, sql: &SqlText, dialect: Dialect, role: Role) -> Option<Statement> {
        // Said already, and with its place.
        if text::is_clean(&sql.text).is_err() {
            return None;
        }
        let text = sql.parseable(dialect);
        for brace in braces(&sql.text) {
            let zone = sql::zones(dialect, &text).into_iter().find(|(range, _)| range.contains(&brace.start));
            let inside = match zone.map(|z| z.1) {
                Some(Zone::Literal) => "a quoted literal",
                Some(Zone::QuotedIdent) => "a quoted identifier",
                Some(Zone::Comment) => "a comment",
                Some(Zone::Code) | None => continue,
            };
            let help = match inside {
                "a comment" => "remove it from the comment",
                _ => "remove the quotes: a value is bound, not pasted",
            };
            let name = &sql.text[brace.clone()];
            let span = self.at(sql, brace.start, brace.len());
            self.error(Some(span), format!("`{name}` stands in {inside}"), help);
            return None;
        }
        match role.judge(dialect, &text) {
            Ok(statement) => {
                for (message, help) in role.remarks(dialect, &text, &statement) {
                    self.warn(Some(self.first_line(sql)), message, help);
                }
                Some(statement)
            }
            Err(wrong) => {
                let span = match wrong.refused.as_ref().and_then(offset) {
                    Some(at) if at < sql.text.len() => self.at(sql, at, 1),
                    _ => self.first_line(sql),
                };
                let mut diagnostic = Diagnostic::error(span, wrong.message);
                diagnostic.help = wrong.help;
                self.found.push(diagnostic);
                None
            }
        }
    }

    fn at(&self, sql: &SqlText, offset: usize, len: usize) -> Range<usize> {
        let offset = (0..=offset).rev().find(|i| sql.text.is_char_boundary(*i)).unwrap_or(0);
        locate(self.known.source, &(sql.span.start..sql.span.end), &sql.text[..offset], len)
    }

    /// The first line with a word in it: a block begins on the line of its `|`.
    fn first_line(&self, sql: &SqlText) -> Range<usize> {
        let start = sql.text.len() - sql.text.trim_start().len();
        let len = sql.text[start..].lines().next().map_or(0, |l| l.trim_end().len());
        self.at(sql, start, len)
    }

    /// What a `ddl` step should say that its statements cannot.
    fn schema(&mut self, step: &Step, statements: &[(Statement, SqlText)]) {
        for (statement, sql) in statements {
            if let Some(why) = statement.reverse.cannot().filter(|_| step.undo.is_none()) {
                let message = format!("{} cannot be undone by itself: {why}", statement.kind);
                self.warn(
                    Some(self.first_line(sql)),
                    message,
                    "add an `undo`, or expect a gate for an irreversible step",
                );
            }
            if statement.done.is_empty() && step.done_when.is_empty() {
                let message = format!("the catalog cannot tell whether {} was done", statement.kind);
                self.warn(Some(self.first_line(sql)), message, "add `done_when: [check]`");
            }
            if !statement.transactional && statements.len() > 1 {
                let message = format!("{} cannot stand in a transaction, so this list is not atomic", statement.kind);
                self.warn(Some(self.first_line(sql)), message, "give it a step of its own");
            }
        }
        self.breaks(step, statements);
    }

    /// The services that live and need what the statements take away together, at the statement that does it.
    fn breaks(&mut self, step: &Step, statements: &[(Statement, SqlText)]) {
        let together = || statements.iter().map(|(statement, _)| statement);
        let dialect = self.dialect(step.on.as_ref());
        let instead = dialect.and_then(|dialect| shim::instead(dialect, together(), &step.id));
        for service in self.runbook.services.values().filter(|s| !s.gone) {
            let here = |used: &&Scoped| used.target.is_none() || used.target == step.on;
            let mut used = service.uses.iter().filter(here).map(|used| used.name.as_str());
            let Some(used) = used.find(|used| sql::leaves(together(), used) == Some(false)) else { continue };
            let by = statements.iter().find(|(statement, _)| sql::leaves([statement], used) == Some(false));
            let Some((_, sql)) = by else { continue };
            // Who waits for its end knows, unless there is a way for both.
            let gone = CheckRef::ServiceGone(service.name.clone());
            if instead.is_none() && step.needs.iter().any(|need| need.check == gone && need.written) {
                continue;
            }
            let message = format!("this breaks `{}`, which uses {used}", service.name);
            let help = instead.clone().unwrap_or_else(|| "contain it first, or keep both names for a while".to_owned());
            self.warn(Some(self.first_line(sql)), message, &help);
            if service.sessions.is_empty() && service.group.is_none() {
                let name = &service.name;
                let message = format!("`{name}` can never be proved gone, so this step always asks for break-glass");
                let help =
                    format!("say how it is seen, as in `{name}: {{ sessions: \"{name}*\" }}`, or by its `group`");
                self.warn(Some(self.first_line(sql)), message, &help);
            }
        }
    }

    fn release(&mut self, step: &Step) {
        let Action::UndoOf { step: undone } = &step.action else {
            return;
        };
        let phase = self.runbook.steps.get(undone).map(|s| s.phase);
        if step.phase == Phase::Release && phase.is_some_and(|p| p != Phase::Contain) {
            let message = format!("`{undone}` is not a step of the phase `contain`, so there is nothing to release");
            self.warn(
                self.place(&format!("step {} action", step.id)),
                message,
                "an undo of a repair stands in `repair`",
            );
        }
    }

    fn never(&mut self, step: &Step) {
        for never in &self.runbook.never {
            let dialect = self.dialect(step.on.as_ref());
            let actions = [Some(&step.action), step.undo.as_deref()];
            if actions.into_iter().flatten().any(|action| never::matches(never, action, dialect)) {
                let message = format!("`{}` does what `never` forbids: {}", step.id, never.what);
                self.error(self.place(&format!("step {} action", step.id)), message, &never.because);
            }
        }
    }

    fn unused(&mut self) {
        let sets = self.runbook.sets.values().filter(|s| !self.runbook.targets.contains_key(&s.name));
        let mut names: Vec<(&str, &String)> = self.runbook.vars.keys().map(|n| ("var", n)).collect();
        names.extend(self.runbook.readings.keys().map(|n| ("reading", n)));
        names.extend(sets.map(|s| ("set", &s.name)));
        for (what, name) in names {
            let key = format!("{what} {name}");
            let used = self.known.used.contains(&key)
                || (what == "var" && self.known.used.contains(&format!("variable {name}")));
            if !used {
                let word = if what == "var" { "variable" } else { what };
                self.warn(self.place(&key), format!("the {word} `{name}` is used nowhere"), "use it or remove it");
            }
        }
    }

    /// What is compared with a frozen value must be frozen by some step.
    fn frozen(&mut self) {
        let runbook = self.runbook;
        let frozen: HashSet<&str> = runbook
            .steps
            .values()
            .flat_map(|step| match &step.action {
                Action::Freeze(items) => items
                    .iter()
                    .filter_map(|item| match item {
                        FreezeItem::Reading(name) | FreezeItem::Set(name) => Some(name.as_str()),
                        _ => None,
                    })
                    .collect(),
                Action::Reconcile { set } => vec![set.as_str()],
                _ => Vec::new(),
            })
            .collect();
        for check in runbook.checks.values() {
            if let Some(name) = check.expect.as_ref().and_then(|e| e.same_as())
                && !frozen.contains(name)
            {
                let message = format!("`{name}` is frozen by no step, so `{}` is unknown for ever", check.name);
                self.warn(
                    self.place(&format!("check {}", check.name)),
                    message,
                    &format!("add `{name}` to a `freeze`"),
                );
            }
        }
    }
}

fn one_each(forms: &PerDialect<SqlText>) -> PerDialect<Vec<SqlText>> {
    let one = |form: &Option<SqlText>| form.clone().map(|f| vec![f]);
    match forms {
        PerDialect::Any(form) => PerDialect::Any(vec![form.clone()]),
        PerDialect::Each { postgres, mysql, sqlite } => {
            PerDialect::Each { postgres: one(postgres), mysql: one(mysql), sqlite: one(sqlite) }
        }
    }
}

fn offset(refused: &Refused) -> Option<usize> {
    match refused {
        Refused::Unparsable { offset, .. }
        | Refused::Unterminated { offset, .. }
        | Refused::VersionComment { offset }
        | Refused::MetaCommand { offset, .. }
        | Refused::Lookalike { offset, .. } => Some(*offset),
        _ => None,
    }
}
