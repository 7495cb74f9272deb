//! The look: roles instead of colours, and what stands in for both.
//!
//! Owns every colour and every glyph. Sixteen colours at most, never a painted background but for the environment's
//! word; every colour stands beside a glyph or a word, so that nothing is lost without it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::run::record::Environment;
use crate::run::state::Status;
use crate::runbook::Layer;
use crate::runbook::expect::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Plain,
    /// Words beside the point: still readable.
    Muted,
    Title,
    Ok,
    Bad,
    /// Unknown, held, wants attention.
    Warn,
    Running,
    Selected,
    /// What the operator types.
    Input,
    Production,
    Rehearsal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    pub color: bool,
    /// Only ASCII: no UTF-8 in the locale, or a Linux console.
    pub ascii: bool,
}

impl Theme {
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let tint = |color: Color, style: Style| if self.color { style.fg(color) } else { style };
        match role {
            Role::Plain => plain,
            Role::Muted => plain.add_modifier(Modifier::DIM),
            Role::Title => plain.add_modifier(Modifier::BOLD),
            Role::Ok => tint(Color::Green, plain),
            Role::Bad => tint(Color::Red, plain.add_modifier(Modifier::BOLD)),
            Role::Warn => tint(Color::Yellow, plain.add_modifier(Modifier::BOLD)),
            Role::Running => tint(Color::Cyan, plain.add_modifier(Modifier::BOLD)),
            Role::Selected => plain.add_modifier(Modifier::REVERSED),
            Role::Input => plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            Role::Production if self.color => plain.fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD),
            Role::Rehearsal if self.color => plain.fg(Color::Black).bg(Color::Cyan),
            Role::Production => plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Role::Rehearsal => plain.add_modifier(Modifier::UNDERLINED),
        }
    }

    /// Replaces what an ASCII terminal cannot show, cell by cell: the layout stays as it is.
    pub fn settle(self, buffer: &mut Buffer) {
        if !self.ascii {
            return;
        }
        for cell in &mut buffer.content {
            if !cell.symbol().is_ascii() {
                let plain = plain_symbol(cell.symbol());
                cell.set_symbol(plain);
            }
        }
    }
}

/// The same in ASCII, for a line that is not drawn in cells.
pub fn in_ascii(text: &str) -> String {
    let plain = |c: char| if c.is_ascii() { c.to_string() } else { plain_symbol(c.encode_utf8(&mut [0; 4])).into() };
    text.chars().map(plain).collect()
}

fn plain_symbol(symbol: &str) -> &'static str {
    match symbol {
        "✓" => "v",
        "✗" => "x",
        "▶" | "›" | "→" => ">",
        "·" | "–" | "─" | "━" => "-",
        "│" => "|",
        "…" => "~",
        "▲" => "^",
        "▼" => "v",
        "▁" | "▂" => "_",
        "▃" | "▄" => ".",
        "▅" | "▆" => "=",
        "▇" | "█" => "#",
        "←" => "<",
        "≤" => "<",
        "≥" => ">",
        _ => "?",
    }
}

pub fn environment(environment: Environment) -> (&'static str, Role) {
    match environment {
        Environment::Production => ("PROD", Role::Production),
        Environment::Rehearsal => ("REHEARSAL", Role::Rehearsal),
    }
}

pub fn verdict(verdict: Option<&Verdict>) -> (&'static str, Role) {
    match verdict {
        None => ("…", Role::Muted),
        Some(Verdict::Pass) => ("✓", Role::Ok),
        Some(Verdict::Fail) => ("✗", Role::Bad),
        Some(Verdict::Unknown { .. }) => ("?", Role::Warn),
    }
}

pub fn status(status: Status) -> (&'static str, Role) {
    match status {
        Status::Waiting => (" ", Role::Plain),
        Status::Enabled | Status::Gate | Status::Answered => ("▶", Role::Title),
        Status::Running => ("▶", Role::Running),
        Status::Unknown => ("?", Role::Warn),
        Status::Failed | Status::UndoFailed | Status::NotUndone => ("✗", Role::Bad),
        Status::Applied => ("✓", Role::Running),
        Status::Unverified | Status::NotExact => ("!", Role::Warn),
        Status::Done | Status::Elsewhere => ("✓", Role::Ok),
        Status::NotNeeded | Status::Skipped => ("–", Role::Muted),
        Status::Undone => ("←", Role::Muted),
    }
}

/// One letter a layer: schema, data, events, `V` for service.
pub fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Schema => "S",
        Layer::Data => "D",
        Layer::Events => "E",
        Layer::Service => "V",
    }
}

pub fn layer_word(layer: Layer) -> &'static str {
    match layer {
        Layer::Schema => "schema",
        Layer::Data => "data",
        Layer::Events => "events",
        Layer::Service => "service",
    }
}
