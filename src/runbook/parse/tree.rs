//! YAML as a tree in which every value knows its bytes and how it was written.
//!
//! Built from the parser's events and not through serde, for two reasons: serde stops at the first error, and it does
//! not tell a plain scalar from a quoted one. Owns the small part of YAML that a runbook may use; types are strict:
//! `true` and `false`, decimal numbers, and everything else is text.

use std::ops::Range;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle};

use crate::runbook::diagnostic::Diagnostic;
use crate::runbook::expect::Decimal;
use crate::text;

const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone)]
pub struct Node {
    /// Bytes of the file.
    pub span: Range<usize>,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    /// As written: a JSON number.
    Number(String),
    Text(String, Style),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub node: Node,
}

#[derive(Debug, Default)]
pub struct Tree {
    /// Absent where the text is no YAML, or empty.
    pub root: Option<Node>,
    pub diagnostics: Vec<Diagnostic>,
}

enum Open {
    Seq { start: usize, flow: bool, items: Vec<Node> },
    Map { start: usize, flow: bool, entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

struct Builder<'a> {
    source: &'a str,
    open: Vec<Open>,
    nodes: usize,
    aliases: usize,
    tree: Tree,
}

/// Reads one document.
pub fn build(source: &str) -> Tree {
    let mut options = Options::default();
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH + 1;
    options.block_nesting_limit = MAX_DEPTH + 1;
    let body = source.strip_prefix('\u{feff}').unwrap_or(source);
    let shift = source.len() - body.len();
    let mut builder = Builder { source, open: Vec::new(), nodes: 0, aliases: 0, tree: Tree::default() };
    let mut documents = 0;
    for item in Parser::new_from_str_with_options(body, options) {
        match item {
            Ok((event, span)) => {
                let span = bytes(&span, shift, source.len());
                if matches!(event, Event::DocumentStart(..)) {
                    documents += 1;
                    if documents > 1 {
                        builder.error(span, "a second document begins here", "a runbook is one document: remove `---`");
                        break;
                    }
                }
                if !builder.take(event, span) {
                    builder.tree.root = None;
                    break;
                }
            }
            Err(error) => {
                let at = (error.marker().byte_offset().unwrap_or(0) + shift).min(source.len());
                let (message, help) = said(source, at, &error.info());
                let end = source[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                let mut diagnostic = Diagnostic::error(at..end, message);
                diagnostic.help = help;
                builder.tree.diagnostics.push(diagnostic);
                builder.tree.root = None;
                break;
            }
        }
    }
    let mut tree = builder.tree;
    let empty = matches!(&tree.root, None | Some(Node { value: Value::Null, .. }));
    if empty && tree.diagnostics.is_empty() {
        tree.diagnostics.push(Diagnostic::error(None, "is empty").help("a runbook begins with `backout: 1`"));
        tree.root = None;
    }
    tree
}

fn said(source: &str, at: usize, info: &str) -> (String, Option<String>) {
    let line = &source[source[..at].rfind('\n').map_or(0, |i| i + 1)..];
    let line = line.lines().next().unwrap_or_default();
    let indent = &line[..line.len() - line.trim_start().len()];
    let message = format!("not YAML: {info}");
    if indent.contains('\t') {
        return (message, Some("indent with spaces, never with tabs".to_owned()));
    }
    if line.contains(": {{") || line.contains("- {{") {
        return (message, Some("a value that begins with `{{` is quoted: \"{{ name }}\"".to_owned()));
    }
    if info.contains("nesting") || info.contains("recursion") {
        return (message, Some(format!("a runbook is at most {MAX_DEPTH} deep")));
    }
    (message, None)
}

fn bytes(span: &Span, shift: usize, len: usize) -> Range<usize> {
    let at = |offset: Option<usize>| (offset.unwrap_or(0) + shift).min(len);
    let (start, end) = (at(span.start.byte_offset()), at(span.end.byte_offset()));
    start..end.max(start)
}

impl Builder<'_> {
    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: &str) {
        self.tree.diagnostics.push(Diagnostic::error(span, message).help(help));
    }

