//! Lines: everything that is shown is cleaned, measured, cut or wrapped here.
//!
//! Owns the one way from outside text to a screen. Never cuts what must be read whole: that is [`wrap`]'s part.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::{Shown, in_one_line, multiline};

pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Outside text, safe on one line.
pub fn clean(text: &str) -> String {
    if text.contains('\n') { in_one_line(text) } else { Shown::new(text) }.into_string()
}

/// At most `max` columns; `…` says that something is missing.
pub fn cut(text: &str, max: usize) -> String {
    let text = clean(text);
    if width(&text) <= max {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > max {
            break;
        }
        out.push(c);
        used += w;
    }
    if max > 0 {
        out.push('…');
    }
    out
}

/// Exactly `columns` wide: cut or filled up.
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// All of the text in lines of at most `max` columns. Breaks at spaces; a word that is too long is broken anywhere.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(2);
    multiline(text.trim_end()).iter().flat_map(|line| wrap_line(line.as_str(), max)).collect()
}

fn wrap_line(line: &str, max: usize) -> Vec<String> {
    let indent: String = line.chars().take_while(|c| *c == ' ').take(max / 3).collect();
    let mut out = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for word in line.split_inclusive(' ') {
        let solid = width(word.trim_end_matches(' '));
        if used + solid > max && used > width(&indent) {
            out.push(current.trim_end().to_owned());
            current.clone_from(&indent);
            used = width(&indent);
        }
        for c in word.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > max {
                if c == ' ' {
                    continue;
                }
                out.push(std::mem::take(&mut current));
                current.clone_from(&indent);
                used = width(&indent);
            }
            current.push(c);
            used += w;
        }
    }
    out.push(current.trim_end().to_owned());
    out
}

/// A row under construction: spans from the left, and one part that keeps to the right edge.
#[derive(Default)]
pub struct Row {
    left: Vec<Span<'static>>,
    right: Vec<Span<'static>>,
}

impl Row {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn put(mut self, text: impl AsRef<str>, style: Style) -> Self {
        self.left.push(Span::styled(clean(text.as_ref()), style));
        self
    }

    /// Exactly `columns` wide.
    #[must_use]
    pub fn cell(mut self, text: impl AsRef<str>, columns: usize, style: Style) -> Self {
        self.left.push(Span::styled(pad(text.as_ref(), columns), style));
        self
    }

    #[must_use]
    pub fn end(mut self, text: impl AsRef<str>, style: Style) -> Self {
        self.right.push(Span::styled(clean(text.as_ref()), style));
        self
    }

    /// The line in `columns`: the right part stays whole as long as it fits, the left one is cut before it.
    pub fn fit(self, columns: usize) -> Line<'static> {
        let right: usize = self.right.iter().map(|span| width(&span.content)).sum();
        let (right_part, room) = if right == 0 {
            (Vec::new(), columns)
        } else if right < columns {
            (self.right, columns - right - 1)
        } else {
            (Vec::new(), columns)
        };
        let mut used = 0;
        let mut spans = Vec::new();
        for span in self.left {
            let left = room.saturating_sub(used);
            if left == 0 {
                break;
            }
            let text = cut(&span.content, left);
            used += width(&text);
            spans.push(Span::styled(text, span.style));
        }
        if !right_part.is_empty() {
            let gap = columns.saturating_sub(used + right);
            spans.push(Span::raw(" ".repeat(gap)));
            spans.extend(right_part);
        }
        Line::from(spans)
    }
}

/// A label column and wrapped words beside it: nothing is cut. A label that is too long for it has a line of its own.
pub fn labelled(label: &str, words: &str, columns: usize, label_style: Style, style: Style) -> Vec<Line<'static>> {
    const LABEL: usize = 9;
    let room = columns.saturating_sub(LABEL + 1);
    let long = width(label) >= LABEL;
    let above = long.then(|| Line::from(Span::styled(format!(" {}", cut(label, columns - 1)), label_style)));
    let beside = wrap(words, room).into_iter().enumerate().map(|(i, text)| {
        let label = if i == 0 && !long { label } else { "" };
        Line::from(vec![Span::styled(format!(" {}", pad(label, LABEL)), label_style), Span::styled(text, style)])
    });
    above.into_iter().chain(beside).collect()
}

/// Seconds in words that stay the same while nothing happens: a screen at rest is not written to.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..=9 => "<10 s".into(),
        10..=29 => "<30 s".into(),
        30..=59 => "<1 min".into(),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 => format!("{} h {:02}", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1:05`, for what is counted while somebody waits.
pub fn clock(seconds: u64) -> String {
    if seconds >= 3600 {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
    } else {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}
