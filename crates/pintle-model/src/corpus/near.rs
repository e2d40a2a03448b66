//! Finds what was there before: documents with the same words, and with nearly the same.

use std::collections::HashMap;

use super::fingerprint::{BANDS, Fingerprint, Signature};

/// Documents compared for one band. A phrase that thousands of records share makes them candidates of each
/// other; the latest ones are compared, the others are not, so that time stays linear.
const CHAIN_MAX: usize = 64;
const NONE: u32 = u32::MAX;

/// The documents kept so far, by what they say.
#[derive(Default)]
pub(super) struct Known {
    /// From the hash of a document's words to its number.
    sequences: HashMap<u128, u32>,
    /// From a band's key to the latest entry that has it.
    heads: HashMap<u64, u32>,
    entries: Vec<Entry>,
}

struct Entry {
    document: u32,
    signature: Box<Signature>,
    /// For each band, the entry before with the same key.
    before: [u32; BANDS],
}

/// An earlier document with the same words, or nearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    Same(u32),
    Near { document: u32, percent: u32 },
}

impl Known {
    /// The earlier document that this one repeats, or `None`, and then the document is known as `number`.
    /// Of several near ones, the first counts.
    pub(super) fn find_or_add(
        &mut self,
        words: &Fingerprint,
        number: u32,
        near_percent: u32,
    ) -> Option<Earlier> {
        if let Some(document) = self.sequences.get(&words.sequence) {
            return Some(Earlier::Same(*document));
        }
        if let Some(signature) = &words.signature {
            let keys = signature.band_keys();
            if let Some(near) = self.near(signature, &keys, near_percent) {
                return Some(near);
            }
            self.add(signature.clone(), &keys, number);
        }
        self.sequences.insert(words.sequence, number);
        None
    }

    fn near(&self, signature: &Signature, keys: &[u64; BANDS], near_percent: u32) -> Option<Earlier> {
        let mut candidates = Vec::new();
        for (band, key) in keys.iter().enumerate() {
            let mut at = self.heads.get(key).copied().unwrap_or(NONE);
            for _ in 0..CHAIN_MAX {
                let Some(entry) = self.entry(at) else { break };
                candidates.push(at);
                at = entry.before.get(band).copied().unwrap_or(NONE);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().find_map(|at| {
            let entry = self.entry(at)?;
            let percent = entry.signature.likeness_percent(signature);
            (percent >= near_percent).then_some(Earlier::Near { document: entry.document, percent })
        })
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(at).ok()?)
    }

    fn add(&mut self, signature: Box<Signature>, keys: &[u64; BANDS], document: u32) {
        let Ok(at) = u32::try_from(self.entries.len()) else { return };
        let mut before = [NONE; BANDS];
        for (key, before) in keys.iter().zip(&mut before) {
            *before = self.heads.insert(*key, at).unwrap_or(NONE);
        }
        self.entries.push(Entry { document, signature, before });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ordinary words in an order that depends on `seed`.
    fn prose(seed: u64, words: u64) -> Vec<String> {
        let mut state = seed;
        (0..words)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("word{}", (state >> 33) % 800)
            })
            .collect()
    }

    #[test]
    fn repeats_are_found_and_the_first_is_named() {
        let mut known = Known::default();
        let mut ask = |text: &str, number| known.find_or_add(&Fingerprint::of(text), number, 80);
        let first = prose(1, 400);
        assert_eq!(ask(&first.join(" "), 0), None);
        assert_eq!(ask(&prose(2, 400).join(" "), 1), None);
        assert_eq!(ask(&first.join(" ").to_uppercase(), 2), Some(Earlier::Same(0)));
        let mut changed = first;
        changed[200] = "other".to_owned();
        assert!(matches!(ask(&changed.join(" "), 2), Some(Earlier::Near { document: 0, percent: 90.. })));
        assert_eq!(ask("a b", 2), None);
        assert_eq!(ask("A, b.", 3), Some(Earlier::Same(2)));
        assert_eq!(ask("a c", 3), None);
    }

    #[test]
    fn near_duplicates_are_found_among_many_and_strangers_are_not() {
        let mut known = Known::default();
        let texts: Vec<Vec<String>> = (0..400).map(|seed| prose(seed, 250)).collect();
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(known.find_or_add(&Fingerprint::of(&text.join(" ")), number, 80), None);
        }
        // Three changed words of 250 leave 94% of the shingles' union.
        let missed = (0..).zip(&texts).filter(|(number, text)| {
            let mut text = (*text).clone();
            for at in [20, 120, 220] {
                text[at] = format!("changed{number}");
            }
            let found = known.find_or_add(&Fingerprint::of(&text.join(" ")), 9_999, 80);
            !matches!(found, Some(Earlier::Near { document, .. }) if document == *number)
        });
        assert_eq!(missed.count(), 0);
    }

    #[test]
    fn records_that_share_a_phrase_stay_and_take_linear_time() {
        let mut known = Known::default();
        for number in 0..3_000 {
            let text = format!(
                "thank you very much for your message, ticket {number} is about {}",
                prose(number, 12).join(" ")
            );
            let number = u32::try_from(number).unwrap();
            assert_eq!(known.find_or_add(&Fingerprint::of(&text), number, 80), None);
        }
    }
}
