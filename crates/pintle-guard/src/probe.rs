//! How detectors read text: bounded in both directions, and honest about what has not arrived.
//!
//! A [`Probe`] stands at one position. It shows up to [`REACH`] bytes ahead and [`LOOK_BACK`] behind;
//! beyond, it shows the byte 0, as it does past the end of the text. When a detector asks for a byte that
//! may still come, the probe notes it, and the scanner discards whatever the detector concluded. That is
//! the whole argument for I5: an answer that counts was given from bytes that can no longer change.

use std::cell::{Cell, OnceCell};

use crate::{
    context::{self, NEAR},
    detect::DetectorId,
};

/// How many bytes beyond its position a detector may read. Also the longest match of bounded length.
pub(crate) const REACH: usize = 124;
/// How many bytes before its position a detector may read.
pub(crate) const LOOK_BACK: usize = 72;

/// What the scanner has of a text: all of it, or the part that arrived.
pub(crate) struct Page<'t> {
    /// Begins and ends on character boundaries. A page that does not start the text begins at least
    /// [`LOOK_BACK`] bytes before the scanner's position.
    pub(crate) text: &'t str,
    /// Where the page begins in the whole text.
    pub(crate) base: usize,
    /// No more will come.
    pub(crate) complete: bool,
}

/// The last match, mask or pseudonym that ends on the page. Context does not reach back over it, so that what
/// stands before a value supports the same neighbours as what stands before its mask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Previous {
    /// Where it ends: an index into the page's text. It may lie after the position where matches overlap.
    pub(crate) end: usize,
    pub(crate) detector: DetectorId,
}

/// How close the previous match must be to support one of its own kind, in bytes.
const NEIGHBOUR_DISTANCE_MAX: usize = 32;

/// A detector's view from one position.
pub(crate) struct Probe<'t> {
    text: &'t str,
    at: usize,
    complete: bool,
    starved: Cell<bool>,
    previous: Option<Previous>,
    /// The folded words before the position, once asked for.
    near: OnceCell<String>,
}

impl<'t> Probe<'t> {
    /// A view from byte `at` of the page.
    pub(crate) fn new(page: &Page<'t>, at: usize, previous: Option<Previous>) -> Probe<'t> {
        Probe {
            text: page.text,
            at,
            complete: page.complete,
            starved: Cell::new(false),
            previous,
            near: OnceCell::new(),
        }
    }

    /// Whether anything was asked for that has not arrived.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved.get()
    }

    /// The byte `offset` after the position; 0 past the end and past the reach.
    pub(crate) fn byte(&self, offset: usize) -> u8 {
        if offset > REACH {
            return 0;
        }
        match self.text.as_bytes().get(self.at + offset) {
            Some(byte) => *byte,
            None => {
                if !self.complete {
                    self.starved.set(true);
                }
                0
            }
        }
    }

    /// The byte `count` before the position (1 is the one just before); 0 before the start, and in or before the
    /// previous match: what follows that is tied to nothing. Were it tied to a value and not to the value's mask,
    /// masking twice would mask more than once.
    pub(crate) fn back(&self, count: usize) -> u8 {
        let floor = self.previous.map_or(0, |previous| previous.end);
        let index = self.at.checked_sub(count).filter(|index| *index >= floor && count <= LOOK_BACK);
        index.and_then(|index| self.text.as_bytes().get(index)).copied().unwrap_or(0)
    }

