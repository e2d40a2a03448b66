//! Words near a value that say what it is. They count as whole words: the "lic" in "public" is none.

use crate::{detect::Detector, probe::Probe};

/// How far back context words count, in bytes.
pub(crate) const NEAR: usize = 64;

/// Words and phrases in lower case, with single spaces. A filter over their first two bytes spares most
/// comparisons: context is looked at for every number in a table.
pub(crate) struct Words {
    list: &'static [&'static str],
    firsts: u128,
}

impl Words {
    /// The filter for `list`. A word of one letter is found where another follows it.
    pub(crate) const fn new(list: &'static [&'static str]) -> Words {
        let mut firsts = 0;
        let mut rest = list;
        while let [word, others @ ..] = rest {
            match word.as_bytes() {
                [first, second, ..] => firsts |= bit(*first, *second),
                [only] => firsts |= bit(*only, b' '),
                [] => {}
            }
            rest = others;
        }
        Words { list, firsts }
    }

    /// Whether one of the words is in the folded text.
    fn occur_in(&self, folded: &str) -> bool {
        let folded = folded.as_bytes();
        let mut at = 0;
        // INVARIANT: `at` is where a word begins.
        while let Some(here @ [first, second, ..]) = folded.get(at..) {
            if self.firsts & bit(*first, *second) != 0 && self.list.iter().any(|word| begins_with(here, word))
            {
                return true;
            }
            let Some(blank) = here.iter().position(|byte| *byte == b' ') else { break };
            at += blank + 1;
        }
        false
    }
}

const fn bit(first: u8, second: u8) -> u128 {
    1 << ((first.wrapping_mul(7) ^ second) & 127)
}

fn begins_with(text: &[u8], word: &str) -> bool {
    text.starts_with(word.as_bytes()) && text.get(word.len()).is_none_or(|byte| *byte == b' ')
}

/// Whether one of `words` stands shortly before the probe, or the value follows one of the same kind, as in
/// a list.
pub(crate) fn supports(probe: &Probe<'_>, detector: Detector, words: &Words) -> bool {
    probe.neighbour() == Some(detector.id()) || words.occur_in(probe.near())
}

/// Whether one of `words` stands in the `span` bytes before the probe.
pub(crate) fn stands_within(probe: &Probe<'_>, span: usize, words: &Words) -> bool {
    words.occur_in(&fold(probe.context(span)))
}

/// The words of a text in lower case, with single spaces between; empty if it has none.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::new();
    if !text.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80) {
        return folded;
    }
    folded.reserve(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            folded.push(c.to_ascii_lowercase());
        } else if c.is_alphanumeric() {
            folded.extend(c.to_lowercase());
        } else if !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str, list: &'static [&'static str]) -> bool {
        Words::new(list).occur_in(&fold(text))
    }

    #[test]
    fn context_counts_whole_words_only() {
        assert!(!mentions("the public number ", &["lic"]));
        assert!(mentions("driver's LIC no. ", &["lic"]));
        assert!(mentions("LIC", &["lic"]));
        assert!(mentions(": lic", &["lic"]));
        assert!(mentions("Social  Security\tnumber: ", &["ssn", "social security"]));
        assert!(!mentions("social securityx", &["social security"]));
        assert!(mentions("TÉLÉPHONE : ", &["téléphone"]));
        assert!(mentions("phone_number=", &["phone number"]));
        assert!(!mentions("", &["phone"]));
        assert!(!mentions("12 34-", &["phone"]));
    }
}
