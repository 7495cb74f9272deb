//! The sections without steps and checks: `migration`, `targets`, `services`, `vars`.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;

use super::bound::Allow;
use super::{Cx, answers, checks, conduct, names, takes_sql};
use crate::runbook::parse::near::listed;
use crate::runbook::parse::{Node, tree::Value};
use crate::runbook::vars::read_value;
use crate::runbook::{
    Members, Migration, PerDialect, Reads, Recorded, Scoped, Service, Target, TargetKind, Var, VarKind, Version,
};

pub fn migration(cx: &Cx, node: &Node) -> Option<Migration> {
    let fields = cx.r.fields(node)?;
    let files = |key| {
        fields.get(key).map(|n| {
            per_dialect(cx, n, &|cx, n| Some(cx.r.list(n).iter().filter_map(|file| path(cx, file)).collect::<Vec<_>>()))
                .unwrap_or_default()
        })
    };
    let (up, down) = (files("up"), files("down"));
    let recorded = fields.get("recorded").and_then(|n| recorded(cx, n));
    fields.finish();
    Some(Migration { up: up.unwrap_or_default(), down: down.unwrap_or_default(), recorded })
}

/// `{ in: schema_migrations.version, as: "0042" }`
fn recorded(cx: &Cx, node: &Node) -> Option<Recorded> {
    let fields = cx.r.fields(node)?;
    let place = fields.need("in").and_then(|n| {
        let text = cx.r.text(n)?;
        let split = text.rsplit_once('.').map(|(table, column)| (table.to_owned(), column.to_owned()));
        if split.is_none() {
            cx.r.error_help(&n.span, format!("`{text}` does not say which table"), "write `in: table.column`");
        }
        split
    });
    let value = fields.need("as").and_then(|n| cx.r.text(n));
    fields.finish();
    let (table, column) = place?;
    Some(Recorded { table, column, value: value? })
}

/// A file beside the runbook or below it: nothing outside is read, whatever the runbook says.
pub fn path(cx: &Cx, node: &Node) -> Option<PathBuf> {
    let text = cx.r.text(node)?;
    let relative = Path::new(&text);
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        let help = "name a file beside the runbook or in a folder below it";
        cx.r.error_help(&node.span, format!("`{text}` leads out of the runbook's folder"), help);
        return None;
    }
    let real = cx.base.join(relative).canonicalize();
    match (real, cx.base.canonicalize()) {
        (Ok(real), Ok(base)) if !real.starts_with(&base) => {
            cx.r.error(&node.span, format!("`{text}` is a link that leads out of the runbook's folder"));
            None
        }
        (Ok(real), _) if !real.is_file() => {
            cx.r.error(&node.span, format!("`{text}` is not a regular file"));
            None
        }
        (Ok(_), _) => Some(relative.to_owned()),
        (Err(_), _) => {
            cx.r.error(&node.span, format!("there is no file `{text}` beside the runbook"));
            None
        }
    }
}

/// One form, or `{ postgres: …, mysql: …, sqlite: … }`.
pub fn per_dialect<T>(cx: &Cx, node: &Node, read: &dyn Fn(&Cx, &Node) -> Option<T>) -> Option<PerDialect<T>> {
    if !matches!(node.value, Value::Map(_)) {
        return read(cx, node).map(PerDialect::Any);
    }
    let fields = cx.r.fields(node)?;
    let form = |key| fields.get(key).map(|n| read(cx, n));
    let forms = [form("postgres"), form("mysql"), form("sqlite")];
    let head = fields.head();
    fields.finish();
    if forms.iter().all(Option::is_none) {
        cx.r.error(&head, "no form for any dialect: one of `postgres`, `mysql` and `sqlite`");
        return None;
    }
    let [postgres, mysql, sqlite] = forms.map(Option::flatten);
    Some(PerDialect::Each { postgres, mysql, sqlite })
}

