//! Whether the evaluation asks what the training text already told, word for word.
//!
//! Texts are compared as lowercase words. An item of 13 words or more is near when a part of its words, 20 % unless
//! told otherwise, lies in runs of 13 words that occur in the training set: 13 as in the reports on GPT-3 and on
//! later models. A shorter item has no such run; it is near when it occurs whole (5 words or more) in a training
//! text, or consists of a training text's very words in another order (4 or more). Paraphrases are not found.
//! The facts behind held-out questions are meant to be in the training text, so answers are not compared.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use super::report::{ContaminatedItem, ContaminationKind, ContaminationSide};
use super::words::{bag, sequence, word_hashes};

/// The words of a run.
pub const GRAM_WORDS: usize = 13;
const WHOLE_WORDS_MIN: usize = 5;
const BAG_WORDS: std::ops::RangeInclusive<usize> = 4..=64;
/// Items listed; the counts go on.
const LISTED_MAX: usize = 100;

/// A text with the name that a list calls it by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// A path, or a question's number.
    pub label: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Shows the label and the size: the text may be confidential.
impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("label", &self.label).field("bytes", &self.text.len()).finish()
    }
}

/// Compares every item with every training text, in time linear in both; memory depends on the items.
pub fn contamination(items: &[Text<'_>], training: &[Text<'_>], near_share_min: f64) -> ContaminationSide {
    let words: Vec<Vec<u64>> = items.iter().map(|item| word_hashes(item.text)).collect();
    let sightings = Sightings::new(&words, training);
    let mut side = ContaminationSide { items: items.len(), ..ContaminationSide::default() };
    for (item, words) in items.iter().zip(&words) {
        let (shared, first) = sightings.covered(words);
        let shared_share = if words.is_empty() { 0.0 } else { shared as f64 / words.len() as f64 };
        side.with_any_shared_run += usize::from(shared > 0);
        let whole = sightings.whole(words);
        let (how, with) = if let Some(with) = whole {
            side.exact += 1;
            (ContaminationKind::Exact, with)
        } else if let Some(with) = first.filter(|_| shared_share >= near_share_min) {
            side.near += 1;
            (ContaminationKind::Near, with)
        } else if let Some(with) = sightings.reordered(words) {
            side.near += 1;
            (ContaminationKind::Reordered, with)
        } else {
            side.flags.push(false);
            continue;
        };
        side.flags.push(true);
        let with = training.get(with).map_or("", |text| text.label).to_owned();
        if side.listed.len() < LISTED_MAX {
            let shared_share = super::report::rounded(shared_share);
            side.listed.push(ContaminatedItem { item: item.label.to_owned(), how, shared_share, with });
        }
    }
    let found = (side.exact + side.near) as f64;
    side.share = if items.is_empty() { 0.0 } else { super::report::rounded(found / items.len() as f64) };
    side
}

/// What of the items was seen in the training texts, and in which one first.
struct Sightings {
    wholes: HashMap<u64, Option<usize>>,
    bags: HashMap<u64, Option<usize>>,
    /// Runs of the items, by their number of words.
    runs: HashMap<usize, HashMap<u64, Option<usize>>>,
}

impl Sightings {
    fn new(items: &[Vec<u64>], training: &[Text<'_>]) -> Sightings {
        let mut seen = Sightings { wholes: HashMap::new(), bags: HashMap::new(), runs: HashMap::new() };
        for words in items.iter().filter(|words| !words.is_empty()) {
            seen.wholes.insert(sequence(words), None);
            if BAG_WORDS.contains(&words.len()) {
                seen.bags.insert(bag(words), None);
            }
            if let Some(size) = run_size(words) {
                let runs = seen.runs.entry(size).or_default();
                runs.extend(words.windows(size).map(|run| (sequence(run), None)));
            }
        }
        let sizes: BTreeSet<usize> = seen.runs.keys().copied().collect();
        for (index, text) in training.iter().enumerate() {
            let words = word_hashes(text.text);
            note(&mut seen.wholes, sequence(&words), index);
            if BAG_WORDS.contains(&words.len()) {
                note(&mut seen.bags, bag(&words), index);
            }
            for size in &sizes {
                let Some(runs) = seen.runs.get_mut(size) else { continue };
                for run in words.windows(*size) {
                    note(runs, sequence(run), index);
                }
            }
        }
        seen
    }

    /// How many of an item's words lie in runs that were seen, and where the first of them was.
    fn covered(&self, words: &[u64]) -> (usize, Option<usize>) {
        let Some((size, runs)) = run_size(words).and_then(|size| Some((size, self.runs.get(&size)?))) else {
            return (0, None);
        };
        let (mut covered, mut until, mut first) = (0, 0, None);
        for (start, run) in words.windows(size).enumerate() {
            let Some(text) = runs.get(&sequence(run)).copied().flatten() else { continue };
            first = first.or(Some(text));
            covered += start + size - until.max(start);
            until = start + size;
        }
        (covered, first)
    }

    fn whole(&self, words: &[u64]) -> Option<usize> {
        self.wholes.get(&sequence(words)).copied().flatten()
    }

    fn reordered(&self, words: &[u64]) -> Option<usize> {
        BAG_WORDS.contains(&words.len()).then(|| self.bags.get(&bag(words)).copied().flatten()).flatten()
    }
}

fn run_size(words: &[u64]) -> Option<usize> {
    (words.len() >= WHOLE_WORDS_MIN).then_some(words.len().min(GRAM_WORDS))
}

fn note(seen: &mut HashMap<u64, Option<usize>>, hash: u64, index: usize) {
    if let Some(first) = seen.get_mut(&hash) {
        first.get_or_insert(index);
    }
}
