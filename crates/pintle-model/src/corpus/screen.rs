//! The guard's view of a document: its class, and what is masked in it.
//!
//! What a mask leaves is scanned again and not assumed: the class of a document is that of the text in which it
//! is learned.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pintle_core::DataClass;
use pintle_guard::{Guard, Match, mask};

use super::report::{Left, Reason};

/// Masking may bring out a value that ran into another; more rounds than this do not settle.
const ROUNDS_MAX: usize = 4;

/// What a recipe asks of every document.
pub(super) struct Screen<'a> {
    pub(super) guard: &'a Guard,
    pub(super) mask: BTreeSet<String>,
    pub(super) accepts: DataClass,
    pub(super) class_at_least: DataClass,
}

/// Findings by type.
pub(super) type Counts = BTreeMap<Arc<str>, u64>;

/// What came of a document.
pub(super) struct Screened {
    /// The class that it came with.
    pub(super) class_found: DataClass,
    pub(super) found: Counts,
    pub(super) outcome: Result<Passed, Left>,
}

/// A document of a class that the recipe accepts.
pub(super) struct Passed {
    pub(super) text: String,
    pub(super) class: DataClass,
    pub(super) masked: Counts,
    pub(super) kept: Counts,
}

impl Screen<'_> {
    /// Scans a text, masks what the recipe says, and scans it again.
    pub(super) fn pass(&self, mut text: String) -> Screened {
        let mut matches = self.guard.scan(&text);
        let class_found = self.class_of(&matches);
        let found = counts(&matches);
        let mut masked = Counts::new();
        for _ in 0..ROUNDS_MAX {
            if !matches.iter().any(|found| self.masks(found)) {
                break;
            }
            for found in matches.iter().filter(|found| self.masks(found)) {
                *masked.entry(Arc::clone(&found.kind)).or_default() += 1;
            }
            text = mask(&text, &matches, |found| self.masks(found));
            matches = self.guard.scan(&text);
        }
        let class = self.class_of(&matches);
        let kept = counts(&matches);
        let outcome = if matches.iter().any(|found| self.masks(found)) {
            // Fails closed: the recipe promises that no such value stays.
            Err(Left::new(Reason::Class, "still shows values after masking that the recipe wants masked"))
        } else if class > self.accepts {
            Err(self.refusal(class, &matches))
        } else {
            Ok(Passed { text, class, masked, kept })
        };
        Screened { class_found, found, outcome }
    }

    /// A path as a report may show it: every value masked, in one line.
    pub(super) fn path(&self, path: &str) -> String {
        let plain: String = path
            .chars()
            .map(|c| {
                if c.is_control() {
                    '\u{FFFD}'
                } else if c == '`' {
                    '\''
                } else {
                    c
                }
            })
            .collect();
        let is_value = |found: &Match| found.class > DataClass::default() || self.masks(found);
        // In names, `_` stands for a space, and a value may begin after any `/` and end before the extension. The
        // replacements have the same length, so that what is found in them has its place in the path.
        let mut spaced = plain.replace(['/', '_'], " ");
        if let Some(dot) = spaced.rfind('.') {
            spaced.replace_range(dot..=dot, " ");
        }
        let mut shown = mask(&plain, &self.guard.scan(&spaced), is_value);
        for _ in 0..ROUNDS_MAX {
            let matches = self.guard.scan(&shown);
            if !matches.iter().any(is_value) {
                return shown;
            }
            shown = mask(&shown, &matches, is_value);
        }
        "[MASKED]".to_owned()
    }

    fn masks(&self, found: &Match) -> bool {
        self.mask.contains(&*found.kind)
    }

    fn class_of(&self, matches: &[Match]) -> DataClass {
        matches.iter().map(|found| found.class).fold(self.class_at_least, DataClass::max)
    }

    fn refusal(&self, class: DataClass, matches: &[Match]) -> Left {
        let above: Vec<Match> = matches.iter().filter(|found| found.class > self.accepts).cloned().collect();
        let kinds: Vec<String> =
            counts(&above).iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let because = format!(
            "is {class} because of {}; accepted is up to {} (`accepts`)",
            kinds.join(", "),
            self.accepts
        );
        Left::new(Reason::Class, because)
    }
}

fn counts(matches: &[Match]) -> Counts {
    let mut counts = Counts::new();
    for found in matches {
        *counts.entry(Arc::clone(&found.kind)).or_default() += 1;
    }
    counts
}