/// The targets, and the members of those that are fleets.
pub fn targets(cx: &Cx, node: &Node) -> (IndexMap<String, Target>, IndexMap<String, Members>) {
    let (mut targets, mut fleets) = (IndexMap::new(), IndexMap::new());
    for e in cx.r.entries(node) {
        let Some(fields) = cx.r.fields(&e.node) else {
            continue;
        };
        let found: Vec<_> = names::TARGET_KINDS
            .iter()
            .filter_map(|(word, kind)| fields.entry(word).map(|entry| (*word, *kind, entry)))
            .collect();
        let key = fields.get("key").map(|n| (n, cx.r.text(n)));
        let members = fields.get("members").map(|n| (n, conduct::members(cx, n)));
        let head = fields.head();
        fields.finish_as("target");
        let [(_, kind, entry)] = found.as_slice() else {
            let kinds: Vec<_> = names::TARGET_KINDS.iter().map(|k| k.0).collect();
            cx.r.error_help(
                &head,
                format!("the target `{}` is of exactly one kind", e.key),
                format!("one of {}", listed(&kinds)),
            );
            continue;
        };
        if let (Some((n, _)), false) = (&members, takes_sql(*kind)) {
            cx.r.error(&n.span, "only a database has `members`");
        }
        if let (Some((n, _)), false) = (&key, *kind == TargetKind::Records) {
            cx.r.error(&n.span, "only a `records` target has a `key`");
        }
        let Some(address) = cx.r.text(&entry.node) else {
            continue;
        };
        check_address(cx, &entry.node.span, &address);
        cx.place(format!("target {}", e.key), &e.key_span);
        let target = Target { name: e.key.clone(), kind: *kind, address, key: key.and_then(|k| k.1) };
        targets.insert(e.key.clone(), target);
        fleets.extend(members.and_then(|m| Some((e.key.clone(), m.1?))));
    }
    (targets, fleets)
}

pub fn check_address(cx: &Cx, span: &Range<usize>, address: &str) {
    let mut rest = address;
    while let Some(at) = rest.find("${") {
        let name = rest[at + 2..].split('}').next().unwrap_or_default();
        let closed = rest[at + 2..].contains('}');
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !closed || !good {
            cx.r.error_help(
                span,
                "`${…}` does not name an environment variable",
                "write `${NAME}`, nothing else in it",
            );
            return;
        }
        rest = &rest[at + 2 + name.len()..];
    }
    // `user:secret@host`: the part between is a variable or it does not stand here.
    let authority = address.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    let secret = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, secret)| secret);
    let in_query = address.to_lowercase().contains("password=") && !address.contains("password=${");
    if secret.is_some_and(|s| !s.is_empty() && !s.starts_with("${")) || in_query {
        cx.r.say(
            crate::runbook::diagnostic::Diagnostic::error(span.clone(), "a password stands in the runbook")
                .help("take it from the environment: `${NAME}`; and change it, it was written down")
                .secret(),
        );
    }
}

pub fn services(cx: &Cx, node: &Node) -> IndexMap<String, Service> {
    let mut services = IndexMap::new();
    for e in cx.r.entries(node) {
        let Some(fields) = cx.r.fields(&e.node) else {
            continue;
        };
        let service = Service {
            name: e.key.clone(),
            runs: fields.get("runs").and_then(|n| cx.r.text(n)),
            gone: fields.get("gone").and_then(|n| cx.r.bool(n)).unwrap_or(false),
            sessions: fields.get("sessions").map(|n| scoped(cx, n, false)).unwrap_or_default(),
            uses: fields.get("uses").map(|n| scoped(cx, n, true)).unwrap_or_default(),
            group: fields.get("group").and_then(|n| cx.r.text(n)),
            owner: fields.get("owner").and_then(|n| cx.r.text(n)),
            reads: fields.get("reads").map(|n| reads(cx, n)).unwrap_or_default(),
            stays: fields.get("stays").and_then(|n| cx.r.bool(n)).unwrap_or(false),
            version: fields.get("version").and_then(|n| version(cx, n)),
        };
        if service.gone && service.stays {
            cx.r.error(&e.key_span, format!("`{}` stays and must be gone: it is one of the two", e.key));
        }
        if service.gone && service.sessions.is_empty() && service.group.is_none() {
            let help = "give it `sessions` (a glob on the application name) or a `group`";
            cx.r.error_help(&e.key_span, format!("nothing can prove that `{}` is gone", e.key), help);
        }
        fields.finish_as("service");
        cx.place(format!("service {}", e.key), &e.key_span);
        services.insert(e.key.clone(), service);
    }
    services
}