    /// The bytes at `from..from + len`, which were read before. Empty if they are not all there.
    pub(crate) fn bytes(&self, from: usize, len: usize) -> &'t [u8] {
        let start = self.at + from;
        self.text.as_bytes().get(start..start + len).unwrap_or_default()
    }

    /// The character at `offset` and its length in bytes. `None` at the end or where it leaves the reach.
    pub(crate) fn char(&self, offset: usize) -> Option<(char, usize)> {
        let first = self.byte(offset);
        if first < 0x80 {
            return (first != 0).then(|| (char::from(first), 1));
        }
        let character = self.text.get(self.at + offset..)?.chars().next()?;
        let len = character.len_utf8();
        (offset + len <= REACH + 1).then_some((character, len))
    }

    /// Whether the character at `offset` continues a word.
    pub(crate) fn is_word(&self, offset: usize) -> bool {
        let byte = self.byte(offset);
        if byte < 0x80 { is_word_byte(byte) } else { self.char(offset).is_some_and(|(c, _)| is_word_char(c)) }
    }

    /// How many bytes from `from` satisfy `class`, up to `most`.
    pub(crate) fn run(&self, from: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
        (0..most).take_while(|index| class(self.byte(from + index))).count()
    }

    /// Whether the text continues with `literal` at `offset`, in this case.
    pub(crate) fn literal(&self, offset: usize, literal: &str) -> bool {
        literal.bytes().enumerate().all(|(index, byte)| self.byte(offset + index) == byte)
    }

    /// Whether the text just before the position ends with `literal`, in any ASCII case.
    pub(crate) fn follows(&self, literal: &str) -> bool {
        literal
            .bytes()
            .rev()
            .enumerate()
            .all(|(index, byte)| self.back(index + 1).eq_ignore_ascii_case(&byte))
    }

    /// Whether a word runs into the position.
    pub(crate) fn follows_word(&self) -> bool {
        self.back(1) != 0 && !starts_word(self.text, self.at)
    }

    /// Whether a value may begin here, given that no word runs into it: not where a hyphen or a decimal
    /// point ties it to what stands before, as in GUIDs, versions and decimals.
    pub(crate) fn starts_clean(&self) -> bool {
        let before = self.back(2);
        match self.back(1) {
            b'-' => !before.is_ascii_alphanumeric(),
            b'.' => !before.is_ascii_digit(),
            b'+' => false,
            _ => true,
        }
    }

    /// Whether a key may begin here: not inside a longer one, or inside base64.
    pub(crate) fn starts_token(&self) -> bool {
        match self.back(1) {
            b'-' | b'+' | b'.' => !self.back(2).is_ascii_alphanumeric(),
            _ => true,
        }
    }

    /// Whether a value may end before `offset`: no word goes on, and neither a hyphen nor a decimal point
    /// ties it to what follows.
    pub(crate) fn ends_clean(&self, offset: usize) -> bool {
        if self.is_word(offset) {
            return false;
        }
        match self.byte(offset) {
            b'-' => !(self.is_word(offset + 1) || self.opens_token(offset + 1)),
            b'.' => !(self.byte(offset + 1).is_ascii_digit() || self.opens_token(offset + 1)),
            _ => true,
        }
    }

    /// Whether what begins at `offset` has the form of a mask or pseudonym: it ties as its value did.
    pub(crate) fn opens_token(&self, offset: usize) -> bool {
        if self.byte(offset) == b'[' {
            return self.literal(offset, "[MASKED:");
        }
        let inner = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if self.byte(offset) != b'<' || !inner(self.byte(offset + 1)) {
            return false;
        }
        let len = self.run(offset + 1, REACH, inner);
        self.byte(offset + 1 + len) == b'>' && self.byte(offset + len).is_ascii_digit()
    }

    /// The text before the position in which context counts, at most `span` bytes of it. It starts at
    /// a whole word, after the previous match.
    pub(crate) fn context(&self, span: usize) -> &'t str {
        let span = span.min(LOOK_BACK - 4);
        let floor = self.previous.map_or(0, |previous| previous.end.min(self.at));
        let from = self.at.saturating_sub(span).max(floor);
        let from = self.text.ceil_char_boundary(from).min(self.at);
        let window = self.text.get(from..self.at).unwrap_or_default();
        let cut = from > floor
            && from
                .checked_sub(1)
                .and_then(|i| self.text.as_bytes().get(i))
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
        if !cut {
            return window;
        }
        let whole = window.find(|c: char| !c.is_alphanumeric()).unwrap_or(window.len());
        window.get(whole..).unwrap_or_default()
    }

    /// The words before the position, folded.
    pub(crate) fn near(&self) -> &str {
        self.near.get_or_init(|| context::fold(self.context(NEAR)))
    }

    /// The kind of the match that ended shortly before, if one did.
    pub(crate) fn neighbour(&self) -> Option<DetectorId> {
        self.previous
            .filter(|previous| self.at <= previous.end + NEIGHBOUR_DISTANCE_MAX)
            .map(|previous| previous.detector)
    }
}

/// Letters, digits and `_`: what makes ASCII words.
pub(crate) const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a character makes words. Scripts that write no spaces do not: there, a value stands directly
/// between two characters.
pub(crate) fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    c.is_alphanumeric() && !is_unspaced(c)
}

/// Thai, Lao, Burmese, Khmer, the CJK blocks, and Hangul (whose particles attach to nouns).
pub(crate) const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{2E80}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF66}'..='\u{FFDC}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Whether no word runs into byte `at` of `text`.
pub(crate) fn starts_word(text: &str, at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|index| text.as_bytes().get(index)) else { return true };
    if *before < 0x80 {
        return !is_word_byte(*before) || ends_escape(text.as_bytes(), at);
    }
    !text.get(..at).and_then(|head| head.chars().next_back()).is_some_and(is_word_char)
}

/// Whether a JSON escape ends just before byte `at`: a tool call's arguments are JSON text, and the `n` of `\n`
/// is no part of the word after it.
fn ends_escape(text: &[u8], at: usize) -> bool {
    let back = |count: usize| at.checked_sub(count).and_then(|index| text.get(index)).copied().unwrap_or(0);
    if back(2) == b'\\' && matches!(back(1), b'n' | b'r' | b't' | b'b' | b'f') {
        return true;
    }
    back(6) == b'\\' && back(5) == b'u' && (1..=4).all(|count| back(count).is_ascii_hexdigit())
}
