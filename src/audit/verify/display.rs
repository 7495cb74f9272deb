//! A report as an operator reads it: what is whole, what is the first bad record, what nothing protects.

use super::report::{Anchored, Fault, Finding, Report, Span, Tail, Verdict};
use crate::text::Shown;
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run.as_deref().map_or(Shown::new("unknown"), Shown::new);
        let segments = self.segments.len();
        write!(f, "run {run}  {} records in {segments} segment{}", self.records, if segments == 1 { "" } else { "s" })?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(f, ", {first:.0} .. {last:.0}")?;
        }
        let transition = self.findings.iter().any(|finding| finding.fault == Fault::Transition);
        let broken = self.findings.iter().any(|finding| finding.fault != Fault::Transition);
        let word = |bad| if bad { "BROKEN" } else { "OK" };
        write!(f, "\nchain       {:<7} {}/{}", word(broken), self.chained, self.records)?;
        write!(f, "\ntransitions {:<7}", if transition { "ILLEGAL" } else { "OK" })?;
        for segment in &self.segments {
            let Tail::Torn { offset, len, declared, .. } = segment.tail else {
                continue;
            };
            write!(f, "\nsegment {:<3} TORN    tail {len} bytes at offset {offset}, ", segment.number)?;
            f.write_str(match declared {
                true => "declared by the next segment: process death, no acknowledged record lost",
                false => "declared by none: process death, or bytes cut off",
            })?;
        }
        for (i, finding) in self.findings.iter().enumerate() {
            write!(f, "\n{:<11} {finding}", if i == 0 { "first bad" } else { "also" })?;
        }
        if self.faults > self.findings.len() as u64 {
            write!(f, "\nalso        {} more", self.faults - self.findings.len() as u64)?;
        }
        for span in self.spans.iter().skip(usize::from(self.chained > 0)) {
            let Span { file, offset, from, to } = span;
            write!(
                f,
                "\nconsistent  records {from}..{to} at {} offset {offset}, in themselves only",
                Shown::new(file)
            )?;
        }
        for (anchor, anchored) in self.anchors.iter().filter(|(_, a)| *a != Anchored::Holds) {
            let why = match anchored {
                Anchored::Beyond => "lies beyond the end of the chain: records were cut off",
                _ => "is not the hash of that record: the log was rewritten",
            };
            write!(f, "\nanchor      CONTRADICTED: {anchor}")?;
            if !anchor.from.is_empty() {
                write!(f, " ({})", Shown::new(&anchor.from))?;
            }
            write!(f, " {why}")?;
        }
        let holding = self.anchors.iter().filter(|(_, a)| *a == Anchored::Holds).count();
        write!(f, "\nanchors     {holding}/{} hold; ", self.anchors.len())?;
        match (self.unprotected, self.chained.checked_sub(self.unprotected)) {
            (0, _) => f.write_str("every record is protected")?,
            (n, None | Some(0)) => write!(f, "none of the {n} records is protected by an anchor")?,
            (n, Some(from)) => write!(f, "records {from}..{} ({n}) are NOT protected by one", self.chained - 1)?,
        }
        let verdict = match (self.verdict, self.exit_code()) {
            (Verdict::Whole, 0) => "whole",
            (Verdict::Whole, _) => "whole, but an anchor was required",
            (Verdict::Torn, _) => "torn",
            (Verdict::Broken, _) => "broken",
            (Verdict::Contradicted, _) => "contradicts an anchor",
        };
        write!(f, "\nEXIT {} ({verdict})", self.exit_code())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown::new(&self.file))?;
        if self.line > 0 {
            write!(f, " line {} offset {}", self.line, self.offset)?;
        }
        if let Some(seq) = self.seq {
            write!(f, " record {seq}")?;
        }
        write!(f, ": {}", Shown::capped(&self.what, 400))
    }
}
