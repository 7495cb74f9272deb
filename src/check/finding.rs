//! What a check has found before its `expect` is asked.

use serde_json::Value;

use super::{Answer, Context};
use crate::failure::Failure;
use crate::runbook::expect::Verdict;
use crate::runbook::{Check, Expect};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub value: Option<Value>,
    pub words: Option<String>,
    /// Set where the kind itself says what passes; otherwise `expect` judges the value.
    pub verdict: Option<Verdict>,
}

impl Finding {
    pub fn value(value: impl Into<Value>, words: Option<String>) -> Self {
        Self { value: Some(value.into()), words, verdict: None }
    }

    /// Without a value, and therefore unknown.
    pub fn unknown(because: impl Into<String>) -> Self {
        let because = because.into();
        Self { value: None, words: Some(because.clone()), verdict: Some(Verdict::unknown(because)) }
    }

    pub fn failed(failure: &Failure) -> Self {
        Self::unknown(failure.to_string().replace('\n', "; "))
    }

    /// The verdict: the kind's own, unless an expectation on the value says more. What is unknown passes by no
    /// expectation.
    pub fn judged(self, check: &Check, ctx: &Context) -> Answer {
        let asked = check.expect.as_ref().filter(|expect| **expect != Expect::Readable || self.verdict.is_none());
        let judged = asked.map(|expect| expect.judge(self.value.as_ref(), &|name| ctx.frozen_value(name)));
        let verdict = match (self.verdict, judged) {
            (Some(own), Some(judged)) if own.is_unknown() && !judged.is_fail() => own,
            (_, Some(judged)) => judged,
            (Some(own), None) => own,
            (None, None) => Verdict::Pass,
        };
        Answer { verdict, value: self.value, words: self.words, took_ms: 0 }
    }
}
