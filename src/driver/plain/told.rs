//! What is printed: each change once, a page when it comes up, and what may be typed.

use std::io::{self, Write};
use std::sync::Arc;

use crate::driver::Printer;
use crate::driver::line::Line;
use crate::driver::watching::Watching;
use crate::engine::Snapshot;
use crate::run::record::{Event, Record};
use crate::tui::keymap::BINDINGS;
use crate::tui::model::{Dialog, Model};
use crate::tui::theme::in_ascii;
use crate::tui::view::{self, Page};

/// Text that is wrapped is wrapped here; rows that would be cut are never.
const WRAP: usize = 100;
const WHOLE: usize = 400;

pub struct Told {
    ascii: bool,
    /// Who joined with this process: what is older than that was told to somebody else.
    actor: String,
    line: Line,
    watching: Watching,
    last: Option<Arc<Event>>,
    /// What is wrong, as it was told last.
    wrong: Vec<String>,
    /// What was answered to the last line.
    answers: Vec<String>,
    next: String,
    /// What may be typed.
    prompt: String,
    gate: Option<String>,
    surveyed: bool,
    rows: Vec<String>,
    picked: Option<String>,
    pages: Vec<Page>,
    help: bool,
    begun: bool,
}

impl Told {
    pub fn new(ascii: bool, actor: String) -> Self {
        Self {
            ascii,
            actor,
            line: Line::default(),
            watching: Watching::default(),
            last: None,
            wrong: Vec::new(),
            answers: Vec::new(),
            next: String::new(),
            prompt: String::new(),
            gate: None,
            surveyed: false,
            rows: Vec::new(),
            picked: None,
            pages: Vec::new(),
            help: false,
            begun: false,
        }
    }

    /// The same answer to another line is told again.
    pub fn answer_again(&mut self) {
        self.answers.clear();
        self.prompt.clear();
    }

    pub fn next_again(&mut self) {
        self.next.clear();
    }

    /// Selected by what was typed: nobody wants to be told of it.
    pub fn knows(&mut self, step: &str) {
        self.picked = Some(step.to_owned());
    }

    pub fn show(&mut self, page: Page) {
        self.pages.push(page);
    }

    pub fn help(&mut self) {
        self.help = true;
    }

    /// The page that a screen would show now.
    pub fn whole(&mut self, model: &Model, snapshot: &Snapshot) {
        self.pages.push(if model.at_rows(snapshot) { Page::Rows } else { Page::Detail });
        self.next_again();
    }

