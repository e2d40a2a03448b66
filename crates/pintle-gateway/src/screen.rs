//! Guards an answer before the client sees it: findings are noted, what the policy does not let through
//! is masked, and placeholders are turned back into the client's own values.

use std::{collections::BTreeSet, sync::Arc};

use pintle_core::{DataClass, Finding, Origin, Place};
use pintle_guard::{AnswerWindow, Guard, Match, Pseudonyms, RestoreWindow, Treatment, Treatments};
use pintle_ledger::RequestRecord;
use pintle_llm::{ChatAnswer, RewriteError, TextField};
use pintle_policy::{AnswerRule, AnswerTable};

use crate::content::scan_field;

/// The texts of a streamed answer that can be scanned only when they are complete may be so long in all.
const HELD_BYTES_MAX: usize = 4 << 20;

/// What is needed to guard the answer to one request.
pub(crate) struct Screen {
    guard: Arc<Guard>,
    table: AnswerTable,
    treatments: Treatments,
    pseudonyms: Arc<Pseudonyms>,
    /// What was seen so far.
    pub(crate) seen: Seen,
}

/// What was seen in an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The first ones, as many as a record keeps.
    pub(crate) findings: Vec<Finding>,
    /// How many there were in all.
    pub(crate) total: u32,
    pub(crate) masked: u32,
    /// Choices of which a text was masked.
    changed: BTreeSet<u32>,
    /// The highest class among the findings.
    pub(crate) class: Option<DataClass>,
    /// The policy does not let this class through, masked or not.
    pub(crate) stopped: Option<DataClass>,
}

impl Seen {
    fn note(&mut self, found: Vec<Match>, place: impl Fn() -> Place, screen: (&AnswerTable, Treatments)) {
        let (table, treatments) = screen;
        if found.is_empty() {
            return;
        }
        let place = place();
        for found in found {
            self.class = self.class.max(Some(found.class));
            if treatments.masks(&found) {
                self.masked = self.masked.saturating_add(1);
                self.changed.extend(place.message);
            }
            if table.for_class(found.class) == AnswerRule::Stop {
                self.stopped = self.stopped.max(Some(found.class));
            }
            self.total = self.total.saturating_add(1);
            if self.findings.len() >= RequestRecord::MOST_FINDINGS {
                continue;
            }
            self.findings.push(Finding {
                kind: found.kind,
                class: found.class,
                confidence: found.confidence,
                origin: Origin::Answer,
                place: place.clone(),
                start: found.start,
                end: found.end,
            });
        }
    }
}

impl Screen {
    pub(crate) fn new(guard: Arc<Guard>, table: AnswerTable, pseudonyms: Arc<Pseudonyms>) -> Self {
        let treatment = |class: &DataClass| match table.for_class(*class) {
            AnswerRule::Pass => Treatment::Pass,
            // What stops the answer is masked too, so that no byte of it is out when the stop is noticed.
            AnswerRule::Mask | AnswerRule::Stop => Treatment::Mask,
        };
        let treatments = Treatments::new(
            [DataClass::Public, DataClass::Internal, DataClass::Confidential, DataClass::Restricted]
                .map(|class| treatment(&class)),
        );
        Screen { guard, table, treatments, pseudonyms, seen: Seen::default() }
    }

    /// Whether no text can change: nothing is masked at any class and there are no placeholders.
    pub(crate) fn is_transparent(&self) -> bool {
        self.treatments == Treatments::PASS && self.pseudonyms.is_empty()
    }

    /// One field of an answer: noted, masked, restored. `None` when it stays as it is.
    fn field(&mut self, field: &TextField<'_>) -> Option<String> {
        let found = scan_field(&self.guard, field);
        self.text(field.text(), found, || field.place())
    }

