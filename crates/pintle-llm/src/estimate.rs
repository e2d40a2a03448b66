//! Counting tokens without a tokeniser: a cautious guess, used to size budget holds and to account for calls
//! whose provider reports no usage.
//!
//! The guess follows how byte-pair vocabularies split text. A word of up to six letters is one token and every
//! three further letters one more; a change of case or a digit starts a word, but one of three letters, as in
//! identifiers and Base64. Three digits make a token, so do two signs. White space costs nothing before a word and
//! one token where it breaks lines. Characters of other scripts cost by their first byte in UTF-8, which tells the
//! script well enough.
//!
//! It errs upwards, so that a hold suffices. Measured against OpenAI's newer (`o200k`) and older (`cl100k`)
//! vocabulary: English prose and code 9 to 28% above both, JSON 14 to 35%; German, French and Russian 44 to 102%
//! above the newer, -1 to 20% the older; Chinese, Japanese, Arabic, Greek and Hindi 45 to 242% above the newer, -4 to
//! 24% the older; digits, UUIDs and hexadecimal -2 to 3%. It errs downwards by 15 to 19% for Base64 and by half for
//! random lowercase letters: texts that hardly anybody sends to a model.

/// Estimates the tokens of a text.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    let mut estimator = TokenEstimator::default();
    estimator.feed(text);
    estimator.tokens()
}

/// What a byte is to the guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Class {
    /// A space, and the state at the start.
    #[default]
    Space,
    Lower,
    Upper,
    Digit,
    Newline,
    Sign,
    /// The first byte of a character of a script that vocabularies know well: accented Latin, Cyrillic.
    Near,
    /// Of another script in two bytes: Greek, Hebrew, Arabic.
    Far,
    /// Of a script in three bytes: Chinese, Japanese, Korean, Indic scripts, typographic signs.
    Wide,
    /// Of a character in four bytes: emoji.
    Rare,
    /// Not the first byte of a character.
    Inner,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Lower,
        b'A'..=b'Z' => Class::Upper,
        b'0'..=b'9' => Class::Digit,
        b' ' | b'\t' => Class::Space,
        b'\n' | b'\r' => Class::Newline,
        0..=0x7F => Class::Sign,
        0x80..=0xBF => Class::Inner,
        0xC0..=0xCC | 0xD0..=0xD3 => Class::Near,
        0xCD..=0xDF => Class::Far,
        0xE0..=0xEF => Class::Wide,
        0xF0..=0xFF => Class::Rare,
    }
}

/// Quarters of a token, so that no fraction is needed.
const TOKEN: u64 = 4;

/// Estimates the tokens of a text that arrives in pieces. The total does not depend on where it was split.
#[derive(Debug, Clone, Default)]
pub struct TokenEstimator {
    run: Class,
    /// Bytes that the last token of the run can still take.
    room: u8,
    quarters: u64,
}

impl TokenEstimator {
    /// Takes the next piece.
    pub fn feed(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            rest = more;
            self.step(class(*first));
            if self.run == Class::Lower {
                // Most of most texts: the rest of a word in small letters, taken at one go.
                let run = more.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
                rest = more.get(run..).unwrap_or_default();
                self.lower_run(run);
            }
        }
    }

    /// As many small letters after another one, as [`TokenEstimator::lengthen`] would count them.
    fn lower_run(&mut self, letters: usize) {
        let room = usize::from(self.room);
        if letters <= room {
            // INVARIANT: `letters` fits, because it is at most `room`.
            self.room -= u8::try_from(letters).unwrap_or(self.room);
            return;
        }
        // Each further token of a run takes a letter that begins it and two more.
        let beyond = letters - room;
        self.quarters += TOKEN * (beyond.div_ceil(3) as u64);
        self.room = u8::try_from((3 - beyond % 3) % 3).unwrap_or(0);
    }

    /// The tokens so far, rounded up.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.quarters.div_ceil(TOKEN)
    }

    fn step(&mut self, class: Class) {
        match class {
            Class::Space => self.run = Class::Space,
            Class::Inner => {}
            Class::Near => self.character(class, TOKEN / 2),
            Class::Far => self.character(class, TOKEN),
            Class::Wide => self.character(class, TOKEN + TOKEN / 4),
            Class::Rare => self.character(class, 3 * TOKEN),
            Class::Newline => {
                if self.run != Class::Newline {
                    self.quarters += TOKEN;
                }
                self.run = Class::Newline;
            }
            Class::Lower | Class::Upper | Class::Digit | Class::Sign => self.lengthen(class),
        }
    }

    fn character(&mut self, class: Class, quarters: u64) {
        self.run = class;
        self.quarters += quarters;
    }

    /// One more letter, digit or sign: in the room that the last token has, or at the start of a new one.
    fn lengthen(&mut self, class: Class) {
        // "The": a capital belongs to the word that it starts, and leaves it the room of a word.
        let continues =
            self.run == class || (self.run == Class::Upper && class == Class::Lower && self.room >= 2);
        if continues && self.room > 0 {
            self.room -= 1;
        } else {
            self.quarters += TOKEN;
            let starts_word = matches!(self.run, Class::Space | Class::Newline | Class::Sign | Class::Near);
            self.room = match class {
                Class::Sign => 1,
                Class::Lower | Class::Upper if starts_word => 5,
                _ => 2,
            };
        }
        self.run = class;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_taken_at_one_go_counts_as_letter_by_letter(text in "[a-zA-Z0-9 \n.é]{0,60}[a-z]{0,20}[a-zA-Z0-9 ]{0,40}") {
            let mut slow = TokenEstimator::default();
            for byte in text.bytes() {
                slow.step(class(byte));
            }
            prop_assert_eq!(estimate_tokens(&text), slow.tokens());
        }
    }

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