    /// Prints what is new. `asking`: nothing is waited for, so what may be typed is said.
    ///
    /// # Errors
    /// Nobody reads it any more.
    pub fn tell(&mut self, model: &Model, snapshot: &Snapshot, asking: bool, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            let joined =
                |event: &Arc<Event>| matches!(&event.record, Record::OperatorJoined(by) if by.id == self.actor);
            let Some(at) = snapshot.log.iter().rposition(joined) else { return Ok(()) };
            let before = snapshot.log.iter().take(at).any(|event| event.record.kind() == "operator_joined");
            self.last = before.then(|| snapshot.log.get(at.checked_sub(1)?).cloned()).flatten();
            self.begun = true;
            self.put(
                out,
                "Plain: lines are only added. Type a command and Enter; help lists them, leave ends, ^C holds.",
            )?;
        }
        self.events(snapshot, out)?;
        for (step, words) in self.watching.news(snapshot) {
            let mut line = Vec::new();
            self.line.live(&mut line, &snapshot.now, &step, &words)?;
            self.put(out, String::from_utf8_lossy(&line).trim_end())?;
        }
        self.banner(model, snapshot, out)?;
        if snapshot.survey.is_some() && !snapshot.surveying && !std::mem::replace(&mut self.surveyed, true) {
            self.page(Page::Heading, model, snapshot, out)?;
            if !snapshot.state.entered {
                self.page(Page::Survey, model, snapshot, out)?;
            }
        }
        let gate = model.gate.as_ref().map(|gate| gate.offer_digest.clone());
        if gate != self.gate {
            self.gate = gate;
            if self.gate.is_some() {
                self.page(Page::Heading, model, snapshot, out)?;
                self.page(Page::Gate, model, snapshot, out)?;
            }
        }
        self.classified(model, snapshot, out)?;
        if model.picked != self.picked {
            self.picked.clone_from(&model.picked);
            if model.picked.is_some() && !self.pages.contains(&Page::Detail) {
                self.pages.push(Page::Detail);
            }
        }
        for page in std::mem::take(&mut self.pages) {
            self.page(page, model, snapshot, out)?;
        }
        if std::mem::take(&mut self.help) {
            self.words(out)?;
        }
        if snapshot.exit.is_some() {
            self.page(Page::End, model, snapshot, out)?;
        } else if asking {
            self.next(model, snapshot, out)?;
            self.ask(model, snapshot, out)?;
        }
        out.flush()
    }

    fn put(&self, out: &mut dyn Write, line: &str) -> io::Result<()> {
        if self.ascii { writeln!(out, "{}", in_ascii(line)) } else { writeln!(out, "{line}") }
    }

    /// What stands in the log behind the last that was told.
    fn events(&mut self, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        let known = self.last.as_ref().and_then(|last| snapshot.log.iter().rposition(|event| Arc::ptr_eq(event, last)));
        let new: Vec<_> = snapshot.log.iter().skip(known.map_or(0, |at| at + 1)).cloned().collect();
        for event in new {
            // The gate's page says it better; the others say nothing to somebody who watches.
            let quiet = matches!(
                event.record,
                Record::Heartbeat {} | Record::GateShown(_) | Record::Enabled {} | Record::Reached { .. }
            );
            if !quiet {
                let mut line = Vec::new();
                self.line.event(&mut line, &event)?;
                for text in String::from_utf8_lossy(&line).lines() {
                    self.put(out, text)?;
                }
            }
            self.last = Some(event);
        }
        Ok(())
    }

    /// What is wrong, each line once; what was answered, once for each line that was typed.
    fn banner(&mut self, model: &Model, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        let mut quiet = model.clone();
        let mut answers: Vec<String> = quiet.says.take().into_iter().collect();
        answers.extend(model.gate.iter().filter_map(|gate| gate.says.clone()));
        answers.extend(model.dialogs.last().and_then(|dialog| match dialog {
            Dialog::Prompt { says, .. } | Dialog::Decide { says, .. } | Dialog::Finish { says, .. } => says.clone(),
            _ => None,
        }));
        // Leaving holds the run: that is what was asked for.
        let page = if model.leaving { Vec::new() } else { view::text(&quiet, snapshot, Page::Banner, WRAP) };
        let wrong: Vec<String> = page.iter().filter_map(|line| spoken(line)).collect();
        let answers: Vec<String> = answers.iter().map(|line| in_words(line)).collect();
        let fresh = wrong.iter().filter(|line| !self.wrong.contains(line));
        for line in fresh.chain(answers.iter().filter(|line| !self.answers.contains(line))) {
            self.put(out, &format!("!! {line}"))?;
        }
        (self.wrong, self.answers) = (wrong, answers);
        Ok(())
    }

    fn classified(&mut self, model: &Model, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        if !model.at_rows(snapshot) {
            self.rows.clear();
            return Ok(());
        }
        let mut plain = model.clone();
        // What is half typed is no change of the table.
        plain.rows.class = None;
        let rows = view::text(&plain, snapshot, Page::Rows, WRAP);
        if rows != self.rows {
            self.rows = rows;
            self.page(Page::Rows, &plain, snapshot, out)?;
        }
        Ok(())
    }

    fn page(&self, page: Page, model: &Model, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        let wide = matches!(page, Page::Survey | Page::Steps | Page::Log | Page::Heading | Page::End);
        let lines = view::text(model, snapshot, page, if wide { WHOLE } else { WRAP });
        let last = if page == Page::Log { lines.len().saturating_sub(40) } else { 0 };
        for line in &lines[last..] {
            match page {
                // What would run is told as it stands, space for space.
                Page::Gate => self.put(out, line)?,
                _ => spoken(line).map_or(Ok(()), |line| self.put(out, &line))?,
            }
        }
        Ok(())
    }

    fn next(&mut self, model: &Model, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        if !model.dialogs.is_empty() {
            return Ok(());
        }
        let sentence = match &snapshot.preparing {
            Some((step, _)) => format!("Wait: the gate of {step} is being prepared"),
            None => view::text(model, snapshot, Page::Next, WHOLE).join(" "),
        };
        let sentence = in_words(&sentence);
        let sentence =
            sentence.replace("then Tab, and", "then break-glass, and").replace(": Enter freezes", ": open freezes");
        if sentence != self.next {
            self.put(out, &format!("NEXT  {sentence}"))?;
            self.next = sentence;
        }
        Ok(())
    }

    /// What may be typed now, where it is not a command.
    fn ask(&mut self, model: &Model, snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
        let lines = match (model.dialogs.last(), &model.gate) {
            (Some(Dialog::Note { .. }), _) => vec!["TYPE  the note, on one line (back: nothing happens)".to_owned()],
            (Some(Dialog::Finish { area, .. }), _) => {
                let open = area.lines().iter().filter(|line| !line.trim().is_empty());
                let mut lines: Vec<String> = open.map(|line| format!("open item: {line}")).collect();
                lines.push("TYPE  an open item as  what | owner | date,  or how the run ends: recovered, degraded, stopped (back: nothing happens)".into());
                lines
            }
            (Some(_), _) => {
                let mut lines: Vec<String> =
                    view::text(model, snapshot, Page::Dialog, WRAP).iter().filter_map(|l| spoken(l)).collect();
                lines.push("TYPE  it, and Enter (back: nothing happens)".into());
                lines
            }
            (None, Some(_)) if !model.armed() => Vec::new(),
            (None, Some(gate)) if gate.in_reason => {
                vec!["TYPE  why it cannot wait for a second person (back: to the gate)".into()]
            }
            (None, Some(_)) => match view_token(snapshot) {
                Some(token) => vec![format!("TYPE  {token}  (back: nothing happens · page: all of it again)")],
                None => vec!["TYPE  break-glass, or back: nothing happens".into()],
            },
            (None, None) => match &model.rows.class {
                Some(class) if model.at_rows(snapshot) => {
                    vec![format!("TYPE  why it is {class} (back: another class)")]
                }
                _ => Vec::new(),
            },
        };
        let prompt = lines.join("\n");
        if prompt != self.prompt {
            lines.iter().try_for_each(|line| self.put(out, line))?;
            self.prompt = prompt;
        }
        Ok(())
    }

    fn words(&self, out: &mut dyn Write) -> io::Result<()> {
        self.put(out, "Commands, by name or by the key that is named beside it:")?;
        for binding in BINDINGS {
            self.put(out, &format!("  {} ({}): {}", binding.name, binding.key, binding.help))?;
        }
        for line in [
            "  STEP: a step's own name selects it and tells all of it; COMMAND STEP does the command on it",
            "  steps: every step, by phase",
            "  at a gate: what is asked for; page: all of it again; break-glass; end a session; back: nothing happens",
            "An empty line says NEXT again. A gate takes nothing in its first 0.8 s, and no paste.",
        ] {
            self.put(out, line)?;
        }
        Ok(())
    }
}

