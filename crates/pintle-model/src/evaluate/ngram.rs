//! What a model of own documents has to beat: byte models without a network, made from the same text.
//!
//! The n-gram is an interpolated Kneser-Ney with three discounts per order (Chen and Goodman, "An empirical study of
//! smoothing techniques for language modeling", 1999). Its symbols are bytes and at most eight of them make a key,
//! so that a key is one integer, exact, and a table is a sorted list: 12 bytes per distinct n-gram, no hashing, and
//! everything that follows a context lies next to each other.

/// The most bytes in an n-gram: what fits a key.
pub const ORDER_MAX: usize = 8;

/// Values of a byte; the last fallback gives each the same share.
const SYMBOLS: f64 = 256.0;

/// How often each byte was seen, with one added so that none is impossible.
#[derive(Debug, Clone)]
pub struct Unigram {
    counts: Vec<u64>,
    total: u64,
}

impl Unigram {
    /// Counts the bytes of the texts.
    #[must_use]
    pub fn train(texts: &[&str]) -> Unigram {
        let mut counts = vec![1_u64; 256];
        for byte in texts.iter().flat_map(|text| text.bytes()) {
            if let Some(count) = counts.get_mut(usize::from(byte)) {
                *count += 1;
            }
        }
        let total = counts.iter().sum();
        Unigram { counts, total }
    }

    /// The probability of a byte.
    #[must_use]
    pub fn probability(&self, byte: u8) -> f64 {
        let count = self.counts.get(usize::from(byte)).copied().unwrap_or(1);
        count as f64 / self.total as f64
    }

    /// Bits that the text costs.
    #[must_use]
    pub fn bits(&self, text: &str) -> f64 {
        -text.bytes().map(|byte| self.probability(byte).log2()).sum::<f64>()
    }
}

/// An interpolated Kneser-Ney model over bytes. Contexts do not reach beyond the beginning of a text.
#[derive(Debug, Clone)]
pub struct Ngram {
    /// The table at index `k` holds the n-grams of `k + 1` bytes.
    tables: Vec<Table>,
}

impl Ngram {
    /// Counts the texts' n-grams up to `order` bytes, which is brought into 1 to [`ORDER_MAX`]. While it builds, it
    /// takes 8 bytes per byte of text and 12 per distinct n-gram of each order.
    #[must_use]
    pub fn train(texts: &[&str], order: usize) -> Ngram {
        let order = order.clamp(1, ORDER_MAX);
        let mut keys: Vec<u64> = Vec::with_capacity(texts.iter().map(|text| text.len()).sum());
        for text in texts {
            let mut window = 0_u64;
            for (index, byte) in text.bytes().enumerate() {
                window = window << 8 | u64::from(byte);
                if index + 1 >= order {
                    keys.push(aligned(window, order));
                }
            }
        }
        let mut tables = vec![Table::new(keys)];
        // A shorter n-gram counts the different bytes that stand before it, the beginning of a text being one.
        for size in (1..order).rev() {
            let mut beginnings: Vec<u64> = texts.iter().filter_map(|text| beginning(text, size)).collect();
            beginnings.sort_unstable();
            beginnings.dedup();
            let longer = tables.last().map(|table| table.keys.as_slice()).unwrap_or_default();
            let mut keys: Vec<u64> = longer.iter().map(|key| key << 8).collect();
            keys.append(&mut beginnings);
            tables.push(Table::new(keys));
        }
        tables.reverse();
        Ngram { tables }
    }

    /// The probability of `byte` after `before`, of which the last bytes count. Over all bytes they sum to one, and
    /// none is zero.
    #[must_use]
    pub fn probability(&self, before: &[u8], byte: u8) -> f64 {
        let mut probability = 1.0 / SYMBOLS;
        for (size, table) in self.tables.iter().enumerate() {
            let Some(context) = before.len().checked_sub(size).and_then(|start| before.get(start..)) else {
                break;
            };
            let Some(next) = table.next(context, byte) else {
                // A context that was never seen has no longer one that was.
                break;
            };
            probability = (next.kept + next.freed * probability) / next.total;
        }
        probability
    }

    /// Bits that the text costs, from its beginning.
    #[must_use]
    pub fn bits(&self, text: &str) -> f64 {
        let bytes = text.as_bytes();
        let mut bits = 0.0;
        for (index, byte) in bytes.iter().enumerate() {
            let before = bytes.get(index.saturating_sub(ORDER_MAX)..index).unwrap_or_default();
            bits -= self.probability(before, *byte).log2();
        }
        bits
    }

    /// Distinct n-grams of all orders.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.tables.iter().map(|table| table.keys.len()).sum()
    }
}

/// What a table says of a byte after a context.
struct Next {
    /// The byte's count less its discount.
    kept: f64,
    /// All discounts in this context: what the shorter context shares out.
    freed: f64,
    /// All counts in this context.
    total: f64,
}

/// The n-grams of one size with their counts, sorted.
#[derive(Debug, Clone)]
struct Table {
    /// The n-gram's bytes from the top of the integer down, zeros below.
    keys: Vec<u64>,
    counts: Vec<u32>,
    /// Where the keys with the same two first bytes begin; one more entry than there are such pairs.
    starts: Vec<usize>,
    /// Taken off counts of one, of two, and of three or more.
    discounts: [f64; 3],
}

