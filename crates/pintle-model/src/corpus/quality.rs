//! Refuses text that no model should learn. Each rule is plain enough to be explained in one sentence.
//!
//! The bounds are wide: what is odd stays, what is broken leaves. They were set on handbooks, tables of
//! figures and source code, all of which pass.

use super::{
    report::{Left, Reason},
    text::count,
};

/// Control and replacement characters per 1,000.
const CONTROLS_PER_1000_MAX: u64 = 5;
/// Of 100 characters that are no blanks, so many must be letters.
const LETTERS_PERCENT_MIN: u64 = 25;
/// Pairs that come of reading UTF-8 as another encoding, and their share of the characters beyond ASCII.
const MOJIBAKE_MIN: u64 = 3;
const MOJIBAKE_PERCENT_MAX: u64 = 20;
/// A run of so many bytes, in lines of at least so many, is an encoded file, key or image.
const BLOB_BYTES_MIN: usize = 200;
const BLOB_LINE_BYTES_MIN: usize = 60;
const BLOB_PERCENT_MAX: u64 = 30;
/// A line that comes so often, and makes up more than half of the text.
const REPEATS_MIN: u64 = 10;

/// Judges a tidied text, and counts its characters.
pub(super) fn judge(text: &str, minimum_chars: u64) -> Result<u64, Left> {
    if text.trim().is_empty() {
        return Err(Left::new(Reason::Empty, "has no text"));
    }
    let signs = Signs::of(text);
    if signs.chars < minimum_chars {
        let because = format!("has {} characters, fewer than {minimum_chars} (`minimum_chars`)", signs.chars);
        return Err(Left::new(Reason::TooShort, because));
    }
    let garbled = |because: &str| Err(Left::new(Reason::Garbled, because));
    if signs.mojibake >= MOJIBAKE_MIN && signs.mojibake * 100 > signs.beyond_ascii * MOJIBAKE_PERCENT_MAX {
        return garbled("was saved in one encoding and read in another (`Ã¼` for `ü`)");
    }
    if signs.controls * 1000 > signs.chars * CONTROLS_PER_1000_MAX {
        return garbled("has many control or replacement characters");
    }
    if blob_bytes(text) * 100 > count(text.len()) * BLOB_PERCENT_MAX {
        return garbled("is to a large part encoded data");
    }
    if signs.letters * 100 < signs.visible * LETTERS_PERCENT_MIN {
        return garbled("has few letters");
    }
    if is_one_line(text) {
        return garbled("is mostly one line over and over");
    }
    Ok(signs.chars)
}

/// Counts of characters.
#[derive(Default)]
struct Signs {
    chars: u64,
    visible: u64,
    letters: u64,
    controls: u64,
    beyond_ascii: u64,
    /// Half of a mojibake pair each: `Ã` and `Â` before a continuation byte's letter, `â€`.
    mojibake: u64,
}

impl Signs {
    fn of(text: &str) -> Self {
        let mut signs = Signs::default();
        let mut before = Before::default();
        for (number, block) in text.as_bytes().chunks(BLOCK_BYTES).enumerate() {
            signs.add_ascii(block);
            if !block.is_ascii() {
                let start = number * BLOCK_BYTES;
                for (offset, _) in block.iter().enumerate().filter(|(_, byte)| **byte >= 0xC0) {
                    let at = start + offset;
                    if let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
                        signs.add_wide(c, before.c.filter(|_| before.end == at));
                        before = Before { c: Some(c), end: at + c.len_utf8() };
                    }
                }
            }
        }
        signs
    }

    /// Counts a block's ASCII characters. Sums of so few fit a byte, so that the compiler counts many at once.
    fn add_ascii(&mut self, block: &[u8]) {
        let sum =
            |counts: fn(u8) -> bool| u64::from(block.iter().map(|byte| u8::from(counts(*byte))).sum::<u8>());
        self.chars += sum(|byte| byte < 0x80);
        self.letters += sum(|byte| (byte | 0x20).wrapping_sub(b'a') < 26);
        self.visible += sum(|byte| byte.wrapping_sub(b'!') < 94);
        self.controls += sum(|byte| (byte < b' ' && byte != b'\n' && byte != b'\t') || byte == 0x7F);
    }

    /// Counts a character beyond ASCII. `before` is the one right before it, if it is of the same kind.
    fn add_wide(&mut self, c: char, before: Option<char>) {
        self.chars += 1;
        self.beyond_ascii += 1;
        self.letters += u64::from(c.is_alphabetic());
        self.visible += u64::from(!c.is_whitespace());
        self.controls += u64::from(c.is_control() || c == char::REPLACEMENT_CHARACTER);
        let is_pair = match before {
            Some('Ã' | 'Â') => is_continuation(c),
            Some('â') => c == '€' || c == '\u{80}',
            _ => false,
        };
        // A pair is two characters.
        self.mojibake += 2 * u64::from(is_pair);
    }
}

