//! Texts as comparable words: for answers, and, hashed, for contamination.

/// English articles carry nothing that an answer is judged by.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// An answer's words: lowercase, without punctuation, spacing and English articles. What numbers need stays: the
/// decimal point, a minus before a digit, and `%`, `€`, `$` and `£` as words of their own; a comma between groups of
/// three digits goes, so that `1,500` equals `1500`. An article stays where it may be a name: as the last word
/// (`Plan A`), and as a capital within a sentence.
pub(super) fn answer_words(text: &str) -> Vec<String> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    let mut begins = true;
    let chars: Vec<char> = text.chars().collect();
    for (index, current) in chars.iter().copied().enumerate() {
        let before = index.checked_sub(1).and_then(|index| chars.get(index)).copied();
        let rest = chars.get(index + 1..).unwrap_or_default();
        let next_is_digit = rest.first().is_some_and(char::is_ascii_digit);
        let after_digit = open && before.is_some_and(|c| c.is_ascii_digit());
        let joins_digits = current == '.' && after_digit && next_is_digit;
        let is_minus = matches!(current, '-' | '−')
            && next_is_digit
            && before.is_none_or(|c| c.is_whitespace() || c == '(');
        if current.is_alphanumeric() || joins_digits || is_minus {
            if !open {
                words.push(Word { text: String::new(), capital: current.is_uppercase(), begins });
                begins = false;
            }
            open = true;
            if let Some(word) = words.last_mut() {
                if is_minus { word.text.push('-') } else { word.text.extend(current.to_lowercase()) }
            }
        } else if matches!(current, '\'' | '’') || (current == ',' && after_digit && is_group(rest)) {
            // Left out without ending the word.
        } else {
            open = false;
            if matches!(current, '%' | '€' | '$' | '£') {
                words.push(Word { text: current.to_string(), capital: false, begins: false });
            }
            begins |= matches!(current, '.' | '!' | '?' | ':' | '\n');
        }
    }
    let last = words.len().saturating_sub(1);
    let stays = |(index, word): &(usize, Word)| {
        *index == last || (word.capital && !word.begins) || !ARTICLES.contains(&word.text.as_str())
    };
    words.into_iter().enumerate().filter(stays).map(|(_, word)| word.text).collect()
}

struct Word {
    text: String,
    capital: bool,
    /// Whether it begins a sentence.
    begins: bool,
}

/// Whether exactly three digits follow, as in a number's group.
fn is_group(rest: &[char]) -> bool {
    rest.iter().take_while(|c| c.is_ascii_digit()).count() == 3
}

/// A hash for each word of a text: runs of letters and digits, lowercase. Two words that differ get the same one
/// once in 2^64 pairs, about; a list of suspects can bear that.
pub(super) fn word_hashes(text: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    let mut hash = None;
    for current in text.chars() {
        if current.is_alphanumeric() {
            for lower in current.to_lowercase() {
                hash = Some(mix(hash.unwrap_or(0), u64::from(u32::from(lower))));
            }
        } else if let Some(done) = hash.take() {
            hashes.push(done);
        }
    }
    hashes.extend(hash);
    hashes
}

/// Adds a value to a hash, with the finaliser of SplitMix64.
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let mut z = hash.rotate_left(23).wrapping_add(value).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One hash for words in their order.
pub(super) fn sequence(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| mix(hash, *word))
}

/// One hash for the same words in any order.
pub(super) fn bag(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(mix(1, *word)))
}

/// The text's beginning, at most `bytes` long, on a character boundary.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_normalised() {
        let table = [
            ("The limit is  €1,500.50!", "limit is € 1500.50"),
            ("1,50 or 12,3456", "1 50 or 12 3456"),
            ("It's Plan A", "its plan a"),
            ("See Building A today. A desk is free.", "see building a today desk is free"),
            ("a\nthe", "the"),
            ("-5 °C, 3-4, - 2", "-5 c 3 4 2"),
            ("5% of 1,000,000", "5 % of 1000000"),
            ("ÄRGER (groß)", "ärger groß"),
            ("v1.2. Done.", "v1.2 done"),
            ("... ,", ""),
        ];
        for (text, wanted) in table {
            assert_eq!(answer_words(text).join(" "), wanted, "{text:?}");
        }
    }

    #[test]
    fn hashes_follow_words_and_order() {
        assert_eq!(word_hashes("Ask the desk!"), word_hashes(" ask: THE\ndesk"));
        let (one, other) = (word_hashes("a b c"), word_hashes("c a b"));
        assert_ne!(sequence(&one), sequence(&other));
        assert_eq!(bag(&one), bag(&other));
        assert_ne!(bag(&one), bag(&word_hashes("a b b")));
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("ab", 9), "ab");
    }
}