impl Table {
    fn new(mut keys: Vec<u64>) -> Table {
        keys.sort_unstable();
        let mut counts: Vec<u32> = Vec::new();
        let mut last = None;
        keys.retain(|key| {
            if last == Some(*key) {
                if let Some(count) = counts.last_mut() {
                    *count = count.saturating_add(1);
                }
                return false;
            }
            last = Some(*key);
            counts.push(1);
            true
        });
        keys.shrink_to_fit();
        let mut starts = vec![0_usize; (1 << 16) + 1];
        for key in &keys {
            if let Some(start) = starts.get_mut(pair(*key) + 1) {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let discounts = discounts(&counts);
        Table { keys, counts, starts, discounts }
    }

    fn next(&self, context: &[u8], byte: u8) -> Option<Next> {
        let mut low = 0_u64;
        for byte in context {
            low = low << 8 | u64::from(*byte);
        }
        // `context` has at most seven bytes, so that at least one stays for what follows.
        let below = 64_u32.checked_sub(8 * u32::try_from(context.len()).ok()?)?;
        low = low.checked_shl(below).unwrap_or(0);
        let last_place = below.checked_sub(8)?;
        let high = low | 0xFF_u64 << last_place;
        let wanted = low | u64::from(byte) << last_place;
        let begin = *self.starts.get(pair(low))?;
        let end = *self.starts.get(pair(high) + 1)?;
        let keys = self.keys.get(begin..end)?;
        let skip = keys.partition_point(|key| *key < low);
        let counts = self.counts.get(begin..end)?.iter().skip(skip);
        let mut next = Next { kept: 0.0, freed: 0.0, total: 0.0 };
        for (key, count) in keys.iter().skip(skip).zip(counts).take_while(|(key, _)| **key <= high) {
            let discount = self.discount(*count);
            let count = f64::from(*count);
            if *key == wanted {
                next.kept = count - discount;
            }
            next.freed += discount;
            next.total += count;
        }
        (next.total > 0.0).then_some(next)
    }

    fn discount(&self, count: u32) -> f64 {
        let [one, two, more] = self.discounts;
        match count {
            0 => 0.0,
            1 => one,
            2 => two,
            _ => more,
        }
    }
}

/// Chen and Goodman's estimates from the counts of counts. Where the text is too small for one, half a step.
fn discounts(counts: &[u32]) -> [f64; 3] {
    let of = |wanted: u32| counts.iter().filter(|count| **count == wanted).count() as f64;
    let [one, two, three, four] = [of(1), of(2), of(3), of(4)];
    let share = one / (one + 2.0 * two);
    let estimate = |step: f64, these: f64, next: f64| {
        let discount = step - (step + 1.0) * share * next / these;
        // Something must be left for bytes that were not seen, and nothing may be owed.
        if discount.is_finite() && next > 0.0 { discount.clamp(0.1, 0.95 * step) } else { 0.5 * step }
    };
    [estimate(1.0, one, two), estimate(2.0, two, three), estimate(3.0, three, four)]
}

/// The two first bytes of a key.
fn pair(key: u64) -> usize {
    usize::from((key >> 48) as u16)
}

/// The key of the last `size` bytes of a window.
fn aligned(window: u64, size: usize) -> u64 {
    let unused = ORDER_MAX.saturating_sub(size) * 8;
    u32::try_from(unused).ok().and_then(|unused| window.checked_shl(unused)).unwrap_or(0)
}

/// The key of the first `size` bytes of a text that has as many.
fn beginning(text: &str, size: usize) -> Option<u64> {
    let bytes = text.as_bytes().get(..size)?;
    Some(aligned(bytes.iter().fold(0, |window, byte| window << 8 | u64::from(*byte)), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both orders of `abab`, worked out by hand. Pairs: `ab` twice, `ba` once, so one third off a single pair and
    /// one (no pair occurs three times) off a double one. Singles by what stands before them: `a` twice (the
    /// beginning and `b`), `b` once: the same discounts, of which 4/3 of 3 are shared out evenly.
    #[test]
    fn a_small_text_by_hand() {
        let model = Ngram::train(&["abab"], 2);
        let a = (2.0 - 1.0 + 4.0 / 3.0 / 256.0) / 3.0;
        let b = (1.0 - 1.0 / 3.0 + 4.0 / 3.0 / 256.0) / 3.0;
        assert!((model.probability(b"", b'a') - a).abs() < 1e-12);
        assert!((model.probability(b"", b'b') - b).abs() < 1e-12);
        assert!((model.probability(b"xa", b'b') - (2.0 - 1.0 + b) / 2.0).abs() < 1e-12);
        assert!((model.probability(b"b", b'a') - (2.0 / 3.0 + a / 3.0)).abs() < 1e-12);
        // An unseen context leaves it to the shorter one.
        assert!((model.probability(b"z", b'a') - a).abs() < 1e-12);
        let bits = -a.log2() - ((1.0 + b) / 2.0).log2();
        assert!((model.bits("ab") - bits).abs() < 1e-12);
        assert_eq!(model.entries(), 4);
    }

    #[test]
    fn unigrams_by_hand() {
        let model = Unigram::train(&["aab", "a"]);
        assert!((model.probability(b'a') - 4.0 / 260.0).abs() < 1e-15);
        assert!((model.probability(b'z') - 1.0 / 260.0).abs() < 1e-15);
        assert!((model.bits("ab") + (4.0_f64 / 260.0).log2() + (2.0_f64 / 260.0).log2()).abs() < 1e-12);
    }

    #[test]
    fn a_text_never_reaches_into_the_next_one() {
        let model = Ngram::train(&["ab", "cd"], 3);
        assert!(model.tables.iter().all(|table| table.keys.iter().all(|key| *key >> 48 != 0x6263)));
        assert!(model.probability(b"a", b'b') > 0.3);
    }
}
