//! Guards a text that arrives in pieces, so that no value leaves before it is recognised (I5).
//!
//! The window keeps what the scanner has not settled, and a little of what came before it for context. What a
//! client sees lags at most [`crate::HOLD_BACK_BYTES_MAX`] bytes behind, in prose a word.

use std::{fmt, sync::Arc};

use crate::{
    probe::{LOOK_BACK, Page},
    redact::{Treatments, push_mask},
    scan::{Guard, Match, Sweep},
};

/// One channel of an answer: a choice's content, or one tool call's arguments.
pub struct AnswerWindow {
    guard: Arc<Guard>,
    treatments: Treatments,
    /// From [`Self::base`] on: text for context, then text not yet passed on.
    text: String,
    /// Where `text` begins in the whole answer.
    base: usize,
    /// Everything before it was passed on, as it was or masked. In bytes of the whole answer.
    passed: usize,
    sweep: Sweep,
    findings: Vec<Match>,
    announced: bool,
}

/// Shows how far it is, not the text.
impl fmt::Debug for AnswerWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerWindow")
            .field("passed", &self.passed)
            .field("held", &self.held())
            .field("findings", &self.findings.len())
            .finish_non_exhaustive()
    }
}

impl AnswerWindow {
    /// A window over a text that begins now.
    #[must_use]
    pub fn new(guard: Arc<Guard>, treatments: Treatments) -> AnswerWindow {
        AnswerWindow {
            guard,
            treatments,
            text: String::new(),
            base: 0,
            passed: 0,
            sweep: Sweep::default(),
            findings: Vec::new(),
            announced: false,
        }
    }

    /// Takes the next piece and appends to `out` what may be passed on, masked.
    pub fn push(&mut self, chunk: &str, out: &mut String) {
        self.text.push_str(chunk);
        self.advance(false, out);
    }

    /// Ends the text and appends the rest to `out`.
    pub fn finish(&mut self, out: &mut String) {
        self.advance(true, out);
    }

    /// What was found so far, with places in the whole text. Take them out as they come; the window does not need
    /// them again.
    pub fn findings(&mut self) -> &mut Vec<Match> {
        &mut self.findings
    }

    /// How many bytes came in and were not passed on yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.base + self.text.len() - self.passed
    }

    fn advance(&mut self, complete: bool, out: &mut String) {
        let page = Page { text: &self.text, base: self.base, complete };
        let mut found = Vec::new();
        self.guard.sweep(&page, &mut self.sweep, &mut found);
        for found in found {
            self.write_match(&found, out);
            self.findings.push(found);
        }
        if let Some(open) = self.guard.open_match(&self.sweep) {
            self.write_open(&open, out);
        } else {
            self.pass_to(self.sweep.settled(), out);
        }
        self.forget();
    }

    fn write_match(&mut self, found: &Match, out: &mut String) {
        if !self.announced {
            self.pass_to(found.start, out);
        }
        if !self.treatments.masks(found) {
            self.pass_to(found.end, out);
        } else {
            if !self.announced {
                push_mask(out, &found.kind);
            }
            self.passed = found.end;
        }
        self.announced = false;
    }

    /// The beginning of a match is enough to mask it; the rest is taken in without keeping it.
    fn write_open(&mut self, open: &Match, out: &mut String) {
        let masks = self.treatments.masks(open);
        if !self.announced {
            self.pass_to(open.start, out);
            if masks {
                push_mask(out, &open.kind);
            }
            self.announced = true;
        }
        if masks {
            self.passed = self.passed.max(self.sweep.position());
        } else {
            self.pass_to(self.sweep.position(), out);
        }
    }

    fn pass_to(&mut self, to: usize, out: &mut String) {
        if to > self.passed {
            out.push_str(self.text.get(self.passed - self.base..to - self.base).unwrap_or_default());
            self.passed = to;
        }
    }

    /// Drops what neither the scanner's context nor the output needs.
    fn forget(&mut self) {
        let keep = self.passed.min(self.sweep.position().saturating_sub(LOOK_BACK));
        let keep = self.text.floor_char_boundary(keep.saturating_sub(self.base));
        // Moving the rest costs more than keeping a little too much.
        if keep > LOOK_BACK {
            self.text.drain(..keep);
            self.base += keep;
        }
    }
}
