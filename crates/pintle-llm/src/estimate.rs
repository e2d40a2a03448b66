//! Counting tokens without a tokeniser: a cautious guess, used to size budget holds and to account for calls
//! whose provider reports no usage.
//!
//! The guess follows how byte-pair vocabularies split text: a word of up to four letters is one token and each
//! further four letters one more, a change of case starts a word, three digits make a token, each sign is one,
//! a run of white space costs nothing before a word and one token where it breaks lines. Characters of other
//! scripts count by their length in UTF-8: half a token for two bytes, one for three, two for four.
//!
//! It errs upwards, so that a hold suffices. `docs/` of the workspace states how far, per kind of text; random
//! lowercase letters are the known case where it errs downwards.

/// Estimates the tokens of a text.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    let mut estimator = TokenEstimator::default();
    estimator.feed(text);
    estimator.tokens()
}

/// What the character before belonged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Run {
    #[default]
    None,
    Upper,
    Lower,
    Digit,
    Newline,
}

/// Estimates the tokens of a text that arrives in pieces. The total does not depend on where it was split.
#[derive(Debug, Clone, Default)]
pub struct TokenEstimator {
    run: Run,
    /// Letters or digits in the run so far.
    length: u32,
    /// Half tokens, so that two-byte characters need no fraction.
    halves: u64,
}

impl TokenEstimator {
    /// Takes the next piece.
    pub fn feed(&mut self, text: &str) {
        for c in text.chars() {
            self.step(c);
        }
    }

    /// The tokens so far, rounded up.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.halves.div_ceil(2)
    }

    fn step(&mut self, c: char) {
        match c {
            'a'..='z' => {
                // "The": the capital belongs to the word that it starts.
                if self.run == Run::Upper && self.length == 1 {
                    self.run = Run::Lower;
                }
                self.lengthen(Run::Lower, 4);
            }
            'A'..='Z' => self.lengthen(Run::Upper, 3),
            '0'..='9' => self.lengthen(Run::Digit, 3),
            ' ' => self.run = Run::None,
            '\n' | '\r' => {
                if self.run != Run::Newline {
                    self.halves += 2;
                }
                self.run = Run::Newline;
            }
            '\t' => self.add(1),
            _ => self.add(match c.len_utf8() {
                1 => 2,
                2 => 1,
                3 => 2,
                _ => 4,
            }),
        }
    }

    /// One more letter or digit: a new token at the start of a run and after each `per_token`.
    fn lengthen(&mut self, run: Run, per_token: u32) {
        if self.run == run && self.length < per_token {
            self.length += 1;
            return;
        }
        self.length = 1;
        self.halves += 2;
        self.run = run;
    }

    fn add(&mut self, halves: u64) {
        self.run = Run::None;
        self.halves += halves;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_english_is_guessed_slightly_high() {
        // 9 words and a full stop: GPT-4o's vocabulary makes 10 tokens of it.
        let tokens = estimate_tokens("The quick brown fox jumps over the lazy dog.");
        assert!((10..=13).contains(&tokens), "{tokens}");
    }

    #[test]
    fn the_total_does_not_depend_on_the_split() {
        let text = "Straße 12345, https://Example.com/aB\n\n  été 漢字 🎉 end";
        let whole = estimate_tokens(text);
        for (at, _) in text.char_indices() {
            let (head, tail) = text.split_at(at);
            let mut estimator = TokenEstimator::default();
            estimator.feed(head);
            estimator.feed(tail);
            assert_eq!(estimator.tokens(), whole, "split at {at}");
        }
    }
}
