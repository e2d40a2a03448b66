//! What a document's words are, in few bytes: their number, a hash of their sequence, and a MinHash signature.
//!
//! Words are compared in lower case and without what stands between them. The signature is of one-permutation
//! MinHash (Li, Owen and Zhang, 2012): each shingle of five words falls into one of 128 bins by its hash, and
//! each bin keeps its least value. That costs one multiplication per shingle, where 128 permutations cost 128,
//! estimates the same Jaccard similarity, and is nearly exact for documents of fewer than 128 shingles. For
//! the bands, empty bins borrow from filled ones (Shrivastava, 2017).

use super::text::is_unspaced;

const SHINGLE_WORDS: usize = 5;
pub(super) const BINS: usize = 128;
/// Of 20 bands of 6 bins, documents that are 80% alike share one in 99.8% of cases, and such that are 30%
/// alike in 1.4%.
pub(super) const BANDS: usize = 20;
const BAND_BINS: usize = 6;

/// The least values of the bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// 16 bits of each bin's least hash: two different ones are alike in one of 65,536 cases.
    bins: [u16; BINS],
    /// Which bins are filled, bit by bit.
    filled: u128,
}

impl Signature {
    /// The estimated Jaccard similarity of two documents' shingles, in percent, rounded down.
    pub(super) fn likeness_percent(&self, other: &Signature) -> u32 {
        let both = self.filled & other.filled;
        let pairs = self.bins.iter().zip(&other.bins);
        let alike: u32 =
            (0..).zip(pairs).map(|(bin, (a, b))| u32::from(a == b) & u32::from(both >> bin & 1 == 1)).sum();
        let either = (self.filled | other.filled).count_ones();
        (alike * 100).checked_div(either).unwrap_or_default()
    }

    /// A key per band. Documents that share a key may be alike.
    pub(super) fn band_keys(&self) -> [u64; BANDS] {
        let mut keys = [0; BANDS];
        for (band, key) in (0_u64..).zip(&mut keys) {
            *key = mix(band + 1);
        }
        for (bin, key) in (0..).zip((0..BANDS * BAND_BINS).map(|bin| bin / BAND_BINS)) {
            let value = self.densified(bin);
            if let Some(key) = keys.get_mut(key) {
                *key = mix(key.rotate_left(17) ^ u64::from(value));
            }
        }
        keys
    }

    /// The bin's value, or that of the filled bin to which its number leads.
    fn densified(&self, bin: u64) -> u16 {
        // At least one bin is filled, so a random walk over them meets one soon; the bound makes sure.
        let walk =
            (0..1024_u64).map(|attempt| if attempt == 0 { bin } else { mix(bin << 10 | attempt) >> 57 });
        let found = walk
            .filter(|bin| self.filled >> bin & 1 == 1)
            .find_map(|bin| self.bins.get(usize::try_from(bin).ok()?));
        found.copied().unwrap_or_default()
    }
}

/// A document's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) words: u64,
    /// The same for the same words in the same order.
    pub(super) sequence: u128,
    /// `None` for fewer words than a shingle has: those are duplicates exactly or not at all.
    pub(super) signature: Option<Box<Signature>>,
}

impl Fingerprint {
    /// Reads the text once and allocates the signature only.
    pub(super) fn of(text: &str) -> Self {
        let mut state = State::new();
        let bytes = text.as_bytes();
        let (mut at, mut word) = (0, SEED);
        while let Some(byte) = bytes.get(at) {
            if let Some(folded) = WORD_BYTES.get(usize::from(*byte)).filter(|_| byte.is_ascii()) {
                if *folded != 0 {
                    word = (word ^ u64::from(*folded)).wrapping_mul(PRIME);
                } else if word != SEED {
                    state.word(std::mem::replace(&mut word, SEED));
                }
                at += 1;
                continue;
            }
            let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else { break };
            at += c.len_utf8();
            let is_alone = is_unspaced(c);
            if (is_alone || !c.is_alphanumeric()) && word != SEED {
                state.word(std::mem::replace(&mut word, SEED));
            }
            if c.is_alphanumeric() {
                for c in c.to_lowercase() {
                    word = (word ^ u64::from(c)).wrapping_mul(PRIME);
                }
                if is_alone {
                    state.word(std::mem::replace(&mut word, SEED));
                }
            }
        }
        if word != SEED {
            state.word(word);
        }
        state.finish()
    }
}

/// FNV-1a's offset and prime: a byte's step is one multiplication, and words are short.
const SEED: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0100_0000_01B3;
/// The base of the polynomial over a shingle's words, odd and otherwise arbitrary.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
const BASE_TO_SHINGLE: u64 = BASE.wrapping_pow(5);

/// The lower case of ASCII letters, digits as they are, 0 for everything else.
const WORD_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    let mut rest: &mut [u8] = &mut table;
    while let [first, others @ ..] = rest {
        if byte.is_ascii_alphanumeric() {
            *first = byte.to_ascii_lowercase();
        }
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
};