/// Fewer than 256, so that a block's counts fit a byte.
const BLOCK_BYTES: usize = 192;

/// The last character beyond ASCII, and where it ends.
#[derive(Default)]
struct Before {
    c: Option<char>,
    end: usize,
}

/// What a byte from 80 to BF hexadecimal looks like in Latin-1 and Windows-1252, as far as the latter has signs
/// of its own: quotes, dashes and the like.
const fn is_continuation(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{BF}' | '€' | 'ƒ' | '\u{2018}'..='\u{201E}' | '\u{2013}' | '\u{2014}'
        | '†' | '‡' | '•' | '…' | '‰' | '‹' | '›' | '™' | 'Œ' | 'œ' | 'Š' | 'š' | 'Ž' | 'ž' | 'Ÿ' | 'ˆ' | '˜')
}

/// Bytes in long runs of the characters that Base64 and hexadecimal use. Base64 in mail has lines of 76
/// characters, so lines that are full of them and follow each other are one run.
fn blob_bytes(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let is_blob =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    let (mut blob, mut run, mut end) = (0, 0, 0);
    let mut at = BLOB_LINE_BYTES_MIN - 1;
    // Looks at one byte of so many: a line of that length cannot lie between two looks.
    while let Some(byte) = bytes.get(at) {
        if is_blob(byte) {
            let (left, right) = bytes.split_at(at);
            let before = left.iter().rev().take_while(|byte| is_blob(byte)).count();
            let after = right.iter().take_while(|byte| is_blob(byte)).count();
            if before + after >= BLOB_LINE_BYTES_MIN {
                let follows = at - before == end + 1 && bytes.get(end) == Some(&b'\n');
                if !follows {
                    blob += if run >= BLOB_BYTES_MIN { count(run) } else { 0 };
                    run = 0;
                }
                run += before + after;
                end = at + after;
                at = end;
            }
        }
        at += BLOB_LINE_BYTES_MIN;
    }
    blob + if run >= BLOB_BYTES_MIN { count(run) } else { 0 }
}

/// Whether one line makes up more than half of the text. A majority vote, weighted by bytes, leaves the only
/// line that can; a second pass counts it.
fn is_one_line(text: &str) -> bool {
    let (mut candidate, mut weight) = ("", 0);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut total = 0;
    for line in lines() {
        total += line.len();
        if line == candidate {
            weight += line.len();
        } else if line.len() > weight {
            (candidate, weight) = (line, line.len() - weight);
        } else {
            weight -= line.len();
        }
    }
    let repeats = lines().filter(|line| *line == candidate).count();
    count(repeats) >= REPEATS_MIN && repeats * candidate.len() * 2 > total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(text: &str) -> String {
        judge(text, 10).unwrap_err().because
    }

    #[test]
    fn broken_text_is_refused_with_its_reason() {
        for (text, said) in [
            (" \n", "no text"),
            ("short", "5 characters"),
            ("some text \u{1}\u{2}\u{FFFD} and more of it", "control or replacement"),
            ("GrÃ¼Ã\u{9f}e aus KÃ¶ln", "one encoding"),
            ("Itâ€™s what weâ€™d say, isnâ€™t it", "one encoding"),
            ("12 34 5,6 7.8 9 - - - 10 a", "few letters"),
            (&format!("picture {}", "iVBORw0KGgo".repeat(40)), "encoded data"),
            (&format!("mail\n{}", format!("{}\n", "QmFzZTY0".repeat(9)).repeat(9)), "encoded data"),
            (&format!("Title\n{}", "All rights reserved.\n".repeat(30)), "over and over"),
        ] {
            let because = because(text);
            assert!(because.contains(said), "{text}: {because}");
        }
    }

    #[test]
    fn odd_but_sound_text_stays() {
        for text in [
            "São Paulo, NÃO, Ângela e Ãngulo: três irmãos às três da manhã.",
            "Größe: 12 €, Breite: 7 €, Höhe: 3 € – „fertig“…",
            "fn main() {\n    if x {\n        y();\n    }\n}\n",
            "name: Desk\nprice: 120.00\nstock: 14\n\nname: Lamp\nprice: 35.50\nstock: 9",
            "東京都の従業員は年に二十日の休暇を取ることができる。",
            "# Contents\n\n| a | b |\n| --- | --- |\n| one | two |\n| three | four |",
        ] {
            assert!(judge(text, 10).is_ok(), "{text}: {}", because(text));
        }
        let words = format!("{} end", "internationalisation ".repeat(50));
        assert!(judge(&words, 10).is_ok());
    }
}