    fn text(&mut self, text: &str, found: Vec<Match>, place: impl Fn() -> Place) -> Option<String> {
        let treatments = self.treatments;
        let masked = found
            .iter()
            .any(|found| treatments.masks(found))
            .then(|| pintle_guard::mask(text, &found, |found| treatments.masks(found)));
        self.seen.note(found, place, (&self.table, treatments));
        if self.pseudonyms.is_empty() {
            return masked;
        }
        let restored = self.pseudonyms.restore(masked.as_deref().unwrap_or(text));
        if masked.is_none() && restored == text { None } else { Some(restored) }
    }

    /// Whether a text of the choice was changed, or may have been: then nothing that repeats it may go on.
    pub(crate) fn has_changed(&self, choice: u32) -> bool {
        !self.pseudonyms.is_empty() || self.seen.changed.contains(&choice)
    }

    /// Guards a whole answer in place.
    pub(crate) fn whole(&mut self, answer: &mut ChatAnswer) -> Result<(), RewriteError> {
        let mut changed: BTreeSet<u32> = BTreeSet::new();
        answer.map_texts(&mut |field| {
            let new = self.field(field);
            if new.is_some() {
                changed.extend(field.message());
            }
            new
        })?;
        for choice in changed {
            answer.strip_logprobs(Some(choice));
        }
        Ok(())
    }

    /// Guards a text that comes in one piece within a stream.
    pub(crate) fn piece(&mut self, text: &mut String, place: impl Fn() -> Place) {
        let found = self.guard.scan(text);
        if let Some(new) = self.text(text, found, place) {
            *text = new;
        }
    }

    /// Guards the complete arguments of a tool call that was streamed.
    pub(crate) fn arguments(
        &mut self,
        arguments: &str,
        choice: u32,
        tool: Option<u32>,
    ) -> Result<Option<String>, RewriteError> {
        pintle_llm::map_argument_texts(arguments, choice, tool, &mut |field| self.field(field))
    }

    /// A window over a text that arrives in pieces.
    pub(crate) fn window(&self) -> TextWindow {
        let restore = (!self.pseudonyms.is_empty()).then(|| RestoreWindow::new(Arc::clone(&self.pseudonyms)));
        TextWindow { guard: AnswerWindow::new(Arc::clone(&self.guard), self.treatments), restore }
    }

    /// Notes what a window has found since it was last asked.
    pub(crate) fn take_findings(&mut self, window: &mut TextWindow, place: impl Fn() -> Place) {
        let found = std::mem::take(window.guard.findings());
        self.seen.note(found, place, (&self.table, self.treatments));
    }
}

/// One text of a streamed answer on its way to the client: scanned and masked, then restored. The order
/// matters: what is restored is the client's own and is not looked at again.
pub(crate) struct TextWindow {
    guard: AnswerWindow,
    restore: Option<RestoreWindow>,
}

impl TextWindow {
    /// Takes a piece, and appends to `out` what may go on.
    pub(crate) fn push(&mut self, piece: &str, out: &mut String) {
        match &mut self.restore {
            None => self.guard.push(piece, out),
            Some(restore) => {
                let mut screened = String::new();
                self.guard.push(piece, &mut screened);
                restore.push(&screened, out);
            }
        }
    }

    /// Ends the text, and appends the rest of it to `out`.
    pub(crate) fn finish(&mut self, out: &mut String) {
        match &mut self.restore {
            None => self.guard.finish(out),
            Some(restore) => {
                let mut screened = String::new();
                self.guard.finish(&mut screened);
                restore.push(&screened, out);
                restore.finish(out);
            }
        }
    }
}

/// A JSON text of a streamed answer, held until it is complete.
#[derive(Default)]
pub(crate) struct Held(String);

impl Held {
    /// Takes a piece and counts it in `total`; `false` when all that is held has become too much.
    pub(crate) fn push(&mut self, piece: &str, total: &mut usize) -> bool {
        self.0.push_str(piece);
        *total = total.saturating_add(piece.len());
        *total <= HELD_BYTES_MAX
    }

    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}