    /// Whether to go on.
    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> bool {
        let (tagged, anchor) = match &event {
            Event::Scalar(_, _, anchor, tag) => (tag.is_some(), *anchor),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => (tag.is_some(), *anchor),
            _ => (false, 0),
        };
        if tagged {
            self.error(
                span.clone(),
                "a tag (`!…`) stands before this value",
                "remove it: types are fixed by the format",
            );
        }
        if anchor != 0 && self.once_more() {
            self.error(
                span.clone(),
                "an anchor (`&…`) stands before this value",
                "write the value out where it is used",
            );
        }
        if matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..)) {
            self.nodes += 1;
        }
        if self.nodes > MAX_NODES {
            self.error(span, format!("more than {MAX_NODES} values"), "split the runbook");
            return false;
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let node = self.scalar(&text, style, span);
                self.put(node);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                if self.once_more() {
                    self.error(
                        span.clone(),
                        "an alias (`*…`) stands here",
                        "write the value out: a runbook is read from top to bottom",
                    );
                }
                self.put(Node { span, value: Value::Null });
            }
            Event::SequenceStart(style, ..) => {
                self.open.push(Open::Seq { start: span.start, flow: style == StructureStyle::Flow, items: Vec::new() })
            }
            Event::MappingStart(style, ..) => {
                self.open.push(Open::Map {
                    start: span.start,
                    flow: style == StructureStyle::Flow,
                    entries: Vec::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::Seq { start, flow, items }) => {
                        // A block ends where its last value does; the event stands at what follows.
                        let last = items.last().map(|n| n.span.end);
                        let end = last.filter(|_| !flow).unwrap_or(span.end);
                        Node { span: start..end.max(start), value: Value::Seq(items) }
                    }
                    Some(Open::Map { start, flow, entries, .. }) => {
                        let last = entries.last().map(|e| e.node.span.end);
                        let end = last.filter(|_| !flow).unwrap_or(span.end);
                        Node { span: start..end.max(start), value: Value::Map(entries) }
                    }
                    None => return false,
                };
                self.put(node);
            }
            _ => {}
        }
        if self.open.len() > MAX_DEPTH {
            self.error(self.here(), format!("deeper than {MAX_DEPTH}"), "a runbook is flat");
            return false;
        }
        true
    }

    /// Anchors and aliases are a way of writing: the first few say it all.
    fn once_more(&mut self) -> bool {
        self.aliases += 1;
        self.aliases <= 3
    }

    fn here(&self) -> Range<usize> {
        match self.open.last() {
            Some(Open::Seq { start, .. } | Open::Map { start, .. }) => *start..*start + 1,
            None => 0..0,
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Range<usize>) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        // What the file hides behind an escape is no better than what it hides in plain sight.
        if style == Style::Quoted
            && let Err((_, c)) = text::is_clean(text)
            && text::is_clean(&self.source[span.clone()]).is_ok()
        {
            self.tree.diagnostics.push(super::unseen(c, span.clone()));
        }
        let span = span.start..span.start + self.source[span.clone()].trim_end().len();
        Node { value: if style == Style::Plain { plain(text) } else { Value::Text(text.to_owned(), style) }, span }
    }

    fn put(&mut self, node: Node) {
        let mut wrong = Vec::new();
        match self.open.last_mut() {
            None => {
                self.tree.root.get_or_insert(node);
            }
            Some(Open::Seq { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, key_span)) => entries.push(Entry { key, key_span, node }),
                None => {
                    let name = match node.value {
                        Value::Text(text, _) => text,
                        Value::Number(text) => text,
                        Value::Bool(b) => b.to_string(),
                        Value::Null => "null".to_owned(),
                        Value::Seq(_) | Value::Map(_) => {
                            wrong.push(
                                Diagnostic::error(node.span.clone(), "a key is a word, not a list or a map")
                                    .help("a value that begins with `{{` is quoted: \"{{ name }}\""),
                            );
                            String::new()
                        }
                    };
                    if name == "<<" {
                        wrong.push(
                            Diagnostic::error(node.span.clone(), "a merge key (`<<`) stands here")
                                .help("write the fields out: a runbook is read from top to bottom"),
                        );
                    } else if let Some(first) = entries.iter().find(|e| e.key == name && !name.is_empty()) {
                        let line = self.source[..first.key_span.start].matches('\n').count() + 1;
                        wrong.push(
                            Diagnostic::error(node.span.clone(), format!("`{name}` stands here a second time"))
                                .help(format!("it is in line {line} already: remove one of the two")),
                        );
                    }
                    *key = Some((name, node.span));
                }
            },
        }
        self.tree.diagnostics.extend(wrong);
    }
}

/// The strict reading of a plain scalar: `yes`, `012`, `1_000` and `0x10` are text, and refused where it matters.
fn plain(text: &str) -> Value {
    match text {
        "" | "null" | "~" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let digits = text.trim_start_matches('-');
            let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
            if Decimal::parse(text).is_some() && !padded {
                Value::Number(text.to_owned())
            } else {
                Value::Text(text.to_owned(), Style::Plain)
            }
        }
    }
}
