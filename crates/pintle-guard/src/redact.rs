//! Taking values out of a text: masks, which are final, and pseudonyms, which the request can undo.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
};

use pintle_core::DataClass;
use zeroize::Zeroizing;

use crate::{restore, scan::Match};

/// The longest label: a dictionary's name has at most 64 characters.
pub(crate) const LABEL_LEN_MAX: usize = 64;
/// More pseudonyms than this in one request become masks. The number of digits bounds a placeholder's length.
const NUMBER_MAX: u32 = 9_999_999;
pub(crate) const NUMBER_DIGITS_MAX: usize = 7;
const MASK_OPEN: &str = "[MASKED:";
/// The longest mask or placeholder, without its closing bracket.
pub(crate) const TOKEN_LEN_MAX: usize = MASK_OPEN.len() + LABEL_LEN_MAX + 2;

/// What is done with findings of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Treatment {
    /// The text stays as it is.
    #[default]
    Pass,
    /// The value gives way to a mask.
    Mask,
}

/// A treatment for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Treatments([Treatment; 4]);

impl Treatments {
    /// Findings are reported, and the text stays as it is.
    pub const PASS: Treatments = Treatments([Treatment::Pass; 4]);

    /// Treatments in the order of the classes, `public` first.
    #[must_use]
    pub const fn new(by_class: [Treatment; 4]) -> Treatments {
        Treatments(by_class)
    }

    /// Masks findings of `least` and every class above it.
    #[must_use]
    pub fn mask_from(least: DataClass) -> Treatments {
        let mut by_class = [Treatment::Pass; 4];
        for (treatment, class) in by_class.iter_mut().zip(DataClass::ALL) {
            if *class >= least {
                *treatment = Treatment::Mask;
            }
        }
        Treatments(by_class)
    }

    /// The treatment of a class.
    #[must_use]
    pub fn of(&self, class: DataClass) -> Treatment {
        // Every rank has its place; were one missing, masking is the safe answer.
        self.0.get(usize::from(class.rank())).copied().unwrap_or(Treatment::Mask)
    }

    /// Whether a match is to be masked. Fits [`mask`]'s `select`.
    #[must_use]
    pub fn masks(&self, found: &Match) -> bool {
        self.of(found.class) == Treatment::Mask
    }
}

/// What masks and pseudonyms call a kind: `IBAN`, and for `dictionary:key-clients` `KEY_CLIENTS`.
pub(crate) fn label(kind: &str) -> String {
    let name = kind.strip_prefix("dictionary:").unwrap_or(kind);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().take(LABEL_LEN_MAX).map(plain).collect()
}