/// What is said of keys, said of the words that are typed instead.
fn in_words(text: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("(Enter)", "(open)"),
        ("Esc: nothing", "back: nothing"),
        ("then Tab, and", "then break-glass, and"),
        ("Tab first,", "break-glass first,"),
        (": Enter freezes", ": open freezes"),
    ];
    WORDS.iter().fold(text.to_owned(), |text, (key, word)| text.replace(key, word))
}

/// What the open gate asks for; `None` while a second person comes first.
fn view_token(snapshot: &Snapshot) -> Option<&str> {
    let open = snapshot.state.gate.as_ref()?;
    (!crate::tui::model::wants_second(snapshot)).then_some(open.shown.offer.token.as_str())
}

/// A line of a page as it is read aloud: words for marks, no rules, no sparklines, no columns. `None`: nothing is left.
fn spoken(line: &str) -> Option<String> {
    let title = line.starts_with(['━', '─']);
    let mut out = String::new();
    for c in line.chars() {
        match c {
            '✓' => out.push_str("ok"),
            '✗' => out.push_str("RED"),
            '▶' | '›' => out.push('>'),
            '─' | '━' | '│' | '▁'..='█' => out.push(' '),
            c => out.push(c),
        }
    }
    let words: Vec<&str> = out.split("  ").map(str::trim).filter(|part| !part.is_empty()).collect();
    let words = words.join("  ");
    (!words.is_empty()).then(|| if title { format!("{words}:") } else { words })
}