fn version(cx: &Cx, node: &Node) -> Option<Version> {
    let fields = cx.r.fields(node)?;
    let command = fields.need("command").and_then(|n| checks::argv(cx, n, Allow::default()));
    let expect = fields.get("expect").and_then(|n| answers::expect(cx, n));
    fields.finish();
    Some(Version { command: command?, expect })
}

fn scoped(cx: &Cx, node: &Node, column: bool) -> Vec<Scoped> {
    let mut all = Vec::new();
    for item in cx.r.some(node) {
        let Some(text) = cx.r.text(item) else {
            continue;
        };
        let (target, name) = match text.split_once(':') {
            Some((target, name)) => (Some(target.to_owned()), name.to_owned()),
            None => (None, text),
        };
        if let Some(target) = &target
            && !cx.names.targets.contains_key(target)
        {
            cx.r.undefined(&item.span, "target", target, cx.names.targets.keys().map(String::as_str));
            continue;
        }
        if column && !name.contains('.') {
            cx.r.error_help(&item.span, format!("`{name}` is not a column"), "write `table.column`");
            continue;
        }
        all.push(Scoped { target, name });
    }
    all
}

/// `{ topic: { requires: [field] } }`
pub fn reads(cx: &Cx, node: &Node) -> IndexMap<String, Reads> {
    let mut reads = IndexMap::new();
    for e in cx.r.entries(node) {
        let Some(fields) = cx.r.fields(&e.node) else {
            continue;
        };
        let requires = fields.get("requires").map(|n| cx.r.list(n)).unwrap_or_default();
        let requires = requires.iter().filter_map(|n| cx.r.text(n)).collect();
        fields.finish();
        reads.insert(e.key.clone(), Reads { requires });
    }
    reads
}

pub fn vars(cx: &Cx, node: &Node) -> IndexMap<String, Var> {
    let mut vars = IndexMap::new();
    for e in cx.r.entries(node) {
        let Some(fields) = cx.r.fields(&e.node) else {
            continue;
        };
        let kind = fields.need("type").and_then(|n| cx.r.word::<VarKind>(n, &names::VAR_KINDS));
        let ask = fields.get("ask").and_then(|n| cx.r.text(n));
        let default = fields.get("default").and_then(|n| {
            let text = match &n.value {
                Value::Number(text) => Some(text.clone()),
                Value::Bool(value) => Some(value.to_string()),
                _ => cx.r.literal(n).as_ref().map(crate::runbook::template::as_text),
            }?;
            if let Some(kind) = kind
                && let Err(why) = read_value(kind, &text)
            {
                cx.r.error(&n.span, why);
            }
            Some(text)
        });
        fields.finish();
        if ["item", "probe", "stage", "set", "ident"].contains(&e.key.as_str()) {
            cx.r.error(&e.key_span, format!("`{}` has a meaning of its own in `{{{{ }}}}`", e.key));
        }
        cx.place(format!("var {}", e.key), &e.key_span);
        vars.insert(e.key.clone(), Var { name: e.key.clone(), kind: kind.unwrap_or(VarKind::Text), ask, default });
    }
    vars
}

/// A target that takes SQL.
pub fn sql_target(cx: &Cx, node: &Node) -> Option<String> {
    cx.target(node, "a database", takes_sql)
}