/// The finaliser of MurmurHash3: every bit of the input reaches every bit of the result.
const fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ hash >> 33
}

struct State {
    words: u64,
    sequence: [u64; 2],
    /// The hashes of the last words, oldest first.
    last: [u64; SHINGLE_WORDS],
    shingle: u64,
    /// The least hash of each bin. A full 57 bits, so that large documents keep their 16 random ones.
    least: [u64; BINS],
}

impl State {
    const fn new() -> Self {
        State {
            words: 0,
            sequence: [SEED, BASE],
            last: [0; SHINGLE_WORDS],
            shingle: 0,
            least: [u64::MAX; BINS],
        }
    }

    fn word(&mut self, word: u64) {
        let word = mix(word);
        self.words += 1;
        let [one, two] = self.sequence;
        self.sequence = [
            (one ^ word).wrapping_mul(BASE).rotate_left(29),
            two.wrapping_add(word).wrapping_mul(PRIME).rotate_left(31),
        ];
        let [oldest, b, c, d, e] = self.last;
        self.last = [b, c, d, e, word];
        self.shingle = self
            .shingle
            .wrapping_mul(BASE)
            .wrapping_add(word)
            .wrapping_sub(oldest.wrapping_mul(BASE_TO_SHINGLE));
        if self.words >= SHINGLE_WORDS as u64 {
            let hash = mix(self.shingle);
            // Seven bits choose the bin, the others are the value.
            let bin = usize::try_from(hash >> 57).unwrap_or_default();
            if let Some(least) = self.least.get_mut(bin) {
                *least = (*least).min(hash & (u64::MAX >> 7));
            }
        }
    }

    fn finish(self) -> Fingerprint {
        let [one, two] = self.sequence;
        let sequence = u128::from(mix(one)) << 64 | u128::from(mix(two ^ self.words));
        let mut signature = Signature { bins: [0; BINS], filled: 0 };
        for (number, (bin, least)) in signature.bins.iter_mut().zip(self.least).enumerate() {
            if least != u64::MAX {
                signature.filled |= 1 << number;
                // The low bits: the high ones of a least value are mostly zeros.
                let [low, high, ..] = least.to_le_bytes();
                *bin = u16::from_le_bytes([low, high]);
            }
        }
        let signature = (signature.filled != 0).then(|| Box::new(signature));
        Fingerprint { words: self.words, sequence, signature }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn words(seed: u64, count: u64) -> Vec<String> {
        (0..count).map(|n| format!("w{}", mix(seed << 32 | n) % 5_000)).collect()
    }

    fn likeness(a: &str, b: &str) -> u32 {
        let signature = |text| Fingerprint::of(text).signature.unwrap();
        signature(a).likeness_percent(&signature(b))
    }

    #[test]
    fn case_and_punctuation_do_not_count_and_words_do() {
        let sequence = |text| Fingerprint::of(text).sequence;
        assert_eq!(sequence("Straße, CAFÉ: 12!"), sequence("  straße café\n12"));
        assert_eq!(sequence("東京 都"), sequence("東京都"));
        for (a, b) in [("1.5", "15"), ("a b", "b a"), ("a", "a a"), ("ab c", "a bc"), ("", "a")] {
            assert_ne!(sequence(a), sequence(b), "{a} {b}");
        }
        assert_eq!(Fingerprint::of("One two, three-four 東京").words, 6);
        assert!(Fingerprint::of("only four words here").signature.is_none());
    }

    #[test]
    fn likeness_is_near_the_true_jaccard_similarity() {
        for (seed, count, changed) in
            [(1, 2_000, 40), (2, 2_000, 10), (3, 2_000, 400), (4, 60, 2), (5, 60, 9), (6, 20_000, 300)]
        {
            let a = words(seed, count);
            let mut b = a.clone();
            for n in 0..changed {
                let at = usize::try_from(mix(n + 7) % count).unwrap();
                b[at] = format!("changed{n}");
            }
            let shingles =
                |words: &[String]| words.windows(5).map(|five| five.join(" ")).collect::<HashSet<_>>();
            let (x, y) = (shingles(&a), shingles(&b));
            let truth = 100.0 * x.intersection(&y).count() as f64 / x.union(&y).count() as f64;
            let estimate = f64::from(likeness(&a.join(" "), &b.join(" ")));
            // Three standard deviations of a sample of 128, at most.
            assert!((truth - estimate).abs() < 13.0, "{count} words, {changed} changed: {truth} {estimate}");
        }
        assert_eq!(likeness(&words(1, 500).join(" "), &words(1, 500).join(", ")), 100);
        assert!(likeness(&words(1, 500).join(" "), &words(2, 500).join(" ")) < 5);
    }
}