/// The label in a complete mask or pseudonym.
pub(crate) fn token_label(token: &str) -> Option<&str> {
    if let Some(rest) = token.strip_prefix(MASK_OPEN) {
        return rest.strip_suffix(']');
    }
    let (label, number) = token.strip_prefix('<')?.strip_suffix('>')?.rsplit_once('_')?;
    let is_number =
        (1..=NUMBER_DIGITS_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(label)
}

/// Writes the mask that stands for values of a kind: `[MASKED:IBAN]`.
pub(crate) fn push_mask(out: &mut String, kind: &str) {
    out.push_str(MASK_OPEN);
    out.push_str(&label(kind));
    out.push(']');
}

/// The text with the selected matches masked. `matches` come from [`crate::Guard::scan`] of the same text.
/// Masks are not found again, so masking a masked text changes nothing (but where values run into each other
/// without a gap, a second look may, rarely, find what the first one's neighbour hid).
pub fn mask(text: &str, matches: &[Match], select: impl Fn(&Match) -> bool) -> String {
    rewrite(text, matches, select, |found, _, out| push_mask(out, &found.kind))
}

/// The text with each selected match replaced by what `write` puts out for it and its value. A match whose range
/// is not in the text, or overlaps the one before, is left out: it belongs to another text.
fn rewrite(
    text: &str,
    matches: &[Match],
    select: impl Fn(&Match) -> bool,
    mut write: impl FnMut(&Match, &str, &mut String),
) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut done = 0;
    for found in matches.iter().filter(|found| select(found)) {
        let (Some(before), Some(value)) = (text.get(done..found.start), text.get(found.start..found.end))
        else {
            continue;
        };
        out.push_str(before);
        write(found, value, &mut out);
        done = found.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// A value and the placeholder that stands for it.
struct Pseudonym {
    label: Box<str>,
    number: u32,
    value: Zeroizing<Box<str>>,
}

/// The pseudonyms of one request: `<IBAN_1>` for its first IBAN, the same for the same value.
///
/// Make one per request and share it with nothing else: what it restores is what it replaced, so values of
/// two requests cannot mix. Before the first [`Pseudonyms::replace`], show it every text of the request with
/// [`Pseudonyms::reserve_from`], so that a placeholder that the user wrote stays the user's.
#[derive(Default)]
pub struct Pseudonyms {
    entries: Vec<Pseudonym>,
    /// From a hash of label and value to places in `entries`; the values are nowhere twice.
    by_value: HashMap<u64, Vec<usize>>,
    by_number: HashMap<Box<str>, HashMap<u32, usize>>,
    /// Numbers that the request's own text uses, by label.
    reserved: HashMap<Box<str>, HashSet<u32>>,
    last: HashMap<Box<str>, u32>,
    hasher: RandomState,
}

/// Shows how many there are, never the values.
impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms").field("len", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Pseudonyms {
    /// None yet.
    #[must_use]
    pub fn new() -> Pseudonyms {
        Pseudonyms::default()
    }

    /// Whether nothing was replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many values have a placeholder.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keeps the numbers of placeholders that stand in `text` out of use, in every spelling that
    /// [`Pseudonyms::restore`] reads.
    pub fn reserve_from(&mut self, text: &str) {
        restore::each_placeholder(text, |label, number| {
            self.reserved.entry(label.into()).or_default().insert(number);
        });
    }

    /// The text with each selected match replaced by its placeholder. `matches` come from
    /// [`crate::Guard::scan`] of the same text.
    pub fn replace(&mut self, text: &str, matches: &[Match], select: impl Fn(&Match) -> bool) -> String {
        rewrite(text, matches, select, |found, value, out| match self.number_of(&found.kind, value) {
            Some(number) => {
                out.push('<');
                out.push_str(&label(&found.kind));
                out.push('_');
                out.push_str(&number.to_string());
                out.push('>');
            }
            None => push_mask(out, &found.kind),
        })
    }

    /// The text with known placeholders replaced by their values; others stay as they are. Reads the spellings
    /// that models make of `<IBAN_1>`: another case, `&lt;IBAN_1&gt;`, `\u003cIBAN_1\u003e`.
    #[must_use]
    pub fn restore(&self, text: &str) -> String {
        restore::restore(self, text, false)
    }

    /// The same for a text that is itself JSON, such as a tool call's arguments: values are escaped so that they
    /// stay inside their strings.
    #[must_use]
    pub fn restore_json(&self, text: &str) -> String {
        restore::restore(self, text, true)
    }

    /// The value behind a placeholder. `label` is in upper case.
    pub(crate) fn value(&self, label: &str, number: u32) -> Option<&str> {
        let index = self.by_number.get(label)?.get(&number)?;
        self.entries.get(*index).map(|entry| &**entry.value)
    }

    /// The number that stands for a value, a new one for a new value. `None` when the numbers have run out.
    fn number_of(&mut self, kind: &str, value: &str) -> Option<u32> {
        let label = label(kind).into_boxed_str();
        let hash = self.hasher.hash_one((&label, value));
        let alike = self.by_value.entry(hash).or_default();
        let known = alike
            .iter()
            .filter_map(|index| self.entries.get(*index))
            .find(|entry| entry.label == label && **entry.value == *value);
        if let Some(known) = known {
            return Some(known.number);
        }
        let last = self.last.entry(label.clone()).or_insert(0);
        let reserved = self.reserved.get(&label);
        let number = (*last + 1..=NUMBER_MAX).find(|n| !reserved.is_some_and(|taken| taken.contains(n)))?;
        *last = number;
        alike.push(self.entries.len());
        self.by_number.entry(label.clone()).or_default().insert(number, self.entries.len());
        self.entries.push(Pseudonym { label, number, value: Zeroizing::new(value.into()) });
        Some(number)
    }
}
